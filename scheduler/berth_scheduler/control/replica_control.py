"""The replica controller: ``signals × state × model → desired replicas by berth, state, reason``. Pure.

Demand is measured in replicas: a = arrival rate / (capacity · κ), where *capacity* is the rate that one replica
sustains inside every objective and κ what production taught about it. Utilisation is a / replicas: at 1 the objective
just holds. The controller wants

    n = max(⌈edge⌉, ⌈a⌉, round(mix / target))

``mix`` is what demand will be one cold start ahead and ``edge`` its upper edge
(:mod:`berth_scheduler.control.lead_forecast`); where a is far beyond the edge, it stands for both. It scales up
at once and down only to the most that was wanted within the stabilisation window, by a bounded share a minute. Whatever
cannot be trusted (absent, stale, NaN, contradictory) holds the count and says so.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from berth_scheduler.control.berth_spread import BerthSupply, price_order, spares, spread
from berth_scheduler.control.lead_forecast import STEP_SECONDS, Forecast, observe
from berth_scheduler.snapshot import SpotPolicy

RATE_WINDOW_SECONDS = 60.0
"""The rate of the forecast is a mean over a minute."""
MOST_FACTOR, LEAST_STEP = 2.0, 4
"""Up by at most this factor or this many replicas an evaluation, whichever is more: one absurd sample cannot take
everything, and a step of three needs two evaluations."""
CORRECTION_SECONDS = 600.0
LEAST_CORRECTION, MOST_CORRECTION = 0.5, 1.25
"""κ: production may show half the predicted capacity, or a quarter more."""
BROKEN_CORRECTION = 0.97
"""κ shrinks by this factor a half minute while a measured percentile breaks its objective at a rate at which the
model says that it holds."""
LEAST_BLAMED = 0.5
"""Of the capacity: below such a load it is not for want of replicas that an objective breaks."""
DRAIN_SECONDS = 60.0
"""A backlog is to be worked off within this time."""
NOISE_BELOW, MOST_BELOW = 1.5, 0.3
"""Below the target the tolerance is so many mean errors of the forecast wide, up to a share, where that is more than
what is stated: a lull that comes by chance gives no replica up."""
SURPRISE = 2.0
"""Margins of the edge: demand that lies above the forecast by more is no noise. Beyond one margin lies, by the edge's
own making, one sample in a hundred."""
FALLING_SHARE = 0.8
"""Of the tolerance, by which a lower count may exceed the target."""
MOST_DEMAND = 1e6
"""Replicas. More is no demand but a broken number, though it may be a finite one."""
IDLE_UTILIZATION = 0.1
"""Busier than this without any arrival, or idle while far more arrives than fits, is a contradiction."""
ABSURD_LOAD = 5.0


class ControlReason(StrEnum):
    """Why the count is what it is."""

    STEADY = "Steady"
    """What runs is what is wanted."""
    DEMAND_GROWS = "DemandGrows"
    """Scaled up: demand, or its upper edge one cold start ahead, needs more."""
    DEMAND_FELL = "DemandFell"
    """Scaled down: nothing within the stabilisation window wanted more."""
    STABILIZING = "Stabilizing"
    """Fewer would do now, but not for long enough yet."""
    AT_MAXIMUM = "AtMaximum"
    """More is wanted than `replicas.maximum` or the berths have room for."""
    SPOT_LOST = "SpotLost"
    """The count stays; berths changed, because of price or because spot capacity went or came."""
    SIGNALS_MISSING = "SignalsMissing"
    """Held: no arrival rate was measured, or a number is NaN, infinite or negative."""
    SIGNALS_STALE = "SignalsStale"
    """Held: the newest sample is too old."""
    SIGNALS_CONTRADICT = "SignalsContradict"
    """Held: the signals cannot all be true."""
    CAPACITY_UNKNOWN = "CapacityUnknown"
    """Held: the model states no rate that a replica sustains."""


HELD = frozenset(
    {
        ControlReason.SIGNALS_MISSING,
        ControlReason.SIGNALS_STALE,
        ControlReason.SIGNALS_CONTRADICT,
        ControlReason.CAPACITY_UNKNOWN,
    }
)


@dataclass(frozen=True, slots=True)
class ReplicaSignals:
    """What was measured of one workload at one time. None: not measured."""

    at_seconds: float
    requests_per_second: float | None
    ready_replicas: int
    age_seconds: float = 0.0
    """Of the newest sample."""
    utilization: float | None = None
    """Busy share of the instances of the ready replicas, mean; 1 is saturated."""
    pending_requests: float | None = None
    latency_ratio: float | None = None
    """The worst measured percentile over its objective; above 1 an objective is broken."""


@dataclass(frozen=True, slots=True)
class ReplicaModel:
    """What the performance model says of one replica at the present request lengths."""

    requests_per_second: float
    """Sustained inside every objective, on the pessimistic edge."""
    saturation_requests_per_second: float
    seconds_to_ready: float
    """From the request of a pod to its first answer: measured, once it was."""


@dataclass(frozen=True, slots=True)
class ControlPolicy:
    """``miss_share``: how often demand may exceed the forecast's upper edge. ``tolerance``: of the target."""

    minimum: int = 1
    maximum: int = 20
    target_utilization: float = 0.75
    scale_down_stabilization_seconds: float = 300.0
    tolerance: float = 0.05
    miss_share: float = 0.01
    scale_down_share_per_minute: float = 0.2
    maximum_age_seconds: float = 60.0
    spot: SpotPolicy = field(default_factory=SpotPolicy)


