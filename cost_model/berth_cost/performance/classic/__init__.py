"""Classic networks: times by FLOPs, bytes and operations, their fitted constants, and what measured runs say."""
