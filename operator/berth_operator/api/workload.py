"""``InferenceWorkload.spec``: what a user wants served, how fast, and within which bounds."""

from decimal import Decimal
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from berth_operator.api.field import (
    UNIQUE,
    ByteQuantity,
    CountQuantity,
    Identifier,
    ListOf,
    NotNegativeDecimal,
    ObjectName,
    Part,
    Percent,
    PositiveDecimal,
    Tally,
    bounded,
)
from berth_operator.api.model import GENERATING_BACKENDS, ONE_PASS_BACKENDS, WorkloadModel
from berth_operator.api.right_sizing import RightSizing
from berth_operator.api.rule import Rule
from berth_scheduler.snapshot import CapacityType, Sharing

# --- demand and objectives ---------------------------------------------------------------------------------------


class TokenLengths(Part):
    """How many tokens a request has."""

    mean: PositiveDecimal
    """Mean number of tokens a request."""
    p95: PositiveDecimal | None = None
    """95th percentile. Absent: latency is predicted as if all prompts had the mean length, and the context holds twice
    the mean. That of answers changes no predicted latency, only the context and how long pods may take to stop."""

    rules: ClassVar = (
        Rule(
            cel="!has(self.p95) || double(self.p95) >= double(self.mean)",
            message="p95 must not be below mean",
            holds=lambda tokens: tokens.p95 is None or tokens.p95 >= tokens.mean,
            field=".p95",
        ),
    )


class Traffic(Part):
    """The demand that the placement must sustain."""

    requests_per_second: PositiveDecimal
    """The rate that all replicas together must sustain: the placement is chosen for it. How many replicas run while
    demand moves is autoscaling's business."""
    burstiness: NotNegativeDecimal = Field(default="1.0", validate_default=True)
    """Squared coefficient of variation of the gaps between arrivals: 0 constant, 1 Poisson, above 1 bursty."""
    items_per_request: Annotated[int, Field(strict=True, ge=1, le=65536)] = 1
    """Classic networks: how many items a request carries."""
    input_tokens: TokenLengths | None = None
    """Language models: the prompt."""
    output_tokens: TokenLengths | None = None
    """Language models: the answer."""

    rules: ClassVar = (
        Rule(
            cel="has(self.inputTokens) == has(self.outputTokens)",
            message="inputTokens and outputTokens go together: a language model needs both, a classic network neither",
            holds=lambda traffic: (traffic.input_tokens is None) == (traffic.output_tokens is None),
        ),
        Rule(
            cel="self.itemsPerRequest == 1 || !has(self.inputTokens)",
            message="itemsPerRequest is for classic networks: leave it at 1 where inputTokens is stated",
            holds=lambda traffic: traffic.items_per_request == 1 or traffic.input_tokens is None,
            field=".itemsPerRequest",
        ),
    )


_STATISTICS = ("mean", "p50", "p90", "p95", "p99")
_ORDERED = [(low, high) for i, low in enumerate(_STATISTICS[1:], 1) for high in _STATISTICS[i + 1 :]]


def _ascending(latency: "Latency") -> bool:
    stated = [value for name in _STATISTICS[1:] if (value := getattr(latency, f"{name}_milliseconds")) is not None]
    return stated == sorted(stated)


