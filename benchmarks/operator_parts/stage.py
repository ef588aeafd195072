"""The stage: a real control plane with many nodes, played pods, pools and workloads, and the real operator."""

import contextlib
import dataclasses
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import fleet
import operator_stories
from cluster import LocalCluster
from kube_api import Api, Object, until
from operator_process import OperatorProcess
from simulation import Behaviour

CLIENTS = 4
"""Connections over which workloads are made: the API server is what limits that."""

BIG_T4 = dataclasses.replace(fleet.T4_EKS, name="t4-big", cpu="96", memory="768Gi", gpus=8)
BIG_L4 = dataclasses.replace(fleet.L4_GKE, name="l4-big", cpu="96", memory="768Gi", gpus=8)
"""Eight GPUs a node, so that 500 workloads need few enough nodes for one kubelet to play."""

SERVED = "/apis/berthmaster.dev/v1alpha1/inferenceworkloads"
"""Answers once the API server serves the kind, a moment after its CRD was applied."""

PATIENT = {"kube-controller-manager": ("--node-monitor-grace-period=1000s",)}
"""One process plays all nodes: on a busy machine some would be given up, which is nothing that is measured here."""

PRESETS = ("resnet50", "bert-base-128", "vit-base-16-224", "efficientnet-b0", "mobilenet-v2")
RATES = (20, 40, 60, 80)


@contextlib.contextmanager
def stage(nodes_of_each: int = 0) -> Iterator[LocalCluster]:
    """CRDs and a pool of T4s and one of L4s, each with so many nodes of eight GPUs; nodes are not provisioned.

    All requests are in the audit log. Containers are ready half a second after they start and end when told to.
    """
    nodes = ((BIG_T4, nodes_of_each), (BIG_L4, nodes_of_each)) if nodes_of_each else ()
    with (
        tempfile.TemporaryDirectory(prefix="berthmaster-bench-") as folder,
        LocalCluster(Path(folder) / "cluster", nodes, real_triton=0, flags=PATIENT, audit=True) as local,
    ):
        local.components.images.play(lambda pod, container: Behaviour(ready_seconds=0.5))
        pools = tuple(_pool(each) for each in (operator_stories.POOL_T4, operator_stories.POOL_L4))
        operator_stories.install(local.api, pools=pools)
        local.wait_until(lambda: local.api.exists(SERVED), what="the kinds are served")
        yield local


def _pool(pool: Object) -> Object:
    return pool | {"spec": pool["spec"] | {"gpusPerNode": 8, "maximumNodes": 0}}


def workloads(count: int, namespaces: Sequence[str]) -> list[Object]:
    """Classic networks of five kinds at four rates, spread over the namespaces; each needs one GPU."""
    return [_workload(f"workload-{index:04d}", namespaces[index % len(namespaces)], index) for index in range(count)]


def _workload(name: str, namespace: str, index: int) -> Object:
    preset, rate = PRESETS[index % len(PRESETS)], RATES[index // len(PRESETS) % len(RATES)]
    source = {"persistentVolumeClaim": {"claimName": "models", "path": f"{preset}/fp16"}}
    made = operator_stories.workload(
        name, namespace, traffic={"requestsPerSecond": rate}, objectives={"latency": {"p99Milliseconds": 400}}
    )
    made["spec"]["model"] |= {"preset": preset, "variants": [{"precision": "fp16", "source": source}]}
    return made


def occupy(api: Api) -> None:
    """Pods of somebody else hold every GPU of every node."""
    for node in api.items("/api/v1/nodes"):
        name, gpus = node["metadata"]["name"], node["status"]["allocatable"].get("nvidia.com/gpu")
        holds = {"name": "holds", "image": "training", "resources": {"limits": {"nvidia.com/gpu": gpus}}}
        spec = {"nodeName": name, "tolerations": [{"operator": "Exists"}], "containers": [holds]}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"training-{name}"}, "spec": spec}
        api.create("/api/v1/namespaces/default/pods", pod)


def homes(api: Api, count: int) -> list[str]:
    """Fresh namespaces with a claim for models in each."""
    return [operator_stories.home(api) for _ in range(count)]


def create(api: Api, documents: Sequence[Object]) -> None:
    """Make all workloads, over a few connections."""

    def make(document: Object) -> None:
        api.create(operator_stories.WORKLOADS.format(document["metadata"]["namespace"]), document)

    with ThreadPoolExecutor(CLIENTS) as clients:
        list(clients.map(make, documents))


def stored(api: Api, namespaces: Sequence[str]) -> list[Object]:
    return [each for namespace in namespaces for each in api.items(operator_stories.WORKLOADS.format(namespace))]


def conditions(workload: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Status and reason by type, of the newest spec only."""
    status = workload.get("status") or {}
    if status.get("observedGeneration") != workload["metadata"]["generation"]:
        return {}
    return {each["type"]: (each["status"], each["reason"]) for each in status.get("conditions", ())}


def ready(workload: Mapping[str, Any]) -> bool:
    """Whether the newest spec's revision serves with every replica, and nothing older is left."""
    return conditions(workload).get("Ready") == ("True", "RevisionAvailable")


def wait_for(
    local: LocalCluster, namespaces: Sequence[str], count: int, operator: OperatorProcess, timeout_seconds: float = 300
) -> None:
    """Until every workload is ready; looks seldom, so that looking costs little. Raises where the operator ended."""

    def all_ready() -> bool:
        if not operator.alive:
            raise RuntimeError(f"the operator ended: {operator.said()[-2000:]}")
        return sum(map(ready, stored(local.api, namespaces))) == count

    until(all_ready, timeout_seconds, every_seconds=3)
