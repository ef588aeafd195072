"""One tick for the whole fleet: read what is measured, ask the replica controller, say what is wanted.

It writes nothing itself. The counts that it wants enter the next plan, which alone knows where there is room for them,
and reach the Deployments by the same step as every other decision; what it has to say enters the statuses.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import structlog
from pydantic import ValidationError

from berth_operator import kinds, observation
from berth_operator.api.conditions import ConditionType, Finding, Reason, read_conditions
from berth_operator.api.v1alpha1 import Autoscaling, InvalidObject, Observed, Replicas
from berth_operator.autoscaling.control_memory import unpacked
from berth_operator.autoscaling.controlled_workload import ControlledWorkload, Kept, Look, configuration_of
from berth_operator.autoscaling.view import Measured, View
from berth_operator.demand import stored_scaling
from berth_operator.kinds import Kind
from berth_operator.mirror import Entry, Mirror
from berth_operator.planner import Planned, Result
from berth_operator.signals.source import Reading, SignalSource, WorkloadKey, WorkloadSignals
from berth_operator.world import mapping
from berth_scheduler.control.replica_control import ControlPolicy
from berth_scheduler.snapshot import Scaling, SpotPolicy

log = structlog.get_logger()

AT_A_TIME = 10
"""Workloads looked at before others have the event loop."""
NO_SIGNALS = "Prometheus has no series of this workload"


class FleetAutoscaler:
    """``newest`` is the newest plan. ``changed`` is told the workloads with something new to say, and whether counts
    are wanted that the plan does not have; ``now`` is Unix time."""

    def __init__(
        self,
        source: SignalSource,
        mirrors: Mapping[Kind, Mirror],
        newest: Callable[[], Result],
        *,
        changed: Callable[[set[str], bool], None],
        now: Callable[[], float] = time.time,
        observe: Callable[[float, Mapping[str, Measured]], None] = lambda seconds, measured: None,
        tick_seconds: float = 10.0,
    ) -> None:
        self._source = source
        self._mirrors = mirrors
        self._newest = newest
        self._changed = changed
        self._now = now
        self._observe = observe
        self._tick_seconds = tick_seconds
        self._controlled: dict[str, ControlledWorkload] = {}
        self._views: dict[str, View] = {}
        self._inherited: dict[str, int] | None = None
        """What an earlier leader left, by workload; None before the first plan."""

    async def run(self) -> None:
        """Tick for ever. A defect in one tick is logged, and the next one tries again: nothing is scaled meanwhile."""
        while True:
            began = asyncio.get_running_loop().time()
            try:
                await self.tick()
            except Exception:
                log.exception("autoscaling.failed")
            took = asyncio.get_running_loop().time() - began
            await asyncio.sleep(max(self._tick_seconds - took, 1.0))

    async def tick(self) -> None:
        """One reading, one evaluation of every placed workload."""
        followed = self._followed()
        reading = await self._source.read([_split(key) for key in followed], self._now())
        began, news, measured, grown = time.process_time(), set[str](), dict[str, Measured](), False
        for place, key in enumerate(followed):
            if place % AT_A_TIME == 0:
                await asyncio.sleep(0)
            before = self._controlled.get(key)
            wanted = None if before is None else before.desired
            view = self._look(key, reading)
            if view is None:
                continue
            now = self._controlled[key]
            if view != self._views.get(key):
                self._views[key] = view
                news.add(key)
            if view.desired is not None and self._newest().planned[key].workload.scaling != now.scaling():
                grown = True
            if view.desired is not None and wanted != view.desired:
                log.info("autoscaling", key=key, replicas=view.desired, before=wanted)
            measured[key] = now.measured
        self._forget(followed)
        self._observe(time.process_time() - began, measured)
        if news or grown:
            self._changed(news, grown)

    def view(self, key: str) -> View | None:
        """What there is to say of a workload; None before its first tick, and of those that are not followed."""
        return self._views.get(key)

    def observed(self) -> dict[WorkloadKey, WorkloadSignals]:
        """The smoothed signals of every workload that is measured."""
        return {_split(key): each.smoothed for key, each in self._controlled.items() if each.smoothed is not None}

    def scalings(self) -> dict[str, Scaling]:
        """For the next plan: the count of every workload in mode Managed that the controller has, or that runs."""
        found = {}
        if self._inherited is None:
            self._inherited = self._left()
        for entry in self._mirrors[kinds.WORKLOAD]:
            key = f"{entry.namespace}/{entry.name}"
            stated = _stated(entry)
            if entry.deleting or stated is None or stated[0].mode != "Managed" or _is_taken(entry):
                continue
            scaling = self._scaling(key, entry)
            if scaling is not None:
                found[key] = scaling
        return found

    # --- one workload --------------------------------------------------------------------------------------------

    def _scaling(self, key: str, entry: Entry) -> Scaling | None:
        planned = self._newest().planned.get(key)
        controlled = self._controlled.get(key)
        if controlled is not None and not controlled.in_control:
            return None
        if controlled is not None and (planned is None or not configuration_of(planned)):
            return controlled.scaling()
        if controlled is not None and planned is not None:
            if controlled.configuration == configuration_of(planned):
                return controlled.scaling()
            return controlled.scaling().model_copy(update={"replicas": _decided(planned)})  # since the last tick
        count = (self._inherited or {}).get(key)
        if count is None:
            return None
        stored = stored_scaling(entry.thing) or Scaling(replicas=count)
        return stored.model_copy(update={"replicas": count, "is_current": False})

    def _left(self) -> dict[str, int]:
        found = {f"{entry.namespace}/{entry.name}": entry for entry in self._mirrors[kinds.WORKLOAD]}
        counts = {key: self._found(key, entry) for key, entry in found.items()}
        return {key: count for key, count in counts.items() if count is not None}

    def _found(self, key: str, entry: Entry) -> int | None:
        """What a new leader finds: the larger of what was asked for last and what runs, because an earlier one may
        have ended between two writes; None where nothing runs yet."""
        stored, running = stored_scaling(entry.thing), self._running(key, entry)
        if running is None:
            return None
        spares = "availabilityPercent" in (entry.thing["spec"].get("objectives") or {})  # run beside what is asked for
        return running if stored is None else stored.replicas if spares else max(stored.replicas, running)

    def _running(self, key: str, entry: Entry) -> int | None:
        """What the Deployments of the wanted revision ask for; None where there are none."""
        revision = entry.thing["status"].get("revision")
        counts = [
            int(each.thing["spec"].get("replicas", 1))
            for each in self._mirrors[kinds.DEPLOYMENT].of_workload(key)
            if observation.revision_of(each) == revision and not each.deleting
        ]
        return sum(counts) or None

    def _look(self, key: str, reading: Reading) -> View | None:
        planned, result = self._newest().planned.get(key), self._newest()
        entry = self._entry(key)
        stated = None if entry is None else _stated(entry)
        if planned is None or entry is None or stated is None or not planned.decision.placed:
            return None
        autoscaling, replicas = stated
        status = entry.thing["status"]
        signals = reading.workloads.get(_split(key))
        problem = reading.problem or ("" if signals is not None else NO_SIGNALS)
        serving = status.get("servingRevision")
        look = Look(
            planned=planned,
            pools=result.pools,
            policy=_policy(autoscaling, replicas, planned.workload.spot),
            at_seconds=reading.at_seconds,
            signals=None if reading.problem else signals,
            problem=problem,
            ready=sum(
                int(each.thing["status"].get("readyReplicas", 0))
                for each in self._mirrors[kinds.DEPLOYMENT].of_workload(key)
                if observation.revision_of(each) == serving
            ),
            serving=serving is not None and serving == status.get("revision"),
            in_charge=autoscaling.mode == "Managed" and not _is_taken(entry),
        )
        controlled = self._controlled.get(key)
        if controlled is None:
            controlled = self._controlled[key] = self._begin(key, entry, look)
        elif controlled.configuration != configuration_of(planned):
            controlled.move(look, _decided(planned))
        revision = status.get("revision")
        controlled.serve(revision)
        controlled.start_times.look(
            pod for pod in self._mirrors[kinds.POD].of_workload(key) if observation.revision_of(pod) == revision
        )
        return controlled.tick(look)

    def _begin(self, key: str, entry: Entry, look: Look) -> ControlledWorkload:
        """From what its Deployments ask for, else from what is decided; after a restart of the operator with what the
        status kept."""
        count = (self._inherited or {}).pop(key, None)
        if count is None:
            return ControlledWorkload(look, _decided(look.planned), Kept())
        return ControlledWorkload(look, count, replace(_kept(entry), desired=count))

    # --- the fleet -----------------------------------------------------------------------------------------------

    def _followed(self) -> list[str]:
        """Placed workloads in the modes Managed and External, by key."""
        return sorted(
            key
            for key, planned in self._newest().planned.items()
            if planned.decision.placed
            and (entry := self._entry(key)) is not None
            and (stated := _stated(entry)) is not None
            and stated[0].mode != "Disabled"
        )

    def _entry(self, key: str) -> Entry | None:
        namespace, _, name = key.partition("/")
        entry = self._mirrors[kinds.WORKLOAD].find(name, namespace)
        return None if entry is None or entry.deleting else entry

    def _forget(self, followed: Iterable[str]) -> None:
        gone = self._controlled.keys() - set(followed)
        for key in gone:
            entry, planned = self._entry(key), self._newest().planned.get(key)
            if entry is None or (planned is not None and planned.decision.placed):
                # Of one that lost its place the controller's state waits for the next.
                self._controlled.pop(key, None)
                self._views.pop(key, None)


def _decided(planned: Planned) -> int:
    return sum(berth.replicas for berth in planned.decision.berths)


def _split(key: str) -> WorkloadKey:
    namespace, _, name = key.partition("/")
    return namespace, name


def _stated(entry: Entry) -> tuple[Autoscaling, Replicas] | None:
    """Of a spec, as far as it can be read; None where it cannot, which its conditions say."""
    spec = entry.thing["spec"]
    try:
        return Autoscaling.model_validate(spec.get("autoscaling") or {}), Replicas.model_validate(
            spec.get("replicas") or {}
        )
    except (ValidationError, InvalidObject):
        return None


def _policy(autoscaling: Autoscaling, replicas: Replicas, spot: SpotPolicy) -> ControlPolicy:
    return ControlPolicy(
        minimum=replicas.minimum,
        maximum=replicas.maximum,
        target_utilization=autoscaling.target_utilization_percent / 100,
        scale_down_stabilization_seconds=autoscaling.scale_down_stabilization_seconds,
        miss_share=float(autoscaling.allowed_miss_percent) / 100,
        spot=spot,
    )


def _is_taken(entry: Entry) -> bool:
    """Whether the status says that somebody else set the replicas of a Deployment."""
    return any(
        (each.get("type"), each.get("reason")) == (ConditionType.AUTOSCALING, Reason.REPLICAS_OWNED_BY_OTHER)
        for each in entry.thing["status"].get("conditions") or ()
    )


def _kept(entry: Entry) -> Kept:
    """What the status still says; what is garbled is as if it had never been written."""
    status: Mapping[str, Any] = entry.thing["status"]
    said = {each.type: each for each in read_conditions(status)}
    learned = mapping(status, "learned")
    state = None
    if learned.get("revision") == status.get("revision") and isinstance(learned.get("memory"), str):
        state = unpacked(learned["memory"])
    try:
        observed = Observed.model_validate(status["observed"]) if status.get("observed") else None
    except (ValidationError, InvalidObject):
        observed = None
    stored = stored_scaling(entry.thing)

    def finding(kind: ConditionType) -> Finding | None:
        found = said.get(kind)
        known = found is not None and found.reason in {*Reason} - {Reason.REPLICAS_OWNED_BY_OTHER}
        return Finding(kind, found.status, Reason(found.reason), found.message) if found and known else None

    return Kept(
        desired=None if stored is None else stored.replicas,
        observed=observed,
        state=state,
        autoscaling=finding(ConditionType.AUTOSCALING) if stored is not None else None,
        slo=finding(ConditionType.SLO_MET) if observed is not None else None,
    )
