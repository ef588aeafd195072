"""How far predictions are from published measurements, by source and metric.

Run: ``python benchmarks/accuracy/error_table.py [--data FOLDER]``. Columns: absolute percentage error (median, mean) of

- held out: models that the constants had not seen, as the fits recorded it (``fit_language.py``, ``fit_classic.py``);
- fitted: the same cases with the constants as they are shipped;
- one run: every deployment told one of its own runs, the one of middle load, and asked about its others;
- naive: work over peak rate and bandwidth, with the one factor per row of this table that suits it best;

and the share of observations inside the 90 % band (held out, one run).
"""

import argparse
import copy
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from measured_cases import DEFAULT_DATA, Observations, observations, read_cases
from numpy.typing import NDArray

from berth_cost.cases.case import Case, MeasuredPoint, Model
from berth_cost.cases.records import case_table
from berth_cost.cases.validation import error_statistics
from berth_cost.hardware.gpu_catalogue import GPUCatalogue, GPUSpecification
from berth_cost.performance.calibration import calibrated
from berth_cost.performance.engine_constants import Constants, built_in_constants
from berth_cost.performance.prediction import CaseTable, predict

CENTRAL = ("mean", "p50", "p99", "value")
NOT_PREDICTED = ("requestsPerSecond", "totalTokensPerSecond")
WITHOUT_WORK = ("ramp_tokens", "ramp_flops", "cohort_share", "lookahead_steps", "reused_prefix_tokens")
HEADERS = ("source", "metric", "n", "held out", "fitted", "n", "one run", "naive", "in band", "one run in band")


@dataclass(frozen=True)
class Row:
    """One line of the table; errors in percent as (median, mean), None where there is nothing to say."""

    source: str
    metric: str
    cases: int
    held_out: tuple[float, float] | None
    fitted: tuple[float, float]
    run_cases: int
    one_run: tuple[float, float] | None
    naive: tuple[float, float]
    coverage: float | None
    run_coverage: float | None


def naive_constants(constants: Constants) -> Constants:
    """The roofline alone: full efficiency, no overhead, nothing known about GPUs, precisions or families."""
    document = copy.deepcopy(constants.model_dump(by_alias=False))
    for kind in ("language", "classic"):
        for engine in document[kind]["engines"].values():
            for name in engine:
                if name.endswith("_efficiency"):
                    engine[name] = 1.0
                elif name.endswith("_seconds") or name in WITHOUT_WORK:
                    engine[name] = 0.0
            if kind == "classic":
                engine["host_bytes_per_second"] = 1e15
                engine["copy_seconds_per_byte"] = engine["width_exponent"] = 0.0
        document[kind]["gpus"], document[kind]["precisions"] = {}, {}
    document["classic"]["families"] = {}
    return Constants.model_validate(document)


def told_one_run(
    cases: Sequence[Case], table: CaseTable, gpus: Mapping[str, GPUSpecification]
) -> tuple[CaseTable, NDArray[np.bool_]]:
    """The table calibrated by the run of middle load of each deployment, and which rows are not that run itself."""
    groups: dict[tuple[str, Model], list[int]] = {}
    for row, case in enumerate(cases):
        # A model's name may stand for several sizes (image side, sequence length).
        groups.setdefault((deployment(case), case.model), []).append(row)
    asked = np.zeros(len(cases), dtype=np.bool_)
    runs = []
    for rows in groups.values():
        if len(rows) < 3:
            continue
        ordered = sorted(rows, key=lambda row: (load_of(cases[row]), cases[row].id))
        middle = ordered[len(ordered) // 2]
        case = cases[middle]
        if case.observed is None:
            continue
        point = MeasuredPoint(serving=case.serving, load=case.load, request=case.request, metrics=case.observed)
        chosen = np.array(rows, dtype=np.int64)
        runs.append((chosen, [point]))
        asked[chosen] = True
        asked[middle] = False
    return calibrated(table, runs, gpus), asked


def deployment(case: Case) -> str:
    """Everything but load and request: the first seven parts of the id of a published case."""
    return "/".join(case.id.split("#")[0].split("/")[:-2])


def load_of(case: Case) -> float:
    load = case.load
    return load.concurrency or load.requests_per_second or load.batch_size or case.serving.maximum_batch_size or 0.0


def error(ratios: NDArray[np.float64]) -> tuple[float, float] | None:
    """(median, mean) in percent, as ``berth validate`` counts them; None without any. ``ratios`` are logarithms."""
    predicted = np.exp(ratios)
    found = error_statistics(np.ones_like(predicted), predicted, predicted, predicted)
    if found.median_percent is None or found.mean_percent is None:
        return None
    return found.median_percent, found.mean_percent


def rows_of_source(source: str, cases: Sequence[Case], gpus: Mapping[str, GPUSpecification]) -> list[Row]:
    constants = built_in_constants()
    errors = [*constants.language.errors, *constants.classic.errors]
    recorded = {(one.source, one.metric): one for one in errors if one.left_out == "model"}
    table = case_table(cases, gpus)
    told, asked = told_one_run(cases, table, gpus)
    plain, naive, one_run = predict(table), predict(table, naive_constants(constants)), predict(told)
    rows = []
    for one in observations(cases):
        if one.statistic not in CENTRAL or one.metric in NOT_PREDICTED:
            continue
        label = one.metric if one.statistic == "value" else f"{one.metric}.{one.statistic}"
        others = Observations(one.metric, one.statistic, one.rows[asked[one.rows]], one.values[asked[one.rows]])
        fitted = error(one.log_ratio(plain))
        ratios = one.log_ratio(naive)
        suited = error(ratios - np.median(ratios[np.isfinite(ratios)])) if np.isfinite(ratios).any() else None
        known = recorded.get((source, label))
        told_ratios = others.log_ratio(one_run)
        answered = np.isfinite(told_ratios)
        if fitted is None and not answered.any():
            continue
        rows.append(
            Row(
                source,
                label,
                int(np.isfinite(one.log_ratio(plain)).sum()),
                (known.median_percent, known.mean_percent) if known else None,
                fitted or (np.nan, np.nan),
                int(answered.sum()),
                error(told_ratios),
                suited or (np.nan, np.nan),
                known.band_coverage_percent if known else None,
                100 * float(others.inside(one_run)[answered].mean()) if answered.any() else None,
            )
        )
    return rows


def printed(rows: Sequence[Row]) -> str:
    lines = ["| " + " | ".join(HEADERS) + " |", "|" + "---|" * len(HEADERS)]
    for row in rows:
        cells = (
            row.source,
            row.metric,
            str(row.cases),
            pair(row.held_out),
            pair(row.fitted),
            str(row.run_cases),
            pair(row.one_run),
            pair(row.naive),
            percent(row.coverage),
            percent(row.run_coverage),
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def pair(errors: tuple[float, float] | None) -> str:
    return "" if errors is None or np.isnan(errors[0]) else f"{errors[0]:.1f} / {errors[1]:.1f}"


def percent(share: float | None) -> str:
    return "" if share is None else f"{share:.0f} %"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="folder of <source>.jsonl.gz")
    arguments = parser.parse_args()
    sources = read_cases(arguments.data)
    if not sources:
        print(f"no measured cases in {arguments.data}: name a folder with --data", file=sys.stderr)
        return 1
    gpus = GPUCatalogue.load_builtin().specifications
    print(printed([row for source, cases in sources.items() for row in rows_of_source(source, cases, gpus)]))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
