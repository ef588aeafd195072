"""The planning hash: equal as long as nothing in a spec changes that a plan depends on."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from berth_cost.cases.case import MeasuredPoint
from berth_operator.api.workload import InferenceWorkloadSpec

DIGITS = 16


def planning_hash(spec: InferenceWorkloadSpec, measured: Sequence[MeasuredPoint] = ()) -> str:
    """Sixteen hexadecimal digits over the planning-relevant spec and the measured runs that it refers to.

    Left out is what only rendering reads: names, tensors, paths, pull secrets, the rollout's strategy; and who scales
    by demand, and to how many: that moves nothing, it adds and takes away; and what right-sizing may do. Defaults are
    left out too, so that a field that a later release adds moves nothing.
    """
    stated: dict[str, Any] = spec.model_dump(
        mode="json",
        by_alias=True,
        exclude_defaults=True,
        exclude={
            "model": {"name": True, "inputs": True, "outputs": True, "variants": True},
            "right_sizing": True,
            "rollout": True,
            "autoscaling": True,
            "replicas": {"desired"},
            "serving": {"priority_class_name": True, "image_pull_secrets": True},
        },
    )
    stated = {name: part for name, part in stated.items() if part != {}}
    stated["variants"] = [
        [
            variant.precision,
            variant.quality.model_dump(mode="json") if variant.quality else None,
            variant.source.persistent_volume_claim.claim_name if variant.source.persistent_volume_claim else None,
        ]
        for variant in sorted(spec.model.variants, key=lambda variant: variant.precision)
    ]
    if measured:
        # What a run says, and not where it lies: a ConfigMap under another name moves nothing.
        stated.get("model", {}).pop("measuredFrom", None)
        of_catalogue = {"hardware": {"gpu_specification"}}
        stated["measured"] = [run.model_dump(mode="json", exclude=of_catalogue) for run in measured]
    return digest(stated)


def digest(value: Any) -> str:
    """Of any JSON value; equal values have equal digests, whatever order their keys came in."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=repr)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:DIGITS]
