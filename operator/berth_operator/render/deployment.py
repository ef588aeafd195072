"""One Deployment per berth of a revision. ``spec.replicas`` is never rendered: another field manager owns it."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from typing import Any

from berth_operator import labels
from berth_operator.quantity import byte_quantity, count_quantity
from berth_operator.render import hashes, names, placement, repository, security, server
from berth_operator.render.order import Order
from berth_operator.render.owners import child_metadata
from berth_operator.render.repository import Configuration
from berth_operator.render.startup import progress_deadline_seconds
from berth_operator.render.termination import termination
from berth_scheduler.snapshot import Berth, CapacityType, Pool

CONTAINER = "triton"

NEUTRAL = CapacityType.ON_DEMAND
"""The capacity type that revisions are compared at: it only changes how long a pod may take to stop."""

REVISIONS_KEPT = 1
"""Of a Deployment's own history: a revision's template hardly ever changes, and what did is in the plan."""


@dataclass(frozen=True)
class Place:
    """Where a berth is: its pool, and the Deployment and revision that its pods belong to."""

    pool: Pool
    name: str
    revision: str


def deployment(order: Order, berth: Berth, place: Place, configuration: Configuration) -> dict[str, Any]:
    workload = order.workload.metadata.name
    own_labels = {**names.child_labels(workload), labels.REVISION: place.revision, **placement.berth_labels(berth)}
    annotations = {
        labels.BERTH: hashes.canonical(berth.model_dump(mode="json", by_alias=True, exclude={"replicas"})),
        labels.PLANNED_FOR: order.planned.planning_hash,
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": child_metadata(order.workload, place.name, own_labels, annotations),
        "spec": {
            "selector": {"matchLabels": _selector(workload, place)},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "revisionHistoryLimit": REVISIONS_KEPT,
            "progressDeadlineSeconds": progress_deadline_seconds(order, berth),
            "template": _placed(pod_template(order, berth, berth.capacity_type, configuration), order, berth, place),
        },
    }


def form(order: Order, berth: Berth, files: Mapping[str, str]) -> dict[str, Any]:
    """What makes a revision: the pod and its configuration, without where it runs and how that is bought."""
    nowhere = Configuration("", {path: path for path in files})
    return {
        "gpu": berth.gpu,
        "precision": berth.precision,  # two precisions may lie at one path, and be told apart by nothing else
        "template": pod_template(order, berth, NEUTRAL, nowhere),
        "files": dict(files),
    }


def pod_template(
    order: Order, berth: Berth, capacity_type: CapacityType, configuration: Configuration
) -> dict[str, Any]:
    """The template without what its place adds (:func:`_placed`)."""
    stop = termination(order, capacity_type)
    workload, serving = order.workload.metadata.name, order.workload.spec.serving
    image = {"image": order.image.reference, "imagePullPolicy": order.platform.image_pull_policy}
    spec: dict[str, Any] = {
        "serviceAccountName": workload,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        # Process 1 ignores signals that it has no handler for, and Triton has none until it is ready: a pod deleted
        # while loading would last its whole grace period. With shared processes, process 1 is the pause container.
        "shareProcessNamespace": True,
        "securityContext": security.pod_security(),
        "terminationGracePeriodSeconds": stop.grace,
        "tolerations": placement.common_tolerations(order),
        "topologySpreadConstraints": placement.topology_spread(workload),
        "containers": [
            {
                "name": CONTAINER,
                **image,
                "args": server.arguments(order, stop.exit_timeout),
                "env": server.environment(order, berth),
                "ports": server.ports(),
                **server.probes(order, berth),
                "lifecycle": server.lifecycle(stop),
                "resources": _resources(order, berth),
                "securityContext": security.container_security(),
                "terminationMessagePolicy": "FallbackToLogsOnError",
                "volumeMounts": repository.mounts(order, berth, configuration),
            }
        ],
        "volumes": repository.volumes(order, berth, configuration),
    }
    if order.backend == "tensorrtllm":
        spec["initContainers"] = [repository.adapter_container(order, image, security.container_security())]
    if serving and serving.priority_class_name:
        spec["priorityClassName"] = serving.priority_class_name
    if secrets := _pull_secrets(order):
        spec["imagePullSecrets"] = secrets
    return {"metadata": {"labels": names.child_labels(workload)}, "spec": spec}


def _selector(workload: str, place: Place) -> dict[str, str]:
    return {labels.WORKLOAD: workload, labels.REVISION: place.revision, labels.APP_INSTANCE: place.name}


def _placed(template: dict[str, Any], order: Order, berth: Berth, place: Place) -> dict[str, Any]:
    """``template`` with the labels, affinity and tolerations of its berth."""
    own = {labels.REVISION: place.revision, labels.APP_INSTANCE: place.name, **placement.berth_labels(berth)}
    spec: dict[str, Any] = template["spec"]
    spec = {**spec, "tolerations": [*spec["tolerations"], *placement.pool_tolerations(place.pool)]}
    if affinity := placement.affinity(place.pool):
        spec["affinity"] = affinity
    return {"metadata": {"labels": {**template["metadata"]["labels"], **own}}, "spec": spec}


def _resources(order: Order, berth: Berth) -> dict[str, Any]:
    """Memory is limited to what is asked for, CPU only where the workload says so: throttling costs latency."""
    planned, limits = order.planned.resources, order.limits
    gpus = placement.gpu_resources(berth)
    milli_cores = (Decimal(str(planned.cpu_cores)) * 1000).to_integral_value(rounding=ROUND_CEILING)
    limited: dict[str, str] = {"memory": byte_quantity(repository.memory_limit_bytes(order)), **gpus}
    if limits and limits.cpu:
        limited["cpu"] = str(limits.cpu)
    return {
        "requests": {
            "cpu": count_quantity(milli_cores / 1000),
            "memory": byte_quantity(planned.memory_bytes),
            **gpus,
        },
        "limits": limited,
    }


def _pull_secrets(order: Order) -> list[dict[str, str]]:
    serving = order.workload.spec.serving
    own = [secret.name for secret in serving.image_pull_secrets or ()] if serving else []
    return [{"name": name} for name in dict.fromkeys((*own, *order.platform.image_pull_secrets))]
