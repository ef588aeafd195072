"""The replica controller on scripted signals, in virtual time."""

import itertools
import math
import random
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from berth_scheduler.control.berth_spread import BerthSupply, price_order, spares, spread, steady_count
from berth_scheduler.control.replica_control import (
    HELD,
    Control,
    ControlPolicy,
    ControlReason,
    ControlState,
    ReplicaModel,
    ReplicaSignals,
    control,
)
from berth_scheduler.snapshot import SpotPolicy

MODEL = ReplicaModel(requests_per_second=10.0, saturation_requests_per_second=14.0, seconds_to_ready=180.0)
ONE = (BerthSupply("pool", False, 1.0, 100),)
POLICY = ControlPolicy(minimum=1, maximum=100)


@dataclass
class World:
    """A workload whose replicas are ready ``seconds_to_ready`` after they are asked for."""

    replicas: int
    policy: ControlPolicy = POLICY
    model: ReplicaModel = MODEL
    state: ControlState = field(default_factory=ControlState)
    seconds: float = 0.0
    ready: int = 0
    starting: deque[tuple[float, int]] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self.ready = self.replicas

    def tick(self, step: float = 30.0, **signals: float | None) -> Control:
        self.seconds += step
        while self.starting and self.starting[0][0] <= self.seconds:
            self.ready += self.starting.popleft()[1]
        seen = ReplicaSignals(self.seconds, ready_replicas=self.ready, **{"requests_per_second": None, **signals})  # type: ignore[arg-type]
        answer = control(seen, self.state, self.model, ONE, (self.replicas,), policy=self.policy)
        change = answer.replicas[0] - self.replicas
        if change > 0:
            self.starting.append((self.seconds + self.model.seconds_to_ready, change))
        self.ready += min(change, 0)
        self.replicas, self.state = answer.replicas[0], answer.state
        return answer

    def run(self, seconds: float, rate: Callable[[float], float], step: float = 30.0) -> Iterator[Control]:
        end = self.seconds + seconds
        while self.seconds < end:
            value = rate(self.seconds + step)
            busy = min(value / max(self.ready, 1) / self.model.saturation_requests_per_second, 1.0)
            yield self.tick(step, requests_per_second=value, utilization=busy)


# --- calm --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rate", "step"), [(3.0, 30.0), (60.0, 30.0), (75.0, 30.0), (74.9, 30.0), (451.0, 30.0), (75.0, 5.0)]
)
def test_constant_load_is_never_scaled_in_24_hours(rate: float, step: float) -> None:
    world = World(max(math.ceil(rate / 10), round(rate / 10 / POLICY.target_utilization)))
    counts = {answer.replicas[0] for answer in world.run(86_400, lambda _: rate, step)}
    assert counts == {world.replicas}


def test_noise_within_the_tolerance_is_never_scaled() -> None:
    draw = random.Random(7)
    world = World(40)
    counts = {answer.replicas[0] for answer in world.run(86_400, lambda _: 300 * (1 + draw.uniform(-0.045, 0.045)))}
    assert counts == {40}


def measured(rate: Callable[[float], float], seconds: float, step: float, window: float, seed: int) -> list[float]:
    """What scrapes every ``step`` seconds show of Poisson arrivals: means of the last ``window`` seconds."""
    draw = np.random.default_rng(seed)
    arrivals = draw.poisson([rate(at * step) * step for at in range(int((seconds + window) / step))])
    span = int(window / step)
    found: list[float] = (np.convolve(arrivals, np.ones(span), "valid") / window).tolist()
    return found


@pytest.mark.parametrize(
    ("capacity", "replicas", "step", "window"),
    [
        (10.0, 40, 5.0, 20.0),
        (10.0, 4, 5.0, 20.0),
        (1.0, 40, 30.0, 60.0),
    ],
)
def test_constant_demand_that_arrives_by_chance_is_never_scaled_in_24_hours(
    capacity: float, replicas: int, step: float, window: float
) -> None:
    model = ReplicaModel(capacity, 1.4 * capacity, 180.0)
    world = World(replicas, model=model)
    mean = replicas * capacity * POLICY.target_utilization
    rates = measured(lambda _: mean, 86_400, step, window, seed=3)
    counts = {answer.replicas[0] for answer in world.run(86_400, lambda now: rates[int(now / step) - 1], step)}
    assert counts == {replicas}


