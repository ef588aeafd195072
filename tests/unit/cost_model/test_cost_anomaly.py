"""Anomalies of cost: the cause is named, the past alone judges, and quiet series stay quiet."""

import numpy as np
import pytest

from berth_cost.spending.anomaly import Anomaly, Cause, Sensitivity, Use, Window
from berth_cost.spending.cost_watch import anomalies

DAY = 24
WATCHED = Sensitivity(windows_per_day=DAY)
RATES = {"OnDemand": 2.0, "Spot": 0.8}


def window(requests: float, factor: float = 1.0, spot: float = 0.5, **rates: float) -> Window:
    units = requests / 100 * factor
    return Window({**RATES, **rates}, {"chat": Use({"OnDemand": units * (1 - spot), "Spot": units * spot}, requests)})


def requests_of(one: Window) -> float:
    return one.used["chat"].requests or 0.0


def usd_of(one: Window) -> float:
    return sum(quantity * one.rate[kind] for kind, quantity in one.used["chat"].quantity.items())


def days(count: int) -> list[Window]:
    """A daily course with noise of a few percent in what a request takes."""
    draw = np.random.default_rng(6)
    course = 1000 * (2 + np.sin(2 * np.pi * np.arange(DAY * count) / DAY))
    return [window(float(requests), float(np.exp(draw.normal(0, 0.03)))) for requests in course]


def told(series: list[Window]) -> list[tuple[int, Cause, str | None]]:
    return [(one.window, one.cause, one.kind) for one in anomalies(series, WATCHED)]


def test_a_usual_course_raises_nothing() -> None:
    assert told(days(21)) == []


def test_a_rate_that_steps_is_told_with_its_kind_and_what_it_costs() -> None:
    series = days(8)
    last = series[-1]
    series[-1] = Window({**last.rate, "Spot": 1.2}, last.used)
    (found,) = anomalies(series, WATCHED)
    spot = last.used["chat"].quantity["Spot"]
    assert found == Anomaly("chat", len(series) - 1, Cause.RATE, "Spot", pytest.approx(1.5), pytest.approx(0.4 * spot))


def test_twice_the_use_for_the_same_traffic_is_told_as_use() -> None:
    series = days(8)
    series[-1] = window(requests_of(series[-1]), 2.0)
    (found,) = anomalies(series, WATCHED)
    assert (found.cause, found.window) == (Cause.USE, len(series) - 1)
    assert found.factor == pytest.approx(2, rel=0.1)
    assert found.usd == pytest.approx(usd_of(series[-1]) / 2, rel=0.1)


def test_twice_the_traffic_is_no_anomaly_of_cost() -> None:
    series = days(8)
    series[-1] = window(2 * requests_of(series[-1]))
    assert told(series) == []


def test_the_same_units_bought_another_way_are_told_as_mix() -> None:
    series = days(8)
    series[-1] = window(requests_of(series[-1]), spot=0.0)
    (found,) = anomalies(series, WATCHED)
    assert found.cause is Cause.MIX
    assert found.factor == pytest.approx(2.0 / 1.4, rel=0.01)


def test_an_alarm_is_raised_once_while_it_lasts() -> None:
    series = days(8)
    for back in range(1, 5):
        series[-back] = window(requests_of(series[-back]), 2.0)
    assert told(series) == [(len(series) - 4, Cause.USE, None)]


def test_what_comes_later_changes_no_alarm() -> None:
    series = days(10)
    series[200] = window(requests_of(series[200]), 3.0)
    assert told(series[:201]) == [one for one in told(series) if one[0] <= 200]


def test_a_window_without_traffic_or_use_is_not_judged() -> None:
    series = days(8)
    series[-1] = Window(RATES, {"chat": Use({"OnDemand": 0.0}, 0.0)})
    assert told(series) == []


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -1.0])
def test_numbers_that_are_none_are_refused_by_name(wrong: float) -> None:
    with pytest.raises(ValueError, match="the rate of Spot"):
        Window({"Spot": wrong}, {"chat": Use({"Spot": 1.0})})
    with pytest.raises(ValueError, match="the quantity of Spot"):
        Window({"Spot": 1.0}, {"chat": Use({"Spot": wrong})})


def test_use_without_a_price_is_not_free() -> None:
    with pytest.raises(ValueError, match="Spot was used and has no rate"):
        Window({"OnDemand": 1.0}, {"chat": Use({"Spot": 1.0})})


# --- traffic that nobody knows --------------------------------------------------------------------------------------

TEN_MINUTES = Sensitivity(windows_per_day=144)


def unknown(count: int) -> list[float]:
    """Units of a daily course in windows of ten minutes."""
    return (20 * (2 + np.sin(2 * np.pi * np.arange(144 * count) / 144))).tolist()


def rises(units: list[float]) -> list[int]:
    series = [Window({"OnDemand": 2.0}, {"chat": Use({"OnDemand": each})}) for each in units]
    return [one.window for one in anomalies(series, TEN_MINUTES) if one.cause is Cause.USE]


def test_without_traffic_a_doubling_is_told_in_its_second_window() -> None:
    units = unknown(8)
    units[-20:] = [2 * each for each in units[-20:]]
    assert rises(units) == [len(units) - 19]


def test_without_traffic_one_busy_window_is_no_rise() -> None:
    units = unknown(8)
    units[-20] *= 3
    assert rises(units) == []


def test_without_traffic_what_comes_back_after_a_lull_is_no_rise() -> None:
    units = unknown(8)
    units[-60:-20] = [1.0] * 40
    assert rises(units) == []


def test_without_traffic_a_rise_of_every_day_is_usual() -> None:
    once, daily = unknown(8), unknown(8)
    for day in range(8):
        daily[day * 144 + 60 : day * 144 + 80] = [150.0] * 20
    once[7 * 144 + 60 : 7 * 144 + 80] = [150.0] * 20
    assert rises(once) == [7 * 144 + 61]
    assert rises(daily) == []
