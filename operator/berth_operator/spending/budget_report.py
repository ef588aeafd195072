"""What a status says of a budget: in steps, so that money that is spent evenly is worth a write a day or two. Pure.

Spent is rounded down and the forecast up to steps of 5 %; a forecast that was said stays until it is off by a step.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any

from berth_cost.spending.budget import BudgetState, Spend, budget_state
from berth_operator.api.conditions import ConditionType, Finding, Reason
from berth_operator.api.v1alpha1 import BudgetStatus

STEP_PERCENT = 5
MOST_PERCENT = 1000


@dataclass(frozen=True, slots=True)
class Standing:
    """How the month of one workload stands. ``month``: ``2026-11``."""

    month: str
    spend: Spend


def budget_status(standing: Standing, budget_usd: Decimal, previous: Mapping[str, Any] | None) -> BudgetStatus:
    """``previous``: the same part of the status that stands, if any."""
    state = budget_state(standing.spend, budget_usd)
    said = previous if isinstance(previous, Mapping) and previous.get("month") == standing.month else {}
    return BudgetStatus(
        month=standing.month,
        spent_percent=_percent(state.spent_usd, budget_usd, ROUND_FLOOR),
        forecast_percent=_forecast_percent(state, budget_usd, said.get("forecastPercent")),
        burning=_burning(state),
    )


def budget_finding(
    budget_usd: Decimal | None,
    said: BudgetStatus | None,
    planned_usd_per_month: Decimal | None,
    *,
    runs: bool,
    not_kept: str | None = None,
) -> Finding:
    """The condition BudgetOK. ``said``: None where nothing was metered yet; ``runs``: whether anything does.

    ``not_kept``: why what is spent cannot be kept. What is over its budget is so all the same; what seems inside may
    not be, since a restart forgets what was spent before.
    """
    if budget_usd is None:
        return Finding(ConditionType.BUDGET_OK, "True", Reason.NO_BUDGET, "the spec has no budget")
    if planned_usd_per_month is None and said is None and not_kept is None:
        message = "the cost of what still runs is not judged" if runs else "nothing is placed, so nothing is spent"
        return Finding(ConditionType.BUDGET_OK, "Unknown", Reason.PENDING, message)
    parts = [] if planned_usd_per_month is None else [f"${planned_usd_per_month:,.2f} a month is planned"]
    parts += [] if said is None else [_course(said)]
    reason = _reason(budget_usd, said, planned_usd_per_month)
    holds = reason in (Reason.WITHIN_BUDGET, Reason.BURNING_FAST)
    if holds and not_kept is not None:
        return Finding(ConditionType.BUDGET_OK, "Unknown", Reason.NOT_KEPT, not_kept)
    message = f"budget of ${budget_usd:,.2f} a month: {'; '.join(parts)}"
    return Finding(ConditionType.BUDGET_OK, "True" if holds else "False", reason, message)


def _reason(budget_usd: Decimal, said: BudgetStatus | None, planned_usd_per_month: Decimal | None) -> Reason:
    """The first that holds: spent, forecast, planned, burning."""
    if said is not None and said.forecast_percent > 100:
        return Reason.BUDGET_SPENT if said.spent_percent >= 100 else Reason.FORECAST_OVER_BUDGET
    if planned_usd_per_month is not None and planned_usd_per_month > budget_usd:
        return Reason.OVER_BUDGET
    return Reason.BURNING_FAST if said is not None and said.burning else Reason.WITHIN_BUDGET


def _course(said: BudgetStatus) -> str:
    return f"{said.month}: ≥ {said.spent_percent} % spent, ≤ {said.forecast_percent} % forecast"


def _percent(usd: Decimal, budget_usd: Decimal, rounding: str) -> int:
    steps = (usd / budget_usd * 100 / STEP_PERCENT).to_integral_value(rounding=rounding)
    return min(int(steps) * STEP_PERCENT, MOST_PERCENT)


def _forecast_percent(state: BudgetState, budget_usd: Decimal, said: object) -> int:
    """What was said stays while the forecast is inside its step or the one below."""
    exact = state.forecast_usd / budget_usd * 100
    stays = isinstance(said, int) and 0 <= said <= MOST_PERCENT and said - 2 * STEP_PERCENT < exact <= said
    return said if stays and isinstance(said, int) else _percent(state.forecast_usd, budget_usd, ROUND_CEILING)


def _burning(state: BudgetState) -> Any:
    if not state.burning:
        return None
    return "Page" if any(rule.page for rule in state.burning) else "Ticket"
