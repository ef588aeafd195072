"""``berth predict``: one answer for each line of a file of cases."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Annotated

import typer

from berth_cost.cases.answers import SEED
from berth_cost.cases.case import Prediction
from berth_cost.cases.lines import CaseFlaw
from berth_operator.cli import options
from berth_operator.cli.case_files import answered
from berth_operator.cli.outcome import InputError, Outcome
from berth_operator.cli.output import Column, Format, Output, Page, as_yaml, cell, progress
from berth_operator.cli.plan_view import markdown_row
from berth_operator.cli.sources import load_settings
from berth_scheduler.wording import duration_band, number

Cases = Annotated[
    Path,
    typer.Argument(metavar="CASES.jsonl", help="One case a line; - is stdin, .gz is unpacked.", show_default=False),
]
Answer = Prediction | CaseFlaw
SHOWN = (
    ("latencySeconds", "latency"),
    ("endToEndSeconds", "end to end"),
    ("timePerOutputTokenSeconds", "TPOT"),
)
"""The first of them that a prediction has is shown in a table."""
HEADERS = ("CASE", "PREDICTED (90 % BAND)", "EVIDENCE")


def predict(
    cases: Cases,
    *,
    output: Annotated[
        Format, typer.Option("-o", "--output", help="json is one record a line, as the input; table is for people.")
    ] = Format.JSON,
    closed_form: Annotated[
        bool, typer.Option("--closed-form", help="No simulation: percentiles under load as a plan has them.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of the simulation of percentiles under load.")] = SEED,
    to: options.To = None,
    settings: options.SettingsFile = None,
) -> int:
    """Latency, throughput, memory and power of every case, each with its 90 % band; JSON lines in, JSON lines out.

    A line that cannot be answered gets a record with its number and what is wrong, and the exit code is 1.
    """
    _, catalogues = load_settings(settings)
    if to is not None and to.exists() and cases.exists() and to.samefile(cases):
        raise InputError(f"--to {to}: is the file of the cases: write to another one")
    flawed = [False]

    def found() -> Iterator[Answer]:
        for _, answer in answered(cases, catalogues.gpus, None if closed_form else seed):
            flawed[0] = flawed[0] or isinstance(answer, CaseFlaw)
            yield answer

    with progress(f"predicting {cases}"):
        _write(found(), output, to)
    return Outcome.INPUT_ERROR if flawed[0] else Outcome.DONE


def _write(found: Iterable[Answer], output: Format, to: Path | None) -> None:
    match output:
        case Format.JSON | Format.YAML:
            with _target(to) as stream:
                for answer in found:
                    line = answer.model_dump_json(by_alias=True) + "\n"
                    stream.write(line if output is Format.JSON else f"---\n{as_yaml(answer.model_dump(by_alias=True))}")
        case Format.MARKDOWN:
            head = [markdown_row(*HEADERS), "|---|---|---|"]
            rows = [markdown_row(*_cells(answer)) for answer in found]
            Output(output, to).write("\n".join([*head, *rows]) + "\n")
        case Format.TABLE:
            page = Page(colour=False)
            rows_of_cells = [[cell(text) for text in _cells(answer)] for answer in found]
            columns = [Column(header, least=least) for header, least in zip(HEADERS, (20, 30, None), strict=True)]
            page.table(columns, rows_of_cells)
            Output(output, to).write(page.text())


@contextmanager
def _target(to: Path | None) -> Iterator[IO[str]]:
    if to is None:
        yield sys.stdout
        return
    try:
        with to.open("w", encoding="utf-8") as stream:
            yield stream
    except OSError as error:
        raise InputError(f"--to {to}: cannot be written: {error.strerror}") from error


def _cells(answer: Answer) -> tuple[str, str, str]:
    if isinstance(answer, CaseFlaw):
        return answer.id or f"line {answer.line}", f"error: {answer.error}", ""
    if not answer.feasible:
        return answer.id, "; ".join(f"{one.code}: {one.message}" for one in answer.reasons), answer.evidence
    return answer.id, _summary(answer), answer.evidence


def _summary(answer: Prediction) -> str:
    """``latency p99 31 ms (26–37), 262 requests/s``."""
    parts = []
    for metric, name in SHOWN:
        points, bands = answer.metrics.get(metric), answer.band.get(metric)
        if isinstance(points, dict) and isinstance(bands, dict) and points:
            statistic = "p99" if "p99" in points and metric != "timePerOutputTokenSeconds" else "mean"
            parts.append(f"{name} {statistic} {duration_band(points[statistic], *bands[statistic])}")
            break
    rate = answer.metrics.get("requestsPerSecond")
    if isinstance(rate, float):
        parts.append(f"{number(rate)} requests/s")
    return ", ".join(parts)
