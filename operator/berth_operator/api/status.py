"""``status`` of both kinds: what was decided, what runs, what it costs, and how far it has come. At most 8 kB."""

from datetime import date, datetime
from typing import Annotated, Literal

from pydantic import Field

from berth_operator.api.field import DecimalString, ListOf, Part, Percent, Sentence, Tally, Word
from berth_scheduler.snapshot import CapacityType, Sharing


class Condition(Part):
    """As metav1.Condition."""

    type: Annotated[str, Field(min_length=1, max_length=316)]
    status: Literal["True", "False", "Unknown"]
    observed_generation: Annotated[int, Field(ge=0)] | None = None
    """The generation of the spec that this is about."""
    last_transition_time: datetime
    """When status last changed."""
    reason: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$")]
    """One word of the fixed vocabulary."""
    message: Annotated[str, Field(max_length=1024)] = ""


Conditions = Annotated[tuple[Condition, ...], Field(max_length=16), ListOf("map", "type")]


# --- InferenceWorkload -------------------------------------------------------------------------------------------


class WorkloadSummary(Part):
    """Strings for the columns of kubectl get."""

    gpu: Word | None = None
    """Such as "L4 Spot+OnDemand" or "4×H100-SXM-80GB"."""
    precision: Word | None = None
    replicas: Word | None = None
    """By berth, such as "2+1"."""
    cost_per_hour: Word | None = None
    """Such as "$1.38"."""
    p99: Word | None = None
    """Predicted, such as "31 ms"."""


class BerthStatus(Part):
    """One homogeneous set of replicas: where, on what, bought how, run how, how many."""

    pool: Word
    gpu: Word
    sharing: Sharing
    mig_profile: Word | None = None
    capacity_type: CapacityType
    precision: Word
    tensor_parallel: Tally
    instances_per_gpu: Tally
    maximum_batch_size: Tally
    maximum_queue_delay_microseconds: Tally
    replicas: Tally
    """Decided."""
    ready_replicas: Tally
    """Of the wanted revision, ready to serve."""


class Estimate(Part):
    """A predicted number and its 90 % band."""

    value: DecimalString
    low: DecimalString | None = None
    high: DecimalString | None = None


class LatencyEstimate(Part):
    """Predicted latency in milliseconds, by statistic."""

    mean_milliseconds: Estimate | None = None
    p50_milliseconds: Estimate | None = None
    p90_milliseconds: Estimate | None = None
    p95_milliseconds: Estimate | None = None
    p99_milliseconds: Estimate | None = None


class Predicted(Part):
    """What the decision is expected to do at the stated traffic."""

    latency: LatencyEstimate | None = None
    """From request to complete answer."""
    time_to_first_token: LatencyEstimate | None = None
    time_per_output_token: LatencyEstimate | None = None
    requests_per_second: Estimate | None = None
    """What all replicas together can sustain."""
    output_tokens_per_second: Estimate | None = None
    """Of all replicas together, at the stated traffic."""
    utilization_percent: Percent | None = None
    """Share of the replicas' capacity that the stated traffic takes."""
    evidence: Literal["measured", "interpolated", "calibrated", "estimated"]
    """What the prediction rests on: measurements of this very configuration, or less."""


class WorkloadCost(Part):
    """Of the decided replicas, at their share of the nodes' prices."""

    usd_per_hour: DecimalString
    usd_per_month: DecimalString
    usd_per_million_requests: DecimalString | None = None
    usd_per_million_tokens: DecimalString | None = None
    price_date: date | None = None
    """The oldest of the prices used."""
    price_source: Sentence | None = None


class AlternativeStatus(Part):
    """Another way, and the constraint that beat it."""

    placement: Word
    """Such as "5 × L4 OnDemand int8"."""
    usd_per_hour: DecimalString
    lost_by: Word
    """The constraint, or cost."""
    message: Sentence
    change: Sentence | None = None
    """Of a workload that cannot be placed: what would have to change for this to do."""


class InferenceWorkloadStatus(Part):
    """Written by the operator."""

    observed_generation: Annotated[int, Field(ge=0)] | None = None
    """The generation of the spec that this status is about."""
    conditions: Conditions = ()
    summary: WorkloadSummary | None = None
    berths: Annotated[tuple[BerthStatus, ...], Field(max_length=16)] = ()
    replicas: Tally | None = None
    """Pods that the wanted revision asks for."""
    ready_replicas: Tally | None = None
    """Pods of the wanted revision that are ready."""
    selector: Annotated[str, Field(max_length=512)] | None = None
    """Label selector of the pods that serve, for kubectl get pods -l."""
    predicted: Predicted | None = None
    cost: WorkloadCost | None = None
    alternatives: Annotated[tuple[AlternativeStatus, ...], Field(max_length=5)] = ()
    revision: Word | None = None
    """Of everything that changes a pod template: the revision that is wanted."""
    serving_revision: Word | None = None
    """The revision that the Service selects; differs from revision while a switch is under way."""
    decision_hash: Word | None = None
    """Of the whole decision, without times and observed values."""


# --- GPUPool -----------------------------------------------------------------------------------------------------


class PoolSummary(Part):
    """Strings for the columns of kubectl get."""

    gpu: Word | None = None
    """Such as "L4" or "A100-SXM-80GB 7×1g.10gb"."""
    free: Word | None = None
    """Free of all GPUs, such as "3/8"."""
    price_per_hour: Word | None = None
    """Of a node, such as "$0.35"."""


class PoolPriceStatus(Part):
    """The price that plans use."""

    usd_per_node_hour: DecimalString
    date: date
    """When the price was true."""
    source: Sentence


class GPUPoolStatus(Part):
    """Written by the operator."""

    observed_generation: Annotated[int, Field(ge=0)] | None = None
    """The generation of the spec that this status is about."""
    conditions: Conditions = ()
    summary: PoolSummary | None = None
    gpu: Word | None = None
    """Name in the GPU catalogue, stated or read from the nodes."""
    nodes: Tally | None = None
    """Nodes that exist and match."""
    gpus: Tally | None = None
    """GPUs of these nodes."""
    free_gpus: Tally | None = None
    """Whole GPUs that no pod holds."""
    free_slices: Annotated[dict[str, Tally], Field(max_length=16)] | None = None
    """MIG slices that no pod holds, by profile."""
    price: PoolPriceStatus | None = None
