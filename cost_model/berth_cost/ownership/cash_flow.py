"""What money at different times is worth: present value, internal rate of return, annuity. Pure formulas.

Flows are at the start (month 0) and at the end of each month. Rates are effective annual ones, as shares (0.1 is 10 %).
"""

import math
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from berth_cost.ownership.amount import Number
from berth_cost.ownership.scenario import Compounding

Floats = NDArray[np.float64]

GRID_POINTS = 4001
"""Between the bounds of all rates of return, where flows change sign more than once."""
HIGHEST_RATE = 1e12
"""A share a year, 10^14 %: beyond it, a rate says nothing but that the money is back at once."""


@dataclass(frozen=True, slots=True)
class NoRate:
    """Why flows have no internal rate of return."""

    reason: str


def years_of(horizon_months: int, compounding: Compounding) -> list[Decimal]:
    """When each month's flow counts, in years: its own end, or that of its year (of the horizon, in the last)."""
    if compounding == "monthly":
        return [Decimal(month) / 12 for month in range(horizon_months + 1)]
    return [Decimal(min(-(-month // 12) * 12, horizon_months)) / 12 for month in range(horizon_months + 1)]


def discount_factors(rate: Number, horizon_months: int, compounding: Compounding) -> list[Number]:
    """(1 + rate)^−years of each month's flow."""
    factors: dict[Decimal, Number] = {}
    for years in years_of(horizon_months, compounding):
        if years not in factors:
            factors[years] = (1 + rate) ** -years if isinstance(rate, Decimal) else (1 + rate) ** -float(years)
    return [factors[years] for years in years_of(horizon_months, compounding)]


def present_value(flows: Number, factors: list[Number]) -> Number:
    """Σ flow × factor, over months."""
    worth = flows[0] * factors[0]
    for flow, factor in zip(flows[1:], factors[1:], strict=True):
        worth = worth + flow * factor
    return worth


def capital_recovery(rate: Number, years: Number) -> Number:
    """What repays 1 in equal amounts at the end of each year: r / (1 − (1 + r)^−n), and 1/n without interest."""
    if isinstance(rate, Decimal):
        return rate / (1 - (1 + rate) ** -years) if rate else 1 / years
    safe = np.where(rate == 0, 1.0, rate)
    return np.where(rate == 0, 1 / years, safe / (1 - (1 + safe) ** -years))


def internal_rate(flows: list[float], years: list[float]) -> float | NoRate:
    """The effective annual rate at which the present value of ``flows`` is zero, if there is exactly one.

    One change of sign has one root (Descartes); with more, every root between bounds that hold them all is sought, and
    several are no answer: which of them is meant, nobody can say.
    """
    from scipy.optimize import root_scalar  # noqa: PLC0415 — half a second of imports that other commands do not need

    times, amounts = _by_time(flows, years)
    changes = int(np.count_nonzero(np.diff(np.sign(amounts))))
    if not changes:
        kept = "it only saves: nothing is put in that could yield a rate"
        lost = "it never returns anything: every flow against the baseline is spending"
        same = "it costs what the baseline costs, month by month"
        return NoRate(same if not len(amounts) else kept if amounts[0] > 0 else lost)
    low, high = _bounds(times, amounts)
    grid = np.array([low, high]) if changes == 1 else _grid(low, high)
    values = np.array([_scaled_value(growth, times, amounts) for growth in grid])
    found = [
        float(
            root_scalar(
                _scaled_value, args=(times, amounts), bracket=(grid[at], grid[at + 1]), xtol=1e-15, rtol=1e-14
            ).root
        )
        for at in np.flatnonzero(np.sign(values[:-1]) * np.sign(values[1:]) < 0)
    ]
    found += [float(growth) for growth in grid[values == 0]]
    rates = sorted(math.expm1(growth) if growth < 700 else math.inf for growth in found)
    if not rates:
        return NoRate("no rate makes the present value zero: the flows change sign more than once")
    if len(rates) > 1:
        listed = ", ".join(f"{100 * rate:.6g} %" for rate in rates)
        return NoRate(f"several rates make the present value zero ({listed}): the flows change sign more than once")
    if rates[0] > HIGHEST_RATE:
        return NoRate("the money is back so fast that a rate a year says nothing")
    return rates[0]


def _by_time(flows: list[float], years: list[float]) -> tuple[Floats, Floats]:
    """Flows of the same time together, those of zero left out; times from the first that is left."""
    together: dict[float, float] = {}
    for flow, year in zip(flows, years, strict=True):
        together[year] = together.get(year, 0.0) + flow
    kept = sorted((year, flow) for year, flow in together.items() if flow != 0)
    times = np.array([year for year, _ in kept])
    return (times - times[0] if len(times) else times), np.array([flow for _, flow in kept])


def _bounds(times: Floats, amounts: Floats) -> tuple[float, float]:
    """Of ln(1 + rate): beyond them the first, or the last, flow outweighs all others together."""
    rest = np.abs(amounts)
    high = math.log(rest[1:].sum() / rest[0]) / times[1]
    low = -math.log(rest[:-1].sum() / rest[-1]) / (times[-1] - times[-2])
    width = 1e-6 + 1e-3 * (abs(high) + abs(low))
    return min(low, 0.0) - width, max(high, 0.0) + width


def _grid(low: float, high: float) -> Floats:
    """Denser where the rates of ordinary investments are."""
    coarse = np.linspace(low, high, GRID_POINTS)
    fine = np.linspace(max(low, -3.0), min(high, 3.0), GRID_POINTS)
    return np.unique(np.concatenate([coarse, fine]))


def _scaled_value(growth: float, times: Floats, amounts: Floats) -> float:
    """Present value at ln(1 + rate) = ``growth``, times a positive number that keeps it from overflowing."""
    exponents = -growth * times
    return float(amounts @ np.exp(exponents - exponents.max()))
