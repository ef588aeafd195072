"""What a change in the cluster is about: which workloads to look at again, and whether the fleet is planned anew."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from berth_operator import kinds
from berth_operator.mirror import Change, Entry, workload_key
from berth_operator.projection import asks_for_gpu


@dataclass(frozen=True, slots=True)
class Meaning:
    """``keys`` are looked at at once; ``plan``: something that a plan depends on changed."""

    keys: tuple[str, ...] = ()
    plan: bool = False


POOL_PREFIX = "/"
"""A pool's key is its name behind an empty namespace."""


def key_of(entry: Entry) -> str:
    """The work queue's key of a workload or a pool."""
    return f"{entry.namespace or ''}/{entry.name}"


def meaning(change: Change, has_gpus: Callable[[str], bool]) -> Meaning:
    """``has_gpus`` says of a node's name whether that node has GPUs: only there do foreign pods matter."""
    match change.kind:
        case kinds.WORKLOAD | kinds.POOL:
            return _of_intent(change)
        case kinds.DEPLOYMENT:
            return Meaning(_owner(change), plan=_differs(change, _deployment_in_a_plan))
        case kinds.SERVICE:
            return Meaning(_owner(change), plan=_differs(change, lambda entry: entry.thing["spec"]))
        case kinds.POD:
            return Meaning(_owner(change), plan=_pod_counts(change, has_gpus) and _differs(change, _pod_in_a_plan))
        case kinds.NODE | kinds.CLAIM | kinds.VOLUME:
            return Meaning(plan=True)
    return Meaning(_owner(change))


def _of_intent(change: Change) -> Meaning:
    """A workload or pool: a new spec is planned, its end is noted; our own status is no news."""
    if _differs(change, lambda entry: (entry.uid, entry.thing["metadata"].get("generation"), entry.deleting)):
        return Meaning((key_of(change.entry),), plan=True)
    return Meaning((key_of(change.entry),))


def _owner(change: Change) -> tuple[str, ...]:
    key = workload_key(change.entry)
    return () if key is None else (key,)


def _differs(change: Change, part: Callable[[Entry], Any]) -> bool:
    before, after = change.before, change.after
    return before is None or after is None or part(before) != part(after)


def _deployment_in_a_plan(entry: Entry) -> Any:
    """What runs: how many are asked for and ready, what for, and whether it is about to go."""
    metadata, status = entry.thing["metadata"], entry.thing["status"]
    return metadata.get("annotations"), entry.thing["spec"], status.get("readyReplicas"), entry.deleting


def _pod_in_a_plan(entry: Entry) -> Any:
    """Where a pod takes what; whether it is ready is its Deployment's business."""
    return entry.thing["spec"], entry.deleting


def _pod_counts(change: Change, has_gpus: Callable[[str], bool]) -> bool:
    """Pods that hold a GPU, or CPU and memory of a node with GPUs."""
    pod = change.entry.thing
    node = pod["spec"].get("nodeName")
    return node is not None and (asks_for_gpu(pod) or has_gpus(node))
