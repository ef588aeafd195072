"""What is said about a workload: its status, from the plan and from what runs. Pure.

Everything observed is rounded or counted before it gets here, and a number that only wobbles never changes a status:
an idle fleet is not written to.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from berth_cost.cases.case import Prediction
from berth_cost.rounding import significant_number
from berth_operator.api.conditions import (
    WORKLOAD_CONDITIONS,
    ConditionType,
    Finding,
    Reason,
    merge,
    read_conditions,
    with_summary,
)
from berth_operator.api.v1alpha1 import (
    BerthStatus,
    BudgetStatus,
    GPUPoolStatus,
    InferenceWorkloadStatus,
    Learned,
    WorkloadSummary,
)
from berth_operator.autoscaling.view import View
from berth_operator.labels import REVISION, WORKLOAD
from berth_operator.report_numbers import alternative, cost, joined, predicted
from berth_operator.right_sizing_report import recommendation_status, right_sizing_status
from berth_operator.rollout import Phase, Running
from berth_operator.saving_report import saving_statuses
from berth_operator.spending.budget_report import Standing, budget_finding, budget_status
from berth_scheduler.decision import Decision
from berth_scheduler.right_sizing.course import Course
from berth_scheduler.snapshot import Berth, CapacityType, Workload

MAXIMUM_ALTERNATIVES = 5
_WORDS = frozenset(reason.value for reason in Reason)
_TYPES = frozenset(kind.value for kind in ConditionType)


@dataclass(frozen=True, slots=True)
class Obstacle:
    """What keeps a revision from coming up, in the words of the condition vocabulary."""

    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class Following:
    """How the replicas follow demand. ``measures``: something measures it; ``view``: what came of that, None while
    nobody has looked, so that what was said before stays."""

    mode: str = "Managed"
    desired: int | None = None
    """Of mode External: spec.replicas.desired."""
    measures: bool = False
    view: View | None = None
    observations: str | None = None
    """What the observer keeps."""


STATED_RATE = Following()


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a workload has come. ``phase`` is None where nothing is decided, so nothing is under way."""

    phase: Phase | None = None
    revision: str | None = None
    serving: str | None = None
    deployments: tuple[Running, ...] = ()
    names: tuple[str, ...] = ()
    """The Deployment of each of the decision's berths, in their order."""
    failed: Obstacle | None = None
    """The last attempt to get there failed."""
    pods: Obstacle | None = None
    """Why pods of the wanted revision do not start."""
    standing: Standing | None = None
    """What was spent of the budget; None: not known."""
    not_kept: str | None = None
    """Why what is spent is not kept."""
    unusual: Finding | None = None
    """That it costs what is not usual."""

    def ready(self, name: str) -> int:
        return sum(each.ready for each in self.deployments if each.name == name)

    @property
    def serving_ready(self) -> int:
        """Ready replicas behind the Service."""
        return sum(each.ready for each in self.deployments if each.revision == self.serving)


# --- workloads ---------------------------------------------------------------------------------------------------


def workload_status(
    workload: Workload,
    decision: Decision,
    progress: Progress,
    previous: Mapping[str, Any],
    now: datetime,
    *,
    following: Following = STATED_RATE,
    course: Course | None = None,
) -> dict[str, Any]:
    """The status of ``workload`` as JSON; equal to ``previous`` where nothing changed that is worth a write."""
    budget = _budget(workload, progress, previous)
    findings = (
        *_findings(workload, decision, progress, following),
        _budget_ok(workload, decision, progress, budget),
        *([] if progress.unusual is None else [progress.unusual]),
    )
    conditions = merge(
        read_conditions(previous),
        with_summary(findings, _rollout(decision, progress)),
        always=WORKLOAD_CONDITIONS,
        generation=workload.generation,
        now=now,
    )
    ready = [progress.ready(name) for name in progress.names]
    asked = sum(berth.replicas for berth in decision.berths)
    if not decision.berths:  # what runs keeps running, and is what there is to count
        asked, ready = sum(each.replicas for each in progress.deployments), [progress.serving_ready]
    status = InferenceWorkloadStatus(
        observed_generation=workload.generation,
        conditions=conditions,
        summary=_summary(decision),
        berths=tuple(_berth(berth, count) for berth, count in zip(decision.berths, ready, strict=False)),
        replicas=asked,
        desired_replicas=None if following.view is None else following.view.desired,
        ready_replicas=sum(ready),
        selector=_selector(workload, progress.serving),
        predicted=None if decision.prediction is None else predicted(decision, decision.prediction, workload, asked),
        observed=None if following.view is None else following.view.observed,
        learned=_learned(following, progress.revision),
        cost=cost(decision),
        savings=saving_statuses(decision),
        budget=budget,
        alternatives=tuple(alternative(each) for each in decision.alternatives[:MAXIMUM_ALTERNATIVES]),
        recommendation=None if course is None else recommendation_status(course),
        right_sizing=None if course is None else right_sizing_status(course),
        revision=progress.revision,
        serving_revision=progress.serving,
        decision_hash=decision.decision_hash,
    )
    said = as_json(status)
    return said if not following.measures or following.view is not None else _carried_over(said, previous)


