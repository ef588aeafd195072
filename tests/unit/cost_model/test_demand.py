"""Demand, commitments and budgets: numbers that can be checked by hand."""

from decimal import Decimal

import numpy as np
import pytest

from berth_cost.spending.budget import Spend, budget_state, expected_spend, total
from berth_cost.spending.commitment import Market, dispatch_usd_per_hour, newsvendor, two_stage
from berth_cost.spending.demand_forecast import forecast

DAY = 24


def course(days: int, level: float = 1.0) -> np.ndarray:
    return level * (10 + 5 * np.sin(2 * np.pi * np.arange(DAY * days) / DAY))


# --- forecast --------------------------------------------------------------------------------------------------------


def test_a_day_like_every_day_is_expected_again() -> None:
    ahead = forecast(course(7), DAY, 2 * DAY)
    assert ahead.mean == pytest.approx(course(2), rel=0.03)  # neighbouring hours are smoothed


def test_growth_shows_in_the_level() -> None:
    grown = np.concatenate([course(5), course(3, level=1.5)])
    assert forecast(grown, DAY, DAY, level_half_life=6).mean.mean() == pytest.approx(15, rel=0.05)


def test_one_odd_day_is_not_expected_again() -> None:
    history = course(7)
    history[3 * DAY : 4 * DAY] *= 10
    assert forecast(history, DAY, DAY, level_half_life=4).mean.mean() == pytest.approx(10, rel=0.05)


def test_a_history_that_ends_within_a_day_goes_on_from_there() -> None:
    ahead = forecast(course(7)[:-6], DAY, DAY)
    assert ahead.mean == pytest.approx(np.roll(course(1), 6), rel=0.03)


def test_the_band_is_as_wide_as_the_rule_missed_by() -> None:
    draw = np.random.default_rng(4)
    history = course(60) * np.exp(draw.normal(0, 0.2, 60 * DAY))
    ahead = forecast(history, DAY, DAY)
    actual = course(1000) * np.exp(draw.normal(0, 0.2, 1000 * DAY))
    inside = (actual <= np.tile(ahead.quantile(0.9), 1000)).mean()
    assert inside == pytest.approx(0.9, abs=0.05)
    assert (np.diff(ahead.scenarios(5), axis=0) >= 0).all()


