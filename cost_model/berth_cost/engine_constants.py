"""What the model cannot count: efficiencies and overheads by engine, read from ``data/engine_constants.yaml``.

The file is written by ``benchmarks/accuracy/fit_constants.py``, which regularises every constant towards a physically
plausible prior; it names the data seen, the date, and the error reached per slice.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Annotated, TypeVar

import numpy as np
import yaml
from pydantic import Field

from berth_cost.case import Engine
from berth_cost.case_table import CaseTable, Floats, Integers
from berth_cost.record import Record

Share = Annotated[float, Field(gt=0, le=1.2)]
Seconds = Annotated[float, Field(ge=0)]

Constant = TypeVar("Constant", bound=Record)

GENERAL = "general"
"""The prior for engines that no constants exist for."""


class LanguageConstants(Record):
    """Of an engine that serves language models by continuous batching."""

    compute_efficiency: Share
    """Share of the peak rate that large matrix products reach."""
    memory_efficiency: Share
    """Share of the memory bandwidth that streaming weights and cache reaches."""
    ramp_tokens: Annotated[float, Field(ge=0)]
    """Tokens of a step at which matrix products run at half of that efficiency."""
    layer_overhead_seconds: Seconds
    """Launches and synchronisation, per layer and step."""
    step_overhead_seconds: Seconds
    """Scheduling and sampling, per step."""
    sequence_overhead_seconds: Seconds
    """Per running sequence and step."""
    expert_layer_overhead_seconds: Seconds
    """Routing and dispatch, per layer with experts and step, beside ``layer_overhead_seconds``."""
    request_overhead_seconds: Seconds
    """HTTP, tokeniser and admission, once a request."""
    cohort_share: Annotated[float, Field(ge=0, le=2)]
    """Of a closed load: how much of the time to prefill all prompts at once the mean request waits for."""
    maximum_batch_size: Annotated[int, Field(ge=1)]
    """The engine's default."""
    maximum_batched_tokens: Annotated[int, Field(ge=1)]
    """The engine's default."""
    memory_share: Share
    """Of the GPU's memory that the engine takes by default."""
    reserved_memory_bytes: Annotated[float, Field(ge=0)]
    """CUDA context, graphs, workspaces."""
    output_reservation: Annotated[float, Field(ge=0, le=1)]
    """Share of the output length whose cache a request holds on average (or must have to be admitted)."""


class ClassicConstants(Record):
    """Of a Triton backend (or framework) that runs classic networks batch by batch."""

    compute_efficiency: Share
    memory_efficiency: Share
    ramp_flops: Annotated[float, Field(ge=0)]
    """FLOPs of a pass at which matrix products run at half of the efficiency, per 1e14 FLOP/s of peak rate."""
    pass_overhead_seconds: Seconds
    """Launches of a pass of a typical network."""
    size_exponent: Annotated[float, Field(ge=0, le=1)]
    """How launches grow with the network's FLOPs, relative to 4 GFLOP."""
    item_overhead_seconds: Seconds
    request_seconds: Seconds
    """Server and network, once a request."""
    host_bytes_per_second: Annotated[float, Field(gt=0)]
    """Copies of inputs and outputs between client, server and GPU."""
    reserved_memory_bytes: Annotated[float, Field(ge=0)]


class LinkConstants(Record):
    """Of the links between the GPUs of a replica."""

    latency_seconds: Seconds
    """Of one all-reduce, per doubling of GPUs."""
    efficiency: Share


class PrecisionConstants(Record):
    """Multiplies the engine's efficiencies."""

    compute: Share
    memory: Share


class GPUConstants(Record):
    """Of one GPU type, beside its peak rates: sustained clocks under its power limit, bandwidth that is reached.

    Boards that no measurement exists for, but that their power limit holds far below the peak rate (A30, L4, L40S),
    carry an assumption in the same direction as measured boards of that kind (T4, A10).
    """

    compute: Annotated[float, Field(gt=0, le=2)] = 1.0
    memory: Annotated[float, Field(gt=0, le=2)] = 1.0


class PowerConstants(Record):
    """Power = idle + (limit − idle) · (base + compute · compute share + memory · memory share), at most the limit."""

    idle_share: Share
    """Of the power limit, where the catalogue has no idle power."""
    base: Annotated[float, Field(ge=0, le=1)]
    compute: Annotated[float, Field(ge=0, le=1)]
    memory: Annotated[float, Field(ge=0, le=1)]


class Jitter(Record):
    """Coefficients of variation of times that do not come from queueing."""

    service: Share
    """Of a step of a language model, averaged over a request."""
    first_token: Share
    network_pass: Share
    """Of a pass of a classic network."""
    host: Share
    """Of what a server adds, and of a closed loop's queue before it."""
    output_length: Annotated[float, Field(ge=0)]


class BandEdges(Record):
    """Observed over predicted: the 5th and 95th percentile of the residuals, as factors."""

    low: Annotated[float, Field(gt=0, le=1)]
    high: Annotated[float, Field(ge=1)]
    cases: Annotated[int, Field(ge=0)] = 0
    """How many residuals the edges rest on; 0: assumed."""


