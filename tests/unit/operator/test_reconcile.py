"""One look after another, on an API server in memory: real planning and rendering, faults, crashes and other people."""

import asyncio
import contextlib
import copy
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from berth_operator import kinds
from berth_operator.catalogues import Catalogues
from berth_operator.errors import Forbidden, LostLeadership, Refused, Unavailable
from berth_operator.events import Recorder
from berth_operator.labels import REVISION
from berth_operator.mirror import Mirror
from berth_operator.planner import Result, make_plan
from berth_operator.platform import Platform
from berth_operator.reconcile import Outcome, Reconciler
from berth_operator.right_sizing import RightSizer
from berth_operator.world import World
from berth_scheduler.right_sizing.course import Pace
from berth_scheduler.snapshot import Policy
from fake_kube import Crash, FakeKube

KEY = "vision/resnet"
CATALOGUES = Catalogues.built_in()
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def workload(**spec: Any) -> dict[str, Any]:
    source = {"persistentVolumeClaim": {"claimName": "models", "path": "resnet50/fp16"}}
    return {
        "metadata": {"name": "resnet", "namespace": "vision"},
        "spec": {
            "model": {
                "preset": "resnet50",
                "backend": "onnxruntime",
                "variants": [{"precision": "fp16", "source": source}],
            },
            "traffic": {"requestsPerSecond": 200},
            "objectives": {"latency": {"p99Milliseconds": 50}},
            **spec,
        },
    }


