"""The numbers of a status: what is predicted, what it costs, and what else there is, from a decision. Pure."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from berth_cost.cases.case import Prediction
from berth_cost.rounding import significant_number
from berth_operator.api.v1alpha1 import AlternativeStatus, Estimate, LatencyEstimate, Predicted, WorkloadCost
from berth_scheduler.decision import Alternative, Decision
from berth_scheduler.snapshot import Berth, Workload

DIGITS = 4
"""Of predicted numbers in a status: finer differences are not worth a write."""

_STATISTICS = ("mean", "p50", "p90", "p95", "p99")


def predicted(decision: Decision, prediction: Prediction, workload: Workload, replicas: int) -> Predicted:
    """The prediction is of one replica under its share of the traffic; throughput is told of all of them together."""
    latency = _latency(prediction, "latencySeconds") or _latency(prediction, "endToEndSeconds")
    used = prediction.utilization
    rate = decision.requests_per_second or workload.traffic.requests_per_second
    return Predicted(
        latency=latency,
        time_to_first_token=_latency(prediction, "timeToFirstTokenSeconds"),
        time_per_output_token=_latency(prediction, "timePerOutputTokenSeconds"),
        requests_per_second=_estimate(rate / used, None) if used else None,
        output_tokens_per_second=_scalar(prediction, "outputTokensPerSecond", replicas),
        utilization_percent=None if used is None else min(100, round(used * 100)),
        evidence=prediction.evidence,
    )


def _latency(prediction: Prediction, metric: str) -> LatencyEstimate | None:
    values, bands = prediction.metrics.get(metric), prediction.band.get(metric)
    if not isinstance(values, Mapping) or not values:
        return None
    bands = bands if isinstance(bands, Mapping) else {}
    return LatencyEstimate.model_validate(
        {
            f"{statistic}_milliseconds": _estimate(values[statistic], bands.get(statistic), 1000)
            for statistic in _STATISTICS
            if values.get(statistic) is not None
        },
        by_name=True,
    )


def _scalar(prediction: Prediction, metric: str, scale: float) -> Estimate | None:
    value, band = prediction.metrics.get(metric), prediction.band.get(metric)
    if not isinstance(value, int | float):
        return None
    return _estimate(value, band if isinstance(band, tuple) else None, scale)


def _estimate(value: float, band: tuple[float, float] | None, scale: float = 1) -> Estimate:
    low, high = band or (None, None)
    return Estimate(value=_number(value * scale), low=_number(low, scale), high=_number(high, scale))


def _number(value: float | None, scale: float = 1) -> Any:
    return None if value is None else Decimal(format(significant_number(value * scale, DIGITS), "f"))


def cost(decision: Decision) -> WorkloadCost | None:
    found = decision.cost
    if found is None:
        return None
    return WorkloadCost(
        usd_per_hour=found.usd_per_hour,
        usd_per_month=found.usd_per_month,
        usd_per_million_requests=found.usd_per_million_requests,
        usd_per_million_tokens=found.usd_per_million_tokens,
        price_date=found.price_date,
        price_source=found.price_source,
        usd_per_hour_low=found.usd_per_hour_low,
        usd_per_hour_high=found.usd_per_hour_high,
        price_note=found.price_note and found.price_note[:1024],
    )


def alternative(other: Alternative) -> AlternativeStatus:
    return AlternativeStatus(
        placement=joined(_placement(berth) for berth in other.berths) or "none",
        usd_per_hour=other.usd_per_hour,
        lost_by=other.lost_by.value,
        message=other.message[:1024],
        change=other.change,
    )


def _placement(berth: Berth) -> str:
    """``5 × L4 OnDemand int8``."""
    several = f"{berth.tensor_parallel}×" if berth.tensor_parallel > 1 else ""
    slice_ = f" {berth.mig_profile}" if berth.mig_profile else ""
    return f"{berth.replicas} × {several}{berth.gpu}{slice_} {berth.capacity_type.value} {berth.precision}"


def joined(texts: Any) -> str | None:
    return " + ".join(texts)[:128] or None
