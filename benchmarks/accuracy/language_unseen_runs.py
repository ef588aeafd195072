"""Models that the constants had not seen, told one run and two of each deployment, and asked about its others.

Run: ``python benchmarks/accuracy/language_unseen_runs.py [--data FOLDER]``. It fits the constants anew without each
model in turn (a minute or two). ``language_table`` tells runs to the shipped constants, which saw these sources.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from error_table import pair
from fit_language import constants_without
from language_covariance import covariances_without, measured_residuals
from language_levels import LanguageFit, fits
from language_splits import Residuals, fits_without, joined, residuals_at
from language_table import METRICS, ends, error, middle, of_rows, printed, told
from measured_cases import DEFAULT_DATA, read_cases

from berth_cost.cases.case import Case
from berth_cost.cases.records import case_table
from berth_cost.hardware.gpu_catalogue import GPUCatalogue
from berth_cost.performance.engine_constants import built_in_constants, engine_names
from berth_cost.performance.prediction import predict

ASKED = {
    "time per output token": METRICS[:2],
    "time to first token, no open loads": ("timeToFirstTokenSeconds.mean",),
    "output tokens per second, no open loads": ("outputTokensPerSecond",),
    "power": ("powerWattsPerGPU",),
    "joules per output token": ("joulesPerOutputToken",),
}
PICKS = (("one run", middle), ("two runs", ends))


def unseen(cases: list[Case]) -> dict[str, Residuals]:
    """By how many runs were told; bands as shipped, constants and covariances of runs without the model."""
    gpus = GPUCatalogue.load_builtin().specifications
    shipped = built_in_constants().model_dump(by_alias=False)["language"]
    whole = LanguageFit(fits(cases, gpus), gpus).without_strangers().solved().after(shipped)
    folds = constants_without(fits_without(cases, "model", whole, gpus), shipped)
    data = measured_residuals(folds, gpus)
    parts: dict[str, list[Residuals]] = {name: [] for name, _ in PICKS}
    for model, (own, seen) in enumerate(folds):
        covariance = covariances_without(data, model, seen.language.run_covariance)
        changed = {"run_covariance": covariance, "run_edges": shipped["run_edges"]}
        constants = seen.model_copy(update={"language": seen.language.model_copy(update=changed)})
        table = case_table(own, gpus)
        engine = np.array(engine_names(constants, table))[table.engine_index]
        for name, picks in PICKS:
            calibrated_table, asked = told(own, table, picks, gpus, constants)
            answers = residuals_at(own, predict(calibrated_table, constants), engine)
            parts[name].append(of_rows(answers, own, asked))
    return {name: joined(found) for name, found in parts.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="folder of <source>.jsonl.gz")
    arguments = parser.parse_args()
    cases = [case for own in read_cases(arguments.data).values() for case in own if case.model.transformer]
    if not cases:
        print(f"no measured cases in {arguments.data}: name a folder with --data", file=sys.stderr)
        return 1
    rows = []
    for name, found in unseen(cases).items():
        for metric, labels in ASKED.items():
            for kind in ("dense", "moe"):
                mine = (found.experts == kind) & np.isin(found.metric, labels)
                mine &= (found.load != "open") | (metric == "time per output token")
                inside = f"{100 * found.inside[mine].mean():.0f} %"
                rows.append((name, metric, kind, str(int(mine.sum())), pair(error(found.ratio[mine])), inside))
    print(printed(("told", "metric", "models", "n", "error", "in band"), rows))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
