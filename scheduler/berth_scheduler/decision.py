"""What a plan says: one decision a workload, each with its berths, prediction, cost and reasons. Data, no behaviour."""

from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from berth_cost.cases.case import Prediction
from berth_cost.record import Record
from berth_scheduler.savings.saving import Saving, SavingTotal
from berth_scheduler.snapshot import Berth, Sharing


class Constraint(StrEnum):
    """The chain, in the order in which it is asked: a candidate is rejected by the first that it fails."""

    POOL = "pool"
    GPU = "gpu"
    CAPACITY_TYPE = "capacity-type"
    SHARING = "sharing"
    PRECISION = "precision"
    QUALITY = "quality"
    ARTEFACT = "artefact"
    PARALLELISM = "parallelism"
    UNKNOWN = "unknown"
    """A number that the prediction needs is not known: nothing is guessed."""
    NODE_RESOURCES = "node-resources"
    MEMORY = "memory"
    CONTEXT = "context"
    LATENCY = "latency"
    THROUGHPUT = "throughput"
    CARBON = "carbon"
    AVAILABILITY = "availability"
    SPOT_SHARE = "spot-share"
    CAPACITY = "capacity"
    BUDGET = "budget"
    COST = "cost"
    """Feasible, but dearer than what was chosen."""
    KEPT = "kept"
    """Feasible and not dearer, but what runs stays: a cheaper offer alone moves nothing."""


class Verdict(StrEnum):
    """The fixed vocabulary of ``Decision.reason``."""

    PLACED = "Placed"
    KEPT = "Kept"
    NO_ROOM_TO_SWITCH = "NoRoomToSwitch"
    INSUFFICIENT_CAPACITY = "InsufficientCapacity"
    NO_FEASIBLE_CANDIDATE = "NoFeasibleCandidate"
    NO_POOLS = "NoPools"
    INVALID_SPEC = "InvalidSpec"
    """Also any word that a workload's own ``problem`` brings."""


class Rejection(Record):
    """Why not this: the nearest miss among the candidates that share GPU, slice, precision and capacity type.

    ``value`` and ``limit`` are in the constraint's own unit: seconds, bytes, replicas, GPUs, percent or USD;
    None where the constraint is not a number (a GPU that is not allowed, say).
    """

    pool: str | None = None
    gpu: str | None = None
    sharing: Sharing = Sharing.EXCLUSIVE
    mig_profile: str | None = None
    capacity_type: str | None = None
    precision: str | None = None
    constraint: Constraint
    detail: str | None = None
    """Which of several: ``timeToFirstTokenSeconds.p95`` of latency, say."""
    value: float | None = None
    limit: float | None = None
    message: str


class Cost(Record):
    usd_per_hour: Decimal
    usd_per_month: Decimal
    effective_usd_per_hour: Decimal | None = None
    """With the starts that interruptions of spot waste; None without spot. What is billed is ``usd_per_hour``."""
    usd_per_million_requests: Decimal | None = None
    usd_per_million_tokens: Decimal | None = None
    price_date: date | None = None
    """The oldest among the prices used."""
    price_source: str | None = None
    usd_per_hour_low: Decimal | None = None
    """With ``usd_per_hour_high`` the band that old prices leave; None where no price is old."""
    usd_per_hour_high: Decimal | None = None
    price_note: str | None = None
    """Which prices are old. It changes with the quarters of their age, not with the days."""


class Footprint(Record):
    """Energy and emissions at the planned rate: of the GPUs, at the site's meter."""

    joules_per_request: float
    """PUE included where it is known: see ``unknown``."""
    kwh_per_month: float
    """At the planned rate for ``policy.hoursPerMonth``, PUE included where it is known."""
    joules_per_million_tokens: float | None = None
    """Read and written together."""
    grams_co2e_per_thousand_requests: float | None = None
    grams_co2e_per_million_tokens: float | None = None
    kg_co2e_per_month: float | None = None
    carbon_usd_per_hour: Decimal | None = None
    """All emissions of an hour at ``policy.carbonUSDPerTonne``: it is ranked by, and in no cost."""
    sites: tuple[str, ...] = ()
    """PUE and intensity of the grid, by site."""
    sources: tuple[str, ...] = ()
    """Of these numbers, with their years."""
    unknown: str | None = None
    """What is not known about the sites; then what depends on it is absent."""


