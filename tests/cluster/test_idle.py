"""A fleet at rest is left alone: by the API server's audit log, nothing but the Lease is written, and once an hour the
ledger of what has a budget."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import operator_stories
from cluster import LocalCluster
from operator_process import OperatorProcess
from operator_stories import QUICK, Story

pytestmark = pytest.mark.scale

SERVING = [f"serves-{number}" for number in range(6)]
IMPOSSIBLE = [f"cannot-{number}" for number in range(20)]
ROUND_SECONDS = 10
"""In which everything is looked at and every kind listed anew, although nothing happens."""
SETTINGS = QUICK | {"reconcile": QUICK["reconcile"] | {"resyncSeconds": ROUND_SECONDS, "relistSeconds": ROUND_SECONDS}}


@pytest.fixture
def local(tmp_path: Path) -> Iterator[LocalCluster]:
    with operator_stories.played_cluster(tmp_path / "cluster", audit=True) as cluster:
        operator_stories.install(cluster.api)
        served = "/apis/berthmaster.dev/v1alpha1"
        cluster.wait_until(
            lambda: any(each["kind"] == "InferenceWorkload" for each in cluster.api.get(served)["resources"])
        )
        yield cluster


def operators_requests(local: LocalCluster) -> list[dict[str, Any]]:
    """In the order in which they were answered, its Lease aside."""
    entries = map(json.loads, local.control_plane.audit_log.read_text().splitlines())
    return [
        each for each in entries if each.get("userAgent", "").startswith("berthmaster") and kind_of(each) != "leases"
    ]


def kind_of(entry: dict[str, Any]) -> str:
    """What the request was about; empty where it was no object."""
    return str(entry.get("objectRef", {}).get("resource", ""))


def writes(entries: list[dict[str, Any]]) -> list[str]:
    return [
        f"{each['verb']} {each['requestURI']}" for each in entries if each["verb"] not in ("get", "list", "watch")
    ]  # fmt: skip


def rest(local: LocalCluster, seconds: float) -> list[dict[str, Any]]:
    """What the operator asks for in the next ``seconds``."""
    before = len(operators_requests(local))
    time.sleep(seconds)
    return operators_requests(local)[before:]


def test_looking_at_everything_again_and_again_writes_nothing(local: LocalCluster, tmp_path: Path) -> None:
    story = Story(local.api)
    for name in SERVING:
        story.apply(name, traffic={"requestsPerSecond": 20}, budget={"monthlyUSD": 50_000})
    for name in IMPOSSIBLE:
        story.apply(name, objectives={"latency": {"p99Milliseconds": 1}})
    with OperatorProcess(local.kubeconfig, SETTINGS, tmp_path / "operators"):
        local.wait_until(lambda: all(map(story.settled, SERVING)), timeout_seconds=120, what="all that can serve do")
        stalled = ("True", "NoFeasibleCandidate")
        local.wait_until(
            lambda: all(story.condition("Stalled", name) == stalled for name in IMPOSSIBLE), what="the others are told"
        )
        local.wait_until(
            lambda: all("budget" in story.get(name).get("status", {}) for name in SERVING),
            what="their month is forecast",
        )
        local.wait_until(lambda: not writes(rest(local, 4)), timeout_seconds=60, what="nothing is under way")

        idle = rest(local, 4 * ROUND_SECONDS)
        ledger = [each for each in writes(idle) if "/configmaps/berthmaster-spending" in each]
        assert writes(idle) == ledger
        assert len(ledger) <= 1
        listed = {kind_of(each) for each in idle if each["verb"] == "list"}
        assert {"inferenceworkloads", "deployments", "services", "pods", "nodes"} <= listed

        story.edit(IMPOSSIBLE[0], objectives={"latency": {"p99Milliseconds": 2}})
        local.wait_until(
            lambda: writes(rest(local, 1)), what="a change is answered, so the log would have shown a write"
        )
