"""``berthmaster.dev/v1alpha1``: the two kinds. The source of truth; ``crds/`` is generated from here."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar, Literal, TypeVar

from pydantic import Field, ValidationError

from berth_operator.api.field import LABEL_PATTERN, Part
from berth_operator.api.model import (
    GENERATING_BACKENDS,
    ONE_PASS_BACKENDS,
    Architecture,
    Backend,
    Dense,
    Experts,
    ImageSource,
    LatentAttention,
    PersistentVolumeClaimSource,
    Source,
    Tensor,
    Transformer,
    Variant,
    VariantQuality,
    WorkloadModel,
)
from berth_operator.api.pool import GPUPoolSpec, NodeResources, PoolPrice, PoolSpot, Toleration
from berth_operator.api.problem import FieldProblem, InvalidObject, field_problems, rule_problems
from berth_operator.api.rule import WITHOUT_RULES, Rule
from berth_operator.api.status import (
    AlternativeStatus,
    BerthStatus,
    BudgetStatus,
    Condition,
    Estimate,
    GPUPoolStatus,
    InferenceWorkloadStatus,
    LatencyEstimate,
    Learned,
    Observed,
    ObservedLatency,
    PoolPriceStatus,
    PoolSummary,
    Predicted,
    SavingParts,
    SavingStatus,
    WorkloadCost,
    WorkloadSummary,
)
from berth_operator.api.workload import (
    Autoscaling,
    Budget,
    GPUChoice,
    ImagePullSecret,
    InferenceWorkloadSpec,
    Latency,
    Objectives,
    Placement,
    QualityObjective,
    Replicas,
    ResourceAmounts,
    Resources,
    Rollout,
    Serving,
    Spot,
    TokenLengths,
    Traffic,
)
from berth_operator.labels import GROUP

__all__ = [
    "API_VERSION",
    "GENERATING_BACKENDS",
    "ONE_PASS_BACKENDS",
    "VERSION",
    "AlternativeStatus",
    "Architecture",
    "Autoscaling",
    "Backend",
    "BerthStatus",
    "Budget",
    "BudgetStatus",
    "Condition",
    "Dense",
    "Estimate",
    "Experts",
    "FieldProblem",
    "GPUChoice",
    "GPUPool",
    "GPUPoolSpec",
    "GPUPoolStatus",
    "ImagePullSecret",
    "ImageSource",
    "InferenceWorkload",
    "InferenceWorkloadSpec",
    "InferenceWorkloadStatus",
    "InvalidObject",
    "Latency",
    "LatencyEstimate",
    "LatentAttention",
    "Learned",
    "Metadata",
    "NodeResources",
    "Objectives",
    "Observed",
    "ObservedLatency",
    "PersistentVolumeClaimSource",
    "Placement",
    "PoolPrice",
    "PoolPriceStatus",
    "PoolSpot",
    "PoolSummary",
    "Predicted",
    "QualityObjective",
    "Replicas",
    "ResourceAmounts",
    "Resources",
    "Rollout",
    "SavingParts",
    "SavingStatus",
    "Serving",
    "Source",
    "Spot",
    "Tensor",
    "TokenLengths",
    "Toleration",
    "Traffic",
    "Transformer",
    "Variant",
    "VariantQuality",
    "WorkloadCost",
    "WorkloadModel",
    "WorkloadSummary",
    "parse_pool",
    "parse_workload",
]

VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"


class Metadata(Part):
    """What is read of an object's metadata."""

    name: str
    namespace: str | None = None
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None


class InferenceWorkload(Part):
    """A model to serve: what it is, its traffic, and how fast it must answer. Berthmaster chooses the GPU."""

    api_version: Literal["berthmaster.dev/v1alpha1"] = Field(default="berthmaster.dev/v1alpha1", alias="apiVersion")
    kind: Literal["InferenceWorkload"] = "InferenceWorkload"
    metadata: Metadata
    spec: InferenceWorkloadSpec
    status: InferenceWorkloadStatus | None = None

    rules: ClassVar = (
        Rule(
            cel="self.metadata.name.size() <= 40 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
            message=(
                "metadata.name must be at most 40 lower-case letters, digits and '-', starting with a letter: names of"
                " Deployments and Services are made from it"
            ),
            holds=lambda workload: _is_short_name(workload.metadata.name, 40),
        ),
    )

    @property
    def key(self) -> str:
        """``namespace/name``."""
        return f"{self.metadata.namespace or 'default'}/{self.metadata.name}"

    @property
    def model_name(self) -> str:
        """Triton's name of the model."""
        return self.spec.model.name or self.metadata.name


class GPUPool(Part):
    """One kind of GPU supply: which nodes, which GPU, how it is bought, what it costs, how much of it there can be."""

    api_version: Literal["berthmaster.dev/v1alpha1"] = Field(default="berthmaster.dev/v1alpha1", alias="apiVersion")
    kind: Literal["GPUPool"] = "GPUPool"
    metadata: Metadata
    spec: GPUPoolSpec
    status: GPUPoolStatus | None = None

    rules: ClassVar = (
        Rule(
            cel="self.metadata.name.size() <= 63 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
            message=(
                "metadata.name must be at most 63 lower-case letters, digits and '-', starting with a letter: pods"
                " carry it as a label"
            ),
            holds=lambda pool: _is_short_name(pool.metadata.name, 63),
        ),
    )


def _is_short_name(name: str, longest: int) -> bool:
    return len(name) <= longest and bool(re.fullmatch(LABEL_PATTERN, name)) and name[0].isalpha()


# --- reading -----------------------------------------------------------------------------------------------------


def parse_workload(obj: Mapping[str, Any], *, strict: bool = False) -> InferenceWorkload:
    """The workload, or :class:`InvalidObject`.

    Unknown fields are ignored, and a status that is not understood reads as none: an older operator must read what a
    newer one stored. ``strict`` refuses unknown fields, as kubectl does.
    """
    return _parse(InferenceWorkload, obj, strict)


def parse_pool(obj: Mapping[str, Any], *, strict: bool = False) -> GPUPool:
    """The pool, or :class:`InvalidObject`; ``strict`` as in :func:`parse_workload`."""
    return _parse(GPUPool, obj, strict)


_Kind = TypeVar("_Kind", InferenceWorkload, GPUPool)


def _parse(kind: type[_Kind], obj: Mapping[str, Any], strict: bool) -> _Kind:
    if strict:  # metadata and status are the API server's and the operator's: only their readers' fields matter
        known = {name: value for name, value in obj.items() if name != "status"}
        if isinstance(metadata := known.get("metadata"), Mapping):
            names = {field.alias for field in Metadata.model_fields.values()}
            known["metadata"] = {name: value for name, value in metadata.items() if name in names}
        obj = known
    try:
        return kind.model_validate(obj, extra="forbid" if strict else "ignore")
    except ValidationError as error:
        if all(found["loc"][:1] == ("status",) for found in error.errors(include_url=False)):
            return _parse(kind, {name: value for name, value in obj.items() if name != "status"}, strict)
        raise InvalidObject(_all_problems(kind, obj, error)) from error


def _all_problems(kind: type[Part], obj: Mapping[str, Any], error: ValidationError) -> list[FieldProblem]:
    """Of ``error``, and of the rules that were not asked because something inside their object broke another one."""
    found = list(field_problems(kind, error))
    try:
        read = kind.model_validate(obj, extra="ignore", context=WITHOUT_RULES)
    except ValidationError:
        return found
    return found + [problem for problem in rule_problems(read) if problem not in found]