class Alternative(Record):
    """Another feasible way, or, of a workload that cannot be placed, what would be feasible if ``change`` were made."""

    berths: tuple[Berth, ...]
    usd_per_hour: Decimal
    lost_by: Constraint
    message: str
    change: str | None = None
    """``latency p99 ≤ 10.5 ms``, ``budget ≥ $900/month``, ``placement.gpus: allow L4``; None for a runner-up."""


class Transition(StrEnum):
    """How the workload gets from what runs to what is decided."""

    NONE = "None"
    """Nothing runs, or what runs is what is decided."""
    SWITCH = "Switch"
    """The new revision starts beside the old one."""
    RECREATE = "Recreate"
    """The old revision stops first, because the spec opts in and there is no room for both."""
    WAIT = "Wait"
    """No room for both: the new revision waits until there is, and the old one serves."""


class Decision(Record):
    """``placed`` False keeps what runs running. ``reason`` is one word of the condition vocabulary."""

    workload: str
    placed: bool
    reason: str
    message: str
    berths: tuple[Berth, ...] = ()
    transition: Transition = Transition.NONE
    kept: bool = False
    """What runs stays, although something else may be cheaper: see ``alternatives``."""
    waiting_for_capacity: bool = False
    """Not placed, but only because capacity is short now: it may come right by itself."""
    requests_per_second: float | None = None
    """The rate of all replicas together that prediction and cost are for: the stated one; where somebody scales by
    demand the measured one, and never more than these replicas sustain."""
    requests_per_second_per_replica: float | None = None
    """What one replica sustains inside every objective, by the model; None where it cannot be asked."""
    prediction: Prediction | None = None
    availability_percent: float | None = None
    """How often enough replicas stand; None where ``objectives.availabilityPercent`` asks for nothing."""
    cost: Cost | None = None
    footprint: Footprint | None = None
    """At the planned rate; ``objectives.carbon`` limits it, and ``policy.carbonUSDPerTonne`` ranks by it."""
    savings: tuple[Saving, ...] = ()
    """Against each named baseline, of what is placed and has a price."""
    alternatives: tuple[Alternative, ...] = ()
    rejected: tuple[Rejection, ...] = ()
    decision_hash: str
    """Of the whole decision without times, observed values and what it is compared with."""


class EnergyTotal(Record):
    """Of a month at the planned rates: the sums of what the workloads' footprints say."""

    kwh_per_month: float
    kg_co2e_per_month: float | None = None
    """Of those whose grid is known; None where that is none."""
    energy_unknown: tuple[str, ...] = ()
    """Placed workloads that are in neither sum."""
    grid_unknown: tuple[str, ...] = ()
    """Those that are in the energy and not in the emissions."""


class Totals(Record):
    usd_per_hour: Decimal
    idle_usd_per_hour: Decimal
    """What started nodes cost beyond the shares that workloads use."""
    gpus_by_pool: dict[str, float]
    savings: tuple[SavingTotal, ...] = ()
    """Against each baseline, of the workloads that can be compared with it."""
    energy: EnergyTotal | None = None
    """Of what is placed; None where nothing is."""
    idle_usd_per_hour_by_pool: Annotated[dict[str, Decimal], Field(exclude=True)] = {}
    """What is idle, by pool where there is any: for whoever charges it to somebody; not part of the documented JSON."""


class Plan(Record):
    kind: Literal["Plan"] = "Plan"
    time: datetime
    decisions: tuple[Decision, ...]
    totals: Totals
