"""The comparison of a scenario's options: what each costs, against the baseline, and what would change that.

Money is exact inside (Decimals of 80 digits) and rounded once, for the result. What is not defined is None, with the
reason under the key of the field in ``reasons``.
"""

from collections.abc import Mapping
from decimal import Decimal, localcontext
from typing import Literal

from pydantic import Field

from berth_cost.ownership.amount import Number, add_up, cents, figure, unit_price
from berth_cost.ownership.bill import Bill, bill_of
from berth_cost.ownership.cash_flow import (
    NoRate,
    discount_factors,
    internal_rate,
    present_value,
    years_of,
)
from berth_cost.ownership.inputs import numbers_of
from berth_cost.ownership.levelized import DIGITS, usd_per_year
from berth_cost.ownership.plausibility import Flag, contradictions_of, flags_of, other_gpus
from berth_cost.ownership.pricing import Freshness, Priced, ScenarioError, ScenarioFlaw, priced
from berth_cost.ownership.ranges import unknown_inputs
from berth_cost.ownership.scaling import Scaling, scaling_of
from berth_cost.ownership.scenario import Compounding, Option, Owned, Scenario
from berth_cost.ownership.sensitivity import Distribution, InputSensitivity, distribution_of, sensitivity_of
from berth_cost.prices.book import PriceBook
from berth_cost.record import Record
from berth_cost.spending.carbon import CarbonTable


class OptionResult(Record):
    """One option over the horizon, undiscounted where nothing else is said."""

    name: str
    kind: Literal["owned", "rented", "reserved"]
    total_usd: Decimal
    per_month_usd: Decimal
    per_gpu_usd: Decimal
    per_gpu_hour_provisioned_usd: Decimal
    per_gpu_hour_used_usd: Decimal | None
    levelized_usd_per_gpu_hour: Decimal | None
    """Per used GPU-hour, with the cost of capital (capital recovery factor at the discount rate)."""
    per_million_requests_usd: Decimal | None
    per_million_tokens_usd: Decimal | None
    up_front_usd: Decimal
    breakdown_usd: dict[str, Decimal]
    """By item; sums to ``total_usd``. What is got back at the end is ``residual``, negative."""
    saving_usd: Decimal | None
    """Against the baseline."""
    npv_usd: Decimal | None
    irr_percent: float | None
    """Effective, a year."""
    roi_percent: float | None
    payback_months: float | None
    break_even_hours: float | None
    break_even_utilization_percent: float | None
    k_wh: float | None
    t_co2e: float | None
    reasons: dict[str, str]
    """By field: why it is null, or what to know about it."""
    sources: tuple[str, ...]
    """Where looked-up numbers come from, with their dates."""


class DemandResult(Record):
    gpus: Decimal
    utilization_percent: Decimal
    requests_per_second: Decimal | None
    tokens_per_request: Decimal | None
    sized_from: str | None = None
    """The workload file that the planner turned into GPUs, and what it chose."""


class Comparison(Record):
    """What ``berth cost compare`` answers. Money is US dollars, as decimal strings."""

    kind: Literal["Comparison"] = "Comparison"
    horizon_months: int
    hours_per_month: Decimal
    discount_rate_percent: Decimal | None
    compounding: Compounding
    demand: DemandResult
    baseline: str
    cheapest: str
    options: tuple[OptionResult, ...]
    flags: tuple[Flag, ...]
    """What looks wrong in the input; it was used as stated."""
    sensitivity: tuple[InputSensitivity, ...]
    """One input at a time, the one that matters most first."""
    distribution: Distribution | None = Field(default=None)
    """All inputs at once; with ``--draws``."""
    scaling: Scaling | None = None
    """The cheapest option by size; with ``--scaling`` or ``--plots``."""