@dataclass(frozen=True, slots=True)
class ControlState:
    """What the controller remembers; ``total`` None before the first evaluation. Small enough for an annotation."""

    total: int | None = None
    forecast: Forecast = field(default_factory=Forecast)
    wanted: tuple[tuple[float, int], ...] = ()
    """Falling recommendations of the window, (time, count): the first is the most that was wanted in it."""
    trusted_since: float | None = None
    """Start of the present run of usable signals; None while held."""
    at_seconds: float | None = None
    correction: float = 1.0
    order: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Control:
    """``replicas`` by berth, in the order of the berths given."""

    replicas: tuple[int, ...]
    state: ControlState
    reason: ControlReason
    message: str = ""


def control(
    signals: ReplicaSignals,
    state: ControlState,
    model: ReplicaModel,
    berths: Sequence[BerthSupply],
    current: Sequence[int],
    *,
    policy: ControlPolicy,
) -> Control:
    """One evaluation. ``current``: replicas asked for now, by berth; whoever set them.

    Reasons: see :class:`ControlReason`. Never more than ``policy.maximum`` nor than a berth's maximum, never fewer
    than ``policy.minimum`` where there is room for it.
    """
    problem = _distrust(signals, model, sum(current), policy)
    if problem is not None:
        reason, message = problem
        held = replace(state, trusted_since=None, wanted=(), at_seconds=signals.at_seconds)
        return Control(tuple(current), held, reason, message)
    state = _learned(signals, state, model)
    rate = signals.requests_per_second or 0.0
    capacity = model.requests_per_second * state.correction
    demand = min(rate / capacity, MOST_DEMAND)
    lead = model.seconds_to_ready + RATE_WINDOW_SECONDS
    forecast = observe(state.forecast, signals.at_seconds, demand, lead, policy.miss_share)
    backlog = (signals.pending_requests or 0.0) / DRAIN_SECONDS / capacity if _overloaded(signals) else 0.0
    total = sum(current) if state.total is None else state.total
    order = price_order(berths, state.order)
    asked = _wanted(min(demand + backlog, MOST_DEMAND), forecast, total, policy)
    wanted = min(max(asked, policy.minimum), policy.maximum)
    window = _window(state.wanted, signals.at_seconds, wanted, policy.scale_down_stabilization_seconds)
    since = signals.at_seconds if state.trusted_since is None else state.trusted_since
    seasoned = signals.at_seconds - since >= policy.scale_down_stabilization_seconds
    elapsed = 0.0 if state.at_seconds is None else max(signals.at_seconds - state.at_seconds, 0.0)
    new, reason = _moved(total, wanted, window[0][1] if seasoned else max(window[0][1], total), elapsed, policy)
    bounded = min(max(new, policy.minimum), policy.maximum)
    counts = _berthed(bounded, berths, order, model, policy)
    state = replace(
        state,
        total=bounded,
        forecast=forecast,
        wanted=window,
        trusted_since=since,
        at_seconds=signals.at_seconds,
        order=order,
    )
    if asked > policy.maximum or sum(counts) < bounded:
        reason = ControlReason.AT_MAXIMUM
    elif bounded == total and counts != tuple(current):
        reason = ControlReason.SPOT_LOST
    return Control(counts, state, reason)


