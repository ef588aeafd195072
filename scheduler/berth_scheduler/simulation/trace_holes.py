"""Holes in a trace of demand: times in which nobody measured.

Rows are what somebody measured, so zeros may be hours in which nobody did, and rows may be missing. Either is taken for
a hole where that many requests could not have stayed away by chance: it is cut out, and said.
"""

import numpy as np

from berth_scheduler.simulation.demand_trace import DemandTrace

HOLE_SECONDS = 600.0
"""A shorter run of zeros is a lull: bursty traffic has minutes without a request."""
HOLE_EXPECTED_REQUESTS = 20.0
"""Of Poisson arrivals, none in a time in which 20 are expected has a chance of 2·10⁻⁹."""
AROUND_SECONDS = 3600.0
"""How much of the trace before and after a run of zeros says what was to be expected in it."""
PARTLY_MEASURED = 0.1
"""A row beside a hole that shows less than this share of the row beyond it was counted in part only: whoever stopped
and began to measure did so within a row."""
MISSING_STEPS = 5.0
"""Rows are missing where two are farther apart than so many times what they mostly are."""


def holes(trace: DemandTrace) -> list[tuple[float, float]]:
    """(start, end) in seconds of what was not measured, in their order: from the last row that was to the first one
    after it; rows that were measured in part only belong to the hole."""
    return sorted({*_zeros(trace), *_missing(trace)})


def _zeros(trace: DemandTrace) -> list[tuple[float, float]]:
    zero = trace.requests_per_second == 0
    edges = np.flatnonzero(np.diff(np.concatenate(([False], zero, [False])).astype(np.int8)))
    found = []
    for first, after in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        start = float(trace.seconds[max(first - 1, 0)])
        end = float(trace.seconds[min(after, len(zero) - 1)])
        if _is_hole(trace, first, after, end - start):
            found.append(_with_partly_measured(trace, first, after))
    return found


def _missing(trace: DemandTrace) -> list[tuple[float, float]]:
    steps = np.diff(trace.seconds)
    wide = np.flatnonzero(steps > MISSING_STEPS * np.median(steps))
    return [
        (float(trace.seconds[row]), float(trace.seconds[row + 1]))
        for row in wide.tolist()
        if _is_hole(trace, row + 1, row + 1, float(steps[row]))
    ]


def _is_hole(trace: DemandTrace, first: int, after: int, seconds: float) -> bool:
    """Of what lies between the rows before ``first`` and from ``after`` on."""
    expected = _mean_rate_around(trace, first, after) * seconds
    return seconds >= HOLE_SECONDS and expected >= HOLE_EXPECTED_REQUESTS


def _with_partly_measured(trace: DemandTrace, first: int, after: int) -> tuple[float, float]:
    """(start, end) of the zeros from row ``first`` to before row ``after``, with the rows beside them where needed."""
    rates, last = trace.requests_per_second, len(trace.seconds) - 1
    before, behind = max(first - 1, 0), min(after, last)
    if before > 0 and rates[before] < PARTLY_MEASURED * rates[before - 1]:
        before -= 1
    if behind < last and rates[behind] < PARTLY_MEASURED * rates[behind + 1]:
        behind += 1
    return float(trace.seconds[before]), float(trace.seconds[behind])


def _mean_rate_around(trace: DemandTrace, first: int, after: int) -> float:
    """Of the rows within the hour before row ``first`` and within the hour from ``after`` on; the lower of the two."""
    seconds, rates = trace.seconds, trace.requests_per_second
    begin, end = seconds[max(first - 1, 0)], seconds[min(after, len(seconds) - 1)]
    before = slice(int(np.searchsorted(seconds, begin - AROUND_SECONDS)), first)
    behind = slice(after, int(np.searchsorted(seconds, end + AROUND_SECONDS, side="right")))
    means = [float(rates[part].mean()) for part in (before, behind) if len(rates[part])]
    return min(means, default=0.0)
