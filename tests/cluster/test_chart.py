"""The chart on a real cluster with the real Helm: installed, upgraded, rolled back, uninstalled, installed again."""

import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import artefacts
import audit
import cache
import chart_stories
import diagnosis
import fleet
import helm
import monitoring
import namespaces
import operator_stories
import sandbox
import triton_server
from cluster import RELEASE, SYSTEM_NAMESPACE, LocalCluster
from controlplane import ControlPlane
from helm import Helm, HelmError
from kube_api import APPLY, Api, ApiError, Object, condition
from operator_stories import WORKLOADS
from steady_load import SteadyLoad

EXAMPLES = cache.REPOSITORY / "examples"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
DEPLOYMENTS = "/apis/apps/v1/namespaces/{}/deployments"
OUT_OF_ACTION: Object = {"replicas": 0}
"""Everything but the operator's pods, for a control plane without nodes."""


# --- without nodes: what Helm and the API server make of the chart ---------------------------------------------------


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with ControlPlane(tmp_path_factory.mktemp("control-plane")) as plane:
        yield plane


@pytest.fixture
def bare(plane: ControlPlane) -> Iterator[Api]:
    """The API server with nothing of ours in it, before and after."""
    api = Api(plane.kubeconfig)
    yield api
    release = Helm(plane.kubeconfig, SYSTEM_NAMESPACE)
    for name in (RELEASE, "other"):
        if release.exists(name):
            release.uninstall(name)
    for each in crds(api):
        # The API server tries once to delete the objects of a CRD: while their storage opens, that fails for good.
        diagnosis.wait_until(lambda kind=each: readable(api, kind), api, what=f"the storage of {each}")
        api.delete(f"{CRDS}/{each}")
    logs = [plane.log("kube-apiserver"), plane.log("kube-controller-manager")]
    diagnosis.wait_until(lambda: not crds(api), api, logs, timeout_seconds=60, what="the end of the CRDs")


def crds(api: Api) -> dict[str, str]:
    """Our CRDs: uid by name."""
    found = api.items(CRDS)
    ours = [each["metadata"] for each in found if each["spec"]["group"] == "berthmaster.dev"]
    return {each["name"]: each["uid"] for each in ours}


def readable(api: Api, crd: str) -> bool:
    """Whether the objects of the CRD can be listed: their storage is opened when they are first asked for."""
    plural, _, group = crd.partition(".")
    return isinstance(api.items(f"/apis/{group}/v1alpha1/{plural}"), list)


