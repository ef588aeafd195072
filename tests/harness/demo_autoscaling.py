"""``DEMO=autoscaling make demo``: replicas follow real load as a real Prometheus measures it; a cheaper berth is found.

On a cluster of its own, which ends with the story. One number is not true, and the story says so: what the network is
said to compute, so that a few clients need three replicas of it.
"""

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import yaml

import artefacts
import cache
import cluster
import debian
import fleet
import operator_stories
import prometheus_server
import provision
import sandbox
import triton_server
from cluster import LocalCluster
from kube_api import condition
from prometheus_server import PrometheusServer
from scrape_targets import ScrapeTargets
from steady_load import SteadyLoad
from story import DemoFailed, chapter, console, show, wait_for

STATE = cache.root() / "autoscaling-demo"
EXAMPLES = cache.REPOSITORY / "examples"
MODEL = "magika"
TINY = ("-n", "vision", "tiny")
NODES = [(fleet.SYSTEM, 2), (fleet.L4_GKE, 3)]
CHEAPER_NODES = [(fleet.T4_EKS, 2)]
SETTINGS: dict[str, Any] = {
    "planning": {"idleSeconds": 0.2, "longestSeconds": 2},
    "platform": {"drainSeconds": 4, "metricsIntervalSeconds": 1},
    "autoscaling": {"tickSeconds": 5},
    "rightSizing": {
        "reviewSeconds": 5, "settleSeconds": 10, "probationSeconds": 20, "coolDownSeconds": 60, "startSeconds": 30,
    },
}  # fmt: skip
"""What takes minutes or hours in production takes seconds here."""
SAID_TO_COMPUTE = "600G"
ARRIVALS = "sum(rate(nv_inference_request_success[8s]))"


def main() -> int:
    started = time.monotonic()
    try:
        tell_story()
    except DemoFailed as failure:
        console.print(f"[bold red]The demo stops here.[/] {failure}")
        return 1
    console.print(f"\nThat took {time.monotonic() - started:.0f} s. The cluster is stopped.")
    return 0


def tell_story() -> None:
    provision.everything()
    try:
        sandbox.bubblewrap()
        triton_server.installed()
        prometheus_server.program("prometheus")
    except (sandbox.Unavailable, triton_server.Unavailable, debian.Unavailable) as reason:
        raise DemoFailed(f"This story needs real pods, a real Triton and a real Prometheus: {reason}") from reason
    cluster.clear(STATE)
    chapter("A cluster that is measured", "three L4, real Triton, a real Prometheus, the chart by Helm")
    with LocalCluster(STATE, NODES) as local, scraped(local) as prometheus:
        os.environ.update(local.environment)
        measured = {"prometheus": {"url": prometheus.url, "windowSeconds": 8}}
        local.install_operator({"settings": SETTINGS | measured})
        serve(local)
        address, _ = local.components.address("vision", "tiny", "grpc")
        with SteadyLoad(address, MODEL, clients=1, pause_seconds=1) as calm:
            follow_demand(local, prometheus, address)
            move_to_cheaper_berth(local)
        console.print(f"\n  {calm.answered} requests of a calm client, [bold]{len(calm.failures)} failed[/]")
        none_failed(calm)


@contextmanager
def scraped(local: LocalCluster) -> Iterator[PrometheusServer]:
    """Prometheus, which scrapes the ready pods once a second."""
    targets = ScrapeTargets(local.api, "vision", STATE / "prometheus" / "targets.json")
    with targets, PrometheusServer(STATE / "prometheus", targets.scrape_configs) as server:
        yield server


def serve(local: LocalCluster) -> None:
    artefacts.put(local.components.claim_folder("vision", "models") / "magika" / "fp32")
    show("kubectl", "apply", "-f", str(EXAMPLES / "namespaces.yaml"))
    workload = yaml.safe_load((EXAMPLES / "tiny.yaml").read_text())
    spec = workload["spec"]
    spec["model"]["architecture"]["dense"]["flopsPerInference"] = SAID_TO_COMPUTE
    spec |= {"traffic": {"requestsPerSecond": 1}, "replicas": {"minimum": 1, "maximum": 3}}
    spec["objectives"] = {"latency": {"p99Milliseconds": 2000}}
    spec["autoscaling"] = {"scaleDownStabilizationSeconds": 20}
    local.api.apply_object(operator_stories.POOL_L4)
    local.api.apply_object(workload)
    console.print(
        "  [dim]· examples/tiny.yaml, for 1 request/s within 2 s on 1 to 3 replicas; it is said to compute"
        f" {SAID_TO_COMPUTE} a request, a thousand times what it does[/]"
    )
    wait_for("one replica of tiny", lambda: ready(local) == 1, 90)
    show("kubectl", "get", "inferenceworkloads", "-A")


