"""From a choice to a decision: prediction, cost, reasons, and a hash that tells whether anything changed."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from berth_cost.cases.case import Prediction
from berth_cost.rounding import significant_number
from berth_scheduler.cost import cost_of
from berth_scheduler.decision import Alternative, Constraint, Decision, Rejection, Transition, Verdict
from berth_scheduler.fleet import Choice, FleetPlan
from berth_scheduler.footprint import footprint_of
from berth_scheduler.rejection import Miss
from berth_scheduler.snapshot import Problem, Workload
from berth_scheduler.survey import Survey
from berth_scheduler.wording import (
    berths_phrase,
    dollars,
    duration,
    duration_band,
    model_metric,
    number,
    objective_name,
    percent,
    plural,
    shortened,
)

NOT_HASHED = {
    "prediction": True,
    "footprint": True,
    "availability_percent": True,
    "savings": True,
    "cost": {"price_date", "effective_usd_per_hour", "usd_per_hour_low", "usd_per_hour_high", "price_note"},
    "decision_hash": True,
    "requests_per_second": True,
    "requests_per_second_per_replica": True,
}
HASH_CHARACTERS = 16


@dataclass(frozen=True, slots=True)
class Load:
    """Requests/s: of all replicas as predicted, and what one of them sustains (None: the model cannot be asked)."""

    requests_per_second: float
    per_replica: float | None


def load_of(found: Survey, index: int, choice: Choice) -> Load:
    """The stated rate; where somebody scales by demand the measured one, as far as the replicas sustain it."""
    workload = found.workloads[index]
    sustained = float(found.sizing.requests_per_second[choice.row]) if choice.row is not None else 0.0
    rate = workload.traffic.requests_per_second
    if workload.scaling is not None:
        rate = workload.scaling.requests_per_second or rate
        if sustained > 0:
            rate = significant_number(min(rate, sustained * sum(berth.replicas for berth in choice.berths)))
    return Load(rate, significant_number(sustained) if sustained > 0 else None)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was found out about one workload, to be said in its decision."""

    misses: Sequence[Miss]
    rejected: tuple[Rejection, ...]
    alternatives: tuple[Alternative, ...]
    prediction: Prediction | None


def invalid(workload: Workload, problem: Problem) -> Decision:
    """The workload's own problem, passed through."""
    return sealed(
        Decision(
            workload=workload.key,
            placed=False,
            reason=problem.reason,
            message=shortened(problem.message),
            decision_hash="",
        )
    )


def without_pools(workload: Workload) -> Decision:
    message = "there is no GPUPool and no node with a known GPU: create a GPUPool, or label the nodes"
    return invalid(workload, Problem(reason=Verdict.NO_POOLS, message=message))


def placed(found: Survey, index: int, choice: Choice, evidence: Evidence) -> Decision:
    workload = found.workloads[index]
    cost = None
    load = load_of(found, index, choice)
    if choice.usd_per_hour is not None:
        cost = cost_of(
            workload,
            choice.berths,
            choice.usd_per_hour,
            found.supply,
            found.policy,
            requests_per_second=load.requests_per_second,
        )
    reason = Verdict.KEPT if choice.kept else Verdict.PLACED
    if choice.transition is Transition.WAIT:
        reason = Verdict.NO_ROOM_TO_SWITCH
    return sealed(
        Decision(
            workload=workload.key,
            placed=True,
            reason=reason,
            message=shortened(_placed_message(workload, choice, evidence.prediction)),
            berths=choice.berths,
            transition=choice.transition,
            kept=choice.kept,
            requests_per_second=load.requests_per_second,
            requests_per_second_per_replica=load.per_replica,
            prediction=evidence.prediction,
            availability_percent=choice.availability_percent,
            cost=cost,
            footprint=footprint_of(
                workload,
                choice.berths,
                evidence.prediction,
                found.supply,
                policy=found.policy,
                requests_per_second=load.requests_per_second,
            ),
            alternatives=evidence.alternatives,
            rejected=evidence.rejected,
            decision_hash="",
        )
    )


def unplaced(found: Survey, index: int, plan: FleetPlan, evidence: Evidence) -> Decision:
    """Waiting where room is all that is missing, or may be; else infeasible, with the constraint that binds."""
    workload = found.workloads[index]
    short = _shortest(found, evidence.misses)
    if short is not None:
        reason, message = Verdict.INSUFFICIENT_CAPACITY, _shortage(found, index, short, plan)
    else:
        reason, message = Verdict.NO_FEASIBLE_CANDIDATE, _binding(workload, evidence)
    return sealed(
        Decision(
            workload=workload.key,
            placed=False,
            reason=reason,
            message=shortened(message),
            waiting_for_capacity=short is not None,
            alternatives=evidence.alternatives,
            rejected=evidence.rejected,
            decision_hash="",
        )
    )


def sealed(decision: Decision) -> Decision:
    """With its hash: of all but the prediction, the age of prices, what it is compared with and the hash itself."""
    content = decision.model_dump_json(exclude=NOT_HASHED)  # type: ignore[arg-type]
    digest = hashlib.sha256(content.encode()).hexdigest()[:HASH_CHARACTERS]
    return decision.model_copy(update={"decision_hash": digest})


# --- sentences -----------------------------------------------------------------------------------------------------


def _placed_message(workload: Workload, choice: Choice, prediction: Prediction | None) -> str:
    price = "price unknown" if choice.usd_per_hour is None else f"{dollars(choice.usd_per_hour)}/h"
    what = f"{berths_phrase(choice.berths)}: {price}"
    if choice.transition is Transition.WAIT:
        return f"no room to switch to {what} beside what runs: free room, or set rollout.strategy: Recreate"
    if choice.transition is Transition.RECREATE:
        return f"{what}; what runs stops first, because there is no room for both"
    if not choice.sustained:
        return f"stays on {what}; the prediction asks for more replicas than replicas.maximum"
    objectives = tightest(workload, prediction) if prediction else None
    return f"{'stays on ' if choice.kept else ''}{what}{f'; {objectives}' if objectives else ''}"


