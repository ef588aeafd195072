"""``status`` of both kinds: what was decided, what runs, what it costs, and how far it has come. At most 8 kB."""

from datetime import date, datetime
from typing import Annotated, Literal

from pydantic import Field

from berth_operator.api.field import DecimalString, ListOf, Part, Percent, Sentence, Tally, Word
from berth_operator.api.right_sizing import RecommendationStatus, RightSizingStatus
from berth_scheduler.snapshot import CapacityType, Sharing


class Condition(Part):
    """As metav1.Condition."""

    type: Annotated[str, Field(min_length=1, max_length=316)]
    """Which condition this is, such as Ready."""
    status: Literal["True", "False", "Unknown"]
    """Whether it holds; Unknown: nobody can say yet."""
    observed_generation: Annotated[int, Field(ge=0)] | None = None
    """The generation of the spec that this is about."""
    last_transition_time: datetime
    """When status last changed; reason and message may be newer."""
    reason: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$")]
    """One word of the fixed vocabulary."""
    message: Annotated[str, Field(max_length=1024)] = ""
    """A sentence for people, of at most 200 characters; its words may change, those of type and reason do not."""


Conditions = Annotated[tuple[Condition, ...], Field(max_length=16), ListOf("map", "type")]


# --- InferenceWorkload -------------------------------------------------------------------------------------------


class WorkloadSummary(Part):
    """Strings for the columns of kubectl get."""

    gpu: Word | None = None
    """Such as "L4 Spot+OnDemand" or "4×H100-SXM-80GB"."""
    precision: Word | None = None
    """Of the variant that was chosen, such as "fp16"."""
    replicas: Word | None = None
    """Decided, by berth, such as "2+1"."""
    cost_per_hour: Word | None = None
    """Of the decided replicas, such as "$1.38"."""
    p99: Word | None = None
    """Predicted of whole requests, such as "31 ms"."""


class BerthStatus(Part):
    """One homogeneous set of replicas: where, on what, bought how, run how, how many."""

    pool: Word
    """The GPUPool, or the name that the operator gave to nodes that no GPUPool selects."""
    gpu: Word
    """Name in the GPU catalogue."""
    sharing: Sharing
    """Exclusive: a replica has whole GPUs. MIG: it has one slice."""
    mig_profile: Word | None = None
    """The slice that each replica has, such as "1g.10gb"; absent: whole GPUs."""
    capacity_type: CapacityType
    """How the pool's nodes are bought."""
    precision: Word
    """Which of spec.model.variants runs."""
    tensor_parallel: Tally
    """GPUs that one replica spans; 1 of a slice."""
    instances_per_gpu: Tally
    """Copies of the model that Triton runs in one replica, on the same GPU."""
    maximum_batch_size: Tally
    """Most items in one batch; of a language model most sequences at once."""
    maximum_queue_delay_microseconds: Tally
    """How long Triton holds a request back to fill its batch; 0 of a language model, whose engine batches by itself."""
    replicas: Tally
    """Decided; one pod each."""
    ready_replicas: Tally
    """Of the wanted revision, ready to serve."""


class Estimate(Part):
    """A predicted number and its 90 % band."""

    value: DecimalString
    """The prediction, in the unit of the field that it stands in."""
    low: DecimalString | None = None
    """Lower edge of the band; absent: no band is known."""
    high: DecimalString | None = None
    """Upper edge of the band: latency objectives are held against it; absent: no band is known."""


class LatencyEstimate(Part):
    """Predicted latency in milliseconds, by statistic."""

    mean_milliseconds: Estimate | None = None
    """The mean and its 90 % band."""
    p50_milliseconds: Estimate | None = None
    """The median and its 90 % band."""
    p90_milliseconds: Estimate | None = None
    """The 90th percentile and its 90 % band."""
    p95_milliseconds: Estimate | None = None
    """The 95th percentile and its 90 % band."""
    p99_milliseconds: Estimate | None = None
    """The 99th percentile and its 90 % band."""