def follow_demand(local: LocalCluster, prometheus: PrometheusServer, address: str) -> None:
    chapter("Replicas follow demand", "12 clients come, stay for a while, and go; nobody tells the operator")
    wait_for("the first measurements of tiny", lambda: status(local).get("desiredReplicas") == 1, 60)
    with SteadyLoad(address, MODEL, clients=12, pause_seconds=0.2) as load:
        screen = Screen(local, prometheus, load)
        screen.watch("three replicas", lambda: ready(local) == 3, 90)
        until = time.monotonic() + 8
        screen.watch("a while", lambda: time.monotonic() > until, 10)
    screen.watch("one replica again", lambda: ready(local) == 1, 180)
    console.print(f"\n  {load.answered} requests answered by 1 → 3 → 1 replicas, [bold]{len(load.failures)} failed[/]")
    none_failed(load)


def move_to_cheaper_berth(local: LocalCluster) -> None:
    chapter("A cheaper berth", "two T4 at half the price appear: recommended first, then moved to")
    fleet.add(local.api, CHEAPER_NODES)
    local.api.apply_object(operator_stories.POOL_T4)
    wait_for("a recommendation", lambda: "recommendation" in status(local), 120)
    show("kubectl", "get", "inferenceworkload", *TINY, "-o", "jsonpath={.status.recommendation.message}")
    show("kubectl", "get", "events", "-n", "vision", "--field-selector", "reason=RightSizingRecommended")
    before = status(local)["revision"]
    patch = json.dumps({"spec": {"rightSizing": {"mode": "Auto"}}})
    show("kubectl", "patch", "inferenceworkload", *TINY, "--type=merge", "-p", patch)
    wait_for("the cheaper berth to serve", lambda: status(local).get("servingRevision") not in (before, None), 120)
    wait_for("the old one to be gone", lambda: alone(local), 90)
    wait_for("one replica to be enough there too", lambda: ready(local) == 1, 120)
    show("kubectl", "get", "inferenceworkloads", "-A")


@dataclass
class Screen:
    """A line whenever a count changed, and every ten seconds."""

    local: LocalCluster
    prometheus: PrometheusServer
    load: SteadyLoad
    began: float = field(default_factory=time.monotonic)
    shown: tuple[object, ...] = ()
    shown_at: float = 0.0

    def __post_init__(self) -> None:
        console.print(f"\n  [bold]{'TIME':>6}  {'ANSWERED':>8}  {'MEASURED':>9}  {'WANTED':>6}  {'READY':>5}[/]")

    def watch(self, what: str, done: Callable[[], bool], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not done():
            if time.monotonic() > deadline:
                seen = json.dumps(status(self.local), indent=2)
                raise DemoFailed(f"Waited {seconds:.0f} s for {what}. Seen instead: {seen}")
            self._look()
            time.sleep(0.3)
        self._look()

    def _look(self) -> None:
        now, found = time.monotonic(), status(self.local)
        counts = (found.get("desiredReplicas"), ready(self.local))
        if counts == self.shown and now - self.shown_at < 10:
            return
        answer = self.prometheus.query(ARRIVALS)
        rate = f"{float(answer[0]['value'][1]) if answer else 0:.1f}/s"
        wanted, there = counts
        console.print(f"  {now - self.began:>4.0f} s  {self.load.answered:>8}  {rate:>9}  {wanted!s:>6}  {there:>5}")
        self.shown, self.shown_at = counts, now


def none_failed(load: SteadyLoad) -> None:
    if load.failures:
        raise DemoFailed(f"requests failed, the first with: {load.failures[0]}")


def status(local: LocalCluster) -> dict[str, Any]:
    return dict(local.api.get(f"{operator_stories.WORKLOADS.format('vision')}/tiny").get("status", {}))


def alone(local: LocalCluster) -> bool:
    """Whether all pods are of the revision that serves."""
    serving = status(local).get("servingRevision")
    return all(pod["metadata"]["labels"].get("berthmaster.dev/revision") == serving for pod in pods(local))


def ready(local: LocalCluster) -> int:
    return sum(condition(pod, "Ready").get("status") == "True" for pod in pods(local))


def pods(local: LocalCluster) -> list[Any]:
    return list(local.api.items("/api/v1/namespaces/vision/pods?labelSelector=berthmaster.dev%2Fworkload%3Dtiny"))
