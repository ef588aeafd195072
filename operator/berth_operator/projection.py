"""What the mirror keeps of each kind: the fields that somebody reads, in their Kubernetes shape, and nothing else.

A projection leaves out what changes all the time and decides nothing (heartbeats, managed fields, most of a status),
so that "the projection changed" means "something that matters changed". Tens of thousands of pods fit into memory.
"""

from collections.abc import Callable, Mapping
from typing import Any

from berth_operator import kinds
from berth_operator.kinds import Kind
from berth_operator.labels import APP_INSTANCE, APP_NAME, GPU_SPECIFICATION, GROUP, MANAGED_BY, MANAGER

Object = dict[str, Any]

_GPU = "nvidia.com/"
_FINISHED = ("Succeeded", "Failed")
_POD_REASONS = ("Ready", "PodScheduled")


def project(kind: Kind, thing: Mapping[str, Any]) -> Object | None:
    """The projection of ``thing``; None where nobody asks for it (a finished pod, a foreign pod without a node)."""
    found = _PROJECTIONS.get(kind, _child)(thing)
    return None if found is None else {"apiVersion": kind.api_version, "kind": kind.name, **found}


def _metadata(thing: Mapping[str, Any], *more: str) -> Object:
    names = ("name", "namespace", "uid", "generation", "deletionTimestamp", *more)
    found = thing.get("metadata") or {}
    return {name: found[name] for name in names if found.get(name) is not None}


def _pick(thing: Mapping[str, Any], *names: str) -> Object:
    return {name: thing[name] for name in names if thing.get(name) is not None}


def _custom(thing: Mapping[str, Any]) -> Object:
    """Of our own kinds everything but managed fields and what kubectl leaves in annotations."""
    metadata = _metadata(thing, "creationTimestamp")
    return {"metadata": metadata, "spec": thing.get("spec") or {}, "status": thing.get("status") or {}}


def _node(thing: Mapping[str, Any]) -> Object:
    status = thing.get("status") or {}
    ready = [_pick(c, "type", "status") for c in status.get("conditions") or () if c.get("type") == "Ready"]
    metadata = _metadata(thing, "labels")
    probed = _pick((thing.get("metadata") or {}).get("annotations") or {}, GPU_SPECIFICATION)
    if probed:
        metadata["annotations"] = probed
    return {
        "metadata": metadata,
        "spec": _pick(thing.get("spec") or {}, "taints", "unschedulable", "providerID"),
        "status": _pick(status, "allocatable", "capacity") | {"conditions": ready},
    }


def _pod(thing: Mapping[str, Any]) -> Object | None:
    spec, status = thing.get("spec") or {}, thing.get("status") or {}
    ours = is_ours(thing)
    if status.get("phase") in _FINISHED or not (ours or spec.get("nodeName")):
        return None
    metadata = _metadata(thing)
    if ours:
        metadata = _metadata(thing, "creationTimestamp")
        own = (thing.get("metadata") or {}).get("labels") or {}
        metadata["labels"] = _own_labels(thing) | _pick(own, APP_INSTANCE)
    kept = _pick(spec, "nodeName", "overhead")
    kept["containers"] = [_pick(c, "resources") for c in spec.get("containers") or ()]
    before = [_pick(c, "resources", "restartPolicy") for c in spec.get("initContainers") or ()]
    kept |= {"initContainers": before} if before else {}
    return {"metadata": metadata, "spec": kept, "status": _pod_status(status) if ours else _pick(status, "phase")}


def _pod_status(status: Mapping[str, Any]) -> Object:
    """Of our pods also why they do not run: it ends up in the workload's conditions."""
    conditions = [
        _pick(c, "type", "status", "reason", "message", "lastTransitionTime")
        for c in status.get("conditions") or ()
        if c.get("type") in _POD_REASONS
    ]
    waiting = [
        _pick(c, "name", "restartCount") | {"state": {"waiting": _pick(c["state"]["waiting"], "reason", "message")}}
        for c in status.get("containerStatuses") or ()
        if (c.get("state") or {}).get("waiting")
    ]
    return _pick(status, "phase") | {"conditions": conditions, "containerStatuses": waiting}


def _claim(thing: Mapping[str, Any]) -> Object:
    return {
        "metadata": _metadata(thing),
        "spec": _pick(thing.get("spec") or {}, "accessModes", "volumeName", "storageClassName"),
        "status": _pick(thing.get("status") or {}, "phase", "accessModes"),
    }


def _volume(thing: Mapping[str, Any]) -> Object:
    spec = thing.get("spec") or {}
    return {
        "metadata": _metadata(thing, "labels"),
        "spec": _pick(spec, "accessModes", "nodeAffinity", "claimRef", "storageClassName"),
        "status": _pick(thing.get("status") or {}, "phase"),
    }


def _deployment(thing: Mapping[str, Any]) -> Object:
    status = thing.get("status") or {}
    conditions = [
        _pick(c, "type", "status", "reason", "message", "lastTransitionTime") for c in status.get("conditions") or ()
    ]
    counts = ("observedGeneration", "replicas", "readyReplicas", "availableReplicas", "updatedReplicas")
    return _child(thing) | {
        "spec": _pick(thing.get("spec") or {}, "replicas"),
        "status": _pick(status, *counts) | {"conditions": conditions},
    }


def _service(thing: Mapping[str, Any]) -> Object:
    return _child(thing) | {"spec": _pick(thing.get("spec") or {}, "selector")}


def _child(thing: Mapping[str, Any]) -> Object:
    metadata = _metadata(thing, "ownerReferences")
    annotations = (thing.get("metadata") or {}).get("annotations") or {}
    metadata["labels"] = _own_labels(thing)
    metadata["annotations"] = {name: text for name, text in annotations.items() if name.startswith(f"{GROUP}/")}
    return {"metadata": metadata}


def _own_labels(thing: Mapping[str, Any]) -> dict[str, str]:
    found = (thing.get("metadata") or {}).get("labels") or {}
    return {
        name: text for name, text in found.items() if name.startswith(f"{GROUP}/") or name in (MANAGED_BY, APP_NAME)
    }


def is_ours(thing: Mapping[str, Any]) -> bool:
    """Whether the object says that Berthmaster manages it."""
    return ((thing.get("metadata") or {}).get("labels") or {}).get(MANAGED_BY) == MANAGER


def asks_for_gpu(pod: Mapping[str, Any]) -> bool:
    """Whether any container of a pod asks for a GPU or a slice of one."""
    return any(
        name.startswith(_GPU)
        for container in (pod.get("spec") or {}).get("containers") or ()
        for name in (container.get("resources") or {}).get("limits") or ()
    )


def has_gpus(node: Mapping[str, Any]) -> bool:
    """Whether a node offers GPUs or slices of them."""
    status = node.get("status") or {}
    return any(name.startswith(_GPU) for name in status.get("allocatable") or status.get("capacity") or ())


_PROJECTIONS: dict[Kind, Callable[[Mapping[str, Any]], Object | None]] = {
    kinds.WORKLOAD: _custom,
    kinds.POOL: _custom,
    kinds.NODE: _node,
    kinds.POD: _pod,
    kinds.CLAIM: _claim,
    kinds.VOLUME: _volume,
    kinds.DEPLOYMENT: _deployment,
    kinds.SERVICE: _service,
}
