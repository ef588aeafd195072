"""Workloads share capacity, and what runs stays."""

from decimal import Decimal

from berth_scheduler.decision import Constraint, Transition
from berth_scheduler.plan import plan
from berth_scheduler.snapshot import (
    CapacityType,
    NodeShape,
    Placement,
    PodResources,
    Problem,
    Running,
    Variant,
)
from example_snapshots import decision, node, now_running, p99, pool, snapshot, vision

BOTH = (CapacityType.ON_DEMAND, CapacityType.SPOT)


def settled(workload, *pools, **changes):
    """The workload as it runs after a plan of its own."""
    made = decision(plan(snapshot([workload], pools)))
    assert made.placed, made.message
    return now_running(workload, made.berths, pools, **changes)


def places(made):
    return {berth.pool: berth.replicas for berth in made.berths}


# --- sharing -------------------------------------------------------------------------------------------------------


def test_the_later_workload_takes_its_next_best_when_the_best_is_full():
    pools = [pool("cheap", "L4", "0.5", nodes=1), pool("dear", "T4", "0.9", nodes=3)]
    made = plan(snapshot([vision("a/one"), vision("a/two")], pools))
    assert sorted(pool for one in made.decisions for pool in places(one)) == ["cheap", "dear"]


def test_the_higher_priority_chooses_first():
    pools = [pool("cheap", "L4", "0.5", nodes=1), pool("dear", "T4", "0.9", nodes=3)]
    made = plan(snapshot([vision("a/one"), vision("a/two", priority=1)], pools))
    assert places(decision(made, "a/two")) == {"cheap": 1}


def test_at_equal_priority_who_loses_most_by_the_second_choice_chooses_first():
    pools = [
        pool("cheap", "L4", "0.5", nodes=1),
        pool("dear", "T4", "0.9", nodes=2),
        pool("h", "H100-PCIe-80GB", "9", nodes=2),
    ]
    picky = vision("z/picky", placement=Placement(deny=("T4",)))  # its second choice costs 9 an hour
    made = plan(snapshot([vision("a/easy"), picky], pools))
    assert places(decision(made, "z/picky")) == {"cheap": 1}
    assert places(decision(made, "a/easy")) == {"dear": 1}


def test_who_has_no_second_choice_chooses_before_all_others():
    pools = [pool("cheap", "L4", "0.5", nodes=1), pool("dear", "T4", "50", nodes=2)]
    bound = vision("z/bound", placement=Placement(allow=("L4",)))
    made = plan(snapshot([vision("a/free"), bound], pools))
    assert places(decision(made, "z/bound")) == {"cheap": 1}


def test_a_workload_without_room_waits_and_names_who_holds_it():
    pools = [pool("l4", "L4", "0.5", nodes=2)]
    made = plan(snapshot([vision("a/one", minimum_replicas=2, priority=1), vision("a/two")], pools))
    waiting = decision(made, "a/two")
    assert (waiting.placed, waiting.reason, waiting.waiting_for_capacity) == (False, "InsufficientCapacity", True)
    assert waiting.message == "waiting for room: 1 × L4 wanted, room for 0 in pool l4; held by a/one (2 GPUs)"
    assert waiting.rejected[0].constraint is Constraint.CAPACITY


def test_a_pool_that_others_fill_may_come_free_too():
    taken = pool("l4", "L4", "0.5").model_copy(update={"nodes": (node("n", free_gpus=0),)})
    waiting = decision(plan(snapshot([vision()], [taken])))
    assert waiting.waiting_for_capacity and "held by others" in waiting.message


def test_a_pool_that_is_too_small_however_empty_is_no_reason_to_wait():
    made = decision(plan(snapshot([vision(minimum_replicas=3)], [pool("l4", "L4", "0.5", nodes=2)])))
    assert (made.reason, made.waiting_for_capacity) == ("NoFeasibleCandidate", False)
    assert made.rejected[0].constraint is Constraint.CAPACITY
    assert (made.rejected[0].value, made.rejected[0].limit) == (3, 2)


def test_nodes_to_come_count_up_to_the_maximum():
    growing = pool("l4", "L4", "0.5", nodes=1, maximum_nodes=3)
    assert decision(plan(snapshot([vision(minimum_replicas=3)], [growing]))).placed
    assert not decision(plan(snapshot([vision(minimum_replicas=4)], [growing]))).placed


