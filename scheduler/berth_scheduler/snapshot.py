"""Everything a plan depends on, frozen: workloads and what runs for them, pools, nodes, prices, the time.

A snapshot is one JSON file; planning it again gives the same plan, bit for bit.
"""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from berth_cost.cases.case import MeasuredPoint, Model
from berth_cost.hardware.gpu_catalogue import GPUSpecification
from berth_cost.prices.book import Price
from berth_cost.prices.list_price import ListPrice
from berth_cost.record import Record
from berth_cost.spending.carbon import Site


class CapacityType(StrEnum):
    """How GPUs are bought. Declaration order is the tie-break: the steadier supply first."""

    ON_DEMAND = "OnDemand"
    RESERVED = "Reserved"
    OWNED = "Owned"
    SPOT = "Spot"


class Sharing(StrEnum):
    """How a replica holds its GPUs."""

    EXCLUSIVE = "Exclusive"
    MIG = "MIG"


class Problem(Record):
    """Why something cannot be used as stated: a word of the fixed vocabulary and a sentence a person can act on."""

    reason: str
    message: str


# --- workloads ---------------------------------------------------------------------------------------------------


class Quality(Record):
    score: Decimal
    evidence: Literal["Measured", "Published", "Assumed"]


class ArtefactAccess(Record):
    """Where the volume of an artefact can be mounted.

    ``zones`` None means any zone; ``node`` names the only node for a volume of one node; ``single_node`` is a claim
    that several nodes cannot mount at once, so that all replicas must share one node.
    """

    zones: tuple[str, ...] | None = None
    node: str | None = None
    single_node: bool = False
    problem: Problem | None = None


class Variant(Record):
    """One artefact that the plan may choose: the model at one precision. Precisions are unique in a workload."""

    precision: str
    quality: Quality | None = None
    access: ArtefactAccess = ArtefactAccess()


class TokenLengths(Record):
    mean: float
    p95: float | None = None


class Traffic(Record):
    requests_per_second: float
    burstiness: float = 1.0
    """Squared coefficient of variation of the gaps between arrivals: 0 constant, 1 Poisson."""
    items_per_request: int = 1
    input_tokens: TokenLengths | None = None
    output_tokens: TokenLengths | None = None


class LatencyObjective(Record):
    """``metric`` is a latency metric of the prediction cases; ``statistic`` one of mean, p50, p90, p95, p99."""

    metric: Literal["latencySeconds", "endToEndSeconds", "timeToFirstTokenSeconds", "timePerOutputTokenSeconds"]
    statistic: Literal["mean", "p50", "p90", "p95", "p99"]
    limit_seconds: float


class QualityObjective(Record):
    metric: str
    minimum: Decimal | None = None
    maximum_loss_percent: Decimal | None = None
    """Against the best variant."""


class SpotPolicy(Record):
    maximum_share_percent: float = 70
    on_demand_base: int = 1


class Placement(Record):
    allow: tuple[str, ...] | None = None
    deny: tuple[str, ...] = ()
    capacity_types: tuple[CapacityType, ...] = (CapacityType.ON_DEMAND,)
    sharing: tuple[Sharing, ...] = (Sharing.EXCLUSIVE, Sharing.MIG)
    maximum_tensor_parallel: int = 8


class RightSizing(Record):
    """What may happen when another berth would be cheaper than what runs."""

    mode: Literal["Disabled", "Recommend", "Auto"] = "Recommend"
    minimum_saving_percent: float = 10
    maximum_payback_hours: float = 24


class PodResources(Record):
    """What one replica asks of its node beside GPUs."""

    cpu_cores: float
    memory_bytes: int


class Berth(Record):
    """One homogeneous set of replicas: where, on what, bought how, run how, how many."""

    pool: str
    gpu: str
    sharing: Sharing
    mig_profile: str | None = None
    capacity_type: CapacityType
    precision: str
    tensor_parallel: int
    gpus_per_replica: float
    """Of a MIG slice: its share of the GPU."""
    instances_per_gpu: int
    maximum_batch_size: int
    maximum_queue_delay_microseconds: int
    replicas: int


CONFIGURATION = (
    "gpu",
    "sharing",
    "mig_profile",
    "precision",
    "tensor_parallel",
    "instances_per_gpu",
    "maximum_batch_size",
    "maximum_queue_delay_microseconds",
)
"""What all berths of one revision share, and what decides whether two berths could be of one revision."""


