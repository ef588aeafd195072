"""What GPUs are listed at on demand where the fleet buys its nodes: by its GPUPools, and by the labels of its nodes."""

from collections.abc import Sequence
from datetime import date

from berth_cost.hardware.gpu_catalogue import GPUSpecification
from berth_cost.prices.conventional import ConventionalGPUs
from berth_cost.prices.list_price import ListPrice, Place, list_prices
from berth_operator.catalogues import Catalogues
from berth_operator.supply.node_labels import REGION_LABELS, cloud_of, first_label
from berth_operator.world import Object, World, labels_of, text
from berth_scheduler.snapshot import Policy, Pool


def list_prices_of(
    world: World, pools: Sequence[Pool], catalogues: Catalogues, today: date, policy: Policy
) -> tuple[ListPrice, ...]:
    """Of the GPUs of the pools, and of those that most people would take, which a plan is compared with."""
    wanted: dict[str, GPUSpecification | None] = {pool.gpu.name: None for pool in pools if pool.gpu is not None}
    for name in ConventionalGPUs.load_builtin().names:
        known = catalogues.gpus.get(name)
        wanted[name] = known if isinstance(known, GPUSpecification) else None
    places = places_of(world)
    return list_prices(
        catalogues.prices, wanted, places, today=today, refused_after_days=policy.price_refused_after_days
    )


def places_of(world: World) -> frozenset[Place]:
    """Clouds and regions, without case, that GPUPools or labels of nodes name."""
    stated = ((text(pool, "spec", "price", "cloud"), text(pool, "spec", "price", "region")) for pool in world.pools)
    labelled = (_place_of_node(node) for node in world.nodes)
    return frozenset(
        (cloud.casefold(), region.casefold()) for cloud, region in (*stated, *labelled) if cloud and region
    )


def _place_of_node(node: Object) -> tuple[str | None, str | None]:
    labels = labels_of(node)
    region = first_label(labels, REGION_LABELS)
    return cloud_of(text(node, "spec", "providerID"), labels), region[1] if region else None
