"""A nearest miss as a record: the number that broke it, its limit, and a line that a person can act on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np

from berth_cost.hardware.precision import supported
from berth_cost.performance.prediction import PredictionTable
from berth_cost.rounding import significant_number
from berth_scheduler.constraints import least_score
from berth_scheduler.decision import Constraint, Rejection
from berth_scheduler.rejection import Miss
from berth_scheduler.snapshot import CapacityType, Sharing, Variant, Workload
from berth_scheduler.supply import NO_SHAPE, Offer, Shape
from berth_scheduler.survey import Survey
from berth_scheduler.wording import (
    LATENCY_PARTS,
    dollars,
    duration,
    duration_band,
    memory,
    model_metric,
    number,
    objective_name,
    percent,
    plural,
    unit_name,
)

WHOLE_REQUEST = ("latencySeconds", "endToEndSeconds")
"""Metrics whose mean is what the parts of a prediction add up to."""
LONE_REQUESTS_PER_SECOND = 1e-6
"""So few that no request ever meets another."""


@dataclass(frozen=True, slots=True)
class Missed:
    """A miss with what its message needs to know. ``place`` is its prediction's, -1 where it has none."""

    found: Survey
    miss: Miss
    workload: Workload
    variant: Variant
    offer: Offer
    shape: Shape | None
    predicted: PredictionTable | None
    place: int

    @property
    def row(self) -> int:
        return _telling_row(self.found, self.miss)

    @property
    def model_words(self) -> str:
        """Why the performance model refuses it."""
        return str(self.found.sizing.message[self.row])

    def high_of(self, key: tuple[str, str]) -> float:
        """The pessimistic edge of a latency in seconds; nan where it is not predicted."""
        return self._latency("high", key)

    def edge_of(self, key: tuple[str, str]) -> tuple[str, dict[str, float]] | None:
        """The latency with its band, and where the mean latency goes; None where it is not predicted."""
        point, low, high = (self._latency(name, key) for name in ("point", "low", "high"))
        if self.predicted is None or not isfinite(high):
            return None
        parts = {name: float(self.predicted.parts[column][self.place]) for column, name in LATENCY_PARTS.items()}
        return duration_band(point, low, high), parts

    def _latency(self, edge: str, key: tuple[str, str]) -> float:
        if self.predicted is None or self.place < 0:
            return float("nan")
        metric, statistic = model_metric(self.workload, key[0]), key[1]
        columns = getattr(self.predicted, edge)
        return float(columns[metric][statistic][self.place]) if metric in columns else float("nan")


def rejections_of(found: Survey, misses: Sequence[Sequence[Miss]]) -> list[tuple[Rejection, ...]]:
    """Of every workload, in the order of its misses."""
    asked: dict[tuple[int, float], int] = {}
    places: dict[int, int] = {}
    for miss in (miss for mine in misses for miss in mine):
        rate = _telling_rate(found, miss)
        if rate is not None:
            places[miss.lot] = asked.setdefault((_telling_row(found, miss), rate), len(asked))
    rows, rates = np.array([row for row, _ in asked], dtype=np.int64), np.array([rate for _, rate in asked])
    predicted = found.sizing.predict(rows, rates) if asked else None
    said: dict[tuple[object, ...], Rejection] = {}

    def missed(workload: Workload, miss: Miss) -> Missed:
        offer = found.supply.offers[miss.offer]
        shape = None if offer.shape == NO_SHAPE else found.supply.shapes[offer.shape]
        variant = workload.variants[miss.variant]
        return Missed(found, miss, workload, variant, offer, shape, predicted, places.get(miss.lot, -1))

    def rejection(workload: Workload, miss: Miss) -> Rejection:
        key = _sameness(found, workload, miss)
        if key is None:
            return _rejection(missed(workload, miss))
        if key not in said:
            said[key] = _rejection(missed(workload, miss))
        return said[key]

    return [
        tuple(rejection(workload, miss) for miss in mine)
        for workload, mine in zip(found.workloads, misses, strict=True)
    ]