class Configuration(Record):
    """What all berths of one revision share, and how they may be bought: where a workload is to move."""

    gpu: str
    sharing: Sharing
    mig_profile: str | None = None
    precision: str
    tensor_parallel: int
    instances_per_gpu: int
    maximum_batch_size: int
    maximum_queue_delay_microseconds: int
    capacity_types: tuple[CapacityType, ...]
    """Sorted by their values."""

    def runs(self, berth: Berth) -> bool:
        """Whether a berth is of this configuration, however it is bought."""
        return all(getattr(self, name) == getattr(berth, name) for name in CONFIGURATION)


def configuration_of(berths: Sequence[Berth]) -> Configuration:
    """Of berths of one revision; at least one."""
    bought = {berth.capacity_type for berth in berths}
    shared = {name: getattr(berths[0], name) for name in CONFIGURATION}
    return Configuration(**shared, capacity_types=tuple(sorted(bought, key=lambda kind: kind.value)))


class Correction(Record):
    """What production taught about the capacity of what runs: seen over predicted, 1 where nothing was learned."""

    factor: float = 1.0
    samples: int = 0
    spread: float = 0.0
    """Standard deviation of the logarithm of single samples."""


class Observed(Record):
    """What production showed of a workload. What the spec states is the intent, and no placement is made for less:
    this is what right-sizing asks its question with."""

    at: datetime
    hours: float
    """Of the past that this rests on."""
    requests_per_second: float
    """The rate to hold: the percentile below of the means of five minutes."""
    percentile: float = 95
    burstiness: float | None = None
    """Squared coefficient of variation of the gaps between arrivals; None: not measured."""
    input_tokens: TokenLengths | None = None
    output_tokens: TokenLengths | None = None
    correction: Correction = Correction()
    """Of the capacity of a replica of what runs."""
    points: tuple[MeasuredPoint, ...] = ()
    """Latencies under load, as measured runs of what runs."""
    disagreement: str | None = None
    """In words, where model and world disagree by more than the model's band."""
    seconds_to_ready: float | None = None
    """From the request of a pod to its first answer, as measured."""
    evidence: Literal["measured", "calibrated"] = "measured"
    """calibrated: with a correction that enough samples agree on."""


class RunningBerth(Record):
    """A berth as it runs: ``berth.replicas`` is the count its Deployment asks for now, whoever set it."""

    berth: Berth
    ready_replicas: int
    nodes: tuple[str, ...] = ()
    """The node of each scheduled pod, one entry a pod, sorted."""


class Running(Record):
    """One revision of a workload that has Deployments in the cluster."""

    revision: str
    planned_for: str
    """The ``planning_hash`` of the spec that this revision was chosen for."""
    serving: bool
    """The workload's Service selects this revision."""
    berths: tuple[RunningBerth, ...]


class Scaling(Record):
    """How many replicas are asked for now, instead of what the stated rate needs: by the replica controller, or through
    the scale subresource."""

    replicas: int
    """Of the configuration that runs."""
    requests_per_second: float | None = None
    """The measured rate that this count is for; None: nobody measured."""
    target_utilization: float | None = None
    """Of what the replicas sustain, that the rate is to use; None: whoever scales does not say."""
    is_current: bool = True
    """False: the rate is not measured any more. The count stands, and nothing new is decided on the rate."""


class Workload(Record):
    key: str
    """``namespace/name``."""
    uid: str = ""
    generation: int = 0
    planning_hash: str
    """Of everything in the spec that a plan depends on; what runs stays while this is unchanged."""
    problem: Problem | None = None
    """The spec is not understood or not complete: it is not planned, and what runs keeps running."""
    model: Model | None = None
    backend: str
    maximum_context_tokens: int | None = None
    measured: tuple[MeasuredPoint, ...] = ()
    variants: tuple[Variant, ...]
    traffic: Traffic
    latency: tuple[LatencyObjective, ...] = ()
    quality: QualityObjective | None = None
    availability_percent: float | None = None
    """Of the time with enough replicas for the rate."""
    placement: Placement = Placement()
    priority: int = 0
    minimum_replicas: int = 1
    maximum_replicas: int = 20
    spot: SpotPolicy = SpotPolicy()
    budget_usd_per_month: Decimal | None = None
    carbon_grams_per_thousand_requests: float | None = None
    """The most that it may emit, CO2 equivalent."""
    resources: PodResources
    strategy: Literal["Switch", "Recreate"] = "Switch"
    running: tuple[Running, ...] = ()
    scaling: Scaling | None = None
    """Somebody follows the demand; None: the replicas are those that the stated rate needs."""
    observed: Observed | None = None
    """None: nobody measures it, or not for long enough."""
    right_sizing: RightSizing = RightSizing()
    move: Configuration | None = None
    """Where right-sizing moves it: it stays where it runs until there is room for both."""
    objective_broken: bool = False
    """A measured objective does not hold: the workload may move although its spec is unchanged."""
    remarks: tuple[Problem, ...] = ()
    """What is odd about what runs, though it can be planned: an annotation that nobody can read, say."""


