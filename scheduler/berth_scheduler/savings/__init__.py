"""What decisions save against named baselines, and where the saving comes from."""
