"""The running operator on a real control plane with played pods: what it makes, keeps, moves and leaves alone."""

import json
import threading
import time
from collections.abc import Iterator

import pytest

import operator_stories
from cluster import LocalCluster
from kube_api import Object
from kubernetes_objects import config_map, measured_from, run
from operator_process import OperatorProcess
from operator_stories import QUICK, Story


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    with operator_stories.played_cluster(tmp_path_factory.mktemp("operator"), audit=True) as local:
        operator_stories.install(local.api)
        with OperatorProcess(local.kubeconfig, QUICK, local.state / "operators", name="leader"):
            yield local


@pytest.fixture
def story(fleet: LocalCluster) -> Iterator[Story]:
    story = Story(fleet.api)
    yield story
    story.leave()


@pytest.fixture
def settled(fleet: LocalCluster, story: Story) -> Story:
    """With a workload ``resnet`` that is ready."""
    story.apply()
    fleet.wait_until(story.settled, what="resnet is ready")
    return story


def test_a_workload_gets_its_children_and_becomes_ready(fleet: LocalCluster, settled: Story) -> None:
    (deployment,) = settled.items("deployments")
    revision = deployment["metadata"]["labels"]["berthmaster.dev/revision"]
    assert settled.children() == {
        "deployments": [deployment["metadata"]["name"]],
        "services": ["resnet", "resnet-headless"],
        "configmaps": [f"resnet-{revision}"],
        "serviceaccounts": ["resnet"],
        "poddisruptionbudgets": ["resnet"],
        "networkpolicies": ["resnet"],
    }
    status = settled.get()["status"]
    assert status["revision"] == status["servingRevision"] == revision
    assert status["readyReplicas"] == status["replicas"] == deployment["spec"]["replicas"]
    assert fleet.run("kubectl", "-n", settled.namespace, "wait", "--for=condition=Ready", "iw/resnet", "--timeout=5s")
    events = fleet.run("kubectl", "-n", settled.namespace, "get", "events", "-o", "jsonpath={.items[*].reason}").split()
    assert "Placed" in events


def test_templates_and_replicas_have_owners_of_their_own(settled: Story) -> None:
    (deployment,) = settled.items("deployments")
    owners = {
        each["manager"]: each["fieldsV1"].get("f:spec", {})
        for each in deployment["metadata"]["managedFields"]
        if each["operation"] == "Apply"
    }
    assert set(owners["berthmaster-autoscaler"]) == {"f:replicas"}
    assert "f:replicas" not in owners["berthmaster"]


def test_pools_say_what_they_have(fleet: LocalCluster, settled: Story) -> None:
    status = fleet.wait_until(lambda: fleet.api.get(f"{operator_stories.POOLS}/l4").get("status"))
    assert (status["nodes"], status["gpus"], status["gpu"]) == (4, 4, "L4")
    assert {each["type"]: each["status"] for each in status["conditions"]} == {"Priced": "True", "Matched": "True"}


def writes(fleet: LocalCluster, since: int) -> list[str]:
    """The operator's writes in the audit log from line ``since`` on, its Lease aside."""
    lines = fleet.control_plane.audit_log.read_text().splitlines()[since:]
    events = [json.loads(line) for line in lines]
    return [
        f"{each['verb']} {each['requestURI']}"
        for each in events
        if each["userAgent"].startswith("berthmaster")
        and each["verb"] not in ("get", "list", "watch")
        and each["objectRef"]["resource"] != "leases"
    ]


def audited(fleet: LocalCluster) -> int:
    return len(fleet.control_plane.audit_log.read_text().splitlines())


def orphans(fleet: LocalCluster) -> list[str]:
    """Pods of workloads that are gone: the garbage collector learns of a new kind of owner after half a minute."""
    workloads = fleet.api.items("/apis/berthmaster.dev/v1alpha1/inferenceworkloads")
    living = {(each["metadata"]["namespace"], each["metadata"]["name"]) for each in workloads}
    pods = [each["metadata"] for each in fleet.api.items("/api/v1/pods")]
    label = "berthmaster.dev/workload"
    return [pod["name"] for pod in pods if (pod["namespace"], pod["labels"].get(label)) not in living]


def quiet(fleet: LocalCluster) -> int:
    """Wait until nothing is under way any more, the end of earlier tests included; the audit log's length then."""
    for _ in range(20):
        since = audited(fleet)
        time.sleep(6)
        if not writes(fleet, since) and not orphans(fleet):
            return audited(fleet)
    raise AssertionError(f"never quiet: {writes(fleet, since)}, {orphans(fleet)}")


