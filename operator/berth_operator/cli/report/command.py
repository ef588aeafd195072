"""``berth report``: what is paid, what would be paid, where the saving comes from and what it risks, as one page."""

from pathlib import Path
from typing import Annotated

import typer

from berth_operator.cli.from_sources import from_sources
from berth_operator.cli.outcome import NO_PLOTS, Outcome
from berth_operator.cli.output import Format, Output, note
from berth_operator.cli.report.page import Picture, page
from berth_operator.cli.sources import Sources, make_plan, see
from berth_scheduler.decision import Plan
from berth_scheduler.snapshot import Snapshot


@from_sources
def report(
    sources: Sources,
    *,
    to: Annotated[
        Path | None, typer.Option("-o", "--to", metavar="FILE", help="The page, report.html say; by default stdout.")
    ] = None,
) -> int:
    """One HTML page for whoever pays: cost now and planned, where a saving comes from, risks, prices.

    Nothing in it is loaded from elsewhere. Exits with 2 where a workload cannot be placed: the page says which.
    """
    snapshot = see(sources).snapshot
    made = make_plan(snapshot)
    Output(Format.TABLE, to).write(page(made, snapshot, _pictures(made, snapshot)))
    return Outcome.DONE if all(one.placed for one in made.decisions) else Outcome.DOES_NOT_HOLD


def _pictures(made: Plan, snapshot: Snapshot) -> tuple[Picture, ...]:
    """None without matplotlib: the tables say the same."""
    try:
        from berth_operator.cli.report.pictures import pictures  # noqa: PLC0415 — a second of imports, only for plots
    except ImportError:
        note(f"the page has tables only: {NO_PLOTS}")
        return ()
    return pictures(made, snapshot)
