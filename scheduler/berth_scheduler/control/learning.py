"""What production teaches about a replica of one revision: a residual of its capacity, and measured points. Pure.

Of every reading that can be trusted the seen capacity over the predicted one is a sample r = log(expected busy / busy).
The residual moves by a clipped share of how far a sample lies from it,

    x ← x + g · clip(r − x, ±C),   g = max(1 / (n + N), G)

(a clipped stochastic approximation, Huber 1964): no single sample moves it by more than g · C, a bias that lasts is
reached, noise around zero leaves it near zero. Latencies become measured points, one a band of load, by clipped steps
in the same way. The state is small, is JSON, and is dropped with the revision.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from berth_cost.cases.case import (
    Engine,
    Hardware,
    Load,
    MeasuredPoint,
    Metrics,
    Parallelism,
    Percentiles,
    Request,
    Serving,
)
from berth_cost.record import Record
from berth_cost.rounding import significant_number
from berth_scheduler.snapshot import Berth, Correction, Workload

STEP_SECONDS = 30.0
"""Readings that come faster say the same thing twice."""
CLIP = 0.25
PRIOR_SAMPLES = 10
LEAST_GAIN = 1 / 200
"""Two hundred half minutes: what changed for good is learned within hours."""
LEAST_BUSY, MOST_BUSY = 0.1, 0.95
"""Of the instances: an idle replica says nothing of its capacity, nor does one that is overloaded."""
LOAD_BANDS = (0.1, 0.3, 0.5, 0.7, 0.95)
"""Of the load by which points are told apart, in shares of saturation."""
FEWEST_SAMPLES = 20
"""For a point, and for a word about it."""
DIGITS = 3
METRICS = {
    "latency": ("latency_seconds", "end_to_end_seconds"),
    "ttft": ("time_to_first_token_seconds",) * 2,
    "tpot": ("time_per_output_token_seconds",) * 2,
}
"""The objective of a signal: the metric of a classic network, and of a language model."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """One reading of the ready replicas. ``expected_busy``: what the model says at this rate."""

    at_seconds: float
    requests_per_second: float
    """Of one replica."""
    busy: float
    expected_busy: float
    latency_seconds: Mapping[str, float]
    """By objective, as ``latency.p99``."""


class LearnedLoad(Record):
    """Means of one band of load."""

    band: int
    samples: int
    requests_per_second: float
    latency_seconds: dict[str, float]


class Residual(Record):
    """``log_factor``: of the capacity, seen over predicted. ``spread``: mean distance of a clipped sample."""

    revision: str
    log_factor: float = 0.0
    spread: float = 0.0
    samples: int = 0
    at_seconds: float = 0.0
    loads: tuple[LearnedLoad, ...] = ()


def learn(before: Residual | None, revision: str, lesson: Lesson) -> Residual:
    """After one more reading; the same where it is too soon, or teaches nothing."""
    state = before if before is not None and before.revision == revision else Residual(revision=revision)
    if lesson.at_seconds - state.at_seconds < STEP_SECONDS or not _teaches(lesson):
        return state
    gain = _gain(state.samples)
    off = math.log(lesson.expected_busy / lesson.busy) - state.log_factor
    clipped = min(max(off, -CLIP), CLIP)
    return state.model_copy(
        update={
            "log_factor": state.log_factor + gain * clipped,
            "spread": state.spread + gain * (abs(clipped) - state.spread),
            "samples": state.samples + 1,
            "at_seconds": lesson.at_seconds,
            "loads": _with(state.loads, lesson),
        }
    )


def _teaches(lesson: Lesson) -> bool:
    numbers = (lesson.requests_per_second, lesson.busy, lesson.expected_busy)
    if not all(math.isfinite(number) and number > 0 for number in numbers):
        return False
    return LEAST_BUSY <= lesson.busy <= MOST_BUSY


def _gain(samples: int) -> float:
    return max(1 / (samples + PRIOR_SAMPLES), LEAST_GAIN)


def _with(loads: Sequence[LearnedLoad], lesson: Lesson) -> tuple[LearnedLoad, ...]:
    band = sum(lesson.busy >= edge for edge in LOAD_BANDS[1:])
    seen = {name: value for name, value in lesson.latency_seconds.items() if math.isfinite(value) and value > 0}
    if not seen:
        return tuple(loads)
    here = next((one for one in loads if one.band == band), None)
    if here is None:
        new = LearnedLoad(band=band, samples=1, requests_per_second=lesson.requests_per_second, latency_seconds=seen)
    else:
        gain = _gain(here.samples)
        known = {name: _moved(here.latency_seconds.get(name), value, gain) for name, value in seen.items()}
        new = here.model_copy(
            update={
                "samples": here.samples + 1,
                "requests_per_second": _moved(here.requests_per_second, lesson.requests_per_second, gain),
                "latency_seconds": {**here.latency_seconds, **known},
            }
        )
    return tuple(sorted([*(one for one in loads if one.band != band), new], key=lambda one: one.band))


def _moved(before: float | None, value: float, gain: float) -> float:
    """A clipped step in logarithms."""
    if before is None:
        return value
    return before * math.exp(gain * min(max(math.log(value / before), -CLIP), CLIP))


# --- what it says ------------------------------------------------------------------------------------------------


def correction_of(state: Residual) -> Correction:
    """Of the capacity of a replica."""
    return Correction(
        factor=significant_number(math.exp(state.log_factor), DIGITS),
        samples=state.samples,
        spread=significant_number(state.spread, DIGITS),
    )


def measured_points(state: Residual, workload: Workload, berth: Berth) -> tuple[MeasuredPoint, ...]:
    """What was learned of a berth as measured runs, in the format of ``spec.model.measuredFrom``: one a band of load
    that enough readings fell into."""
    generates = workload.traffic.output_tokens is not None
    found = ((one, _metrics(one, generates)) for one in state.loads if one.samples >= FEWEST_SAMPLES)
    return tuple(_point(one, metrics, workload, berth) for one, metrics in found if metrics is not None)


def _metrics(load: LearnedLoad, generates: bool) -> Metrics | None:
    percentiles: dict[str, dict[str, float]] = {}
    for name, value in sorted(load.latency_seconds.items()):
        objective, _, statistic = name.partition(".")
        if objective in METRICS and statistic in Percentiles.model_fields:
            metric = METRICS[objective][generates]
            percentiles.setdefault(metric, {})[statistic] = significant_number(value, DIGITS)
    if not percentiles:
        return None
    return Metrics.model_validate(percentiles)


def _point(load: LearnedLoad, metrics: Metrics, workload: Workload, berth: Berth) -> MeasuredPoint:
    traffic = workload.traffic
    given, made = traffic.input_tokens, traffic.output_tokens
    return MeasuredPoint.model_validate(
        {
            "hardware": Hardware(gpu=berth.gpu, gpu_count=berth.tensor_parallel, mig_profile=berth.mig_profile),
            "precision": berth.precision,
            "engine": Engine(name=workload.backend),
            "parallelism": Parallelism(tensor=berth.tensor_parallel),
            "serving": Serving(
                maximum_batch_size=berth.maximum_batch_size,
                instances=berth.instances_per_gpu,
                maximum_queue_delay_microseconds=berth.maximum_queue_delay_microseconds,
            ),
            "load": Load(
                kind="open",
                requests_per_second=significant_number(load.requests_per_second, DIGITS),
                burstiness=traffic.burstiness,
            ),
            "request": Request(
                input_tokens=given.mean if given else None,
                output_tokens=made.mean if made else None,
                items_per_request=traffic.items_per_request,
            ),
            "metrics": metrics,
        }
    )


def disagreement(state: Residual, low: float, high: float) -> str | None:
    """In words, where the capacity that is seen lies outside the band [``low``, ``high``] of what is predicted (both as
    factors of it) by enough readings; None where the two agree."""
    if state.samples < FEWEST_SAMPLES:
        return None
    factor = math.exp(state.log_factor)
    if low <= factor <= high:
        return None
    return (
        f"a replica carries {factor:.0%} of what the model says, outside of its band ({low:.0%} to {high:.0%}): "
        "measure it (berth measure) and name the runs in spec.model.measuredFrom"
    )
