"""Conditions: their types, the fixed vocabulary of their reasons, and how new findings meet what was said before. Pure.

kstatus (Flux, and the health script for Argo CD) reads Reconciling=True as in progress, Stalled=True as failed, and
Ready=True as done. So at most one of the three is True at a time, and Reconciling and Stalled are absent when not True.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Literal

from pydantic import ValidationError

from berth_operator.api.status import Condition

Status = Literal["True", "False", "Unknown"]
MAXIMUM_MESSAGE_LENGTH = 200


class ConditionType(StrEnum):
    """Declaration order is the order in a status."""

    ACCEPTED = "Accepted"
    """The spec is understood and complete."""
    PLACED = "Placed"
    """The newest spec has a feasible decision."""
    AVAILABLE = "Available"
    """At least one replica of some revision is ready and serving."""
    SLO_MET = "SLOMet"
    """Measured inside the objectives; Unknown without measurements."""
    AUTOSCALING = "Autoscaling"
    """The replica counts are set as spec.autoscaling.mode says."""
    BUDGET_OK = "BudgetOK"
    """What was spent in this month, what its end is forecast to come to, and the planned monthly cost are inside
    spec.budget, or there is no budget."""
    PRICED = "Priced"
    """Of a pool: its price is known."""
    MATCHED = "Matched"
    """Of a pool: its GPU is known and its nodes agree with what is stated."""
    READY = "Ready"
    """Placed, and the wanted revision is fully available."""
    RECONCILING = "Reconciling"
    """Present only while True: it may still come right by itself."""
    STALLED = "Stalled"
    """Present only while True: a person is needed."""
    MISPREDICTED = "Mispredicted"
    """Present only while True: what replicas carry lies outside the band of the prediction."""
    COST_UNUSUAL = "CostUnusual"
    """Present only while True: what runs costs what is not usual; the reason says what moved."""


WORKLOAD_CONDITIONS = (
    ConditionType.ACCEPTED,
    ConditionType.PLACED,
    ConditionType.AVAILABLE,
    ConditionType.SLO_MET,
    ConditionType.AUTOSCALING,
    ConditionType.BUDGET_OK,
    ConditionType.READY,
)
"""Of every InferenceWorkload from the first visit on, Unknown until known."""
POOL_CONDITIONS = (ConditionType.PRICED, ConditionType.MATCHED)
"""Of every GPUPool from the first visit on, Unknown until known."""
WHILE_TRUE = frozenset(
    {ConditionType.RECONCILING, ConditionType.STALLED, ConditionType.MISPREDICTED, ConditionType.COST_UNUSUAL}
)


class Reason(StrEnum):
    """The vocabulary. Stable: people write alerts on these words."""

    PENDING = "Pending"
    """Not looked at yet."""

    # Accepted
    SPEC_ACCEPTED = "SpecAccepted"
    """The spec is understood and complete."""
    INVALID_SPEC = "InvalidSpec"
    """The spec contradicts itself or lacks something; the message names the field."""
    UNKNOWN_PRESET = "UnknownPreset"
    """spec.model.preset is not in the model catalogue."""
    UNKNOWN_GPU = "UnknownGPU"
    """A GPU is named, or found on a node, that the GPU catalogue does not know."""
    UNSUPPORTED_BACKEND = "UnsupportedBackend"
    """The backend cannot serve this model or any of its precisions."""
    MEASUREMENTS_MISSING = "MeasurementsMissing"
    """The ConfigMap that spec.model.measuredFrom names, or its key, is not there."""
    INVALID_MEASUREMENTS = "InvalidMeasurements"
    """A line of the measured runs cannot be used; the message names ConfigMap, key and line."""
    ARTEFACT_MISSING = "ArtefactMissing"
    """A claim that a variant's source names does not exist, or cannot be used."""

    # Placed
    PLACED = "Placed"
    """A new decision was made."""
    KEPT = "Kept"
    """What runs stays: it still is a feasible decision for the spec."""
    NO_FEASIBLE_CANDIDATE = "NoFeasibleCandidate"
    """No GPU, precision and count of replicas keeps all objectives, however much capacity there were."""
    INSUFFICIENT_CAPACITY = "InsufficientCapacity"
    """There are feasible candidates, but no room for them now."""
    NO_POOLS = "NoPools"
    """There is no GPU supply: no GPUPool, and no GPU node to discover one from."""

    # Available, Ready
    REVISION_AVAILABLE = "RevisionAvailable"
    """Every replica of the wanted revision is ready."""
    NO_REPLICA_READY = "NoReplicaReady"
    """No replica of any revision is ready."""
    REPLICAS_READY = "ReplicasReady"
    """At least one replica is ready."""
    PODS_STARTING = "PodsStarting"
    """Pods of the wanted revision are being scheduled, pulled, started or loaded."""
    SWITCHING = "Switching"
    """The new revision starts or takes over beside the old one, which serves."""
    DRAINING = "Draining"
    """The new revision serves; the old one finishes its requests."""
    NO_ROOM_TO_SWITCH = "NoRoomToSwitch"
    """The new revision waits for room beside the old one; rollout.strategy Recreate would stop the old one first."""
    PODS_FAILING = "PodsFailing"
    """Pods of the wanted revision do not come up: crashing, not pulled, or over their start-up budget."""
    NAME_CONFLICT = "NameConflict"
    """An object of somebody else has the name of a child; it is never adopted."""
    APPLY_REJECTED = "ApplyRejected"
    """The API server refuses a child; the message is the server's."""
    APPLY_FORBIDDEN = "ApplyForbidden"
    """Access control, a quota or an admission policy refuses a child; the message is the server's."""
    RETRYING = "Retrying"
    """The API server could not be reached, or asked to wait."""
    INTERNAL_ERROR = "InternalError"
    """A defect of the operator; its log has the details. Other workloads go on."""

    # SLOMet
    NOT_MEASURED = "NotMeasured"
    """Nothing measures this workload's objectives, or all of them."""
    OBJECTIVES_MET = "ObjectivesMet"
    """Every latency objective holds as measured."""
    OBJECTIVE_BROKEN = "ObjectiveBroken"
    """A measured percentile is above its objective."""

    # Autoscaling
    MANAGED = "Managed"
    """The replicas follow the measured demand, or, where nothing measures it, the stated rate."""
    EXTERNAL = "External"
    """The replicas follow spec.replicas.desired, which an HPA, KEDA or a person sets."""
    DISABLED = "Disabled"
    """The replicas are what the stated rate needs, as the spec asks."""
    AT_MAXIMUM = "AtMaximum"
    """More replicas are wanted than spec.replicas.maximum allows, or than there is room for."""
    SIGNALS_MISSING = "SignalsMissing"
    """No arrival rate was measured, or a number is none: the replicas are held."""
    SIGNALS_STALE = "SignalsStale"
    """The newest sample is too old: the replicas are held."""
    SIGNALS_CONTRADICT = "SignalsContradict"
    """What is measured cannot all be true: the replicas are held."""
    CAPACITY_UNKNOWN = "CapacityUnknown"
    """The model does not say what a replica sustains: the replicas are held."""
    REPLICAS_OWNED_BY_OTHER = "ReplicasOwnedByOther"
    """Somebody else set a Deployment's replicas; they are left alone until let go."""

    # Mispredicted
    OUTSIDE_BAND = "OutsideBand"
    """What a replica carries lies outside the band of the prediction."""

    # BudgetOK
    WITHIN_BUDGET = "WithinBudget"
    """Spend and forecast are inside spec.budget, and the decision costs no more a month."""
    BURNING_FAST = "BurningFast"
    """Still inside, but money goes several times as fast as the budget would last."""
    OVER_BUDGET = "OverBudget"
    """What runs costs more in a whole month than spec.budget."""
    FORECAST_OVER_BUDGET = "ForecastOverBudget"
    """At the end of this month more will have been spent than spec.budget."""
    BUDGET_SPENT = "BudgetSpent"
    """All of spec.budget was spent in this month, and more will be."""
    NO_BUDGET = "NoBudget"
    """The spec has no budget."""

    NOT_KEPT = "NotKept"
    """What is spent cannot be written down, so a restart would forget it; the message has the API server's answer."""

    # CostUnusual
    PRICE_MOVED = "PriceMoved"
    """What a GPU of a pool costs is off its median of the last day."""
    USE_MOVED = "UseMoved"
    """More or fewer GPUs run than is usual for the traffic and the time of day."""
    MIX_MOVED = "MixMoved"
    """The average GPU costs what is not usual: the same is bought another way."""

    # Priced
    PRICE_STATED = "PriceStated"
    """spec.price.usdPerNodeHour, or what spec.price.owned comes to."""
    PRICE_FOUND = "PriceFound"
    """Found in the price book."""
    PRICE_DOUBTFUL = "PriceDoubtful"
    """A price is used that looks wrong; the message says why."""
    NO_PRICE = "NoPrice"
    """The price book has no price of this; the message says what it has. The pool is not planned with."""

    # Matched
    NODES_MATCHED = "NodesMatched"
    """Nodes exist and agree with what the pool states."""
    NO_NODES = "NoNodes"
    """No node matches; nodes may still be provisioned where maximumNodes says so."""
    CONTRADICTORY_NODES = "ContradictoryNodes"
    """Nodes disagree with the pool or with one another; the message names one and the label."""
    UNREADABLE_LABELS = "UnreadableLabels"
    """Labels of nodes are missing or garbled; these nodes are left out."""
    OVERLAPPING_POOLS = "OverlappingPools"
    """Another pool selects some of the same nodes and has them."""


