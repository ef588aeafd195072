"""How much work a forward pass is: FLOPs, bytes and operations, counted from the architecture.

Formulas: matrix products as 2·m·n·k; attention as in Kaplan et al., "Scaling Laws for Neural Language Models" (2020),
appendix; multi-head latent attention as in DeepSeek-V2 (2024), section 2.1; experts touched by a batch as the expected
number of distinct draws, E·(1 − (1 − k/E)^tokens).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cache

import numpy as np

from berth_cost.cases.case import Dense, Model, Transformer
from berth_cost.number_format import FORMATS
from berth_cost.performance.case_table import CaseTable, Floats

KERNELS_PER_LAYER_ACTIVATION_PASSES = 16.0
"""Reads and writes of the hidden state per layer, in hidden vectors: norms, residuals, projections in and out."""


@dataclass(frozen=True, slots=True)
class TransformerWork:
    """Of one token or one pass over the weights, whole model, before any split over GPUs; shapes (n,)."""

    layers: Floats
    attention_heads: Floats
    key_value_heads: Floats
    latent_layers: Floats
    """Layers with latent attention."""
    expert_count: Floats
    """0 where there are none."""
    expert_draw: Floats
    """Share of the routed experts that a token uses, 0 without experts."""
    expert_layers: Floats
    expert_flops: Floats
    """Of ``token_flops``, those of the routed experts."""
    token_flops: Floats
    """All matrix products of a token that is decoded, output head included, attention over the context excluded."""
    head_flops: Floats
    """The output head's part of it: prompt tokens but the last do without."""
    context_flops: Floats
    """Attention of one decoded token, per token of context."""
    prompt_context_flops: Floats
    """The same per pair of prompt tokens."""
    shared_weight_bytes: Floats
    """Read by every step: all but the input embedding and the routed experts."""
    expert_weight_bytes: Floats
    """Of all routed experts."""
    stored_weight_bytes: Floats
    cache_bytes: Floats
    """Keys and values of one token, all layers."""
    activation_bytes: Floats
    """Moved per token beside weights and cache."""
    hidden_bytes: Floats
    """One hidden vector: what each all-reduce carries per token."""
    window_tokens: Floats
    """Sliding window of some layers; inf without."""
    window_share: Floats
    """Of the layers, those that look back no further; 0 without a window."""

    def tokens_in_sight(self, tokens: Floats) -> Floats:
        """Of a context of ``tokens``, what a layer looks back at and keeps, on average over the layers."""
        return tokens - self.window_share * np.maximum(tokens - self.window_tokens, 0.0)


@dataclass(frozen=True, slots=True)
class _Shape:
    """The numbers of one transformer that the row formulas need, independent of precision."""

    layers: float
    latent_layers: float
    hidden: float
    heads: float
    cache_heads: float
    cache_values: float
    decode_context: float
    prompt_context: float
    embedding: float
    tied: float
    parameters: float
    expert_parameters: float
    draw: float
    experts: float
    expert_layers: float
    window: float
    window_share: float


def _window_share(transformer: Transformer) -> float:
    """Every other layer, as in gpt-oss and Gemma 2, where nobody says how many."""
    if transformer.sliding_window_tokens is None:
        return 0.0
    stated = transformer.sliding_window_layers
    return 0.5 if stated is None else min(stated / transformer.layers, 1.0)


