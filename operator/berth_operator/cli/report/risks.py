"""What a plan risks, in sentences: what could make it dearer or worse than it says."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from berth_cost.cases.case import Prediction
from berth_operator.cli.plan_view import doubted_price
from berth_scheduler.crew import interruptions_of
from berth_scheduler.decision import Decision, Plan
from berth_scheduler.snapshot import CapacityType, Pool, Snapshot, Workload
from berth_scheduler.wording import (
    dollars,
    duration,
    duration_band,
    model_metric,
    number,
    objective_name,
    percent,
    plural,
)

WIDE = 3.0
"""Upper over lower edge of a 90 % band from which on a prediction is called wide."""
NAMED = 10
"""Workloads of one risk that are named one by one."""
HOURS_A_DAY = 24


class Risk(NamedTuple):
    """``kind`` groups risks; ``workload`` None: of the plan as a whole."""

    kind: str
    workload: str | None
    text: str


def risks_of(plan: Plan, snapshot: Snapshot) -> list[Risk]:
    """By kind, the ones that stop something first."""
    workloads = {one.key: one for one in snapshot.workloads}
    pools = {one.name: one for one in snapshot.pools}
    found = list(_not_placed(plan))
    for told in (_interruptions(plan, pools), _predictions(plan, workloads), _prices(plan), _idle(plan)):
        found += told
    return found


def _not_placed(plan: Plan) -> Iterator[Risk]:
    return (Risk("Not placed", one.workload, one.message) for one in plan.decisions if not one.placed)


def _interruptions(plan: Plan, pools: Mapping[str, Pool]) -> Iterator[Risk]:
    for one in plan.decisions:
        spot = [berth for berth in one.berths if berth.capacity_type is CapacityType.SPOT]
        if not spot:
            continue
        a_day = sum(interruptions_of(pools[berth.pool])[0] * berth.replicas for berth in spot) * HOURS_A_DAY
        replicas, of = sum(berth.replicas for berth in spot), sum(berth.replicas for berth in one.berths)
        text = f"{replicas} of {plural(of, 'replica')} on spot: about {number(a_day, 2)} interruptions a day"
        if not all(pools[berth.pool].spot for berth in spot):
            text += ", by the rate that was measured elsewhere, because a pool states none"
        if one.cost is not None and one.cost.effective_usd_per_hour is not None:
            text += f"; {dollars(one.cost.effective_usd_per_hour)}/h with the starts that they waste"
        if one.availability_percent is not None:
            text += f"; enough replicas stand {percent(one.availability_percent)} of the time"
        yield Risk("Spot", one.workload, text)


def _predictions(plan: Plan, workloads: Mapping[str, Workload]) -> Iterator[Risk]:
    unmeasured = []
    for one in plan.decisions:
        if one.prediction is None:
            continue
        if one.prediction.evidence == "estimated":
            unmeasured.append(one.workload)
        if told := _wide(one.prediction, workloads[one.workload]):
            yield Risk("Prediction", one.workload, f"a wide band: {'; '.join(told)}")
    if unmeasured:
        some = ", ".join(unmeasured[:NAMED]) + (f" and {len(unmeasured) - NAMED} more" if unmeasured[NAMED:] else "")
        text = f"estimated without a measurement of the model, which berth measure would make: {some}"
        yield Risk("Prediction", plural(len(unmeasured), "workload"), text)


def _wide(prediction: Prediction, workload: Workload) -> Sequence[str]:
    """Objectives with a wide band, as asked and predicted."""
    told = []
    for ask in workload.latency:
        metric = model_metric(workload, ask.metric)
        points, bands = prediction.metrics.get(metric), prediction.band.get(metric)
        if isinstance(points, Mapping) and isinstance(bands, Mapping) and ask.statistic in points:
            low, high = bands[ask.statistic]
            if low > 0 and high / low >= WIDE:
                shown = duration_band(points[ask.statistic], low, high)
                name = objective_name(ask.metric, ask.statistic)
                told.append(f"{name} {shown}, asked ≤ {duration(ask.limit_seconds)}")
    return told


def _prices(plan: Plan) -> Iterator[Risk]:
    return (
        Risk("Prices", one.workload, doubted_price(one.cost))
        for one in plan.decisions
        if one.cost is not None and one.cost.price_note is not None
    )


def _idle(plan: Plan) -> Iterator[Risk]:
    idle = plan.totals.idle_usd_per_hour
    if idle > 0:
        text = f"what started nodes leave unused costs another {dollars(idle)}/h, which no workload pays"
        yield Risk("Idle", None, text)


def evidence_of(decisions: Sequence[Decision]) -> str:
    """``predictions: 2 calibrated, 4 estimated``"""
    counts: dict[str, int] = {}
    for one in decisions:
        if one.prediction is not None:
            counts[one.prediction.evidence] = counts.get(one.prediction.evidence, 0) + 1
    order = ("measured", "interpolated", "calibrated", "estimated")
    return ", ".join(f"{counts[kind]} {kind}" for kind in order if kind in counts)
