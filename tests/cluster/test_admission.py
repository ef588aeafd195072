"""The chart's admission policies on the real API server: whom each stops, in which words, and whom it leaves alone."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

import diagnosis
import namespaces
import operator_stories
from cluster import RELEASE, SYSTEM_NAMESPACE
from controlplane import ControlPlane
from helm import Helm
from kube_api import Api, ApiError, Object
from operator_stories import WORKLOADS

LIMITS = {
    "maximumReplicas": 10,
    "artefactImagePrefixes": ["registry.example.com/models/", "registry.example.com/llama:"],
    "priorityClassNames": ["serving", "serving-low"],
}
REMEMBERED = ("berthmaster.dev/berth", "berthmaster.dev/planned-for")
POLICIES = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A control plane with the chart in it and no node: nothing here needs the operator itself to run."""
    with ControlPlane(tmp_path_factory.mktemp("control-plane")) as plane:
        values = {"replicas": 0, "admission": LIMITS}
        Helm(plane.kubeconfig, SYSTEM_NAMESPACE).install(RELEASE, values, wait=False)
        api = Api(plane.kubeconfig)
        diagnosis.wait_until(lambda: in_force(api), api, what="the policies to be in force")
        yield api


def in_force(api: Api) -> bool:
    """Half a second after they were made, each policy is there and stops what it is for."""
    home = "/apis/apps/v1/namespaces/default/deployments?dryRun=All"
    annotated = deployment("probe", "default", annotations=dict.fromkeys(REMEMBERED, "x"))
    many = operator_stories.workload("probe", "default", replicas={"maximum": 100})
    attempts = (
        lambda: api.create(home, annotated),
        lambda: operator(api).create(home, deployment("probe", "default")),
        lambda: api.create(f"{WORKLOADS.format('default')}?dryRun=All", many),
    )
    return all(map(stopped, attempts))


def stopped(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except ApiError as error:
        return "ValidatingAdmissionPolicy" in error.message
    return False


@pytest.fixture
def home(api: Api) -> str:
    return namespaces.fresh(api)


@pytest.fixture
def workload(api: Api, home: str) -> Object:
    return api.create(WORKLOADS.format(home), operator_stories.workload("resnet", home, replicas={"maximum": 10}))


def operator(api: Api) -> Api:
    """The API with the operator's own token."""
    path = f"/api/v1/namespaces/{SYSTEM_NAMESPACE}/serviceaccounts/{RELEASE}/token"
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest"}
    return api.as_token(api.create(path, request)["status"]["token"])


def deployment(
    name: str, namespace: str, *, owner: Object | None = None, annotations: dict[str, str] | None = None
) -> Object:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "example.invalid/c"}]}}
    metadata: Object = {"name": name, "namespace": namespace, "annotations": annotations or {}}
    if owner is not None:
        metadata["ownerReferences"] = [owned_by(owner)]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata,
        "spec": {"selector": {"matchLabels": labels}, "template": template},
    }


def owned_by(owner: Object) -> Object:
    metadata = owner["metadata"]
    return {
        "apiVersion": "berthmaster.dev/v1alpha1", "kind": "InferenceWorkload",
        "name": metadata["name"], "uid": metadata["uid"], "controller": True, "blockOwnerDeletion": True,
    }  # fmt: skip


@pytest.fixture
def made(api: Api, home: str, workload: Object) -> Object:
    """A Deployment as the operator makes it."""
    annotations = dict.fromkeys(REMEMBERED, "as decided")
    return operator(api).apply_object(deployment("child", home, owner=workload, annotations=annotations), "berthmaster")


def path(document: Object, subresource: str = "") -> str:
    metadata = document["metadata"]
    return f"/apis/apps/v1/namespaces/{metadata['namespace']}/deployments/{metadata['name']}{subresource}"


def refusal(attempt: Callable[[], object]) -> ApiError:
    with pytest.raises(ApiError) as refused:
        attempt()
    return refused.value


