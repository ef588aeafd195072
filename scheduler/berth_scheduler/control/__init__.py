"""Replica control: how many replicas, in which berths, by what is measured now."""
