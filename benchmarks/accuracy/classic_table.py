"""How far predictions of classic networks are from published measurements, beside two baselines on the same rows.

Run: ``python benchmarks/accuracy/classic_table.py [--data FOLDER] [--splits] [--slices]``. Absolute percentage errors,
median / mean, and the share of observations inside the 90 % band:

- no run: as shipped (``--splits`` shows what holds for what the constants have not seen);
- one run, two runs: every deployment told its run of middle load, or those of lowest and highest load, and asked about
  its others; two inside: told those a quarter from either end of its loads;
- other GPU: told the run of middle load of the same network on another GPU;
- naive: work over peak rate and bandwidth, with the one factor for each row of the table that suits it best;
- α + β·load: the straight line through the same two runs.

``--splits`` fits the constants again without each fold of models, each GPU, engine and precision, and judges them on
what was left out; it takes minutes. ``--slices`` splits the table by GPU, precision and engine too. ``--mig`` tells
networks that ran on two slices of a GPU some runs on either or one, and asks about the others.
"""

import argparse
import copy
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from constants_fit import fold_of, measured, prior_document, source_of, thinned
from error_table import naive_constants
from fit_classic import KIND, fit_all, keys_of, known_size
from measured_cases import DEFAULT_DATA, Observations, observations, read_cases
from numpy.typing import NDArray

from berth_cost.cases.case import Case, MeasuredPoint
from berth_cost.cases.records import case_table
from berth_cost.hardware.gpu_catalogue import GPUCatalogue, GPUSpecification
from berth_cost.performance.calibration import calibrated
from berth_cost.performance.engine_constants import Constants, built_in_constants
from berth_cost.performance.fitted_constants import GENERAL
from berth_cost.performance.prediction import predict
from berth_cost.performance.prediction_table import PredictionTable

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]
SHOWN = {"latencySeconds": ("mean", "p95", "p99"), "itemsPerSecond": ("value",)}
FEWEST = 10
"""Observations of a line of a table."""


@dataclass(frozen=True)
class Told:
    """Predictions of cases that were told runs, and which of them were asked about."""

    answers: PredictionTable
    asked: Booleans


@dataclass(frozen=True)
class Cell:
    """Errors in percent and coverage of one way of predicting the rows of a line."""

    cases: int
    median: float
    mean: float
    coverage: float | None = None

    def __str__(self) -> str:
        inside = "" if self.coverage is None else f" ({self.coverage:.0f} %)"
        return f"{self.median:.1f} / {self.mean:.1f}{inside}"


def network(case: Case) -> str:
    """The network itself: a name may stand for several sizes (image side, sequence length)."""
    return f"{source_of(case)} {case.model.name} {case.model.dense}"


def deployment(case: Case) -> str:
    """Everything but load and batch; processes that share a GPU belong to it."""
    hardware, engine = case.hardware, case.engine
    place = f"{hardware.gpu}:{hardware.mig_profile} {engine.name} {engine.version} {case.precision}"
    return f"{network(case)} {place} {case.load.kind} {case.request.items_per_request}"


def load_of(case: Case) -> float:
    load = case.load
    return load.concurrency or load.requests_per_second or load.batch_size or case.serving.maximum_batch_size or 1.0


def grouped(cases: Sequence[Case], key: Callable[[Case], str]) -> list[list[int]]:
    """Rows by key, each in order of load."""
    groups: dict[str, list[int]] = {}
    for row, case in enumerate(cases):
        groups.setdefault(key(case), []).append(row)
    return [sorted(rows, key=lambda row: (load_of(cases[row]), cases[row].id)) for rows in groups.values()]


def as_run(case: Case) -> MeasuredPoint:
    if case.observed is None:
        raise ValueError(f"{case.id}: nothing was observed")
    return MeasuredPoint(
        hardware=case.hardware,
        precision=case.precision,
        engine=case.engine,
        serving=case.serving,
        load=case.load,
        request=case.request,
        metrics=case.observed,
    )


