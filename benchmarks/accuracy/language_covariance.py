"""Covariances of the residuals of a deployment's runs: by how much one run corrects what is predicted of the others.

Fitted to what they are for: every deployment is told one run, or two, picked at random (seeded), and asked about its
others; residuals are of models that the constants had not seen. What is minimised grows with the logarithm of an error,
so that a few odd runs do not decide.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from language_levels import prior_language
from language_splits import group_of
from language_table import deployments
from numpy.typing import NDArray
from scipy.optimize import minimize

from berth_cost.cases.case import Case, Metrics
from berth_cost.cases.records import case_table
from berth_cost.hardware.gpu_catalogue import GPUSpecification
from berth_cost.performance.bands import LANGUAGE_GROUPS, NORMAL_EDGE, band_edges
from berth_cost.performance.case_table import CaseTable, LoadKind, joined
from berth_cost.performance.engine_constants import Constants
from berth_cost.performance.language.calibration import Neighbours, Place, neighbours, posterior
from berth_cost.performance.language.constants import RunCovariance
from berth_cost.performance.language.run_residuals import run_residuals
from berth_cost.performance.language.step_shares import step_shares
from berth_cost.performance.prediction import predict

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
NAMES = tuple(RunCovariance.model_fields)
GOOD_ERROR = {"service": 0.05, "first_token": 0.15, "throughput": 0.07, "power": 0.07}
"""In logs, by group: below it an error counts by its square, above it by its logarithm."""
SURPRISE_WEIGHT = 0.3
"""Of the negative log-likelihood of an error under the deviation that is said to be left (Student's t, three degrees of
freedom): without it nothing would keep the deviations at their true size."""
STATED = {
    "service": ("time_per_output_token_seconds", "end_to_end_seconds"),
    "first_token": ("time_to_first_token_seconds",),
    "throughput": ("output_tokens_per_second",),
    "power": ("power_watts_per_gpu",),
}
"""What a run must state to be asked about: not what one group borrows from another."""
PICKS_PER_DEPLOYMENT, ASKED_PER_PICK = 6, 8
PULL = 0.005
"""Of the squared distance (logs) from where the fit starts."""
ROUNDS, ROUNDS_WITHOUT = 25, 6
FEWEST_RUNS = 3
BOUNDS = {"odd_share": (0.02, 0.1), "odd_deviation": (1.0, 1.5)}
"""Odd runs are few: left to themselves, these two run away. Of all others:"""
OTHER_BOUNDS = (1e-3, 30.0)
PARTS, NO_PART = ("compute", "weights", "attention", "overhead"), (1e-3, 0.01)
"""What a decoding step is spent on tells times per token. First tokens, rates and power followed it less well than
loads and lengths alone."""


@dataclass(frozen=True)
class Measured:
    """Cases of all groups with what constants that had not seen them are off by; rows in order."""

    table: CaseTable
    residual: dict[str, Floats]
    """By calibration group, log(measured / predicted)."""
    before: dict[str, Floats]
    """Deviation without any run, as the band says."""
    deployments: Sequence[Sequence[int]]
    shares: Floats
    """Of a mean step, as ``step_shares`` has them."""
    models: Integers
    """A number of the model's shape."""


def measured_residuals(
    parts: Sequence[tuple[Sequence[Case], Constants]], gpus: Mapping[str, GPUSpecification]
) -> Measured:
    """``parts``: cases of one model, and constants that had not seen it, with their bands."""
    tables, cases, shares = [], [], []
    residual: dict[str, list[Floats]] = {group: [] for group in GOOD_ERROR}
    before: dict[str, list[Floats]] = {group: [] for group in GOOD_ERROR}
    for own, constants in parts:
        table = case_table(own, gpus)
        answers = predict(table, constants)
        offered = table.load_kind == LoadKind.OPEN
        stated = [case.observed or Metrics() for case in own]
        found = [run_residuals(one, answers, offered) for one in stated]
        for metric, group in LANGUAGE_GROUPS.items():
            if metric in ("endToEndSeconds", "latencySeconds"):
                continue
            own_words = np.array([any(getattr(one, name) is not None for name in STATED[group]) for one in stated])
            known = np.array([one[group][row] for row, one in enumerate(found)])
            residual[group].append(np.where(own_words, known, np.nan))
            low, high = band_edges(constants, table, metric, "mean", np.zeros(len(own)))
            before[group].append(np.log(high / low) / (2 * NORMAL_EDGE))
        tables.append(table)
        shares.append(step_shares(table, constants))
        cases += own
    shapes = [group_of(case, "model") for case in cases]
    known = {shape: number for number, shape in enumerate(dict.fromkeys(shapes))}
    return Measured(
        table=joined(tables),
        residual={group: np.concatenate(found) for group, found in residual.items()},
        before={group: np.concatenate(found) for group, found in before.items()},
        deployments=deployments(cases),
        shares=np.concatenate(shares),
        models=np.array([known[shape] for shape in shapes]),
    )


