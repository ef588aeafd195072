"""``GPUPool.spec.price.owned``: what hardware of one's own costs, as in the ``owned`` block of a cost scenario."""

import re
from decimal import Decimal
from typing import Annotated, ClassVar

from pydantic import Field

from berth_operator.api.field import (
    IS_NUMBER,
    Count,
    Flag,
    NotNegativeDecimal,
    Part,
    PositiveDecimal,
    as_number,
    bounded,
)
from berth_operator.api.rule import Rule

# A string that is no number is the pattern's to refuse, once: rules about numbers then hold.
OwnedPercent = Annotated[NotNegativeDecimal, bounded("{0} <= 100.0", "must be a percentage from 0 to 100", 0, 100)]
Effectiveness = Annotated[
    NotNegativeDecimal, bounded("{0} >= 1.0 && {0} <= 10.0", "must be from 1 to 10: site power over IT power", 1, 10)
]
_ITEM = "[A-Za-z0-9]([A-Za-z0-9 _+/()-]{0,62}[A-Za-z0-9)])?"
_ITEM_NAMES = Rule(
    cel=f"self.all(name, name.matches('^{_ITEM}$'))",
    message="keys must be names such as storage: letters, digits, blanks, - _ + / ( )",
    holds=lambda items: all(re.fullmatch(_ITEM, name) for name in items),
)
Items = Annotated[dict[str, NotNegativeDecimal], Field(min_length=1, max_length=16), _ITEM_NAMES]
"""Amounts by name."""


_TRUE = Rule(cel="self", message="must be true, or left out", holds=bool)


def _one_of(first: str, first_field: str, second: str, second_field: str) -> Rule:
    """Exactly one of two members, each by its name in JSON and here."""
    return Rule(
        cel=f"has(self.{first}) != has(self.{second})",
        message=f"state exactly one of {first} and {second}",
        holds=lambda part: (getattr(part, first_field) is None) != (getattr(part, second_field) is None),
    )


class OwnedNode(Part):
    """What a node costs to buy."""

    usd: PositiveDecimal
    """USD for one node, with all its GPUs."""
    gpus: Count
    """GPUs of a node; as gpusPerNode."""


class OwnedNetwork(Part):
    """Switches, optics and cables, beside the nodes: a sum, or a share."""

    usd: NotNegativeDecimal | None = None
    """USD for all nodes."""
    share_of_capex_percent: OwnedPercent | None = None
    """Of nodes and network together; below 100."""
    by_cluster_size: Annotated[Flag, _TRUE] | None = None
    """The share that H100 clusters of this size had in 2024."""

    rules: ClassVar = (
        Rule(
            cel="[has(self.usd), has(self.shareOfCapexPercent), has(self.byClusterSize)].exists_one(way, way)",
            message="state exactly one of usd, shareOfCapexPercent and byClusterSize",
            holds=lambda network: (
                [network.usd, network.share_of_capex_percent, network.by_cluster_size].count(None) == 2
            ),
        ),
    )


class OwnedPower(Part):
    """Measured electrical power of all nodes. Mean draw: idle + (busy − idle) × utilizationPercent."""

    idle_kw: NotNegativeDecimal
    """Measured draw without load, kW."""
    busy_kw: PositiveDecimal
    """Measured draw under load, kW; never a nameplate."""
    pue: Effectiveness = Decimal(1)
    """Power usage effectiveness of the site."""
    usd_per_kwh: NotNegativeDecimal
    """What a kWh costs, USD."""
    g_co2e_per_kwh: NotNegativeDecimal | None = None
    """Carbon intensity of the grid, for the footprint of workloads; the price does not depend on it."""
    country: Annotated[str, Field(min_length=3, max_length=3)] | None = None
    """Instead of gCO2ePerKWh: ISO 3166 code such as DEU, whose mean intensity is looked up."""

    rules: ClassVar = (
        Rule(
            cel=(
                f"!{IS_NUMBER.format('self.idleKW')} || !{IS_NUMBER.format('self.busyKW')}"
                f" || {as_number('self.idleKW')} <= {as_number('self.busyKW')}"
            ),
            message="must not be below idleKW",
            holds=lambda power: power.idle_kw <= power.busy_kw,
            field=".busyKW",
        ),
        Rule(
            cel="!has(self.country) || !has(self.gCO2ePerKWh)",
            message="state gCO2ePerKWh or country, not both",
            holds=lambda power: power.country is None or power.g_co2e_per_kwh is None,
            field=".country",
        ),
    )


