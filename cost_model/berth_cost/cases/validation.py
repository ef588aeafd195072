"""How far predictions lie from what was observed: errors by slice, and how often the band holds.

With r = predicted / observed, the absolute percentage error is 100·|r − 1|, the bias 100·(exp(mean ln r) − 1), and the
coverage the share of observations inside the 90 % band.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from berth_cost.cases.case import Case, Evidence, Model, Prediction
from berth_cost.cases.lines import CaseFlaw
from berth_cost.cases.measured_runs import numbers_of
from berth_cost.performance.case_table import Floats
from berth_cost.record import Record
from berth_cost.rounding import significant_number

Dimension = Literal["gpu", "precision", "engine", "class"]
DIMENSIONS: tuple[Dimension, ...] = ("gpu", "precision", "engine", "class")


class ErrorStatistics(Record):
    """Of ``n`` observations, in percent; None where n is 0."""

    n: int
    median_percent: float | None = None
    mean_percent: float | None = None
    p90_percent: float | None = None
    bias_percent: float | None = None
    """Above 0: predicted too high, on the geometric mean."""
    coverage_percent: float | None = None


class ErrorSlice(Record):
    """One line of the table. A dimension that the table does not tell apart is None."""

    metric: str
    statistic: str | None = None
    gpu: str | None = None
    precision: str | None = None
    engine: str | None = None
    model_class: str | None = None
    refused: int = 0
    """Observed although the prediction says that it cannot run, or has no such number: in no other column."""
    errors: ErrorStatistics


class Validation(Record):
    """Of a file of cases: ``totals`` by metric, ``slices`` by metric and the dimensions asked for."""

    kind: Literal["Validation"] = "Validation"
    model_version: str | None = None
    cases: int
    without_observed: int = 0
    """Cases in which nothing was observed: they say nothing here."""
    evidence: dict[Evidence, int] = {}
    """Cases by what their prediction rests on."""
    refused: dict[str, int] = {}
    """Cases that were observed and are refused, by the code of the reason: ``unknown`` lacks a number, all others say
    of what ran that it cannot."""
    totals: tuple[ErrorSlice, ...] = ()
    slices: tuple[ErrorSlice, ...] = ()
    flaws: tuple[CaseFlaw, ...] = ()


@dataclass(frozen=True, slots=True)
class Comparison:
    """One number of one case as it was observed and as it was predicted; nan: it was not predicted."""

    metric: str
    statistic: str | None
    slice: Mapping[Dimension, str]
    observed: float
    predicted: float
    low: float
    high: float


def comparisons(case: Case, prediction: Prediction) -> list[Comparison]:
    """Everything that was observed in a case, beside its prediction."""
    if case.observed is None:
        return []
    where: dict[Dimension, str] = {
        "gpu": _device(case),
        "precision": case.precision,
        "engine": case.engine.name or "any",
        "class": model_class(case.model),
    }
    return [
        Comparison(metric, statistic, where, value, *_predicted(prediction, metric, statistic))
        for metric, statistic, value in numbers_of(case.observed)
    ]


def model_class(model: Model) -> str:
    """``classic`` (one forward pass a request), ``dense LLM``, or ``MoE LLM`` (a mixture of experts)."""
    if model.dense is not None:
        return "classic"
    return "MoE LLM" if model.transformer and model.transformer.experts else "dense LLM"


def _device(case: Case) -> str:
    slice_name = case.hardware.mig_profile
    return f"{case.hardware.gpu} {slice_name}" if slice_name else case.hardware.gpu


def _predicted(prediction: Prediction, metric: str, statistic: str | None) -> tuple[float, float, float]:
    point, band = prediction.metrics.get(metric), prediction.band.get(metric)
    if statistic is not None:
        point = point.get(statistic) if isinstance(point, dict) else None
        band = band.get(statistic) if isinstance(band, dict) else None
    if isinstance(point, dict) or isinstance(band, dict) or point is None or band is None:
        return np.nan, np.nan, np.nan
    return point, *band


def error_statistics(observed: Floats, predicted: Floats, low: Floats, high: Floats) -> ErrorStatistics:
    """Of the observations that have a prediction (not nan); arrays of one shape."""
    known = np.isfinite(predicted)
    ratio = predicted[known] / observed[known]
    if not len(ratio):
        return ErrorStatistics(n=0)
    error = 100 * np.abs(ratio - 1)
    inside = (observed[known] >= low[known]) & (observed[known] <= high[known])
    return ErrorStatistics(
        n=len(ratio),
        median_percent=_number(np.median(error)),
        mean_percent=_number(error.mean()),
        p90_percent=_number(np.percentile(error, 90)),
        bias_percent=_number(100 * np.expm1(np.log(ratio).mean())),
        coverage_percent=_number(100 * inside.mean()),
    )


def error_slices(found: Iterable[Comparison], by: Iterable[Dimension] = ()) -> tuple[ErrorSlice, ...]:
    """One slice for each metric, statistic and combination of the dimensions ``by``; in their order."""
    dimensions: tuple[Dimension, ...] = tuple(one for one in DIMENSIONS if one in set(by))
    groups: dict[tuple[str, ...], list[Comparison]] = {}
    for one in found:
        key = (one.metric, one.statistic or "", *(one.slice[dimension] for dimension in dimensions))
        groups.setdefault(key, []).append(one)
    return tuple(_slice(key, dimensions, groups[key]) for key in sorted(groups))


def _slice(key: tuple[str, ...], dimensions: tuple[Dimension, ...], members: list[Comparison]) -> ErrorSlice:
    def column(of: Callable[[Comparison], float]) -> Floats:
        return np.array([of(one) for one in members], dtype=np.float64)

    named = dict(zip(dimensions, key[2:], strict=True))
    errors = error_statistics(
        column(lambda one: one.observed),
        column(lambda one: one.predicted),
        column(lambda one: one.low),
        column(lambda one: one.high),
    )
    return ErrorSlice(
        metric=key[0],
        statistic=key[1] or None,
        gpu=named.get("gpu"),
        precision=named.get("precision"),
        engine=named.get("engine"),
        model_class=named.get("class"),
        refused=len(members) - errors.n,
        errors=errors,
    )


def _number(value: float) -> float:
    return significant_number(float(value), 4)
