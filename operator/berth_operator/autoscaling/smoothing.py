"""Signals smoothed over minutes, and numbers that a status shows until they are noticeably wrong. Pure."""

import math
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

from berth_cost.rounding import significant_number
from berth_operator.api.v1alpha1 import Observed, ObservedLatency
from berth_operator.signals.source import WorkloadSignals

SMOOTHING_SECONDS = 300.0
"""Time constant of the mean."""
FORGOTTEN_SECONDS = 900.0
"""After such a silence the mean begins anew."""
NOTICEABLE_SHARE = 0.15
NOTICEABLE_POINTS = 10
"""Of a percentage."""
DIGITS = 2
LEAST_RATE = 0.01
"""Requests/s. Less is shown as nothing."""

_SMOOTHED = (
    "requests_per_second",
    "utilization",
    "concurrency",
    "pending_requests",
    "queue_seconds",
    "mean_batch",
    "prompt_tokens",
    "output_tokens",
    "kv_cache_share",
    "gpu_utilization",
    "power_watts",
)


def smoothed(before: WorkloadSignals | None, now: WorkloadSignals) -> WorkloadSignals:
    """The exponential mean of every number that is measured now; what is not measured now is absent."""
    gap = math.inf if before is None else now.at_seconds - before.at_seconds
    if before is None or not 0 <= gap <= FORGOTTEN_SECONDS:
        return now
    weight = -math.expm1(-gap / SMOOTHING_SECONDS)
    numbers: dict[str, Any] = {
        name: _blended(getattr(before, name), value, weight)
        for name in _SMOOTHED
        if (value := getattr(now, name)) is not None
    }
    latency = {
        name: _blended(before.latency_seconds.get(name), value, weight) for name, value in now.latency_seconds.items()
    }
    return replace(now, latency_seconds=latency, **numbers)


def _blended(before: float | None, now: float, weight: float) -> float:
    return now if before is None or not math.isfinite(before) else before + (now - before) * weight


def observed(signals: WorkloadSignals, capacity_percent: int | None, seconds_to_ready: int | None) -> Observed:
    """What a status says of signals, each number to two digits."""
    rate, busy = signals.requests_per_second, signals.utilization
    return Observed(
        requests_per_second=None if rate is None else _decimal(rate if rate >= LEAST_RATE else 0.0),
        utilization_percent=None if busy is None or not math.isfinite(busy) else round(100 * min(max(busy, 0), 1)),
        latency=_latency(signals.latency_seconds, "latency"),
        time_to_first_token=_latency(signals.latency_seconds, "ttft"),
        time_per_output_token=_latency(signals.latency_seconds, "tpot"),
        seconds_to_ready=seconds_to_ready,
        capacity_percent=capacity_percent,
    )


def _latency(seconds: Mapping[str, float], metric: str) -> ObservedLatency | None:
    found = {
        f"{statistic}_milliseconds": _decimal(1000 * value)
        for name, value in sorted(seconds.items())
        for kind, _, statistic in (name.partition("."),)
        if kind == metric and f"{statistic}_milliseconds" in ObservedLatency.model_fields and math.isfinite(value)
    }
    return ObservedLatency.model_validate(found, by_name=True) if found else None


def _decimal(value: float) -> Decimal | None:
    return Decimal(format(significant_number(value, DIGITS), "f")) if math.isfinite(value) and value >= 0 else None


def is_noticeable(now: Observed, before: Observed) -> bool:
    """Whether any number came, went, or moved by more than noise does."""
    return any(_moved(one, other) for one, other in zip(_numbers(now), _numbers(before), strict=True))


def _numbers(shown: Observed) -> list[tuple[float | None, bool]]:
    """Each with whether it is a percentage, in a fixed order."""
    found: list[tuple[float | None, bool]] = []
    for name in Observed.model_fields:
        value = getattr(shown, name)
        if name == "not_known_since":
            continue
        if name in ("latency", "time_to_first_token", "time_per_output_token"):
            of = value or ObservedLatency()
            found += [(_float(getattr(of, each)), False) for each in ObservedLatency.model_fields]
        else:
            found.append((_float(value), name.endswith("_percent")))
    return found


def _float(value: Decimal | int | None) -> float | None:
    return None if value is None else float(value)


def _moved(now: tuple[float | None, bool], before: tuple[float | None, bool]) -> bool:
    (one, percent), (other, _) = now, before
    if one is None or other is None:
        return one is not other
    return abs(one - other) > (NOTICEABLE_POINTS if percent else NOTICEABLE_SHARE * max(one, other))
