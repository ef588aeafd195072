"""Cost rows of FOCUS 1.2 (FinOps Open Cost and Usage Specification, June 2025), cloud and owned in one table.

What is rented by the hour is a Usage row: billed as it is used. What is committed to (a reservation, or nodes that one
owns) is bought by a Purchase row, whose effective cost is 0 because it covers the hours to come, and used up by Usage
rows that are billed at 0 and carry the effective cost: Used where somebody holds it, Unused where nobody does.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, PlainSerializer
from pydantic.alias_generators import to_pascal

VERSION = "1.2"
PLACES = 10
"""Decimals of money: an hour of a slice of a GPU is not rounded away, and sums are exact."""


def money(usd: Fraction) -> Decimal:
    return Decimal(round(usd * 10**PLACES)).scaleb(-PLACES)


def _plain(amount: Decimal | None) -> str | None:
    return None if amount is None else format(amount.normalize(), "f")


Money = Annotated[Decimal, PlainSerializer(_plain, when_used="json")]
Category = Literal["Usage", "Purchase", "Tax", "Credit", "Adjustment"]
PricingCategory = Literal["Standard", "Dynamic", "Committed", "Other"]
PRICING_CATEGORIES: dict[str, PricingCategory] = {"OnDemand": "Standard", "Spot": "Dynamic"}
"""By capacity type; any other is committed."""


class FocusRow(BaseModel):
    """One charge. Names are those of the specification; None is null. Money and quantities are decimals."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_pascal, validate_by_name=True)

    billing_account_id: str
    billing_account_name: str | None = None
    billing_currency: str = "USD"
    billing_period_start: datetime
    billing_period_end: datetime
    charge_period_start: datetime
    charge_period_end: datetime
    charge_category: Category
    charge_class: Literal["Correction"] | None = None
    charge_description: str | None
    charge_frequency: Literal["One-Time", "Recurring", "Usage-Based"]
    billed_cost: Money
    effective_cost: Money
    list_cost: Money
    contracted_cost: Money
    list_unit_price: Money | None
    contracted_unit_price: Money | None
    pricing_category: PricingCategory | None
    pricing_quantity: Money | None
    pricing_unit: str | None
    consumed_quantity: Money | None = None
    consumed_unit: str | None = None
    commitment_discount_id: str | None = None
    commitment_discount_name: str | None = None
    commitment_discount_category: Literal["Spend", "Usage"] | None = None
    commitment_discount_type: str | None = None
    commitment_discount_status: Literal["Used", "Unused"] | None = None
    commitment_discount_quantity: Money | None = None
    commitment_discount_unit: str | None = None
    invoice_issuer_name: str
    provider_name: str
    publisher_name: str
    region_id: str | None = None
    region_name: str | None = None
    availability_zone: str | None = None
    resource_id: str | None = None
    resource_name: str | None = None
    resource_type: str | None = None
    service_category: str = "Compute"
    service_subcategory: str = "Virtual Machines"
    service_name: str
    sku_id: str | None = None
    sku_price_id: str | None = None
    sub_account_id: str | None = None
    sub_account_name: str | None = None
    tags: dict[str, str] | None = None


COLUMNS = tuple(field.alias or name for name, field in FocusRow.model_fields.items())
"""In the order of a row."""


@dataclass(frozen=True, slots=True)
class Supplier:
    """Who sells a kind of node, and what it is called."""

    pool: str
    provider: str
    region: str | None
    sku: str
    bought: Literal["OnDemand", "Spot", "Reserved", "Owned"]

    @property
    def committed(self) -> bool:
        return self.bought in ("Reserved", "Owned")


@dataclass(frozen=True, slots=True)
class Charge:
    """What one holder takes of a supplier's GPUs for an hour; ``workload`` None: nobody, it is idle.

    ``usd_per_hour`` is of all ``gpus`` together.
    """

    supplier: Supplier
    workload: str | None
    gpus: Fraction
    usd_per_hour: Fraction


@dataclass(frozen=True, slots=True)
class Period:
    """The hours that rows are about, and the billing period that they fall in."""

    start: datetime
    end: datetime
    billing_start: datetime
    billing_end: datetime

    @property
    def hours(self) -> Fraction:
        return Fraction(round((self.end - self.start).total_seconds()), 3600)


