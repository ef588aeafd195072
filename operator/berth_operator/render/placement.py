"""Where a pod may run: the pool's nodes and no others, spread over zones and hosts, off nodes that are going away."""

from typing import Any

from berth_operator import labels
from berth_operator.render import names
from berth_operator.render.order import Order
from berth_scheduler.snapshot import Berth, Pool, Sharing, Toleration

ZONE, HOST = "topology.kubernetes.io/zone", "kubernetes.io/hostname"
GPU_RESOURCE, MIG_PREFIX = "nvidia.com/gpu", "nvidia.com/mig-"

LEAVING_TAINTS = (
    "karpenter.sh/disrupted",
    "aws-node-termination-handler/",
    "cloud.google.com/impending-node-termination",
    "ToBeDeletedByClusterAutoscaler",
    "node.kubernetes.io/unschedulable",
)
"""Keys (or their beginnings) of taints on nodes that are being taken away: a pod must not be placed there, so a pool's
tolerations of them are left out."""


def gpu_resources(berth: Berth) -> dict[str, str]:
    """The extended resource of one replica. ``1g.10gb+me`` is the resource ``nvidia.com/mig-1g.10gb.me``."""
    if berth.sharing is Sharing.MIG and berth.mig_profile:
        return {MIG_PREFIX + berth.mig_profile.replace("+", "."): "1"}
    return {GPU_RESOURCE: str(round(berth.gpus_per_replica))}


def affinity(pool: Pool) -> dict[str, Any]:
    """Every label that the pool is known by, and its zones where they are stated."""
    wanted = {key: [value] for key, value in pool.node_labels.items()}
    if pool.zones:
        wanted[ZONE] = sorted(pool.zones)
    if not wanted:
        return {}
    expressions = [{"key": key, "operator": "In", "values": values} for key, values in sorted(wanted.items())]
    required = {"nodeSelectorTerms": [{"matchExpressions": expressions}]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}


def pool_tolerations(pool: Pool) -> list[dict[str, Any]]:
    """The pool's own, without those of taints that say a node is leaving.

    One without a key is meant for every taint (``GPUPool.spec.tolerations``) and is taken at its word.
    """
    return [
        _toleration(each)
        for each in pool.tolerations
        if each.key is None or not (each.key.startswith(LEAVING_TAINTS) or each.key == GPU_RESOURCE)
    ]


def common_tolerations(order: Order) -> list[dict[str, Any]]:
    """GPU nodes' own taint, a shorter stay on lost nodes than Kubernetes' default, and the platform's."""
    lost = order.platform.lost_node_seconds
    return [
        {"key": GPU_RESOURCE, "operator": "Exists"},
        *(
            {
                "key": f"node.kubernetes.io/{state}",
                "operator": "Exists",
                "effect": "NoExecute",
                "tolerationSeconds": lost,
            }
            for state in ("not-ready", "unreachable")
        ),
        *(_toleration(each) for each in order.platform.extra_tolerations),
    ]


def topology_spread(workload: str) -> list[dict[str, Any]]:
    """Evenly over zones, then hosts, as far as capacity allows; each revision by itself."""
    return [
        {
            "topologyKey": key,
            "maxSkew": 1,
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": {labels.WORKLOAD: workload}},
            "matchLabelKeys": [labels.REVISION],
            "nodeTaintsPolicy": "Honor",
        }
        for key in (ZONE, HOST)
    ]


def berth_labels(berth: Berth) -> dict[str, str]:
    """What tells pods of different berths apart."""
    return {labels.CAPACITY_TYPE: berth.capacity_type.value, labels.POOL: names.label_value(berth.pool)}


def _toleration(toleration: Toleration) -> dict[str, Any]:
    stated = toleration.model_dump(mode="json", by_alias=True, exclude_none=True)
    return dict(sorted(stated.items()))
