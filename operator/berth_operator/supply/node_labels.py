"""The vocabulary of node labels: which GPU, how bought, where, which instance type, which cloud.

Labels of GPU feature discovery (k8s-device-plugin v0.20, docs/gpu-feature-discovery/README.md), Karpenter, EKS, GKE,
AKS and CoreWeave, as their documentation had them in 2026-08. Where several say the same thing, the first of each
list counts: who measured the device before who sold the machine.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from berth_scheduler.snapshot import CapacityType

Labels = Mapping[str, str]

GPU_PRODUCT = "nvidia.com/gpu.product"
GPU_MEMORY = "nvidia.com/gpu.memory"
GPU_COUNT = "nvidia.com/gpu.count"
GPU_REPLICAS = "nvidia.com/gpu.replicas"
SHARING_STRATEGY = "nvidia.com/gpu.sharing-strategy"

GPU_AND_MEMORY_LABELS = (
    (GPU_PRODUCT, GPU_MEMORY),
    ("karpenter.k8s.aws/instance-gpu-name", "karpenter.k8s.aws/instance-gpu-memory"),
    ("eks.amazonaws.com/instance-gpu-name", "eks.amazonaws.com/instance-gpu-memory"),
    ("cloud.google.com/gke-accelerator", None),
    ("karpenter.azure.com/sku-gpu-name", None),
    ("gpu.nvidia.com/model", None),
)
"""Label with the GPU's name, label with its memory in MiB."""

INSTANCE_TYPE_LABELS = ("node.kubernetes.io/instance-type", "beta.kubernetes.io/instance-type")
ZONE_LABELS = ("topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone")
REGION_LABELS = ("topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region")

CAPACITY_TYPE_LABELS: tuple[tuple[str, Mapping[str, CapacityType]], ...] = (
    (
        "karpenter.sh/capacity-type",
        {
            "spot": CapacityType.SPOT,
            "on-demand": CapacityType.ON_DEMAND,
            "reserved": CapacityType.RESERVED,
        },
    ),
    (
        "eks.amazonaws.com/capacityType",
        {
            "SPOT": CapacityType.SPOT,
            "ON_DEMAND": CapacityType.ON_DEMAND,
            "CAPACITY_BLOCK": CapacityType.RESERVED,
        },
    ),
    ("cloud.google.com/gke-spot", {"true": CapacityType.SPOT, "false": CapacityType.ON_DEMAND}),
    ("cloud.google.com/gke-preemptible", {"true": CapacityType.SPOT, "false": CapacityType.ON_DEMAND}),
    (
        "cloud.google.com/gke-provisioning",
        {
            "spot": CapacityType.SPOT,
            "preemptible": CapacityType.SPOT,
            "standard": CapacityType.ON_DEMAND,
        },
    ),
    ("kubernetes.azure.com/scalesetpriority", {"spot": CapacityType.SPOT, "regular": CapacityType.ON_DEMAND}),
)

CLOUD_BY_PROVIDER_SCHEME = {"aws": "aws", "gce": "gcp", "azure": "azure"}
"""The scheme of ``spec.providerID``, as ``aws:///us-east-1a/i-0abc``."""
CLOUD_BY_LABEL_DOMAIN = {
    "karpenter.k8s.aws": "aws",
    "eks.amazonaws.com": "aws",
    "cloud.google.com": "gcp",
    "kubernetes.azure.com": "azure",
    "karpenter.azure.com": "azure",
}

ALWAYS_TOLERATED_TAINT = "nvidia.com/gpu"
"""Keeps pods without GPUs off GPU nodes; every replica of ours has a GPU."""
SPOT_TAINTS = frozenset({"cloud.google.com/gke-spot", "kubernetes.azure.com/scalesetpriority"})
"""Set by the cloud on every spot node; tolerated where a discovered pool is spot."""


class Garbled(ValueError):
    """A label is there but says nothing that is known. The message names the label and what is wrong."""


@dataclass(frozen=True, slots=True)
class GPULabel:
    """What a node says about its GPU: the label, its value, and the label that says how much memory it has."""

    key: str
    spelling: str
    memory_key: str | None


def gpu_labels(labels: Labels) -> tuple[GPULabel, ...]:
    """Every word about the GPU, the most trustworthy first."""
    said = ((key, labels.get(key, "").strip(), memory_key) for key, memory_key in GPU_AND_MEMORY_LABELS)
    return tuple(GPULabel(*one) for one in said if one[1])


def memory_mib(labels: Labels, key: str | None) -> float | None:
    """Of the label ``key``; None where it is not there. Raises :class:`Garbled`."""
    text = labels.get(key) if key is not None else None
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()) or len(text) > 8 or int(text) == 0:
        raise Garbled(f"label {key} is {shown(text)}, not a number of MiB")
    return float(text)


def capacity_type_label(labels: Labels) -> tuple[str, CapacityType] | None:
    """The label and how the node is bought; None where no label says it. Raises :class:`Garbled`."""
    for key, meanings in CAPACITY_TYPE_LABELS:
        value = labels.get(key)
        if value is None:
            continue
        if value not in meanings:
            raise Garbled(f"label {key} is {shown(value)} (known: {', '.join(meanings)})")
        return key, meanings[value]
    return None


def first_label(labels: Labels, keys: tuple[str, ...]) -> tuple[str, str] | None:
    """The first of ``keys`` that is there with a value, and the value."""
    return next(((key, labels[key]) for key in keys if labels.get(key)), None)


def cloud_of(provider_id: str | None, labels: Labels) -> str | None:
    """``aws``, ``gcp`` or ``azure``; None where nothing says."""
    scheme = (provider_id or "").partition("://")[0]
    if scheme in CLOUD_BY_PROVIDER_SCHEME:
        return CLOUD_BY_PROVIDER_SCHEME[scheme]
    domains = {key.partition("/")[0] for key in labels}
    clouds = {cloud for domain, cloud in CLOUD_BY_LABEL_DOMAIN.items() if domain in domains}
    return clouds.pop() if len(clouds) == 1 else None


def shown(value: object, longest: int = 40) -> str:
    """A stranger's value inside a message: quoted, cut, and without control characters."""
    text = str(value)
    return repr(text if len(text) <= longest else text[: longest - 1] + "…")
