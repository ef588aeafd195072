"""A plan as a page: what it comes to, one line a workload, and what cannot be placed or used, with the reason."""

from collections.abc import Sequence

from rich.text import Text

from berth_operator.api.conditions import Reason
from berth_operator.cli import columns
from berth_operator.cli.output import Column, Page, cell
from berth_scheduler.decision import Cost, EnergyTotal, Plan, Transition
from berth_scheduler.savings.words import total_phrase
from berth_scheduler.snapshot import Pool, Snapshot
from berth_scheduler.wording import dollars, plural

COLUMNS = (
    Column("WORKLOAD", least=20),
    Column("GPU", least=16),
    Column("PREC."),
    Column("REPLICAS"),
    Column("PREDICTED (90 % BAND)", least=20),
    Column("COST/H", right=True),
    Column("SAVED", right=True),
)
MOST_POOLS = 10
"""Pools that cannot be used, named one by one."""


def headline(plan: Plan, snapshot: Snapshot) -> str:
    """``7 workloads: 6 placed, 1 cannot be placed. $36.48/h, $26,628/month.``"""
    placed = sum(one.placed for one in plan.decisions)
    waiting = sum(one.waiting_for_capacity for one in plan.decisions)
    parts = [f"{placed} placed"] if placed else []
    parts += [f"{waiting} waiting for capacity"] if waiting else []
    lost = len(plan.decisions) - placed - waiting
    parts += [f"{lost} cannot be placed"] if lost else []
    month = plan.totals.usd_per_hour * snapshot.policy.hours_per_month
    price = f"{columns.hourly(plan.totals.usd_per_hour)}, {dollars(month)}/month"
    return f"{plural(len(plan.decisions), 'workload')}: {', '.join(parts) or 'nothing to place'}. {price}."


def show_plan(page: Page, plan: Plan, snapshot: Snapshot, *, again: str) -> None:
    """``again`` are the options that name the same input, for the hint at ``berth explain``; empty: none."""
    page.sentence(headline(plan, snapshot), "bold")
    if any(one.placed for one in plan.decisions):
        page.gap()
        page.table(COLUMNS, _rows(plan, snapshot))
    _show_savings(page, plan)
    if plan.totals.energy is not None:
        page.gap()
        page.sentence(energy_sentence(plan.totals.energy), indent="  ", first="")
    refused = [one for one in plan.decisions if not one.placed]
    if refused:
        page.gap()
        for one in refused:
            page.sentence(f"{one.workload}: {one.message}", "red", indent="  ", first="")
    moving = [one for one in plan.decisions if one.placed and one.transition is not Transition.NONE]
    if moving:
        page.gap()
        for one in moving:
            page.sentence(f"{one.workload} ({one.transition}): {one.message}", indent="  ", first="")
    _show_old_prices(page, plan)
    _show_pools(page, snapshot.pools)
    if plan.totals.idle_usd_per_hour > 0:
        page.gap()
        page.sentence(f"What started nodes leave unused costs another {columns.hourly(plan.totals.idle_usd_per_hour)}.")
    if again and plan.decisions:
        page.gap()
        name = (refused or plan.decisions)[0].workload
        page.sentence(f"Why: berth explain {name} {again}", "dim")


def _rows(plan: Plan, snapshot: Snapshot) -> list[tuple[Text, ...]]:
    workloads = {one.key: one for one in snapshot.workloads}
    return [
        (
            cell(one.workload, "bold"),
            cell(columns.gpu(one.berths)),
            cell(columns.precision(one.berths)),
            cell(columns.replicas(one.berths)),
            cell(columns.tightest(one, workloads[one.workload])),
            cell(columns.hourly(columns.cost(one)).removesuffix("/h")),
            cell(columns.saved(one)),
        )
        for one in plan.decisions
        if one.placed
    ]