def focus_rows(charges: Sequence[Charge], periods: Iterable[Period], account: str) -> Iterator[FocusRow]:
    """The rows of each period: what was bought for it, then what was used of it, by pool and workload."""
    ordered = sorted(charges, key=lambda one: (one.supplier.pool, one.workload is None, one.workload or ""))
    for period in periods:
        usages = [_usage(charge, period, account) for charge in ordered if charge.usd_per_hour > 0]
        committed = [row for row in usages if row.commitment_discount_id is not None]
        for supplier in dict.fromkeys(charge.supplier for charge in ordered if charge.supplier.committed):
            own = [row for row in committed if row.commitment_discount_id == _commitment(supplier)]
            if own:
                yield _purchase(supplier, own, period, account)
        yield from usages


def _usage(charge: Charge, period: Period, account: str) -> FocusRow:
    supplier = charge.supplier
    cost = money(charge.usd_per_hour * period.hours)
    quantity = money(charge.gpus * period.hours)
    unit_price = money(Fraction(cost) / Fraction(quantity))
    used = charge.workload is not None
    namespace, _, name = (charge.workload or "").partition("/")
    what = f"{charge.workload} on {supplier.sku}" if used else f"{supplier.sku} that nobody holds"
    commitment: dict[str, Any] = (
        {
            **_commitment_columns(supplier),
            "commitment_discount_status": "Used" if used else "Unused",
            "commitment_discount_quantity": quantity,
        }
        if supplier.committed
        else {}
    )
    unused = supplier.committed and not used
    return FocusRow(
        **_common(supplier, period, account),
        charge_category="Usage",
        charge_description=what,
        charge_frequency="Usage-Based",
        billed_cost=Decimal(0) if supplier.committed else cost,
        effective_cost=cost,
        list_cost=cost,
        contracted_cost=cost,
        list_unit_price=unit_price,
        contracted_unit_price=unit_price,
        pricing_category=PRICING_CATEGORIES.get(supplier.bought, "Committed"),
        pricing_quantity=quantity,
        pricing_unit="GPU-Hours",
        consumed_quantity=None if unused else quantity,
        consumed_unit=None if unused else "GPU-Hours",
        resource_id=None if unused else f"{supplier.pool}/{charge.workload or 'idle'}",
        resource_name=None if unused else name or "idle",
        resource_type=None if unused else ("InferenceWorkload" if used else "Node"),
        sub_account_id=namespace or None,
        sub_account_name=namespace or None,
        tags={"berthmaster.dev/pool": supplier.pool}
        | ({"berthmaster.dev/workload": charge.workload or ""} if used else {}),
        **commitment,
    )


def _purchase(supplier: Supplier, usages: Sequence[FocusRow], period: Period, account: str) -> FocusRow:
    """What is due for a commitment in the period: just what its usage rows amortise, to the last decimal."""
    cost = sum((row.effective_cost for row in usages), Decimal(0))
    what = "depreciation and running cost of nodes that are owned" if supplier.bought == "Owned" else "reservation"
    return FocusRow(
        **_common(supplier, period, account),
        charge_category="Purchase",
        charge_description=f"{supplier.sku}: {what}",
        charge_frequency="Recurring",
        billed_cost=cost,
        effective_cost=Decimal(0),
        list_cost=cost,
        contracted_cost=cost,
        list_unit_price=cost,
        contracted_unit_price=cost,
        pricing_category="Standard",
        pricing_quantity=Decimal(1),
        pricing_unit="Units",
        resource_id=_commitment(supplier),
        resource_name=supplier.pool,
        resource_type="Commitment",
        **_commitment_columns(supplier),
    )


def _common(supplier: Supplier, period: Period, account: str) -> dict[str, Any]:
    return {
        "billing_account_id": account,
        "billing_period_start": period.billing_start,
        "billing_period_end": period.billing_end,
        "charge_period_start": period.start,
        "charge_period_end": period.end,
        "invoice_issuer_name": supplier.provider,
        "provider_name": supplier.provider,
        "publisher_name": supplier.provider,
        "region_id": supplier.region,
        "region_name": supplier.region,
        "service_name": "GPU nodes",
        "sku_id": supplier.sku,
        "sku_price_id": f"{supplier.sku}/{supplier.bought}",
    }


