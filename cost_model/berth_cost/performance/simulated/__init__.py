"""Replicas under load, request by request: what queues do to percentiles where closed forms are only approximate.

Seeded and pure: the same case and seed give the same numbers, whatever else is asked at once.
"""
