"""``plan(snapshot) -> Plan``: the one function that the operator, the command line and the benchmarks call."""

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from berth_cost.cases.case import Prediction
from berth_scheduler import verdict
from berth_scheduler.capacity import Room
from berth_scheduler.cost import totals_of, with_price_age
from berth_scheduler.decision import Alternative, Decision, Plan, Verdict
from berth_scheduler.fleet import FleetPlan, plan_fleet
from berth_scheduler.footprint import energy_of
from berth_scheduler.incumbent import hold_running
from berth_scheduler.rejection import nearest_misses
from berth_scheduler.rejection_words import rejections_of
from berth_scheduler.relaxation import relaxations
from berth_scheduler.runner_up import runners_up
from berth_scheduler.savings.comparison import savings_of, totals_of_savings
from berth_scheduler.savings.saving import Saving
from berth_scheduler.snapshot import Berth, Problem, Snapshot, Workload
from berth_scheduler.supply import Supply, supply_of
from berth_scheduler.survey import Survey, survey
from berth_scheduler.verdict import Evidence


def plan(snapshot: Snapshot) -> Plan:
    """One decision a workload, by key. Pure: the same snapshot gives the same bytes, in whatever order its workloads,
    pools and nodes come.

    Reasons: see :class:`berth_scheduler.decision.Verdict`.
    """
    workloads = tuple(sorted(snapshot.workloads, key=lambda workload: workload.key))
    supply = supply_of(snapshot.pools)
    room = Room.of(supply.pools)
    whole = hold_running(workloads, supply, room)

    decisions = {
        workload.key: verdict.invalid(workload, problem)
        for workload in workloads
        if (problem := _problem(workload)) is not None
    }
    plannable = tuple(workload for workload in workloads if workload.key not in decisions)
    if not supply.pools:
        decisions |= {workload.key: verdict.without_pools(workload) for workload in plannable}
        plannable = ()
    placed: list[tuple[tuple[Berth, ...], Fraction | None]] = []
    savings: dict[str, tuple[Saving, ...]] = {}
    if plannable:
        found = survey(plannable, supply, snapshot.policy, whole)
        fleet = plan_fleet(found, room)
        decisions |= {decision.workload: decision for decision in _decisions(found, fleet)}
        savings = savings_of(found, fleet, decisions.values(), snapshot.list_prices)
        placed = [(choice.berths, choice.usd_per_hour) for _, choice in sorted(fleet.choices.items())]
    compared = tuple(
        _compared(decisions[workload.key], supply, snapshot, savings.get(workload.key, ())) for workload in workloads
    )
    totals = totals_of(placed, supply, room).model_copy(
        update={"savings": totals_of_savings(compared), "energy": energy_of(compared)}
    )
    return Plan(time=snapshot.time, decisions=compared, totals=totals)


def _compared(decision: Decision, supply: Supply, snapshot: Snapshot, savings: tuple[Saving, ...]) -> Decision:
    """With what the age of its prices means for its cost, and what it saves."""
    if decision.cost is None:
        return decision
    cost = with_price_age(decision.cost, decision.berths, supply, snapshot.policy, snapshot.time.date())
    return decision.model_copy(update={"cost": cost, "savings": savings})


def _problem(workload: Workload) -> Problem | None:
    """The workload's own problem, or what keeps it from being sized at all."""
    if workload.problem is not None:
        return workload.problem
    if workload.model is None:
        message = "nothing describes the model: state spec.model.preset or spec.model.architecture"
        return Problem(reason=Verdict.INVALID_SPEC, message=message)
    if not workload.variants:
        return Problem(reason=Verdict.INVALID_SPEC, message="spec.model.variants: state at least one variant")
    return None


def _decisions(found: Survey, fleet: FleetPlan) -> list[Decision]:
    misses = nearest_misses(found, fleet)
    rejected = rejections_of(found, misses)
    predictions = _predictions(found, fleet)
    waiting_or_infeasible = [index for index in range(len(found.workloads)) if index not in fleet.choices]
    infeasible = [index for index in waiting_or_infeasible if not verdict.waits(found, misses[index])]
    nearest = relaxations(found, misses, infeasible, fleet.room)
    decisions = []
    for index in range(len(found.workloads)):
        choice = fleet.choices.get(index)
        alternatives: Sequence[Alternative] = nearest.get(index, ())
        if choice is not None:
            # Others are sized for the stated rate: beside a count that follows another one they would not compare.
            scaled = found.workloads[index].scaling is not None
            alternatives = () if scaled else runners_up(found, index, choice, fleet.room)
        evidence = Evidence(misses[index], rejected[index], tuple(alternatives), predictions.get(index))
        if choice is not None:
            decisions.append(verdict.placed(found, index, choice, evidence))
        else:
            decisions.append(verdict.unplaced(found, index, fleet, evidence))
    return decisions


def _predictions(found: Survey, fleet: FleetPlan) -> dict[int, Prediction]:
    """Of every choice that the model can be asked about, at the planned rate per replica."""
    asked = [
        (
            index,
            choice.row,
            verdict.load_of(found, index, choice).requests_per_second / sum(berth.replicas for berth in choice.berths),
        )
        for index, choice in sorted(fleet.choices.items())
        if choice.row is not None
    ]
    if not asked:
        return {}
    rows, rates = np.array([row for _, row, _ in asked]), np.array([rate for _, _, rate in asked])
    table = found.sizing.predict(rows, rates)
    records = table.records(found.workloads[index].key for index, _, _ in asked)
    return {index: record for (index, _, _), record in zip(asked, records, strict=True)}
