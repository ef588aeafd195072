"""Published measurements as cases, and how far predictions are from them."""

import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from berth_cost.cases.case import Case
from berth_cost.cases.measured_runs import numbers_of
from berth_cost.performance.prediction_table import SCALAR, PredictionTable

DEFAULT_DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "perf" / "cases"

Floats = NDArray[np.float64]


def read_cases(folder: Path) -> dict[str, list[Case]]:
    """Cases by source, from ``<source>.jsonl.gz``; empty where the folder is not there."""
    sources = {}
    for file in sorted(folder.glob("*.jsonl.gz")):
        with gzip.open(file, "rt", encoding="utf-8") as lines:
            sources[file.name.removesuffix(".jsonl.gz")] = [Case.model_validate_json(line) for line in lines]
    return sources


@dataclass(frozen=True)
class Observations:
    """One metric and statistic of many cases: ``rows`` are the positions of the cases that state it."""

    metric: str
    statistic: str
    rows: NDArray[np.int64]
    values: Floats

    def log_ratio(self, predictions: PredictionTable) -> Floats:
        """log(predicted / observed), shape (rows,); nan where nothing was predicted."""
        return np.log(predictions.point[self.metric][self.statistic][self.rows] / self.values)

    def inside(self, predictions: PredictionTable) -> NDArray[np.bool_]:
        """Whether each observation lies in the band."""
        low = predictions.low[self.metric][self.statistic][self.rows]
        high = predictions.high[self.metric][self.statistic][self.rows]
        return (self.values >= low) & (self.values <= high)


def observations(cases: Sequence[Case]) -> list[Observations]:
    """Everything that was observed, by metric and statistic in order of first appearance."""
    found: dict[tuple[str, str], dict[int, float]] = {}
    for row, case in enumerate(cases):
        for metric, statistic, value in () if case.observed is None else numbers_of(case.observed):
            found.setdefault((metric, statistic or SCALAR), {})[row] = value
    return [
        Observations(metric, statistic, np.array(list(values), dtype=np.int64), np.array(list(values.values())))
        for (metric, statistic), values in found.items()
    ]
