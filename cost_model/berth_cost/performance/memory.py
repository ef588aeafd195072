"""GPU memory that a replica needs, per GPU."""

from dataclasses import dataclass

import numpy as np

from berth_cost.hardware.device import DeviceColumns
from berth_cost.performance.case_table import CaseTable, Floats
from berth_cost.performance.classic.columns import ClassicColumns
from berth_cost.performance.language.columns import LanguageColumns
from berth_cost.performance.work import DenseWork, TransformerWork

LIVE_ACTIVATIONS = 0.3
"""Share of a network's activations that may be alive at once: a framework frees what later layers do not read."""
FEWEST_LIVE_ACTIVATIONS = 0.005
"""The least of it that published runs got by with: kernels that fuse attention never write most of what is counted (of
11,002 batches of vision networks that ran, 1 % left no more than 0.033, the tightest 0.007)."""
PEAK_HIDDEN_VECTORS = 12.0
"""Hidden vectors per token of the largest step alive at once (MLP intermediate, attention inputs, logits apart)."""
COLLECTIVE_BUFFER_BYTES = 0.5e9
"""NCCL buffers and custom all-reduce workspace per GPU where a replica spans several."""


@dataclass(frozen=True, slots=True)
class LanguageMemory:
    """Bytes per GPU; shapes (n,)."""

    standing_bytes: Floats
    """Weights, engine, activations of the largest step, collective buffers: what is there without any request."""
    request_bytes: Floats
    """Cache of a request of mean lengths at its end, on the GPUs that serve it."""
    average_request_bytes: Floats
    """What a running request holds, or must be sure of, on average over the GPUs of a replica."""
    prefix_bytes: Floats
    """Shared prefix, held once."""
    seats: Floats
    """Requests that fit beside the rest in the share of memory that the engine takes; below 1 where none fits."""
    limit_bytes: Floats
    """That share."""
    reserved: Floats
    """1 where the engine takes all of that share at start."""

    def held_bytes(self, requests: Floats) -> Floats:
        """What a reading of the GPU shows."""
        needed = self.needed_bytes(requests)
        return np.where(self.reserved > 0, np.maximum(needed, self.limit_bytes), needed)

    def needed_bytes(self, requests: Floats) -> Floats:
        return self.standing_bytes + self.prefix_bytes + requests * self.average_request_bytes


def expert_shards(table: CaseTable) -> Floats:
    """Over how many GPUs of a pipeline stage the routed experts are split: the expert group, else the tensor group."""
    return np.maximum(table.expert, table.tensor).astype(np.float64)


def language_memory(
    table: CaseTable, work: TransformerWork, device: DeviceColumns, engine: LanguageColumns, batched_tokens: Floats
) -> LanguageMemory:
    tensor, pipeline = table.tensor.astype(np.float64), table.pipeline.astype(np.float64)
    experts = work.expert_weight_bytes
    weights = (work.stored_weight_bytes - experts) / (tensor * pipeline) + experts / (expert_shards(table) * pipeline)
    activations = PEAK_HIDDEN_VECTORS * work.hidden_bytes * batched_tokens / tensor
    buffers = np.where(table.gpu_count > 1, COLLECTIVE_BUFFER_BYTES, 0.0)
    standing = weights + activations + buffers + engine.reserved_memory_bytes

    attention_copies = table.gpu_count / (tensor * pipeline)
    cache_token = work.cache_bytes / (np.minimum(tensor, work.key_value_heads) * pipeline * attention_copies)
    prompt = np.maximum(table.input_tokens - table.shared_prefix_tokens, 1.0)

    def held(tokens: Floats) -> Floats:
        return cache_token * work.tokens_in_sight(tokens)

    # Attention copies hold different requests: one request burdens one copy only.
    request = held(prompt + table.output_tokens) * attention_copies
    average = held(prompt + engine.output_reservation * table.output_tokens)
    prefix = held(table.shared_prefix_tokens) * attention_copies
    limit = device.memory_bytes * engine.memory_share
    # Where less than nothing is free, the engine has what there is.
    of_free = standing + engine.memory_share * np.maximum(device.memory_bytes - standing, 0.0)
    limit = np.where(engine.share_of_free > 0, np.minimum(of_free, device.memory_bytes), limit)
    free = limit - standing - prefix
    seats = np.where(free >= request, np.maximum(free / average, 1.0), 0.0)
    return LanguageMemory(standing, request, average, prefix, seats, limit, engine.reserves_memory)


def classic_memory_bytes(
    table: CaseTable, work: DenseWork, engine: ClassicColumns, items_per_pass: Floats, live: float = LIVE_ACTIVATIONS
) -> Floats:
    """Weights of every instance, the share ``live`` of its activations, and the engine's own."""
    each = work.weight_bytes + items_per_pass * (live * work.activation_bytes + work.input_bytes + work.output_bytes)
    return engine.reserved_memory_bytes + table.instances * each