def _show_savings(page: Page, plan: Plan) -> None:
    """Against each baseline that anything can be compared with; the last one is the column's."""
    if plan.totals.savings:
        page.gap()
    for total in plan.totals.savings:
        page.sentence(total_phrase(total), indent="  ", first="")


def energy_sentence(energy: EnergyTotal) -> str:
    """What the GPUs draw and emit in a month, and whose part of it is not known."""
    parts = [f"The GPUs draw {columns.energy(energy)} at the planned rates, by the predicted power, PUE and the grid"]
    if energy.energy_unknown:
        parts.append(f"without {', '.join(energy.energy_unknown)}, whose power is not known")
    if energy.grid_unknown:
        parts.append(f"emissions without {', '.join(energy.grid_unknown)}, whose grid is not known")
    return f"{'; '.join(parts)}."


def _show_old_prices(page: Page, plan: Plan) -> None:
    """What costs may be by now where prices are old."""
    doubted = [one for one in plan.decisions if one.cost is not None and one.cost.price_note is not None]
    if doubted:
        page.gap()
    for one in doubted:
        assert one.cost is not None
        page.sentence(f"{one.workload}: {doubted_price(one.cost)}", "yellow", indent="  ", first="")


def doubted_price(cost: Cost) -> str:
    """``$27.92/h may be $22.80–34.21 by now: prices older than 180 days: a100 of 2026-01-21``."""
    low, high = dollars(cost.usd_per_hour_low or 0), dollars(cost.usd_per_hour_high or 0).removeprefix("$")
    return f"{columns.hourly(cost.usd_per_hour)} may be {low}–{high} by now: {cost.price_note}"


def _show_pools(page: Page, pools: Sequence[Pool]) -> None:
    """What of the supply is not planned with."""
    unusable = [pool for pool in pools if pool.problems]
    remarks = [
        (pool.name, remark.message) for pool in pools for remark in pool.remarks if remark.reason != Reason.NO_PRICE
    ]
    if unusable or remarks:
        page.gap()
    for pool in unusable[:MOST_POOLS]:
        reasons = "; ".join(problem.message for problem in pool.problems)
        page.sentence(f"Pool {pool.name} is not used: {reasons}", "yellow", indent="  ", first="")
    if len(unusable) > MOST_POOLS:
        page.sentence(f"{len(unusable) - MOST_POOLS} more pools are not used: -o json has them all", "yellow")
    for name, message in remarks[:MOST_POOLS]:
        page.sentence(f"Pool {name}: {message}", "yellow", indent="  ", first="")


# --- Markdown ----------------------------------------------------------------------------------------------------


def plan_markdown(plan: Plan, snapshot: Snapshot) -> str:
    """For a comment on a pull request."""
    workloads = {one.key: one for one in snapshot.workloads}
    lines = [f"**{headline(plan, snapshot)}**", ""]
    lines += [
        "| workload | GPU | precision | replicas | predicted (90 % band) | cost | saved |",
        "|---|---|---|---|---|---:|---:|",
    ]
    for one in plan.decisions:
        shown = (
            columns.gpu(one.berths),
            columns.precision(one.berths),
            columns.replicas(one.berths),
            columns.tightest(one, workloads[one.workload]) if one.placed else f"**not placed**: {one.message}",
            columns.hourly(columns.cost(one)),
            columns.saved(one),
        )
        lines.append(markdown_row(one.workload, *shown))
    lines += ["", *(f"{total_phrase(total)}  " for total in plan.totals.savings)] if plan.totals.savings else []
    lines += ["", energy_sentence(plan.totals.energy)] if plan.totals.energy is not None else []
    doubted = [one for one in plan.decisions if one.cost is not None and one.cost.price_note is not None]
    lines += ["", *(f"{one.workload}: {doubted_price(one.cost)}  " for one in doubted if one.cost)] if doubted else []
    return "\n".join(lines) + "\n"


def markdown_row(*cells: str) -> str:
    escaped = [" ".join(text.split()).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;") for text in cells]
    return f"| {' | '.join(escaped)} |"
