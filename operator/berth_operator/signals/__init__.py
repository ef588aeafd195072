"""Signals: what Prometheus measured of the workloads that run, and what of it can be trusted."""