@pytest.mark.parametrize("name", chart_stories.NAMES)
def test_every_object_passes_a_strict_dry_run(bare: Api, name: str) -> None:
    monitoring.install(bare)
    for needed in (SYSTEM_NAMESPACE, "chat", "vision", "leases"):
        bare.apply_object({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": needed}})
    for document in chart_stories.rendered(chart_stories.values(name), crds=True):
        path = f"{bare.path_of(document)}?fieldManager=helm&dryRun=All&fieldValidation=Strict"
        stored = bare.patch(path, document, APPLY)
        assert stored["metadata"]["name"] == document["metadata"]["name"]


def test_a_field_that_kubernetes_does_not_know_would_not_pass(bare: Api) -> None:
    """So that the test above could fail."""
    document = chart_stories.one(chart_stories.rendered({}), "PodDisruptionBudget")
    document["spec"]["maximumUnavailable"] = 1
    with pytest.raises(ApiError, match=r"unknown field|field not declared"):
        bare.patch(f"{bare.path_of(document)}?fieldManager=helm&dryRun=All&fieldValidation=Strict", document, APPLY)


def test_the_crds_are_upgraded_with_the_chart(bare: Api, plane: ControlPlane, tmp_path: Path) -> None:
    """What Helm does not do for CRDs in a chart's own folder for them."""
    earlier = tmp_path / "berthmaster"
    shutil.copytree(helm.CHART, earlier)
    file = earlier / "files" / "crds" / "berthmaster.dev_gpupools.yaml"
    definition = yaml.safe_load(file.read_text())
    columns = definition["spec"]["versions"][0]["additionalPrinterColumns"]
    definition["spec"]["versions"][0]["additionalPrinterColumns"] = columns[:1]
    file.write_text(yaml.safe_dump(definition))

    release = Helm(plane.kubeconfig, SYSTEM_NAMESPACE)
    release.install(RELEASE, OUT_OF_ACTION, chart=earlier, wait=False)
    before = crds(bare)
    release.upgrade(RELEASE, OUT_OF_ACTION, wait=False)
    stored = bare.get(f"{CRDS}/gpupools.berthmaster.dev")
    assert stored["spec"]["versions"][0]["additionalPrinterColumns"] == columns
    assert crds(bare) == before


def test_uninstalling_keeps_the_crds_and_what_is_stored(bare: Api, plane: ControlPlane) -> None:
    release = Helm(plane.kubeconfig, SYSTEM_NAMESPACE)
    release.install(RELEASE, OUT_OF_ACTION, wait=False)
    home, kept = namespaces.fresh(bare), crds(bare)
    stored = diagnosis.wait_until(
        lambda: bare.create(WORKLOADS.format(home), operator_stories.workload("kept", home)), bare, what="a workload"
    )
    release.uninstall(RELEASE)
    assert crds(bare) == kept
    assert bare.get(f"{WORKLOADS.format(home)}/kept")["metadata"]["uid"] == stored["metadata"]["uid"]
    assert not audit.grants(bare, SYSTEM_NAMESPACE, RELEASE)
    labelled = "labelSelector=app.kubernetes.io/managed-by%3DHelm"
    for path in (audit.RBAC + "/clusterroles", "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"):
        assert not bare.items(f"{path}?{labelled}")


def test_a_release_of_another_name_is_told_whose_the_crds_are(bare: Api, plane: ControlPlane) -> None:
    release = Helm(plane.kubeconfig, SYSTEM_NAMESPACE)
    release.install(RELEASE, OUT_OF_ACTION, wait=False)
    release.uninstall(RELEASE)
    with pytest.raises(
        HelmError, match=f'"meta.helm.sh/release-name" must equal "other": current value is "{RELEASE}"'
    ):
        release.install("other", OUT_OF_ACTION, wait=False)
    release.install("other", {**OUT_OF_ACTION, "crds": {"enabled": False}}, wait=False)
    assert len(crds(bare)) == 2


@pytest.mark.parametrize(
    ("role", "may", "may_not"),
    [
        ("view", ["list inferenceworkloads"], ["create inferenceworkloads", "patch inferenceworkloads/status"]),
        (
            "edit",
            ["list inferenceworkloads", "patch inferenceworkloads", "delete inferenceworkloads"],
            ["patch inferenceworkloads/status", "create gpupools", "patch gpupools"],
        ),
        ("admin", ["create inferenceworkloads", "delete inferenceworkloads"], ["patch inferenceworkloads/status"]),
    ],
    ids=["viewers", "editors", "admins"],
)  # fmt: skip
def test_the_roles_of_people_in_a_namespace_include_its_workloads(
    bare: Api, plane: ControlPlane, role: str, may: list[str], may_not: list[str]
) -> None:
    Helm(plane.kubeconfig, SYSTEM_NAMESPACE).install(RELEASE, OUT_OF_ACTION, wait=False)
    home = namespaces.fresh(bare)
    binding = {
        "metadata": {"name": "ann"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "ann"}],
    }
    bare.create(f"{audit.RBAC}/namespaces/{home}/rolebindings", binding)
    diagnosis.wait_until(lambda: allowed(bare, home, may[-1]), bare, what="the roles to be aggregated")
    assert [each for each in may if not allowed(bare, home, each)] == []
    assert [each for each in may_not if allowed(bare, home, each)] == []


def allowed(api: Api, namespace: str, what: str) -> bool:
    """Whether Ann may do ``verb resource`` of ours in this namespace."""
    verb, resource = what.split()
    resource, _, subresource = resource.partition("/")
    asked = {"namespace": namespace, "verb": verb, "group": "berthmaster.dev", "resource": resource}
    review = {"spec": {"user": "ann", "resourceAttributes": {**asked, "subresource": subresource}}}
    path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
    return bool(api.create(path, review)["status"]["allowed"])


# --- with nodes: one life of a release, under requests that never stop -----------------------------------------------


@dataclasses.dataclass(frozen=True)
class Moment:
    """What there is at one point of the release's life."""

    serving: dict[str, tuple[str, int]]
    """Uid and restarts of each serving pod, by name."""
    deployments: dict[str, tuple[str, int]]
    """Uid and generation of each serving Deployment, by name."""
    workload: tuple[str, str]
    """Uid of the workload, and the revision in its status."""
    crds: dict[str, str]
    operator: dict[str, str]
    """Image of each of the operator's pods that are ready, by name."""
    settings: Any
    history: list[str]


@dataclasses.dataclass(frozen=True)
class Life:
    """The moments by name, in their order, and what clients of the served model saw meanwhile."""

    moments: dict[str, Moment]
    answered: int
    failures: list[str]
    said: str
    """By the operator that was given a setting which it cannot use."""
    grown: Moment

    def __getitem__(self, name: str) -> Moment:
        return self.moments[name]


QUICK: Object = {"planning": {"idleSeconds": 0.2, "longestSeconds": 2}}
IMPOSSIBLE: Object = {"lease": {"retrySeconds": 10, "renewDeadlineSeconds": 5}}
"""Each number is one; together they are not what the operator can use."""


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Life]:
    try:
        sandbox.bubblewrap()
        triton_server.installed()
    except (sandbox.Unavailable, triton_server.Unavailable) as reason:
        pytest.skip(f"no real pods on this machine: {reason}")
    nodes = [(fleet.SYSTEM, 2), (fleet.L4_GKE, 3)]
    with LocalCluster(tmp_path_factory.mktemp("cluster"), nodes) as cluster:
        yield lived(cluster)


