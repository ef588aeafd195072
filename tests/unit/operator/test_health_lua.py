"""What GitOps tools make of the statuses that the operator writes: Argo CD by our health scripts, Flux by kstatus."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from lupa import lua51

from berth_cost.hardware.gpu_catalogue import GPUCatalogue, GPUSpecification
from berth_cost.prices.book import Price
from berth_operator.api.conditions import Reason
from berth_operator.pool_report import Held, pool_status
from berth_operator.report import Obstacle, Progress, workload_status
from berth_operator.rollout import Phase, Running
from berth_scheduler.decision import Decision
from berth_scheduler.snapshot import (
    Berth,
    CapacityType,
    Node,
    PodResources,
    Pool,
    Problem,
    Sharing,
    Traffic,
    Variant,
    Workload,
)

GITOPS = Path(__file__).parents[3] / "docs" / "gitops"
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
GENERATION = 3

WORKLOAD = Workload(
    key="vision/resnet",
    uid="u",
    generation=GENERATION,
    planning_hash="h",
    backend="onnxruntime",
    variants=(Variant(precision="fp16"),),
    traffic=Traffic(requests_per_second=200),
    resources=PodResources(cpu_cores=1, memory_bytes=1),
)
BERTH = Berth(
    pool="l4",
    gpu="L4",
    sharing=Sharing.EXCLUSIVE,
    capacity_type=CapacityType.ON_DEMAND,
    precision="fp16",
    tensor_parallel=1,
    gpus_per_replica=1,
    instances_per_gpu=1,
    maximum_batch_size=16,
    maximum_queue_delay_microseconds=500,
    replicas=2,
)
PLACED = Decision(
    workload="vision/resnet", placed=True, reason="Placed", message="fits", berths=(BERTH,), decision_hash="d"
)
UNPLACED = PLACED.model_copy(update={"placed": False, "berths": ()})


def progress(phase: Phase, ready: int, **more: Any) -> Progress:
    return Progress(
        phase, "new", "new", deployments=(Running("resnet-new", "new", 2, ready),), names=("resnet-new",), **more
    )


def workload(decision: Decision, made: Progress, of: Workload = WORKLOAD) -> dict[str, Any]:
    metadata = {"name": "resnet", "namespace": "vision", "generation": GENERATION}
    return {"metadata": metadata, "spec": {}, "status": workload_status(of, decision, made, {}, NOW)}


def refused(reason: Reason) -> dict[str, Any]:
    problem = Problem(reason=reason, message="says what to do")
    return workload(UNPLACED, Progress(), WORKLOAD.model_copy(update={"problem": problem}))


def unplaced(reason: Reason) -> dict[str, Any]:
    return workload(UNPLACED.model_copy(update={"reason": reason.value}), progress(Phase.SETTLED, 2))


def failed(reason: Reason) -> dict[str, Any]:
    return workload(PLACED, progress(Phase.STARTING, 0, failed=Obstacle(reason, "says what to do")))


NEVER_SEEN = {"metadata": {"name": "resnet", "generation": 1}, "spec": {}}
READY = workload(PLACED, progress(Phase.SETTLED, 2))
EDITED = READY | {"metadata": READY["metadata"] | {"generation": GENERATION + 1}}
STARTING = workload(PLACED, progress(Phase.STARTING, 1))
CRASHING = workload(
    PLACED, progress(Phase.STARTING, 0, pods=Obstacle(Reason.PODS_FAILING, "resnet-new-x: CrashLoopBackOff"))
)
SWITCHING = workload(PLACED, replace(progress(Phase.SWITCHING, 1), serving="old"))
WAITING = workload(PLACED, replace(progress(Phase.WAITING, 0), serving="old"))
DRAINING = workload(PLACED, progress(Phase.DRAINING, 2))

WORKLOADS: dict[str, tuple[dict[str, Any], str, str]] = {
    # what it is: the object, kstatus, Argo CD
    "ready": (READY, "Current", "Healthy"),
    "ready, of an earlier spec": (EDITED, "InProgress", "Progressing"),
    "starting": (STARTING, "InProgress", "Progressing"),
    "switching": (SWITCHING, "InProgress", "Progressing"),
    "no room to switch": (WAITING, "InProgress", "Progressing"),
    "the old revision drains": (DRAINING, "Current", "Healthy"),
    "crashing": (CRASHING, "Failed", "Degraded"),
    "name taken": (failed(Reason.NAME_CONFLICT), "Failed", "Degraded"),
    "API server away": (failed(Reason.RETRYING), "InProgress", "Progressing"),
    "not placeable": (unplaced(Reason.NO_FEASIBLE_CANDIDATE), "Failed", "Degraded"),
    "capacity short": (unplaced(Reason.INSUFFICIENT_CAPACITY), "InProgress", "Progressing"),
    "unknown preset": (refused(Reason.UNKNOWN_PRESET), "Failed", "Degraded"),
    "claim not there yet": (refused(Reason.ARTEFACT_MISSING), "InProgress", "Progressing"),
    "never seen by the operator": (NEVER_SEEN, "Current", "Progressing"),
}


@pytest.mark.parametrize("situation", WORKLOADS)
def test_argo_cd_tells_what_is_done_from_what_needs_a_person(situation: str) -> None:
    thing, _, expected = WORKLOADS[situation]
    assert health("inferenceworkload", thing)["status"] == expected


@pytest.mark.parametrize("situation", WORKLOADS)
def test_flux_and_other_readers_of_kstatus_see_the_same(situation: str) -> None:
    thing, expected, _ = WORKLOADS[situation]
    assert kstatus(thing) == expected


def test_the_health_message_is_what_the_status_says_to_do() -> None:
    assert health("inferenceworkload", refused(Reason.UNKNOWN_PRESET))["message"] == "says what to do"
    assert "look at the newest spec" in health("inferenceworkload", NEVER_SEEN)["message"]


def test_a_condition_of_somebody_else_changes_nothing() -> None:
    paid = {
        "type": "Paid",
        "status": "False",
        "reason": "x",
        "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    thing = READY | {"status": READY["status"] | {"conditions": [paid, *READY["status"]["conditions"]]}}
    assert (health("inferenceworkload", thing)["status"], kstatus(thing)) == ("Healthy", "Current")


# --- pools -------------------------------------------------------------------------------------------------------


def gpu() -> GPUSpecification:
    found = GPUCatalogue.load_builtin().get("L4")
    assert isinstance(found, GPUSpecification)
    return found


POOL = Pool(
    name="l4",
    gpu=gpu(),
    capacity_type=CapacityType.ON_DEMAND,
    gpus_per_node=1,
    maximum_nodes=4,
    price=Price(usd_per_node_hour=Decimal("0.85"), source="price list", date=date(2026, 8, 3)),
    nodes=(Node(name="n", gpus=1, free_gpus=1, free_cpu_cores=4, free_memory_bytes=2**33),),
)


def pool(spec: Mapping[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    found = pool_status(POOL.model_copy(update=more), Held(), GENERATION, {}, NOW)
    return {"metadata": {"name": "l4", "generation": GENERATION}, "spec": dict(spec or {}), "status": found}


def problem(reason: Reason) -> dict[str, Any]:
    return {"problems": (Problem(reason=reason, message="says what to do"),)}


POOLS: dict[str, tuple[dict[str, Any], str]] = {
    "priced, with nodes": (pool(), "Healthy"),
    "priced, scaled to zero": (pool(nodes=()), "Healthy"),
    "price to be read from nodes that are not there": (pool(nodes=(), price=None), "Progressing"),
    "price not in the book": (pool({"price": {}}, nodes=(), price=None, **problem(Reason.NO_PRICE)), "Degraded"),
    "contradictory nodes": (pool(**problem(Reason.CONTRADICTORY_NODES)), "Degraded"),
    "unknown GPU": (pool(nodes=(), **problem(Reason.UNKNOWN_GPU)), "Degraded"),
    "never seen by the operator": (NEVER_SEEN, "Progressing"),
    "edited": (pool() | {"metadata": {"name": "l4", "generation": GENERATION + 1}}, "Progressing"),
}


@pytest.mark.parametrize("situation", POOLS)
def test_argo_cd_waits_for_no_node_and_complains_about_what_cannot_be_planned_with(situation: str) -> None:
    thing, expected = POOLS[situation]
    assert health("gpupool", thing)["status"] == expected


# --- the readers -------------------------------------------------------------------------------------------------


def health(kind: str, thing: Mapping[str, Any]) -> dict[str, str]:
    """As Argo CD runs the script: Lua 5.1, the object as the global ``obj``."""
    lua = lua51.LuaRuntime(unpack_returned_tuples=True)
    lua.globals().obj = lua.table_from(thing, recursive=True)
    return dict(lua.execute((GITOPS / f"health-{kind}.lua").read_text(encoding="utf-8")))


def kstatus(thing: Mapping[str, Any]) -> str:
    """The order of sigs.k8s.io/cli-utils, pkg/kstatus, for a kind that it knows nothing else about (2026-05)."""
    metadata, status = thing["metadata"], thing.get("status") or {}
    says = {each["type"]: each["status"] for each in status.get("conditions") or ()}
    if "deletionTimestamp" in metadata:
        return "Terminating"
    if "observedGeneration" in status and status["observedGeneration"] != metadata["generation"]:
        return "InProgress"
    if says.get("Reconciling") == "True":
        return "InProgress"
    if says.get("Stalled") == "True":
        return "Failed"
    return "InProgress" if says.get("Ready") in ("False", "Unknown") else "Current"
