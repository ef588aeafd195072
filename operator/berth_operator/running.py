"""What runs, read back from the cluster: Deployments, their pods and the Service. The cluster is the only memory.

Total: a Deployment whose annotations cannot be read is named in a remark and is no berth; its pods then count as
somebody else's, so that nothing is placed on GPUs that they hold.
"""

import functools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from berth_operator import labels
from berth_operator.api.conditions import Reason
from berth_operator.supply.node_labels import shown
from berth_operator.supply.pod_requests import FINISHED
from berth_operator.world import Object, World, annotations_of, key_of, labels_of, mapping, name_of, string_map, text
from berth_scheduler.snapshot import Berth, Problem, Running, RunningBerth

MOST_REPLICAS = 100_000
"""More than any Deployment runs: a count beyond it is an error of typing."""


@dataclass(frozen=True, slots=True)
class RunningWorkload:
    """What runs for one workload. ``pods`` are the keys of the pods that its berths account for."""

    running: tuple[Running, ...] = ()
    remarks: tuple[Problem, ...] = ()
    pods: frozenset[str] = frozenset()


NOTHING_RUNS = RunningWorkload()


def read_running(world: World) -> dict[str, RunningWorkload]:
    """By workload key. Only workloads that are in ``world`` and not being deleted; only Deployments that they own."""
    owners = {
        key: text(workload, "metadata", "uid")
        for workload in world.workloads
        if (key := key_of(workload)) is not None and not mapping(workload, "metadata").get("deletionTimestamp")
    }
    deployments: dict[str, list[Object]] = {key: [] for key in sorted(owners)}
    for deployment in world.deployments:
        key = _workload_of(deployment)
        if key in owners and _owned_by(deployment, owners[key]) and not _is_going(deployment):
            deployments[key].append(deployment)
    pods = _pods_by_workload(world.pods)
    selected = _selected_revisions(world.services)
    return {
        key: _read_workload(key, found, pods.get(key, ()), selected.get(key))
        for key, found in deployments.items()
        if found
    }


def _workload_of(child: Object) -> str | None:
    """The key of the workload that a child of ours belongs to; None for anybody else's object."""
    own = labels_of(child)
    workload, key = own.get(labels.WORKLOAD), key_of(child)
    if own.get(labels.MANAGED_BY) != labels.MANAGER or not workload or key is None:
        return None
    return f"{key.rpartition('/')[0]}/{workload}"


def _owned_by(child: Object, uid: str | None) -> bool:
    """Whether the owner references name this very workload; a manifest that no server has seen has no uid."""
    references = mapping(child, "metadata").get("ownerReferences")
    if uid is None or not isinstance(references, list):
        return uid is None
    return any(isinstance(reference, Mapping) and reference.get("uid") == uid for reference in references)


def _is_going(thing: Object) -> bool:
    return bool(mapping(thing, "metadata").get("deletionTimestamp"))


def _pods_by_workload(pods: Iterable[Object]) -> dict[str, list[Object]]:
    found: dict[str, list[Object]] = {}
    for pod in pods:
        key = _workload_of(pod)
        if key is not None and text(pod, "status", "phase") not in FINISHED:
            found.setdefault(key, []).append(pod)
    return found


def _selected_revisions(services: Iterable[Object]) -> dict[str, str]:
    """By workload key: the revision that the Service of the workload's own name selects."""
    selected = {}
    for service in services:
        key, revision = key_of(service), string_map(service, "spec", "selector").get(labels.REVISION)
        if key is not None and key == _workload_of(service) and revision:
            selected[key] = revision
    return selected


def _read_workload(
    key: str, deployments: Iterable[Object], pods: Iterable[Object], selected: str | None
) -> RunningWorkload:
    remarks: list[Problem] = []
    counted: set[str] = set()
    revisions: dict[str, list[tuple[str, RunningBerth]]] = {}
    for deployment in sorted(deployments, key=lambda one: name_of(one) or ""):
        revision, berth = labels_of(deployment).get(labels.REVISION), _berth(deployment, remarks)
        if revision is None or berth is None:
            continue
        own = [pod for pod in pods if _belongs_to(pod, deployment)]
        counted.update(filter(None, map(key_of, own)))
        running = RunningBerth(
            berth=berth,
            ready_replicas=_count(mapping(deployment, "status").get("readyReplicas"), 0),
            nodes=tuple(sorted(node for pod in own if (node := text(pod, "spec", "nodeName")) is not None)),
        )
        planned_for = annotations_of(deployment).get(labels.PLANNED_FOR, "")
        revisions.setdefault(revision, []).append((planned_for, running))
    running_revisions = tuple(
        Running(
            revision=revision,
            planned_for=_agreed(revisions[revision]),
            serving=revision == selected,
            berths=tuple(berth for _, berth in revisions[revision]),
        )
        for revision in sorted(revisions)
    )
    return RunningWorkload(running_revisions, tuple(remarks), frozenset(counted))


def _agreed(berths: Iterable[tuple[str, RunningBerth]]) -> str:
    """The planning hash that all Deployments of a revision carry; "", which no spec has, while they differ."""
    hashes = {planned_for for planned_for, _ in berths}
    return hashes.pop() if len(hashes) == 1 else ""


def _belongs_to(pod: Object, deployment: Object) -> bool:
    """By the name that the ReplicaSet gives: the Deployment's, its own hash, the pod's."""
    prefix = f"{name_of(deployment)}-"
    return (name_of(pod) or "").startswith(prefix)


def _berth(deployment: Object, remarks: list[Problem]) -> Berth | None:
    """The berth in the annotation; where there is none, a remark."""
    berth = berth_of(deployment)
    if berth is None:
        annotation = annotations_of(deployment).get(labels.BERTH, "")
        message = (
            f"Deployment {name_of(deployment)}: annotation {labels.BERTH} is {shown(annotation)}, which is no berth:"
            " delete the Deployment, and it is made anew"
        )
        remarks.append(Problem(reason=Reason.INVALID_SPEC, message=message))
    return berth


def berth_of(deployment: Object) -> Berth | None:
    """The berth in the annotation, with the count that ``spec.replicas`` asks for, whoever set it; None for none."""
    berth = _stated_berth(annotations_of(deployment).get(labels.BERTH, ""))
    if berth is None:
        return None
    return berth.model_copy(update={"replicas": _count(mapping(deployment, "spec").get("replicas"), 1)})


@functools.lru_cache(maxsize=16_384)
def _stated_berth(annotation: str) -> Berth | None:
    """Without replicas. Kept, because every reading of signals asks for all of them, and they hardly ever change."""
    try:
        stated = json.loads(annotation, parse_constant=_refuse_constant)
        berth = Berth.model_validate({**stated, "replicas": 0} if isinstance(stated, dict) else stated)
    except (ValueError, RecursionError):
        return None
    return berth if _is_sound(berth) else None


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no number of a berth")


def _is_sound(berth: Berth) -> bool:
    """Whether its numbers can be planned with."""
    sizes = (berth.tensor_parallel, berth.instances_per_gpu, berth.maximum_batch_size)
    return all(1 <= size <= MOST_REPLICAS for size in sizes) and 0 < berth.gpus_per_replica <= MOST_REPLICAS


def _count(stated: object, default: int) -> int:
    """A count of replicas; ``default`` where it is absent or no count."""
    whole = isinstance(stated, int) and not isinstance(stated, bool) and 0 <= stated <= MOST_REPLICAS
    return stated if whole and isinstance(stated, int) else default