def _learned(following: Following, revision: str | None) -> Learned | None:
    memory = None if following.view is None else following.view.memory
    if following.view is None or revision is None or (memory is None and following.observations is None):
        return None
    return Learned(revision=revision, memory=memory, observations=following.observations)


def _carried_over(status: dict[str, Any], previous: Mapping[str, Any]) -> dict[str, Any]:
    """With what measurements said before: the first look of a new leader comes before its first reading."""
    kept = {name: previous[name] for name in ("desiredReplicas", "observed") if name in previous}
    learned = previous.get("learned")
    if isinstance(learned, Mapping) and learned.get("revision") == status.get("revision"):
        kept["learned"] = learned
    return status | kept


def _findings(workload: Workload, decision: Decision, progress: Progress, following: Following) -> tuple[Finding, ...]:
    if workload.problem is not None:
        reason = word(workload.problem.reason, Reason.INVALID_SPEC)
        accepted = Finding(ConditionType.ACCEPTED, "False", reason, workload.problem.message)
        placed = Finding(ConditionType.PLACED, "Unknown", Reason.PENDING, "a spec that is not accepted is not placed")
    else:
        accepted = Finding(ConditionType.ACCEPTED, "True", Reason.SPEC_ACCEPTED, "the spec is understood and complete")
        otherwise = Reason.PLACED if decision.placed else Reason.NO_FEASIBLE_CANDIDATE
        reason = word(decision.reason, otherwise)
        placed = Finding(ConditionType.PLACED, "True" if decision.placed else "False", reason, decision.message)
    return (
        accepted,
        placed,
        _available(progress),
        *_measured(following),
        *_autoscaling(decision, progress, following),
    )


def _measured(following: Following) -> tuple[Finding, ...]:
    """Of the objectives; nothing where what was said before stays."""
    view = following.view
    if view is not None:
        return (view.slo, *([] if view.mispredicted is None else [view.mispredicted]))
    if following.measures:
        return ()
    return (Finding(ConditionType.SLO_MET, "Unknown", Reason.NOT_MEASURED, "nothing measures the objectives"),)


def _available(progress: Progress) -> Finding:
    ready = progress.serving_ready
    if not ready:
        return Finding(ConditionType.AVAILABLE, "False", Reason.NO_REPLICA_READY, "no replica is ready")
    message = f"{count_of(ready, 'replica')} of revision {progress.serving} ready"
    return Finding(ConditionType.AVAILABLE, "True", Reason.REPLICAS_READY, message)


def _autoscaling(decision: Decision, progress: Progress, following: Following) -> tuple[Finding, ...]:
    """Nothing where what was said before stays."""
    taken = _taken_over(decision, progress)
    if taken is not None:
        return (taken,)
    kind = ConditionType.AUTOSCALING
    if not decision.placed and not progress.deployments:
        return (Finding(kind, "Unknown", Reason.PENDING, "nothing is deployed"),)
    by_somebody_else = {
        "External": (Reason.EXTERNAL, f"the replicas follow spec.replicas.desired: {following.desired}"),
        "Disabled": (Reason.DISABLED, "the replicas are what the stated rate needs"),
    }
    if following.mode in by_somebody_else:
        return (Finding(kind, "True", *by_somebody_else[following.mode]),)
    if following.view is not None or following.measures:
        return () if following.view is None else (following.view.autoscaling,)
    return (Finding(kind, "True", Reason.MANAGED, "the replica counts are the decision's"),)