# --- supply ------------------------------------------------------------------------------------------------------


class Node(Record):
    """A node of a pool. ``free`` counts what our own workloads hold as free: the plan places them anew.

    ``free_gpus`` are whole GPUs of the device plugin's main resource; ``free_slices`` MIG slices by profile.
    """

    name: str
    zone: str | None = None
    usable: bool = True
    """Ready and not cordoned; what runs on a node that is not usable may finish there, nothing new is placed."""
    gpus: int
    free_gpus: int
    free_slices: dict[str, int] = {}
    free_cpu_cores: float
    free_memory_bytes: int


class NodeShape(Record):
    """A node of this pool that does not exist yet."""

    cpu_cores: float
    memory_bytes: int


class Toleration(Record):
    """As in a pod spec; kept in the snapshot so that a manifest can be rendered from it alone."""

    key: str | None = None
    operator: Literal["Exists", "Equal"] = "Equal"
    value: str | None = None
    effect: str | None = None
    toleration_seconds: int | None = None


class SpotRisk(Record):
    interruptions_per_hour: float
    startup_seconds: float


class Pool(Record):
    """One kind of GPU supply."""

    name: str
    stated: bool = True
    """A GPUPool object; False: discovered from node labels."""
    gpu: GPUSpecification | None = None
    capacity_type: CapacityType
    gpus_per_node: int
    mig_layout: dict[str, int] = {}
    """Slices by profile per GPU; empty: whole GPUs."""
    node_shape: NodeShape | None = None
    maximum_nodes: int | None = None
    """What could be provisioned, existing nodes included; None: only what exists."""
    zones: tuple[str, ...] | None = None
    price: Price | None = None
    """Per node hour."""
    on_demand_price: Price | None = None
    """Of such a node at the same place on demand, where it is bought otherwise and the price book knows."""
    site: Site | None = None
    """Where it draws its power; None: not known."""
    spot: SpotRisk | None = None
    nodes: tuple[Node, ...] = ()
    node_labels: dict[str, str] = {}
    """What a pod's node affinity must ask for to land here."""
    tolerations: tuple[Toleration, ...] = ()
    problems: tuple[Problem, ...] = ()
    """Why it cannot be used: no known GPU, no price, contradictory nodes. Never empty without GPU or price."""
    remarks: tuple[Problem, ...] = ()
    """What is wrong with some of its nodes: they are left out, the rest of the pool can be used."""


class Policy(Record):
    """What the platform sets for every plan; each is a setting of the operator."""

    memory_margin_percent: float = 5.0
    """Kept free of GPU memory: a prediction that is a little low must not become an out-of-memory kill."""
    hours_per_month: Decimal = Decimal(730)
    price_old_after_days: Annotated[int, Field(ge=1)] = 180
    """A price of the book that is older stands in a band, which widens with every quarter of its age, and its costs
    say so. Shorter doubts list prices that have not moved for a year; longer trusts spot prices that moved long ago."""
    price_refused_after_days: Annotated[int, Field(ge=1)] | None = 730
    """A price that is older is none: its pool is not priced, and nothing is planned on it. ``null`` refuses none."""
    carbon_usd_per_tonne: Annotated[Decimal, Field(gt=0, le=100_000, allow_inf_nan=False)] | None = None
    """USD per tonne of CO2 equivalent, added to the cost when candidates are ranked, and to no cost that is told: a
    cleaner grid or a thriftier GPU then wins where it is dearer by less than this. A high price pays real money for
    emissions that nobody bills; ``null`` ranks by cost alone."""


class Snapshot(Record):
    kind: Literal["Snapshot"] = "Snapshot"
    time: datetime
    policy: Policy = Policy()
    workloads: tuple[Workload, ...] = ()
    pools: tuple[Pool, ...] = ()
    list_prices: tuple[ListPrice, ...] = ()
    """What GPUs are listed at where the fleet buys, by GPU: what savings are measured by, nothing is placed by them."""
