"""The local cluster behaves like a cluster: what all other tests here stand on."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton

import artefacts
import fleet
import namespaces
import sandbox
import triton_server
from cluster import LocalCluster
from controlplane import FAST_NODE_LOSS, ControlPlane
from kube_api import Api, ApiError, Object, condition
from simulation import Behaviour

ONE_GPU = fleet.NodeKind("gpu", cpu="8", memory="32Gi", gpus=1)
TRITON = "nvcr.io/nvidia/tritonserver:24.10-py3"
OPERATOR = "ghcr.io/berthmaster/berthmaster:test"
ANYWHERE = [{"operator": "Exists"}]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    with LocalCluster(tmp_path_factory.mktemp("cluster"), [(ONE_GPU, 3), (fleet.SYSTEM, 1)]) as local:
        yield local


@pytest.fixture
def api(cluster: LocalCluster) -> Api:
    return cluster.api


@pytest.fixture
def space(namespace: str) -> "Space":
    return Space(namespace)


@pytest.fixture
def real_parts() -> None:
    try:
        sandbox.bubblewrap()
        triton_server.installed()
    except (sandbox.Unavailable, triton_server.Unavailable) as reason:
        pytest.skip(f"no real pods on this machine: {reason}")


class Space:
    """Paths in one namespace."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.core = f"/api/v1/namespaces/{name}"
        self.apps = f"/apis/apps/v1/namespaces/{name}"


def deployment(name: str, pod: Object, replicas: int | None = None) -> Object:
    labels = {"app": name}
    spec: Object = {
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"tolerations": ANYWHERE, **pod}},
    }
    document: Object = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}
    if replicas is not None:
        spec["replicas"] = replicas
    return document


def container(image: str = "example.invalid/server:1", **stated: Any) -> Object:
    return {"name": "server", "image": image, **stated}


GPU = {"limits": {"nvidia.com/gpu": "1"}}


def pods(api: Api, space: Space, app: str, phase: str = "") -> list[Object]:
    chosen = f"labelSelector=app%3D{app}" + (f"&fieldSelector=status.phase%3D{phase}" if phase else "")
    return api.items(f"{space.core}/pods?{chosen}")


def ready_replicas(api: Api, space: Space, name: str) -> int:
    return int(api.get(f"{space.apps}/deployments/{name}").get("status", {}).get("readyReplicas", 0))


def event_messages(api: Api, space: Space, reason: str) -> list[str]:
    return [event["message"] for event in api.items(f"{space.core}/events") if event["reason"] == reason]


def refusal(call: Callable[[], object]) -> ApiError:
    with pytest.raises(ApiError) as refused:
        call()
    return refused.value


