"""Which pods go first when a Deployment gets fewer: what Kubernetes would not know. Pure."""

from collections import Counter
from collections.abc import Iterable, Sequence

from berth_operator.mirror import Entry
from berth_operator.projection import asks_for_gpu


def leaving_first(pods: Sequence[Entry], everybody: Iterable[Entry]) -> list[Entry]:
    """Pods of one Deployment in the order in which they should go.

    First who serves nobody: not scheduled, then not ready. Then who shares a node with the fewest other GPU pods, so
    that whole nodes come free: a started node is what costs. Then the youngest, whose caches are the coldest.
    ``everybody``: all pods of the cluster.
    """
    staying = [pod for pod in pods if not pod.deleting]
    nodes = {pod.thing["spec"].get("nodeName") for pod in staying}
    neighbours = Counter(
        node
        for pod in everybody
        if (node := pod.thing["spec"].get("nodeName")) in nodes and not pod.deleting and asks_for_gpu(pod.thing)
    )

    def order(pod: Entry) -> tuple[bool, bool, int]:
        node = pod.thing["spec"].get("nodeName")
        return node is not None, _is_ready(pod), neighbours[node]

    return sorted(sorted(staying, key=_made, reverse=True), key=order)


def _made(pod: Entry) -> tuple[str, str]:
    return str(pod.thing["metadata"].get("creationTimestamp", "")), pod.name


def _is_ready(pod: Entry) -> bool:
    return any(
        (each.get("type"), each.get("status")) == ("Ready", "True")
        for each in pod.thing["status"].get("conditions") or ()
    )
