"""Answers of Prometheus as numbers by workload. Whatever is not a plain number under a wanted workload is left out."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from berth_operator.signals.expressions import NAMESPACE, WORKLOAD
from berth_operator.signals.source import WorkloadKey

Labels = tuple[str, ...]
Figures = Mapping[Labels, float]
"""Of one workload: value by what tells its series apart. NaN also where two series say they are the same one."""

LONGEST_LABEL = 253
"""Characters of a name in Kubernetes."""
LONGEST_NUMBER = 40
"""Characters; Go writes a double in 24 at most."""
NO_FIGURES: Figures = {}
MOST_SECONDS_APART = 5.0
"""Between the time that was asked for and that of the answer: an instant query is answered for its very time, and an
old answer out of a cache is not."""


@dataclass(slots=True)
class Table:
    """``malformed``: how many series are none."""

    figures: dict[WorkloadKey, dict[Labels, float]] = field(default_factory=dict)
    flaws: dict[tuple[WorkloadKey, Labels], str] = field(default_factory=dict)
    """Why a number is not to be believed, where it is not for what it is."""
    malformed: int = 0


def table(series: Sequence[Any], labels: Sequence[str], wanted: Collection[WorkloadKey], at_seconds: float) -> Table:
    """Of an answer for the time ``at_seconds``; total. Workloads that are not ``wanted`` cost nothing."""
    found = Table()
    for one in series:
        metric = one.get("metric") if isinstance(one, dict) else None
        if not isinstance(metric, dict):
            found.malformed += 1
            continue
        namespace, workload = metric.get(NAMESPACE), metric.get(WORKLOAD)
        if not (isinstance(namespace, str) and isinstance(workload, str)):
            found.malformed += 1
            continue
        key = (namespace, workload)
        if key not in wanted:
            continue
        told_apart = tuple(metric.get(label, "") for label in labels)
        value = number(one.get("value"))
        if value is None or not all(isinstance(each, str) and len(each) <= LONGEST_LABEL for each in told_apart):
            found.malformed += 1
            continue
        figures = found.figures.setdefault(key, {})
        if not _is_of(one["value"], at_seconds):
            found.flaws[key, told_apart] = "the answer is for another time than was asked for"
            value = math.nan
        if told_apart in figures:
            found.flaws[key, told_apart] = "several series have the same labels"
            value = math.nan
        figures[told_apart] = value
    return found


def _is_of(sample: object, at_seconds: float) -> bool:
    time = sample[0] if isinstance(sample, list) and sample else None
    return isinstance(time, int | float) and abs(time - at_seconds) <= MOST_SECONDS_APART


def number(sample: object) -> float | None:
    """Of ``[time, "value"]``; None for anything else. NaN and infinities are numbers here."""
    if not (isinstance(sample, list) and len(sample) == 2 and isinstance(sample[1], str)):
        return None
    if len(sample[1]) > LONGEST_NUMBER:
        return None
    try:
        return float(sample[1])
    except ValueError:
        return None


def time_of(series: Sequence[Any]) -> float | None:
    """Of the answer to the query for the server's clock, Unix seconds."""
    if len(series) != 1 or not isinstance(series[0], dict):
        return None
    sample = series[0].get("value")
    clock = number(sample)
    if clock is None or not math.isfinite(clock) or clock <= 0 or not _is_of(sample, clock):
        return None
    return clock
