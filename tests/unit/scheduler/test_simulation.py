"""The simulator: what is met, what is paid, what spot does; by hand and against each other."""

from dataclasses import replace

import numpy as np
import pytest

from berth_scheduler.control.berth_spread import BerthSupply
from berth_scheduler.control.replica_control import ControlPolicy
from berth_scheduler.simulation.demand_ticks import Ticks, ticks_of
from berth_scheduler.simulation.demand_trace import read_trace
from berth_scheduler.simulation.play import Scene, compare, peak_replicas, play, unreachable_windows
from berth_scheduler.simulation.scaling_policy import Autoscaler, Controlled, Observation, Static
from berth_scheduler.simulation.simulated_fleet import SpotTrace
from berth_scheduler.snapshot import SpotPolicy

PLAIN = BerthSupply("plain", False, 2.0, 40)
SPOT = BerthSupply("spot", True, 1.0, 40)
NAMES = ["berthmaster", "static-peak", "hpa-gpu-utilization", "hpa-queue-time", "keda-threshold", "hindsight"]


def ticks_from(rows: str) -> Ticks:
    return ticks_of(read_trace("t_s,requests_per_min\n" + rows), lambda _p, _o: (np.array(1.0), np.array(1.3)))


def wavy(days: float = 1.0) -> str:
    seconds = np.arange(0, days * 86_400 + 1, 600)
    return "".join(
        f"{at:g},{60 * (12 + 8 * np.sin(at / 86_400 * 6.283) + (place % 3)):.3f}\n" for place, at in enumerate(seconds)
    )


def scene(rows: str, *berths: BerthSupply, start: tuple[int, ...] = (22,), **more: object) -> Scene:
    return Scene(ticks_from(rows), berths or (PLAIN,), 1.0, start, **more)  # type: ignore[arg-type]


class Scripted:
    """Asks for what it was told, tick by tick."""

    def __init__(self, *counts: int) -> None:
        self.counts = list(counts)

    def decide(self, seen: Observation) -> tuple[int, ...]:
        return (self.counts.pop(0) if len(self.counts) > 1 else self.counts[0],)


def test_a_replica_is_paid_for_from_its_request_and_serves_after_its_cold_start() -> None:
    run = play(scene("0,60\n600,60\n", start=(1,), cold_start_seconds=90.0), Scripted(1, 3, 3, 3, 3, 1))
    assert run.asked.tolist()[:7] == [1, 3, 3, 3, 3, 1, 1]
    assert run.ready.tolist()[:7] == [1, 1, 1, 1, 3, 1, 1]
    replica_hours = (20 + 2 * 4) * 30 / 3600
    assert run.fleet.usd == pytest.approx(2.0 * replica_hours)
    assert run.fleet.gpu_hours == pytest.approx(replica_hours)
    assert run.fleet.scalings == 2


def test_what_still_starts_is_given_up_first() -> None:
    run = play(scene("0,60\n600,60\n", start=(2,), cold_start_seconds=90.0), Scripted(5, 3, 3, 3, 3, 3))
    assert run.ready.tolist()[:5] == [2, 2, 2, 3, 3]


def test_a_window_is_met_where_demand_is_within_capacity_throughout() -> None:
    flat = scene("0,60\n300,60\n600,360\n", start=(3,))
    run = play(flat, Static(3, ControlPolicy()))
    # From 1/s to 6/s between 300 s and 600 s: 3/s is reached at 420 s.
    assert run.windows_met(flat.ticks).tolist() == [True] * 7 + [False] * 3


def test_the_table_has_every_policy_in_its_order_and_is_the_same_every_time() -> None:
    one = scene(wavy(), PLAIN)
    results = compare(one, ControlPolicy(maximum=40))
    assert [result.name for result in results] == NAMES
    assert results == compare(one, ControlPolicy(maximum=40))
    by_name = {result.name: result for result in results}
    assert by_name["static-peak"].windows_met_percent == by_name["hindsight"].windows_met_percent == 100
    assert by_name["static-peak"].scalings_per_day == 0
    assert by_name["berthmaster"].windows_met_percent >= 99.9
    assert by_name["hindsight"].usd < by_name["berthmaster"].usd < by_name["static-peak"].usd


def test_static_sizing_costs_what_the_peak_costs() -> None:
    one = scene("0,60\n3600,480\n7200,60\n", PLAIN)
    assert peak_replicas(one.ticks, ControlPolicy()) == 8
    static = compare(one, ControlPolicy())[1]
    assert float(static.usd) == 8 * 2 * 2.0


