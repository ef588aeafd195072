"""A GPUPool and the nodes it selects become one pool: what is stated wins, what is absent is read from the nodes.

Where both speak and differ, nothing is guessed. A GPU that differs makes the pool unusable, because pods could land on
the wrong one; a node that is cut or bought otherwise is left out with a remark, unless all of them are.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction
from typing import Any, Self, TypeVar

from berth_cost.hardware.gpu_catalogue import GPUSpecification, UnknownGPU
from berth_cost.prices.book import InstanceShape, Price, PriceMissing
from berth_cost.spending.carbon import Site
from berth_operator.api.conditions import Reason
from berth_operator.api.v1alpha1 import GPUPool, InvalidObject
from berth_operator.catalogues import Catalogues
from berth_operator.supply.gpu_annotation import weakest
from berth_operator.supply.gpu_nodes import GPUNode, UnreadableNode, some
from berth_operator.supply.node_price import doubtful_price, old_price, price_by_labels, unless_too_old
from berth_operator.supply.node_shape import allocatable_shape
from berth_operator.supply.node_site import owned_site, site_by_labels, site_of_region
from berth_operator.supply.owned_price import owned_price
from berth_operator.supply.taints import with_gpu_toleration
from berth_scheduler.snapshot import CapacityType, Node, NodeShape, Policy, Pool, Problem, SpotRisk, Toleration

Value = TypeVar("Value", bound=Any)
NO_POLICY = Policy()


@dataclass(frozen=True, slots=True)
class PoolNodes:
    """The nodes that fall to a pool, sorted by name."""

    readable: tuple[GPUNode, ...]
    unreadable: tuple[UnreadableNode, ...]

    @classmethod
    def of(cls, nodes: Iterable[GPUNode | UnreadableNode]) -> Self:
        found = list(nodes)
        return cls(
            tuple(node for node in found if isinstance(node, GPUNode)),
            tuple(node for node in found if isinstance(node, UnreadableNode)),
        )


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What pools are read against."""

    catalogues: Catalogues
    today: date
    """Dates a stated price of an object that has no creation date."""
    tolerations: tuple[Toleration, ...] = ()
    """The platform's, which every pod of ours has beside its pool's."""
    policy: Policy = NO_POLICY
    """How old a price may be, and how many hours a month has."""


@dataclass(slots=True)
class Findings:
    """What is wrong, as it is found: ``problems`` make the pool unusable, ``remarks`` leave nodes out or only doubt."""

    problems: list[Problem] = field(default_factory=list)
    remarks: list[Problem] = field(default_factory=list)

    def problem(self, reason: Reason, message: str) -> None:
        self.problems.append(Problem(reason=reason, message=message))

    def note(self, remark: Problem | None) -> None:
        self.remarks.extend([remark] if remark is not None else [])

    def remark(self, reason: Reason, message: str) -> None:
        self.remarks.append(Problem(reason=reason, message=message))


def stated_pool(pool: GPUPool, nodes: PoolNodes, overlap: Sequence[Problem], around: Surroundings) -> Pool:
    """The pool as the plan sees it."""
    spec, found = pool.spec, Findings(problems=list(overlap))
    shape = _instance_shape(pool, around.catalogues, found)
    gpu = _gpu(pool, nodes.readable, shape, around.catalogues, found)
    tolerations = with_gpu_toleration([Toleration(**t.model_dump(by_alias=False)) for t in spec.tolerations])
    fitting = _bought_as_stated(pool, nodes.readable, found)
    gpus_per_node, fitting = _gpus_per_node(pool, fitting, shape, found)
    layout, fitting = _layout(pool, fitting, gpu, found)
    _name_unreadable(nodes.unreadable, found)
    price = _price(pool, fitting, gpus_per_node, around, found)
    name, book = None if gpu is None else gpu.name, around.catalogues.prices
    found.note(doubtful_price(price, name, gpus_per_node, book, around.today))
    return Pool(
        name=pool.metadata.name,
        gpu=gpu,
        capacity_type=spec.capacity_type,
        gpus_per_node=gpus_per_node,
        mig_layout=layout,
        node_shape=_node_shape(pool, fitting, shape),
        maximum_nodes=spec.maximum_nodes,
        zones=spec.zones,
        price=price,
        on_demand_price=_on_demand_price(pool, fitting, around),
        site=_site(pool, fitting),
        spot=None
        if spec.spot is None
        else SpotRisk(
            interruptions_per_hour=float(spec.spot.interruptions_per_hour),
            startup_seconds=float(spec.spot.startup_seconds),
        ),
        nodes=usable_where_tolerated(fitting, [*tolerations, *around.tolerations], found, "add it to spec.tolerations"),
        node_labels=dict(sorted(spec.node_selector.items())),
        tolerations=tolerations,
        problems=tuple(found.problems),
        remarks=tuple(found.remarks),
    )


