"""Simulation: traces of demand played against the replica controller, its baselines and hindsight."""
