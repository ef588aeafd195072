"""Every rendered object is accepted by the real API server, in a namespace that enforces restricted pod security."""

from collections.abc import Callable
from typing import Any

import pytest

import render_stories
from kube_api import Api, ApiError

POD_MONITOR = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "podmonitors.monitoring.coreos.com"},
    "spec": {
        "group": "monitoring.coreos.com",
        "scope": "Namespaced",
        "names": {
            "kind": "PodMonitor",
            "plural": "podmonitors",
            "singular": "podmonitor",
            "listKind": "PodMonitorList",
        },
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "required": ["spec"],
                        "properties": {
                            "spec": {
                                "type": "object",
                                "required": ["selector"],
                                "properties": {
                                    "selector": {
                                        "type": "object",
                                        "properties": {
                                            "matchLabels": {
                                                "type": "object",
                                                "additionalProperties": {"type": "string"},
                                            }
                                        },
                                    },
                                    "podTargetLabels": {"type": "array", "items": {"type": "string"}},
                                    "podMetricsEndpoints": {
                                        "type": "array",
                                        "items": {
                                            "type": "object",
                                            "properties": {
                                                "port": {"type": "string"},
                                                "path": {"type": "string"},
                                                "interval": {"type": "string", "pattern": "^[0-9]+s$"},
                                                "honorLabels": {"type": "boolean"},
                                            },
                                        },
                                    },
                                },
                            }
                        },
                    }
                },
            }
        ],
    },
}
"""The names and the part of the Prometheus operator's PodMonitor (v1) that is rendered."""


@pytest.fixture
def with_pod_monitors(api: Api, wait_until: Callable[..., Any]) -> None:
    api.apply_object(POD_MONITOR)
    wait_until(lambda: served(api), what="the PodMonitor API")


def served(api: Api) -> bool:
    """The path of a new kind answers 404 for about two seconds."""
    try:
        kinds = api.get("/apis/monitoring.coreos.com/v1")["resources"]
    except ApiError:
        return False
    return any(each["name"] == "podmonitors" for each in kinds)


def strict_dry_run(api: Api, document: dict[str, Any], namespace: str) -> dict[str, Any]:
    """As the operator applies it, without keeping it: an unknown or duplicate field is an error."""
    moved = {**document, "metadata": {**document["metadata"], "namespace": namespace}}
    return api.patch(
        f"{api.path_of(moved)}?fieldManager=berthmaster&force=true&dryRun=All&fieldValidation=Strict",
        moved,
        "application/apply-patch+yaml",
    )


def kept(stored: Any, rendered: Any, path: str) -> None:
    """Everything that was rendered is in what the server would store, unchanged but for the spelling of quantities."""
    if isinstance(rendered, dict):
        for key, value in rendered.items():
            if value not in ({}, []):
                assert key in stored, f"the server dropped {path}.{key}"
                kept(stored[key], value, f"{path}.{key}")
    elif isinstance(rendered, list):
        assert len(stored) == len(rendered), path
        for i, value in enumerate(rendered):
            kept(stored[i], value, f"{path}[{i}]")
    else:
        assert stored == rendered, path


@pytest.mark.usefixtures("with_pod_monitors")
@pytest.mark.parametrize("name", render_stories.NAMES)
def test_every_object_passes_a_strict_dry_run_under_restricted_pod_security(
    name: str, api: Api, restricted_namespace: str
) -> None:
    rendered = render_stories.story(name).render()
    for document in rendered.objects:
        stored = strict_dry_run(api, document, restricted_namespace)
        if "spec" in document:
            kept(stored["spec"], document["spec"], document["kind"])


@pytest.mark.parametrize("name", render_stories.NAMES)
def test_every_pod_is_admitted_under_restricted_pod_security(name: str, api: Api, restricted_namespace: str) -> None:
    """A Deployment's template is only warned about: it is pods that admission refuses."""
    account = render_stories.story(name).workload.metadata.name
    api.create(
        f"/api/v1/namespaces/{restricted_namespace}/serviceaccounts",
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": account}},
    )
    for deployment in render_stories.story(name).render().deployments:
        template = deployment["spec"]["template"]
        spec = {key: value for key, value in template["spec"].items() if key != "priorityClassName"}
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "one", "labels": template["metadata"]["labels"]},
            "spec": spec,
        }
        api.create(f"/api/v1/namespaces/{restricted_namespace}/pods?dryRun=All&fieldValidation=Strict", pod)


def test_restricted_pod_security_refuses_what_is_not_rendered_so(api: Api, restricted_namespace: str) -> None:
    """So that the test above could fail."""
    template = render_stories.story("vision-resnet").render().deployments[0]["spec"]["template"]
    spec = {**template["spec"], "securityContext": {}, "serviceAccountName": "default"}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "one"}, "spec": spec}
    with pytest.raises(ApiError, match="runAsNonRoot"):
        api.create(f"/api/v1/namespaces/{restricted_namespace}/pods?dryRun=All", pod)


@pytest.mark.usefixtures("with_pod_monitors")
@pytest.mark.parametrize("name", render_stories.NAMES)
def test_applying_again_changes_nothing(name: str, api: Api, namespace: str) -> None:
    """Once defaults have settled an apply keeps the resource version: nothing fights what the server makes of it."""
    rendered = render_stories.story(name).render()
    for document in rendered.objects:
        metadata = {**document["metadata"], "namespace": namespace}
        metadata.pop("ownerReferences", None)  # its owner is not in this cluster, and the collector would delete it
        moved = {**document, "metadata": metadata}
        path = api.path_of(moved)
        applied = [api.apply(path, moved, "berthmaster")["metadata"] for _ in range(3)]
        # Some controllers write a status in between; the generation counts changes of the spec alone.
        has_status = document["kind"] in ("Deployment", "PodDisruptionBudget")
        counter = "generation" if has_status else "resourceVersion"
        assert applied[1][counter] == applied[2][counter], document["kind"]
        assert applied[0].get("generation") == applied[2].get("generation"), document["kind"]
