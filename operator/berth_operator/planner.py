"""The plan of the whole fleet, made again when something changed: batched, in a thread, one at a time.

Capacity is shared, so one change may move many workloads. Changes are collected until nothing happened for a second
(ten at most), then the mirrors become a snapshot and the snapshot a plan, in a worker thread: the event loop goes on
renewing the Lease and answering probes. What a workload's newest decision is, is all that is kept.
"""

import asyncio
import gc
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from berth_operator.catalogues import Catalogues
from berth_operator.gather import gather
from berth_operator.pool_report import Held
from berth_operator.right_sizing import Review, RightSizer
from berth_operator.saving_report import told_savings
from berth_operator.spending.running_cost import RunningFleet, running_fleet
from berth_operator.world import World
from berth_scheduler.decision import Decision
from berth_scheduler.plan import plan
from berth_scheduler.right_sizing.course import Course
from berth_scheduler.snapshot import Policy, Pool, Snapshot, Toleration, Workload

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Planned:
    """The newest decision about one workload, and the workload that it is about."""

    decision: Decision
    """Without the rejected candidates, which are many, and the savings that no status tells, which come and go with
    the pods: whoever asks for them plans again."""
    workload: Workload
    """As it was planned, without what ran then."""
    course: Course | None = None
    """What right-sizing says about it."""


@dataclass(frozen=True, slots=True)
class SeenPool:
    pool: Pool
    held: Held


@dataclass(frozen=True, slots=True)
class Result:
    """One plan, reduced to what is needed later."""

    planned: Mapping[str, Planned]
    pools: Mapping[str, SeenPool]
    running: RunningFleet | None = None
    """What is paid for while this is the newest plan; None before the first."""
    review: Review | None = None
    """What right-sizing found; None before its first look."""


@dataclass(frozen=True, slots=True)
class Batching:
    """When collected changes are planned. A short idle time answers sooner, a long one plans a burst once."""

    idle_seconds: float = 1.0
    longest_seconds: float = 10.0
    rest_factor: float = 1.0
    """A plan that took t seconds is followed by at least t × this of rest: planning never takes a core for long."""


def make_plan(
    world: World,
    catalogues: Catalogues,
    *,
    policy: Policy,
    tolerations: tuple[Toleration, ...],
    now: datetime,
    right_sizer: RightSizer | None = None,
) -> Result:
    """Gather, plan, review and reduce; slow for a large fleet. ``tolerations`` are those that every pod gets."""
    observed = right_sizer.known_traffic(world, now) if right_sizer else {}
    snapshot = gather(world, catalogues, time=now, policy=policy, tolerations=tolerations, observed=observed)
    if right_sizer is None:
        return reduce(snapshot, plan(snapshot).decisions)
    snapshot = right_sizer.direct(snapshot, world)
    planned = plan(snapshot)
    return reduce(snapshot, planned.decisions, right_sizer.review(snapshot, planned, world, now))


def reduce(snapshot: Snapshot, decisions: Iterable[Decision], review: Review | None = None) -> Result:
    """What the operator keeps of a plan."""
    courses = review.advance.courses if review else {}
    workloads = {each.key: each for each in snapshot.workloads}
    held = _held(snapshot.workloads)
    planned = {
        each.workload: Planned(
            each.model_copy(update={"rejected": (), "savings": told_savings(each)}),
            workloads[each.workload].model_copy(update={"running": (), "measured": (), "observed": None}),
            courses.get(each.workload),
        )
        for each in decisions
    }
    pools = {pool.name: SeenPool(pool, held.get(pool.name, Held())) for pool in snapshot.pools}
    return Result(planned, pools, running_fleet(snapshot), review)


