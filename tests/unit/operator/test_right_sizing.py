"""Right-sizing in the operator: what it remembers, whom it moves, and what statuses and Events say."""

from datetime import timedelta
from decimal import Decimal

import pytest

from berth_operator.api.v1alpha1 import InferenceWorkloadStatus
from berth_operator.metrics import Metrics
from berth_operator.observed_status import observed_of_status
from berth_operator.planner import reduce
from berth_operator.report import as_json
from berth_operator.right_sizing import RightSizer
from berth_operator.right_sizing_report import (
    read_course,
    recommendation_status,
    right_sizing_news,
    right_sizing_status,
)
from berth_operator.world import World
from berth_scheduler.decision import Transition
from berth_scheduler.plan import plan
from berth_scheduler.right_sizing.course import Course, Pace, Phase
from berth_scheduler.snapshot import Observed, RightSizing
from example_snapshots import TIME, decision, now_running, pool, snapshot, vision

KEY = "vision/resnet"
PACE = Pace(settle_seconds=600, move_seconds=1200, probation_seconds=600, cool_down_seconds=3600)


def pools():
    return [pool("h", "H100-PCIe-80GB", "4", nodes=2), pool("l", "L4", "1", nodes=2)]


def running(mode="Auto", **changes):
    workload = vision(right_sizing=RightSizing(mode=mode), **changes)
    made = decision(plan(snapshot([workload], pools()[:1])))
    return now_running(workload, made.berths, pools()[:1])


def thing(status=None, slo="Unknown"):
    condition = {"type": "SLOMet", "status": slo, "reason": "NotMeasured", "lastTransitionTime": TIME.isoformat()}
    return {
        "metadata": {"namespace": "vision", "name": "resnet"},
        "status": {"conditions": [condition], **(status or {})},
    }


class Walk:
    """One workload, reviewed every five minutes; what is decided runs at the next look."""

    def __init__(self, workload, sizer=None):
        self.workload = workload
        self.sizer = sizer or RightSizer(pace=PACE)
        self.minutes = 0
        self.status = {}

    def look(self, slo="Unknown"):
        now = TIME + timedelta(minutes=self.minutes)
        world = World(workloads=(thing(self.status, slo),))
        directed = self.sizer.direct(snapshot([self.workload], pools(), time=now), world)
        planned = plan(directed)
        review = self.sizer.review(directed, planned, world, now)
        self.result = reduce(directed, planned.decisions, review)
        found = self.result.planned[KEY]
        if found.decision.transition is Transition.SWITCH:
            self.workload = now_running(self.workload, found.decision.berths, pools(), revision="22222222")
        course = found.course
        said = InferenceWorkloadStatus(
            recommendation=recommendation_status(course), right_sizing=right_sizing_status(course)
        )
        before, self.status = self.status, as_json(said)
        self.news = [each.reason for each in right_sizing_news(before, self.status)]
        self.minutes += 5
        return course

    @property
    def gpu(self):
        return self.workload.running[0].berths[0].berth.gpu


def test_recommend_says_what_it_would_save_and_moves_nothing():
    walk = Walk(running("Recommend"))
    for _ in range(12):
        walk.look()
    said = walk.status["recommendation"]
    assert said["placement"].endswith("L4 OnDemand fp16")
    assert (said["usdPerHour"], said["insteadOfUSDPerHour"], said["savingPercent"]) == ("1", "4", "75")
    assert said["traffic"] == "Stated"
    assert walk.gpu == "H100-PCIe-80GB"


def test_a_recommendation_is_one_event_and_one_status():
    walk, news, statuses = Walk(running("Recommend")), [], []
    for _ in range(12):
        walk.look()
        news += walk.news
        statuses.append(walk.status)
    assert news == ["RightSizingRecommended"]
    assert len({str(each) for each in statuses}) == 2


def test_auto_moves_and_ends_its_probation():
    walk, news = Walk(running()), []
    for _ in range(12):
        walk.look("True")
        news += walk.news
    assert walk.gpu == "L4"
    assert news == ["RightSizingRecommended", "RightSizingMoves", "RightSizingMoved"]
    assert walk.status["rightSizing"]["phase"] == "Idle"
    assert len(walk.status["rightSizing"]["movedAt"]) == 1


def test_auto_goes_back_where_the_objective_breaks():
    walk, news = Walk(running()), []
    for _ in range(24):
        walk.look("False" if walk.gpu == "L4" else "True")
        news += walk.news
    assert walk.gpu == "H100-PCIe-80GB"
    assert "RightSizingReverts" in news
    assert [one["configuration"]["gpu"] for one in walk.status["rightSizing"]["refused"]] == ["L4"]


