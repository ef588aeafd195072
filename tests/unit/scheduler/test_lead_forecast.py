"""The forecast and the upper edge that learns from its misses."""

import math
import random

import pytest

from berth_scheduler.control.lead_forecast import DAY_SECONDS, STEP_SECONDS, DayProfile, Forecast, observe

LEAD = 240.0


def after(demand: list[float], miss_share: float = 0.01) -> tuple[Forecast, float]:
    """(state, share of edges that demand exceeded one lead time later)."""
    state, edges, missed = Forecast(), [], 0
    ahead = int(LEAD / STEP_SECONDS)
    for step, value in enumerate(demand):
        state = observe(state, step * STEP_SECONDS, value, LEAD, miss_share)
        edges.append(state.edge)
        missed += step >= ahead and value > edges[step - ahead] * (1 + 1e-9)
    return state, missed / len(demand)


def test_constant_demand_is_foreseen_without_a_margin_in_the_end() -> None:
    state, missed = after([20.0] * 2880 * 2)
    assert missed == 0
    assert 20.0 - 1e-9 <= state.edge < 20.5


def test_a_steady_ramp_is_foreseen() -> None:
    demand = [10.0 + 0.05 * step for step in range(240)]
    state, _ = after(demand)
    coming = demand[-1] + 0.05 * LEAD / STEP_SECONDS
    assert state.edge >= coming
    assert state.made[-1].mix == pytest.approx(coming, rel=0.01)


@pytest.mark.parametrize("miss_share", [0.01, 0.05, 0.2])
def test_the_share_of_misses_is_what_was_allowed_whatever_the_noise(miss_share: float) -> None:
    draw = random.Random(11)
    demand = [20.0 * math.exp(draw.gauss(0, 0.3)) for _ in range(20_000)]
    _, missed = after(demand, miss_share)
    assert missed == pytest.approx(miss_share, rel=0.25)


def test_the_edge_widens_when_demand_grows_wild_and_narrows_again() -> None:
    draw = random.Random(5)
    calm = [20.0 * (1 + draw.uniform(-0.01, 0.01)) for _ in range(2880)]
    wild = [20.0 * math.exp(draw.gauss(0, 0.4)) for _ in range(480)]
    before, during = after(calm)[0], after(calm + wild)[0]
    assert during.edge > 1.5 * before.edge
    assert after(calm + wild + calm)[0].edge < 1.2 * before.edge


def test_yesterday_says_what_comes_at_this_time_of_day() -> None:
    profile = DayProfile()
    for step in range(2 * 2880):
        seconds = step * STEP_SECONDS
        profile = profile.with_sample(seconds, 30.0 if seconds % DAY_SECONDS >= 43_200 else 10.0)
    morning = 2 * DAY_SECONDS + 43_200 - 600
    assert profile.growth(morning, 1200.0) == pytest.approx(3.0)
    assert profile.growth(morning, 60.0) == pytest.approx(1.0)
    assert DayProfile().growth(0.0, 600.0) == 1.0


def test_samples_more_often_than_every_half_minute_change_nothing() -> None:
    state = observe(Forecast(), 0.0, 10.0, LEAD, 0.01)
    assert observe(state, 5.0, 1000.0, LEAD, 0.01) is state


def test_after_a_gap_the_recent_past_is_forgotten_and_what_was_learned_is_kept() -> None:
    state, _ = after([20.0, 25.0] * 500)
    later = observe(state, state.at_seconds + 3600, 5.0, LEAD, 0.01)
    assert later.samples == (5.0,)
    assert (later.errors, later.z) == (state.errors, state.z)


def test_the_state_is_bounded() -> None:
    state, _ = after([20.0] * 10_000)
    assert len(state.samples) <= 60
    assert len(state.made) <= LEAD / STEP_SECONDS + 1
    assert len(state.profile.bins) == 288