def test_a_node_to_come_is_no_larger_than_its_shape():
    small = pool("l4", "L4", "0.5", maximum_nodes=3, node_shape=NodeShape(cpu_cores=2, memory_bytes=2**33))
    made = decision(plan(snapshot([vision(resources=PodResources(cpu_cores=4, memory_bytes=2**30))], [small])))
    assert made.rejected[0].constraint is Constraint.NODE_RESOURCES


def test_cordoned_nodes_get_nothing_new():
    cordoned = pool("l4", "L4", "0.5").model_copy(update={"nodes": (node("n", usable=False),)})
    waiting = decision(plan(snapshot([vision()], [cordoned])))
    assert not waiting.placed and waiting.waiting_for_capacity


def test_one_bad_workload_and_one_bad_pool_leave_all_others_alone():
    problem = Problem(reason="UnknownGPU", message="node label nvidia.com/gpu.product=GeForse is not known")
    bad_pool = pool("bad", "L4", "1", nodes=1, gpu=None, price=None, problems=(problem,))
    bad = vision("a/bad", problem=Problem(reason="UnknownPreset", message="resnet51"))
    good_pool = pool("l4", "L4", "0.5", nodes=2)
    alone = decision(plan(snapshot([vision()], [good_pool])))
    beside = decision(plan(snapshot([vision(), bad], [bad_pool, good_pool])), "vision/resnet")
    assert beside.berths == alone.berths and beside.cost == alone.cost


def test_totals_add_up_and_say_what_started_nodes_leave_idle():
    pools = [pool("l4", "L4", "2.00", nodes=2, gpus_per_node=4), pool("new", "T4", "0.10", maximum_nodes=1)]
    made = plan(snapshot([vision("a/one", placement=Placement(deny=("T4",))), vision("a/two")], pools))
    # One L4 of eight on two nodes of $2.00; one T4 on a node of its own that the plan starts.
    assert made.totals.usd_per_hour == Decimal("0.60")
    assert made.totals.idle_usd_per_hour == Decimal("3.50")
    assert made.totals.gpus_by_pool == {"l4": 1, "new": 1}


# --- what runs -----------------------------------------------------------------------------------------------------


def test_what_runs_stays_when_something_cheaper_appears():
    old, new = pool("l4", "L4", "0.80", nodes=2), pool("cheap", "T4", "0.10", nodes=2)
    made = decision(plan(snapshot([settled(vision(), old)], [old, new])))
    assert (made.reason, made.kept, made.transition) == ("Kept", True, Transition.NONE)
    assert places(made) == {"l4": 1}
    cheaper = made.alternatives[0]
    assert (cheaper.berths[0].pool, cheaper.lost_by) == ("cheap", Constraint.KEPT)
    assert cheaper.message == "1 × T4, fp16, on demand: $0.10/h; 88 % less, but a cheaper offer alone moves nothing"


def test_a_changed_spec_is_placed_anew():
    old, new = pool("l4", "L4", "0.80", nodes=2), pool("cheap", "T4", "0.10", nodes=2)
    changed = settled(vision(), old).model_copy(update={"planning_hash": "b"})
    made = decision(plan(snapshot([changed], [old, new])))
    assert (made.kept, made.transition, places(made)) == (False, Transition.SWITCH, {"cheap": 1})


def test_a_broken_objective_is_placed_anew():
    old, new = pool("l4", "L4", "0.80", nodes=2), pool("cheap", "T4", "0.10", nodes=2)
    broken = settled(vision(), old).model_copy(update={"objective_broken": True})
    assert places(decision(plan(snapshot([broken], [old, new])))) == {"cheap": 1}


def test_lost_capacity_moves_what_runs():
    old, new = pool("l4", "L4", "0.80", nodes=2), pool("t4", "T4", "0.90", nodes=2)
    running = settled(vision(), old)
    gone = old.model_copy(update={"nodes": ()})
    made = decision(plan(snapshot([running], [gone, new])))
    assert (made.kept, places(made)) == (False, {"t4": 1})
    assert decision(plan(snapshot([running], [new]))).kept is False


def test_a_pool_that_loses_its_price_keeps_what_runs_there():
    old, new = pool("l4", "L4", "0.80", nodes=2), pool("t4", "T4", "0.10", nodes=2)
    running = settled(vision(), old)
    unpriced = old.model_copy(update={"price": None, "problems": (Problem(reason="NotPriced", message="no price"),)})
    made = decision(plan(snapshot([running], [unpriced, new])))
    assert (made.kept, places(made), made.cost) == (True, {"l4": 1}, None)


