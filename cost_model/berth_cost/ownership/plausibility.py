"""What looks wrong in a scenario although it can be computed: units that were mixed up, costs counted twice."""

from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache

from berth_cost.ownership.bill import bill_of, capex, gpus_of, power_usd_per_month, total, used_share
from berth_cost.ownership.inputs import numbers_of
from berth_cost.ownership.pricing import ScenarioFlaw
from berth_cost.ownership.scenario import (
    STATED_POWER_TOLERANCE_PERCENT,
    Option,
    Owned,
    Scenario,
)
from berth_cost.prices.book import InstanceShape, PriceBook
from berth_cost.record import Record

NODE_SIZES = (2, 4, 8, 16)
SUSPICIOUS_RATIO = 6
"""Between two prices per GPU-hour of one scenario: a whole node of eight is 8 times one GPU."""


class Flag(Record):
    """``input`` as ``rented.usdPerGPUHour``; the value was used as stated."""

    input: str
    message: str


def contradictions_of(scenario: Scenario) -> list[ScenarioFlaw]:
    """Statements that cannot both be true: a power bill that the measured draw does not give."""
    flaws = []
    for index, option in enumerate(scenario.options):
        power = option.owned.power if option.owned is not None else None
        if power is None or power.stated_usd_per_year is None or option.owned is None:
            continue
        computed = 12 * power_usd_per_month(
            power, option.owned.colocation, used_share(scenario), scenario.hours_per_month
        )
        off = abs(power.stated_usd_per_year - computed) * 100
        if off > STATED_POWER_TOLERANCE_PERCENT * computed:
            ratio = f", {power.stated_usd_per_year / computed:.1f} times as much as" if computed else ", where"
            flaws.append(
                ScenarioFlaw(
                    f"options[{index}].owned.power.statedUSDPerYear",
                    f"${power.stated_usd_per_year:,.0f} a year is inconsistent{ratio} draw × PUE × hours × tariff"
                    f" gives: ${computed:,.0f}",
                )
            )
    return flaws


def flags_of(scenario: Scenario, book: PriceBook) -> list[Flag]:
    """In the order of the scenario. ``scenario`` has its prices looked up."""
    return [
        *_unusual_numbers(scenario),
        *(flag for option in scenario.options for flag in _option_flags(option, scenario)),
        *_node_prices(scenario, book),
    ]


def other_gpus(scenario: Scenario, book: PriceBook, gpu: str | None) -> list[Flag]:
    """Options whose instance type has another GPU than the one that the demand was sized with."""
    flags = []
    for option in scenario.options:
        asked = None if isinstance(option.block, Owned) else option.block.price
        shape = None if asked is None else book.instance(asked.cloud, asked.instance_type)
        if gpu is not None and asked is not None and isinstance(shape, InstanceShape) and shape.gpu != gpu:
            message = (
                f"{asked.instance_type} has {shape.gpu}, but the demand is counted in {gpu}: they serve other rates"
            )
            flags.append(Flag(input=f"{option.name}.price.instanceType", message=message))
    return flags


# --- one number at a time ----------------------------------------------------------------------------------------

_UNUSUAL: dict[str, tuple[Callable[[Decimal], bool], str]] = {
    "utilizationPercent": (lambda value: 0 < value <= 1, "is at most 1 %: is it a share, where 70 means 70 %?"),
    "discountRatePercent": (lambda value: value < 0, "is negative: money later is worth more than money now"),
    "hoursPerMonth": (lambda value: not 672 <= value <= 744, "is no month's number of hours: 720 and 730 are usual"),
    "usdPerKWh": (lambda value: value > 1, "is above $1 a kWh: is it in cents?"),
    "pue": (lambda value: value > 3, "is above every measured one (industry mean 1.54, 2025)"),
    "usdPerKWMonth": (lambda value: not 50 <= value <= 500, "is outside $50 to $500 a kW and month: is it a year's?"),
    "gCO2ePerKWh": (lambda value: 0 < value < 2 or value > 1500, "is outside 2 to 1,500 g: is it in kg?"),
    "usdPerYear": (lambda value: value < 10_000 or value > 1_000_000, "is no pay of a year: is it a month's?"),
    "maintenancePercentPerYear": (lambda value: value > 25, "is above 25 % of capex a year (1 to 5 % is usual)"),
    "supportPercent": (lambda value: value > 50, "is above half of the bill (5 % is usual)"),
    "lifeMonths": (lambda value: not 12 <= value <= 96, "is no life of servers (36 to 72 months): is it in years?"),
    "residualPercent": (lambda value: value > 75, "is above what anybody pays for used ones (60 to 70 % after a year)"),
}
"""By the last part of an input's name: when it is flagged, and what with."""