def compare(
    scenario: Scenario,
    book: PriceBook,
    carbon: CarbonTable,
    *,
    draws: int = 0,
    seed: int = 0,
    scaling: bool = False,
    sized_from: str | None = None,
    sized_gpu: str | None = None,
    freshness: Freshness | None = None,
) -> Comparison:
    """The comparison; ``demand.gpus`` is known. ``sized_gpu`` is the GPU that it is counted in, where the planner did;
    without ``freshness`` no price is too old.

    Raises :class:`~berth_cost.ownership.pricing.ScenarioError`."""
    if flaws := contradictions_of(scenario):
        raise ScenarioError(flaws)
    found = priced(scenario, book, carbon, freshness)
    asked = found.scenario
    if unknown := unknown_inputs(asked):
        known = ", ".join(numbers_of(asked))
        raise ScenarioError(
            ScenarioFlaw(f"ranges.{name}", f"is no input of this scenario; there are {known}") for name in unknown
        )
    assert asked.demand.gpus is not None and asked.demand.utilization_percent is not None
    with localcontext(prec=DIGITS):
        results = _results(found)
        return Comparison(
            horizon_months=asked.horizon_months,
            hours_per_month=asked.hours_per_month,
            discount_rate_percent=asked.discount_rate_percent,
            compounding=asked.compounding,
            demand=DemandResult(
                gpus=asked.demand.gpus,
                utilization_percent=asked.demand.utilization_percent,
                requests_per_second=asked.demand.requests_per_second,
                tokens_per_request=asked.demand.tokens_per_request,
                sized_from=sized_from,
            ),
            baseline=asked.baseline,
            cheapest=min(results, key=lambda result: result.total_usd).name,
            options=tuple(results),
            flags=(*_old_prices(found), *other_gpus(asked, book, sized_gpu), *flags_of(asked, book)),
            sensitivity=sensitivity_of(asked),
            distribution=distribution_of(asked, draws, seed) if draws else None,
            scaling=scaling_of(asked) if scaling else None,
        )


def _old_prices(found: Priced) -> list[Flag]:
    return [Flag(input=name, message=message) for name, message in found.old]


def _results(found: Priced) -> list[OptionResult]:
    scenario = found.scenario
    bills = {option.name: bill_of(option, scenario) for option in scenario.options}
    return [_result(option, bills, found) for option in scenario.options]


def _result(option: Option, bills: Mapping[str, Bill], found: Priced) -> OptionResult:
    scenario, bill = found.scenario, bills[option.name]
    gpus, used = scenario.demand.gpus, scenario.demand.utilization_percent
    assert gpus is not None and used is not None
    reasons: dict[str, str] = {}
    items = bill.items(scenario.horizon_months)
    total = Decimal(sum(items.values()))
    provisioned = gpus * scenario.hours_per_month * scenario.horizon_months
    if not used:
        reasons["perGPUHourUsedUSD"] = "no GPU-hour is used at utilizationPercent 0"
    against = _against_baseline(option, bills, scenario, total, reasons)
    k_wh, tonnes = _energy(option, bill, found, reasons)
    requests = scenario.demand.requests_per_second
    million_requests = (
        None if requests is None else (requests * 3600 * scenario.hours_per_month * scenario.horizon_months / 10**6)
    )
    tokens = scenario.demand.tokens_per_request
    return OptionResult(
        name=option.name,
        kind=option.kind,
        total_usd=cents(total),
        per_month_usd=cents(total / scenario.horizon_months),
        per_gpu_usd=cents(total / gpus),
        per_gpu_hour_provisioned_usd=unit_price(total / provisioned),
        per_gpu_hour_used_usd=unit_price(total / provisioned / used * 100) if used else None,
        levelized_usd_per_gpu_hour=_levelized(bill, scenario, reasons),
        per_million_requests_usd=unit_price(total / million_requests) if million_requests else None,
        per_million_tokens_usd=unit_price(total / million_requests / tokens) if million_requests and tokens else None,
        up_front_usd=cents(bill.up_front()),
        breakdown_usd=add_up({name: usd for name, usd in items.items() if usd}, cents(total)),
        **against,
        k_wh=k_wh,
        t_co2e=tonnes,
        reasons=dict(sorted(reasons.items())),
        sources=tuple(found.sources[option.name]),
    )


# --- against the baseline ----------------------------------------------------------------------------------------

COMPARED = {  # the figures that need a baseline, by their names in JSON
    "saving_usd": "savingUSD",
    "npv_usd": "npvUSD",
    "irr_percent": "irrPercent",
    "roi_percent": "roiPercent",
    "payback_months": "paybackMonths",
    "break_even_hours": "breakEvenHours",
    "break_even_utilization_percent": "breakEvenUtilizationPercent",
}


def _against_baseline(
    option: Option, bills: Mapping[str, Bill], scenario: Scenario, total: Decimal, reasons: dict[str, str]
) -> dict[str, Number]:
    """The figures that need another option. Investment: what is spent up front beyond the baseline's own."""
    if option.name == scenario.baseline:
        reasons.update(dict.fromkeys(COMPARED.values(), "it is the baseline: there is nothing to compare it with"))
        return dict.fromkeys(COMPARED)
    bill, baseline = bills[option.name], bills[scenario.baseline]
    baseline_total = Decimal(sum(baseline.items(scenario.horizon_months).values()))
    gained = baseline.flows(scenario.horizon_months) - bill.flows(scenario.horizon_months)
    investment = Decimal(bill.up_front() - baseline.up_front())
    monthly_saving = Decimal(baseline.monthly_total() - bill.monthly_total())
    payback = _payback(investment, monthly_saving, scenario, reasons)
    return {
        "saving_usd": cents(baseline_total - total),
        "npv_usd": _npv(gained, scenario, reasons),
        "irr_percent": _irr(gained, scenario, reasons),
        "roi_percent": figure((baseline_total - total) / investment * 100) if investment > 0 else None,
        "payback_months": None if payback is None else figure(payback),
        "break_even_hours": None if payback is None else figure(payback * scenario.hours_per_month),
        "break_even_utilization_percent": _break_even_utilization(total, baseline, baseline_total, scenario, reasons),
    }


