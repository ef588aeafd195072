"""Bids: one option of one workload as it could be had from the room that is left."""

from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from berth_cost.rounding import significant_number
from berth_scheduler.allocation import Allocation, Demand, Shortage, allocate, settle
from berth_scheduler.capacity import Reach, Room, millicores_of
from berth_scheduler.cost import usd_per_month
from berth_scheduler.crew import Crew, steady_of
from berth_scheduler.decision import Constraint
from berth_scheduler.groups import replicas_for
from berth_scheduler.incumbent import Continuation, Incumbent, continue_in_place, settle_in_place
from berth_scheduler.snapshot import Berth
from berth_scheduler.survey import Survey


@dataclass(frozen=True, slots=True)
class Lost:
    """Why an option was passed over, in the constraint's unit."""

    constraint: Constraint
    value: float
    limit: float


@dataclass(frozen=True, slots=True)
class Bid:
    """One option as it could be had: on pieces of the room, or by carrying on in place."""

    option: int
    demand: Demand
    allocation: Allocation | None
    in_place: Continuation | None

    @property
    def usd_per_hour(self) -> Fraction:
        found = self.allocation.usd_per_hour if self.allocation else self.in_place and self.in_place.usd_per_hour
        return found or Fraction(0)

    @property
    def new_nodes(self) -> int:
        return self.allocation.new_nodes if self.allocation else self.in_place.new_nodes if self.in_place else 0

    @property
    def replicas(self) -> tuple[tuple[int, int], ...]:
        """Replicas by offer."""
        if self.in_place is not None:
            return self.in_place.replicas
        return tuple((piece.offer, piece.replicas) for piece in self.allocation.pieces) if self.allocation else ()


def best_bid(found: Survey, index: int, room: Room, lost: dict[int, Lost], *, in_place: bool = True) -> Bid | None:
    """The first in the order of ``rank`` among the options that have room and are within budget."""
    best: tuple[tuple[float, bool, int, int], Bid] | None = None
    options = found.options
    running = option_like(found, index, found.incumbents[index]) if index in found.incumbents else None
    for option in options.of_workload(index):
        if best is not None and options.each[option].ranked_usd_per_hour > best[0][0]:
            break
        bid = bid_for(found, index, option, room, in_place=in_place and option == running)
        reason = _why_not(found, index, option, bid)
        if reason is not None:
            lost[option] = reason
        elif isinstance(bid, Bid):
            lost.pop(option, None)
            cost = ranked_usd_per_hour(found, bid)
            key = (cost, option != running, bid.new_nodes, options.each[option].taste)
            if best is None or key < best[0]:
                best = (key, bid)
    return best[1] if best else None


def ranked_usd_per_hour(found: Survey, bid: Bid) -> float:
    """What a bid costs, with what it emits at the policy's price of carbon; six significant digits."""
    carbon = carbon_by_offer(found, bid.option)
    emitted = sum(carbon[offer] * count for offer, count in bid.replicas) if carbon else 0.0
    return significant_number(float(bid.usd_per_hour) + emitted)


def carbon_by_offer(found: Survey, option: int) -> dict[int, float]:
    """USD an hour of a replica of an option, by offer; empty where the policy has no price of carbon."""
    if found.policy.carbon_usd_per_tonne is None:
        return {}
    lots = found.options.lots_of(option)
    offers, usd = found.lots.offer[lots].tolist(), found.carbon_usd[lots].tolist()
    return dict(zip(offers, usd, strict=True))


def bid_for(
    found: Survey, index: int, option: int, room: Room, *, in_place: bool, replicas: int | None = None
) -> Bid | Shortage:
    """Have one option from the room, or carry on with what runs if that is the option and it can.

    ``replicas`` None: as many as the stated rate needs.
    """
    demand = demand_of(found, option)
    if replicas is not None:
        demand = replace(demand, replicas=replicas, steady=steady_of(found.workloads[index], replicas))
    incumbent = found.incumbents.get(index)
    if in_place and incumbent is not None and _carries(found, index, option):
        crew = Crew(demand.replicas, demand.steady)
        continued = continue_in_place(found.workloads[index], incumbent, crew, found.supply, room)
        wanted = set(offers_of(found, option))
        if continued is not None and continued.usd_per_hour is not None and continued.offers <= wanted:
            return Bid(option, demand, None, continued)
    allocation = allocate(demand, offers_of(found, option), found.supply, room)
    return allocation if isinstance(allocation, Shortage) else Bid(option, demand, allocation, None)


def _carries(found: Survey, index: int, option: int) -> bool:
    """Whether the batching that runs needs no more replicas than the best of the grid."""
    row = found.incumbent_rows.get(index)
    return row is not None and replicas_of_row(found, index, row) <= int(found.options.needed[option])


def _why_not(found: Survey, index: int, option: int, bid: Bid | Shortage) -> Lost | None:
    """Over budget, be it at the cheapest that there could be; or no room."""
    if isinstance(bid, Bid):
        return over_budget(found, index, bid.usd_per_hour)
    cheapest = Fraction(found.options.each[option].bound_usd_per_hour)
    room = Lost(Constraint.CAPACITY, found.options.each[option].replicas, float(bid.replicas))
    return over_budget(found, index, cheapest) or room


