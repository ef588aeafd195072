"""A trace as the simulator plays it: ticks of half a minute, two to a window, with the demand in replicas."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from berth_scheduler.simulation.demand_trace import DemandTrace, TraceError
from berth_scheduler.simulation.trace_holes import holes

Floats = NDArray[np.float64]
Capacity = Callable[[Floats | None, Floats | None], tuple[Floats, Floats]]
"""(mean prompt tokens, mean output tokens) → (rate that a replica sustains inside the objectives, saturation rate)."""

TICK_SECONDS = 30.0
"""How often every policy is evaluated: a scrape interval that is common in practice."""
WINDOW_TICKS = 2
TOKEN_STEPS_PER_OCTAVE = 24
"""Mean lengths are rounded to 3 % before the model is asked: sampling noise is not worth a question each."""


@dataclass(frozen=True, slots=True)
class Ticks:
    """Arrays over ticks; whole windows only. Rates in requests/s, ``peak`` in replicas.

    ``observed``: the mean rate of the last minute, what a policy sees. ``peak``: the most demand within the tick;
    ``mean``: its mean. ``capacity`` and ``saturation``: of one replica, at the lengths of the time.
    """

    seconds: Floats
    observed: Floats
    requests_per_second: Floats
    peak: Floats
    mean: Floats
    capacity: Floats
    saturation: Floats
    cut: tuple[tuple[float, float], ...] = ()
    """(start, end) of what was not measured."""
    windows_cut: int = 0

    @property
    def windows(self) -> int:
        return len(self.seconds) // WINDOW_TICKS

    @property
    def days(self) -> float:
        return len(self.seconds) * TICK_SECONDS / 86_400

    def peak_of_windows(self) -> Floats:
        """Replicas that each window needs (windows,)."""
        return np.asarray(self.peak.reshape(-1, WINDOW_TICKS).max(axis=1), dtype=np.float64)


def ticks_of(trace: DemandTrace, capacity_of: Capacity) -> Ticks:
    """Raises :class:`TraceError` where a replica sustains nothing at some row's lengths, or no window is left."""
    start, end = trace.seconds[0], trace.seconds[-1]
    count = int((end - start) // (TICK_SECONDS * WINDOW_TICKS)) * WINDOW_TICKS
    edges = start + np.arange(count + 1) * TICK_SECONDS
    rate = np.interp(edges, trace.seconds, trace.requests_per_second)
    capacity, saturation = _capacities(trace, capacity_of, edges)
    demand = rate / capacity
    total, observed = _cumulative(trace, edges), np.empty(count)
    # The mean of the last minute; before the trace began, demand was what it is in the first row.
    earlier = _cumulative(trace, np.maximum(edges[:-1] - 60.0, start))
    observed = (total[:-1] - earlier + np.maximum(60.0 - (edges[:-1] - start), 0.0) * rate[0]) / 60.0
    cut = tuple(holes(trace))
    kept = _kept(edges, cut)
    if not kept.any():
        raise TraceError(
            f"line {trace.lines[-1]}: nothing is left of the trace without its holes: give one with more rows"
        )
    mean_rate = np.diff(total) / TICK_SECONDS
    peak = np.maximum(demand[:-1], demand[1:])
    tick = ((trace.seconds - start) // TICK_SECONDS).astype(np.int64)
    within = tick < count
    np.maximum.at(peak, tick[within], trace.requests_per_second[within] / capacity[:-1][tick[within]])
    return Ticks(
        seconds=edges[:-1][kept],
        observed=observed[kept],
        requests_per_second=mean_rate[kept],
        peak=peak[kept],
        mean=(mean_rate / capacity[:-1])[kept],
        capacity=capacity[:-1][kept],
        saturation=saturation[:-1][kept],
        cut=cut,
        windows_cut=int((~kept).sum()) // WINDOW_TICKS,
    )


def _cumulative(trace: DemandTrace, at: Floats) -> Floats:
    """Requests from the start to each time: the exact integral of the line through the rows."""
    steps = np.diff(trace.seconds)
    slopes = np.diff(trace.requests_per_second) / steps
    areas = steps * (trace.requests_per_second[:-1] + trace.requests_per_second[1:]) / 2
    before = np.concatenate(([0.0], np.cumsum(areas)))
    row = np.clip(np.searchsorted(trace.seconds, at, side="right") - 1, 0, len(steps) - 1)
    into = at - trace.seconds[row]
    return np.asarray(before[row] + into * (trace.requests_per_second[row] + slopes[row] * into / 2), dtype=np.float64)


def _kept(edges: Floats, cut: tuple[tuple[float, float], ...]) -> NDArray[np.bool_]:
    """Ticks of windows that no hole touches, nor the minute after it, whose rate of the last minute is not known."""
    kept = np.ones(len(edges) - 1, dtype=np.bool_)
    for start, end in cut:
        kept &= (edges[1:] <= start) | (edges[:-1] >= end + 60.0)
    whole = kept.reshape(-1, WINDOW_TICKS).all(axis=1)
    return np.repeat(whole, WINDOW_TICKS)


def _capacities(trace: DemandTrace, capacity_of: Capacity, edges: Floats) -> tuple[Floats, Floats]:
    """At every edge: (edges,) each. Lengths hold from a row to the next."""
    row = np.clip(np.searchsorted(trace.seconds, edges, side="right") - 1, 0, len(trace.seconds) - 1)
    if trace.prompt_tokens is None or trace.output_tokens is None:
        capacity, saturation = (np.broadcast_to(each, (len(edges),)) for each in capacity_of(None, None))
        return np.asarray(capacity), np.asarray(saturation)
    pairs = np.stack([_rounded(trace.prompt_tokens), _rounded(trace.output_tokens)], axis=1)
    distinct, place = np.unique(pairs, axis=0, return_inverse=True)
    capacity, saturation = capacity_of(distinct[:, 0], distinct[:, 1])
    hopeless = np.flatnonzero(~(capacity[place] > 0))
    if len(hopeless):
        first = hopeless[0]
        prompt, output = trace.prompt_tokens[first], trace.output_tokens[first]
        raise TraceError(
            f"line {trace.lines[first]}: a replica of this plan sustains no request of {prompt:g} prompt and "
            f"{output:g} output tokens inside the objectives: plan for such lengths, or leave the token columns out"
        )
    return capacity[place][row], saturation[place][row]


def _rounded(tokens: Floats) -> Floats:
    steps = np.round(np.log2(np.maximum(tokens, 1.0)) * TOKEN_STEPS_PER_OCTAVE) / TOKEN_STEPS_PER_OCTAVE
    return np.asarray(np.maximum(np.round(2**steps), 1.0), dtype=np.float64)
