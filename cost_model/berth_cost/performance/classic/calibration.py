"""What measured runs of a classic network say about deployments of it that were not measured.

A run is off the model's answer because the network launches more or fewer operations than counted (what a pass takes
whatever its batch), works more or less per item, or because the server adds more or less. The logarithms of these three
factors are taken as normal around 0, with variances that add up over the ways in which two deployments can differ:
what is common to the network, what belongs to it on one GPU, slice, engine, engine version, precision. Beside them
stands what no factor explains: a deviation of each latency that runs at a similar load share. Under such a prior runs
tell the factors by Gaussian regression (kriging; Rasmussen and Williams, "Gaussian Processes for Machine Learning",
2006, chapter 2), and, as latencies are not linear in the factors, by Gauss and Newton's iteration.

So two runs of a deployment fix both what a pass takes and what an item adds, and a run on another GPU corrects what is
the network's own and leaves what is not.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from berth_cost.performance.case_table import (
    Booleans,
    CaseTable,
    Floats,
    Integers,
    LoadKind,
    NetworkCalibration,
    Objects,
)
from berth_cost.performance.classic.constants import CalibrationPrior
from berth_cost.performance.classic.network_latencies import FACTORS, SPEED, Latencies, effective
from berth_cost.performance.classic.network_runs import NetworkRun, Places, Runs, flattened, places_of, slots_of
from berth_cost.performance.engine_constants import Constants

ITERATIONS = 20
DAMPING = 0.5
"""Of a step: whole ones swing to and fro between two factors that explain the same runs."""
LONGEST_STEP, FARTHEST = 2.0, 14.0
"""Of an iteration, and of all: where a typical network stands for an unknown one, factors may be thousands."""
LEAST_EXCESS = 0.02
"""Added to how far a percentile lies above the mean, relative to it, before its logarithm is taken."""
SIZE_SCALES = (0.15, 1.0, 0.6)
"""How what a pass takes, what an item adds and what the server adds grow with the size of a network, as powers: of
published runs behind Triton, those that least depend on which run of a deployment is told."""
DIFFERENCES = ("gpu", "slice", "engine", "version", "precision")
SLICE_REACH = np.log(7.0)
"""e-folds of the share of a GPU over which what belongs to a slice falls to 1/e: from the whole to the smallest."""
SAME_LOAD = 1e-6


@dataclass(frozen=True, slots=True)
class CalibratedNetworks:
    """What runs say, by row of the whole table, shapes (n,)."""

    network: NetworkCalibration
    log_factor: Floats
    """Of all times, beside the factors of ``network``."""
    evidence: Objects


def calibrated_networks(
    table: CaseTable, runs: Sequence[NetworkRun], assumed: Booleans, constants: Constants
) -> CalibratedNetworks:
    """``assumed``: rows whose network's size nobody knows, shape (n,). Rows without runs stay as they are."""
    count = len(table)
    answer = CalibratedNetworks(
        _without_runs(count),
        log_factor=np.zeros(count),
        evidence=np.full(count, "estimated", dtype=object),
    )
    if not runs:
        return answer
    rows, slots = slots_of([run.rows for run in runs], count)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        asked, codes = table.rows(rows), dict[str, int]()
        flat = flattened(runs, constants, codes)
        found = _regression(
            asked, places_of(asked, constants, codes), flat, slots, assumed=assumed[rows], constants=constants
        )
    says = np.isfinite(found.network.deviation)
    for field in fields(NetworkCalibration):
        getattr(answer.network, field.name)[rows[says]] = getattr(found.network, field.name)[says]
    answer.log_factor[rows[says]], answer.evidence[rows[says]] = found.log_factor[says], found.evidence[says]
    return answer


def _corrected(factors: Floats, spread: Floats, deviation: Floats) -> NetworkCalibration:
    fixed, item, host = factors
    return NetworkCalibration(fixed, item, host, spread, deviation)


def _without_runs(count: int) -> NetworkCalibration:
    nothing, unknown = np.zeros(count), np.full(count, np.nan)
    return NetworkCalibration(nothing.copy(), nothing.copy(), nothing.copy(), nothing, deviation=unknown)


