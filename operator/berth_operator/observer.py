"""The observer: what readings of Prometheus add up to for right-sizing. A day of demand, and what a replica carries.

What takes hours to see is kept in the statuses (:mod:`berth_operator.observer_memory`), and read from there when an
operator starts to lead.
"""

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from berth_cost.cases.case import Prediction
from berth_operator.observer_memory import Memory, is_worth_keeping, memory_of, packed, unpacked
from berth_operator.planner import Planned
from berth_operator.planning_hash import digest
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

LOOK_SECONDS = 300
"""Between two questions whether what is kept of a workload is still true enough."""


@dataclass(frozen=True, slots=True)
class _Seen:
    day: ObservedDay = field(default_factory=ObservedDay)
    residual: Residual | None = None


@dataclass(frozen=True, slots=True)
class _Kept:
    """``due_seconds``: when to ask again whether it has to be renewed."""

    memory: Memory = field(default_factory=Memory)
    text: str | None = None
    at_seconds: float = 0.0
    due_seconds: float = 0.0


@dataclass(slots=True)
class Observer:
    """Days and residuals of all workloads, by key. ``remembered``: the text that a status keeps of one."""

    remembered: Callable[[str], str | None] = lambda key: None
    _seen: dict[str, _Seen] = field(default_factory=dict)
    _kept: dict[str, _Kept] = field(default_factory=dict)

    def see(self, signals: Mapping[WorkloadKey, WorkloadSignals], planned: Mapping[str, Planned]) -> set[str]:
        """One more reading of the fleet; workloads that are planned no more are forgotten. Returned are the keys of
        those with something new to keep."""
        seen = {key: one for key, one in self._seen.items() if key in planned}
        self._kept = {key: one for key, one in self._kept.items() if key in planned}
        news = set()
        for (namespace, name), each in signals.items():
            key = f"{namespace}/{name}"
            if key in planned and planned[key].decision.berths:
                before = seen.get(key) or self._restored(key, each.at_seconds)
                seen[key] = now = _with(before, each, planned[key])
                if self._keep(key, now, each.at_seconds):
                    news.add(key)
        self._seen = seen  # at once: the planner's thread reads it
        return news

    def memory(self, key: str) -> str | None:
        """What is to be kept of a workload; None until there is something worth it."""
        kept = self._kept.get(key)
        return self.remembered(key) if kept is None else kept.text

    def _restored(self, key: str, at_seconds: float) -> _Seen:
        text = self.remembered(key)
        memory = None if text is None else unpacked(text)
        due = at_seconds + zlib.crc32(key.encode()) % LOOK_SECONDS  # not all at once
        self._kept[key] = _Kept(memory or Memory(), None if memory is None else text, at_seconds, due)
        return _Seen() if memory is None else _Seen(memory.day(at_seconds), memory.residual)

    def _keep(self, key: str, seen: _Seen, at_seconds: float) -> bool:
        kept = self._kept[key]
        if at_seconds < kept.due_seconds:
            return False
        memory, due = memory_of(seen.day, seen.residual), at_seconds + LOOK_SECONDS
        if not is_worth_keeping(memory, kept.memory, at_seconds - kept.at_seconds):
            self._kept[key] = replace(kept, due_seconds=due)
            return False
        self._kept[key] = _Kept(memory, packed(memory), at_seconds, due)
        return True

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
    return digest([*parts, first.maximum_batch_size, planned.workload.planning_hash])


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
    if seen.residual.revision != _revision(planned):
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