NEEDS_A_PERSON = frozenset(
    {
        Reason.INVALID_SPEC,
        Reason.UNKNOWN_PRESET,
        Reason.UNKNOWN_GPU,
        Reason.UNSUPPORTED_BACKEND,
        Reason.INVALID_MEASUREMENTS,
        Reason.NO_FEASIBLE_CANDIDATE,
        Reason.PODS_FAILING,
        Reason.NAME_CONFLICT,
        Reason.APPLY_REJECTED,
        Reason.APPLY_FORBIDDEN,
        Reason.INTERNAL_ERROR,
    }
)
"""Reasons for which a workload that is not Ready is Stalled; for all others it is Reconciling.

A missing artefact or pool may be on its way in the same commit, short capacity comes and goes: they pass by themselves.
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """What is found about one condition now."""

    type: ConditionType
    status: Status
    reason: Reason
    message: str = ""


def with_summary(findings: Iterable[Finding], rollout: Finding) -> tuple[Finding, ...]:
    """``findings`` and what they amount to: Ready, and Reconciling or Stalled while it is not.

    ``rollout`` is of type Ready: True when every replica of the wanted revision is ready, else what it waits for. What
    comes first of Accepted, Placed and the rollout and is not True is the reason; its message is said again.
    """
    known = {finding.type: finding for finding in findings}
    unknown = {
        kind: Finding(kind, "Unknown", Reason.PENDING) for kind in (ConditionType.ACCEPTED, ConditionType.PLACED)
    }
    chain = [(unknown | known)[ConditionType.ACCEPTED], (unknown | known)[ConditionType.PLACED], rollout]
    obstacle = next((finding for finding in chain if finding.status != "True"), None)
    if obstacle is None:
        return (*known.values(), rollout)
    ready = Finding(ConditionType.READY, obstacle.status, obstacle.reason, obstacle.message)
    progress = ConditionType.STALLED if obstacle.reason in NEEDS_A_PERSON else ConditionType.RECONCILING
    return (*known.values(), ready, Finding(progress, "True", obstacle.reason, obstacle.message))


def merge(
    old: Sequence[Condition],
    new: Iterable[Finding],
    *,
    always: Sequence[ConditionType],
    generation: int,
    now: datetime,
) -> tuple[Condition, ...]:
    """The conditions to write, in the order of their types; equal to ``old`` where nothing changed.

    A type of ``always`` that ``new`` does not have stays as it was, and is Unknown if it never was; Reconciling and
    Stalled stay only while ``new`` has them True. The transition time moves only when the status flips.
    """
    before = {condition.type: condition for condition in old}
    found = {finding.type: finding for finding in new if finding.type not in WHILE_TRUE or finding.status == "True"}
    merged = {kind: _renewed(before.get(kind), finding, generation, now) for kind, finding in found.items()}
    for kind in always:
        if kind not in merged:
            never = Finding(kind, "Unknown", Reason.PENDING, "not looked at yet")
            merged[kind] = before.get(kind) or _renewed(None, never, generation, now)
    return tuple(merged[kind] for kind in ConditionType if kind in merged)


def _renewed(before: Condition | None, finding: Finding, generation: int, now: datetime) -> Condition:
    since = now.astimezone(UTC).replace(microsecond=0)
    if before is not None and before.status == finding.status:
        since = before.last_transition_time
    return Condition(
        type=finding.type.value,
        status=finding.status,
        reason=finding.reason.value,
        message=cut(finding.message),
        observed_generation=generation,
        last_transition_time=since,
    )


def cut(message: str, length: int = MAXIMUM_MESSAGE_LENGTH) -> str:
    """``message`` on one line of at most ``length`` characters, cut at a word, with an ellipsis where it was cut."""
    line = " ".join(message.split())
    if len(line) <= length:
        return line
    kept = line[: length - 2]
    if line[length - 2] != " " and " " in kept:
        kept = kept[: kept.rindex(" ")]
    return kept.rstrip(" ,;:–-") + " …"


def read_conditions(status: Mapping[str, Any] | None) -> tuple[Condition, ...]:
    """The conditions in a raw status; what is not a condition of ours is left out, as if it had never been written."""
    listed = (status or {}).get("conditions")
    return tuple(filter(None, map(_read, listed if isinstance(listed, list) else [])))


def _read(entry: object) -> Condition | None:
    try:
        condition = Condition.model_validate(entry)
    except ValidationError:
        return None
    return condition if condition.type in set(ConditionType) else None


def as_json(conditions: Iterable[Condition]) -> list[dict[str, Any]]:
    """As they are written to the API server."""
    return [condition.model_dump(mode="json", exclude_none=True) for condition in conditions]