class OwnedColocation(Part):
    """Space, cooling and a power connection, rented by the kW."""

    usd_per_kw_month: NotNegativeDecimal
    """USD for one kW for one month."""
    committed_kw: PositiveDecimal
    """The kW that are paid for, used or not."""
    charges_pue: Flag = False
    """Whether the site bills energy times PUE; usually the rate covers cooling."""


class OwnedStaff(Part):
    """People who run the machines: their number, or one for so many nodes."""

    full_time_equivalents: NotNegativeDecimal | None = None
    """Their number, for all nodes."""
    nodes_per_full_time_equivalent: PositiveDecimal | None = None
    """One person for so many nodes; needs perNode."""
    minimum_full_time_equivalents: NotNegativeDecimal | None = None
    """Never fewer than these."""
    usd_per_year: NotNegativeDecimal
    """What one costs a year, USD."""

    rules: ClassVar = (
        _one_of(
            "fullTimeEquivalents",
            "full_time_equivalents",
            "nodesPerFullTimeEquivalent",
            "nodes_per_full_time_equivalent",
        ),
    )


class OwnedPrice(Part):
    """Hardware of one's own: its total cost of ownership, spread over its life and its nodes, is the price.

    Figures are of all nodes together, except where a name says per node or per kW.
    """

    nodes: Count | None = None
    """How many nodes the figures are of; absent: maximumNodes of the pool, or, with perNode, one."""
    capex_usd: PositiveDecimal | None = None
    """All that is bought, network included, USD."""
    per_node: OwnedNode | None = None
    """Instead of capexUSD: what one node costs."""
    network: OwnedNetwork | None = None
    """On top of perNode."""
    life_months: Annotated[int, Field(strict=True, ge=1, le=600)]
    """How long the hardware serves."""
    residual_percent: OwnedPercent = Decimal(0)
    """Of the price, what it is worth then."""
    opex_usd_per_month: NotNegativeDecimal | None = None
    """Running cost, USD a month; what is built up below comes on top."""
    power: OwnedPower | None = None
    """Electricity, built up from measured draw."""
    colocation: OwnedColocation | None = None
    """Absent: in one's own data centre."""
    staff: OwnedStaff | None = None
    """People who run the machines."""
    maintenance_percent_per_year: NotNegativeDecimal | None = None
    """Of the capex."""
    monthly_usd: Items | None = None
    """Other items by name, USD a month."""
    one_time_usd: Items | None = None
    """Items that are spent once, at the start, USD; spread over the life."""
    utilization_percent: OwnedPercent = Decimal(100)
    """How much of the time the GPUs are busy: for the power that they draw."""
    discount_rate_percent: OwnedPercent = Decimal(0)
    """Cost of capital, effective a year; 0: a straight line from price to residual."""

    rules: ClassVar = (
        _one_of("capexUSD", "capex_usd", "perNode", "per_node"),
        Rule(
            cel="!has(self.network) || has(self.perNode)",
            message="network comes on top of perNode; capexUSD is all of it: remove it, or state perNode",
            holds=lambda owned: owned.network is None or owned.per_node is not None,
            field=".network",
        ),
        Rule(
            cel="!has(self.staff) || !has(self.staff.nodesPerFullTimeEquivalent) || has(self.perNode)",
            message="nodesPerFullTimeEquivalent needs perNode: state fullTimeEquivalents",
            holds=lambda owned: (
                owned.staff is None or owned.staff.nodes_per_full_time_equivalent is None or owned.per_node is not None
            ),
            field=".staff",
        ),
    )
