"""How far predictions of language models are from published measurements, with nothing measured, one run and two.

Run: ``python benchmarks/accuracy/language_table.py [--data FOLDER]``. Absolute percentage errors (median / mean):

- unseen model, GPU, engine, precision: constants fitted without that group, as ``fit_language.py`` recorded it;
- fitted: with the constants as they are shipped;
- one run, two runs: every deployment (model, GPU, engine and version, precision, split) told its run of middle load, or
  those of least and most load, and asked about its others; only for deployments with three runs and more;
- naive: work over peak rate and bandwidth, with the one factor per row of this table that suits it best in hindsight;
- α + β·batch: a straight line through the time per output token of the two runs, asked about the others.

The second table is the coverage of the 90 % band (nothing measured, one run, two runs) by slice of at least 50.
"""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from error_table import deployment, load_of, naive_constants, pair
from language_splits import SPLITS, Residuals, residuals_at
from measured_cases import DEFAULT_DATA, read_cases
from numpy.typing import NDArray

from berth_cost.cases.case import Case, MeasuredPoint
from berth_cost.cases.records import case_table
from berth_cost.hardware.gpu_catalogue import GPUCatalogue, GPUSpecification
from berth_cost.performance.calibration import calibrated
from berth_cost.performance.case_table import CaseTable
from berth_cost.performance.engine_constants import Constants, built_in_constants, engine_names
from berth_cost.performance.prediction import predict
from berth_cost.performance.prediction_table import PredictionTable

Picks = Callable[[list[int]], list[int]]
METRICS = (
    "timePerOutputTokenSeconds.mean",
    "timePerOutputTokenSeconds.p50",
    "timePerOutputTokenSeconds.p99",
    "timeToFirstTokenSeconds.mean",
    "timeToFirstTokenSeconds.p99",
    "endToEndSeconds.mean",
    "endToEndSeconds.p99",
    "outputTokensPerSecond",
    "memoryBytesPerGPU",
    "powerWattsPerGPU",
    "joulesPerOutputToken",
)
FEWEST_RUNS = 3
SMALLEST_SLICE = 50
HEADERS = (
    "source",
    "metric",
    "n",
    *(f"unseen {split}" for split in SPLITS),
    "fitted",
    "n",
    "one run",
    "n",
    "two runs",
    "naive",
    "α + β·batch",
)


KIND_HEADERS = (
    "time per output token",
    *(f"unseen {split}" for split in SPLITS),
    "n",
    "fitted",
    "n",
    "one run",
    "n",
    "two runs",
)


