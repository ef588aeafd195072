"""``InferenceWorkload.spec``: what a user wants served, how fast, and within which bounds."""

from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from berth_cost.case import Precision
from berth_operator.api.field import (
    UNIQUE,
    ByteQuantity,
    Count,
    CountQuantity,
    Flag,
    Identifier,
    ListOf,
    NotNegativeDecimal,
    ObjectName,
    Part,
    Percent,
    PositiveDecimal,
    Tally,
    VolumePath,
)
from berth_operator.api.rule import Rule
from berth_scheduler.snapshot import CapacityType, Sharing


class Backend(StrEnum):
    """The Triton backend that runs the model."""

    ONNXRUNTIME = "onnxruntime"
    TENSORRT = "tensorrt"
    PYTORCH = "pytorch"
    PYTHON = "python"
    VLLM = "vllm"
    TENSORRT_LLM = "tensorrtllm"


GENERATING_BACKENDS = frozenset({Backend.VLLM, Backend.TENSORRT_LLM})
"""They serve language models only, take inputs and outputs from the engine, and load the weights by themselves."""
ONE_PASS_BACKENDS = frozenset({Backend.ONNXRUNTIME, Backend.TENSORRT, Backend.PYTORCH})
"""One forward pass a request: they cannot generate token by token."""


# --- what the model is -------------------------------------------------------------------------------------------


class Experts(Part):
    """A mixture of experts."""

    count: Count
    """Routed experts of a layer."""
    per_token: Count
    """Routed experts that run for a token."""
    intermediate_size: Count
    """Of one expert."""
    shared: Tally = 0
    """Experts that run for every token."""
    first_dense_layers: Tally = 0
    """Layers at the start that have no experts."""

    rules: ClassVar = (
        Rule(
            cel="self.perToken <= self.count",
            message="perToken must not be above count",
            holds=lambda experts: experts.per_token <= experts.count,
            field=".perToken",
        ),
    )


class LatentAttention(Part):
    """Multi-head latent attention: the cache holds keyValueRank + ropeHeadSize numbers a token and layer."""

    key_value_rank: Count
    query_rank: Count | None = None
    rope_head_size: Count
    nope_head_size: Count
    value_head_size: Count


class Transformer(Part):
    """A decoder language model by its dimensions, as its config.json states them."""

    parameters: CountQuantity
    """All weights, such as "8.03G"."""
    active_parameters: CountQuantity | None = None
    """Weights that one token passes through, of a mixture of experts."""
    layers: Count
    hidden_size: Count
    intermediate_size: Count
    attention_heads: Count
    key_value_heads: Count
    head_size: Count
    vocabulary_size: Count
    tied_embeddings: Flag = False
    """Input and output embeddings are the same weights."""
    sliding_window_tokens: Count | None = None
    experts: Experts | None = None
    latent_attention: LatentAttention | None = None

    rules: ClassVar = (
        Rule(
            cel="self.attentionHeads % self.keyValueHeads == 0",
            message="keyValueHeads must divide attentionHeads",
            holds=lambda model: model.attention_heads % model.key_value_heads == 0,
            field=".keyValueHeads",
        ),
        Rule(
            cel="!has(self.experts) || self.experts.firstDenseLayers <= self.layers",
            message="experts.firstDenseLayers must not be above layers",
            holds=lambda model: model.experts is None or model.experts.first_dense_layers <= model.layers,
            field=".experts",
        ),
        Rule(
            cel=(
                "!has(self.activeParameters) || quantity(string(self.activeParameters))"
                ".compareTo(quantity(string(self.parameters))) <= 0"
            ),
            message="activeParameters must not be above parameters",
            holds=lambda model: model.active_parameters is None or model.active_parameters <= model.parameters,
            field=".activeParameters",
        ),
    )


class Dense(Part):
    """A classic network, one forward pass a request. State what is known; nothing that is absent is guessed."""

    parameters: CountQuantity | None = None
    """All weights, such as "25.6M"."""
    flops_per_inference: CountQuantity | None = None
    """Operations for one item, a multiply-add counted as two, such as "8.2G"."""
    activation_bytes_per_inference: ByteQuantity | None = None
    input_bytes_per_inference: ByteQuantity | None = None
    output_bytes_per_inference: ByteQuantity | None = None
    family: Identifier | None = None
    """Kind of network, such as convolutional or encoder."""

    rules: ClassVar = (
        Rule(
            cel="has(self.parameters) || has(self.flopsPerInference)",
            message="state at least one of parameters and flopsPerInference",
            holds=lambda model: model.parameters is not None or model.flops_per_inference is not None,
        ),
    )


