"""Play a trace of demand against policies: windows met, GPU-hours, cost, scalings, utilisation. Seeded and pure.

A window (one minute) is met where, throughout it, demand is within what the ready replicas sustain inside every
objective. All policies begin with the plan's replicas, ready, and pay for a replica from the moment they ask for it.
"""

from dataclasses import dataclass, field, replace
from decimal import Decimal
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from berth_cost.record import Record
from berth_cost.rounding import significant_number
from berth_scheduler.control.berth_spread import BerthSupply, spread
from berth_scheduler.control.replica_control import ControlPolicy
from berth_scheduler.cost import money
from berth_scheduler.simulation.demand_ticks import TICK_SECONDS, WINDOW_TICKS, Ticks
from berth_scheduler.simulation.hindsight import hindsight
from berth_scheduler.simulation.scaling_policy import Autoscaler, Controlled, Observation, ScalingPolicy, Static
from berth_scheduler.simulation.simulated_fleet import SimulatedFleet, SpotTrace

OURS, STATIC, HINDSIGHT = "berthmaster", "static-peak", "hindsight"
DEFAULT_TARGETS = {
    "hpa-gpu-utilization": ("busy", 0.7),
    "hpa-queue-time": ("queue", 1.0),
    "keda-threshold": ("rate", 0.75),
}
"""Value and target of the baselines in ``berth simulate``: 70 % busy, as long a queue as service, 75 % of capacity."""
HPA_STABILIZATION_SECONDS = 300.0
"""Kubernetes' default."""


class PolicyResult(Record):
    """How one policy did."""

    name: str
    windows_met_percent: float
    usd: Decimal
    gpu_hours: float
    scalings_per_day: float
    utilization_percent: float
    """Mean demand over mean ready replicas; at 100 the objectives just hold."""
    interruptions: int = 0
    """Spot replicas that were lost."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What all policies have in common. ``start``: replicas by berth when the trace begins."""

    ticks: Ticks
    berths: tuple[BerthSupply, ...]
    gpus_per_replica: float
    start: tuple[int, ...]
    cold_start_seconds: float = 180.0
    seed: int = 0
    spot: SpotTrace | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """One policy played: by tick (ticks,) the replicas asked for and ready; and what it came to."""

    asked: NDArray[np.int64]
    ready: NDArray[np.int64]
    fleet: SimulatedFleet = field(repr=False)

    def windows_met(self, ticks: Ticks) -> NDArray[np.bool_]:
        met = self.ready + 1e-9 >= ticks.peak
        return np.asarray(met.reshape(-1, WINDOW_TICKS).all(axis=1), dtype=np.bool_)


def play(scene: Scene, policy: ScalingPolicy) -> Run:
    """Play the trace from its first tick to its last."""
    ticks = scene.ticks
    cold = int(np.ceil(scene.cold_start_seconds / TICK_SECONDS))
    fleet = SimulatedFleet(scene.berths, scene.gpus_per_replica, cold, list(scene.start), scene.seed, scene.spot)
    asked, ready = [], []
    seconds, rates = ticks.seconds.tolist(), ticks.observed.tolist()
    capacity, saturation = ticks.capacity.tolist(), ticks.saturation.tolist()
    clock = np.round((ticks.seconds - ticks.seconds[0]) / TICK_SECONDS).astype(np.int64).tolist()
    for place, now in enumerate(clock):
        fleet.begin(now, seconds[place])
        serving = sum(fleet.ready)
        seen = Observation(
            seconds[place], rates[place], capacity[place], saturation[place], serving, fleet.asked, fleet.supply
        )
        fleet.scale(now, policy.decide(seen))
        fleet.pay()
        asked.append(sum(fleet.asked))
        ready.append(sum(fleet.ready))
    return Run(np.array(asked, dtype=np.int64), np.array(ready, dtype=np.int64), fleet)


def peak_replicas(ticks: Ticks, limits: ControlPolicy) -> int:
    """What static sizing for the highest demand of the trace comes to."""
    return int(min(max(np.ceil(ticks.peak.max() - 1e-9), limits.minimum), limits.maximum))


def compare(scene: Scene, policy: ControlPolicy) -> tuple[PolicyResult, ...]:
    """Ours, the four baselines at their defaults, and hindsight, in the order of the table."""
    ours = play(scene, Controlled(policy, scene.cold_start_seconds))
    results = [result_of(OURS, scene, ours), result_of(STATIC, scene, play_static_peak(scene, policy))]
    for name, (value, target) in DEFAULT_TARGETS.items():
        run = play(scene, Autoscaler(value, target, HPA_STABILIZATION_SECONDS, policy))
        results.append(result_of(name, scene, run))
    return (*results, hindsight_result(scene, policy))


def play_static_peak(scene: Scene, policy: ControlPolicy) -> Run:
    """As many as the peak needs, from the beginning."""
    peak = peak_replicas(scene.ticks, policy)
    return play(replace(scene, start=spread(peak, scene.berths, policy.spot)), Static(peak, policy))


def result_of(name: str, scene: Scene, run: Run) -> PolicyResult:
    ticks, fleet = scene.ticks, run.fleet
    return _result(
        name,
        ticks,
        met=int(run.windows_met(ticks).sum()),
        usd=fleet.usd,
        gpu_hours=fleet.gpu_hours,
        scalings=fleet.scalings,
        ready=float(run.ready.sum()),
        interruptions=fleet.interruptions,
    )


def hindsight_result(scene: Scene, policy: ControlPolicy) -> PolicyResult:
    schedule = hindsight(scene.ticks, scene.berths, policy, scene.cold_start_seconds)
    return _result(
        HINDSIGHT,
        scene.ticks,
        met=schedule.windows_met,
        usd=schedule.usd,
        gpu_hours=schedule.replica_hours * scene.gpus_per_replica,
        scalings=schedule.scalings,
        ready=float(schedule.ready.sum()) * WINDOW_TICKS,
    )


def _result(
    name: str,
    ticks: Ticks,
    *,
    met: int,
    usd: float,
    gpu_hours: float,
    scalings: int,
    ready: float,
    interruptions: int = 0,
) -> PolicyResult:
    return PolicyResult(
        name=name,
        windows_met_percent=significant_number(100 * met / ticks.windows),
        usd=money(Fraction(usd)),
        gpu_hours=significant_number(gpu_hours),
        scalings_per_day=significant_number(scalings / ticks.days),
        utilization_percent=significant_number(100 * float(ticks.mean.sum()) / ready) if ready else 0.0,
        interruptions=interruptions,
    )


def unreachable_windows(scene: Scene, policy: ControlPolicy) -> int:
    most = min(policy.maximum, sum(berth.maximum for berth in scene.berths))
    return int(np.count_nonzero(scene.ticks.peak_of_windows() > most + 1e-9))