def tightest(workload: Workload, prediction: Prediction) -> str | None:
    """The latency objective with the least left, as asked and predicted; None where none is asked."""
    lines: list[tuple[float, str]] = []
    for ask in workload.latency:
        metric = model_metric(workload, ask.metric)
        points, bands = prediction.metrics.get(metric), prediction.band.get(metric)
        if isinstance(points, Mapping) and isinstance(bands, Mapping) and ask.statistic in points:
            low, high = bands[ask.statistic]
            text = f"{objective_name(ask.metric, ask.statistic)} {duration_band(points[ask.statistic], low, high)}"
            lines.append((-high / ask.limit_seconds, f"{text} ≤ {duration(ask.limit_seconds)}"))
    return min(lines)[1] if lines else None


def waits(found: Survey, misses: Sequence[Miss]) -> bool:
    """Whether room is all that a workload lacks: it may come right by itself."""
    return _shortest(found, misses) is not None


def _shortest(found: Survey, misses: Sequence[Miss]) -> Miss | None:
    return next((miss for miss in misses if _may_come(found, miss)), None)


def _may_come(found: Survey, miss: Miss) -> bool:
    """Short of room, but the pools of the configuration could hold it if nobody else did and all nodes were usable."""
    if miss.constraint is not Constraint.CAPACITY:
        return False
    group = found.groups.of_lot[miss.lot]
    lots = found.lots
    units = int(lots.tensor_parallel[miss.lot])
    replicas = 0
    for lot in (found.groups.of_lot == group).nonzero()[0].tolist():
        offer = found.supply.offers[int(lots.offer[lot])]
        if offer.unusable is None:
            pool = offer.pool
            each = pool.mig_layout.get(offer.mig_profile, 0) if offer.mig_profile else 1
            nodes = [node.gpus for node in pool.nodes]
            nodes += [pool.gpus_per_node] * max(0, (pool.maximum_nodes or 0) - len(pool.nodes))
            replicas += sum(gpus * each // units for gpus in nodes)
    return replicas >= miss.value


def _shortage(found: Survey, index: int, miss: Miss, plan: FleetPlan) -> str:
    offer = found.supply.offers[int(found.lots.offer[miss.lot])]
    shape = found.supply.shapes[offer.shape]
    units = int(found.lots.tensor_parallel[miss.lot])
    noun = "slice" if offer.mig_profile else "GPU"
    wanted = f"{int(miss.value)} × {f'{units}×' if units > 1 else ''}{shape.gpu.name}"
    wanted += f" {offer.mig_profile}" if offer.mig_profile else ""
    holders = plan.held_at_turn.get(index, {}).get(offer.pool_index, [])
    held = ", ".join(f"{key} ({plural(count, noun)})" for key, count in holders[:3])
    rest = f" and {len(holders) - 3} more" if len(holders) > 3 else ""
    by_whom = f"held by {held}{rest}" if held else "the rest is held by others, or its nodes are not usable"
    return f"waiting for room: {wanted} wanted, room for {int(miss.limit)} in pool {offer.pool.name}; {by_whom}"


def _binding(workload: Workload, evidence: Evidence) -> str:
    """The furthest-reaching constraint: what is asked, and the candidate that came nearest to it."""
    if not evidence.misses:
        return "no pool offers a GPU that this workload could use"
    nearest = evidence.rejected[0]
    return f"{_asked(workload, nearest)}: {nearest.message}"


def _asked(workload: Workload, nearest: Rejection) -> str:
    limit = nearest.limit or 0.0
    rate = f"{number(workload.traffic.requests_per_second)}/s"
    sentences = {
        Constraint.POOL: "no pool can be used",
        Constraint.GPU: "no pool has a GPU that placement.gpus allows",
        Constraint.CAPACITY_TYPE: "no pool has a capacity type that placement.capacityTypes allows",
        Constraint.SHARING: "no pool offers what placement.sharing allows",
        Constraint.PRECISION: "no GPU on offer supports a precision of the variants",
        Constraint.QUALITY: "no variant reaches the quality objective",
        Constraint.ARTEFACT: "the artefact cannot be mounted where the GPUs are",
        Constraint.PARALLELISM: "no allowed tensor parallel size works",
        Constraint.UNKNOWN: "a number that the prediction needs is not known",
        Constraint.NODE_RESOURCES: "no node is large enough for serving.resources",
        Constraint.MEMORY: "the model does not fit into the memory of any allowed GPU",
        Constraint.CONTEXT: f"{workload.maximum_context_tokens} tokens of context do not fit",
        Constraint.THROUGHPUT: f"{rate} is out of reach with replicas.maximum {workload.maximum_replicas}",
        Constraint.CARBON: f"carbon ≤ {number(workload.carbon_grams_per_thousand_requests or 0)} g of CO2e per thousand"
        " requests is out of reach",
        Constraint.AVAILABILITY: f"availability ≥ {percent(limit)} is out of reach",
        Constraint.SPOT_SHARE: "spot alone is not allowed",
        Constraint.CAPACITY: "no pool is large enough",
        Constraint.BUDGET: f"budget ≤ {dollars(limit)}/month is out of reach",
    }
    if nearest.constraint is Constraint.LATENCY and nearest.detail:
        return f"{objective_name(*nearest.detail.split('.'))} ≤ {duration(limit)} is out of reach"
    return sentences[nearest.constraint]