def over_budget(found: Survey, index: int, usd_per_hour: Fraction) -> Lost | None:
    """In USD per month."""
    budget = found.workloads[index].budget_usd_per_month
    if budget is None:
        return None
    month = usd_per_month(usd_per_hour, found.policy)
    if month <= Fraction(budget):
        return None
    return Lost(Constraint.BUDGET, float(month), float(budget))


def demand_of(found: Survey, option: int) -> Demand:
    one = found.options.each[option]
    workload = found.workloads[one.workload]
    return Demand(
        millicores=millicores_of(workload.resources),
        memory_bytes=workload.resources.memory_bytes,
        units=one.tensor_parallel,
        reach=Reach.of(workload.variants[one.variant].access),
        replicas=one.replicas,
        steady=one.steady,
        surcharges=tuple(carbon_by_offer(found, option).items()),
    )


def offers_of(found: Survey, option: int) -> list[int]:
    offers: list[int] = found.lots.offer[found.options.lots_of(option)].tolist()
    return offers


def hold(found: Survey, index: int, bid: Bid, room: Room) -> None:
    workload = found.workloads[index]
    if bid.allocation is not None:
        settle(workload.key, bid.demand, bid.allocation.pieces, found.supply, room)
    elif bid.in_place is not None:
        settle_in_place(workload, found.incumbents[index], bid.in_place, found.supply, room)


def berths_of(found: Survey, option: int, row: int, replicas: tuple[tuple[int, int], ...]) -> tuple[Berth, ...]:
    """One berth a pool, by pool name."""
    options, rows = found.options, found.sizing.rows
    workload = found.workloads[options.each[option].workload]
    units = options.each[option].tensor_parallel
    berths = []
    for index, count in replicas:
        offer = found.supply.offers[index]
        shape = found.supply.shapes[offer.shape]
        berths.append(
            Berth(
                pool=offer.pool.name,
                gpu=shape.gpu.name,
                sharing=shape.sharing,
                mig_profile=offer.mig_profile,
                capacity_type=offer.capacity_type,
                precision=workload.variants[options.each[option].variant].precision,
                tensor_parallel=units,
                gpus_per_replica=offer.gpus_per_unit * units,
                instances_per_gpu=int(rows.instances[row]),
                maximum_batch_size=int(rows.maximum_batch_size[row]),
                maximum_queue_delay_microseconds=int(rows.queue_delay_microseconds[row]),
                replicas=count,
            )
        )
    return tuple(sorted(berths, key=lambda berth: (berth.pool, berth.mig_profile or "")))


def scaled_bid(found: Survey, index: int, bid: Bid, room: Room) -> Bid:
    """The bid with as many replicas as whoever scales by demand would have of it; as it was where that has no room.

    Another configuration gets so many that they sustain what those of the present one do.
    """
    workload, incumbent = found.workloads[index], found.incumbents.get(index)
    if workload.scaling is None or incumbent is None:
        return bid
    wanted = workload.scaling.replicas
    before = found.incumbent_rows.get(index)
    if bid.in_place is None:
        if before is None or found.sizing.requests_per_second[before] <= 0:
            return bid
        sustained = workload.scaling.replicas * found.sizing.requests_per_second[before : before + 1]
        row = int(found.batching[bid.option])
        wanted = int(replicas_for(sustained, found.sizing.requests_per_second[row : row + 1], np.ones(1))[0])
    wanted = min(max(wanted, workload.minimum_replicas), workload.maximum_replicas)
    if wanted == sum(count for _, count in bid.replicas):
        return bid
    scaled = bid_for(found, index, bid.option, room, in_place=bid.in_place is not None, replicas=wanted)
    fits = isinstance(scaled, Bid) and over_budget(found, index, scaled.usd_per_hour) is None
    return scaled if fits and isinstance(scaled, Bid) else bid


def replicas_of_row(found: Survey, index: int, row: int) -> float:
    """Replicas that a workload needs if it is batched like this row; inf where that carries nothing."""
    return max(_carrying(found, index, row), float(found.workloads[index].minimum_replicas))


def carrying_of_row(found: Survey, index: int, row: int) -> int:
    """Replicas that carry the rate if batched like this row; more than any workload may have where nothing does."""
    return int(min(_carrying(found, index, row), 10**6))


def _carrying(found: Survey, index: int, row: int) -> float:
    rate = np.array([found.workloads[index].traffic.requests_per_second])
    return float(replicas_for(rate, found.sizing.requests_per_second[row : row + 1], np.ones(1))[0])


def option_like(found: Survey, index: int, incumbent: Incumbent) -> int | None:
    """The workload's option with the shape, precision and width of what runs."""
    workload, options = found.workloads[index], found.options
    for option in options.of_workload(index):
        if (
            options.each[option].shape == incumbent.shape
            and options.each[option].tensor_parallel == incumbent.berth.tensor_parallel
            and workload.variants[options.each[option].variant].precision == incumbent.berth.precision
        ):
            return option
    return None
