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
from dataclasses import dataclass, fields, replace

import numpy as np

from berth_cost.batch_service import BatchService, batch_service, state_under
from berth_cost.case import Metrics
from berth_cost.case_table import (
    Booleans,
    CaseTable,
    Floats,
    Integers,
    LoadKind,
    NetworkCalibration,
    Objects,
    joined,
    rows_of,
)
from berth_cost.classic_constants import CalibrationPrior
from berth_cost.device import device_columns
from berth_cost.engine_constants import Constants, engine_names
from berth_cost.percentiles import STATISTICS
from berth_cost.work import dense_work

ITERATIONS = 20
SLOPE_STEP = 0.02
"""Of the finite differences, in logs."""
DAMPING = 0.5
"""Of a step: whole ones swing to and fro between two factors that explain the same runs."""
LONGEST_STEP, FARTHEST = 2.0, 14.0
"""Of an iteration, and of all: where a typical network stands for an unknown one, factors may be thousands."""
RATE = len(STATISTICS)
"""Stands for a rate among the statistics: the time between two requests is compared."""
FACTORS, SPEED = ("fixed", "item", "host", "speed"), 3
"""By name in the prior; the last stands for all of them together."""
DIFFERENCES = ("gpu", "slice", "engine", "version", "precision")
SAME_LOAD = 1e-6
TAILS = ("p90", "p95", "p99")
LEAST_EXCESS = 0.02
"""Added to how far a percentile lies above the mean, relative to it, before its logarithm is taken."""


@dataclass(frozen=True, slots=True)
class NetworkRun:
    """One measured run, as some rows of a table see it."""

    rows: Integers
    table: CaseTable
    """As many rows, with what the run states in place of their own."""
    metrics: Metrics


@dataclass(frozen=True, slots=True)
class CalibratedNetworks:
    """What runs say, by row of the whole table, shapes (n,)."""

    network: NetworkCalibration
    log_factor: Floats
    """Of all times, beside the factors of ``network``."""
    evidence: Objects


@dataclass(frozen=True, slots=True)
class _Places:
    """Where runs or rows lie in the space of deployments and loads; shapes (...)."""

    keys: Integers
    """GPU, slice, engine, engine version, precision: shape (5, ...)."""
    load: Floats
    """log of batch, clients or rate."""
    kind: Integers
    instances: Floats
    limit: Floats
    """Largest batch, 0 where it is not stated."""

    def at(self, chosen: Integers) -> "_Places":
        others = (one[chosen] for one in (self.load, self.kind, self.instances, self.limit))
        return _Places(self.keys[:, chosen], *others)

    def along(self, axis: int) -> "_Places":
        """With a new axis of length 1 there, counted from the last."""
        columns = (self.keys, self.load, self.kind, self.instances, self.limit)
        return _Places(*(np.expand_dims(one, axis) for one in columns))


@dataclass(frozen=True, slots=True)
class _Runs:
    """All runs of all rows, one after another; shapes (m,). nan: the run does not say."""

    table: CaseTable
    places: _Places
    log_seconds: Floats
    statistic: Integers
    """Position in STATISTICS, or RATE."""
    tails: Floats
    """Of p90, p95 and p99: how far above the mean, relative to it; shape (3, m)."""


def calibrated_networks(
    table: CaseTable, runs: Sequence[NetworkRun], assumed: Booleans, constants: Constants
) -> CalibratedNetworks:
    """``assumed``: rows whose network's size nobody knows, shape (n,). Rows without runs stay as they are."""
    count = len(table)
    answer = CalibratedNetworks(
        NetworkCalibration(*(np.zeros(count) for _ in range(4)), deviation=np.full(count, np.nan)),
        log_factor=np.zeros(count),
        evidence=np.full(count, "estimated", dtype=object),
    )
    if not runs:
        return answer
    rows, slots = _slots([run.rows for run in runs], count)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        asked, codes = table.rows(rows), dict[str, int]()
        flat = _flat(runs, constants, codes)
        found = _regression(asked, _places(asked, constants, codes), flat, slots, assumed[rows], constants)
    says = np.isfinite(found.network.deviation)
    for field in fields(NetworkCalibration):
        getattr(answer.network, field.name)[rows[says]] = getattr(found.network, field.name)[says]
    answer.log_factor[rows[says]], answer.evidence[rows[says]] = found.log_factor[says], found.evidence[says]
    return answer