def test_a_gpu_that_is_no_longer_recognised_keeps_what_runs_there():
    old, new = pool("l4", "L4", "0.80", nodes=2), pool("t4", "T4", "0.10", nodes=2)
    running = settled(vision(), old)
    garbled = old.model_copy(
        update={"gpu": None, "price": None, "problems": (Problem(reason="UnknownGPU", message="GeForse"),)}
    )
    made = decision(plan(snapshot([running], [garbled, new])))
    assert (made.kept, places(made), made.prediction) == (True, {"l4": 1}, None)


def test_a_plan_is_a_fixed_point_once_it_runs():
    pools = [
        pool("l4", "L4", "0.80", nodes=6),
        pool("l4-spot", "L4", "0.30", nodes=6, capacity_type=CapacityType.SPOT),
    ]
    workload = vision(minimum_replicas=7, placement=Placement(capacity_types=BOTH))
    first = decision(plan(snapshot([workload], pools)))
    second = decision(plan(snapshot([now_running(workload, first.berths, pools)], pools)))
    assert second.kept and second.berths == first.berths and second.cost == first.cost


def test_a_deployment_that_a_human_scaled_keeps_its_room_but_not_its_place_in_the_plan():
    pools = [pool("l4", "L4", "0.80", nodes=4)]
    running = settled(vision(), *pools)
    scaled = running.running[0].berths[0]
    scaled = scaled.model_copy(
        update={"berth": scaled.berth.model_copy(update={"replicas": 3}), "nodes": ("l4-0", "l4-1", "l4-2")}
    )
    running = running.model_copy(update={"running": (running.running[0].model_copy(update={"berths": (scaled,)}),)})
    made = plan(snapshot([running, vision("z/other", minimum_replicas=2)], pools))
    assert places(decision(made, "vision/resnet")) == {"l4": 1}
    assert decision(made, "z/other").waiting_for_capacity


def test_a_replica_that_lost_its_node_is_placed_again_beside_the_others():
    pools = [pool("l4", "L4", "0.80", nodes=2), pool("l4-b", "L4", "0.90", nodes=2)]
    running = settled(vision(minimum_replicas=2), pools[0])
    broken = pools[0].model_copy(update={"nodes": pools[0].nodes[:1]})
    made = decision(plan(snapshot([running], [broken, pools[1]])))
    assert made.kept and places(made) == {"l4": 1, "l4-b": 1}


def test_kept_workloads_come_before_those_of_higher_priority():
    pools = [pool("l4", "L4", "0.80", nodes=1)]
    running = settled(vision(), *pools)
    made = plan(snapshot([running, vision("a/urgent", priority=100)], pools))
    assert decision(made, "vision/resnet").kept
    assert decision(made, "a/urgent").waiting_for_capacity


def test_a_move_needs_room_for_both_or_waits():
    pools = [pool("l4", "L4", "0.80", nodes=1)]
    changed = settled(vision(), *pools).model_copy(
        update={"planning_hash": "b", "variants": (Variant(precision="int8"),)}
    )
    made = decision(plan(snapshot([changed], pools)))
    assert (made.placed, made.reason, made.transition) == (True, "NoRoomToSwitch", Transition.WAIT)
    assert made.berths[0].precision == "int8"


def test_recreate_stops_what_runs_where_there_is_no_room_for_both():
    pools = [pool("l4", "L4", "0.80", nodes=1)]
    changed = settled(vision(), *pools).model_copy(
        update={"planning_hash": "b", "variants": (Variant(precision="int8"),), "strategy": "Recreate"}
    )
    made = decision(plan(snapshot([changed], pools)))
    assert (made.placed, made.reason, made.transition) == (True, "Placed", Transition.RECREATE)


def test_while_a_workload_waits_to_switch_nobody_else_gets_its_room():
    pools = [pool("l4", "L4", "0.80", nodes=1)]
    changed = settled(vision(), *pools).model_copy(
        update={"planning_hash": "b", "variants": (Variant(precision="int8"),)}
    )
    made = plan(snapshot([changed, vision("z/other", priority=-1)], pools))
    assert decision(made, "z/other").waiting_for_capacity