def test_an_idle_fleet_is_not_written_to(fleet: LocalCluster, settled: Story) -> None:
    for number in range(4):
        settled.apply(f"more-{number}", objectives={"latency": {"p99Milliseconds": 1}})
    fleet.wait_until(lambda: settled.condition("Stalled", "more-3")[0] == "True")
    since = quiet(fleet)
    time.sleep(40)  # longer than the window in which everything is looked at again
    assert writes(fleet, since) == []


def test_a_restarted_operator_writes_nothing_to_a_settled_fleet(fleet: LocalCluster, settled: Story) -> None:
    since = quiet(fleet)
    with OperatorProcess(fleet.kubeconfig, QUICK | {"lease": {"name": "second"}}, fleet.state / "operators"):
        time.sleep(12)
        assert writes(fleet, since) == []


class Watcher:
    """Looks all the time whether something serves."""

    def __init__(self, story: Story) -> None:
        self.least = 1_000
        self.looks = 0
        self._story = story
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> "Watcher":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._stop.wait(0.05):
            self.least = min(self.least, self._story.ready_behind_service())
            self.looks += 1


def test_a_change_of_gpu_switches_without_a_moment_in_which_nothing_serves(fleet: LocalCluster, settled: Story) -> None:
    before = settled.get()["status"]["servingRevision"]
    with Watcher(settled) as watcher:
        settled.edit("resnet", placement={"gpus": {"allow": ["L4"]}})
        fleet.wait_until(lambda: settled.settled() and settled.get()["status"]["revision"] != before, what="the switch")
    assert watcher.least >= 1
    assert watcher.looks > 20
    revision = settled.get()["status"]["servingRevision"]
    fleet.wait_until(lambda: settled.names("configmaps") == [f"resnet-{revision}"], what="the old revision is gone")
    (deployment,) = settled.items("deployments")
    assert deployment["metadata"]["labels"]["berthmaster.dev/revision"] == revision


def test_an_impossible_new_objective_leaves_what_serves_alone(fleet: LocalCluster, settled: Story) -> None:
    before = [each["metadata"]["uid"] for each in settled.items("deployments")]
    settled.edit("resnet", objectives={"latency": {"p99Milliseconds": 1}})
    fleet.wait_until(lambda: settled.condition("Stalled")[0] == "True")
    assert settled.condition("Placed")[0] == settled.condition("Ready")[0] == "False"
    assert settled.condition("Accepted")[0] == settled.condition("Available")[0] == "True"
    assert [each["metadata"]["uid"] for each in settled.items("deployments")] == before
    assert settled.ready_behind_service() >= 1
    settled.edit("resnet", objectives={"latency": {"p99Milliseconds": 50}})
    fleet.wait_until(settled.settled)
    assert [each["metadata"]["uid"] for each in settled.items("deployments")] == before


@pytest.mark.parametrize(
    "kind", ["deployments", "services", "configmaps", "serviceaccounts", "poddisruptionbudgets", "networkpolicies"]
)
def test_a_child_deleted_by_hand_comes_back(fleet: LocalCluster, settled: Story, kind: str) -> None:
    before, (victim, *_) = settled.children(), settled.items(kind)
    fleet.run("kubectl", "-n", settled.namespace, "delete", kind, victim["metadata"]["name"], "--wait=false")
    fleet.wait_until(
        lambda: (
            settled.children() == before
            and victim["metadata"]["uid"] not in {each["metadata"]["uid"] for each in settled.items(kind)}
        ),
        what=f"{kind} is made anew",
    )


def test_a_child_edited_by_hand_is_put_right(fleet: LocalCluster, settled: Story) -> None:
    name = settled.names("deployments")[0]
    edit = ["kubectl", "-n", settled.namespace]
    fleet.run(*edit, "set", "env", f"deployment/{name}", "--containers=triton", "OMP_NUM_THREADS=99")
    fleet.run(
        *edit,
        "patch",
        "service",
        "resnet",
        "--type=merge",
        "-p",
        '{"spec":{"selector":{"berthmaster.dev/revision":"x"}}}',
    )

    def right() -> bool:
        (deployment,) = settled.items("deployments")
        service = next(each for each in settled.items("services") if each["metadata"]["name"] == "resnet")
        revision = deployment["metadata"]["labels"]["berthmaster.dev/revision"]
        return service["spec"]["selector"]["berthmaster.dev/revision"] == revision and '"99"' not in json.dumps(
            deployment["spec"]
        )

    fleet.wait_until(right, what="both edits are undone")


