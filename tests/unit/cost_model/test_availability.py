"""How often enough replicas stand: by hand, and against drawing it."""

import numpy as np
import pytest

from berth_cost.spot.availability import (
    FAILURES_PER_GPU_HOUR,
    SHARED_SHOCK,
    effective_usd_per_hour,
    enough_stand,
    unavailability,
)


def test_a_gpu_that_is_kept_fails_once_in_some_fifty_thousand_hours() -> None:
    assert pytest.approx(50_677, rel=1e-3) == 1 / FAILURES_PER_GPU_HOUR


def test_unavailability_is_the_share_of_a_cycle_that_is_spent_being_replaced() -> None:
    # Lost every two hours of standing, back after half an hour: 0.5 of 2.5 hours.
    assert unavailability(0.5, 1800) == pytest.approx(0.2)
    assert unavailability(0, 1800) == 0


def test_steady_replicas_alone_are_binomial() -> None:
    assert enough_stand(2, 2, 0, 0.1, 1.0) == pytest.approx(0.81)
    assert enough_stand(2, 3, 0, 0.1, 1.0) == pytest.approx(0.972)  # 0.9³ + 3·0.9²·0.1


def test_spot_replicas_share_their_fate_with_the_probability_measured() -> None:
    apart, together = 0.9**2, 0.9
    assert enough_stand(2, 0, 2, 0.0, 0.1) == pytest.approx(SHARED_SHOCK * together + (1 - SHARED_SHOCK) * apart)


def test_it_is_what_draws_give() -> None:
    draw = np.random.default_rng(1)
    count = 200_000
    steady = (draw.random((count, 3)) >= 0.05).sum(axis=1)
    common = draw.random(count)[:, None] >= np.full((1, 4), 0.2)
    apart = draw.random((count, 4)) >= 0.2
    spot = np.where(draw.random(count)[:, None] < SHARED_SHOCK, common, apart).sum(axis=1)
    assert enough_stand(5, 3, 4, 0.05, 0.2) == pytest.approx((steady + spot >= 5).mean(), abs=0.004)


@pytest.mark.parametrize("needed", [1, 4, 30])
def test_more_replicas_never_stand_less_often(needed: int) -> None:
    found = [enough_stand(needed, needed, spare, 0.01, 0.3) for spare in range(6)]
    assert found == sorted(found)


def test_the_effective_price_of_spot_by_hand() -> None:
    # Lost twice an hour for 180 s, a tenth of the work lost, a breach of 20 USD an hour one percent of the time.
    found = effective_usd_per_hour(1.0, 2, 180, lost_work_share=0.1, breach_usd_per_hour=20, breach_share=0.01)
    assert found == pytest.approx(1.1 / 0.9 + 0.2)
    with pytest.raises(ValueError, match="lost work"):
        effective_usd_per_hour(1.0, 2, 180, lost_work_share=1.0)
