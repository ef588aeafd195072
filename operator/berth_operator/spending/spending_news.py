"""What is worth an Event of what is spent: thresholds of a budget, money that burns, cost that is unusual. Pure."""

from decimal import Decimal

from berth_cost.spending.anomaly import Anomaly, Cause
from berth_cost.spending.budget import BudgetState
from berth_operator.events import News

BURNING = "burning-"
ACTION = "Spending"
"""The action of these Events; those of conditions have the condition's type."""
THRESHOLD, BURNING_FAST, ANOMALY = "BudgetThreshold", "BurningFast", "CostAnomaly"

_MOVED = {
    Cause.RATE: "the price of {kind} moved to × {factor:.3g} of its usual",
    Cause.USE: "the GPUs moved to × {factor:.3g} of what is usual for the traffic and the time of day",
    Cause.MIX: "the average GPU costs × {factor:.3g} of the usual: the same is bought another way",
}


def alarms(state: BudgetState, budget_usd: Decimal, month: str, *, whole_namespace: bool) -> dict[str, News]:
    """What a budget has to say, by a name that is told once a month.

    Of a workload what reaches 100 % is left out: its condition BudgetOK tells that.
    """
    found: dict[str, News] = {}
    for what, verb, usd, crossed, least in (
        ("spent", "is spent", state.spent_usd, state.crossed_percent, 50),
        ("forecast", "is forecast to be spent", state.forecast_usd, state.forecast_crossed_percent, 80),
    ):
        # Only the highest is news: who has spent 80 % has spent 50 %, too.
        highest = crossed[-1] if crossed else 0
        over = highest == 100
        if highest < least or (over and not whole_namespace):
            continue
        note = f"{highest} % of the budget of ${budget_usd:,.2f} {verb} in {month}: ${usd:,.2f}"
        found[f"{what}-{highest}"] = News("Warning" if over else "Normal", THRESHOLD, ACTION, note)
    for rule in state.burning:
        urgency = "page" if rule.page else "ticket"
        note = (
            f"money goes at {rule.rate:f} × the even spend of ${budget_usd:,.2f} a month or faster, over the last"
            f" {rule.long_hours} h and still over the last {rule.short_hours} h ({urgency})"
        )
        found[f"{BURNING}{urgency}"] = News("Warning", BURNING_FAST, ACTION, note)
    return found


def of_anomaly(anomaly: Anomaly) -> News:
    return News("Warning", ANOMALY, ACTION, what_moved(anomaly))


def what_moved(anomaly: Anomaly) -> str:
    """``usd`` of the anomaly is of an hour."""
    moved = _MOVED[anomaly.cause].format(kind=anomaly.kind, factor=anomaly.factor)
    way = "more" if anomaly.usd >= 0 else "less"
    return f"{moved}: ${abs(anomaly.usd):,.2f} an hour {way} by that"