def _unusual_numbers(scenario: Scenario) -> Iterator[Flag]:
    for name, value in numbers_of(scenario).items():
        unusual, message = _UNUSUAL.get(name.rpartition(".")[2], (None, ""))
        if unusual is not None and unusual(value):
            yield Flag(input=name, message=f"{value} {message}")
    if scenario.demand.utilization_percent == 0:
        yield Flag(input="demand.utilizationPercent", message="0: nothing is used, and no price per used hour exists")


def _option_flags(option: Option, scenario: Scenario) -> Iterator[Flag]:
    draw = option.block.power if isinstance(option.block, Owned) else option.block.energy
    if scenario.carbon_usd_per_tonne is not None and (draw is None or draw.g_co2e_per_kwh is None):
        message = "no carbon is reckoned here: draw or grid are not known, and the others pay for theirs"
        yield Flag(input=option.name, message=message)
    if isinstance(option.block, Owned):
        yield from _owned_flags(option.name, option.block, scenario)
        return
    for name, usd in bill_of(option, scenario).items(scenario.horizon_months).items():
        if name == "committedBeyondHorizon" and usd:
            message = f"the last term outlasts the horizon: ${usd:,.2f} are owed after it, and counted"
            yield Flag(input=f"{option.name}.termMonths", message=message)


def _owned_flags(name: str, owned: Owned, scenario: Scenario) -> Iterator[Flag]:
    gpus = gpus_of(scenario)
    per_gpu = total(capex(owned, gpus)) / gpus
    if not 500 <= per_gpu <= 200_000:
        field = "capexUSD" if owned.capex_usd is not None else "perNode"
        message = f"comes to ${per_gpu:,.0f} a GPU: is it the price of all {gpus} GPUs, and not of one GPU or node?"
        yield Flag(input=f"{name}.{field}", message=message)
    if owned.opex_usd_per_month is not None and owned.opex_usd_per_month > total(capex(owned, gpus)) / 5:
        message = f"${owned.opex_usd_per_month:,.0f} a month is more than a fifth of the hardware: is it a year's?"
        yield Flag(input=f"{name}.opexUSDPerMonth", message=message)
    if owned.power is not None:
        per_gpu_kw = owned.power.busy_kw / gpus
        if not Decimal("0.03") <= per_gpu_kw <= 3:
            message = f"comes to {per_gpu_kw:.3g} kW a GPU: is it the draw of all {gpus} GPUs with their nodes?"
            yield Flag(input=f"{name}.power.busyKW", message=message)
        if owned.power.busy_kw == owned.power.idle_kw:
            message = "equals idleKW: a nameplate is no measurement; state what the machines draw idle and busy"
            yield Flag(input=f"{name}.power.busyKW", message=message)
        if owned.opex_usd_per_month:
            yield _twice(name, owned, scenario)
        if owned.colocation is not None and owned.power.pue > 1 and not owned.colocation.charges_pue:
            message = f"{owned.power.pue} counts in kWh and CO2e, not in the bill: the colocation covers cooling"
            yield Flag(input=f"{name}.power.pue", message=message)


def _twice(name: str, owned: Owned, scenario: Scenario) -> Flag:
    """A stated opex beside built-up power: perhaps the same money, and perhaps not the same figure."""
    assert owned.power is not None and owned.opex_usd_per_month is not None
    power = power_usd_per_month(owned.power, owned.colocation, used_share(scenario), scenario.hours_per_month)
    ratio = f" ({owned.opex_usd_per_month / power:.1f} times as much)" if power else ""
    message = (
        f"${owned.opex_usd_per_month:,.2f} a month{ratio} is added to ${power:,.2f} of power, built up from the draw;"
        " if it is meant to hold the power bill too, the two are inconsistent or counted twice: remove one"
    )
    return Flag(input=f"{name}.opexUSDPerMonth", message=message)


