"""Right-sizing as a page, and as Markdown."""

from berth_operator.cli.output import Column, Page, cell, unbroken
from berth_operator.cli.plan_view import markdown_row
from berth_scheduler.right_sizing.assessment import Assessment, RightSizingReport, SizingReason, hours_phrase
from berth_scheduler.wording import berths_phrase, dollars, number, plural

HEADERS = ("WORKLOAD", "NOW", "PROPOSED", "SAVES/MONTH", "PAYBACK", "WHY")
COLUMNS = (
    Column(HEADERS[0], least=16),
    Column(HEADERS[1], least=18),
    Column(HEADERS[2], least=18),
    Column(HEADERS[3], right=True),
    Column(HEADERS[4], right=True),
    Column(HEADERS[5]),
)
WORDS = {
    SizingReason.CHEAPER_BERTH: "saves",
    SizingReason.RIGHT_SIZED: "right-sized",
    SizingReason.SAVING_TOO_SMALL: "saves too little",
    SizingReason.PAYBACK_TOO_LONG: "pays back late",
    SizingReason.OBJECTIVE_BROKEN: "objective broken",
    SizingReason.NOTHING_RUNS: "nothing runs",
    SizingReason.OUTGROWN: "outgrown",
    SizingReason.PRICE_UNKNOWN: "price unknown",
    SizingReason.TRAFFIC_UNKNOWN: "traffic unknown",
    SizingReason.DISABLED: "disabled",
}


def headline(found: RightSizingReport) -> str:
    """``2 of 5 workloads would cost $1,679 a month less on other berths.``"""
    count = sum(one.recommended for one in found.workloads)
    whole = plural(len(found.workloads), "workload")
    if not count:
        return f"{whole}: no other berth saves enough."
    return f"{count} of {whole} would cost {dollars(found.saving_usd_per_month)} a month less on other berths."


def show_rightsize(page: Page, found: RightSizingReport) -> None:
    page.sentence(headline(found), "bold")
    page.gap()
    page.table(
        COLUMNS,
        [
            tuple(cell(text, "bold" if not place and one.recommended else "") for place, text in enumerate(_row(one)))
            for one in found.workloads
        ],
    )
    page.gap()
    for one in found.workloads:
        page.sentence(f"{one.workload}: {said(one)}", indent="  ", first="")


def rightsize_markdown(found: RightSizingReport) -> str:
    lines = [f"**{headline(found)}**", "", f"| {' | '.join(HEADERS).lower()} |", "|---|---|---|---:|---:|---|"]
    lines += [markdown_row(*_row(one)) for one in found.workloads]
    return "\n".join([*lines, "", *(f"- {one.workload}: {said(one)}" for one in found.workloads)]) + "\n"


def said(one: Assessment) -> str:
    """The message, and under which traffic."""
    rate = unbroken(f"{number(one.requests_per_second)}/s")
    return f"{one.message}. Under {one.basis} traffic, {rate}." if one.berths else f"{one.message}."


def _row(one: Assessment) -> tuple[str, ...]:
    now = f"{berths_phrase(one.berths)} {dollars(one.usd_per_hour)}/h" if one.berths and one.usd_per_hour else "–"
    proposal = one.proposal
    if proposal is None:
        return one.workload, now, "–", "–", "–", WORDS[one.reason]
    there = f"{berths_phrase(proposal.berths)} {dollars(proposal.usd_per_hour)}/h"
    saves, payback = dollars(proposal.saving_usd_per_month), hours_phrase(proposal.payback_hours)
    return one.workload, now, there, saves, payback, WORDS[one.reason]