class TestAControlPlaneOfPlainProcesses:
    """Facts about the API server and the controllers that the operator's tests rely on."""

    def test_schedules_by_gpu_and_says_how_many_are_missing(
        self, cluster: LocalCluster, api: Api, space: Space
    ) -> None:
        api.create(f"{space.apps}/deployments", deployment("server", {"containers": [container(resources=GPU)]}, 4))
        cluster.wait_until(lambda: ready_replicas(api, space, "server") == 3)
        cluster.wait_until(lambda: len(pods(api, space, "server", "Pending")) == 1)
        said = cluster.wait_until(lambda: event_messages(api, space, "FailedScheduling"))
        assert "4 Insufficient nvidia.com/gpu" in said[0]
        try:
            fleet.add(api, [(fleet.NodeKind("extra", cpu="8", memory="32Gi", gpus=1), 1)])
            cluster.wait_until(lambda: ready_replicas(api, space, "server") == 4)
        finally:
            api.delete(f"{space.apps}/deployments/server")
            api.delete("/api/v1/nodes/extra-0")

    def test_refuses_what_a_cel_rule_of_a_custom_resource_forbids(
        self, cluster: LocalCluster, api: Api, space: Space
    ) -> None:
        api.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", WIDGETS)
        path = f"/apis/check.example/v1/namespaces/{space.name}/widgets"
        cluster.wait_until(lambda: api.exists(path))
        widget = {"apiVersion": "check.example/v1", "kind": "Widget", "metadata": {"name": "w"}}
        refused = refusal(lambda: api.create(path, widget | {"spec": {"min": 3, "max": 2}}))
        assert refused.status == 422
        assert "min must not exceed max" in refused.message

    def test_enforces_a_validating_admission_policy(self, cluster: LocalCluster, api: Api, space: Space) -> None:
        admission = "/apis/admissionregistration.k8s.io/v1"
        api.create(f"{admission}/validatingadmissionpolicies", FEW_REPLICAS)
        api.create(f"{admission}/validatingadmissionpolicybindings", FEW_REPLICAS_BINDING)
        many = deployment("many", {"containers": [container()]}, 11)

        def denied() -> bool:
            try:
                api.create(f"{space.apps}/deployments?dryRun=All", many)
            except ApiError as error:
                return error.status == 422 and "at most 10 replicas" in error.message
            return False

        cluster.wait_until(denied)
        api.delete(f"{admission}/validatingadmissionpolicybindings/few-replicas")

    def test_keeps_the_fields_of_two_appliers_apart(self, api: Api, space: Space) -> None:
        path = f"{space.apps}/deployments/applied"
        template = deployment("applied", {"containers": [container()]})
        replicas: Object = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "applied"}}
        api.apply(path, template, "template")
        api.apply(path, replicas | {"spec": {"replicas": 2}}, "scaler", force=False)
        assert api.apply(path, template, "template")["spec"]["replicas"] == 2
        refused = refusal(lambda: api.apply(path, replicas | {"spec": {"replicas": 3}}, "other", force=False))
        assert refused.status == 409
        assert 'conflict with "scaler": .spec.replicas' in refused.message

    def test_an_autoscaler_without_a_metrics_api_says_so(self, cluster: LocalCluster, api: Api, space: Space) -> None:
        api.create(f"{space.apps}/deployments", deployment("scaled", {"containers": [container()]}, 1))
        path = f"/apis/autoscaling/v2/namespaces/{space.name}/horizontalpodautoscalers"
        api.create(path, autoscaler("scaled"))
        active = cluster.wait_until(lambda: condition(api.get(f"{path}/scaled"), "ScalingActive"))
        assert (active["status"], active["reason"]) == ("False", "FailedGetResourceMetric")

    def test_a_disruption_budget_stops_an_eviction(self, cluster: LocalCluster, api: Api, space: Space) -> None:
        api.create(f"{space.apps}/deployments", deployment("guarded", {"containers": [container()]}, 2))
        path = f"/apis/policy/v1/namespaces/{space.name}/poddisruptionbudgets"
        budget = {"minAvailable": 2, "selector": {"matchLabels": {"app": "guarded"}}}
        api.create(path, {"metadata": {"name": "guarded"}, "spec": budget})
        cluster.wait_until(lambda: api.get(f"{path}/guarded").get("status", {}).get("currentHealthy") == 2)
        name = pods(api, space, "guarded")[0]["metadata"]["name"]
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
        refused = refusal(lambda: api.create(f"{space.core}/pods/{name}/eviction", eviction))
        assert refused.status == 429
        assert "disruption budget" in refused.message

    def test_restricted_pod_security_names_each_violated_field(self, api: Api, restricted_namespace: str) -> None:
        pod = {"metadata": {"name": "loose"}, "spec": {"containers": [container()]}}
        refused = refusal(lambda: api.create(f"/api/v1/namespaces/{restricted_namespace}/pods", pod))
        assert refused.status == 403
        assert "allowPrivilegeEscalation != false" in refused.message
        assert "runAsNonRoot != true" in refused.message

    def test_a_service_account_has_only_the_rights_that_it_was_given(self, api: Api, space: Space) -> None:
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest"}
        token = api.create(f"{space.core}/serviceaccounts/default/token", request)["status"]["token"]
        refused = refusal(lambda: api.as_token(token).get(f"{space.core}/pods"))
        assert refused.status == 403
        assert f"system:serviceaccount:{space.name}:default" in refused.message

    def test_what_a_deleted_deployment_owned_is_collected(self, cluster: LocalCluster, api: Api, space: Space) -> None:
        api.create(f"{space.apps}/deployments", deployment("short", {"containers": [container()]}, 2))
        cluster.wait_until(lambda: ready_replicas(api, space, "short") == 2)
        api.delete(f"{space.apps}/deployments/short", propagationPolicy="Background")
        cluster.wait_until(lambda: not pods(api, space, "short"))

    def test_a_namespace_goes_with_everything_in_it(self, cluster: LocalCluster, api: Api, space: Space) -> None:
        api.create(f"{space.apps}/deployments", deployment("doomed", {"containers": [container()]}, 1))
        cluster.wait_until(lambda: ready_replicas(api, space, "doomed") == 1)
        api.delete(space.core)
        cluster.wait_until(lambda: not api.exists(space.core), timeout_seconds=60)

    def test_survives_the_loss_of_its_api_server(self, fresh_control_plane: ControlPlane) -> None:
        api = Api(fresh_control_plane.kubeconfig)
        api.create("/api/v1/namespaces", {"metadata": {"name": "kept"}})
        fresh_control_plane.restart("kube-apiserver")
        assert api.exists("/api/v1/namespaces/kept")

    def test_writes_every_request_to_its_audit_log(self, fresh_control_plane: ControlPlane) -> None:
        api = Api(fresh_control_plane.kubeconfig)
        api.create("/api/v1/namespaces", {"metadata": {"name": "noted"}})
        entries = [json.loads(line) for line in fresh_control_plane.audit_log.read_text().splitlines()]
        noted = [each for each in entries if each["requestURI"] == "/api/v1/namespaces" and each["verb"] == "create"]
        assert [(each["user"]["username"], each["responseStatus"]["code"]) for each in noted[-1:]] == [("admin", 201)]


