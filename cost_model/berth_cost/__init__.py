"""How fast, how big, how much: performance, memory, energy and price of an inference deployment.

Pure: no clock, no randomness, no network, no logging. Time and seeds enter as arguments.
"""
