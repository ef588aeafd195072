"""What runs where and how many: snapshot, candidates, constraints, ranking, fleet plan, explanation.

Pure: no clock, no randomness, no network, no logging. Time enters as a field of the snapshot.
"""
