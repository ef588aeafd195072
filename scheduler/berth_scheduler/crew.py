"""Crews: how many replicas, and how many of them not on spot, so that enough stand for the availability asked.

Without ``objectives.availabilityPercent`` a crew is what the rate needs. With it there are spares: the cheapest crew
within the workload's bounds (replicas.maximum, spot.maximumSharePercent, spot.onDemandBase) of which enough stand often
enough. All spot replicas of a crew count as in one region, and as unsteady as the unsteadiest pool that may hold them.
"""

from bisect import bisect_left
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from berth_cost.rounding import significant, significant_number
from berth_cost.spot.availability import (
    FAILURES_PER_GPU_HOUR,
    REPLACEMENT_SECONDS,
    SPOT_INTERRUPTIONS_PER_HOUR,
    enough_stand,
    unavailability,
)
from berth_scheduler.snapshot import CapacityType, Pool, SpotPolicy, Workload
from berth_scheduler.supply import Supply

MOST_SPARES = 16
"""A crew with more than these, or than half of what is needed, would be a plan for an outage, not for losses."""


class Crew(NamedTuple):
    """``availability_percent``: how often enough of it stand; None where nothing is asked or nothing could hold it.

    ``unguarded_percent``: how often enough of a crew without spares would, with as much spot as its share allows.
    """

    replicas: int
    steady: int
    availability_percent: float | None = None
    unguarded_percent: float | None = None


class Berthing(NamedTuple):
    """Where a crew could go: what one replica costs and how often it is away, steady and on spot; None: nowhere."""

    steady: tuple[float, float] | None
    spot: tuple[float, float] | None


def away(pool: Pool, gpus: float) -> float:
    """Share of the time that one replica in a pool does not stand; six significant digits.

    ``gpus``: that it takes; a replica on a slice falls with the whole GPU.
    """
    failures = FAILURES_PER_GPU_HOUR * max(gpus, 1.0)
    if pool.capacity_type is not CapacityType.SPOT:
        return significant_number(unavailability(failures, REPLACEMENT_SECONDS))
    interruptions, replacement = interruptions_of(pool)
    return significant_number(unavailability(interruptions + failures, replacement))


def interruptions_of(pool: Pool) -> tuple[float, float]:
    """Of a spot pool: interruptions of a node an hour, and seconds to replace it; as measured where it says none."""
    if pool.spot is None:
        return SPOT_INTERRUPTIONS_PER_HOUR, REPLACEMENT_SECONDS
    return pool.spot.interruptions_per_hour, pool.spot.startup_seconds


def berthing_of(supply: Supply, offers: Sequence[int], units: int) -> Berthing:
    """Of replicas that take ``units`` of any of the offers: cheapest price and unsteadiest pool of each kind."""
    kinds: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
    for index in offers:
        offer = supply.offers[index]
        price = offer.comparable_usd_per_unit_hour * units
        kinds[offer.spot].append((price, away(offer.pool, offer.gpus_per_unit * units)))
    steady, spot = (
        (min(price for price, _ in found), max(gone for _, gone in found)) if found else None
        for found in kinds.values()
    )
    return Berthing(steady, spot)


def steady_of(workload: Workload, replicas: int) -> int:
    """How many of the replicas may not be spot: the base, and what the share leaves, where spot is allowed."""
    if CapacityType.SPOT not in workload.placement.capacity_types:
        return replicas
    return _bound(replicas, workload.spot)


def _bound(replicas: int, spot: SpotPolicy) -> int:
    most_spot = int(np.floor(significant(replicas * spot.maximum_share_percent / 100)))
    return min(max(spot.on_demand_base, replicas - most_spot), replicas)