def test_a_new_operator_goes_on_where_the_last_one_died():
    walk = Walk(running())
    while walk.look().phase is Phase.IDLE:
        assert walk.minutes < 60
    walk.sizer = RightSizer(pace=PACE)
    assert walk.look().phase is Phase.MOVING
    assert walk.gpu == "L4"
    walk.sizer = RightSizer(pace=PACE)
    assert walk.look().phase is Phase.PROBATION


def test_what_is_remembered_is_read_back():
    walk = Walk(running())
    courses = [walk.look() for _ in range(12)]
    for course in courses:
        status = as_json(InferenceWorkloadStatus(right_sizing=right_sizing_status(course)))
        kept = course.model_copy(update={"recommendation": None})
        if course.recommendation is None:
            kept = kept.model_copy(update={"candidate": None, "candidate_since": None})
        expected = None if kept == Course(planning_hash="a") else kept
        assert read_course(status) == expected


@pytest.mark.parametrize("garbled", [[], "x", {"phase": "Flying"}, {"phase": "Idle"}, {"planningHash": 7}])
def test_a_garbled_memory_is_none(garbled):
    assert read_course({"rightSizing": garbled}) is None


def test_observed_traffic_counts_only_after_long_enough():
    for hours, basis in ((3, "stated"), (24, "observed")):
        seen = Observed(at=TIME, hours=hours, requests_per_second=2.0)
        sizer = RightSizer(lambda seen=seen: {KEY: seen}, PACE)
        workload = running("Recommend").model_copy(update={"observed": sizer.known_traffic(World(), TIME).get(KEY)})
        walk = Walk(workload, sizer)
        for _ in range(4):
            walk.look()
        assert walk.status["recommendation"]["traffic"].lower() == basis


def test_the_rate_held_in_mind_is_in_the_status_and_is_read_from_there():
    walk = Walk(
        running("Recommend").model_copy(update={"observed": Observed(at=TIME, hours=24, requests_per_second=2.11)})
    )
    walk.look()
    assert walk.status["rightSizing"]["observedRequestsPerSecond"] == "2.2"
    assert observed_of_status({"status": walk.status}, TIME).requests_per_second == 2.2


def test_the_metrics_count_recommendations_and_moves():
    metrics, walk = Metrics(), Walk(running())
    for _ in range(6):
        walk.look("True")
        metrics.show(walk.result)
    value = metrics.registry.get_sample_value
    assert value("berthmaster_rightsizing_moves_total", {"outcome": "arrived"}) == 1
    assert value("berthmaster_rightsizing_under_way", {"phase": "Probation"}) == 1
    assert value("berthmaster_rightsizing_review_seconds_count") == 6


def test_a_saving_is_money():
    walk = Walk(running("Recommend"))
    for _ in range(4):
        walk.look()
    assert Decimal(walk.status["recommendation"]["savingUSDPerMonth"]) == 3 * 730


def test_where_nobody_asks_nothing_is_reviewed_and_nobody_has_to_plan_for_it():
    walk = Walk(running("Disabled"))
    walk.look()
    assert walk.sizer.is_wanted is False
    assert walk.result.review.seconds is None
    walk.workload = running("Recommend")
    walk.look()
    assert walk.sizer.is_wanted is True
    assert walk.result.review.seconds is not None


def test_a_rate_that_only_a_status_tells_is_held_until_it_is_measured_again():
    stored = thing({"rightSizing": {"observedRequestsPerSecond": "2.2"}})
    world = World(workloads=(stored,))
    measured = {}
    sizer = RightSizer(lambda: measured, PACE)
    held = sizer.known_traffic(world, TIME)[KEY]
    workload = running("Auto").model_copy(update={"observed": held})
    walk = Walk(workload, sizer)
    for _ in range(12):
        course = walk.look()
    assert (course.recommendation, course.phase, walk.gpu) == (None, Phase.IDLE, "H100-PCIe-80GB")
    measured[KEY] = Observed(at=TIME, hours=1, requests_per_second=2.0)
    assert sizer.known_traffic(world, TIME + timedelta(days=1))[KEY].at == TIME


def test_without_prometheus_the_stated_rate_counts_whatever_was_observed_once():
    stored = thing({"rightSizing": {"observedRequestsPerSecond": "2.2"}})
    assert RightSizer(pace=PACE).known_traffic(World(workloads=(stored,)), TIME) == {}
