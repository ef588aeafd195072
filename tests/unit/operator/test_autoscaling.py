"""The autoscaler in the operator: from scripted signals to replicas, statuses and nothing else. Virtual time."""

from typing import Any

import pytest

from berth_operator import kinds
from followed_fleet import FollowedFleet, ScriptedSource, cluster, workload

RESNET = ("vision", "resnet")


@pytest.fixture
def source() -> ScriptedSource:
    return ScriptedSource()


async def started(source: ScriptedSource | None, *, nodes: int = 20, **spec: Any) -> FollowedFleet:
    kube = cluster(nodes)
    kube.put(kinds.WORKLOAD, workload(**spec))
    fleet = FollowedFleet(kube, source)
    await fleet.settle()
    return fleet


def demand(fleet: FollowedFleet, replicas: float, **more: Any) -> None:
    """Arrivals that take ``replicas`` at their objectives, and what is seen beside them."""
    assert fleet.source is not None
    rate = replicas * fleet.sustained()
    fleet.source.signals[RESNET] = {"requests_per_second": rate, **more}


async def test_replicas_follow_demand_up_and_after_the_window_down(source: ScriptedSource) -> None:
    fleet = await started(source)
    assert fleet.replicas() == 1
    demand(fleet, 0.7)
    await fleet.rounds(5)
    assert fleet.replicas() == 1
    demand(fleet, 4.5)
    await fleet.rounds(3)
    assert fleet.replicas() == 6  # 4.5 at 75 %
    assert fleet.status()["desiredReplicas"] == fleet.status()["replicas"] == 6
    demand(fleet, 0.5)
    await fleet.rounds(25)
    assert fleet.replicas() >= 6
    await fleet.rounds(60)
    assert fleet.replicas() <= 2
    assert fleet.condition("Autoscaling") == ("True", "Managed")


async def test_a_step_is_asked_for_within_two_ticks(source: ScriptedSource) -> None:
    fleet = await started(source, nodes=40, replicas={"minimum": 4, "maximum": 40})
    demand(fleet, 3.0)
    await fleet.rounds(40)
    assert fleet.replicas() == 4
    demand(fleet, 9.0)
    await fleet.rounds(2)
    assert fleet.replicas() >= 12


async def test_constant_demand_scales_nothing_and_is_not_written_about(source: ScriptedSource) -> None:
    fleet = await started(source)
    rate = 2.9 * fleet.sustained()
    source.signals[RESNET] = fleet.serve(rate, latency_seconds={"latency.p99": 0.02})
    await fleet.rounds(120)
    replicas, before = fleet.replicas(), len(fleet.kube.writes)
    for number in range(200):
        wobble = 1 + 0.03 * ((number * 7919) % 11 - 5) / 5
        source.signals[RESNET] = fleet.serve(rate * wobble, latency_seconds={"latency.p99": 0.02 * wobble})
        await fleet.round()
    assert fleet.replicas() == replicas
    assert fleet.kube.writes[before:] == []


async def test_a_prometheus_that_is_down_changes_nothing_and_recovery_needs_nobody(source: ScriptedSource) -> None:
    fleet = await started(source)
    demand(fleet, 4.5)
    await fleet.rounds(40)
    assert fleet.replicas() == 6
    source.problem = "Prometheus does not answer: check prometheus.url"
    await fleet.rounds(10)
    assert fleet.condition("Autoscaling") == ("False", "SignalsMissing")
    before = len(fleet.kube.writes)
    await fleet.rounds(350)
    assert fleet.replicas() == 6
    assert fleet.kube.writes[before:] == []
    assert fleet.condition("SLOMet")[0] == "Unknown"
    source.problem = ""
    demand(fleet, 8.0)
    await fleet.rounds(3)
    assert fleet.replicas() >= 10
    assert fleet.condition("Autoscaling") == ("True", "Managed")


@pytest.mark.parametrize(
    "rate", [float("nan"), float("inf"), -1.0, None], ids=["nan", "infinite", "negative", "absent"]
)
async def test_bad_numbers_hold_the_count(source: ScriptedSource, rate: float | None) -> None:
    fleet = await started(source)
    demand(fleet, 4.5)
    await fleet.rounds(40)
    source.signals[RESNET] = {"requests_per_second": rate}
    await fleet.rounds(60)
    assert fleet.replicas() == 6
    assert fleet.condition("Autoscaling") == ("False", "SignalsMissing")


async def test_a_gap_of_half_a_minute_is_no_news(source: ScriptedSource) -> None:
    fleet = await started(source)
    demand(fleet, 4.5)
    await fleet.rounds(40)
    before = len(fleet.kube.writes)
    source.problem = "Prometheus is being restarted"
    await fleet.rounds(3)
    source.problem = ""
    await fleet.rounds(3)
    assert fleet.kube.writes[before:] == []