class TestPlayedPods:
    """Images that the kubelet does not know: scripted, so that hundreds of pods cost next to nothing."""

    def test_a_hundred_pods_become_ready_and_go_again(self, cluster: LocalCluster, api: Api, space: Space) -> None:
        api.create(f"{space.apps}/deployments", deployment("many", {"containers": [container()]}, 100))
        cluster.wait_until(lambda: ready_replicas(api, space, "many") == 100, timeout_seconds=60)
        addresses = {pod["status"]["podIP"] for pod in pods(api, space, "many")}
        assert len(addresses) == 100
        api.delete(f"{space.apps}/deployments/many", propagationPolicy="Background")
        cluster.wait_until(lambda: not pods(api, space, "many"), timeout_seconds=60)

    def test_a_model_that_loads_for_a_while_is_ready_only_then(
        self, cluster: LocalCluster, api: Api, space: Space
    ) -> None:
        cluster.components.images.play(only("slow", Behaviour(ready_seconds=1.0)))
        probed = container(readinessProbe={"httpGet": {"path": "/", "port": 80}})
        api.create(f"{space.apps}/deployments", deployment("slow", {"containers": [probed]}, 1))
        cluster.wait_until(lambda: pods(api, space, "slow", "Running"))
        assert ready_replicas(api, space, "slow") == 0
        cluster.wait_until(lambda: ready_replicas(api, space, "slow") == 1)
        pod = pods(api, space, "slow")[0]
        started = pod["status"]["containerStatuses"][0]["state"]["running"]["startedAt"]
        assert condition(pod, "Ready")["lastTransitionTime"] > started

    def test_an_image_that_cannot_be_pulled_says_so(self, cluster: LocalCluster, api: Api, space: Space) -> None:
        cluster.components.images.play(only("absent", Behaviour(pull_error="manifest unknown")))
        api.create(f"{space.apps}/deployments", deployment("absent", {"containers": [container()]}, 1))

        def waiting() -> Object:
            statuses = pods(api, space, "absent")[0]["status"].get("containerStatuses", [{"state": {}}])
            return statuses[0]["state"].get("waiting", {})

        cluster.wait_until(lambda: pods(api, space, "absent"))
        cluster.wait_until(lambda: waiting().get("reason") == "ImagePullBackOff")
        assert "manifest unknown" in waiting()["message"]

    def test_a_container_that_ends_is_restarted_with_back_off(
        self, cluster: LocalCluster, api: Api, space: Space
    ) -> None:
        cluster.components.images.play(only("crashing", Behaviour(exit_after_seconds=0.05, exit_status=3)))
        api.create(f"{space.apps}/deployments", deployment("crashing", {"containers": [container()]}, 1))

        def status() -> Object:
            return next(iter(pods(api, space, "crashing")[0]["status"].get("containerStatuses", [])), {})

        cluster.wait_until(lambda: pods(api, space, "crashing"))
        cluster.wait_until(lambda: status().get("state", {}).get("waiting", {}).get("reason") == "CrashLoopBackOff")
        assert status()["restartCount"] >= 1
        assert status()["lastState"]["terminated"]["exitCode"] == 3

    def test_a_pod_waits_for_the_config_map_that_it_mounts(self, cluster: LocalCluster, api: Api, space: Space) -> None:
        volumes = [{"name": "config", "configMap": {"name": "late"}}]
        api.create(
            f"{space.apps}/deployments", deployment("patient", {"containers": [container()], "volumes": volumes}, 1)
        )
        said = cluster.wait_until(lambda: event_messages(api, space, "FailedMount"))
        assert 'configmap "late" not found' in said[0]
        assert ready_replicas(api, space, "patient") == 0
        api.create(f"{space.core}/configmaps", {"metadata": {"name": "late"}})
        cluster.wait_until(lambda: ready_replicas(api, space, "patient") == 1)

    def test_a_lost_node_is_noticed_and_comes_back(self, make_cluster: Callable[..., LocalCluster]) -> None:
        own = make_cluster(nodes=[(ONE_GPU, 1)], flags=FAST_NODE_LOSS, renew_seconds=2)
        own.wait_until(lambda: own.api.exists("/api/v1/namespaces/default/serviceaccounts/default"))
        own.api.create(
            "/apis/apps/v1/namespaces/default/deployments", deployment("s", {"containers": [container()]}, 1)
        )
        default = Space("default")
        own.wait_until(lambda: ready_replicas(own.api, default, "s") == 1)
        own.components.lose("gpu-0")
        own.wait_until(lambda: "node.kubernetes.io/unreachable" in taints(own.api, "gpu-0"), timeout_seconds=30)
        own.wait_until(lambda: ready_replicas(own.api, default, "s") == 0)
        own.components.restore("gpu-0")
        own.wait_until(lambda: not taints(own.api, "gpu-0"), timeout_seconds=30)
        own.wait_until(lambda: ready_replicas(own.api, default, "s") == 1)