def _shape(transformer: Transformer | None) -> _Shape:
    if transformer is None:
        return _Shape(*([np.nan] * len(fields(_Shape))))
    layers, heads = transformer.layers, transformer.attention_heads
    latent, experts = transformer.latent_attention, transformer.experts
    if latent is None:
        cache_heads = float(transformer.key_value_heads)
        cache_values = 2.0 * layers * transformer.key_value_heads * transformer.head_size
        decode_context = prompt_context = 4.0 * layers * heads * transformer.head_size
    else:
        cache_heads = 1.0
        cache_values = float(layers * (latent.key_value_rank + latent.rope_head_size))
        decode_context = 2.0 * layers * heads * (2 * latent.key_value_rank + latent.rope_head_size)
        prompt_context = 2.0 * layers * heads * (latent.nope_head_size + latent.rope_head_size + latent.value_head_size)
    expert_parameters, draw, count, expert_layers = 0.0, 0.0, 0.0, 0
    if experts is not None:
        expert_layers = max(layers - experts.first_dense_layers, 0)
        expert_parameters = 3.0 * transformer.hidden_size * experts.intermediate_size * experts.count * expert_layers
        draw, count = min(experts.per_token / experts.count, 1.0), float(experts.count)
    return _Shape(
        layers=float(layers),
        latent_layers=0.0 if latent is None else float(layers),
        hidden=float(transformer.hidden_size),
        heads=float(heads),
        cache_heads=cache_heads,
        cache_values=cache_values,
        decode_context=decode_context,
        prompt_context=prompt_context,
        embedding=float(transformer.vocabulary_size * transformer.hidden_size),
        tied=float(transformer.tied_embeddings),
        parameters=transformer.parameters,
        expert_parameters=min(expert_parameters, transformer.parameters),
        draw=draw,
        experts=count,
        expert_layers=float(expert_layers),
        window=np.inf if transformer.sliding_window_tokens is None else float(transformer.sliding_window_tokens),
        window_share=_window_share(transformer),
    )


def _columns(models: Sequence[Model]) -> dict[str, Floats]:
    shapes = [_shape(model.transformer) for model in models]
    return {field.name: np.array([getattr(shape, field.name) for shape in shapes]) for field in fields(_Shape)}


def format_column(table: CaseTable, attribute: str) -> Floats:
    """``weight_bytes``, ``activation_bytes`` or ``cache_bytes`` of each row's precision, shape (n,)."""
    return np.array([getattr(FORMATS[precision], attribute) for precision in table.precisions])[table.precision_index]


def transformer_work(table: CaseTable) -> TransformerWork:
    """Counts of the rows whose model is a transformer; nan in the others."""
    shape = {name: column[table.model_index] for name, column in _columns(table.models).items()}
    weight = format_column(table, "weight_bytes")
    activation = format_column(table, "activation_bytes")
    # Quantisation leaves the embedding and the output head in 16 bits.
    head_weight = np.maximum(weight, 2.0)
    embeddings = shape["embedding"] * (2 - shape["tied"])
    body = np.maximum(shape["parameters"] - embeddings, 0.0)
    routed = np.minimum(shape["expert_parameters"], body)
    shared = body - routed
    head_flops = 2 * shape["embedding"]
    hidden_bytes = shape["hidden"] * activation
    return TransformerWork(
        layers=shape["layers"],
        attention_heads=shape["heads"],
        key_value_heads=shape["cache_heads"],
        latent_layers=shape["latent_layers"],
        expert_count=shape["experts"],
        expert_draw=shape["draw"],
        expert_layers=shape["expert_layers"],
        expert_flops=2 * routed * shape["draw"],
        token_flops=2 * (shared + routed * shape["draw"]) + head_flops,
        head_flops=head_flops,
        context_flops=shape["decode_context"],
        prompt_context_flops=shape["prompt_context"],
        shared_weight_bytes=shared * weight + shape["embedding"] * head_weight,
        expert_weight_bytes=routed * weight,
        stored_weight_bytes=body * weight + embeddings * head_weight,
        cache_bytes=shape["cache_values"] * format_column(table, "cache_bytes"),
        activation_bytes=KERNELS_PER_LAYER_ACTIVATION_PASSES * shape["layers"] * hidden_bytes,
        hidden_bytes=hidden_bytes,
        window_tokens=shape["window"],
        window_share=shape["window_share"],
    )


@dataclass(frozen=True, slots=True)
class DenseWork:
    """Of one item through a classic network; shapes (n,). nan: nobody says, and there is no estimate."""

    flops: Floats
    parameters: Floats
    layers: Floats
    """Of a network that is named after them (ResNet-50); nan of others."""
    weight_bytes: Floats
    streamed_weight_bytes: Floats
    """Read in one inference: those of a part that runs again, once more each time."""
    passes: Floats
    """Of the whole network, as many as its launches: 1, and more by what its repeated part is of it."""
    activation_bytes: Floats
    """Written and read between operations, at the row's precision."""
    input_bytes: Floats
    output_bytes: Floats
    estimated: Floats
    """1 where activations, inputs or outputs are estimates: the band is wider there."""


