"""Fixed spot policies: the baselines that a learned one is compared with, and a bound that none can beat.

Each is one rule on what it sees at a tick. Zones are filled in the order of their names, one replica each before any
gets a second.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from berth_cost.rounding import significant_number
from berth_cost.spot.replay import Decide, Order, PolicyReplay, ReplayRules, Standing
from berth_cost.spot.trace import SpotTrace


@dataclass(frozen=True, slots=True)
class FixedPolicy:
    """``spot``: replicas to hold on spot; ``on_demand``: from what is wanted, and held and ready on spot."""

    name: str
    summary: str
    spot: Callable[[int], int]
    on_demand: Callable[[int, int, int], int]

    def begin(self, trace: SpotTrace, rules: ReplayRules) -> Decide:
        del trace

        def decide(seen: Standing) -> Order:
            spot = filled(seen.held, seen.room, self.spot(rules.want))
            ready = sum(min(kept, ready) for kept, ready in zip(spot, seen.ready, strict=True))
            return Order(spot, self.on_demand(rules.want, sum(spot), ready))

        return decide


def filled(held: Sequence[int], room: Sequence[int], total: int) -> list[int]:
    """What is held, topped up to ``total`` replicas: each round gives one to every zone that has room, in order."""
    spot = list(held)
    missing = total - sum(spot)
    for level in range(max(room, default=0)):
        for zone, most in enumerate(room):
            if missing > 0 and spot[zone] == level < most:
                spot[zone] += 1
                missing -= 1
    return spot


FIXED_POLICIES: tuple[FixedPolicy, ...] = (
    FixedPolicy("on-demand", "on demand only", lambda want: 0, lambda want, held, ready: want),
    FixedPolicy("spot-only", "spot only, no fallback", lambda want: want, lambda want, held, ready: 0),
    FixedPolicy(
        "fallback",
        "on demand for what is not ready",
        lambda want: want,
        lambda want, held, ready: max(want - ready, 0),
    ),
    FixedPolicy(
        "spare-fallback",
        "the same with a spot spare (SpotHedge)",
        lambda want: want + 1,
        lambda want, held, ready: max(want - ready, 0),
    ),
    FixedPolicy(
        "spare-filled",
        "a spare, on spot or on demand",
        lambda want: want + 1,
        lambda want, held, ready: max(min(want + 1 - held, want), want - ready),
    ),
)
"""SpotHedge: Mao et al., SkyServe, arXiv 2411.01438v2 (N_target + N_extra on spot, on demand for what is not ready)."""


def clairvoyant(trace: SpotTrace, rules: ReplayRules, ready_percent: float) -> PolicyReplay:
    """The least that a policy could pay which knew the future, to be ready ``ready_percent`` of the time.

    A tick needs ``want`` replicas that stood through the ``start_ticks`` before it: spot where capacity lasted, else
    on demand. The dearest ticks are skipped and cost nothing. A bound, not a schedule: it does not pay for overlaps.
    """
    room = np.minimum(trace.nodes, rules.per_zone_limit)
    stood = room.copy()
    for earlier in range(1, min(rules.start_ticks, trace.ticks) + 1):
        stood[earlier:] = np.minimum(stood[earlier:], room[:-earlier])
    stood = stood[min(rules.start_ticks, trace.ticks) :]  # nothing can be ready before it has started
    spot = np.minimum(stood.sum(axis=1), rules.want)
    cost = rules.spot_price_share * spot + (rules.want - spot)
    cheapest_first = np.argsort(cost, kind="stable")
    needed = min(math.ceil(ready_percent / 100 * trace.ticks), len(cost))
    chosen = cheapest_first[:needed]
    spot_ticks = int(spot[chosen].sum())
    on_demand_ticks = needed * rules.want - spot_ticks
    paid = rules.spot_price_share * spot_ticks + on_demand_ticks
    return PolicyReplay(
        name=f"clairvoyant-{ready_percent:g}",
        summary=f"bound: the future known, {ready_percent:g} %",
        ready_share=significant_number(needed / trace.ticks),
        cost_share=significant_number(paid / (trace.ticks * rules.want)),
        preemptions_per_day=0.0,
        spot_replicas=significant_number(spot_ticks / trace.ticks),
        on_demand_replicas=significant_number(on_demand_ticks / trace.ticks),
    )
