"""Prediction cases: the one format for predicting, measuring, calibrating and validating.

A case says what runs on what, under which load; a prediction answers it. The same types serve the command line, the
scheduler and ``spec.model.measuredFrom``. Every number is SI (seconds, bytes, watts, FLOP) and its unit is in its name.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from berth_cost.hardware.gpu_catalogue import GPUSpecification
from berth_cost.record import Record

Precision = Literal[
    "fp32", "tf32", "fp16", "bf16", "fp8", "fp4", "mxfp4", "int8", "int8-sparse", "int8-weight", "int4-weight"
]
Evidence = Literal["measured", "interpolated", "calibrated", "estimated"]
Statistic = Literal["mean", "p50", "p90", "p95", "p99"]
LatencyMetric = Literal["timeToFirstTokenSeconds", "timePerOutputTokenSeconds", "endToEndSeconds", "latencySeconds"]
ScalarMetric = Literal[
    "requestsPerSecond",
    "itemsPerSecond",
    "outputTokensPerSecond",
    "totalTokensPerSecond",
    "memoryBytesPerGPU",
    "powerWattsPerGPU",
    "joulesPerOutputToken",
    "joulesPerRequest",
]

# Upper bounds are far beyond any machine or model, and keep products of a few numbers finite.
Positive = Annotated[float, Field(gt=0, le=1e30, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, le=1e30, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, le=10**15)]
Degree = Annotated[int, Field(ge=1, le=65_536)]
"""Of parallelism, and of what runs at once on one replica."""
Clients = Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)]
Seconds = Annotated[float, Field(ge=1e-9, le=1e7, allow_inf_nan=False)]
"""A measured time: from a nanosecond to four months."""
Tokens = Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False)]


class Experts(Record):
    """A mixture of experts: ``count`` routed ones of ``intermediate_size``, ``per_token`` of which run for a token."""

    count: Count
    per_token: Count
    intermediate_size: Count
    shared: Annotated[int, Field(ge=0, le=10**6)] = 0
    first_dense_layers: Annotated[int, Field(ge=0, le=10**6)] = 0

    @model_validator(mode="after")
    def no_more_than_there_are(self) -> Self:
        if self.per_token > self.count:
            raise ValueError(f"perToken is {self.per_token}, of {self.count} experts")
        return self


class LatentAttention(Record):
    """Multi-head latent attention: the cache holds ``key_value_rank + rope_head_size`` numbers a token and layer."""

    key_value_rank: Count
    query_rank: Count | None = None
    rope_head_size: Count
    nope_head_size: Count
    value_head_size: Count


class Transformer(Record):
    """A decoder language model by its dimensions."""

    parameters: Positive
    active_parameters: Positive | None = None
    layers: Count
    hidden_size: Count
    intermediate_size: Count
    attention_heads: Count
    key_value_heads: Count
    head_size: Count
    vocabulary_size: Count
    tied_embeddings: bool = False
    sliding_window_tokens: Count | None = None
    sliding_window_layers: Annotated[int, Field(ge=0, le=10**6)] | None = None
    """Layers that look back no further than ``sliding_window_tokens``; None: every other one."""
    experts: Experts | None = None
    latent_attention: LatentAttention | None = None


class Dense(Record):
    """A classic network (one forward pass a request). FLOPs count a multiply-add as two; None where nobody says.

    Where a part of it runs again and again, each time on what the time before left (a decoder's tokens, the steps of a
    diffusion), ``repeated_passes`` is how often after the first, and ``repeated_parameters`` what each of them reads;
    FLOPs hold all of it.
    """

    parameters: Positive | None = None
    flops_per_inference: Positive | None = None
    activation_bytes_per_inference: Positive | None = None
    input_bytes_per_inference: Positive | None = None
    output_bytes_per_inference: Positive | None = None
    repeated_passes: Positive | None = None
    repeated_parameters: Positive | None = None
    """Absent: all of them."""
    family: str | None = None

    @model_validator(mode="after")
    def a_part_that_repeats(self) -> Self:
        if self.repeated_parameters is not None and self.repeated_passes is None:
            raise ValueError("repeatedParameters needs repeatedPasses: how often they are read")
        if self.parameters is not None and (self.repeated_parameters or 0) > self.parameters:
            raise ValueError("repeatedParameters must not be above parameters: they are a part of them")
        return self


class Model(Record):
    name: str
    transformer: Transformer | None = None
    dense: Dense | None = None

    @model_validator(mode="after")
    def exactly_one_architecture(self) -> Self:
        if (self.transformer is None) == (self.dense is None):
            raise ValueError("state exactly one of transformer and dense")
        return self


class Hardware(Record):
    gpu: Annotated[str, Field(max_length=128)]
    gpu_count: Degree = 1
    mig_profile: Annotated[str, Field(max_length=128)] | None = None
    gpu_specification: GPUSpecification | None = None
    """A GPU that the catalogue does not know, described in the case itself; its ``name`` is ``gpu`` where absent."""

    @model_validator(mode="before")
    @classmethod
    def specification_has_the_name(cls, stated: Any) -> Any:
        name = stated.get("gpu") if isinstance(stated, dict) else None
        described = stated.get("gpuSpecification") if isinstance(stated, dict) else None
        if isinstance(name, str) and isinstance(described, dict) and "name" not in described:
            return stated | {"gpuSpecification": {**described, "name": name}}
        return stated


class Engine(Record):
    name: str | None = None
    version: str | None = None


class Parallelism(Record):
    tensor: Degree = 1
    pipeline: Degree = 1
    expert: Degree = 1


class Serving(Record):
    maximum_batch_size: Annotated[int, Field(ge=1, le=10**9)] | None = None
    instances: Degree = 1
    dynamic_batching: bool = True
    maximum_queue_delay_microseconds: Annotated[int, Field(ge=0, le=10**9)] = 0
    maximum_batched_tokens: Count | None = None


class Load(Record):
    """``closed``: ``concurrency`` clients without think time; ``open``: arrivals at a rate; ``batch``: one batch at a
    time; ``saturated``: as much as it can."""

    kind: Literal["closed", "open", "batch", "saturated"]
    concurrency: Clients | None = None
    requests_per_second: Positive | None = None
    burstiness: Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)] | None = None
    batch_size: Annotated[int, Field(ge=1, le=10**6)] | None = None

    @model_validator(mode="after")
    def what_the_kind_needs(self) -> Self:
        needs = {"closed": "concurrency", "open": "requests_per_second", "batch": "batch_size"}.get(self.kind)
        if needs and getattr(self, needs) is None:
            raise ValueError(f"load.kind {self.kind} needs {type(self).model_fields[needs].alias}")
        return self


class Request(Record):
    input_tokens: Tokens | None = None
    output_tokens: Tokens | None = None
    items_per_request: Annotated[int, Field(ge=1, le=10**6)] = 1
    shared_prefix_tokens: Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)] = 0


class Percentiles(Record):
    """Of a time, in seconds."""

    mean: Seconds | None = None
    p50: Seconds | None = None
    p90: Seconds | None = None
    p95: Seconds | None = None
    p99: Seconds | None = None


class Metrics(Record):
    time_to_first_token_seconds: Percentiles | None = None
    time_per_output_token_seconds: Percentiles | None = None
    end_to_end_seconds: Percentiles | None = None
    latency_seconds: Percentiles | None = None
    requests_per_second: Positive | None = None
    items_per_second: Positive | None = None
    output_tokens_per_second: Positive | None = None
    total_tokens_per_second: Positive | None = None
    memory_bytes_per_gpu: Positive | None = None
    power_watts_per_gpu: Positive | None = None
    joules_per_output_token: Positive | None = None
    joules_per_request: Positive | None = None


class MeasuredPoint(Record):
    """A calibration run of the same model; what it leaves out is as in the case."""

    hardware: Hardware | None = None
    precision: Precision | None = None
    engine: Engine | None = None
    parallelism: Parallelism | None = None
    serving: Serving | None = None
    load: Load | None = None
    request: Request | None = None
    metrics: Metrics


class Case(Record):
    id: str
    model: Model
    hardware: Hardware
    precision: Precision
    engine: Engine = Engine()
    parallelism: Parallelism = Parallelism()
    serving: Serving = Serving()
    load: Load
    request: Request = Request()
    measured: tuple[MeasuredPoint, ...] = ()
    observed: Metrics | None = None


class Reason(Record):
    """Why a case cannot run: overload, memory, a precision that the GPU cannot compute, a number nobody knows."""

    code: str
    message: str
    limit: float | None = None
    value: float | None = None


class Parts(Record):
    """Where the mean latency goes, in seconds."""

    compute_seconds: float
    memory_seconds: float
    overhead_seconds: float
    communication_seconds: float
    host_seconds: float
    queue_seconds: float


class MemorySplit(Record):
    """What ``memory_seconds`` of a language model are spent on; the rest of them reads and writes activations."""

    weight_seconds: float
    cache_seconds: float
    """Keys and values of the context."""


class Prediction(Record):
    """The answer to a case. ``band`` is the 90 % interval of each number in ``metrics``, under the same keys."""

    id: str
    feasible: bool
    reasons: tuple[Reason, ...] = ()
    evidence: Evidence
    metrics: dict[str, float | dict[str, float]] = {}
    band: dict[str, tuple[float, float] | dict[str, tuple[float, float]]] = {}
    parts: Parts | None = None
    memory_split: MemorySplit | None = None
    """None of a classic network, and where nothing is predicted."""
    utilization: float | None = None
    """Share of the replica's capacity that the load takes, 0 to 1; None where the load has no rate."""
    model_version: str