def invalid_pool(name: str, flaw: InvalidObject) -> Pool:
    """What stands for a GPUPool that the API does not accept: it can be seen, and not used."""
    problems = tuple(
        Problem(reason=Reason.NO_PRICE if p.path.startswith("spec.price") else Reason.INVALID_SPEC, message=str(p))
        for p in flaw.problems
    )
    return Pool(name=name, capacity_type=CapacityType.ON_DEMAND, gpus_per_node=1, problems=problems)


# --- what it is --------------------------------------------------------------------------------------------------


def _instance_shape(pool: GPUPool, catalogues: Catalogues, found: Findings) -> InstanceShape | None:
    """What the price book knows of the stated instance type; an unknown one is the price's problem, not named twice."""
    price = pool.spec.price
    if price is None or price.instance_type is None:
        return None
    shape = catalogues.prices.instance(price.cloud, price.instance_type)
    if isinstance(shape, PriceMissing):
        return None
    whole = shape.whole_gpus()
    if isinstance(whole, PriceMissing):
        found.problem(Reason.INVALID_SPEC, f"spec.price.instanceType: {whole.message}")
        return None
    return shape


def _gpu(
    pool: GPUPool, nodes: Sequence[GPUNode], shape: InstanceShape | None, catalogues: Catalogues, found: Findings
) -> GPUSpecification | None:
    by_name: dict[str, list[GPUNode]] = {}
    for node in nodes:
        if node.gpu is not None:
            by_name.setdefault(node.gpu.name, []).append(node)
    seen = "; ".join(f"{name} on {some(by_name[name])}" for name in sorted(by_name))
    if pool.spec.gpu is None:
        if len(by_name) > 1:
            found.problem(Reason.CONTRADICTORY_NODES, f"its nodes have different GPUs: {seen}: make a GPUPool for each")
            return None
        name = next(iter(by_name), shape.gpu if shape else None)
        if name is None:
            found.problem(Reason.UNKNOWN_GPU, "spec.gpu is not stated, and no label of a node names it: state it")
            return None
    else:
        name = pool.spec.gpu
    # Nodes may have been probed: what they say of themselves is preferred, and may be all that is known.
    on_nodes = [node.gpu for node in by_name.get(name, ()) if node.gpu is not None]
    gpu = weakest(on_nodes) if on_nodes else catalogues.gpus.get(name)
    if isinstance(gpu, UnknownGPU):
        found.problem(Reason.UNKNOWN_GPU, f"spec.gpu: {gpu.message}")
        return None
    others = {other: by_name[other] for other in sorted(by_name) if other != name}
    if others:
        wrong = "; ".join(f"{other} on {some(of)}" for other, of in others.items())
        found.problem(Reason.CONTRADICTORY_NODES, f"spec.gpu is {name}, but there is {wrong}: correct one")
    if shape is not None and shape.gpu != name:
        found.problem(Reason.INVALID_SPEC, f"spec.gpu is {name}, but {shape.instance_type} has {shape.gpu}")
    return gpu


def _bought_as_stated(pool: GPUPool, nodes: Sequence[GPUNode], found: Findings) -> Sequence[GPUNode]:
    """Reserved and owned nodes look like on demand to a label; only spot or not can contradict."""
    spot = pool.spec.capacity_type is CapacityType.SPOT

    def is_spot(node: GPUNode) -> bool:
        stated = node.purchase.capacity_type
        return spot if stated is None else stated is CapacityType.SPOT

    return _agreeing(
        nodes, is_spot, spot, found, f"spec.capacityType is {pool.spec.capacity_type}, labels say otherwise"
    )


