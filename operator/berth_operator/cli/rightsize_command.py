"""``berth rightsize``: what another berth would save each workload, and whether the change pays."""

from decimal import Decimal
from pathlib import Path
from typing import Annotated

import typer

from berth_operator.cli import options
from berth_operator.cli.comparison import continued
from berth_operator.cli.from_sources import from_sources
from berth_operator.cli.observed_file import read_observed
from berth_operator.cli.outcome import InputError, Outcome
from berth_operator.cli.output import Format, Output, note
from berth_operator.cli.rightsize_view import rightsize_markdown, show_rightsize
from berth_operator.cli.sources import Seen, Sources, make_plan, planning, see
from berth_operator.observed_status import observed_of_status
from berth_operator.world import key_of
from berth_scheduler.decision import Plan
from berth_scheduler.right_sizing.assessment import ChangeOver, RightSizingReport, report
from berth_scheduler.right_sizing.review import review
from berth_scheduler.snapshot import Observed, Snapshot, Workload


@from_sources
def rightsize(
    sources: Sources,
    *,
    observed: Annotated[
        Path | None,
        typer.Option(
            "--observed", metavar="FILE", help="What was observed: CSV (workload,requests_per_second[,…]) or JSON."
        ),
    ] = None,
    minimum_saving_percent: Annotated[
        float | None,
        typer.Option(
            "--minimum-saving-percent", metavar="PERCENT", min=0, max=100, help="Instead of what the specs state."
        ),
    ] = None,
    maximum_payback_hours: Annotated[
        float | None,
        typer.Option("--maximum-payback-hours", metavar="HOURS", min=0, help="Instead of what the specs state."),
    ] = None,
    namespace: options.OnlyNamespace = None,
    output: options.As = Format.TABLE,
    to: options.To = None,
) -> int:
    """What another berth would save, under the traffic that was observed, and whether the change pays.

    From files alone, what they would be placed on is taken to run. Exits with 0 when done, 1 on an error in the input,
    2 where something cannot be placed.
    """
    seen = see(sources)
    known = _observed(seen, observed)
    running, planned = _running(seen.snapshot)
    bounded = tuple(
        _bounded(workload, known.get(workload.key), minimum_saving_percent, maximum_payback_hours)
        for workload in running.workloads
    )
    asked = running.model_copy(update={"workloads": bounded})
    calm = seen.settings
    change_over = ChangeOver(calm.right_sizing.start_seconds, calm.platform.drain_seconds)
    with planning(asked):
        found = report(asked, review(asked, change_over=change_over))
    shown = found if namespace is None else _only(found, namespace)
    Output(output, to).write_record(shown, lambda page: show_rightsize(page, shown), lambda: rightsize_markdown(shown))
    lost = [one for one in planned.decisions if not one.placed and namespace in (None, one.workload.partition("/")[0])]
    for one in lost:
        note(f"{one.workload} cannot be placed: {one.message}")
    return Outcome.DOES_NOT_HOLD if lost else Outcome.DONE


def _observed(seen: Seen, file: Path | None) -> dict[str, Observed]:
    """From the file where one is given, else from what the operator wrote into the statuses."""
    if file is None:
        statuses = ((key_of(thing), thing) for thing in seen.world.workloads)
        found = ((key, observed_of_status(thing, seen.snapshot.time)) for key, thing in statuses if key is not None)
        return {key: one for key, one in found if one is not None}
    known = read_observed(file, seen.snapshot.time)
    there = {workload.key for workload in seen.snapshot.workloads}
    strangers = sorted(known.keys() - there)
    if strangers:
        said = ", ".join(strangers[:5])
        raise InputError(f"{file}: there is no workload {said}; there is {', '.join(sorted(there)[:10]) or 'none'}")
    # Whoever hands in a file says that it is about now.
    return {key: one.model_copy(update={"at": seen.snapshot.time}) for key, one in known.items()}


def _running(snapshot: Snapshot) -> tuple[Snapshot, Plan]:
    """With something that runs for every workload that can be placed: what the plan says, where nothing does."""
    planned = make_plan(snapshot)
    return continued(snapshot, snapshot, planned), planned


def _bounded(workload: Workload, observed: Observed | None, saving: float | None, payback: float | None) -> Workload:
    stated = workload.right_sizing
    bounds = stated.model_copy(
        update={
            "minimum_saving_percent": stated.minimum_saving_percent if saving is None else saving,
            "maximum_payback_hours": stated.maximum_payback_hours if payback is None else payback,
        }
    )
    return workload.model_copy(update={"right_sizing": bounds, "observed": observed})


def _only(found: RightSizingReport, namespace: str) -> RightSizingReport:
    kept = tuple(one for one in found.workloads if one.workload.partition("/")[0] == namespace)
    saved = sum(
        (one.proposal.saving_usd_per_month for one in kept if one.recommended and one.proposal), start=Decimal("0.00")
    )
    return found.model_copy(update={"workloads": kept, "saving_usd_per_month": saved})
