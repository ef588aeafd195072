"""What one replica of a placed workload sustains at the request lengths that are measured now."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime

import numpy as np

from berth_cost.rounding import significant_number
from berth_operator.planner import Planned, SeenPool
from berth_scheduler.control.replica_control import ReplicaModel
from berth_scheduler.control.scalable import Scalable, scalable
from berth_scheduler.snapshot import Snapshot

SECONDS_TO_READY = 180.0
"""Until it was measured, where no pool states it: a node that starts, a large image and weights to load."""
LENGTH_STEP = 0.1
"""Mean lengths are told apart in steps of this share: finer ones move a capacity less than its band is wide."""
_ANY_TIME = datetime(2000, 1, 1, tzinfo=UTC)
_MOST_REMEMBERED = 64


class ReplicaCapacity:
    """Of one decision: asked once a pair of mean lengths, and remembered."""

    def __init__(self, planned: Planned, pools: Mapping[str, SeenPool]) -> None:
        self._planned = planned
        self._pools = pools
        self._shares: dict[tuple[int, int], float] = {}
        self._scalable: Scalable | str | None = None

    def model(
        self, prompt_tokens: float | None, output_tokens: float | None, seconds_to_ready: float | None
    ) -> ReplicaModel:
        """At the planned lengths where these are not measured; a rate of 0 where the model states none."""
        decision = self._planned.decision
        sustained = decision.requests_per_second_per_replica or 0.0
        saturated = max(self._saturation(), sustained)
        share = self._share(prompt_tokens, output_tokens)
        return ReplicaModel(sustained * share, saturated * share, seconds_to_ready or self._stated_seconds())

    def _saturation(self) -> float:
        decision = self._planned.decision
        used = None if decision.prediction is None else decision.prediction.utilization
        replicas = sum(berth.replicas for berth in decision.berths)
        return decision.requests_per_second / used / replicas if used and decision.requests_per_second else 0.0

    def _stated_seconds(self) -> float:
        pools = (self._pools[berth.pool].pool for berth in self._planned.decision.berths if berth.pool in self._pools)
        return max((pool.spot.startup_seconds for pool in pools if pool.spot is not None), default=SECONDS_TO_READY)

    def _share(self, prompt_tokens: float | None, output_tokens: float | None) -> float:
        """Capacity at these lengths over that at the planned ones."""
        traffic = self._planned.workload.traffic
        given, made = traffic.input_tokens, traffic.output_tokens
        if given is None or made is None or prompt_tokens is None or output_tokens is None:
            return 1.0
        if not (_usable(prompt_tokens) and _usable(output_tokens)):
            return 1.0
        step = math.log1p(LENGTH_STEP)
        place = (
            round(math.log(prompt_tokens / given.mean) / step),
            round(math.log(output_tokens / made.mean) / step),
        )
        if place == (0, 0):
            return 1.0
        if place not in self._shares:
            if len(self._shares) >= _MOST_REMEMBERED:
                self._shares.clear()
            lengths = given.mean * math.exp(place[0] * step), made.mean * math.exp(place[1] * step)
            self._shares[place] = self._asked(*lengths)
        return self._shares[place]

    def _asked(self, prompt_tokens: float, output_tokens: float) -> float:
        if self._scalable is None:
            decision, workload = self._planned.decision, self._planned.workload
            names = sorted({berth.pool for berth in decision.berths} & self._pools.keys())
            pools = tuple(self._pools[name].pool.model_copy(update={"nodes": ()}) for name in names)
            self._scalable = scalable(Snapshot(time=_ANY_TIME, workloads=(workload,), pools=pools), decision)
        if isinstance(self._scalable, str):
            return 1.0
        planned, _ = self._scalable.capacity(None, None)
        rate, _ = self._scalable.capacity(np.array([prompt_tokens]), np.array([output_tokens]))
        return significant_number(float(rate[0] / planned)) if planned > 0 and rate[0] > 0 else 1.0


def _usable(tokens: float) -> bool:
    return math.isfinite(tokens) and tokens >= 1