@pytest.mark.parametrize(("capacity", "replicas"), [(0.5, 12), (0.2, 20)])
def test_few_long_requests_that_come_by_chance_are_hardly_scaled(capacity: float, replicas: int) -> None:
    """180 to 270 requests a window deviate by 6 to 7.5 %, more than the tolerance is wide."""
    world = World(replicas, model=ReplicaModel(capacity, 1.4 * capacity, 180.0))
    mean = replicas * capacity * POLICY.target_utilization
    rates = measured(lambda _: mean, 86_400, 30.0, 60.0, seed=3)
    counts = [answer.replicas[0] for answer in world.run(86_400, lambda now: rates[int(now / 30) - 1])]
    assert sum(after != before for before, after in itertools.pairwise(counts)) <= 10


def test_the_count_settles_at_the_target() -> None:
    world = World(90)
    list(world.run(7200, lambda _: 300.0))
    assert 300 / 10 / world.replicas == pytest.approx(POLICY.target_utilization, abs=0.04)


# --- steps -------------------------------------------------------------------------------------------------------


def test_of_a_step_of_three_the_last_replica_is_requested_within_30_seconds_of_5_second_scrapes() -> None:
    window = 20.0  # the signals' own rate window: four scrapes
    world = World(20)

    def rate(now: float) -> float:
        return 150.0 + 300.0 * min(max(now - 3600.0, 0.0), window) / window

    answers = [(world.seconds, answer.replicas[0]) for answer in world.run(3600 + 600, rate, 5.0)]
    needed = math.ceil(450 / 10)
    assert max(count for seconds, count in answers if seconds <= 3600) == 20
    assert min(seconds for seconds, count in answers if count >= needed) <= 3630
    aimed = round(450 / 10 / POLICY.target_utilization)
    assert min(seconds for seconds, count in answers if count >= aimed) <= 3630


@pytest.mark.parametrize("capacity", [10.0, 1.0])
def test_the_step_is_seen_as_soon_through_the_noise_of_single_requests(capacity: float) -> None:
    model = ReplicaModel(capacity, 1.4 * capacity, 180.0)
    world = World(20, model=model)
    mean = 15 * capacity
    # The first sample is a whole window of 20 s, so demand grows after 3600 s of samples.
    rates = measured(lambda at: mean * (3 if at >= 20 + 3600 else 1), 4200, 5.0, 20.0, seed=5)
    answers = [
        (world.seconds, answer.replicas[0]) for answer in world.run(4200, lambda now: rates[int(now / 5) - 1], 5.0)
    ]
    assert max(count for seconds, count in answers if seconds <= 3600) <= 24
    assert min(seconds for seconds, count in answers if count >= 45) <= 3630


def test_after_a_step_down_replicas_stay_for_the_stabilisation_window_and_then_go() -> None:
    world = World(60)
    list(world.run(3600, lambda _: 450.0))
    before = world.replicas
    counts = [answer.replicas[0] for answer in world.run(3600, lambda _: 150.0)]
    kept = int(POLICY.scale_down_stabilization_seconds / 30)
    assert set(counts[: kept - 1]) == {before}
    assert counts[-1] == 20


def test_a_short_dip_moves_nothing() -> None:
    world = World(60)
    list(world.run(3600, lambda _: 450.0))
    before = world.replicas
    counts = {answer.replicas[0] for answer in world.run(240, lambda _: 100.0)}
    counts |= {answer.replicas[0] for answer in world.run(60, lambda _: 450.0)}
    assert min(counts) == before


# --- signals that cannot be trusted ------------------------------------------------------------------------------


