"""Spot capacity: traces, interruption hazard, policies that buy it, and what they would have had and paid."""
