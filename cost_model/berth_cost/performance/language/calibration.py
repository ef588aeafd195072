"""What measured runs of a language model say about loads, lengths and deployments that were not measured.

A Gaussian process in logs: residuals, log(measured / predicted), of two runs are the more alike the nearer their loads
and lengths are, the more alike their steps are spent (computing, weights, attention, the rest), and the more of GPU,
engine, precision and split they share (Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006,
chapter 2). The factor of a row is the posterior mean given the runs, the band its posterior deviation: an exact run
leaves the noise of measuring, two that bracket a load interpolate, an unlike one says little.

Some published runs are odd: four times as slow as two repeats of themselves. So the posterior is a mixture: of no odd
run, of one odd run (each in turn), of odd runs only, weighted by how well each explains what was measured. What makes a
run odd speaks for its very load and lengths, and for nothing else.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from berth_cost.performance.case_table import Booleans, CaseTable, Floats
from berth_cost.performance.language.constants import RunCovariance

LIKE_OTHER_GPU, LIKE_OTHER_ENGINE, LIKE_OTHER_PRECISION, LIKE_OTHER_SPLIT = 0.5, 0.5, 0.7, 0.7
"""Share of the covariance that is left between deployments that differ in that way alone; differences multiply."""
OTHER_LOAD_KIND_DISTANCE = 1.5
"""Between loads of different kinds, in e-folds of load."""
SAME = 1e-6
"""Distance in e-folds below which loads and lengths are the same."""
USUAL_DEVIATION = 0.3
"""Before any run, of the rows that the covariances are stated for."""
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
    shares: Floats
    """Of a step's seconds by what they are spent on, (n, parts)."""