def test_a_human_who_scales_is_left_alone_and_hands_back_by_the_documented_command(
    fleet: LocalCluster, settled: Story
) -> None:
    name, planned = settled.names("deployments")[0], settled.items("deployments")[0]["spec"]["replicas"]
    fleet.run("kubectl", "-n", settled.namespace, "scale", f"deployment/{name}", f"--replicas={planned + 1}")
    fleet.wait_until(lambda: settled.condition("Autoscaling") == ("False", "ReplicasOwnedByOther"))
    time.sleep(2)
    assert settled.items("deployments")[0]["spec"]["replicas"] == planned + 1
    manifest = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": settled.namespace},
        "spec": {"replicas": planned},
    }
    file = fleet.state / "hand-back.json"
    file.write_text(json.dumps(manifest))
    command = ["kubectl", "apply", "--server-side", "--force-conflicts", "--field-manager=berthmaster-autoscaler"]
    fleet.run(*command, "-f", str(file))
    fleet.wait_until(lambda: settled.condition("Autoscaling") == ("True", "Managed"))
    fleet.wait_until(lambda: settled.items("deployments")[0]["spec"]["replicas"] == planned)


def test_an_hpa_that_takes_over_is_left_alone(fleet: LocalCluster, settled: Story) -> None:
    name, planned = settled.names("deployments")[0], settled.items("deployments")[0]["spec"]["replicas"]
    fleet.api.apply_object(
        {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "theirs", "namespace": settled.namespace},
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
                "minReplicas": planned + 1,
                "maxReplicas": planned + 1,
            },
        }
    )
    fleet.wait_until(lambda: settled.condition("Autoscaling") == ("False", "ReplicasOwnedByOther"), timeout_seconds=60)
    assert settled.items("deployments")[0]["spec"]["replicas"] == planned + 1


def test_somebody_elses_service_is_never_adopted(fleet: LocalCluster, story: Story) -> None:
    fleet.run("kubectl", "-n", story.namespace, "create", "service", "clusterip", "resnet", "--tcp=80")
    path = f"/api/v1/namespaces/{story.namespace}/services/resnet"
    theirs = fleet.api.get(path)
    story.apply()
    story.apply("other")
    fleet.wait_until(lambda: story.condition("Stalled") == ("True", "NameConflict"))
    fleet.wait_until(lambda: story.settled("other"), what="the other workload goes on")
    assert fleet.api.get(path) == theirs
    assert [name for name in story.names("deployments") if name.startswith("resnet")] == []
    fleet.api.delete(path)
    fleet.wait_until(story.settled, what="it goes on when the name is free")


def test_a_deleted_workload_takes_its_children_along_and_nothing_comes_back(
    fleet: LocalCluster, settled: Story
) -> None:
    fleet.run("kubectl", "-n", settled.namespace, "delete", "iw", "resnet")
    fleet.wait_until(lambda: not any(settled.children().values()), what="all children are gone")
    time.sleep(3)
    assert not any(settled.children().values())


def test_a_workload_deleted_while_it_is_being_made_leaves_nothing(fleet: LocalCluster, story: Story) -> None:
    for number in range(6):
        story.apply(f"short-{number}")
    time.sleep(0.35)
    for number in range(6):
        time.sleep(0.03)
        fleet.api.delete(f"{operator_stories.WORKLOADS.format(story.namespace)}/short-{number}")
    fleet.wait_until(lambda: not any(story.children().values()), what="all children are gone")
    time.sleep(3)
    assert not any(story.children().values())


def test_a_workload_made_again_under_its_name_gets_children_of_its_own(fleet: LocalCluster, settled: Story) -> None:
    old = settled.get()["metadata"]["uid"]
    fleet.api.delete(f"{operator_stories.WORKLOADS.format(settled.namespace)}/resnet")
    settled.apply()
    fleet.wait_until(settled.settled, what="the new one is ready")
    owners = {each["metadata"]["ownerReferences"][0]["uid"] for each in settled.items("services")}
    assert owners == {settled.get()["metadata"]["uid"]} != {old}