class FitError(Record):
    """Absolute percentage error of a slice, and how many of its observations lie inside the 90 % band."""

    source: str
    metric: str
    cases: int
    median_percent: float
    mean_percent: float
    band_coverage_percent: float | None = None
    """None where the band is composed of those of other metrics (energy: power over rate)."""


class Constants(Record):
    """The whole file."""

    model_version: str
    date: str
    data: tuple[str, ...]
    """Sources that the constants were fitted on."""
    aliases: dict[str, str]
    """Spellings of engines, lower case, that mean one of the engines below."""
    language: dict[str, LanguageConstants]
    classic: dict[str, ClassicConstants]
    links: dict[str, LinkConstants]
    precisions: dict[str, PrecisionConstants]
    gpus: dict[str, GPUConstants]
    """Multiplies the engine's efficiencies on that GPU; one that is not here has 1."""
    families: dict[str, Annotated[float, Field(gt=0)]]
    """Multiplies the time of a pass of a classic network of that family; one that is not here has 1."""
    power: PowerConstants
    jitter: Jitter
    bands: dict[str, dict[str, BandEdges]]
    """By metric group, then engine (or ``general``)."""
    errors: tuple[FitError, ...] = ()


@cache
def built_in_constants() -> Constants:
    """The constants that come with the package."""
    text = files("berth_cost").joinpath("data/engine_constants.yaml").read_text(encoding="utf-8")
    return Constants.model_validate(yaml.safe_load(text))


def engine_name(constants: Constants, engine: Engine) -> str:
    """The canonical name of an engine; an engine without constants keeps its own (lower case), None is ``general``."""
    if engine.name is None:
        return GENERAL
    name = engine.name.lower()
    return constants.aliases.get(name, name)


def behind_server(engine: Engine) -> bool:
    """Whether the engine's name says that requests come through Triton even where nobody states a request load."""
    return engine.name is not None and engine.name.lower().startswith("triton-")


@dataclass(frozen=True, slots=True)
class LanguageColumns:
    """:class:`LanguageConstants` by row, shapes (n,)."""

    compute_efficiency: Floats
    memory_efficiency: Floats
    ramp_tokens: Floats
    layer_overhead_seconds: Floats
    step_overhead_seconds: Floats
    sequence_overhead_seconds: Floats
    expert_layer_overhead_seconds: Floats
    request_overhead_seconds: Floats
    cohort_share: Floats
    maximum_batch_size: Floats
    maximum_batched_tokens: Floats
    memory_share: Floats
    reserved_memory_bytes: Floats
    output_reservation: Floats


@dataclass(frozen=True, slots=True)
class ClassicColumns:
    """:class:`ClassicConstants` by row, shapes (n,)."""

    compute_efficiency: Floats
    memory_efficiency: Floats
    ramp_flops: Floats
    pass_overhead_seconds: Floats
    size_exponent: Floats
    item_overhead_seconds: Floats
    request_seconds: Floats
    host_bytes_per_second: Floats
    reserved_memory_bytes: Floats


def language_columns(constants: Constants, table: CaseTable) -> LanguageColumns:
    by_engine = [_entry(constants.language, engine_name(constants, engine)) for engine in table.engines]
    return LanguageColumns(**_gather(by_engine, LanguageColumns.__slots__, table.engine_index))


def classic_columns(constants: Constants, table: CaseTable) -> ClassicColumns:
    by_engine = [_entry(constants.classic, engine_name(constants, engine)) for engine in table.engines]
    return ClassicColumns(**_gather(by_engine, ClassicColumns.__slots__, table.engine_index))


def efficiency_factors(constants: Constants, table: CaseTable) -> tuple[Floats, Floats]:
    """Factors of each row's precision and GPU on compute and memory efficiency, shapes (n,)."""
    neutral = PrecisionConstants(compute=1.0, memory=1.0)
    precisions = [constants.precisions.get(precision, neutral) for precision in table.precisions]
    gpus = [constants.gpus.get(gpu.name, GPUConstants()) for gpu in table.gpus]
    compute = np.array([one.compute for one in precisions])[table.precision_index]
    memory = np.array([one.memory for one in precisions])[table.precision_index]
    return (
        compute * np.array([one.compute for one in gpus])[table.gpu_index],
        memory * np.array([one.memory for one in gpus])[table.gpu_index],
    )


def family_factor(constants: Constants, table: CaseTable) -> Floats:
    """How much longer a pass takes than its counts say, by the network's family; shape (n,)."""
    families = [model.dense.family if model.dense else None for model in table.models]
    return np.array([constants.families.get(family or "", 1.0) for family in families])[table.model_index]


def _entry(by_engine: dict[str, Constant], name: str) -> Constant:
    return by_engine.get(name, by_engine[GENERAL])


def _gather(entries: Sequence[Record], names: Iterable[str], index: Integers) -> dict[str, Floats]:
    return {name: np.array([float(getattr(entry, name)) for entry in entries])[index] for name in names}
