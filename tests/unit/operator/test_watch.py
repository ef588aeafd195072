"""kopf as the edge: what it is set to, what it never ends for, and what a change is about."""

import asyncio
import itertools
from types import SimpleNamespace
from typing import Any

import aiohttp
import kopf
import pytest

from berth_operator import kinds
from berth_operator.labels import MANAGED_BY, MANAGER, WORKLOAD
from berth_operator.mirror import Change, Entry, entry_of
from berth_operator.routing import Meaning, meaning
from berth_operator.watch import Bridge, EndlessBackoffs, NoMemory, edge_settings, start_over

OURS = {MANAGED_BY: MANAGER, WORKLOAD: "resnet"}


def test_kopf_watches_and_does_nothing_else() -> None:
    settings = edge_settings([kinds.POD, kinds.DEPLOYMENT, kinds.NODE])
    assert settings.scanning.disabled
    assert settings.peering.standalone
    assert not settings.posting.enabled
    labels = {key.any_name: value for key, value in settings.watching.label_selectors.items()}
    assert labels == {"deployments": f"{MANAGED_BY}={MANAGER}"}
    fields = {key.any_name: value for key, value in settings.watching.field_selectors.items()}
    assert fields == {"pods": "status.phase!=Succeeded,status.phase!=Failed"}


def test_attempts_never_run_out_and_pauses_stay_below_45_seconds() -> None:
    pauses = list(itertools.islice(EndlessBackoffs(1, 30), 200))
    assert len(pauses) == 200
    assert 0.5 <= pauses[0] <= 1.5
    assert max(pauses) <= 45
    assert min(pauses[10:]) >= 15


def test_kopf_remembers_nothing_about_objects() -> None:
    body: Any = kopf.Body({"spec": {"a": 1}})
    assert (NoMemory().build(body=body), NoMemory().fetch(body=body)) == (None, None)


@pytest.mark.parametrize(
    ("status", "error"),
    [(401, aiohttp.ClientConnectionError), (410, aiohttp.ClientPayloadError), (200, None), (403, None), (503, None)],
)
async def test_answers_that_would_end_kopf_become_what_it_retries(status: int, error: type[Exception] | None) -> None:
    response: Any = SimpleNamespace(status=status)
    if error is None:
        await start_over(response)
    else:
        with pytest.raises(error):
            await start_over(response)


async def test_what_a_thread_hands_over_arrives_in_order_and_a_failure_holds_up_nothing() -> None:
    loop = asyncio.get_running_loop()
    bridge, arrived, done = Bridge(loop), list[int](), asyncio.Event()

    def deliver(number: int) -> None:
        if number == 7:
            raise ValueError("a defect")
        arrived.append(number)
        if number == 999:
            done.set()

    await asyncio.to_thread(lambda: [bridge.hand_over(deliver, number) for number in range(1000)])
    await asyncio.wait_for(done.wait(), 5)
    assert arrived == [number for number in range(1000) if number != 7]


async def test_a_burst_wakes_the_loop_once() -> None:
    loop = asyncio.get_running_loop()
    woken: list[Any] = []
    bridge = Bridge(SimpleNamespace(is_closed=lambda: False, call_soon_threadsafe=woken.append))  # type: ignore[arg-type]
    for number in range(100):
        bridge.hand_over(woken.append, number)
    assert len(woken) == 1
    loop.call_soon(woken[0])
    await asyncio.sleep(0)
    assert woken[1:] == list(range(100))
    bridge.hand_over(woken.append, 100)
    assert len(woken) == 102


# --- routing -----------------------------------------------------------------------------------------------------


def entry(kind: kinds.Kind, **parts: Any) -> Entry:
    metadata = {"name": "x", "namespace": "vision", "uid": "u", "generation": 1, "labels": OURS} | parts.pop(
        "metadata", {}
    )
    found = entry_of(kind, {"metadata": metadata, **parts})
    assert found is not None
    return found


def mean(kind: kinds.Kind, before: dict[str, Any] | None, after: dict[str, Any] | None, gpu_nodes: str = "") -> Meaning:
    change = Change(
        kind, None if before is None else entry(kind, **before), None if after is None else entry(kind, **after)
    )
    return meaning(change, lambda node: node in gpu_nodes.split())


def test_a_new_spec_is_looked_at_and_planned_and_a_status_is_not_planned() -> None:
    assert mean(kinds.WORKLOAD, None, {}) == Meaning(("vision/x",), plan=True)
    assert mean(kinds.WORKLOAD, {}, None) == Meaning(("vision/x",), plan=True)
    assert mean(kinds.WORKLOAD, {}, {"metadata": {"generation": 2}}).plan
    assert mean(kinds.WORKLOAD, {}, {"metadata": {"deletionTimestamp": "now"}}).plan
    assert mean(kinds.WORKLOAD, {}, {"status": {"replicas": 1}}) == Meaning(("vision/x",), plan=False)


def test_a_pool_has_a_key_of_its_own() -> None:
    assert mean(kinds.POOL, None, {"metadata": {"namespace": None}}) == Meaning(("/x",), plan=True)


def test_a_deployment_is_looked_at_and_planned_when_what_runs_changed() -> None:
    assert mean(kinds.DEPLOYMENT, {"status": {}}, {"status": {"readyReplicas": 1}}) == Meaning(
        ("vision/resnet",), plan=True
    )
    seen = {"status": {"observedGeneration": 2}}
    assert mean(kinds.DEPLOYMENT, {"status": {}}, seen) == Meaning(("vision/resnet",), plan=False)


def test_a_configuration_that_is_deleted_is_looked_at_and_not_planned() -> None:
    assert mean(kinds.CONFIG_MAP, {}, None) == Meaning(("vision/resnet",), plan=False)


def pod(node: str | None, gpu: bool = False, **more: Any) -> dict[str, Any]:
    container = {"resources": {"limits": {"nvidia.com/gpu": "1"}}} if gpu else {}
    spec = {"containers": [container]} | ({"nodeName": node} if node else {})
    return {"spec": spec, "status": {"phase": "Running"}, **more}


def test_pods_are_planned_around_where_they_take_what_we_could_use() -> None:
    foreign = {"metadata": {"labels": {}}}
    assert mean(kinds.POD, None, pod("n", gpu=True, **foreign)) == Meaning((), plan=True)
    assert mean(kinds.POD, None, pod("n", **foreign), gpu_nodes="n") == Meaning((), plan=True)
    assert mean(kinds.POD, None, pod("cpu-node", **foreign), gpu_nodes="n") == Meaning((), plan=False)
    ready = {"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}
    assert mean(kinds.POD, pod("n", gpu=True), pod("n", gpu=True) | ready) == Meaning(("vision/resnet",), plan=False)
    assert mean(kinds.POD, pod(None, gpu=True), pod("n", gpu=True)) == Meaning(("vision/resnet",), plan=True)


@pytest.mark.parametrize("kind", [kinds.NODE, kinds.CLAIM, kinds.VOLUME])
def test_supply_and_volumes_are_planned(kind: kinds.Kind) -> None:
    assert mean(kind, None, {"metadata": {"labels": {}}}) == Meaning((), plan=True)
