"""Real load on real Triton, scraped by a real Prometheus: replicas go from one to three and back, and nobody loses a
request."""

import time
from collections.abc import Iterator

import pytest
import yaml

import artefacts
import cache
import debian
import fleet
import operator_stories
import prometheus_server
import sandbox
import triton_server
from cluster import LocalCluster
from kube_api import Object, condition
from operator_process import OperatorProcess
from prometheus_server import PrometheusServer
from scrape_targets import ScrapeTargets
from steady_load import SteadyLoad

EXAMPLES = cache.REPOSITORY / "examples"
TINY = operator_stories.WORKLOADS.format("vision") + "/tiny"
SLOW = "600G"
"""Operations of one inference, as stated: the plan then expects so little of a replica that a few clients need three.
What really answers is small and quick."""
WINDOW_SECONDS = 8


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    try:
        sandbox.bubblewrap()
        triton_server.installed()
        prometheus_server.program("prometheus")
    except (sandbox.Unavailable, triton_server.Unavailable, debian.Unavailable) as reason:
        pytest.skip(f"no real pods or no Prometheus on this machine: {reason}")
    with LocalCluster(tmp_path_factory.mktemp("cluster"), [(fleet.L4_GKE, 3)]) as local:
        yield local


def serve(cluster: LocalCluster) -> None:
    """The example with a real network, which is said to be slower than it is."""
    operator_stories.install(cluster.api, pools=(operator_stories.POOL_L4,))
    artefacts.put(cluster.components.claim_folder("vision", "models") / "magika" / "fp32")
    cluster.run("kubectl", "apply", "-f", str(EXAMPLES / "namespaces.yaml"))
    workload = yaml.safe_load((EXAMPLES / "tiny.yaml").read_text())
    spec = workload["spec"]
    spec["model"]["architecture"]["dense"]["flopsPerInference"] = SLOW
    spec |= {"traffic": {"requestsPerSecond": 2}, "replicas": {"minimum": 1, "maximum": 3}}
    spec["autoscaling"] = {"scaleDownStabilizationSeconds": 20}
    cluster.api.apply_object(workload)


def serving(cluster: LocalCluster) -> int:
    """Ready pods."""
    return sum(condition(pod, "Ready").get("status") == "True" for pod in pods(cluster))


def pods(cluster: LocalCluster) -> list[Object]:
    """Those that drain, too."""
    return list(cluster.api.items("/api/v1/namespaces/vision/pods?labelSelector=berthmaster.dev%2Fworkload%3Dtiny"))


def said(cluster: LocalCluster) -> Object:
    found: Object = cluster.api.get(TINY).get("status", {})
    return found


def test_replicas_follow_real_load_up_and_down_and_no_request_is_lost(cluster: LocalCluster) -> None:
    targets = ScrapeTargets(cluster.api, "vision", cluster.state / "prometheus" / "targets.json")
    prometheus = PrometheusServer(cluster.state / "prometheus", targets.scrape_configs, interval_seconds=1)
    settings = {
        **operator_stories.QUICK,
        "platform": {**triton_server.PLATFORM, "drainSeconds": 4, "metricsIntervalSeconds": 1},
        "prometheus": {"url": prometheus.url, "windowSeconds": WINDOW_SECONDS},
        "autoscaling": {"tickSeconds": 5},
    }
    operator = OperatorProcess(cluster.kubeconfig, settings, cluster.state / "operators", name="leader")
    with targets, prometheus, operator:
        serve(cluster)
        cluster.wait_until(lambda: serving(cluster) == 1, timeout_seconds=90, what="one replica of tiny")
        host, _ = cluster.components.address("vision", "tiny", "grpc")
        with SteadyLoad(host, "magika", clients=1, pause_seconds=0.5) as calm:
            cluster.wait_until(
                lambda: said(cluster).get("desiredReplicas") == 1, timeout_seconds=60, what="signals of tiny"
            )
            began = time.monotonic()
            with SteadyLoad(host, "magika", clients=12, pause_seconds=0.2) as load:
                cluster.wait_until(lambda: said(cluster).get("desiredReplicas") == 3, timeout_seconds=60, what="a step")
                asked = time.monotonic() - began
                cluster.wait_until(lambda: serving(cluster) == 3, timeout_seconds=90, what="three replicas")
            cluster.wait_until(lambda: serving(cluster) == 1, timeout_seconds=180, what="one replica again")
            cluster.wait_until(lambda: len(pods(cluster)) == 1, timeout_seconds=60, what="the last pod to drain")
    assert load.failures == []
    assert calm.failures == []
    assert load.answered > 50
    assert asked <= 30
    status = said(cluster)
    assert float(status["observed"]["requestsPerSecond"]) > 0
    assert condition({"status": status}, "Autoscaling")["reason"] == "Managed"
