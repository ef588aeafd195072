"""Right-sizing in the operator: reviews the fleet from time to time, in the planner's thread, and directs who moves.

Beside a plan of the world as it is, a review asks for one of the same world under the traffic that was observed. What
it remembers of a workload lies in the workload's status, and is read from there when an operator starts to lead.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from berth_operator.api.conditions import ConditionType, read_conditions
from berth_operator.observed_status import observed_of_status
from berth_operator.right_sizing_report import read_course
from berth_operator.world import World, key_of, mapping
from berth_scheduler.decision import Plan
from berth_scheduler.right_sizing.assessment import Assessment, ChangeOver, SizingReason, assess
from berth_scheduler.right_sizing.course import Advance, Course, Pace, Sight, advance
from berth_scheduler.right_sizing.review import review
from berth_scheduler.right_sizing.what_if import rounded_up
from berth_scheduler.snapshot import Configuration, Observed, Snapshot, Workload, configuration_of

NOT_MEASURED_YET = datetime.fromtimestamp(0, UTC)
"""When a workload was observed that this operator has not measured yet."""


@dataclass(frozen=True, slots=True)
class Review:
    """What came of looking at the fleet once. ``seconds`` is None where only moves were followed."""

    advance: Advance
    seconds: float | None = None

    @property
    def moves(self) -> bool:
        """Whether somebody set out, or turned round: the plan that this was found with is old."""
        return bool(self.advance.begun or self.advance.reverted or self.advance.given_up)


@dataclass(slots=True)
class RightSizer:
    """``observed`` gives what is measured of the traffic of each workload, by key; None: nothing measures."""

    observed: Callable[[], Mapping[str, Observed]] | None = None
    pace: Pace = field(default_factory=Pace)
    change_over: ChangeOver = field(default_factory=ChangeOver)
    review_seconds: float = 300.0
    least_observed_hours: float = 24.0
    _unknown: frozenset[str] = frozenset()
    """Whose traffic was not known at the last review."""
    _courses: dict[str, Course] = field(default_factory=dict)
    _reviewed_at: datetime | None = None
    is_wanted: bool = True
    """Whether any workload asks to be right-sized."""

    def known_traffic(self, world: World, now: datetime) -> dict[str, Observed]:
        """Of workloads that were observed for long enough, by now or by what a status says; of none where no review is
        due. What only a status says was observed long ago, until it is measured again."""
        if self.observed is None or not self._is_due(now):
            return {}
        measured = self.observed()
        found = {key: one for key, one in measured.items() if one.hours >= self.least_observed_hours}
        for thing in world.workloads:
            key = key_of(thing)
            if key is not None and key not in found:
                seen = measured.get(key)
                stored = observed_of_status(thing, NOT_MEASURED_YET if seen is None else seen.at)
                found |= {} if stored is None else {key: stored}
        return found

    def direct(self, snapshot: Snapshot, world: World) -> Snapshot:
        """With where right-sizing moves workloads to, and back to."""
        statuses = {key: mapping(thing, "status") for thing in world.workloads if (key := key_of(thing)) is not None}
        known = {workload.key for workload in snapshot.workloads}
        self._courses = {key: course for key, course in self._courses.items() if key in known}
        for workload in snapshot.workloads:
            if workload.key not in self._courses:
                found = read_course(statuses.get(workload.key, {}))
                self._courses[workload.key] = found or Course(planning_hash=workload.planning_hash)
        if not any(course.destination for course in self._courses.values()):
            return snapshot
        return snapshot.model_copy(update={"workloads": tuple(map(self._directed, snapshot.workloads))})

    def _directed(self, workload: Workload) -> Workload:
        course = self._courses[workload.key]
        if course.destination is None or course.planning_hash != workload.planning_hash:
            return workload
        return workload.model_copy(update={"move": course.destination})

    def review(self, snapshot: Snapshot, planned: Plan, world: World, now: datetime) -> Review:
        """Follow those that are on the way; every so often ask of all whether another berth would do for less."""
        self.is_wanted = any(workload.right_sizing.mode != "Disabled" for workload in snapshot.workloads)
        due = self.is_wanted and self._is_due(now)
        began = time.perf_counter()
        found, stated = self._assessed(snapshot, planned) if due else ({}, {})
        if due:
            unknown = (key for key, one in found.items() if one.reason is SizingReason.TRAFFIC_UNKNOWN)
            self._unknown = frozenset(unknown)
        things = {key_of(thing): thing for thing in world.workloads}
        sights = {
            workload.key: Sight(
                planning_hash=workload.planning_hash,
                mode=workload.right_sizing.mode,
                minimum_saving_percent=workload.right_sizing.minimum_saving_percent,
                serving=_serving(workload),
                objective_holds=_objective_holds(things.get(workload.key, {})),
                observed_requests_per_second=_held_rate(workload),
                disagreement=workload.observed.disagreement if workload.observed else None,
                assessment=None if workload.key in self._unknown else found.get(workload.key),
                traffic_known=workload.key not in self._unknown and _is_current(workload),
                stated=stated.get(workload.key) if _is_sized_by_spec(workload) else None,
            )
            for workload in snapshot.workloads
        }
        made = advance(self._courses, sights, now, self.pace)
        self._courses = made.courses
        if not due:
            return Review(made)
        self._reviewed_at = now
        return Review(made, time.perf_counter() - began)

    def _is_due(self, now: datetime) -> bool:
        return self._reviewed_at is None or (now - self._reviewed_at).total_seconds() >= self.review_seconds

    def _assessed(self, snapshot: Snapshot, planned: Plan) -> tuple[dict[str, Assessment], dict[str, Assessment]]:
        """By key: under the traffic that was observed, where it was, and under the one that is stated."""
        found = review(snapshot, planned, self.change_over)
        stated = assess(snapshot, planned, self.change_over) if any(map(_is_sized_by_spec, snapshot.workloads)) else ()
        return {one.workload: one for one in found}, {one.workload: one for one in stated}


def _serving(workload: Workload) -> Configuration | None:
    serving = next((one for one in workload.running if one.serving and one.berths), None)
    return configuration_of([one.berth for one in serving.berths]) if serving else None


def _is_sized_by_spec(workload: Workload) -> bool:
    """Whether its replicas go by the stated rate although another one is observed; else they follow what arrives."""
    return workload.observed is not None and workload.scaling is None


def _is_current(workload: Workload) -> bool:
    return workload.scaling is None or workload.scaling.is_current


def _held_rate(workload: Workload) -> float | None:
    return None if workload.observed is None else rounded_up(max(workload.observed.requests_per_second, 0.01))


def _objective_holds(thing: Mapping[str, Any]) -> bool | None:
    """By the condition SLOMet; None where nobody measures it."""
    conditions = read_conditions(mapping(thing, "status"))
    status = next((one.status for one in conditions if one.type == ConditionType.SLO_MET), "Unknown")
    return {"True": True, "False": False}.get(status)
