"""``GPUPool.spec``: one kind of GPU supply, how it is bought, what it costs and how much of it there can be."""

import re
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from berth_operator.api.field import (
    UNIQUE,
    ByteQuantity,
    CountQuantity,
    Identifier,
    NotNegativeDecimal,
    Part,
    PositiveDecimal,
    Tally,
)
from berth_operator.api.ownership import OwnedPrice
from berth_operator.api.rule import Rule
from berth_scheduler.snapshot import CapacityType

LabelKey = Annotated[
    str,
    Field(
        max_length=317,
        pattern=r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$",
    ),
]
LabelValue = Annotated[str, Field(max_length=63, pattern=r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$")]

_LABEL_KEYS = Rule(
    cel=(
        "self.all(key, key.size() <= 317"
        " && key.matches('^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$'))"
    ),
    message="keys must be label names, such as karpenter.sh/nodepool",
    holds=lambda labels: all(
        len(key) <= 317
        and re.fullmatch(r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?", key)
        for key in labels
    ),
)
_MIG_PROFILES = Rule(
    cel="self.all(profile, profile.matches('^[1-9]g[.][0-9]{1,3}gb([+.-][a-z.]{1,16})?$'))",
    message="keys must be MIG profiles, such as 1g.10gb",
    holds=lambda layout: all(
        re.fullmatch(r"^[1-9]g[.][0-9]{1,3}gb([+.-][a-z.]{1,16})?", profile) for profile in layout
    ),
)


MIGLayout = Annotated[
    dict[str, Annotated[int, Field(strict=True, ge=1, le=16)]], Field(min_length=1, max_length=8), _MIG_PROFILES
]


class Toleration(Part):
    """As in a pod."""

    key: LabelKey | None = None
    """Absent, with operator Exists: every taint. A key that says a node is on its way out, such as
    karpenter.sh/disrupted, is left out."""
    operator: Literal["Exists", "Equal"] = "Equal"
    """Equal: taints of this key and value. Exists: taints of this key, whatever their value."""
    value: LabelValue | None = None
    """With operator Equal: the taint's value; absent: the empty one."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """Absent: every effect."""
    toleration_seconds: Tally | None = None
    """With effect NoExecute: how long a pod stays once the taint is there; absent: for good."""

    rules: ClassVar = (
        Rule(
            cel="has(self.key) || self.operator == 'Exists'",
            message="without a key, operator must be Exists",
            holds=lambda toleration: toleration.key is not None or toleration.operator == "Exists",
            field=".operator",
        ),
        Rule(
            cel="!has(self.value) || self.value == '' || self.operator == 'Equal'",
            message="operator Exists takes no value: remove it",
            holds=lambda toleration: not toleration.value or toleration.operator == "Equal",
            field=".value",
        ),
        Rule(
            cel="!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')",
            message="tolerationSeconds needs effect NoExecute",
            holds=lambda toleration: toleration.toleration_seconds is None or toleration.effect == "NoExecute",
            field=".tolerationSeconds",
        ),
    )


class NodeResources(Part):
    """What a node of this pool that does not exist yet would offer to pods beside GPUs."""

    cpu: CountQuantity
    """Cores that are left for pods: allocatable, not nominal."""
    memory: ByteQuantity
    """Host memory that is left for pods: allocatable, not nominal."""


class PoolPrice(Part):
    """What a node costs: stated, owned, or looked up in the price book. Without it: looked up by the nodes' labels."""

    usd_per_node_hour: PositiveDecimal | None = None
    """Stated: USD for one node, with all its GPUs, for one hour."""
    owned: OwnedPrice | None = None
    """Total cost of ownership of hardware of one's own."""
    cloud: Identifier | None = None
    """Looked up: such as aws."""
    region: Identifier | None = None
    """Looked up: such as us-east-1."""
    instance_type: Identifier | None = None
    """Looked up: such as g6.xlarge."""
    term: Literal["OnDemand", "Spot", "OneYear", "ThreeYears"] | None = None
    """Looked up: which price; absent: Spot for a pool of capacityType Spot, else OnDemand."""

    rules: ClassVar = (
        Rule(
            cel=(
                "[has(self.usdPerNodeHour), has(self.owned), has(self.cloud) || has(self.region)"
                " || has(self.instanceType) || has(self.term)].exists_one(way, way)"
            ),
            message="state one of usdPerNodeHour, owned, or cloud, region and instanceType to look the price up",
            holds=lambda price: (
                [
                    price.usd_per_node_hour is not None,
                    price.owned is not None,
                    any(part is not None for part in (price.cloud, price.region, price.instance_type, price.term)),
                ].count(True)
                == 1
            ),
        ),
        Rule(
            cel=(
                "has(self.usdPerNodeHour) || has(self.owned)"
                " || (has(self.cloud) && has(self.region) && has(self.instanceType))"
            ),
            message="looking a price up needs all of cloud, region and instanceType",
            holds=lambda price: (
                price.usd_per_node_hour is not None
                or price.owned is not None
                or None not in (price.cloud, price.region, price.instance_type)
            ),
        ),
    )


class PoolSpot(Part):
    """How unsteady the supply is; only for capacityType Spot. objectives.availabilityPercent is planned by it."""

    interruptions_per_hour: NotNegativeDecimal
    """How often one node is taken away in an hour, on average."""
    startup_seconds: Tally
    """From asking for a node to its GPUs being usable."""


class GPUPoolSpec(Part):
    """One kind of GPU node."""

    gpu: Identifier | None = None
    """Name in the GPU catalogue; optional where nodes exist, it is then read from their labels."""
    node_selector: Annotated[dict[str, LabelValue], Field(min_length=1, max_length=16), _LABEL_KEYS]
    """Labels that every node of the pool has, and no other node."""
    tolerations: Annotated[tuple[Toleration, ...], Field(max_length=16)] = ()
    """Of the taints that the nodes have; nvidia.com/gpu is always tolerated."""
    zones: Annotated[tuple[Identifier, ...], Field(min_length=1, max_length=16), UNIQUE] | None = None
    """Where its nodes are; absent: read from nodes, and any zone for nodes that do not exist yet."""
    capacity_type: CapacityType = CapacityType.ON_DEMAND
    """How the nodes are bought."""
    gpus_per_node: Annotated[int, Field(strict=True, ge=1, le=128)] | None = None
    """Optional where nodes exist or the price book knows price.instanceType: it is then read from there."""
    node_resources: NodeResources | None = None
    """Of a node that does not exist yet; absent: as the smallest that exists, else by price.instanceType, else without
    bound."""
    mig_profiles: MIGLayout | None = None
    """MIG layout: slices by profile on each GPU. Read from nodes where they exist; absent without nodes: no MIG."""
    maximum_nodes: Annotated[int, Field(strict=True, ge=0, le=100_000)] | None = None
    """What could be provisioned, existing nodes included; absent: only what exists."""
    price: PoolPrice | None = None
    """Absent: looked up in the price book by the labels of the nodes."""
    spot: PoolSpot | None = None

    rules: ClassVar = (
        Rule(
            cel="!has(self.spot) || self.capacityType == 'Spot'",
            message="spot is only for capacityType Spot: set capacityType, or remove spot",
            holds=lambda spec: spec.spot is None or spec.capacity_type is CapacityType.SPOT,
            field=".spot",
        ),
    )