def _slots(rows_of_runs: Sequence[Integers], count: int) -> tuple[Integers, Integers]:
    """(rows that have runs; where their runs are when all are put one after another, −1 beyond the last)."""
    rows = np.unique(np.concatenate(rows_of_runs))
    position = np.zeros(count, dtype=np.int64)
    position[rows] = np.arange(len(rows))
    used = np.bincount(position[np.concatenate(rows_of_runs)], minlength=len(rows))
    slots, taken, start = np.full((len(rows), used.max()), -1), np.zeros(len(rows), dtype=np.int64), 0
    for own in rows_of_runs:
        here = position[own]
        slots[here, taken[here]] = np.arange(start, start + len(own))
        taken[here] += 1
        start += len(own)
    return rows, slots


def _flat(runs: Sequence[NetworkRun], constants: Constants, codes: dict[str, int]) -> _Runs:
    table = joined([run.table for run in runs])
    target = [_target(run.metrics) for run in runs]
    lengths = [len(run.rows) for run in runs]
    statistic = np.repeat([one for one, _ in target], lengths)
    per_request = np.repeat([1.0 if run.metrics.requests_per_second else 0.0 for run in runs], lengths)
    seconds = np.repeat([value for _, value in target], lengths)
    # Items a second are as many requests as a request has items.
    items = np.where((statistic == RATE) & (per_request == 0), table.items_per_request, 1.0)
    offered = (statistic == RATE) & (table.load_kind == LoadKind.OPEN)
    tails = np.repeat(np.array([_tails(run.metrics) for run in runs]).T, lengths, axis=1)
    return _Runs(
        table=table,
        places=_places(table, constants, codes),
        log_seconds=np.where(offered, np.nan, np.log(seconds * items)),
        statistic=statistic,
        tails=tails,
    )


def _target(metrics: Metrics) -> tuple[int, float]:
    """(position of the most central statistic that was measured, seconds); of a rate, its inverse; nan for neither."""
    times = metrics.latency_seconds or metrics.end_to_end_seconds
    for position, name in enumerate(STATISTICS):
        value = None if times is None else getattr(times, name)
        if value is not None:
            return position, value
    rate = metrics.requests_per_second or metrics.items_per_second
    return RATE, 1 / rate if rate else np.nan


def _tails(metrics: Metrics) -> list[float]:
    times = metrics.latency_seconds or metrics.end_to_end_seconds
    center = None if times is None else times.mean or times.p50
    if times is None or center is None:
        return [np.nan] * len(TAILS)
    values = [getattr(times, name) for name in TAILS]
    return [np.nan if value is None else max(value / center - 1, 0.0) for value in values]


def _places(table: CaseTable, constants: Constants, codes: dict[str, int]) -> _Places:
    """``codes``: numbers that stand for names, added to; tables that share it can be compared."""

    def coded(names: Sequence[str], index: Integers) -> Integers:
        return np.array([codes.setdefault(name, len(codes)) for name in names], dtype=np.int64)[index]

    load = np.select(
        [table.load_kind == LoadKind.BATCH, table.load_kind == LoadKind.CLOSED, table.load_kind == LoadKind.OPEN],
        [table.batch_size, table.concurrency, table.requests_per_second],
        np.nan_to_num(table.maximum_batch_size, nan=1.0),
    )
    return _Places(
        keys=np.stack(
            [
                coded([gpu.name for gpu in table.gpus], table.gpu_index),
                coded(["" if one is None else one.name for one in table.slices], table.slice_index),
                coded(engine_names(constants, table), table.engine_index),
                coded([engine.version or "" for engine in table.engines], table.engine_index),
                coded(table.precisions, table.precision_index),
            ]
        ),
        load=np.log(load) + np.log(table.items_per_request),
        kind=table.load_kind,
        instances=table.instances.astype(np.float64),
        limit=np.nan_to_num(table.maximum_batch_size),
    )


