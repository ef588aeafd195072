"""Workloads whose replicas follow demand: the plan gives the count that is asked for, its place and its price."""

import pytest

from berth_scheduler.decision import Transition
from berth_scheduler.plan import plan
from berth_scheduler.snapshot import CapacityType, Placement, Scaling, Traffic
from example_snapshots import decision, now_running, pool, snapshot, vision

BOTH = (CapacityType.ON_DEMAND, CapacityType.SPOT)


def settled(workload, *pools):
    """The workload as it runs after a plan of its own."""
    return now_running(workload, decision(plan(snapshot([workload], pools))).berths, pools)


def scaled(workload, replicas, rate=None, **changes):
    scaling = Scaling(replicas=replicas, requests_per_second=rate)
    return workload.model_copy(update={"scaling": scaling, **changes})


def total(made):
    return sum(berth.replicas for berth in made.berths)


@pytest.mark.parametrize("replicas", [1, 4, 7])
def test_the_count_that_is_asked_for_is_given_in_place(replicas):
    pools = [pool("l4", "L4", "0.5", nodes=8)]
    made = decision(plan(snapshot([scaled(settled(vision(), *pools), replicas)], pools)))
    assert (total(made), made.kept, made.transition) == (replicas, True, Transition.NONE)


def test_the_bounds_of_the_spec_hold():
    pools = [pool("l4", "L4", "0.5", nodes=8)]
    running = settled(vision(minimum_replicas=2, maximum_replicas=5), *pools)
    assert total(decision(plan(snapshot([scaled(running, 1)], pools)))) == 2
    assert total(decision(plan(snapshot([scaled(running, 9)], pools)))) == 5


def test_more_than_there_is_room_for_gets_what_room_there_is_and_does_not_move():
    pools = [pool("l4", "L4", "0.5", nodes=3), pool("h", "H100-PCIe-80GB", "9", nodes=8)]
    running = settled(vision(placement=Placement(deny=())), *pools)
    made = decision(plan(snapshot([scaled(running, 6)], pools)))
    assert {berth.pool: berth.replicas for berth in made.berths} == {"l4": 3}
    assert made.transition is Transition.NONE


def test_the_share_of_spot_holds_at_every_count():
    pools = [pool("od", "L4", "1.0", nodes=9), pool("spot", "L4", "0.3", nodes=9, capacity_type=CapacityType.SPOT)]
    running = settled(vision(placement=Placement(capacity_types=BOTH), minimum_replicas=3), *pools)
    for replicas in range(3, 9):
        made = decision(plan(snapshot([scaled(running, replicas)], pools)))
        spot = sum(berth.replicas for berth in made.berths if berth.capacity_type is CapacityType.SPOT)
        assert (total(made), spot) == (replicas, replicas * 7 // 10)


def test_going_down_the_dearest_berth_shrinks_first():
    pools = [pool("cheap", "L4", "0.5", nodes=2), pool("dear", "L4", "0.9", nodes=4)]
    running = settled(vision(minimum_replicas=5), *pools).model_copy(update={"minimum_replicas": 1})
    made = decision(plan(snapshot([scaled(running, 3)], pools)))
    assert {berth.pool: berth.replicas for berth in made.berths} == {"cheap": 2, "dear": 1}


def test_a_new_spec_that_keeps_the_configuration_keeps_the_count():
    pools = [pool("l4", "L4", "0.5", nodes=8)]
    running = settled(vision(), *pools)
    made = decision(plan(snapshot([scaled(running, 1, planning_hash="another")], pools)))
    grown = decision(plan(snapshot([scaled(running, 6, planning_hash="another")], pools)))
    assert (total(made), total(grown)) == (1, 6)


def test_another_configuration_gets_as_many_as_sustain_what_the_present_ones_do():
    pools = [pool("t4", "T4", "0.3", nodes=8), pool("l4", "L4", "0.9", nodes=12)]
    running = settled(vision(placement=Placement(allow=("T4",))), *pools)
    before = decision(plan(snapshot([running], pools)))
    moved = scaled(running, 6, placement=Placement(allow=("L4",)), planning_hash="another")
    made = decision(plan(snapshot([moved], pools)))
    carried = 6 * before.requests_per_second_per_replica
    assert made.transition is Transition.SWITCH
    assert (total(made) - 1) * made.requests_per_second_per_replica < carried
    assert total(made) * made.requests_per_second_per_replica >= carried * (1 - 1e-6)


def test_prediction_and_cost_are_for_the_measured_rate():
    pools = [pool("l4", "L4", "0.5", nodes=8)]
    running = settled(vision(traffic=Traffic(requests_per_second=100)), *pools)
    made = decision(plan(snapshot([scaled(running, 2, 40.0)], pools)))
    assert made.requests_per_second == 40.0
    assert float(made.cost.usd_per_million_requests) == pytest.approx(1.0 / (40 * 3600) * 1e6, rel=1e-4)


def test_fewer_replicas_than_the_stated_rate_needs_are_predicted_at_what_they_sustain():
    pools = [pool("l4", "L4", "0.5", nodes=30)]
    running = settled(vision(traffic=Traffic(requests_per_second=5000), maximum_replicas=30), *pools)
    made = decision(plan(snapshot([scaled(running, 1)], pools)))
    assert made.requests_per_second == made.requests_per_second_per_replica
    assert made.prediction.feasible


def test_beside_a_count_that_follows_demand_nothing_is_compared():
    pools = [pool("l4", "L4", "0.5", nodes=8), pool("t4", "T4", "0.4", nodes=8)]
    running = settled(vision(), *pools)
    assert decision(plan(snapshot([running], pools))).alternatives
    assert not decision(plan(snapshot([scaled(running, 2)], pools))).alternatives
