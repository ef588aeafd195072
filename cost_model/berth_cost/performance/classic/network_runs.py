"""Measured runs of classic networks as columns: what each states, and where in the space of deployments it lies."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from berth_cost.cases.case import Metrics
from berth_cost.performance.case_table import CaseTable, Floats, Integers, LoadKind, joined
from berth_cost.performance.engine_constants import Constants, engine_names
from berth_cost.performance.percentiles import STATISTICS

RATE = len(STATISTICS)
"""Stands for a rate among the statistics: the time between two requests is compared."""
TAILS = ("p90", "p95", "p99")


@dataclass(frozen=True, slots=True)
class NetworkRun:
    """One measured run, as some rows of a table see it."""

    rows: Integers
    table: CaseTable
    """As many rows, with what the run states in place of their own."""
    metrics: Metrics


@dataclass(frozen=True, slots=True)
class Places:
    """Where runs or rows lie in the space of deployments and loads; shapes (...)."""

    keys: Integers
    """GPU, slice, engine, engine version, precision: shape (5, ...)."""
    share: Floats
    """log of the share of the GPU's computing that the slice has, 0 of a whole GPU."""
    load: Floats
    """log of batch, clients or rate."""
    kind: Integers
    instances: Floats
    limit: Floats
    """Largest batch, 0 where it is not stated."""

    def at(self, chosen: Integers) -> "Places":
        return Places(
            keys=self.keys[:, chosen],
            share=self.share[chosen],
            load=self.load[chosen],
            kind=self.kind[chosen],
            instances=self.instances[chosen],
            limit=self.limit[chosen],
        )

    def along(self, axis: int) -> "Places":
        """With a new axis of length 1 there, counted from the last."""
        return Places(
            keys=np.expand_dims(self.keys, axis),
            share=np.expand_dims(self.share, axis),
            load=np.expand_dims(self.load, axis),
            kind=np.expand_dims(self.kind, axis),
            instances=np.expand_dims(self.instances, axis),
            limit=np.expand_dims(self.limit, axis),
        )


@dataclass(frozen=True, slots=True)
class Runs:
    """All runs of all rows, one after another; shapes (m,). nan: the run does not say."""

    table: CaseTable
    places: Places
    log_seconds: Floats
    statistic: Integers
    """Position in STATISTICS, or RATE."""
    tails: Floats
    """Of p90, p95 and p99: how far above the mean, relative to it; shape (3, m)."""


def slots_of(rows_of_runs: Sequence[Integers], count: int) -> tuple[Integers, Integers]:
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


def flattened(runs: Sequence[NetworkRun], constants: Constants, codes: dict[str, int]) -> Runs:
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
    return Runs(
        table=table,
        places=places_of(table, constants, codes),
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


def places_of(table: CaseTable, constants: Constants, codes: dict[str, int]) -> Places:
    """``codes``: numbers that stand for names, added to; tables that share it can be compared."""

    def coded(names: Sequence[str], index: Integers) -> Integers:
        return np.array([codes.setdefault(name, len(codes)) for name in names], dtype=np.int64)[index]

    load = np.select(
        [table.load_kind == LoadKind.BATCH, table.load_kind == LoadKind.CLOSED, table.load_kind == LoadKind.OPEN],
        [table.batch_size, table.concurrency, table.requests_per_second],
        np.nan_to_num(table.maximum_batch_size, nan=1.0),
    )
    return Places(
        keys=np.stack(
            [
                coded([gpu.name for gpu in table.gpus], table.gpu_index),
                coded(["" if one is None else one.name for one in table.slices], table.slice_index),
                coded(engine_names(constants, table), table.engine_index),
                coded([engine.version or "" for engine in table.engines], table.engine_index),
                coded(table.precisions, table.precision_index),
            ]
        ),
        share=np.log([1.0 if one is None else one.compute_slices / one.compute_slices_total for one in table.slices])[
            table.slice_index
        ],
        load=np.log(load) + np.log(table.items_per_request),
        kind=table.load_kind,
        instances=table.instances.astype(np.float64),
        limit=np.nan_to_num(table.maximum_batch_size),
    )
