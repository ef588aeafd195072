"""The chain of constraints: what is asked of every lot, in this order; the first that fails is why it is rejected.

Each check is a few lines: which lots pass, and for those that do not, the number that broke it and its limit, in the
constraint's own unit (see :class:`berth_scheduler.decision.Rejection`). Budget and cost come after the chain, because
they are properties of all berths of a workload together (``rank``, ``fleet``).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from berth_cost.hardware.precision import support_table
from berth_cost.performance.prediction_table import SCALAR
from berth_cost.rounding import significant
from berth_scheduler.candidates import Lots
from berth_scheduler.capacity import Reach, need_of
from berth_scheduler.decision import Constraint
from berth_scheduler.footprint import grams_per_joule
from berth_scheduler.groups import Groups, Matter, distinct, groups_of, replicas_of_lots, rows_that_batch
from berth_scheduler.sizing import CODE, PASSED
from berth_scheduler.snapshot import CapacityType, Sharing, Workload
from berth_scheduler.supply import NO_SHAPE

Booleans = NDArray[np.bool_]
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Check:
    """``passes`` (lots,); ``value`` and ``limit`` are arrays of the same shape, or nan where there is no number."""

    passes: Booleans
    value: Floats | float = np.nan
    limit: Floats | float = np.nan


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of every lot: ``code`` of the first constraint that rejects it (``PASSED``: none), with value and limit."""

    code: Integers
    value: Floats
    limit: Floats

    @classmethod
    def open(cls, count: int) -> "Outcome":
        return cls(np.full(count, PASSED, dtype=np.int64), np.full(count, np.nan), np.full(count, np.nan))

    @property
    def passes(self) -> Booleans:
        return np.asarray(self.code == PASSED)

    def record(self, constraint: Constraint, check: Check) -> None:
        """Lots that passed all before and fail this one are rejected by it."""
        fresh = self.passes & ~check.passes
        self.code[fresh] = CODE[constraint]
        self.value[fresh] = np.broadcast_to(check.value, self.value.shape)[fresh]
        self.limit[fresh] = np.broadcast_to(check.limit, self.limit.shape)[fresh]


# --- is it offered, and does the workload want it ------------------------------------------------------------------


def pool_is_usable(lots: Lots) -> Check:
    usable = np.array([offer.unusable is None for offer in lots.supply.offers], dtype=np.bool_)
    return Check(usable[lots.offer])


def gpu_is_allowed(lots: Lots) -> Check:
    names = [shape.gpu.name for shape in lots.supply.shapes]

    def allowed(workload: Workload) -> list[bool]:
        placement = workload.placement
        return [(placement.allow is None or name in placement.allow) and name not in placement.deny for name in names]

    table = _table_by(lots, lambda workload: (workload.placement.allow, workload.placement.deny), allowed, len(names))
    return Check((lots.shape == NO_SHAPE) | table[lots.workload, lots.shape])


def capacity_type_is_allowed(lots: Lots) -> Check:
    kinds = tuple(CapacityType)
    of_offer = np.array([kinds.index(offer.capacity_type) for offer in lots.supply.offers], dtype=np.int64)
    table = _table_by(
        lots,
        lambda workload: workload.placement.capacity_types,
        lambda workload: [kind in workload.placement.capacity_types for kind in kinds],
        len(kinds),
    )
    return Check(table[lots.workload, of_offer[lots.offer]])


def sharing_is_allowed(lots: Lots) -> Check:
    kinds = tuple(Sharing)
    of_offer = [kinds.index(Sharing.MIG if offer.mig_profile else Sharing.EXCLUSIVE) for offer in lots.supply.offers]
    table = _table_by(
        lots,
        lambda workload: workload.placement.sharing,
        lambda workload: [kind in workload.placement.sharing for kind in kinds],
        len(kinds),
    )
    return Check(table[lots.workload, np.array(of_offer, dtype=np.int64)[lots.offer]])


# --- can the artefact run there, and is it good enough -------------------------------------------------------------


