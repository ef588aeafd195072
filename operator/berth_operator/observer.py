"""The observer: what readings of Prometheus add up to for right-sizing. A day of demand, and what a replica carries.

All of it is lost with the process. The rate that was held in mind is read from the statuses until a day is over again;
what a replica carries is learned anew within hours.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from berth_cost.cases.case import Prediction
from berth_operator.planner import Planned
from berth_operator.signals.source import WorkloadKey, WorkloadSignals
from berth_scheduler.control.learning import (
    Lesson,
    Residual,
    correction_of,
    disagreement,
    learn,
    measured_points,
)
from berth_scheduler.right_sizing.observed_day import ObservedDay
from berth_scheduler.snapshot import Observed


@dataclass(frozen=True, slots=True)
class _Seen:
    day: ObservedDay = field(default_factory=ObservedDay)
    residual: Residual | None = None


@dataclass(slots=True)
class Observer:
    """Days and residuals of all workloads, by key."""

    _seen: dict[str, _Seen] = field(default_factory=dict)

    def see(self, signals: Mapping[WorkloadKey, WorkloadSignals], planned: Mapping[str, Planned]) -> None:
        """One more reading of the fleet; workloads that are planned no more are forgotten."""
        seen = {key: one for key, one in self._seen.items() if key in planned}
        for (namespace, name), each in signals.items():
            key = f"{namespace}/{name}"
            if key in planned and planned[key].decision.berths:
                seen[key] = _with(seen.get(key, _Seen()), each, planned[key])
        self._seen = seen  # at once: the planner's thread reads it

    def observed(self, planned: Mapping[str, Planned]) -> dict[str, Observed]:
        """What a snapshot is told of every workload with five minutes of demand or more."""
        found = ((key, _observed(one, planned.get(key))) for key, one in sorted(self._seen.items()))
        return {key: one for key, one in found if one is not None}


def _with(seen: _Seen, signals: WorkloadSignals, planned: Planned) -> _Seen:
    rate = signals.requests_per_second
    day = seen.day.with_sample(signals.at_seconds, rate, signals.prompt_tokens, signals.output_tokens)
    lesson = _lesson(signals, planned)
    if lesson is None:
        return replace(seen, day=day)
    return _Seen(day, learn(seen.residual, _revision(planned), lesson))


def _revision(planned: Planned) -> str:
    """Of the berths: what was learned of one configuration says nothing of another."""
    first = planned.decision.berths[0]
    parts = (first.gpu, first.mig_profile, first.precision, first.tensor_parallel, first.instances_per_gpu)
    return "/".join(map(str, (*parts, first.maximum_batch_size, planned.workload.planning_hash)))


def _lesson(signals: WorkloadSignals, planned: Planned) -> Lesson | None:
    """None where the readings or the prediction lack what it takes."""
    ready = sum(berth.replicas_seen for berth in signals.berths.values())
    saturation = _saturation(planned.decision.prediction)
    rate, busy = signals.requests_per_second, signals.utilization
    if rate is None or busy is None or not ready or not saturation:
        return None
    of_one = rate / ready
    return Lesson(signals.at_seconds, of_one, busy, of_one / saturation, signals.latency_seconds)


def _saturation(prediction: Prediction | None) -> float | None:
    """Requests/s that keep one replica busy all the time."""
    if prediction is None or not prediction.utilization:
        return None
    rate = prediction.metrics.get("requestsPerSecond")
    return rate / prediction.utilization if isinstance(rate, float) else None


def _observed(seen: _Seen, planned: Planned | None) -> Observed | None:
    if seen.residual is None or planned is None or not planned.decision.berths:
        return seen.day.observed()
    observed = seen.day.observed(correction_of(seen.residual))
    if observed is None:
        return None
    low, high = _capacity_band(planned.decision.prediction)
    points = measured_points(seen.residual, planned.workload, planned.decision.berths[0])
    return observed.model_copy(update={"points": points, "disagreement": disagreement(seen.residual, low, high)})


def _capacity_band(prediction: Prediction | None) -> tuple[float, float]:
    """The band of what a replica carries, as factors of the prediction: the inverse of the mean latency's."""
    for metric in ("latencySeconds", "endToEndSeconds"):
        points = prediction.metrics.get(metric) if prediction else None
        bands = prediction.band.get(metric) if prediction else None
        if isinstance(points, dict) and isinstance(bands, dict) and "mean" in points and "mean" in bands:
            low, high = bands["mean"]
            least, most = _NARROWEST
            return min(points["mean"] / high, least), max(points["mean"] / low, most)
    return _NARROWEST


_NARROWEST = (0.85, 1.18)
"""Measured again, a configuration differs by 4 to 6 %, and so does the next hour: less than this is no disagreement."""
