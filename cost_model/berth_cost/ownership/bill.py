"""What an option costs: bought, spent once, paid each month, got back at the end. By item, of all GPUs together.

Formulas: docs/cost-model.md, "Ownership". Each works on Decimals, for the answer, and on arrays of floats with one
element a draw, for sensitivity and scaling; the blocks of a scenario carry either.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from berth_cost.ownership.amount import Number, ceiling, larger
from berth_cost.ownership.scenario import (
    Colocation,
    Draw,
    NodeRate,
    Option,
    Owned,
    Power,
    Rental,
    Rented,
    Reserved,
    Scenario,
    Staff,
)

NETWORK_SHARES: tuple[tuple[int, Decimal], ...] = (
    (9, Decimal("2.05")),
    (512, Decimal("4.63")),
    (1024, Decimal("9.88")),
    (4096, Decimal("10.17")),
    (16384, Decimal("9.88")),
    (32768, Decimal("14.58")),
)
"""(from so many GPUs on, percent of nodes and network together) of H100 clusters with InfiniBand; one node needs none.
Public cost sheet, August 2024: switches and cables over nodes, switches and cables, rows of 16 to 524,288 GPUs."""


@dataclass(frozen=True, slots=True)
class Asset:
    """What lasts for some months and is then bought again: hardware, or a commitment."""

    purchases: Mapping[str, Number]
    """USD by item, at the start of each life."""
    life_months: Number
    residual_share: Number
    """Of the purchases, got back at the end of a life."""
    resold: bool
    """Whether what is left of a life at the horizon has a value; of a commitment it has none."""
    owed_monthly: Mapping[str, Number]
    """USD a month that have to be paid to the end of the last life although the horizon is over."""

    def lives(self, horizon_months: int) -> Number:
        """How many begin within the horizon."""
        return ceiling(horizon_months / self.life_months)

    def renewal_usd(self) -> Number:
        """What each purchase after the first costs, the sale of the old deducted."""
        return total(self.purchases) * (1 - self.residual_share)

    def value_at(self, horizon_months: int) -> Number:
        """Of what was bought last, at the end of the horizon: in a straight line from price to residual."""
        bought = total(self.purchases)
        if not self.resold:
            return bought * 0
        age = horizon_months - (self.lives(horizon_months) - 1) * self.life_months
        return bought * (1 - (1 - self.residual_share) * age / self.life_months)

    def owed_at(self, horizon_months: int) -> Number:
        return total(self.owed_monthly) * (self.lives(horizon_months) * self.life_months - horizon_months)

    def credit(self, horizon_months: int) -> Number:
        """All that is got back within the horizon."""
        if not self.resold:
            return total(self.purchases) * 0
        sold = total(self.purchases) * self.residual_share * (self.lives(horizon_months) - 1)
        return sold + self.value_at(horizon_months)


@dataclass(frozen=True, slots=True)
class Bill:
    """USD by item. The demand and the prices are constant over the horizon."""

    asset: Asset | None
    one_time: Mapping[str, Number]
    """At the start only."""
    monthly: Mapping[str, Number]
    billed_gpu_hours: Number
    """A month's GPU-hours that the bill is for: used ones or all."""
    site_kw: Number | None = None
    """Mean draw of the site, PUE included; None where no draw is stated."""

    def up_front(self) -> Number:
        bought = total(self.asset.purchases) if self.asset else 0
        return bought + total(self.one_time)

    def monthly_total(self) -> Number:
        return total(self.monthly)

    def items(self, horizon_months: int) -> dict[str, Number]:
        """All of the horizon, undiscounted; ``residual`` is negative."""
        found: dict[str, Number] = {}
        if self.asset is not None:
            for name, usd in self.asset.purchases.items():
                add(found, name, usd * self.asset.lives(horizon_months))
        for name, usd in self.one_time.items():
            add(found, name, usd)
        for name, usd in self.monthly.items():
            add(found, name, usd * horizon_months)
        if self.asset is not None:
            add(found, "committedBeyondHorizon", self.asset.owed_at(horizon_months))
            add(found, "residual", -self.asset.credit(horizon_months))
        return found

    def flows(self, horizon_months: int) -> Number:
        """Spending by month, shape (horizon + 1,) or (horizon + 1, draws): 0 is the start, then month ends."""
        asset = self.asset
        at_end = asset.owed_at(horizon_months) - asset.value_at(horizon_months) if asset else 0
        renewal, life = (asset.renewal_usd(), asset.life_months) if asset else (0, horizon_months)
        start, monthly, renewal, life, at_end = np.broadcast_arrays(
            self.up_front(), self.monthly_total(), renewal, life, at_end
        )
        flows = np.stack([start, *([monthly] * horizon_months)])
        for month in range(1, horizon_months):
            due = np.asarray(month % life == 0)
            if due.any():
                flows[month] = flows[month] + renewal * due
        flows[horizon_months] = flows[horizon_months] + at_end
        return flows


