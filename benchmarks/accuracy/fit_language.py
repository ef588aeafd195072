"""Fit the constants of language models to published measurements and write ``language_constants.yaml``.

Run: ``python benchmarks/accuracy/fit_language.py [--data FOLDER] [--to FILE] --date YYYY-MM-DD``. It takes some three
minutes. How: ``hierarchical_fit``; levels and priors: ``language_levels``; bands and errors come from cases that the
constants had not seen (``language_splits``).
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import yaml
from constants_fit import (
    DATA_FOLDER,
    Document,
    Floats,
    Kind,
    Measured,
    fit_spread,
    fitted_to,
    json_keys,
    measured,
    significant_digits,
)
from language_bands import bands_of, errors_of
from language_covariance import covariances, measured_residuals
from language_levels import LanguageFit, fits, prior_language, source_of
from language_splits import SPLITS, fits_without, judged
from language_unseen import run_edges_of, unseen_of
from least_squares import Parameter
from measured_cases import DEFAULT_DATA, observations, read_cases

from berth_cost.cases.case import Case
from berth_cost.hardware.gpu_catalogue import GPUCatalogue, GPUSpecification
from berth_cost.performance.engine_constants import Constants
from berth_cost.performance.prediction_table import PredictionTable

HEADER = """# Constants of language models, from benchmarks/accuracy/fit_language.py: fit again rather than edit.
# What each one means: language_constants.py. Bands and errors are those of cases that the fit had not seen.
"""
POWER_NOISE = 0.15


def no_parameters(document: Document, data: Measured) -> list[Parameter]:
    return []


KIND = Kind(
    name="language",
    engines=(),
    priors={},
    shared_parameters=no_parameters,
    jitter=("service", "first_token"),
    banded=(),
    source_weight=80,
    belongs=lambda case: case.model.transformer is not None,
    fits=lambda case: True,
    every={},
)
"""For what is fitted by itself after the times: jitter and power."""


def fit_language(cases: Sequence[Case], date: str) -> Document:
    """The whole document: constants of all cases, bands and errors of cases that were held out."""
    gpus = GPUCatalogue.load_builtin().specifications
    language = [case for case in cases if case.model.transformer]
    whole = LanguageFit(fits(language, gpus), gpus).without_strangers().solved()
    print(f"fitted on {len(whole.cases)} of {len(language)} cases", file=sys.stderr)
    # Jitter and power have few constants: their own split would say the same.
    settled = with_power(
        fit_spread(whole.document(whole.deviations), measured(list(whole.cases), gpus), KIND), language, gpus
    )
    whole = whole.after(settled["language"])
    residuals, without = {}, {}
    for split in SPLITS:
        without[split] = fits_without(language, split, whole, gpus)
        residuals[split] = judged(without[split], gpus)
        print(f"judged with one {split} left out at a time", file=sys.stderr)
    result: Document = settled["language"]
    prior = prior_language()
    result["bands"] = {**prior["bands"], **bands_of(residuals["model"], residuals["engine"])}
    result["unseen"] = unseen_of(residuals, result["bands"])
    folds = constants_without(without["model"], result)
    result["run_covariance"] = covariances(measured_residuals(folds, gpus))
    result["run_edges"] = run_edges_of(constants_without(without["model"], result), gpus)
    result["errors"] = errors_of(residuals, result["bands"], result["unseen"])
    result["date"] = date
    result["data"] = sorted({source_of(case) for case in language})
    return result


def constants_without(
    fits: Sequence[tuple[list[Case], LanguageFit]], language: Document
) -> list[tuple[list[Case], Constants]]:
    """Of every fold its cases, and the constants that had not seen them with what of ``language`` is no constant."""
    shared = {name: language[name] for name in ("bands", "unseen", "run_covariance")}
    found = []
    for own, fit in fits:
        document = fit.document(fit.deviations)
        document["language"] |= shared
        found.append((own, Constants.model_validate(document)))
    return found


def with_power(document: Document, cases: Sequence[Case], gpus: Mapping[str, GPUSpecification]) -> Document:
    """Power while serving, from readings per GPU."""
    data = measured(list(cases), gpus)
    read = [one for one in observations(data.cases) if one.metric == "powerWattsPerGPU"]

    def measure(answers: PredictionTable) -> Floats:
        return np.concatenate([np.nan_to_num(one.log_ratio(answers)) / POWER_NOISE for one in read])

    parameters = [Parameter(("language", "power", name), 0.6, 1.0) for name in ("base", "compute", "memory")]
    return fitted_to(document, data, parameters, measure)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="folder of <source>.jsonl.gz")
    parser.add_argument("--to", type=Path, default=DATA_FOLDER / "language_constants.yaml", help="the file to write")
    parser.add_argument("--date", required=True, help="of the fit, YYYY-MM-DD: it is written into the file")
    arguments = parser.parse_args()
    sources = read_cases(arguments.data)
    if not sources:
        print(f"no measured cases in {arguments.data}: nothing is fitted; name a folder with --data", file=sys.stderr)
        return 1
    document = fit_language([case for cases in sources.values() for case in cases], arguments.date)
    written = json_keys(KIND, significant_digits(document))
    arguments.to.write_text(HEADER + yaml.safe_dump(written, sort_keys=False, width=120), encoding="utf-8")
    print(f"wrote {arguments.to}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