def precision_is_supported(matter: Matter) -> Check:
    """By the backend, by the GPU's generation under that backend, and by the GPU's arithmetic."""
    lots = matter.lots
    gpus = [shape.gpu for shape in lots.supply.shapes]
    engines, of_workload = distinct([workload.backend for workload in lots.workloads])
    tables = np.array([support_table(gpus, lots.precisions, engine) for engine in engines], dtype=np.bool_)
    supported = tables[of_workload[lots.workload], lots.shape, lots.precision]
    return Check(supported & _rejected_by_model(matter, Constraint.PRECISION).passes)


def quality_is_reached(matter: Matter) -> Check:
    lots = matter.lots
    width = max((len(workload.variants) for workload in lots.workloads), default=1)
    score, least = np.full((len(lots.workloads), width), np.nan), np.full(len(lots.workloads), -np.inf)
    for index, workload in enumerate(lots.workloads):
        if workload.quality is not None:
            least[index] = float(least_score(workload))
            for position, variant in enumerate(workload.variants):
                score[index, position] = float(variant.quality.score) if variant.quality else np.nan
    got, limit = score[lots.workload, lots.variant], least[lots.workload]
    return Check((limit == -np.inf) | (got >= limit), got, limit)


def least_score(workload: Workload) -> Decimal:
    """The lowest score that the quality objective accepts; a loss is counted from the best variant that has a score."""
    scores = [variant.quality.score for variant in workload.variants if variant.quality]
    floors = [Decimal("-Infinity")]
    if workload.quality and workload.quality.minimum is not None:
        floors.append(workload.quality.minimum)
    if workload.quality and workload.quality.maximum_loss_percent is not None and scores:
        best = max(scores)
        floors.append(best - abs(best) * workload.quality.maximum_loss_percent / 100)
    return max(floors)


def artefact_can_be_mounted(matter: Matter) -> Check:
    lots = matter.lots
    variants = matter.variants
    table = np.ones((len(variants.distinct), len(lots.supply.offers)), dtype=np.bool_)
    for row, variant in zip(table, variants.distinct, strict=True):
        if variant.access.problem is not None:
            row[:] = False
        elif variant.access != type(variant.access)():
            reach = Reach.of(variant.access)
            row[:] = [matter.room.pools[offer.pool_index].in_reach(reach) for offer in lots.supply.offers]
    return Check(table[variants.of_lot, lots.offer])


def replica_is_not_too_wide(matter: Matter) -> Check:
    return _rejected_by_model(matter, Constraint.PARALLELISM)


def everything_is_known(matter: Matter) -> Check:
    return _rejected_by_model(matter, Constraint.UNKNOWN)


# --- does it fit and keep up ---------------------------------------------------------------------------------------


def node_has_cpu_and_memory(matter: Matter) -> Check:
    """Against the roomiest node, existing or to come: CPU in cores where that is short, else memory in bytes."""
    lots = matter.lots
    needs, of_workload = distinct([need_of(one.resources, None, 0) for one in lots.workloads])
    variants = matter.variants
    reaches = [Reach.of(variant.access) for variant in variants.distinct]
    largest = np.array(
        [[room.largest_node(reach) for room in matter.room.pools] for reach in reaches], dtype=np.float64
    ).reshape(len(reaches), len(matter.room.pools), 2)
    pool = np.array([offer.pool_index for offer in lots.supply.offers], dtype=np.int64)[lots.offer]
    has = largest[variants.of_lot, pool]
    asked = np.array([[one.millicores, one.memory_bytes] for one in needs], dtype=np.float64).reshape(-1, 2)
    wants = asked[of_workload[lots.workload]]
    nothing_there = has[:, 1] == 0
    cpu_short = wants[:, 0] > has[:, 0]
    value = np.where(cpu_short, wants[:, 0] / 1000, wants[:, 1])
    limit = np.where(cpu_short, has[:, 0] / 1000, has[:, 1])
    return Check(nothing_there | (wants <= has).all(axis=1), value, limit)


def memory_fits(matter: Matter) -> Check:
    return _rejected_by_model(matter, Constraint.MEMORY)


def context_fits(matter: Matter) -> Check:
    return _rejected_by_model(matter, Constraint.CONTEXT)


def latency_is_met(matter: Matter) -> Check:
    return _rejected_by_model(matter, Constraint.LATENCY)


