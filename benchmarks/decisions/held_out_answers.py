"""What the model says of measured runs when it has not seen their model, GPU or engine: constants and bands alike.

A fold's constants are fitted without its group; its bands come from the held-out residuals of all other groups, so that
no observation of a grid has a say in the edge that the grid is judged on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import accuracy_folder  # noqa: F401  # makes the next imports possible
import numpy as np
from error_table import deployment, load_of, naive_constants
from grids import Answers, Floats, measured_answers, predicted_answers
from language_bands import bands_of
from language_levels import LanguageFit, fits
from language_splits import ROUNDS, Residuals, group_of, joined, residuals_of
from numpy.typing import NDArray

from berth_cost.cases.case import Case, MeasuredPoint
from berth_cost.cases.records import case_table
from berth_cost.hardware.gpu_catalogue import GPUSpecification
from berth_cost.performance.calibration import calibrated
from berth_cost.performance.engine_constants import Constants
from berth_cost.performance.prediction import predict

Catalogue = Mapping[str, GPUSpecification]


@dataclass(frozen=True)
class Fold:
    """One group left out: the constants without it, and how far they are off on it."""

    document: Mapping[str, object]
    residuals: Residuals


Folds = Mapping[object, Fold]
"""By group."""


def folds(cases: Sequence[Case], split: str, whole: LanguageFit, gpus: Catalogue) -> dict[object, Fold]:
    groups: dict[object, list[Case]] = {}
    for case in cases:
        groups.setdefault(group_of(case, split), []).append(case)
    found = {}
    for group, own in groups.items():
        seen = [case for case in whole.cases if group_of(case, split) != group]
        fit = whole
        if len(seen) < len(whole.cases):
            fit = LanguageFit(seen, gpus, whole.deviations).after(whole.prior).solved(ROUNDS)
        document = fit.document(fit.deviations)
        found[group] = Fold(document, residuals_of(own, Constants.model_validate(document), gpus))
    return found


def whole_fit(cases: Sequence[Case], gpus: Catalogue) -> LanguageFit:
    return LanguageFit(fits(cases, gpus), gpus).without_strangers().solved()


@dataclass(frozen=True)
class HeldOut:
    """Answers about every run of the grids by constants that have not seen its group; ``runs``: told the run of fewest
    and that of most clients of each deployment at each pair of lengths."""

    point: Answers
    edge: Answers
    naive: Answers
    runs_point: Answers
    runs_edge: Answers


class Splits:
    """Folds by split, fitted when asked for."""

    def __init__(self, cases: Sequence[Case], gpus: Catalogue) -> None:
        self.cases, self.gpus = cases, gpus
        self.whole = whole_fit(cases, gpus)
        self.known: dict[str, dict[object, Fold]] = {}

    def folds(self, split: str) -> Folds:
        if split not in self.known:
            self.known[split] = folds(self.cases, split, self.whole, self.gpus)
        return self.known[split]

    def answers(self, grid: Sequence[Case], split: str) -> HeldOut:
        group_by_case = {case.id: group_of(case, split) for case in self.cases}
        rows: dict[object, list[int]] = {}
        for row, case in enumerate(grid):
            rows.setdefault(group_of(case, split), []).append(row)
        columns = {name: np.full((2, len(grid)), np.nan) for name in HeldOut.__dataclass_fields__}
        for group, own in rows.items():
            found = self._of_group([grid[row] for row in own], split, group, group_by_case)
            for name, answers in found.items():
                columns[name][:, own] = answers.seconds, answers.tokens_per_second
        return HeldOut(**{name: Answers(*values) for name, values in columns.items()})

    def _of_group(
        self, own: Sequence[Case], split: str, group: object, group_by_case: Mapping[str, object]
    ) -> dict[str, Answers]:
        models, engines = (
            joined([fold.residuals for fold in self.folds(name).values()]) for name in ("model", "engine")
        )

        def others(residuals: Residuals) -> Residuals:
            return residuals.where(np.array([group_by_case[name] != group for name in residuals.case], dtype=np.bool_))

        document = dict(self.folds(split)[group].document)
        language = dict(document["language"])  # type: ignore[call-overload]
        bands = {**language["bands"], **bands_of(others(models), others(engines))}
        constants = Constants.model_validate({**document, "language": {**language, "bands": bands}})
        table = case_table(own, self.gpus)
        plain = predict(table, constants)
        told = predict(calibrated(table, end_runs(own), self.gpus, constants), constants)
        return {
            "point": predicted_answers(own, plain, pessimistic=False),
            "edge": predicted_answers(own, plain, pessimistic=True),
            "naive": predicted_answers(own, predict(table, naive_constants(constants)), pessimistic=False),
            "runs_point": predicted_answers(own, told, pessimistic=False),
            "runs_edge": predicted_answers(own, told, pessimistic=True),
        }


def by_deployment(cases: Sequence[Case]) -> list[list[int]]:
    """Rows by deployment and lengths, by rising load."""
    groups: dict[object, list[int]] = {}
    for row, case in enumerate(cases):
        key = (deployment(case), case.engine.version, case.request.input_tokens, case.request.output_tokens)
        groups.setdefault(key, []).append(row)
    return [sorted(rows, key=lambda row: (load_of(cases[row]), cases[row].id)) for rows in groups.values()]


def end_runs(cases: Sequence[Case]) -> list[tuple[NDArray[np.int64], list[MeasuredPoint]]]:
    """The runs of least and of most load of every deployment, with the rows they speak for; of one with a single run,
    that run."""
    found = []
    for ordered in by_deployment(cases):
        points = [
            MeasuredPoint(serving=case.serving, load=case.load, request=case.request, metrics=case.observed)
            for case in (cases[row] for row in dict.fromkeys((ordered[0], ordered[-1])))
            if case.observed is not None
        ]
        found.append((np.array(ordered, dtype=np.int64), points))
    return found


def straight_lines(cases: Sequence[Case]) -> Answers:
    """α + β·batch through the same two runs of each deployment; of one with a single run, that run; the rate is the
    clients over the time per token."""
    measured = measured_answers(cases)
    seconds = np.full(len(cases), np.nan)
    load = np.array([load_of(case) for case in cases])
    for ordered in by_deployment(cases):
        first, last = ordered[0], ordered[-1]
        rise = (measured.seconds[last] - measured.seconds[first]) / max(load[last] - load[first], 1e-9)
        seconds[ordered] = measured.seconds[first] + rise * (load[ordered] - load[first])
    return Answers(seconds, load / seconds)


def suited(naive: Answers, measured: Answers, groups: Sequence[object]) -> Answers:
    """The naive roofline with the one factor that suits the runs of all other groups best."""
    ratio = np.log(measured.seconds / naive.seconds)
    labels = np.array([repr(group) for group in groups])
    factor: Floats = np.empty(len(labels))
    for label in np.unique(labels):
        factor[labels == label] = np.exp(np.nanmedian(ratio[labels != label]))
    return Answers(naive.seconds * factor, naive.tokens_per_second / factor)