# --- a node's price where a GPU's is due -------------------------------------------------------------------------


def _node_prices(scenario: Scenario, book: PriceBook) -> Iterator[Flag]:
    """Prices per GPU-hour above all that the book has or many times those of the other options; and nodes as cheap as
    one GPU."""
    every = {option.name: _usd_per_gpu_hour(option, scenario) for option in scenario.options}
    rented = {option.name for option in scenario.options if not isinstance(option.block, Owned)}
    cheapest, dearest = _cheapest_and_dearest_gpu_hour(book)
    for option in scenario.options:
        block, price = option.block, every[option.name]
        # Beside other prices it is held against these; alone, against what the owned hardware costs.
        peers = rented if len(rented) > 1 else every.keys()
        others = [other for name, other in every.items() if name in peers and name != option.name and other > 0]
        if isinstance(block, Owned) or not price:
            continue
        if block.usd_per_gpu_hour is not None:
            message = _like_a_node(price, min(others, default=price), dearest)
            if cheapest is not None and price < cheapest:
                message = f"${price}/h for one GPU is below every GPU of the price book (from ${cheapest:.3g})"
            if message:
                yield Flag(input=f"{option.name}.usdPerGPUHour", message=message)
        elif block.per_node is not None and block.price is None and block.per_node.gpus > 1:
            least = min(others, default=price)
            if least >= SUSPICIOUS_RATIO * price:
                message = (
                    f"${block.per_node.usd_per_hour}/h for {block.per_node.gpus} GPUs is ${price:,.2f} for one,"
                    f" {least / price:.1f} times less than any other option: is it the price of one GPU?"
                )
                yield Flag(input=f"{option.name}.perNode.usdPerHour", message=message)


def _like_a_node(price: Decimal, least: Decimal, dearest: Decimal | None) -> str | None:
    """Why the price of a GPU-hour may be that of a node."""
    reasons = []
    if dearest is not None and price > dearest:
        reasons.append(f"above every GPU of the price book (up to ${dearest:,.2f})")
    if price >= SUSPICIOUS_RATIO * least:
        reasons.append(f"{price / least:.1f} times the cheapest other option")
    shares = ", ".join(f"${price / size:,.2f} with {size}" for size in NODE_SIZES)
    if not reasons:
        return None
    return f"${price}/h for one GPU is {' and '.join(reasons)}: is it a node's? A GPU's would be {shares}"


def _usd_per_gpu_hour(option: Option, scenario: Scenario) -> Decimal:
    """As it is charged; of owned hardware its cost over the horizon, over all hours."""
    block = option.block
    if isinstance(block, Owned):
        cost = Decimal(sum(bill_of(option, scenario).items(scenario.horizon_months).values()))
        hours: Decimal = gpus_of(scenario) * scenario.hours_per_month * scenario.horizon_months
        return cost / hours
    if block.per_node is not None:
        return block.per_node.usd_per_hour / block.per_node.gpus
    return block.usd_per_gpu_hour or Decimal(0)


@lru_cache(maxsize=4)
def _extremes(rows: tuple[tuple[Decimal, Fraction], ...]) -> tuple[Decimal | None, Decimal | None]:
    each = [Decimal(price) / Decimal(count.numerator) * count.denominator for price, count in rows]
    return min(each, default=None), max(each, default=None)


def _cheapest_and_dearest_gpu_hour(book: PriceBook) -> tuple[Decimal | None, Decimal | None]:
    """Of all GPUs of the book, whole ones or more a node."""
    rows = []
    for key, price in book.prices.items():
        shape = book.instances.get((key.cloud, key.instance_type))
        if shape is not None:
            rows.append((price.usd_per_node_hour, shape.gpu_count))
    return _extremes(tuple(rows))
