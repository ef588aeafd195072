"""What an option costs a year with the cost of capital, and an owned node an hour."""

from decimal import Decimal, localcontext

from berth_cost.ownership.amount import Number, unit_price
from berth_cost.ownership.bill import Bill, bill_of, total
from berth_cost.ownership.cash_flow import capital_recovery
from berth_cost.ownership.scenario import Demand, Option, Owned, Scenario

DIGITS = 80
"""Of Decimals inside a calculation; results are rounded once."""


def usd_per_year(bill: Bill, rate: Decimal, horizon_months: int) -> Number:
    """(C − R / (1 + w)^L) × w / (1 − (1 + w)^−L) + running cost, w = ``rate`` a year, L in years.

    Without a rate that is a straight line from price to residual. What is spent once is spread over the horizon.
    """
    usd: Number = Decimal(bill.monthly_total()) * 12
    usd += Decimal(total(bill.one_time)) * capital_recovery(rate, Decimal(horizon_months) / 12)
    if bill.asset is not None:
        years = bill.asset.life_months / 12
        bought = Decimal(total(bill.asset.purchases))
        worth = bought - bought * bill.asset.residual_share / (1 + rate) ** years
        usd += worth * capital_recovery(rate, years)
    return usd


def owned_usd_per_node_hour(
    owned: Owned,
    *,
    nodes: int,
    gpus_per_node: int,
    utilization_percent: Decimal,
    discount_rate_percent: Decimal,
    hours_per_month: Decimal,
) -> Decimal:
    """One hour of one node, used or not, over its life; ``owned`` has the figures of all ``nodes`` nodes."""
    life_months = int(owned.life_months)
    scenario = Scenario(
        horizon_months=life_months,
        hours_per_month=hours_per_month,
        demand=Demand(gpus=Decimal(nodes * gpus_per_node), utilization_percent=utilization_percent),
        baseline="owned",
        options=(Option(name="owned", owned=owned),),
    )
    with localcontext(prec=DIGITS):
        a_year = usd_per_year(bill_of(scenario.options[0], scenario), discount_rate_percent / 100, life_months)
        return unit_price(a_year / (12 * hours_per_month * nodes))
