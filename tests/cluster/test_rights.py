"""The operator has the rights that it needs and no other: all its work under the chart's account, with an audit log."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

import audit
import cache
import monitoring
import operator_stories
from audit import Grant, Request
from cluster import RELEASE, SYSTEM_NAMESPACE, LocalCluster
from kube_api import Api, ApiError, Object, condition

EXAMPLES = cache.REPOSITORY / "examples"
NAMESPACES = ["chat", "search", "vision"]
"""Of the examples."""
ACCOUNT = f"system:serviceaccount:{SYSTEM_NAMESPACE}:{RELEASE}"
WORKLOADS = "/apis/berthmaster.dev/v1alpha1/inferenceworkloads"
TINY = "/apis/berthmaster.dev/v1alpha1/namespaces/vision/inferenceworkloads/tiny"
ELSEWHERE = "/apis/berthmaster.dev/v1alpha1/namespaces/default/inferenceworkloads"
SHARED = {
    "ServiceAccount": "/api/v1/namespaces/vision/serviceaccounts",
    "Service": "/api/v1/namespaces/vision/services",
    "PodDisruptionBudget": "/apis/policy/v1/namespaces/vision/poddisruptionbudgets",
    "NetworkPolicy": "/apis/networking.k8s.io/v1/namespaces/vision/networkpolicies",
    "PodMonitor": f"{monitoring.VERSION}/namespaces/vision/podmonitors",
}
"""Where the children of ``tiny`` are that it has once, by kind."""

QUICK: Object = {"planning": {"idleSeconds": 0.2, "longestSeconds": 2}, "platform": {"drainSeconds": 2}}


@dataclass(frozen=True)
class Exercised:
    """What the operator was granted, and what it asked for."""

    grants: list[Grant]
    requests: list[Request]
    watched: list[str]
    """Namespaces that the chart was told to watch; empty: all."""
    elsewhere: Object
    """A workload in none of these namespaces, at the end."""


@pytest.fixture(scope="module", params=[[], NAMESPACES], ids=["in all namespaces", "in some namespaces"])
def exercised(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exercised]:
    """The examples from nothing to their end, and what happens to them in between."""
    with LocalCluster(tmp_path_factory.mktemp("cluster"), real_triton=0, audit=True) as cluster:
        monitoring.install(cluster.api)
        cluster.run("kubectl", "apply", "-f", str(EXAMPLES / "namespaces.yaml"))
        values: Object = {"watchNamespaces": request.param, "settings": QUICK}
        cluster.install_operator(values)
        try:
            live_through_it(cluster, values)
        except AssertionError as stuck:
            asked = audit.requests(cluster.control_plane.audit_log, ACCOUNT)
            raise AssertionError(f"it stops where it is refused:\n{lines(refusals(asked))}") from stuck
        cluster.install_operator({**values, "replicas": 0})  # a watch is in the log once it has ended
        cluster.wait_until(lambda: not cluster.api.items(f"/api/v1/namespaces/{SYSTEM_NAMESPACE}/pods"))
        grants = audit.grants(cluster.api, SYSTEM_NAMESPACE, RELEASE)
        asked = audit.requests(cluster.control_plane.audit_log, ACCOUNT)
        yield Exercised(grants, asked, request.param, cluster.api.get(f"{ELSEWHERE}/resnet"))


def live_through_it(cluster: LocalCluster, values: Object) -> None:
    """Everything that makes the operator act, each step waited for."""
    api = cluster.api
    cluster.run("kubectl", "apply", "-f", str(EXAMPLES))
    api.create(ELSEWHERE, operator_stories.workload("resnet", "default"))
    cluster.wait_until(lambda: settled(api, workloads=7), timeout_seconds=60, what="the examples")

    ledger = f"/api/v1/namespaces/{SYSTEM_NAMESPACE}/configmaps/{RELEASE}-spending"
    cluster.wait_until(lambda: api.exists(ledger), timeout_seconds=90, what="the ledger of what has a budget")

    before = api.get(TINY)["status"]["revision"]
    api.patch(TINY, {"spec": {"serving": {"resources": {"requests": {"cpu": "1500m"}}}}})
    cluster.wait_until(lambda: moved(api, before), timeout_seconds=60, what="another revision of tiny")

    for desired in (2, 1):
        api.patch(TINY, {"spec": {"autoscaling": {"mode": "External"}, "replicas": {"minimum": 1, "desired": desired}}})
        cluster.wait_until(
            lambda count=desired: ready_pods(api) == count, timeout_seconds=60, what=f"{desired} of tiny"
        )

    strays = [stray(api, kind) for kind in SHARED]
    cluster.wait_until(lambda: not any(map(api.exists, strays)), what="the removal of children that nothing needs")

    name = api.items("/apis/apps/v1/namespaces/vision/deployments")[0]["metadata"]["name"]
    api.delete(f"/apis/apps/v1/namespaces/vision/deployments/{name}", propagationPolicy="Background")
    cluster.wait_until(lambda: settled(api, workloads=7), timeout_seconds=60, what="what was deleted to be there again")

    api.delete("/api/v1/nodes/h100-sxm-1")
    api.patch("/apis/berthmaster.dev/v1alpha1/gpupools/l4", {"spec": {"price": {"usdPerNodeHour": "9"} | NO_LOOKUP}})
    cluster.wait_until(lambda: priced(api, "l4") == "9", what="the new price in the pool's status")

    cluster.install_operator({**values, "settings": {**QUICK, "platform": {"networkPolicies": False}}})
    policies = "/apis/networking.k8s.io/v1/namespaces/vision/networkpolicies"
    cluster.wait_until(lambda: not api.items(policies), timeout_seconds=60, what="the end of all network policies")

    api.delete(TINY)
    cluster.wait_until(lambda: not api.exists(f"{SHARED['Service']}/tiny"), what="the end of tiny")


NO_LOOKUP = {"cloud": None, "region": None, "instanceType": None, "term": None}
"""In a merge patch: the price is stated, so it is not looked up."""


def settled(api: Api, *, workloads: int) -> bool:
    """Every workload is ready, or a person is needed."""
    found = [each for each in api.items(WORKLOADS) if each["metadata"]["namespace"] in NAMESPACES]
    return len(found) == workloads and all(
        any(condition(each, kind).get("status") == "True" for kind in ("Ready", "Stalled"))
        and each["status"]["observedGeneration"] == each["metadata"]["generation"]
        for each in found
    )


def moved(api: Api, before: str) -> bool:
    """Another revision of tiny serves, and nothing is left of the one before."""
    status = api.get(TINY)["status"]
    query = f"labelSelector=berthmaster.dev%2Frevision%3D{before}"
    left = api.items(f"/api/v1/namespaces/vision/configmaps?{query}")
    ready = condition({"status": status}, "Ready").get("status") == "True"
    return ready and status["revision"] != before and not left


def ready_pods(api: Api) -> int:
    """Of tiny: pods that run, none on its way out, and ready as its status says."""
    pods = api.items("/api/v1/namespaces/vision/pods?labelSelector=berthmaster.dev%2Fworkload%3Dtiny")
    status = api.get(TINY)["status"]
    settled = condition({"status": status}, "Ready").get("status") == "True"
    return len(pods) if settled and status.get("readyReplicas") == len(pods) else 0


def stray(api: Api, kind: str) -> str:
    """The path of a child of tiny that an earlier release could have made, under a name that this one does not use."""
    path = SHARED[kind]
    found = api.get(f"{path}/tiny")
    document: Object = {each: copy.deepcopy(found[each]) for each in ("apiVersion", "kind", "spec") if each in found}
    document["metadata"] = {key: found["metadata"][key] for key in ("labels", "annotations", "ownerReferences")}
    document["metadata"]["name"] = "tiny-earlier"
    for assigned in ("clusterIP", "clusterIPs"):
        document.get("spec", {}).pop(assigned, None)
    api.create(path, document)
    return f"{path}/tiny-earlier"


def priced(api: Api, pool: str) -> Any:
    status = api.get(f"/apis/berthmaster.dev/v1alpha1/gpupools/{pool}").get("status", {})
    return status.get("price", {}).get("usdPerNodeHour")


def refusals(requests: list[Request]) -> list[Request]:
    """One of each kind."""
    return list({each.right: each for each in requests if each.code == 403}.values())


def lines(what: list[Any]) -> str:
    return "\n".join(f"  {each}" for each in what)


class TestTheChartsRights:
    def test_are_all_used(self, exercised: Exercised) -> None:
        unused = [each for each in exercised.grants if not any(map(each.covers, exercised.requests))]
        assert not unused, f"granted, and never used:\n{lines(unused)}"

    def test_are_enough(self, exercised: Exercised) -> None:
        refused = refusals(exercised.requests)
        assert not refused, f"refused:\n{lines(refused)}"

    def test_are_there_for_everything_that_was_asked_for(self, exercised: Exercised) -> None:
        """No request was let through by a right that comes from elsewhere, as from a group."""
        foreign = [each for each in exercised.requests if not any(grant.covers(each) for grant in exercised.grants)]
        assert not foreign, f"answered without a grant of the chart:\n{lines(foreign)}"

    def test_reach_the_namespaces_that_are_looked_after(self, exercised: Exercised) -> None:
        written = {each.namespace for each in exercised.requests if each.right.resource == "inferenceworkloads/status"}
        assert written == {*NAMESPACES, *([] if exercised.watched else ["default"])}
        assert bool(exercised.elsewhere.get("status")) is not bool(exercised.watched)


class TestWhatAnApplyTakes:
    """Why a request to apply counts as two rights in the tests above."""

    def test_making_an_object_takes_the_right_to_create_it_beside_the_right_to_patch_it(
        self, api: Api, namespace: str
    ) -> None:
        bare = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "made", "namespace": namespace}}
        limited = account(api, namespace, "patches", ["patch"])
        with pytest.raises(ApiError, match="cannot create resource"):
            limited.apply_object(bare)
        account(api, namespace, "creates", ["patch", "create"]).apply_object(bare)
        limited.apply_object({**bare, "data": {"changed": "now"}})


def account(api: Api, namespace: str, name: str, verbs: list[str]) -> Api:
    """The API as seen by a new ServiceAccount with these rights on ConfigMaps."""
    core, rbac = f"/api/v1/namespaces/{namespace}", f"{audit.RBAC}/namespaces/{namespace}"
    api.create(f"{core}/serviceaccounts", {"metadata": {"name": name}})
    rule = {"apiGroups": [""], "resources": ["configmaps"], "verbs": verbs}
    api.create(f"{rbac}/roles", {"metadata": {"name": name}, "rules": [rule]})
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}
    subject = {"kind": "ServiceAccount", "name": name, "namespace": namespace}
    api.create(f"{rbac}/rolebindings", {"metadata": {"name": name}, "roleRef": role, "subjects": [subject]})
    return api.as_token(token(api, namespace, name))


def token(api: Api, namespace: str, name: str) -> str:
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest"}
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
    found: str = api.create(path, request)["status"]["token"]
    return found