def _payback(
    investment: Decimal, monthly_saving: Decimal, scenario: Scenario, reasons: dict[str, str]
) -> Decimal | None:
    """Months until the running cost saved against the baseline has paid for the investment; not discounted."""
    keys = ("paybackMonths", "breakEvenHours")
    if investment <= 0:
        why = "nothing is invested: it spends no more up front than the baseline"
        reasons.update(dict.fromkeys((*keys, "roiPercent"), why))
        return None
    if monthly_saving <= 0:
        more = f"${-monthly_saving:,.2f} a month more to run than" if monthly_saving else "as much to run as"
        reasons.update(dict.fromkeys(keys, f"never: it costs {more} the baseline"))
        return None
    months = investment / monthly_saving
    if months > scenario.horizon_months:
        after = f"after the horizon of {scenario.horizon_months} months"
        reasons.update(dict.fromkeys(keys, f"{after}: it does not pay back within it"))
    return months


def _npv(gained: Number, scenario: Scenario, reasons: dict[str, str]) -> Decimal | None:
    if scenario.discount_rate_percent is None:
        reasons["npvUSD"] = "no discountRatePercent is stated"
        return None
    factors = discount_factors(scenario.discount_rate_percent / 100, scenario.horizon_months, scenario.compounding)
    return cents(Decimal(present_value(gained, factors)))


def _irr(gained: Number, scenario: Scenario, reasons: dict[str, str]) -> float | None:
    years = [float(year) for year in years_of(scenario.horizon_months, scenario.compounding)]
    rate = internal_rate([float(flow) for flow in gained], years)
    if isinstance(rate, NoRate):
        reasons["irrPercent"] = rate.reason
        return None
    return figure(rate * 100)


def _break_even_utilization(
    total: Decimal, baseline: Bill, baseline_total: Decimal, scenario: Scenario, reasons: dict[str, str]
) -> float | None:
    """The share of all GPU-hours that, bought at the baseline's price per GPU-hour, costs as much as this option."""
    if not baseline.billed_gpu_hours or baseline_total <= 0:
        reasons["breakEvenUtilizationPercent"] = "the baseline has no price per GPU-hour here"
        return None
    assert scenario.demand.gpus is not None
    per_hour = baseline_total / (baseline.billed_gpu_hours * scenario.horizon_months)
    hours = scenario.demand.gpus * scenario.hours_per_month * scenario.horizon_months
    share = total / (hours * per_hour) * 100
    if share > 100:
        reasons["breakEvenUtilizationPercent"] = "above 100: it costs more than the baseline at any utilisation"
    return figure(share)


# --- cost of capital, energy -------------------------------------------------------------------------------------


def _levelized(bill: Bill, scenario: Scenario, reasons: dict[str, str]) -> Decimal | None:
    """A year's cost with that of capital, per used GPU-hour of a year."""
    key = "levelizedUSDPerGPUHour"
    used, gpus = scenario.demand.utilization_percent, scenario.demand.gpus
    if scenario.discount_rate_percent is None:
        reasons[key] = "no discountRatePercent is stated"
        return None
    if not used or gpus is None:
        reasons[key] = "no GPU-hour is used at utilizationPercent 0"
        return None
    a_year = usd_per_year(bill, scenario.discount_rate_percent / 100, scenario.horizon_months)
    return unit_price(a_year / (12 * gpus * scenario.hours_per_month * used / 100))


def _energy(option: Option, bill: Bill, found: Priced, reasons: dict[str, str]) -> tuple[float | None, float | None]:
    """(kWh of the site, PUE included; tonnes of CO2 equivalent) over the horizon."""
    scenario = found.scenario
    block = option.block
    draw = block.power if isinstance(block, Owned) else block.energy
    if draw is None or bill.site_kw is None:
        why = "no measured draw is stated: add power" if option.kind == "owned" else "no draw is stated: add energy"
        reasons.update({"kWh": why, "tCO2e": why})
        return None, None
    k_wh = bill.site_kw * scenario.hours_per_month * scenario.horizon_months
    if draw.g_co2e_per_kwh is None:
        reasons["tCO2e"] = found.intensities[option.name]
        return figure(k_wh), None
    return figure(k_wh), figure(k_wh * draw.g_co2e_per_kwh / 10**6)
