"""What a GPU is listed at on demand, where a fleet buys its nodes: the yardstick that savings are measured by.

Of each place the cheapest node per GPU, because the yardstick must not flatter. Of several places the one in the middle
(the lower of two), so that it depends on where the fleet has pools and not on which of them a plan chooses.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import date
from fractions import Fraction

from berth_cost.hardware.gpu_catalogue import GPUSpecification
from berth_cost.prices.age import PriceAge
from berth_cost.prices.book import CheapestNode, Price, PriceBook
from berth_cost.record import Record

Place = tuple[str, str]
"""Cloud and region, without case."""


class ListPrice(Record):
    """On demand, of one node with whole GPUs."""

    gpu: str
    cloud: str
    region: str
    instance_type: str
    gpus_per_node: int
    price: Price
    """Of the node."""
    most_gpus: int
    """In one node of any type there."""
    specification: GPUSpecification | None = None
    """Of the GPU, where a plan is compared with it."""

    @property
    def usd_per_gpu_hour(self) -> Fraction:
        return Fraction(self.price.usd_per_node_hour) / self.gpus_per_node


def list_prices(
    book: PriceBook,
    specifications: Mapping[str, GPUSpecification | None],
    places: Collection[Place],
    *,
    today: date,
    refused_after_days: int | None,
) -> tuple[ListPrice, ...]:
    """Of each GPU of ``specifications`` that the book lists, by name; of ``places``; else of their clouds; else of any.

    A price that is too old to plan with is none.
    """
    found = []
    clouds = {cloud for cloud, _ in places}
    for gpu in sorted(specifications):
        fresh = [one for one in book.cheapest.get(gpu, ()) if not _refused(one.price, today, refused_after_days)]
        near = [one for one in fresh if (one.key.cloud, one.key.region) in places]
        chosen = _middle(near or [one for one in fresh if one.key.cloud in clouds] or fresh)
        if chosen is not None:
            shape = book.instances[chosen.key.cloud, chosen.key.instance_type]
            found.append(
                ListPrice(
                    gpu=gpu,
                    cloud=shape.cloud,
                    region=chosen.key.region,
                    instance_type=shape.instance_type,
                    gpus_per_node=chosen.gpus,
                    price=chosen.price,
                    most_gpus=chosen.most_gpus,
                    specification=specifications[gpu],
                )
            )
    return tuple(found)


def _refused(price: Price, today: date, refused_after_days: int | None) -> bool:
    return PriceAge.of(price, today, 1, refused_after_days).refused


def _middle(listed: Iterable[CheapestNode]) -> CheapestNode | None:
    ordered = sorted(listed, key=lambda one: (one.usd_per_gpu_hour, one.key.order))
    return ordered[(len(ordered) - 1) // 2] if ordered else None
