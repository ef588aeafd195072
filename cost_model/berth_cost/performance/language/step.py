"""What a step of a language model costs on a device: coefficients of its work, per row of a case table."""

import numpy as np

from berth_cost.hardware.device import DeviceColumns
from berth_cost.number_format import FORMATS
from berth_cost.performance.case_table import Booleans, CaseTable, Floats, LoadKind
from berth_cost.performance.engine_constants import Constants
from berth_cost.performance.language.columns import LanguageColumns, device_factors
from berth_cost.performance.memory import expert_shards
from berth_cost.performance.roofline import StepCoefficients, share_of_first, soft_maximum
from berth_cost.performance.work import TransformerWork

RAMP_REFERENCE_FLOPS_PER_SECOND = 1e15
"""``ramp_tokens`` is stated for a GPU of this peak rate; a smaller one fills with fewer tokens, in proportion."""
LARGEST_REUSE = 0.8
"""Share of a prompt that may be found in the prefix cache without anybody saying so."""
SIGNAL_GROWTH = 0.07
"""Of a small all-reduce over NVLink, per doubling of the GPUs."""
QUANTIZED_COMPUTING = ("fp8", "fp4", "int8", "int8-sparse")
HIGHEST_SHARE = 0.93
"""Of a peak rate: what no kernel has been seen to exceed."""


def step_coefficients(
    table: CaseTable, work: TransformerWork, device: DeviceColumns, engine: LanguageColumns, constants: Constants
) -> StepCoefficients:
    """Seconds per unit of what a step carries, per row.

    Tensor parallelism splits every matrix product; pipeline stages work one after another, each on its share of the
    sequences; GPUs beyond tensor × pipeline repeat the attention and split the sequences. Weights are read once a
    step by each stage in turn, so a pipeline does not shorten that.
    """
    compute_factor, memory_factor = device_factors(constants, table)
    flops = device.peak_flops_per_second * np.minimum(engine.compute_efficiency * compute_factor, HIGHEST_SHARE)
    peak_bandwidth = device.bandwidth_bytes_per_second
    bandwidth = peak_bandwidth * np.minimum(engine.memory_efficiency * memory_factor, HIGHEST_SHARE)
    cache_bandwidth = peak_bandwidth * np.minimum(engine.attention_efficiency * memory_factor, HIGHEST_SHARE)
    gpus, tensor, pipeline = (column.astype(np.float64) for column in (table.gpu_count, table.tensor, table.pipeline))
    copies = gpus / (tensor * pipeline)
    shards = expert_shards(table)

    prompt = prefilled_tokens(table, engine)
    context = work.tokens_in_sight(table.input_tokens + table.output_tokens / 2)
    prompt_context = work.tokens_in_sight(table.input_tokens - prompt / 2)
    # Attention runs in 16 bits whatever the weights are.
    attention_flops = device.attention_flops_per_second * compute_factor * engine.attention_compute_efficiency
    streamed = (
        work.cache_bytes * context / (cache_bandwidth * copies * pipeline * np.minimum(tensor, work.key_value_heads))
    )
    computed = work.context_flops * context / (attention_flops * gpus)

    link = link_seconds(table, work, device, constants)
    has_experts = work.expert_draw > 0
    with np.errstate(divide="ignore"):
        draw = np.where(work.expert_draw < 1, -np.log1p(-np.minimum(work.expert_draw, 1 - 1e-9)), 20.0)
    expert_bandwidth = bandwidth * engine.expert_efficiency
    expert_launches = work.expert_count * work.expert_layers / np.maximum(table.expert, 1)
    body_flops = work.token_flops - work.expert_flops
    token_seconds = (body_flops + work.expert_flops / engine.expert_compute_efficiency) / (flops * gpus)
    quantizing = work.layers * engine.quantized_layer_overhead_seconds
    quantizing = quantizing + work.expert_layers * engine.quantized_expert_overhead_seconds
    ramp = engine.ramp_tokens * device.peak_flops_per_second / RAMP_REFERENCE_FLOPS_PER_SECOND
    # A step of few tokens waits for the weights it meets: filling up never takes longer than reading those.
    met = (work.shared_weight_bytes + work.expert_weight_bytes * work.expert_draw) / (bandwidth * tensor)
    return StepCoefficients(
        compute_fixed=np.minimum(ramp * work.token_flops / (flops * tensor), met),
        compute_sequence=token_seconds,
        compute_prompt_token=token_seconds - work.head_flops / (flops * gpus),
        weight_fixed=work.shared_weight_bytes / (bandwidth * tensor),
        weight_token=work.activation_bytes / (bandwidth * gpus),
        expert_seconds=work.expert_weight_bytes / (expert_bandwidth * shards)
        + expert_launches * engine.expert_overhead_seconds,
        expert_rate=np.where(has_experts, draw * shards / gpus, 0.0),
        attention_sequence=soft_maximum(computed, streamed),
        attention_prompt_token=work.prompt_context_flops * prompt_context / (attention_flops * gpus),
        attention_compute_share=share_of_first(computed, streamed),
        overhead_fixed=engine.step_overhead_seconds
        + work.layers * engine.layer_overhead_seconds
        + np.where(computes_quantized(table), quantizing, 0.0)
        + work.expert_layers * engine.expert_layer_overhead_seconds
        + work.latent_layers * engine.latent_layer_overhead_seconds,
        overhead_prompt=work.layers * engine.prompt_layer_overhead_seconds
        + work.expert_layers * engine.prompt_expert_overhead_seconds,
        overhead_sequence=engine.sequence_overhead_seconds / copies,
        link_fixed=link[0],
        link_token=link[1] / (copies * pipeline),
    )


