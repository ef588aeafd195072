"""The replica controller and its baselines under many settings at once: the same laws on arrays (settings,).

For tuning alone: a trace of two weeks takes the controller seconds under one setting and a minute under a thousand this
way. ``traces.py`` plays some of the settings with the controller itself and stops where the two differ in anything.

One berth without interruptions; what a replica sustains is known, so κ stays 1.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from berth_scheduler.control import lead_forecast, replica_control
from berth_scheduler.control.replica_control import ControlPolicy
from berth_scheduler.simulation.demand_ticks import TICK_SECONDS, WINDOW_TICKS, Ticks
from berth_scheduler.simulation.scaling_policy import (
    HPA_PODS,
    HPA_SYNC_SECONDS,
    HPA_TOLERANCE,
    LONGEST_QUEUE,
    Autoscaler,
)

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
MISS = 0.01
"""Any will do where only the mix and its errors are asked for."""


@dataclass(frozen=True, slots=True)
class Outcomes:
    """By setting: windows met, replica-hours paid, changes of the count."""

    met: Integers
    replica_hours: Floats
    scalings: Integers


class Fleets:
    """One fleet for each setting. ``due[k]``: replicas that are ready k + 1 ticks from now."""

    def __init__(self, start: Integers, cold_ticks: int) -> None:
        self.asked, self.ready = start.copy(), start.copy()
        self.due = np.zeros((cold_ticks, len(start)), dtype=np.int64)

    def wait(self, ticks: int) -> None:
        for _ in range(min(ticks, len(self.due))):
            self.ready += self.due[0]
            self.due[:-1], self.due[-1] = self.due[1:].copy(), 0

    def scale(self, counts: Integers) -> None:
        change = counts - self.asked
        if not change.any():
            return
        fewer = np.maximum(-change, 0)
        for tick in reversed(range(len(self.due))):  # what was asked for last is given up first
            taken = np.minimum(self.due[tick], fewer)
            self.due[tick] -= taken
            fewer -= taken
        self.ready -= fewer
        self.due[-1] += np.maximum(change, 0)
        self.asked = counts


class Windows:
    """The most that was recommended within each setting's stabilisation window."""

    def __init__(self, lengths_seconds: Sequence[float], seconds: Floats) -> None:
        lengths = np.array(lengths_seconds)
        self.seconds, self.said = seconds, np.zeros((len(seconds), len(lengths)), dtype=np.int64)
        self.groups = [(length, np.flatnonzero(lengths == length)) for length in np.unique(lengths) if length > 0]

    def most(self, tick: int, counts: Integers) -> Integers:
        self.said[tick] = counts
        found = counts.copy()
        for length, places in self.groups:
            first = int(np.searchsorted(self.seconds, self.seconds[tick] - length, side="right"))
            found[places] = self.said[first : tick + 1, places].max(axis=0)
        return found


def _play(ticks: Ticks, start: Integers, cold_seconds: float, decide: Callable[[int, Fleets], Integers]) -> Outcomes:
    fleets = Fleets(start, int(np.ceil(cold_seconds / TICK_SECONDS)))
    clock = np.round((ticks.seconds - ticks.seconds[0]) / TICK_SECONDS).astype(np.int64)
    met, paid, scalings = (np.zeros(len(start), dtype=np.int64) for _ in range(3))
    kept = np.ones(len(start), dtype=np.bool_)
    for tick, passed in enumerate(np.diff(clock, prepend=clock[0])):
        fleets.wait(int(passed))
        before = fleets.asked
        fleets.scale(decide(tick, fleets))
        scalings += fleets.asked != before
        paid += fleets.asked
        kept &= fleets.ready + 1e-9 >= ticks.peak[tick]
        if tick % WINDOW_TICKS == WINDOW_TICKS - 1:
            met += kept
            kept[:] = True
    return Outcomes(met, paid.astype(np.float64) * (TICK_SECONDS / 3600), scalings)


# --- ours --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Foreseen:
    """By tick: what does not depend on the settings. ``scored``: an edge of one lead time ago met its outcome."""

    demand: Floats
    mix: Floats
    spread: Floats
    scored: NDArray[np.bool_]
    lead_ticks: int


def foreseen(ticks: Ticks, cold_seconds: float) -> Foreseen:
    lead = cold_seconds + replica_control.RATE_WINDOW_SECONDS
    ahead = max(1, round(lead / lead_forecast.STEP_SECONDS))
    demand = ticks.observed / ticks.capacity
    state, mix, spread, scored = lead_forecast.Forecast(), [], [], []
    for seconds, value in zip(ticks.seconds.tolist(), demand.tolist(), strict=True):
        gap = seconds - state.at_seconds
        scored.append(0 <= gap <= lead_forecast.LONGEST_GAP_SECONDS and len(state.made) >= ahead)
        state = lead_forecast.observe(state, seconds, value, lead, MISS)
        mix.append(state.mix)
        spread.append(state.spread)
    return Foreseen(demand, np.array(mix), np.array(spread), np.array(scored), ahead)


