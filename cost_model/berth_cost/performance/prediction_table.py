"""Answers as columns."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isnan
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from berth_cost.cases.case import MemorySplit, Parts, Prediction, Reason
from berth_cost.performance.case_table import Booleans, Floats
from berth_cost.rounding import significant_number

SCALAR = "value"
"""The statistic of a metric that has only one."""

_Columns = Mapping[str, list[float]]


@dataclass(frozen=True, slots=True)
class PredictionTable:
    """Row i answers case i. ``point``, ``low``, ``high``: by metric name, then statistic ("value" for scalar metrics);
    nan where a metric does not apply or the row is infeasible. ``low`` and ``high`` are the 90 % band."""

    feasible: Booleans
    reason_code: NDArray[np.object_]
    """None, or why not: ``memory``, ``precision``, ``overload``, ``unknown``, ``parallelism``, ``batch``."""
    reason_message: NDArray[np.object_]
    reason_value: Floats
    reason_limit: Floats
    point: Mapping[str, Mapping[str, Floats]]
    low: Mapping[str, Mapping[str, Floats]]
    high: Mapping[str, Mapping[str, Floats]]
    parts: Mapping[str, Floats]
    """By field of :class:`berth_cost.cases.case.Parts`, seconds of the mean latency."""
    utilization: Floats
    evidence: NDArray[np.object_]
    maximum_rate: Floats
    """Requests per second at which a replica is saturated, whatever the load; nan where it cannot run."""
    model_version: str
    memory_split: Mapping[str, Floats] = field(default_factory=dict)
    """By field of :class:`berth_cost.cases.case.MemorySplit`, seconds; nan where there is none."""

    def records(self, case_ids: Iterable[str]) -> list[Prediction]:
        """The rows, in their order, as the records that users see: numbers rounded to six significant digits."""
        statistics = [
            _Statistic(metric, name, values.tolist(), self.low[metric][name].tolist(), self.high[metric][name].tolist())
            for metric, by_name in self.point.items()
            for name, values in by_name.items()
        ]
        parts = {name: values.tolist() for name, values in self.parts.items()}
        split = {name: values.tolist() for name, values in self.memory_split.items()}
        return [self._record(row, name, statistics, parts, split) for row, name in enumerate(case_ids)]

    def _record(
        self, row: int, case_id: str, statistics: Sequence["_Statistic"], parts: _Columns, split: _Columns
    ) -> Prediction:
        feasible = bool(self.feasible[row])
        points: dict[str, dict[str, float]] = {}
        bands: dict[str, dict[str, tuple[float, float]]] = {}
        for one in statistics:
            if not isnan(one.point[row]):
                points.setdefault(one.metric, {})[one.name] = significant_number(one.point[row])
                band = significant_number(one.low[row]), significant_number(one.high[row])
                bands.setdefault(one.metric, {})[one.name] = band
        utilization = float(self.utilization[row])
        return Prediction(
            id=case_id,
            feasible=feasible,
            reasons=() if feasible else (self._reason(row),),
            evidence=self.evidence[row],
            metrics={metric: values.get(SCALAR, values) for metric, values in points.items()},
            band={metric: values.get(SCALAR, values) for metric, values in bands.items()},
            parts=Parts(**_numbers(parts, row)) if feasible else None,
            memory_split=_split(split, row) if feasible else None,
            utilization=None if isnan(utilization) else significant_number(utilization),
            model_version=self.model_version,
        )

    def _reason(self, row: int) -> Reason:
        value, limit = float(self.reason_value[row]), float(self.reason_limit[row])
        return Reason(
            code=self.reason_code[row],
            message=self.reason_message[row],
            value=None if isnan(value) else significant_number(value),
            limit=None if isnan(limit) else significant_number(limit),
        )


class _Statistic(NamedTuple):
    """One statistic of one metric, by row."""

    metric: str
    name: str
    point: list[float]
    low: list[float]
    high: list[float]


def _split(columns: _Columns, row: int) -> MemorySplit | None:
    if not columns or any(isnan(values[row]) for values in columns.values()):
        return None
    return MemorySplit(**_numbers(columns, row))


def _numbers(columns: _Columns, row: int) -> dict[str, float]:
    return {name: significant_number(values[row]) for name, values in columns.items()}
