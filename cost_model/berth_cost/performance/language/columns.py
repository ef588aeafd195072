"""Constants of engines of language models, by row of a case table."""

import re
from dataclasses import dataclass

import numpy as np

from berth_cost.cases.case import Engine
from berth_cost.hardware.gpu_catalogue import GPUSpecification
from berth_cost.performance.case_table import CaseTable, Floats, Integers, LoadKind
from berth_cost.performance.engine_constants import Constants, engine_names
from berth_cost.performance.fitted_constants import GENERAL, GPUConstants, PrecisionConstants


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
    latent_layer_overhead_seconds: Floats
    quantized_layer_overhead_seconds: Floats
    quantized_expert_overhead_seconds: Floats
    prompt_layer_overhead_seconds: Floats
    prompt_expert_overhead_seconds: Floats
    request_overhead_seconds: Floats
    lookahead_steps: Floats
    tokens_per_step: Floats
    reused_prefix_tokens: Floats
    quantized_cache_bytes: Floats
    cohort_share: Floats
    maximum_batch_size: Floats
    maximum_batched_tokens: Floats
    memory_share: Floats
    share_of_free: Floats
    """1 where that share is of what weights and workspaces leave free."""
    reserved_memory_bytes: Floats
    reserves_memory: Floats
    """1 where the engine takes its whole share of memory at start."""
    splits_layers: Floats
    """1 where several GPUs take turns, each with its layers."""
    output_reservation: Floats


def engine_keys(constants: Constants, table: CaseTable) -> list[str]:
    """The key of the constants of each of the table's engines: ``name@version`` of this very version, else of the
    newest known release that is not newer, else ``name``, else ``general``."""
    known = constants.language.engines
    releases: dict[str, list[tuple[tuple[int, ...], str]]] = {}
    for key in known:
        name, _, version = key.partition("@")
        if version and version == ".".join(map(str, version_numbers(version))):
            releases.setdefault(name, []).append((version_numbers(version), key))
    keys = []
    for engine, name in zip(table.engines, engine_names(constants, table), strict=True):
        asked = version_numbers(engine.version or "")
        older = [pair for pair in releases.get(name, []) if pair[0] <= asked]
        exact = f"{name}@{engine.version}"
        newest = max(older)[1] if older else name
        keys.append(exact if exact in known else newest if newest in known else GENERAL)
    return keys


def entry_index(constants: Constants, table: CaseTable) -> tuple[list[str], Integers]:
    """(keys of engines, position of each row's key among them).

    Published runs of an unknown version come from different campaigns under open and under closed loads: ``name@open``
    is for the former, and for saturation, which is the end of an open load; ``name@closed`` for the latter.
    """
    known = constants.language.engines
    keys = engine_keys(constants, table)

    def campaign(suffix: str) -> list[str]:
        return [
            f"{key}@{suffix}" if engine.version is None and f"{key}@{suffix}" in known else key
            for engine, key in zip(table.engines, keys, strict=True)
        ]

    every = [*campaign("closed"), *campaign("open")]
    opened = (table.load_kind == LoadKind.OPEN) | (table.load_kind == LoadKind.SATURATED)
    return every, np.where(opened, table.engine_index + len(keys), table.engine_index)


def device_factors(constants: Constants, table: CaseTable) -> tuple[Floats, Floats]:
    """Factors of each row's precision and GPU on compute and memory efficiency, shapes (n,). A GPU without factors has
    those of its generation."""
    language = constants.language
    gpus = []
    for gpu in table.gpus:
        own = language.gpus.get(gpu.name)
        gpus.append(own or language.gpus.get(gpu_generation(gpu) or "", GPUConstants()))
    neutral = PrecisionConstants(compute=1.0, memory=1.0)
    precisions = [language.precisions.get(precision, neutral) for precision in table.precisions]
    factors = [
        np.array([getattr(one, part) for one in gpus])[table.gpu_index]
        * np.array([getattr(one, part) for one in precisions])[table.precision_index]
        for part in ("compute", "memory")
    ]
    return factors[0], factors[1]


def gpu_generation(gpu: GPUSpecification) -> str | None:
    """``generation 8.9``: GPUs whose matrix units and memory behave alike, by compute capability; None where nobody
    knows it. From 9 on the minor number changes neither."""
    if gpu.compute_capability is None:
        return None
    major, minor = gpu.compute_capability
    return f"generation {major}" if major >= 9 else f"generation {major}.{minor}"


def release(engine: Engine) -> str:
    """``vllm@0.12``: as far as measured ones are told apart; an engine of unknown version by its name alone."""
    name = (engine.name or GENERAL).lower()
    numbers = version_numbers(engine.version or "")
    return f"{name}@{'.'.join(map(str, numbers))}" if numbers else name


def version_numbers(version: str) -> tuple[int, ...]:
    """The release: ``v0.10.0`` → (0, 10), ``1.2.0rc6.post2`` → (1, 2); () where there is none."""
    return tuple(int(number) for number in re.findall(r"\d+", version)[:2])


def language_columns(constants: Constants, table: CaseTable) -> LanguageColumns:
    """Of the engine's version where it is known, else of the engine, else the general ones."""
    engines = constants.language.engines
    keys, index = entry_index(constants, table)
    entries = [engines[key] for key in keys]
    columns = {
        name: np.array([float(getattr(entry, name)) for entry in entries])[index] for name in LanguageColumns.__slots__
    }
    return LanguageColumns(**columns)
