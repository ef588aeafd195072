"""Measuring a live server: a bounded load, its samples, and cases with what was observed."""
