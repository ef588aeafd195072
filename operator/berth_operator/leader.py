"""What the leader runs: mirrors and their watches, the planner, the queue and its workers, resync and relists.

Built when the Lease is taken, so that a standby holds no watch and no copy of the cluster.
"""

import asyncio
import gc
import random
from collections.abc import Callable, Coroutine, Mapping
from datetime import datetime
from typing import Any

import structlog

from berth_operator import kinds
from berth_operator.autoscaling.fleet_autoscaler import FleetAutoscaler
from berth_operator.catalogues import Catalogues
from berth_operator.config_map_watch import ConfigMapWatch
from berth_operator.credentials import Credentials
from berth_operator.errors import BerthmasterError, LostLeadership
from berth_operator.events import News, Recorder
from berth_operator.health import Vitals
from berth_operator.kinds import Kind
from berth_operator.kube import Kube
from berth_operator.measurements import referred_to
from berth_operator.metrics import Metrics
from berth_operator.mirror import Change, Entry, Mirror
from berth_operator.observer import Observer
from berth_operator.planner import Batching, Planner, Result, make_plan, utc_now
from berth_operator.projection import has_gpus
from berth_operator.reconcile import PATIENCE, Outcome, Reconciler
from berth_operator.right_sizing import RightSizer
from berth_operator.routing import POOL_PREFIX, key_of, meaning
from berth_operator.settings import Settings
from berth_operator.signals.fleet_expectation import FleetExpectation
from berth_operator.signals.prometheus_source import PrometheusSource
from berth_operator.spending.accountant import Accountant
from berth_operator.spending.ledger_store import LedgerStore
from berth_operator.watch import Edge
from berth_operator.workqueue import Backoff, Cause, Item, QueueClosed, WorkQueue, resync
from berth_operator.world import World, text
from berth_scheduler.right_sizing.assessment import ChangeOver
from berth_scheduler.right_sizing.course import Pace
from berth_scheduler.snapshot import Observed

log = structlog.get_logger()

CLUSTER_WIDE = (kinds.POOL, kinds.NODE, kinds.VOLUME, kinds.POD)
"""Read in the whole cluster also where only some namespaces are looked after: supply is shared."""
IN_NAMESPACES = (kinds.WORKLOAD, kinds.CLAIM, *kinds.CHILDREN)
OBSERVE_SECONDS = 30.0
"""Between samples of measured demand: means of five minutes are made of them."""
MEASURED_SECONDS = 120.0
"""For how long a measured rate is taken for the present one when cost is judged."""
SYNC_RETRY_SECONDS = 5.0
LISTS_AT_ONCE = 3
"""While one answer is read, the API server writes the next; more would hold more of the cluster in memory twice."""
FIRST_READ_SECONDS = 10.0
"""How long the first plan waits for ConfigMaps of measured runs; without them their workloads are not planned."""
STOP_SECONDS = 5.0


