"""Real Triton under real load, scraped by a real Prometheus as the documentation says, read as the operator reads."""

import asyncio
import contextlib
import dataclasses
import http.server
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton
import yaml
from prometheus_client import generate_latest
from tritonclient.utils import InferenceServerException

import cache
import debian
import namespaces
import onnx_network
import prometheus_server
import render_stories
import rendered_pods
import sandbox
import triton_server
from berth_operator.metrics import Metrics
from berth_operator.settings import Settings
from berth_operator.signals import recording_rules
from berth_operator.signals.expected import expected_berths
from berth_operator.signals.prometheus_source import PrometheusSource
from berth_operator.signals.source import Reading, WorkloadKey, WorkloadSignals
from cluster import LocalCluster
from controlplane import free_ports
from helm import CHART
from pod_discovery import PodDiscovery
from prometheus_server import PrometheusServer

WINDOW_SECONDS = 10
LOAD_SECONDS = 25.0
MODEL = "resnet"
NOT_EXPORTED_HERE = {
    "GPUs active (DCGM)", "Power of the GPUs (DCGM)", "KV cache in use", "Tokens of a request",
    "Workloads that lack a signal",
}  # fmt: skip
"""Panels whose series come from parts that this test does not run, some or all of them."""


def documented_scrape(discovery: PodDiscovery) -> dict[str, Any]:
    """The job of the documentation, with pods found as they are found here."""
    page = (cache.REPOSITORY / "docs" / "how-to" / "prometheus.md").read_text()
    (job,) = yaml.safe_load(re.findall(r"```yaml\n(scrape_configs:.*?)```", page, re.DOTALL)[0])["scrape_configs"]
    assert job.pop("kubernetes_sd_configs") == [{"role": "pod"}]
    return {**job, **discovery.config}


@dataclasses.dataclass
class Serving:
    """Pods of both berths, a Prometheus that scrapes them, and the operator's exposition beside it."""

    cluster: LocalCluster
    prometheus: PrometheusServer
    namespace: str
    deployments: list[dict[str, Any]]
    metrics: Metrics

    @property
    def key(self) -> WorkloadKey:
        return self.namespace, MODEL

    def source(self, **prometheus: Any) -> PrometheusSource:
        stated = {"url": self.prometheus.url, "windowSeconds": WINDOW_SECONDS, **prometheus}
        settings = Settings.model_validate({"prometheus": stated, "platform": {"metricsIntervalSeconds": 1}})
        return PrometheusSource(settings, lambda key: expected_berths(self.seen(), engine=False))

    def seen(self) -> list[dict[str, Any]]:
        return [self.cluster.api.get(self.cluster.api.path_of(each)) for each in self.deployments]

    def read(self, source: PrometheusSource) -> Reading:
        return asyncio.run(source.read([self.key], time.time()))

    def busy_seconds(self) -> float:
        """Of all instances, by Triton's own statistics of executions: the truth that metrics are held against."""
        total = 0
        for host, port in self.cluster.components.endpoints(self.namespace, MODEL, "grpc"):
            with triton.InferenceServerClient(f"{host}:{port}") as client:
                (statistics,) = client.get_inference_statistics(MODEL).model_stats
            for batch in statistics.batch_stats:
                total += batch.compute_input.ns + batch.compute_infer.ns + batch.compute_output.ns
        return total / 1e9


class Load:
    """Clients that ask one after the other; ``count`` is how many answers came."""

    def __init__(self, address: str, clients: int = 3) -> None:
        self.count = 0
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=[address], daemon=True) for _ in range(clients)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, address: str) -> None:
        given = triton.InferInput("input", [1, 4], "FP32")
        given.set_data_from_numpy(np.ones((1, 4), dtype=np.float32))
        with triton.InferenceServerClient(address) as client:
            while not self._stop.wait(0.01):
                # A queue's time-out on a busy machine ends a request, which arrived all the same.
                with contextlib.suppress(InferenceServerException):
                    client.infer(MODEL, [given])
                self.count += 1


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    try:
        sandbox.bubblewrap()
        triton_server.installed()
        prometheus_server.program("prometheus")
    except (sandbox.Unavailable, triton_server.Unavailable, debian.Unavailable) as reason:
        pytest.skip(f"no real pods, or no real Prometheus, on this machine: {reason}")
    folder, metrics = tmp_path_factory.mktemp("cluster"), Metrics()
    with LocalCluster(folder / "local", [(rendered_pods.L4, 1)]) as cluster:
        namespace = namespaces.fresh(cluster.api)
        story = rendered_pods.on_nodes(render_stories.story("vision-resnet"), "l4", namespace).with_berths(replicas=1)
        artefact = cluster.components.claim_folder(namespace, "models") / "resnet50" / "fp16"
        artefact.mkdir(parents=True)
        (artefact / "model.onnx").write_bytes(onnx_network.sum_of_inputs(["input"], ["output"], 4))
        rendered_pods.claim(cluster, namespace, "models")
        rendered = story.render()
        rendered_pods.apply(cluster, rendered)
        rendered_pods.wait_ready(cluster, rendered)
        with PodDiscovery(cluster.kubeconfig, folder / "pods.json") as discovery, exposition(metrics) as address:
            operator = {"job_name": "operator", "static_configs": [{"targets": [address], "labels": {"pod": "op-1"}}]}
            workloads = documented_scrape(discovery)
            # A second job that finds the same pods, as in clusters with a job for everything that is annotated.
            scrapes = [workloads, {**workloads, "job_name": "everything"}, operator]
            rules = json.loads(json.dumps(recording_rules.recording_rules()).replace("[60s]", f"[{WINDOW_SECONDS}s]"))
            with PrometheusServer(folder / "prometheus", scrapes, interval_seconds=1, rules=rules) as prometheus:
                yield Serving(cluster, prometheus, namespace, list(rendered.deployments), metrics)


