"""Changes are batched, one plan runs at a time, the event loop is never blocked, and a defect does not end it."""

import asyncio
import gc
import time
from typing import Any

import pytest

from berth_operator.planner import Batching, Planned, Planner, Result, reduce
from berth_operator.world import World
from berth_scheduler.decision import Constraint, Decision, Rejection
from berth_scheduler.snapshot import (
    Berth,
    CapacityType,
    PodResources,
    Running,
    RunningBerth,
    Sharing,
    Snapshot,
    Traffic,
    Variant,
    Workload,
)


def planned(key: str, reason: str = "Placed") -> Planned:
    workload = Workload(
        key=key,
        planning_hash="h",
        backend="onnxruntime",
        variants=(Variant(precision="fp16"),),
        traffic=Traffic(requests_per_second=1),
        resources=PodResources(cpu_cores=1, memory_bytes=1),
    )
    return Planned(Decision(workload=key, placed=True, reason=reason, message="", decision_hash=reason), workload)


class Fleet:
    """A planner whose plans are by script; records when each began and what was told."""

    def __init__(self, **batching: float) -> None:
        self.results: list[Any] = []
        self.ended: list[float] = []
        self.told: list[set[str]] = []
        self.failures = 0
        self.planner = Planner(
            World,
            self.plan,
            lambda keys, pools: self.told.append(keys),
            batching=Batching(**batching),
            observe=self.observe,
        )

    def plan(self, world: World) -> Result:
        result = self.results.pop(0) if self.results else Result({}, {})
        if isinstance(result, Exception):
            raise result
        return result

    def observe(self, seconds: float, result: Result | None) -> None:
        self.ended.append(asyncio.get_running_loop().time())
        self.failures += result is None


async def running(fleet: Fleet) -> asyncio.Task[None]:
    """The planner after its first plan, which is forgotten."""
    task = asyncio.create_task(fleet.planner.run())
    await fleet.planner.attempted.wait()
    await asyncio.sleep(1)
    fleet.ended.clear()
    fleet.told.clear()
    return task


@pytest.mark.looptime
async def test_the_first_plan_waits_for_nothing() -> None:
    fleet = Fleet()
    task = asyncio.create_task(fleet.planner.run())
    async with asyncio.timeout(0.1):
        await fleet.planner.attempted.wait()
    task.cancel()


@pytest.mark.looptime
async def test_a_burst_of_changes_is_planned_once_when_it_ends() -> None:
    fleet = Fleet()
    task = await running(fleet)
    started = asyncio.get_running_loop().time()
    for _ in range(10):
        fleet.planner.mark()
        await asyncio.sleep(0.3)
    await asyncio.sleep(5)
    assert [round(at - started, 1) for at in fleet.ended] == [3.7]
    task.cancel()


@pytest.mark.looptime
async def test_a_restless_cluster_is_planned_every_ten_seconds() -> None:
    fleet = Fleet()
    task = await running(fleet)
    started = asyncio.get_running_loop().time()
    for _ in range(60):
        fleet.planner.mark()
        await asyncio.sleep(0.5)
    assert [round(at - started) for at in fleet.ended] == [10, 20, 30][: len(fleet.ended)]
    assert len(fleet.ended) >= 2
    task.cancel()


@pytest.mark.looptime
async def test_a_changed_spec_is_not_put_off_by_pods_that_come_and_go() -> None:
    fleet = Fleet()
    task = await running(fleet)
    started = asyncio.get_running_loop().time()
    fleet.planner.mark(asked=True)
    for _ in range(4):
        await asyncio.sleep(0.4)
        fleet.planner.mark()
    await asyncio.sleep(5)
    assert [round(at - started, 1) for at in fleet.ended] == [1.0, 2.6]
    task.cancel()


@pytest.mark.looptime
async def test_a_burst_of_changed_specs_is_planned_once_when_it_ends() -> None:
    fleet = Fleet()
    task = await running(fleet)
    started = asyncio.get_running_loop().time()
    for _ in range(10):
        fleet.planner.mark(asked=True)
        await asyncio.sleep(0.3)
    await asyncio.sleep(5)
    assert [round(at - started, 1) for at in fleet.ended] == [3.7]
    task.cancel()


@pytest.mark.looptime
async def test_without_changes_nothing_is_planned() -> None:
    fleet = Fleet()
    task = await running(fleet)
    await asyncio.sleep(3600)
    assert fleet.ended == []
    task.cancel()


