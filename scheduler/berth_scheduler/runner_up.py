"""Runners-up: the best of every other GPU, slice and precision that is feasible beside what all others hold, and of
what stays the way in which it would be had for less."""

from collections.abc import Iterator
from fractions import Fraction
from itertools import islice

from berth_cost.rounding import significant_number
from berth_scheduler.allocation import Shortage, allocate
from berth_scheduler.bid import Bid, berths_of, bid_for, demand_of, offers_of, over_budget, ranked_usd_per_hour
from berth_scheduler.capacity import Room
from berth_scheduler.cost import money
from berth_scheduler.decision import Alternative, Constraint
from berth_scheduler.fleet import Choice
from berth_scheduler.snapshot import Berth, CapacityType
from berth_scheduler.survey import Survey
from berth_scheduler.wording import berths_phrase, dollars, number

MOST = 5
ATTEMPTS = 10
"""Options looked at for a workload, cheapest first: where the room is full, the others would find none either."""


def runners_up(found: Survey, index: int, choice: Choice, room: Room) -> tuple[Alternative, ...]:
    """At most :data:`MOST`, cheapest first. ``room`` holds the whole plan, and does so again afterwards."""
    bids: list[Bid] = []
    for option in islice(_other_options(found, index, choice), ATTEMPTS):
        if len(bids) == MOST:
            break
        bid = _bid_instead(found, index, option, choice, room)
        if isinstance(bid, Bid) and over_budget(found, index, bid.usd_per_hour) is None:
            bids.append(bid)
    anew = _same_kind_anew(found, index, choice, room)
    if anew is not None:
        bids.append(anew)
    steady = _without_spot(found, index, choice, room)
    if steady is not None:
        bids.append(steady)
    bids.sort(key=lambda bid: (ranked_usd_per_hour(found, bid), found.options.each[bid.option].taste))
    return tuple(_alternative(found, choice, bid) for bid in bids[:MOST])


def _bid_instead(found: Survey, index: int, option: int, choice: Choice, room: Room) -> Bid | Shortage:
    """Beside the choice, or else, where both would use the same GPUs, in its place."""
    bid = bid_for(found, index, option, room, in_place=False)
    same_gpus = (
        choice.option is not None and found.options.each[option].shape == found.options.each[choice.option].shape
    )
    if isinstance(bid, Shortage) and same_gpus:
        own = room.release(found.workloads[index].key)
        bid = bid_for(found, index, option, room, in_place=False)
        for holding in own:
            room.hold(found.workloads[index].key, holding)
    return bid


def _other_options(found: Survey, index: int, choice: Choice) -> Iterator[int]:
    """The cheapest width of each other (shape, variant), cheapest first."""
    options = found.options
    seen = set()
    if choice.option is not None:
        seen.add((options.each[choice.option].shape, options.each[choice.option].variant))
    for option in options.of_workload(index):
        kind = (options.each[option].shape, options.each[option].variant)
        if kind not in seen:
            seen.add(kind)
            yield option


def _same_kind_anew(found: Survey, index: int, choice: Choice, room: Room) -> Bid | None:
    """What runs and stays, as it would be had anew for less: in other pools, otherwise batched, or wider."""
    if not choice.kept or choice.option is None or choice.usd_per_hour is None:
        return None
    options, running = found.options, found.options.each[choice.option]
    paid = significant_number(float(choice.usd_per_hour))
    for option in options.of_workload(index):
        one = options.each[option]
        if one.bound_usd_per_hour >= paid:
            return None
        if (one.shape, one.variant) == (running.shape, running.variant):
            bid = bid_for(found, index, option, room, in_place=False)
            if isinstance(bid, Bid) and significant_number(float(bid.usd_per_hour)) < paid:
                return bid
    return None


def _without_spot(found: Survey, index: int, choice: Choice, room: Room) -> Bid | None:
    """The choice itself, all of it steady, where some of it is spot."""
    if choice.option is None or all(berth.capacity_type is not CapacityType.SPOT for berth in choice.berths):
        return None
    demand = demand_of(found, choice.option)
    steady = [offer for offer in offers_of(found, choice.option) if not found.supply.offers[offer].spot]
    allocation = allocate(demand, steady, found.supply, room)
    if isinstance(allocation, Shortage) or over_budget(found, index, allocation.usd_per_hour) is not None:
        return None
    return Bid(choice.option, demand, allocation, None)


def _alternative(found: Survey, choice: Choice, bid: Bid) -> Alternative:
    berths = berths_of(found, bid.option, int(found.batching[bid.option]), bid.replicas)
    usd = bid.usd_per_hour
    phrase = f"{berths_phrase(berths)}: {dollars(usd)}/h"
    lost_by = Constraint.COST
    if choice.usd_per_hour is None:
        lost_by, verdict = Constraint.KEPT, "what runs stays; its own price is not known"
    elif choice.kept and usd <= choice.usd_per_hour:
        less = float(1 - usd / choice.usd_per_hour) * 100
        lost_by, verdict = Constraint.KEPT, f"{number(less, 2)} % less, but a cheaper offer alone moves nothing"
    elif found.policy.carbon_usd_per_tonne is not None and usd < choice.usd_per_hour:
        saved, price = dollars(choice.usd_per_hour - usd), dollars(found.policy.carbon_usd_per_tonne)
        verdict = f"costs {saved}/h less, and its emissions more than that at {price} per tonne"
    else:
        verdict = _when_it_wins(choice, berths, usd)
    return Alternative(berths=berths, usd_per_hour=money(usd), lost_by=lost_by, message=f"{phrase}; {verdict}")


def _when_it_wins(choice: Choice, others: tuple[Berth, ...], usd: Fraction) -> str:
    """The price of what was chosen beyond which this would be chosen, where the two prices are not the same."""
    paid = choice.usd_per_hour or Fraction(0)
    if usd <= paid:
        return "costs the same"
    if {berth.pool for berth in choice.berths} & {berth.pool for berth in others}:
        return f"costs {dollars(usd - paid)}/h more"
    if len(choice.berths) == 1:
        berth = choice.berths[0]
        limit = usd / (berth.replicas * berth.tensor_parallel)
        unit = "slice" if berth.mig_profile else "GPU"
        return f"it wins if {berth.pool} rises above {dollars(limit)}/h per {unit}"
    return f"it wins if what was chosen gets {number(float(usd / paid - 1) * 100, 2)} % dearer"
