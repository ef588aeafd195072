"""Right-sizing and the replica controller together: who moves, to how many replicas, and what it costs then."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from berth_operator import kinds
from berth_operator.right_sizing import RightSizer
from berth_scheduler.right_sizing.assessment import ChangeOver
from berth_scheduler.right_sizing.course import Pace
from followed_fleet import FollowedFleet, ScriptedSource, cluster, node, pool, workload

RESNET = ("vision", "resnet")
KEY = "vision/resnet"


def sizer() -> RightSizer:
    return RightSizer(pace=Pace(10, 3600, 20, 60), change_over=ChangeOver(30, 4), review_seconds=10)


async def on_l4(**spec: Any) -> FollowedFleet:
    """One replica on an L4 at $1 an hour, with right-sizing on."""
    kube = cluster(0)
    kube.put(kinds.POOL, pool("l4", "1.00"))
    for number in range(4):
        kube.put(kinds.NODE, node(f"l4-{number}", "NVIDIA-L4", "l4"))
    stated = {
        "traffic": {"requestsPerSecond": 50},
        "replicas": {"minimum": 1, "maximum": 6},
        "autoscaling": {"scaleDownStabilizationSeconds": 20},
        "rightSizing": {"mode": "Auto"},
    }
    kube.put(kinds.WORKLOAD, workload(**(stated | spec)))
    fleet = FollowedFleet(kube, ScriptedSource(), sizer)
    await fleet.settle()
    return fleet


def arrive(fleet: FollowedFleet, requests_per_second: float) -> None:
    """So many from now on, whatever serves them then."""
    assert fleet.source is not None

    def said() -> Mapping[str, Any]:
        return fleet.serve(requests_per_second)()

    fleet.source.signals[RESNET] = said


def add_t4(fleet: FollowedFleet) -> None:
    """At half the price."""
    for number in range(6):
        fleet.kube.put(kinds.NODE, node(f"t4-{number}", "Tesla-T4", "t4"))


async def reviewed(fleet: FollowedFleet, count: int, done: Callable[[], bool] = lambda: False) -> None:
    for _ in range(count):
        if done():
            return
        fleet.plan_due = True
        await fleet.round()


def gpu(fleet: FollowedFleet) -> str:
    return fleet.result.planned[KEY].decision.berths[0].gpu


async def test_a_calm_workload_moves_to_one_replica_and_keeps_it() -> None:
    fleet = await on_l4()
    arrive(fleet, 0.5 * fleet.sustained())
    await fleet.rounds(60)
    add_t4(fleet)
    await reviewed(fleet, 30)
    assert (gpu(fleet), fleet.replicas()) == ("T4", 1)
    assert fleet.status()["desiredReplicas"] == 1


async def sustained_by_a_t4() -> float:
    kube = cluster(2)
    kube.put(kinds.WORKLOAD, workload())
    fleet = FollowedFleet(kube, None)
    await fleet.settle()
    return fleet.sustained()


async def test_after_a_move_the_controller_goes_on_with_the_margins_that_it_has_learned() -> None:
    """Nine tenths of what a T4 sustains arrive: a controller that knew nothing of this demand would want a second one
    for half an hour."""
    fleet, t4 = await on_l4(rightSizing={"mode": "Disabled"}), await sustained_by_a_t4()
    arrive(fleet, 0.9 * t4)
    await fleet.rounds(300)
    learned = margins(fleet)
    add_t4(fleet)

    def to_t4(each: dict[str, Any]) -> None:
        each["spec"]["placement"] = {"gpus": {"allow": ["T4"]}}
        each["metadata"]["generation"] += 1

    fleet.kube.change(kinds.WORKLOAD, "resnet", "vision", to_t4)
    fleet.plan_due = True
    await fleet.rounds(12)
    assert gpu(fleet) == "T4"
    assert margins(fleet) == pytest.approx(learned, rel=0.1)
    assert fleet.replicas() == 1


def margins(fleet: FollowedFleet) -> tuple[float, float]:
    assert fleet.autoscaler is not None
    forecast = fleet.autoscaler._controlled[KEY].state.forecast
    return forecast.error, forecast.z


async def test_what_would_save_nothing_with_the_headroom_that_demand_needs_is_not_recommended() -> None:
    """Nine tenths of a T4: two of them at the target of 75 %, for what the L4 costs."""
    fleet = await on_l4()
    rate = 0.9 * await sustained_by_a_t4()
    arrive(fleet, rate)

    def state(each: dict[str, Any]) -> None:
        each["spec"]["traffic"]["requestsPerSecond"] = int(rate)
        each["metadata"]["generation"] += 1

    fleet.kube.change(kinds.WORKLOAD, "resnet", "vision", state)
    await fleet.rounds(30)
    add_t4(fleet)
    await reviewed(fleet, 30)
    assert gpu(fleet) == "L4"
    assert "recommendation" not in fleet.status()
