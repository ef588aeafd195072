"""A decision as Kubernetes objects: pure, plain dicts, the same bytes for the same input.

One Deployment per berth of a revision; per workload one Service and a headless one, a ServiceAccount, a disruption
budget, a NetworkPolicy and, where that kind exists, a PodMonitor; per revision one ConfigMap.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from berth_operator import labels
from berth_operator.api.conditions import Reason
from berth_operator.api.v1alpha1 import InferenceWorkload
from berth_operator.platform import Platform
from berth_operator.render import hashes, model_config, names, repository
from berth_operator.render.account import service_account
from berth_operator.render.deployment import Place, deployment, form
from berth_operator.render.disruption import disruption_budget
from berth_operator.render.lint import Circumstances, lint
from berth_operator.render.monitor import pod_monitor
from berth_operator.render.network import network_policy
from berth_operator.render.order import Order
from berth_operator.render.owners import child_metadata
from berth_operator.render.repository import Configuration
from berth_operator.render.server import declares_everything
from berth_operator.render.service import services
from berth_scheduler.decision import Decision
from berth_scheduler.snapshot import Berth, Pool, Problem, Workload

__all__ = ["Rendered", "Unrenderable", "render"]


@dataclass(frozen=True)
class Rendered:
    """The children of one workload; every object carries the annotation RENDERED with its own hash."""

    revision: str
    shared: tuple[dict[str, Any], ...]
    """Once per workload; the Services select the revision that serves."""
    config: dict[str, Any]
    """The revision's ConfigMap."""
    deployments: tuple[dict[str, Any], ...]
    """One per berth, without ``spec.replicas``."""
    replicas: Mapping[str, int]
    """Replicas of each Deployment by its name, for the other field manager."""

    @property
    def objects(self) -> tuple[dict[str, Any], ...]:
        """All of them, in an order in which they can be made."""
        return (*self.shared, self.config, *self.deployments)


class Unrenderable(Exception):
    """Raised for a decision that no working pod can be made of; ``problems`` says what to change, in sentences."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(problem.message for problem in problems))
        self.problems = tuple(problems)


def render(
    workload: InferenceWorkload,
    decision: Decision,
    pools: Mapping[str, Pool],
    platform: Platform,
    *,
    planned: Workload,
    serving_revision: str | None,
    has_pod_monitor: bool,
) -> Rendered:
    """The objects of ``decision``, which has at least one berth.

    ``planned`` is the workload in the snapshot that the decision was made on: its planning hash, model, backend,
    resources and objectives. ``pools`` has every pool of the decision's berths. The Services select
    ``serving_revision``, or the new revision where nothing serves yet. Raises :class:`Unrenderable`.
    """
    order = Order(workload, planned, platform)
    _check(order, decision, pools)
    berths = decision.berths
    files = [repository.files(order, berth) for berth in berths]
    forms = [form(order, berth, content) for berth, content in zip(berths, files, strict=True)]
    # Berths that run alike are one form: losing one of them, or getting another, is no new revision.
    revision = hashes.digest(sorted({hashes.canonical(each) for each in forms}), hashes.REVISION_DIGITS)

    data, keys = _config_data(forms)
    config_map = names.config_map(workload.metadata.name, revision)
    deployments = tuple(
        deployment(
            order,
            berth,
            Place(pools[berth.pool], names.deployment(workload.metadata.name, revision, short), revision),
            Configuration(config_map, own_keys),
        )
        for berth, short, own_keys in zip(berths, names.berths(berths), keys, strict=True)
    )
    return Rendered(
        revision=revision,
        shared=tuple(map(hashes.with_hash, _shared(order, serving_revision or revision, has_pod_monitor))),
        config=hashes.with_hash(_config_map(order, config_map, revision, data)),
        deployments=tuple(map(hashes.with_hash, deployments)),
        replicas={each["metadata"]["name"]: berth.replicas for each, berth in zip(deployments, berths, strict=True)},
    )


def _shared(order: Order, serving_revision: str, has_pod_monitor: bool) -> list[dict[str, Any]]:
    return [
        service_account(order),
        *services(order, serving_revision),
        disruption_budget(order),
        *([network_policy(order)] if order.platform.network_policies else []),
        *([pod_monitor(order)] if has_pod_monitor else []),
    ]


def _config_data(forms: Sequence[Mapping[str, Any]]) -> tuple[dict[str, str], list[dict[str, str]]]:
    """The ConfigMap's data, and for each form the key of each of its files.

    A key is the file's own name; where berths of one revision run differently, the form's hash stands before it.
    """
    several = len({hashes.canonical(each["files"]) for each in forms}) > 1
    data: dict[str, str] = {}
    keys = []
    for each in forms:
        prefix = f"{hashes.digest(each['files'], hashes.BERTH_DIGITS)}-" if several else ""
        own = {path: prefix + path.rsplit("/", 1)[-1] for path in each["files"]}
        data |= {own[path]: body for path, body in each["files"].items()}
        keys.append(own)
    return data, keys


def _config_map(order: Order, name: str, revision: str, data: Mapping[str, str]) -> dict[str, Any]:
    """Immutable, because its name says what is in it: a running pod never sees another configuration."""
    own_labels = {**names.child_labels(order.workload.metadata.name), labels.REVISION: revision}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": child_metadata(order.workload, name, own_labels),
        "immutable": True,
        "data": dict(data),
    }


# --- refusing what cannot work -----------------------------------------------------------------------------------


def _check(order: Order, decision: Decision, pools: Mapping[str, Pool]) -> None:
    """Raises :class:`Unrenderable` with every problem of every berth, each once."""
    found = [problem for berth in decision.berths for problem in _problems(order, berth, pools)]
    if not decision.berths:
        found = [Problem(reason=decision.reason, message=f"{decision.workload} has no berth: {decision.message}")]
    if found:
        raise Unrenderable(tuple(dict.fromkeys(found)))


def _problems(order: Order, berth: Berth, pools: Mapping[str, Pool]) -> Iterator[Problem]:
    if berth.pool not in pools:
        yield Problem(reason=Reason.RETRYING, message=f"pool {berth.pool} of the decision is gone: plan anew")
    if all(variant.precision != berth.precision for variant in order.workload.spec.model.variants):
        message = f"spec.model.variants has no {berth.precision} any more, which the decision chose: plan anew"
        yield Problem(reason=Reason.RETRYING, message=message)
    yield from lint(model_config.model_config(order, berth), _circumstances(order, berth))


def _circumstances(order: Order, berth: Berth) -> Circumstances:
    return Circumstances(
        directory=order.model_name,
        release=order.image.release,
        gpus=berth.tensor_parallel,
        items_per_request=order.planned.traffic.items_per_request,
        auto_complete=not declares_everything(order),
    )
