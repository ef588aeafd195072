"""Pools that nobody stated: nodes of one kind, found by their labels and priced from the price book."""

import hashlib
import re
from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from berth_cost.hardware.gpu_catalogue import GPUSpecification
from berth_cost.prices.book import Price
from berth_operator.api.conditions import Reason
from berth_operator.supply.gpu_annotation import weakest
from berth_operator.supply.gpu_nodes import GPUNode, UnreadableNode, some
from berth_operator.supply.node_labels import SPOT_TAINTS
from berth_operator.supply.node_price import doubtful_price, old_price, price_by_labels, unless_too_old
from berth_operator.supply.node_site import site_by_labels
from berth_operator.supply.stated_pools import Findings, Surroundings, by_reason, usable_where_tolerated
from berth_operator.supply.taints import with_gpu_toleration
from berth_scheduler.snapshot import CapacityType, Pool, Problem, Toleration

LONGEST_NAME = 63
UNREADABLE = "unreadable-nodes"


def discovered_pools(nodes: Sequence[GPUNode], taken: AbstractSet[str], around: Surroundings) -> list[Pool]:
    """One pool for each kind of node: the same GPU, MIG layout, purchase, place and identifying labels.

    ``taken`` are names of GPUPools, which a discovered pool never has.
    """
    groups: dict[tuple[object, ...], list[GPUNode]] = {}
    for node in sorted(nodes, key=_kind):
        if node.gpu is not None:
            groups.setdefault(_kind(node), []).append(node)
    names: set[str] = set(taken)
    pools = []
    for kind, members in groups.items():
        name = _name(members[0], kind, names)
        names.add(name)
        pools.append(_pool(name, members, around))
    return pools


def unreadable_pool(unreadable: Sequence[UnreadableNode], taken: AbstractSet[str]) -> list[Pool]:
    """A pool that cannot be used and says which nodes no plan can count on, and why; none where all can be read."""
    problems = [
        Problem(reason=Reason.UNREADABLE_LABELS, message=f"{some(nodes)} left out: {why}")
        for why, nodes in by_reason(unreadable).items()
    ]
    if not problems:
        return []
    name = UNREADABLE if UNREADABLE not in taken else f"{UNREADABLE}-{_digest(UNREADABLE)}"
    return [
        Pool(
            name=name,
            stated=False,
            capacity_type=CapacityType.ON_DEMAND,
            gpus_per_node=1,
            problems=tuple(problems),
        )
    ]


def _kind(node: GPUNode) -> tuple[object, ...]:
    """What nodes of one pool have in common; sorts."""
    bought = node.purchase
    return (
        node.gpu.name if node.gpu else "",
        tuple(sorted(node.partition.layout.items())),
        (bought.capacity_type or CapacityType.ON_DEMAND).value,
        bought.instance_type or "",
        bought.region or "",
        node.node.zone or "",
        node.partition.gpus,
        bought.cloud or "",
        tuple(node.identity.items()),
    )


def _name(node: GPUNode, kind: tuple[object, ...], taken: AbstractSet[str]) -> str:
    """``l4-spot-g6-xlarge-us-east1-b``; with a digest of the kind where that is too long, or somebody else's name."""
    gpu: GPUSpecification | None = node.gpu
    parts = [
        gpu.name if gpu else "",
        *node.partition.layout,
        (node.purchase.capacity_type or CapacityType.ON_DEMAND).value,
        node.purchase.instance_type or "",
        node.node.zone or node.purchase.region or "",
    ]
    name = re.sub(r"[^a-z0-9]+", "-", " ".join(parts).lower()).strip("-")
    if len(name) > LONGEST_NAME or name in taken or not name[:1].isalpha():
        name = f"gpu-{name}" if not name[:1].isalpha() else name
        name = f"{name[: LONGEST_NAME - 6].strip('-')}-{_digest(repr(kind))}"
    return name


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:5]


def _pool(name: str, nodes: Sequence[GPUNode], around: Surroundings) -> Pool:
    first, found = nodes[0], Findings()
    capacity_type = first.purchase.capacity_type or CapacityType.ON_DEMAND
    tolerations = _tolerations(nodes, capacity_type)
    listed = price_by_labels(nodes, capacity_type, around.catalogues.prices)
    price = unless_too_old(listed, around.today, around.policy)
    if isinstance(price, Problem):
        found.problems.append(price)
    else:
        found.note(old_price(price, capacity_type, around.today, around.policy))
        found.note(doubtful_price(price, None, 1, around.catalogues.prices, around.today))
    for node in nodes:
        if node.partition.remark:
            found.remark(Reason.CONTRADICTORY_NODES, f"{some([node])}: {node.partition.remark}")
    return Pool(
        name=name,
        stated=False,
        gpu=weakest([node.gpu for node in nodes if node.gpu is not None]),
        capacity_type=capacity_type,
        gpus_per_node=first.partition.gpus,
        mig_layout=dict(first.partition.layout),
        zones=(first.node.zone,) if first.node.zone else None,
        price=None if isinstance(price, Problem) else price,
        on_demand_price=_on_demand_price(nodes, capacity_type, around),
        site=site_by_labels(nodes),
        nodes=usable_where_tolerated(
            nodes, [*tolerations, *around.tolerations], found, "state a GPUPool that tolerates it"
        ),
        node_labels=dict(first.identity),
        tolerations=tolerations,
        problems=tuple(found.problems),
        remarks=tuple(found.remarks),
    )


def _on_demand_price(nodes: Sequence[GPUNode], capacity_type: CapacityType, around: Surroundings) -> Price | None:
    if capacity_type is CapacityType.ON_DEMAND:
        return None
    listed = price_by_labels(nodes, CapacityType.ON_DEMAND, around.catalogues.prices)
    price = unless_too_old(listed, around.today, around.policy)
    return None if isinstance(price, Problem) else price


def _tolerations(nodes: Sequence[GPUNode], capacity_type: CapacityType) -> tuple[Toleration, ...]:
    """Of the GPU taint, and on spot of what the cloud puts on every spot node. Other taints mean: keep off."""
    if capacity_type is not CapacityType.SPOT:
        return with_gpu_toleration(())
    keys = sorted({taint.key for node in nodes for taint in node.taints} & SPOT_TAINTS)
    return with_gpu_toleration([Toleration(key=key, operator="Exists") for key in keys])
