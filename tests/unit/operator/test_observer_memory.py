"""What the observer keeps over a restart: small, rarely renewed, and nothing at all where it is garbled."""

import base64
import math
import zlib

import pytest

from berth_operator.observer import LOOK_SECONDS, Observer
from berth_operator.observer_memory import (
    LONGEST_TEXT,
    Memory,
    is_worth_keeping,
    memory_of,
    packed,
    unpacked,
)
from berth_operator.planner import Planned
from berth_operator.signals.source import BerthSignals, WorkloadSignals
from berth_scheduler.control.learning import LearnedLoad, Residual
from berth_scheduler.plan import plan
from berth_scheduler.right_sizing.observed_day import BINS, ObservedDay
from example_snapshots import decision, pool, snapshot, vision

KEY, NAME = ("vision", "resnet"), "vision/resnet"
HOUR = 3600.0


@pytest.fixture(scope="module")
def planned():
    workload = vision(rate=400.0)
    made = decision(plan(snapshot([workload], [pool("l", "L4", "1", nodes=4)])))
    return {NAME: Planned(made, workload)}


def day_of(planned, observer, *, hours, start=600.0, share=0.25, busy=0.5):
    """What was kept after so many hours of readings: the texts, each new one once."""
    prediction = planned[NAME].decision.prediction
    saturation = prediction.metrics["requestsPerSecond"] / prediction.utilization
    texts = []
    for step in range(int(hours * 120)):
        at = start + 30.0 * step
        swing = 1 + 0.5 * math.sin(at / 86_400 * 2 * math.pi)
        reading = WorkloadSignals(
            at_seconds=at,
            age_seconds=5,
            requests_per_second=saturation * share * swing,
            utilization=busy * swing,
            latency_seconds={"latency.p99": 0.02},
            berths={"l": BerthSignals(replicas_seen=1)},
        )
        if observer.see({KEY: reading}, planned):
            texts.append(observer.memory(NAME))
    return texts


def test_a_new_operator_asks_what_the_last_one_would_have_asked(planned):
    first = Observer()
    texts = day_of(planned, first, hours=31)
    before = first.observed(planned)[NAME]
    second = Observer({NAME: texts[-1]}.get)
    day_of(planned, second, hours=0.01, start=200_000.0)
    after = second.observed(planned)[NAME]
    assert (before.hours, after.hours) == (24, 24)
    assert after.requests_per_second == pytest.approx(before.requests_per_second, rel=0.02)
    assert after.correction.factor == pytest.approx(before.correction.factor, rel=0.03)
    assert after.evidence == before.evidence == "calibrated"
    assert len(after.points) == len(before.points) > 0


def test_what_is_kept_is_small_and_renewed_some_times_a_day(planned):
    observer = Observer()
    first = day_of(planned, observer, hours=30)
    later = day_of(planned, observer, hours=48, start=600 + 30 * HOUR)
    assert max(map(len, first)) < 1200
    assert len(first) <= 16
    assert later == [], "the same day again is no news"


def test_an_idle_workload_is_kept_four_times_and_then_no_more(planned):
    observer, texts = Observer(), []
    for step in range(60 * 120):
        reading = WorkloadSignals(at_seconds=600 + 30.0 * step, age_seconds=5, requests_per_second=0.0)
        if observer.see({KEY: reading}, planned):
            texts.append(observer.memory(NAME))
    assert len(texts) == 4


def test_what_was_learned_of_a_replica_is_dropped_with_the_configuration_and_the_day_is_not(planned):
    texts = day_of(planned, Observer(), hours=31)
    other = planned[NAME].workload.model_copy(update={"planning_hash": "another"})
    changed = {NAME: Planned(planned[NAME].decision, other)}
    observer = Observer({NAME: texts[-1]}.get)
    day_of(changed, observer, hours=0.01, start=200_000.0)
    found = observer.observed(changed)[NAME]
    assert found.hours == 24
    assert (found.correction.samples, found.points) == (1, ())


def test_before_the_first_reading_the_text_of_the_status_stays(planned):
    assert Observer({NAME: "as it was"}.get).memory(NAME) == "as it was"


def test_workloads_are_not_looked_at_all_at_once(planned):
    every = {f"vision/{number}": planned[NAME] for number in range(40)}
    observer, counts = Observer(), []
    for step in range(400):
        at = 600 + 30.0 * step
        reading = WorkloadSignals(at_seconds=at, age_seconds=5, requests_per_second=float(step // 200))
        counts.append(len(observer.see({("vision", str(number)): reading for number in range(40)}, every)))
    assert LOOK_SECONDS == 300
    assert max(counts) <= 20


def residual(loads=(), **changes):
    return Residual(**({"revision": "a", "log_factor": -0.1, "spread": 0.1, "samples": 90, "loads": loads} | changes))


def test_a_text_never_grows_beyond_its_bound():
    names = [f"{kind}.{name}" for kind in ("latency", "ttft", "tpot") for name in ("mean", "p50", "p90", "p95", "p99")]
    loads = tuple(
        LearnedLoad(
            band=band,
            samples=50,
            requests_per_second=1.2345 * (band + 1),
            latency_seconds={name: 0.0123 * (number + 1.37) ** (band + 1) for number, name in enumerate(names)},
        )
        for band in range(5)
    )
    rates = tuple(math.fmod(1.6180339 * number * number, 97.3) for number in range(BINS))
    memory = memory_of(ObservedDay(rates=rates, requests=1e5, prompt_tokens=512.3, output_tokens=99.1), residual(loads))
    assert len(packed(memory)) <= LONGEST_TEXT
    found = unpacked(packed(memory))
    assert found is not None
    assert found.rates == memory.rates
    assert found.residual is not None
    assert found.residual.log_factor == -0.1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "%%%",
        "AAAA",
        base64.b64encode(zlib.compress(b"[]")).decode(),
        base64.b64encode(zlib.compress(b"[" * 10_000)).decode(),
        base64.b64encode(zlib.compress(b'{"rates":[' + b"0," * 10**6 + b"0]}")).decode(),
        base64.b64encode(zlib.compress(b'{"rates":[-1]}')).decode(),
        base64.b64encode(zlib.compress(b'{"rates":[NaN]}')).decode(),
        packed(Memory(residual=residual(log_factor=900.0))),
        packed(Memory(residual=residual(samples=-10))),
        packed(
            Memory(residual=residual((LearnedLoad(band=0, samples=-10, requests_per_second=1, latency_seconds={}),)))
        ),
    ],
)
def test_garbage_is_as_if_nothing_had_been_kept(text):
    assert unpacked(text) is None


def test_a_replica_that_carries_less_than_was_kept_is_told_soon():
    kept = Memory(rates=(1.0,), residual=residual(log_factor=0.0))
    assert is_worth_keeping(Memory(rates=(1.0,), residual=residual(log_factor=-0.05)), kept, 1.0)
    assert not is_worth_keeping(Memory(rates=(2.0,), residual=residual(log_factor=-0.01)), kept, 1.0)
    assert is_worth_keeping(Memory(rates=(2.0,), residual=residual(log_factor=-0.01)), kept, 7 * HOUR)
