"""Lots sized and seen together: how many replicas, and the pools between which they may be split."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from berth_cost.rounding import significant
from berth_scheduler.candidates import Lots
from berth_scheduler.capacity import NO_SLOTS, Reach, Room, Slots, need_of
from berth_scheduler.sizing import Sizing
from berth_scheduler.snapshot import CapacityType, Variant, Workload

Booleans = NDArray[np.bool_]
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Value = TypeVar("Value")


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
    best = np.append(matter.sizing.best_requests_per_second, 0.0)[matter.cell]
    rate = np.array([workload.traffic.requests_per_second for workload in lots.workloads])[lots.workload]
    least = np.array([workload.minimum_replicas for workload in lots.workloads], dtype=np.float64)[lots.workload]
    return replicas_for(rate, best, least)


def replicas_for(rate: Floats, sustainable: Floats, least: Floats) -> Floats:
    """ceil(rate / sustainable rate), at least ``least``; inf where nothing is sustained. Six digits decide a tie."""
    with np.errstate(divide="ignore", invalid="ignore"):
        needed = np.ceil(significant(rate / sustainable))
    replicas: Floats = np.where(sustainable > 0, np.maximum(needed, least), np.inf)
    return replicas


@dataclass(frozen=True, slots=True)
class Groups:
    """Lots that differ only in the offer's pool: (workload, variant, shape, tensor parallel).

    Arrays over lots: ``of_lot`` (the group), ``counts`` (still passing), ``slots`` (replicas that fit there),
    ``single_node``. Arrays over groups: ``replicas`` needed, and ``steady``: how many of them may not be spot.
    """

    of_lot: Integers
    counts: Booleans
    slots: Integers
    single_node: Booleans
    replicas: Floats
    steady: Floats

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
    replicas, steady = np.zeros(count), np.zeros(count)
    needed = replicas_of_lots(matter)
    # Lots of a group that were never sized (their pool is not wanted, say) know no number.
    np.maximum.at(replicas, of_lot, np.where(np.isfinite(needed), needed, 0.0))
    steady[of_lot] = steady_replicas(lots, replicas[of_lot])
    single = np.array([variant.access.single_node for variant in matter.variants.distinct], dtype=np.bool_)
    return Groups(of_lot, passes, _slots(matter, passes), single[matter.variants.of_lot], replicas, steady)


def group_of_lot(lots: Lots) -> Integers:
    """Number of each lot's group, in the order (workload, variant, shape, tensor parallel)."""
    columns = (lots.workload, lots.variant, lots.shape + 1, lots.tensor_parallel)
    sizes = tuple(int(column.max(initial=0)) + 1 for column in columns)
    _, group = np.unique(np.ravel_multi_index(columns, sizes), return_inverse=True)
    return group.astype(np.int64)


def steady_replicas(lots: Lots, replicas: Floats) -> Floats:
    """How many of the replicas may not be spot (lots,): the base, and what the share leaves, where spot is allowed."""
    allowed = np.array([CapacityType.SPOT in one.placement.capacity_types for one in lots.workloads], dtype=np.bool_)
    share = np.array([one.spot.maximum_share_percent for one in lots.workloads])[lots.workload]
    base = np.array([one.spot.on_demand_base for one in lots.workloads], dtype=np.float64)[lots.workload]
    most_spot = np.floor(significant(replicas * share / 100))
    steady = np.minimum(np.maximum(base, replicas - most_spot), replicas)
    return np.where(allowed[lots.workload], steady, replicas)


def steady_of(workload: Workload, replicas: int) -> int:
    """The scalar form of :func:`steady_replicas`."""
    if CapacityType.SPOT not in workload.placement.capacity_types:
        return replicas
    most_spot = int(np.floor(significant(replicas * workload.spot.maximum_share_percent / 100)))
    return min(max(workload.spot.on_demand_base, replicas - most_spot), replicas)


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