def test_constant_demand_is_never_scaled_in_24_simulated_hours() -> None:
    one = scene("0,900\n86400,900\n", start=(20,))
    assert compare(one, ControlPolicy(maximum=40))[0].scalings_per_day == 0


def test_more_than_the_maximum_is_met_by_nobody_and_counted() -> None:
    one = scene("0,60\n600,60\n660,600\n1200,600\n", start=(2,))
    limits = ControlPolicy(maximum=5)
    assert unreachable_windows(one, limits) == 10
    assert all(result.windows_met_percent <= 50 for result in compare(one, limits))


# --- spot --------------------------------------------------------------------------------------------------------


def spot_scene(**more: object) -> Scene:
    return scene(wavy(), SPOT, PLAIN, start=(15, 7), **more)


LIMITS = ControlPolicy(maximum=40, spot=SpotPolicy(maximum_share_percent=70, on_demand_base=1))


def test_interruptions_are_those_of_the_seed() -> None:
    risky = replace(spot_scene(), berths=(replace(SPOT, interruptions_per_hour=0.3), PLAIN))
    first, again, other = (play(replace(risky, seed=seed), Controlled(LIMITS, 180.0)) for seed in (1, 1, 2))
    assert first.fleet.interruptions == again.fleet.interruptions > 20
    assert first.asked.tolist() == again.asked.tolist()
    assert first.ready.tolist() != other.ready.tolist()


def test_spares_keep_the_objective_through_interruptions() -> None:
    risky = replace(spot_scene(), berths=(replace(SPOT, interruptions_per_hour=0.3), PLAIN))
    run = play(risky, Controlled(LIMITS, 180.0))
    assert run.windows_met(risky.ticks).mean() >= 0.995
    assert run.fleet.usd < play(scene(wavy()), Controlled(LIMITS, 180.0)).fleet.usd


def test_when_spot_goes_away_on_demand_takes_over() -> None:
    gone = SpotTrace(np.array([0.0, 40_000.0]), np.array([40, 0]), np.array([np.nan, np.nan]))
    one = spot_scene(spot=gone)
    policy = Controlled(LIMITS, 180.0)
    run = play(one, policy)
    late = run.ready[int(41_000 / 30) :] >= one.ticks.peak[int(41_000 / 30) :]
    assert late.mean() >= 0.995
    assert run.fleet.interruptions > 0
    assert run.fleet.asked[0] == 0


def test_the_price_of_a_spot_trace_is_paid() -> None:
    dear = SpotTrace(np.array([0.0]), np.array([40]), np.array([1.5]))
    assert (
        play(spot_scene(spot=dear), Controlled(LIMITS, 180.0)).fleet.usd
        > play(spot_scene(), Controlled(LIMITS, 180.0)).fleet.usd
    )


# --- baselines ---------------------------------------------------------------------------------------------------


def seen(rate: float, ready: int, asked: int) -> Observation:
    return Observation(0.0, rate, 1.0, 1.25, ready, (asked,), (PLAIN,))


@pytest.mark.parametrize(
    ("value", "target", "rate", "ready", "asked", "wanted"),
    [
        ("busy", 0.5, 10.0, 10, 10, 16),  # 80 % busy over 50 %: ⌈10 · 1.6⌉
        ("busy", 0.8, 10.0, 10, 10, 10),
        ("busy", 0.75, 10.0, 10, 10, 10),  # within the tolerance of a tenth
        ("busy", 0.5, 10.0, 10, 16, 16),  # six that start count as idle
        ("queue", 4.0, 10.0, 10, 10, 10),  # 0.8 / 0.2 = 4 service times
        ("queue", 2.0, 10.0, 10, 10, 20),
        ("rate", 0.5, 10.0, 10, 10, 20),  # ⌈10 / 0.5⌉
    ],
)
def test_the_baselines_follow_the_formulas_of_kubernetes(  # noqa: PLR0917
    value: str, target: float, rate: float, ready: int, asked: int, wanted: int
) -> None:
    assert tuple(Autoscaler(value, target, 300.0, ControlPolicy(maximum=40)).decide(seen(rate, ready, asked))) == (
        wanted,
    )


def test_what_runs_when_an_autoscaler_begins_is_its_first_recommendation() -> None:
    patient, hasty = (Autoscaler("rate", 0.5, window, ControlPolicy(maximum=40)) for window in (300.0, 0.0))
    counts = [tuple(patient.decide(replace(seen(2.0, 20, 20), seconds=at))) for at in range(0, 600, 30)]
    assert counts == [(20,)] * 10 + [(4,)] * 10
    assert tuple(hasty.decide(seen(2.0, 20, 20))) == (4,)
