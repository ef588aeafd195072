"""The fleet: workloads share capacity, and each gets its berths.

Order of service: what runs and may stay, then what right-sizing moves if there is room beside what runs, then the
others by priority (higher first), then by how much they would lose by their second choice (one without a second choice
first), then by key. A workload that comes later takes the best of its options that still has room. What runs for a
workload is held until its successor serves, so that a workload that moves needs room for both.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction

import numpy as np

from berth_scheduler.allocation import Shortage, allocate
from berth_scheduler.bid import (
    Bid,
    Lost,
    berths_of,
    best_bid,
    carrying_of_row,
    demand_of,
    hold,
    offers_of,
    option_like,
    over_budget,
    replicas_of_row,
    scaled_bid,
)
from berth_scheduler.capacity import Room
from berth_scheduler.crew import Crew, berthing_of, crew_of, standing_percent, steady_of
from berth_scheduler.decision import Constraint, Transition
from berth_scheduler.groups import replicas_for
from berth_scheduler.incumbent import Incumbent, continue_in_place, crew_in_place, settle_in_place
from berth_scheduler.rank import regret
from berth_scheduler.snapshot import Berth, CapacityType, Scaling, Workload
from berth_scheduler.survey import Survey


@dataclass(frozen=True, slots=True)
class Choice:
    """What a workload gets. ``option`` and ``row`` are None where it keeps what can no longer be asked about."""

    option: int | None
    row: int | None
    berths: tuple[Berth, ...]
    usd_per_hour: Fraction | None
    transition: Transition
    kept: bool
    availability_percent: float | None = None
    sustained: bool = True
    """Whether the model says that the replicas carry the rate inside the objectives; a kept berth may not."""


@dataclass(slots=True)
class FleetPlan:
    """By workload: its choice (None: it gets none), and by option why it was passed over when its turn came."""

    room: Room
    choices: dict[int, Choice] = field(default_factory=dict)
    lost: dict[int, Lost] = field(default_factory=dict)
    held_at_turn: dict[int, Mapping[int, list[tuple[str, int]]]] = field(default_factory=dict)
    """By workload without a choice, then by pool: who held how many units when its turn came."""


def plan_fleet(found: Survey, room: Room) -> FleetPlan:
    """Share out the room. It holds what runs already, and every choice besides afterwards."""
    plan = FleetPlan(room)
    for index in sorted(range(len(found.workloads)), key=lambda index: _precedence(found.workloads[index])):
        incumbent = found.incumbents.get(index)
        if incumbent is not None and incumbent.stays:
            kept = _keep(found, index, incumbent, room)
            if kept is not None:
                plan.choices[index] = kept
    for index in sorted(found.move_rows, key=lambda index: _precedence(found.workloads[index])):
        if index in plan.choices and not _is_there(found, index):
            plan.choices[index] = _move(found, index, room) or plan.choices[index]
    waiting = [index for index in range(len(found.workloads)) if index not in plan.choices]
    for index in sorted(waiting, key=lambda index: _turn(found, index)):
        _serve(found, index, plan)
    return plan


def _precedence(workload: Workload) -> tuple[int, str]:
    return (-workload.priority, workload.key)


def _turn(found: Survey, index: int) -> tuple[int, float, str]:
    workload = found.workloads[index]
    return (-workload.priority, -regret(found.options, index), workload.key)


# --- what stays ----------------------------------------------------------------------------------------------------


def _keep(found: Survey, index: int, incumbent: Incumbent, room: Room) -> Choice | None:
    """What runs, at the replicas that the rate needs now; None where its capacity is gone."""
    workload = found.workloads[index]
    if workload.scaling is not None:
        return _keep_scaled(found, index, incumbent, workload.scaling, room)
    row = found.incumbent_rows.get(index)
    needed = replicas_of_row(found, index, row) if row is not None else float("inf")
    running = sum(one.berth.replicas for one in incumbent.running.berths)
    replicas = int(needed) if np.isfinite(needed) else max(running, workload.minimum_replicas)
    replicas = min(replicas, workload.maximum_replicas)
    carrying = min(carrying_of_row(found, index, row), replicas) if row is not None else replicas
    crew = crew_in_place(workload, incumbent, carrying, replicas, found.supply)
    continued = continue_in_place(workload, incumbent, crew, found.supply, room)
    if continued is None:
        return None
    settle_in_place(workload, incumbent, continued, found.supply, room)
    berths = tuple(_berth_at(found, incumbent.berth, offer, count) for offer, count in continued.replicas)
    another_serves = any(one.serving and one.revision != incumbent.running.revision for one in workload.running)
    return Choice(
        option=option_like(found, index, incumbent),
        row=row,
        berths=berths,
        usd_per_hour=continued.usd_per_hour,
        transition=Transition.SWITCH if another_serves else Transition.NONE,
        kept=True,
        availability_percent=standing_percent(
            workload, carrying, continued.replicas, incumbent.berth.tensor_parallel, found.supply
        ),
        sustained=row is None or replicas >= needed,
    )


def _keep_scaled(found: Survey, index: int, incumbent: Incumbent, scaling: Scaling, room: Room) -> Choice | None:
    """What runs, at the replicas that somebody who follows the demand asks for; as many of them as have room.

    None where what runs already has lost its room: more replicas than there is room for move nothing.
    """
    workload, supply = found.workloads[index], found.supply
    running = sum(one.berth.replicas for one in incumbent.running.berths)
    wanted = min(max(scaling.replicas, workload.minimum_replicas), workload.maximum_replicas)
    carrying = wanted
    crew = crew_in_place(workload, incumbent, carrying, wanted, supply)
    continued = continue_in_place(workload, incumbent, crew, supply, room)
    low, high = min(running, crew.replicas), crew.replicas
    if continued is None and low < high:
        continued = continue_in_place(workload, incumbent, _steadied(workload, low), supply, room)
        while continued is not None and high - low > 1:  # bisection: the most that fit
            middle = (low + high) // 2
            found_room = continue_in_place(workload, incumbent, _steadied(workload, middle), supply, room)
            low, high = (low, middle) if found_room is None else (middle, high)
            continued = found_room or continued
    if continued is None:
        return None
    settle_in_place(workload, incumbent, continued, supply, room)
    another_serves = any(one.serving and one.revision != incumbent.running.revision for one in workload.running)
    return Choice(
        option=option_like(found, index, incumbent),
        row=found.incumbent_rows.get(index),
        berths=tuple(_berth_at(found, incumbent.berth, offer, count) for offer, count in continued.replicas),
        usd_per_hour=continued.usd_per_hour,
        transition=Transition.SWITCH if another_serves else Transition.NONE,
        kept=True,
        availability_percent=standing_percent(
            workload, carrying, continued.replicas, incumbent.berth.tensor_parallel, supply
        ),
    )


def _steadied(workload: Workload, replicas: int) -> Crew:
    return Crew(replicas, steady_of(workload, replicas))


def _berth_at(found: Survey, like: Berth, offer: int, replicas: int) -> Berth:
    pool = found.supply.offers[offer].pool
    return like.model_copy(update={"pool": pool.name, "capacity_type": pool.capacity_type, "replicas": replicas})


# --- what moves ----------------------------------------------------------------------------------------------------


def _is_there(found: Survey, index: int) -> bool:
    target = found.workloads[index].move
    return target is not None and target.runs(found.incumbents[index].berth)


def _move(found: Survey, index: int, room: Room) -> Choice | None:
    """The very configuration that right-sizing chose, beside what runs; None where it is feasible no more, is over
    budget or has no room: then what runs stays, whose room is held."""
    workload, row = found.workloads[index], found.move_rows[index]
    option = _option_of_move(found, index)
    if option is None or workload.move is None:
        return None
    offers = [one for one in offers_of(found, option) if found.supply.offers[one].capacity_type in _bought(workload)]
    for carrying in _carrying_move(found, index, row) if offers else ():
        bid = _bid_of_move(found, option, offers, carrying, room)
        if bid is not None:
            hold(found, index, bid, room)
            return Choice(
                option=option,
                row=row,
                berths=berths_of(found, option, row, bid.replicas),
                usd_per_hour=bid.usd_per_hour,
                transition=Transition.SWITCH,
                kept=False,
                availability_percent=standing_percent(
                    workload, carrying, bid.replicas, workload.move.tensor_parallel, found.supply
                ),
            )
    return None


def _bid_of_move(found: Survey, option: int, offers: list[int], carrying: int, room: Room) -> Bid | None:
    index = found.options.each[option].workload
    workload = found.workloads[index]
    needed = max(carrying, workload.minimum_replicas)
    if needed > workload.maximum_replicas:
        return None
    demand = demand_of(found, option)
    crew = crew_of(workload, carrying, needed, berthing_of(found.supply, offers, demand.units))
    demand = replace(demand, replicas=crew.replicas, steady=crew.steady)
    allocation = allocate(demand, offers, found.supply, room)
    if isinstance(allocation, Shortage) or over_budget(found, index, allocation.usd_per_hour) is not None:
        return None
    return Bid(option, demand, allocation, None)


def _carrying_move(found: Survey, index: int, row: int) -> list[int]:
    """Replicas to have there, the first that there is room for: where their count follows demand, as many as the rate
    that arrives uses up to the target, but no more than sustain what the present ones do; else as just carry it. Where
    that rate is not known now, as sustain what the present ones do. Otherwise as carry the stated rate."""
    scaling, before = found.workloads[index].scaling, found.incumbent_rows.get(index)
    sustained = found.sizing.requests_per_second
    if scaling is None or before is None or sustained[before] <= 0:
        return [carrying_of_row(found, index, row)]
    arriving = scaling.requests_per_second if scaling.is_current else None
    present, target = scaling.replicas * sustained[before], scaling.target_utilization or 1.0
    rates = [present] if arriving is None else [min(present, arriving / target), min(present, arriving)]
    wanted = replicas_for(np.array(rates), np.full(len(rates), sustained[row]), np.ones(len(rates)))
    return [int(count) for count in wanted if np.isfinite(count)]


def _option_of_move(found: Survey, index: int) -> int | None:
    """The feasible option with the shape, precision and width of the move."""
    rows, cell = found.sizing.rows, found.sizing.rows.cell[found.move_rows[index]]
    for option in found.options.of_workload(index):
        one = found.options.each[option]
        precision = found.lots.precisions.index(found.workloads[index].variants[one.variant].precision)
        asked = (rows.cells.shape[cell], rows.cells.precision[cell], rows.cells.tensor_parallel[cell])
        if (one.shape, precision, one.tensor_parallel) == asked:
            return option
    return None


def _bought(workload: Workload) -> tuple[CapacityType, ...]:
    return workload.move.capacity_types if workload.move else ()


# --- what is chosen ------------------------------------------------------------------------------------------------


def _serve(found: Survey, index: int, plan: FleetPlan) -> None:
    """The best option that has room beside what runs; else one that has room once that has stopped."""
    workload, room = found.workloads[index], plan.room
    runs = any(running.berths for running in workload.running)
    bid = best_bid(found, index, room, plan.lost)
    if bid is not None:
        bid = scaled_bid(found, index, bid, room)
        transition = Transition.SWITCH if runs and bid.in_place is None else Transition.NONE
        hold(found, index, bid, room)
        plan.choices[index] = choice_of(found, index, bid, transition)
        return
    running = room.release(workload.key)
    bid = best_bid(found, index, room, plan.lost, in_place=False) if running else None
    if bid is None:
        plan.held_at_turn[index] = _holders(found, index, plan)
        for holding in running:
            room.hold(workload.key, holding)
        return
    bid = scaled_bid(found, index, bid, room)
    hold(found, index, bid, room)
    room.hold_rest(workload.key, running)
    transition = Transition.RECREATE if workload.strategy == "Recreate" else Transition.WAIT
    plan.choices[index] = choice_of(found, index, bid, transition)


def _holders(found: Survey, index: int, plan: FleetPlan) -> dict[int, list[tuple[str, int]]]:
    """Who holds the pools in which the workload's options found no room."""
    short = [
        option
        for option in found.options.of_workload(index)
        if option in plan.lost and plan.lost[option].constraint is Constraint.CAPACITY
    ]
    pools = {found.supply.offers[offer].pool_index for option in short for offer in offers_of(found, option)}
    return {pool: plan.room.holders(pool) for pool in sorted(pools)}


def choice_of(found: Survey, index: int, bid: Bid, transition: Transition) -> Choice:
    row = found.incumbent_rows[index] if bid.in_place else int(found.batching[bid.option])
    return Choice(
        option=bid.option,
        row=row,
        berths=berths_of(found, bid.option, row, bid.replicas),
        usd_per_hour=bid.usd_per_hour,
        transition=transition,
        kept=False,
        availability_percent=standing_percent(
            found.workloads[index],
            int(found.options.carrying[bid.option]),
            bid.replicas,
            found.options.each[bid.option].tensor_parallel,
            found.supply,
        ),
    )