def _edges(known: Foreseen, misses: Floats) -> Floats:
    """(ticks, misses): the edge for each allowed share of misses."""
    z = np.full(len(misses), lead_forecast.FIRST_Z)
    edges = np.empty((len(known.mix), len(misses)))
    for tick in range(len(edges)):
        if known.scored[tick]:
            missed = known.demand[tick] > edges[tick - known.lead_ticks] * (1 + 1e-9)
            z = np.clip(z + lead_forecast.CONFORMAL_GAIN * (missed - misses), 0.0, lead_forecast.MOST_Z)
        edges[tick] = known.mix[tick] * (1 + z * known.spread[tick])
    return edges


def play_controllers(ticks: Ticks, policies: Sequence[ControlPolicy], cold_seconds: float) -> Outcomes:
    """Each begins with its maximum."""
    known = foreseen(ticks, cold_seconds)
    misses, place = np.unique([policy.miss_share for policy in policies], return_inverse=True)
    edges = _edges(known, misses)
    least, most = (np.array([getattr(each, name) for each in policies]) for name in ("minimum", "maximum"))
    target = np.array([policy.target_utilization for policy in policies])
    window = np.array([policy.scale_down_stabilization_seconds for policy in policies])
    windows = Windows(window.tolist(), ticks.seconds)
    law = policies[0]  # what no setting of the benchmark changes
    fallen_target = target * (1 + replica_control.FALLING_SHARE * law.tolerance)

    def decide(tick: int, fleets: Fleets) -> Integers:
        total, demand, mix, spread = fleets.asked, known.demand[tick], known.mix[tick], known.spread[tick]
        edge = edges[tick][place]
        below = max(law.tolerance, min(replica_control.NOISE_BELOW * spread, replica_control.MOST_BELOW))
        needed = np.maximum(np.ceil(edge - 1e-9), np.ceil(demand - 1e-9))
        seen_coming = demand <= (mix + replica_control.SURPRISE * (edge - mix)) * (1 + 1e-9)
        calm = np.where(seen_coming, mix, max(demand, mix))
        over = calm / total / target
        rising = np.maximum(needed, np.round(calm / target))
        fallen = np.maximum(needed, np.round(calm / fallen_target))
        falling = np.where(calm > (1 + law.tolerance) * target * fallen, rising, fallen)
        wanted = np.where(over > 1, rising, falling)
        soon = (over > 1) & (demand <= (1 + law.tolerance) * target * total)
        held = soon | ((over >= 1 - below) & (over <= 1 + law.tolerance))
        wanted = np.where(held, np.maximum(needed, total), wanted)
        wanted = np.clip(wanted, least, most).astype(np.int64)
        settled = windows.most(tick, wanted)
        young = ticks.seconds[tick] - ticks.seconds[0] < window
        settled = np.where(young, np.maximum(settled, total), settled)
        elapsed = ticks.seconds[tick] - ticks.seconds[tick - 1] if tick else 0.0
        step = np.maximum(1, np.floor(total * law.scale_down_share_per_minute * elapsed / 60)).astype(np.int64)
        leap = np.maximum(np.ceil(total * replica_control.MOST_FACTOR), total + replica_control.LEAST_STEP)
        up = np.minimum(wanted, leap.astype(np.int64))
        down = np.where(settled < total, np.maximum(settled, total - step), total)
        return np.clip(np.where(wanted > total, up, down), least, most)

    return _play(ticks, most, cold_seconds, decide)


# --- baselines ---------------------------------------------------------------------------------------------------


def play_autoscalers(ticks: Ticks, scalers: Sequence[Autoscaler], start: int, cold_seconds: float) -> Outcomes:
    value = np.array([each.value for each in scalers])
    target = np.array([each.target for each in scalers])
    window = np.array([each.stabilization_seconds for each in scalers])
    least, most = scalers[0].limits.minimum, scalers[0].limits.maximum
    windows = Windows(window.tolist(), ticks.seconds)
    syncs = TICK_SECONDS / HPA_SYNC_SECONDS
    by_rate, by_queue = value == "rate", value == "queue"

    def decide(tick: int, fleets: Fleets) -> Integers:
        total, ready, rate = fleets.asked, fleets.ready, ticks.observed[tick]
        busy = np.where(ready > 0, np.minimum(rate / (np.maximum(ready, 1) * ticks.saturation[tick]), 1.0), 1.0)
        idle = np.where(busy < 1, 1 - busy, 1.0)
        queue = np.where(busy < 1, np.minimum(busy / idle, LONGEST_QUEUE), LONGEST_QUEUE)
        by_value = np.where(by_queue, queue, busy) / target
        ratio = np.where(by_rate, rate / (target * ticks.capacity[tick]) / np.maximum(total, 1), by_value)
        desired = np.ceil(np.where(by_rate, total, ready) * ratio - 1e-9)
        desired = np.where((desired > total) | (ratio < 1), desired, total)
        desired = np.where(np.abs(ratio - 1) <= HPA_TOLERANCE, total, desired)
        count = np.clip(desired, least, most).astype(np.int64)
        settled = windows.most(tick, count)
        young = ticks.seconds[tick] - ticks.seconds[0] < window
        settled = np.where(young, np.maximum(settled, start), settled)
        leap = np.maximum(total * 2**syncs, total + HPA_PODS * syncs).astype(np.int64)
        return np.where(count > total, np.minimum(count, leap), np.minimum(total, settled))

    return _play(ticks, np.full(len(scalers), start, dtype=np.int64), cold_seconds, decide)
