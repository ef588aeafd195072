"""What the status says of a decision and of how far it has come."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from berth_cost.cases.case import Prediction
from berth_operator.api.conditions import Reason
from berth_operator.labels import MANAGED_BY, MANAGER, REPLICAS_MANAGER, REVISION, WORKLOAD
from berth_operator.mirror import Entry
from berth_operator.observation import obstacle, present_revisions, refused, running, unschedulable_revisions
from berth_operator.report import Obstacle, Progress, says_the_same, workload_status
from berth_operator.rollout import Phase, Running
from berth_scheduler.decision import Cost, Decision
from berth_scheduler.snapshot import Berth, CapacityType, PodResources, Problem, Sharing, Traffic, Variant, Workload

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)

WORKLOAD_OF_TEST = Workload(
    key="vision/resnet",
    uid="u",
    generation=3,
    planning_hash="h",
    backend="onnxruntime",
    variants=(Variant(precision="fp16"),),
    traffic=Traffic(requests_per_second=200),
    resources=PodResources(cpu_cores=1, memory_bytes=1),
)


def berth(gpu: str = "L4", bought: CapacityType = CapacityType.ON_DEMAND, replicas: int = 2, **more: Any) -> Berth:
    return Berth(
        pool=f"{gpu}-{bought}".lower(),
        gpu=gpu,
        sharing=more.pop("sharing", Sharing.EXCLUSIVE),
        capacity_type=bought,
        precision="fp16",
        tensor_parallel=more.pop("tensor_parallel", 1),
        gpus_per_replica=1,
        instances_per_gpu=1,
        maximum_batch_size=16,
        maximum_queue_delay_microseconds=500,
        replicas=replicas,
        **more,
    )


def decision(*berths: Berth, **more: Any) -> Decision:
    placed = bool(berths)
    cost = Cost(usd_per_hour=Decimal("1.375"), usd_per_month=Decimal("1003.75"), price_date=date(2026, 11, 2))
    stated = {"reason": "Placed", "message": "fits", "cost": cost if placed else None, "decision_hash": "d"} | more
    return Decision(workload="vision/resnet", placed=placed, berths=berths, **stated)


def progress(phase: Phase | None = Phase.SETTLED, ready: int = 2, **more: Any) -> Progress:
    found = (Running("d-0", "new", 2, ready), *more.pop("others", ()))
    stated = {"revision": "new", "serving": "new", "names": ("d-0",)} | more
    return Progress(phase, deployments=found, **stated)


def status(
    made: Decision,
    how: Progress,
    previous: dict[str, Any] | None = None,
    of: Workload = WORKLOAD_OF_TEST,
    now: datetime = NOW,
) -> dict[str, Any]:
    return workload_status(of, made, how, previous or {}, now)


def conditions(found: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {each["type"]: (each["status"], each["reason"]) for each in found["conditions"]}


def message(found: dict[str, Any], kind: str) -> str:
    return str(next(each["message"] for each in found["conditions"] if each["type"] == kind))


@pytest.mark.parametrize(
    ("berths", "gpu", "replicas"),
    [
        ([berth()], "L4", "2"),
        ([berth(bought=CapacityType.SPOT), berth(replicas=1)], "L4 Spot+OnDemand", "2+1"),
        ([berth(replicas=1), berth(bought=CapacityType.SPOT)], "L4 Spot+OnDemand", "2+1"),
        ([berth(bought=CapacityType.SPOT)], "L4 Spot", "2"),
        ([berth("H100-SXM-80GB", tensor_parallel=4)], "4×H100-SXM-80GB", "2"),
        ([berth("A100-SXM-80GB", sharing=Sharing.MIG, mig_profile="1g.10gb")], "A100-SXM-80GB 1g.10gb", "2"),
    ],
)
def test_the_columns_say_what_was_chosen(berths: list[Berth], gpu: str, replicas: str) -> None:
    summary = status(decision(*berths), progress())["summary"]
    assert summary == {"gpu": gpu, "precision": "fp16", "replicas": replicas, "costPerHour": "$1.38"}


def test_a_settled_workload_is_ready_and_neither_reconciling_nor_stalled() -> None:
    found = status(decision(berth()), progress())
    assert conditions(found) == {
        "Accepted": ("True", "SpecAccepted"),
        "Placed": ("True", "Placed"),
        "Available": ("True", "ReplicasReady"),
        "SLOMet": ("Unknown", "NotMeasured"),
        "Autoscaling": ("True", "Managed"),
        "BudgetOK": ("True", "NoBudget"),
        "Ready": ("True", "RevisionAvailable"),
    }
    assert (found["observedGeneration"], found["replicas"], found["readyReplicas"]) == (3, 2, 2)
    assert found["selector"] == f"{REVISION}=new,{WORKLOAD}=resnet"


def test_nothing_that_stayed_the_same_is_written_again_even_an_hour_later() -> None:
    first = status(decision(berth()), progress())
    again = status(decision(berth()), progress(), first, now=NOW + timedelta(hours=1))
    assert says_the_same(again, first)
    foreign = {
        "type": "Paid",
        "status": "True",
        "reason": "x",
        "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    assert says_the_same(again, {**first, "conditions": [*first["conditions"], foreign]})
    assert not says_the_same(status(decision(berth()), progress(ready=1), first), first)


@pytest.mark.parametrize(
    ("phase", "reason"),
    [
        (Phase.STARTING, "PodsStarting"),
        (Phase.RESIZING, "PodsStarting"),
        (Phase.SWITCHING, "Switching"),
        (Phase.WAITING, "NoRoomToSwitch"),
        (Phase.STOPPING, "Switching"),
    ],
)
def test_what_may_come_right_by_itself_is_reconciling(phase: Phase, reason: str) -> None:
    found = conditions(status(decision(berth()), progress(phase, ready=0)))
    assert (found["Ready"], found["Reconciling"]) == (("False", reason), ("True", reason))
    assert "Stalled" not in found


def test_while_an_old_revision_drains_the_new_one_is_ready() -> None:
    assert conditions(status(decision(berth()), progress(Phase.DRAINING)))["Ready"] == ("True", "Draining")
    assert conditions(status(decision(berth()), progress(Phase.DRAINING, ready=1)))["Ready"] == (
        "False",
        "PodsStarting",
    )


def test_what_needs_a_person_is_stalled_with_the_reason_in_a_sentence() -> None:
    failed = Obstacle(Reason.NAME_CONFLICT, "Service resnet exists and is not ours")
    found = status(decision(berth()), progress(Phase.STARTING, ready=0, failed=failed))
    assert conditions(found)["Stalled"] == ("True", "NameConflict")
    assert message(found, "Ready") == "Service resnet exists and is not ours"


def test_pods_that_fail_stall_and_pods_that_find_no_node_wait() -> None:
    failing = progress(
        Phase.STARTING, ready=0, pods=Obstacle(Reason.PODS_FAILING, "p: ImagePullBackOff: no such image")
    )
    assert conditions(status(decision(berth()), failing))["Stalled"] == ("True", "PodsFailing")
    unscheduled = Obstacle(Reason.PODS_STARTING, "p is not scheduled: no GPU")
    waiting = progress(Phase.SWITCHING, ready=0, serving="old", pods=unscheduled)
    found = status(decision(berth()), waiting)
    assert conditions(found)["Reconciling"] == ("True", "NoRoomToSwitch")
    assert message(found, "Ready") == "old serves, new starts, 0 of 2 ready: p is not scheduled: no GPU"


def test_more_replicas_than_planned_are_counted_as_such() -> None:
    found = status(decision(berth()), progress(ready=3))
    assert message(found, "Ready") == "3 replicas of revision new ready, 2 planned"


def test_an_infeasible_workload_says_so_and_counts_what_still_runs() -> None:
    made = decision(reason="NoFeasibleCandidate", message="latency p99 ≤ 5 ms is out of reach")
    found = status(made, Progress(serving="old", deployments=(Running("d", "old", 3, 3),)))
    assert conditions(found)["Placed"] == conditions(found)["Ready"] == ("False", "NoFeasibleCandidate")
    assert conditions(found)["Stalled"][0] == "True"
    assert conditions(found)["Available"][0] == "True"
    assert (found["replicas"], found["readyReplicas"], "summary" in found, "cost" in found) == (3, 3, False, False)


def test_short_capacity_is_waited_for() -> None:
    made = decision(reason="InsufficientCapacity", message="no room", waiting_for_capacity=True)
    found = conditions(status(made, Progress()))
    assert ("Stalled" in found, found["Reconciling"]) == (False, ("True", "InsufficientCapacity"))


def test_a_spec_that_is_not_understood_is_not_accepted() -> None:
    problem = Problem(reason="UnknownPreset", message="spec.model.preset: resnet51 is unknown")
    of = WORKLOAD_OF_TEST.model_copy(update={"problem": problem})
    found = status(decision(reason="UnknownPreset", message=problem.message), Progress(), of=of)
    assert conditions(found)["Accepted"] == ("False", "UnknownPreset")
    assert conditions(found)["Stalled"] == ("True", "UnknownPreset")
    assert message(found, "Ready") == problem.message


def test_a_word_that_is_not_in_the_vocabulary_does_not_keep_a_status_from_being_written() -> None:
    assert (
        conditions(status(decision(reason="Whatever", message="m"), Progress()))["Placed"][1] == "NoFeasibleCandidate"
    )


def test_spending_over_the_budget_is_said() -> None:
    of = WORKLOAD_OF_TEST.model_copy(update={"budget_usd_per_month": Decimal(1000)})
    found = status(decision(berth()), progress(), of=of)
    assert conditions(found)["BudgetOK"] == ("False", "OverBudget")
    assert message(found, "BudgetOK") == "budget of $1,000.00 a month: $1,003.75 a month is planned"


def test_predicted_numbers_are_rounded_so_that_noise_writes_nothing() -> None:
    def predicted(p99: float) -> dict[str, Any]:
        prediction = Prediction(
            id="x",
            feasible=True,
            evidence="estimated",
            metrics={"latencySeconds": {"p99": p99}, "requestsPerSecond": 100.0, "outputTokensPerSecond": 50.0},
            band={"latencySeconds": {"p99": (0.0262, 0.0371)}},
            utilization=0.764,
            model_version="1",
        )
        found = status(decision(berth(), prediction=prediction), progress())
        return {"predicted": found["predicted"], "p99": found["summary"]["p99"]}

    assert predicted(0.0312401) == predicted(0.0312399)
    found = predicted(0.03124)
    assert found["p99"] == "31.2 ms"
    assert found["predicted"]["latency"]["p99Milliseconds"] == {"value": "31.24", "low": "26.2", "high": "37.1"}
    assert found["predicted"]["requestsPerSecond"] == {"value": "261.8"}, "200/s at 76.4 % of what all can do"
    assert found["predicted"]["outputTokensPerSecond"] == {"value": "100"}, "50/s of each of two replicas"
    assert found["predicted"]["utilizationPercent"] == 76
    assert predicted(3.514)["p99"] == "3.51 s"


def test_a_status_stays_below_eight_kilobytes() -> None:
    import json

    from berth_scheduler.decision import Alternative, Constraint

    alternatives = tuple(
        Alternative(berths=(berth(),) * 4, usd_per_hour=Decimal("1.23456"), lost_by=Constraint.COST, message="x" * 300)
        for _ in range(9)
    )
    found = status(decision(*[berth()] * 8, alternatives=alternatives), progress())
    assert len(found["alternatives"]) == 5
    assert len(json.dumps(found)) < 8000


# --- what is observed --------------------------------------------------------------------------------------------


def deployment(**status: Any) -> Entry:
    thing = {
        "metadata": {"name": "d", "namespace": "n", "uid": "u", "generation": 2, "labels": {REVISION: "r"}},
        "spec": {"replicas": 3},
        "status": {"observedGeneration": 2, "replicas": 3, "updatedReplicas": 3, "readyReplicas": 3} | status,
    }
    return Entry(thing, 1, replica_owners=(REPLICAS_MANAGER,))


def pod(name: str = "p", revision: str = "r", **more: Any) -> Entry:
    metadata = {"name": name, "namespace": "n", "uid": name, "labels": {REVISION: revision, MANAGED_BY: MANAGER}}
    return Entry({"metadata": metadata | more.pop("metadata", {}), "spec": {}, "status": more}, 1)


def waiting(reason: str, restarts: int = 0, said: str = "because") -> list[dict[str, Any]]:
    return [{"name": "triton", "restartCount": restarts, "state": {"waiting": {"reason": reason, "message": said}}}]


def test_a_deployment_counts_only_what_its_controller_has_seen() -> None:
    assert running(deployment(), NOW).available(3)
    assert not running(deployment(observedGeneration=1), NOW).available(3)
    assert not running(deployment(updatedReplicas=2), NOW).available(3)
    assert not running(deployment(readyReplicas=2), NOW).available(3)


def test_a_deployment_is_dead_when_nothing_of_it_was_available_for_a_minute() -> None:
    def unavailable(since: str) -> Entry:
        condition = {"type": "Available", "status": "False", "lastTransitionTime": since}
        return deployment(readyReplicas=0, conditions=[condition])

    assert running(unavailable("2026-11-21T11:58:00Z"), NOW).dead
    assert not running(unavailable("2026-11-21T11:59:30Z"), NOW).dead
    assert not running(deployment(readyReplicas=0), NOW).dead


def test_pods_say_why_they_do_not_start_the_worst_first() -> None:
    unscheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no GPU"}
    pods = [pod("a", conditions=[unscheduled]), pod("b", containerStatuses=waiting("ImagePullBackOff"))]
    found = obstacle(pods, "r")
    assert found == Obstacle(Reason.PODS_FAILING, "b: ImagePullBackOff: because")
    assert obstacle(pods[:1], "r") == Obstacle(Reason.PODS_STARTING, "a is not scheduled: no GPU")
    assert obstacle(pods, "another revision") is None
    assert obstacle([pod(containerStatuses=waiting("ContainerCreating"))], "r") is None
    assert obstacle([pod(containerStatuses=waiting("ContainerCreating", restarts=3))], "r") is not None
    assert unschedulable_revisions(pods) == {"r"}


def test_pods_that_cannot_even_be_made_are_told_by_their_deployment() -> None:
    failure = {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota"}
    assert refused([deployment(conditions=[failure])], "r") == Obstacle(Reason.PODS_FAILING, "d: exceeded quota")
    assert refused([deployment()], "r") is None


def test_pods_stuck_on_a_lost_node_are_not_waited_for() -> None:
    going = pod(revision="old", metadata={"deletionTimestamp": "2026-11-21T11:59:50Z"})
    stuck = pod(revision="older", metadata={"deletionTimestamp": "2026-11-21T11:00:00Z"})
    assert present_revisions([going, stuck], NOW) == {"old"}
