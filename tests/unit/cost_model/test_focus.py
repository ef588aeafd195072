"""FOCUS rows: the specification's rules about cost, on its own published cases and on rows that we make."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from berth_cost.spending.focus import COLUMNS, Charge, FocusRow, Period, Supplier, focus_rows, violations

START = datetime(2026, 2, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def row(**fields: Any) -> FocusRow:
    """An hour of a node as the published samples list it."""
    stated: dict[str, Any] = {
        "billing_account_id": "ACCT-123456789012",
        "billing_period_start": START,
        "billing_period_end": datetime(2026, 3, 1, tzinfo=UTC),
        "charge_period_start": START,
        "charge_period_end": START + HOUR,
        "charge_category": "Usage",
        "charge_description": "committed usage",
        "charge_frequency": "Usage-Based",
        "billed_cost": "0",
        "effective_cost": "52.40",
        "list_cost": "78.60",
        "contracted_cost": "78.60",
        "list_unit_price": "78.60",
        "contracted_unit_price": "78.60",
        "pricing_category": "Committed",
        "pricing_quantity": "1",
        "pricing_unit": "Hours",
        "commitment_discount_id": "sp-abc123def456",
        "commitment_discount_status": "Used",
        "invoice_issuer_name": "Amazon Web Services",
        "provider_name": "Amazon Web Services",
        "publisher_name": "Amazon Web Services",
        "service_name": "Amazon Elastic Compute Cloud",
    }
    return FocusRow.model_validate(stated | fields)


def purchase(billed: str, end: datetime) -> FocusRow:
    return row(
        charge_category="Purchase",
        charge_frequency="One-Time",
        charge_period_end=end,
        billed_cost=billed,
        effective_cost="0",
        list_cost=billed,
        contracted_cost=billed,
        list_unit_price=billed,
        contracted_unit_price=billed,
        pricing_category="Standard",
        commitment_discount_status=None,
    )


def savings_plan(used: int) -> list[FocusRow]:
    """aws_savings_plan_all_upfront_{100,75,50,0}pct.csv of the specification (commitment_discount_scenarios, read
    2026-11): $459,024 for a year, its first day hour by hour at $52.40, the first ``used`` hours used."""
    hours = [
        row(
            charge_period_start=START + hour * HOUR,
            charge_period_end=START + (hour + 1) * HOUR,
            commitment_discount_status="Used" if hour < used else "Unused",
        )
        for hour in range(24)
    ]
    return [purchase("459024.00", datetime(2027, 2, 1, tzinfo=UTC)), *hours]


@pytest.mark.parametrize("used", [24, 18, 12, 0])
def test_the_published_savings_plans_keep_every_rule(used: int) -> None:
    assert violations(savings_plan(used)) == []


def test_the_published_commitment_that_nobody_used_keeps_every_rule() -> None:
    """zero_percent_utilization_without_commitment_discount_flexibility.csv: 1.50 bought for an hour and not used, and
    2.00 paid for another machine on demand."""
    bought = purchase("1.50", START + HOUR)
    unused = row(
        effective_cost="1.50",
        list_cost="3.00",
        list_unit_price="3.00",
        contracted_cost="1.50",
        contracted_unit_price="1.50",
        commitment_discount_status="Unused",
    )
    on_demand = row(
        billed_cost="2.00",
        effective_cost="2.00",
        list_cost="2.00",
        list_unit_price="2.00",
        contracted_cost="2.00",
        contracted_unit_price="2.00",
        pricing_category="Standard",
        commitment_discount_id=None,
        commitment_discount_status=None,
    )
    assert violations([bought, unused, on_demand]) == []


@pytest.mark.parametrize(
    ("index", "fields", "says"),
    [
        (0, {"effective_cost": Decimal("1")}, "purchase that covers future charges is 1, not 0"),
        (1, {"billed_cost": Decimal("52.40")}, "BilledCost of what a commitment covers"),
        (1, {"commitment_discount_status": None}, "CommitmentDiscountStatus"),
        (1, {"pricing_category": "Standard"}, "PricingCategory is Committed where"),
        (1, {"effective_cost": Decimal("60")}, "usage amortises 1265.20, but 1257.60 was bought"),
        (1, {"list_unit_price": Decimal("70")}, "ListCost is not ListUnitPrice × PricingQuantity"),
        (1, {"charge_period_end": START}, "ChargePeriodStart is not before"),
        (1, {"billing_currency": "EUR"}, "rows are in EUR and USD"),
        (0, {"consumed_quantity": Decimal("1")}, "a purchase consumes nothing"),
    ],
)
def test_a_broken_rule_is_named(index: int, fields: dict[str, Any], says: str) -> None:
    rows = savings_plan(18)
    rows[index] = rows[index].model_copy(update=fields)
    assert any(says in text for text in violations(rows))


def test_a_commitment_without_purchase_is_named() -> None:
    assert violations(savings_plan(18)[1:]) == ["sp-abc123def456: no purchase of it is there"]


# --- rows of ours --------------------------------------------------------------------------------------------------

RENTED = Supplier("l4", "gcp", "us-east4", "g2-standard-8", "OnDemand")
SPOT = Supplier("l4-spot", "gcp", "us-east4", "g2-standard-8", "Spot")
OWNED = Supplier("dgx", "own data centre", None, "8 x H100-SXM-80GB", "Owned")
CHARGES = [
    Charge(RENTED, "vision/resnet", Fraction(2), Fraction("1.92")),
    Charge(SPOT, "vision/resnet", Fraction(2), Fraction("0.77")),
    Charge(OWNED, "chat/llama", Fraction(3), Fraction("5.55")),
    Charge(OWNED, "chat/other", Fraction(1, 7), Fraction(1, 3)),
    Charge(OWNED, None, Fraction(34, 7), Fraction("8.1")),
]


def periods(count: int, step: timedelta) -> list[Period]:
    end = datetime(2026, 3, 1, tzinfo=UTC)
    return [Period(START + n * step, START + (n + 1) * step, START, end) for n in range(count)]


def test_our_rows_keep_every_rule_and_name_every_column() -> None:
    rows = list(focus_rows(CHARGES, periods(3, timedelta(days=1)), "acme"))
    assert violations(rows) == []
    assert set(rows[0].model_dump(by_alias=True)) == set(COLUMNS)
    assert {"BilledCost", "EffectiveCost", "CommitmentDiscountStatus", "SkuPriceId", "RegionId"} <= set(COLUMNS)


def test_cloud_and_owned_stand_in_one_table_and_add_up() -> None:
    rows = list(focus_rows(CHARGES, periods(1, timedelta(days=1)), "acme"))
    billed, effective = sum(one.billed_cost for one in rows), sum(one.effective_cost for one in rows)
    usd = 24 * sum((charge.usd_per_hour for charge in CHARGES), Fraction(0))
    assert billed == effective == pytest.approx(Decimal(float(usd)), abs=Decimal("1e-8"))
    kinds = {(one.provider_name, one.charge_category, one.pricing_category) for one in rows}
    assert kinds == {
        ("gcp", "Usage", "Standard"),
        ("gcp", "Usage", "Dynamic"),
        ("own data centre", "Purchase", "Standard"),
        ("own data centre", "Usage", "Committed"),
    }


def test_what_is_owned_and_not_held_is_unused() -> None:
    rows = list(focus_rows(CHARGES, periods(1, HOUR), "acme"))
    (unused,) = [one for one in rows if one.commitment_discount_status == "Unused"]
    assert (unused.effective_cost, unused.billed_cost) == (Decimal("8.1"), 0)
    assert unused.consumed_quantity is None and unused.resource_id is None


def test_every_dollar_has_its_workload_and_namespace() -> None:
    rows = list(focus_rows(CHARGES, periods(1, HOUR), "acme"))
    by_namespace: dict[str | None, Decimal] = {}
    for one in rows:
        if one.charge_category == "Usage":
            by_namespace[one.sub_account_id] = by_namespace.get(one.sub_account_id, Decimal(0)) + one.effective_cost
    assert by_namespace == {
        "vision": Decimal("2.69"),
        "chat": Decimal("5.55") + Decimal("0.3333333333"),
        None: Decimal("8.1"),
    }