def replicas_suffice(matter: Matter) -> Check:
    """Replicas that the rate needs, against ``replicas.maximum``."""
    lots = matter.lots
    most = np.array([workload.maximum_replicas for workload in lots.workloads], dtype=np.float64)[lots.workload]
    needed = replicas_of_lots(matter)
    return Check(needed <= most, needed, most)


def carbon_is_kept(matter: Matter) -> Check:
    """Grams of CO2 equivalent per thousand requests with the replicas that the rate needs."""
    replicas = replicas_of_lots(matter)
    return _carbon(matter, replicas, replicas)


def _carbon(matter: Matter, needed: Floats, replicas: Floats) -> Check:
    """On the pessimistic edge of the energy, at the rate that each of ``replicas`` then has; all arrays (lots,).

    nan, which fails, where nobody knows the grid or the energy.
    """
    lots = matter.lots
    limits = [one.carbon_grams_per_thousand_requests for one in lots.workloads]
    limit = np.array([np.inf if one is None else one for one in limits], dtype=np.float64)[lots.workload]
    grams = np.full(len(lots), np.nan)
    asked = np.flatnonzero(np.isfinite(limit) & np.isfinite(replicas) & (needed > 0) & (matter.cell >= 0))
    if len(asked):
        workload, cell = lots.workload[asked], matter.cell[asked]
        rate = np.array([one.traffic.requests_per_second for one in lots.workloads])[workload] / replicas[asked]
        predicted = matter.sizing.predict(rows_that_batch(workload, cell, needed[asked], lots, matter.sizing), rate)
        joules = predicted.high["joulesPerRequest"][SCALAR]
        per_joule = np.array([grams_per_joule(offer.pool.site) for offer in lots.supply.offers])
        grams[asked] = joules * per_joule[lots.offer[asked]] * 1000
    with np.errstate(invalid="ignore"):
        return Check(np.isinf(limit) | (significant(grams) <= limit), grams, limit)


# --- is there room, bought as the workload wants -------------------------------------------------------------------


def carbon_is_kept_with_spares(matter: Matter, groups: Groups) -> Check:
    """The same with the spares that an availability needs: they draw their idle power."""
    lots = matter.lots
    if all(one.availability_percent is None for one in lots.workloads):
        return Check(np.ones(len(lots), dtype=np.bool_))
    needed, replicas = groups.needed[groups.of_lot], groups.replicas[groups.of_lot]
    passing = np.where(groups.counts, needed, 0.0)
    found = _carbon(matter, passing, replicas)
    return Check(found.passes | ~groups.counts, found.value, found.limit)


def availability_is_reached(matter: Matter, groups: Groups) -> Check:
    """Percent of the time with enough replicas, of the best crew within the bounds, against what is asked; of spot that
    the best crew has none of, what it would be with as much of it as its share allows."""
    lots = matter.lots
    asked = np.array([_or_nan(one.availability_percent) for one in lots.workloads])[lots.workload]
    reached, unguarded = groups.availability[groups.of_lot], groups.unguarded[groups.of_lot]
    left_out = lots.supply.spot[lots.offer] & (groups.steady >= groups.replicas)[groups.of_lot] & (unguarded < asked)
    out_of_reach = reached < asked
    return Check(~out_of_reach & ~left_out, np.where(out_of_reach, reached, unguarded), asked)


def spot_share_is_kept(matter: Matter, groups: Groups) -> Check:
    """Share of spot replicas if all went there, in percent, against what share and base leave of them.

    A spot lot needs a steady lot of the same configuration beside it for the replicas that may not be spot; a
    workload bound to a single node cannot be split at all.
    """
    lots = matter.lots
    spot = lots.supply.spot[lots.offer]
    may = np.maximum(groups.replicas - groups.steady, 0)
    steady_beside = groups.any(~spot)[groups.of_lot] & ~groups.single_node
    passes = ~spot | (groups.steady[groups.of_lot] == 0) | ((may[groups.of_lot] > 0) & steady_beside)
    with np.errstate(invalid="ignore"):
        share = 100.0 * may / groups.replicas
    return Check(passes, 100.0, share[groups.of_lot])


