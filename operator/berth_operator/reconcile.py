"""One look at one workload or pool: gather what there is, take the newest decision, do the next safe step, report.

The only orchestrator. It keeps nothing that it could not find again in the cluster, but for how long it has seen a
Service select a revision, and what it may leave out because the server already has it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Protocol

from berth_operator import kinds, observation, report
from berth_operator.api.conditions import Finding, Reason, read_conditions
from berth_operator.api.v1alpha1 import parse_workload
from berth_operator.autoscaling.leavers import leaving_first
from berth_operator.autoscaling.view import View
from berth_operator.children import Children
from berth_operator.errors import BerthmasterError, LostLeadership, NeedsHuman, Retryable
from berth_operator.events import Recorder
from berth_operator.kinds import Kind
from berth_operator.kube import Kube
from berth_operator.labels import TEMPLATE_MANAGER
from berth_operator.mirror import Entry, Mirror
from berth_operator.planner import Planned, Result
from berth_operator.platform import Platform
from berth_operator.pool_report import pool_status
from berth_operator.render import Rendered, Unrenderable, render
from berth_operator.report import Following, Obstacle, Progress
from berth_operator.right_sizing_report import right_sizing_news
from berth_operator.rollout import Observed, Step, Wanted, advance
from berth_operator.spending.budget_report import Standing

PATIENCE = 3
"""Attempts after which a failure that may still pass is worth saying in the status."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one look. ``error`` is what makes it worth another attempt."""

    result: str
    generation: int = 0
    writes: int = 0
    look_again_seconds: float | None = None
    error: BerthmasterError | None = None


@dataclass(slots=True)
class _Memory:
    """Of one workload: what saves writes and what only passing time decides. Losing it costs a little time, no more."""

    uid: str
    verified: dict[str, tuple[str, str]] = field(default_factory=dict)
    serving: str | None = None
    serving_since: float = 0.0


@dataclass(frozen=True, slots=True)
class _Attempt:
    """How far one look got."""

    progress: Progress
    writes: int = 0
    look_again_seconds: float | None = None
    error: BerthmasterError | None = None


class Money(Protocol):
    """What a status says of money."""

    def standing(self, key: str) -> Standing | None: ...

    def not_kept(self, key: str) -> str | None: ...

    def unusual(self, key: str) -> Finding | None: ...


