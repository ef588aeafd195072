"""Metrics of every pod by itself, for clusters with the Prometheus operator."""

from typing import Any

from berth_operator import labels
from berth_operator.render import names
from berth_operator.render.order import Order
from berth_operator.render.owners import child_metadata


def pod_monitor(order: Order) -> dict[str, Any]:
    """Series carry the names of workload and Deployment, by which signals are read, and the revision, pool and capacity
    type, so that revisions and berths can be compared."""
    workload = order.workload.metadata.name
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PodMonitor",
        "metadata": child_metadata(order.workload, workload, names.child_labels(workload)),
        "spec": {
            "selector": {"matchLabels": {labels.WORKLOAD: workload}},
            "podTargetLabels": [
                labels.WORKLOAD,
                labels.APP_INSTANCE,
                labels.REVISION,
                labels.POOL,
                labels.CAPACITY_TYPE,
            ],
            "podMetricsEndpoints": [
                {
                    "port": "metrics",
                    "path": "/metrics",
                    "interval": f"{order.platform.metrics_interval_seconds}s",
                    "honorLabels": False,
                }
            ],
        },
    }
