"""From what runs to what is decided, one safe step at a time: a pure function of what is observed.

There is no memory of "where we are" beside the cluster, so the operator may die after any single write: the next look
finds the same step, or the one after it. The steps, and what each waits for:

1. a new revision starts beside the one that serves (``Switch``), after it stopped (``Recreate``) or not yet (``Wait``);
2. when every berth of it is fully available, the Service selects it;
3. when clients had the time to notice, the old revision goes;
4. berths of one revision come and go without a switch: what is surplus goes as what is added becomes available.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from berth_scheduler.decision import Transition


class Phase(StrEnum):
    """How far it has come."""

    SETTLED = "Settled"
    """What runs is what is decided, and all of it is ready."""
    STARTING = "Starting"
    """Pods of the wanted revision are not all ready yet."""
    SWITCHING = "Switching"
    """A new revision starts beside the one that serves."""
    DRAINING = "Draining"
    """The new revision serves; the old one finishes what it has."""
    WAITING = "Waiting"
    """No room for both revisions: the new one is not started."""
    STOPPING = "Stopping"
    """The old revision stops to make room, because the spec opts in."""
    RESIZING = "Resizing"
    """The revision serves and is short of replicas or berths, or has some to give up."""


@dataclass(frozen=True, slots=True)
class Running:
    """One of our Deployments as it is observed."""

    name: str
    revision: str
    replicas: int
    """What it asks for now, whoever set that."""
    ready: int
    seen: bool = True
    """Its controller has seen the newest spec: the counts are about that."""
    updated: bool = True
    """No pod of an earlier template is left."""
    dead: bool = False
    """Nothing of it has been available for so long that nobody would miss it."""
    other_owner: str | None = None
    """The field manager of somebody else who set its replicas."""
    owned: bool = True
    """We set its replicas. With ``other_owner``: somebody handed them back by setting them in our name."""

    def taken(self, wanted: int) -> bool:
        """Somebody else decides about its replicas, and not as we would: they are left alone."""
        return self.other_owner is not None and (not self.owned or self.replicas != wanted)

    def available(self, wanted: int) -> bool:
        """All that is asked for is ready: what is planned, or what whoever took the replicas over asks for."""
        asked = self.replicas if self.taken(wanted) else wanted
        return self.seen and self.updated and self.ready >= asked


@dataclass(frozen=True, slots=True)
class Observed:
    """What there is of a workload."""

    deployments: tuple[Running, ...] = ()
    serving: str | None = None
    """The revision that the Service selects; None where there is no Service."""
    served_seconds: float = 0.0
    """How long the Service has been seen to select it."""
    pods_of: frozenset[str] = frozenset()
    """Revisions that still have pods."""
    unschedulable: frozenset[str] = frozenset()
    """Revisions with pods that the scheduler finds no node for."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is decided. ``replicas`` by Deployment name."""

    revision: str
    replicas: Mapping[str, int]
    transition: Transition
    recreate: bool = False
    """The spec opts in to stop the old revision where there is no room for both."""


@dataclass(frozen=True, slots=True)
class Step:
    """What to do now, in this order: apply what is named, scale, point the Service at ``serving``, delete."""

    phase: Phase
    serving: str
    apply: tuple[str, ...] = ()
    """Deployments of the wanted revision that are made or kept as rendered."""
    scale: tuple[tuple[str, int], ...] = ()
    """Deployments whose replicas are set."""
    delete: tuple[str, ...] = ()
    look_again_seconds: float | None = None
    """When time alone moves it on; otherwise the next event does."""


def advance(wanted: Wanted, observed: Observed, *, drain_seconds: float) -> Step:
    """The step that is safe now; in phase ``Settled`` nothing follows it."""
    before = _serving(wanted, observed)
    if before == wanted.revision:
        return _in_place(wanted, observed, drain_seconds)
    beside = _started_beside(wanted, observed, before)
    old = [each for each in observed.deployments if each.revision == before]
    stuck = wanted.recreate and wanted.revision in observed.unschedulable
    hopeless = wanted.transition is Transition.WAIT and all(each.dead for each in old)
    if wanted.transition is Transition.RECREATE or stuck or hopeless:
        gone = tuple(each.name for each in observed.deployments if each.revision != wanted.revision)
        return Step(Phase.STOPPING, before, delete=gone)
    if wanted.transition is Transition.WAIT:
        return Step(Phase.WAITING, before, delete=_abandoned(wanted, observed, before))
    return beside