def _regression(
    asked: CaseTable, own: Places, runs: Runs, slots: Integers, *, assumed: Booleans, constants: Constants
) -> CalibratedNetworks:
    """Shapes: one axis of rows; between runs (rows, runs) or (rows, runs, runs); factors first, (4, ...)."""
    prior = constants.classic.calibration
    here, there = own.along(-1), runs.places.at(slots)
    first, second = there.along(-1), there.along(-2)
    towards, between = _covariance(prior, here, there, assumed), _covariance(prior, first, second, assumed)
    likely, alike = _residual_covariance(prior, here, there), _residual_covariance(prior, first, second)

    # Of a network of unknown size the last factor is its size: a larger one has little more launches than a small one.
    scales = np.where(assumed, np.array(SIZE_SCALES)[:, None], 1.0)
    service = Latencies(runs.table, constants, runs.statistic)
    usable = slots >= 0
    factors = np.zeros((len(FACTORS), *slots.shape))
    factors[SPEED] = _start(runs, service.around(factors, scales, slots)[0], slots, assumed)
    slopes = weight = whole = factors  # of the last iteration, once there was one
    for _ in range(ITERATIONS):
        seconds, slopes = service.around(factors, scales, slots)
        usable = usable & np.isfinite(seconds) & np.isfinite(slopes).all(axis=0) & np.isfinite(runs.log_seconds[slots])
        slopes = np.where(usable, slopes, 0.0)
        residual = np.where(usable, runs.log_seconds[slots] - seconds, 0.0) + (slopes * factors).sum(axis=0)
        explained = (slopes[:, :, :, None] * between * slopes[:, :, None, :]).sum(axis=0)
        both = usable[:, :, None] & usable[:, None, :]
        whole = np.where(both, explained + alike, 0.0)
        noise = np.where(usable, prior.noise**2 + _near_saturation(slopes), 1.0)
        whole = whole + noise[:, :, None] * np.eye(slots.shape[1])
        weight = np.linalg.solve(whole, residual[:, :, None])[:, :, 0]
        step = (between * (slopes * weight)[:, :, None, :]).sum(axis=-1) - factors
        factors = np.clip(factors + np.clip(DAMPING * step, -LONGEST_STEP, LONGEST_STEP), -FARTHEST, FARTHEST)

    found = np.clip((towards * slopes * weight).sum(axis=-1), -FARTHEST, FARTHEST)
    unexplained = (likely * np.where(usable, weight, 0.0)).sum(axis=-1)
    own_service = Latencies(asked, constants, np.zeros(len(asked), dtype=np.int64))
    _, own_slopes = own_service.around(found[:, :, None], scales, np.arange(len(asked))[:, None])
    own_slopes = np.nan_to_num(own_slopes[:, :, 0])
    reach = (own_slopes[:, :, None] * towards * slopes).sum(axis=0) + np.where(usable, likely, 0.0)
    before = (own_slopes**2 * _covariance(prior, own, own, assumed)).sum(axis=0) + _residual(prior, own) ** 2
    told = (reach * np.linalg.solve(whole, reach[:, :, None])[:, :, 0]).sum(axis=-1)
    # Runs that no factors reconcile are believed less.
    missed = runs.log_seconds[slots] - service.around(factors, scales, slots)[0]
    missed = missed - (alike * np.where(usable, weight, 0.0)[:, None, :]).sum(axis=-1)
    squares = np.where(usable, np.nan_to_num(missed) ** 2, 0.0).sum(axis=1) / np.maximum(usable.sum(axis=1), 1)
    left = np.maximum(before - told, 0.0) + np.maximum(squares, prior.noise**2)
    spread = _spread(
        prior,
        runs.tails[:, slots],
        service.tails(factors, scales, slots),
        usable,
        towards=_spread_covariance(prior, here, there),
        between=_spread_covariance(prior, first, second),
    )
    deviation = np.where(usable.any(axis=1), np.sqrt(left), np.nan)
    return CalibratedNetworks(
        _corrected(effective(found, scales), spread, deviation),
        log_factor=unexplained,
        evidence=_grades(own, there, usable),
    )