def pools_have_room(matter: Matter, groups: Groups) -> Check:
    """Replicas wanted, against those that fit once nothing of ours runs, over all pools of the configuration."""
    lots = matter.lots
    spot = lots.supply.spot[lots.offer]
    slots = groups.slots.astype(np.float64)
    may_be_spot = np.maximum(groups.replicas - groups.steady, 0)
    split = groups.sum(np.where(spot, 0, slots)) + np.minimum(groups.sum(np.where(spot, slots, 0)), may_be_spot)
    available = np.where(groups.single_node, slots, split[groups.of_lot])
    wanted = groups.replicas[groups.of_lot]
    return Check(available >= wanted, wanted, available)


OFFER_CHECKS: tuple[tuple[Constraint, Callable[[Lots], Check]], ...] = (
    (Constraint.POOL, pool_is_usable),
    (Constraint.GPU, gpu_is_allowed),
    (Constraint.CAPACITY_TYPE, capacity_type_is_allowed),
    (Constraint.SHARING, sharing_is_allowed),
)
"""Asked first: what they reject is never sized."""

FITNESS_CHECKS: tuple[tuple[Constraint, Callable[[Matter], Check]], ...] = (
    (Constraint.PRECISION, precision_is_supported),
    (Constraint.QUALITY, quality_is_reached),
    (Constraint.ARTEFACT, artefact_can_be_mounted),
    (Constraint.PARALLELISM, replica_is_not_too_wide),
    (Constraint.UNKNOWN, everything_is_known),
    (Constraint.NODE_RESOURCES, node_has_cpu_and_memory),
    (Constraint.MEMORY, memory_fits),
    (Constraint.CONTEXT, context_fits),
    (Constraint.LATENCY, latency_is_met),
    (Constraint.THROUGHPUT, replicas_suffice),
    (Constraint.CARBON, carbon_is_kept),
)

ROOM_CHECKS: tuple[tuple[Constraint, Callable[[Matter, Groups], Check]], ...] = (
    (Constraint.CARBON, carbon_is_kept_with_spares),
    (Constraint.AVAILABILITY, availability_is_reached),
    (Constraint.SPOT_SHARE, spot_share_is_kept),
    (Constraint.CAPACITY, pools_have_room),
)


def examine_offers(lots: Lots) -> Outcome:
    """The first part of the chain, on the supply alone."""
    outcome = Outcome.open(len(lots))
    for constraint, check in OFFER_CHECKS:
        outcome.record(constraint, check(lots))
    return outcome


def examine_fitness(matter: Matter, outcome: Outcome) -> None:
    """The second part: on the sized lots."""
    for constraint, check in FITNESS_CHECKS:
        outcome.record(constraint, check(matter))


def examine_room(matter: Matter, outcome: Outcome) -> Groups:
    """The last part: over the pools between which the replicas of one configuration may be split. Returns the groups
    of what has passed everything."""
    groups = groups_of(matter, outcome.passes)
    for constraint, check in ROOM_CHECKS:
        outcome.record(constraint, check(matter, groups))
        groups = replace(groups, counts=outcome.passes)
    return groups


# --- tables by workload, computed once per distinct value ----------------------------------------------------------


def _table_by(
    lots: Lots, key: Callable[[Workload], object], row: Callable[[Workload], list[bool]], width: int
) -> Booleans:
    """(workloads, width): ``row`` of each workload, computed once per distinct ``key``."""
    known: dict[object, list[bool]] = {}
    table = np.zeros((len(lots.workloads), max(width, 1)), dtype=np.bool_)
    for index, workload in enumerate(lots.workloads):
        found = known.get(key(workload))
        if found is None:
            found = known[key(workload)] = row(workload)
        table[index, :width] = found
    return table


def _or_nan(value: float | None) -> float:
    return np.nan if value is None else value


def _rejected_by_model(matter: Matter, constraint: Constraint) -> Check:
    """What sizing found of the lot's cell: the nearest miss among batch sizes and instances."""
    sizing = matter.sizing
    nearest = np.append(sizing.nearest, 0)[matter.cell] if len(sizing.nearest) else np.zeros(len(matter.lots), int)
    if not len(sizing.code):
        return Check(np.ones(len(matter.lots), dtype=np.bool_))
    rejected = (sizing.code[nearest] == CODE[constraint]) & (matter.cell >= 0)
    return Check(~rejected, sizing.value[nearest], sizing.limit[nearest])
