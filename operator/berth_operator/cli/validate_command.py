"""``berth validate``: how far predictions lie from what was observed, by slice."""

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from berth_cost.cases.lines import CaseFlaw, NumberedCase
from berth_cost.cases.validation import (
    DIMENSIONS,
    Comparison,
    Dimension,
    ErrorSlice,
    Validation,
    comparisons,
    error_slices,
)
from berth_operator.cli import options
from berth_operator.cli.case_files import answered
from berth_operator.cli.outcome import NO_PLOTS, InputError, Outcome
from berth_operator.cli.output import Column, Format, Output, Page, cell, note, progress, unbroken
from berth_operator.cli.plan_view import markdown_row
from berth_operator.cli.predict_command import Cases
from berth_operator.cli.sources import load_settings
from berth_scheduler.wording import number, plural

SHORT = {
    "latencySeconds": "latency",
    "endToEndSeconds": "end to end",
    "timeToFirstTokenSeconds": "TTFT",
    "timePerOutputTokenSeconds": "TPOT",
    "requestsPerSecond": "requests/s",
    "itemsPerSecond": "items/s",
    "outputTokensPerSecond": "output tokens/s",
    "totalTokensPerSecond": "tokens/s",
    "memoryBytesPerGPU": "memory",
    "powerWattsPerGPU": "power",
    "joulesPerOutputToken": "J/token",
    "joulesPerRequest": "J/request",
}
"""Metrics in tables."""
NUMBERS = ("N", "MEDIAN", "MEAN", "P90", "BIAS", "IN BAND", "REFUSED")


def _dimensions(text: str) -> tuple[Dimension, ...]:
    asked = [one.strip() for one in text.split(",") if one.strip()]
    unknown = [one for one in asked if one not in DIMENSIONS]
    if unknown:
        raise typer.BadParameter(f"{', '.join(unknown)}: name some of {', '.join(DIMENSIONS)}")
    return tuple(one for one in DIMENSIONS if one in asked)


def validate(
    cases: Cases,
    *,
    by: Annotated[
        str, typer.Option("--by", metavar="DIMENSIONS", help="What slices are told apart by; an empty text: nothing.")
    ] = ",".join(DIMENSIONS),
    plots: Annotated[
        Path | None, typer.Option("--plots", metavar="FOLDER", help="Predicted against measured, one SVG a metric.")
    ] = None,
    output: options.As = Format.TABLE,
    to: options.To = None,
    settings: options.SettingsFile = None,
) -> int:
    """Errors of the predictions of cases with `observed`: median, mean, 90th percentile, bias, coverage of the band.

    A line that cannot be answered is listed, and the exit code is 1.
    """
    dimensions = _dimensions(by)
    _, catalogues = load_settings(settings)
    found: list[Comparison] = []
    flaws: list[CaseFlaw] = []
    evidence: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    count, silent, version = 0, 0, None
    with progress(f"validating {cases}"):
        for read, answer in answered(cases, catalogues.gpus):
            count += 1
            if isinstance(answer, CaseFlaw) or not isinstance(read, NumberedCase):
                flaws += [answer] if isinstance(answer, CaseFlaw) else []
                continue
            compared = comparisons(read.case, answer)
            version = answer.model_version
            evidence[answer.evidence] += bool(compared)
            refused.update(reason.code for reason in answer.reasons[:1] if compared)
            silent += not compared
            found += compared
    if not found and not flaws:
        raise InputError(f"{cases}: no case states observed: there is nothing to compare predictions with")
    validation = Validation.model_validate(
        {
            "model_version": version,
            "cases": count,
            "without_observed": silent,
            "evidence": dict(sorted(evidence.items())),
            "refused": dict(sorted(refused.items())),
            "totals": error_slices(found),
            "slices": error_slices(found, dimensions) if dimensions else (),
            "flaws": tuple(flaws),
        }
    )
    if plots is not None:
        _draw(found, plots)
    Output(output, to).write_record(
        validation, lambda page: _show(page, validation, dimensions), lambda: _markdown(validation, dimensions)
    )
    return Outcome.INPUT_ERROR if flaws else Outcome.DONE


