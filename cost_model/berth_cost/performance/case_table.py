"""Cases as columns: what the performance model computes on."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass
from enum import IntEnum
from typing import TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from berth_cost.cases.case import Engine, Model
from berth_cost.hardware.gpu_catalogue import GPUSpecification, MIGProfile

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]
Objects = NDArray[np.object_]


class LoadKind(IntEnum):
    CLOSED = 0
    OPEN = 1
    BATCH = 2
    SATURATED = 3


@dataclass(frozen=True, slots=True)
class NetworkCalibration:
    """What measured runs say about classic networks; arrays of shape (n,), natural logarithms of factors on what the
    constants say, 0 where there is nothing to say."""

    log_fixed: Floats
    """Of what a pass takes whatever its batch."""
    log_item: Floats
    """Of what every further item takes."""
    log_host: Floats
    """Of what the server and its copies add."""
    log_spread: Floats
    """Of the coefficients of variation."""
    deviation: Floats
    """Standard deviation of what is left, in logs; nan where no run says anything."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """What measured runs say about each row, by metric group (``service``, ``first_token``); arrays of shape (n,).

    ``log_factor``: natural logarithm of measured over predicted time, already shrunk towards 0 where runs are few or
    far.
    ``evidence``: measured, interpolated, calibrated or estimated.
    """

    log_factor: dict[str, Floats]
    evidence: Objects
    assumed_size: Booleans
    """The model's size is not known, and a typical one stands for it: there is no telling its memory."""
    deviation: dict[str, Floats] | None = None
    """Of language models with runs: standard deviation of what is left, in logs, by metric group; nan without."""
    network: NetworkCalibration | None = None
    """Of classic networks, beside ``log_factor``; None where there are none with runs."""


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

    calibration: Calibration | None = None
    """None: no measured run of any of these models is known."""

    def __len__(self) -> int:
        return len(self.model_index)

    def rows(self, chosen: Integers | Booleans | slice) -> "CaseTable":
        """The table of the chosen rows, over the same categories."""
        return rows_of(self, chosen)


CATEGORIES = {
    "models": "model_index",
    "gpus": "gpu_index",
    "slices": "slice_index",
    "precisions": "precision_index",
    "engines": "engine_index",
}
"""Tuples of categories, and the columns that point into them."""

Columns = TypeVar("Columns")


def rows_of(columns: Columns, chosen: Integers | Booleans | slice) -> Columns:
    """The chosen rows of a dataclass of columns: of every array in it, and in dataclasses and dicts inside it."""
    if isinstance(columns, np.ndarray):
        return cast(Columns, columns[chosen])
    if isinstance(columns, dict):
        return cast(Columns, {key: rows_of(value, chosen) for key, value in columns.items()})
    if is_dataclass(columns) and not isinstance(columns, type):
        values = {field.name: rows_of(getattr(columns, field.name), chosen) for field in fields(columns)}
        return cast(Columns, type(columns)(**values))
    return columns


def joined(tables: Sequence[CaseTable]) -> CaseTable:
    """One table with the rows of all, in order, without their calibrations."""
    columns: dict[str, object] = {}
    for name, index in CATEGORIES.items():
        kept: list[object] = []
        known: dict[int, int] = {}
        positions = []
        for table in tables:
            for value in getattr(table, name):
                # The same object stands in many tables: compared by value once.
                if id(value) not in known:
                    known[id(value)] = kept.index(value) if value in kept else len(kept)
                    kept += [value] if known[id(value)] == len(kept) else []
            own = np.array([known[id(value)] for value in getattr(table, name)], dtype=np.int64)
            positions.append(own[getattr(table, index)])
        columns[name], columns[index] = tuple(kept), np.concatenate(positions)
    for field in fields(CaseTable):
        if field.name not in (*columns, "calibration"):
            columns[field.name] = np.concatenate([getattr(table, field.name) for table in tables])
    return CaseTable(**columns)  # type: ignore[arg-type]  # names and types are those of the fields
