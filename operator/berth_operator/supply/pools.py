"""Supply: GPUPools and nodes become the pools of a snapshot. Total: what cannot be used says why, the rest goes on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from berth_cost.prices.book import InstanceShape
from berth_operator.api.conditions import Reason
from berth_operator.api.v1alpha1 import GPUPool, InvalidObject, parse_pool
from berth_operator.catalogues import Catalogues
from berth_operator.supply.discovered_pools import discovered_pools, unreadable_pool
from berth_operator.supply.gpu_nodes import GPUNode, InstanceGPU, Purchase, UnreadableNode, read_gpu_nodes, some
from berth_operator.supply.stated_pools import NO_POLICY, PoolNodes, Surroundings, invalid_pool, stated_pool
from berth_operator.world import Object, World, mapping, name_of, string_map
from berth_scheduler.snapshot import Policy, Pool, Problem, Toleration

NO_GPU_LABEL = "no label names its GPU (nvidia.com/gpu.product, say): run GPU feature discovery, or state a GPUPool"


@dataclass(frozen=True, slots=True)
class Claim:
    """A GPUPool object and its claim on nodes. An invalid object keeps its nodes: nobody else may sell them."""

    name: str
    pool: GPUPool | InvalidObject
    selector: Mapping[str, str]
    zones: frozenset[str] | None
    created: str

    @classmethod
    def of(cls, name: str, thing: Object) -> "Claim":
        created = str(mapping(thing, "metadata").get("creationTimestamp", ""))
        try:
            pool = parse_pool(thing)
        except InvalidObject as flaw:
            return cls(name, flaw, string_map(thing, "spec", "nodeSelector"), None, created)
        zones = frozenset(pool.spec.zones) if pool.spec.zones is not None else None
        return cls(name, pool, pool.spec.node_selector, zones, created)

    @property
    def specificity(self) -> int:
        return len(self.selector) + (self.zones is not None)

    @property
    def precedence(self) -> tuple[int, str, str]:
        """Who gets a node that two pools select: the more specific one, then the older one, then by name."""
        return -self.specificity, self.created, self.name

    def selects(self, node: GPUNode | UnreadableNode) -> bool:
        if not self.selector or any(node.labels.get(key) != value for key, value in self.selector.items()):
            return False
        return self.zones is None or isinstance(node, UnreadableNode) or node.node.zone in self.zones


def pools_of(
    world: World,
    catalogues: Catalogues,
    *,
    time: datetime,
    tolerations: Sequence[Toleration] = (),
    policy: Policy = NO_POLICY,
) -> tuple[Pool, ...]:
    """All pools by name: the stated ones with the nodes they select, then what the other nodes are found to be.

    Every pod of ``world`` holds what it requests. ``time`` dates a stated price of a GPUPool that no server has stored
    yet; ``tolerations`` are the platform's, which every pod of ours has; ``policy`` says how old a price may be, and
    how many hours a month has.
    """
    nodes, unreadable = read_gpu_nodes(world.nodes, world.pods, catalogues.gpus, _instance_gpu(catalogues))
    claims = claims_of(world.pools)
    around = Surroundings(catalogues, time.date(), tuple(tolerations), policy)
    owned = _share_out([*nodes, *unreadable], claims)
    pools = [
        _stated(claim, PoolNodes.of(owned[claim.name]), _overlap(claim, claims, owned), around) for claim in claims
    ]
    taken = frozenset(claim.name for claim in claims)
    free = PoolNodes.of(owned[None])
    nameless = [UnreadableNode(node.node.name, node.labels, NO_GPU_LABEL) for node in free.readable if node.gpu is None]
    pools += discovered_pools(free.readable, taken, around)
    pools += unreadable_pool([*free.unreadable, *nameless], taken)
    return tuple(sorted(pools, key=lambda pool: pool.name))


def claims_of(pools: Sequence[Object]) -> tuple[Claim, ...]:
    """One claim a pool, in order of precedence. An object without a name is none, no server ever stored one."""
    named = {name: thing for thing in pools if (name := name_of(thing)) is not None}
    claims = (Claim.of(name, named[name]) for name in sorted(named))
    return tuple(sorted(claims, key=lambda claim: claim.precedence))


Owned = Mapping[str | None, list[GPUNode | UnreadableNode]]
"""By pool; under None the nodes that no pool selects."""


def _share_out(nodes: Sequence[GPUNode | UnreadableNode], claims: Sequence[Claim]) -> Owned:
    owned: dict[str | None, list[GPUNode | UnreadableNode]] = {None: [], **{claim.name: [] for claim in claims}}
    for node in nodes:
        owned[next((claim.name for claim in claims if claim.selects(node)), None)].append(node)
    return owned


def _overlap(claim: Claim, claims: Sequence[Claim], owned: Owned) -> tuple[Problem, ...]:
    """Nodes lost to a pool whose selector is no more specific: somebody made a mistake, and GPUs count once."""
    lost = {
        rival.name: [node for node in owned[rival.name] if claim.selects(node)]
        for rival in claims[: claims.index(claim)]
        if rival.specificity == claim.specificity
    }
    return tuple(
        Problem(
            reason=Reason.OVERLAPPING_POOLS,
            message=f"{some(nodes)} also belong to GPUPool {rival}: make the two nodeSelectors disjoint",
        )
        for rival, nodes in lost.items()
        if nodes
    )


def _stated(claim: Claim, nodes: PoolNodes, overlap: tuple[Problem, ...], around: Surroundings) -> Pool:
    if isinstance(claim.pool, InvalidObject):
        return invalid_pool(claim.name, claim.pool)
    return stated_pool(claim.pool, nodes, overlap, around)


def _instance_gpu(catalogues: Catalogues) -> InstanceGPU:
    def instance_gpu(purchase: Purchase) -> str | None:
        if purchase.instance_type is None:
            return None
        shape = catalogues.prices.instance(purchase.cloud, purchase.instance_type)
        return shape.gpu if isinstance(shape, InstanceShape) else None

    return instance_gpu
