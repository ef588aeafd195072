"""At most one pod of a workload is drained at a time; pods that are still loading never block a drain."""

from typing import Any

from berth_operator import labels
from berth_operator.render import names
from berth_operator.render.order import Order
from berth_operator.render.owners import child_metadata


def disruption_budget(order: Order) -> dict[str, Any]:
    workload = order.workload.metadata.name
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": child_metadata(order.workload, workload, names.child_labels(workload)),
        "spec": {
            "maxUnavailable": 1,
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
            "selector": {"matchLabels": {labels.WORKLOAD: workload}},
        },
    }
