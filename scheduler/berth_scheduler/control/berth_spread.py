"""Spreading a count of replicas over the berths of a workload: the cheapest first up, the dearest first down.

For given berths the spread is a function of the count alone and grows with it berth by berth, so a count that does not
move moves no berth. On-demand base and spot share are those of the plan (``groups.steady_replicas``).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from berth_scheduler.snapshot import SpotPolicy

PRICE_HYSTERESIS = 0.10
"""A berth overtakes another only where it is cheaper by more: a flapping spot price moves no replica."""
SPARE_RISK = 0.01
"""Chance that more spot replicas are lost within one cold start than there are spares."""


@dataclass(frozen=True, slots=True)
class BerthSupply:
    """Where replicas can be. ``maximum``: how many there can be now, running ones included."""

    key: str
    spot: bool
    usd_per_replica_hour: float
    maximum: int
    interruptions_per_hour: float = 0.0
    """Of one replica."""


def steady_count(replicas: int, policy: SpotPolicy) -> int:
    """How many of ``replicas`` may not be spot where spot is allowed: the base, and what the share leaves."""
    most_spot = math.floor(replicas * policy.maximum_share_percent / 100 + 1e-9)
    return min(max(policy.on_demand_base, replicas - most_spot), replicas)


def price_order(berths: Sequence[BerthSupply], before: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Keys, the cheapest first; the order of ``before`` stays where the prices do not differ by much."""
    known = {key: place for place, key in enumerate(before)}
    found: list[BerthSupply] = []
    for berth in sorted(berths, key=lambda one: (known.get(one.key, len(known)), one.usd_per_replica_hour, one.key)):
        place = len(found)
        while place and _overtakes(berth, found[place - 1], known):
            place -= 1
        found.insert(place, berth)
    return tuple(berth.key for berth in found)


def _overtakes(berth: BerthSupply, other: BerthSupply, known: dict[str, int]) -> bool:
    both_known = berth.key in known and other.key in known
    factor = 1 - PRICE_HYSTERESIS if both_known else 1.0
    return berth.usd_per_replica_hour < other.usd_per_replica_hour * factor


def spread(
    replicas: int, berths: Sequence[BerthSupply], policy: SpotPolicy, order: tuple[str, ...] = ()
) -> tuple[int, ...]:
    """Replicas by berth, in the order of ``berths``; fewer than asked where there is no room that keeps the share."""
    places = {key: place for place, key in enumerate(order or price_order(berths))}
    ranked = sorted(range(len(berths)), key=lambda index: places[berths[index].key])
    steady_room = sum(berth.maximum for berth in berths if not berth.spot)
    any_spot = any(berth.spot for berth in berths)
    wanted = min(max(replicas, 0), sum(berth.maximum for berth in berths))
    if any_spot:
        while wanted and steady_count(wanted, policy) > steady_room:
            wanted -= 1
    steady = steady_count(wanted, policy) if any_spot else wanted
    counts = [0] * len(berths)
    left = wanted
    for index in ranked:
        if not berths[index].spot:
            counts[index] = min(steady - sum(counts), berths[index].maximum)
    left -= sum(counts)
    for spot_only in (True, False):  # what spot cannot take falls back to on demand
        for index in ranked:
            if berths[index].spot == spot_only:
                taken = min(left, berths[index].maximum - counts[index])
                counts[index] += taken
                left -= taken
    return tuple(counts)


def spares(counts: Sequence[int], berths: Sequence[BerthSupply], seconds_to_ready: float) -> int:
    """Replicas to add so that interruptions within one cold start are covered but for :data:`SPARE_RISK` (Poisson)."""
    pairs = zip(counts, berths, strict=True)
    expected = sum(count * berth.interruptions_per_hour for count, berth in pairs if berth.spot)
    expected *= seconds_to_ready / 3600
    chance = covered = math.exp(-expected)
    extra = 0
    while covered < 1 - SPARE_RISK and extra < sum(counts):
        extra += 1
        chance *= expected / extra
        covered += chance
    return extra
