"""The schedule that knows the trace: exact, and below every policy."""

import itertools
import random

import numpy as np
import pytest

from berth_scheduler.control.berth_spread import BerthSupply
from berth_scheduler.control.replica_control import ControlPolicy
from berth_scheduler.simulation.demand_ticks import Ticks
from berth_scheduler.simulation.hindsight import hindsight
from berth_scheduler.simulation.play import Scene, play
from berth_scheduler.simulation.scaling_policy import Autoscaler, Controlled
from berth_scheduler.snapshot import SpotPolicy

BERTH = (BerthSupply("pool", False, 60.0, 9),)
"""One USD a replica and window."""


def ticks_with(peaks: list[float]) -> Ticks:
    values = np.repeat(np.array(peaks, dtype=np.float64), 2)
    ones = np.ones(len(values))
    return Ticks(np.arange(len(values)) * 30.0, values, values, values, values, ones, ones * 1.3)


def cheapest_by_trying_all(needed: list[int], cold: int, most: int) -> float:
    """Every schedule of counts; the k-th replica of a window that was not there before paid ``cold`` windows before it,
    as far as there were windows."""
    best = float("inf")
    for counts in itertools.product(range(most + 1), repeat=len(needed)):
        if all(count >= need for count, need in zip(counts, needed, strict=True)):
            starts = sum(
                max(after - before, 0) * min(cold, place)
                for place, (before, after) in enumerate(itertools.pairwise(counts), start=1)
            )
            best = min(best, sum(counts) + starts)
    return best


@pytest.mark.parametrize("seed", range(25))
def test_it_is_the_cheapest_of_all_schedules(seed: int) -> None:
    draw = random.Random(seed)
    needed = [draw.randint(0, 3) for _ in range(7)]
    cold = draw.randint(0, 3)
    found = hindsight(
        ticks_with([float(one) for one in needed]), BERTH, ControlPolicy(minimum=0, maximum=3), cold * 60.0
    )
    assert found.usd == pytest.approx(cheapest_by_trying_all(needed, cold, 3))
    assert found.windows_met == len(needed)


def test_by_hand() -> None:
    # Level 1 runs throughout. Level 2 in windows 0, 1, 4 and 10: the gap of two is kept, that of five is not.
    needed = [2.0, 2.0, 1.0, 1.0, 2.0, 1.0, 1.0, 1.0, 1.0, 1.0, 2.0, 1.0]
    found = hindsight(ticks_with(needed), BERTH, ControlPolicy(), 180.0)
    assert found.ready.tolist() == [2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 2, 1]
    assert found.usd == pytest.approx(12 + 5 + 1 + 3)


def test_windows_beyond_the_maximum_are_not_met() -> None:
    assert hindsight(ticks_with([2.0, 5.0, 1.0]), BERTH, ControlPolicy(maximum=3), 180.0).windows_met == 2


def test_spot_is_taken_as_far_as_its_share_goes() -> None:
    berths = (BerthSupply("spot", True, 30.0, 9), BerthSupply("plain", False, 60.0, 9))
    limits = ControlPolicy(spot=SpotPolicy(maximum_share_percent=50, on_demand_base=1))
    assert hindsight(ticks_with([4.0] * 10), berths, limits, 0.0).usd == pytest.approx(10 * (2 * 0.5 + 2 * 1.0))


@pytest.mark.parametrize("seed", range(6))
def test_no_policy_that_meets_every_window_is_cheaper(seed: int) -> None:
    draw = random.Random(seed)
    level, peaks = 4.0, []
    for _ in range(300):
        level = min(max(level + draw.uniform(-0.5, 0.5), 0.5), 9.0)
        peaks.append(level)
    ticks, limits = ticks_with(peaks), ControlPolicy(maximum=9)
    scene = Scene(ticks, BERTH, 1.0, (9,), 180.0)
    least = hindsight(ticks, BERTH, limits, 180.0).usd
    for policy in (
        Controlled(limits, 180.0),
        Autoscaler("rate", 0.5, 300.0, limits),
        Autoscaler("busy", 0.4, 300.0, limits),
    ):
        run = play(scene, policy)
        if run.windows_met(ticks).all():
            assert run.fleet.usd >= least