class Latency(Part):
    """Upper limits in milliseconds, each for one statistic of the latency; any subset."""

    mean_milliseconds: PositiveDecimal | None = None
    """Limit of the mean, in milliseconds."""
    p50_milliseconds: PositiveDecimal | None = None
    """Limit of the median, in milliseconds: half may take longer."""
    p90_milliseconds: PositiveDecimal | None = None
    """Limit of the 90th percentile, in milliseconds: 1 in 10 may take longer."""
    p95_milliseconds: PositiveDecimal | None = None
    """Limit of the 95th percentile, in milliseconds: 1 in 20 may take longer."""
    p99_milliseconds: PositiveDecimal | None = None
    """Limit of the 99th percentile, in milliseconds: 1 in 100 may take longer."""

    rules: ClassVar = (
        Rule(
            cel=" || ".join(f"has(self.{name}Milliseconds)" for name in _STATISTICS),
            message="state at least one of " + ", ".join(f"{name}Milliseconds" for name in _STATISTICS),
            holds=lambda latency: any(getattr(latency, f"{name}_milliseconds") is not None for name in _STATISTICS),
        ),
        Rule(
            cel=" && ".join(
                f"(!has(self.{low}Milliseconds) || !has(self.{high}Milliseconds)"
                f" || double(self.{low}Milliseconds) <= double(self.{high}Milliseconds))"
                for low, high in _ORDERED
            ),
            message="a higher percentile cannot have a lower limit: p50 ≤ p90 ≤ p95 ≤ p99",
            holds=_ascending,
        ),
    )


class QualityObjective(Part):
    """How much quality a cheaper precision may cost."""

    metric: Identifier
    """Name of the metric whose scores the variants state; higher is better."""
    minimum: PositiveDecimal | None = None
    """A variant below this score is not chosen."""
    maximum_loss_percent: NotNegativeDecimal | None = None
    """How far below the best variant's score a variant may be, in percent of it."""

    rules: ClassVar = (
        Rule(
            cel="has(self.minimum) || has(self.maximumLossPercent)",
            message="state minimum, maximumLossPercent, or both",
            holds=lambda quality: quality.minimum is not None or quality.maximum_loss_percent is not None,
        ),
        Rule(
            cel="!has(self.maximumLossPercent) || double(self.maximumLossPercent) <= 100.0",
            message="maximumLossPercent must not be above 100",
            holds=lambda quality: quality.maximum_loss_percent is None or quality.maximum_loss_percent <= 100,
            field=".maximumLossPercent",
        ),
    )


Availability = Annotated[
    PositiveDecimal,
    Rule(
        cel="type(self) == int ? self < 100 : !self.matches('^[0-9]+([.][0-9]+)?$') || double(self) < 100.0",
        message='must be below 100, such as "99.9": nothing stands always',
        holds=lambda percent: percent < 100,
    ),
]


class CarbonObjective(Part):
    """What a request may emit: of the GPUs it runs on, at the site's meter."""

    maximum_grams_per_thousand_requests: PositiveDecimal
    """Grams of CO2 equivalent, at the upper edge of the predicted energy. A pool of unknown grid is not used."""


class Objectives(Part):
    """What a placement must keep at the stated traffic, as predicted: latencies at the upper edge of their 90 % band.

    They are never relaxed. Whether they hold as measured is said by the condition SLOMet, where Prometheus is set up.
    """

    latency: Latency | None = None
    """From request to complete answer."""
    time_to_first_token: Latency | None = None
    """Language models: from request to the first token (TTFT)."""
    time_per_output_token: Latency | None = None
    """Language models: between tokens (TPOT)."""
    quality: QualityObjective | None = None
    availability_percent: Availability | None = None
    """Share of the time with enough replicas standing for the stated traffic. Spares are added and spot is left until
    it holds, by failure rates that docs/spot.md states."""
    carbon: CarbonObjective | None = None
    """Of the energy that the GPUs draw for a request."""


# --- bounds of the choice ----------------------------------------------------------------------------------------

GPUNames = Annotated[tuple[Identifier, ...], Field(min_length=1, max_length=64), UNIQUE]


class GPUChoice(Part):
    """GPUs by their names in the catalogue. Either list may be absent; an empty one is refused."""

    allow: GPUNames | None = None
    """Only these."""
    deny: GPUNames | None = None
    """None of these."""

    rules: ClassVar = (
        Rule(
            cel="has(self.allow) || has(self.deny)",
            message="state allow, deny, or both; remove gpus to allow every GPU",
            holds=lambda gpus: gpus.allow is not None or gpus.deny is not None,
        ),
        Rule(
            cel="!has(self.allow) || !has(self.deny) || self.allow.all(gpu, !(gpu in self.deny))",
            message="allow and deny must not share a GPU",
            holds=lambda gpus: not set(gpus.allow or ()) & set(gpus.deny or ()),
            field=".deny",
        ),
    )