def _regression(
    asked: CaseTable, own: _Places, runs: _Runs, slots: Integers, assumed: Booleans, constants: Constants
) -> CalibratedNetworks:
    """Shapes: one axis of rows; between runs (rows, runs) or (rows, runs, runs); factors first, (4, ...)."""
    prior = constants.classic.calibration
    here, there = own.along(-1), runs.places.at(slots)
    first, second = there.along(-1), there.along(-2)
    towards, between = _covariance(prior, here, there, assumed), _covariance(prior, first, second, assumed)
    likely, alike = _residual_covariance(prior, here, there), _residual_covariance(prior, first, second)

    service = _Latencies(runs.table, constants, runs.statistic)
    usable = slots >= 0
    factors = np.zeros((len(FACTORS), *slots.shape))
    factors[SPEED] = _start(runs, service.around(factors, slots)[0], slots, assumed)
    for _ in range(ITERATIONS):
        seconds, slopes = service.around(factors, slots)
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
    own_service = _Latencies(asked, constants, np.zeros(len(asked), dtype=np.int64))
    _, own_slopes = own_service.around(found[:, :, None], np.arange(len(asked))[:, None])
    own_slopes = np.nan_to_num(own_slopes[:, :, 0])
    reach = (own_slopes[:, :, None] * towards * slopes).sum(axis=0) + np.where(usable, likely, 0.0)
    before = (own_slopes**2 * _covariance(prior, own, own, assumed)).sum(axis=0) + prior.residual**2
    told = (reach * np.linalg.solve(whole, reach[:, :, None])[:, :, 0]).sum(axis=-1)
    left = np.maximum(before - told, 0.0) + prior.noise**2
    spread = _spread(
        prior,
        runs.tails[:, slots],
        service.tails(factors, slots),
        usable,
        _spread_covariance(prior, here, there),
        _spread_covariance(prior, first, second),
    )
    deviation = np.where(usable.any(axis=1), np.sqrt(left), np.nan)
    return CalibratedNetworks(
        NetworkCalibration(*(found[:SPEED] + found[SPEED]), log_spread=spread, deviation=deviation),
        log_factor=unexplained,
        evidence=_grades(own, there, usable),
    )


