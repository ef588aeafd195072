"""What a decision saves against a baseline: data, no behaviour."""

from datetime import date
from decimal import Decimal
from enum import StrEnum

from berth_cost.record import Record


class Baseline(StrEnum):
    """What a decision is compared with."""

    RUNNING = "Running"
    """The berths that serve now, at today's prices."""
    CONVENTIONAL = "Conventional"
    """On demand, fp16 (else the nearest precision of the variants that runs), replicas for the whole rate all the time,
    on the GPU that most people would take (:mod:`berth_cost.prices.conventional`)."""


class Factor(StrEnum):
    """Where a saving comes from, in the order in which the baseline is turned into the decision."""

    GPU = "GPU"
    """Another GPU or slice, with the replicas that it then takes."""
    PRECISION = "Precision"
    """Another precision, with the replicas that it then takes."""
    GPU_AND_PRECISION = "GPUAndPrecision"
    """Both, where they cannot be told apart: the decided GPU does not carry the rate at the baseline's precision, or
    only one of the two would cost more."""
    REPLICAS = "Replicas"
    """More or fewer replicas than the rate takes on that GPU at that precision: spares, minimum, what was too many."""
    CAPACITY_TYPE = "CapacityType"
    """Bought otherwise than on demand."""
    PRICE = "Price"
    """The same thing elsewhere, or at a price of one's own: region, provider, negotiated, owned."""


class Saving(Record):
    """Against one baseline. Where it cannot be computed, ``unknown`` says why and every number is absent."""

    baseline: Baseline
    what: str | None = None
    """``3 × T4, fp16, on demand``"""
    usd_per_hour: Decimal | None = None
    """Of the baseline."""
    saved_usd_per_hour: Decimal | None = None
    """Of the baseline less the decision's; negative: the decision costs more."""
    saved_percent: float | None = None
    """Of the baseline."""
    parts: dict[Factor, Decimal] = {}
    """USD an hour by where it comes from, those that are not zero; they add up to ``saved_usd_per_hour`` exactly."""
    price_date: date | None = None
    """Of the oldest price of the baseline."""
    price_source: str | None = None
    unknown: str | None = None


class SavingTotal(Record):
    """Of all decisions that can be compared with a baseline."""

    baseline: Baseline
    workloads: int
    """How many are compared; the rest is left out of every number here."""
    left_out: int
    """Placed workloads that cannot be compared, each of which says why."""
    usd_per_hour: Decimal
    """Of the baseline."""
    planned_usd_per_hour: Decimal
    """Of the decisions that are compared."""
    saved_usd_per_hour: Decimal
    saved_percent: float | None = None
    parts: dict[Factor, Decimal] = {}
