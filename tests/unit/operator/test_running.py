"""What runs is read back from Deployments, pods and the Service; what cannot be read is named and harms nobody."""

import json
from typing import Any

import pytest

from berth_operator.running import RunningWorkload, read_running
from berth_operator.world import World
from kubernetes_objects import BERTH, child_labels, deployment, pod, service, workload

A, B = "aaaaaaaa", "bbbbbbbb"
FIRST = f"resnet-{A}-11111"


def read(*objects: dict[str, Any]) -> RunningWorkload:
    return read_running(World.of([workload(), *objects]))["vision/resnet"]


def test_a_berth_is_its_annotation_with_the_count_that_the_deployment_asks_for() -> None:
    found = read(deployment(FIRST, A, replicas=5), service(A))
    (running,) = found.running
    (berth,) = running.berths
    assert berth.berth.model_dump(mode="json") == BERTH | {"replicas": 5}
    assert (running.revision, running.planned_for, running.serving) == (A, f"hash-{A}", True)
    assert berth.ready_replicas == 1


def test_pods_are_where_they_were_bound_and_belong_to_the_deployment_whose_name_they_carry() -> None:
    mine = [pod(f"{FIRST}-7d9f8-{i}", on, labels=child_labels(A)) for i, on in enumerate(("n2", "n1", None))]
    other = pod(f"resnet-{A}-22222-7d9f8-x", "n3", labels=child_labels(A))
    found = read(deployment(FIRST, A), *mine, other)
    assert found.running[0].berths[0].nodes == ("n1", "n2")
    assert found.pods == {f"vision/{one['metadata']['name']}" for one in mine}


def test_two_revisions_stand_side_by_side_and_the_service_says_which_serves() -> None:
    found = read(deployment(f"resnet-{B}-1", B), deployment(FIRST, A), service(B))
    assert [(one.revision, one.serving) for one in found.running] == [(A, False), (B, True)]


@pytest.mark.parametrize("garbage", ["", "{", "[]", "{}", '{"pool": NaN}', '"text"', "[" * 5000])
def test_a_garbled_annotation_is_a_remark_and_no_berth(garbage: str) -> None:
    found = read(deployment(FIRST, A, berth=garbage), deployment(f"resnet-{A}-2", A))
    assert [len(one.berths) for one in found.running] == [1]
    assert len(found.remarks) == 1 and FIRST in found.remarks[0].message


def test_a_berth_that_nothing_could_be_planned_with_is_garbled_too() -> None:
    found = read(deployment(FIRST, A, berth=json.dumps(BERTH | {"gpusPerReplica": 0})))
    assert not found.running and found.remarks


def test_somebody_elses_deployment_with_our_labels_is_not_ours() -> None:
    owned, stray = workload(), deployment(FIRST, A)
    owned["metadata"]["uid"] = "u1"
    stray["metadata"]["ownerReferences"] = [{"uid": "u2"}]
    assert read_running(World.of([owned, stray])) == {}
    stray["metadata"]["ownerReferences"] = [{"uid": "u1"}]
    assert len(read_running(World.of([owned, stray]))) == 1


def test_a_deployment_that_is_being_deleted_does_not_run() -> None:
    going = deployment(FIRST, A)
    going["metadata"]["deletionTimestamp"] = "2026-11-02T00:00:00Z"
    assert read_running(World.of([workload(), going])) == {}


def test_deployments_of_one_revision_that_were_planned_for_different_specs_are_planned_for_none() -> None:
    other = deployment(f"resnet-{A}-2", A)
    other["metadata"]["annotations"]["berthmaster.dev/planned-for"] = "another"
    assert read(deployment(FIRST, A), other).running[0].planned_for == ""
