"""Budgets: what a month will have cost, and whether money burns too fast to wait for its end.

Two questions, as of reliability budgets (Beyer et al., The Site Reliability Workbook, 2018, ch. 5): the *forecast* to
the end of the month is spend so far plus what is committed plus the usual course at the recent level; the *burn rate*
is spend over a window against the budget's even spend, alarmed only where a long and a short window agree, so that what
is over is not alarmed and what has just begun is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from berth_cost.rounding import significant_number
from berth_cost.spending.demand_forecast import Floats, forecast_all

HOURS_PER_MONTH = Decimal(730)
HOURS_PER_DAY = 24
LEVEL_HALF_LIFE_HOURS = 168.0
"""Of the level of the usual course. A week: the level of a Sunday is not that of the month."""


@dataclass(frozen=True, slots=True)
class BurnRule:
    """``rate``: times the even spend of the budget, over both windows. ``page``: now; otherwise a ticket will do."""

    long_hours: int
    short_hours: int
    rate: Decimal
    page: bool


BURN_RULES: tuple[BurnRule, ...] = (
    BurnRule(24, 2, Decimal(3), page=True),
    BurnRule(72, 6, Decimal("1.5"), page=False),
)
"""A day at three times the even spend takes a tenth of the month's money; three days at half as much again 15 %."""
THRESHOLDS_PERCENT = (50, 80, 100)
_AT_ONCE = 500
"""Workloads forecast together: more would only take more memory."""


@dataclass(frozen=True, slots=True)
class BudgetState:
    """``forecast_usd``: at the end of the month.

    ``crossed_percent``: the thresholds that spend has crossed; ``forecast_crossed_percent``: those that the forecast
    crosses; ``burning``: the rules whose two windows both burn too fast, the ones that page first.
    """

    spent_usd: Decimal
    forecast_usd: Decimal
    crossed_percent: tuple[int, ...]
    forecast_crossed_percent: tuple[int, ...]
    burning: tuple[BurnRule, ...]

    @property
    def holds(self) -> bool:
        """Whether spend and forecast are inside the budget: what ``BudgetOK`` means."""
        return 100 not in self.crossed_percent and 100 not in self.forecast_crossed_percent


@dataclass(frozen=True, slots=True)
class Spend:
    """What is known of the spend of one month. ``spent_usd``: so far; ``expected_usd``: in the hours left.

    ``recent_usd``: of each of the last hours, newest last, those of the month before too: what burns does not ask for
    the day of the month.
    """

    spent_usd: Decimal
    recent_usd: tuple[Decimal, ...] = ()
    expected_usd: Decimal = Decimal(0)

    @property
    def forecast_usd(self) -> Decimal:
        """At the end of the month."""
        return self.spent_usd + self.expected_usd

    def burn_rate(self, hours: int, budget_usd: Decimal) -> Decimal | None:
        """Times the even spend of a budget over the last ``hours``; None where less is known."""
        if len(self.recent_usd) < hours:
            return None
        even = budget_usd / HOURS_PER_MONTH
        return sum(self.recent_usd[-hours:], Decimal(0)) / hours / even


def expected_spend(
    recent_usd: Sequence[Sequence[float]], hours: int, usd_per_hour: Sequence[float]
) -> tuple[Decimal, ...]:
    """The spend of the next ``hours`` together, of each of several workloads by its last hours, newest last.

    It is the mean of the last day again and of the usual course of a day. The last day knows of what was changed since
    yesterday, the usual course of what was odd about yesterday; their mean missed by less than either on the traces of
    ``benchmarks/cost/month_end.py`` (Bates and Granger, The Combination of Forecasts, 1969, on why). With less than two
    days of history it is ``usd_per_hour``, what runs now.
    """
    expected = [usd * hours for usd in usd_per_hour]
    # Whole days that end now, so that the first hour ahead is the first place of the course.
    whole = [len(hourly) // HOURS_PER_DAY * HOURS_PER_DAY for hourly in recent_usd]
    for length in sorted(set(whole)):
        if length < 2 * HOURS_PER_DAY:
            continue
        alike = [place for place, each in enumerate(whole) if each == length]
        for start in range(0, len(alike), _AT_ONCE):
            places = alike[start : start + _AT_ONCE]
            known = np.array([recent_usd[place][-length:] for place in places], dtype=np.float64)
            for place, usd in zip(places, _course_total(known, hours).tolist(), strict=True):
                expected[place] = usd
    return tuple(Decimal(repr(significant_number(usd))) for usd in expected)


def _course_total(known: Floats, hours: int) -> Floats:
    """Of whole days of hours, shape (workloads, hours)."""
    usual, _ = forecast_all(known, HOURS_PER_DAY, hours, LEVEL_HALF_LIFE_HOURS)
    again = known[:, np.arange(hours) % HOURS_PER_DAY - HOURS_PER_DAY]
    return np.asarray((usual.sum(axis=1) + again.sum(axis=1)) / 2)


def budget_state(spend: Spend, budget_usd: Decimal) -> BudgetState:
    """The state of a monthly budget. Raises ValueError for a budget that is not above zero or spend below it."""
    if budget_usd <= 0:
        raise ValueError(f"a budget must be above 0 USD, not {budget_usd}")
    if any(not usd.is_finite() or usd < 0 for usd in (spend.spent_usd, *spend.recent_usd, spend.expected_usd)):
        raise ValueError("spend must be finite and not negative: a credit is no spend")
    spent, forecast_usd = spend.spent_usd, spend.forecast_usd
    return BudgetState(
        spent_usd=spent,
        forecast_usd=forecast_usd,
        crossed_percent=_crossed(spent, budget_usd),
        forecast_crossed_percent=_crossed(forecast_usd, budget_usd),
        burning=tuple(rule for rule in BURN_RULES if _burns(rule, spend, budget_usd)),
    )


def total(spends: Sequence[Spend]) -> Spend:
    """Of several workloads that are looked at in the same hour; one that is younger spent nothing before."""
    length = max((len(one.recent_usd) for one in spends), default=0)
    recent = [Decimal(0)] * length
    for one in spends:
        for place, usd in enumerate(one.recent_usd, start=length - len(one.recent_usd)):
            recent[place] += usd
    spent = sum((one.spent_usd for one in spends), Decimal(0))
    return Spend(spent, tuple(recent), sum((one.expected_usd for one in spends), Decimal(0)))


def _crossed(usd: Decimal, budget_usd: Decimal) -> tuple[int, ...]:
    """Reached counts as crossed below 100; the budget itself may be spent to the cent."""
    percent = usd / budget_usd * 100
    return tuple(one for one in THRESHOLDS_PERCENT if (percent > one if one == 100 else percent >= one))


def _burns(rule: BurnRule, spend: Spend, budget_usd: Decimal) -> bool:
    rates = (spend.burn_rate(hours, budget_usd) for hours in (rule.long_hours, rule.short_hours))
    return all(rate is not None and rate >= rule.rate for rate in rates)
