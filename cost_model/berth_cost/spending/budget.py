"""Budgets: what a month will have cost, and whether money burns too fast to wait for its end.

Two questions, as of reliability budgets (Beyer et al., The Site Reliability Workbook, 2018, ch. 5): the *forecast* to
the end of the month is spend so far plus what is committed plus the usual course at the recent level; the *burn rate*
is spend over a window against the budget's even spend, alarmed only where a long and a short window agree, so that what
is over is not alarmed and what has just begun is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

HOURS_PER_MONTH = Decimal(730)


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


def budget_state(hourly_usd: Sequence[Decimal], expected_usd: Sequence[Decimal], budget_usd: Decimal) -> BudgetState:
    """The state of a monthly budget.

    ``hourly_usd``: spend of each hour of the month so far; ``expected_usd``: of each hour that is left, what is
    committed and what is forecast together. Raises ValueError for a budget that is not above zero or spend below it.
    """
    if budget_usd <= 0:
        raise ValueError(f"a budget must be above 0 USD, not {budget_usd}")
    if any(not usd.is_finite() or usd < 0 for usd in (*hourly_usd, *expected_usd)):
        raise ValueError("spend must be finite and not negative: a credit is no spend")
    spent = sum(hourly_usd, Decimal(0))
    forecast = spent + sum(expected_usd, Decimal(0))
    return BudgetState(
        spent_usd=spent,
        forecast_usd=forecast,
        exhausted_in_hours=_exhausted_in(spent, expected_usd, budget_usd),
        crossed_percent=_crossed(spent, budget_usd),
        forecast_crossed_percent=_crossed(forecast, budget_usd),
        burning=tuple(rule for rule in BURN_RULES if _burns(rule, hourly_usd, budget_usd)),
    )


def total_by_namespace(spend_usd: Mapping[str, Sequence[Decimal]]) -> dict[str, tuple[Decimal, ...]]:
    """Hourly spend of namespaces from that of workloads (``namespace/name``), which cover the same hours."""
    totals: dict[str, tuple[Decimal, ...]] = {}
    for key in sorted(spend_usd):
        namespace = key.partition("/")[0]
        mine = tuple(spend_usd[key])
        known = totals.get(namespace, (Decimal(0),) * len(mine))
        if len(known) != len(mine):
            raise ValueError(f"{key} has {len(mine)} hours of spend, others of {namespace} have {len(known)}")
        totals[namespace] = tuple(one + other for one, other in zip(known, mine, strict=True))
    return totals


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


def _burns(rule: BurnRule, hourly_usd: Sequence[Decimal], budget_usd: Decimal) -> bool:
    even = budget_usd / HOURS_PER_MONTH
    windows = (rule.long_hours, rule.short_hours)
    if len(hourly_usd) < rule.long_hours:
        return False
    return all(sum(hourly_usd[-hours:], Decimal(0)) / hours >= rule.rate * even for hours in windows)