# --- trust -------------------------------------------------------------------------------------------------------


def _distrust(
    signals: ReplicaSignals, model: ReplicaModel, asked: int, policy: ControlPolicy
) -> tuple[ControlReason, str] | None:
    """Why the signals cannot be acted on; None where they can."""
    rate = signals.requests_per_second
    if not (_usable(model.requests_per_second) and model.requests_per_second > 0):
        return ControlReason.CAPACITY_UNKNOWN, "the model states no rate that a replica sustains inside the objectives"
    if rate is None:
        return ControlReason.SIGNALS_MISSING, "no arrival rate was measured: the count is held"
    for name, value in (
        ("arrival rate", rate),
        ("utilisation", signals.utilization),
        ("pending requests", signals.pending_requests),
        ("latency", signals.latency_ratio),
        ("age of the samples", signals.age_seconds),
    ):
        if value is not None and not _usable(value):
            return ControlReason.SIGNALS_MISSING, f"{name} is {value:g}: the count is held"
    if signals.age_seconds > policy.maximum_age_seconds:
        return ControlReason.SIGNALS_STALE, f"the newest sample is {signals.age_seconds:.0f} s old: the count is held"
    return _contradiction(signals, rate, model, asked)


def _contradiction(
    signals: ReplicaSignals, rate: float, model: ReplicaModel, asked: int
) -> tuple[ControlReason, str] | None:
    busy = signals.utilization
    if rate == 0 and (busy or 0.0) > IDLE_UTILIZATION:
        message = f"nothing arrives, but instances are {busy:.0%} busy: the count is held"
        return ControlReason.SIGNALS_CONTRADICT, message
    if rate == 0 and (signals.pending_requests or 0.0) > 0:
        message = f"nothing completes, but {signals.pending_requests:g} requests wait: the count is held"
        return ControlReason.SIGNALS_CONTRADICT, message
    most = model.saturation_requests_per_second * max(signals.ready_replicas, asked, 1)
    if busy is not None and busy < IDLE_UTILIZATION and signals.ready_replicas and rate > ABSURD_LOAD * most:
        message = f"{rate:g}/s arrive, but instances are {busy:.0%} busy: the count is held"
        return ControlReason.SIGNALS_CONTRADICT, message
    return None


def _usable(value: float) -> bool:
    return math.isfinite(value) and value >= 0


# --- feedback ----------------------------------------------------------------------------------------------------


def _learned(signals: ReplicaSignals, state: ControlState, model: ReplicaModel) -> ControlState:
    """κ after these signals: slowly to what the busy share shows, faster down while an objective is broken."""
    elapsed = 0.0 if state.at_seconds is None else min(max(signals.at_seconds - state.at_seconds, 0.0), STEP_SECONDS)
    busy, rate = signals.utilization, signals.requests_per_second or 0.0
    if not elapsed or busy is None or not signals.ready_replicas:
        return state
    correction = state.correction
    load = rate / signals.ready_replicas / model.requests_per_second / correction
    if signals.latency_ratio is not None and signals.latency_ratio > 1 and LEAST_BLAMED < load <= 1:
        correction *= BROKEN_CORRECTION ** (elapsed / STEP_SECONDS)
    elif IDLE_UTILIZATION < busy < 1:
        expected = rate / signals.ready_replicas / model.saturation_requests_per_second
        shown = min(max(expected / busy, LEAST_CORRECTION), MOST_CORRECTION)
        correction += (shown - correction) * elapsed / CORRECTION_SECONDS
    return replace(state, correction=min(max(correction, LEAST_CORRECTION), MOST_CORRECTION))


