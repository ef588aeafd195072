"""What holds of the replica controller for every sequence of signals."""

import itertools
import math
from dataclasses import replace

from hypothesis import example, given, settings
from hypothesis import strategies as st

from berth_scheduler.control.berth_spread import BerthSupply, spread, steady_count
from berth_scheduler.control.replica_control import (
    HELD,
    Control,
    ControlPolicy,
    ControlState,
    ReplicaModel,
    ReplicaSignals,
    control,
)
from berth_scheduler.snapshot import SpotPolicy

MODEL = ReplicaModel(10.0, 14.0, 180.0)

maybe_rate = st.one_of(
    st.none(), st.floats(0, 2000), st.sampled_from([math.nan, math.inf, -1.0, 1e300, 0.0]), st.floats(0, 2000)
)
maybe_share = st.one_of(st.none(), st.floats(0, 1), st.just(math.nan))
tick = st.fixed_dictionaries(
    {
        "requests_per_second": maybe_rate,
        "utilization": maybe_share,
        "pending_requests": st.one_of(st.none(), st.floats(0, 1e6)),
        "latency_ratio": st.one_of(st.none(), st.floats(0, 10), st.just(math.nan)),
        "age_seconds": st.sampled_from([0.0, 15.0, 3600.0]),
    }
)
berth = st.builds(
    BerthSupply,
    key=st.text("abcdef", min_size=1, max_size=3),
    spot=st.booleans(),
    usd_per_replica_hour=st.floats(0.1, 10),
    maximum=st.integers(0, 40),
    interruptions_per_hour=st.floats(0, 1),
)
berths = st.lists(berth, min_size=1, max_size=4, unique_by=lambda one: one.key)
policies = st.builds(
    ControlPolicy,
    minimum=st.integers(1, 5),
    maximum=st.integers(5, 60),
    target_utilization=st.floats(0.3, 1.0),
    scale_down_stabilization_seconds=st.sampled_from([0.0, 60.0, 300.0]),
    miss_share=st.sampled_from([0.001, 0.01, 0.1]),
)


def played(
    ticks: list[dict[str, float | None]], supply: tuple[BerthSupply, ...], policy: ControlPolicy
) -> list[Control]:
    state, current = ControlState(), spread(policy.minimum, supply, policy.spot)
    answers = []
    for place, signals in enumerate(ticks):
        seen = ReplicaSignals(place * 15.0, ready_replicas=sum(current), **signals)  # type: ignore[arg-type]
        answer = control(seen, state, MODEL, supply, current, policy=policy)
        answers.append(answer)
        state, current = answer.state, answer.replicas
    return answers


@given(st.lists(tick, min_size=1, max_size=60), berths, policies)
@settings(max_examples=200, deadline=None)
def test_never_above_the_maxima_nor_below_zero(
    ticks: list[dict[str, float | None]], supply: list[BerthSupply], policy: ControlPolicy
) -> None:
    for answer in played(ticks, tuple(supply), policy):
        assert sum(answer.replicas) <= policy.maximum
        assert all(0 <= count <= one.maximum for count, one in zip(answer.replicas, supply, strict=True))


@given(st.lists(tick, min_size=2, max_size=60), berths, policies)
@settings(max_examples=200, deadline=None)
def test_what_is_held_changes_nothing(
    ticks: list[dict[str, float | None]], supply: list[BerthSupply], policy: ControlPolicy
) -> None:
    answers = played(ticks, tuple(supply), policy)
    for before, after in itertools.pairwise(answers):
        if after.reason in HELD:
            assert after.replicas == before.replicas


@given(st.lists(tick, min_size=2, max_size=80), policies)
@settings(max_examples=300, deadline=None)
def test_never_fewer_than_anything_wanted_within_the_window(
    ticks: list[dict[str, float | None]], policy: ControlPolicy
) -> None:
    """So that a count that went down stays above whatever came up and was asked for just before: no flapping."""
    answers = played(ticks, (BerthSupply("pool", False, 1.0, 100),), policy)
    window = int(policy.scale_down_stabilization_seconds // 15)
    for place in range(1, len(answers)):
        count, before = sum(answers[place].replicas), sum(answers[place - 1].replicas)
        if count < before:
            recent = answers[max(place - window + 1, 0) : place + 1]
            assert not any(answer.reason in HELD for answer in recent)
            assert count >= max(one for _, one in answers[place].state.wanted)
            if window:
                # A rise just before means that something wanted that many within the window.
                rises = [
                    sum(answers[at].replicas)
                    for at in range(max(place - window + 1, 1), place)
                    if sum(answers[at].replicas) > sum(answers[at - 1].replicas)
                ]
                assert count >= max(rises, default=0)


@given(st.floats(0.5, 300), policies)
@example(
    14.0, ControlPolicy(maximum=5, target_utilization=0.3046875, scale_down_stabilization_seconds=0.0, miss_share=0.001)
)
@settings(max_examples=60, deadline=None)
def test_constant_demand_settles_and_then_never_moves(rate: float, policy: ControlPolicy) -> None:
    one = {
        "requests_per_second": rate,
        "utilization": None,
        "pending_requests": None,
        "latency_ratio": None,
        "age_seconds": 0.0,
    }
    state, current = ControlState(), (60,)
    counts = []
    for place in range(1200):
        signals = ReplicaSignals(place * 30.0, ready_replicas=sum(current), **one)  # type: ignore[arg-type]
        answer = control(signals, state, MODEL, (BerthSupply("pool", False, 1.0, 100),), current, policy=policy)
        state, current = answer.state, answer.replicas
        counts.append(current[0])
    downs = sum(after < before for before, after in itertools.pairwise(counts))
    ups = sum(after > before for before, after in itertools.pairwise(counts))
    assert min(ups, downs) == 0, "it went both ways"
    assert len(set(counts[-600:])) <= 2


@given(st.integers(0, 100), berths, st.floats(0, 100), st.integers(0, 5))
@settings(deadline=None)
def test_the_spread_keeps_share_and_base_and_grows_berth_by_berth(
    count: int, supply: list[BerthSupply], share: float, base: int
) -> None:
    policy = SpotPolicy(maximum_share_percent=share, on_demand_base=base)
    counts, more = spread(count, supply, policy), spread(count + 1, supply, policy)
    assert sum(counts) <= count
    spot = sum(one for one, of in zip(counts, supply, strict=True) if of.spot)
    if any(of.spot for of in supply):
        assert sum(counts) - spot >= steady_count(sum(counts), policy)
    assert all(after >= before for before, after in zip(counts, more, strict=True))


@given(st.integers(0, 100), berths)
@settings(deadline=None)
def test_the_order_in_which_berths_come_does_not_matter(count: int, supply: list[BerthSupply]) -> None:
    apart = [replace(one, usd_per_replica_hour=1.0 + place) for place, one in enumerate(supply)]
    forth = dict(zip([one.key for one in apart], spread(count, apart, SpotPolicy()), strict=True))
    back = dict(zip([one.key for one in reversed(apart)], spread(count, apart[::-1], SpotPolicy()), strict=True))
    assert forth == back
