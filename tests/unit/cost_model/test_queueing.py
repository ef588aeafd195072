"""Queues against results that textbooks have in closed form."""

import numpy as np
import pytest

from berth_cost.performance.percentiles import Jitter, Latency, Residual, Wait
from berth_cost.performance.queueing import mean_wait, natural_batch, overflow_wait, waiting_probability


def column(*values: float) -> np.ndarray:
    return np.array(values)


@pytest.mark.parametrize("utilization", [0.1, 0.5, 0.9])
def test_one_exponential_server_is_m_m_1(utilization: float):
    wait = mean_wait(column(utilization), column(1.0), column(2.0), column(1.0), column(1.0))
    assert wait[0] == pytest.approx(utilization / (1 - utilization) * 2.0)


@pytest.mark.parametrize("utilization", [0.1, 0.5, 0.9])
def test_one_constant_server_is_m_d_1(utilization: float):
    wait = mean_wait(column(utilization), column(1.0), column(2.0), column(1.0), column(0.0))
    assert wait[0] == pytest.approx(utilization / (2 * (1 - utilization)) * 2.0)


def test_many_servers_wait_as_erlang_says_within_a_tenth():
    # Erlang C of 10 servers at 80 %: 0.4092 have to wait, and the mean wait is that over 10·(1 − 0.8) services.
    wait = mean_wait(column(0.8), column(10.0), column(1.0), column(1.0), column(1.0))
    assert wait[0] == pytest.approx(0.4092 / (10 * 0.2), rel=0.10)


def test_constant_gaps_and_constant_service_never_wait():
    assert mean_wait(column(0.9), column(1.0), column(1.0), column(0.0), column(0.0))[0] == 0


def test_all_servers_are_busy_more_often_with_fewer_of_them():
    assert waiting_probability(column(0.8), column(2.0)) > waiting_probability(column(0.8), column(8.0))


@pytest.mark.parametrize("utilization", [0.2, 0.7, 0.95])
def test_batches_of_one_wait_as_m_d_1_does(utilization: float):
    overflow, _ = overflow_wait(column(utilization), column(1.0), column(1.0), column(1.0))
    residual = Residual(column(1.0), column(utilization)).mean()
    assert (overflow + residual)[0] == pytest.approx(utilization / (2 * (1 - utilization)))


def test_a_batch_is_never_empty_and_tends_to_what_arrived():
    assert natural_batch(column(0.0))[0] == 1
    assert natural_batch(column(40.0))[0] == pytest.approx(40)


def test_a_bulk_queue_waits_as_a_simulation_of_it_does():
    rng = np.random.default_rng(7)
    batch, service, rate = 8, 1.0, 6.4
    arrivals = np.cumsum(rng.exponential(1 / rate, 200_000))
    free, waits, taken = 0.0, [], 0
    while taken < len(arrivals):
        start = max(free, arrivals[taken])
        last = min(taken + batch, int(np.searchsorted(arrivals, start, side="right")))
        waits.extend(start - arrivals[taken:last])
        taken, free = last, start + service
    utilization = column(rate * service / batch)
    overflow, _ = overflow_wait(utilization, column(batch), column(service), column(1.0))
    expected = Residual(column(service), column(1.0)).mean() + overflow
    assert expected[0] == pytest.approx(np.mean(waits), rel=0.20)


def test_the_percentiles_of_an_exponential_wait_are_exact():
    # Everybody waits one second on average: the 99th percentile is ln 100.
    assert Wait(column(1.0), column(1.0)).quantile("p99")[0] == pytest.approx(np.log(100))


def test_who_rarely_waits_has_a_median_of_nothing():
    wait = Wait(column(0.1), column(0.1))
    assert wait.quantile("p50")[0] == 0
    assert wait.quantile("p99")[0] == pytest.approx(np.log(10))


def test_independent_parts_add_their_squares():
    latency = Latency(column(1.0), [Jitter(column(0.3)), Jitter(column(0.4))])
    assert latency.statistic("mean")[0] == 1.0
    assert latency.statistic("p95")[0] == pytest.approx(1 + 1.6448536 * 0.5)


def test_percentiles_of_mixed_parts_are_close_to_a_simulation():
    rng = np.random.default_rng(3)
    count = 400_000
    waits = np.where(rng.random(count) < 0.4, rng.exponential(2.0, count), 0.0)
    drawn = 1.0 + waits + rng.uniform(0, 1.5, count) + rng.normal(0, 0.2, count)
    latency = Latency(
        column(1.0), [Wait(column(0.8), column(0.4)), Residual(column(1.5), column(1.0)), Jitter(column(0.2))]
    )
    assert latency.statistic("mean")[0] == pytest.approx(drawn.mean(), rel=0.01)
    for name, level in (("p90", 90), ("p95", 95), ("p99", 99)):
        assert latency.statistic(name)[0] == pytest.approx(np.percentile(drawn, level), rel=0.08)
