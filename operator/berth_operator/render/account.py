"""A ServiceAccount of its own, without rights and without a token: nothing in a serving pod talks to the API server."""

from typing import Any

from berth_operator.render import names
from berth_operator.render.order import Order
from berth_operator.render.owners import child_metadata


def service_account(order: Order) -> dict[str, Any]:
    workload = order.workload.metadata.name
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": child_metadata(order.workload, workload, names.child_labels(workload)),
        "automountServiceAccountToken": False,
    }