async def test_a_new_leader_goes_on_from_what_runs(source: ScriptedSource) -> None:
    fleet = await started(source)
    source.signals[RESNET] = fleet.serve(4.5 * fleet.sustained())
    await fleet.rounds(150)
    before = len(fleet.kube.writes)
    fleet.start()
    await fleet.rounds(10)
    assert fleet.replicas() == 6
    assert fleet.kube.writes[before:] == []
    demand(fleet, 0.5)
    fleet.start()
    await fleet.rounds(29)
    assert fleet.replicas() == 6  # nothing goes before a whole window was seen
    await fleet.rounds(60)
    assert fleet.replicas() < 6


async def test_a_leader_that_ends_between_scaling_and_saying_so_leaves_what_runs(source: ScriptedSource) -> None:
    fleet = await started(source)
    demand(fleet, 4.5)
    await fleet.round()
    fleet.kube.change(kinds.WORKLOAD, "resnet", "vision", lambda each: each["status"].pop("desiredReplicas", None))
    running = fleet.replicas()
    assert running > 1
    source.problem = "down"
    fleet.start()
    await fleet.rounds(10)
    assert fleet.replicas() == running


async def test_a_new_leader_without_prometheus_leaves_what_runs(source: ScriptedSource) -> None:
    fleet = await started(source)
    demand(fleet, 4.5)
    await fleet.rounds(40)
    source.problem = "down"
    fleet.start()
    await fleet.rounds(100)
    assert fleet.replicas() == 6


async def test_what_was_learned_survives_a_restart(source: ScriptedSource) -> None:
    fleet = await started(source)
    source.signals[RESNET] = fleet.serve(2.0 * fleet.sustained(), efficiency=0.7)
    await fleet.rounds(200)
    replicas, learned = fleet.replicas(), fleet.status()["learned"]
    assert learned["revision"] == fleet.status()["revision"]
    assert len(learned["memory"]) < 1000
    fleet.start()
    await fleet.rounds(3)
    assert fleet.replicas() == replicas
    assert fleet.status()["learned"] == learned


async def test_a_change_of_the_spec_that_moves_nothing_keeps_the_count(source: ScriptedSource) -> None:
    fleet = await started(source)
    demand(fleet, 4.5)
    await fleet.rounds(40)

    def act(each: dict[str, Any]) -> None:
        each["spec"]["budget"] = {"monthlyUSD": "90000"}
        each["metadata"]["generation"] += 1

    fleet.kube.change(kinds.WORKLOAD, "resnet", "vision", act)
    fleet.plan_due = True
    counts = set()
    for _ in range(10):
        await fleet.round()
        counts.add(fleet.replicas())
    assert counts == {6}


async def test_a_new_revision_starts_with_what_demand_needs_now(source: ScriptedSource) -> None:
    fleet = await started(source, nodes=40)
    demand(fleet, 4.5)
    await fleet.rounds(40)
    revision = fleet.status()["revision"]

    def act(each: dict[str, Any]) -> None:
        each["spec"]["serving"] = {"resources": {"requests": {"cpu": "3"}}}
        each["metadata"]["generation"] += 1

    fleet.kube.change(kinds.WORKLOAD, "resnet", "vision", act)
    fleet.plan()
    await fleet.rounds(6)
    assert fleet.status()["revision"] != revision
    assert fleet.status()["replicas"] == 6


async def test_a_person_who_scales_is_left_alone_and_hands_back(source: ScriptedSource) -> None:
    fleet = await started(source)
    demand(fleet, 0.6)
    await fleet.rounds(10)
    (name,) = fleet.kube.names(kinds.DEPLOYMENT)

    def scale(each: dict[str, Any]) -> None:
        each["spec"]["replicas"] = 3
        for entry in each["metadata"]["managedFields"]:
            if entry["manager"] == "berthmaster-autoscaler":
                entry["manager"], entry["operation"] = "kubectl", "Update"

    fleet.kube.change(kinds.DEPLOYMENT, name, "vision", scale)
    fleet.due.add("vision/resnet")
    await fleet.rounds(3)
    assert fleet.condition("Autoscaling") == ("False", "ReplicasOwnedByOther")
    demand(fleet, 6.0)
    await fleet.rounds(30)
    assert fleet.replicas() == 3
    assert "desiredReplicas" not in fleet.status()

    def hand_back(each: dict[str, Any]) -> None:
        for entry in each["metadata"]["managedFields"]:
            if entry["manager"] == "kubectl":
                entry["manager"], entry["operation"] = "berthmaster-autoscaler", "Apply"

    fleet.kube.change(kinds.DEPLOYMENT, name, "vision", hand_back)
    fleet.due.add("vision/resnet")
    await fleet.rounds(4)
    assert fleet.condition("Autoscaling") == ("True", "Managed")
    assert fleet.replicas() == 8


