"""``berth report``: a plan as one page for whoever pays for it."""