def _taken_over(decision: Decision, progress: Progress) -> Finding | None:
    wanted = {name: berth.replicas for name, berth in zip(progress.names, decision.berths, strict=False)}
    taken = [each for each in progress.deployments if each.name in wanted and each.taken(wanted[each.name])]
    if taken:
        first = min(taken, key=lambda each: each.name)
        message = (
            f"replicas of {first.name} are set by {first.other_owner}: {first.replicas}, planned {wanted[first.name]}; "
            "left alone until handed back, see docs/how-to/replicas.md"
        )
        return Finding(ConditionType.AUTOSCALING, "False", Reason.REPLICAS_OWNED_BY_OTHER, message)
    return None


def _budget(workload: Workload, progress: Progress, previous: Mapping[str, Any]) -> BudgetStatus | None:
    """What is not known now stays as it was said."""
    budget, said = workload.budget_usd_per_month, previous.get("budget")
    if budget is None:
        return None
    if progress.standing is not None:
        return budget_status(progress.standing, budget, said)
    return None if said is None else BudgetStatus.model_validate(said)


def _budget_ok(workload: Workload, decision: Decision, progress: Progress, said: BudgetStatus | None) -> Finding:
    planned = None if decision.cost is None else decision.cost.usd_per_month
    runs = any(each.replicas for each in progress.deployments)
    return budget_finding(workload.budget_usd_per_month, said, planned, runs=runs, not_kept=progress.not_kept)


_WAITING_FOR: Mapping[Phase, tuple[Reason, str]] = {
    Phase.STARTING: (Reason.PODS_STARTING, "{ready} of {wanted} replicas of revision {revision} are ready"),
    Phase.RESIZING: (Reason.PODS_STARTING, "{ready} of {wanted} replicas of revision {revision} are ready"),
    Phase.SWITCHING: (
        Reason.SWITCHING,
        "revision {revision} starts beside {serving}, which serves: {ready} of {wanted} replicas are ready",
    ),
    Phase.STOPPING: (Reason.SWITCHING, "revision {serving} stops to make room for {revision}"),
    Phase.WAITING: (
        Reason.NO_ROOM_TO_SWITCH,
        "no room for revision {revision} beside {serving}, which serves; rollout.strategy Recreate would stop it first",
    ),
}


def _rollout(decision: Decision, progress: Progress) -> Finding:
    """Whether the wanted revision is fully available, and what it waits for."""
    ready = sum(progress.ready(name) for name in progress.names)
    wanted = sum(berth.replicas for berth in decision.berths)
    said = {"revision": progress.revision, "serving": progress.serving, "ready": ready, "wanted": wanted}
    if progress.failed is not None:
        return Finding(ConditionType.READY, "False", progress.failed.reason, progress.failed.message)
    if progress.phase is None:
        return Finding(ConditionType.READY, "False", Reason.PENDING, "nothing is decided yet")
    if progress.phase is Phase.SETTLED:
        return Finding(ConditionType.READY, "True", Reason.REVISION_AVAILABLE, _all_ready(ready, wanted, progress))
    if progress.phase is Phase.DRAINING and ready >= wanted:
        message = f"revision {progress.revision} serves; an earlier one finishes its requests"
        return Finding(ConditionType.READY, "True", Reason.DRAINING, message)
    reason, message = _WAITING_FOR.get(progress.phase, _WAITING_FOR[Phase.STARTING])
    text = message.format(**said)
    if progress.pods is not None and reason in (Reason.PODS_STARTING, Reason.SWITCHING):
        reason, text = _held_up(progress.pods, reason, said)
    return Finding(ConditionType.READY, "False", reason, text)


def _all_ready(ready: int, wanted: int, progress: Progress) -> str:
    if ready <= wanted:
        return f"{ready} of {wanted} replicas of revision {progress.revision} are ready"
    return f"{count_of(ready, 'replica')} of revision {progress.revision} ready, {wanted} planned"


def _held_up(pods: Obstacle, reason: Reason, said: Mapping[str, Any]) -> tuple[Reason, str]:
    """Pods that fail have a reason of their own; a switch whose pods find no node has no room."""
    ready = "{ready} of {wanted} ready".format(**said)
    if pods.reason is Reason.PODS_FAILING:
        return Reason.PODS_FAILING, f"{ready}: {pods.message}"
    if reason is Reason.SWITCHING:
        return Reason.NO_ROOM_TO_SWITCH, f"{said['serving']} serves, {said['revision']} starts, {ready}: {pods.message}"
    return reason, f"{ready}: {pods.message}"