def total(items: Mapping[str, Number]) -> Number:
    return sum(items.values())


def add(items: dict[str, Number], name: str, usd: Number) -> None:
    items[name] = items[name] + usd if name in items else usd


def bill_of(option: Option, scenario: Scenario) -> Bill:
    """What ``option`` costs for the demand of ``scenario``; prices of the book are looked up already."""
    block = option.block
    return owned_bill(block, scenario) if isinstance(block, Owned) else rental_bill(block, scenario)


def used_share(scenario: Scenario) -> Number:
    assert scenario.demand.utilization_percent is not None
    return scenario.demand.utilization_percent / 100


def gpus_of(scenario: Scenario) -> Number:
    assert scenario.demand.gpus is not None
    return scenario.demand.gpus


# --- owned -------------------------------------------------------------------------------------------------------


def owned_bill(owned: Owned, scenario: Scenario) -> Bill:
    """Capex, and each month: opex, power, colocation, staff, maintenance and what else is stated."""
    gpus, hours, used = gpus_of(scenario), scenario.hours_per_month, used_share(scenario)
    purchases = capex(owned, gpus)
    monthly: dict[str, Number] = {}
    if owned.opex_usd_per_month is not None:
        monthly["opex"] = owned.opex_usd_per_month
    if owned.power is not None:
        monthly["power"] = power_usd_per_month(owned.power, owned.colocation, used, hours)
    if owned.colocation is not None:
        monthly["colocation"] = owned.colocation.usd_per_kw_month * owned.colocation.committed_kw
    if owned.staff is not None:
        monthly["staff"] = staff_usd_per_month(owned.staff, nodes_of(owned, gpus))
    if owned.maintenance_percent_per_year is not None:
        monthly["maintenance"] = total(purchases) * owned.maintenance_percent_per_year / 1200
    for name, usd in owned.monthly_usd.items():
        add(monthly, name, usd)
    _add_carbon(monthly, owned.power, scenario)
    return Bill(
        asset=Asset(purchases, owned.life_months, owned.residual_percent / 100, resold=True, owed_monthly={}),
        one_time=owned.one_time_usd,
        monthly=monthly,
        billed_gpu_hours=gpus * hours,
        site_kw=None if owned.power is None else site_kw(owned.power, used),
    )


def nodes_of(owned: Owned, gpus: Number) -> Number:
    """Whole nodes; 0 where only a sum is stated."""
    return Decimal(0) if owned.per_node is None else ceiling(gpus / owned.per_node.gpus)


def capex(owned: Owned, gpus: Number) -> dict[str, Number]:
    """What is bought at the start, and again after each life."""
    if owned.per_node is None:
        return {"capex": owned.capex_usd}
    nodes = nodes_of(owned, gpus) * owned.per_node.usd
    if owned.network is None:
        return {"nodes": nodes}
    if owned.network.usd is not None:
        return {"nodes": nodes, "network": owned.network.usd}
    stated = owned.network.share_of_capex_percent
    share = network_share_percent(gpus, owned.per_node.gpus) if stated is None else stated
    return {"nodes": nodes, "network": nodes * share / (100 - share)}


def network_share_percent(gpus: Number, gpus_per_node: int) -> Number:
    """Of nodes and network together, by :data:`NETWORK_SHARES`: that of the next smaller cluster of the sheet."""
    sizes = [size for size, _ in NETWORK_SHARES]
    shares = [Decimal(0), *(share for _, share in NETWORK_SHARES)]
    if isinstance(gpus, Decimal):
        return shares[0] if gpus <= gpus_per_node else shares[int(np.searchsorted(sizes, float(gpus), side="right"))]
    found = np.array([float(share) for share in shares])[np.searchsorted(sizes, gpus, side="right")]
    return np.where(gpus <= gpus_per_node, 0.0, found)


