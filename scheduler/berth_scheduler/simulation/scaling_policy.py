"""Policies that the simulator compares: ours, and what people run today. Each says a count of replicas by berth.

The baselines are given every advantage that costs nothing: true signals without noise, no older than ours, the same
capacity of a replica, and the same spread over berths.

- ``static-peak``: as many as the highest demand of the trace needs, known in advance.
- ``hpa-gpu-utilization``, ``hpa-queue-time``: Kubernetes' HorizontalPodAutoscaler on the mean over ready replicas of
  the busy share and of the queue time (Kubernetes documentation, "Horizontal Pod Autoscaling", algorithm details:
  desired = ⌈ready · value / target⌉, tolerance 0.1, down to the highest recommendation of the stabilisation window,
  up by at most 100 % or 4 pods in 15 s). What runs when it begins counts as its first recommendation
  (``recordInitialRecommendation`` in pkg/controller/podautoscaler/horizontal.go).
- ``keda-threshold``: KEDA's Prometheus scaler on the arrival rate, a threshold per replica (an external metric of
  type AverageValue in the same HPA: desired = ⌈rate / threshold⌉).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from berth_scheduler.control.berth_spread import BerthSupply, spread
from berth_scheduler.control.replica_control import (
    ControlPolicy,
    ControlState,
    ReplicaModel,
    ReplicaSignals,
    control,
)
from berth_scheduler.simulation.demand_ticks import TICK_SECONDS

HPA_TOLERANCE = 0.1
HPA_SYNC_SECONDS = 15.0
HPA_PODS = 4
LONGEST_QUEUE = 1000.0
"""Queue times of a saturated replica are cut here, in service times."""


@dataclass(frozen=True, slots=True)
class Observation:
    """What a policy may look at in one tick. Rates in requests/s; ``ready`` and ``asked`` by berth."""

    seconds: float
    rate: float
    capacity: float
    saturation: float
    ready: int
    asked: Sequence[int]
    supply: Sequence[BerthSupply]

    @property
    def busy(self) -> float:
        """Share of time that the ready replicas work; 1 is saturated."""
        return min(self.rate / (self.ready * self.saturation), 1.0) if self.ready else 1.0

    @property
    def queue(self) -> float:
        """Mean time in queue over service time: b/(1 − b) at a busy share of b (M/M/1)."""
        busy = self.busy
        return min(busy / (1 - busy), LONGEST_QUEUE) if busy < 1 else LONGEST_QUEUE


class ScalingPolicy(Protocol):
    def decide(self, seen: Observation) -> Sequence[int]: ...


@dataclass(slots=True)
class Controlled:
    """Our own controller."""

    policy: ControlPolicy
    seconds_to_ready: float
    state: ControlState = field(default_factory=ControlState)

    def decide(self, seen: Observation) -> Sequence[int]:
        signals = ReplicaSignals(
            at_seconds=seen.seconds,
            requests_per_second=seen.rate,
            ready_replicas=seen.ready,
            utilization=seen.busy,
        )
        model = ReplicaModel(seen.capacity, seen.saturation, self.seconds_to_ready)
        answer = control(signals, self.state, model, seen.supply, seen.asked, policy=self.policy)
        self.state = answer.state
        return answer.replicas


@dataclass(slots=True)
class Static:
    """The same count always."""

    replicas: int
    limits: ControlPolicy

    def decide(self, seen: Observation) -> Sequence[int]:
        return spread(self.replicas, seen.supply, self.limits.spot)


@dataclass(slots=True)
class Autoscaler:
    """What the three reactive baselines share; ``value`` in {"busy", "queue", "rate"}. ``target`` in its unit: a busy
    share, service times of queueing, a share of the capacity of a replica."""

    value: str
    target: float
    stabilization_seconds: float
    limits: ControlPolicy
    wanted: list[tuple[float, int]] = field(default_factory=list)

    def decide(self, seen: Observation) -> Sequence[int]:
        total = sum(seen.asked)
        count = min(max(self._desired(seen, total), self.limits.minimum), self.limits.maximum)
        if not self.wanted:
            self.wanted = [(seen.seconds, total)]
        horizon = seen.seconds - self.stabilization_seconds
        self.wanted = [one for one in self.wanted if one[1] > count and one[0] > horizon]
        self.wanted.append((seen.seconds, count))
        syncs = TICK_SECONDS / HPA_SYNC_SECONDS
        most = max(total * 2**syncs, total + HPA_PODS * syncs)
        new = min(count, int(most)) if count > total else min(total, self.wanted[0][1])
        return seen.asked if new == total else spread(new, seen.supply, self.limits.spot)

    def _desired(self, seen: Observation, total: int) -> int:
        if self.value == "rate":
            ratio = seen.rate / (self.target * seen.capacity) / max(total, 1)
            base = total
        else:
            measured = seen.busy if self.value == "busy" else seen.queue
            ratio, base = measured / self.target, seen.ready
        if abs(ratio - 1) <= HPA_TOLERANCE:
            return total
        # Pods that are not ready count as idle when scaling up, so that what starts is not asked for twice.
        desired = math.ceil(base * ratio - 1e-9)
        return desired if desired > total or ratio < 1 else total
