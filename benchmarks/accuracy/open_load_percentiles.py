"""Percentiles of language models under measured open loads: closed forms beside the simulation.

Run: ``python benchmarks/accuracy/open_load_percentiles.py [--data FOLDER]``. It fits the constants anew without each
model in turn (a minute or two), predicts the model's open loads with and without simulation, and prints the absolute
percentage errors, median / mean, of all runs and of those above 60 % of the replica's maximum rate.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from error_table import pair
from language_levels import LanguageFit, fits
from language_splits import ROUNDS, group_of
from language_table import error, printed
from measured_cases import DEFAULT_DATA, observations, read_cases

from berth_cost.cases.answers import SEED
from berth_cost.cases.case import Case
from berth_cost.cases.records import case_table
from berth_cost.hardware.gpu_catalogue import GPUCatalogue
from berth_cost.performance.engine_constants import Constants
from berth_cost.performance.prediction import predict

LATENCIES = ("timeToFirstTokenSeconds", "timePerOutputTokenSeconds", "endToEndSeconds")
BUSY = 0.6
HEADERS = ("source", "metric", "n", "closed form", "simulated", f"n above {BUSY:.0%}", "closed form", "simulated")

Ratios = dict[tuple[str, str], list[tuple[float, float, float]]]
"""By source and metric: utilisation, log(observed / predicted) in closed form and simulated."""


def ratios_of(cases: Sequence[Case], known: Sequence[Case]) -> Ratios:
    """Of the open loads among ``cases``, by constants fitted to those of ``known`` that are of other models."""
    gpus = GPUCatalogue.load_builtin().specifications
    whole = LanguageFit(fits(known, gpus), gpus).without_strangers().solved()
    groups: dict[object, list[Case]] = {}
    for case in cases:
        groups.setdefault(group_of(case, "model"), []).append(case)
    found: Ratios = {}
    for group, own in groups.items():
        seen = [case for case in whole.cases if group_of(case, "model") != group]
        fit = LanguageFit(seen, gpus, whole.deviations).after(whole.prior).solved(ROUNDS)
        constants = Constants.model_validate(fit.document(fit.deviations))
        table = case_table(own, gpus)
        closed, simulated = predict(table, constants), predict(table, constants, seed=SEED)
        for one in observations(own):
            if one.metric not in LATENCIES:
                continue
            for row, before, after in zip(one.rows, -one.log_ratio(closed), -one.log_ratio(simulated), strict=True):
                key = (own[row].id.split("/")[0], f"{one.metric}.{one.statistic}")
                found.setdefault(key, []).append((float(closed.utilization[row]), float(before), float(after)))
    return found


def rows_of(found: Ratios) -> list[tuple[str, ...]]:
    rows = []
    for (source, metric), ratios in sorted(found.items()):
        values = np.array([one for one in ratios if np.isfinite(one[1:]).all()])
        busy = values[values[:, 0] > BUSY]
        cells = [source, metric]
        for part in (values, busy):
            cells += [str(len(part)), *(pair(error(part[:, column])) for column in (1, 2))]
        rows.append(tuple(cells))
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="folder of <source>.jsonl.gz")
    arguments = parser.parse_args()
    cases = [case for own in read_cases(arguments.data).values() for case in own if case.model.transformer]
    if not cases:
        print(f"no measured cases in {arguments.data}: name a folder with --data", file=sys.stderr)
        return 1
    print(printed(HEADERS, rows_of(ratios_of([case for case in cases if case.load.kind == "open"], cases))))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