def _serving(wanted: Wanted, observed: Observed) -> str:
    """The revision that serves now, or should: the wanted one where there is nothing to protect.

    Without a Service (somebody deleted it), the revision with most ready replicas is what clients would miss.
    """
    alive = {each.revision for each in observed.deployments}
    if observed.serving in alive and observed.serving is not None:
        return observed.serving
    if observed.serving is None and alive:
        ready = {each: _ready(observed, each) for each in alive}
        return min(alive, key=lambda each: (-ready[each], each != wanted.revision, each))
    return wanted.revision


def _started_beside(wanted: Wanted, observed: Observed, before: str) -> Step:
    """The new revision starts or has started; the Service moves in the step that finds all of it available."""
    scale = tuple((name, count) for name, count in sorted(wanted.replicas.items()) if _to_set(observed, name, count))
    complete = _complete(wanted, observed)
    return Step(
        Phase.DRAINING if complete else Phase.SWITCHING,
        wanted.revision if complete else before,
        apply=tuple(sorted(wanted.replicas)),
        scale=scale,
        delete=_abandoned(wanted, observed, before),
    )


def _in_place(wanted: Wanted, observed: Observed, drain_seconds: float) -> Step:
    """The wanted revision serves, or nothing does: grow, then shrink, then remove what is left of other revisions."""
    mine = {each.name: each for each in observed.deployments if each.revision == wanted.revision}
    others = tuple(each.name for each in observed.deployments if each.revision != wanted.revision)
    surplus = tuple(sorted(set(mine) - set(wanted.replicas)))
    if not mine and wanted.recreate and observed.pods_of - {wanted.revision}:
        return Step(Phase.STOPPING, wanted.revision, delete=others)
    if wanted.transition is Transition.WAIT:
        return Step(Phase.WAITING, wanted.revision, apply=tuple(sorted(set(mine) & set(wanted.replicas))))

    complete = _complete(wanted, observed)
    shrink = complete or wanted.transition is Transition.RECREATE
    targets = wanted.replicas if shrink else _not_below(wanted, mine)
    step = Step(
        Phase.SETTLED,
        wanted.revision,
        apply=tuple(sorted(wanted.replicas)),
        scale=tuple((name, count) for name, count in sorted(targets.items()) if _to_set(observed, name, count)),
        delete=tuple(name for name in surplus if shrink or mine[name].ready == 0),
    )
    if others:
        # The Service does not select them any more: waiting longer than clients need to notice would only hold GPUs.
        left = drain_seconds - observed.served_seconds
        if left > 0:
            return replace(step, phase=Phase.DRAINING, look_again_seconds=left)
        return replace(step, phase=Phase.DRAINING, delete=step.delete + others)
    if not complete:
        return replace(step, phase=Phase.RESIZING if _ready(observed, wanted.revision) else Phase.STARTING)
    return replace(step, phase=Phase.RESIZING) if step.scale or surplus else step


def _complete(wanted: Wanted, observed: Observed) -> bool:
    """Whether every decided berth exists and is fully available, and at least one replica is ready."""
    by_name = {each.name: each for each in observed.deployments}
    available = all(name in by_name and by_name[name].available(count) for name, count in wanted.replicas.items())
    return available and any(by_name[name].ready for name in wanted.replicas)


def _abandoned(wanted: Wanted, observed: Observed, before: str) -> tuple[str, ...]:
    """Deployments of revisions that neither serve nor are wanted: the spec changed again before they could."""
    return tuple(each.name for each in observed.deployments if each.revision not in (before, wanted.revision))


def _to_set(observed: Observed, name: str, count: int) -> bool:
    """Whether the replicas of a Deployment are to be set: it is new, differs, or nobody owns them yet."""
    found = next((each for each in observed.deployments if each.name == name), None)
    if found is None:
        return True
    return not found.taken(count) and (found.replicas != count or not found.owned)


def _not_below(wanted: Wanted, mine: Mapping[str, Running]) -> dict[str, int]:
    """Replicas by Deployment while not all of the decided ones are ready: growth at once, and of what has too many as
    much taken away as the rest can do without.

    So berths trade places one replica after the other, where there is no room for both in full.
    """
    targets = {name: count for name, count in wanted.replicas.items() if not _shrinks(mine, name, count)}
    known = all(each.seen for each in mine.values())
    spare = sum(each.ready for each in mine.values()) - sum(wanted.replicas.values()) if known else 0
    for name in sorted(mine):
        count = wanted.replicas.get(name, 0)
        excess = mine[name].replicas - count
        if spare > 0 and excess > 0 and not mine[name].taken(count):
            less = min(spare, excess)
            targets[name] = mine[name].replicas - less
            spare -= less
    return targets


def _shrinks(mine: Mapping[str, Running], name: str, count: int) -> bool:
    return name in mine and mine[name].replicas > count


def _ready(observed: Observed, revision: str) -> int:
    return sum(each.ready for each in observed.deployments if each.revision == revision)
