"""The course of right-sizing: what is recommended for how long, who moves, who is on probation, who goes back. Pure.

```
          settled for long enough, cooled down, nobody else on the way
   Idle ────────────────────────────────────────────────────────────► Moving
    ▲  ▲                      no room for both in time                  │ │ serves there
    │  └────────────────────────────────────────────────────────────────┘ ▼
    │◄─────────────────────────────────────────────────────────────── Probation
    │                         objectives held                             │ an objective broke
    └──────────────────────────────────────────────────────────────── Reverting
```

One workload of a fleet is on its way at a time, its probation included: what is wrong with the model shows on one.
A flap of prices or capacity is worth nothing: a proposal must stand for the settling time, another takes its place only
where it saves distinctly more, and with every move within a week the time to the next one doubles.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Literal

from berth_cost.record import Record
from berth_scheduler.right_sizing.assessment import Assessment, Proposal, SizingReason
from berth_scheduler.snapshot import CONFIGURATION, Configuration, configuration_of

MEMORY = timedelta(days=7)
"""Of moves, and of places that did not hold."""
MOST_REMEMBERED = 8
MOST_REFUSED = 4
STAY_SHARE = 0.5
"""Of the minimum saving, down to which a recommendation that was made stays."""
DISTINCT_PERCENT = 5.0
"""Of the present cost: by less than this more, another proposal does not take the place of one that stands."""
NEWS_SHARE = 0.1
"""A recommendation is told anew when its saving moved by more than this."""


class Phase(StrEnum):
    IDLE = "Idle"
    MOVING = "Moving"
    """The new revision starts beside the old one, or waits for room to."""
    PROBATION = "Probation"
    """It serves, and is watched."""
    REVERTING = "Reverting"
    """An objective broke: back to where the workload was."""


class Refusal(Record):
    """Where a workload does not go, because it did not get there or did not hold its objectives there."""

    configuration: Configuration
    until: datetime


class Recommendation(Record):
    """A proposal that stood for long enough."""

    since: datetime
    message: str
    proposal: Proposal
    usd_per_hour: Decimal
    """Of what runs, under the same traffic."""
    basis: Literal["observed", "stated"]
    requests_per_second: float

    @property
    def configuration(self) -> Configuration:
        return configuration_of(self.proposal.berths)


class Course(Record):
    """What is remembered of one workload: small, and dropped when its spec changes."""

    planning_hash: str
    phase: Phase = Phase.IDLE
    since: datetime | None = None
    origin: Configuration | None = None
    target: Configuration | None = None
    candidate: Configuration | None = None
    """What is proposed, and since when without a break."""
    candidate_since: datetime | None = None
    recommendation: Recommendation | None = None
    observed_requests_per_second: float | None = None
    """The rate that is held in reviews, told anew where it moved by a tenth; None: the stated one is."""
    disagreement: str | None = None
    """In words, where model and world disagree; as it was first said."""
    moved_at: tuple[datetime, ...] = ()
    """Moves and returns within a week, the earliest first."""
    refused: tuple[Refusal, ...] = ()

    @property
    def under_way(self) -> bool:
        return self.phase is not Phase.IDLE

    @property
    def destination(self) -> Configuration | None:
        """Where a plan should bring the workload; None where it is."""
        return {Phase.MOVING: self.target, Phase.REVERTING: self.origin}.get(self.phase)


@dataclass(frozen=True, slots=True)
class Pace:
    """How calmly it goes, in seconds. Shorter saves sooner and moves more often for nothing."""

    settle_seconds: float = 1800.0
    """How long a proposal must stand before it is a recommendation."""
    move_seconds: float = 3600.0
    """A move that has not arrived by then is given up."""
    probation_seconds: float = 1800.0
    cool_down_seconds: float = 21_600.0
    """After a move; it doubles with every further one within a week."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What there is to see of a workload now. ``serving`` is None where nothing serves; ``objective_holds`` None where
    nobody measures it; ``assessment`` None where the fleet was not reviewed this time."""

    planning_hash: str
    mode: Literal["Disabled", "Recommend", "Auto"]
    minimum_saving_percent: float
    serving: Configuration | None
    objective_holds: bool | None = None
    observed_requests_per_second: float | None = None
    disagreement: str | None = None
    assessment: Assessment | None = None
    traffic_known: bool = True
    """False: what arrives was measured before and is not now. Nobody sets out, and no probation ends."""
    stated: Assessment | None = None
    """Of the stated traffic, which the replicas are planned for; None where ``assessment`` is of that."""


@dataclass(frozen=True, slots=True)
class Advance:
    """By workload; ``begun``, ``arrived``, ``given_up`` and ``reverted`` name those that just did."""

    courses: dict[str, Course]
    begun: tuple[str, ...] = ()
    arrived: tuple[str, ...] = ()
    given_up: tuple[str, ...] = ()
    reverted: tuple[str, ...] = field(default=())


def advance(courses: Mapping[str, Course], sights: Mapping[str, Sight], now: datetime, pace: Pace = Pace()) -> Advance:
    """The courses of the workloads in ``sights``; of others none is kept."""
    after = {key: follow(courses.get(key), sights[key], now, pace) for key in sorted(sights)}
    begun: tuple[str, ...] = ()
    if not any(course.under_way for course in after.values()):
        ready = [key for key, course in after.items() if may_begin(course, sights[key], now, pace)]
        if ready:
            first = min(ready, key=lambda key: (-_saving(after[key]), key))
            after[first] = _begun(after[first], sights[first], now)
            begun = (first,)
    phases = {key: (courses[key].phase if key in courses else Phase.IDLE, after[key].phase) for key in after}
    return Advance(
        after,
        begun,
        arrived=tuple(key for key, change in phases.items() if change == (Phase.MOVING, Phase.PROBATION)),
        given_up=tuple(key for key, change in phases.items() if change == (Phase.MOVING, Phase.IDLE)),
        reverted=tuple(key for key, change in phases.items() if change == (Phase.PROBATION, Phase.REVERTING)),
    )


def follow(course: Course | None, sight: Sight, now: datetime, pace: Pace) -> Course:
    """One workload, on its own."""
    if course is None or course.planning_hash != sight.planning_hash:
        moved_at = course.moved_at if course else ()
        course = Course(planning_hash=sight.planning_hash, moved_at=_recent(moved_at, now))
    if sight.mode == "Disabled":
        return Course(planning_hash=course.planning_hash, moved_at=_recent(course.moved_at, now))
    course = _changed(
        course,
        moved_at=_recent(course.moved_at, now),
        refused=_standing(course.refused, now),
        observed_requests_per_second=_calmed(course.observed_requests_per_second, sight.observed_requests_per_second),
    )
    if sight.assessment is not None:
        said = None if sight.disagreement is None else course.disagreement or sight.disagreement
        course = _changed(course, disagreement=said)
    if course.under_way:
        return _on_the_way(course, sight, now, pace)
    if sight.assessment is None:
        return course
    return _considered(course, sight.assessment, sight.minimum_saving_percent, now, pace)


# --- on the way --------------------------------------------------------------------------------------------------


def _on_the_way(course: Course, sight: Sight, now: datetime, pace: Pace) -> Course:
    if sight.mode != "Auto":
        return _idle(course)
    waited = (now - (course.since or now)).total_seconds()
    if course.phase is Phase.PROBATION and sight.objective_holds is False:
        return _refusing(_changed(course, phase=Phase.REVERTING, since=now), course.target, now)
    if course.phase is Phase.PROBATION:
        return _idle(course) if waited > pace.probation_seconds and sight.traffic_known else course
    if _is_at(sight.serving, course.destination):
        moved_at = (*course.moved_at, now)[-MOST_REMEMBERED:]
        arrived = course if course.phase is Phase.MOVING else _idle(course)
        changes = {"phase": Phase.PROBATION, "since": now} if course.phase is Phase.MOVING else {}
        return _changed(arrived, moved_at=moved_at, **changes)
    if waited <= pace.move_seconds:
        return course
    return _refusing(_idle(course), course.target if course.phase is Phase.MOVING else None, now)


def _is_at(serving: Configuration | None, place: Configuration | None) -> bool:
    return serving is not None and place is not None and _shared(serving) == _shared(place)


def _shared(one: Configuration) -> tuple[object, ...]:
    """How it is bought aside, which replica control moves by itself."""
    return tuple(getattr(one, name) for name in CONFIGURATION)


def _idle(course: Course) -> Course:
    return _changed(
        course,
        phase=Phase.IDLE,
        since=None,
        origin=None,
        target=None,
        candidate=None,
        candidate_since=None,
        recommendation=None,
    )


def _refusing(course: Course, place: Configuration | None, now: datetime) -> Course:
    if place is None:
        return course
    refused = (*course.refused, Refusal(configuration=place, until=now + MEMORY))
    return _changed(course, refused=refused[-MOST_REFUSED:])


# --- what is recommended -----------------------------------------------------------------------------------------


def _considered(course: Course, found: Assessment, minimum: float, now: datetime, pace: Pace) -> Course:
    proposal = _choice(course, found, minimum)
    if proposal is None:
        return _changed(course, candidate=None, candidate_since=None, recommendation=None)
    place = configuration_of(proposal.berths)
    since = course.candidate_since if place == course.candidate and course.candidate_since else now
    course = _changed(course, candidate=place, candidate_since=since)
    if (now - since).total_seconds() < pace.settle_seconds:
        told = course.recommendation
        return course if told is None or told.configuration == place else _changed(course, recommendation=None)
    return _changed(course, recommendation=_told(course.recommendation, found, proposal, now))


def _choice(course: Course, found: Assessment, minimum: float) -> Proposal | None:
    """The proposal that stands, as long as no other saves distinctly more; else the cheapest that is not refused."""
    refused = {_shared(one.configuration) for one in course.refused}
    proposals = [] if found.proposal is None else [found.proposal, *found.others]
    open_ones = [one for one in proposals if _shared(configuration_of(one.berths)) not in refused]
    standing = next((one for one in open_ones if configuration_of(one.berths) == course.candidate), None)
    if not found.recommended:
        keeps = course.recommendation is not None and found.reason is SizingReason.SAVING_TOO_SMALL
        return standing if standing and keeps and standing.saving_percent >= STAY_SHARE * minimum else None
    if not open_ones:
        return None
    best = open_ones[0]
    if standing is not None and best.saving_percent - standing.saving_percent < DISTINCT_PERCENT:
        return standing
    return best


def _told(before: Recommendation | None, found: Assessment, proposal: Proposal, now: datetime) -> Recommendation:
    """As it was told before, where nothing moved that is worth telling."""
    place = configuration_of(proposal.berths)
    same = before is not None and before.configuration == place
    if before is not None and same:
        was, becomes = before.proposal.saving_usd_per_month, proposal.saving_usd_per_month
        if abs(becomes - was) <= Decimal(str(NEWS_SHARE)) * abs(was):
            return before
    return Recommendation(
        since=before.since if before is not None and same else now,
        message=found.message_of(proposal),
        proposal=proposal,
        usd_per_hour=found.usd_per_hour or Decimal(0),
        basis=found.basis,
        requests_per_second=found.requests_per_second,
    )


# --- who begins --------------------------------------------------------------------------------------------------


def may_begin(course: Course, sight: Sight, now: datetime, pace: Pace) -> bool:
    """Whether a workload may move by itself now.

    Pods of the same revision elsewhere are no move: where replicas are bought is replica control's. And what would save
    under observed traffic must not cost more under the stated one, which the replicas are planned for.
    """
    told = course.recommendation
    if sight.mode != "Auto" or course.under_way or told is None or told.proposal.same_revision:
        return False
    if not sight.traffic_known:
        return False
    if sight.serving is None or sight.objective_holds is False or not _cooled(course, now, pace):
        return False
    return sight.stated is None or _saves_too(sight.stated, told.configuration)


def _saves_too(stated: Assessment, place: Configuration) -> bool:
    """Whether the same GPU or slice at the same precision saves there, however it is batched."""
    proposals = [] if stated.proposal is None else [stated.proposal, *stated.others]
    names = ("gpu", "mig_profile", "precision", "tensor_parallel")
    wanted = tuple(getattr(place, name) for name in names)
    return any(tuple(getattr(one.berths[0], name) for name in names) == wanted for one in proposals)


def _cooled(course: Course, now: datetime, pace: Pace) -> bool:
    if not course.moved_at:
        return True
    wait = min(pace.cool_down_seconds * 2.0 ** (len(course.moved_at) - 1), MEMORY.total_seconds())
    return now - course.moved_at[-1] >= timedelta(seconds=wait)


def _begun(course: Course, sight: Sight, now: datetime) -> Course:
    target = course.recommendation.configuration if course.recommendation else None
    return _changed(course, phase=Phase.MOVING, since=now, origin=sight.serving, target=target)


def _saving(course: Course) -> Decimal:
    return course.recommendation.proposal.saving_usd_per_month if course.recommendation else Decimal(0)


# --- memory ------------------------------------------------------------------------------------------------------


def _recent(moved_at: tuple[datetime, ...], now: datetime) -> tuple[datetime, ...]:
    return tuple(one for one in moved_at if now - one < MEMORY)


def _standing(refused: tuple[Refusal, ...], now: datetime) -> tuple[Refusal, ...]:
    return tuple(one for one in refused if one.until > now)


def _calmed(before: float | None, rate: float | None) -> float | None:
    """As before, where it moved by less than is worth telling; what is not measured now was measured before."""
    if rate is None or (before is not None and abs(rate - before) <= NEWS_SHARE * before):
        return before
    return rate


def _changed(course: Course, **changes: object) -> Course:
    """The same object where nothing changes."""
    if all(getattr(course, name) == value for name, value in changes.items()):
        return course
    return course.model_copy(update=changes)
