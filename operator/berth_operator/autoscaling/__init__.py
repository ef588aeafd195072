"""Autoscaling: what is measured becomes how many replicas are asked for, and what the status says of it."""
