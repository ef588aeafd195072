"""Children belong to their workload: Kubernetes deletes them with it, and nobody else's object is ever adopted."""

from typing import Any

from berth_operator.api.v1alpha1 import InferenceWorkload


def owner_references(workload: InferenceWorkload) -> list[dict[str, Any]]:
    """One controlling owner; none for a workload that only exists in a file and has no uid."""
    if not workload.metadata.uid:
        return []
    return [
        {
            "apiVersion": workload.api_version,
            "kind": workload.kind,
            "name": workload.metadata.name,
            "uid": workload.metadata.uid,
            "controller": True,
            "blockOwnerDeletion": True,
        }
    ]


def child_metadata(
    workload: InferenceWorkload,
    name: str,
    labels: dict[str, str],
    annotations: dict[str, str] | None = None,
) -> dict[str, Any]:
    """``metadata`` of a child in its owner's namespace."""
    metadata: dict[str, Any] = {"name": name, "namespace": workload.metadata.namespace, "labels": labels}
    if annotations:
        metadata["annotations"] = annotations
    if owners := owner_references(workload):
        metadata["ownerReferences"] = owners
    return metadata
