"""What readings of Prometheus add up to: a day of demand, and what a replica carries."""

import pytest

from berth_operator.observer import Observer
from berth_operator.planner import Planned
from berth_operator.signals.source import BerthSignals, WorkloadSignals
from berth_scheduler.plan import plan
from berth_scheduler.right_sizing.what_if import what_if
from example_snapshots import decision, pool, snapshot, vision

KEY = ("vision", "resnet")


@pytest.fixture(scope="module")
def planned():
    workload = vision(rate=400.0)
    made = decision(plan(snapshot([workload], [pool("l", "L4", "1", nodes=4)])))
    return Planned(made, workload)


def reading(minute, rate=100.0, busy=0.5, ready=1, **changes):
    berths = {"l": BerthSignals(replicas_seen=ready)}
    stated = {"requests_per_second": rate, "utilization": busy, "latency_seconds": {"latency.p99": 0.02}}
    return WorkloadSignals(at_seconds=600 + minute * 60.0, age_seconds=5, berths=berths, **(stated | changes))


def seen(planned, minutes, **changes):
    observer = Observer()
    for minute in range(minutes):
        observer.see({KEY: reading(minute, **changes)}, {"vision/resnet": planned})
    return observer


def test_nothing_is_said_of_less_than_five_minutes(planned):
    assert seen(planned, 3).observed({"vision/resnet": planned}) == {}


def test_rate_and_capacity_are_learned_from_readings(planned):
    prediction = planned.decision.prediction
    saturation = prediction.metrics["requestsPerSecond"] / prediction.utilization
    half = seen(planned, 700, rate=saturation / 4, busy=0.5).observed({"vision/resnet": planned})["vision/resnet"]
    assert half.requests_per_second == pytest.approx(saturation / 4)
    assert half.correction.factor == pytest.approx(0.5, rel=0.06)
    assert half.evidence == "calibrated"
    assert half.points[0].metrics.latency_seconds.p99 == pytest.approx(0.02)


def test_a_replica_that_carries_far_less_than_predicted_is_told(planned):
    prediction = planned.decision.prediction
    saturation = prediction.metrics["requestsPerSecond"] / prediction.utilization
    slow = seen(planned, 900, rate=saturation / 5, busy=0.95).observed({"vision/resnet": planned})["vision/resnet"]
    assert "of what the model says" in slow.disagreement


def test_a_model_that_is_right_is_not_contradicted(planned):
    prediction = planned.decision.prediction
    saturation = prediction.metrics["requestsPerSecond"] / prediction.utilization
    right = seen(planned, 200, rate=saturation / 2, busy=0.5).observed({"vision/resnet": planned})["vision/resnet"]
    assert right.disagreement is None
    assert right.correction.factor == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("missing", [{"utilization": None}, {"busy": 0.0}, {"ready": 0}])
def test_readings_that_lack_something_teach_the_rate_alone(planned, missing):
    found = seen(planned, 60, **missing).observed({"vision/resnet": planned})["vision/resnet"]
    assert found.requests_per_second == 100
    assert found.correction.samples == 0


def test_what_was_learned_enters_the_question_of_right_sizing(planned):
    learned = seen(planned, 700).observed({"vision/resnet": planned})["vision/resnet"]
    workload = planned.workload.model_copy(update={"observed": learned})
    asked = what_if(snapshot([workload], [pool("l", "L4", "1", nodes=4)])).workloads[0]
    assert asked.measured == learned.points
    assert workload.measured == ()


def test_workloads_that_are_gone_are_forgotten(planned):
    observer = seen(planned, 20)
    observer.see({}, {})
    assert observer.observed({"vision/resnet": planned}) == {}
