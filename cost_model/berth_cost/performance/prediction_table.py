"""Answers as columns."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from berth_cost.cases.case import MemorySplit, Parts, Prediction, Reason
from berth_cost.performance.case_table import Booleans, Floats
from berth_cost.rounding import significant_number

SCALAR = "value"
"""The statistic of a metric that has only one."""


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
    """By field of :class:`berth_cost.cases.case.Parts`, seconds of the mean latency."""
    utilization: Floats
    evidence: NDArray[np.object_]
    maximum_rate: Floats
    """Requests per second at which a replica is saturated, whatever the load; nan where it cannot run."""
    model_version: str
    memory_split: Mapping[str, Floats] = field(default_factory=dict)
    """By field of :class:`berth_cost.cases.case.MemorySplit`, seconds; nan where there is none."""

    def row(self, index: int, case_id: str) -> Prediction:
        """One row as the record that users see, rounded to six significant digits."""
        feasible = bool(self.feasible[index])
        reasons = () if feasible else (self._reason(index),)
        bands = {
            metric: {
                name: (_number(self.low[metric][name][index]), _number(self.high[metric][name][index]))
                for name in statistics
            }
            for metric, statistics in self._present(index).items()
        }
        points = {
            metric: {name: _number(self.point[metric][name][index]) for name in statistics}
            for metric, statistics in self._present(index).items()
        }
        utilization = self.utilization[index]
        return Prediction(
            id=case_id,
            feasible=feasible,
            reasons=reasons,
            evidence=self.evidence[index],
            metrics={metric: values.get(SCALAR, values) for metric, values in points.items()},
            band={metric: values.get(SCALAR, values) for metric, values in bands.items()},
            parts=Parts(**{name: _number(values[index]) for name, values in self.parts.items()}) if feasible else None,
            memory_split=self._split(index) if feasible else None,
            utilization=None if np.isnan(utilization) else _number(utilization),
            model_version=self.model_version,
        )

    def _split(self, index: int) -> MemorySplit | None:
        values = {name: float(column[index]) for name, column in self.memory_split.items()}
        if not values or any(np.isnan(value) for value in values.values()):
            return None
        return MemorySplit(**{name: _number(value) for name, value in values.items()})

    def _present(self, index: int) -> dict[str, list[str]]:
        """The metrics that this row has, with their statistics."""
        present = {
            metric: [name for name, values in statistics.items() if not np.isnan(values[index])]
            for metric, statistics in self.point.items()
        }
        return {metric: names for metric, names in present.items() if names}

    def _reason(self, index: int) -> Reason:
        value, limit = self.reason_value[index], self.reason_limit[index]
        return Reason(
            code=self.reason_code[index],
            message=self.reason_message[index],
            value=None if np.isnan(value) else _number(value),
            limit=None if np.isnan(limit) else _number(limit),
        )


def _number(value: float) -> float:
    return significant_number(float(value))
