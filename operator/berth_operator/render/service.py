"""How clients find the serving revision: one Service, and a headless one for clients that balance by themselves."""

from typing import Any

from berth_operator.render import names
from berth_operator.render.order import Order
from berth_operator.render.owners import child_metadata
from berth_operator.render.server import PORTS

_PROTOCOLS = {"http": "http", "grpc": "kubernetes.io/h2c"}
"""Metrics are not here: through a Service Prometheus would see one pod of many."""


def services(order: Order, revision: str) -> list[dict[str, Any]]:
    """Both select ``revision``: the one that serves.

    HTTP keep-alive and gRPC stay on one connection, so on one pod, through the first; a gRPC client with
    ``round_robin`` over the headless one uses all.
    """
    workload = order.workload.metadata.name
    return [
        _service(order, workload, revision, {"type": "ClusterIP"}),
        _service(order, names.headless_service(workload), revision, {"type": "ClusterIP", "clusterIP": "None"}),
    ]


def _service(order: Order, name: str, revision: str, address: dict[str, str]) -> dict[str, Any]:
    workload = order.workload.metadata.name
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": child_metadata(order.workload, name, names.child_labels(workload)),
        "spec": {
            **address,
            "selector": names.serving_selector(workload, revision),
            "ports": [
                {"name": port, "port": PORTS[port], "targetPort": port, "protocol": "TCP", "appProtocol": protocol}
                for port, protocol in _PROTOCOLS.items()
            ],
        },
    }