class Architecture(Part):
    """What the model is made of: exactly one of transformer and dense. Wins over the preset."""

    transformer: Transformer | None = None
    dense: Dense | None = None

    rules: ClassVar = (
        Rule(
            cel="has(self.transformer) != has(self.dense)",
            message="state exactly one of transformer (a language model) and dense (a classic network)",
            holds=lambda architecture: (architecture.transformer is None) != (architecture.dense is None),
        ),
    )


# --- its artefacts -----------------------------------------------------------------------------------------------


class PersistentVolumeClaimSource(Part):
    """A directory on a claim of the workload's namespace, mounted read-only."""

    claim_name: ObjectName
    path: VolumePath | None = None
    """What Triton calls a version directory; absent: the root of the volume."""


class ImageSource(Part):
    """A directory in an OCI image, mounted read-only as an image volume (Kubernetes 1.35, or 1.33 with the gate on)."""

    reference: Annotated[str, Field(min_length=1, max_length=512, pattern=r"^[a-zA-Z0-9][-a-zA-Z0-9._:/@]*$")]
    """Such as registry.example.com/models/bert:fp16, better with a digest."""
    path: VolumePath | None = None
    """What Triton calls a version directory; absent: the root of the image."""
    pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = None
    """Absent: as Kubernetes decides, Always for the tag latest, else IfNotPresent."""


class Source(Part):
    """Where an artefact lies: exactly one of the kinds."""

    persistent_volume_claim: PersistentVolumeClaimSource | None = None
    image: ImageSource | None = None

    rules: ClassVar = (
        Rule(
            cel="has(self.persistentVolumeClaim) != has(self.image)",
            message="state exactly one of persistentVolumeClaim and image",
            holds=lambda source: (source.persistent_volume_claim is None) != (source.image is None),
        ),
    )


class VariantQuality(Part):
    """How good the model is at this precision, by the metric of objectives.quality: higher is better."""

    score: NotNegativeDecimal
    evidence: Literal["Measured", "Published", "Assumed"]
    """Where the score comes from."""


class Variant(Part):
    """One artefact that may be chosen: the model at one precision."""

    precision: Precision
    source: Source
    quality: VariantQuality | None = None


class Tensor(Part):
    """One input or output as Triton sees it."""

    name: Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9_][-A-Za-z0-9_.:/]*$")]
    data_type: Literal[
        "BOOL",
        "UINT8",
        "UINT16",
        "UINT32",
        "UINT64",
        "INT8",
        "INT16",
        "INT32",
        "INT64",
        "FP16",
        "FP32",
        "FP64",
        "BF16",
        "STRING",
    ]
    dimensions: Annotated[
        tuple[Annotated[int, Field(strict=True, ge=-1, le=2**31 - 1)], ...], Field(min_length=1, max_length=16)
    ]
    """Without the batch dimension; -1 is any size."""

    rules: ClassVar = (
        Rule(
            cel="self.dimensions.all(size, size != 0)",
            message="dimensions must be -1 (any size) or at least 1",
            holds=lambda tensor: 0 not in tensor.dimensions,
            field=".dimensions",
        ),
    )


Tensors = Annotated[tuple[Tensor, ...], Field(min_length=1, max_length=64), ListOf("map", "name")]