def _commitment(supplier: Supplier) -> str:
    return f"{supplier.bought.lower()}/{supplier.pool}"


def _commitment_columns(supplier: Supplier) -> dict[str, Any]:
    return {
        "commitment_discount_id": _commitment(supplier),
        "commitment_discount_name": supplier.pool,
        "commitment_discount_category": "Usage",
        "commitment_discount_type": supplier.bought,
        "commitment_discount_unit": "GPU-Hours",
    }


# --- invariants ----------------------------------------------------------------------------------------------------

CENT = Decimal("0.01")


def violations(rows: Sequence[FocusRow]) -> list[str]:
    """Which of the specification's rules about cost the rows break, in words; empty where they hold."""
    found = [text for index, row in enumerate(rows) for text in _row_violations(row, f"row {index}")]
    currencies = sorted({row.billing_currency for row in rows})
    if len(currencies) > 1:
        found.append(f"rows are in {' and '.join(currencies)}: costs of several currencies do not add up")
    for commitment in sorted({row.commitment_discount_id for row in rows if row.commitment_discount_id}):
        found += _commitment_violations(commitment, [row for row in rows if row.commitment_discount_id == commitment])
    return found


def _row_violations(row: FocusRow, name: str) -> Iterator[str]:
    usage, committed = row.charge_category == "Usage", row.commitment_discount_id is not None
    if row.charge_period_start >= row.charge_period_end:
        yield f"{name}: ChargePeriodStart is not before ChargePeriodEnd"
    if row.billing_period_start >= row.billing_period_end:
        yield f"{name}: BillingPeriodStart is not before BillingPeriodEnd"
    if row.charge_category == "Purchase" and committed and row.effective_cost != 0:
        yield f"{name}: EffectiveCost of a purchase that covers future charges is {row.effective_cost}, not 0"
    if usage and committed and row.billed_cost != 0:
        yield f"{name}: BilledCost of what a commitment covers is {row.billed_cost}, not 0"
    if committed and usage != (row.commitment_discount_status is not None):
        yield f"{name}: CommitmentDiscountStatus is stated on usage, and on usage alone"
    if usage and (row.pricing_category == "Committed") != committed:
        yield f"{name}: PricingCategory is Committed where there is a commitment, and only there"
    if row.charge_category == "Purchase" and row.consumed_quantity is not None:
        yield f"{name}: a purchase consumes nothing"
    for cost, price in (("list_cost", "list_unit_price"), ("contracted_cost", "contracted_unit_price")):
        unit_price = getattr(row, price)
        if unit_price is not None and row.pricing_quantity is not None:
            product = unit_price * row.pricing_quantity
            if abs(product - getattr(row, cost)) > CENT:
                yield f"{name}: {to_pascal(cost)} is not {to_pascal(price)} × PricingQuantity"


def _commitment_violations(commitment: str, rows: Sequence[FocusRow]) -> Iterator[str]:
    """What was bought is used up: Used and Unused together cost the purchase's share of the time that rows cover."""
    purchases = [row for row in rows if row.charge_category == "Purchase"]
    usages = [row for row in rows if row.charge_category == "Usage"]
    if not purchases or not usages:
        yield f"{commitment}: {'no purchase' if not purchases else 'no usage'} of it is there"
        return
    covered = {(row.charge_period_start, row.charge_period_end) for row in usages}
    due = Fraction(0)
    for row in purchases:
        whole = (row.charge_period_end - row.charge_period_start).total_seconds()
        inside = sum(
            (end - start).total_seconds()
            for start, end in covered
            if row.charge_period_start <= start and end <= row.charge_period_end
        )
        due += Fraction(row.billed_cost) * Fraction(round(inside), round(whole))
    used = sum((row.effective_cost for row in usages), Decimal(0))
    if abs(Fraction(used) - due) > Fraction(CENT):
        yield f"{commitment}: usage amortises {used:.2f}, but {float(due):.2f} was bought for its time"
