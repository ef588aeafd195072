"""The operator among failures: of the API server, of its connections, of itself. What served keeps serving."""

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from aiohttp import web

import operator_stories
from cluster import LocalCluster
from fault_proxy import FaultProxy
from operator_process import OperatorProcess
from operator_stories import QUICK, Story

pytestmark = pytest.mark.fault

LEASE = "/apis/coordination.k8s.io/v1/namespaces/default/leases/berthmaster"


@pytest.fixture
def local(tmp_path: Path) -> Iterator[LocalCluster]:
    with operator_stories.played_cluster(tmp_path / "cluster", audit=True) as cluster:
        operator_stories.install(cluster.api)
        yield cluster


@pytest.fixture
def story(local: LocalCluster) -> Story:
    return Story(local.api)


@pytest.fixture
def proxy(local: LocalCluster, tmp_path: Path) -> Iterator[FaultProxy]:
    with FaultProxy(local.kubeconfig, tmp_path) as proxy:
        yield proxy


@pytest.fixture
def operate(local: LocalCluster, tmp_path: Path) -> Iterator[Callable[..., OperatorProcess]]:
    """``operate(kubeconfig=…, name=…)``: the operator with quick settings."""
    with contextlib.ExitStack() as running:

        def start(kubeconfig: Path | None = None, name: str = "", **settings: object) -> OperatorProcess:
            process = OperatorProcess(
                kubeconfig or local.kubeconfig, QUICK | settings, tmp_path / "operators", name=name
            )
            return running.enter_context(process)

        yield start


def ready(local: LocalCluster, story: Story) -> None:
    story.apply()
    local.wait_until(story.settled, timeout_seconds=60, what="resnet is ready")


def switch(local: LocalCluster, story: Story, seconds: float = 40) -> None:
    """A change that needs everything: plan, new revision, Service, removal."""
    before = story.get()["status"]["servingRevision"]
    story.edit("resnet", placement={"gpus": {"allow": ["L4"]}})

    def done() -> bool:
        serving = story.get()["status"].get("servingRevision")
        return story.settled() and serving != before and story.names("configmaps") == [f"resnet-{serving}"]

    local.wait_until(done, timeout_seconds=seconds, what="the switch")


def test_the_api_server_is_killed_and_comes_back(
    local: LocalCluster, story: Story, operate: Callable[..., OperatorProcess]
) -> None:
    operator = operate()
    ready(local, story)
    local.control_plane.kill("kube-apiserver")
    time.sleep(7)  # longer than the Lease of these tests
    local.control_plane.start("kube-apiserver")
    if not operator.alive:  # it could not renew: it ended, and the kubelet would start it again
        operator.start()
    switch(local, story, 60)
    assert len(story.names("deployments")) == 1


def test_a_cut_watch_while_objects_are_deleted_is_healed(
    local: LocalCluster, story: Story, proxy: FaultProxy, operate: Callable[..., OperatorProcess]
) -> None:
    operator = operate(proxy.kubeconfig)
    ready(local, story)
    before = story.children()

    def blind(request: web.Request) -> web.StreamResponse | None:
        return web.Response(status=503) if request.method == "GET" and "/leases" not in request.path else None

    proxy.rule = blind
    proxy.cut()
    time.sleep(0.5)
    for kind in ("services", "networkpolicies"):
        local.run("kubectl", "-n", story.namespace, "delete", kind, "resnet")
    proxy.rule = lambda request: None
    local.wait_until(lambda: story.children() == before, timeout_seconds=90, what="what was deleted is made anew")
    assert operator.alive


@pytest.mark.parametrize("status", [503, 401, 429])
def test_a_server_that_refuses_everything_for_a_while_is_waited_for(
    local: LocalCluster, story: Story, proxy: FaultProxy, operate: Callable[..., OperatorProcess], status: int
) -> None:
    operator = operate(proxy.kubeconfig)
    ready(local, story)

    def refuse(request: web.Request) -> web.StreamResponse | None:
        return None if "/leases" in request.path else web.json_response({"message": "no"}, status=status)

    proxy.rule = refuse
    proxy.cut()
    story.edit("resnet", traffic={"requestsPerSecond": 210})
    time.sleep(8)
    assert operator.alive
    proxy.rule = lambda request: None
    switch(local, story, 90)
    assert operator.alive


def test_a_slow_server_gets_no_write_twice_and_none_is_lost(
    local: LocalCluster, story: Story, proxy: FaultProxy, operate: Callable[..., OperatorProcess]
) -> None:
    operate(proxy.kubeconfig, lease={})  # two requests of a second each would not fit into the quick Lease
    ready(local, story)
    proxy.delay_seconds = 1.0
    before = len(proxy.writes)
    switch(local, story, 90)
    made = [path for method, path in proxy.writes[before:] if "/deployments/" in path and method == "PATCH"]
    assert len(made) <= 4, "a Deployment is applied and scaled once, its annotations at most once more"


def test_killed_after_every_single_write_it_still_gets_there(
    local: LocalCluster, story: Story, proxy: FaultProxy, operate: Callable[..., OperatorProcess]
) -> None:
    operator = operate(proxy.kubeconfig, lease={"durationSeconds": 3, "renewDeadlineSeconds": 2, "retrySeconds": 0.5})
    operator.kill()
    last = [0]

    def die(count: int) -> None:
        if operator.alive and count > last[0]:
            last[0] = count
            operator.kill()

    proxy.after_write = die
    served, deaths = False, 0
    story.apply()
    switched = False
    for _ in range(60):
        if not operator.alive:
            deaths += 1
            operator.start()
        deadline = time.monotonic() + 9
        while operator.alive and time.monotonic() < deadline:
            time.sleep(0.05)
            behind = story.ready_behind_service()
            assert behind or not served
            served = served or behind > 0
        if operator.alive and story.settled():  # nothing is left to write
            if switched:
                break
            story.edit("resnet", placement={"gpus": {"allow": ["L4"]}})
            switched = True
    assert deaths >= 18
    assert switched
    assert story.settled()
    serving = story.get()["status"]["servingRevision"]
    (deployment,) = story.items("deployments")
    assert deployment["metadata"]["labels"]["berthmaster.dev/revision"] == serving
    assert story.names("configmaps") == [f"resnet-{serving}"]