class WorkloadModel(Part):
    """The model: what it is (preset, architecture or both) and the artefacts to choose between."""

    name: Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9_]*[a-z0-9])?$")] | None = None
    """Triton's name of the model, which clients ask for; absent: the name of the workload. Cannot change."""
    backend: Backend | None = None
    """The Triton backend; absent: vllm for a language model, onnxruntime for a classic network."""
    preset: Identifier | None = None
    """A named entry of the model catalogue."""
    architecture: Architecture | None = None
    maximum_context_tokens: Count | None = None
    """The longest prompt and answer together that must be served; absent: what the traffic's token lengths need."""
    inputs: Tensors | None = None
    """Only where the backend cannot tell by itself: pytorch, some python models."""
    outputs: Tensors | None = None
    variants: Annotated[tuple[Variant, ...], Field(min_length=1, max_length=11), ListOf("map", "precision")]
    """The artefacts to choose between, each of its own precision."""

    rules: ClassVar = (
        Rule(
            cel="has(self.name) == has(oldSelf.name) && (!has(self.name) || self.name == oldSelf.name)",
            message="name cannot change, clients ask for the model by it: make a new workload",
            holds=None,
            field=".name",
        ),
        Rule(
            cel="has(self.preset) || has(self.architecture)",
            message="state preset (a name from the model catalogue), architecture, or both",
            holds=lambda model: model.preset is not None or model.architecture is not None,
        ),
        Rule(
            cel="has(self.inputs) == has(self.outputs)",
            message="inputs and outputs go together: state both or neither",
            holds=lambda model: (model.inputs is None) == (model.outputs is None),
        ),
        Rule(
            cel="!has(self.inputs) || !has(self.backend) || !(self.backend in ['vllm', 'tensorrtllm'])",
            message="inputs and outputs of vllm and tensorrtllm are set by the engine: remove them",
            holds=lambda model: model.inputs is None or model.backend not in GENERATING_BACKENDS,
            field=".inputs",
        ),
        Rule(
            cel="!has(self.backend) || self.backend != 'pytorch' || has(self.inputs)",
            message="backend pytorch cannot tell its inputs and outputs: state both",
            holds=lambda model: model.backend is not Backend.PYTORCH or model.inputs is not None,
            field=".backend",
        ),
        Rule(
            cel=(
                "!has(self.backend) || !(self.backend in ['vllm', 'tensorrtllm']) || !has(self.architecture)"
                " || has(self.architecture.transformer)"
            ),
            message="vllm and tensorrtllm serve language models: state architecture.transformer or another backend",
            holds=lambda model: (
                model.backend not in GENERATING_BACKENDS
                or model.architecture is None
                or model.architecture.transformer is not None
            ),
            field=".backend",
        ),
        Rule(
            cel=(
                "!has(self.backend) || !(self.backend in ['onnxruntime', 'tensorrt', 'pytorch'])"
                " || !has(self.architecture) || has(self.architecture.dense)"
            ),
            message="this backend runs one forward pass a request: a language model needs vllm, tensorrtllm or python",
            holds=lambda model: (
                model.backend not in ONE_PASS_BACKENDS
                or model.architecture is None
                or model.architecture.dense is not None
            ),
            field=".backend",
        ),
    )


# --- demand and objectives ---------------------------------------------------------------------------------------


class TokenLengths(Part):
    """How many tokens a request has."""

    mean: PositiveDecimal
    p95: PositiveDecimal | None = None
    """Absent: unknown; the spread is then taken from the mean."""

    rules: ClassVar = (
        Rule(
            cel="!has(self.p95) || double(self.p95) >= double(self.mean)",
            message="p95 must not be below mean",
            holds=lambda tokens: tokens.p95 is None or tokens.p95 >= tokens.mean,
            field=".p95",
        ),
    )


class Traffic(Part):
    """The demand that the placement must sustain."""

    requests_per_second: PositiveDecimal
    """The rate that the placement must sustain."""
    burstiness: NotNegativeDecimal = Field(default="1.0", validate_default=True)
    """Squared coefficient of variation of the gaps between arrivals: 0 constant, 1 Poisson, above 1 bursty."""
    items_per_request: Annotated[int, Field(strict=True, ge=1, le=65536)] = 1
    """Classic networks: how many items a request carries."""
    input_tokens: TokenLengths | None = None
    """Language models: the prompt."""
    output_tokens: TokenLengths | None = None
    """Language models: the answer."""

    rules: ClassVar = (
        Rule(
            cel="has(self.inputTokens) == has(self.outputTokens)",
            message="inputTokens and outputTokens go together: a language model needs both, a classic network neither",
            holds=lambda traffic: (traffic.input_tokens is None) == (traffic.output_tokens is None),
        ),
        Rule(
            cel="self.itemsPerRequest == 1 || !has(self.inputTokens)",
            message="itemsPerRequest is for classic networks: leave it at 1 where inputTokens is stated",
            holds=lambda traffic: traffic.items_per_request == 1 or traffic.input_tokens is None,
            field=".itemsPerRequest",
        ),
    )