def _start(runs: Runs, seconds: Floats, slots: Integers, assumed: Booleans) -> Floats:
    """Where the iteration begins: of a network of unknown size at the speed that its runs have on average."""
    off = np.where(slots >= 0, runs.log_seconds[slots] - seconds, np.nan)
    known = np.isfinite(off)
    mean = np.where(known, off, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    return np.where(assumed, mean, 0.0)[:, None] * np.ones(slots.shape)


def _covariance(prior: CalibrationPrior, a: Places, b: Places, assumed: Booleans) -> Floats:
    """Of the factors of two deployments, shape (4, ...): what they have in common they share in value."""
    same = (a.keys == b.keys).astype(np.float64)
    # Slices of like size have more in common than the smallest and the whole.
    same[DIFFERENCES.index("slice")] = np.exp(-np.abs(a.share - b.share) / SLICE_REACH)
    guessed = assumed.reshape(-1, *([1] * (same.ndim - 2)))
    found = []
    for factor in FACTORS:
        deviations, unknown = getattr(prior, factor), getattr(prior.assumed, factor)
        total = np.where(guessed, unknown, deviations.network) ** 2
        for name, alike in zip(DIFFERENCES, same, strict=True):
            own = getattr(deviations, name)
            own = np.where(guessed, prior.assumed.gpu, own) if name == "gpu" else own
            total = total + own**2 * alike
        found.append(total)
    return np.stack(found)


def _same_deployment(a: Places, b: Places) -> Booleans:
    return np.asarray((a.keys == b.keys).all(axis=0) & (a.instances == b.instances), dtype=np.bool_)


def _residual_covariance(prior: CalibrationPrior, a: Places, b: Places) -> Floats:
    """Of what no factor explains: runs of one deployment at similar loads share it."""
    near = np.exp(-np.abs(a.load - b.load) / prior.reach)
    covariance: Floats = _residual(prior, a) ** 2 * near * (_same_deployment(a, b) & (a.kind == b.kind))
    return covariance


def _residual(prior: CalibrationPrior, places: Places) -> Floats:
    loaded = (places.kind == LoadKind.OPEN) | (places.kind == LoadKind.CLOSED)
    return np.where(loaded, prior.residual_under_load, prior.residual)


def _spread_covariance(prior: CalibrationPrior, a: Places, b: Places) -> Floats:
    """Of how widely latencies scatter: mostly the deployment's own under loads of one kind."""
    own = _same_deployment(a, b) & (a.kind == b.kind)
    near = np.exp(-np.abs(a.load - b.load) / prior.reach)
    covariance: Floats = prior.spread**2 * (
        prior.spread_of_network + (1 - prior.spread_of_network) * own * (1 + near) / 2
    )
    return covariance


def _near_saturation(slopes: Floats) -> Floats:
    """Extra variance of a latency that is mostly queueing: with everything a percent slower, it rises by more."""
    return np.asarray(0.25 * np.maximum(slopes[SPEED] - 1.0, 0.0) ** 2, dtype=np.float64)


def _spread(
    prior: CalibrationPrior, measured: Floats, expected: Floats, usable: Booleans, *, towards: Floats, between: Floats
) -> Floats:
    """log of how much wider latencies scatter than the constants say, shape (rows,): the same regression over the
    mean of what p90, p95 and p99 say, ``measured`` and ``expected`` of shape (3, rows, runs)."""
    each = np.log((measured + LEAST_EXCESS) / (expected + LEAST_EXCESS))
    says = np.asarray(np.isfinite(each) & usable, dtype=np.bool_)
    known = np.asarray(says.any(axis=0), dtype=np.bool_)
    ratio = np.where(says, each, 0.0).sum(axis=0) / np.maximum(says.sum(axis=0), 1)
    whole = np.where(known[:, :, None] & known[:, None, :], between, 0.0)
    whole = whole + np.where(known, prior.spread_noise**2, 1.0)[:, :, None] * np.eye(known.shape[1])
    weight = np.linalg.solve(whole, ratio[:, :, None])[:, :, 0]
    return np.asarray((np.where(known, towards, 0.0) * weight).sum(axis=-1), dtype=np.float64)


def _grades(own: Places, there: Places, usable: Booleans) -> Objects:
    """measured: this very load was run; interpolated: runs of the deployment lie on both sides; calibrated: any run."""
    here = own.along(-1)
    same = _same_deployment(here, there) & (here.kind == there.kind) & usable
    distance = there.load - here.load
    grades = np.full(len(usable), "calibrated", dtype=object)
    grades[(same & (distance <= 0)).any(axis=1) & (same & (distance >= 0)).any(axis=1)] = "interpolated"
    grades[(same & (np.abs(distance) < SAME_LOAD) & (there.limit == here.limit)).any(axis=1)] = "measured"
    return grades
