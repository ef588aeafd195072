"""Replays of spot policies: figures that can be counted by hand, and decisions that know no future."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from berth_cost.spot.comparison import POLICY_NAMES, other_days_fit, replay_policies
from berth_cost.spot.hazard import FEATURES, HazardSample, built_in_fit, fit_hazard, hazards_of
from berth_cost.spot.learned import LearnedPolicy
from berth_cost.spot.policy import FIXED_POLICIES, clairvoyant, filled
from berth_cost.spot.replay import Order, ReplayRules, Standing, replay, tick_rows
from berth_cost.spot.survival import Spreads
from berth_cost.spot.trace import SpotTrace

FIXED = {policy.name: policy for policy in FIXED_POLICIES}


def trace_of(*columns: str, zones: tuple[str, ...] = ("us-east-1a", "us-east-1b", "us-west-2a")) -> SpotTrace:
    """Columns of digits, one a zone."""
    nodes = np.array([[int(digit) for digit in column] for column in columns], dtype=np.int64).T
    names = zones[: len(columns)]
    return SpotTrace(names, tuple(name[:-1] for name in names), nodes)


def shaky_trace(ticks: int, seed: int = 7) -> SpotTrace:
    """Nine zones of three regions with shared and own outages."""
    draw = np.random.default_rng(seed)
    zones = tuple(
        f"us-{side}-{number}{letter}" for side, number in (("east", 1), ("east", 2), ("west", 2)) for letter in "abc"
    )
    nodes = np.ones((ticks, 9), dtype=np.int64)
    for zone in range(9):
        for start in np.flatnonzero(draw.random(ticks) < 0.02):
            nodes[start : start + draw.integers(2, 12), zone] = 0
    for region in range(3):
        for start in np.flatnonzero(draw.random(ticks) < 0.005):
            nodes[start : start + draw.integers(2, 12), 3 * region : 3 * region + 2] = 0
    return SpotTrace(zones, tuple(zone[:-1] for zone in zones), nodes)


def test_fallback_is_paid_and_ready_as_counted_by_hand() -> None:
    # One zone for one replica: up, up, lost, lost, back, up.
    replayed = replay(FIXED["fallback"], trace_of("110011"), ReplayRules(want=1, tick_seconds=86_400.0))
    # tick 0: spot and on demand start; 1: spot is ready; 2: lost, on demand starts; 3: on demand ready;
    # 4: spot starts beside it; 5: spot ready.
    assert [(sum(one.spot), one.on_demand, one.ready) for one in replayed.log] == [
        (1, 1, 0),
        (1, 0, 1),
        (0, 1, 0),
        (0, 1, 1),
        (1, 1, 1),
        (1, 0, 1),
    ]
    assert replayed.result.ready_share == pytest.approx(4 / 6, rel=1e-5)
    assert replayed.result.cost_share == pytest.approx((4 * 0.35 + 4) / 6, rel=1e-5)
    assert replayed.result.preemptions_per_day == pytest.approx(1 / 6, rel=1e-5)


def test_on_demand_alone_costs_one_and_waits_only_for_its_start() -> None:
    result = replay(FIXED["on-demand"], trace_of("0" * 100), ReplayRules(want=3)).result
    assert (result.cost_share, result.ready_share, result.preemptions_per_day) == (1.0, 0.99, 0.0)


def test_without_start_up_what_is_asked_for_is_ready_at_once() -> None:
    result = replay(FIXED["spot-only"], trace_of("1010"), ReplayRules(want=1, start_ticks=0)).result
    assert result.ready_share == 0.5


def test_a_request_where_there_is_no_capacity_fails_and_is_free() -> None:
    class Stubborn:
        name, summary = "stubborn", "asks everywhere"

        def begin(self, trace: SpotTrace, rules: ReplayRules):  # type: ignore[no-untyped-def]
            return lambda seen: Order([5] * len(seen.room), 0)

    replayed = replay(Stubborn(), trace_of("0000", "1111"), ReplayRules(want=1))
    assert [one.spot for one in replayed.log] == [(0, 1)] * 4
    assert replayed.result.cost_share == pytest.approx(0.35)


def test_more_than_one_replica_a_zone_where_the_rules_allow_it() -> None:
    replayed = replay(FIXED["spot-only"], trace_of("313", "111"), ReplayRules(want=3, per_zone_limit=2))
    assert [one.spot for one in replayed.log] == [(2, 1), (1, 1), (2, 1)]
    assert sum(replayed.losses) == 1


def test_zones_are_filled_one_each_before_any_gets_a_second() -> None:
    assert filled([0, 0, 0], [2, 0, 2], 3) == [2, 0, 1]
    assert filled([0, 0, 1], [1, 1, 1], 2) == [1, 0, 1]


def test_the_clairvoyant_bound_is_below_every_policy_that_is_as_ready() -> None:
    trace, rules = shaky_trace(600), ReplayRules(want=3)
    for policy in (*FIXED_POLICIES, LearnedPolicy((built_in_fit(),), "99.9")):
        result = replay(policy, trace, rules).result
        bound = clairvoyant(trace, rules, result.ready_share * 100)
        assert bound.cost_share <= result.cost_share, policy.name


def test_the_clairvoyant_bound_by_hand() -> None:
    # Three ticks, want 1: through ticks 0-1 the zone stood, through 1-2 it did not.
    bound = clairvoyant(trace_of("110"), ReplayRules(want=1), 60)
    assert (bound.ready_share, bound.cost_share) == (pytest.approx(2 / 3, rel=1e-5), pytest.approx(1.35 / 3, rel=1e-5))


@pytest.mark.parametrize("name", ["learned-99", "learned-99.9"])
@pytest.mark.parametrize("cut", [37, 200])
def test_no_decision_depends_on_a_later_tick(name: str, cut: int) -> None:
    trace, rules = shaky_trace(400), ReplayRules(want=3)
    policy = LearnedPolicy((built_in_fit(),), name.removeprefix("learned-"))
    changed = trace.nodes.copy()
    changed[cut:] = 1 - changed[cut:]
    whole = replay(policy, trace, rules).log
    other = replay(policy, replace(trace, nodes=changed), rules).log
    assert whole[:cut] == other[:cut]
    assert whole[cut:] != other[cut:]
    assert replay(policy, trace.window(0, cut), rules).log == whole[:cut]


def test_a_higher_aim_is_more_ready_and_costs_more() -> None:
    trace, rules = shaky_trace(1500), ReplayRules(want=3)
    results = [replay(LearnedPolicy((built_in_fit(),), aim), trace, rules).result for aim in ("99", "99.9")]
    assert [one.ready_share for one in results] == sorted(one.ready_share for one in results)
    assert [one.cost_share for one in results] == sorted(one.cost_share for one in results)


def test_with_more_zones_than_can_be_combined_the_steadiest_are_considered() -> None:
    wide = shaky_trace(300)
    zones = tuple(itertools.chain(wide.zones, (f"eu-west-{number}a" for number in range(1, 10))))
    nodes = np.concatenate([wide.nodes, np.ones_like(wide.nodes)], axis=1)
    trace = SpotTrace(zones, tuple(zone[:-1] for zone in zones), nodes)
    result = replay(LearnedPolicy((built_in_fit(),), "99"), trace, ReplayRules(want=3)).result
    assert result.ready_share > 0.985
    assert result.cost_share < 0.45


@pytest.mark.parametrize(("want", "limit"), [(2, 2), (6, 4), (20, 64)])
def test_several_replicas_a_zone_are_spread_and_kept_ready(want: int, limit: int) -> None:
    steady = shaky_trace(300)
    trace = replace(steady, nodes=steady.nodes * limit)
    rules = ReplayRules(want=want, per_zone_limit=limit)
    result = replay(LearnedPolicy((built_in_fit(),), "99"), trace, rules).result
    assert result.ready_share > 0.95
    assert result.cost_share < 0.6


def test_a_fit_on_other_days_learns_which_ages_are_lost() -> None:
    # Capacity that always lasts exactly five ticks and is away for three.
    column = ("11111000" * 60)[:443]
    sample = HazardSample.of(trace_of(column))
    fit = fit_hazard(sample, ("us-east-1",), 195.0, "test", ridge=1.0)
    trace = trace_of("000" + "11111000" * 2)
    hazard = hazards_of([fit], np.zeros(trace.ticks, dtype=np.int64), trace, 195.0)[:, 0]
    assert hazard[7] > 0.5  # its fifth tick
    assert max(hazard[3:7]) < 0.2
    assert hazard[0] == 1.0  # without capacity


def test_losses_that_come_together_are_found_and_those_that_do_not_are_not() -> None:
    draw = np.random.default_rng(3)
    ticks = 6000

    def column(starts: np.ndarray) -> np.ndarray:
        up = np.ones(ticks, dtype=np.int64)
        for start in np.flatnonzero(starts):
            up[start : start + 5] = 0
        return up

    common, first, second = (draw.random(ticks) < 0.01 for _ in range(3))
    together = np.stack([column(common), column(common)], axis=1)
    apart = np.stack([column(first), column(second)], axis=1)
    zones, regions = ("us-east-1a", "us-east-1b"), ("us-east-1", "us-east-1")
    shares = [
        fit_hazard(HazardSample.of(SpotTrace(zones, regions, nodes)), regions, 195.0, "test").shared_shock
        for nodes in (together, apart)
    ]
    assert shares[0] > 0.8
    assert shares[1] < 0.1


def test_a_trace_without_losses_teaches_nothing() -> None:
    sample = HazardSample.of(trace_of("1" * 50))
    with pytest.raises(ValueError, match="no loss of capacity"):
        fit_hazard(sample, ("us-east-1",), 195.0, "test")


def test_learning_each_day_from_the_others_leaves_that_day_out() -> None:
    rules = ReplayRules(want=3, tick_seconds=600.0)
    trace = shaky_trace(144 * 3)
    changed = trace.nodes.copy()
    changed[144:288] = np.roll(changed[144:288], 31, axis=0)
    before, after = other_days_fit(trace, rules), other_days_fit(replace(trace, nodes=changed), rules)
    assert len(before) == 3
    # The day that changed is not in its own fit, but for what the day after remembers of it.
    assert before[0].coefficients != after[0].coefficients
    with pytest.raises(ValueError, match="at least 3 are needed"):
        other_days_fit(trace.window(0, 200), rules)


def test_survivors_by_hand() -> None:
    spreads = np.array([[1, 1, 0], [1, 0, 1], [0, 0, 0], [2, 0, 0]], dtype=np.int64)
    hazards = np.array([[0.2, 0.1, 0.4]])
    regions = ("us-east-1", "us-east-1", "us-west-2")
    over = Spreads.over(spreads, regions)
    apart = over.survivors(hazards, np.array([0.0]), 2)[0]
    assert apart[0] == pytest.approx([0.02, 0.26, 0.72])
    assert apart[1] == pytest.approx([0.08, 0.44, 0.48])
    assert apart[2] == pytest.approx([1, 0, 0])
    assert apart[3] == pytest.approx([0.2, 0, 0.8])
    # One draw for the region: both are lost below 0.1, one between 0.1 and 0.2.
    together = over.survivors(hazards, np.array([1.0]), 2)[0]
    assert together[0] == pytest.approx([0.1, 0.1, 0.8])
    assert together[1] == pytest.approx(apart[1])


def test_all_policies_in_one_result_in_one_order_and_the_ticks_add_up_to_it() -> None:
    trace, rules = shaky_trace(300), ReplayRules(want=2)
    result, logs = replay_policies(trace, rules, tuple(reversed(POLICY_NAMES)), (built_in_fit(),))
    assert tuple(one.name for one in result.policies) == POLICY_NAMES
    rows = [line.split(",") for line in tick_rows(logs, trace).splitlines()[1:]]
    for one in result.policies:
        mine = [row for row in rows if row[0] == one.name]
        if one.name.startswith("clairvoyant"):
            assert not mine
            continue
        paid = sum(0.35 * len(row[2].split()) + int(row[3]) for row in mine)
        assert one.cost_share == pytest.approx(paid / (2 * 300), rel=1e-5)
        assert one.ready_share == pytest.approx(sum(int(row[4]) >= 2 for row in mine) / 300, rel=1e-5)


def test_the_built_in_fit_has_every_feature_and_an_emphasis_for_every_aim() -> None:
    fit = built_in_fit()
    assert set(fit.coefficients) == set(FEATURES)
    assert {f"learned-{aim}" for aim in fit.emphasis} <= set(POLICY_NAMES)


def test_a_policy_sees_what_is_held_and_ready_after_the_losses() -> None:
    seen: list[Standing] = []

    class Watching:
        name, summary = "watching", "keeps one"

        def begin(self, trace: SpotTrace, rules: ReplayRules):  # type: ignore[no-untyped-def]
            return lambda standing: (seen.append(standing), Order([1], 1))[1]

    replay(Watching(), trace_of("1101"), ReplayRules(want=1))
    assert [(list(one.held), list(one.ready), one.on_demand_ready) for one in seen] == [
        ([0], [0], 0),
        ([1], [1], 1),
        ([0], [0], 1),
        ([0], [0], 1),
    ]