# Activations of 1,284 vision networks (timm benchmark tables, read 2026): elements ≈ e^a · FLOPs^b · parameters^c;
# least squares in logs, residual standard deviation 0.54.
ACTIVATION_INTERCEPT, ACTIVATION_FLOPS_POWER, ACTIVATION_PARAMETER_POWER = 1.579, 0.8636, -0.2781
TRANSFORMER_FAMILIES = frozenset({"bert", "distilbert", "roberta", "albert", "electra", "vit", "deit", "beit", "eva"})
TRANSFORMER_ACTIVATIONS_PER_FLOP = 4.7e-4
"""Elements: of encoders the hidden states grow as the operations do (ViT-B/16 of the same tables: 16.5 million for
35.2 GFLOP), where those of convolutions grow less."""
ASSUMED_INPUT_BYTES = 3 * 224 * 224 * 4.0
"""An RGB image of 224 pixels a side in fp32, where the architecture does not state its input."""
ASSUMED_OUTPUT_BYTES = 4000.0
"""1,000 class scores in fp32."""
CATALOGUED_ACTIVATION_BYTES = 2.0
"""``activationBytesPerInference`` is stated for 16-bit elements."""


NAMED_AFTER_LAYERS = re.compile(
    r"(?:net|dpn|vgg|dla|next|nest|bit)(?:v2)?[_-]?[a-z]?(?P<layers>[1-9][0-9]{1,2})(?![0-9.])"
)
"""ResNet-50, VGG16, DenseNet121, DPN92, resnetv2_50x1, …: two or three digits after the family's name."""


@cache
def named_layers(name: str) -> float:
    """The number of layers that a network's name states, nan where it states none."""
    lower = name.lower()
    found = NAMED_AFTER_LAYERS.search(lower)
    return float(found["layers"]) if found and "hrnet" not in lower else np.nan


def dense_work(table: CaseTable) -> DenseWork:
    """Counts of the rows whose model is a classic network; nan in the others and where the numbers are not known."""

    def column(attribute: str) -> Floats:
        return np.array([_dense_number(model.dense, attribute) for model in table.models])[table.model_index]

    flops, parameters = column("flops_per_inference"), column("parameters")
    stated = column("activation_bytes_per_inference")
    inputs, outputs = column("input_bytes_per_inference"), column("output_bytes_per_inference")
    elements = np.exp(
        ACTIVATION_INTERCEPT + ACTIVATION_FLOPS_POWER * np.log(flops) + ACTIVATION_PARAMETER_POWER * np.log(parameters)
    )
    weight_bytes = parameters * format_column(table, "weight_bytes")
    again = column("repeated_parameters") / parameters
    repeated = np.nan_to_num(column("repeated_passes"), nan=0.0) * np.where(np.isnan(again), 1.0, again)
    families = [None if model.dense is None else model.dense.family for model in table.models]
    encoder = np.array([family in TRANSFORMER_FAMILIES for family in families])[table.model_index]
    elements = np.where(encoder, TRANSFORMER_ACTIVATIONS_PER_FLOP * flops, elements)
    activation = np.where(np.isnan(stated), elements, stated / CATALOGUED_ACTIVATION_BYTES)
    return DenseWork(
        flops=flops,
        parameters=parameters,
        layers=np.array([named_layers(model.name) for model in table.models])[table.model_index],
        weight_bytes=weight_bytes,
        streamed_weight_bytes=weight_bytes * (1 + repeated),
        passes=1 + repeated,
        activation_bytes=activation * format_column(table, "activation_bytes"),
        input_bytes=np.where(np.isnan(inputs), ASSUMED_INPUT_BYTES, inputs),
        output_bytes=np.where(np.isnan(outputs), ASSUMED_OUTPUT_BYTES, outputs),
        estimated=((np.isnan(stated) & ~encoder) | np.isnan(inputs)).astype(np.float64),
    )


def _dense_number(dense: Dense | None, attribute: str) -> float:
    value = None if dense is None else getattr(dense, attribute)
    return np.nan if value is None else float(value)