def _sameness(found: Survey, workload: Workload, miss: Miss) -> tuple[object, ...] | None:
    """Equal for misses that are told in the same words, whosever they are; None where the words are one's own."""
    if miss.constraint in BEFORE_PRECISION:
        placement = workload.placement
        wants = (placement.allow, placement.deny, placement.capacity_types, placement.sharing)
        return (miss.constraint, miss.offer, wants)
    if miss.constraint in OF_THE_MODEL:
        return (miss.constraint, _telling_row(found, miss), found.supply.offers[miss.offer].capacity_type)
    return None


def _telling_row(found: Survey, miss: Miss) -> int:
    """The row of the lot's cell that tells most: the fastest, else the one that came nearest."""
    return int(found.sizing.nearest[found.cell[miss.lot]])


def _telling_rate(found: Survey, miss: Miss) -> float | None:
    """The rate per replica at which a prediction shows why: a lone request, or the full rate on the most replicas."""
    if miss.constraint is Constraint.LATENCY:
        return LONE_REQUESTS_PER_SECOND
    if miss.constraint is Constraint.THROUGHPUT and found.sizing.binding[_telling_row(found, miss)] is not None:
        workload = found.workloads[int(found.lots.workload[miss.lot])]
        return workload.traffic.requests_per_second / workload.maximum_replicas
    return None


@dataclass(frozen=True, slots=True)
class Told:
    """What is said of a miss; ``constraint``, ``value`` and ``limit`` where a prediction tells more than the miss."""

    text: str
    detail: str | None = None
    constraint: Constraint | None = None
    value: float = float("nan")
    limit: float = float("nan")


OF_THE_MODEL = frozenset(
    {
        Constraint.PRECISION,
        Constraint.PARALLELISM,
        Constraint.UNKNOWN,
        Constraint.MEMORY,
        Constraint.CONTEXT,
        Constraint.LATENCY,
    }
)
"""What depends on the sizing row alone."""
BEFORE_PRECISION = frozenset({Constraint.POOL, Constraint.GPU, Constraint.CAPACITY_TYPE, Constraint.SHARING})


def _rejection(missed: Missed) -> Rejection:
    miss, offer, shape = missed.miss, missed.offer, missed.shape
    told = MESSAGES[miss.constraint](missed)
    precision = None if miss.constraint in BEFORE_PRECISION else missed.variant.precision
    return Rejection(
        pool=offer.pool.name if miss.constraint is Constraint.POOL else None,
        gpu=shape.gpu.name if shape else None,
        sharing=Sharing.MIG if offer.mig_profile else Sharing.EXCLUSIVE,
        mig_profile=offer.mig_profile,
        capacity_type=offer.capacity_type,
        precision=precision,
        constraint=told.constraint or miss.constraint,
        detail=told.detail,
        value=_number(told.value if told.constraint else miss.value),
        limit=_number(told.limit if told.constraint else miss.limit),
        message=f"{_label(missed, precision)}: {told.text}",
    )


def _label(missed: Missed, precision: str | None) -> str:
    """``L4 Spot int8``; the pool where it is the pool that is at fault."""
    offer, shape = missed.offer, missed.shape
    if missed.miss.constraint is Constraint.POOL or shape is None:
        return f"pool {offer.pool.name}"
    kind = "" if offer.capacity_type is CapacityType.ON_DEMAND else f" {offer.capacity_type.value}"
    return f"{unit_name(shape.gpu.name, offer.mig_profile)}{kind}{f' {precision}' if precision else ''}"


def _number(value: float) -> float | None:
    return value if isfinite(value) else None


# --- one line each -------------------------------------------------------------------------------------------------


def _pool(missed: Missed) -> Told:
    return Told(missed.offer.unusable or "")


