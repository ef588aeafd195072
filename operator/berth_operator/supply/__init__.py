"""Supply: GPUPools, nodes and their labels become the pools of a snapshot, priced."""
