"""Whatever the objects hold, gathering ends with a snapshot that can be written and read, and good neighbours stay."""

import copy
import json
from datetime import UTC, datetime
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from berth_operator.catalogues import Catalogues
from berth_operator.gather import gather
from berth_operator.world import World
from berth_scheduler.snapshot import Snapshot
from kubernetes_objects import (
    BERTH,
    child_labels,
    claim,
    deployment,
    node,
    pod,
    pool,
    service,
    volume,
    workload,
)

TIME = datetime(2026, 11, 2, tzinfo=UTC)
CATALOGUES = Catalogues.built_in()
KINDS = ("workloads", "pools", "nodes", "pods", "deployments", "services", "claims", "volumes", "config_maps")

WORDS = st.sampled_from(
    [
        "",
        "x",
        "-1",
        "0",
        "1",
        "1e400",
        "NaN",
        "8Gi",
        "nvidia.com/gpu",
        "NVIDIA-L4-MIG-1g.5gb-SHARED",
        "spot",
        "a/b",
        "€\x00",
    ]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | WORDS | st.text(max_size=8)
GARBAGE = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS | st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def good_objects() -> dict[str, dict[str, Any]]:
    """One sound object of each kind, as a place to put garbage into."""
    labels = child_labels("aaaaaaaa")
    return {
        "workloads": workload(),
        "pools": pool(tolerations=[{"key": "team", "value": "ml"}], zones=["us-east-1a"], maximumNodes=3),
        "nodes": node(labels={"karpenter.sh/nodepool": "l4"}),
        "pods": pod("resnet-aaaaaaaa-1-x-y", "n1", labels=labels, cpu="1"),
        "deployments": deployment("resnet-aaaaaaaa-1", "aaaaaaaa"),
        "services": service("aaaaaaaa"),
        "claims": claim(volumeName="pv"),
        "volumes": volume("pv", "topology.kubernetes.io/zone", "us-east-1a"),
        "config_maps": {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}},
    }


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place inside ``value`` that garbage can be put into."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path] * bool(path) + [place for key, part in inner for place in places(part, (*path, key))]


@st.composite
def damaged(draw: st.DrawFn) -> dict[str, dict[str, Any]]:
    objects = copy.deepcopy(good_objects())
    for _ in range(draw(st.integers(1, 3))):
        target: Any = objects
        path = draw(st.sampled_from(places(objects)))
        if len(path) < 2:
            continue
        for step in path[:-1]:
            target = target[step] if isinstance(target, dict) or isinstance(step, int) else {}
        if isinstance(target, dict | list) and target:
            target[path[-1] if path[-1] in target or isinstance(target, dict) else 0] = draw(GARBAGE)
    return objects


def gathered(objects: dict[str, dict[str, Any]]) -> Snapshot:
    world = World(**{kind: (thing,) for kind, thing in objects.items()})
    return gather(world, CATALOGUES, time=TIME)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(damaged())
def test_a_damaged_object_never_stops_the_gathering(objects: dict[str, dict[str, Any]]) -> None:
    snapshot = gathered(objects)
    assert Snapshot.model_validate_json(snapshot.model_dump_json()) == snapshot


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(KINDS), st.dictionaries(WORDS, GARBAGE, max_size=4))
def test_an_object_of_pure_garbage_leaves_its_neighbours_as_they_are(kind: str, garbage: dict[str, Any]) -> None:
    good = {key: (thing,) for key, thing in good_objects().items()}
    alone = gather(World(**good), CATALOGUES, time=TIME)
    crowded = gather(World(**good | {kind: (*good[kind], garbage)}), CATALOGUES, time=TIME)
    assert crowded == alone


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(node()["metadata"]["labels"])), st.text(max_size=70)))
def test_garbled_labels_of_one_node_leave_the_other_nodes_usable(labels: dict[str, str]) -> None:
    found = gather(World.of([node("good"), node("bad", labels=labels)]), CATALOGUES, time=TIME)
    usable = [one for pool in found.pools if not pool.problems for one in pool.nodes]
    assert "good" in [one.name for one in usable]
    named = [one.name for pool in found.pools for one in pool.nodes]
    assert "bad" in named or any("node bad" in problem.message for pool in found.pools for problem in pool.problems)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(BERTH)), GARBAGE, max_size=3))
def test_a_damaged_berth_is_read_or_remarked(damage: dict[str, Any]) -> None:
    thing = deployment("resnet-aaaaaaaa-1", "aaaaaaaa", berth=json.dumps(BERTH | damage))
    (found,) = gather(World.of([workload(), thing]), CATALOGUES, time=TIME).workloads
    assert bool(found.running) != bool(found.remarks)