def node(name: str, product: str, pool: str) -> dict[str, Any]:
    amounts = {"cpu": "16", "memory": "64Gi", "pods": "110", "nvidia.com/gpu": "1"}
    labels = {"pool": pool, "nvidia.com/gpu.product": product, "nvidia.com/gpu.count": "1"}
    return {
        "metadata": {"name": name, "labels": labels},
        "status": {
            "allocatable": amounts,
            "capacity": amounts,
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }


def pool(name: str, price: str) -> dict[str, Any]:
    spec = {
        "nodeSelector": {"pool": name},
        "capacityType": "OnDemand",
        "gpusPerNode": 1,
        "price": {"usdPerNodeHour": price},
    }
    return {"metadata": {"name": name}, "spec": spec}


class Operator:
    """The parts around the reconciler, driven by hand: plan, look, let the controllers do their work."""

    def __init__(self, kube: FakeKube) -> None:
        self.kube = kube
        self.seconds = 0.0
        self.platform = Platform()
        self.right_sizer: RightSizer | None = None
        self.start()

    def start(self) -> None:
        """A new process: everything that was only in memory is gone."""
        every = (kinds.WORKLOAD, kinds.POOL, kinds.NODE, kinds.POD, kinds.CLAIM, kinds.VOLUME, *kinds.CHILDREN)
        self.mirrors = {kind: Mirror(kind) for kind in every}
        self.kube.crash_before_write = None
        self.kube.watch(self.mirrors.values())
        self.result = Result({}, {})
        self.recorder = Recorder(self.kube, instance="test", clock=lambda: self.seconds, now=lambda: NOW)
        self.reconciler = Reconciler(
            self.kube,
            self.mirrors,
            lambda: self.result,
            self.platform,
            recorder=self.recorder,
            clock=lambda: self.seconds,
            now=lambda: NOW,
        )

    def plan(self) -> None:
        things = {kind: mirror.things() for kind, mirror in self.mirrors.items()}
        world = World(
            workloads=things[kinds.WORKLOAD],
            pools=things[kinds.POOL],
            nodes=things[kinds.NODE],
            pods=things[kinds.POD],
            deployments=things[kinds.DEPLOYMENT],
            services=things[kinds.SERVICE],
            claims=things[kinds.CLAIM],
            volumes=things[kinds.VOLUME],
        )
        now = NOW + timedelta(seconds=self.seconds)
        self.result = make_plan(
            world, CATALOGUES, policy=Policy(), tolerations=(), now=now, right_sizer=self.right_sizer
        )

    async def look(self, key: str = KEY, attempt: int = 1) -> Outcome:
        return await self.reconciler.reconcile(key, attempt)

    async def settle(self, rounds: int = 12) -> Outcome:
        """Plan, look and let controllers work until nothing is written any more."""
        for _ in range(rounds):
            before = len(self.kube.writes)
            self.plan()
            outcome = await self.look()
            self.controllers()
            self.seconds += 6
            if len(self.kube.writes) == before and outcome.look_again_seconds is None:
                return outcome
        raise AssertionError(f"still writing: {self.kube.writes[-5:]}")

    def controllers(self, ready: Callable[[dict[str, Any]], bool] = lambda each: True) -> None:
        """What Deployments say when their pods came up."""
        for name in self.kube.names(kinds.DEPLOYMENT):

            def report(each: dict[str, Any]) -> None:
                count = each["spec"].get("replicas", 1)
                each["status"] = {
                    "observedGeneration": each["metadata"]["generation"],
                    "replicas": count,
                    "updatedReplicas": count,
                    "readyReplicas": count if ready(each) else 0,
                    "availableReplicas": count if ready(each) else 0,
                }

            self.kube.change(kinds.DEPLOYMENT, name, "vision", report)

    def status(self) -> dict[str, Any]:
        return self.kube.only(kinds.WORKLOAD).get("status", {})

    def condition(self, kind: str) -> tuple[str, str]:
        for each in self.status()["conditions"]:
            if each["type"] == kind:
                return each["status"], each["reason"]
        return "", ""

    def serving(self) -> str:
        return str(self.kube.objects[kinds.SERVICE, "vision", "resnet"]["spec"]["selector"][REVISION])


@pytest.fixture
def kube() -> FakeKube:
    kube = FakeKube()
    claim = {"metadata": {"name": "models", "namespace": "vision"}, "spec": {"accessModes": ["ReadOnlyMany"]}}
    kube.put(kinds.CLAIM, claim | {"status": {"phase": "Bound", "accessModes": ["ReadOnlyMany"]}})
    for kind, product, price in (("l4", "NVIDIA-L4", "1.00"), ("t4", "Tesla-T4", "0.50")):
        kube.put(kinds.POOL, pool(kind, price))
        for number in range(4):
            kube.put(kinds.NODE, node(f"{kind}-{number}", product, kind))
    kube.put(kinds.WORKLOAD, workload())
    return kube


@pytest.fixture
def operator(kube: FakeKube) -> Operator:
    return Operator(kube)


def edit(kube: FakeKube, **spec: Any) -> None:
    def act(each: dict[str, Any]) -> None:
        each["spec"] |= spec
        each["metadata"]["generation"] += 1

    kube.change(kinds.WORKLOAD, "resnet", "vision", act)


async def test_a_new_workload_gets_its_children_and_one_status_write(operator: Operator, kube: FakeKube) -> None:
    operator.plan()
    outcome = await operator.look()
    assert outcome.result == "starting"
    made = sorted({kind for _, kind, _ in kube.writes})
    assert made == sorted(
        [
            "ConfigMap",
            "Deployment",
            "InferenceWorkload",
            "NetworkPolicy",
            "PodDisruptionBudget",
            "Service",
            "ServiceAccount",
        ]
    )
    assert sum(kind == "InferenceWorkload" for _, kind, _ in kube.writes) == 1
    assert operator.condition("Placed") == ("True", "Placed")
    assert operator.condition("Ready") == ("False", "PodsStarting")
    assert operator.condition("Reconciling")[0] == "True"


async def test_it_becomes_ready_and_is_then_left_alone(operator: Operator, kube: FakeKube) -> None:
    await operator.settle()
    assert operator.condition("Ready") == ("True", "RevisionAvailable")
    assert operator.condition("Reconciling") == ("", "")
    assert operator.status()["observedGeneration"] == 1
    before = len(kube.writes)
    for _ in range(3):
        operator.plan()
        assert (await operator.look()).writes == 0
    assert len(kube.writes) == before


async def test_a_restarted_operator_writes_nothing_to_a_settled_workload(operator: Operator, kube: FakeKube) -> None:
    await operator.settle()
    before = len(kube.writes)
    operator.start()
    operator.plan()
    assert (await operator.look()).result == "settled"
    assert len(kube.writes) == before


async def test_before_the_plan_knows_a_spec_nothing_is_done_about_it(operator: Operator, kube: FakeKube) -> None:
    assert (await operator.look()).result == "unplanned"
    await operator.settle()
    edit(kube, placement={"gpus": {"allow": ["L4"]}})
    assert (await operator.look()).result == "unplanned"


async def test_a_change_of_gpu_starts_beside_switches_and_then_removes(operator: Operator, kube: FakeKube) -> None:
    await operator.settle()
    old, (old_name,) = operator.serving(), kube.names(kinds.DEPLOYMENT)
    edit(kube, placement={"gpus": {"allow": ["L4"]}})
    operator.plan()
    assert (await operator.look()).result == "switching"
    assert (len(kube.names(kinds.DEPLOYMENT)), operator.serving()) == (2, old)
    operator.controllers(ready=lambda each: each["metadata"]["name"] == old_name)
    assert (await operator.look()).result == "switching"
    assert operator.serving() == old
    operator.controllers()
    outcome = await operator.look()
    assert (outcome.result, operator.serving() != old) == ("draining", True)
    outcome = await operator.look()
    assert outcome.look_again_seconds == pytest.approx(operator.platform.drain_seconds)
    assert old_name in kube.names(kinds.DEPLOYMENT)
    await operator.settle()
    assert old_name not in kube.names(kinds.DEPLOYMENT)
    assert kube.names(kinds.CONFIG_MAP) == [f"resnet-{operator.serving()}"]
    assert operator.condition("Ready") == ("True", "RevisionAvailable")


async def test_an_impossible_new_spec_leaves_what_runs_alone_and_says_so(operator: Operator, kube: FakeKube) -> None:
    await operator.settle()
    before = copy.deepcopy(children(kube))
    edit(kube, objectives={"latency": {"p99Milliseconds": 1}})
    await operator.settle()
    assert children(kube) == before
    assert operator.condition("Accepted") == ("True", "SpecAccepted")
    assert operator.condition("Placed")[0] == "False"
    assert operator.condition("Ready")[0] == "False"
    assert operator.condition("Stalled")[0] == "True"
    assert operator.condition("Available") == ("True", "ReplicasReady")


@pytest.mark.parametrize("kind", [kinds.SERVICE, kinds.SERVICE_ACCOUNT, kinds.NETWORK_POLICY, kinds.DISRUPTION_BUDGET])
async def test_somebody_elses_object_is_never_adopted(operator: Operator, kube: FakeKube, kind: kinds.Kind) -> None:
    theirs = kube.put(kind, {"metadata": {"name": "resnet", "namespace": "vision"}, "spec": {"theirs": True}})
    theirs = copy.deepcopy(theirs)
    operator.plan()
    outcome = await operator.look()
    assert outcome.error is not None
    assert operator.condition("Stalled") == ("True", "NameConflict")
    assert kind.name in {each["message"] for each in operator.status()["conditions"] if each["type"] == "Stalled"}.pop()
    assert kube.objects[kind, "vision", "resnet"] == theirs
    assert kube.names(kinds.DEPLOYMENT) == [], "nothing is started that could not be reached"
    kube.remove(kind, "resnet", "vision")
    await operator.settle()
    assert operator.condition("Ready")[0] == "True"


async def test_children_of_an_earlier_workload_of_the_name_are_waited_for(operator: Operator, kube: FakeKube) -> None:
    await operator.settle()
    left = copy.deepcopy(kube.objects[kinds.SERVICE, "vision", "resnet"])
    kube.remove(kinds.WORKLOAD, "resnet", "vision")
    kube.put(kinds.SERVICE, left)
    kube.put(kinds.WORKLOAD, workload())
    operator.plan()
    outcome = await operator.look()
    assert (outcome.result, kube.names(kinds.DEPLOYMENT)) == ("failed", [])
    assert operator.condition("Stalled") == ("", "")
    kube.remove(kinds.SERVICE, "resnet", "vision")
    await operator.settle()


async def test_a_child_that_was_deleted_or_edited_is_put_right(operator: Operator, kube: FakeKube) -> None:
    await operator.settle()
    (name,) = kube.names(kinds.DEPLOYMENT)
    intended = copy.deepcopy(kube.objects[kinds.DEPLOYMENT, "vision", name]["spec"])
    await kube.apply(
        kinds.DEPLOYMENT,
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name, "namespace": "vision"},
            "spec": {"progressDeadlineSeconds": 1},
        },
        manager="kubectl",
        force=True,
    )
    kube.remove(kinds.NETWORK_POLICY, "resnet", "vision")
    await operator.settle()
    assert kube.objects[kinds.DEPLOYMENT, "vision", name]["spec"] == intended
    assert kube.names(kinds.NETWORK_POLICY) == ["resnet"]


