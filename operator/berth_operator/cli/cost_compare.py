"""``berth cost compare``: one scenario file, its options side by side, and what would change the answer."""

from pathlib import Path
from typing import Annotated

import typer

from berth_cost.ownership.comparison import Comparison, compare
from berth_cost.ownership.pricing import Freshness, ScenarioError
from berth_cost.ownership.scenario import Scenario
from berth_cost.ownership.sensitivity import MOST_DRAWS
from berth_cost.spending.carbon import CarbonTable
from berth_operator.cli import options
from berth_operator.cli.cost_compare_view import cost_comparison_markdown, show_cost_comparison
from berth_operator.cli.outcome import NO_PLOTS, InputError, Outcome
from berth_operator.cli.output import Format, Output, note, progress
from berth_operator.cli.scenario_file import NoPlacement, ScenarioFile, sized
from berth_operator.cli.sources import load_settings, now


def cost_compare(
    scenario: Annotated[Path, typer.Argument(metavar="SCENARIO.yaml", help="Demand, baseline and options.")],
    *,
    baseline: Annotated[
        str | None, typer.Option("--baseline", metavar="OPTION", help="Compare with this one instead of the file's.")
    ] = None,
    draws: Annotated[
        int,
        typer.Option("--draws", metavar="N", min=0, max=MOST_DRAWS, help="Draw all inputs N times from their ranges."),
    ] = 0,
    seed: Annotated[int, typer.Option("--seed", metavar="S", min=0, help="Of the draws.")] = 0,
    scaling: Annotated[bool, typer.Option("--scaling", help="The cheapest option from 1 to 10,000 GPUs.")] = False,
    plots: Annotated[
        Path | None, typer.Option("--plots", metavar="FOLDER", help="Write the same as pictures (SVG).")
    ] = None,
    at: options.At = None,
    output: options.As = Format.TABLE,
    to: options.To = None,
    settings: options.SettingsFile = None,
) -> int:
    """What ways of getting GPUs cost over years, against a named one, and what would change the answer.

    Exits with 0 when done, 1 on an error in the input, 2 where the planner finds no place for the workload to size.
    """
    file = ScenarioFile(scenario)
    try:
        demand = sized(file, settings)
    except NoPlacement as error:
        note(str(error))
        return Outcome.DOES_NOT_HOLD
    asked = _against(demand.scenario, baseline)
    stated, catalogues = load_settings(settings)
    policy = stated.policy
    freshness = Freshness((at or now()).date(), policy.price_old_after_days, policy.price_refused_after_days)
    try:
        with progress(f"comparing {len(asked.options)} options"):
            result = compare(
                asked,
                catalogues.prices,
                CarbonTable.load_builtin(),
                draws=draws,
                seed=seed,
                scaling=scaling or plots is not None,
                sized_from=demand.told,
                sized_gpu=demand.gpu,
                freshness=freshness,
            )
    except ScenarioError as error:
        raise file.refusal(error) from error
    if plots is not None:
        _write_plots(result, plots)
    Output(output, to).write_record(
        result,
        lambda page: show_cost_comparison(page, result, str(scenario)),
        lambda: cost_comparison_markdown(result),
    )
    return Outcome.DONE


def _against(scenario: Scenario, baseline: str | None) -> Scenario:
    names = [option.name for option in scenario.options]
    if baseline is not None and baseline not in names:
        raise InputError(f"--baseline {baseline}: names no option; there are {', '.join(names)}")
    return scenario if baseline is None else scenario.model_copy(update={"baseline": baseline})


def _write_plots(result: Comparison, folder: Path) -> None:
    try:
        from berth_operator.cli.cost_plots import write_plots  # noqa: PLC0415 — a second of imports, only for plots
    except ImportError as error:
        raise InputError(f"--plots {folder}: {NO_PLOTS}") from error
    try:
        written = write_plots(result, folder)
    except OSError as error:
        raise InputError(f"--plots {folder}: cannot be written: {error.strerror}") from error
    note(f"wrote {', '.join(str(path) for path in written)}")
