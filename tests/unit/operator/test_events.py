"""News is a transition, told once, at a bounded rate."""

import asyncio
from datetime import UTC, datetime
from typing import Literal

import pytest

from berth_operator import kinds
from berth_operator.api.v1alpha1 import Condition
from berth_operator.errors import Forbidden, LostLeadership
from berth_operator.events import News, Recorder, manifest, news
from berth_operator.mirror import Entry
from fake_kube import FakeKube

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
ABOUT = Entry(
    {
        "apiVersion": "berthmaster.dev/v1alpha1",
        "kind": "InferenceWorkload",
        "metadata": {"name": "resnet", "namespace": "vision", "uid": "u"},
    },
    1,
)


def condition(kind: str, status: Literal["True", "False", "Unknown"], reason: str, message: str = "m") -> Condition:
    return Condition(type=kind, status=status, reason=reason, message=message, last_transition_time=NOW)


def reasons(before: list[Condition], after: list[Condition]) -> list[tuple[str, str]]:
    return [(each.type, each.reason) for each in news(before, after)]


def test_the_first_look_tells_what_was_decided_and_not_what_goes_without_saying() -> None:
    after = [
        condition("Accepted", "True", "SpecAccepted"),
        condition("Placed", "True", "Placed"),
        condition("Available", "False", "NoReplicaReady"),
        condition("SLOMet", "Unknown", "NotMeasured"),
        condition("BudgetOK", "True", "NoBudget"),
        condition("Ready", "False", "PodsStarting"),
        condition("Reconciling", "True", "PodsStarting"),
    ]
    assert reasons([], after) == [("Normal", "Placed")]


def test_an_impossible_workload_is_one_warning_although_three_conditions_say_it() -> None:
    reason = "NoFeasibleCandidate"
    after = [
        condition("Placed", "False", reason),
        condition("Ready", "False", reason),
        condition("Stalled", "True", reason),
    ]
    assert reasons([], after) == [("Warning", reason)]


def test_a_flip_is_news_and_a_changed_message_is_not() -> None:
    before = [condition("Ready", "False", "PodsStarting", "1 of 2 ready")]
    assert reasons(before, [condition("Ready", "False", "PodsStarting", "0 of 2 ready")]) == []
    assert reasons(before, [condition("Ready", "True", "RevisionAvailable")]) == [("Normal", "RevisionAvailable")]


def test_progress_is_normal_and_losing_the_last_replica_is_a_warning() -> None:
    ready = [condition("Ready", "True", "RevisionAvailable"), condition("Available", "True", "ReplicasReady")]
    progress = [condition("Ready", "False", "Switching"), condition("Reconciling", "True", "Switching")]
    assert reasons(ready, progress) == [("Normal", "Switching")]
    gone = [condition("Available", "False", "NoReplicaReady")]
    assert reasons(ready, gone) == [("Warning", "NoReplicaReady")]


def test_another_reason_for_the_same_trouble_is_news() -> None:
    before = [condition("Stalled", "True", "NameConflict")]
    assert reasons(before, [condition("Stalled", "True", "ApplyForbidden")]) == [("Warning", "ApplyForbidden")]


def recorder(kube: FakeKube, clock: list[float]) -> Recorder:
    return Recorder(kube, instance="pod_1", clock=lambda: clock[0], now=lambda: NOW)


@pytest.mark.looptime
async def test_the_same_news_is_told_again_only_after_ten_minutes() -> None:
    kube, clock = FakeKube(), [0.0]
    told = recorder(kube, clock)
    posting = asyncio.create_task(told.run())
    for at in (0, 10, 599, 601):
        clock[0] = at
        told.tell(ABOUT, [], [condition("Placed", "False", "NoPools")])
        await asyncio.sleep(1)
    assert len(kube.names(kinds.EVENT)) == 2
    posting.cancel()


@pytest.mark.looptime
async def test_a_flood_is_posted_at_twenty_a_second() -> None:
    kube = FakeKube()
    told = recorder(kube, [0.0])
    for number in range(100):
        told.tell(ABOUT, [], [condition("Placed", "False", "NoPools", f"message {number}")])
    posting = asyncio.create_task(told.run())
    await asyncio.sleep(2)
    assert 35 <= len(kube.names(kinds.EVENT)) <= 45
    posting.cancel()


@pytest.mark.looptime
async def test_an_event_that_is_refused_is_dropped_and_the_next_one_posted() -> None:
    kube = FakeKube()
    told = recorder(kube, [0.0])
    kube.fail(Forbidden("quota"), verb="CREATE", kind=kinds.EVENT)
    for number in range(2):
        told.tell(ABOUT, [], [condition("Placed", "False", "NoPools", f"message {number}")])
    posting = asyncio.create_task(told.run())
    await asyncio.sleep(1)
    assert len(kube.names(kinds.EVENT)) == 1
    kube.held = False
    told.tell(ABOUT, [], [condition("Placed", "True", "Placed")])
    with pytest.raises(LostLeadership):
        await posting


def test_an_event_is_about_its_object_and_in_its_namespace() -> None:
    found = manifest(ABOUT, News("Normal", "Placed", "Placed", "on an L4"), "pod_1", NOW)
    assert found["metadata"] == {"generateName": "resnet-", "namespace": "vision"}
    assert found["regarding"]["uid"] == "u"
    pool = Entry({**ABOUT.thing, "kind": "GPUPool", "metadata": {"name": "l4", "uid": "p"}}, 1)
    found = manifest(pool, News("Normal", "Priced", "Priced", "x"), "pod_1", NOW)
    assert (found["metadata"]["namespace"], "namespace" in found["regarding"]) == ("default", False)