class TestWhatTheOperatorRemembers:
    @pytest.mark.parametrize("key", REMEMBERED)
    def test_cannot_be_made_up_by_an_administrator(self, api: Api, home: str, key: str) -> None:
        document = deployment("forged", home, annotations={key: "mine"})
        refused = refusal(lambda: api.create(f"/apis/apps/v1/namespaces/{home}/deployments", document))
        assert refused.status == 403
        assert f"annotation {key} is written by the Berthmaster operator only" in refused.message
        assert "change the InferenceWorkload instead" in refused.message

    @pytest.mark.parametrize("key", REMEMBERED)
    @pytest.mark.parametrize("value", ["mine", "", None], ids=["changed", "emptied", "removed"])
    def test_cannot_be_edited_by_an_administrator(self, api: Api, made: Object, key: str, value: str | None) -> None:
        refused = refusal(lambda: api.patch(path(made), {"metadata": {"annotations": {key: value}}}))
        assert refused.status == 403
        assert f"annotation {key} is written by the Berthmaster operator only" in refused.message

    @pytest.mark.parametrize("key", REMEMBERED)
    def test_cannot_be_added_to_what_the_operator_did_not_make(self, api: Api, home: str, key: str) -> None:
        own = api.create(f"/apis/apps/v1/namespaces/{home}/deployments", deployment("own", home))
        refused = refusal(lambda: api.patch(path(own), {"metadata": {"annotations": {key: "mine"}}}))
        assert refused.status == 403

    def test_is_changed_by_the_operator(self, api: Api, home: str, workload: Object, made: Object) -> None:
        annotations = dict.fromkeys(REMEMBERED, "decided anew")
        document = deployment("child", home, owner=workload, annotations=annotations)
        stored = operator(api).apply_object(document, "berthmaster")
        assert annotations.items() <= stored["metadata"]["annotations"].items()

    def test_leaves_scaling_free(self, api: Api, made: Object) -> None:
        api.patch(path(made, "/scale"), {"spec": {"replicas": 3}})
        assert api.patch(path(made), {"spec": {"replicas": 4}})["spec"]["replicas"] == 4

    def test_leaves_every_other_edit_free(self, api: Api, made: Object) -> None:
        edit: Object = {
            "metadata": {"labels": {"team": "vision"}, "annotations": {"example.com/note": "seen"}},
            "spec": {
                "paused": True,
                "template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restarted": "1"}}},
            },
        }
        stored = api.patch(path(made), edit)
        assert stored["spec"]["paused"] is True
        stored["metadata"]["labels"]["team"] = "search"
        del stored["metadata"]["resourceVersion"]  # the Deployment's controller writes to it meanwhile
        assert api.replace(path(made), stored)["metadata"]["labels"]["team"] == "search"

    def test_leaves_the_controllers_of_kubernetes_alone(self, api: Api, made: Object) -> None:
        def rolled_out() -> bool:
            found = api.get(path(made))
            seen = found.get("status", {}).get("observedGeneration") == found["metadata"]["generation"]
            return seen and "deployment.kubernetes.io/revision" in found["metadata"]["annotations"]

        diagnosis.wait_until(rolled_out, api, what="the Deployment's controller to have written to it")

    @pytest.mark.parametrize("how", ["Background", "Foreground"])
    def test_leaves_the_garbage_collector_alone(self, api: Api, home: str, made: Object, how: str) -> None:
        api.delete(f"{WORKLOADS.format(home)}/resnet", propagationPolicy=how)
        collected = 60  # a new kind is known to the collector within 30 s
        diagnosis.wait_until(
            lambda: not api.exists(path(made)), api, timeout_seconds=collected, what="the child to be collected"
        )
        diagnosis.wait_until(lambda: not api.exists(f"{WORKLOADS.format(home)}/resnet"), api, what="the workload to go")

    def test_survives_its_owner_where_it_is_orphaned(self, api: Api, home: str, made: Object) -> None:
        api.delete(f"{WORKLOADS.format(home)}/resnet", propagationPolicy="Orphan")
        orphaned = diagnosis.wait_until(
            lambda: not api.get(path(made))["metadata"].get("ownerReferences"), api, what="the child to be orphaned"
        )
        assert orphaned


