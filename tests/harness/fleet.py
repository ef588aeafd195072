"""GPU nodes as API objects, labelled as the clouds label theirs (GPU Feature Discovery, Karpenter, EKS, GKE)."""

import dataclasses
from collections.abc import Mapping

from kube_api import Api, Object, timestamp, until

GPU_TAINT = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}
SPOT_TAINT = {"key": "cloud.google.com/gke-spot", "value": "true", "effect": "NoSchedule"}


@dataclasses.dataclass(frozen=True)
class NodeKind:
    """One kind of node: what it offers, and what its labels say (which may be wrong, as in life)."""

    name: str
    cpu: str
    memory: str
    gpus: int = 0
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    mig: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """Slices by profile, of the whole node: with MIG strategy *mixed* the GPUs themselves are then not offered."""
    taints: tuple[Mapping[str, str], ...] = ()


def discovered(product: str, count: int, memory_mib: int, compute: str, family: str, **more: str) -> dict[str, str]:
    """The labels of GPU Feature Discovery (k8s-device-plugin 0.20) for one node."""
    major, minor = compute.split(".")
    stated = {
        "present": "true", "product": product, "count": str(count), "memory": str(memory_mib), "family": family,
        "compute.major": major, "compute.minor": minor, "replicas": "1", "sharing-strategy": "none",
    }  # fmt: skip
    return {f"nvidia.com/gpu.{name}": value for name, value in stated.items()} | {
        f"nvidia.com/{name.replace('_', '.')}": value for name, value in more.items()
    }


def placed(zone: str, instance_type: str) -> dict[str, str]:
    return {
        "topology.kubernetes.io/zone": zone,
        "topology.kubernetes.io/region": zone.rstrip("abc").rstrip("-"),
        "node.kubernetes.io/instance-type": instance_type,
    }


SYSTEM = NodeKind("system", cpu="8", memory="32Gi", labels=placed("us-east-1a", "m7i.2xlarge"))

T4_EKS = NodeKind(
    "t4-eks", cpu="4", memory="16Gi", gpus=1, taints=(GPU_TAINT,),
    labels=discovered("Tesla-T4", 1, 15360, "7.5", "turing")
    | placed("us-east-1a", "g4dn.xlarge")
    | {"eks.amazonaws.com/capacityType": "ON_DEMAND", "eks.amazonaws.com/nodegroup": "gpu-t4"},
)  # fmt: skip

L4_GKE = NodeKind(
    "l4-gke", cpu="8", memory="32Gi", gpus=1, taints=(GPU_TAINT,),
    labels=discovered("NVIDIA-L4", 1, 23034, "8.9", "ada-lovelace")
    | placed("us-east1-b", "g2-standard-8")
    | {"cloud.google.com/gke-accelerator": "nvidia-l4", "cloud.google.com/gke-nodepool": "l4"},
)  # fmt: skip

L4_GKE_SPOT = dataclasses.replace(
    L4_GKE, name="l4-gke-spot", taints=(GPU_TAINT, SPOT_TAINT),
    labels={**L4_GKE.labels, "cloud.google.com/gke-nodepool": "l4-spot", "cloud.google.com/gke-spot": "true"},
)  # fmt: skip

L40S_KARPENTER = NodeKind(
    "l40s-karpenter", cpu="16", memory="128Gi", gpus=1, taints=(GPU_TAINT,),
    labels=discovered("NVIDIA-L40S", 1, 46068, "8.9", "ada-lovelace")
    | placed("us-east-1b", "g6e.4xlarge")
    | {
        "karpenter.sh/nodepool": "l40s", "karpenter.sh/capacity-type": "on-demand",
        "karpenter.k8s.aws/instance-gpu-name": "l40s", "karpenter.k8s.aws/instance-gpu-count": "1",
        "karpenter.k8s.aws/instance-gpu-memory": "49152",
    },
)  # fmt: skip