def _draw(found: list[Comparison], folder: Path) -> None:
    try:
        from berth_operator.cli.validation_plots import draw  # noqa: PLC0415 — a second of imports, only for plots
    except ImportError as error:
        raise InputError(f"--plots {folder}: {NO_PLOTS}") from error
    try:
        with progress("drawing"):
            drawn = draw(found, folder)
    except OSError as error:
        raise InputError(f"--plots {folder}: cannot be written: {error.strerror}") from error
    note(f"{plural(len(drawn), 'plot')} in {folder}: {', '.join(file.name for file in drawn)}")


# --- for people --------------------------------------------------------------------------------------------------


def _show(page: Page, validation: Validation, dimensions: tuple[Dimension, ...]) -> None:
    page.sentence(_headline(validation), "bold")
    page.gap()
    numbers = tuple(Column(header, right=True) for header in NUMBERS)
    page.table((Column("METRIC"), *numbers), [[cell(text) for text in _total(one)] for one in validation.totals])
    if validation.slices:
        page.gap()
        where = tuple(Column(name, least=least) for name, least in _columns(dimensions))
        rows = [[cell(text) for text in _row(one, dimensions)] for one in validation.slices]
        page.table((Column("METRIC", least=9), *where, *numbers[:3], *numbers[4:]), rows)
    page.gap()
    page.sentence(
        "Errors are |predicted / observed − 1|; bias is that of the geometric mean; IN BAND should be near "
        f"{unbroken('90 %')}; "
        "REFUSED were observed, and have no prediction."
    )
    if validation.refused:
        reasons = ", ".join(f"{count:,} {code}" for code, count in validation.refused.items())
        page.sentence(f"Cases refused, by reason: {reasons}.")


def _columns(dimensions: tuple[Dimension, ...]) -> list[tuple[str, int]]:
    least = {"gpu": 14, "precision": 4, "engine": 8, "class": 7}
    return [(one.upper(), least[one]) for one in dimensions]


def _headline(validation: Validation) -> str:
    compared = validation.cases - len(validation.flaws) - validation.without_observed
    parts = [f"{plural(compared, 'case')} compared with what was observed"]
    if validation.without_observed:
        parts.append(f"{validation.without_observed} without observed")
    if validation.flaws:
        parts.append(f"{plural(len(validation.flaws), 'line')} refused")
    return ", ".join(parts) + "."


def _label(one: ErrorSlice) -> str:
    name = SHORT.get(one.metric, one.metric)
    return f"{name} {one.statistic}" if one.statistic else name


def _total(one: ErrorSlice) -> list[str]:
    errors = one.errors
    percents = (errors.median_percent, errors.mean_percent, errors.p90_percent, errors.bias_percent)
    return [
        _label(one),
        f"{errors.n:,}",
        *map(_percent, percents),
        _percent(errors.coverage_percent),
        f"{one.refused:,}" if one.refused else "",
    ]


def _row(one: ErrorSlice, dimensions: tuple[Dimension, ...]) -> list[str]:
    values = {"gpu": one.gpu, "precision": one.precision, "engine": one.engine, "class": one.model_class}
    label, n, median, mean, _, bias, coverage, refused = _total(one)
    return [label, *(values[name] or "" for name in dimensions), n, median, mean, bias, coverage, refused]


def _percent(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{'−' if value < 0 else ''}{number(abs(value), 3)} %"


def _markdown(validation: Validation, dimensions: tuple[Dimension, ...]) -> str:
    names = ("metric", *dimensions, "n", "median", "mean", "bias", "in band", "refused")
    lines = [_headline(validation), ""]
    lines += [markdown_row("metric", *(name.lower() for name in NUMBERS)), "|---" * (len(NUMBERS) + 1) + "|"]
    lines += [markdown_row(*_total(one)) for one in validation.totals]
    if validation.slices:
        lines += ["", markdown_row(*names), "|---" * len(names) + "|"]
        lines += [markdown_row(*_row(one, dimensions)) for one in validation.slices]
    return "\n".join(lines) + "\n"