class Placement(Part):
    """Which supply may be used."""

    gpus: GPUChoice | None = None
    """Absent: every GPU of the pools."""
    capacity_types: Annotated[tuple[CapacityType, ...], Field(min_length=1, max_length=4), UNIQUE] = (
        CapacityType.ON_DEMAND,
    )
    """How the GPUs may be bought; spot is opt-in."""
    sharing: Annotated[tuple[Sharing, ...], Field(min_length=1, max_length=2), UNIQUE] = (
        Sharing.EXCLUSIVE,
        Sharing.MIG,
    )
    """Whole GPUs, MIG slices, or both."""
    maximum_tensor_parallel: Annotated[int, Field(strict=True, ge=1, le=64)] = 8
    """Most GPUs that one replica of a language model may span; 1, 2, 4, 8 and 16 are tried."""


class Replicas(Part):
    """Bounds of the number of replicas."""

    minimum: Annotated[int, Field(strict=True, ge=1, le=1000)] = 1
    """Fewest replicas, also where the traffic needs fewer."""
    maximum: Annotated[int, Field(strict=True, ge=1, le=1000)] = 20
    """Most replicas: what needs more is not chosen. Each revision by itself: during a switch both run."""
    desired: Annotated[int, Field(strict=True, ge=1, le=1000)] | None = None
    """What the scale subresource reads and writes, with autoscaling.mode External only: as many run, within minimum and
    maximum. State the number to begin with; from then on it is the HPA's or KEDA's."""

    rules: ClassVar = (
        Rule(
            cel="self.minimum <= self.maximum",
            message="minimum must not be above maximum (20 unless stated)",
            holds=lambda replicas: replicas.minimum <= replicas.maximum,
            field=".minimum",
        ),
    )


class Autoscaling(Part):
    """Who says how many replicas there are while demand moves."""

    mode: Literal["Managed", "External", "Disabled"] = "Managed"
    """Managed: the operator follows what Prometheus measures, where it is told of one; else the stated rate. External:
    an HPA, KEDA or a person, through replicas.desired. Disabled: always what traffic.requestsPerSecond needs."""
    target_utilization_percent: Annotated[int, Field(strict=True, ge=10, le=100)] = 75
    """Managed: arrivals over what the replicas sustain inside the objectives. Lower keeps more in hand and costs more;
    at 100 the objectives just hold."""
    allowed_miss_percent: Annotated[
        NotNegativeDecimal, bounded("{0} >= 0.1 && {0} <= 50.0", "must be from 0.1 to 50", Decimal("0.1"), 50)
    ] = Decimal(1)
    """Managed: how often demand may be more than what was prepared for one cold start before. More is cheaper, and
    breaks the objectives more often while demand grows."""
    scale_down_stabilization_seconds: Annotated[int, Field(strict=True, ge=0, le=3600)] = 300
    """Managed: replicas go only when none of them was wanted for so long."""


class Spot(Part):
    """How much of the workload may run on capacity that can be taken away; only where capacityTypes has Spot."""

    maximum_share_percent: Percent = 70
    """Most replicas on spot, in percent of all, rounded down."""
    on_demand_base: Tally = 1
    """Replicas that are never on spot, but on any of the other capacityTypes."""


class Budget(Part):
    """What the workload may cost a month: by plan, and by what ran."""

    monthly_usd: PositiveDecimal = Field(alias="monthlyUSD")
    """USD a month: the limit of status.cost.usdPerMonth, and of what is spent in a month as status.budget has it."""
    on_exceeded: Literal["Alert"] = "Alert"
    """What happens above it. Alert: no placement above it is chosen anew, and what runs stays; where it was spent, is
    forecast to be, or the price rose above it, the condition BudgetOK says so."""