A100_MIG = NodeKind(
    "a100-mig", cpu="96", memory="1152Gi", mig={"1g.10gb": 7}, taints=(GPU_TAINT,),
    labels=discovered(
        "NVIDIA-A100-SXM4-80GB", 1, 81920, "8.0", "ampere",
        mig_capable="true", mig_strategy="mixed", **{"mig-1g.10gb_count": "7", "mig-1g.10gb_memory": "9728"},
    )
    | placed("us-east-1a", "p4de.24xlarge")
    | {"nvidia.com/mig.config": "all-1g.10gb", "nvidia.com/mig.config.state": "success"},
)  # fmt: skip

H100_SXM = NodeKind(
    "h100-sxm", cpu="192", memory="2Ti", gpus=8, taints=(GPU_TAINT,),
    labels=discovered("NVIDIA-H100-80GB-HBM3", 8, 81559, "9.0", "hopper", mig_capable="true", mig_strategy="none")
    | placed("us-east-1c", "p5.48xlarge")
    | {"karpenter.sh/nodepool": "h100", "karpenter.sh/capacity-type": "on-demand"},
)  # fmt: skip

NAMELESS_GPU = NodeKind("nameless", cpu="8", memory="32Gi", gpus=1, labels=placed("us-east-1a", "custom"))
"""GPUs, and not one label that says which: feature discovery is not installed."""

GARBLED = NodeKind(
    "garbled", cpu="8", memory="32Gi", gpus=2, taints=(GPU_TAINT,),
    labels=discovered("Graphics-Device", 2, 0, "8.0", "undefined") | {"nvidia.com/gpu.memory": "unknown"},
)  # fmt: skip
"""What feature discovery writes when the driver does not know the board."""

CONTRADICTORY = NodeKind(
    "contradictory", cpu="4", memory="16Gi", gpus=1, taints=(GPU_TAINT,),
    labels=discovered("Tesla-T4", 1, 15360, "7.5", "turing") | {"cloud.google.com/gke-accelerator": "nvidia-l4"},
)  # fmt: skip
"""Two labels that name different GPUs: a node pool that was changed under its old labels."""

DEFAULT_FLEET: tuple[tuple[NodeKind, int], ...] = (
    (SYSTEM, 2), (T4_EKS, 2), (L4_GKE, 3), (L4_GKE_SPOT, 4), (L40S_KARPENTER, 3), (A100_MIG, 1), (H100_SXM, 2),
    (NAMELESS_GPU, 1), (GARBLED, 1), (CONTRADICTORY, 1),
)  # fmt: skip
"""Seven kinds that are as they should be, three that are not."""


def node(kind: NodeKind, number: int = 0, *, name: str = "", **labels: str) -> Object:
    """The node as one document that holds its status too; ``labels`` go on top of the kind's."""
    name = name or f"{kind.name}-{number}"
    resources = {"cpu": kind.cpu, "memory": kind.memory, "pods": "110", "ephemeral-storage": "200Gi"}
    resources |= {"nvidia.com/gpu": str(kind.gpus)} if kind.gpus else {}
    resources |= {f"nvidia.com/mig-{profile}": str(count) for profile, count in kind.mig.items()}
    own = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}
    now = timestamp()
    ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "process kubelet"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {**own, **kind.labels, **labels}},
        "spec": {"taints": [dict(taint) for taint in kind.taints]} if kind.taints else {},
        "status": {
            "capacity": resources,
            "allocatable": resources,
            "conditions": [ready | {"lastHeartbeatTime": now, "lastTransitionTime": now}],
        },
    }


def add(api: Api, fleet: tuple[tuple[NodeKind, int], ...] = DEFAULT_FLEET, *, wait: bool = True) -> list[str]:
    """Make the nodes and wait until pods can be scheduled on them; their names."""
    names = []
    for kind, count in fleet:
        for number in range(count):
            names.append(api.create("/api/v1/nodes", node(kind, number))["metadata"]["name"])
    if wait:
        until(lambda: not any(_newborn(api.get(f"/api/v1/nodes/{name}")) for name in names))
    return names


def _newborn(document: Object) -> bool:
    """Every node is born with a not-ready taint; the controller manager takes it away a moment later."""
    return any(taint["key"].startswith("node.kubernetes.io/") for taint in document["spec"].get("taints", []))
