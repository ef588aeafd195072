"""Who may reach a workload's pods, and whom they may reach. Kubelets' probes pass every policy."""

from collections.abc import Sequence
from typing import Any

from berth_operator import labels
from berth_operator.platform import Peer
from berth_operator.render import names
from berth_operator.render.order import Order
from berth_operator.render.owners import child_metadata
from berth_operator.render.server import PORTS


def network_policy(order: Order) -> dict[str, Any]:
    """An absent direction admits nothing. It is left out, not empty: the server drops empty lists, and would find every
    apply of one a change."""
    workload, platform = order.workload.metadata.name, order.platform
    ingress = [*_rule(platform.inference_from, ("http", "grpc")), *_rule(platform.metrics_from, ("metrics",))]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": child_metadata(order.workload, workload, names.child_labels(workload)),
        "spec": {
            "podSelector": {"matchLabels": {labels.WORKLOAD: workload}},
            "policyTypes": ["Ingress", "Egress"],
            **({"ingress": ingress} if ingress else {}),
            **({"egress": [{}]} if platform.open_egress else {}),
        },
    }


def _rule(peers: Sequence[Peer], ports: Sequence[str]) -> list[dict[str, Any]]:
    """No rule for no peers: an empty ``from`` would admit everyone."""
    if not peers:
        return []
    return [
        {"from": [_peer(each) for each in peers], "ports": [{"port": PORTS[name], "protocol": "TCP"} for name in ports]}
    ]


def _peer(peer: Peer) -> dict[str, Any]:
    """A pod selector alone means the policy's own namespace."""
    pods = {"podSelector": {"matchLabels": peer.pod_labels} if peer.pod_labels else {}}
    if peer.namespace_labels is None:
        return pods
    return {"namespaceSelector": {"matchLabels": peer.namespace_labels} if peer.namespace_labels else {}} | (
        pods if peer.pod_labels else {}
    )