def holder(local: LocalCluster) -> str:
    return str(local.api.get(LEASE)["spec"]["holderIdentity"]).partition("_")[0]


def test_of_two_operators_one_leads_and_a_killed_leader_is_replaced(
    local: LocalCluster, story: Story, operate: Callable[..., OperatorProcess]
) -> None:
    default = {"lease": {}}  # the real timings: 15, 10 and 2 s
    one = operate(name="one", **default)
    local.wait_until(lambda: holder(local) == "one")
    operate(name="two", **default)
    ready(local, story)
    assert holder(local) == "one"
    time.sleep(3)  # the other has seen the Lease by now
    one.kill()
    story.edit("resnet", traffic={"requestsPerSecond": 210})
    killed_at = time.monotonic()
    local.wait_until(
        lambda: story.condition("Ready")[0] == "True", timeout_seconds=30, what="the next leader's first write"
    )
    assert time.monotonic() - killed_at <= 20
    assert holder(local) == "two"


def test_a_leader_that_is_frozen_for_20_seconds_writes_nothing_when_it_thaws(
    local: LocalCluster, story: Story, proxy: FaultProxy, operate: Callable[..., OperatorProcess]
) -> None:
    default = {"lease": {}}
    one = operate(proxy.kubeconfig, name="one", **default)
    ready(local, story)
    operate(name="two", **default)
    time.sleep(3)
    one.freeze()
    before = len(proxy.writes)
    time.sleep(20)
    local.wait_until(lambda: holder(local) == "two", timeout_seconds=5)
    story.edit("resnet", placement={"gpus": {"allow": ["L4"]}})
    one.thaw()
    local.wait_until(lambda: not one.alive, what="the old leader ends")
    assert one.process is not None
    assert one.process.returncode == 3
    assert len(proxy.writes) == before
    local.wait_until(story.settled, timeout_seconds=40)


def test_a_leader_that_is_told_to_stop_hands_over_at_once(
    local: LocalCluster, operate: Callable[..., OperatorProcess]
) -> None:
    default = {"lease": {}}
    one = operate(name="one", **default)
    local.wait_until(lambda: holder(local) == "one")
    operate(name="two", **default)
    time.sleep(5)
    assert one.stop() == 0
    local.wait_until(lambda: holder(local) == "two", timeout_seconds=5)


def test_a_namespace_deleted_while_the_operator_is_away_disappears(
    local: LocalCluster, story: Story, operate: Callable[..., OperatorProcess]
) -> None:
    operator = operate()
    ready(local, story)
    ours = [story.get(), *(each for kind in story.children() for each in story.items(kind))]
    assert not any(each["metadata"].get("finalizers") for each in ours)
    operator.kill()
    local.run("kubectl", "delete", "namespace", story.namespace, "--timeout=60s")
    operator.start()
    time.sleep(6)
    assert operator.alive
    assert "defect" not in operator.said()


def test_without_the_operator_everything_keeps_running(
    local: LocalCluster, story: Story, operate: Callable[..., OperatorProcess]
) -> None:
    operator = operate()
    ready(local, story)
    pods = [each["metadata"]["uid"] for each in local.api.items(f"/api/v1/namespaces/{story.namespace}/pods")]
    operator.kill()
    time.sleep(5)
    operator.start()
    time.sleep(8)
    assert [each["metadata"]["uid"] for each in local.api.items(f"/api/v1/namespaces/{story.namespace}/pods")] == pods
    assert story.ready_behind_service() == len(pods)


def test_the_operator_waits_for_its_kinds_to_be_defined(tmp_path: Path) -> None:
    with (
        operator_stories.played_cluster(tmp_path / "cluster") as local,
        OperatorProcess(local.kubeconfig, QUICK, tmp_path / "operators") as operator,
    ):
        local.wait_until(lambda: "sync.waiting" in operator.said())
        operator_stories.install(local.api)
        story = Story(local.api)
        story.apply()
        local.wait_until(story.settled, timeout_seconds=60)


def test_a_workload_that_a_looser_schema_let_in_is_said_and_keeps_nobody_waiting(
    local: LocalCluster, story: Story, operate: Callable[..., OperatorProcess]
) -> None:
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/inferenceworkloads.berthmaster.dev"
    strict = local.api.get(path)
    loose = json.loads(json.dumps(strict))
    for version in loose["spec"]["versions"]:
        version["schema"]["openAPIV3Schema"] = {
            "type": "object",
            "x-kubernetes-preserve-unknown-fields": True,
        }
    local.api.patch(path, {"spec": {"versions": loose["spec"]["versions"]}}, "application/merge-patch+json")

    def accepted() -> bool:
        story.apply("odd", model={"variants": "none"}, traffic=[1, 2], futureField={"a": 1})
        return True

    local.wait_until(accepted)
    operate()
    ready(local, story)
    local.wait_until(lambda: story.condition("Accepted", "odd")[0] == "False")
    assert story.condition("Stalled", "odd")[0] == "True"