def _held(workloads: Iterable[Workload]) -> dict[str, Held]:
    """What the pods of all workloads hold, by pool."""
    gpus: Counter[str] = Counter()
    slices: dict[str, Counter[str]] = {}
    for running in (each for workload in workloads for revision in workload.running for each in revision.berths):
        berth, pods = running.berth, len(running.nodes)
        if berth.mig_profile is None:
            gpus[berth.pool] += pods * round(berth.gpus_per_replica)
        else:
            slices.setdefault(berth.pool, Counter())[berth.mig_profile] += pods
    return {pool: Held(gpus[pool], dict(slices.get(pool, {}))) for pool in gpus.keys() | slices.keys()}


class Planner:
    """``world`` gives the mirrors' content as it is now; ``changed`` is told the keys whose plan changed, and pools."""

    def __init__(
        self,
        world: Callable[[], World],
        plan_world: Callable[[World], Result],
        changed: Callable[[set[str], set[str]], None],
        *,
        batching: Batching = Batching(),
        observe: Callable[[float, Result | None], None] = lambda seconds, result: None,
    ) -> None:
        self._world = world
        self._plan_world = plan_world
        self._changed = changed
        self._batching = batching
        self._observe = observe
        self._dirty = asyncio.Event()
        self._dirty.set()
        self._marked_at = float("-inf")  # the first plan waits for nothing: everything was just read
        self._asked_at: float | None = None
        self._result = Result({}, {})
        self.attempted = asyncio.Event()
        """The first plan was made, or failed."""
        self.started_at: float | None = None
        """When the plan under way began, on the event loop's clock; None while there is none."""

    @property
    def newest(self) -> Result:
        """The newest plan; empty before the first."""
        return self._result

    def mark(self, *, asked: bool = False) -> None:
        """Something that a plan depends on changed. ``asked``: somebody changed a spec, and waits for the answer; pods
        that come and go meanwhile do not put it off."""
        self._marked_at = _now()
        self._asked_at = self._marked_at if asked else self._asked_at
        self._dirty.set()

    async def run(self) -> None:
        """Plan at once, then whenever something was marked; never returns."""
        while True:
            await self._dirty.wait()
            await self._settle()
            self._dirty.clear()
            self._asked_at = None
            began = _now()
            try:
                await self._plan()
            except Exception:
                # A bug in planning must not end the operator: what runs keeps running, and the next change tries again.
                log.exception("plan.failed")
                self._observe(_now() - began, None)
                asyncio.get_running_loop().call_later(self._batching.longest_seconds, self.mark)
            self.attempted.set()
            await asyncio.sleep((_now() - began) * self._batching.rest_factor)

    async def _settle(self) -> None:
        """Wait until nothing was marked for the idle time, but no longer than the longest time."""
        latest = _now() + self._batching.longest_seconds
        while (left := min(self._last_news() + self._batching.idle_seconds, latest) - _now()) > 0:
            await asyncio.sleep(left)

    def _last_news(self) -> float:
        return self._marked_at if self._asked_at is None else self._asked_at

    async def _plan(self) -> None:
        self.started_at = _now()
        # A plan makes very many objects and no cycles: a collection meanwhile would walk all mirrors for nothing.
        gc.disable()
        try:
            result = await asyncio.to_thread(self._plan_world, self._world())
        finally:
            gc.enable()
            seconds, self.started_at = _now() - self.started_at, None
        before, self._result = self._result, result
        keys = _different(before.planned, result.planned)
        pools = _different(before.pools, result.pools)
        self._observe(seconds, result)
        if result.review is not None and result.review.moves:
            self.mark()
        placed = sum(each.decision.placed for each in result.planned.values())
        log.info("plan", seconds=round(seconds, 3), workloads=len(result.planned), placed=placed, changed=len(keys))
        self._changed(keys, pools)


def _different(before: Mapping[str, object], after: Mapping[str, object]) -> set[str]:
    return {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}


def _now() -> float:
    return asyncio.get_running_loop().time()


def utc_now() -> datetime:
    """The time of a snapshot: it dates prices and is printed, no duration is measured by it."""
    return datetime.fromtimestamp(int(time.time()), UTC)
