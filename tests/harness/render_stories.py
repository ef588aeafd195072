"""The stories that rendering is held against: a workload, what was decided for it, and what the platform sets.

``tests/golden/render/<story>/`` has ``workload.yaml`` (as a user wrote it), ``decided.yaml`` (what planning adds) and
``objects.yaml`` (what must come out). ``UPDATE_GOLDEN=1`` writes the latter anew, for a person to read the difference.
"""

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from berth_operator.api.v1alpha1 import InferenceWorkload, parse_workload
from berth_operator.cli.output import BlockDumper
from berth_operator.platform import Platform
from berth_operator.render import Rendered, render
from berth_operator.render.order import Order
from berth_scheduler.decision import Decision
from berth_scheduler.snapshot import Berth, Pool, Variant, Workload

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "render"
NAMES = tuple(sorted(folder.name for folder in GOLDEN.iterdir() if (folder / "workload.yaml").exists()))
UPDATE = os.environ.get("UPDATE_GOLDEN") == "1"


@dataclasses.dataclass(frozen=True)
class Story:
    """Everything that :func:`berth_operator.render.render` is given."""

    workload: InferenceWorkload
    planned: Workload
    decision: Decision
    pools: Mapping[str, Pool]
    platform: Platform
    serving_revision: str | None = None
    has_pod_monitor: bool = True

    def render(self) -> Rendered:
        return render(
            self.workload,
            self.decision,
            self.pools,
            self.platform,
            planned=self.planned,
            serving_revision=self.serving_revision,
            has_pod_monitor=self.has_pod_monitor,
        )

    @property
    def order(self) -> Order:
        return Order(self.workload, self.planned, self.platform)

    def but(self, **changes: Any) -> "Story":
        return dataclasses.replace(self, **changes)

    def with_berths(self, **changes: Any) -> "Story":
        """Every berth changed alike."""
        berths = tuple(berth.model_copy(update=changes) for berth in self.decision.berths)
        return self.but(decision=self.decision.model_copy(update={"berths": berths}))

    def with_planned(self, **changes: Any) -> "Story":
        return self.but(planned=self.planned.model_copy(update=changes))

    def with_platform(self, **changes: Any) -> "Story":
        return self.but(platform=Platform.model_validate({**self.platform.model_dump(by_alias=False), **changes}))

    def with_spec(self, changes: Mapping[str, Any]) -> "Story":
        """``with_spec({"model.variants.0.source.image.reference": …})``: the manifest with some fields changed."""
        manifest = self.workload.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"status"})
        for path, value in changes.items():
            *parents, last = path.split(".")
            place: Any = manifest["spec"]
            for part in parents:
                place = place[int(part)] if part.isdigit() else place.setdefault(part, {})
            place[last] = value
        return self.but(workload=parse_workload(manifest))


def story(name: str) -> Story:
    folder = GOLDEN / name
    manifest = yaml.safe_load((folder / "workload.yaml").read_text())
    decided = yaml.safe_load((folder / "decided.yaml").read_text())
    workload = parse_workload(manifest, strict=True)
    variants = tuple(Variant(precision=each.precision) for each in workload.spec.model.variants)
    planned = Workload.model_validate(
        {"key": workload.key, "planningHash": "5ca1ab1e", "variants": variants, **decided["planned"]}
    )
    pools = [Pool.model_validate(each) for each in decided["pools"]]
    return Story(
        workload=workload,
        planned=planned,
        decision=Decision(
            workload=workload.key,
            placed=True,
            reason="Placed",
            message="",
            berths=tuple(Berth.model_validate(each) for each in decided["berths"]),
            decision_hash="0",
        ),
        pools={pool.name: pool for pool in pools},
        platform=Platform.model_validate(decided.get("platform", {})),
        serving_revision=decided.get("servingRevision"),
        has_pod_monitor=decided.get("podMonitor", True),
    )


def dump(rendered: Rendered) -> str:
    """All objects as YAML documents, then the replicas as a comment: they are applied by another field manager."""
    documents = yaml.dump_all(rendered.objects, Dumper=BlockDumper, sort_keys=True, width=120, allow_unicode=True)
    replicas = "".join(f"# replicas of {name}: {count}\n" for name, count in sorted(rendered.replicas.items()))
    return documents + replicas