def _gpu(missed: Missed) -> Told:
    placement = missed.workload.placement
    if missed.shape and missed.shape.gpu.name in placement.deny:
        return Told("denied by placement.gpus.deny")
    return Told(f"not in placement.gpus.allow ({', '.join(placement.allow or ())})")


def _capacity_type(missed: Missed) -> Told:
    allowed = ", ".join(kind.value for kind in missed.workload.placement.capacity_types)
    return Told(f"{missed.offer.capacity_type.value} is not in placement.capacityTypes ({allowed})")


def _sharing(missed: Missed) -> Told:
    return Told(f"not in placement.sharing ({', '.join(kind.value for kind in missed.workload.placement.sharing)})")


def _precision(missed: Missed) -> Told:
    assert missed.shape is not None
    refusal = supported(missed.shape.gpu, missed.variant.precision, missed.workload.backend)
    return Told(refusal.message if refusal else missed.model_words)


def _quality(missed: Missed) -> Told:
    workload, quality = missed.workload, missed.variant.quality
    metric = workload.quality.metric if workload.quality else "quality"
    if quality is None:
        return Told(f"no {metric} is stated for this variant: state variants[].quality")
    return Told(f"{metric} {quality.score} < {number(float(least_score(workload)), 6)}", detail=metric)


def _artefact(missed: Missed) -> Told:
    access = missed.variant.access
    if access.problem is not None:
        return Told(access.problem.message)
    where = f"on node {access.node}" if access.node else f"in zone {', '.join(access.zones or ())}"
    return Told(f"the artefact's volume can be mounted {where} only, and the pool has no node there")


def _as_the_model_says(missed: Missed) -> Told:
    return Told(missed.model_words)


def _node_resources(missed: Missed) -> Told:
    value, limit = missed.miss.value, missed.miss.limit
    if value == missed.workload.resources.memory_bytes:
        return Told(f"asks for {memory(value)} of memory, the roomiest node has {memory(limit)}", detail="memoryBytes")
    return Told(f"asks for {number(value)} CPU cores, the roomiest node has {number(limit)}", detail="cpuCores")


def _memory(missed: Missed) -> Told:
    value, limit, margin = missed.miss.value, missed.miss.limit, missed.found.policy.memory_margin_percent
    wide = int(missed.found.lots.tensor_parallel[missed.miss.lot])
    split = f", split over {wide}" if wide > 1 else ""
    return Told(f"needs {memory(value)} > {memory(limit)} a GPU{split} ({number(margin)} % kept free)")


def _context(missed: Missed) -> Told:
    told = _memory(missed)
    return Told(f"with a request of {missed.workload.maximum_context_tokens} tokens {told.text}")


def _latency(missed: Missed) -> Told:
    key = missed.found.sizing.binding[missed.row]
    name, limit = objective_name(*key), missed.miss.limit
    told = missed.edge_of(key)
    if told is None:
        return Told(f"{name} ≤ {duration(limit)} cannot hold: the model has no such latency", detail=".".join(key))
    band, parts = told
    largest = max(parts, key=lambda one: (parts[one], one))
    whole = model_metric(missed.workload, key[0]) in WHOLE_REQUEST and parts[largest] > 0
    share = f", {duration(parts[largest])} of it {largest}" if whole else ""
    return Told(f"{name} {band} for a lone request > {duration(limit)}{share}", detail=".".join(key))


def _throughput(missed: Missed) -> Told:
    workload, found = missed.workload, missed.found
    key = found.sizing.binding[missed.row]
    load = f"{number(workload.traffic.requests_per_second)}/s with ≤ {plural(workload.maximum_replicas, 'replica')}"
    if key is not None:
        limit = min(ask.limit_seconds for ask in missed.workload.latency if (ask.metric, ask.statistic) == tuple(key))
        told = missed.edge_of(key)
        edge = missed.high_of(key)
        if told is not None and edge > limit:
            text = f"{objective_name(*key)} {told[0]} > {duration(limit)} at {load}"
            return Told(text, ".".join(key), Constraint.LATENCY, significant_number(edge), limit)
    needed = f"{number(missed.miss.value, 6)} replicas" if isfinite(missed.miss.value) else "more replicas"
    return Told(f"{load} is too much: it needs {needed} (replicas.maximum)")


