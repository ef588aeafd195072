"""Constants of engines of language models, by row of a case table."""

import re
from dataclasses import dataclass

import numpy as np

from berth_cost.case_table import CaseTable, Floats
from berth_cost.engine_constants import Constants, engine_names
from berth_cost.fitted_constants import GENERAL


@dataclass(frozen=True, slots=True)
class LanguageColumns:
    """``LanguageConstants`` by row, shapes (n,)."""

    compute_efficiency: Floats
    memory_efficiency: Floats
    attention_efficiency: Floats
    attention_compute_efficiency: Floats
    expert_efficiency: Floats
    expert_compute_efficiency: Floats
    expert_overhead_seconds: Floats
    ramp_tokens: Floats
    layer_overhead_seconds: Floats
    step_overhead_seconds: Floats
    sequence_overhead_seconds: Floats
    expert_layer_overhead_seconds: Floats
    quantized_layer_overhead_seconds: Floats
    request_overhead_seconds: Floats
    lookahead_steps: Floats
    reused_prefix_tokens: Floats
    quantized_cache_bytes: Floats
    cohort_share: Floats
    maximum_batch_size: Floats
    maximum_batched_tokens: Floats
    memory_share: Floats
    reserved_memory_bytes: Floats
    output_reservation: Floats


def engine_keys(constants: Constants, table: CaseTable) -> list[str]:
    """The key of the constants of each of the table's engines: ``name@version`` of the newest known version that is not
    newer than the engine's, else ``name``, else ``general``."""
    known: dict[str, list[tuple[tuple[int, ...], str]]] = {}
    for key in constants.language.engines:
        name, _, version = key.partition("@")
        known.setdefault(name, []).append((version_numbers(version), key))
    keys = []
    for engine, name in zip(table.engines, engine_names(constants, table), strict=True):
        asked = version_numbers(engine.version or "")
        older = [pair for pair in known.get(name, []) if pair[0] <= asked]
        keys.append(max(older)[1] if older else GENERAL)
    return keys


def version_numbers(version: str) -> tuple[int, ...]:
    """The release: ``v0.10.0`` → (0, 10), ``1.2.0rc6.post2`` → (1, 2); () where there is none."""
    return tuple(int(number) for number in re.findall(r"\d+", version)[:2])


def language_columns(constants: Constants, table: CaseTable) -> LanguageColumns:
    """Of the engine's version where it is known, else of the engine, else the general ones."""
    engines = constants.language.engines
    entries = [engines[key] for key in engine_keys(constants, table)]
    columns = {
        name: np.array([float(getattr(entry, name)) for entry in entries])[table.engine_index]
        for name in LanguageColumns.__slots__
    }
    return LanguageColumns(**columns)