def crew_of(workload: Workload, carrying: int, needed: int, berthing: Berthing) -> Crew:
    """The cheapest crew of at least ``needed`` replicas of which ``carrying`` stand often enough; where none does, a
    crew without spares, and how often the best one within the bounds would."""
    aim = workload.availability_percent
    if aim is None or needed == 0 or berthing == Berthing(None, None):
        return Crew(needed, steady_of(workload, needed))
    # A frozen model has a hash, which pyright does not see.
    found = _cheapest(range(needed, max(needed, workload.maximum_replicas) + 1), carrying, workload.spot, aim, berthing)  # pyright: ignore[reportArgumentType]
    fewest = _fewest_steady(needed, workload.spot, berthing)
    unguarded = None if fewest is None else _percent(carrying, needed, fewest, berthing)
    if found.replicas:
        return found._replace(unguarded_percent=unguarded)
    return Crew(needed, steady_of(workload, needed), found.availability_percent, unguarded)


def standing_percent(
    workload: Workload, carrying: int, replicas: Sequence[tuple[int, int]], units: int, supply: Supply
) -> float | None:
    """How often ``carrying`` of replicas by offer stand, in percent; None where the workload does not ask."""
    if workload.availability_percent is None:
        return None
    held = [(offer, count) for offer, count in replicas if count]
    steady = sum(count for offer, count in held if not supply.offers[offer].spot)
    berthing = berthing_of(supply, [offer for offer, _ in held], units)
    return _percent(carrying, sum(count for _, count in held), steady, berthing)


@lru_cache(maxsize=16_384)
def _cheapest(counts: range, carrying: int, bounds: SpotPolicy, aim: float, berthing: Berthing) -> Crew:
    """No replicas where no count of ``counts`` does; no availability either where the bounds allow none of them."""
    best: tuple[tuple[float, int, int], Crew] | None = None
    reached: float | None = None
    for replicas in counts[: max(MOST_SPARES, carrying // 2) + 1]:
        fewest = _fewest_steady(replicas, bounds, berthing)
        if fewest is None:
            continue
        largest = replicas if berthing.steady else 0
        stands = _percent(carrying, replicas, largest, berthing)
        reached = max(reached or 0.0, stands)
        if stands < aim:
            continue
        steady = _least_steady_that_holds(range(fewest, largest + 1), carrying, replicas, aim, berthing)
        for candidate in dict.fromkeys((steady, largest)):
            crew = Crew(replicas, candidate, _percent(carrying, replicas, candidate, berthing))
            key = (significant_number(_price(crew, berthing)), replicas, -candidate)
            if best is None or key < best[0]:
                best = (key, crew)
        if steady == fewest:
            break  # one more replica could only add to the price
    return best[1] if best else Crew(0, 0, reached)


def _fewest_steady(replicas: int, bounds: SpotPolicy, berthing: Berthing) -> int | None:
    """None where the bounds ask for steady replicas and there is no steady pool, or the other way round."""
    if berthing.spot is None:
        return replicas
    fewest = _bound(replicas, bounds)
    return None if berthing.steady is None and fewest > 0 else fewest


def _least_steady_that_holds(steady: range, carrying: int, replicas: int, aim: float, berthing: Berthing) -> int:
    """By bisection: the more of them are steady, the more often enough of them stand. The last one holds."""
    return steady[bisect_left(steady, True, key=lambda count: _percent(carrying, replicas, count, berthing) >= aim)]


def _percent(carrying: int, replicas: int, steady: int, berthing: Berthing) -> float:
    steady_away = berthing.steady[1] if berthing.steady else 1.0
    spot_away = max(berthing.spot[1], steady_away if berthing.steady else 0.0) if berthing.spot else 1.0
    # Nine digits: availabilities differ where six would round them all to 100.
    return round(100 * enough_stand(carrying, steady, replicas - steady, steady_away, spot_away), 7)


def _price(crew: Crew, berthing: Berthing) -> float:
    steady = crew.steady * berthing.steady[0] if crew.steady and berthing.steady else 0.0
    spot = crew.replicas - crew.steady
    return steady + (spot * berthing.spot[0] if spot and berthing.spot else 0.0)
