"""Predict latency, throughput, memory and power of many cases at once: the only door to the performance model.

The scheduler, ``berth predict`` and the benchmarks call :func:`predict`; the planner also asks
:func:`sustainable_rate`, which inverts it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from berth_cost.case import Engine, Model, Prediction
from berth_cost.gpu_catalogue import GPUSpecification, MIGProfile

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]


class LoadKind(IntEnum):
    CLOSED = 0
    OPEN = 1
    BATCH = 2
    SATURATED = 3


@dataclass(frozen=True, slots=True)
class CaseTable:
    """Cases as columns: row i of every array is case i; ``*_index`` columns point into the tuples of categories.

    A number that does not apply to a row is nan (floats). Shapes are (n,).
    """

    models: tuple[Model, ...]
    gpus: tuple[GPUSpecification, ...]
    slices: tuple[MIGProfile | None, ...]
    precisions: tuple[str, ...]
    engines: tuple[Engine, ...]

    model_index: Integers
    gpu_index: Integers
    slice_index: Integers
    precision_index: Integers
    engine_index: Integers

    gpu_count: Integers
    tensor: Integers
    pipeline: Integers
    expert: Integers

    maximum_batch_size: Floats
    """nan: not stated."""
    maximum_batched_tokens: Floats
    instances: Integers
    dynamic_batching: Booleans
    maximum_queue_delay_seconds: Floats

    load_kind: Integers
    concurrency: Floats
    requests_per_second: Floats
    burstiness: Floats
    batch_size: Floats

    input_tokens: Floats
    input_tokens_p95: Floats
    output_tokens: Floats
    items_per_request: Floats
    shared_prefix_tokens: Floats

    def __len__(self) -> int:
        return len(self.model_index)


@dataclass(frozen=True, slots=True)
class PredictionTable:
    """Row i answers case i. ``point``, ``low``, ``high``: by metric name, then statistic ("value" for scalar metrics);
    nan where a metric does not apply or the row is infeasible. ``low`` and ``high`` are the 90 % band."""

    feasible: Booleans
    reason_code: NDArray[np.object_]
    """None, or why not: ``memory``, ``precision``, ``overload``, ``unknown``, ``parallelism``."""
    reason_message: NDArray[np.object_]
    reason_value: Floats
    reason_limit: Floats
    point: Mapping[str, Mapping[str, Floats]]
    low: Mapping[str, Mapping[str, Floats]]
    high: Mapping[str, Mapping[str, Floats]]
    parts: Mapping[str, Floats]
    utilization: Floats
    evidence: NDArray[np.object_]

    def row(self, index: int, case_id: str) -> Prediction:
        """One row as the record that users see, rounded to six significant digits."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class SustainableRate:
    """The highest open-loop rate per replica at which every objective holds on the pessimistic edge of the band.

    ``requests_per_second`` is 0 where an objective is broken even by a lone request; then ``binding`` names that
    objective as (metric, statistic), ``value`` is the pessimistic edge for a lone request and ``limit`` the objective.
    Where the rate is above 0, ``binding`` names what would break first (None: throughput itself).
    """

    requests_per_second: Floats
    binding: NDArray[np.object_]
    value: Floats
    limit: Floats


def predict(table: CaseTable) -> PredictionTable:
    """Latency percentiles, throughput, memory, power and energy of every case."""
    raise NotImplementedError


def sustainable_rate(table: CaseTable, objectives: Mapping[tuple[str, str], Floats]) -> SustainableRate:
    """Invert :func:`predict` for the rate. ``objectives``: (metric, statistic) → limit in seconds (n,), inf: not asked.

    The table's own ``load_kind`` and ``requests_per_second`` are ignored; its ``burstiness`` is respected.
    """
    raise NotImplementedError