@dataclass(frozen=True, slots=True)
class Separation:
    """How far apart places are; arrays of one shape. Distances in e-folds."""

    shared: Floats
    """Share of the covariance that the differences between the deployments leave."""
    load: Floats
    input: Floats
    output: Floats
    alike: Floats
    """Product of the shares of both steps, along a last axis: an error of a part moves what both spend on it."""

    @property
    def none(self) -> Booleans:
        return np.asarray((self.load + self.input + self.output < SAME) & (self.shared == 1), dtype=np.bool_)

    def covariance(self, of: RunCovariance) -> Floats:
        lengths = np.exp(-self.input / of.input_distance - self.output / of.output_distance)
        local = lengths * (of.load**2 * np.exp(-self.load / of.load_distance) + of.lengths**2)
        common = of.deployment**2 + self.alike @ of.part_variances() + local
        return np.asarray(self.shared * common + of.repeated**2 * self.none, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Runs as the rows see them (what a run leaves out is as in the row): the same for every group of metrics."""

    own: Separation
    """Of the rows from themselves, shapes (n,)."""
    across: Separation
    """Of rows and runs, shapes (n, runs)."""
    between: Separation
    """Of runs, shapes (n, runs, runs)."""
    headroom: Floats
    """(n, runs): 1 far from saturation, towards 0 near it: there a latency tells the queue rather than the service."""


def neighbours(asked: Place, runs: Sequence[Place], headroom: Floats) -> Neighbours:
    """``headroom``: (n, runs)."""
    across = [_separation(asked, run) for run in runs]
    between = [[_separation(first, second) for second in runs] for first in runs]
    own = _separation(asked, asked)
    return Neighbours(own, _stacked(across), _stacked([_stacked(row) for row in between]), headroom)


def posterior(near: Neighbours, residual: Floats, covariance: RunCovariance, before: Floats) -> tuple[Floats, Floats]:
    """(log factor, standard deviation of what is left in logs; nan where no run says anything), shapes (n,).

    ``residual``: log(measured / predicted), (n, runs); nan where the run does not tell. ``before``: the deviation
    without any run, by which the covariance is scaled: where the model is good, one run is not believed against it.
    """
    usable = np.isfinite(residual) & (near.headroom > 0)
    measured = np.where(usable, residual, 0.0)
    scale = (np.clip(before, LEAST_DEVIATION, MOST_DEVIATION) / USUAL_DEVIATION) ** 2
    both = usable[:, :, None] & usable[:, None, :]
    across = scale[:, None] * near.across.covariance(covariance) * usable
    between = scale[:, None, None] * near.between.covariance(covariance) * both
    # A run that says nothing stands alone with a variance of 1: it changes neither mean nor deviation.
    noise = np.where(usable, (covariance.noise / np.maximum(near.headroom, 1e-3)) ** 2, 1.0)
    between = between + noise[:, :, None] * np.eye(residual.shape[1])
    whole = scale * near.own.covariance(covariance)
    odd, share = covariance.odd_deviation**2, np.log([1 - covariance.odd_share, covariance.odd_share])
    means, variances, evidence = [], [], []
    for pattern in _patterns(usable):
        here, together = pattern & near.across.none, pattern[:, :, None] & pattern[:, None, :] & near.between.none
        joint, own = between + odd * together, across + odd * here
        solved = np.linalg.solve(joint, np.stack([measured, own], axis=2))
        means.append((own * solved[:, :, 0]).sum(axis=1))
        variances.append(whole + odd * here.any(axis=1) - (own * solved[:, :, 1]).sum(axis=1))
        likelihood = (measured * solved[:, :, 0]).sum(axis=1) + np.linalg.slogdet(joint)[1]
        evidence.append((share[pattern.astype(np.int64)] * usable).sum(axis=1) - likelihood / 2)
    logs = np.stack(evidence)
    weight = np.exp(logs - logs.max(axis=0))
    weight = weight / weight.sum(axis=0)
    mean = (weight * np.stack(means)).sum(axis=0)
    spread = np.maximum(np.stack(variances), 0.0) + np.stack(means) ** 2
    variance = (weight * spread).sum(axis=0) - mean**2
    deviation = np.sqrt(np.maximum(variance, 0.0) + covariance.noise**2)
    return mean, np.where(usable.any(axis=1), deviation, np.nan)


def _patterns(usable: Booleans) -> list[Booleans]:
    """Which runs are odd, each (n, runs): none, one, all of those that say anything."""
    runs = usable.shape[1]
    ones = [usable & (np.arange(runs) == one) for one in range(runs)]
    return [np.zeros_like(usable), *ones, *([usable] if runs > 1 else [])]


def _separation(first: Place, second: Place) -> Separation:
    shared = np.where(first.gpu == second.gpu, 1.0, LIKE_OTHER_GPU)
    shared = shared * np.where(first.engine == second.engine, 1.0, LIKE_OTHER_ENGINE)
    shared = shared * np.where(first.precision == second.precision, 1.0, LIKE_OTHER_PRECISION)
    shared = shared * np.where(first.split == second.split, 1.0, LIKE_OTHER_SPLIT)
    ours, theirs = first.table, second.table
    return Separation(
        shared=shared,
        load=_load_distance(ours, theirs),
        input=_distance(ours.input_tokens, theirs.input_tokens),
        output=_distance(ours.output_tokens, theirs.output_tokens),
        alike=first.shares * second.shares,
    )


def _stacked(parts: Sequence[Separation]) -> Separation:
    """Along a new second axis."""
    names = ("shared", "load", "input", "output", "alike")
    return Separation(*(np.stack([getattr(part, name) for part in parts], axis=1) for name in names))


def _load_distance(first: CaseTable, second: CaseTable) -> Floats:
    kind: Booleans = first.load_kind == second.load_kind
    return np.where(kind, _distance(_load(first), _load(second)), OTHER_LOAD_KIND_DISTANCE)


def _load(table: CaseTable) -> Floats:
    """Clients, requests per second, or sequences of a batch: whichever the load has; 1 where it has none."""
    stacked = np.stack([table.concurrency, table.requests_per_second, table.batch_size])
    known = np.where(np.isnan(stacked), -np.inf, stacked).max(axis=0)
    return np.where(np.isfinite(known), known, 1.0)


def _distance(first: Floats, second: Floats) -> Floats:
    return np.nan_to_num(np.abs(np.log(first / second)))
