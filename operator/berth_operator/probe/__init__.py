"""What the GPUs of this node are and can do: ``nvml`` asks the driver, ``rates`` times copies and matrix products."""
