"""What runs of a language model correct: times, rates and power, each by what it measured, and odd runs little."""

import math

import pytest

from berth_cost.cases.case import Load, MeasuredPoint, Metrics, Percentiles
from berth_cost.cases.records import predict_cases
from cost_cases import LLAMA_8B, case

TPOT, RATE, WATTS, JOULES = (
    "timePerOutputTokenSeconds",
    "outputTokensPerSecond",
    "powerWattsPerGPU",
    "joulesPerOutputToken",
)

ODD = 20.0
"""Times as long as predicted: beyond any band."""


def clients(count: float) -> Load:
    return Load(kind="closed", concurrency=count)


def told(count: float, *runs: MeasuredPoint):
    return predict_cases([case(LLAMA_8B, clients(count)).model_copy(update={"measured": runs})], {})[0]


def value(prediction, metric: str) -> float:
    found = prediction.metrics[metric]
    return found["mean"] if isinstance(found, dict) else found


def slower(count: float, factor: float) -> MeasuredPoint:
    """A run at so many clients that took ``factor`` times as long as predicted."""
    seconds = factor * value(told(count), TPOT)
    return MeasuredPoint(load=clients(count), metrics=Metrics(time_per_output_token_seconds=Percentiles(mean=seconds)))


def watts(count: float, factor: float) -> MeasuredPoint:
    return MeasuredPoint(load=clients(count), metrics=Metrics(power_watts_per_gpu=factor * value(told(count), WATTS)))


def moved(count: float, metric: str, *runs: MeasuredPoint) -> float:
    """What runs multiply the prediction by."""
    return value(told(count, *runs), metric) / value(told(count), metric)


def test_of_a_run_that_took_twenty_times_as_long_its_neighbours_believe_less_than_of_one_that_took_half_as_long_again():
    def believed(factor: float) -> float:
        return math.log(moved(16, TPOT, slower(8, factor))) / math.log(factor)

    assert believed(ODD) < 0.5 * believed(1.5)


def test_an_odd_run_is_still_believed_of_its_own_load():
    assert moved(8, TPOT, slower(8, ODD)) == pytest.approx(ODD, rel=0.1)


def test_two_runs_that_agree_are_believed_where_one_alone_is_taken_for_odd():
    alone, both = moved(16, TPOT, slower(8, 8.0)), moved(16, TPOT, slower(8, 8.0), slower(32, 8.0))
    assert both > 6
    assert alone < 4


def test_an_odd_run_does_not_spoil_a_good_one():
    assert moved(24, TPOT, slower(8, ODD), slower(32, 1.0)) == pytest.approx(1.0, abs=0.2)


def test_measured_power_corrects_power_and_energy_at_other_loads():
    run = watts(8, 1.2)
    assert moved(8, WATTS, run) == pytest.approx(1.2, rel=0.03)
    assert 1.05 < moved(16, WATTS, run) < 1.2
    assert moved(16, JOULES, run) == pytest.approx(moved(16, WATTS, run), rel=1e-5)
    assert moved(16, TPOT, run) == 1


def test_measured_energy_and_rate_tell_the_power():
    plain = told(8)
    metrics = Metrics(
        joules_per_output_token=1.1 * value(plain, JOULES), output_tokens_per_second=0.8 * value(plain, RATE)
    )
    run = MeasuredPoint(load=clients(8), metrics=metrics)
    assert moved(8, JOULES, run) == pytest.approx(1.1, rel=0.03)
    assert moved(8, RATE, run) == pytest.approx(0.8, rel=0.03)
    assert moved(8, WATTS, run) == pytest.approx(1.1 * 0.8, rel=0.03)


def test_a_rate_has_runs_of_its_own_beside_the_time_per_token():
    plain = told(8)
    metrics = Metrics(
        time_per_output_token_seconds=Percentiles(mean=value(plain, TPOT)),
        output_tokens_per_second=0.8 * value(plain, RATE),
    )
    run = MeasuredPoint(load=clients(8), metrics=metrics)
    assert moved(8, TPOT, run) == pytest.approx(1.0, abs=0.01)
    assert moved(16, RATE, run) < 0.9


def test_what_an_open_load_is_served_says_nothing_of_a_full_replica():
    offered = Load(kind="open", requests_per_second=0.2, burstiness=1.0)
    rate = MeasuredPoint(load=offered, metrics=Metrics(requests_per_second=0.2))
    assert moved(8, RATE, rate) == pytest.approx(1.0, abs=1e-6)


def test_runs_of_power_narrow_its_band():
    run = watts(8, 1.1)
    widths = [one.band[WATTS][1] / one.band[WATTS][0] for one in (told(16), told(16, run))]
    assert widths[1] < widths[0]
