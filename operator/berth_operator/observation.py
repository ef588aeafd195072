"""What there is of a workload, read from the mirrors: what runs, what serves, and why pods do not start. Pure."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from berth_operator.api.conditions import Reason
from berth_operator.labels import APP_INSTANCE, REPLICAS_MANAGER, REVISION
from berth_operator.mirror import Entry
from berth_operator.report import Obstacle
from berth_operator.rollout import Running

DEAD_AFTER = timedelta(seconds=60)
"""A Deployment without an available pod for this long serves nobody; a shorter gap may be a probe that failed once."""
STUCK_AFTER = timedelta(seconds=30)
"""A pod that outlived its grace period by this long is stuck on a lost node; nothing waits for it."""
RESTARTS = 3
"""From this many restarts on, a container that waits is failing, not starting."""

_FAILING = frozenset(
    {
        "CrashLoopBackOff",
        "CreateContainerConfigError",
        "CreateContainerError",
        "ErrImageNeverPull",
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
        "RunContainerError",
    }
)
"""Why a container waits that does not come up by itself (kubelet, Kubernetes 1.36)."""


def running(entry: Entry, now: datetime) -> Running:
    """One of our Deployments."""
    metadata, status = entry.thing["metadata"], entry.thing["status"]
    replicas, ready = int(entry.thing["spec"].get("replicas", 1)), int(status.get("readyReplicas", 0))
    others = [owner for owner in entry.replica_owners if owner != REPLICAS_MANAGER]
    return Running(
        name=entry.name,
        revision=revision_of(entry) or "",
        replicas=replicas,
        ready=ready,
        seen=int(status.get("observedGeneration", 0)) >= int(metadata.get("generation", 0)),
        updated=int(status.get("updatedReplicas", 0)) == int(status.get("replicas", 0)),
        dead=ready == 0 and _unavailable_since(status, now - DEAD_AFTER),
        other_owner=others[0] if others else None,
        owned=REPLICAS_MANAGER in entry.replica_owners,
    )


def revision_of(entry: Entry) -> str | None:
    """The revision that a child or a pod belongs to; None of what is shared by all."""
    found: str | None = (entry.thing["metadata"].get("labels") or {}).get(REVISION)
    return found


def deployment_of(pod: Entry) -> str | None:
    """The name of the Deployment that a pod of ours is of."""
    found: str | None = (pod.thing["metadata"].get("labels") or {}).get(APP_INSTANCE)
    return found


def serving_revision(service: Entry | None) -> str | None:
    """What the workload's Service selects; None where there is no such Service of ours."""
    found: str | None = None if service is None else (service.thing["spec"].get("selector") or {}).get(REVISION)
    return found


def present_revisions(pods: Iterable[Entry], now: datetime) -> frozenset[str]:
    """Revisions that still have pods; pods that are stuck on a lost node are not counted."""
    return frozenset(revision_of(pod) or "" for pod in pods if not _is_stuck(pod, now))


def unschedulable_revisions(pods: Iterable[Entry]) -> frozenset[str]:
    """Revisions with pods that the scheduler finds no node for."""
    return frozenset(revision_of(pod) or "" for pod in pods if _unschedulable(pod) is not None)


def obstacle(pods: Iterable[Entry], revision: str) -> Obstacle | None:
    """Why pods of ``revision`` do not start: the worst first, by name; None where nothing speaks against it."""
    mine = [pod for pod in pods if revision_of(pod) == revision and not pod.deleting]
    for pod in mine:
        for container in pod.thing["status"].get("containerStatuses") or ():
            waiting = container["state"]["waiting"]
            if waiting.get("reason") in _FAILING or container.get("restartCount", 0) >= RESTARTS:
                said = waiting.get("message") or waiting.get("reason", "does not start")
                return Obstacle(Reason.PODS_FAILING, f"{pod.name}: {waiting.get('reason', '')}: {said}")
    for pod in mine:
        said = _unschedulable(pod)
        if said is not None:
            return Obstacle(Reason.PODS_STARTING, f"{pod.name} is not scheduled: {said}")
    return None


def refused(deployments: Iterable[Entry], revision: str) -> Obstacle | None:
    """Why no pods of ``revision`` can be made at all: quota, pod security or another policy refuses them."""
    for entry in deployments:
        for condition in entry.thing["status"].get("conditions") or ():
            if revision_of(entry) == revision and (condition.get("type"), condition.get("status")) == (
                "ReplicaFailure",
                "True",
            ):
                return Obstacle(Reason.PODS_FAILING, f"{entry.name}: {condition.get('message', 'pods are refused')}")
    return None


def _unschedulable(pod: Entry) -> str | None:
    for condition in pod.thing["status"].get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("reason") == "Unschedulable":
            return str(condition.get("message", "no node fits"))
    return None


def _unavailable_since(status: Mapping[str, Any], latest: datetime) -> bool:
    """Whether the Deployment has said for long enough that it has not the pods that it should have."""
    for condition in status.get("conditions") or ():
        if condition.get("type") == "Available" and condition.get("status") == "False":
            return _time(condition.get("lastTransitionTime"), otherwise=latest + DEAD_AFTER) <= latest
    return False


def _is_stuck(pod: Entry, now: datetime) -> bool:
    """Its deletionTimestamp is when its grace period ends."""
    ends = pod.thing["metadata"].get("deletionTimestamp")
    return ends is not None and _time(ends, otherwise=now) + STUCK_AFTER < now


def _time(text: object, otherwise: datetime) -> datetime:
    try:
        return datetime.fromisoformat(str(text))
    except ValueError:
        return otherwise
