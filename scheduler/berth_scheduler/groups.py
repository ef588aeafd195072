"""Lots sized and seen together: how many replicas, and the pools between which they may be split."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from berth_cost.rounding import significant
from berth_scheduler.candidates import Lots, ragged
from berth_scheduler.capacity import NO_SLOTS, Reach, Room, Slots, need_of
from berth_scheduler.crew import Crew, berthing_of, crew_of
from berth_scheduler.sizing import Sizing
from berth_scheduler.snapshot import CapacityType, Variant

Booleans = NDArray[np.bool_]
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Value = TypeVar("Value")

KNEE = 0.9
"""A smaller batch that sustains this share of the best rate is preferred: past the knee a doubling gains less than a
tenth and costs memory and latency (Triton optimisation guide's tuning order)."""


@dataclass(frozen=True, slots=True)
class Variants:
    distinct: list[Variant]
    """One for each distinct access."""
    of_lot: Integers


@dataclass(frozen=True, slots=True)
class Matter:
    """What the checks look at. ``room`` holds nothing for our own workloads. ``cell`` (lots,) is -1 where not sized."""

    lots: Lots
    variants: Variants
    room: Room
    cell: Integers
    sizing: Sizing


def replicas_of_lots(matter: Matter) -> Floats:
    """Replicas by lot (lots,): what the rate needs, at least the minimum; inf where none sustains any rate."""
    lots = matter.lots
    least = np.array([workload.minimum_replicas for workload in lots.workloads], dtype=np.float64)[lots.workload]
    return np.maximum(carrying_replicas(matter), least)


def carrying_replicas(matter: Matter) -> Floats:
    """Replicas by lot (lots,) that carry the rate, at least one; inf where none sustains any rate."""
    lots = matter.lots
    best = np.append(matter.sizing.best_requests_per_second, 0.0)[matter.cell]
    rate = np.array([workload.traffic.requests_per_second for workload in lots.workloads])[lots.workload]
    return replicas_for(rate, best, np.ones(len(lots)))


def replicas_for(rate: Floats, sustainable: Floats, least: Floats) -> Floats:
    """ceil(rate / sustainable rate), at least ``least``; inf where nothing is sustained. Six digits decide a tie."""
    with np.errstate(divide="ignore", invalid="ignore"):
        needed = np.ceil(significant(rate / sustainable))
    replicas: Floats = np.where(sustainable > 0, np.maximum(needed, least), np.inf)
    return replicas


def rows_that_batch(workload: Integers, cell: Integers, replicas: Floats, lots: Lots, sizing: Sizing) -> Integers:
    """The sizing row with which ``replicas`` of a cell serve the rate of a workload; all arrays of one shape (n,).

    Of the rows of the cell that carry the rate, those within the knee of the best; of these the fewest instances, then
    the smallest batch, which is the order in which a cell's rows lie. Every cell has one that carries the rate.
    """
    rate = np.array([one.traffic.requests_per_second for one in lots.workloads])[workload]
    least = np.array([one.minimum_replicas for one in lots.workloads], dtype=np.float64)[workload]
    first = sizing.rows.first[cell]
    asked, place = ragged(sizing.rows.first[cell + 1] - first)
    row = first[asked] + place
    sustainable = sizing.requests_per_second[row]
    enough = replicas_for(rate[asked], sustainable, least[asked]) <= replicas[asked]
    within = enough & (sustainable >= KNEE * sizing.best_requests_per_second[cell][asked])
    chosen = np.flatnonzero(within)
    _, first_within = np.unique(asked[chosen], return_index=True)
    found: Integers = row[chosen[first_within]]
    return found


@dataclass(frozen=True, slots=True)
class Groups:
    """Lots that differ only in the offer's pool: (workload, variant, shape, tensor parallel).

    Arrays over lots: ``of_lot`` (the group), ``counts`` (still passing), ``slots`` (replicas that fit there),
    ``single_node``. Arrays over groups: ``carrying``: replicas that carry the rate; ``needed``: those, at least
    the minimum; ``replicas``: with spares, and ``steady``: how many of them may not be spot; ``availability``: percent
    of the time with enough of them to carry the rate, nan where nothing is asked; ``unguarded``: without spares and
    with as much spot as its share allows.
    """

    of_lot: Integers
    counts: Booleans
    slots: Integers
    single_node: Booleans
    carrying: Floats
    needed: Floats
    replicas: Floats
    steady: Floats
    availability: Floats
    unguarded: Floats

    def sum(self, values: Floats) -> Floats:
        """Over the passing lots of each group (groups,)."""
        weights = np.where(self.counts, values, 0.0)
        return np.bincount(self.of_lot, weights=weights, minlength=len(self.replicas)).astype(np.float64)

    def any(self, mask: Booleans) -> Booleans:
        return self.sum(mask.astype(np.float64)) > 0


def groups_of(matter: Matter, passes: Booleans) -> Groups:
    lots = matter.lots
    of_lot = group_of_lot(lots)
    count = int(of_lot.max(initial=-1)) + 1
    needed, steady = _of_groups(replicas_of_lots(matter), of_lot, count), np.zeros(count)
    carrying = _of_groups(carrying_replicas(matter), of_lot, count)
    steady[of_lot] = steady_replicas(lots, needed[of_lot])
    replicas, availability, unguarded = needed.copy(), np.full(count, np.nan), np.full(count, np.nan)
    for group, crew in _crews(lots, of_lot, passes, carrying, needed):
        availability[group] = np.nan if crew.availability_percent is None else crew.availability_percent
        unguarded[group] = np.nan if crew.unguarded_percent is None else crew.unguarded_percent
        if crew.replicas:
            replicas[group], steady[group] = crew.replicas, crew.steady
    single = np.array([variant.access.single_node for variant in matter.variants.distinct], dtype=np.bool_)
    return Groups(
        of_lot=of_lot,
        counts=passes,
        slots=_slots(matter, passes),
        single_node=single[matter.variants.of_lot],
        carrying=carrying,
        needed=needed,
        replicas=replicas,
        steady=steady,
        availability=availability,
        unguarded=unguarded,
    )


def _of_groups(replicas: Floats, of_lot: Integers, count: int) -> Floats:
    """The number of each group's lots. Lots that were never sized (their pool is not wanted, say) know none."""
    of_group = np.zeros(count)
    np.maximum.at(of_group, of_lot, np.where(np.isfinite(replicas), replicas, 0.0))
    return of_group


def _crews(
    lots: Lots, of_lot: Integers, passes: Booleans, carrying: Floats, needed: Floats
) -> Iterator[tuple[int, Crew]]:
    """The crew of every group whose workload asks for availability."""
    asks = np.array([one.availability_percent is not None for one in lots.workloads], dtype=np.bool_)
    mine = np.flatnonzero(passes & asks[lots.workload])
    mine = mine[np.argsort(of_lot[mine], kind="stable")]
    groups, starts = np.unique(of_lot[mine], return_index=True)
    stops = np.append(starts, len(mine))[1:]
    for group, start, stop in zip(groups.tolist(), starts, stops, strict=True):
        members = mine[start:stop]
        workload = lots.workloads[int(lots.workload[members[0]])]
        offers = lots.offer[members].tolist()
        berthing = berthing_of(lots.supply, offers, int(lots.tensor_parallel[members[0]]))
        yield group, crew_of(workload, int(carrying[group]), int(needed[group]), berthing)


def group_of_lot(lots: Lots) -> Integers:
    """Number of each lot's group, in the order (workload, variant, shape, tensor parallel)."""
    columns = (lots.workload, lots.variant, lots.shape + 1, lots.tensor_parallel)
    sizes = tuple(int(column.max(initial=0)) + 1 for column in columns)
    _, group = np.unique(np.ravel_multi_index(columns, sizes), return_inverse=True)
    return group.astype(np.int64)


def steady_replicas(lots: Lots, replicas: Floats) -> Floats:
    """The form of :func:`berth_scheduler.crew.steady_of` for all lots at once (lots,)."""
    allowed = np.array([CapacityType.SPOT in one.placement.capacity_types for one in lots.workloads], dtype=np.bool_)
    share = np.array([one.spot.maximum_share_percent for one in lots.workloads])[lots.workload]
    base = np.array([one.spot.on_demand_base for one in lots.workloads], dtype=np.float64)[lots.workload]
    most_spot = np.floor(significant(replicas * share / 100))
    steady = np.minimum(np.maximum(base, replicas - most_spot), replicas)
    return np.where(allowed[lots.workload], steady, replicas)


def _slots(matter: Matter, passes: Booleans) -> Integers:
    """Replicas that fit into each passing lot's pool while nothing of ours is held (lots,)."""
    lots = matter.lots
    needs, of_workload = distinct([one.resources for one in lots.workloads])
    variants = matter.variants
    columns = (of_workload[lots.workload], variants.of_lot, lots.offer, lots.tensor_parallel)
    sizes = tuple(int(column.max(initial=0)) + 1 for column in columns)
    slots = np.zeros(len(lots), dtype=np.int64)
    keys, inverse = np.unique(
        np.ravel_multi_index(tuple(column[passes] for column in columns), sizes), return_inverse=True
    )
    answers = []
    for need, variant, offer_index, units in zip(*np.unravel_index(keys, sizes), strict=True):
        offer = lots.supply.offers[offer_index]
        reach = Reach.of(variants.distinct[variant].access)
        found: Slots = NO_SLOTS
        if offer.unusable is None:
            found = matter.room.slots(offer, need_of(needs[need], offer.mig_profile, int(units)), reach)
        answers.append(max(found.started, found.new_per_node) if reach.single_node else found.total)
    slots[passes] = np.array(answers, dtype=np.int64)[inverse] if answers else 0
    return slots


def distinct_variants(lots: Lots) -> Variants:
    """Variants by where their artefact can be mounted: nearly always all alike."""
    index: dict[object, int] = {}
    distinct: list[Variant] = []
    width = max((len(workload.variants) for workload in lots.workloads), default=0) or 1
    table = np.zeros((len(lots.workloads), width), dtype=np.int64)
    for row, workload in zip(table, lots.workloads, strict=True):
        for position, variant in enumerate(workload.variants):
            found = index.setdefault(variant.access, len(distinct))
            if found == len(distinct):
                distinct.append(variant)
            row[position] = found
    return Variants(distinct, table[lots.workload, lots.variant])


def distinct(values: Sequence[Value]) -> tuple[list[Value], Integers]:
    """The distinct values in the order of their first appearance, and the place of each value among them."""
    index: dict[Value, int] = {}
    of_value = np.array([index.setdefault(value, len(index)) for value in values], dtype=np.int64)
    return list(index), of_value