class Rollout(Part):
    """How a new revision takes over."""

    strategy: Literal["Switch", "Recreate"] = "Switch"
    """Switch: the new revision starts beside the old one. Recreate: the old one stops first where both have no room."""


# --- the pods ----------------------------------------------------------------------------------------------------


class ResourceAmounts(Part):
    """CPU and memory of one replica. GPUs are the operator's choice."""

    cpu: CountQuantity | None = None
    """Cores of one replica, such as 4 or "500m"."""
    memory: ByteQuantity | None = None
    """Host memory of one replica, shared memory included, GPU memory not; such as "8Gi"."""


def _requests_within_limits(name: str) -> Rule:
    def holds(resources: "Resources") -> bool:
        requested, limit = (getattr(part, name, None) for part in (resources.requests, resources.limits))
        return requested is None or limit is None or requested.amount <= limit.amount

    return Rule(
        cel=(
            f"!has(self.requests) || !has(self.limits) || !has(self.requests.{name}) || !has(self.limits.{name})"
            f" || quantity(string(self.requests.{name})).compareTo(quantity(string(self.limits.{name}))) <= 0"
        ),
        message=f"requests.{name} must not be above limits.{name}",
        holds=holds,
        field=".requests",
    )


class Resources(Part):
    """As in a pod: what a replica asks for beside GPUs, and what it is held to."""

    requests: ResourceAmounts | None = None
    """What a node must have free for a replica; what is absent is the limit, else sized by the operator."""
    limits: ResourceAmounts | None = None
    """What a replica is held to. Absent memory: what is requested; absent cpu: no limit."""

    rules: ClassVar = (_requests_within_limits("cpu"), _requests_within_limits("memory"))


class ImagePullSecret(Part):
    """A Secret of the workload's namespace."""

    name: ObjectName
    """Name of the Secret; those of the platform are added."""


class Serving(Part):
    """Properties of the pods that are the user's to choose."""

    resources: Resources | None = None
    """Absent: sized by the operator from the backend and the weights of the largest variant."""
    priority_class_name: ObjectName | None = None
    """PriorityClass of the pods, for the Kubernetes scheduler; absent: the cluster's default. Plans go by priority."""
    image_pull_secrets: (
        Annotated[tuple[ImagePullSecret, ...], Field(min_length=1, max_length=8), ListOf("map", "name")] | None
    ) = None
    """Credentials for the images, model images included."""


# --- the spec ----------------------------------------------------------------------------------------------------


def _tokens_fit_context(spec: "InferenceWorkloadSpec") -> bool:
    longest, traffic = spec.model.maximum_context_tokens, spec.traffic
    if longest is None or traffic.input_tokens is None or traffic.output_tokens is None:
        return True
    return traffic.input_tokens.mean + traffic.output_tokens.mean <= longest


def _generates(spec: "InferenceWorkloadSpec") -> bool:
    return spec.traffic.input_tokens is not None and spec.traffic.output_tokens is not None