def test_an_hour_without_prometheus_changes_nothing_and_recovers() -> None:
    world = World(40)
    list(world.run(7200, lambda _: 300.0))
    for _ in range(120):
        answer = world.tick(requests_per_second=None)
        assert answer.replicas == (40,)
        assert answer.reason is ControlReason.SIGNALS_MISSING
    # Whatever the demand is afterwards: up at once, down only after a whole window of signals.
    lower = World(world.replicas, state=world.state, seconds=world.seconds)
    kept = [answer.replicas[0] for answer in lower.run(POLICY.scale_down_stabilization_seconds - 30, lambda _: 100.0)]
    assert set(kept) == {40}
    list(lower.run(3600, lambda _: 100.0))
    assert lower.replicas < 20
    list(world.run(60, lambda _: 500.0))
    assert world.replicas >= 50


@pytest.mark.parametrize(
    ("signals", "reason"),
    [
        ({"requests_per_second": None}, ControlReason.SIGNALS_MISSING),
        ({"requests_per_second": math.nan}, ControlReason.SIGNALS_MISSING),
        ({"requests_per_second": math.inf}, ControlReason.SIGNALS_MISSING),
        ({"requests_per_second": -1.0}, ControlReason.SIGNALS_MISSING),
        ({"requests_per_second": 1.0, "utilization": math.nan}, ControlReason.SIGNALS_MISSING),
        ({"requests_per_second": 1.0, "latency_ratio": math.nan}, ControlReason.SIGNALS_MISSING),
        ({"requests_per_second": 1.0, "age_seconds": 3600.0}, ControlReason.SIGNALS_STALE),
        ({"requests_per_second": 1.0, "age_seconds": math.nan}, ControlReason.SIGNALS_MISSING),
        ({"requests_per_second": 0.0, "utilization": 0.9}, ControlReason.SIGNALS_CONTRADICT),
        ({"requests_per_second": 0.0, "pending_requests": 8.0}, ControlReason.SIGNALS_CONTRADICT),
        ({"requests_per_second": 1e9, "utilization": 0.02}, ControlReason.SIGNALS_CONTRADICT),
    ],
)
def test_what_cannot_be_trusted_holds_and_says_so(signals: dict[str, float | None], reason: ControlReason) -> None:
    world = World(40)
    list(world.run(3600, lambda _: 300.0))
    for _ in range(120):
        answer = world.tick(**signals)
        assert (answer.replicas, answer.reason) == ((40,), reason)
        assert answer.reason in HELD
        assert answer.message


def test_without_a_capacity_the_count_is_held() -> None:
    for unknown in (0.0, math.nan):
        world = World(7, model=replace(MODEL, requests_per_second=unknown))
        assert world.tick(requests_per_second=500.0).reason is ControlReason.CAPACITY_UNKNOWN
        assert world.replicas == 7


def test_one_absurd_sample_takes_no_more_than_twice_what_runs() -> None:
    world = World(40)
    list(world.run(3600, lambda _: 300.0))
    assert world.tick(requests_per_second=1e6).replicas[0] <= 80


def test_finite_numbers_without_sense_break_nothing() -> None:
    world = World(40)
    for _ in range(60):
        world.tick(requests_per_second=1e300, pending_requests=1e300, latency_ratio=1e300, utilization=1.0)
    assert world.replicas == 100


# --- feedback ----------------------------------------------------------------------------------------------------


def test_instances_that_are_busier_than_predicted_get_more_replicas() -> None:
    world = World(40)
    for _ in range(240):
        # 300/s on 40 replicas should keep them 300 / 40 / 14 = 54 % busy; they are half as fast again.
        busy = min(300 / world.ready / 14 * 1.5, 1.0)
        world.tick(requests_per_second=300.0, utilization=busy)
    assert world.state.correction == pytest.approx(1 / 1.5, rel=0.05)
    assert 300 / world.replicas / (10 / 1.5) == pytest.approx(POLICY.target_utilization, abs=0.05)


def test_an_objective_that_breaks_where_it_should_hold_gets_more_replicas() -> None:
    world = World(40)
    list(world.run(3600, lambda _: 300.0))
    for _ in range(40):
        world.tick(requests_per_second=300.0, utilization=300 / world.ready / 14, latency_ratio=1.4)
    assert world.replicas > 44