def _gpus_per_node(
    pool: GPUPool, nodes: Sequence[GPUNode], shape: InstanceShape | None, found: Findings
) -> tuple[int, Sequence[GPUNode]]:
    stated = pool.spec.gpus_per_node
    whole = shape.whole_gpus() if shape is not None else None
    of_shape = whole if isinstance(whole, int) else None
    if stated is not None and of_shape is not None and stated != of_shape and shape is not None:
        found.problem(Reason.INVALID_SPEC, f"spec.gpusPerNode is {stated}, but {shape.instance_type} has {of_shape}")
    wanted = stated or of_shape or _most_common(node.partition.gpus for node in nodes)
    if wanted is None:
        found.problem(Reason.INVALID_SPEC, "spec.gpusPerNode is not stated and no node says it: state it")
        return 1, nodes
    return wanted, _agreeing(
        nodes,
        lambda node: node.partition.gpus,
        wanted,
        found,
        f"the pool has {wanted} GPUs a node, another number there",
    )


def _layout(
    pool: GPUPool, nodes: Sequence[GPUNode], gpu: GPUSpecification | None, found: Findings
) -> tuple[dict[str, int], Sequence[GPUNode]]:
    stated = pool.spec.mig_profiles
    if stated is not None and gpu is not None and (flaw := _layout_flaw(stated, gpu)):
        found.problem(Reason.INVALID_SPEC, f"spec.migProfiles: {flaw}")
    common = _most_common(tuple(sorted(node.partition.layout.items())) for node in nodes)
    wanted = tuple(sorted(stated.items())) if stated is not None else common or ()
    shown = ", ".join(f"{count} × {profile}" for profile, count in wanted) or "whole GPUs"
    fitting = _agreeing(
        nodes,
        lambda node: tuple(sorted(node.partition.layout.items())),
        wanted,
        found,
        f"the pool has {shown} on each GPU, another MIG layout there",
    )
    for node in fitting:
        if node.partition.remark:
            found.remark(Reason.CONTRADICTORY_NODES, f"{some([node])}: {node.partition.remark}")
    return dict(wanted), fitting


def _layout_flaw(layout: Mapping[str, int], gpu: GPUSpecification) -> str | None:
    profiles = {profile.name: profile for profile in gpu.mig_profiles}
    unknown = sorted(set(layout) - set(profiles))
    if unknown:
        return f"{gpu.name} has no profile {', '.join(unknown)} (it has {', '.join(profiles) or 'no MIG'})"
    compute = sum(Fraction(n * profiles[p].compute_slices, profiles[p].compute_slices_total) for p, n in layout.items())
    memory = sum(Fraction(n * profiles[p].memory_slices, profiles[p].memory_slices_total) for p, n in layout.items())
    return f"more slices than one {gpu.name} can be cut into" if max(compute, memory) > 1 else None


# --- nodes that differ -------------------------------------------------------------------------------------------


def _most_common(values: Iterable[Value]) -> Value | None:
    """The value that most nodes have; of several, the smallest. None without nodes."""
    counted = Counter(values)
    return min(counted, key=lambda value: (-counted[value], value), default=None)


def _agreeing(
    nodes: Sequence[GPUNode], what: Callable[[GPUNode], Value], wanted: Value, found: Findings, message: str
) -> Sequence[GPUNode]:
    """The nodes of which ``what`` is as wanted. Where all differ, the pool is at fault, and they stay in it."""
    odd = [node for node in nodes if what(node) != wanted]
    if odd and len(odd) == len(nodes):
        found.problem(Reason.CONTRADICTORY_NODES, f"{message}: {some(odd)}")
        return nodes
    if odd:
        found.remark(Reason.CONTRADICTORY_NODES, f"{some(odd)} left out: {message}")
    return [node for node in nodes if what(node) == wanted]


def _name_unreadable(nodes: Sequence[UnreadableNode], found: Findings) -> None:
    for why, unreadable in by_reason(nodes).items():
        found.remark(Reason.UNREADABLE_LABELS, f"{some(unreadable)} left out: {why}")


def by_reason(nodes: Sequence[UnreadableNode]) -> dict[str, list[UnreadableNode]]:
    reasons: dict[str, list[UnreadableNode]] = {}
    for node in sorted(nodes, key=lambda node: (node.why, node.name)):
        reasons.setdefault(node.why, []).append(node)
    return reasons