def lived(cluster: LocalCluster) -> Life:
    moments: dict[str, Moment] = {}
    release = cluster.helm()
    restricted = {"name": SYSTEM_NAMESPACE, "labels": namespaces.RESTRICTED}
    cluster.api.create("/api/v1/namespaces", {"metadata": restricted})
    cluster.install_operator({"settings": QUICK})
    serve(cluster)
    moments["installed"] = seen(cluster)

    host, _ = cluster.components.address("vision", "tiny", "grpc")
    with SteadyLoad(host, "magika") as load:
        cluster.install_operator({"settings": {**QUICK, "log": {"level": "debug"}}})
        moments["settings changed"] = seen(cluster)
        changed = {"settings": QUICK, "image": {"tag": "next"}}
        cluster.install_operator(changed)
        moments["image changed"] = seen(cluster)
        cluster.install_operator({**changed, "settings": {**QUICK, **IMPOSSIBLE}}, wait=False)
        said = refused(cluster)
        moments["setting refused"] = seen(cluster)
        release.rollback(RELEASE, 1)
        cluster.wait_until(lambda: is_rolled_out(cluster), what="the first installation's operators")
        moments["rolled back"] = seen(cluster)
        release.uninstall(RELEASE)
        cluster.wait_until(lambda: not operator_pods(cluster), what="the end of the operator's pods")
        moments["uninstalled"] = seen(cluster)
        cluster.install_operator({"settings": QUICK})
        cluster.api.patch(f"{WORKLOADS.format('vision')}/tiny", {"spec": {"replicas": {"minimum": 3}}})
        cluster.wait_until(lambda: len(ready_pods(cluster)) == 3, timeout_seconds=60, what="a third replica of tiny")
        grown = seen(cluster)
    return Life(moments, load.answered, load.failures, said, grown)


def serve(cluster: LocalCluster) -> None:
    """The example with a real network, on the pool of L4."""
    artefacts.put(cluster.components.claim_folder("vision", "models") / "magika" / "fp32")
    cluster.run("kubectl", "apply", "-f", str(EXAMPLES / "namespaces.yaml"), "-f", str(EXAMPLES / "tiny.yaml"))
    cluster.api.apply_object(operator_stories.POOL_L4)
    at = f"{WORKLOADS.format('vision')}/tiny"
    cluster.wait_until(
        lambda: condition(cluster.api.get(at), "Ready").get("status") == "True", timeout_seconds=90, what="tiny"
    )


def seen(cluster: LocalCluster) -> Moment:
    api = cluster.api
    workload = api.get(f"{WORKLOADS.format('vision')}/tiny")
    settings = f"/api/v1/namespaces/{SYSTEM_NAMESPACE}/configmaps/{RELEASE}-settings"
    there = cluster.helm().exists(RELEASE)
    return Moment(
        serving={
            pod["metadata"]["name"]: (
                pod["metadata"]["uid"], sum(each["restartCount"] for each in pod["status"]["containerStatuses"])
            )
            for pod in ready_pods(cluster)
        },
        deployments={
            each["metadata"]["name"]: (each["metadata"]["uid"], each["metadata"]["generation"])
            for each in api.items(DEPLOYMENTS.format("vision"))
        },
        workload=(workload["metadata"]["uid"], workload["status"]["revision"]),
        crds=crds(api),
        operator={
            pod["metadata"]["name"]: pod["spec"]["containers"][0]["image"]
            for pod in operator_pods(cluster)
            if condition(pod, "Ready").get("status") == "True"
        },
        settings=yaml.safe_load(api.get(settings)["data"]["settings.yaml"]) if there else None,
        history=[str(each["status"] if isinstance(each, dict) else each.status) for each in
                 (cluster.helm().history(RELEASE) if there else [])],
    )  # fmt: skip