def link_seconds(
    table: CaseTable, work: TransformerWork, device: DeviceColumns, constants: Constants
) -> tuple[Floats, Floats]:
    """(seconds per step, seconds per token) of two all-reduces a layer, as latency + bytes / bandwidth.

    A ring moves 2·(n − 1)/n times the vector over each link. A small one takes as long as its signals: over NVLink all
    GPUs signal at once, and the time hardly grows with n (published kernel timings: 4.6 µs for two B200, 5.0 µs for
    eight); over PCIe they take turns (6.7 µs for two, 12.5 for four, 24 for eight). Experts that are split wider than
    attention exchange tokens twice a layer on top.
    """
    nvlink, pcie = constants.language.links["nvlink"], constants.language.links["pcie"]
    latency = np.where(device.nvlink > 0, nvlink.latency_seconds, pcie.latency_seconds)
    speed = device.link_bytes_per_second * np.where(device.nvlink > 0, nvlink.efficiency, pcie.efficiency)
    tensor, shards = table.tensor.astype(np.float64), expert_shards(table)
    wide = (work.expert_draw > 0) & (shards > tensor)
    spans = (tensor > 1) | wide
    rounds = _signals(tensor, device.nvlink) + np.where(wide, _signals(shards, device.nvlink), 0.0)
    moved = 2 * (tensor - 1) / tensor + np.where(wide, 2.0, 0.0)
    fixed = 2 * work.layers * latency * rounds + (table.pipeline - 1) * latency
    token = np.where(spans, 2 * work.layers * work.hidden_bytes * moved / np.where(spans, speed, 1.0), 0.0)
    return fixed, token


def _signals(gpus: Floats, nvlink: Floats) -> Floats:
    """How long a small all-reduce of that many GPUs takes, relative to two; 0 of one."""
    turns = np.where(nvlink > 0, 1 + SIGNAL_GROWTH * np.log2(np.maximum(gpus, 2.0) / 2), gpus / 2)
    return np.where(gpus > 1, turns, 0.0)


def prefilled_tokens(table: CaseTable, engine: LanguageColumns) -> Floats:
    """Prompt tokens that are not found in the prefix cache.

    An open load at a constant rate is a replay: published ones repeat conversations that share their beginning by an
    amount that nobody states. There an engine that caches prefixes finds ``reused_prefix_tokens`` on average, and never
    more than most of a prompt. Traffic (random gaps) shares what it states, and nothing else is promised on it.
    """
    own = np.maximum(table.input_tokens - table.shared_prefix_tokens, 1.0)
    replay = (table.load_kind == LoadKind.OPEN) & (table.burstiness == 0) & (table.shared_prefix_tokens == 0)
    return np.where(replay, own - np.minimum(engine.reused_prefix_tokens, LARGEST_REUSE * own), own)


def cache_factor(table: CaseTable, engine: LanguageColumns) -> Floats:
    """Size of a cached number relative to that of its precision: engines differ in whether they quantise the cache."""
    whole = np.array([FORMATS[precision].cache_bytes for precision in table.precisions])[table.precision_index]
    return np.where(computes_quantized(table), engine.quantized_cache_bytes / whole, 1.0)


def computes_quantized(table: CaseTable) -> Booleans:
    """Rows whose activations are quantised on the fly: matrix products run in the format of the weights."""
    quantized = [precision in QUANTIZED_COMPUTING for precision in table.precisions]
    return np.array(quantized, dtype=np.bool_)[table.precision_index]
