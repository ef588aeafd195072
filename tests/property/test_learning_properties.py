"""What production teaches: no outlier moves it fast, a bias that lasts is reached, noise leaves it where it was."""

import math
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from berth_cost.cases.case import MeasuredPoint
from berth_scheduler.control.learning import (
    CLIP,
    FEWEST_SAMPLES,
    LOAD_BANDS,
    Lesson,
    Residual,
    correction_of,
    disagreement,
    learn,
    measured_points,
)
from berth_scheduler.plan import plan
from example_snapshots import chat, decision, pool, snapshot, vision

seeds = st.integers(0, 10**6)
numbers = st.floats(allow_nan=True, allow_infinity=True)


def lesson(step: int, log_factor: float, busy: float = 0.6, latency: float = 0.01) -> Lesson:
    return Lesson(step * 60.0 + 60.0, 10.0, busy, busy * math.exp(log_factor), {"latency.p99": latency})


def taught(log_factors: list[float]) -> Residual:
    state = None
    for step, each in enumerate(log_factors):
        state = learn(state, "r", lesson(step, each))
    assert state is not None
    return state


@settings(max_examples=50, deadline=None)
@given(seed=seeds, outlier=st.floats(-20, 20), before=st.integers(0, 400))
def test_one_outlier_moves_it_by_a_fortieth_at_most(seed: int, outlier: float, before: int) -> None:
    draw = Random(seed)
    state = taught([draw.gauss(0, 0.05) for _ in range(before + 1)])
    after = learn(state, "r", lesson(before + 1, outlier))
    assert abs(after.log_factor - state.log_factor) <= CLIP / 10 + 1e-12


@settings(max_examples=25, deadline=None)
@given(seed=seeds, bias=st.floats(-0.7, 0.3))
def test_a_bias_that_lasts_is_reached_through_noise_and_outliers(seed: int, bias: float) -> None:
    draw = Random(seed)
    samples = [bias + draw.gauss(0, 0.05) + (draw.choice((-5, 5)) if draw.random() < 0.05 else 0) for _ in range(2000)]
    assert abs(taught(samples).log_factor - bias) < 0.05


@settings(max_examples=25, deadline=None)
@given(seed=seeds, noise=st.floats(0.01, 0.3))
def test_noise_alone_does_not_make_it_drift(seed: int, noise: float) -> None:
    draw = Random(seed)
    state = taught([draw.gauss(0, noise) for _ in range(3000)])
    assert abs(state.log_factor) < 0.4 * noise
    assert disagreement(state, 0.8, 1.25) is None


@settings(max_examples=100, deadline=None)
@given(at=numbers, rate=numbers, busy=numbers, expected=numbers, latency=numbers)
def test_no_reading_breaks_it(at: float, rate: float, busy: float, expected: float, latency: float) -> None:
    state = taught([0.0] * 5)
    after = learn(state, "r", Lesson(at, rate, busy, expected, {"latency.p99": latency, "x": latency}))
    assert math.isfinite(after.log_factor)
    assert Residual.model_validate_json(after.model_dump_json()) == after


@settings(max_examples=10, deadline=None)
@given(seed=seeds)
def test_the_state_stays_small(seed: int) -> None:
    draw = Random(seed)
    state = None
    for step in range(3000):
        state = learn(state, "r", lesson(step, draw.gauss(0, 1), busy=draw.uniform(0, 1)))
    assert state is not None
    assert len(state.loads) <= len(LOAD_BANDS)
    assert len(state.model_dump_json()) < 1000


def test_a_new_revision_begins_anew() -> None:
    state = taught([-0.5] * 100)
    assert learn(state, "other", lesson(200, -0.1)).samples == 1


def test_readings_within_half_a_minute_count_once() -> None:
    state = taught([0.1])
    assert learn(state, "r", Lesson(state.at_seconds + 5, 10.0, 0.5, 0.5, {})) is state


def test_half_the_capacity_is_a_word_that_says_what_to_do() -> None:
    state = taught([math.log(0.5)] * 600)
    said = disagreement(state, 0.8, 1.25)
    assert said is not None
    assert "50% of what the model says" in said.replace("51%", "50%")
    assert "measuredFrom" in said
    assert correction_of(state).factor < 0.53


def test_a_handful_of_readings_is_no_disagreement() -> None:
    assert disagreement(taught([-3.0] * (FEWEST_SAMPLES - 1)), 0.99, 1.01) is None


def test_latencies_become_runs_in_the_format_of_measured_from() -> None:
    for workload, gpu, signal, metric in (
        (vision(), "L4", "latency.p99", "latencySeconds"),
        (chat(), "L40S", "ttft.p95", "timeToFirstTokenSeconds"),
    ):
        made = decision(plan(snapshot([workload], [pool("p", gpu, "1", nodes=4)])))
        state = None
        for step in range(FEWEST_SAMPLES):
            state = learn(state, "r", Lesson(step * 60.0 + 60, 8.0, 0.6, 0.6, {signal: 0.0123}))
        assert state is not None
        (point,) = measured_points(state, workload, made.berths[0])
        said = MeasuredPoint.model_validate_json(point.model_dump_json(by_alias=True))
        assert said == point
        assert point.model_dump(by_alias=True)["metrics"][metric][signal.partition(".")[2]] == 0.0123
        assert point.load is not None and point.load.requests_per_second == 8.0
        with_point = workload.model_copy(update={"measured": (point,)})
        again = decision(plan(snapshot([with_point], [pool("p", gpu, "1", nodes=4)])))
        assert again.prediction is not None and again.prediction.evidence != "estimated"
