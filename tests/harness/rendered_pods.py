"""Pods of a story of rendering on a local cluster, as the operator would make them: without the operator."""

from typing import Any

import fleet
import triton_server
from berth_operator.render import Rendered
from cluster import LocalCluster
from render_stories import Story

L4 = fleet.NodeKind("l4", cpu="16", memory="64Gi", gpus=2, labels={"gpu": "l4"})
H100 = fleet.NodeKind("h100", cpu="64", memory="512Gi", gpus=8, labels={"gpu": "h100"})


def on_nodes(story: Story, gpu: str, namespace: str) -> Story:
    """The story on the release of the real server, with every pool on the nodes of this cluster."""
    changes = {"node_labels": {"gpu": gpu}, "zones": None, "tolerations": ()}
    pools = {name: pool.model_copy(update=changes) for name, pool in story.pools.items()}
    metadata = story.workload.metadata.model_copy(update={"namespace": namespace, "uid": ""})
    workload = story.workload.model_copy(update={"metadata": metadata})
    return story.with_platform(**triton_server.PLATFORM).but(pools=pools, workload=workload, has_pod_monitor=False)


def apply(cluster: LocalCluster, rendered: Rendered) -> None:
    for document in rendered.objects:
        cluster.api.apply_object(document, "berthmaster")
    for deployment in rendered.deployments:
        name = deployment["metadata"]["name"]
        scaled = {"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"replicas": rendered.replicas[name]}}
        scaled["metadata"] = {"name": name, "namespace": deployment["metadata"]["namespace"]}
        cluster.api.apply_object(scaled, "berthmaster-autoscaler")


def claim(cluster: LocalCluster, namespace: str, name: str) -> None:
    spec = {"accessModes": ["ReadOnlyMany"], "resources": {"requests": {"storage": "1Gi"}}}
    path = f"/api/v1/namespaces/{namespace}/persistentvolumeclaims"
    cluster.api.create(path, {"metadata": {"name": name}, "spec": spec})


def wait_ready(cluster: LocalCluster, rendered: Rendered) -> list[dict[str, Any]]:
    """Until every replica is ready; the running pods."""
    for deployment in rendered.deployments:
        name = deployment["metadata"]["name"]
        path = cluster.api.path_of(deployment)
        cluster.wait_until(
            lambda path=path, name=name: (  # type: ignore[misc]
                cluster.api.get(path).get("status", {}).get("readyReplicas", 0) == rendered.replicas[name]
            ),
            timeout_seconds=90,
            what=f"the replicas of {name}",
        )
    namespace = rendered.config["metadata"]["namespace"]
    return cluster.api.items(f"/api/v1/namespaces/{namespace}/pods")
