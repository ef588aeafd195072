"""What right-sizing says in a status and in Events, and what a status remembers of it. Pure."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from pydantic import ValidationError

from berth_cost.rounding import significant_number
from berth_operator.api.right_sizing import RecommendationStatus, RightSizingStatus
from berth_operator.events import News
from berth_operator.world import mapping, text
from berth_scheduler.right_sizing.course import Course, Phase
from berth_scheduler.snapshot import Berth

DIGITS = 3
"""Of rates, percentages and hours: what is finer is not worth a write."""


def placement(berth: Berth) -> str:
    """``5 × L4 OnDemand int8``."""
    several = f"{berth.tensor_parallel}×" if berth.tensor_parallel > 1 else ""
    slice_ = f" {berth.mig_profile}" if berth.mig_profile else ""
    return f"{berth.replicas} × {several}{berth.gpu}{slice_} {berth.capacity_type.value} {berth.precision}"


def recommendation_status(course: Course) -> RecommendationStatus | None:
    told = course.recommendation
    if told is None:
        return None
    proposal = told.proposal
    return RecommendationStatus(
        placement=" + ".join(map(placement, proposal.berths))[:128],
        usd_per_hour=proposal.usd_per_hour,
        instead_of_usd_per_hour=told.usd_per_hour,
        saving_usd_per_month=proposal.saving_usd_per_month,
        saving_percent=_rounded(proposal.saving_percent),
        change_over_usd=proposal.change_over_usd,
        payback_hours=_rounded(proposal.payback_hours),
        traffic="Observed" if told.basis == "observed" else "Stated",
        requests_per_second=_rounded(told.requests_per_second),
        since=told.since,
        message=told.message[:1024],
    )


def _rounded(value: float) -> Decimal:
    return Decimal(format(significant_number(value, DIGITS), "f"))


def right_sizing_status(course: Course) -> RightSizingStatus | None:
    """What must be remembered; None where that is nothing. A candidate is, once it is recommended."""
    if course.recommendation is None:
        course = course.model_copy(update={"candidate": None, "candidate_since": None})
    course = course.model_copy(update={"recommendation": None})
    if course == Course(planning_hash=course.planning_hash):
        return None
    rate = course.observed_requests_per_second
    stored = course.model_dump(mode="json", by_alias=True)
    held = None if rate is None else format(_rounded(rate), "f")
    return RightSizingStatus.model_validate(stored | {"observedRequestsPerSecond": held})


def read_course(status: Mapping[str, Any]) -> Course | None:
    """What a status remembers; None where it remembers nothing, or nothing that can be read."""
    stored = mapping(status, "rightSizing")
    if not stored:
        return None
    try:
        remembered = RightSizingStatus.model_validate(stored)
        return Course.model_validate(remembered.model_dump(mode="json", by_alias=True))
    except ValidationError:
        return None


def right_sizing_news(previous: Mapping[str, Any], status: Mapping[str, Any]) -> list[News]:
    """Of a new recommendation, or one of another place than before; and of every step of a move."""
    found = []
    place = text(status, "recommendation", "placement")
    if place is not None and place != text(previous, "recommendation", "placement"):
        found.append(_news("RightSizingRecommended", text(status, "recommendation", "message") or place))
    before, phase = (text(one, "rightSizing", "phase") or Phase.IDLE.value for one in (previous, status))
    if phase != before and phase in _STEPS:
        reason, note = _STEPS[Phase(phase)]
        found.append(_news(reason, note, bad=phase == Phase.REVERTING))
    said = text(status, "rightSizing", "disagreement")
    if said is not None and text(previous, "rightSizing", "disagreement") is None:
        found.append(_news("ModelDisagrees", said, bad=True))
    return found


_STEPS = {
    Phase.MOVING: ("RightSizingMoves", "right-sizing starts the recommended revision beside what runs"),
    Phase.PROBATION: ("RightSizingMoved", "the recommended revision serves, and is watched"),
    Phase.REVERTING: ("RightSizingReverts", "an objective broke after the move: back to where the workload was"),
}


def _news(reason: str, note: str, *, bad: bool = False) -> News:
    return News("Warning" if bad else "Normal", reason, "RightSizing", note)
