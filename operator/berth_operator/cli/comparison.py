"""Two plans compared: what changes from one state of the manifests to the next, and what that costs or saves.

The earlier plan is taken to be what runs, so that the later one is what the operator would do about the change, not
what it would do with an empty cluster: what is not touched stays where it is.
"""

from decimal import Decimal
from enum import StrEnum

from berth_cost.record import Record
from berth_scheduler.decision import Decision, EnergyTotal, Plan
from berth_scheduler.snapshot import Berth, Pool, Running, RunningBerth, Snapshot, Workload

EARLIER = "earlier"
"""The revision that stands for the earlier plan."""


class Change(StrEnum):
    ADDED = "Added"
    REMOVED = "Removed"
    CHANGED = "Changed"
    UNCHANGED = "Unchanged"


class Side(Record):
    """A workload in one of the two plans."""

    placed: bool
    reason: str
    message: str
    berths: tuple[Berth, ...] = ()
    usd_per_hour: Decimal | None = None
    quality: Decimal | None = None
    """Score of the precision that was chosen."""


class WorkloadChange(Record):
    """``before`` None: new; ``after`` None: gone."""

    workload: str
    change: Change
    before: Side | None = None
    after: Side | None = None
    usd_per_hour_change: Decimal = Decimal(0)


class PlanComparison(Record):
    """What a change of manifests does. Money is of the workloads' shares; ``percent`` is None where nothing ran."""

    kind: str = "PlanComparison"
    against: str
    workloads: tuple[WorkloadChange, ...]
    before_usd_per_hour: Decimal
    after_usd_per_hour: Decimal
    percent: float | None = None
    usd_per_hour_change: Decimal
    """Below zero where the change saves."""
    before_usd_per_month: Decimal
    after_usd_per_month: Decimal
    usd_per_month_change: Decimal
    before_energy: EnergyTotal | None = None
    """Of the earlier plan, as ``plan.totals.energy`` is of the later one."""
    plan: Plan
    """The later plan, in full."""

    def of(self, change: Change) -> tuple[WorkloadChange, ...]:
        return tuple(one for one in self.workloads if one.change is change)


def continued(later: Snapshot, earlier: Snapshot, earlier_plan: Plan) -> Snapshot:
    """``later`` with what runs from ``earlier``: as it was read from a cluster, else as it was planned."""
    decisions = {one.workload: one for one in earlier_plan.decisions}
    known = {one.key: one for one in earlier.workloads}
    workloads = tuple(
        one
        if one.running or one.key not in known
        else one.model_copy(update={"running": _running(known[one.key], decisions[one.key])})
        for one in later.workloads
    )
    return later.model_copy(update={"workloads": workloads, "pools": _continued_pools(later, earlier)})


def _running(workload: Workload, decision: Decision) -> tuple[Running, ...]:
    if workload.running or not decision.placed:
        return workload.running
    berths = tuple(RunningBerth(berth=berth, ready_replicas=berth.replicas) for berth in decision.berths)
    return (Running(revision=EARLIER, planned_for=workload.planning_hash, serving=True, berths=berths),)


def _continued_pools(later: Snapshot, earlier: Snapshot) -> tuple[Pool, ...]:
    """Stated pools are those of ``later`` where it states any; nodes that only ``earlier`` saw stay.

    Manifests know no nodes: where ``earlier`` is a snapshot of a cluster, its nodes stay in the pools of their names.
    """
    before = {pool.name: pool for pool in earlier.pools}
    stated = {pool.name: _with_nodes(pool, before.get(pool.name)) for pool in later.pools}
    if not any(pool.stated for pool in later.pools):
        stated = before | stated
    discovered = {name: pool for name, pool in before.items() if not pool.stated}
    pools = discovered | stated
    return tuple(pools[name] for name in sorted(pools))


def _with_nodes(pool: Pool, before: Pool | None) -> Pool:
    if before is None or pool.nodes or not before.nodes:
        return pool
    same_gpu = pool.gpu is not None and before.gpu is not None and pool.gpu.name == before.gpu.name
    return pool.model_copy(update={"nodes": before.nodes}) if same_gpu else pool


def compare(earlier: Snapshot, earlier_plan: Plan, later: Snapshot, later_plan: Plan, against: str) -> PlanComparison:
    """By workload key."""
    before, after = _sides(earlier, earlier_plan), _sides(later, later_plan)
    changes = tuple(_change(key, before.get(key), after.get(key)) for key in sorted(before.keys() | after.keys()))
    was = sum((_usd(side) for side in before.values()), Decimal(0))
    becomes = sum((_usd(side) for side in after.values()), Decimal(0))
    hours = later.policy.hours_per_month
    return PlanComparison(
        against=against,
        workloads=changes,
        before_usd_per_hour=was,
        after_usd_per_hour=becomes,
        usd_per_hour_change=becomes - was,
        before_usd_per_month=was * hours,
        after_usd_per_month=becomes * hours,
        usd_per_month_change=(becomes - was) * hours,
        before_energy=earlier_plan.totals.energy,
        percent=float(round((becomes - was) / was * 100, 6)) if was else None,
        plan=later_plan,
    )


def _sides(snapshot: Snapshot, plan: Plan) -> dict[str, Side]:
    workloads = {one.key: one for one in snapshot.workloads}
    return {one.workload: _side(workloads[one.workload], one) for one in plan.decisions}


def _side(workload: Workload, decision: Decision) -> Side:
    """What serves: the decision where it is placed, else what runs on."""
    precision = decision.berths[0].precision if decision.berths else None
    quality = next((one.quality for one in workload.variants if one.precision == precision), None)
    return Side(
        placed=decision.placed,
        reason=decision.reason,
        message=decision.message,
        berths=decision.berths,
        usd_per_hour=decision.cost.usd_per_hour if decision.cost else None,
        quality=quality.score if quality else None,
    )


def _change(key: str, before: Side | None, after: Side | None) -> WorkloadChange:
    if before is None:
        change = Change.ADDED
    elif after is None:
        change = Change.REMOVED
    else:
        same = (before.placed, before.berths, before.usd_per_hour) == (after.placed, after.berths, after.usd_per_hour)
        change = Change.UNCHANGED if same else Change.CHANGED
    return WorkloadChange(
        workload=key,
        change=change,
        before=before,
        after=after,
        usd_per_hour_change=_usd(after) - _usd(before),
    )


def _usd(side: Side | None) -> Decimal:
    return (side.usd_per_hour if side else None) or Decimal(0)