_STATISTICS = ("mean", "p50", "p90", "p95", "p99")
_ORDERED = [(low, high) for i, low in enumerate(_STATISTICS[1:], 1) for high in _STATISTICS[i + 1 :]]


def _ascending(latency: "Latency") -> bool:
    stated = [value for name in _STATISTICS[1:] if (value := getattr(latency, f"{name}_milliseconds")) is not None]
    return stated == sorted(stated)


class Latency(Part):
    """Upper limits in milliseconds, each for one statistic of the latency; any subset."""

    mean_milliseconds: PositiveDecimal | None = None
    p50_milliseconds: PositiveDecimal | None = None
    p90_milliseconds: PositiveDecimal | None = None
    p95_milliseconds: PositiveDecimal | None = None
    p99_milliseconds: PositiveDecimal | None = None

    rules: ClassVar = (
        Rule(
            cel=" || ".join(f"has(self.{name}Milliseconds)" for name in _STATISTICS),
            message="state at least one of " + ", ".join(f"{name}Milliseconds" for name in _STATISTICS),
            holds=lambda latency: any(getattr(latency, f"{name}_milliseconds") is not None for name in _STATISTICS),
        ),
        Rule(
            cel=" && ".join(
                f"(!has(self.{low}Milliseconds) || !has(self.{high}Milliseconds)"
                f" || double(self.{low}Milliseconds) <= double(self.{high}Milliseconds))"
                for low, high in _ORDERED
            ),
            message="a higher percentile cannot have a lower limit: p50 ≤ p90 ≤ p95 ≤ p99",
            holds=_ascending,
        ),
    )


class QualityObjective(Part):
    """How much quality a cheaper precision may cost."""

    metric: Identifier
    """Name of the metric whose scores the variants state; higher is better."""
    minimum: PositiveDecimal | None = None
    """A variant below this score is not chosen."""
    maximum_loss_percent: NotNegativeDecimal | None = None
    """How far below the best variant's score a variant may be, in percent of it."""

    rules: ClassVar = (
        Rule(
            cel="has(self.minimum) || has(self.maximumLossPercent)",
            message="state minimum, maximumLossPercent, or both",
            holds=lambda quality: quality.minimum is not None or quality.maximum_loss_percent is not None,
        ),
        Rule(
            cel="!has(self.maximumLossPercent) || double(self.maximumLossPercent) <= 100.0",
            message="maximumLossPercent must not be above 100",
            holds=lambda quality: quality.maximum_loss_percent is None or quality.maximum_loss_percent <= 100,
            field=".maximumLossPercent",
        ),
    )


class Objectives(Part):
    """What the service must keep, at the stated traffic. They are never relaxed."""

    latency: Latency | None = None
    """From request to complete answer."""
    time_to_first_token: Latency | None = None
    """Language models: from request to the first token (TTFT)."""
    time_per_output_token: Latency | None = None
    """Language models: between tokens (TPOT)."""
    quality: QualityObjective | None = None


# --- bounds of the choice ----------------------------------------------------------------------------------------

GPUNames = Annotated[tuple[Identifier, ...], Field(min_length=1, max_length=64), UNIQUE]


class GPUChoice(Part):
    """GPUs by their names in the catalogue. Either list may be absent; an empty one is refused."""

    allow: GPUNames | None = None
    """Only these."""
    deny: GPUNames | None = None
    """None of these."""

    rules: ClassVar = (
        Rule(
            cel="has(self.allow) || has(self.deny)",
            message="state allow, deny, or both; remove gpus to allow every GPU",
            holds=lambda gpus: gpus.allow is not None or gpus.deny is not None,
        ),
        Rule(
            cel="!has(self.allow) || !has(self.deny) || self.allow.all(gpu, !(gpu in self.deny))",
            message="allow and deny must not share a GPU",
            holds=lambda gpus: not set(gpus.allow or ()) & set(gpus.deny or ()),
            field=".deny",
        ),
    )