class Predicted(Part):
    """What the decision is expected to do at the rate that its replicas are for: the stated one, or where they follow
    demand the measured one of when they were last scaled."""

    latency: LatencyEstimate | None = None
    """From request to complete answer."""
    time_to_first_token: LatencyEstimate | None = None
    """Language models: from request to the first token."""
    time_per_output_token: LatencyEstimate | None = None
    """Language models: between tokens."""
    requests_per_second: Estimate | None = None
    """The rate that saturates all replicas together; objectives break before it."""
    output_tokens_per_second: Estimate | None = None
    """Of all replicas together, at that rate."""
    utilization_percent: Percent | None = None
    """Share of the replicas' capacity that this rate takes."""
    evidence: Literal["measured", "interpolated", "calibrated", "estimated"]
    """What the prediction rests on: measurements of this very configuration, or less."""


class ObservedLatency(Part):
    """Measured latency in milliseconds, by statistic, to two digits."""

    mean_milliseconds: DecimalString | None = None
    """The mean."""
    p50_milliseconds: DecimalString | None = None
    """The median."""
    p90_milliseconds: DecimalString | None = None
    """The 90th percentile."""
    p95_milliseconds: DecimalString | None = None
    """The 95th percentile."""
    p99_milliseconds: DecimalString | None = None
    """The 99th percentile."""


class Observed(Part):
    """What was measured of the replicas that serve, smoothed over minutes; written when it changed noticeably."""

    requests_per_second: DecimalString | None = None
    """Arrivals at all replicas together."""
    utilization_percent: Percent | None = None
    """Busy share of the replicas' instances, as in the metrics and the dashboard."""
    latency: ObservedLatency | None = None
    """From request to complete answer."""
    time_to_first_token: ObservedLatency | None = None
    """Language models: from request to the first token."""
    time_per_output_token: ObservedLatency | None = None
    """Language models: between tokens."""
    seconds_to_ready: Tally | None = None
    """From the making of a pod to ready: the median of the last ones; the forecast looks so far ahead."""
    capacity_percent: Tally | None = None
    """What a replica was seen to carry, in percent of what the model says."""
    not_known_since: datetime | None = None
    """Present while nothing is measured that can be trusted: the numbers are those of before."""


class Learned(Part):
    """What was learned in production and is kept over a restart. What is of the revision is dropped with it."""

    revision: Word
    """Of which it was learned."""
    memory: Annotated[str, Field(max_length=2048)] | None = None
    """The replica controller's: margins of the forecast and profile of the day, packed; of no use to anybody else."""
    observations: Annotated[str, Field(max_length=2048)] | None = None
    """Right-sizing's: a day of demand, and what a replica was seen to carry, packed; of no use to anybody else."""


class WorkloadCost(Part):
    """Of the decided replicas, at their share of the nodes' prices: planned, not what was billed."""

    usd_per_hour: DecimalString
    """USD an hour of all replicas, without what they leave unused of a node."""
    usd_per_month: DecimalString
    """The same for all hours of a month, 730 unless policy.hoursPerMonth says otherwise; spec.budget limits it."""
    usd_per_million_requests: DecimalString | None = None
    """USD at the rate that the replicas are for: the stated one, or the measured one of when they were last scaled."""
    usd_per_million_tokens: DecimalString | None = None
    """The same for tokens read and written together; language models only."""
    price_date: date | None = None
    """The oldest of the prices used."""
    price_source: Sentence | None = None
    """Who says so: the sources of all prices used."""
    usd_per_hour_low: DecimalString | None = None
    """What it may cost an hour by now at the least, where a price is old."""
    usd_per_hour_high: DecimalString | None = None
    """What it may cost an hour by now at the most, where a price is old."""
    price_note: Sentence | None = None
    """Which prices are old, and since when."""


class SavingParts(Part):
    """Where a saving comes from, USD an hour each; negative: it costs more. What is absent is nothing."""

    gpu: DecimalString | None = None
    """Another GPU or slice, with the replicas that it then takes."""
    precision: DecimalString | None = None
    """Another precision, with the replicas that it then takes."""
    gpu_and_precision: DecimalString | None = None
    """Both, where they cannot be told apart."""
    replicas: DecimalString | None = None
    """More or fewer replicas than the rate takes there."""
    capacity_type: DecimalString | None = None
    """Bought otherwise than on demand."""
    price: DecimalString | None = None
    """The same elsewhere or at another price: region, kind of node, negotiated, owned."""


