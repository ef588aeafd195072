"""The performance model: latency, throughput, memory, power and energy of many cases at once, each with a band.

``prediction.predict`` is its only door. ``work`` counts what a forward pass is; ``roofline``, ``language`` and
``classic`` say how long it takes; ``batching`` and ``queueing`` how long requests wait; ``calibration`` what measured
runs change.
"""