class exposition:
    """Context manager: what ``metrics`` show, under an address that Prometheus scrapes."""

    def __init__(self, metrics: Metrics) -> None:
        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                body = generate_latest(metrics.registry)
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        (port,) = free_ports(1)
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.address = f"127.0.0.1:{port}"

    def __enter__(self) -> str:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self.address

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def until(what: str, ask: Callable[[], Any], seconds: float = 60) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := ask()):
        assert time.monotonic() < deadline, f"no {what} within {seconds:g} s"
        time.sleep(0.5)
    return found


def idle(serving: Serving, source: PrometheusSource) -> WorkloadSignals:
    def read() -> WorkloadSignals | None:
        found = serving.read(source).workloads.get(serving.key)
        return found if found is not None and found.requests_per_second == 0 else None

    return until("idle reading", read)  # type: ignore[no-any-return]


def test_an_idle_server_is_measured_as_idle(serving: Serving) -> None:
    found = idle(serving, serving.source())
    assert (found.requests_per_second, found.utilization, found.pending_requests) == (0, 0, 0)
    assert found.missing == {}
    assert {each.replicas_seen for each in found.berths.values()} == {1}
    assert len(found.berths) == 2
    assert found.age_seconds < 5


def test_rates_and_utilisation_are_those_of_the_load(serving: Serving) -> None:
    source = serving.source()
    idle(serving, source)
    host, port = serving.cluster.components.address(serving.namespace, MODEL, "grpc")
    with Load(f"{host}:{port}") as load:
        time.sleep(LOAD_SECONDS - WINDOW_SECONDS)
        began, count, busy = time.monotonic(), load.count, serving.busy_seconds()
        time.sleep(WINDOW_SECONDS)
        seconds = time.monotonic() - began
        truth_rate = (load.count - count) / seconds
        truth_busy = (serving.busy_seconds() - busy) / seconds
        reading = serving.read(source)
    found = reading.workloads[serving.key]
    instances = sum(each.slots for each in found.berths.values())
    print(
        f"rate {found.requests_per_second:.1f}/s, sent {truth_rate:.1f}/s; utilisation {found.utilization:.4f},"
        f" by executions {truth_busy / instances:.4f}; {reading.queries} queries"
    )
    assert (reading.problem, found.missing) == ("", {})
    assert found.requests_per_second == pytest.approx(truth_rate, rel=0.15)
    assert found.utilization == pytest.approx(truth_busy / instances, rel=0.25)
    assert found.concurrency is not None and 0 < found.concurrency <= 3.2
    assert found.mean_batch is not None and found.mean_batch >= 1
    assert {"latency.mean", "latency.p50", "latency.p99"} <= set(found.latency_seconds)
    assert sum(each.requests_per_second or 0 for each in found.berths.values()) == found.requests_per_second


def test_rules_record_what_the_operator_reads_and_the_dashboard_shows_it(serving: Serving) -> None:
    show_decisions(serving)
    host, port = serving.cluster.components.address(serving.namespace, MODEL, "grpc")
    source = serving.source()
    with Load(f"{host}:{port}"):
        until("load", lambda: (serving.read(source).workloads[serving.key].requests_per_second or 0) > 10)
        serving.metrics.observe_reading(serving.read(source), 0.1)
        wanted = f'{{workload_namespace="{serving.namespace}", workload="{MODEL}"}}'
        until("record", lambda: serving.prometheus.query(f"berthmaster:utilization:ratio{wanted}"))
        time.sleep(WINDOW_SECONDS)
        found = serving.read(source).workloads[serving.key]
        (recorded,) = serving.prometheus.query(f"berthmaster:utilization:ratio{wanted}")
        (rate,) = serving.prometheus.query(f"berthmaster:requests:rate{wanted}")
        board = json.loads((CHART / "files" / "dashboards" / "berthmaster.json").read_text())
        empty = [
            panel["title"]
            for panel in board["panels"]
            for target in panel.get("targets", ())
            if not serving.prometheus.query(
                target["expr"].replace("$namespace", serving.namespace).replace("$workload", ".*")
            )
        ]
    assert float(recorded["value"][1]) == pytest.approx(found.utilization, rel=0.2)
    assert float(rate["value"][1]) == pytest.approx(found.requests_per_second, rel=0.2)
    assert set(empty) <= NOT_EXPORTED_HERE


def show_decisions(serving: Serving) -> None:
    """What the operator exports of a plan, by hand: no operator runs here."""
    metrics, name = serving.metrics, (serving.namespace, MODEL)
    metrics.leading.set(1)
    metrics.planned_cost.set(1.38)
    metrics.workloads.labels("true", "Placed").set(1)
    metrics.desired_replicas.labels(*name).set(1)
    decided = metrics.of_workloads
    decided.cost.labels(*name).set(1007)
    decided.budget.labels(*name).set(2000)
    decided.utilization.labels(*name).set(0.7)
    decided.replicas.labels(*name, "l4", "L4", "OnDemand", "fp16").set(1)
    for gauge in (decided.objective, decided.predicted):
        gauge.labels(*name, "latency.p99").set(0.05)


def test_pods_that_stop_being_scraped_leave_no_numbers_and_come_back_by_themselves(serving: Serving) -> None:
    source = serving.source(staleSeconds=5, graceSeconds=2)
    idle(serving, source)
    serving.prometheus.stop()
    down = serving.read(source)
    assert "Connection refused" in down.problem
    time.sleep(6)
    serving.prometheus.start()
    first = serving.read(source)
    stale = first.workloads.get(serving.key)
    assert first.problem or (stale is not None and stale.requests_per_second is None)
    idle(serving, source)