@pytest.mark.usefixtures("real_parts")
class TestRealPods:
    """Images that the kubelet knows run as processes that see what the manifest says."""

    def test_a_container_sees_its_volumes_variables_and_user(
        self, cluster: LocalCluster, api: Api, space: Space
    ) -> None:
        api.create(
            f"{space.core}/configmaps", {"metadata": {"name": "settings"}, "data": {"a.txt": "alpha", "b": "beta"}}
        )
        api.create(
            f"{space.core}/pods", {"metadata": {"name": "sees", "labels": {"colour": "blue"}}, "spec": SEEING_POD}
        )
        seen = json.loads(last_line(cluster, api, space, "sees"))
        assert seen == {
            "configuration": "alpha",
            "whole": ["a.txt", "b"],
            "greeting": "hello blue",
            "uid": 65532,
            "memory_limit": "64",
            "shared_memory_bytes": 8 * 2**20,
            "scratch": "written",
            "root_is_read_only": True,
            "own_address_binds": True,
            "key": "beta",
        }

    def test_a_pod_speaks_to_the_api_server_as_its_service_account(
        self, cluster: LocalCluster, api: Api, space: Space
    ) -> None:
        rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}]
        rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{space.name}"
        api.create(f"{rbac}/roles", {"metadata": {"name": "lister"}, "rules": rules})
        subject = {"kind": "ServiceAccount", "name": "default", "namespace": space.name}
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "lister"}
        api.create(f"{rbac}/rolebindings", {"metadata": {"name": "lister"}, "subjects": [subject], "roleRef": role})
        spec = {"restartPolicy": "Never", "tolerations": ANYWHERE, "containers": [python_container(ASK_THE_API)]}
        api.create(f"{space.core}/pods", {"metadata": {"name": "asks"}, "spec": spec})
        answers = json.loads(last_line(cluster, api, space, "asks"))
        assert answers == {"configmaps": 200, "secrets": 403}
        assert cluster.run("kubectl", "logs", "-n", space.name, "asks").strip() == json.dumps(answers)

    def test_a_failing_liveness_probe_restarts_the_container(
        self, cluster: LocalCluster, api: Api, space: Space
    ) -> None:
        probe = {"exec": {"command": ["test", "!", "-e", "/tmp/dead"]}, "periodSeconds": 1, "failureThreshold": 1}
        dying = python_container(
            "import time; time.sleep(1.5); open('/tmp/dead', 'w'); time.sleep(60)", livenessProbe=probe
        )
        spec = {"terminationGracePeriodSeconds": 1, "tolerations": ANYWHERE, "containers": [dying]}
        api.create(f"{space.core}/pods", {"metadata": {"name": "mortal"}, "spec": spec})
        path = f"{space.core}/pods/mortal"
        cluster.wait_until(
            lambda: api.get(path)["status"].get("containerStatuses", [{}])[0].get("restartCount", 0) >= 1
        )
        assert any("Liveness probe failed" in said for said in event_messages(api, space, "Unhealthy"))
        api.delete(path)

    def test_a_command_that_is_not_there_is_a_start_error(self, cluster: LocalCluster, api: Api, space: Space) -> None:
        spec = {
            "restartPolicy": "Never",
            "tolerations": ANYWHERE,
            "containers": [container(OPERATOR, command=["/no/such"])],
        }
        api.create(f"{space.core}/pods", {"metadata": {"name": "wrong"}, "spec": spec})
        ended = cluster.wait_until(
            lambda: (
                api.get(f"{space.core}/pods/wrong")["status"].get("phase") == "Failed"
                and api.get(f"{space.core}/pods/wrong")
            )
        )
        assert ended["status"]["containerStatuses"][0]["state"]["terminated"]["reason"] == "StartError"

    def test_triton_serves_a_real_network_through_the_service(self, served: "Served") -> None:
        probabilities = served.infer(b"import numpy as np\n\ndef double(x):\n    return 2 * np.asarray(x)\n" * 4)
        assert artefacts.file_types().best(probabilities)[0][0] == "python"

    def test_a_stopping_triton_finishes_what_it_accepted(self, served: "Served") -> None:
        """Requests without a pause while the pod is replaced: none fails, and the old process ends inside its grace."""
        (before,) = pods(served.api, served.space, "types")
        failures, answered, stop = [], 0, threading.Event()

        def ask() -> None:
            nonlocal answered
            while not stop.is_set():
                try:
                    served.infer(b"#!/bin/sh\nexec make test\n")
                    answered += 1
                except triton.InferenceServerException as error:
                    failures.append(str(error))

        served.scale(2)
        asking = threading.Thread(target=ask)
        asking.start()
        started = time.monotonic()
        served.api.delete(f"{served.space.core}/pods/{before['metadata']['name']}")
        served.cluster.wait_until(
            lambda: not served.api.exists(f"{served.space.core}/pods/{before['metadata']['name']}")
        )
        took = time.monotonic() - started
        served.cluster.wait_until(lambda: ready_replicas(served.api, served.space, "types") == 2)
        stop.set()
        asking.join()
        assert failures == []
        assert answered > 20
        assert 2 <= took < 15  # preStop sleeps 2 s; the grace period is 30 s

    def test_a_triton_pod_without_its_model_is_played_and_says_why(
        self, cluster: LocalCluster, api: Api, space: Space
    ) -> None:
        claim(api, space, "empty")
        api.create(f"{space.core}/configmaps", {"metadata": {"name": "types"}, "data": {"config.pbtxt": CONFIGURATION}})
        api.create(f"{space.apps}/deployments", deployment("types", triton_pod("empty"), 1))
        cluster.wait_until(lambda: ready_replicas(api, space, "types") == 1)
        (pod,) = pods(api, space, "types")
        said = pod["status"]["containerStatuses"][0]["imageID"]
        assert said == "simulated: nothing is there to serve: empty/types has no files"


