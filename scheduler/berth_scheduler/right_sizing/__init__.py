"""Right-sizing: whether another berth would hold the objectives for less, whether the change pays, when to make it."""
