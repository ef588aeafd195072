"""What the autoscaler and right-sizing do while nothing can be measured, and over a whole day. Virtual time."""

from datetime import timedelta
from typing import Any

from berth_operator import kinds
from berth_operator.right_sizing import RightSizer
from berth_scheduler.right_sizing.assessment import ChangeOver
from berth_scheduler.right_sizing.course import Pace
from followed_fleet import FollowedFleet, ScriptedSource, cluster, node, pool, workload

RESNET = ("vision", "resnet")
KEY = "vision/resnet"
DOWN = "prometheus.url: Connection refused"
HOUR = 360
"""Ticks."""


async def started(**spec: Any) -> FollowedFleet:
    kube = cluster(20)
    kube.put(kinds.WORKLOAD, workload(**spec))
    fleet = FollowedFleet(kube, ScriptedSource())
    await fleet.settle()
    return fleet


def serve(fleet: FollowedFleet, replicas: float, **more: Any) -> None:
    assert fleet.source is not None
    fleet.source.signals[RESNET] = fleet.serve(replicas * fleet.sustained(), **more)


def go_down(fleet: FollowedFleet) -> None:
    assert fleet.source is not None
    fleet.source.problem = DOWN


def come_back(fleet: FollowedFleet) -> None:
    assert fleet.source is not None
    fleet.source.problem = ""


def said(fleet: FollowedFleet, kind: str) -> str:
    return next(str(each["message"]) for each in fleet.status()["conditions"] if each["type"] == kind)


async def test_an_hour_without_prometheus_is_one_status_and_recovery_another() -> None:
    fleet = await started()
    serve(fleet, 4.5, latency_seconds={"latency.p99": 0.02})
    await fleet.rounds(200)
    replicas, before = fleet.replicas(), len(fleet.kube.writes)
    assert fleet.condition("SLOMet")[0] == "True"
    since = fleet.now() - timedelta(seconds=10)
    go_down(fleet)
    await fleet.rounds(HOUR)
    assert fleet.kube.writes[before:] == [("APPLY", "InferenceWorkload", "resnet")]
    assert fleet.replicas() == replicas == 6
    assert fleet.condition("SLOMet") == ("Unknown", "NotMeasured")
    assert fleet.condition("Autoscaling") == ("False", "SignalsMissing")
    assert said(fleet, "SLOMet") == f"not known since {since:%Y-%m-%d %H:%M} UTC: {DOWN}"
    assert fleet.status()["observed"]["notKnownSince"] == f"{since:%Y-%m-%dT%H:%M:%SZ}"
    come_back(fleet)
    await fleet.rounds(60)
    assert "notKnownSince" not in fleet.status()["observed"]
    assert fleet.condition("SLOMet")[0] == "True"
    assert fleet.condition("Autoscaling") == ("True", "Managed")
    assert fleet.replicas() == replicas
    assert set(fleet.kube.writes[before:]) == {("APPLY", "InferenceWorkload", "resnet")}


async def test_an_objective_that_was_broken_as_prometheus_went_is_not_known_either() -> None:
    fleet = await started()
    serve(fleet, 0.7, latency_seconds={"latency.p99": 0.5})
    await fleet.rounds(30)
    assert fleet.condition("SLOMet")[0] == "False"
    go_down(fleet)
    await fleet.rounds(10)
    assert fleet.condition("SLOMet") == ("Unknown", "NotMeasured")


async def test_a_new_leader_in_an_outage_says_the_same_and_scales_nothing() -> None:
    fleet = await started()
    serve(fleet, 4.5, latency_seconds={"latency.p99": 0.02})
    await fleet.rounds(200)
    go_down(fleet)
    await fleet.rounds(20)
    before, status = len(fleet.kube.writes), fleet.status()
    fleet.start()
    await fleet.rounds(HOUR)
    assert fleet.kube.writes[before:] == []
    assert fleet.status() == status
    assert fleet.replicas() == 6


async def test_numbers_that_contradict_each_other_are_not_taken_in() -> None:
    fleet = await started()
    serve(fleet, 4.5)
    await fleet.rounds(60)
    shown = fleet.status()["observed"]["requestsPerSecond"]
    assert fleet.source is not None and fleet.autoscaler is not None
    fleet.source.signals[RESNET] = {"requests_per_second": 0.0, "utilization": 0.9}
    await fleet.rounds(60)
    assert fleet.status()["observed"]["requestsPerSecond"] == shown
    assert "notKnownSince" in fleet.status()["observed"]
    assert fleet.condition("Autoscaling") == ("False", "SignalsContradict")
    assert fleet.replicas() == 6


async def test_nobody_moves_on_a_rate_that_is_not_measured_any_more() -> None:
    """The recommendation stands while Prometheus is away, and is followed when it is back."""
    kube = cluster(0)
    kube.put(kinds.POOL, pool("l4", "1.00"))
    kube.put(kinds.NODE, node("l4-0", "NVIDIA-L4", "l4"))
    kube.put(kinds.WORKLOAD, workload(traffic={"requestsPerSecond": 50}))
    calm = Pace(10, 3600, 20, 60)
    fleet = FollowedFleet(
        kube, ScriptedSource(), lambda: RightSizer(pace=calm, change_over=ChangeOver(30, 4), review_seconds=10)
    )
    await fleet.settle()
    serve(fleet, 0.2)
    kube.put(kinds.NODE, node("t4-0", "Tesla-T4", "t4"))
    await reviewed(fleet, 20)
    recommendation = fleet.status()["recommendation"]
    assert recommendation["placement"].startswith("1 × T4")
    go_down(fleet)
    await reviewed(fleet, 10)

    def allow(each: dict[str, Any]) -> None:
        each["spec"]["rightSizing"] = {"mode": "Auto"}
        each["metadata"]["generation"] += 1

    kube.change(kinds.WORKLOAD, "resnet", "vision", allow)
    kube.put(kinds.NODE, node("t4-1", "Tesla-T4", "t4"))
    await reviewed(fleet, 60)
    assert fleet.status()["recommendation"] == recommendation
    assert "rightSizing" not in fleet.status() or fleet.status()["rightSizing"]["phase"] == "Idle"
    assert fleet.result.planned[KEY].decision.berths[0].gpu == "L4"
    come_back(fleet)
    await reviewed(fleet, 20)
    assert fleet.result.planned[KEY].decision.berths[0].gpu == "T4"


async def reviewed(fleet: FollowedFleet, count: int) -> None:
    for _ in range(count):
        fleet.plan_due = True
        await fleet.round()


async def test_a_constant_load_scales_nothing_for_a_day() -> None:
    fleet = await started()
    rate = 2.9 * fleet.sustained()
    fleet.source.signals[RESNET] = fleet.serve(rate, latency_seconds={"latency.p99": 0.02})  # type: ignore[union-attr]
    await fleet.rounds(HOUR)
    replicas, before = fleet.replicas(), len(fleet.kube.writes)
    for number in range(24 * HOUR // 3):
        wobble = 1 + 0.03 * ((number * 7919) % 11 - 5) / 5
        fleet.source.signals[RESNET] = fleet.serve(rate * wobble, latency_seconds={"latency.p99": 0.02 * wobble})  # type: ignore[union-attr]
        await fleet.round(seconds=30.0)
        assert fleet.replicas() == replicas
    written = fleet.kube.writes[before:]
    assert set(written) <= {("APPLY", "InferenceWorkload", "resnet")}
    assert len(written) <= 4, "the profile of the day is kept, four times at most"
