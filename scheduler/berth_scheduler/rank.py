"""Ranking: the options of every workload, cheapest first, with what each would cost at best.

An option is one configuration (variant, shape, tensor parallel) of a workload over all pools that may hold it. Its
*bound* is what it costs if every replica gets the cheapest pool that its spot share allows; the fleet plan finds the
true cost when it packs nodes, and no true cost is below the bound.

What decides between options, in this order (the last three only make the order total):

1. cost per hour, six significant digits, with what its emissions are priced at where the policy has such a price;
2. the configuration that runs now;
3. fewer nodes started;
4. the higher quality score (none stated: last);
5. the variant that the spec lists first;
6. fewer GPUs; the steadier capacity type;
7. GPU name, slice, tensor parallel, pool names.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from berth_cost.rounding import significant
from berth_scheduler.candidates import Lots
from berth_scheduler.groups import Groups, rows_that_batch
from berth_scheduler.sizing import Sizing

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


class Option(NamedTuple):
    """One option: ``steady`` of its replicas may not be spot; ``taste`` is its place by points 4 to 7 of the order."""

    workload: int
    variant: int
    shape: int
    tensor_parallel: int
    replicas: int
    steady: int
    bound_usd_per_hour: float
    ranked_usd_per_hour: float
    """The same with the policy's price of carbon."""
    taste: int


@dataclass(frozen=True, slots=True)
class Options:
    """One array axis: option, sorted by (workload, bound, the rest of the order). ``first`` is each workload's first
    option and one more. ``lots[first_lot[o]:first_lot[o + 1]]`` are an option's lots, cheapest offer first."""

    first: Integers
    workload: Integers
    cell: Integers
    carrying: Integers
    """Replicas that carry the rate."""
    needed: Integers
    """Those, at least the minimum; without spares."""
    replicas: Integers
    bound_usd_per_hour: Floats
    first_lot: Integers
    lots: Integers
    each: tuple[Option, ...]
    """One by one."""

    def __len__(self) -> int:
        return len(self.workload)

    def of_workload(self, workload: int) -> range:
        return range(int(self.first[workload]), int(self.first[workload + 1]))

    def lots_of(self, option: int) -> Integers:
        return self.lots[self.first_lot[option] : self.first_lot[option + 1]]


def rank(lots: Lots, groups: Groups, cell: Integers, carbon_usd: Floats) -> Options:
    """Options of all groups that have a lot left. ``carbon_usd`` (lots,): what an hour of a replica emits is worth."""
    billed = lots.supply.usd_per_unit_hour[lots.offer] * lots.tensor_parallel
    usd = billed + carbon_usd
    left = np.flatnonzero(groups.counts)
    offer = lots.offer[left]
    left = left[np.lexsort((offer, lots.supply.steadiness[offer], usd[left], groups.of_lot[left]))]
    group, start = np.unique(groups.of_lot[left], return_index=True)
    length = np.diff(np.append(start, len(left)))
    some = left[start]  # the option's cheapest lot: what its lots share is read from it, too
    bound = significant(_bounds(lots, groups, billed))[group]
    ranked = significant(_bounds(lots, groups, usd))[group] if carbon_usd.any() else bound

    workload, tensor_parallel = lots.workload[some], lots.tensor_parallel[some]
    quality = _quality(lots)[workload, lots.variant[some]]
    gpus = groups.replicas[group] * tensor_parallel
    steadiness = lots.supply.steadiness[lots.offer[some]]
    name = _name_order(lots)[lots.shape[some]]
    by_taste = np.lexsort((tensor_parallel, name, steadiness, gpus, lots.variant[some], -quality))
    taste = np.empty(len(some), dtype=np.int64)
    taste[by_taste] = np.arange(len(some))

    order = np.lexsort((taste, ranked, workload))
    first_lot = np.concatenate(([0], np.cumsum(length[order])))
    lot_order = np.repeat(start[order] - first_lot[:-1], length[order]) + np.arange(len(left))
    chosen, workload, bound, ranked, taste = some[order], workload[order], bound[order], ranked[order], taste[order]
    variant, shape, tensor_parallel = lots.variant[chosen], lots.shape[chosen], tensor_parallel[order]
    replicas = groups.replicas[group[order]].astype(np.int64)
    steady = groups.steady[group[order]].astype(np.int64)
    columns = (workload, variant, shape, tensor_parallel, replicas, steady, bound, ranked, taste)
    return Options(
        first=np.searchsorted(workload, np.arange(len(lots.workloads) + 1)),
        workload=workload,
        cell=cell[chosen],
        carrying=groups.carrying[group[order]].astype(np.int64),
        needed=groups.needed[group[order]].astype(np.int64),
        replicas=replicas,
        bound_usd_per_hour=bound,
        first_lot=first_lot.astype(np.int64),
        lots=left[lot_order],
        each=tuple(map(Option, *(column.tolist() for column in columns))),
    )


def _bounds(lots: Lots, groups: Groups, usd: Floats) -> Floats:
    """Cost per hour of each group with every replica in its cheapest pool (groups,)."""
    spot = lots.supply.spot[lots.offer]
    steady, cheapest = np.full(len(groups.replicas), np.inf), np.full(len(groups.replicas), np.inf)
    np.minimum.at(steady, groups.of_lot[groups.counts & ~spot], usd[groups.counts & ~spot])
    np.minimum.at(cheapest, groups.of_lot[groups.counts], usd[groups.counts])
    free = groups.replicas - groups.steady
    with np.errstate(invalid="ignore"):
        must_cost, free_cost = groups.steady * steady, free * cheapest
    return np.where(groups.steady > 0, must_cost, 0.0) + np.where(free > 0, free_cost, 0.0)


def _quality(lots: Lots) -> Floats:
    """Quality score by (workload, variant); -inf where none is stated."""
    width = max((len(workload.variants) for workload in lots.workloads), default=0) or 1
    table = np.full((len(lots.workloads), width), -np.inf)
    for row, workload in zip(table, lots.workloads, strict=True):
        for position, variant in enumerate(workload.variants):
            if variant.quality is not None:
                row[position] = float(variant.quality.score)
    return table


def _name_order(lots: Lots) -> Integers:
    """Place of each shape by (GPU name, slice)."""
    names = [(shape.gpu.name, shape.mig.name if shape.mig else "") for shape in lots.supply.shapes]
    ordered = sorted(range(len(names)), key=lambda index: (names[index], index))
    place = np.zeros(max(len(names), 1), dtype=np.int64)
    place[ordered] = np.arange(len(names))
    return place


def regret(options: Options, workload: int) -> float:
    """What a workload loses by its second choice, in USD per hour: the best option on another shape, because the
    first's pools are full when it comes to that. inf where there is none."""
    mine = options.of_workload(workload)
    if not mine:
        return float("inf")
    for option in mine:
        if options.each[option].shape != options.each[mine[0]].shape:
            return options.each[option].ranked_usd_per_hour - options.each[mine[0]].ranked_usd_per_hour
    return float("inf")


def batching_rows(found: Options, lots: Lots, sizing: Sizing) -> Integers:
    """The sizing row that batches each option (options,); spares do not count."""
    return rows_that_batch(found.workload, found.cell, found.needed.astype(np.float64), lots, sizing)