def told_own_runs(
    cases: Sequence[Case], gpus: Mapping[str, GPUSpecification], chosen: Callable[[list[int]], list[int]]
) -> Told:
    """Every deployment with at least three runs told those that ``chosen`` picks from them."""
    asked, runs = np.zeros(len(cases), dtype=np.bool_), []
    for rows in grouped(cases, deployment):
        if len(rows) >= 3:
            told = chosen(rows)
            runs.append((np.array(rows, dtype=np.int64), [as_run(cases[row]) for row in told]))
            asked[rows] = True
            asked[told] = False
    return Told(predict(calibrated(case_table(cases, gpus), runs, gpus)), asked)


def told_elsewhere(cases: Sequence[Case], gpus: Mapping[str, GPUSpecification]) -> Told:
    """Every network told one run of itself on another GPU: the first in alphabetical order that it ran on."""
    asked, runs = np.zeros(len(cases), dtype=np.bool_), []
    for rows in grouped(cases, lambda case: f"{network(case)} {case.engine.name} {case.precision} {case.load.kind}"):
        for gpu in sorted({cases[row].hardware.gpu for row in rows}):
            here = [row for row in rows if cases[row].hardware.gpu == gpu]
            others = [row for row in rows if cases[row].hardware.gpu != gpu]
            if others:
                first = min(cases[row].hardware.gpu for row in others)
                there = [row for row in others if cases[row].hardware.gpu == first]
                runs.append((np.array(here, dtype=np.int64), [as_run(cases[there[len(there) // 2]])]))
                asked[here] = True
    return Told(predict(calibrated(case_table(cases, gpus), runs, gpus)), asked)


def middle(rows: list[int]) -> list[int]:
    return [rows[len(rows) // 2]]


def ends(rows: list[int]) -> list[int]:
    return [rows[0], rows[-1]]


def inside(rows: list[int]) -> list[int]:
    return [rows[len(rows) // 4], rows[3 * len(rows) // 4]]


def slice_lines(cases: Sequence[Case], gpus: Mapping[str, GPUSpecification]) -> list[list[str]]:
    """Every network told runs on its smallest slice, its largest, or both."""
    names = {case.hardware.mig_profile for case in cases} - {None}
    small, large = min(names, default=None), max(names, default=None)
    some, every = middle, lambda rows: rows
    ways = {
        f"one run on {small}, one on {large}": (some, some),
        f"all runs on {small}": (every, None),
        f"all runs on {large}": (None, every),
    }
    found = []
    for label, picks in ways.items():
        asked, runs = np.zeros(len(cases), dtype=np.bool_), []
        for rows in grouped(cases, network):
            told: list[int] = []
            for name, pick in zip((small, large), picks, strict=True):
                here = [row for row in rows if cases[row].hardware.mig_profile == name]
                told += pick(here) if pick and here else []
            runs.append((np.array(rows, dtype=np.int64), [as_run(cases[row]) for row in told]))
            asked[rows] = True
            asked[told] = False
        answers = predict(calibrated(case_table(cases, gpus), runs, gpus))
        for one in observations(cases):
            rows = asked[one.rows]
            if one.statistic in SHOWN.get(one.metric, ()):
                error = cell(one.log_ratio(answers)[rows], one.inside(answers)[rows])
                if error:
                    found.append([label, one.metric, str(error.cases), str(error)])
    return found


def straight_lines(cases: Sequence[Case], one: Observations) -> Floats:
    """log(α + β·load) through the runs of lowest and highest load of each deployment, by row of ``cases``; nan where
    it has fewer than three. Of a rate, its inverse times the load is drawn."""
    value = np.full(len(cases), np.nan)
    value[one.rows] = one.values
    line = np.full(len(cases), np.nan)
    rate = one.metric == "itemsPerSecond"
    for rows in grouped(cases, deployment):
        if len(rows) < 3:
            continue
        load = np.array([load_of(cases[row]) for row in rows])
        seconds = load / value[rows] if rate else value[rows]
        slope = (seconds[-1] - seconds[0]) / max(load[-1] - load[0], 1e-9)
        drawn = np.maximum(seconds[0] + slope * (load - load[0]), 1e-12)
        line[rows] = np.log(load / drawn if rate else drawn)
    return line


def cell(ratios: Floats, inside: Booleans | None = None) -> Cell | None:
    """``ratios``: logs of predicted over observed, nan where nothing was predicted."""
    known = np.isfinite(ratios)
    if known.sum() < FEWEST:
        return None
    found = 100 * np.abs(np.expm1(ratios[known]))
    covered = None if inside is None else 100 * float(inside[known].mean())
    return Cell(int(known.sum()), float(np.median(found)), float(found.mean()), covered)


def lines(
    cases: Sequence[Case], gpus: Mapping[str, GPUSpecification], slice_of: Callable[[Case], str]
) -> list[list[str]]:
    """The table's lines of one source."""
    table = case_table(cases, gpus)
    plain, naive = predict(table), predict(table, naive_constants(built_in_constants()))
    ways = [
        Told(plain, np.ones(len(cases), dtype=np.bool_)),
        told_own_runs(cases, gpus, middle),
        told_own_runs(cases, gpus, ends),
        told_elsewhere(cases, gpus),
        told_own_runs(cases, gpus, inside),
    ]
    slices = np.array([slice_of(case) for case in cases])
    found = []
    for one in observations(cases):
        if one.statistic not in SHOWN.get(one.metric, ()):
            continue
        drawn = straight_lines(cases, one)[one.rows] - np.log(one.values)
        bare = one.log_ratio(naive)
        for name in sorted(set(slices)):
            here = slices[one.rows] == name
            cells = []
            for way in ways:
                rows = here & way.asked[one.rows]
                cells.append(cell(one.log_ratio(way.answers)[rows], one.inside(way.answers)[rows]))
            suited = (
                bare[here] - np.median(bare[here][np.isfinite(bare[here])]) if np.isfinite(bare[here]).any() else None
            )
            cells.append(None if suited is None else cell(suited))
            cells.append(cell(drawn[here & ways[2].asked[one.rows]]))
            counts = [str(most.cases) if most else "" for most in (cells[0], cells[2])]
            if any(cells):
                label = one.metric if one.statistic == "value" else f"{one.metric}.{one.statistic}"
                texts = ["" if one_cell is None else str(one_cell) for one_cell in cells]
                order = (0, 5, 1, 2, 6, 4, 3)
                found.append([name, label, *counts, *(texts[column] for column in order)])
    return found


HEADERS = [
    "source, load",
    "metric",
    "n",
    "n of two runs",
    "no run",
    "naive",
    "one run",
    "two runs",
    "α + β·load",
    "two inside",
    "other GPU",
]


def printed(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in (headers, ["---"] * len(headers), *rows))


def beyond(one: Observations, ratios: Floats, names: Sequence[str]) -> Floats:
    """How far log(observed / predicted) lies outside the shipped band of its engine, in logs; below 0 inside."""
    bands = built_in_constants().classic.bands
    by_engine = bands.get(f"{one.metric}.{one.statistic}", bands[one.metric])
    edges = [by_engine.get(name, by_engine[GENERAL]) for name in names]
    low, high = np.log([edge.low for edge in edges]), np.log([edge.high for edge in edges])
    found = np.maximum(low + ratios, -ratios - high)
    return found[np.isfinite(found)]


def needed(parts: Sequence[Floats]) -> str:
    """What must be added to both edges for 90 % to lie within; each left-out group counts by the root of its size."""
    distance = np.concatenate(parts)
    weight = np.concatenate([np.full(len(part), 1 / np.sqrt(max(len(part), 1))) for part in parts])
    order = np.argsort(distance)
    share = np.cumsum(weight[order]) / weight.sum()
    return f"{max(distance[order][np.searchsorted(share, 0.9)], 0.0):.2f}"


def split_lines(cases: Sequence[Case], gpus: Mapping[str, GPUSpecification]) -> list[list[str]]:
    """Constants fitted without each fold of models, each GPU, engine and precision, judged on what was left out; last,
    by how much the bands must widen for it."""
    prior, keys = prior_document(KIND), keys_of(cases)
    splits = {
        "models": [str(fold) for fold in fold_of(cases)],
        "GPU": keys["gpus"],
        "engine": keys["engines"],
        "precision": keys["precisions"],
    }
    rows = []
    for split, names in splits.items():
        ratios: dict[tuple[str, str], list[Floats]] = {}
        outside: dict[str, list[Floats]] = {}
        for name in sorted(set(names)):
            seen = [case for case, its in zip(cases, names, strict=True) if its != name]
            unseen = [case for case, its in zip(cases, names, strict=True) if its == name and known_size(case)]
            if not unseen:
                continue
            document = fit_all(copy.deepcopy(prior), measured(thinned(seen, KIND), gpus), gpus)
            answers = predict(case_table(unseen, gpus), Constants.model_validate(document))
            for one in observations(unseen):
                if one.statistic in SHOWN.get(one.metric, ()):
                    sources = np.array([source_of(unseen[row]) for row in one.rows])
                    label = one.metric if one.statistic == "value" else f"{one.metric}.{one.statistic}"
                    # A stranger has the general band.
                    engines = [
                        GENERAL if split == "engine" else keys_of([unseen[row]])["engines"][0] for row in one.rows
                    ]
                    outside.setdefault(label, []).append(beyond(one, one.log_ratio(answers), engines))
                    for source in sorted(set(sources)):
                        part = one.log_ratio(answers)[sources == source]
                        ratios.setdefault((source, label), []).append(part)
                        if split != "models":
                            ratios.setdefault((f"{source}: {name}", label), []).append(part)
            print(f"without {split} {name}: judged", file=sys.stderr)
        for (name, label), parts in sorted(ratios.items()):
            found = cell(np.concatenate(parts))
            if found:
                rows.append([split, name, label, str(found.cases), str(found)])
        for label, parts in sorted(outside.items()):
            rows.append([split, "widening", label, str(sum(map(len, parts))), needed(parts)])
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="folder of <source>.jsonl.gz")
    parser.add_argument("--splits", action="store_true", help="fit without models, GPUs, engines, precisions; minutes")
    parser.add_argument("--slices", action="store_true", help="by GPU, precision and engine too")
    parser.add_argument("--mig", action="store_true", help="runs on one slice of a GPU for another")
    arguments = parser.parse_args()
    sources = {name: [case for case in cases if case.model.dense] for name, cases in read_cases(arguments.data).items()}
    sources = {name: cases for name, cases in sources.items() if len(cases) >= FEWEST and cases[0].observed}
    if not sources:
        print(f"no measured cases in {arguments.data}: name a folder with --data", file=sys.stderr)
        return 1
    gpus = GPUCatalogue.load_builtin().specifications
    if arguments.mig:
        sliced = [case for cases in sources.values() for case in cases if case.hardware.mig_profile]
        print(printed(["told", "metric", "n", "error"], slice_lines(sliced, gpus)))
        return 0
    if arguments.splits:
        # Networks of unknown size are not predicted, but tell how unevenly servers answer.
        every = [case for cases in sources.values() for case in cases]
        print(printed(["left out", "slice", "metric", "n", "error"], split_lines(every, gpus)))
        return 0

    def slice_of(case: Case) -> str:
        name = f"{source_of(case)} {case.load.kind}"
        if arguments.slices:
            slice_name = f":{case.hardware.mig_profile}" if case.hardware.mig_profile else ""
            name += f" {case.hardware.gpu}{slice_name} {case.precision} {case.engine.name}"
        return name

    print(printed(HEADERS, [line for cases in sources.values() for line in lines(cases, gpus, slice_of)]))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
