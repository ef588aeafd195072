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


@dataclass(slots=True)
class Table:
    """``malformed``: series that are none. ``doubled``: which came more than once."""

    figures: dict[WorkloadKey, dict[Labels, float]] = field(default_factory=dict)
    doubled: set[tuple[WorkloadKey, Labels]] = field(default_factory=set)
    malformed: int = 0


def table(series: Sequence[Any], labels: Sequence[str], wanted: Collection[WorkloadKey]) -> Table:
    """Of the result of an instant query; total. Workloads that are not ``wanted`` cost nothing."""
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
        if told_apart in figures:
            found.doubled.add((key, told_apart))
            value = math.nan
        figures[told_apart] = value
    return found


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
    clock = number(series[0].get("value"))
    return clock if clock is not None and math.isfinite(clock) and clock > 0 else None
