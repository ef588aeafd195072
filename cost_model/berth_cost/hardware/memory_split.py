"""What the memory time of a language model is spent on: its weights, or the keys and values of the context.

By the bytes that a mean decoding step reads. How many sequences it carries follows from Little's law: tokens per second
times seconds per token.
"""

import numpy as np

from berth_cost.performance.case_table import Booleans, CaseTable, Floats
from berth_cost.performance.work import TransformerWork, transformer_work


def memory_split(
    table: CaseTable,
    language: Booleans,
    memory_seconds: Floats,
    output_tokens_per_second: Floats,
    token_seconds: Floats,
) -> dict[str, Floats]:
    """``weight_seconds`` and ``cache_seconds`` of ``memory_seconds``; nan in rows that are not of ``language``, and
    where nothing was predicted. All arrays (n,)."""
    weights, cache = np.full(len(table), np.nan), np.full(len(table), np.nan)
    chosen = np.flatnonzero(language & np.isfinite(output_tokens_per_second * token_seconds))
    if len(chosen):
        sequences = output_tokens_per_second[chosen] * token_seconds[chosen]
        weight_bytes, cache_bytes, other_bytes = _step_bytes(table.rows(chosen), sequences)
        per_byte = memory_seconds[chosen] / (weight_bytes + cache_bytes + other_bytes)
        weights[chosen], cache[chosen] = weight_bytes * per_byte, cache_bytes * per_byte
    return {"weight_seconds": weights, "cache_seconds": cache}


def _step_bytes(table: CaseTable, sequences: Floats) -> tuple[Floats, Floats, Floats]:
    """Weights, keys and values, everything else; of a whole model, before any split over GPUs."""
    work: TransformerWork = transformer_work(table)
    # Each token draws its experts alone: a share of them is not drawn by any.
    touched = -np.expm1(sequences * np.log1p(-np.minimum(work.expert_draw, 1 - 1e-12)))
    context = np.nan_to_num(table.input_tokens) + np.nan_to_num(table.output_tokens) / 2
    read = work.tokens_in_sight(context)
    return (
        work.shared_weight_bytes + work.expert_weight_bytes * touched,
        sequences * read * work.cache_bytes,
        sequences * work.activation_bytes,
    )
