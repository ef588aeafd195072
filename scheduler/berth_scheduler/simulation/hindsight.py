"""The cheapest schedule of replicas that meets every window, known in advance: what no policy can undercut.

A window needs a count; a count is spread over berths, cheapest first; and in each berth the k-th replica is needed in
some windows and not in others. Between two windows that need it, it is either kept or given up and started again, and
a start costs its cold start. These choices do not touch each other: the k-th replica's gaps lie within those of the
(k+1)-th, so whatever is cheapest for each gap by itself is cheapest altogether. The answer is exact for one berth, and
for several at the cheapest mix for each count; interruptions of spot are left out, so with spot it is a lower bound.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from berth_scheduler.control.berth_spread import BerthSupply, spread
from berth_scheduler.control.replica_control import ControlPolicy
from berth_scheduler.simulation.demand_ticks import TICK_SECONDS, WINDOW_TICKS, Ticks

HOURS_PER_WINDOW = TICK_SECONDS * WINDOW_TICKS / 3600
Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Schedule:
    """``replicas`` are asked for, ``ready`` serve; both (windows,). ``replica_hours`` are paid for."""

    ready: Integers
    replica_hours: float
    usd: float
    scalings: int
    windows_met: int


def hindsight(
    ticks: Ticks, berths: Sequence[BerthSupply], limits: ControlPolicy, cold_start_seconds: float
) -> Schedule:
    """Windows that need more than the maximum get the maximum, and are not met."""
    peaks = ticks.peak_of_windows()
    needed = np.maximum(np.ceil(peaks - 1e-9), limits.minimum).astype(np.int64)
    most = sum(spread(limits.maximum, berths, limits.spot))
    counts = np.minimum(needed, most)
    cold = int(np.ceil(cold_start_seconds / (HOURS_PER_WINDOW * 3600)))
    mix = np.array([spread(count, berths, limits.spot) for count in range(int(counts.max()) + 1)])
    ready, hours, usd = np.zeros(len(counts), dtype=np.int64), 0.0, 0.0
    for place, berth in enumerate(berths):
        kept, started = _kept(mix[counts, place], cold)
        windows = int(kept.sum()) + started
        ready += kept
        hours += windows * HOURS_PER_WINDOW
        usd += windows * HOURS_PER_WINDOW * berth.usd_per_replica_hour
    return Schedule(
        ready=ready,
        replica_hours=hours,
        usd=usd,
        scalings=int(np.count_nonzero(np.diff(ready))),
        windows_met=int(np.count_nonzero(needed <= most)),
    )


def _kept(needed: Integers, cold_windows: int) -> tuple[Integers, int]:
    """(replicas of a berth by window with short gaps kept, windows paid for cold starts).

    A gap is kept where it is no longer than a cold start. The first windows' replicas run when the trace begins.
    """
    kept, started = needed.copy(), 0
    for level in range(1, int(needed.max(initial=0)) + 1):
        on = np.flatnonzero(needed >= level)
        gaps = np.diff(on) - 1
        for before, gap in zip(on[:-1][gaps > 0], gaps[gaps > 0], strict=True):
            if gap <= cold_windows:
                kept[before + 1 : before + 1 + gap] = np.maximum(kept[before + 1 : before + 1 + gap], level)
            else:
                started += cold_windows
        started += min(int(on[0]), cold_windows)
    return kept, started
