"""What would change the answer: one input at a time over its range, and all at once at random (Monte Carlo).

Both are one vectorised evaluation: a draw is a column, in floats. Random numbers come from the seed alone.
"""

from dataclasses import dataclass
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from berth_cost.ownership.amount import Number, cents, figure, unit_price
from berth_cost.ownership.bill import bill_of
from berth_cost.ownership.cash_flow import discount_factors, present_value
from berth_cost.ownership.inputs import in_floats
from berth_cost.ownership.ranges import WHOLE, Range, ranges_of
from berth_cost.ownership.scenario import Scenario
from berth_cost.record import Record

Floats = NDArray[np.float64]

STEPS = 101
"""Values of an input between its ends, to find where the answer flips."""
PERCENTILES = (5, 25, 50, 75, 95)
MOST_DRAWS = 1_000_000


class SavingRange(Record):
    """What one option saves against the baseline where the input is at an end of its range, USD over the horizon."""

    name: str
    saving_usd_at_low: Decimal
    saving_usd_at_high: Decimal


class InputSensitivity(Record):
    """One input from ``low`` to ``high``, all others as stated."""

    input: str
    low: Decimal
    base: Decimal
    high: Decimal
    source: str
    assumed: bool
    swing_usd: Decimal
    """Between the ends, of the option whose saving moves most."""
    options: tuple[SavingRange, ...]
    cheapest_at_low: str
    cheapest_at_high: str
    flips_at: float | None
    """The value nearest to the stated one at which another option becomes the cheapest; None: not in the range."""


class Percentiles(Record):
    mean: Decimal
    p5: Decimal
    p25: Decimal
    p50: Decimal
    p75: Decimal
    p95: Decimal


class OptionDistribution(Record):
    name: str
    total_usd: Percentiles
    per_gpu_hour_used_usd: Percentiles | None
    saving_usd: Percentiles | None
    npv_usd: Percentiles | None
    cheapest_percent: float
    """Of the draws."""
    saves_percent: float | None
    """Of the draws, against the baseline."""


class Distribution(Record):
    """All inputs drawn at once, each from a triangle over its range with its peak at the stated value."""

    draws: int
    seed: int
    options: tuple[OptionDistribution, ...]


@dataclass(frozen=True, slots=True)
class Totals:
    """Shapes (options, draws)."""

    usd: Floats
    npv_usd: Floats | None


def totals_of(scenario: Scenario, draws: dict[str, Floats], count: int, *, present_values: bool) -> Totals:
    """What the options cost where inputs have the values of ``draws``, shape (count,) each."""
    floats = in_floats(scenario, draws)
    horizon = scenario.horizon_months
    bills = [bill_of(option, floats) for option in floats.options]
    usd = np.array([np.broadcast_to(sum(bill.items(horizon).values()), count) for bill in bills])
    if not present_values or floats.discount_rate_percent is None:
        return Totals(usd, None)
    factors = discount_factors(floats.discount_rate_percent / 100, horizon, scenario.compounding)
    worth = [np.broadcast_to(present_value(bill.flows(horizon), factors), count) for bill in bills]
    at = _baseline(scenario)
    return Totals(usd, worth[at] - np.array(worth))


def _baseline(scenario: Scenario) -> int:
    return [option.name for option in scenario.options].index(scenario.baseline)


# --- one at a time -----------------------------------------------------------------------------------------------


def sensitivity_of(scenario: Scenario) -> tuple[InputSensitivity, ...]:
    """All inputs that have a range, the largest swing first."""
    ranges = ranges_of(scenario)
    count = len(ranges) * STEPS
    if not ranges or len(scenario.options) == 1:
        return ()
    draws = {}
    for row, each in enumerate(ranges):
        column = np.full(count, float(each.base))
        column[row * STEPS : (row + 1) * STEPS] = _steps(each)
        draws[each.input] = column
    totals = totals_of(scenario, draws, count, present_values=False).usd
    rows = [
        _row(each, scenario, totals[:, row * STEPS : (row + 1) * STEPS], _steps(each))
        for row, each in enumerate(ranges)
    ]
    kept = [row for row in rows if row.swing_usd]
    return tuple(sorted(kept, key=lambda row: (-row.swing_usd, row.input)))


