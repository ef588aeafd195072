"""What would do: for a workload that cannot be placed, one thing changed at a time, and planned again for real.

Nothing is ever relaxed in a decision; these are what-ifs. A relaxation is offered only where its constraint rejected
something, and only if the changed workload then finds room beside all others.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from berth_scheduler.bid import Bid, berths_of, best_bid
from berth_scheduler.capacity import Room
from berth_scheduler.cost import money, usd_per_month
from berth_scheduler.decision import Alternative, Constraint
from berth_scheduler.rejection import Miss
from berth_scheduler.sizing import CODE, PASSED
from berth_scheduler.snapshot import Berth, CapacityType, LatencyObjective, Sharing, SpotPolicy, Workload
from berth_scheduler.survey import Survey, survey
from berth_scheduler.wording import BOUGHT, berths_phrase, dollars, duration, model_metric, objective_name

MOST = 5
MANY_REPLICAS = 10_000
WIDEST_REPLICA = 16
LATENCY_SLACK = 1.01
"""Above the best that is predicted, so that the offered limit is one that holds when it is asked for."""

TOO_SLOW = 4.0
"""A row whose lone request misses by this many times what the best row's does is not the best at any rate either."""

LEADERS = 8
"""Rows asked about first for each question; few others can then be better."""

Result = tuple[Berth, ...]
Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class WhatIf:
    """A workload with one thing changed; ``change`` says what, given the berths that it then gets."""

    original: int
    blamed: Constraint
    workload: Workload
    change: Callable[[Result, Decimal], str]


def relaxations(
    found: Survey, misses: Sequence[Sequence[Miss]], unplaced: Sequence[int], room: Room
) -> dict[int, tuple[Alternative, ...]]:
    """For each unplaced workload, at most :data:`MOST` ways to place it, cheapest first."""
    blamed = {index: {miss.constraint for miss in misses[index]} for index in unplaced}
    what_ifs = _with_best_latency(found, [index for index in unplaced if blamed[index] & _SPEED])
    for index in unplaced:
        for constraint, relax in RELAXATIONS:
            if constraint in blamed[index]:
                what_ifs.extend(relax(index, found.workloads[index]))
    if not what_ifs:
        return {}
    answers: dict[int, list[tuple[Decimal, Alternative]]] = {index: [] for index in unplaced}
    priced: set[tuple[int, Decimal]] = set()
    again = survey([one.workload for one in what_ifs], found.supply, found.policy)
    for position, what_if in sorted(enumerate(what_ifs), key=lambda one: _looseness(one[1])):
        own = room.release(what_if.workload.key)
        bid = best_bid(again, position, room, {}, in_place=False)
        for holding in own:
            room.hold(what_if.workload.key, holding)
        if bid is not None:
            usd, alternative = _alternative(again, what_if, bid)
            if what_if.blamed is Constraint.LATENCY:
                if (what_if.original, usd) in priced:
                    continue  # of two latencies at one price the tighter, which came first, says it all
                priced.add((what_if.original, usd))
            answers[what_if.original].append((usd, alternative))
    return {
        index: tuple(alternative for _, alternative in sorted(mine, key=lambda one: (one[0], one[1].message))[:MOST])
        for index, mine in answers.items()
    }


def _looseness(what_if: WhatIf) -> float:
    return sum(one.limit_seconds for one in what_if.workload.latency)


def _alternative(again: Survey, what_if: WhatIf, bid: Bid) -> tuple[Decimal, Alternative]:
    berths = berths_of(again, bid.option, int(again.batching[bid.option]), bid.replicas)
    usd = money(bid.usd_per_hour)
    change = what_if.change(berths, money(usd_per_month(bid.usd_per_hour, again.policy)))
    message = f"{change}: {berths_phrase(berths)}, {dollars(usd)}/h"
    return usd, Alternative(berths=berths, usd_per_hour=usd, lost_by=what_if.blamed, message=message, change=change)


