"""Budgets: what a month will have cost, and whether money burns too fast to wait for its end.

Two questions, as of reliability budgets (Beyer et al., The Site Reliability Workbook, 2018, ch. 5): the *forecast* to
the end of the month is spend so far plus what is committed plus the usual course at the recent level; the *burn rate*
is spend over a window against the budget's even spend, alarmed only where a long and a short window agree, so that what
is over is not alarmed and what has just begun is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from berth_cost.rounding import significant
from berth_cost.spending.demand_forecast import forecast

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


@dataclass(frozen=True, slots=True)
class BudgetState:
    """``forecast_usd``: at the end of the month. ``exhausted_in_hours``: None where the budget lasts the month.

    ``crossed_percent``: the thresholds that spend has crossed; ``forecast_crossed_percent``: those that the forecast
    crosses; ``burning``: the rules whose two windows both burn too fast, the ones that page first.
    """

    spent_usd: Decimal
    forecast_usd: Decimal
    exhausted_in_hours: int | None
    crossed_percent: tuple[int, ...]
    forecast_crossed_percent: tuple[int, ...]
    burning: tuple[BurnRule, ...]

    @property
    def holds(self) -> bool:
        """Whether spend and forecast are inside the budget: what ``BudgetOK`` means."""
        return 100 not in self.crossed_percent and 100 not in self.forecast_crossed_percent


@dataclass(frozen=True, slots=True)
class Spend:
    """What is known of the spend of one month. ``spent_usd``: so far; ``expected_usd``: of each hour that is left.

    ``recent_usd``: of each of the last hours, newest last, those of the month before too: what burns does not ask for
    the day of the month.
    """

    spent_usd: Decimal
    recent_usd: tuple[Decimal, ...] = ()
    expected_usd: tuple[Decimal, ...] = ()

    @property
    def forecast_usd(self) -> Decimal:
        """At the end of the month."""
        return self.spent_usd + sum(self.expected_usd, Decimal(0))

    def burn_rate(self, hours: int, budget_usd: Decimal) -> Decimal | None:
        """Times the even spend of a budget over the last ``hours``; None where less is known."""
        if len(self.recent_usd) < hours:
            return None
        even = budget_usd / HOURS_PER_MONTH
        return sum(self.recent_usd[-hours:], Decimal(0)) / hours / even


def expected_spend(recent_usd: Sequence[Decimal], hours: int, usd_per_hour: Decimal) -> tuple[Decimal, ...]:
    """The spend of each of the next ``hours``: the mean of the last day again and of the usual course of a day.

    The last day knows of what was changed since yesterday, the usual course of what was odd about yesterday; their mean
    missed by less than either on the traces of ``benchmarks/cost/month_end.py`` (Bates and Granger, The Combination of
    Forecasts, 1969, on why). With less than two days of history it is ``usd_per_hour``, what runs now.
    """
    if len(recent_usd) < 2 * HOURS_PER_DAY:
        return (usd_per_hour,) * hours
    known = np.array([float(usd) for usd in recent_usd])
    # Whole days that end now, so that the first hour ahead is the first place of the course.
    whole = known[len(known) % HOURS_PER_DAY :]
    usual = forecast(whole, HOURS_PER_DAY, hours, level_half_life=LEVEL_HALF_LIFE_HOURS).mean
    ahead = significant((np.resize(whole[-HOURS_PER_DAY:], hours) + usual) / 2)
    return tuple(Decimal(repr(usd)) for usd in ahead.tolist())


def budget_state(spend: Spend, budget_usd: Decimal) -> BudgetState:
    """The state of a monthly budget. Raises ValueError for a budget that is not above zero or spend below it."""
    if budget_usd <= 0:
        raise ValueError(f"a budget must be above 0 USD, not {budget_usd}")
    if any(not usd.is_finite() or usd < 0 for usd in (spend.spent_usd, *spend.recent_usd, *spend.expected_usd)):
        raise ValueError("spend must be finite and not negative: a credit is no spend")
    spent, forecast_usd = spend.spent_usd, spend.forecast_usd
    return BudgetState(
        spent_usd=spent,
        forecast_usd=forecast_usd,
        exhausted_in_hours=_exhausted_in(spent, spend.expected_usd, budget_usd),
        crossed_percent=_crossed(spent, budget_usd),
        forecast_crossed_percent=_crossed(forecast_usd, budget_usd),
        burning=tuple(rule for rule in BURN_RULES if _burns(rule, spend, budget_usd)),
    )


def total(spends: Sequence[Spend]) -> Spend:
    """Of several workloads that are looked at in the same hour; one that is younger spent nothing before."""
    recent = max((len(one.recent_usd) for one in spends), default=0)
    ahead = max((len(one.expected_usd) for one in spends), default=0)
    newest_first = [tuple(reversed(one.recent_usd)) for one in spends]
    return Spend(
        sum((one.spent_usd for one in spends), Decimal(0)),
        tuple(reversed(_sums(newest_first, recent))),
        _sums([one.expected_usd for one in spends], ahead),
    )


def total_by_namespace(spends: Mapping[str, Spend]) -> dict[str, Spend]:
    """Of namespaces, from that of workloads (``namespace/name``)."""
    members: dict[str, list[Spend]] = {}
    for key in sorted(spends):
        members.setdefault(key.partition("/")[0], []).append(spends[key])
    return {namespace: total(mine) for namespace, mine in members.items()}


def _sums(rows: Sequence[Sequence[Decimal]], length: int) -> tuple[Decimal, ...]:
    """Place by place; a row that is too short has nothing there."""
    return tuple(sum((row[place] for row in rows if place < len(row)), Decimal(0)) for place in range(length))


def _exhausted_in(spent: Decimal, expected_usd: Sequence[Decimal], budget_usd: Decimal) -> int | None:
    left = budget_usd - spent
    for hour, usd in enumerate(expected_usd):
        if left <= 0:
            return hour
        left -= usd
    return len(expected_usd) if left < 0 else None


def _crossed(usd: Decimal, budget_usd: Decimal) -> tuple[int, ...]:
    """Reached counts as crossed below 100; the budget itself may be spent to the cent."""
    percent = usd / budget_usd * 100
    return tuple(one for one in THRESHOLDS_PERCENT if (percent > one if one == 100 else percent >= one))


def _burns(rule: BurnRule, spend: Spend, budget_usd: Decimal) -> bool:
    rates = (spend.burn_rate(hours, budget_usd) for hours in (rule.long_hours, rule.short_hours))
    return all(rate is not None and rate >= rule.rate for rate in rates)