def test_a_refused_child_is_said_in_the_servers_words_and_others_go_on(
    fleet: LocalCluster, story: Story, request: pytest.FixtureRequest
) -> None:
    other = Story(fleet.api)
    request.addfinalizer(other.leave)
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "none", "namespace": story.namespace},
        "spec": {"hard": {"count/deployments.apps": "0"}},
    }
    fleet.api.apply_object(quota)
    time.sleep(1)
    story.apply()
    other.apply()
    fleet.wait_until(lambda: story.condition("Stalled") == ("True", "ApplyForbidden"))
    assert "exceeded quota" in json.dumps(story.get()["status"]["conditions"])
    fleet.wait_until(other.settled)
    fleet.api.delete(f"/api/v1/namespaces/{story.namespace}/resourcequotas/none")
    fleet.wait_until(story.settled, what="it goes on by itself when the quota is gone")


def test_a_claim_that_does_not_exist_is_said_and_waited_for(fleet: LocalCluster, story: Story) -> None:
    fleet.api.delete(f"/api/v1/namespaces/{story.namespace}/persistentvolumeclaims/models")
    story.apply()
    fleet.wait_until(lambda: "ArtefactMissing" in json.dumps(story.get().get("status", {})))
    assert story.names("deployments") == []


def test_measured_runs_are_followed_in_their_config_map_and_every_change_is_planned(
    fleet: LocalCluster, story: Story
) -> None:
    model = operator_stories.workload("resnet", story.namespace)["spec"]["model"]
    maps = f"/api/v1/namespaces/{story.namespace}/configmaps"

    def said(kind: str) -> str:
        return json.dumps(
            [each for each in story.get().get("status", {}).get("conditions", []) if each["type"] == kind]
        )

    def predicted() -> tuple[str, float]:
        found = story.get().get("status", {}).get("predicted", {})
        latency = found.get("latency", {}).get("p99Milliseconds", {})
        return found.get("evidence", ""), float(latency.get("value", 0))

    def points(*lines: str) -> Object:
        return config_map("points", story.namespace, points_jsonl="\n".join(lines))

    gpus = {"gpus": {"allow": ["L4"]}}
    story.apply(model=model | measured_from(), placement=gpus, objectives={"latency": {"p99Milliseconds": 400}})
    fleet.wait_until(lambda: story.condition("Accepted") == ("False", "MeasurementsMissing"))
    fleet.api.apply_object(points(run(1, 0.004), run(8, 0.016)))
    fleet.wait_until(story.settled, what="it runs once its runs are there")
    evidence, before = predicted()
    assert evidence in ("calibrated", "interpolated")

    fleet.api.apply_object(points(run(1, 0.008), run(8, 0.032)))
    fleet.wait_until(lambda: predicted()[1] > 1.3 * before, what="slower runs make a slower prediction")
    fleet.api.apply_object(points(run(1, 0.008), "{"))
    fleet.wait_until(lambda: story.condition("Accepted") == ("False", "InvalidMeasurements"))
    assert "ConfigMap points, key points.jsonl, line 2" in said("Accepted")
    assert story.condition("Available")[0] == "True", "what runs keeps running"

    fleet.api.delete(f"{maps}/points")
    fleet.wait_until(lambda: story.condition("Accepted") == ("False", "MeasurementsMissing"))


def test_adding_a_node_places_what_waited_for_room(fleet: LocalCluster, story: Story) -> None:
    import fleet as nodes

    kind = nodes.L40S_KARPENTER
    allow = {"gpus": {"allow": ["L40S"]}}
    story.apply(placement=allow)
    fleet.wait_until(lambda: story.condition("Placed")[0] == "False")
    fleet.api.apply_object(operator_stories.pool("l40s", {"karpenter.sh/nodepool": "l40s"}, "2.00"))
    fleet.api.create("/api/v1/nodes", nodes.node(kind, 0))
    try:
        fleet.wait_until(story.settled, what="it runs on the new node")
    finally:
        fleet.api.delete(f"{operator_stories.POOLS}/l40s")
        fleet.api.delete("/api/v1/nodes/l40s-karpenter-0")


def test_a_pod_that_cannot_be_pulled_is_said(fleet: LocalCluster, story: Story) -> None:
    from simulation import Behaviour

    fleet.components.images.play(
        lambda pod, container: (
            Behaviour(pull_error="no such image") if pod["metadata"]["namespace"] == story.namespace else None
        )
    )
    story.apply()
    fleet.wait_until(lambda: story.condition("Stalled") == ("True", "PodsFailing"))