class Placement(Part):
    """Which supply may be used."""

    gpus: GPUChoice | None = None
    """Absent: every GPU of the pools."""
    capacity_types: Annotated[tuple[CapacityType, ...], Field(min_length=1, max_length=4), UNIQUE] = (
        CapacityType.ON_DEMAND,
    )
    """How the GPUs may be bought; spot is opt-in."""
    sharing: Annotated[tuple[Sharing, ...], Field(min_length=1, max_length=2), UNIQUE] = (
        Sharing.EXCLUSIVE,
        Sharing.MIG,
    )
    """Whole GPUs, MIG slices, or both."""
    maximum_tensor_parallel: Annotated[int, Field(strict=True, ge=1, le=64)] = 8
    """Most GPUs that one replica may span."""


class Replicas(Part):
    """Bounds of the number of replicas."""

    minimum: Annotated[int, Field(strict=True, ge=1, le=1000)] = 1
    maximum: Annotated[int, Field(strict=True, ge=1, le=1000)] = 20

    rules: ClassVar = (
        Rule(
            cel="self.minimum <= self.maximum",
            message="minimum must not be above maximum (20 unless stated)",
            holds=lambda replicas: replicas.minimum <= replicas.maximum,
            field=".minimum",
        ),
    )


class Spot(Part):
    """How much of the workload may run on capacity that can be taken away; only where capacityTypes has Spot."""

    maximum_share_percent: Percent = 70
    """Most replicas on spot, in percent of all."""
    on_demand_base: Tally = 1
    """Replicas that are never on spot."""


class Budget(Part):
    """What the workload may cost."""

    monthly_usd: PositiveDecimal = Field(alias="monthlyUSD")
    on_exceeded: Literal["Alert"] = "Alert"
    """What happens above it. Alert: the condition BudgetOK says so, and no placement above it is chosen anew."""


class Rollout(Part):
    """How a new revision takes over."""

    strategy: Literal["Switch", "Recreate"] = "Switch"
    """Switch: the new revision starts beside the old one. Recreate: the old one stops first where both have no room."""


# --- the pods ----------------------------------------------------------------------------------------------------


class ResourceAmounts(Part):
    """CPU and memory of one replica. GPUs are the operator's choice."""

    cpu: CountQuantity | None = None
    memory: ByteQuantity | None = None


def _requests_within_limits(name: str) -> Rule:
    def holds(resources: "Resources") -> bool:
        requested, limit = (getattr(part, name, None) for part in (resources.requests, resources.limits))
        return requested is None or limit is None or requested.amount <= limit.amount

    return Rule(
        cel=(
            f"!has(self.requests) || !has(self.limits) || !has(self.requests.{name}) || !has(self.limits.{name})"
            f" || quantity(string(self.requests.{name})).compareTo(quantity(string(self.limits.{name}))) <= 0"
        ),
        message=f"requests.{name} must not be above limits.{name}",
        holds=holds,
        field=".requests",
    )


class Resources(Part):
    """As in a pod: what a replica asks for beside GPUs, and what it is held to."""

    requests: ResourceAmounts | None = None
    limits: ResourceAmounts | None = None

    rules: ClassVar = (_requests_within_limits("cpu"), _requests_within_limits("memory"))


class ImagePullSecret(Part):
    """A Secret of the workload's namespace."""

    name: ObjectName


class Serving(Part):
    """Properties of the pods that are the user's to choose."""

    resources: Resources | None = None
    """Absent: sized by the operator from the model's weights."""
    priority_class_name: ObjectName | None = None
    image_pull_secrets: (
        Annotated[tuple[ImagePullSecret, ...], Field(min_length=1, max_length=8), ListOf("map", "name")] | None
    ) = None
    """Credentials for the images, model images included."""


# --- the spec ----------------------------------------------------------------------------------------------------


def _tokens_fit_context(spec: "InferenceWorkloadSpec") -> bool:
    longest, traffic = spec.model.maximum_context_tokens, spec.traffic
    if longest is None or traffic.input_tokens is None or traffic.output_tokens is None:
        return True
    return traffic.input_tokens.mean + traffic.output_tokens.mean <= longest


def _generates(spec: "InferenceWorkloadSpec") -> bool:
    return spec.traffic.input_tokens is not None and spec.traffic.output_tokens is not None


