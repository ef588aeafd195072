"""A comparison as a page, and as Markdown for a pull request."""

from decimal import Decimal

from rich.text import Text

from berth_operator.cli import columns
from berth_operator.cli.comparison import Change, PlanComparison, Side, WorkloadChange
from berth_operator.cli.output import Column, Page, cell
from berth_operator.cli.plan_view import markdown_row
from berth_scheduler.decision import Transition
from berth_scheduler.wording import dollars, plural

COLUMNS = (
    Column("WORKLOAD", least=20),
    Column("CHANGE", least=30),
    Column("NOW", right=True),
    Column("PLANNED", right=True),
    Column("DIFFERENCE", right=True),
    Column("", right=True),
)
WORDS = {
    Change.UNCHANGED: "unchanged",
    Change.CHANGED: "changed",
    Change.ADDED: "new",
    Change.REMOVED: "removed",
}


def headline(comparison: PlanComparison) -> str:
    """``4 workloads: 3 unchanged, 1 changed. $36.98/h → $34.45/h, −6.8 %.``"""
    counts = [f"{count} {word}" for change, word in WORDS.items() if (count := len(comparison.of(change)))]
    change = columns.change(comparison.before_usd_per_hour, comparison.after_usd_per_hour)
    cost = columns.hourly(comparison.after_usd_per_hour)
    if change:
        cost = f"{columns.hourly(comparison.before_usd_per_hour)} → {cost}, {change}"
    return f"{plural(len(comparison.workloads), 'workload')}: {', '.join(counts) or 'none'}. {cost}."


def show_comparison(page: Page, comparison: PlanComparison) -> None:
    page.sentence(headline(comparison), "bold")
    changed = [one for one in comparison.workloads if one.change is not Change.UNCHANGED]
    if changed:
        page.gap()
        page.table(COLUMNS, _rows(changed, comparison))
    page.gap()
    page.sentence(month_sentence(comparison), indent="  ", first="")
    told = _messages(comparison)
    if told:
        page.gap()
        for workload, message in told:
            page.sentence(f"{workload}: {message}", indent="  ", first="")


def month_sentence(comparison: PlanComparison) -> str:
    """``$26,995 → $25,148 a month: saves $1,847. The GPUs draw 5,120 kWh a month (1,912 kg CO2e), before …``"""
    before, after = comparison.before_usd_per_month, comparison.after_usd_per_month
    saved = comparison.usd_per_month_change
    said = f"saves {dollars(-saved)}" if saved < 0 else f"costs {dollars(saved)} more"
    parts = [f"{dollars(before)} → {dollars(after)} a month{f': {said}' if saved else ''}."]
    now, then = comparison.plan.totals.energy, comparison.before_energy
    if now is not None:
        was = "" if then is None or then == now else f", before {columns.energy(then)}"
        parts.append(f"The GPUs draw {columns.energy(now)}{was}.")
    return " ".join(parts)


def _rows(changed: list[WorkloadChange], comparison: PlanComparison) -> list[tuple[Text, ...]]:
    rows = []
    for one in changed:
        costs = _costs(_usd(one.before), _usd(one.after))
        rows.append((cell(one.workload, "bold"), cell(_what(one)), *map(cell, costs)))
    costs = _costs(comparison.before_usd_per_hour, comparison.after_usd_per_hour)
    return [*rows, (cell("total"), cell(""), *map(cell, costs))]


def _usd(side: Side | None) -> Decimal | None:
    return side.usd_per_hour if side else None


def _costs(before: Decimal | None, after: Decimal | None) -> tuple[str, str, str, str]:
    percent = columns.change(before, after) if before is not None and after is not None else ""
    return columns.hourly(before), columns.hourly(after), columns.difference(before, after), percent


def _what(change: WorkloadChange) -> str:
    """``L40S fp8 3 → L4 Spot+OnDemand int8 4+2 (quality 0.981)``"""
    before, after = _placement(change.before), _placement(change.after)
    quality = ""
    if change.before and change.after and change.after.quality and change.before.quality != change.after.quality:
        quality = f" (quality {change.after.quality})"
    if change.change is Change.ADDED:
        return f"new: {after}"
    if change.change is Change.REMOVED:
        return f"removed: {before}"
    return f"{before} → {after}{quality}" if before != after else f"{after}, price"


def _placement(side: Side | None) -> str:
    if side is None:
        return columns.NOTHING
    if not side.placed:
        return "not placed"
    return f"{columns.gpu(side.berths)} {columns.precision(side.berths)} {columns.replicas(side.berths)}"


def _messages(comparison: PlanComparison) -> list[tuple[str, str]]:
    """What the table has no room for: why something is not placed any more, or cannot move yet."""
    waiting = {
        one.workload for one in comparison.plan.decisions if one.transition in (Transition.WAIT, Transition.RECREATE)
    }
    return [
        (one.workload, one.after.message)
        for one in comparison.workloads
        if one.after is not None
        and ((not one.after.placed and one.change is not Change.UNCHANGED) or one.workload in waiting)
    ]


def comparison_markdown(comparison: PlanComparison) -> str:
    """For a comment on a pull request: the answer, the table, and what is wrong."""
    lines = [f"**{headline(comparison)}**"]
    changed = [one for one in comparison.workloads if one.change is not Change.UNCHANGED]
    if changed:
        lines += ["", "| workload | change | now | planned | difference | |", "|---|---|---:|---:|---:|---:|"]
    for one in changed:
        costs = _costs(_usd(one.before), _usd(one.after))
        lines.append(markdown_row(one.workload, _what(one), *costs))
    if changed:
        costs = _costs(comparison.before_usd_per_hour, comparison.after_usd_per_hour)
        lines.append(markdown_row("**total**", "", *costs))
    lines += ["", month_sentence(comparison)]
    told = _messages(comparison)
    lines += ["", *(f"- **{workload}**: {message}" for workload, message in told)] if told else []
    return "\n".join(lines) + "\n"
