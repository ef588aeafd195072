"""Why not the others: of every (GPU, slice, precision, capacity type) the candidate that missed by the least.

The nearest miss is the one that got furthest in the chain and then missed its limit by the smallest factor.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from berth_cost.rounding import significant
from berth_scheduler.decision import Constraint
from berth_scheduler.fleet import FleetPlan
from berth_scheduler.sizing import CODE, PASSED
from berth_scheduler.survey import Survey

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

CONSTRAINTS = tuple(Constraint)
CHOSEN = -1


@dataclass(frozen=True, slots=True)
class Miss:
    """The nearest miss of one group, in the constraint's unit, six significant digits (nan: not a number)."""

    lot: int
    offer: int
    variant: int
    constraint: Constraint
    value: float
    limit: float


def nearest_misses(found: Survey, plan: FleetPlan) -> list[list[Miss]]:
    """For each workload, the furthest-reaching first."""
    lots, supply = found.lots, found.supply
    code, value, limit = _verdicts(found, plan)
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = value / limit
        factor = np.where(code == CODE[Constraint.QUALITY], 1 / factor, factor)
    factor = np.where(np.isnan(factor), np.inf, factor)

    # What is rejected before its precision is looked at is rejected once, not once per precision.
    unread = (code != CHOSEN) & (code < CODE[Constraint.PRECISION])
    precision = np.where(unread, -1, lots.precision)
    pool = np.where(code == CODE[Constraint.POOL], lots.offer, -1)
    group = _group_number(lots.workload, lots.shape, precision, supply.steadiness[lots.offer], pool)
    chosen = np.zeros(int(group.max(initial=-1)) + 1, dtype=np.bool_)
    chosen[group[code == CHOSEN]] = True

    order = np.lexsort((np.arange(len(lots)), factor, -code, group))
    order = order[~chosen[group[order]]]
    nearest = order[np.concatenate(([True], np.diff(group[order]) != 0))] if len(order) else order
    nearest = nearest[np.lexsort((nearest, factor[nearest], -code[nearest], lots.workload[nearest]))]

    misses: list[list[Miss]] = [[] for _ in lots.workloads]
    whose = lots.workload[nearest].tolist()
    numbers = (significant(value[nearest]), significant(limit[nearest]))
    columns = (nearest, lots.offer[nearest], lots.variant[nearest], code[nearest], *numbers)
    for workload, *what in zip(whose, *(column.tolist() for column in columns), strict=True):
        lot, offer, variant, number, got, allowed = what
        misses[workload].append(Miss(lot, offer, variant, CONSTRAINTS[number], got, allowed))
    return misses


def _verdicts(found: Survey, plan: FleetPlan) -> tuple[Integers, Floats, Floats]:
    """The chain's outcome, and for lots that passed it what the fleet plan made of their option (lots,)."""
    options, lots = found.options, found.lots
    code = found.outcome.code.copy()
    value, limit = found.outcome.value.copy(), found.outcome.limit.copy()
    of_option = np.full(len(options), CODE[Constraint.COST], dtype=np.int64)
    got, allowed = options.bound_usd_per_hour.copy(), np.full(len(options), np.nan)
    for index, choice in plan.choices.items():
        mine = slice(int(options.first[index]), int(options.first[index + 1]))
        paid = np.nan if choice.usd_per_hour is None else float(choice.usd_per_hour)
        allowed[mine] = paid
        if choice.kept:
            of_option[mine] = np.where(got[mine] <= paid, CODE[Constraint.KEPT], of_option[mine])
    _over_budget(found, of_option, got, allowed)
    for option, lost in plan.lost.items():
        of_option[option], got[option], allowed[option] = CODE[lost.constraint], lost.value, lost.limit

    option_of_lot = np.repeat(np.arange(len(options)), np.diff(options.first_lot))
    code[options.lots] = of_option[option_of_lot]
    value[options.lots], limit[options.lots] = got[option_of_lot], allowed[option_of_lot]
    for choice in plan.choices.values():
        if choice.option is not None:
            pools = {berth.pool for berth in choice.berths}
            for lot in options.lots_of(choice.option).tolist():
                if found.supply.offers[lots.offer[lot]].pool.name in pools:
                    code[lot] = CHOSEN
    assert not (code == PASSED).any(), "every lot is chosen or rejected"
    return code, value, limit


def _over_budget(found: Survey, code: Integers, value: Floats, limit: Floats) -> None:
    """Options that nobody asked for, because something cheaper was at hand, may be over budget besides."""
    budgets = [
        np.inf if workload.budget_usd_per_month is None else float(workload.budget_usd_per_month)
        for workload in found.workloads
    ]
    budget = np.array(budgets)[found.options.workload]
    month = found.options.bound_usd_per_hour * float(found.policy.hours_per_month)
    over = month > budget
    code[over] = CODE[Constraint.BUDGET]
    value[over], limit[over] = month[over], budget[over]


def _group_number(*columns: Integers) -> Integers:
    shifted = [column - column.min(initial=0) for column in columns]
    sizes = tuple(int(column.max(initial=0)) + 1 for column in shifted)
    _, group = np.unique(np.ravel_multi_index(tuple(shifted), sizes), return_inverse=True)
    return group.astype(np.int64)
