"""Percentiles of classic networks under open loads, simulated batch by batch."""

from typing import Any

import numpy as np
import pytest

from berth_cost.cases.case import Load, Serving
from berth_cost.performance.engine_constants import built_in_constants
from berth_cost.performance.prediction import PredictionTable, predict
from berth_cost.performance.replica import ClassicReplicas, classic_replicas
from berth_cost.performance.simulated.dynamic_batching import simulated_seconds
from cost_cases import RESNET50, case, table

LATENCY = "latencySeconds"
STATISTICS = ("mean", "p50", "p90", "p95", "p99")


def replicas(rate: float = 1.0, burstiness: float = 1.0, **serving: Any) -> ClassicReplicas:
    load = Load(kind="open", requests_per_second=rate, burstiness=burstiness)
    return classic_replicas(table([case(RESNET50, load, serving=Serving(**serving))]), built_in_constants())


def most(**serving: Any) -> float:
    """Requests per second that saturate the replica."""
    return float(replicas(**serving).maximum_rate[0])


def both(share: float, burstiness: float = 1.0, **serving: Any) -> tuple[PredictionTable, PredictionTable]:
    """In closed form and simulated, at a share of the maximum rate."""
    load = Load(kind="open", requests_per_second=share * most(**serving), burstiness=burstiness)
    one = table([case(RESNET50, load, serving=Serving(**serving))])
    return predict(one), predict(one, seed=1)


def seconds(answers: PredictionTable, statistic: str) -> float:
    return float(answers.point[LATENCY][statistic][0])


@pytest.mark.parametrize("utilization", [0.3, 0.6, 0.8])
def test_one_by_one_waits_are_those_of_a_queue_with_constant_service(utilization: float) -> None:
    """M/D/1: the mean wait is ρ / (2 (1 − ρ)) of the service (Pollaczek and Khinchine)."""
    service = replicas(maximum_batch_size=1).service
    alone = float(service.cycle_seconds(np.ones(1))[0])
    times = simulated_seconds(service, np.array([utilization / alone]), 20_000, seed=1)
    expected = utilization / 2 / (1 - utilization)
    assert times.mean() / alone - 1 == pytest.approx(expected, rel=0.08)
    assert times.min() == pytest.approx(alone)


def test_no_batch_is_larger_than_the_limit_and_every_request_is_answered() -> None:
    service = replicas(maximum_batch_size=4, instances=2).service
    times = simulated_seconds(service, 0.9 * service.maximum_rate, 4000, seed=2)
    assert np.isfinite(times).all()
    assert times.min() >= float(service.cycle_seconds_of(np.ones(1), np.ones(1))[0]) * 0.999


def test_a_single_instance_agrees_with_the_closed_form() -> None:
    for share in (0.2, 0.5, 0.8):
        closed, simulated = both(share, maximum_batch_size=16)
        assert seconds(simulated, "mean") == pytest.approx(seconds(closed, "mean"), rel=0.08)
        assert seconds(simulated, "p95") == pytest.approx(seconds(closed, "p95"), rel=0.25)


def test_several_instances_are_as_uneven_in_closed_form_as_simulated() -> None:
    for share in (0.6, 0.8):
        for instances in (2, 4):
            closed, simulated = both(share, maximum_batch_size=32, instances=instances)
            assert seconds(simulated, "mean") == pytest.approx(seconds(closed, "mean"), rel=0.3)
            assert seconds(simulated, "p95") == pytest.approx(seconds(closed, "p95"), rel=0.4)


def test_bursts_are_slower_and_percentiles_rise() -> None:
    calm, bursty = both(0.6, 0.5, maximum_batch_size=8)[1], both(0.6, 4.0, maximum_batch_size=8)[1]
    for statistic in ("mean", "p95", "p99"):
        assert seconds(bursty, statistic) > seconds(calm, statistic)
    found = [seconds(bursty, statistic) for statistic in STATISTICS[1:]]
    assert found == sorted(found)


def test_a_request_is_held_back_for_company_no_longer_than_the_delay() -> None:
    prompt = both(0.05, maximum_batch_size=8)[1]
    held = both(0.05, maximum_batch_size=8, maximum_queue_delay_microseconds=5000)[1]
    assert 0.003 < seconds(held, "p50") - seconds(prompt, "p50") <= 0.0055


def test_a_case_does_not_depend_on_its_company_and_a_seed_repeats_it() -> None:
    servings = [Serving(maximum_batch_size=8), Serving(maximum_batch_size=64, instances=3), Serving()]
    cases = [
        case(RESNET50, Load(kind="open", requests_per_second=rate), serving=serving, name=f"{rate}-{position}")
        for position, serving in enumerate(servings)
        for rate in (50.0, 200.0)
    ]
    together = predict(table(cases), seed=5)
    for row, one in enumerate(cases):
        alone = predict(table([one]), seed=5)
        for statistic in STATISTICS:
            assert alone.point[LATENCY][statistic][0] == pytest.approx(
                together.point[LATENCY][statistic][row], nan_ok=True
            )


def test_closed_loops_are_not_simulated() -> None:
    one = table([case(RESNET50, Load(kind="closed", concurrency=16), serving=Serving(maximum_batch_size=8))])
    assert predict(one).point[LATENCY]["p99"] == predict(one, seed=1).point[LATENCY]["p99"]


def test_the_band_is_as_wide_around_the_simulated_point() -> None:
    closed, simulated = both(0.7, 4.0, maximum_batch_size=8)
    low, high = (values[LATENCY]["p99"][0] for values in (simulated.low, simulated.high))
    assert low < seconds(simulated, "p99") < high
    assert high / low == pytest.approx(closed.high[LATENCY]["p99"][0] / closed.low[LATENCY]["p99"][0], rel=1e-6)


def test_a_single_instance_takes_its_clients_in_turns_and_several_do_not() -> None:
    load = Load(kind="closed", concurrency=32)
    spread = []
    for serving in (
        Serving(maximum_batch_size=16),
        Serving(maximum_batch_size=16, instances=2),
        Serving(maximum_batch_size=16, instances=2, maximum_queue_delay_microseconds=1000),
    ):
        answers = predict(table([case(RESNET50, load, serving=serving)]))
        spread.append(seconds(answers, "p95") / seconds(answers, "mean"))
    assert spread[0] < 1.05 < spread[1] < spread[2]
