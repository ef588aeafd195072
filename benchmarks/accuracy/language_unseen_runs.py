"""Time per output token of models that the constants had not seen, told one run and two of each deployment.

Run: ``python benchmarks/accuracy/language_unseen_runs.py [--data FOLDER]``. It fits the constants anew without each
model in turn (a minute or two). ``language_table`` tells runs to the shipped constants, which saw these sources.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from error_table import pair
from language_levels import LanguageFit, fits
from language_splits import Residuals, fits_without, joined, residuals_at
from language_table import METRICS, ends, error, middle, of_rows, printed, told
from measured_cases import DEFAULT_DATA, read_cases

from berth_cost.cases.case import Case
from berth_cost.cases.records import case_table
from berth_cost.hardware.gpu_catalogue import GPUCatalogue
from berth_cost.performance.engine_constants import Constants, built_in_constants, engine_names
from berth_cost.performance.prediction import predict

PICKS = (("one run", middle), ("two runs", ends))


def unseen(cases: list[Case]) -> dict[str, Residuals]:
    """By how many runs were told; bands as shipped."""
    gpus = GPUCatalogue.load_builtin().specifications
    shipped = built_in_constants().model_dump(by_alias=False)["language"]
    bands = {name: shipped[name] for name in ("bands", "unseen", "run_edges")}
    whole = LanguageFit(fits(cases, gpus), gpus).without_strangers().solved()
    timed = [case for case in cases if case.observed is not None and case.observed.time_per_output_token_seconds]
    parts: dict[str, list[Residuals]] = {name: [] for name, _ in PICKS}
    for own, fit in fits_without(timed, "model", whole, gpus):
        document = fit.document(fit.deviations)
        document["language"] |= bands
        constants = Constants.model_validate(document)
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
        for kind in ("dense", "moe"):
            mine = (found.experts == kind) & np.isin(found.metric, METRICS[:2])
            inside = f"{100 * found.inside[mine].mean():.0f} %"
            rows.append((name, kind, str(int(mine.sum())), pair(error(found.ratio[mine])), inside))
    print(printed(("told", "models", "n", "time per output token", "in band"), rows))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