class Leader:
    """``instance`` names this process in Events."""

    def __init__(
        self,
        kube: Kube,
        credentials: Credentials,
        settings: Settings,
        *,
        catalogues: Catalogues,
        metrics: Metrics,
        instance: str,
    ) -> None:
        self._kube = kube
        self._credentials = credentials
        self._settings = settings
        self._metrics = metrics
        namespaces = settings.watch_namespaces
        self._mirrors = {kind: Mirror(kind, self._heard) for kind in CLUSTER_WIDE}
        self._mirrors |= {kind: Mirror(kind, self._heard, namespaces=namespaces) for kind in IN_NAMESPACES}
        self._watched: set[Kind] = set()
        self._edges: list[Edge] = []
        reconcile = settings.reconcile
        # Streams that stay open have a session of their own: they would use up the connections of requests.
        self._streams = credentials.session(connections=0)
        self._config_maps = ConfigMapWatch(
            Kube(self._streams, fence=lambda: False, observe=metrics.observe_request), self._config_map_changed
        )
        self._queue = WorkQueue(Backoff(reconcile.first_retry_seconds, reconcile.last_retry_seconds))
        planning = settings.planning
        self._observer = Observer(self._remembered)
        self._right_sizer = right_sizer_of(
            settings,
            None if settings.prometheus.url is None else lambda: self._observer.observed(self._planner.newest.planned),
        )
        self._planner = Planner(
            self._world,
            lambda world: make_plan(
                world,
                catalogues,
                policy=settings.policy,
                tolerations=settings.platform.extra_tolerations,
                now=utc_now(),
                right_sizer=self._right_sizer,
            ),
            self._planned,
            batching=Batching(planning.idle_seconds, planning.longest_seconds, planning.rest_factor),
            observe=self._observe_plan,
        )
        clock = asyncio.get_running_loop().time
        self._recorder = Recorder(kube, instance=instance, clock=clock, now=utc_now, dropped=metrics.events_dropped.inc)
        self._accountant = Accountant(
            LedgerStore(kube, namespace=settings.lease.home, name=f"{settings.lease.name}-spending"),
            lambda: self._planner.newest,
            utc_now,
            metrics.spending,
            planned=self._planner.attempted,
            namespace_budgets=settings.spending.namespace_budgets_usd_per_month,
            look_again=lambda key: self._queue.add(key, Cause.SPENDING),
            tell=self._tell_spending,
            measured=None if settings.prometheus.url is None else self._measured_rates,
        )
        self._signals: PrometheusSource | None = None
        self._autoscaler: FleetAutoscaler | None = None
        if settings.prometheus.url is not None:
            expectation = FleetExpectation(self._mirrors, self._backend_of)
            self._signals = PrometheusSource(settings, expectation, observe=metrics.observe_reading)
            self._autoscaler = FleetAutoscaler(
                self._signals,
                self._mirrors,
                lambda: self._planner.newest,
                changed=self._measured,
                observe=metrics.observe_tick,
                tick_seconds=settings.autoscaling.tick_seconds,
            )
        self._reconciler = Reconciler(
            kube,
            self._mirrors,
            lambda: self._planner.newest,
            settings.platform,
            recorder=self._recorder,
            clock=clock,
            now=utc_now,
            has_pod_monitor=lambda: kinds.POD_MONITOR in self._watched,
            money=self._accountant,
            views=None if self._autoscaler is None else self._autoscaler.view,
            observations=self._observer.memory,
        )

    async def run(self) -> None:
        """Lead until cancelled; raises LostLeadership."""
        try:
            await self._sync()
            await self._accountant.restore()
            await self._lead()
        finally:
            if self._signals is not None:
                self._signals.close()
            await self._config_maps.close()
            await self._streams.close()

    async def _lead(self) -> None:
        settings = self._settings.reconcile
        everlasting: list[Coroutine[Any, Any, None]] = [
            self._planner.run(),
            self._watch(),
            self._recorder.run(),
            self._accountant.run(),
            self._relist(),
            self._review(),
            resync(self._queue, self._keys, settings.resync_seconds),
            *([] if self._autoscaler is None else [self._follow_demand(self._autoscaler)]),
            *([] if self._autoscaler is None else [self._observe_demand(self._autoscaler)]),
            *(self._work() for _ in range(settings.workers)),
        ]
        tasks = [asyncio.create_task(each) for each in everlasting]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
        finally:
            for edge in self._edges:
                edge.stop()
            self._queue.close()
            await asyncio.wait(tasks[-settings.workers :], timeout=STOP_SECONDS)
            for task in tasks:
                task.cancel()

    def vitals(self, loop_lag_seconds: float, answered_seconds_ago: float) -> Vitals:
        """What the probes judge."""
        began = self._planner.started_at
        return Vitals(
            loop_lag_seconds,
            answered_seconds_ago,
            self._queue.oldest_seconds(),
            None if began is None else asyncio.get_running_loop().time() - began,
            all(edge.alive for edge in self._edges),
        )

    def measure(self) -> None:
        """Bring the gauges up to date."""
        self._metrics.queue_depth.set(self._queue.depth)
        self._metrics.queue_oldest.set(self._queue.oldest_seconds())
        self._metrics.queue_retrying.set(self._queue.retrying)
        for kind, mirror in self._mirrors.items():
            self._metrics.mirror_objects.labels(kind.name).set(len(mirror))

    # --- what there is -------------------------------------------------------------------------------------------

    async def _sync(self) -> None:
        """List every kind once: what is decided before that would be decided on half a cluster."""
        some = asyncio.Semaphore(LISTS_AT_ONCE)
        await asyncio.gather(*(self._list(mirror, some) for mirror in self._mirrors.values()))
        self._follow_config_maps()
        await self._config_maps.read_once(FIRST_READ_SECONDS)
        log.info("sync.done", **{kind.plural: len(mirror) for kind, mirror in self._mirrors.items()})

    async def _list(self, mirror: Mirror, some: asyncio.Semaphore) -> None:
        """List a kind that is served, as often as it takes. Raises LostLeadership."""
        while True:
            try:
                async with some:
                    if mirror.kind is not kinds.POD_MONITOR or await self._kube.serves(mirror.kind):
                        await mirror.relist(self._kube)
                        self._watched.add(mirror.kind)
                return
            except LostLeadership:
                raise
            except BerthmasterError as error:
                log.warning("sync.waiting", kind=mirror.kind.name, error=str(error))
                await asyncio.sleep(SYNC_RETRY_SECONDS)

    async def _watch(self) -> None:
        """Begin to watch after the first plan, which it would slow down; what changed meanwhile its own list shows."""
        await self._planner.attempted.wait()
        watched = [self._mirrors[kind] for kind in (*CLUSTER_WIDE, *IN_NAMESPACES) if kind in self._watched]
        namespaces = self._settings.watch_namespaces
        if namespaces:
            shared = [mirror for mirror in watched if mirror.kind in CLUSTER_WIDE]
            own = [mirror for mirror in watched if mirror.kind not in CLUSTER_WIDE]
            self._edges = [Edge(self._credentials, shared), Edge(self._credentials, own, namespaces)]
        else:
            self._edges = [Edge(self._credentials, watched)]
        for edge in self._edges:
            edge.start()

    async def _relist(self) -> None:
        """List each kind anew from time to time, one after the other; never returns."""
        period = self._settings.reconcile.relist_seconds
        while True:
            for mirror in self._mirrors.values():
                await asyncio.sleep(period / len(self._mirrors) * (0.8 + 0.4 * random.random()))  # noqa: S311
                try:
                    if mirror.kind not in self._watched:
                        await self._welcome(mirror)
                        continue
                    repaired = await mirror.relist(self._kube)
                except LostLeadership:
                    raise
                except BerthmasterError as error:
                    log.warning("relist.failed", kind=mirror.kind.name, error=str(error))
                    continue
                self._metrics.mirror_repairs.labels(mirror.kind.name).inc(repaired)

    async def _observe_demand(self, autoscaler: FleetAutoscaler) -> None:
        """Remember what is measured, for right-sizing; never returns."""
        while True:
            await asyncio.sleep(OBSERVE_SECONDS)
            for key in sorted(self._observer.see(autoscaler.observed(), self._planner.newest.planned)):
                self._queue.add(key, Cause.SIGNALS)

    def _remembered(self, key: str) -> str | None:
        """What the status of a workload keeps for the observer."""
        namespace, _, name = key.partition("/")
        entry = self._mirrors[kinds.WORKLOAD].find(name, namespace)
        return None if entry is None else text(entry.thing, "status", "learned", "observations")

    async def _review(self) -> None:
        """Plan anew every so often although nothing changed, where a workload asks to be right-sized: traffic does, and
        moves come to an end; never returns."""
        while True:
            await asyncio.sleep(self._settings.right_sizing.review_seconds)
            if self._right_sizer.is_wanted:
                self._planner.mark()

    async def _welcome(self, mirror: Mirror) -> None:
        """Begin with a kind whose CRD was not there when we started."""
        if await self._kube.serves(mirror.kind):
            await mirror.relist(self._kube)
            edge = Edge(self._credentials, [mirror], self._settings.watch_namespaces)
            edge.start()
            self._edges.append(edge)
            self._watched.add(mirror.kind)

    def _world(self) -> World:
        things = {kind: self._mirrors[kind].things() for kind in (*CLUSTER_WIDE, *IN_NAMESPACES)}
        return World(
            workloads=things[kinds.WORKLOAD],
            pools=things[kinds.POOL],
            nodes=things[kinds.NODE],
            pods=things[kinds.POD],
            deployments=things[kinds.DEPLOYMENT],
            services=things[kinds.SERVICE],
            claims=things[kinds.CLAIM],
            volumes=things[kinds.VOLUME],
            config_maps=self._config_maps.things(),
            scalings={} if self._autoscaler is None else self._autoscaler.scalings(),
        )

    async def _follow_demand(self, autoscaler: FleetAutoscaler) -> None:
        """From the first plan on; never returns."""
        await self._planner.attempted.wait()
        # What was read stays: every full collection would walk all of it, which takes as long as a tick does.
        gc.collect()
        gc.freeze()
        await autoscaler.run()

    def _keys(self) -> list[str]:
        return [key_of(entry) for kind in (kinds.WORKLOAD, kinds.POOL) for entry in self._mirrors[kind]]

    # --- what happens --------------------------------------------------------------------------------------------

    def _heard(self, change: Change) -> None:
        """Something changed in the cluster."""
        if not self._edges:
            return  # still listing for the first time
        if change.kind is kinds.WORKLOAD and _reference(change.before) != _reference(change.after):
            self._follow_config_maps()
        found = meaning(change, self._has_gpus)
        for key in found.keys:
            self._queue.add(key, Cause.CHANGE)
        if found.plan:
            self._planner.mark(asked=change.kind in (kinds.WORKLOAD, kinds.POOL))

    def _follow_config_maps(self) -> None:
        self._config_maps.follow(referred_to(entry.thing for entry in self._mirrors[kinds.WORKLOAD]))

    def _config_map_changed(self) -> None:
        """Measured runs came, changed or went."""
        self._planner.mark(asked=True)

    def _has_gpus(self, node: str) -> bool:
        entry = self._mirrors[kinds.NODE].find(node)
        return entry is not None and has_gpus(entry.thing)

    def _planned(self, workloads: set[str], pools: set[str]) -> None:
        """A plan was made: look at what it changed, first at those whose newest spec has no answer yet."""
        for key in sorted(workloads, key=lambda key: (self._is_answered(key), key)):
            self._queue.add(key, Cause.PLAN)
        for name in sorted(pools):
            self._queue.add(POOL_PREFIX + name, Cause.PLAN)

    def _backend_of(self, key: str) -> str | None:
        planned = self._planner.newest.planned.get(key)
        return None if planned is None else planned.workload.backend

    def _measured(self, news: set[str], wanted: bool) -> None:
        """Measurements have something new to say, or want counts that the plan does not have."""
        for key in sorted(news):
            self._queue.add(key, Cause.SIGNALS)
        if wanted:
            self._planner.mark(asked=True)

    def _is_answered(self, key: str) -> bool:
        """Whether the workload's status is about its newest spec."""
        namespace, _, name = key.partition("/")
        entry = self._mirrors[kinds.WORKLOAD].find(name, namespace)
        if entry is None:
            return True
        return bool(entry.thing["status"].get("observedGeneration") == entry.thing["metadata"].get("generation"))

    def _measured_rates(self, at: datetime) -> dict[str, float]:
        """Requests per second of every workload that was measured lately."""
        observed = {} if self._autoscaler is None else self._autoscaler.observed()
        return {
            f"{namespace}/{name}": each.requests_per_second
            for (namespace, name), each in observed.items()
            if each.requests_per_second is not None and at.timestamp() - each.at_seconds < MEASURED_SECONDS
        }

    def _tell_spending(self, key: str, news: News) -> None:
        """An Event about a workload that is there, or about a namespace."""
        namespace, _, name = key.partition("/")
        about = self._mirrors[kinds.WORKLOAD].find(name, namespace) if name else Entry(_namespace(namespace), 0)
        if about is not None:
            self._recorder.post(about, news)

    def _observe_plan(self, seconds: float, result: Result | None) -> None:
        if result is None:
            self._metrics.plan_failures.inc()
            return
        self._metrics.plan_seconds.observe(seconds)
        self._metrics.show(result)
        self._accountant.wake()

    # --- work ----------------------------------------------------------------------------------------------------

    async def _work(self) -> None:
        """Look at one key after the other; ends when the queue is closed. Raises LostLeadership."""
        while True:
            try:
                item = await self._queue.take()
            except QueueClosed:
                return
            began = asyncio.get_running_loop().time()
            try:
                outcome = await self._reconciler.reconcile(item.key, item.attempt)
            except LostLeadership:
                raise
            except Exception as defect:
                log.exception("reconcile.defect", key=item.key, attempt=item.attempt)
                outcome = Outcome("defect")
                await self._say_defect(item, defect)
                self._put_back(item, None)
            else:
                self._settle(item, outcome)
            self._record(item, outcome, asyncio.get_running_loop().time() - began)

    def _settle(self, item: Item, outcome: Outcome) -> None:
        if outcome.error is not None:
            self._put_back(item, getattr(outcome.error, "after_seconds", None))
            return
        self._queue.succeeded(item.key)
        if outcome.look_again_seconds is not None:
            self._queue.add_after(item.key, outcome.look_again_seconds)

    def _put_back(self, item: Item, after_seconds: float | None) -> None:
        self._queue.failed(item.key, after_seconds)
        self._metrics.retries.inc()

    async def _say_defect(self, item: Item, defect: Exception) -> None:
        """A defect that stays is said where people look; that saying it fails changes nothing."""
        if item.attempt < PATIENCE:
            return
        try:
            await self._reconciler.stall(item.key, f"a defect of the operator: {type(defect).__name__}; see its log")
        except LostLeadership:
            raise
        except Exception:
            log.exception("reconcile.stall", key=item.key)

    def _record(self, item: Item, outcome: Outcome, seconds: float) -> None:
        self._metrics.reconcile_seconds.labels(outcome.result).observe(seconds)
        if outcome.writes and item.causes == {Cause.RESYNC}:
            self._metrics.drift.inc()
        say = log.debug if not outcome.writes and outcome.error is None else log.info
        say(
            "reconcile",
            key=item.key,
            causes=sorted(item.causes),
            attempt=item.attempt,
            generation=outcome.generation,
            seconds=round(seconds, 4),
            writes=outcome.writes,
            outcome=outcome.result,
            **({} if outcome.error is None else {"error": str(outcome.error)}),
        )


def right_sizer_of(settings: Settings, observed: Callable[[], Mapping[str, Observed]] | None) -> RightSizer:
    calm = settings.right_sizing
    return RightSizer(
        observed,
        Pace(calm.settle_seconds, calm.move_seconds, calm.probation_seconds, calm.cool_down_seconds),
        ChangeOver(calm.start_seconds, settings.platform.drain_seconds),
        calm.review_seconds,
        calm.least_observed_hours,
    )


def _reference(workload: Entry | None) -> frozenset[tuple[str, str]]:
    """The ConfigMap that a workload refers to, if any."""
    return referred_to(() if workload is None else (workload.thing,))


def _namespace(name: str) -> dict[str, Any]:
    """As much of a Namespace as an Event about it needs."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