def usable_where_tolerated(
    nodes: Sequence[GPUNode], tolerations: Sequence[Toleration], found: Findings, remedy: str
) -> tuple[Node, ...]:
    """The nodes by name; one with a taint that pods of this pool do not tolerate is not usable."""
    kept_off: dict[str, list[GPUNode]] = {}
    result = []
    for node in nodes:
        taints = [taint for taint in node.taints if not taint.tolerated_by(tolerations)]
        for taint in taints:
            if not taint.passing:
                kept_off.setdefault(str(taint), []).append(node)
        result.append(node.node.model_copy(update={"usable": False}) if taints else node.node)
    for taint_text in sorted(kept_off):
        message = f"taint {taint_text} keeps pods off {some(kept_off[taint_text])}: {remedy}"
        found.remark(Reason.CONTRADICTORY_NODES, message)
    return tuple(sorted(result, key=lambda node: node.name))


# --- size and price ----------------------------------------------------------------------------------------------


def _node_shape(pool: GPUPool, nodes: Sequence[GPUNode], shape: InstanceShape | None) -> NodeShape | None:
    """Of a node to come: as stated, as the smallest node there is, or by the instance type; None: nobody knows."""
    stated = pool.spec.node_resources
    if stated is not None:
        return NodeShape(cpu_cores=float(stated.cpu), memory_bytes=int(stated.memory))
    if nodes:
        return NodeShape(
            cpu_cores=float(min(node.allocatable.cores for node in nodes)),
            memory_bytes=int(min(node.allocatable.memory_bytes for node in nodes)),
        )
    if shape is None or shape.vcpus is None or shape.memory_bytes is None:
        return None
    return allocatable_shape(shape.vcpus, shape.memory_bytes)


def _price(
    pool: GPUPool, nodes: Sequence[GPUNode], gpus_per_node: int, around: Surroundings, found: Findings
) -> Price | None:
    newest = _newest_price(pool, nodes, gpus_per_node, around)
    price = unless_too_old(newest, around.today, around.policy)
    if isinstance(price, Problem):
        found.problems.append(price)
        return None
    found.note(old_price(price, pool.spec.capacity_type, around.today, around.policy))
    return price


def _newest_price(pool: GPUPool, nodes: Sequence[GPUNode], gpus_per_node: int, around: Surroundings) -> Price | Problem:
    spec, book = pool.spec, around.catalogues.prices
    if spec.price is None:
        return price_by_labels(nodes, spec.capacity_type, book)
    created = pool.metadata.creation_timestamp
    stated_on = created.date() if created else around.today
    if spec.price.owned is not None:
        hours = around.policy.hours_per_month
        return owned_price(spec.price.owned, gpus_per_node, spec.maximum_nodes, stated_on, hours_per_month=hours)
    if spec.price.usd_per_node_hour is not None:
        return Price(
            usd_per_node_hour=spec.price.usd_per_node_hour,
            source=f"GPUPool {pool.metadata.name}",
            date=stated_on,
            stated=True,
        )
    looked_up = book.lookup(
        cloud=spec.price.cloud,
        region=spec.price.region,
        instance_type=spec.price.instance_type or "",
        capacity_type=spec.capacity_type.value,
        term=spec.price.term,
        zone=spec.zones[0] if spec.zones and len(spec.zones) == 1 else None,
    )
    if isinstance(looked_up, PriceMissing):
        return Problem(reason=Reason.NO_PRICE, message=f"spec.price: {looked_up.message}")
    return looked_up


def _on_demand_price(pool: GPUPool, nodes: Sequence[GPUNode], around: Surroundings) -> Price | None:
    """Of the same type at the same place, for a pool that is bought otherwise and priced by the book."""
    stated, book = pool.spec.price, around.catalogues.prices
    if pool.spec.capacity_type is CapacityType.ON_DEMAND or (stated is not None and stated.instance_type is None):
        return None
    if stated is None:
        listed = price_by_labels(nodes, CapacityType.ON_DEMAND, book)
    else:
        found = book.lookup(cloud=stated.cloud, region=stated.region, instance_type=stated.instance_type or "")
        listed = Problem(reason=Reason.NO_PRICE, message=found.message) if isinstance(found, PriceMissing) else found
    fresh = unless_too_old(listed, around.today, around.policy)
    return None if isinstance(fresh, Problem) else fresh


def _site(pool: GPUPool, nodes: Sequence[GPUNode]) -> Site | None:
    """By the stated price: of its region, or as the owner states it; without one, by the labels of the nodes."""
    price = pool.spec.price
    if price is None:
        return site_by_labels(nodes)
    if price.owned is not None:
        return owned_site(price.owned)
    return None if price.cloud is None or price.region is None else site_of_region(price.cloud, price.region)
