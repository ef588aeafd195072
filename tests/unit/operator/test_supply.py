"""GPUPools and nodes become pools: labels of every vocabulary, what others hold, prices, and all that is wrong."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

import fleet
from berth_operator.catalogues import Catalogues
from berth_operator.supply.pools import pools_of
from berth_operator.world import World
from berth_scheduler.snapshot import CapacityType, Policy, Pool, Toleration
from kubernetes_objects import node, pod, pool

TIME = datetime(2026, 11, 2, 12, tzinfo=UTC)
CATALOGUES = Catalogues.built_in()
OURS = {"karpenter.sh/nodepool": "l4"}
NO_L4 = {"nvidia.com/gpu.memory": None, "nvidia.com/gpu.count": None}

POLICY = Policy()


def pools(
    *objects: dict[str, Any], tolerations: tuple[Toleration, ...] = (), policy: Policy = POLICY
) -> dict[str, Pool]:
    found = pools_of(World.of(objects), CATALOGUES, time=TIME, tolerations=tolerations, policy=policy)
    return {one.name: one for one in found}


def only(*objects: dict[str, Any], policy: Policy = POLICY) -> Pool:
    (found,) = pools(*objects, policy=policy).values()
    return found


# --- what nodes say ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "gpu"),
    [
        ({"nvidia.com/gpu.product": "Tesla-T4", "nvidia.com/gpu.memory": "15360"}, "T4"),
        ({"nvidia.com/gpu.product": "NVIDIA-A10G", "nvidia.com/gpu.memory": "23028"}, "A10G"),
        ({"nvidia.com/gpu.product": "A100-SXM4-40GB", **NO_L4}, "A100-SXM-40GB"),
        ({"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3", "nvidia.com/gpu.memory": "81559"}, "H100-SXM-80GB"),
        ({"nvidia.com/gpu.product": None, **NO_L4, "cloud.google.com/gke-accelerator": "nvidia-l4"}, "L4"),
        (
            {
                "nvidia.com/gpu.product": None,
                **NO_L4,
                "karpenter.k8s.aws/instance-gpu-name": "l40s",
                "karpenter.k8s.aws/instance-gpu-memory": "45776",
            },
            "L40S",
        ),
    ],
)
def test_the_gpu_is_read_from_the_labels_of_every_vocabulary(labels: dict[str, Any], gpu: str) -> None:
    found = only(node(labels={"node.kubernetes.io/instance-type": None, **labels}))
    assert found.gpu is not None and found.gpu.name == gpu


def test_without_any_gpu_label_the_instance_type_tells_the_gpu() -> None:
    found = only(node(labels={"nvidia.com/gpu.product": None, **NO_L4}))
    assert found.gpu is not None and found.gpu.name == "L4"


@pytest.mark.parametrize(
    ("labels", "capacity_type"),
    [
        ({"karpenter.sh/capacity-type": "spot"}, CapacityType.SPOT),
        ({"karpenter.sh/capacity-type": "reserved"}, CapacityType.RESERVED),
        ({"karpenter.sh/capacity-type": None, "eks.amazonaws.com/capacityType": "SPOT"}, CapacityType.SPOT),
        ({"karpenter.sh/capacity-type": None, "cloud.google.com/gke-spot": "true"}, CapacityType.SPOT),
        ({"karpenter.sh/capacity-type": None, "cloud.google.com/gke-provisioning": "standard"}, CapacityType.ON_DEMAND),
        ({"karpenter.sh/capacity-type": None, "kubernetes.azure.com/scalesetpriority": "spot"}, CapacityType.SPOT),
        ({"karpenter.sh/capacity-type": None}, CapacityType.ON_DEMAND),
    ],
)
def test_the_capacity_type_is_read_from_the_labels_of_every_cloud(
    labels: dict[str, Any], capacity_type: CapacityType
) -> None:
    assert only(node(labels=labels)).capacity_type is capacity_type


def test_a_discovered_pool_is_named_priced_and_pinned_by_what_its_nodes_have_in_common() -> None:
    found = only(node("b"), node("a"))
    assert found.name == "l4-ondemand-g6-xlarge-us-east-1a"
    assert not found.stated
    assert [one.name for one in found.nodes] == ["a", "b"]
    assert found.price is not None and found.price.usd_per_node_hour == Decimal("0.8048")
    assert found.node_labels == {
        "karpenter.sh/capacity-type": "on-demand",
        "node.kubernetes.io/instance-type": "g6.xlarge",
        "nvidia.com/gpu.product": "NVIDIA-L4",
        "topology.kubernetes.io/zone": "us-east-1a",
    }


def test_nodes_that_differ_in_zone_or_capacity_type_are_different_pools() -> None:
    found = pools(
        node("a"),
        node("b", labels={"topology.kubernetes.io/zone": "us-east-1b"}),
        node("c", labels={"karpenter.sh/capacity-type": "spot"}),
    )
    assert sorted(found) == [
        "l4-ondemand-g6-xlarge-us-east-1a",
        "l4-ondemand-g6-xlarge-us-east-1b",
        "l4-spot-g6-xlarge-us-east-1a",
    ]


def test_a_long_name_is_cut_to_a_dns_label_and_stays_distinct() -> None:
    zones = [f"a-very-long-zone-name-of-some-private-cloud-region-{i}" for i in range(2)]
    found = pools(*(node(zone, labels={"topology.kubernetes.io/zone": zone}) for zone in zones))
    assert len(found) == 2 and all(len(name) <= 63 for name in found)


def test_what_other_pods_hold_is_not_free() -> None:
    four = node(gpus="4", cpu="16", memory="64Gi")
    held = pod("train", "n1", **{"nvidia.com/gpu": "3", "cpu": "2500m", "memory": "10Gi"})
    finished = pod("done", "n1", **{"nvidia.com/gpu": "1"}) | {"status": {"phase": "Succeeded"}}
    going = pod("going", "n1", **{"nvidia.com/gpu": "1"})
    going["metadata"]["deletionTimestamp"] = "2026-11-02T12:00:00Z"
    (free,) = only(four, held, finished, going, pod("pending", None, cpu="8")).nodes
    assert (free.gpus, free.free_gpus, free.free_cpu_cores, free.free_memory_bytes) == (4, 1, 13.5, 54 * 2**30)


def test_a_pod_counts_its_largest_init_container_and_its_sidecars() -> None:
    held = pod("one", "n1", cpu="1")
    held["spec"]["initContainers"] = [
        {"resources": {"requests": {"cpu": "500m"}}, "restartPolicy": "Always"},
        {"resources": {"requests": {"cpu": "2"}}},
    ]
    (free,) = only(node(), held).nodes
    assert free.free_cpu_cores == 4 - 2.5


def test_cordoned_and_unready_nodes_are_there_and_not_usable() -> None:
    cordoned, unready = node("cordoned"), node("unready")
    cordoned["spec"]["unschedulable"] = True
    unready["status"]["conditions"][0]["status"] = "Unknown"
    found = only(cordoned, unready, node("well"))
    assert {one.name: one.usable for one in found.nodes} == {"cordoned": False, "unready": False, "well": True}


def test_mig_slices_are_counted_by_profile_and_the_layout_by_gpu() -> None:
    labels = {
        "nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB",
        "nvidia.com/gpu.memory": "81920",
        "nvidia.com/gpu.count": "8",
        "node.kubernetes.io/instance-type": "p4de.24xlarge",
    }
    slices = {"nvidia.com/mig-1g.10gb": "16", "nvidia.com/mig-2g.20gb": "8", "nvidia.com/mig-3g.40gb": "8"}
    cut = node(labels=labels, gpus="0", cpu="96", memory="1100Gi", **slices)
    found = only(cut, pod("other", "n1", **{"nvidia.com/mig-1g.10gb": "5"}))
    assert found.mig_layout == {"1g.10gb": 2, "2g.20gb": 1, "3g.40gb": 1}
    assert found.gpus_per_node == 8
    assert found.nodes[0].free_slices == {"1g.10gb": 11, "2g.20gb": 8, "3g.40gb": 8}


# --- what cannot be read -----------------------------------------------------------------------------------------


def garble(bad: dict[str, Any], **status: Any) -> dict[str, Any]:
    return node("bad", labels=bad, **status)


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (garble({"nvidia.com/gpu.product": "NVIDIA-Q7000"}), "NVIDIA-Q7000 is no known GPU"),
        (garble({"nvidia.com/gpu.memory": "lots"}), "nvidia.com/gpu.memory is 'lots', not a number of MiB"),
        (garble({"nvidia.com/gpu.memory": "81920"}), "contradicts 81920 MiB of memory"),
        (
            garble({"karpenter.sh/capacity-type": "sport"}),
            "capacity-type is 'sport' (known: spot, on-demand, reserved)",
        ),
        (
            garble({"cloud.google.com/gke-accelerator": "nvidia-tesla-t4"}),
            "label nvidia.com/gpu.product says L4, and cloud.google.com/gke-accelerator says T4",
        ),
        (garble({"nvidia.com/gpu.product": "NVIDIA-L4-SHARED"}), "its GPUs are shared"),
        (garble({"nvidia.com/gpu.replicas": "4"}), "its GPUs are shared"),
        (garble({}, gpus="a few"), "status.allocatable.nvidia.com/gpu: must be a quantity"),
        (garble({}, gpus="-1"), "status.allocatable.nvidia.com/gpu: must not be negative"),
        (garble({}, cpu="1e30"), "status.allocatable is out of reach of any node"),
        (garble({}, cpu="0"), "does not say how much cpu and memory"),
        (garble({}, gpus=0), "it offers no nvidia.com/gpu"),
        (
            garble({"nvidia.com/gpu.product": None, **NO_L4, "node.kubernetes.io/instance-type": "mystery"}),
            "no label names its GPU",
        ),
    ],
)
def test_a_garbled_node_is_left_out_and_named_and_all_others_are_used(bad: dict[str, Any], says: str) -> None:
    found = pools(bad, node("good"))
    assert [one.name for one in found["l4-ondemand-g6-xlarge-us-east-1a"].nodes] == ["good"]
    (problem,) = found["unreadable-nodes"].problems
    assert problem.message.startswith("node bad left out: ") and says in problem.message
    assert found["unreadable-nodes"].gpu is None


def test_a_garbled_node_of_a_stated_pool_is_a_remark_and_the_pool_stays_usable() -> None:
    found = only(pool(), node("good", labels=OURS), node("bad", labels=OURS | {"nvidia.com/gpu.product": "L-four"}))
    assert not found.problems
    assert [one.name for one in found.nodes] == ["good"]
    assert [one.reason for one in found.remarks] == ["UnreadableLabels"]


def test_a_price_that_the_book_does_not_have_makes_the_pool_unusable_and_is_never_zero() -> None:
    found = only(node(labels={"node.kubernetes.io/instance-type": "g6.huge"}))
    assert found.price is None
    assert [one.reason for one in found.problems] == ["NoPrice"]
    assert "no instance type g6.huge" in found.problems[0].message


OLD_SPOT = {"cloud": "azure", "region": "eastus2", "instanceType": "Standard_NC24ads_A100_v4", "term": "Spot"}
"""A price of 2024-01-01."""


def test_a_price_that_is_too_old_makes_the_pool_unusable_and_says_since_when() -> None:
    spot = pool(gpu="A100-PCIe-80GB", capacityType="Spot", price=OLD_SPOT, maximumNodes=2)
    found = only(spot, policy=Policy(price_refused_after_days=365))
    assert found.price is None
    (problem,) = found.problems
    assert problem.reason == "NoPrice" and "of 2024-01-01, older than 365 days" in problem.message
    assert only(spot, policy=Policy(price_refused_after_days=None)).price is not None


def test_an_old_price_is_used_and_the_pool_says_what_it_may_be_by_now() -> None:
    spot = pool(gpu="A100-PCIe-80GB", capacityType="Spot", price=OLD_SPOT, maximumNodes=2)
    found = only(spot, policy=Policy(price_refused_after_days=None))
    assert not found.problems
    (remark,) = found.remarks
    assert remark.message.startswith("its price is of 2024-01-01, older than 180 days: it may be $")


def test_a_price_that_a_pool_states_itself_does_not_grow_old() -> None:
    stored = pool()
    stored["metadata"]["creationTimestamp"] = "2020-10-05T08:00:00Z"
    found = only(stored)
    assert found.price is not None and found.price.stated and not found.remarks


# --- what is stated ----------------------------------------------------------------------------------------------


def test_a_stated_pool_takes_the_nodes_it_selects_and_the_rest_is_discovered() -> None:
    found = pools(pool(), node("mine", labels=OURS), node("other"))
    assert [one.name for one in found["l4"].nodes] == ["mine"]
    assert found["l4"].price is not None and found["l4"].price.usd_per_node_hour == 1
    assert [one.name for one in found["l4-ondemand-g6-xlarge-us-east-1a"].nodes] == ["other"]


def test_a_pool_needs_no_nodes_where_its_instance_type_says_what_one_is() -> None:
    price = {"cloud": "aws", "region": "us-east-1", "instanceType": "g6.12xlarge"}
    found = only(pool(gpu=None, gpusPerNode=None, price=price, maximumNodes=4))
    assert found.gpu is not None and (found.gpu.name, found.gpus_per_node) == ("L4", 4)
    assert not found.problems and found.price is not None
    assert found.node_shape is not None and 47 < found.node_shape.cpu_cores < 48
    assert 0.9 * 192 * 2**30 < found.node_shape.memory_bytes < 192 * 2**30


def test_a_stated_price_is_dated_by_the_object_and_else_by_the_time_of_the_plan() -> None:
    stored = pool()
    stored["metadata"]["creationTimestamp"] = "2026-10-05T08:00:00Z"
    for thing, day in ((stored, date(2026, 10, 5)), (pool(), TIME.date())):
        price = only(thing).price
        assert price is not None and (price.date, price.source) == (day, "GPUPool l4")


@pytest.mark.parametrize(
    ("spec", "reason", "says"),
    [
        ({"gpu": "L5"}, "UnknownGPU", "spec.gpu: L5 is no known GPU"),
        ({"gpu": None}, "UnknownGPU", "spec.gpu is not stated"),
        ({"gpusPerNode": None}, "InvalidSpec", "spec.gpusPerNode is not stated"),
        ({"price": None}, "NoPrice", "no price is stated"),
        ({"price": {"usdPerNodeHour": "-1"}}, "NoPrice", "spec.price.usdPerNodeHour"),
        ({"price": {"usdPerNodeHour": 0}}, "NoPrice", "spec.price.usdPerNodeHour: must be above zero"),
        (
            {"price": {"cloud": "aws", "region": "us-east-1", "instanceType": "g6.xxlarge"}},
            "NoPrice",
            "no instance type g6.xxlarge of aws; nearest: g6.",
        ),
        ({"migProfiles": {"1g.10gb": 7}}, "InvalidSpec", "L4 has no profile 1g.10gb"),
        ({"gpu": "A100-SXM-80GB", "migProfiles": {"1g.10gb": 8}}, "InvalidSpec", "more slices than one"),
        ({"nodeSelector": None}, "InvalidSpec", "spec.nodeSelector: Required value"),
    ],
)
def test_a_pool_that_cannot_be_used_says_why_and_the_others_go_on(spec: dict[str, Any], reason: str, says: str) -> None:
    found = pools(pool("bad", **spec), pool("good", nodeSelector={"pool": "good"}))
    assert not found["good"].problems
    assert (reason, True) in [(one.reason, says in one.message) for one in found["bad"].problems]


def test_a_pool_whose_nodes_have_another_gpu_names_them() -> None:
    t4 = {"nvidia.com/gpu.product": "Tesla-T4", "node.kubernetes.io/instance-type": "g4dn.xlarge", **NO_L4, **OURS}
    found = only(pool(), node("a", labels=OURS), node("b", labels=t4))
    assert [one.message for one in found.problems] == [
        "spec.gpu is L4, but there is T4 on node b: correct one",
    ]
    mixed = only(pool(gpu=None), node("a", labels=OURS), node("b", labels=t4))
    assert "different GPUs: L4 on node a; T4 on node b" in mixed.problems[0].message


def test_a_node_bought_or_cut_otherwise_is_left_out_unless_all_are() -> None:
    spot = OURS | {"karpenter.sh/capacity-type": "spot"}
    found = only(pool(), node("a", labels=OURS), node("b", labels=spot), node("c", labels=OURS, gpus=2))
    assert [one.name for one in found.nodes] == ["a"] and len(found.remarks) == 2 and not found.problems
    assert [one.reason for one in only(pool(), node("b", labels=spot)).problems] == ["ContradictoryNodes"]


def test_of_two_pools_that_select_a_node_the_more_specific_has_it() -> None:
    narrow = pool("narrow", nodeSelector=OURS | {"karpenter.sh/capacity-type": "on-demand"})
    found = pools(pool("broad"), narrow, node(labels=OURS))
    assert (len(found["narrow"].nodes), len(found["broad"].nodes)) == (1, 0)
    assert not found["broad"].problems


def test_of_two_pools_as_specific_the_older_has_the_node_and_the_other_says_so() -> None:
    older = pool("zebra")
    older["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z"
    newer = pool("ant")
    newer["metadata"]["creationTimestamp"] = "2026-02-01T00:00:00Z"
    found = pools(newer, older, node(labels=OURS))
    assert len(found["zebra"].nodes) == 1 and not found["zebra"].problems
    (problem,) = found["ant"].problems
    assert problem.reason == "OverlappingPools" and "node n1 also belong to GPUPool zebra" in problem.message


def test_an_invalid_pool_keeps_its_nodes_from_being_sold_as_discovered() -> None:
    found = pools(pool(price={"usdPerNodeHour": "-1"}), node(labels=OURS))
    assert list(found) == ["l4"]


def test_a_taint_that_nobody_tolerates_makes_the_node_unusable_and_is_named() -> None:
    tainted = node(labels=OURS)
    tainted["spec"]["taints"] = [
        {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"},
        {"key": "team", "value": "ml", "effect": "NoSchedule"},
    ]
    found = only(pool(), tainted)
    assert [one.usable for one in found.nodes] == [False]
    assert "taint team=ml:NoSchedule keeps pods off node n1" in found.remarks[0].message
    tolerated = only(pool(tolerations=[{"key": "team", "value": "ml"}]), tainted)
    assert [one.usable for one in tolerated.nodes] == [True] and not tolerated.remarks
    platform = pools(pool(), tainted, tolerations=(Toleration(key="team", operator="Exists"),))["l4"]
    assert [one.usable for one in platform.nodes] == [True]


def test_the_spot_taint_of_a_cloud_is_tolerated_by_a_discovered_spot_pool() -> None:
    spot = node(labels={"karpenter.sh/capacity-type": None, "cloud.google.com/gke-spot": "true"})
    spot["spec"]["taints"] = [{"key": "cloud.google.com/gke-spot", "value": "true", "effect": "NoSchedule"}]
    found = only(spot)
    assert [one.usable for one in found.nodes] == [True]
    assert [one.key for one in found.tolerations] == ["cloud.google.com/gke-spot", "nvidia.com/gpu"]


def test_a_label_that_says_too_little_contradicts_nothing() -> None:
    a100 = {
        "nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB",
        "nvidia.com/gpu.memory": "81920",
        "node.kubernetes.io/instance-type": "p4de.24xlarge",
        "karpenter.k8s.aws/instance-gpu-name": "a100",
    }
    found = only(node(labels=a100, gpus="8", cpu="96", memory="1152Gi"))
    assert found.gpu is not None and found.gpu.name == "A100-SXM-80GB"


def test_the_nodes_of_the_local_cluster_are_read_as_they_are_meant() -> None:
    """Seven kinds of node that are as they should be; three that are not, each with its reason."""
    objects = [fleet.node(kind, number) for kind, count in fleet.DEFAULT_FLEET for number in range(count)]
    found = pools(*objects)
    usable = {one.gpu.name: len(one.nodes) for one in found.values() if one.gpu is not None and not one.problems}
    assert usable["T4"] == 2 and usable["L40S"] == 3 and usable["L4"] == 4 and usable["H100-SXM-80GB"] == 2
    assert not [one.problems for one in found.values() if one.gpu is not None and one.problems]
    lost = " ".join(problem.message for problem in found["unreadable-nodes"].problems)
    assert all(f"node {kind}-0 left out" in lost for kind in ("nameless", "garbled", "contradictory"))
