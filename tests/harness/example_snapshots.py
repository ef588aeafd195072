"""Small snapshots for tests: real GPUs and models of the catalogues, round prices that a person can check by hand."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from berth_cost.cases.case import Dense, Model, Transformer
from berth_cost.hardware.gpu_catalogue import GPUCatalogue, GPUSpecification
from berth_cost.prices.book import Price
from berth_scheduler.decision import Decision, Plan
from berth_scheduler.snapshot import (
    Berth,
    CapacityType,
    LatencyObjective,
    Node,
    NodeShape,
    PodResources,
    Pool,
    Running,
    RunningBerth,
    Snapshot,
    TokenLengths,
    Traffic,
    Variant,
    Workload,
)

TIME = datetime(2026, 11, 2, 12, tzinfo=UTC)
GIB = 2**30

RESNET = Model(
    name="resnet50",
    dense=Dense(
        parameters=25.6e6,
        flops_per_inference=8.2e9,
        activation_bytes_per_inference=44.4e6,
        input_bytes_per_inference=602112,
        output_bytes_per_inference=4000,
        family="cnn",
    ),
)
BERT = Model(
    name="bert-large",
    dense=Dense(
        parameters=334e6,
        flops_per_inference=246e9,
        activation_bytes_per_inference=400e6,
        input_bytes_per_inference=9216,
        output_bytes_per_inference=3072,
        family="transformer",
    ),
)
LLAMA_8B = Model(
    name="llama-8b",
    transformer=Transformer(
        parameters=8.03e9,
        layers=32,
        hidden_size=4096,
        intermediate_size=14336,
        attention_heads=32,
        key_value_heads=8,
        head_size=128,
        vocabulary_size=128256,
    ),
)
LLAMA_70B = Model(
    name="llama-70b",
    transformer=Transformer(
        parameters=70.6e9,
        layers=80,
        hidden_size=8192,
        intermediate_size=28672,
        attention_heads=64,
        key_value_heads=8,
        head_size=128,
        vocabulary_size=128256,
    ),
)


def gpu(name: str) -> GPUSpecification:
    found = GPUCatalogue.load_builtin().get(name)
    assert isinstance(found, GPUSpecification), found
    return found


def node(name: str, gpus: int = 1, **changes: Any) -> Node:
    """A free node with plenty of CPU and memory."""
    stated = {"gpus": gpus, "free_gpus": gpus, "free_cpu_cores": 64.0, "free_memory_bytes": 512 * GIB}
    return Node(name=name, **{**stated, **changes})


def pool(name: str, gpu_name: str, usd_per_node_hour: str, *, nodes: int = 0, **changes: Any) -> Pool:
    """On demand, one GPU a node, ``nodes`` free nodes and nothing more to come, unless changed."""
    gpus = changes.get("gpus_per_node", 1)
    layout = changes.get("mig_layout", {})
    made = tuple(
        node(
            f"{name}-{index}",
            gpus,
            free_gpus=0 if layout else gpus,
            free_slices={profile: count * gpus for profile, count in layout.items()},
        )
        for index in range(nodes)
    )
    stated = {
        "capacity_type": CapacityType.ON_DEMAND,
        "gpus_per_node": 1,
        "gpu": gpu(gpu_name),
        "nodes": made,
        "node_shape": NodeShape(cpu_cores=64.0, memory_bytes=512 * GIB),
        "price": Price(usd_per_node_hour=Decimal(usd_per_node_hour), source="stated", date=date(2026, 11, 2)),
    }
    return Pool(name=name, **{**stated, **changes})


def p99(milliseconds: float) -> tuple[LatencyObjective, ...]:
    return (LatencyObjective(metric="latencySeconds", statistic="p99", limit_seconds=milliseconds / 1000),)


def vision(key: str = "vision/resnet", rate: float = 10.0, **changes: Any) -> Workload:
    """A ResNet-50 in fp16, so lightly loaded and with so loose an objective (p99 200 ms) that any one GPU will do,
    however the performance model is fitted."""
    stated = {
        "planning_hash": "a",
        "model": RESNET,
        "backend": "onnxruntime",
        "variants": (Variant(precision="fp16"),),
        "traffic": Traffic(requests_per_second=rate),
        "latency": p99(200),
        "resources": PodResources(cpu_cores=1.0, memory_bytes=2 * GIB),
    }
    return Workload(key=key, **{**stated, **changes})


def chat(key: str = "chat/llama8b", rate: float = 2.0, **changes: Any) -> Workload:
    """Llama 8B in bf16 on vLLM with objectives on the first and on every further token."""
    stated = {
        "planning_hash": "a",
        "model": LLAMA_8B,
        "backend": "vllm",
        "variants": (Variant(precision="bf16"),),
        "traffic": Traffic(
            requests_per_second=rate, input_tokens=TokenLengths(mean=512), output_tokens=TokenLengths(mean=128)
        ),
        "latency": (
            LatencyObjective(metric="timeToFirstTokenSeconds", statistic="p95", limit_seconds=1.0),
            LatencyObjective(metric="timePerOutputTokenSeconds", statistic="p95", limit_seconds=0.1),
        ),
        "resources": PodResources(cpu_cores=4.0, memory_bytes=16 * GIB),
    }
    return Workload(key=key, **{**stated, **changes})


def snapshot(workloads: Any, pools: Any, **changes: Any) -> Snapshot:
    return Snapshot(**{"time": TIME, "workloads": tuple(workloads), "pools": tuple(pools), **changes})


def decision(plan: Plan, key: str | None = None) -> Decision:
    """The decision of a workload; the only one where no key is given."""
    found = [one for one in plan.decisions if key in (None, one.workload)]
    assert len(found) == 1, [one.workload for one in plan.decisions]
    return found[0]


def now_running(workload: Workload, berths: tuple[Berth, ...], pools: Any, **changes: Any) -> Workload:
    """The workload once its berths run: a serving revision, its pods spread over the first free nodes of each pool."""
    by_name = {one.name: one for one in pools}
    running = []
    for berth in berths:
        nodes = by_name[berth.pool].nodes
        units = berth.tensor_parallel
        seats = [one.name for one in nodes for _ in range(_seats(one, berth) // units)]
        running.append(RunningBerth(berth=berth, ready_replicas=berth.replicas, nodes=tuple(seats[: berth.replicas])))
    revision = {"revision": "11111111", "planned_for": workload.planning_hash, "serving": True}
    return workload.model_copy(update={"running": (Running(**{**revision, **changes}, berths=tuple(running)),)})


def _seats(one: Node, berth: Berth) -> int:
    return one.free_slices.get(berth.mig_profile, 0) if berth.mig_profile else one.free_gpus