def _summary(decision: Decision) -> WorkloadSummary:
    """The columns of kubectl get, spot first as in ``berth plan``; empty where nothing is placed."""
    p99 = None if decision.prediction is None else _p99(decision.prediction)
    kinds = list(CapacityType)
    berths = sorted(decision.berths, key=lambda berth: (-kinds.index(berth.capacity_type), berth.pool))
    return WorkloadSummary(
        gpu=joined(_gpus(berths)),
        precision=joined(dict.fromkeys(berth.precision for berth in berths)),
        replicas="+".join(str(berth.replicas) for berth in berths) or None,
        cost_per_hour=None if decision.cost is None else f"${decision.cost.usd_per_hour:,.2f}",
        p99=None if p99 is None else _duration(p99),
    )


def _gpus(berths: Sequence[Berth]) -> list[str]:
    """``L4 Spot+OnDemand``, ``A100-SXM-80GB 1g.10gb``, ``4×H100-SXM-80GB``; on demand alone goes without saying."""
    kinds: dict[str, list[str]] = {}
    for berth in berths:
        several = f"{berth.tensor_parallel}×" if berth.tensor_parallel > 1 else ""
        slice_ = f" {berth.mig_profile}" if berth.mig_profile else ""
        kinds.setdefault(f"{several}{berth.gpu}{slice_}", []).append(berth.capacity_type.value)
    texts = []
    for kind, bought in kinds.items():
        types = list(dict.fromkeys(bought))
        texts.append(kind if types == [CapacityType.ON_DEMAND.value] else f"{kind} {'+'.join(types)}")
    return texts


def _p99(prediction: Prediction) -> float | None:
    """Predicted p99 in seconds of the whole request, or of the first token where only that is predicted."""
    for metric in ("latencySeconds", "endToEndSeconds", "timeToFirstTokenSeconds"):
        found = prediction.metrics.get(metric)
        if isinstance(found, Mapping) and found.get("p99"):
            return significant_number(found["p99"], 3)
    return None


def _duration(seconds: float) -> str:
    """``8.12 ms``, ``331 ms``, ``3.51 s``."""
    value, unit = (seconds, "s") if seconds >= 1 else (seconds * 1000, "ms")
    return f"{value:,.0f} {unit}" if value >= 100 else f"{value:.3g} {unit}"


def _berth(berth: Berth, ready: int) -> BerthStatus:
    return BerthStatus(
        pool=berth.pool,
        gpu=berth.gpu,
        sharing=berth.sharing,
        mig_profile=berth.mig_profile,
        capacity_type=berth.capacity_type,
        precision=berth.precision,
        tensor_parallel=berth.tensor_parallel,
        instances_per_gpu=berth.instances_per_gpu,
        maximum_batch_size=berth.maximum_batch_size,
        maximum_queue_delay_microseconds=berth.maximum_queue_delay_microseconds,
        replicas=berth.replicas,
        ready_replicas=ready,
    )


def _selector(workload: Workload, serving: str | None) -> str | None:
    if serving is None:
        return None
    return f"{REVISION}={serving},{WORKLOAD}={workload.key.partition('/')[2]}"


# --- for every status -------------------------------------------------------------------------------------------------


def word(text: str, otherwise: Reason) -> Reason:
    """``text`` where it is in the vocabulary; a word that is not there must not keep a status from being written."""
    return Reason(text) if text in _WORDS else otherwise


def count_of(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def as_json(status: InferenceWorkloadStatus | GPUPoolStatus) -> dict[str, Any]:
    """As it is stored: what is None or empty is left out, as the server would do."""
    found = status.model_dump(mode="json", by_alias=True, exclude_none=True)
    return {name: value for name, value in found.items() if value not in ({}, [])}


def says_the_same(status: Mapping[str, Any], previous: Mapping[str, Any]) -> bool:
    """Whether writing ``status`` over ``previous`` would change nothing; others may add conditions of their own."""
    listed = previous.get("conditions") or []
    ours = [condition for condition in listed if condition.get("type") in _TYPES]
    return status == {**previous, "conditions": ours}