class TestTheOperatorsReach:
    """What its roles would allow it, and a policy does not: Deployments and ConfigMaps that are nobody's children."""

    def test_ends_at_what_no_workload_owns(self, api: Api, home: str) -> None:
        foreign = api.create(f"/apis/apps/v1/namespaces/{home}/deployments", deployment("foreign", home))
        account = operator(api)
        attempts = (
            lambda: account.patch(path(foreign), {"spec": {"paused": True}}),
            lambda: account.delete(path(foreign)),
            lambda: account.apply_object(deployment("free", home), "berthmaster"),
            lambda: account.create(f"/api/v1/namespaces/{home}/configmaps", {"metadata": {"name": "free"}}),
            lambda: account.delete(f"/api/v1/namespaces/{home}/serviceaccounts/default"),
        )
        for attempt in attempts:
            refused = refusal(attempt)
            assert refused.status == 403
            assert "the Berthmaster operator writes children of InferenceWorkloads only" in refused.message

    def test_includes_the_ledger_by_its_name_and_where_it_belongs(self, api: Api, home: str) -> None:
        def ledger(namespace: str) -> Object:
            metadata = {"name": "berthmaster-spending", "namespace": namespace}
            return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"spent": "nothing"}}

        operator(api).apply_object(ledger(SYSTEM_NAMESPACE), "berthmaster")
        refused = refusal(lambda: operator(api).apply_object(ledger(home), "berthmaster"))
        assert "no InferenceWorkload owns this object" in refused.message

    def test_does_not_grow_by_claiming_what_is_there_already(self, api: Api, home: str, workload: Object) -> None:
        api.create(f"/apis/apps/v1/namespaces/{home}/deployments", deployment("foreign", home))
        adopting = deployment("foreign", home, owner=workload)
        refused = refusal(lambda: operator(api).apply_object(adopting, "berthmaster"))
        assert "no InferenceWorkload owns this object" in refused.message

    def test_includes_making_changing_and_deleting_children(self, api: Api, home: str, workload: Object) -> None:
        account = operator(api)
        document = deployment("child", home, owner=workload)
        stored = account.apply_object(document, "berthmaster")
        scaled = {key: document[key] for key in ("apiVersion", "kind")}
        scaled |= {"metadata": {"name": "child", "namespace": home}, "spec": {"replicas": 2}}
        assert account.apply_object(scaled, "berthmaster-autoscaler")["spec"]["replicas"] == 2
        account.delete(path(stored), propagationPolicy="Background")

    def test_is_nobody_elses_business(self, api: Api, home: str) -> None:
        api.create(f"/api/v1/namespaces/{home}/configmaps", {"metadata": {"name": "anybodys"}})
        api.delete(f"/api/v1/namespaces/{home}/configmaps/anybodys")


def from_image(reference: str) -> Object:
    variant = {"precision": "fp16", "source": {"image": {"reference": reference, "path": "model"}}}
    return {"model": {"preset": "resnet50", "backend": "onnxruntime", "variants": [variant]}}


