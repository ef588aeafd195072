"""Packing on nodes: the one place of the planner with state."""

import pytest

from berth_scheduler.capacity import Holding, Need, Reach, Room, Slots, need_of
from berth_scheduler.snapshot import NodeShape, PodResources
from example_snapshots import GIB, node, pool

ANYWHERE = Reach()


def room(*nodes, **changes):
    one = pool("l4", "L4", "1", gpus_per_node=4, **changes).model_copy(update={"nodes": nodes})
    return Room.of([one])


def gpus(units, millicores=1000, memory=GIB):
    return Need(None, units, millicores, memory)


def test_a_replica_takes_whole_gpus_of_one_node():
    free = room(node("a", 4, free_gpus=3), node("b", 4, free_gpus=3))
    assert free.pools[0].slots(gpus(2), ANYWHERE).started == 2
    assert free.pools[0].slots(gpus(4), ANYWHERE).started == 0


def test_cpu_and_memory_count_as_much_as_gpus():
    free = room(node("a", 4, free_cpu_cores=2.5), node("b", 4, free_memory_bytes=GIB))
    assert free.pools[0].slots(gpus(1), ANYWHERE).started == 2 + 1


def test_the_fullest_node_that_still_fits_is_filled_first():
    pools = room(node("a", 4), node("b", 4, free_gpus=1), node("c", 4, free_gpus=2)).pools[0]
    assert pools.pack(gpus(1), ANYWHERE, 3, 0) == ([1, 2], [1, 2])


def test_ties_go_to_the_node_that_comes_first_by_name():
    pools = room(node("b", 4), node("a", 4)).pools[0]
    nodes, counts = pools.pack(gpus(1), ANYWHERE, 4, 0)
    assert [pools.names[index] for index in nodes] == ["a"] and counts == [4]


def test_new_nodes_are_started_as_they_are_needed_and_no_more_than_allowed():
    free = room(node("a", 4, free_gpus=0), maximum_nodes=3)
    assert free.pools[0].slots(gpus(3), ANYWHERE) == Slots(started=0, new_per_node=1, new_nodes=2)
    nodes, counts = free.pools[0].pack(gpus(3), ANYWHERE, 0, 2)
    free.hold("w", Holding(0, gpus(3), tuple(nodes), tuple(counts)))
    assert free.pools[0].slots(gpus(1), ANYWHERE) == Slots(started=2, new_per_node=4, new_nodes=0)


def test_a_new_node_has_the_slices_of_its_layout():
    mig = pool("mig", "A100-SXM-80GB", "1", gpus_per_node=2, mig_layout={"1g.10gb": 7}, maximum_nodes=1)
    assert Room.of([mig]).pools[0].slots(Need("1g.10gb", 1, 0, 0), ANYWHERE).total == 14
    assert Room.of([mig]).pools[0].slots(gpus(1), ANYWHERE).started == 0


def test_a_new_node_of_unknown_size_is_limited_by_its_gpus_alone():
    free = room(maximum_nodes=1, node_shape=None)
    assert free.pools[0].slots(gpus(1, millicores=10**6, memory=2**50), ANYWHERE).new == 4


def test_a_new_node_is_limited_by_its_shape():
    free = room(maximum_nodes=1, node_shape=NodeShape(cpu_cores=2.5, memory_bytes=512 * GIB))
    assert free.pools[0].slots(gpus(1), ANYWHERE).new == 2


def test_a_zone_leaves_out_other_zones_and_nodes_that_say_none():
    free = room(node("a", 4, zone="x"), node("b", 4, zone="y"), node("c", 4))
    assert free.pools[0].slots(gpus(1), Reach(zones=frozenset({"x"}))).started == 4


def test_a_pool_in_another_zone_starts_no_node_for_the_volume():
    free = room(maximum_nodes=1, zones=("y",))
    assert free.pools[0].slots(gpus(1), Reach(zones=frozenset({"x"}))).total == 0
    assert free.pools[0].slots(gpus(1), Reach(zones=frozenset({"y"}))).total == 4


def test_a_volume_of_one_node_is_reached_there_alone():
    free = room(node("a", 4), node("b", 4), maximum_nodes=9)
    assert free.pools[0].slots(gpus(1), Reach(node="b")) == Slots(4, 0, 0)


def test_all_on_a_single_node_counts_the_roomiest():
    free = room(node("a", 4, free_gpus=3), node("b", 4, free_gpus=2))
    reach = Reach(single_node=True)
    assert free.pools[0].slots(gpus(1), reach).started == 3
    assert free.pools[0].pack(gpus(1), reach, 3, 0) == ([0], [3])


def test_what_is_released_is_free_again():
    free = room(node("a", 4))
    free.hold("w", Holding(0, gpus(2), (0,), (2,)))
    assert free.pools[0].slots(gpus(1), ANYWHERE).started == 0
    assert free.holders(0) == [("w", 4)]
    free.release("w")
    assert free.pools[0].slots(gpus(1), ANYWHERE).started == 4
    assert free.holders(0) == []


def test_of_two_holdings_on_a_node_the_larger_is_held():
    free = room(node("a", 4), node("b", 4))
    old = [Holding(0, gpus(1), (0, 1), (2, 1))]
    free.hold("w", Holding(0, gpus(1), (0,), (1,)))
    free.hold_rest("w", old)
    assert free.pools[0].free_units(None).tolist() == [2, 3]


@pytest.mark.parametrize(("cores", "millicores"), [(0.1, 100), (0.0005, 1), (1.1, 1100), (0.29, 290)])
def test_cores_are_counted_in_millicores_rounded_up(cores, millicores):
    assert need_of(PodResources(cpu_cores=cores, memory_bytes=1), None, 1).millicores == millicores