# --- one relaxation each -------------------------------------------------------------------------------------------

_SPEED = {Constraint.LATENCY, Constraint.THROUGHPUT}


def _with_best_latency(found: Survey, unplaced: Sequence[int]) -> list[WhatIf]:
    """The objectives at the best that any candidate reaches, with the most replicas, a quarter of them, and the fewest:
    the tightest that there could be may cost too much, or find no room.

    Of all rows that fit, the one whose worst objective is missed by the smallest factor; only the objectives that it
    misses are changed.
    """
    asked = [
        _Asked(index, rows, missed_by, found.workloads[index].traffic.requests_per_second / count)
        for index, (rows, missed_by) in ((index, _rows_that_fit(found, index)) for index in unplaced)
        for count in _replica_counts(found.workloads[index])
        if len(rows) and found.workloads[index].latency
    ]
    leaders = [one.leaders() for one in asked]
    leading = _best_rows(found, asked, leaders)
    others = [one.contenders(best.missed_by) for one, best in zip(asked, leading, strict=True)]
    following = _best_rows(found, asked, others)
    what_ifs = {}
    for one, *bests in zip(asked, leading, following, strict=True):
        best = min(bests, key=lambda each: (each.missed_by, each.row))
        relaxed = _relaxed_latency(found.workloads[one.index], best)
        if relaxed is not None:
            what_ifs[one.index, relaxed] = _what_if_slower(one.index, found.workloads[one.index], relaxed)
    return list(what_ifs.values())


@dataclass(frozen=True, slots=True)
class _Asked:
    """Which row of a workload is the best at one rate per replica? ``missed_by``: the factor by which each one's lone
    request misses an objective, which no rate makes smaller; shapes (rows,), smallest first."""

    index: int
    rows: Integers
    missed_by: Floats
    requests_per_second: float

    def leaders(self) -> Integers:
        return self.rows[:LEADERS]

    def contenders(self, best: float) -> Integers:
        """The rows behind the leaders that could still be as good as the best of them."""
        return self.rows[LEADERS:][self.missed_by[LEADERS:] <= best]


@dataclass(frozen=True, slots=True)
class _Best:
    """The row whose worst objective is missed by the smallest factor, with the upper edge of each, seconds."""

    row: int = -1
    missed_by: float = np.inf
    edges: Mapping[LatencyObjective, float] = field(default_factory=dict)


def _best_rows(found: Survey, asked: Sequence[_Asked], rows: Sequence[Integers]) -> list[_Best]:
    """Of each question the best of the rows given for it; factor inf where no row carries the rate at all."""
    if not sum(map(len, rows)):
        return [_Best() for _ in asked]
    rates = np.concatenate([np.full(len(mine), one.requests_per_second) for one, mine in zip(asked, rows, strict=True)])
    predicted = found.sizing.predict(np.concatenate(list(rows)), rates)
    start, bests = 0, []
    for one, mine in zip(asked, rows, strict=True):
        block = slice(start, start + len(mine))
        start += len(mine)
        workload = found.workloads[one.index]
        edges = {
            ask: predicted.high[model_metric(workload, ask.metric)][ask.statistic][block] for ask in workload.latency
        }
        bests.append(_best_of(mine, edges))
    return bests


def _best_of(rows: Integers, edges: Mapping[LatencyObjective, Floats]) -> _Best:
    if not len(rows):
        return _Best()
    ratios = np.array([edge / ask.limit_seconds for ask, edge in edges.items()])
    worst = np.where(np.isnan(ratios).any(axis=0), np.inf, ratios.max(axis=0))
    place = int(np.lexsort((rows, worst))[0])
    return _Best(int(rows[place]), float(worst[place]), {ask: float(edge[place]) for ask, edge in edges.items()})