class TestTheOperatorInTheCluster:
    """Installed by Helm from the chart, running with the rights that the chart gives it."""

    LEASES = "/apis/coordination.k8s.io/v1/namespaces/berthmaster-system/leases"

    @pytest.mark.usefixtures("real_parts")
    def test_runs_in_the_pods_of_its_deployment(self, make_cluster: Callable[..., LocalCluster]) -> None:
        own = make_cluster(nodes=[(fleet.SYSTEM, 2)])
        own.install_operator()
        system = Space("berthmaster-system")
        found = own.api.items(f"{system.core}/pods")
        assert [pod["status"]["containerStatuses"][0]["imageID"] for pod in found] == ["real", "real"]
        own.wait_until(lambda: self.holder(own.api) in {pod["metadata"]["name"] for pod in found})
        assert [each["status"] for each in own.helm().history("berthmaster")] == ["deployed"]

    def test_runs_beside_it_where_pods_can_only_be_played(
        self, make_cluster: Callable[..., LocalCluster], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def unavailable() -> None:
            raise sandbox.Unavailable("no user namespaces here")

        monkeypatch.setattr(sandbox, "bubblewrap", unavailable)
        own = make_cluster(nodes=[(fleet.SYSTEM, 2)])
        own.install_operator()
        (said,) = {
            pod["status"]["containerStatuses"][0]["imageID"]
            for pod in own.api.items("/api/v1/namespaces/berthmaster-system/pods")
        }
        assert said == "simulated: no user namespaces here"
        assert own.operator_beside is not None
        name = own.operator_beside.name
        own.wait_until(lambda: self.holder(own.api) == name)

    def holder(self, api: Api) -> str:
        """Name of the pod that leads: what the Lease's holder says before its own suffix."""
        leases = api.items(self.LEASES)
        return str(leases[0]["spec"]["holderIdentity"]).rsplit("_", 1)[0] if leases else ""


class Served:
    """A Deployment of real Triton with the file-type network, behind a Service."""

    def __init__(self, cluster: LocalCluster, space: Space) -> None:
        self.cluster, self.api, self.space = cluster, cluster.api, space
        artefacts.put(cluster.components.claim_folder(space.name, "models") / "types")
        claim(self.api, space, "models")
        files = {"config.pbtxt": CONFIGURATION}
        self.api.create(f"{space.core}/configmaps", {"metadata": {"name": "types"}, "data": files})
        self.api.create(f"{space.apps}/deployments", deployment("types", triton_pod("models"), 1))
        ports = [{"name": "grpc", "port": 8001, "targetPort": "grpc"}]
        self.api.create(
            f"{space.core}/services",
            {"metadata": {"name": "types"}, "spec": {"selector": {"app": "types"}, "ports": ports}},
        )
        cluster.wait_until(lambda: ready_replicas(self.api, space, "types") == 1, timeout_seconds=60)
        cluster.wait_until(lambda: cluster.components.endpoints(space.name, "types", "grpc"))

    def scale(self, replicas: int) -> None:
        self.api.patch(f"{self.space.apps}/deployments/types", {"spec": {"replicas": replicas}})
        self.cluster.wait_until(lambda: ready_replicas(self.api, self.space, "types") == replicas, timeout_seconds=60)
        self.cluster.wait_until(
            lambda: len(self.cluster.components.endpoints(self.space.name, "types", "grpc")) == replicas
        )

    def infer(self, content: bytes) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Over a connection of its own, so that each request is a new choice of endpoint."""
        host, port = self.cluster.components.address(self.space.name, "types", "grpc")
        tokens = artefacts.tokens(content)
        given = triton.InferInput(artefacts.INPUT, list(tokens.shape), "INT32")
        given.set_data_from_numpy(tokens)
        with triton.InferenceServerClient(f"{host}:{port}") as client:
            answer: np.ndarray[Any, np.dtype[np.float32]] = client.infer("types", [given]).as_numpy(artefacts.OUTPUT)
        return answer


@pytest.fixture(scope="module")
def served(cluster: LocalCluster) -> Served:
    return Served(cluster, Space(namespaces.fresh(cluster.api)))


CONFIGURATION = """
name: "types" backend: "onnxruntime" max_batch_size: 8
input { name: "bytes" data_type: TYPE_INT32 dims: 2048 }
output { name: "target_label" data_type: TYPE_FP32 dims: 214 }
instance_group { kind: KIND_GPU count: 1 }
dynamic_batching { max_queue_delay_microseconds: 500 }
"""


def triton_pod(claimed: str) -> Object:
    """As a person would write it: repository in an emptyDir, version folder from a claim, configuration by sub-path."""
    server = container(
        TRITON,
        args=["tritonserver", "--model-repository=/models", "--exit-timeout-secs=5"],
        ports=[{"name": "http", "containerPort": 8000}, {"name": "grpc", "containerPort": 8001}],
        resources=GPU,
        startupProbe={
            "httpGet": {"path": "/v2/health/ready", "port": "http"},
            "periodSeconds": 1,
            "failureThreshold": 60,
        },
        readinessProbe={"grpc": {"port": 8001, "service": "types"}, "periodSeconds": 1},
        livenessProbe={"httpGet": {"path": "/v2/health/live", "port": "http"}},
        lifecycle={"preStop": {"sleep": {"seconds": 2}}},
        volumeMounts=[
            {"name": "repository", "mountPath": "/models"},
            {"name": "models", "mountPath": "/models/types/1", "subPath": "types", "readOnly": True},
            {"name": "configuration", "mountPath": "/models/types/config.pbtxt", "subPath": "config.pbtxt"},
            {"name": "memory", "mountPath": "/dev/shm"},
        ],
    )
    return {
        "containers": [server],
        "securityContext": {"runAsUser": 1000, "runAsGroup": 1000},
        "volumes": [
            {"name": "repository", "emptyDir": {}},
            {"name": "models", "persistentVolumeClaim": {"claimName": claimed}},
            {"name": "configuration", "configMap": {"name": "types"}},
            {"name": "memory", "emptyDir": {"medium": "Memory", "sizeLimit": "64Mi"}},
        ],
    }


def claim(api: Api, space: Space, name: str) -> None:
    spec = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}}
    api.create(f"{space.core}/persistentvolumeclaims", {"metadata": {"name": name}, "spec": spec})


def python_container(program: str, **stated: Any) -> Object:
    return container(OPERATOR, command=["python", "-c", program], **stated)


SEEING = """
import json, os, socket
def writes(path):
    try:
        open(path, "w").write("written")
        return open(path).read()
    except OSError:
        return None
def binds(address):
    with socket.socket() as own:
        own.bind((address, 0))
    return True
print(json.dumps({
    "configuration": open("/etc/app/a.txt").read(),
    "whole": sorted(name for name in os.listdir("/config") if not name.startswith(".")),
    "greeting": os.environ["GREETING"],
    "uid": os.getuid(),
    "memory_limit": os.environ["MEMORY"],
    "shared_memory_bytes": os.statvfs("/dev/shm").f_blocks * os.statvfs("/dev/shm").f_frsize,
    "scratch": writes("/scratch/file"),
    "root_is_read_only": writes("/file") is None,
    "own_address_binds": binds(os.environ["POD_IP"]),
    "key": os.environ["KEY"],
}))
"""

SEEING_POD: Object = {
    "restartPolicy": "Never",
    "tolerations": ANYWHERE,
    "securityContext": {"runAsUser": 65532},
    "containers": [
        python_container(
            SEEING,
            securityContext={"readOnlyRootFilesystem": True},
            resources={"limits": {"memory": "64Mi"}},
            env=[
                {"name": "COLOUR", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['colour']"}}},
                {"name": "GREETING", "value": "hello $(COLOUR)"},
                {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                {"name": "MEMORY", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}},
                {"name": "KEY", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "b"}}},
            ],
            volumeMounts=[
                {"name": "settings", "mountPath": "/etc/app/a.txt", "subPath": "a.txt"},
                {"name": "settings", "mountPath": "/config"},
                {"name": "scratch", "mountPath": "/scratch"},
                {"name": "memory", "mountPath": "/dev/shm"},
            ],
        )
    ],
    "volumes": [
        {"name": "settings", "configMap": {"name": "settings"}},
        {"name": "scratch", "emptyDir": {}},
        {"name": "memory", "emptyDir": {"medium": "Memory", "sizeLimit": "8Mi"}},
    ],
}

ASK_THE_API = """
import json, os, ssl, urllib.request, urllib.error
account = "/var/run/secrets/kubernetes.io/serviceaccount"
token, namespace = open(f"{account}/token").read(), open(f"{account}/namespace").read()
server = f"https://{os.environ['KUBERNETES_SERVICE_HOST']}:{os.environ['KUBERNETES_SERVICE_PORT']}"
trust = ssl.create_default_context(cafile=f"{account}/ca.crt")
def status(kind):
    url = f"{server}/api/v1/namespaces/{namespace}/{kind}"
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    try:
        return urllib.request.urlopen(request, context=trust).status
    except urllib.error.HTTPError as error:
        return error.code
print(json.dumps({kind: status(kind) for kind in ("configmaps", "secrets")}))
"""


def last_line(cluster: LocalCluster, api: Api, space: Space, pod: str) -> str:
    """What the pod's container wrote last, once the pod has ended well."""
    path = f"{space.core}/pods/{pod}"
    phase = cluster.wait_until(
        lambda: api.get(path)["status"].get("phase") in ("Succeeded", "Failed") and api.get(path)["status"]["phase"]
    )
    said = cluster.components.log(space.name, pod, "server")
    assert phase == "Succeeded", said
    return said.strip().splitlines()[-1]


def taints(api: Api, node: str) -> list[str]:
    return [taint["key"] for taint in api.get(f"/api/v1/nodes/{node}")["spec"].get("taints", [])]


def only(app: str, behaviour: Behaviour) -> Callable[[Object, Object], Behaviour | None]:
    """A script for the pods of one app."""
    return lambda pod, _: behaviour if pod["metadata"].get("labels", {}).get("app") == app else None


def autoscaler(name: str) -> Object:
    metric = {
        "type": "Resource",
        "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}},
    }
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
    spec = {"scaleTargetRef": target, "minReplicas": 1, "maxReplicas": 5, "metrics": [metric]}
    return {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": name}, "spec": spec}


WIDGETS = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "widgets.check.example"},
    "spec": {
        "group": "check.example",
        "scope": "Namespaced",
        "names": {"plural": "widgets", "singular": "widget", "kind": "Widget"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {
                                "type": "object",
                                "properties": {"min": {"type": "integer"}, "max": {"type": "integer"}},
                                "x-kubernetes-validations": [
                                    {"rule": "self.min <= self.max", "message": "min must not exceed max"}
                                ],
                            }
                        },
                    }
                },
            }
        ],
    },
}

FEW_REPLICAS = {
    "apiVersion": "admissionregistration.k8s.io/v1",
    "kind": "ValidatingAdmissionPolicy",
    "metadata": {"name": "few-replicas"},
    "spec": {
        "matchConstraints": {
            "resourceRules": [
                {"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["deployments"]}
            ]
        },
        "validations": [
            {
                "expression": "object.metadata.name != 'many' || object.spec.replicas <= 10",
                "message": "at most 10 replicas",
            }
        ],
    },
}

FEW_REPLICAS_BINDING = {
    "apiVersion": "admissionregistration.k8s.io/v1",
    "kind": "ValidatingAdmissionPolicyBinding",
    "metadata": {"name": "few-replicas"},
    "spec": {"policyName": "few-replicas", "validationActions": ["Deny"]},
}
