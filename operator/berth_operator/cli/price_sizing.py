"""What kinds of node could serve a workload: each as a hypothetical pool that the scheduler plans on."""

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from fractions import Fraction

from berth_cost.prices.book import InstanceShape, Price, PriceBook
from berth_cost.prices.offers import Offer, Unit
from berth_operator.catalogues import Catalogues
from berth_operator.supply.node_shape import allocatable_shape
from berth_operator.supply.taints import with_gpu_toleration
from berth_scheduler.good_requests import GoodRequests, NotServed, bought_as, good_requests
from berth_scheduler.snapshot import NodeShape, Policy, Pool, Workload

ANY_PRICE = Price(usd_per_node_hour=Decimal(1000), source="a yardstick", date=date(2026, 1, 1), stated=True)
"""Plans are scaled by it; a large one keeps all digits."""
GENEROUS_CORES_PER_GPU, GENEROUS_BYTES_PER_GPU = 16.0, 128 * 2**30
"""Of a node whose size the provider does not say: enough for any model server."""


def units_of_requests(
    workload: Workload, catalogues: Catalogues, policy: Policy, *, shared: bool
) -> Callable[[Offer], Unit]:
    """How many million good requests a node-hour's dollar pays for; each kind of node is planned once."""
    answers: dict[tuple[object, ...], GoodRequests | NotServed] = {}

    def units(offer: Offer) -> Unit:
        pool = hypothetical_pool(offer, catalogues, workload)
        if isinstance(pool, str):
            return Unit(None, pool)
        kind = (pool.gpu and pool.gpu.name, pool.gpus_per_node, pool.node_shape, pool.capacity_type)
        if kind not in answers:
            answers[kind] = good_requests(workload, pool, policy)
        answer = answers[kind]
        if isinstance(answer, NotServed):
            return Unit(None, answer.reason)
        return Unit(1 / answer.usd_per_million(Fraction(1), shared=shared), answer.text)

    return units


def hypothetical_pool(offer: Offer, catalogues: Catalogues, workload: Workload) -> Pool | str:
    """A pool of such nodes, as many as the workload may have replicas; a text where nothing can be planned on them."""
    shape = _shape(offer, catalogues.prices)
    if shape is None:
        return "what GPUs the node has is not known"
    count, gpu = shape.whole_gpus(), catalogues.gpus.specifications.get(shape.gpu)
    if not isinstance(count, int):
        return "a share of a GPU cannot be placed on"
    if gpu is None:
        return f"the GPU catalogue has no {shape.gpu}"
    return Pool(
        name=f"{offer.cloud}-{offer.instance_type}",
        gpu=gpu,
        capacity_type=bought_as(offer.bought == "Spot"),
        gpus_per_node=count,
        node_shape=_room(shape, count),
        maximum_nodes=workload.maximum_replicas * workload.placement.maximum_tensor_parallel,
        price=ANY_PRICE,
        tolerations=with_gpu_toleration(()),
    )


def _room(shape: InstanceShape, gpus: int) -> NodeShape:
    if shape.vcpus is None or shape.memory_bytes is None:
        return NodeShape(cpu_cores=GENEROUS_CORES_PER_GPU * gpus, memory_bytes=GENEROUS_BYTES_PER_GPU * gpus)
    return allocatable_shape(shape.vcpus, shape.memory_bytes)


def _shape(offer: Offer, book: PriceBook) -> InstanceShape | None:
    return book.instances.get((offer.cloud.casefold(), offer.instance_type.casefold()))