class SavingStatus(Part):
    """What the decided replicas save against a named baseline."""

    against: Literal["Running", "Conventional"]
    """Running: what serves now, at today's prices; while it is what is decided, this is left out. Conventional: on
    demand, fp16, static peak, on the GPU that most people would take."""
    what: Word | None = None
    """The baseline itself, such as "3 × T4, fp16, on demand"; left out of what runs."""
    usd_per_hour: DecimalString | None = None
    """USD an hour of the baseline."""
    saved_usd_per_hour: DecimalString | None = None
    """The baseline's cost less the decided one; negative: the decision costs more."""
    parts: SavingParts | None = None
    """Where it comes from: these add up to savedUSDPerHour. Against what runs: see berth explain."""
    unknown: Sentence | None = None
    """Why it cannot be computed; then everything else is absent."""


class BudgetStatus(Part):
    """How the month stands against spec.budget, in steps of 5 %; the metrics berthmaster_budget_* are exact."""

    month: Word
    """In UTC, such as "2026-11"."""
    spent_percent: Annotated[int, Field(ge=0, le=1000)]
    """What ran so far cost at least this share of spec.budget.monthlyUSD; 1000: that, or more."""
    forecast_percent: Annotated[int, Field(ge=0, le=1000)]
    """The month is expected to cost at most this share of it; 1000: that, or more."""
    burning: Literal["Page", "Ticket"] | None = None
    """Money goes too fast to wait for the end of the month. Page: three times the even spend over a day and still over
    two hours; Ticket: half as much again over three days and six hours."""


class AlternativeStatus(Part):
    """Another way, and the constraint that beat it."""

    placement: Word
    """Such as "5 × L4 OnDemand int8"."""
    usd_per_hour: DecimalString
    """USD an hour of all its replicas."""
    lost_by: Word
    """The constraint in its way; cost: it is no cheaper; kept: what runs is not moved for it."""
    message: Sentence
    """In a sentence, what it is, and what it lacks or when it would win."""
    change: Sentence | None = None
    """Of a workload that cannot be placed: what would have to change for this to do."""


class InferenceWorkloadStatus(Part):
    """Written by the operator."""

    observed_generation: Annotated[int, Field(ge=0)] | None = None
    """The generation of the spec that this status is about."""
    conditions: Conditions = ()
    """How far it has come: read Ready first, then its reason and message."""
    summary: WorkloadSummary | None = None
    berths: Annotated[tuple[BerthStatus, ...], Field(max_length=16)] = ()
    """What was decided, by pool; empty while nothing is placed, also where an earlier revision still runs."""
    replicas: Tally | None = None
    """Pods that the wanted revision asks for; where none is decided, pods that what runs asks for."""
    desired_replicas: Tally | None = None
    """What the replica controller asks for; absent where the stated rate, or somebody else, decides."""
    ready_replicas: Tally | None = None
    """Pods of the wanted revision that are ready; where none is decided, of the one that serves."""
    selector: Annotated[str, Field(max_length=512)] | None = None
    """Label selector of the pods that serve, for kubectl get pods -l and for an HPA."""
    predicted: Predicted | None = None
    observed: Observed | None = None
    learned: Learned | None = None
    cost: WorkloadCost | None = None
    savings: Annotated[tuple[SavingStatus, ...], Field(max_length=4)] = ()
    """What the decision saves against named baselines, and where that comes from."""
    budget: BudgetStatus | None = None
    alternatives: Annotated[tuple[AlternativeStatus, ...], Field(max_length=5)] = ()
    """Other ways that are feasible now, cheapest first; where nothing could be placed, ways that one change opens."""
    recommendation: RecommendationStatus | None = None
    """Another berth that would hold the objectives for less; absent: there is none, or it would not pay."""
    right_sizing: RightSizingStatus | None = None
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
    """USD for one node, with all its GPUs, for one hour."""
    date: date
    """When the price was true; of a stated one, when the GPUPool was made."""
    source: Sentence
    """Who says so: a source of the price book, or "GPUPool NAME" where it is stated."""


class GPUPoolStatus(Part):
    """Written by the operator."""

    observed_generation: Annotated[int, Field(ge=0)] | None = None
    """The generation of the spec that this status is about."""
    conditions: Conditions = ()
    """Priced: its price is known. Matched: its GPU is known and its nodes agree with what is stated."""
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