def test_an_objective_that_breaks_on_idle_replicas_is_not_blamed_on_their_number() -> None:
    world = World(40)
    for _ in range(240):
        answer = world.tick(requests_per_second=100.0, utilization=100 / world.ready / 14, latency_ratio=3.0)
    assert answer.replicas[0] < 40


def test_a_backlog_is_worked_off() -> None:
    world = World(40)
    list(world.run(3600, lambda _: 300.0))
    answer = world.tick(requests_per_second=300.0, utilization=0.7, pending_requests=6000.0, latency_ratio=2.0)
    assert answer.replicas[0] >= 53
    assert answer.reason is ControlReason.DEMAND_GROWS


def test_a_longer_cold_start_asks_earlier() -> None:
    def first_grown(seconds_to_ready: float) -> float:
        world = World(
            27, model=replace(MODEL, seconds_to_ready=seconds_to_ready), policy=replace(POLICY, target_utilization=1.0)
        )
        ramp = lambda now: 200.0 + max(now - 3600, 0) * 0.05  # noqa: E731
        return min(
            world.seconds for answer in world.run(7200, ramp) if answer.replicas[0] >= 27 and world.seconds > 3600
        )

    assert first_grown(600.0) < first_grown(60.0)


# --- limits ------------------------------------------------------------------------------------------------------


def test_more_than_the_maximum_is_said_and_not_asked_for() -> None:
    world = World(4, policy=replace(POLICY, maximum=5))
    answers = list(world.run(600, lambda _: 1000.0))
    assert answers[-1].replicas == (5,)
    assert answers[-1].reason is ControlReason.AT_MAXIMUM


def test_fewer_than_the_minimum_are_never_asked_for() -> None:
    world = World(4, policy=replace(POLICY, minimum=3))
    assert min(answer.replicas[0] for answer in world.run(7200, lambda _: 0.0)) == 3


# --- berths ------------------------------------------------------------------------------------------------------

CHEAP_SPOT = BerthSupply("spot", True, 0.35, 100, interruptions_per_hour=0.5)
DEAR = BerthSupply("dear", False, 2.0, 100)
PLAIN = BerthSupply("plain", False, 1.0, 3)


def test_the_cheapest_capacity_comes_first_and_the_dearest_goes_first() -> None:
    berths = (DEAR, PLAIN)
    assert [spread(count, berths, SpotPolicy()) for count in range(6)] == [
        (0, 0), (0, 1), (0, 2), (0, 3), (1, 3), (2, 3),
    ]  # fmt: skip


@pytest.mark.parametrize("count", range(1, 30))
def test_spot_keeps_the_base_and_the_share(count: int) -> None:
    policy = SpotPolicy(maximum_share_percent=70, on_demand_base=2)
    spot, steady = spread(count, (CHEAP_SPOT, DEAR), policy)
    assert spot + steady == count
    assert steady >= min(2, count)
    assert spot <= 0.7 * count
    assert steady == steady_count(count, policy)


def test_where_spot_is_gone_on_demand_takes_over() -> None:
    assert spread(10, (replace(CHEAP_SPOT, maximum=0), DEAR), SpotPolicy()) == (0, 10)


def test_where_on_demand_is_short_spot_does_not_exceed_its_share() -> None:
    assert spread(10, (CHEAP_SPOT, replace(DEAR, maximum=2)), SpotPolicy()) == (4, 2)


def test_a_price_that_flaps_within_ten_percent_moves_no_replica() -> None:
    order = price_order((DEAR, PLAIN))
    assert order == ("plain", "dear")
    assert price_order((replace(DEAR, usd_per_replica_hour=0.95), PLAIN), order) == order
    assert price_order((replace(DEAR, usd_per_replica_hour=0.85), PLAIN), order) == ("dear", "plain")


def test_spares_cover_what_one_cold_start_may_lose() -> None:
    # 20 replicas × 0.5 an hour × 0.05 h = 0.5 expected; Poisson: P(> 2) = 1.4 %, P(> 3) = 0.18 %.
    assert spares((20, 5), (CHEAP_SPOT, DEAR), 180.0) == 3
    assert spares((0, 5), (CHEAP_SPOT, DEAR), 180.0) == 0
