"""What measured runs of a language model say about loads, lengths and deployments that were not measured.

A Gaussian process in logs: residuals, log(measured / predicted), of two runs are the more alike the nearer their loads
and lengths are, and the more of GPU, engine, precision and split they share (Rasmussen and Williams, Gaussian Processes
for Machine Learning, 2006, chapter 2). The factor of a row is the posterior mean given the runs, the band its posterior
deviation: an exact run leaves the noise of measuring, two that bracket a load interpolate, an unlike one says little.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from berth_cost.performance.case_table import Booleans, CaseTable, Floats

LIKE_OTHER_GPU, LIKE_OTHER_ENGINE, LIKE_OTHER_PRECISION, LIKE_OTHER_SPLIT = 0.5, 0.5, 0.7, 0.7
"""Share of the covariance that is left between deployments that differ in that way alone; differences multiply."""
OTHER_LOAD_KIND_DISTANCE = 1.5
"""Between loads of different kinds, in e-folds of load."""


@dataclass(frozen=True, slots=True)
class Covariance:
    """Standard deviations in logs, distances in e-folds; from residuals of models that the constants had not seen."""

    deployment: float
    """Of what all runs of a deployment share."""
    load: float
    """Of what only runs of a like load share."""
    lengths: float
    """Of what only runs of like lengths share."""
    noise: float
    """Of measuring the same thing again."""
    load_distance: float
    length_distance: float

    def variance(self) -> float:
        return self.deployment**2 + self.load**2 + self.lengths**2


SERVICE = Covariance(0.25, 0.20, 0.10, 0.05, 2.5, 2.0)
FIRST_TOKEN = Covariance(0.40, 0.35, 0.25, 0.10, 2.5, 2.0)
ERRATIC_SHARE = 0.4
"""Of the deviation before any run, what only a run of this very load and these lengths tells: slices that the model
describes badly are also erratic."""
SAME = 1e-6
"""Distance in e-folds below which loads and lengths are the same."""
LEAST_DEVIATION, MOST_DEVIATION = 0.18, 0.45
"""Between which the deviation of the residuals before any run is taken from the row's own band."""


@dataclass(frozen=True, slots=True)
class Place:
    """Rows and codes that are equal where two places share the thing; arrays of shape (n,)."""

    table: CaseTable
    gpu: Floats
    engine: Floats
    precision: Floats
    split: Floats


@dataclass(frozen=True, slots=True)
class Run:
    """A measured run as each row sees it (what it leaves out is as in the row); arrays of shape (n,)."""

    place: Place
    residual: Floats
    """log(measured / predicted); nan where it says nothing."""
    headroom: Floats
    """1 far from saturation, towards 0 near it: there a latency tells the queue rather than the service."""


def posterior(asked: Place, runs: Sequence[Run], covariance: Covariance, before: Floats) -> tuple[Floats, Floats]:
    """(log factor, standard deviation of what is left in logs; nan where no run says anything), shapes (n,).

    ``before``: the deviation without any run, by which the covariance is scaled: where the model is good, one run is
    not believed against it.
    """
    count = len(asked.table)
    prior = np.clip(before, LEAST_DEVIATION, MOST_DEVIATION)
    scale = prior**2 / covariance.variance()
    erratic = (ERRATIC_SHARE * prior) ** 2
    kernel = _Kernel(covariance, scale, erratic)
    usable = np.stack([np.isfinite(run.residual) & (run.headroom > 0) for run in runs])
    residual = np.where(usable, np.stack([run.residual for run in runs]), 0.0)
    between = np.empty((count, len(runs), len(runs)))
    across = np.empty((count, len(runs)))
    for i, run in enumerate(runs):
        across[:, i] = kernel.between(asked, run.place) * usable[i]
        for j, other in enumerate(runs):
            between[:, i, j] = kernel.between(run.place, other.place) * (usable[i] & usable[j])
        noise = (covariance.noise / np.maximum(run.headroom, 1e-3)) ** 2
        # A run that says nothing stands alone with a variance of 1: it changes neither mean nor deviation.
        between[:, i, i] += np.where(usable[i], noise, 1.0)
    solved = np.linalg.solve(between, np.stack([residual.T, across], axis=2))
    mean = (across * solved[:, :, 0]).sum(axis=1)
    variance = scale * covariance.variance() + erratic - (across * solved[:, :, 1]).sum(axis=1)
    deviation = np.sqrt(np.maximum(variance, 0.0) + covariance.noise**2)
    return mean, np.where(usable.any(axis=0), deviation, np.nan)


@dataclass(frozen=True, slots=True)
class _Kernel:
    covariance: Covariance
    scale: Floats
    erratic: Floats

    def between(self, first: Place, second: Place) -> Floats:
        covariance = self.covariance
        shared = np.where(first.gpu == second.gpu, 1.0, LIKE_OTHER_GPU)
        shared = shared * np.where(first.engine == second.engine, 1.0, LIKE_OTHER_ENGINE)
        shared = shared * np.where(first.precision == second.precision, 1.0, LIKE_OTHER_PRECISION)
        shared = shared * np.where(first.split == second.split, 1.0, LIKE_OTHER_SPLIT)
        apart, longer = _load_distance(first.table, second.table), _length_distance(first.table, second.table)
        load, lengths = np.exp(-apart / covariance.load_distance), np.exp(-longer / covariance.length_distance)
        local = lengths * (covariance.load**2 * load + covariance.lengths**2)
        exact = self.erratic * ((apart + longer < SAME) & (shared == 1))
        return np.asarray(shared * self.scale * (covariance.deployment**2 + local) + exact, dtype=np.float64)


def _load_distance(first: CaseTable, second: CaseTable) -> Floats:
    distance = np.abs(np.log(_load(first) / _load(second)))
    kind: Booleans = first.load_kind == second.load_kind
    return np.where(kind, np.nan_to_num(distance), OTHER_LOAD_KIND_DISTANCE)


def _load(table: CaseTable) -> Floats:
    """Clients, requests per second, or sequences of a batch: whichever the load has; 1 where it has none."""
    stacked = np.stack([table.concurrency, table.requests_per_second, table.batch_size])
    known = np.where(np.isnan(stacked), -np.inf, stacked).max(axis=0)
    return np.where(np.isfinite(known), known, 1.0)


def _length_distance(first: CaseTable, second: CaseTable) -> Floats:
    total: Floats = np.zeros(len(first))
    for name in ("input_tokens", "output_tokens"):
        total = total + np.nan_to_num(np.abs(np.log(getattr(first, name) / getattr(second, name))))
    return total
