"""A world becomes a snapshot: whoever is garbled is named, everybody else is unaffected, order never matters."""

import random
from datetime import UTC, datetime
from typing import Any

from berth_operator.catalogues import Catalogues
from berth_operator.gather import gather
from berth_operator.world import World
from berth_scheduler.snapshot import Snapshot
from kubernetes_objects import child_labels, claim, deployment, node, pod, pool, service, workload

TIME = datetime(2026, 11, 2, 12, tzinfo=UTC)
CATALOGUES = Catalogues.built_in()
REVISION = "aaaaaaaa"
LABELS = {"karpenter.sh/nodepool": "l4"}
RUNNING = [
    deployment(f"resnet-{REVISION}-11111", REVISION),
    service(REVISION),
    pod(f"resnet-{REVISION}-11111-x-1", "n1", labels=child_labels(REVISION), **{"nvidia.com/gpu": "1", "cpu": "2"}),
]


def snapshot(*objects: dict[str, Any]) -> Snapshot:
    return gather(World.of(objects), CATALOGUES, time=TIME)


def test_a_snapshot_has_workloads_with_what_runs_and_pools_with_what_is_free() -> None:
    found = snapshot(workload(), claim(), pool(), node(labels=LABELS), *RUNNING)
    assert [one.key for one in found.workloads] == ["vision/resnet"]
    assert found.workloads[0].running[0].berths[0].nodes == ("n1",)
    assert [one.name for one in found.pools] == ["l4"]
    assert Snapshot.model_validate_json(found.model_dump_json()) == found


def test_savings_are_measured_by_what_gpus_are_listed_at_where_the_fleet_buys() -> None:
    stated = {"cloud": "gcp", "region": "us-east4", "instanceType": "g2-standard-8"}
    found = snapshot(
        pool("ours", price=stated),
        pool("ours-spot", price=stated | {"term": "Spot"}, capacityType="Spot", nodeSelector={"pool": "spot"}),
    )
    listed = {one.gpu: one for one in found.list_prices}
    assert {"T4", "A10G", "L4", "A100-SXM-80GB", "H100-SXM-80GB"} == set(listed)
    assert (listed["L4"].cloud, listed["L4"].region, listed["L4"].gpus_per_node) == ("gcp", "us-east4", 1)
    assert listed["T4"].specification is not None
    assert listed["L4"].specification is None
    on_demand, spot = found.pools
    assert on_demand.on_demand_price is None
    assert spot.price is not None
    assert spot.on_demand_price == on_demand.price
    assert spot.price.usd_per_node_hour < on_demand.price.usd_per_node_hour  # type: ignore[union-attr]


def test_labels_of_nodes_say_where_the_fleet_buys() -> None:
    labels = {"topology.kubernetes.io/region": "eu-west-1", "karpenter.k8s.aws/instance-family": "g4dn"}
    (listed,) = (one for one in snapshot(node(labels=LABELS | labels)).list_prices if one.gpu == "T4")
    assert (listed.cloud, listed.region) == ("aws", "eu-west-1")


def test_what_our_own_pods_hold_is_free_for_the_plan() -> None:
    (free,) = snapshot(workload(), pool(), node(labels=LABELS), *RUNNING).pools[0].nodes
    assert (free.free_gpus, free.free_cpu_cores) == (1, 4)


def test_pods_that_no_readable_berth_accounts_for_hold_what_they_request() -> None:
    garbled = deployment(f"resnet-{REVISION}-11111", REVISION, berth="{")
    found = snapshot(workload(), pool(), node(labels=LABELS), garbled, *RUNNING[1:])
    assert found.pools[0].nodes[0].free_gpus == 0
    assert [one.reason for one in found.workloads[0].remarks] == ["InvalidSpec"]
    orphaned = snapshot(pool(), node(labels=LABELS), *RUNNING)
    assert orphaned.pools[0].nodes[0].free_gpus == 0


def test_a_bad_workload_and_a_bad_pool_change_nothing_for_the_others() -> None:
    alone = snapshot(workload(), claim(), pool(), node(labels=LABELS))
    bad = [
        workload("typo", model={"preset": "resnet51", "variants": []}),
        workload("garbage", traffic="yes please"),
        pool("broken", price={"usdPerNodeHour": -3}, nodeSelector={"pool": "broken"}),
    ]
    together = snapshot(*bad, workload(), claim(), pool(), node(labels=LABELS))
    assert [one for one in together.workloads if one.key == "vision/resnet"] == list(alone.workloads)
    assert [one for one in together.pools if one.name == "l4"] == list(alone.pools)
    assert {one.key for one in together.workloads if one.problem} == {"vision/typo", "vision/garbage"}


def test_the_order_of_objects_never_matters() -> None:
    objects = [workload(), workload("b"), claim(), pool(), pool("p2"), *(node(f"n{i}") for i in range(9)), *RUNNING]
    first = snapshot(*objects).model_dump_json()
    for seed in range(5):
        random.Random(seed).shuffle(objects)
        assert snapshot(*objects).model_dump_json() == first
