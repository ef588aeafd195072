"""Fit the constants of language models to published measurements and write ``language_constants.yaml``.

Run: ``python benchmarks/accuracy/fit_language.py [--data FOLDER] [--to FILE] --date YYYY-MM-DD``. It takes some ten
minutes. How: ``hierarchical_fit``; levels and priors: ``language_levels``; bands and errors come from cases that the
constants had not seen (``language_splits``).
"""

from collections.abc import Sequence

from constants_fit import Document, run_command, spread_fitted
from language_bands import bands_of, errors_of
from language_levels import KIND, LanguageFit, fits, prior_language
from language_splits import SPLITS, held_out

from berth_cost.case import Case
from berth_cost.gpu_catalogue import GPUCatalogue


def fit_language(cases: Sequence[Case], date: str) -> Document:
    """The whole document: constants of all cases, bands and errors of cases that were held out."""
    gpus = GPUCatalogue.load_builtin().specifications
    language = [case for case in cases if case.model.transformer]
    whole = LanguageFit(fits(language, gpus), gpus).solved()
    residuals = {split: held_out(language, split, whole, gpus) for split in SPLITS}
    document = spread_fitted(whole.document(whole.deviations), fits(language, gpus), KIND, gpus)
    result: Document = document["language"]
    prior = prior_language()
    result["bands"] = {**prior["bands"], **bands_of(residuals["model"], residuals["engine"])}
    result["errors"] = errors_of(residuals, result["bands"])
    result["date"] = date
    result["data"] = sorted({case.id.split("/")[0] for case in language})
    return result


if __name__ == "__main__":
    raise SystemExit(run_command("language", fit_language, __doc__))