def _steps(each: Range) -> Floats:
    steps = np.linspace(float(each.low), float(each.high), STEPS)
    return np.round(steps) if each.kind in WHOLE else steps


def _row(each: Range, scenario: Scenario, totals: Floats, steps: Floats) -> InputSensitivity:
    names, at = [option.name for option in scenario.options], _baseline(scenario)
    savings = totals[at] - totals
    cheapest = totals.argmin(axis=0)
    return InputSensitivity(
        input=each.input,
        low=each.low,
        base=each.base,
        high=each.high,
        source=each.source,
        assumed=each.assumed,
        swing_usd=cents(np.abs(savings[:, -1] - savings[:, 0]).max()),
        options=tuple(
            SavingRange(name=name, saving_usd_at_low=cents(savings[row, 0]), saving_usd_at_high=cents(savings[row, -1]))
            for row, name in enumerate(names)
            if row != at
        ),
        cheapest_at_low=names[cheapest[0]],
        cheapest_at_high=names[cheapest[-1]],
        flips_at=_flip(totals, cheapest, steps, float(each.base)),
    )


def _flip(totals: Floats, cheapest: NDArray[np.int64], steps: Floats, base: float) -> float | None:
    """Where two neighbours have different winners, the lines of these two cross in between."""
    found = []
    for step in np.flatnonzero(np.diff(cheapest)):
        first, second = cheapest[step], cheapest[step + 1]
        before = totals[second, step] - totals[first, step]
        after = totals[second, step + 1] - totals[first, step + 1]
        share = before / (before - after) if before != after else 0.5
        found.append(steps[step] + share * (steps[step + 1] - steps[step]))
    return figure(min(found, key=lambda value: abs(value - base))) if found else None


# --- all at once -------------------------------------------------------------------------------------------------


def distribution_of(scenario: Scenario, draws: int, seed: int) -> Distribution:
    """Percentiles over ``draws`` draws; the same seed gives the same numbers."""
    random = np.random.default_rng(seed)
    values: dict[str, Floats] = {}
    for each in ranges_of(scenario):
        drawn = random.triangular(float(each.low), float(each.base), float(each.high), draws)
        values[each.input] = np.round(drawn) if each.kind in WHOLE else drawn
    totals = totals_of(scenario, values, draws, present_values=True)
    used = np.broadcast_to(_used_gpu_hours(scenario, values), draws)
    cheapest, at = totals.usd.argmin(axis=0), _baseline(scenario)
    return Distribution(
        draws=draws,
        seed=seed,
        options=tuple(
            OptionDistribution(
                name=option.name,
                total_usd=_percentiles(totals.usd[row]),
                per_gpu_hour_used_usd=_percentiles(totals.usd[row] / used, price=True) if used.all() else None,
                saving_usd=None if row == at else _percentiles(totals.usd[at] - totals.usd[row]),
                npv_usd=None if row == at or totals.npv_usd is None else _percentiles(totals.npv_usd[row]),
                cheapest_percent=figure(100 * np.mean(cheapest == row)),
                saves_percent=None if row == at else figure(100 * np.mean(totals.usd[row] < totals.usd[at])),
            )
            for row, option in enumerate(scenario.options)
        ),
    )


def _used_gpu_hours(scenario: Scenario, values: dict[str, Floats]) -> Number:
    demand: Number = in_floats(scenario, values).demand
    hours = float(scenario.hours_per_month) * scenario.horizon_months
    return demand.gpus * demand.utilization_percent / 100 * hours


def _percentiles(values: Floats, *, price: bool = False) -> Percentiles:
    rounded = unit_price if price else cents
    at = zip(PERCENTILES, np.percentile(values, PERCENTILES), strict=True)
    found = {f"p{share}": rounded(value) for share, value in at}
    return Percentiles(mean=rounded(values.mean()), **found)
