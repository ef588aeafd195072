"""The objects that the operator would apply, as a stream of manifests."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from berth_operator.api.v1alpha1 import parse_workload
from berth_operator.cli.output import Column, Format, Output, Page, as_yaml, cell
from berth_operator.cli.plan_view import markdown_row
from berth_operator.cli.sources import Seen
from berth_operator.render import Rendered, Unrenderable, render
from berth_operator.world import key_of
from berth_scheduler.decision import Decision
from berth_scheduler.snapshot import Running, Workload


def rendered_objects(
    seen: Seen, decisions: Iterable[Decision], namespace: str | None, *, has_pod_monitor: bool
) -> tuple[list[dict[str, Any]], list[str]]:
    """The objects of every decision that is placed, and why there are none of the others."""
    raw = {key_of(thing): thing for thing in seen.world.workloads}
    planned = {one.key: one for one in seen.snapshot.workloads}
    pools = {pool.name: pool for pool in seen.snapshot.pools}
    objects: list[dict[str, Any]] = []
    refused = []
    for decision in decisions:
        if namespace is not None and decision.workload.partition("/")[0] != namespace:
            continue
        if not decision.placed:
            refused.append(f"{decision.workload} cannot be placed: {decision.message}")
            continue
        workload = planned[decision.workload]
        try:
            rendered = render(
                parse_workload(raw[decision.workload]),
                decision,
                pools,
                seen.settings.platform,
                planned=workload,
                serving_revision=_serving(workload.running),
                has_pod_monitor=has_pod_monitor,
            )
        except Unrenderable as error:
            refused.append(f"{decision.workload} cannot be rendered: {error}")
            continue
        objects += _with_replicas(rendered, workload)
    return objects, refused


def _serving(running: Sequence[Running]) -> str | None:
    return next((one.revision for one in running if one.serving), None)


def _with_replicas(rendered: Rendered, workload: Workload) -> list[dict[str, Any]]:
    """As the objects end up: the operator sends replicas by themselves, under another field manager."""
    namespace = workload.key.partition("/")[0]
    objects = []
    for thing in rendered.objects:
        metadata = {**thing["metadata"], "namespace": namespace}
        count = rendered.replicas.get(metadata["name"]) if thing["kind"] == "Deployment" else None
        spec = {} if count is None else {"spec": {"replicas": count, **thing["spec"]}}
        objects.append({**thing, "metadata": metadata, **spec})
    return objects


def write_objects(objects: Sequence[dict[str, Any]], result: Output) -> None:
    names = [(one["kind"], f"{one['metadata']['namespace']}/{one['metadata']['name']}") for one in objects]
    match result.format:
        case Format.YAML:
            result.write(as_yaml(*json.loads(json.dumps(objects))) if objects else "")
        case Format.JSON:
            listed = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
            result.write(json.dumps(listed, indent=2, ensure_ascii=False) + "\n")
        case Format.MARKDOWN:
            lines = ["| kind | object |", "|---|---|", *(markdown_row(*row) for row in names)]
            result.write("\n".join(lines) + "\n")
        case Format.TABLE:
            page = Page(colour=False)
            rows = [(cell(kind), cell(name)) for kind, name in names]
            page.table((Column("KIND"), Column("OBJECT", least=20)), rows)
            result.write(page.text())