async def test_more_than_there_is_room_for_moves_nothing_and_says_so(source: ScriptedSource) -> None:
    fleet = await started(source, nodes=3)
    revision = fleet.status()["revision"]
    demand(fleet, 7.0)
    await fleet.rounds(20)
    assert (fleet.replicas(), fleet.status()["revision"]) == (3, revision)
    assert fleet.condition("Autoscaling") == ("True", "AtMaximum")


async def test_never_above_the_maximum(source: ScriptedSource) -> None:
    fleet = await started(source, replicas={"maximum": 4})
    demand(fleet, 30.0)
    await fleet.rounds(20)
    assert fleet.replicas() == 4
    assert fleet.condition("Autoscaling") == ("True", "AtMaximum")


async def test_a_broken_objective_is_said_after_a_minute(source: ScriptedSource) -> None:
    fleet = await started(source)
    demand(fleet, 0.7, latency_seconds={"latency.p99": 0.030})
    await fleet.rounds(40)
    assert fleet.condition("SLOMet") == ("True", "ObjectivesMet")
    demand(fleet, 0.7, latency_seconds={"latency.p99": 0.500})
    await fleet.rounds(20)
    assert fleet.condition("SLOMet") == ("False", "ObjectiveBroken")


async def test_what_is_measured_stands_beside_what_is_predicted(source: ScriptedSource) -> None:
    fleet = await started(source)
    source.signals[RESNET] = {
        "requests_per_second": 123.4,
        "utilization": 0.31,
        "latency_seconds": {"latency.p99": 0.0123},
    }
    await fleet.rounds(5)
    shown = fleet.status()["observed"]
    assert (shown["requestsPerSecond"], shown["utilizationPercent"]) == ("120", 31)
    assert shown["latency"] == {"p99Milliseconds": "12"}


async def test_a_model_that_is_far_off_is_told(source: ScriptedSource) -> None:
    fleet = await started(source)
    source.signals[RESNET] = fleet.serve(3.0 * fleet.sustained(), efficiency=0.52)
    await fleet.rounds(300)
    assert fleet.condition("Mispredicted") == ("True", "OutsideBand")


async def test_external_replicas_follow_the_spec_and_what_we_would_want_is_told(source: ScriptedSource) -> None:
    fleet = await started(source, autoscaling={"mode": "External"}, replicas={"desired": 3})
    assert fleet.replicas() == 3
    demand(fleet, 6.0)
    told: list[int | None] = []
    assert fleet.autoscaler is not None
    fleet.autoscaler._observe = lambda seconds, measured: told.append(measured["vision/resnet"].desired)
    await fleet.rounds(20)
    assert fleet.replicas() == 3
    assert told[-1] == 7  # at once by at most four more than run
    assert fleet.condition("Autoscaling") == ("True", "External")

    def scale(each: dict[str, Any]) -> None:
        each["spec"]["replicas"]["desired"] = 5
        each["metadata"]["generation"] += 1

    fleet.kube.change(kinds.WORKLOAD, "resnet", "vision", scale)
    fleet.plan_due = True
    await fleet.rounds(3)
    assert fleet.replicas() == 5


async def test_disabled_replicas_are_those_of_the_stated_rate(source: ScriptedSource) -> None:
    fleet = await started(source, autoscaling={"mode": "Disabled"})
    source.signals[RESNET] = {"requests_per_second": 1e5}
    await fleet.rounds(10)
    assert fleet.replicas() == 1
    assert fleet.condition("Autoscaling") == ("True", "Disabled")


async def test_before_demand_was_ever_measured_the_stated_rate_counts(source: ScriptedSource) -> None:
    fleet = await started(source)
    await fleet.rounds(20)

    def act(each: dict[str, Any]) -> None:
        each["spec"]["traffic"]["requestsPerSecond"] = int(2.5 * fleet.sustained())
        each["metadata"]["generation"] += 1

    fleet.kube.change(kinds.WORKLOAD, "resnet", "vision", act)
    fleet.plan_due = True
    await fleet.rounds(5)
    assert fleet.replicas() == 3


async def test_pods_that_are_to_go_are_marked_before_they_do(source: ScriptedSource) -> None:
    fleet = await started(source)
    demand(fleet, 4.5)
    await fleet.rounds(5)
    demand(fleet, 0.5)
    await fleet.rounds(100)
    marked = [name for verb, kind, name in fleet.kube.writes if (verb, kind) == ("APPLY", "Pod")]
    assert len(marked) >= 5


async def test_smoothed_signals_of_all_workloads_are_in_one_place(source: ScriptedSource) -> None:
    fleet = await started(source)
    source.signals[RESNET] = {"requests_per_second": 100.0}
    await fleet.round()
    source.signals[RESNET] = {"requests_per_second": 200.0}
    await fleet.round()
    assert fleet.autoscaler is not None
    rate = fleet.autoscaler.observed()[RESNET].requests_per_second
    assert rate is not None and 100 < rate < 110
