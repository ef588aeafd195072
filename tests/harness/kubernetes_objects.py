"""Small Kubernetes objects as plain dicts, for tests of what is read from them."""

import json
from typing import Any

Object = dict[str, Any]

L4_LABELS = {
    "nvidia.com/gpu.product": "NVIDIA-L4",
    "nvidia.com/gpu.memory": "23034",
    "nvidia.com/gpu.count": "1",
    "karpenter.sh/capacity-type": "on-demand",
    "node.kubernetes.io/instance-type": "g6.xlarge",
    "topology.kubernetes.io/region": "us-east-1",
    "topology.kubernetes.io/zone": "us-east-1a",
}


def workload(name: str = "resnet", namespace: str = "vision", **spec: Any) -> Object:
    """ResNet-50 at 200/s within 50 ms; ``spec`` replaces members."""
    stated: Object = {
        "model": {"preset": "resnet50", "variants": [variant("fp16")]},
        "traffic": {"requestsPerSecond": 200},
        "objectives": {"latency": {"p99Milliseconds": 50}},
    }
    return _custom("InferenceWorkload", {"name": name, "namespace": namespace}, stated | spec)


def variant(precision: str, claim: str = "models", **more: Any) -> Object:
    return {"precision": precision, "source": {"persistentVolumeClaim": {"claimName": claim, "path": "m"}}, **more}


def pool(name: str = "l4", **spec: Any) -> Object:
    """L4 nodes of nodepool l4 at one dollar; ``spec`` replaces members, None removes them."""
    stated: Object = {
        "gpu": "L4",
        "nodeSelector": {"karpenter.sh/nodepool": "l4"},
        "gpusPerNode": 1,
        "price": {"usdPerNodeHour": "1"},
    }
    return _custom("GPUPool", {"name": name}, {k: v for k, v in (stated | spec).items() if v is not None})


def _custom(kind: str, metadata: Object, spec: Object) -> Object:
    return {"apiVersion": "berthmaster.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}


def node(name: str = "n1", *, labels: dict[str, Any] | None = None, gpus: Any = 1, **allocatable: Any) -> Object:
    """A ready L4 node with 4 cores and 16 GiB; ``labels`` are added, a value of None removes one."""
    merged = {**L4_LABELS, **(labels or {})}
    resources = {"cpu": "4", "memory": "16Gi", "nvidia.com/gpu": gpus} | allocatable
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {k: v for k, v in merged.items() if v is not None}},
        "spec": {},
        "status": {
            "allocatable": resources,
            "capacity": dict(resources),
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }


def pod(name: str, on: str | None, *, labels: dict[str, str] | None = None, **requests: Any) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "vision", "labels": labels or {}},
        "spec": {"nodeName": on, "containers": [{"resources": {"requests": requests}}]},
        "status": {"phase": "Running"},
    }


def claim(
    name: str = "models", namespace: str = "vision", *, modes: tuple[str, ...] = ("ReadOnlyMany",), **spec: Any
) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"accessModes": list(modes), **spec},
        "status": {"phase": "Bound", "accessModes": list(modes)},
    }


def config_map(name: str, namespace: str = "vision", **data: str) -> Object:
    """``data`` by key, with ``_`` in place of the dot before its suffix: ``points_jsonl``."""
    stated = {key.replace("_", "."): text for key, text in data.items()}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace},
        "data": stated,
    }


def run(batch: int, seconds: float, **changed: Any) -> str:
    """One line: ResNet-50 on an L4 behind ONNX Runtime took ``seconds`` for a batch; ``changed`` replaces members."""
    stated: Object = {
        "id": f"b{batch}",
        "model": {"name": "resnet50", "dense": {}},
        "hardware": {"gpu": "L4"},
        "precision": "fp16",
        "engine": {"name": "onnxruntime", "version": "1.20"},
        "load": {"kind": "batch", "batchSize": batch},
        "observed": {"latencySeconds": {"mean": seconds}},
    }
    return json.dumps(stated | changed)


def measured_from(name: str = "points", key: str = "points.jsonl") -> Object:
    return {"measuredFrom": {"configMapKeyRef": {"name": name, "key": key}}}


def volume(name: str, key: str, *values: str) -> Object:
    """A volume that can be reached from nodes whose label ``key`` is one of ``values``."""
    term = {"matchExpressions": [{"key": key, "operator": "In", "values": list(values)}]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {"nodeAffinity": {"required": {"nodeSelectorTerms": [term]}}},
    }


BERTH = {
    "pool": "l4",
    "gpu": "L4",
    "sharing": "Exclusive",
    "migProfile": None,
    "capacityType": "OnDemand",
    "precision": "fp16",
    "tensorParallel": 1,
    "gpusPerReplica": 1.0,
    "instancesPerGPU": 1,
    "maximumBatchSize": 8,
    "maximumQueueDelayMicroseconds": 0,
}
"""What the annotation on a Deployment says, without replicas."""


def child_labels(revision: str, owner: str = "resnet") -> dict[str, str]:
    return {
        "app.kubernetes.io/managed-by": "berthmaster",
        "berthmaster.dev/workload": owner,
        "berthmaster.dev/revision": revision,
    }


def deployment(
    name: str, revision: str, *, owner: str = "resnet", replicas: int = 2, berth: str | None = None
) -> Object:
    """A Deployment of ours with one ready replica, made for the planning hash ``hash-<revision>``."""
    annotations = {
        "berthmaster.dev/berth": json.dumps(BERTH) if berth is None else berth,
        "berthmaster.dev/planned-for": f"hash-{revision}",
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": name,
            "namespace": "vision",
            "labels": child_labels(revision, owner),
            "annotations": annotations,
        },
        "spec": {"replicas": replicas},
        "status": {"readyReplicas": 1},
    }


def service(revision: str, owner: str = "resnet") -> Object:
    """The Service that selects the serving revision."""
    labels = child_labels(revision, owner)
    selector = {key: labels[key] for key in ("berthmaster.dev/workload", "berthmaster.dev/revision")}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": owner, "namespace": "vision", "labels": labels},
        "spec": {"selector": selector},
    }