@pytest.mark.parametrize(
    ("history", "said"), [(course(1), "two seasons"), (-course(3), "not negative"), (course(3) * np.nan, "finite")]
)
def test_a_history_that_cannot_be_used_is_refused(history: np.ndarray, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        forecast(history, DAY, DAY)


# --- commitments -----------------------------------------------------------------------------------------------------


def test_the_newsvendor_reserves_what_is_used_often_enough() -> None:
    demand = np.arange(1, 11, dtype=float)  # 1 to 10, equally likely
    # A reserved replica at 0.6 of on demand pays while it is used more than 60 % of the time: P(demand > 4) = 0.6.
    assert newsvendor(demand, 0.6, 1.0) == 4
    assert newsvendor(demand, 1.0, 1.0) == 0


def test_without_spot_the_program_is_the_newsvendor() -> None:
    demand = np.arange(1, 11, dtype=float)
    market = Market(1.0, {"OneYear": 0.55})
    best = min(range(11), key=lambda count: dispatch_usd_per_hour(demand, count, count * 0.55, market))
    plan = two_stage(demand, market)
    assert plan.reserved == {"OneYear": best}
    assert plan.usd_per_hour == pytest.approx(dispatch_usd_per_hour(demand, best, best * 0.55, market))


def test_spot_takes_what_it_may_and_the_commitment_what_is_left() -> None:
    # Always ten: seven on spot at 0.3, three reserved at 0.6 rather than on demand at 1.
    plan = two_stage(np.full(5, 10.0), Market(1.0, {"OneYear": 0.6, "ThreeYears": 0.7}, 0.3, 0.7))
    assert plan.reserved == {"OneYear": 3}
    assert plan.usd_per_hour == pytest.approx(3 * 0.6 + 7 * 0.3)


def test_the_program_is_no_dearer_than_any_other_commitment() -> None:
    draw = np.random.default_rng(5)
    for _ in range(20):
        demand = np.ceil(draw.gamma(4, 5, 200))
        market = Market(1.0, {"OneYear": float(draw.uniform(0.3, 0.9))}, float(draw.uniform(0.2, 0.9)), 0.6)
        price = market.reserved["OneYear"]
        every = [dispatch_usd_per_hour(demand, count, count * price, market) for count in range(80)]
        assert two_stage(demand, market).usd_per_hour == pytest.approx(min(every), rel=0.005)


@pytest.mark.parametrize("price", [0.0, -1.0, float("nan"), float("inf")])
def test_a_price_that_is_none_is_refused_by_its_name(price: float) -> None:
    with pytest.raises(ValueError, match="the price of OneYear"):
        Market(1.0, {"OneYear": price})


# --- budgets ---------------------------------------------------------------------------------------------------------


def usd(*values: str) -> tuple[Decimal, ...]:
    return tuple(Decimal(value) for value in values)


def test_the_forecast_is_what_was_spent_and_what_is_to_come() -> None:
    state = budget_state(Spend(Decimal(7), expected_usd=Decimal(11)), Decimal(20))
    assert (state.spent_usd, state.forecast_usd) == (Decimal(7), Decimal(18))
    assert (state.crossed_percent, state.forecast_crossed_percent, state.holds) == ((), (50, 80), True)


def test_a_budget_that_will_not_last_is_not_held() -> None:
    state = budget_state(Spend(Decimal(10), expected_usd=Decimal(18)), Decimal(20))
    assert state.crossed_percent == (50,)
    assert state.forecast_crossed_percent == (50, 80, 100)
    assert not state.holds


def test_a_budget_may_be_spent_to_the_cent() -> None:
    assert budget_state(Spend(Decimal(20)), Decimal(20)).holds
    assert not budget_state(Spend(Decimal("20.01")), Decimal(20)).holds


def burning(*hourly_usd: Decimal) -> list[bool]:
    """Whether each rule that alarms pages, with an even spend of 1 USD an hour."""
    return [rule.page for rule in budget_state(Spend(Decimal(0), hourly_usd), Decimal(730)).burning]


def test_only_what_still_burns_is_alarmed() -> None:
    even = [Decimal(1)] * 200
    fast = [Decimal(4)] * 24
    assert burning(*even, *fast) == [True, False]  # a day of it is also half as much again over three days
    assert burning(*even, *fast, *[Decimal(1)] * 6) == []
    assert burning(*even) == []


def test_less_than_the_window_says_nothing_of_burning() -> None:
    assert burning(*[Decimal(100)] * 23) == []
    assert burning(*[Decimal(100)] * 24) == [True]


@pytest.mark.parametrize("wrong", ["-1", "NaN", "Infinity"])
def test_spend_that_is_none_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="spend must be finite"):
        budget_state(Spend(Decimal(1), usd("1", wrong)), Decimal(20))


def test_a_budget_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="above 0 USD"):
        budget_state(Spend(Decimal(0)), Decimal(0))


def test_a_namespace_spends_what_its_workloads_do() -> None:
    spends = [
        Spend(Decimal(3), usd("1", "2"), Decimal(14)),
        Spend(Decimal(4), usd("4"), Decimal(16)),  # an hour old
    ]
    assert total(spends) == Spend(Decimal(7), usd("1", "6"), Decimal(30))
    assert total([]) == Spend(Decimal(0))


def expected(recent_usd: list[float], hours: int, usd_per_hour: float = 0.0) -> float:
    (found,) = expected_spend([recent_usd], hours, [usd_per_hour])
    return float(found)


def test_little_history_goes_on_as_it_runs_now() -> None:
    assert expected([1.0] * 47, 3, 2.5) == 7.5


def test_two_days_of_history_have_a_course() -> None:
    day = [1.0] * 12 + [3.0] * 12
    assert expected(day * 3, 24, 3.0) == pytest.approx(48, rel=0.02)
    assert expected(day * 3, 12, 3.0) < 0.5 * expected(day * 3, 24, 3.0)


def test_a_fleet_that_was_halved_is_half_believed_after_a_day_and_nearly_after_a_week() -> None:
    def daily_usd(days: int) -> float:
        return expected([2.0] * 168 + [1.0] * (24 * days), 24, 1.0)

    assert daily_usd(1) == pytest.approx((24 + 48) / 2, rel=0.05)
    assert daily_usd(7) == pytest.approx(24, rel=0.25)
    assert daily_usd(14) == pytest.approx(24, rel=0.1)


def test_one_odd_day_is_half_believed() -> None:
    assert expected([1.0] * 240 + [3.0] * 24, 24, 3.0) == pytest.approx(24 * (3 + 1.1) / 2, rel=0.05)


def test_forecasts_of_many_are_those_of_each() -> None:
    histories = [[1.0] * 47, [1.0] * 12 + [3.0] * 60, [2.0] * 30 + [0.5] * 42, [0.0] * 72]
    together = expected_spend(histories, 100, [9.0] * 4)
    assert together == tuple(expected_spend([each], 100, [9.0])[0] for each in histories)