def _replica_counts(workload: Workload) -> list[int]:
    most = workload.maximum_replicas
    return sorted({workload.minimum_replicas, max(workload.minimum_replicas, -(-most // 4)), most})


def _what_if_slower(index: int, workload: Workload, relaxed: tuple[LatencyObjective, ...]) -> WhatIf:
    changed = [new for new, old in zip(relaxed, workload.latency, strict=True) if new != old]
    text = " and ".join(
        f"{objective_name(one.metric, one.statistic)} ≤ {duration(one.limit_seconds)}" for one in changed
    )
    return _what_if(index, Constraint.LATENCY, workload, lambda _berths, _usd: text, latency=relaxed)


def _rows_that_fit(found: Survey, index: int) -> tuple[Integers, Floats]:
    """Rows of the workload's lots that only speed rejects, and by what factor the lone request of each misses an
    objective, smallest first; without those that are far slower than the fastest."""
    lots, sizing = found.lots, found.sizing
    first, last = np.searchsorted(lots.workload, [index, index + 1])
    only_speed = np.isin(found.outcome.code[first:last], [CODE[one] for one in _SPEED])
    cells = np.unique(found.cell[first:last][only_speed])
    blocks = [np.arange(int(sizing.rows.first[cell]), int(sizing.rows.first[cell + 1])) for cell in cells]
    rows: Integers = np.concatenate(blocks) if blocks else np.zeros(0, dtype=np.int64)
    missed_by = np.full(len(rows), np.inf)
    late = sizing.code[rows] == CODE[Constraint.LATENCY]
    missed_by[late] = np.nan_to_num(sizing.value[rows][late] / sizing.limit[rows][late], nan=np.inf)
    missed_by[sizing.code[rows] == PASSED] = 1.0
    order = np.argsort(missed_by, kind="stable")
    rows, missed_by = rows[order], missed_by[order]
    near = np.isfinite(missed_by) & (missed_by <= TOO_SLOW * missed_by.min(initial=np.inf))
    return rows[near], missed_by[near]


def _relaxed_latency(workload: Workload, best: _Best) -> tuple[LatencyObjective, ...] | None:
    """None where no row carries the rate at all, or where nothing needs to be relaxed."""
    if not np.isfinite(best.missed_by) or best.missed_by <= 1:
        return None
    return tuple(
        ask if best.edges[ask] <= ask.limit_seconds else _at_least(ask, best.edges[ask] * LATENCY_SLACK)
        for ask in workload.latency
    )


def _at_least(ask: LatencyObjective, seconds: float) -> LatencyObjective:
    """The limit rounded up to three digits, so that it reads well."""
    digits = Decimal(f"{seconds:.2e}")
    step = Decimal(1).scaleb(digits.adjusted() - 2)
    limit = digits if float(digits) >= seconds else digits + step
    return ask.model_copy(update={"limit_seconds": float(limit)})


def _budget(index: int, workload: Workload) -> list[WhatIf]:
    def change(_: Result, usd_per_month: Decimal) -> str:
        return f"budget ≥ {dollars(usd_per_month.to_integral_value(rounding='ROUND_CEILING'))}/month"

    return [_what_if(index, Constraint.BUDGET, workload, change, budget_usd_per_month=None)]


def _replicas(index: int, workload: Workload) -> list[WhatIf]:
    def change(berths: Result, _: Decimal) -> str:
        return f"replicas.maximum ≥ {sum(berth.replicas for berth in berths)}"

    return [_what_if(index, Constraint.THROUGHPUT, workload, change, maximum_replicas=MANY_REPLICAS)]


def _gpus(index: int, workload: Workload) -> list[WhatIf]:
    def change(berths: Result, _: Decimal) -> str:
        gpu = berths[0].gpu
        return f"placement.gpus: {'stop denying' if gpu in workload.placement.deny else 'allow'} {gpu}"

    placement = workload.placement.model_copy(update={"allow": None, "deny": ()})
    return [_what_if(index, Constraint.GPU, workload, change, placement=placement)]


def _capacity_types(index: int, workload: Workload) -> list[WhatIf]:
    def change(berths: Result, _: Decimal) -> str:
        new = {berth.capacity_type for berth in berths} - set(workload.placement.capacity_types)
        return "placement.capacityTypes: allow " + " and ".join(kind.value for kind in CapacityType if kind in new)

    placement = workload.placement.model_copy(update={"capacity_types": tuple(CapacityType)})
    return [_what_if(index, Constraint.CAPACITY_TYPE, workload, change, placement=placement)]


def _spot_share(index: int, workload: Workload) -> list[WhatIf]:
    def change(berths: Result, _: Decimal) -> str:
        return f"spot.maximumSharePercent 100 and onDemandBase 0, all on {BOUGHT[berths[0].capacity_type]}"

    spot = SpotPolicy(maximum_share_percent=100, on_demand_base=0)
    return [_what_if(index, Constraint.SPOT_SHARE, workload, change, spot=spot)]


def _availability(index: int, workload: Workload) -> list[WhatIf]:
    """With spares beyond the maximum; steadier capacity types are asked about by :func:`_capacity_types`."""

    def change(berths: Result, _: Decimal) -> str:
        return f"replicas.maximum ≥ {sum(berth.replicas for berth in berths)}"

    return [_what_if(index, Constraint.AVAILABILITY, workload, change, maximum_replicas=MANY_REPLICAS)]


def _sharing(index: int, workload: Workload) -> list[WhatIf]:
    def change(berths: Result, _: Decimal) -> str:
        return f"placement.sharing: allow {berths[0].sharing.value}"

    placement = workload.placement.model_copy(update={"sharing": tuple(Sharing)})
    return [_what_if(index, Constraint.SHARING, workload, change, placement=placement)]


def _quality(index: int, workload: Workload) -> list[WhatIf]:
    def change(berths: Result, _: Decimal) -> str:
        quality = next(one.quality for one in workload.variants if one.precision == berths[0].precision)
        metric = workload.quality.metric if workload.quality else "quality"
        return f"quality {metric} ≥ {quality.score}" if quality else f"a quality score for {berths[0].precision}"

    return [_what_if(index, Constraint.QUALITY, workload, change, quality=None)]


def _carbon(index: int, workload: Workload) -> list[WhatIf]:
    def change(_berths: Result, _: Decimal) -> str:
        return "without objectives.carbon"

    return [_what_if(index, Constraint.CARBON, workload, change, carbon_grams_per_thousand_requests=None)]


def _width(index: int, workload: Workload) -> list[WhatIf]:
    def change(berths: Result, _: Decimal) -> str:
        return f"placement.maximumTensorParallel ≥ {berths[0].tensor_parallel}"

    placement = workload.placement.model_copy(update={"maximum_tensor_parallel": WIDEST_REPLICA})
    if workload.placement.maximum_tensor_parallel >= WIDEST_REPLICA:
        return []
    return [_what_if(index, Constraint.PARALLELISM, workload, change, placement=placement)]


def _what_if(
    index: int, blamed: Constraint, workload: Workload, change: Callable[[Result, Decimal], str], **update: object
) -> WhatIf:
    return WhatIf(index, blamed, workload.model_copy(update={**update, "running": ()}), change)


RELAXATIONS: tuple[tuple[Constraint, Callable[[int, Workload], list[WhatIf]]], ...] = (
    (Constraint.BUDGET, _budget),
    (Constraint.THROUGHPUT, _replicas),
    (Constraint.GPU, _gpus),
    (Constraint.CAPACITY_TYPE, _capacity_types),
    (Constraint.AVAILABILITY, _availability),
    (Constraint.SPOT_SHARE, _spot_share),
    (Constraint.SHARING, _sharing),
    (Constraint.QUALITY, _quality),
    (Constraint.CARBON, _carbon),
    (Constraint.MEMORY, _width),
    (Constraint.LATENCY, _width),
)
"""By the constraint that must have rejected something for the change to be worth asking about."""
