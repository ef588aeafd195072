"""A review: the question of right-sizing asked, answered and assessed for a whole fleet. Pure."""

from collections.abc import Collection
from datetime import timedelta

from berth_cost.rounding import significant_number
from berth_scheduler.decision import Plan
from berth_scheduler.plan import plan
from berth_scheduler.right_sizing.assessment import Assessment, ChangeOver, SizingReason, assess
from berth_scheduler.right_sizing.what_if import target_of, what_if
from berth_scheduler.snapshot import Snapshot, Workload

STALE_AFTER = timedelta(minutes=15)
"""What was observed longer ago is not what arrives now: three means of five minutes."""


CHANGE_OVER = ChangeOver()


def review(
    snapshot: Snapshot, planned: Plan | None = None, change_over: ChangeOver = CHANGE_OVER
) -> tuple[Assessment, ...]:
    """Of every workload, by key. ``planned``: of ``snapshot`` itself, where it was made; it is asked again only if
    right-sizing asks something else.

    A workload whose replicas follow demand is compared with as much in hand as they are to have. One that has no room
    for that where it is gets compared without: it will not get it there either.
    """
    targets = {workload.key: target_of(workload) for workload in snapshot.workloads}
    unknown = {workload.key for workload in snapshot.workloads if _is_unknown(workload, snapshot)}
    asked = what_if(snapshot)
    found = assess(asked, planned if planned is not None and asked is snapshot else plan(asked), change_over)
    outgrown = {one.workload for one in found if one.reason is SizingReason.OUTGROWN and targets[one.workload] < 1}
    if outgrown:
        asked = what_if(snapshot, outgrown)
        tight = {one.workload: one for one in assess(asked, plan(asked), change_over)}
        found = tuple(tight[one.workload] if one.workload in outgrown else one for one in found)
    told = (_arriving(one, 1.0 if one.workload in outgrown else targets[one.workload]) for one in found)
    return tuple(_held(one, unknown) for one in told)


def _is_unknown(workload: Workload, snapshot: Snapshot) -> bool:
    """Whether what arrives was measured once and is not now."""
    if workload.scaling is not None and not workload.scaling.is_current:
        return True
    return workload.observed is not None and snapshot.time - workload.observed.at > STALE_AFTER


def _held(one: Assessment, unknown: Collection[str]) -> Assessment:
    if one.workload not in unknown or one.reason is SizingReason.DISABLED:
        return one
    message = "what arrives was measured before and is not now: nothing is proposed on old numbers"
    return one.model_copy(
        update={"reason": SizingReason.TRAFFIC_UNKNOWN, "message": message, "proposal": None, "others": ()}
    )


def _arriving(one: Assessment, target: float) -> Assessment:
    """With the rate that arrives, and not the one that the replicas are to have in hand."""
    if target == 1:
        return one
    return one.model_copy(update={"requests_per_second": significant_number(one.requests_per_second * target)})