class InferenceWorkloadSpec(Part):
    """A model, its traffic and its objectives; which GPUs, precision and replicas it gets is decided for it."""

    model: WorkloadModel
    traffic: Traffic
    objectives: Objectives = Objectives()
    placement: Placement = Placement()
    priority: Annotated[int, Field(strict=True, ge=-1_000_000_000, le=1_000_000_000)] = 0
    """Where capacity is short, the higher number is placed first; what runs stays."""
    replicas: Replicas = Replicas()
    autoscaling: Autoscaling = Autoscaling()
    spot: Spot | None = None
    """Absent, where Spot is allowed: at most 70 percent on spot, at least 1 replica never."""
    budget: Budget | None = None
    right_sizing: RightSizing = RightSizing()
    rollout: Rollout = Rollout()
    serving: Serving | None = None

    rules: ClassVar = (
        Rule(
            cel="!has(self.spot) || 'Spot' in self.placement.capacityTypes",
            message="spot is set, but placement.capacityTypes does not have Spot: add it, or remove spot",
            holds=lambda spec: spec.spot is None or CapacityType.SPOT in spec.placement.capacity_types,
            field=".spot",
        ),
        Rule(
            cel="!has(self.spot) || self.spot.onDemandBase <= self.replicas.maximum",
            message="spot.onDemandBase must not be above replicas.maximum (20 unless stated)",
            holds=lambda spec: spec.spot is None or spec.spot.on_demand_base <= spec.replicas.maximum,
            field=".spot",
        ),
        Rule(
            cel="(self.autoscaling.mode == 'External') == has(self.replicas.desired)",
            message=(
                "replicas.desired and autoscaling.mode External go together: it is what an HPA, KEDA or kubectl scale"
                " writes, and the number to begin with"
            ),
            holds=lambda spec: (spec.autoscaling.mode == "External") == (spec.replicas.desired is not None),
            field=".replicas",
        ),
        Rule(
            cel="!has(self.objectives.quality) || self.model.variants.all(variant, has(variant.quality))",
            message="objectives.quality needs a quality score on every one of model.variants",
            holds=lambda spec: spec.objectives.quality is None or all(v.quality for v in spec.model.variants),
            field=".objectives.quality",
        ),
        Rule(
            cel=(
                "has(self.traffic.inputTokens)"
                " || !(has(self.objectives.timeToFirstToken) || has(self.objectives.timePerOutputToken))"
            ),
            message=(
                "timeToFirstToken and timePerOutputToken are for language models: state traffic.inputTokens and"
                " outputTokens"
            ),
            holds=lambda spec: (
                spec.traffic.input_tokens is not None
                or (spec.objectives.time_to_first_token is None and spec.objectives.time_per_output_token is None)
            ),
            field=".objectives",
        ),
        Rule(
            cel=(
                "has(self.traffic.inputTokens) || !(has(self.model.backend)"
                " && self.model.backend in ['vllm', 'tensorrtllm'])"
                " && !(has(self.model.architecture) && has(self.model.architecture.transformer))"
            ),
            message="a language model needs traffic.inputTokens and traffic.outputTokens",
            holds=lambda spec: (
                _generates(spec)
                or not (
                    spec.model.backend in GENERATING_BACKENDS
                    or (spec.model.architecture is not None and spec.model.architecture.transformer is not None)
                )
            ),
            field=".traffic",
        ),
        Rule(
            cel=(
                "!has(self.traffic.inputTokens) || !(has(self.model.backend)"
                " && self.model.backend in ['onnxruntime', 'tensorrt', 'pytorch'])"
                " && !(has(self.model.architecture) && has(self.model.architecture.dense))"
            ),
            message="a classic network has no tokens: remove traffic.inputTokens and outputTokens",
            holds=lambda spec: (
                not _generates(spec)
                or not (
                    spec.model.backend in ONE_PASS_BACKENDS
                    or (spec.model.architecture is not None and spec.model.architecture.dense is not None)
                )
            ),
            field=".traffic",
        ),
        Rule(
            cel="!has(self.model.maximumContextTokens) || has(self.traffic.inputTokens)",
            message="model.maximumContextTokens is for language models: state traffic.inputTokens and outputTokens",
            holds=lambda spec: spec.model.maximum_context_tokens is None or spec.traffic.input_tokens is not None,
            field=".model.maximumContextTokens",
        ),
        Rule(
            cel=(
                "!has(self.model.maximumContextTokens) || !has(self.traffic.inputTokens)"
                " || !has(self.traffic.outputTokens) || double(self.traffic.inputTokens.mean)"
                " + double(self.traffic.outputTokens.mean) <= double(self.model.maximumContextTokens)"
            ),
            message="the mean request, traffic.inputTokens and outputTokens together, exceeds maximumContextTokens",
            holds=_tokens_fit_context,
            field=".model.maximumContextTokens",
        ),
    )