def _start(runs: _Runs, seconds: Floats, slots: Integers, assumed: Booleans) -> Floats:
    """Where the iteration begins: of a network of unknown size at the speed that its runs have on average."""
    off = np.where(slots >= 0, runs.log_seconds[slots] - seconds, np.nan)
    known = np.isfinite(off)
    mean = np.where(known, off, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    return np.where(assumed, mean, 0.0)[:, None] * np.ones(slots.shape)


def _covariance(prior: CalibrationPrior, a: _Places, b: _Places, assumed: Booleans) -> Floats:
    """Of the factors of two deployments, shape (4, ...): what they have in common they share in value."""
    same = a.keys == b.keys
    guessed = assumed.reshape(-1, *([1] * (same.ndim - 2)))
    found = []
    for factor in FACTORS:
        deviations, unknown = getattr(prior, factor), getattr(prior.assumed, factor)
        total = np.where(guessed, unknown, deviations.network) ** 2
        for name, alike in zip(DIFFERENCES, same, strict=True):
            total = total + getattr(deviations, name) ** 2 * alike
        found.append(total)
    return np.stack(found)


def _same_deployment(a: _Places, b: _Places) -> Booleans:
    return np.asarray((a.keys == b.keys).all(axis=0) & (a.instances == b.instances), dtype=np.bool_)


def _residual_covariance(prior: CalibrationPrior, a: _Places, b: _Places) -> Floats:
    """Of what no factor explains: runs of one deployment at similar loads share it."""
    near = np.exp(-np.abs(a.load - b.load) / prior.reach)
    return prior.residual**2 * near * (_same_deployment(a, b) & (a.kind == b.kind))


def _spread_covariance(prior: CalibrationPrior, a: _Places, b: _Places) -> Floats:
    """Of how widely latencies scatter: mostly the deployment's own under loads of one kind."""
    own = _same_deployment(a, b) & (a.kind == b.kind)
    near = np.exp(-np.abs(a.load - b.load) / prior.reach)
    return prior.spread**2 * (prior.spread_of_network + (1 - prior.spread_of_network) * own * (1 + near) / 2)


def _near_saturation(slopes: Floats) -> Floats:
    """Extra variance of a latency that is mostly queueing: where everything is slower by a percent, it rises by more."""
    return 0.25 * np.maximum(slopes[SPEED] - 1.0, 0.0) ** 2


class _Latencies:
    """log seconds of the rows of a table as functions of the factors; rows that are alike are computed once."""

    def __init__(self, table: CaseTable, constants: Constants, statistic: Integers) -> None:
        uncalibrated = replace(table, calibration=None)
        self._table, self._statistic = uncalibrated, statistic
        self._service = batch_service(uncalibrated, dense_work(uncalibrated), device_columns(uncalibrated), constants)
        columns = [
            np.nan_to_num(np.asarray(getattr(table, field.name), dtype=np.float64), nan=-1.0)
            for field in fields(CaseTable)
            if isinstance(getattr(table, field.name), np.ndarray)
        ]
        _, code = np.unique(np.stack([*columns, statistic], axis=1), axis=0, return_inverse=True)
        self._code = code.reshape(-1)

    def around(self, factors: Floats, rows: Integers) -> tuple[Floats, Floats]:
        """(values (...), slopes (4, ...)) at ``factors`` (4, ...) of the rows (...)."""
        effective = (factors[:SPEED] + factors[SPEED]).reshape(SPEED, -1)
        flat = np.concatenate([self._code[rows.reshape(1, -1)], np.round(effective, 9)])
        _, first, inverse = np.unique(flat, axis=1, return_index=True, return_inverse=True)
        inverse = inverse.reshape(-1)
        chosen, at = rows.reshape(-1)[first], effective[:, first]
        table, service = self._table.rows(chosen), rows_of(self._service, chosen)
        base = self._values(table, service, at, self._statistic[chosen])
        slopes = []
        for one in range(SPEED):
            moved = at.copy()
            moved[one] += SLOPE_STEP
            slopes.append((self._values(table, service, moved, self._statistic[chosen]) - base) / SLOPE_STEP)
        # What speeds up everything does what the three together do.
        every = np.stack([*slopes, np.sum(slopes, axis=0)])
        return base[inverse].reshape(rows.shape), every[:, inverse].reshape(len(FACTORS), *rows.shape)

    @staticmethod
    def _values(table: CaseTable, service: BatchService, factors: Floats, statistic: Integers) -> Floats:
        state = _states(table, service, factors)
        values = np.full(len(table), np.nan)
        for position, name in enumerate((*STATISTICS, "rate")):
            chosen = statistic == position
            if chosen.any():
                values[chosen] = np.log(state[name][chosen])
        return values

    def tails(self, factors: Floats, rows: Integers) -> Floats:
        """How far p90, p95 and p99 lie above the mean, relative to it; shape (3, ...)."""
        flat = rows.reshape(-1)
        effective = (factors[:SPEED] + factors[SPEED]).reshape(SPEED, -1)
        state = _states(self._table.rows(flat), rows_of(self._service, flat), effective)
        return np.stack([(state[name] / state["mean"] - 1).reshape(rows.shape) for name in TAILS])


def _states(table: CaseTable, service: BatchService, factors: Floats) -> dict[str, Floats]:
    """Latency by statistic, and the time between two requests as ``rate``."""
    nothing = np.zeros(len(table))
    moved = service.calibrated(NetworkCalibration(*factors, log_spread=nothing, deviation=nothing))
    found = {name: np.full(len(table), np.nan) for name in (*STATISTICS, "rate")}
    for kind in LoadKind:
        rows = np.flatnonzero(table.load_kind == kind)
        if len(rows):
            state = state_under(rows_of(moved, rows), table.rows(rows), kind, np.ones(len(rows)))
            for name in STATISTICS:
                found[name][rows] = state.latency.statistic(name)
            found["rate"][rows] = 1 / state.requests_per_second
    return found


def _spread(
    prior: CalibrationPrior, measured: Floats, expected: Floats, usable: Booleans, towards: Floats, between: Floats
) -> Floats:
    """log of how much wider latencies scatter than the constants say, shape (rows,): the same regression over the
    mean of what p90, p95 and p99 say, ``measured`` and ``expected`` of shape (3, rows, runs)."""
    each = np.log((measured + LEAST_EXCESS) / (expected + LEAST_EXCESS))
    says = np.isfinite(each) & usable
    known = says.any(axis=0)
    ratio = np.where(says, each, 0.0).sum(axis=0) / np.maximum(says.sum(axis=0), 1)
    whole = np.where(known[:, :, None] & known[:, None, :], between, 0.0)
    whole = whole + np.where(known, prior.spread_noise**2, 1.0)[:, :, None] * np.eye(known.shape[1])
    weight = np.linalg.solve(whole, ratio[:, :, None])[:, :, 0]
    return np.asarray((np.where(known, towards, 0.0) * weight).sum(axis=-1), dtype=np.float64)


def _grades(own: _Places, there: _Places, usable: Booleans) -> Objects:
    """measured: this very load was run; interpolated: runs of the deployment lie on both sides; calibrated: any run."""
    here = own.along(-1)
    same = _same_deployment(here, there) & (here.kind == there.kind) & usable
    distance = there.load - here.load
    grades = np.full(len(usable), "calibrated", dtype=object)
    grades[(same & (distance <= 0)).any(axis=1) & (same & (distance >= 0)).any(axis=1)] = "interpolated"
    grades[(same & (np.abs(distance) < SAME_LOAD) & (there.limit == here.limit)).any(axis=1)] = "measured"
    return grades