def mean_kw(draw: Draw, used: Number) -> Number:
    """Of the machines: idle + (busy − idle) × utilisation."""
    return draw.idle_kw + (draw.busy_kw - draw.idle_kw) * used


def site_kw(draw: Draw, used: Number) -> Number:
    """Of the site: the machines' draw times PUE."""
    return mean_kw(draw, used) * draw.pue


def _add_carbon(monthly: dict[str, Number], draw: Draw | None, scenario: Scenario) -> None:
    """kWh of the site × grams × what a tonne is reckoned at; nothing where one of them is not known."""
    usd_per_tonne = scenario.carbon_usd_per_tonne
    if usd_per_tonne is None or draw is None or draw.g_co2e_per_kwh is None:
        return
    k_wh = site_kw(draw, used_share(scenario)) * scenario.hours_per_month
    add(monthly, "carbon", k_wh * draw.g_co2e_per_kwh * usd_per_tonne / 10**6)


def power_usd_per_month(power: Power, colocation: Colocation | None, used: Number, hours_per_month: Number) -> Number:
    """Draw × PUE × hours × tariff; a colocation bills the machines' own energy unless it ``charges_pue``."""
    pays_pue = colocation is None or colocation.charges_pue
    billed_kw = mean_kw(power, used) * (power.pue if pays_pue else 1)
    return billed_kw * hours_per_month * power.usd_per_kwh


def staff_usd_per_month(staff: Staff, nodes: Number) -> Number:
    people: Number = staff.full_time_equivalents
    if staff.nodes_per_full_time_equivalent is not None:
        people = nodes / staff.nodes_per_full_time_equivalent
    if staff.minimum_full_time_equivalents is not None:
        people = larger(people, staff.minimum_full_time_equivalents)
    return people * staff.usd_per_year / 12


# --- rented and reserved -----------------------------------------------------------------------------------------


def rental_bill(rental: Rental, scenario: Scenario) -> Bill:
    """GPU charge, egress, other items, support on all of these, and what failures waste."""
    gpus, hours, used = gpus_of(scenario), scenario.hours_per_month, used_share(scenario)
    by_use = isinstance(rental, Rented) and rental.billed == "used"
    billed_hours = hours * used if by_use else hours
    monthly = gpu_charges(rental, gpus, billed_hours)
    committed = dict(monthly)
    if rental.egress is not None:
        add(monthly, "egress", rental.egress.gigabytes_per_month * rental.egress.usd_per_gigabyte)
    for name, usd in rental.monthly_usd.items():
        add(monthly, name, usd)
    if rental.support_percent is not None:
        add(monthly, "support", total(monthly) * rental.support_percent / 100)
    if rental.goodput_loss_usd_per_month is not None:
        add(monthly, "goodputLoss", rental.goodput_loss_usd_per_month)
    _add_carbon(monthly, rental.energy, scenario)
    return Bill(
        asset=commitment(rental, committed) if isinstance(rental, Reserved) else None,
        one_time=rental.one_time_usd,
        monthly=monthly,
        billed_gpu_hours=gpus * billed_hours,
        site_kw=None if rental.energy is None else site_kw(rental.energy, used),
    )


def commitment(reserved: Reserved, monthly: Mapping[str, Number]) -> Asset:
    """Paid up front and by the month to the end of its term, whoever still needs it."""
    up_front = reserved.up_front_usd
    return Asset({"upFront": up_front}, reserved.term_months, up_front * 0, resold=False, owed_monthly=monthly)


def gpu_charges(rental: Rental, gpus: Number, billed_hours: Number) -> dict[str, Number]:
    """A month's charge for the GPUs, or for whole nodes, split by resource where the node says how."""
    if rental.per_node is None:
        return {"gpu": gpus * rental.usd_per_gpu_hour * billed_hours}
    nodes = ceiling(gpus / rental.per_node.gpus)
    return {name: usd * nodes * billed_hours for name, usd in node_usd_per_hour(rental.per_node).items()}


def node_usd_per_hour(rate: NodeRate) -> dict[str, Number]:
    """An hour of a node by resource: price_i = base_i × node price / Σ base_j × amount_j, times the amount.

    OpenCost specification 0.1, appendix A.
    """
    if not rate.resources:
        return {"gpu": rate.usd_per_hour}
    bases = total({name: each.base_usd * each.amount for name, each in rate.resources.items()})
    return {name: each.base_usd * each.amount * rate.usd_per_hour / bases for name, each in rate.resources.items()}