def middle(ordered: list[int]) -> list[int]:
    return [ordered[len(ordered) // 2]]


def ends(ordered: list[int]) -> list[int]:
    return [ordered[0], ordered[-1]]


def deployments(cases: Sequence[Case]) -> list[list[int]]:
    """Rows by deployment, by rising load."""
    groups: dict[tuple[str, str | None], list[int]] = {}
    for row, case in enumerate(cases):
        groups.setdefault((deployment(case), case.engine.version), []).append(row)
    return [sorted(rows, key=lambda row: (load_of(cases[row]), cases[row].id)) for rows in groups.values()]


def told(
    cases: Sequence[Case],
    table: CaseTable,
    picks: Picks,
    gpus: Mapping[str, GPUSpecification],
    constants: Constants | None = None,
) -> tuple[CaseTable, NDArray[np.bool_]]:
    """The table calibrated by the picked runs of each deployment, and which rows are asked about."""
    asked = np.zeros(len(cases), dtype=np.bool_)
    runs = []
    for ordered in deployments(cases):
        if len(ordered) < FEWEST_RUNS:
            continue
        chosen = picks(ordered)
        points = [
            MeasuredPoint(serving=case.serving, load=case.load, request=case.request, metrics=case.observed)
            for case in (cases[row] for row in chosen)
            if case.observed is not None
        ]
        runs.append((np.array(ordered, dtype=np.int64), points))
        asked[ordered], asked[chosen] = True, False
    return calibrated(table, runs, gpus, constants), asked


def line(cases: Sequence[Case]) -> NDArray[np.float64]:
    """log(observed / line) of the time per output token, where a deployment's two ends fix the line."""
    ratios = []
    for ordered in deployments(cases):
        timed = [(load_of(cases[row]), time_per_token(cases[row]), row) for row in ordered]
        known = [(load, time, row) for load, time, row in timed if time is not None]
        if len(known) < FEWEST_RUNS or known[0][0] == known[-1][0]:
            continue
        (low, first, _), (high, last, _) = known[0], known[-1]
        for load, time, _ in known[1:-1]:
            ratios.append(np.log(time / (first + (last - first) * (load - low) / (high - low))))
    return np.array(ratios)


def time_per_token(case: Case) -> float | None:
    times = case.observed and case.observed.time_per_output_token_seconds
    return None if not times else times.mean or times.p50


def error(ratio: NDArray[np.float64]) -> tuple[float, float] | None:
    percent = 100 * np.abs(np.expm1(-ratio[np.isfinite(ratio)]))
    return (float(np.median(percent)), float(percent.mean())) if len(percent) else None


def of_rows(residuals: Residuals, cases: Sequence[Case], asked: NDArray[np.bool_]) -> Residuals:
    chosen = {case.id for case, wanted in zip(cases, asked, strict=True) if wanted}
    return residuals.where(np.array([name in chosen for name in residuals.case], dtype=np.bool_))


class Answers:
    """All predictions of the language cases at hand."""

    def __init__(self, cases: Sequence[Case], gpus: Mapping[str, GPUSpecification]) -> None:
        constants = built_in_constants()
        table = case_table(cases, gpus)
        engine = np.array(engine_names(constants, table))[table.engine_index]

        def residuals(answers: PredictionTable) -> Residuals:
            return residuals_at(cases, answers, engine)

        self.fitted = residuals(predict(table))
        self.naive = residuals(predict(table, naive_constants(constants)))
        self.runs = []
        for picks in (middle, ends):
            calibrated_table, asked = told(cases, table, picks, gpus)
            self.runs.append(of_rows(residuals(predict(calibrated_table)), cases, asked))


def error_rows(cases: Sequence[Case], answers: Answers) -> list[tuple[str, ...]]:
    recorded = recorded_errors()
    rows = []
    for source in sorted({case.id.split("/")[0] for case in cases}):
        own = [case for case in cases if case.id.split("/")[0] == source]
        for metric in METRICS:
            chosen = [
                part.ratio[(part.source == source) & (part.metric == metric)]
                for part in (answers.fitted, *answers.runs, answers.naive)
            ]
            if not len(chosen[0]):
                continue
            naive = chosen[3] - np.median(chosen[3]) if len(chosen[3]) else chosen[3]
            straight = line(own) if metric in METRICS[:2] else np.empty(0)
            rows.append(
                (
                    source,
                    metric,
                    str(len(chosen[0])),
                    *(pair(recorded.get((split, source, metric))) for split in SPLITS),
                    pair(error(chosen[0])),
                    str(len(chosen[1])),
                    pair(error(chosen[1])),
                    str(len(chosen[2])),
                    pair(error(chosen[2])),
                    pair(error(naive)),
                    pair(error(straight)),
                )
            )
    return rows


def kind_rows(answers: Answers) -> list[tuple[str, ...]]:
    """All times per output token together, dense models and mixtures of experts."""
    recorded = recorded_errors()
    rows = []
    for kind in ("dense", "moe"):
        cells = [kind, *(pair(recorded.get((split, f"all {kind}", "timePerOutputTokenSeconds"))) for split in SPLITS)]
        for part in (answers.fitted, *answers.runs):
            mine = (part.experts == kind) & np.isin(part.metric, METRICS[:2])
            cells += [str(int(mine.sum())), pair(error(part.ratio[mine]))]
        rows.append(tuple(cells))
    return rows


def recorded_errors() -> dict[tuple[str, str, str], tuple[float, float]]:
    """As the fit left them in the constants, by what was left out, source and metric."""
    return {
        (one.left_out, one.source, one.metric): (one.median_percent, one.mean_percent)
        for one in built_in_constants().language.errors
    }


def coverage_rows(answers: Answers) -> list[tuple[str, ...]]:
    """Share of observations inside the band, by metric, GPU, precision, engine and kind of model."""
    levels = ("metric", "gpu", "precision", "engine", "experts")
    rows = []
    names = [
        np.array(["|".join(labels) for labels in zip(*(getattr(part, level) for level in levels), strict=True)])
        for part in (answers.fitted, *answers.runs)
    ]
    for name in sorted(set(names[0].tolist())):
        if name.split("|")[0] not in METRICS:
            continue
        cells = []
        for part, labels in zip((answers.fitted, *answers.runs), names, strict=True):
            mine = part.inside[labels == name]
            cells += [str(len(mine)), f"{100 * mine.mean():.0f} %" if len(mine) else ""]
        if int(cells[0]) >= SMALLEST_SLICE:
            rows.append((*name.split("|"), *cells))
    return rows


def printed(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(headers) + " |", "|" + "---|" * len(headers)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="folder of <source>.jsonl.gz")
    arguments = parser.parse_args()
    sources = read_cases(arguments.data)
    cases = [case for own in sources.values() for case in own if case.model.transformer]
    if not cases:
        print(f"no measured cases in {arguments.data}: name a folder with --data", file=sys.stderr)
        return 1
    answers = Answers(cases, GPUCatalogue.load_builtin().specifications)
    print(printed(HEADERS, error_rows(cases, answers)))
    print()
    print(printed(KIND_HEADERS, kind_rows(answers)))
    print()
    headers = ("metric", "GPU", "precision", "engine", "models", "n", "in band", "n", "one run", "n", "two runs")
    print(printed(headers, coverage_rows(answers)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
