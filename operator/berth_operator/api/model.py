"""``InferenceWorkload.spec.model``: what the model is made of, and the artefacts that it comes in."""

from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from berth_cost.cases.case import Precision
from berth_operator.api.field import (
    ByteQuantity,
    Count,
    CountQuantity,
    Flag,
    Identifier,
    ListOf,
    NotNegativeDecimal,
    ObjectName,
    Part,
    PositiveDecimal,
    Tally,
    VolumePath,
)
from berth_operator.api.rule import Rule


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
    """Inner width of one routed expert's MLP (moe_intermediate_size, else intermediate_size)."""
    shared: Tally = 0
    """Experts that run for every token; their weights count into those that parameters must agree with."""
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
    """Width of the compressed keys and values (kv_lora_rank)."""
    query_rank: Count | None = None
    """Width of the compressed queries (q_lora_rank); absent: not compressed. It counts into the
    weights that parameters must agree with."""
    rope_head_size: Count
    """Numbers of a head's query and key that carry the position (qk_rope_head_dim)."""
    nope_head_size: Count
    """Numbers of a head's query and key that carry no position (qk_nope_head_dim)."""
    value_head_size: Count
    """Numbers of a head's value (v_head_dim)."""


class Transformer(Part):
    """A decoder language model by its dimensions, as its config.json states them; none is taken from the preset."""

    parameters: CountQuantity
    """All weights, such as "8.03G"; the dimensions must make as many, within a factor of 1.5."""
    active_parameters: CountQuantity | None = None
    """Weights that one token passes through, of a mixture of experts. The prediction counts them from experts; what
    is stated must agree within a factor of 1.5."""
    layers: Count
    """Decoder layers (num_hidden_layers)."""
    hidden_size: Count
    """Numbers in a token's hidden vector (hidden_size)."""
    intermediate_size: Count
    """Inner width of a dense layer's MLP (intermediate_size); the weights that it makes must agree with parameters."""
    attention_heads: Count
    """Query heads of a layer (num_attention_heads); the number of GPUs that a replica spans must divide it."""
    key_value_heads: Count
    """Heads whose keys and values are cached (num_key_value_heads): attentionHeads where config.json is silent."""
    head_size: Count
    """Numbers in a head (head_dim): hiddenSize / attentionHeads where config.json is silent."""
    vocabulary_size: Count
    """Tokens that the model knows (vocab_size): rows of the embedding and of the output head."""
    tied_embeddings: Flag = False
    """Input and output embeddings are the same weights."""
    sliding_window_tokens: Count | None = None
    """Tokens that some layers look back (sliding_window); absent: all layers see the whole context."""
    sliding_window_layers: Tally | None = None
    """Layers that look back no further than slidingWindowTokens, such as 52 of the 62 of Gemma 3 27B (count the
    sliding_attention of layer_types); absent: every other one."""
    experts: Experts | None = None
    """A mixture of experts; absent: every token passes through all weights."""
    latent_attention: LatentAttention | None = None
    """Multi-head latent attention: the cache holds keyValueRank + ropeHeadSize numbers a token and layer."""

    rules: ClassVar = (
        Rule(
            cel="self.attentionHeads % self.keyValueHeads == 0",
            message="keyValueHeads must divide attentionHeads",
            holds=lambda model: model.attention_heads % model.key_value_heads == 0,
            field=".keyValueHeads",
        ),
        Rule(
            cel=(
                "!has(self.slidingWindowLayers) ||"
                " (has(self.slidingWindowTokens) && self.slidingWindowLayers <= self.layers)"
            ),
            message="slidingWindowLayers needs slidingWindowTokens, and must not be above layers",
            holds=lambda model: (
                model.sliding_window_layers is None
                or (model.sliding_window_tokens is not None and model.sliding_window_layers <= model.layers)
            ),
            field=".slidingWindowLayers",
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
    """A classic network, one forward pass a request. What is absent is taken from the preset, where one is named.

    Both parameters and flopsPerInference must be known, from here or from there, unless measuredFrom has runs.
    """

    parameters: CountQuantity | None = None
    """All weights, such as "25.6M"."""
    flops_per_inference: CountQuantity | None = None
    """Operations for one item, a multiply-add counted as two, such as "8.2G"."""
    activation_bytes_per_inference: ByteQuantity | None = None
    """All intermediate results of one item, at 2 bytes a value whatever the precision; absent: an estimate from
    operations and parameters, with a wider band."""
    input_bytes_per_inference: ByteQuantity | None = None
    """What one item sends to the server; absent: 602112, an RGB image of 224 pixels a side, with a wider band."""
    output_bytes_per_inference: ByteQuantity | None = None
    """What the server answers for one item; absent: 4000, the scores of 1000 classes."""
    repeated_passes: PositiveDecimal | None = None
    """How often a part of it runs again after its first pass, on what the time before left: the tokens that a decoder
    writes, the steps of a diffusion. flopsPerInference holds all of them; absent: one pass."""
    repeated_parameters: CountQuantity | None = None
    """The weights of that part, which every such pass reads, such as "800M"; absent: all."""
    family: Identifier | None = None
    """Such as resnet, bert or vit: corrects the predicted time of families that were measured, changes no other."""

    rules: ClassVar = (
        Rule(
            cel="!has(self.repeatedParameters) || has(self.repeatedPasses)",
            message="repeatedParameters needs repeatedPasses: how often they are read",
            holds=lambda network: network.repeated_parameters is None or network.repeated_passes is not None,
            field=".repeatedParameters",
        ),
        Rule(
            cel=(
                "!has(self.repeatedParameters) || !has(self.parameters) || quantity(string(self.repeatedParameters))"
                ".compareTo(quantity(string(self.parameters))) <= 0"
            ),
            message="repeatedParameters must not be above parameters: they are a part of them",
            holds=lambda network: (
                network.repeated_parameters is None
                or network.parameters is None
                or network.repeated_parameters <= network.parameters
            ),
            field=".repeatedParameters",
        ),
    )

    @property
    def has_its_size(self) -> bool:
        return self.parameters is not None and self.flops_per_inference is not None


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
    """Of the workload's namespace. ReadWriteOnce binds all replicas to one node; ReadWriteOncePod cannot be used."""
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
    """By objectives.quality.metric, on the same data for all variants: higher is better."""
    evidence: Literal["Measured", "Published", "Assumed"]
    """Where the score comes from; shown, and weighs nothing in the choice."""


class Variant(Part):
    """One artefact that may be chosen: the model at one precision."""

    precision: Precision
    """That the artefact was made for: the operator chooses between artefacts and quantises none."""
    source: Source
    quality: VariantQuality | None = None
    """How good the model is at this precision; every variant needs it where objectives.quality is stated."""


class Tensor(Part):
    """One input or output as Triton sees it."""

    name: Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9_][-A-Za-z0-9_.:/]*$")]
    """As the model file has it; clients send it too."""
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
    """Triton's name of the element type, without TYPE_."""
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


class ConfigMapKey(Part):
    """One key of a ConfigMap in the workload's namespace."""

    name: ObjectName
    """Of the ConfigMap."""
    key: Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")]
    """In its data, such as points.jsonl."""


class MeasuredFrom(Part):
    """Where measured runs of the model are: one prediction case a line, with what was observed, as berth measure writes
    them."""

    config_map_key_ref: ConfigMapKey


class WorkloadModel(Part):
    """The model: what it is (preset, architecture, measuredFrom) and the artefacts to choose between."""

    name: Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9_]*[a-z0-9])?$")] | None = None
    """Triton's name of the model, which clients ask for; absent: the name of the workload. Cannot change."""
    backend: Backend | None = None
    """The Triton backend; absent: vllm for a language model, onnxruntime for a classic network."""
    preset: Identifier | None = None
    """A named entry of the model catalogue."""
    architecture: Architecture | None = None
    measured_from: MeasuredFrom | None = None
    """Measured runs, which correct what is predicted. Of a classic network they are enough: preset and architecture may
    be absent. Read again when the ConfigMap changes."""
    maximum_context_tokens: Count | None = None
    """The longest prompt and answer together that must be served; absent: what the traffic's token lengths need."""
    inputs: Tensors | None = None
    """Only where the backend cannot tell by itself: pytorch, some python models."""
    outputs: Tensors | None = None
    """As inputs, and together with them."""
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
            cel="has(self.preset) || has(self.architecture) || has(self.measuredFrom)",
            message="state preset (a name from the model catalogue), architecture, or measuredFrom",
            holds=lambda model: (
                model.preset is not None or model.architecture is not None or model.measured_from is not None
            ),
        ),
        Rule(
            cel=(
                "has(self.preset) || has(self.measuredFrom) || !has(self.architecture)"
                " || !has(self.architecture.dense) ||"
                " (has(self.architecture.dense.parameters) && has(self.architecture.dense.flopsPerInference))"
            ),
            message="without preset or measuredFrom a classic network needs both parameters and flopsPerInference",
            holds=lambda model: (
                model.preset is not None
                or model.measured_from is not None
                or model.architecture is None
                or model.architecture.dense is None
                or model.architecture.dense.has_its_size
            ),
            field=".architecture",
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
