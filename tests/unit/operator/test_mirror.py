"""The mirror equals the cluster after every list, never goes back in time, and says what changed."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from berth_operator import kinds
from berth_operator.errors import Expired
from berth_operator.field_ownership import intent_digest, owned_digest, owners
from berth_operator.labels import MANAGED_BY, MANAGER, RENDERED, REPLICAS_MANAGER, TEMPLATE_MANAGER, WORKLOAD
from berth_operator.mirror import Change, Mirror
from berth_operator.projection import project
from fake_kube import FakeKube

OURS = {MANAGED_BY: MANAGER, WORKLOAD: "resnet"}


def service(name: str, version: int, *, uid: str | None = None, selector: str = "a", **metadata: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "name": name,
            "namespace": "vision",
            "uid": uid or f"uid-{name}",
            "resourceVersion": str(version),
            "labels": OURS,
            **metadata,
        },
        "spec": {"selector": {"berthmaster.dev/revision": selector}},
    }


def test_an_object_is_found_by_name_and_by_its_workload() -> None:
    mirror = Mirror(kinds.SERVICE)
    mirror.see(service("resnet", 1))
    found = mirror.find("resnet", "vision")
    assert found is not None
    assert found.uid == "uid-resnet"
    assert mirror.of_workload("vision/resnet") == [found]
    assert mirror.find("resnet", "elsewhere") is None


def test_what_is_older_than_what_is_known_is_ignored() -> None:
    mirror = Mirror(kinds.SERVICE)
    mirror.see(service("resnet", 5, selector="new"))
    assert mirror.see(service("resnet", 4, selector="old")) is False
    (entry,) = mirror
    assert entry.thing["spec"]["selector"] == {"berthmaster.dev/revision": "new"}


def test_a_late_answer_does_not_revive_what_was_deleted() -> None:
    mirror = Mirror(kinds.SERVICE)
    mirror.see(service("resnet", 5))
    mirror.gone("uid-resnet")
    assert mirror.see(service("resnet", 6)) is False
    assert len(mirror) == 0


def test_a_new_object_of_the_same_name_replaces_the_old_one() -> None:
    mirror = Mirror(kinds.SERVICE)
    mirror.see(service("resnet", 5, uid="one"))
    mirror.see(service("resnet", 6, uid="two"))
    assert [entry.uid for entry in mirror] == ["two"]
    assert [entry.uid for entry in mirror.of_workload("vision/resnet")] == ["two"]


def test_only_changes_that_matter_are_told() -> None:
    told: list[Change] = []
    mirror = Mirror(kinds.SERVICE, told.append)
    mirror.see(service("resnet", 1))
    mirror.see(service("resnet", 2))
    mirror.see(service("resnet", 3, annotations={"somebody/else": "x"}))
    assert len(told) == 1, "neither a resource version nor an annotation of others matters"
    mirror.see(service("resnet", 4, selector="b"))
    mirror.see(service("resnet", 5, selector="c"), quiet=True)
    assert len(told) == 2, "an own write is no news"
    mirror.gone("uid-resnet")
    assert (told[-1].before is not None, told[-1].after) == (True, None)


def test_an_unlabelled_object_leaves_its_workload() -> None:
    mirror = Mirror(kinds.SERVICE)
    mirror.see(service("resnet", 1))
    mirror.see(service("resnet", 2) | {"metadata": service("resnet", 2)["metadata"] | {"labels": {}}})
    assert mirror.of_workload("vision/resnet") == []


async def test_a_list_adds_what_was_missed_and_prunes_what_is_gone() -> None:
    kube = FakeKube()
    for name in ("one", "two", "three"):
        kube.put(kinds.SERVICE, service(name, 0, labels=OURS))
    kube.put(kinds.SERVICE, service("foreign", 0, labels={}))
    mirror = Mirror(kinds.SERVICE)
    assert await mirror.relist(kube) == 3
    kube.remove(kinds.SERVICE, "two", "vision")
    assert await mirror.relist(kube) == 1
    assert await mirror.relist(kube) == 0
    assert sorted(entry.name for entry in mirror) == ["one", "three"]


async def test_what_is_created_while_a_list_is_read_is_not_taken_for_gone() -> None:
    kube = FakeKube()
    kube.put(kinds.SERVICE, service("one", 0))
    mirror = Mirror(kinds.SERVICE)
    await mirror.relist(kube)
    mirror.see(service("newer", 10_000))
    assert await mirror.relist(kube) == 0
    assert sorted(entry.name for entry in mirror) == ["newer", "one"]


async def test_a_list_that_breaks_off_prunes_nothing() -> None:
    kube = FakeKube()
    for name in ("one", "two"):
        kube.put(kinds.SERVICE, service(name, 0))
    mirror = Mirror(kinds.SERVICE)
    await mirror.relist(kube)
    kube.fail(Expired("too slow"), verb="LIST")
    with pytest.raises(Expired):
        await mirror.relist(kube)
    assert len(mirror) == 2


async def test_only_the_given_namespaces_are_listed() -> None:
    kube = FakeKube()
    kube.put(kinds.SERVICE, service("here", 0))
    kube.put(kinds.SERVICE, service("there", 0, namespace="search"))
    mirror = Mirror(kinds.SERVICE, namespaces=("search",))
    await mirror.relist(kube)
    assert [entry.name for entry in mirror] == ["there"]


NAMES = st.sampled_from(["a", "b", "c"])
STEPS = st.lists(st.tuples(st.sampled_from(["create", "edit", "delete", "relist"]), NAMES, st.booleans()), max_size=40)


@given(STEPS)
async def test_after_any_history_with_lost_events_one_list_makes_it_equal_to_the_cluster(
    steps: list[tuple[str, str, bool]],
) -> None:
    kube, mirror = FakeKube(), Mirror(kinds.SERVICE)
    for action, name, delivered in steps:
        kube.mirrors = {kinds.SERVICE: mirror} if delivered else {}
        exists = (kinds.SERVICE, "vision", name) in kube.objects
        if action == "create" and not exists:
            thing = service(name, 0)
            del thing["metadata"]["uid"]
            kube.put(kinds.SERVICE, thing)
        elif action == "edit" and exists:
            kube.change(kinds.SERVICE, name, "vision", lambda each: each["spec"].update(selector={"r": "x"}))
        elif action == "delete" and exists:
            kube.remove(kinds.SERVICE, name, "vision")
        elif action == "relist":
            await mirror.relist(kube)
    await mirror.relist(kube)
    there = {thing["metadata"]["uid"]: project(kinds.SERVICE, thing) for thing in kube.objects.values()}
    assert {entry.uid: entry.thing for entry in mirror} == there


# --- projections -------------------------------------------------------------------------------------------------


def test_heartbeats_and_images_of_a_node_are_no_change() -> None:
    def node(beat: str) -> dict[str, Any]:
        ready = {"type": "Ready", "status": "True", "lastHeartbeatTime": beat}
        return {"metadata": {"name": "n", "uid": "u"}, "status": {"conditions": [ready], "images": [{"names": [beat]}]}}

    assert project(kinds.NODE, node("1")) == project(kinds.NODE, node("2"))


def test_finished_pods_and_foreign_pods_without_a_node_are_not_kept() -> None:
    def pod(phase: str, node: str | None, labels: dict[str, str]) -> dict[str, Any]:
        return {
            "metadata": {"name": "p", "namespace": "x", "uid": "u", "labels": labels},
            "spec": {"containers": [], **({"nodeName": node} if node else {})},
            "status": {"phase": phase},
        }

    assert project(kinds.POD, pod("Running", "n", {})) is not None
    assert project(kinds.POD, pod("Pending", None, {})) is None
    assert project(kinds.POD, pod("Pending", None, OURS)) is not None
    assert project(kinds.POD, pod("Succeeded", "n", OURS)) is None


# --- field ownership ---------------------------------------------------------------------------------------------

INTENT: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "d", "namespace": "x", "labels": OURS, "annotations": {RENDERED: "abc"}},
    "spec": {"template": {"spec": {"containers": {"c": {"env": "1"}}}}},
}


async def test_what_we_own_of_an_untouched_object_has_the_digest_of_the_intent() -> None:
    kube = FakeKube()
    stored = await kube.apply(kinds.DEPLOYMENT, INTENT, manager=TEMPLATE_MANAGER, force=True)
    assert owned_digest(stored) == intent_digest(INTENT)


async def test_defaults_of_the_server_and_fields_of_others_do_not_change_what_we_own() -> None:
    kube = FakeKube()
    await kube.apply(kinds.DEPLOYMENT, INTENT, manager=TEMPLATE_MANAGER, force=True)
    stored = kube.change(
        kinds.DEPLOYMENT, "d", "x", lambda each: each["spec"].update(strategy={"type": "RollingUpdate"})
    )
    assert owned_digest(stored) == intent_digest(INTENT)


async def test_an_edit_of_one_of_our_fields_changes_what_we_own() -> None:
    kube = FakeKube()
    await kube.apply(kinds.DEPLOYMENT, INTENT, manager=TEMPLATE_MANAGER, force=True)
    edit = {**INTENT, "spec": {"template": {"spec": {"containers": {"c": {"env": "2"}}}}}}
    stored = await kube.apply(kinds.DEPLOYMENT, edit, manager="kubectl", force=True)
    assert owned_digest(stored) != intent_digest(INTENT)


def test_items_of_keyed_lists_and_sets_are_found_by_their_keys() -> None:
    thing = {
        "metadata": {
            "managedFields": [
                {
                    "manager": TEMPLATE_MANAGER,
                    "operation": "Apply",
                    "fieldsV1": {
                        "f:spec": {
                            "f:ports": {'k:{"containerPort":8000,"protocol":"TCP"}': {".": {}, "f:name": {}}},
                            "f:finalizers": {'v:"ours"': {}},
                        }
                    },
                }
            ]
        },
        "spec": {
            "ports": [
                {"containerPort": 9000, "protocol": "TCP", "name": "other"},
                {"containerPort": 8000, "protocol": "TCP", "name": "http"},
            ],
            "finalizers": ["theirs", "ours"],
        },
    }
    ours = {"spec": {"ports": [{"name": "http"}], "finalizers": ["ours"]}}
    edited = {"spec": {"ports": [{"name": "https"}], "finalizers": ["ours"]}}
    assert owned_digest(thing) == without_metadata(ours) != without_metadata(edited)
    assert owned_digest(thing, "nobody") is None


def without_metadata(content: dict[str, Any]) -> str | None:
    """The digest of an object of which all of ``content``, and nothing of its metadata, is ours."""
    fields = {f"f:{name}": {} for name in content}
    entry = {"manager": "x", "operation": "Apply", "fieldsV1": fields}
    return owned_digest({**content, "metadata": {"managedFields": [entry]}}, "x")


async def test_who_owns_the_replicas_is_read_from_the_managed_fields() -> None:
    kube = FakeKube()
    await kube.apply(kinds.DEPLOYMENT, INTENT, manager=TEMPLATE_MANAGER, force=True)
    body = {**INTENT, "spec": {"replicas": 3}, "metadata": {"name": "d", "namespace": "x"}}
    stored = await kube.apply(kinds.DEPLOYMENT, body, manager=REPLICAS_MANAGER, force=False)
    assert owners(stored, "spec", "replicas") == (REPLICAS_MANAGER,)
    assert owners(stored, "spec", "paused") == ()
