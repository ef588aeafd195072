"""Where nodes draw their power: the PUE of the site, and the carbon intensity of its grid."""

from collections.abc import Sequence

from berth_cost.spending.carbon import CarbonTable, Site
from berth_operator.api.ownership import OwnedPrice
from berth_operator.supply.gpu_nodes import GPUNode


def site_of_region(cloud: str, region: str) -> Site | None:
    """None where the PUE of the cloud is not known."""
    return CarbonTable.load_builtin().site_of_region(cloud, region)


def site_by_labels(nodes: Sequence[GPUNode]) -> Site | None:
    """The one region that all nodes are in; None where their labels do not say, or say several."""
    places = {(node.purchase.cloud, node.purchase.region) for node in nodes}
    if len(places) != 1:
        return None
    ((cloud, region),) = places
    return None if cloud is None or region is None else site_of_region(cloud, region)


def owned_site(owned: OwnedPrice) -> Site | None:
    """As the owner states it; None where no power is stated."""
    power = owned.power
    if power is None:
        return None
    grams = None if power.g_co2e_per_kwh is None else float(power.g_co2e_per_kwh)
    return CarbonTable.load_builtin().site_of_owner(float(power.pue), grams, power.country)