class Reconciler:
    """``newest`` is the newest plan; ``clock`` a steady clock in seconds, ``now`` the wall clock; ``money`` tells what
    was spent, None where nobody counts; ``views`` what is measured of a workload, None where nothing measures;
    ``observations`` what is to be kept of that."""

    def __init__(
        self,
        kube: Kube,
        mirrors: Mapping[Kind, Mirror],
        newest: Callable[[], Result],
        platform: Platform,
        *,
        recorder: Recorder,
        clock: Callable[[], float],
        now: Callable[[], datetime],
        has_pod_monitor: Callable[[], bool] = lambda: False,
        money: Money | None = None,
        views: Callable[[str], View | None] | None = None,
        observations: Callable[[str], str | None] = lambda key: None,
    ) -> None:
        self._kube = kube
        self._mirrors = mirrors
        self._newest = newest
        self._platform = platform
        self._recorder = recorder
        self._clock = clock
        self._now = now
        self._has_pod_monitor = has_pod_monitor
        self._money = money
        self._views = views
        self._observations = observations
        self._memory: dict[str, _Memory] = {}

    async def reconcile(self, key: str, attempt: int = 1) -> Outcome:
        """Look at ``namespace/name``, or at the pool ``/name``. Raises LostLeadership, and bugs."""
        namespace, _, name = key.partition("/")
        if not namespace:
            return await self._pool(name)
        owner = self._mirrors[kinds.WORKLOAD].find(name, namespace)
        if owner is None or owner.deleting:
            self._memory.pop(key, None)
            return Outcome("gone")
        planned = self._newest().planned.get(key)
        generation = int(owner.thing["metadata"].get("generation", 0))
        if planned is None or planned.workload.uid != owner.uid or planned.workload.generation < generation:
            return Outcome("unplanned", generation)  # the plan that knows it adds the key again
        made = await self._advance(key, owner, planned)
        if isinstance(made.error, LostLeadership):
            raise made.error
        if made.error is None and _is_lagging(made.progress) and _was_ready(owner, generation):
            return Outcome("observing", generation, made.writes)  # what the Deployment says next is reported
        return await self._report(key, planned, self._judged(made, attempt))

    async def stall(self, key: str, message: str) -> None:
        """Say in the status that a defect of the operator keeps it from going on."""
        namespace, _, name = key.partition("/")
        owner = self._mirrors[kinds.WORKLOAD].find(name, namespace)
        planned = self._newest().planned.get(key)
        if owner is None or planned is None:
            return
        observed = self._observed(key, owner)
        failed = Obstacle(Reason.INTERNAL_ERROR, message)
        progress = Progress(serving=observed.serving, deployments=observed.deployments, failed=failed)
        await self._report(key, planned, _Attempt(progress))

    # --- workloads -----------------------------------------------------------------------------------------------

    async def _advance(self, key: str, owner: Entry, planned: Planned) -> _Attempt:
        """Take the next safe step towards the decision; what goes wrong is part of the result."""
        observed = self._observed(key, owner)
        seen = Progress(serving=observed.serving, deployments=observed.deployments)
        if not planned.decision.placed:
            return _Attempt(seen)
        children = Children(self._kube, self._mirrors, owner, self._memory[key].verified)
        try:
            rendered = self._rendered(owner, planned, observed.serving)
        except Unrenderable as error:
            problem = error.problems[0]
            return _Attempt(
                replace(seen, failed=Obstacle(report.word(problem.reason, Reason.INVALID_SPEC), str(error)))
            )
        wanted = Wanted(
            rendered.revision,
            rendered.replicas,
            planned.decision.transition,
            recreate=planned.workload.strategy == "Recreate",
        )
        step = advance(wanted, observed, drain_seconds=self._platform.drain_seconds)
        progress = replace(
            seen, phase=step.phase, revision=rendered.revision, serving=step.serving, names=tuple(rendered.replicas)
        )
        try:
            if step.serving != (observed.serving or rendered.revision):
                rendered = self._rendered(owner, planned, step.serving)
            await self._carry_out(key, step, rendered, children)
        except BerthmasterError as error:
            return _Attempt(progress, children.writes, step.look_again_seconds, error)
        after = self._observed(key, owner)
        pods = self._mirrors[kinds.POD].of_workload(key)
        obstacle = observation.obstacle(pods, rendered.revision) or observation.refused(
            self._mirrors[kinds.DEPLOYMENT].of_workload(key), rendered.revision
        )
        progress = replace(progress, deployments=after.deployments, pods=obstacle)
        return _Attempt(progress, children.writes, step.look_again_seconds)

    def _rendered(self, owner: Entry, planned: Planned, serving: str | None) -> Rendered:
        return render(
            parse_workload(owner.thing),
            planned.decision,
            {name: seen.pool for name, seen in self._newest().pools.items()},
            self._platform,
            planned=planned.workload,
            serving_revision=serving,
            has_pod_monitor=self._has_pod_monitor(),
        )

    async def _carry_out(self, key: str, step: Step, rendered: Rendered, children: Children) -> None:
        """Everything in an order in which dying after any write leaves nothing half-made that the next look misses."""
        deployments = [each for each in rendered.deployments if each["metadata"]["name"] in step.apply]
        manifests = [*rendered.shared, *([rendered.config] if deployments else []), *deployments]
        await children.claim(manifests)
        for manifest in manifests:
            await children.apply(manifest)
        for name, replicas in step.scale:
            await self._mark_leavers(key, name, replicas, children)
            await children.scale(name, replicas)
        running = self._mirrors[kinds.DEPLOYMENT].of_workload(key)
        for entry in running:
            if entry.name in step.delete:
                await children.delete(kinds.DEPLOYMENT, entry)
        kept = {observation.revision_of(entry) for entry in running if entry.name not in step.delete}
        await self._sweep(key, rendered, kept | {step.serving, rendered.revision}, children)

    async def _mark_leavers(self, key: str, name: str, replicas: int, children: Children) -> None:
        """Before replicas are taken away, say which pods: the ReplicaSet knows neither nodes nor prices."""
        found = self._mirrors[kinds.DEPLOYMENT].find(name, key.partition("/")[0])
        surplus = 0 if found is None else int(found.thing["spec"].get("replicas", 1)) - replicas
        if surplus <= 0:
            return
        pods = [pod for pod in self._mirrors[kinds.POD].of_workload(key) if observation.deployment_of(pod) == name]
        for rank, pod in enumerate(reversed(leaving_first(pods, self._mirrors[kinds.POD])[:surplus]), 1):
            await children.mark_leaver(pod, -rank)

    async def _sweep(self, key: str, rendered: Rendered, revisions: set[str | None], children: Children) -> None:
        """Remove children that nothing needs any more: configurations of gone revisions, kinds no longer rendered."""
        names = {(each["kind"], each["metadata"]["name"]) for each in rendered.shared}
        for kind in kinds.CHILDREN:
            if kind is kinds.DEPLOYMENT:
                continue
            for entry in self._mirrors[kind].of_workload(key):
                revision = observation.revision_of(entry)
                unneeded = (kind.name, entry.name) not in names if revision is None else revision not in revisions
                if unneeded:
                    await children.delete(kind, entry)

    def _observed(self, key: str, owner: Entry) -> Observed:
        memory = self._memory.get(key)
        if memory is None or memory.uid != owner.uid:
            memory = self._memory[key] = _Memory(owner.uid)
        now, pods = self._now(), self._mirrors[kinds.POD].of_workload(key)
        serving = observation.serving_revision(self._mirrors[kinds.SERVICE].find(owner.name, owner.namespace))
        if serving != memory.serving:
            memory.serving, memory.serving_since = serving, self._clock()
        return Observed(
            deployments=tuple(
                observation.running(entry, now)
                for entry in self._mirrors[kinds.DEPLOYMENT].of_workload(key)
                if not entry.deleting
            ),
            serving=serving,
            served_seconds=self._clock() - memory.serving_since,
            pods_of=observation.present_revisions(pods, now),
            unschedulable=observation.unschedulable_revisions(pods),
        )

    # --- reporting -----------------------------------------------------------------------------------------------

    @staticmethod
    def _judged(made: _Attempt, attempt: int) -> _Attempt:
        """Say what failed: at once where a person is needed, after some patience where it may still pass."""
        if isinstance(made.error, NeedsHuman):
            return replace(
                made, progress=replace(made.progress, failed=Obstacle(made.error.reason, made.error.message))
            )
        if isinstance(made.error, Retryable) and attempt >= PATIENCE:
            return replace(made, progress=replace(made.progress, failed=Obstacle(Reason.RETRYING, str(made.error))))
        return made

    async def _report(self, key: str, planned: Planned, made: _Attempt) -> Outcome:
        namespace, _, name = key.partition("/")
        owner = self._mirrors[kinds.WORKLOAD].find(name, namespace)
        generation = planned.workload.generation
        if owner is None or owner.deleting or owner.uid != planned.workload.uid:
            return Outcome("gone", generation, made.writes)
        previous = owner.thing["status"]
        progress = made.progress
        if self._money is not None:
            progress = replace(
                progress,
                standing=self._money.standing(key),
                not_kept=self._money.not_kept(key),
                unusual=self._money.unusual(key),
            )
        status = report.workload_status(
            planned.workload,
            planned.decision,
            progress,
            previous,
            self._now(),
            following=self._following(key, owner),
            course=planned.course,
        )
        writes, error = made.writes, made.error
        try:
            writes += await self._write_status(kinds.WORKLOAD, owner, status)
        except LostLeadership:
            raise
        except BerthmasterError as failure:
            error = error or failure
        phase = made.progress.phase.value.lower() if made.progress.phase else "unplaced"
        return Outcome("failed" if error else phase, generation, writes, made.look_again_seconds, error)

    def _following(self, key: str, owner: Entry) -> Following:
        spec = owner.thing["spec"]
        return Following(
            mode=str((spec.get("autoscaling") or {}).get("mode", "Managed")),
            desired=(spec.get("replicas") or {}).get("desired"),
            measures=self._views is not None,
            view=None if self._views is None else self._views(key),
            observations=self._observations(key),
        )

    async def _write_status(self, kind: Kind, about: Entry, status: dict[str, Any]) -> int:
        """Write the status if that changes it, and tell the news; returns the number of writes."""
        previous = about.thing["status"]
        if report.says_the_same(status, previous):
            return 0
        metadata = {"name": about.name, "uid": about.uid}
        metadata |= {"namespace": about.namespace} if about.namespace else {}
        body = {"apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata, "status": status}
        stored = await self._kube.apply(kind, body, manager=TEMPLATE_MANAGER, force=True, subresource="status")
        self._mirrors[kind].see(stored, quiet=True)
        self._recorder.tell(about, read_conditions(previous), read_conditions(status))
        for each in right_sizing_news(previous, status):
            self._recorder.post(about, each)
        return 1

    async def _pool(self, name: str) -> Outcome:
        entry, seen = self._mirrors[kinds.POOL].find(name), self._newest().pools.get(name)
        if entry is None or entry.deleting:
            return Outcome("gone")
        generation = int(entry.thing["metadata"].get("generation", 0))
        if seen is None or not seen.pool.stated:
            return Outcome("unplanned", generation)
        status = pool_status(seen.pool, seen.held, generation, entry.thing["status"], self._now())
        try:
            return Outcome("pool", generation, await self._write_status(kinds.POOL, entry, status))
        except LostLeadership:
            raise
        except BerthmasterError as error:
            return Outcome("failed", generation, 1, error=error)


def _is_lagging(progress: Progress) -> bool:
    """Whether a Deployment's controller has not looked at what was just applied, so that its counts say nothing yet."""
    return any(not each.seen for each in progress.deployments if each.name in progress.names)


def _was_ready(owner: Entry, generation: int) -> bool:
    """Whether the status says Ready about this very spec: it must not flicker while a controller catches up."""
    conditions = read_conditions(owner.thing["status"])
    return any(
        (each.type, each.status, each.observed_generation) == ("Ready", "True", generation) for each in conditions
    )