@pytest.mark.looptime
async def test_only_keys_whose_plan_changed_are_told() -> None:
    fleet = Fleet()
    one, two = planned("a/one"), planned("a/two")
    fleet.results = [
        Result({"a/one": one, "a/two": two}, {}),
        Result({"a/one": one, "a/two": planned("a/two", "Kept")}, {}),
        Result({"a/one": one}, {}),
    ]
    task = asyncio.create_task(fleet.planner.run())
    for _ in range(3):
        await asyncio.sleep(5)
        fleet.planner.mark()
    assert fleet.told == [{"a/one", "a/two"}, {"a/two"}, {"a/two"}]
    assert set(fleet.planner.newest.planned) == {"a/one"}
    task.cancel()


@pytest.mark.looptime
async def test_a_defect_in_planning_keeps_the_last_plan_and_is_tried_again() -> None:
    fleet = Fleet()
    fleet.results = [Result({"a/one": planned("a/one")}, {}), KeyError("defect"), Result({}, {})]
    task = asyncio.create_task(fleet.planner.run())
    await asyncio.sleep(3)
    fleet.planner.mark()
    await asyncio.sleep(3)
    assert (fleet.failures, set(fleet.planner.newest.planned)) == (1, {"a/one"})
    await asyncio.sleep(15)
    assert fleet.planner.newest.planned == {}
    task.cancel()


async def test_garbage_waits_for_the_end_of_a_plan_also_of_one_that_fails() -> None:
    fleet = Fleet(idle_seconds=0)
    collecting: list[bool] = []
    plan = fleet.plan

    def watched(world: World) -> Result:
        collecting.append(gc.isenabled())
        return plan(world)

    fleet.results = [RuntimeError("a defect")]
    fleet.planner._plan_world = watched
    task = asyncio.create_task(fleet.planner.run())
    await fleet.planner.attempted.wait()
    assert (collecting, gc.isenabled()) == ([False], True)
    task.cancel()


async def test_a_slow_plan_does_not_block_the_event_loop_and_no_second_one_starts_beside_it() -> None:
    running = 0

    def slow(world: World) -> Result:
        nonlocal running
        running += 1
        assert running == 1
        time.sleep(0.3)
        running -= 1
        return Result({}, {})

    planner = Planner(World, slow, lambda keys, pools: None, batching=Batching(0.01, 0.02, 0))
    task = asyncio.create_task(planner.run())
    planner.mark()
    await asyncio.sleep(0.1)
    assert planner.started_at is not None
    longest = 0.0
    for _ in range(30):
        began = time.monotonic()
        planner.mark()
        await asyncio.sleep(0.01)
        longest = max(longest, time.monotonic() - began)
    assert longest < 0.2
    task.cancel()
    while running:
        await asyncio.sleep(0.05)


def test_what_is_kept_of_a_plan_leaves_out_rejected_candidates_and_counts_what_is_held() -> None:
    berth = Berth(
        pool="l4",
        gpu="L4",
        sharing=Sharing.EXCLUSIVE,
        capacity_type=CapacityType.ON_DEMAND,
        precision="fp16",
        tensor_parallel=2,
        gpus_per_replica=2,
        instances_per_gpu=1,
        maximum_batch_size=1,
        maximum_queue_delay_microseconds=0,
        replicas=3,
    )
    slice_ = berth.model_copy(update={"mig_profile": "1g.10gb", "sharing": Sharing.MIG, "gpus_per_replica": 1 / 7})
    running = Running(
        revision="r",
        planned_for="h",
        serving=True,
        berths=(
            RunningBerth(berth=berth, ready_replicas=2, nodes=("n1", "n2")),
            RunningBerth(berth=slice_, ready_replicas=1, nodes=("n1",)),
        ),
    )
    workload = planned("a/one").workload.model_copy(update={"running": (running,)})
    rejection = Rejection(constraint=Constraint.COST, message="dearer")
    decision = planned("a/one").decision.model_copy(update={"rejected": (rejection,)})
    snapshot = Snapshot.model_construct(workloads=(workload,), pools=())
    result = reduce(snapshot, [decision])
    assert result.planned["a/one"].decision.rejected == ()
    assert result.planned["a/one"].workload.running == ()
    snapshot = Snapshot.model_construct(workloads=(workload,), pools=(named_pool("l4"),))
    held = reduce(snapshot, [decision]).pools["l4"].held
    assert (held.gpus, dict(held.slices)) == (4, {"1g.10gb": 1})


def named_pool(name: str) -> Any:
    from berth_scheduler.snapshot import Pool

    return Pool(name=name, capacity_type=CapacityType.ON_DEMAND, gpus_per_node=2)
