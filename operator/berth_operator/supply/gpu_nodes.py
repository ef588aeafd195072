"""GPU nodes as a plan needs them: which GPU, how bought, what is free. Total: a garbled node says why it is out."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from math import ceil

from berth_cost.hardware.gpu_catalogue import GPUCatalogue, GPUSpecification, ProductLabel, UnknownGPU
from berth_operator.supply.gpu_annotation import annotated, preferred
from berth_operator.supply.node_labels import (
    GPU_COUNT,
    GPU_PRODUCT,
    GPU_REPLICAS,
    INSTANCE_TYPE_LABELS,
    REGION_LABELS,
    SHARING_STRATEGY,
    ZONE_LABELS,
    Garbled,
    GPULabel,
    capacity_type_label,
    cloud_of,
    first_label,
    gpu_labels,
    memory_mib,
    shown,
)
from berth_operator.supply.pod_requests import NOTHING, Amounts, held_by_node
from berth_operator.supply.taints import Taint, read_taints
from berth_operator.world import Object, annotations_of, items, labels_of, mapping, name_of, text
from berth_scheduler.snapshot import CapacityType, Node

GPU_RESOURCE = "nvidia.com/gpu"
SLICE_PREFIX = "nvidia.com/mig-"

MOST_CORES, MOST_BYTES, MOST_DEVICES = 10_000, 2**50, 1024
"""A node that claims more has a typing error in it; the sums of a plan must stay finite."""


@dataclass(frozen=True, slots=True)
class Purchase:
    """Where and how a node is bought: what the price book is asked with. None: no label says."""

    cloud: str | None
    region: str | None
    instance_type: str | None
    capacity_type: CapacityType | None


InstanceGPU = Callable[[Purchase], str | None]
"""The catalogue name of the GPU of an instance type, from the price book; None where it is not known."""


@dataclass(frozen=True, slots=True)
class Partition:
    """How the GPUs of a node are cut: ``gpus`` in all, ``slices`` by profile in all, ``layout`` by profile per GPU."""

    gpus: int
    slices: Mapping[str, int]
    layout: Mapping[str, int]
    remark: str | None = None


@dataclass(frozen=True, slots=True)
class GPUNode:
    """One node with GPUs whose labels and quantities could be read."""

    node: Node
    labels: Mapping[str, str]
    identity: Mapping[str, str]
    """The labels that tell this kind of node from others, as a node affinity can ask for them."""
    gpu: GPUSpecification | None
    """None where nothing names it: a stated pool may know."""
    partition: Partition
    purchase: Purchase
    allocatable: Amounts
    taints: tuple[Taint, ...]


@dataclass(frozen=True, slots=True)
class UnreadableNode:
    """A node with GPUs that is left out, and why."""

    name: str
    labels: Mapping[str, str]
    why: str


def some(nodes: Sequence[GPUNode | UnreadableNode], most: int = 3) -> str:
    """``node a``, ``nodes a, b``, ``nodes a, b, c and 4 more``."""
    names = sorted(node.node.name if isinstance(node, GPUNode) else node.name for node in nodes)
    listed = ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
    return f"{'nodes' if len(names) > 1 else 'node'} {listed}"


def read_gpu_nodes(
    nodes: Iterable[Object], pods: Iterable[Object], catalogue: GPUCatalogue, instance_gpu: InstanceGPU
) -> tuple[tuple[GPUNode, ...], tuple[UnreadableNode, ...]]:
    """The nodes with GPUs, sorted by name, and those that cannot be read. Nodes without GPUs are left out.

    ``pods`` are those that hold what they request: all but the ones whose place the plan decides anew.
    """
    held = held_by_node(pods)
    readable: dict[str, GPUNode] = {}
    unreadable: dict[str, UnreadableNode] = {}
    for node in nodes:
        name = name_of(node)
        if name is None or not _has_gpus(node):
            continue
        try:
            readable[name] = _read(name, node, held.get(name, NOTHING), catalogue, instance_gpu)
        except Garbled as flaw:
            unreadable[name] = UnreadableNode(name, labels_of(node), str(flaw))
    return tuple(readable[name] for name in sorted(readable)), tuple(unreadable[name] for name in sorted(unreadable))


def _has_gpus(node: Object) -> bool:
    resources = {**mapping(node, "status", "allocatable"), **mapping(node, "status", "capacity")}
    offered = any(
        isinstance(resource, str) and resource.startswith((GPU_RESOURCE, SLICE_PREFIX)) and amount not in ("0", 0)
        for resource, amount in resources.items()
    )
    return offered or bool(labels_of(node).get(GPU_PRODUCT))


def _read(name: str, node: Object, held: Amounts, catalogue: GPUCatalogue, instance_gpu: InstanceGPU) -> GPUNode:
    labels = labels_of(node)
    _refuse_sharing(labels)
    zone, region = first_label(labels, ZONE_LABELS), first_label(labels, REGION_LABELS)
    instance_type, bought = first_label(labels, INSTANCE_TYPE_LABELS), capacity_type_label(labels)
    purchase = Purchase(
        cloud=cloud_of(text(node, "spec", "providerID"), labels),
        region=region[1] if region else None,
        instance_type=instance_type[1] if instance_type else None,
        capacity_type=bought[1] if bought else None,
    )
    said = gpu_labels(labels)
    gpu = _identified(node, said, catalogue, instance_gpu(purchase))
    allocatable = _allocatable(node)
    partition = _partition(gpu, labels, _resources(node, "capacity") or allocatable)
    stated = {said[0].key: labels[said[0].key]} if said else {}
    for found in (instance_type, zone, (bought[0], labels[bought[0]]) if bought else None):
        stated |= dict([found]) if found else {}
    return GPUNode(
        node=Node(
            name=name,
            zone=zone[1] if zone else None,
            usable=_is_usable(node),
            gpus=partition.gpus,
            free_gpus=_free_devices(allocatable, held, GPU_RESOURCE),
            free_slices={profile: _free_devices(allocatable, held, _resource(profile)) for profile in partition.slices},
            free_cpu_cores=float(max(allocatable.cores - held.cores, Decimal(0))),
            free_memory_bytes=int(max(allocatable.memory_bytes - held.memory_bytes, Decimal(0))),
        ),
        labels=labels,
        identity=dict(sorted(stated.items())),
        gpu=gpu,
        partition=partition,
        purchase=purchase,
        allocatable=allocatable,
        taints=read_taints(node),
    )


def _refuse_sharing(labels: Mapping[str, str]) -> None:
    """Time-sliced and MPS nodes offer one GPU several times over, which no memory or latency prediction covers."""
    product = ProductLabel.parse(labels.get(GPU_PRODUCT, ""))
    strategy, replicas = labels.get(SHARING_STRATEGY, "none"), labels.get(GPU_REPLICAS, "1")
    if product.shared or strategy not in ("none", "") or replicas not in ("0", "1"):
        raise Garbled("its GPUs are shared (time-slicing or MPS): only whole GPUs and MIG slices are placed")
    if product.mig_profile is not None:
        raise Garbled(
            f"label {GPU_PRODUCT} is of MIG strategy single, where slices pose as GPUs: set MIG strategy mixed"
        )


def _identified(
    node: Object, said: Sequence[GPULabel], catalogue: GPUCatalogue, instance_gpu: str | None
) -> GPUSpecification | None:
    """By what a probe wrote on the node, else by its labels and the catalogue."""
    labels, probed = labels_of(node), annotated(annotations_of(node))
    if probed is None:
        return _gpu_of(said, labels, catalogue, instance_gpu)
    try:
        by_labels = _gpu_of(said, labels, catalogue, instance_gpu)
    except Garbled:
        by_labels = None  # labels that nobody understands say nothing against the device itself
    return preferred(probed, by_labels, catalogue)


def _gpu_of(
    said: Sequence[GPULabel], labels: Mapping[str, str], catalogue: GPUCatalogue, instance_gpu: str | None
) -> GPUSpecification | None:
    """By the most trustworthy label, which the others must not contradict; without any, by the instance type."""
    if not said:
        found = catalogue.get(instance_gpu) if instance_gpu is not None else None
        return found if isinstance(found, GPUSpecification) else None
    first, *others = said
    memory = memory_mib(labels, first.memory_key)
    resolved = catalogue.resolve(first.spelling, memory_mib=memory, instance_gpu=instance_gpu)
    if isinstance(resolved, UnknownGPU):
        raise Garbled(f"label {first.key} is {shown(labels[first.key])}: {resolved.message}")
    for other in others:
        meant = catalogue.resolve(other.spelling)
        # A word that says too little contradicts nothing: Karpenter calls every A100 a100.
        names = (meant.name,) if isinstance(meant, GPUSpecification) else meant.candidates
        known = isinstance(meant, GPUSpecification) or meant.reason == "Ambiguous"
        if known and resolved.name not in names:
            raise Garbled(f"label {first.key} says {resolved.name}, and {other.key} says {' or '.join(names)}")
    return resolved


# --- quantities --------------------------------------------------------------------------------------------------


def _resources(node: Object, which: str) -> Amounts | None:
    """``status.allocatable`` or ``status.capacity``; None where it is absent. Raises :class:`Garbled`."""
    stated = mapping(node, "status", which)
    if not stated:
        return None
    try:
        amounts = Amounts.read(stated)
    except ValueError as error:
        raise Garbled(f"status.{which}.{error}") from error
    if amounts.cores > MOST_CORES or amounts.memory_bytes > MOST_BYTES or _most_devices(amounts) > MOST_DEVICES:
        raise Garbled(f"status.{which} is out of reach of any node: check cpu, memory and {GPU_RESOURCE}")
    return amounts


def _most_devices(amounts: Amounts) -> int:
    return max(amounts.devices.values(), default=0)


def _allocatable(node: Object) -> Amounts:
    amounts = _resources(node, "allocatable") or _resources(node, "capacity")
    if amounts is None or not (amounts.cores and amounts.memory_bytes):
        raise Garbled("status.allocatable does not say how much cpu and memory it has")
    return amounts


def _free_devices(allocatable: Amounts, held: Amounts, resource: str) -> int:
    return max(0, allocatable.devices.get(resource, 0) - held.devices.get(resource, 0))


def _resource(profile: str) -> str:
    """``1g.10gb+me`` → ``nvidia.com/mig-1g.10gb.me``: a resource name has no plus."""
    return SLICE_PREFIX + profile.replace("+", ".")


def _partition(gpu: GPUSpecification | None, labels: Mapping[str, str], offered: Amounts) -> Partition:
    """How many GPUs there are and how they are cut. A node of MIG strategy mixed says it by its slices."""
    whole = offered.devices.get(GPU_RESOURCE, 0)
    by_resource = {r: n for r, n in offered.devices.items() if r.startswith(SLICE_PREFIX) and n > 0}
    if not by_resource:
        if whole == 0:
            raise Garbled(f"it offers no {GPU_RESOURCE}: is the device plugin running there?")
        return Partition(whole, {}, {})
    if gpu is None:
        raise Garbled("it offers MIG slices, but no label names the GPU")
    profiles = {_resource(profile.name): profile for profile in gpu.mig_profiles}
    unknown = sorted(set(by_resource) - set(profiles))
    if unknown:
        raise Garbled(f"{gpu.name} has no MIG profile of resource {', '.join(unknown)}")
    compute = sum(
        Fraction(n * profiles[r].compute_slices, profiles[r].compute_slices_total) for r, n in by_resource.items()
    )
    memory = sum(
        Fraction(n * profiles[r].memory_slices, profiles[r].memory_slices_total) for r, n in by_resource.items()
    )
    cut = max(ceil(compute), ceil(memory), _stated_count(labels) - whole)
    slices = {profiles[resource].name: count for resource, count in sorted(by_resource.items())}
    return Partition(
        gpus=whole + cut,
        slices=slices,
        layout={profile: max(1, count // cut) for profile, count in slices.items()},
        remark=f"{whole} whole GPUs beside MIG slices are not used: cut all GPUs of a node alike" if whole else None,
    )


def _stated_count(labels: Mapping[str, str]) -> int:
    """GPUs of the node by its label; 0 where it does not say."""
    text = labels.get(GPU_COUNT, "0")
    if not (text.isascii() and text.isdigit()) or len(text) > 4 or int(text) > MOST_DEVICES:
        raise Garbled(f"label {GPU_COUNT} is {shown(text)}, not a number of GPUs")
    return int(text)


# --- state -------------------------------------------------------------------------------------------------------


def _is_usable(node: Object) -> bool:
    """Ready, not cordoned, not going away. A node from a file, which has no conditions, is taken to be ready."""
    ready = [c.get("status") for c in items(node, "status", "conditions") if c.get("type") == "Ready"]
    going = mapping(node, "metadata").get("deletionTimestamp")
    return not mapping(node, "spec").get("unschedulable") and not going and all(status == "True" for status in ready)