def ready_pods(cluster: LocalCluster) -> list[Object]:
    """Of tiny."""
    pods = cluster.api.items("/api/v1/namespaces/vision/pods?labelSelector=berthmaster.dev%2Fworkload%3Dtiny")
    return [pod for pod in pods if condition(pod, "Ready").get("status") == "True"]


def operator_pods(cluster: LocalCluster) -> list[Object]:
    return cluster.api.items(f"/api/v1/namespaces/{SYSTEM_NAMESPACE}/pods")


def is_rolled_out(cluster: LocalCluster) -> bool:
    """Whether only pods of the newest template are left, and ready: Helm may look before the controller does."""
    (found,) = cluster.api.items(f"/apis/apps/v1/namespaces/{SYSTEM_NAMESPACE}/deployments")
    wanted, status = found["spec"]["replicas"], found["status"]
    counts = [status.get(name, 0) for name in ("replicas", "updatedReplicas", "readyReplicas")]
    return status["observedGeneration"] >= found["metadata"]["generation"] and counts == [wanted] * 3


def refused(cluster: LocalCluster) -> str:
    """What the one new pod says that does not start."""

    def failing() -> str:
        for pod in operator_pods(cluster):
            for status in pod["status"].get("containerStatuses", []):
                if status["restartCount"]:
                    return str(pod["metadata"]["name"])
        return ""

    name = cluster.wait_until(failing, what="a pod that does not start")
    return cluster.components.log(SYSTEM_NAMESPACE, name, "operator")


STEPS = ["settings changed", "image changed", "setting refused", "rolled back", "uninstalled"]


class TestALifeOfTheRelease:
    def test_no_request_fails_from_the_first_upgrade_to_the_second_installation(self, life: Life) -> None:
        assert life.failures == []
        assert life.answered > 100

    @pytest.mark.parametrize("step", STEPS)
    def test_no_serving_pod_is_restarted_or_replaced(self, life: Life, step: str) -> None:
        before = life["installed"]
        assert len(before.serving) == 2
        assert life[step].serving == before.serving
        assert life[step].deployments == before.deployments
        assert life[step].workload == before.workload
        assert life[step].crds == before.crds

    def test_the_operator_runs_twice_under_restricted_pod_security(self, life: Life) -> None:
        assert len(life["installed"].operator) == 2

    def test_a_changed_setting_reaches_a_new_operator(self, life: Life) -> None:
        before, after = life["installed"], life["settings changed"]
        assert after.settings["log"] == {"level": "debug"}
        assert len(after.operator) == 2
        assert not set(after.operator) & set(before.operator)

    def test_a_changed_image_runs_in_a_new_operator(self, life: Life) -> None:
        assert {image.rpartition(":")[2] for image in life["image changed"].operator.values()} == {"next"}

    def test_a_setting_that_the_operator_refuses_is_named_and_the_operators_that_run_stay(self, life: Life) -> None:
        assert "lease: retrySeconds < renewDeadlineSeconds < durationSeconds must hold" in life.said
        assert life["setting refused"].operator == life["image changed"].operator

    def test_a_rollback_is_the_first_installation_again(self, life: Life) -> None:
        before, after = life["installed"], life["rolled back"]
        assert after.settings == before.settings
        assert set(after.operator.values()) == set(before.operator.values())
        assert after.history[-1] == "deployed"
        assert len(after.history) == 5

    def test_an_uninstalled_release_leaves_nothing_of_the_operator(self, life: Life) -> None:
        assert life["uninstalled"].operator == {}
        assert life["uninstalled"].settings is None

    def test_a_second_installation_goes_on_where_the_first_ended(self, life: Life) -> None:
        """It adds what the changed spec asks for to what it finds."""
        assert life["installed"].serving.items() < life.grown.serving.items()
        assert len(life.grown.serving) == 3
        assert {name: uid for name, (uid, _) in life.grown.deployments.items()} == {
            name: uid for name, (uid, _) in life["installed"].deployments.items()
        }
        assert life.grown.workload == life["installed"].workload
        assert life.grown.crds == life["installed"].crds