def _availability(missed: Missed) -> Told:
    value, limit = missed.miss.value, missed.miss.limit
    stand = f"enough replicas stand {percent(value)} < {percent(limit)} of the time with"
    if missed.found.groups.availability[missed.found.groups.of_lot[missed.miss.lot]] >= limit:
        return Told(f"{stand} spot up to its share; steady ones cost less than the spares that it needs")
    most = plural(missed.workload.maximum_replicas, "replica")
    return Told(f"{stand} ≤ {most} (replicas.maximum): allow steadier capacity types, or more replicas")


def _carbon(missed: Missed) -> Told:
    site, pool = missed.offer.pool.site, missed.offer.pool.name
    if site is None:
        return Told(f"PUE and grid of pool {pool} are not known: no carbon objective can be judged there")
    if site.unknown is not None:
        return Told(site.unknown)
    value, limit = missed.miss.value, missed.miss.limit
    if not isfinite(value):
        return Told("the energy of a request is not known: the power limit of the GPU is not in the catalogue")
    return Told(
        f"{number(value)} g of CO2e per thousand requests > {number(limit)} g (objectives.carbon, {site.place})"
    )


def _spot_share(missed: Missed) -> Told:
    spot, allowed = missed.workload.spot, missed.workload.placement.capacity_types
    if all(kind is CapacityType.SPOT for kind in allowed):
        cure = "allow another capacity type, or set spot.maximumSharePercent 100 and spot.onDemandBase 0"
        return Told(f"spot share 100 % > {number(missed.miss.limit)} %: {cure}")
    base = f"spot.maximumSharePercent {number(spot.maximum_share_percent)}, spot.onDemandBase {spot.on_demand_base}"
    return Told(f"spot share 100 % > {number(missed.miss.limit)} % ({base}), and nothing steadier beside it")


def _capacity(missed: Missed) -> Told:
    return Told(f"{plural(int(missed.miss.value), 'replica')} wanted, room for {int(missed.miss.limit)}")


def _budget(missed: Missed) -> Told:
    return Told(f"{dollars(missed.miss.value)}/month > {dollars(missed.miss.limit)}/month (budget.monthlyUSD)")


def _cost(missed: Missed) -> Told:
    return Told(f"fits, costs {dollars(missed.miss.value)}/h")


def _kept(missed: Missed) -> Told:
    return Told(f"would cost {dollars(missed.miss.value)}/h, but what runs stays")


MESSAGES: dict[Constraint, Callable[[Missed], Told]] = {
    Constraint.POOL: _pool,
    Constraint.GPU: _gpu,
    Constraint.CAPACITY_TYPE: _capacity_type,
    Constraint.SHARING: _sharing,
    Constraint.PRECISION: _precision,
    Constraint.QUALITY: _quality,
    Constraint.ARTEFACT: _artefact,
    Constraint.PARALLELISM: _as_the_model_says,
    Constraint.UNKNOWN: _as_the_model_says,
    Constraint.NODE_RESOURCES: _node_resources,
    Constraint.MEMORY: _memory,
    Constraint.CONTEXT: _context,
    Constraint.LATENCY: _latency,
    Constraint.THROUGHPUT: _throughput,
    Constraint.CARBON: _carbon,
    Constraint.AVAILABILITY: _availability,
    Constraint.SPOT_SHARE: _spot_share,
    Constraint.CAPACITY: _capacity,
    Constraint.BUDGET: _budget,
    Constraint.COST: _cost,
    Constraint.KEPT: _kept,
}