def _overloaded(signals: ReplicaSignals) -> bool:
    """Requests that wait are a backlog only where more wait than batches being filled explain."""
    return signals.latency_ratio is not None and signals.latency_ratio > 1


# --- the count ---------------------------------------------------------------------------------------------------


def _wanted(demand: float, forecast: Forecast, total: int, policy: ControlPolicy) -> int:
    """Replicas that demand and its edge need; what runs where the target is met within the tolerance.

    The target is kept for the forecast's best guess, which follows trends and not the noise; for demand itself where
    that is far beyond the edge, for then something happened. After a fall the upper part of the tolerance is aimed at:
    what falls mostly goes on falling, and the stabilisation window holds what is decided for longer than it is true. A
    fall ends where nothing would rise again: few replicas are farther apart than the tolerance is wide.
    """
    needed = max(math.ceil(forecast.edge - 1e-9), math.ceil(demand - 1e-9))
    foreseen = forecast.mix + SURPRISE * (forecast.edge - forecast.mix)
    calm = forecast.mix if demand <= foreseen * (1 + 1e-9) else max(demand, forecast.mix)
    below = max(policy.tolerance, min(NOISE_BELOW * forecast.spread, MOST_BELOW))
    over = calm / total / policy.target_utilization if total else math.inf
    # What is only foreseen adds nothing yet: what has to be prepared for it, the edge says.
    soon = over > 1 and demand <= (1 + policy.tolerance) * policy.target_utilization * total
    if soon or 1 - below <= over <= 1 + policy.tolerance:
        return max(needed, total)
    rising = max(needed, round(calm / policy.target_utilization))
    if over > 1:
        return rising
    fallen = max(needed, round(calm / policy.target_utilization / (1 + FALLING_SHARE * policy.tolerance)))
    return rising if calm > (1 + policy.tolerance) * policy.target_utilization * fallen else fallen


def _window(
    wanted: tuple[tuple[float, int], ...], at_seconds: float, count: int, seconds: float
) -> tuple[tuple[float, int], ...]:
    """With one more recommendation: those that a later, larger one covers are dropped."""
    kept = [one for one in wanted if one[1] > count and one[0] > at_seconds - seconds]
    return (*kept, (at_seconds, count))


def _moved(
    total: int, wanted: int, settled: int, elapsed_seconds: float, policy: ControlPolicy
) -> tuple[int, ControlReason]:
    """The next count: up at once within the factor, down to ``settled`` by a bounded share of what runs."""
    if wanted > total:
        most = max(math.ceil(total * MOST_FACTOR), total + LEAST_STEP)
        return min(wanted, most), ControlReason.DEMAND_GROWS
    if settled < total:
        step = max(1, math.floor(total * policy.scale_down_share_per_minute * elapsed_seconds / 60))
        return max(settled, total - step), ControlReason.DEMAND_FELL
    if wanted < total:
        return total, ControlReason.STABILIZING
    return total, ControlReason.STEADY


def _berthed(
    total: int, berths: Sequence[BerthSupply], order: tuple[str, ...], model: ReplicaModel, policy: ControlPolicy
) -> tuple[int, ...]:
    """``total`` by berth, spares for spot on top as far as the maximum goes."""
    counts = spread(total, berths, policy.spot, order)
    if any(berth.spot for berth in berths):
        extra = spares(counts, berths, model.seconds_to_ready)
        if extra and total < policy.maximum:
            return spread(min(total + extra, policy.maximum), berths, policy.spot, order)
    return counts