class TestThePlatformsLimits:
    @pytest.mark.parametrize(
        ("spec", "said"),
        [
            ({"replicas": {"maximum": 11}}, "spec.replicas.maximum: the platform allows at most 10, and it is 11"),
            ({}, "spec.replicas.maximum: the platform allows at most 10, and it is 20"),  # the default
            (
                from_image("docker.io/somebody/model:1"),
                "spec.model.variants[].source.image.reference: the platform allows images whose name begins with "
                "registry.example.com/models/ or registry.example.com/llama:",
            ),
            (from_image("registry.example.com.evil.example/models/a:1"), "source.image.reference: the platform allows"),
            (from_image("registry.example.com/llama-of-mine:1"), "source.image.reference: the platform allows"),
            (
                {"serving": {"priorityClassName": "system-node-critical"}},
                "spec.serving.priorityClassName: the platform allows serving, serving-low",
            ),
        ],
        ids=["replicas", "replicas by default", "image", "longer host", "longer name", "priority class"],
    )  # fmt: skip
    def test_refuse_what_is_beyond_them_by_its_field(self, api: Api, home: str, spec: Object, said: str) -> None:
        beyond = operator_stories.workload("beyond", home, **({"replicas": {"maximum": 10}} if spec else {}) | spec)
        refused = refusal(lambda: api.create(WORKLOADS.format(home), beyond))
        assert refused.status == 422
        assert said in refused.message

    @pytest.mark.parametrize(
        "spec",
        [
            {"replicas": {"maximum": 10}},
            from_image("registry.example.com/models/resnet:1"),
            from_image("registry.example.com/llama:fp16"),
            {"serving": {"priorityClassName": "serving-low"}},
            {"serving": {"resources": {"requests": {"cpu": "1"}}}},
        ],
        ids=["replicas", "image below", "image named", "priority class", "no priority class"],
    )
    def test_accept_what_is_within_them(self, api: Api, home: str, spec: Object) -> None:
        within = operator_stories.workload("within", home, **{"replicas": {"maximum": 10}} | spec)
        api.create(WORKLOADS.format(home), within)

    def test_bind_an_update_too(self, api: Api, home: str) -> None:
        within = operator_stories.workload("within", home, replicas={"maximum": 10})
        at = f"{WORKLOADS.format(home)}/{api.create(WORKLOADS.format(home), within)['metadata']['name']}"
        refused = refusal(lambda: api.patch(at, {"spec": {"replicas": {"maximum": 11}}}))
        assert "the platform allows at most 10" in refused.message

    def test_leave_a_workload_from_before_them_alone_until_its_spec_changes(self, api: Api, home: str) -> None:
        """It can be labelled, gets its status and can go; what is wrong is said when somebody edits it."""
        binding = f"{POLICIES[:-3]}ybindings/{RELEASE}-limits"
        limits = api.get(binding)
        at = f"{WORKLOADS.format(home)}/before"
        api.delete(binding)
        try:
            old = operator_stories.workload("before", home, replicas={"maximum": 100})
            diagnosis.wait_until(lambda: api.create(WORKLOADS.format(home), old), api, what="a workload beyond limits")
        finally:
            restored = {key: limits[key] for key in ("apiVersion", "kind", "spec")}
            api.create(binding.rpartition("/")[0], {**restored, "metadata": {"name": f"{RELEASE}-limits"}})
        edit = {"spec": {"traffic": {"requestsPerSecond": 300}}}
        diagnosis.wait_until(lambda: stopped(lambda: api.patch(f"{at}?dryRun=All", edit)), api, what="the limits")
        api.patch(at, {"metadata": {"labels": {"team": "vision"}, "finalizers": ["example.com/hold"]}})
        api.delete(at, propagationPolicy="Foreground")
        api.patch(at, {"metadata": {"finalizers": None}})
        diagnosis.wait_until(lambda: not api.exists(at), api, what="the workload to go")


def test_the_api_server_finds_nothing_to_warn_about_in_the_policies(api: Api) -> None:
    """It checks the types of what each expression reads, and says so in the status."""

    def checked() -> dict[str, Any]:
        found = {each["metadata"]["name"]: each.get("status", {}) for each in api.items(POLICIES)}
        return found if all("typeChecking" in status for status in found.values()) else {}

    warned = {name: status["typeChecking"].get("expressionWarnings", [])
              for name, status in diagnosis.wait_until(checked, api).items()}  # fmt: skip
    assert warned == {f"{RELEASE}-limits": [], f"{RELEASE}-memory": [], f"{RELEASE}-reach": []}