class InferenceWorkloadSpec(Part):
    """A model, its traffic and its objectives; which GPUs, precision and replicas it gets is decided for it."""

    model: WorkloadModel
    traffic: Traffic
    objectives: Objectives = Objectives()
    placement: Placement = Placement()
    priority: Annotated[int, Field(strict=True, ge=-1_000_000_000, le=1_000_000_000)] = 0
    """Where capacity is short, the higher number is placed first."""
    replicas: Replicas = Replicas()
    spot: Spot | None = None
    """Absent, where Spot is allowed: at most 70 percent on spot, at least 1 replica never."""
    budget: Budget | None = None
    rollout: Rollout = Rollout()
    serving: Serving | None = None

    rules: ClassVar = (
        Rule(
            cel="!has(self.spot) || 'Spot' in self.placement.capacityTypes",
            message="spot is set, but placement.capacityTypes does not have Spot: add it, or remove spot",
            holds=lambda spec: spec.spot is None or CapacityType.SPOT in spec.placement.capacity_types,
            field=".spot",
        ),
        Rule(
            cel="!has(self.spot) || self.spot.onDemandBase <= self.replicas.maximum",
            message="spot.onDemandBase must not be above replicas.maximum (20 unless stated)",
            holds=lambda spec: spec.spot is None or spec.spot.on_demand_base <= spec.replicas.maximum,
            field=".spot",
        ),
        Rule(
            cel="!has(self.objectives.quality) || self.model.variants.all(variant, has(variant.quality))",
            message="objectives.quality needs a quality score on every one of model.variants",
            holds=lambda spec: spec.objectives.quality is None or all(v.quality for v in spec.model.variants),
            field=".objectives.quality",
        ),
        Rule(
            cel=(
                "has(self.traffic.inputTokens)"
                " || !(has(self.objectives.timeToFirstToken) || has(self.objectives.timePerOutputToken))"
            ),
            message=(
                "timeToFirstToken and timePerOutputToken are for language models: state traffic.inputTokens and"
                " outputTokens"
            ),
            holds=lambda spec: (
                spec.traffic.input_tokens is not None
                or (spec.objectives.time_to_first_token is None and spec.objectives.time_per_output_token is None)
            ),
            field=".objectives",
        ),
        Rule(
            cel=(
                "has(self.traffic.inputTokens) || !(has(self.model.backend)"
                " && self.model.backend in ['vllm', 'tensorrtllm'])"
                " && !(has(self.model.architecture) && has(self.model.architecture.transformer))"
            ),
            message="a language model needs traffic.inputTokens and traffic.outputTokens",
            holds=lambda spec: (
                _generates(spec)
                or not (
                    spec.model.backend in GENERATING_BACKENDS
                    or (spec.model.architecture is not None and spec.model.architecture.transformer is not None)
                )
            ),
            field=".traffic",
        ),
        Rule(
            cel=(
                "!has(self.traffic.inputTokens) || !(has(self.model.backend)"
                " && self.model.backend in ['onnxruntime', 'tensorrt', 'pytorch'])"
                " && !(has(self.model.architecture) && has(self.model.architecture.dense))"
            ),
            message="a classic network has no tokens: remove traffic.inputTokens and outputTokens",
            holds=lambda spec: (
                not _generates(spec)
                or not (
                    spec.model.backend in ONE_PASS_BACKENDS
                    or (spec.model.architecture is not None and spec.model.architecture.dense is not None)
                )
            ),
            field=".traffic",
        ),
        Rule(
            cel="!has(self.model.maximumContextTokens) || has(self.traffic.inputTokens)",
            message="model.maximumContextTokens is for language models: state traffic.inputTokens and outputTokens",
            holds=lambda spec: spec.model.maximum_context_tokens is None or spec.traffic.input_tokens is not None,
            field=".model.maximumContextTokens",
        ),
        Rule(
            cel=(
                "!has(self.model.maximumContextTokens) || !has(self.traffic.inputTokens)"
                " || !has(self.traffic.outputTokens) || double(self.traffic.inputTokens.mean)"
                " + double(self.traffic.outputTokens.mean) <= double(self.model.maximumContextTokens)"
            ),
            message="the mean request, traffic.inputTokens and outputTokens together, exceeds maximumContextTokens",
            holds=_tokens_fit_context,
            field=".model.maximumContextTokens",
        ),
    )