@dataclass(frozen=True)
class Trial:
    """Rows asked about, and the runs told beside each: ``told`` of shape (n, 1) or (n, 2)."""

    asked: Integers
    told: Integers
    near: Neighbours

    def where(self, chosen: NDArray[np.bool_], data: Measured) -> "Trial":
        return trial(self.asked[chosen], self.told[chosen], data)


def trial(asked: Integers, told: Integers, data: Measured) -> Trial:
    def place(rows: Integers) -> Place:
        nothing = np.zeros(len(rows))
        return Place(data.table.rows(rows), nothing, nothing, nothing, nothing, data.shares[rows])

    near = neighbours(place(asked), [place(column) for column in told.T], np.ones(told.shape))
    return Trial(asked, told, near)


def trials(data: Measured, group: str) -> list[Trial]:
    """With one run told, and with two."""
    found = []
    for count in (1, 2):
        random = np.random.default_rng(count)
        asked, told = [], []
        for rows in data.deployments:
            known = [row for row in rows if np.isfinite(data.residual[group][row])]
            if len(known) < max(FEWEST_RUNS, count + 1):
                continue
            for _ in range(PICKS_PER_DEPLOYMENT):
                picked = random.choice(known, count, replace=False)
                others = [row for row in known if row not in picked]
                for row in random.permutation(others)[:ASKED_PER_PICK]:
                    asked.append(row)
                    told.append(picked)
        found.append(trial(np.array(asked), np.array(told), data))
    return found


def fitted_covariance(
    data: Measured, group: str, start: RunCovariance, *, without: int | None = None, rounds: int = ROUNDS
) -> RunCovariance:
    """``without``: a model that is not looked at."""
    every = trials(data, group)
    if without is not None:
        every = [one.where(data.models[one.asked] != without, data) for one in every]
    origin = np.log([getattr(start, name) for name in NAMES])

    def cost(point: Floats) -> float:
        covariance = of(point)
        total = PULL * float(np.square(point - origin).sum())
        for one in every:
            told, before = data.residual[group][one.told], data.before[group][one.asked]
            mean, deviation = posterior(one.near, told, covariance, before)
            error = data.residual[group][one.asked] - mean
            total += float(np.log1p(np.square(error / GOOD_ERROR[group])).mean())
            surprise = np.log(deviation) + 2 * np.log1p(np.square(error / deviation) / 3)
            total += SURPRISE_WEIGHT * float(surprise.mean())
        return total

    parts = {} if group == "service" else dict.fromkeys(PARTS, NO_PART)
    bounds = [tuple(np.log({**BOUNDS, **parts}.get(name, OTHER_BOUNDS))) for name in NAMES]
    best = minimize(cost, origin, method="L-BFGS-B", bounds=bounds, options={"maxiter": rounds})
    return of(best.x)


def of(point: Floats) -> RunCovariance:
    return RunCovariance(**dict(zip(NAMES, np.exp(point).tolist(), strict=True)))


def covariances(data: Measured) -> dict[str, dict[str, float]]:
    """By group, as the file of constants has them; the fit starts at the priors."""
    start = prior_language()["run_covariance"]
    found = {group: fitted_covariance(data, group, RunCovariance.model_validate(own)) for group, own in start.items()}
    print("covariances of runs fitted", file=sys.stderr)
    return {group: one.model_dump(by_alias=False) for group, one in found.items()}


def covariances_without(data: Measured, model: int, start: Mapping[str, RunCovariance]) -> dict[str, RunCovariance]:
    """By group, fitted to all models but one. ``start``: where the fit to all of them ended."""
    return {
        group: fitted_covariance(data, group, own, without=model, rounds=ROUNDS_WITHOUT) for group, own in start.items()
    }