async def test_a_human_who_scales_keeps_the_replicas_until_they_hand_them_back(
    operator: Operator, kube: FakeKube
) -> None:
    await operator.settle()
    (name,) = kube.names(kinds.DEPLOYMENT)
    (planned,) = (each["spec"]["replicas"] for each in [kube.only(kinds.DEPLOYMENT)])

    async def set_replicas(manager: str, count: int) -> None:
        body = {"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"replicas": count}}
        body |= {"metadata": {"name": name, "namespace": "vision"}}
        await kube.apply(kinds.DEPLOYMENT, body, manager=manager, force=True)

    await set_replicas("kubectl", planned + 3)
    operator.controllers()
    await operator.settle()
    assert kube.only(kinds.DEPLOYMENT)["spec"]["replicas"] == planned + 3
    assert operator.condition("Autoscaling") == ("False", "ReplicasOwnedByOther")
    assert operator.condition("Ready")[0] == "True"
    await set_replicas("berthmaster-autoscaler", planned)
    operator.controllers()
    await operator.settle()
    assert operator.condition("Autoscaling") == ("True", "Managed")
    assert kube.only(kinds.DEPLOYMENT)["spec"]["replicas"] == planned


async def test_a_workload_that_is_gone_or_going_gets_nothing(operator: Operator, kube: FakeKube) -> None:
    operator.plan()
    kube.change(
        kinds.WORKLOAD, "resnet", "vision", lambda each: each["metadata"].update(deletionTimestamp="2026-01-01")
    )
    assert (await operator.look()).result == "gone"
    kube.remove(kinds.WORKLOAD, "resnet", "vision")
    assert (await operator.look()).result == "gone"
    assert kube.writes == []


@pytest.mark.parametrize("moment", range(12))
async def test_a_workload_deleted_in_the_middle_of_a_look_leaves_nothing_behind(
    operator: Operator, kube: FakeKube, moment: int
) -> None:
    operator.plan()
    apply, count = kube.apply, 0

    async def deleting(*arguments: Any, **more: Any) -> dict[str, Any]:
        nonlocal count
        if count == moment and kube.names(kinds.WORKLOAD):
            kube.remove(kinds.WORKLOAD, "resnet", "vision")
        count += 1
        return await apply(*arguments, **more)

    kube.apply = deleting  # type: ignore[method-assign]
    await operator.look()
    if kube.names(kinds.WORKLOAD):
        kube.remove(kinds.WORKLOAD, "resnet", "vision")
    assert (await operator.look()).result == "gone"
    assert kube.names(kinds.WORKLOAD) == []
    assert len([key for key in kube.objects if key[0] in kinds.CHILDREN]) <= 1, "at most the one that was under way"


def children(kube: FakeKube) -> dict[Any, Any]:
    """What was intended of them, without what the server keeps."""

    def plain(thing: dict[str, Any]) -> dict[str, Any]:
        metadata = {name: thing["metadata"].get(name) for name in ("labels", "annotations")}
        return {"metadata": metadata, "spec": thing.get("spec"), "data": thing.get("data")}

    return {key: plain(thing) for key, thing in kube.objects.items() if key[0] in kinds.CHILDREN}


async def story(operator: Operator, kube: FakeKube) -> None:
    """Make, switch, settle; after a crash the operator starts again and goes on."""
    for change in ({}, {"placement": {"gpus": {"allow": ["L4"]}}}):
        if change and "placement" not in kube.only(kinds.WORKLOAD)["spec"]:
            edit(kube, **change)
        try:
            await operator.settle(20)
        except Crash:
            operator.start()
            await operator.settle(20)


async def test_dying_before_any_single_write_ends_in_the_same_state(kube: FakeKube) -> None:
    whole = kube.clone()
    await story(Operator(whole), whole)
    reference, writes = children(whole), len(whole.writes)
    assert writes > 15
    for moment in range(writes):
        mortal = kube.clone()
        operator = Operator(mortal)
        mortal.crash_before_write = moment
        await story(operator, mortal)
        assert children(mortal) == reference, f"died before write {moment}: {whole.writes[moment]}"


async def test_something_always_serves_while_it_dies_again_and_again(operator: Operator, kube: FakeKube) -> None:
    await operator.settle()
    edit(kube, placement={"gpus": {"allow": ["L4"]}})
    for _ in range(60):
        operator.start()
        kube.crash_before_write = len(kube.writes) + 1
        operator.plan()
        with contextlib.suppress(Crash):
            await operator.look()
        operator.seconds += 20
        serving = operator.serving()
        assert any(
            each["metadata"]["labels"][REVISION] == serving and each["status"].get("readyReplicas")
            for (kind, _, _), each in kube.objects.items()
            if kind is kinds.DEPLOYMENT and "status" in each
        )
        operator.controllers()


async def test_who_lost_the_lease_writes_nothing(operator: Operator, kube: FakeKube) -> None:
    operator.plan()
    kube.held = False
    with pytest.raises(LostLeadership):
        await operator.look()
    assert kube.writes == []


async def test_a_refused_child_is_said_in_the_servers_words_and_tried_again(operator: Operator, kube: FakeKube) -> None:
    kube.fail(Refused("spec.template: no such thing"), verb="APPLY", kind=kinds.DEPLOYMENT)
    operator.plan()
    assert isinstance((await operator.look()).error, Refused)
    assert operator.condition("Stalled") == ("True", "ApplyRejected")
    await operator.settle()
    assert operator.condition("Ready")[0] == "True"


async def test_a_quota_or_role_that_forbids_a_child_is_said(operator: Operator, kube: FakeKube) -> None:
    kube.fail(Forbidden("exceeded quota: gpu"), verb="APPLY", kind=kinds.DEPLOYMENT)
    operator.plan()
    await operator.look()
    assert operator.condition("Stalled") == ("True", "ApplyForbidden")


async def test_an_outage_is_only_worth_a_word_when_it_lasts(operator: Operator, kube: FakeKube) -> None:
    operator.plan()
    kube.fail(Unavailable("503"), verb="APPLY", kind=kinds.DEPLOYMENT, times=3)
    await operator.look(attempt=1)
    assert operator.condition("Ready") == ("False", "PodsStarting")
    await operator.look(attempt=3)
    assert operator.condition("Ready") == ("False", "Retrying")


async def test_a_pool_says_what_it_has_and_what_it_costs(operator: Operator, kube: FakeKube) -> None:
    operator.plan()
    assert (await operator.look("/t4")).writes == 1
    status = kube.objects[kinds.POOL, None, "t4"]["status"]
    assert status["summary"] == {"gpu": "T4", "free": "4/4", "pricePerHour": "$0.50"}
    assert {each["type"]: each["status"] for each in status["conditions"]} == {"Priced": "True", "Matched": "True"}
    assert (await operator.look("/t4")).writes == 0


async def test_a_defect_is_said_in_the_status(operator: Operator) -> None:
    operator.plan()
    await operator.reconciler.stall(KEY, "a defect of the operator: KeyError; see its log")
    assert operator.condition("Stalled") == ("True", "InternalError")


async def test_news_is_posted_once(operator: Operator, kube: FakeKube) -> None:
    posting = asyncio.create_task(operator.recorder.run())
    await operator.settle()
    for _ in range(5):
        await asyncio.sleep(0.06)
    posting.cancel()
    told = [kube.objects[key]["reason"] for key in kube.objects if key[0] is kinds.EVENT]
    assert told.count("Placed") == 1
    assert "RevisionAvailable" in told


# --- right-sizing ------------------------------------------------------------------------------------------------


def cheapen(kube: FakeKube) -> None:
    """L4 nodes, on which nothing runs, become cheaper than the T4 that serves."""
    kube.change(kinds.POOL, "l4", None, lambda each: each["spec"].update(price={"usdPerNodeHour": "0.10"}))


async def walk(operator: Operator, minutes: int) -> None:
    """One plan and as many looks as it takes, every minute."""
    for _ in range(minutes):
        for _ in range(3):
            operator.plan()
            await operator.look()
            operator.controllers()
            operator.seconds += 20


def calm() -> RightSizer:
    return RightSizer(pace=Pace(300, 1200, 600, 3600), review_seconds=60)


async def test_a_cheaper_berth_is_recommended_and_nothing_else_happens(operator: Operator, kube: FakeKube) -> None:
    operator.right_sizer = calm()
    await operator.settle()
    before = operator.serving()
    cheapen(kube)
    await walk(operator, 10)
    told = operator.status()["recommendation"]
    assert told["placement"].endswith("L4 OnDemand fp16")
    assert operator.serving() == before
    writes = len(kube.writes)
    await walk(operator, 5)
    assert len(kube.writes) == writes
    edit(kube, rightSizing={"mode": "Disabled"})
    await walk(operator, 2)
    assert "recommendation" not in operator.status()


async def test_auto_switches_to_the_cheaper_berth_and_stays(operator: Operator, kube: FakeKube) -> None:
    edit(kube, rightSizing={"mode": "Auto"})
    operator.right_sizer = calm()
    await operator.settle()
    before = operator.serving()
    cheapen(kube)
    await walk(operator, 12)
    assert operator.serving() != before
    assert operator.status()["berths"][0]["gpu"] == "L4"
    assert operator.status()["rightSizing"]["phase"] in ("Probation", "Idle")
    assert operator.condition("Ready")[0] == "True"
    kube.change(kinds.POOL, "t4", None, lambda each: each["spec"].update(price={"usdPerNodeHour": "0.01"}))
    await walk(operator, 30)
    assert operator.status()["berths"][0]["gpu"] == "L4", "it has just moved"


async def test_a_new_operator_carries_a_move_on(operator: Operator, kube: FakeKube) -> None:
    edit(kube, rightSizing={"mode": "Auto"})
    operator.right_sizer = calm()
    await operator.settle()
    cheapen(kube)
    while operator.status().get("rightSizing", {}).get("phase") != "Moving":
        assert operator.seconds < 3600
        operator.plan()
        await operator.look()
        operator.seconds += 20
    operator.start()
    operator.right_sizer = calm()
    await walk(operator, 5)
    assert operator.status()["berths"][0]["gpu"] == "L4"
    assert len(operator.kube.names(kinds.DEPLOYMENT)) == 1


async def test_a_move_whose_pods_never_start_is_given_up_and_leaves_what_serves(
    operator: Operator, kube: FakeKube
) -> None:
    edit(kube, rightSizing={"mode": "Auto"})
    operator.right_sizer = calm()
    await operator.settle()
    before = operator.serving()
    cheapen(kube)
    for _ in range(120):
        operator.plan()
        await operator.look()
        operator.controllers(lambda each: each["metadata"]["labels"][REVISION] == before)
        operator.seconds += 20
    assert operator.serving() == before
    assert operator.status()["rightSizing"]["refused"][0]["configuration"]["gpu"] == "L4"
    assert len(operator.kube.names(kinds.DEPLOYMENT)) == 1