def test_a_higher_rate_grows_in_place_without_room_for_two_revisions():
    pools = [pool("l4", "L4", "0.80", nodes=3)]
    workload = settled(vision(minimum_replicas=2), *pools)
    more = workload.model_copy(update={"planning_hash": "b", "minimum_replicas": 3})
    made = decision(plan(snapshot([more], pools)))
    assert (made.transition, places(made)) == (Transition.NONE, {"l4": 3})
    assert made.berths[0].model_copy(update={"replicas": 2}) == workload.running[0].berths[0].berth


def test_a_switch_under_way_is_not_decided_again():
    pools = [pool("l4", "L4", "0.80", nodes=4), pool("t4", "T4", "0.50", nodes=4)]
    old = settled(vision(), pools[0], planned_for="older", revision="00000000")
    new = settled(vision(), pools[1], serving=False)
    both = new.model_copy(update={"running": (*old.running, *new.running)})
    cheaper = pool("new", "L40S", "0.01", nodes=4)
    made = decision(plan(snapshot([both], [*pools, cheaper])))
    assert (made.kept, made.transition, places(made)) == (True, Transition.SWITCH, {"t4": 1})


def test_a_switch_away_from_lost_capacity_goes_on_to_where_it_was_going():
    pools = [
        pool("l4", "L4", "0.80", nodes=1),
        pool("t4", "T4", "0.50", nodes=2),
        pool("l40s", "L40S", "0.90", nodes=2),
    ]
    full = pool("l4", "L4", "0.80", nodes=2)
    lost = settled(vision(minimum_replicas=2), full, revision="00000000")
    going = settled(vision(minimum_replicas=2), pools[1], serving=False)
    both = going.model_copy(update={"running": (*lost.running, *going.running)})
    made = decision(plan(snapshot([both], pools)))
    assert (made.kept, made.transition, places(made)) == (True, Transition.SWITCH, {"t4": 2})


def test_a_pool_that_has_another_name_now_and_the_same_nodes_moves_nothing():
    found = pool("l4-ondemand-g6", "L4", "0.80", nodes=3)
    running = settled(vision(minimum_replicas=2), found)
    stated = found.model_copy(update={"name": "l4"})
    made = decision(plan(snapshot([running], [stated, pool("t4", "T4", "0.01", nodes=3)])))
    assert (made.kept, made.transition, places(made)) == (True, Transition.NONE, {"l4": 2})


def test_an_impossible_new_spec_leaves_what_runs_its_room():
    pools = [pool("l4", "L4", "0.80", nodes=1)]
    impossible = settled(vision(), *pools).model_copy(update={"planning_hash": "b", "latency": p99(0.1)})
    made = plan(snapshot([impossible, vision("z/other")], pools))
    assert decision(made, "vision/resnet").reason == "NoFeasibleCandidate"
    assert decision(made, "z/other").waiting_for_capacity


def test_a_workload_that_is_not_understood_keeps_the_room_of_what_runs():
    pools = [pool("l4", "L4", "0.80", nodes=1)]
    broken = settled(vision(), *pools).model_copy(
        update={"problem": Problem(reason="InvalidSpec", message="spec.model.variants: none")}
    )
    made = plan(snapshot([broken, vision("z/other")], pools))
    assert decision(made, "z/other").waiting_for_capacity


def test_a_revision_of_mixed_configurations_is_not_kept():
    pools = [pool("l4", "L4", "0.80", nodes=4)]
    running = settled(vision(), *pools)
    berth = running.running[0].berths[0]
    other = berth.model_copy(update={"berth": berth.berth.model_copy(update={"maximum_batch_size": 3})})
    mixed = Running(revision="1", planned_for="a", serving=True, berths=(berth, other))
    made = decision(plan(snapshot([running.model_copy(update={"running": (mixed,)})], pools)))
    assert not made.kept


def test_the_decision_hash_changes_with_the_berths_and_not_with_the_date_of_the_price():
    old = pool("l4", "L4", "0.80", nodes=2)
    newer = old.model_copy(update={"price": old.price.model_copy(update={"date": old.price.date.replace(day=3)})})
    dearer = old.model_copy(update={"price": old.price.model_copy(update={"usd_per_node_hour": Decimal("0.81")})})
    hashes = [decision(plan(snapshot([vision()], [one]))).decision_hash for one in (old, newer, dearer)]
    assert hashes[0] == hashes[1] != hashes[2]
