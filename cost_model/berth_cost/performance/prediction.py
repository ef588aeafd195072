"""Predict latency, throughput, memory and power of many cases at once: the only door to the performance model.

The scheduler, ``berth predict`` and the benchmarks call :func:`predict`; the planner also asks
:func:`sustainable_rate`, which inverts it. How the model works: ``roofline`` (a step's time from its work),
``batching`` (language models), ``batch_service`` (classic networks), ``bands`` (how sure it is).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from berth_cost.hardware.memory_split import memory_split
from berth_cost.performance.bands import band_edges, calibration_factor
from berth_cost.performance.bracketing import Excess, last_true
from berth_cost.performance.case_table import (
    Booleans,
    Calibration,
    CaseTable,
    Floats,
    Integers,
    LoadKind,
    Objects,
    rows_of,
)
from berth_cost.performance.engine_constants import Constants, built_in_constants
from berth_cost.performance.feasibility import Feasibility, is_transformer, without_reasons
from berth_cost.performance.outcome import Outcome, classic_outcome, empty_outcome, language_outcome, scatter, widening
from berth_cost.performance.percentiles import STATISTICS
from berth_cost.performance.prediction_table import SCALAR, PredictionTable
from berth_cost.performance.replica import (
    END_TO_END,
    LANGUAGE_METRICS,
    LATENCY,
    TIME_PER_OUTPUT_TOKEN,
    LanguageReplicas,
    Replicas,
    classic_replicas,
    language_replicas,
)
from berth_cost.performance.simulated.open_loads import simulated_language_state
from berth_cost.performance.simulated.request_loads import simulated_classic_state

__all__ = [
    "Booleans",
    "Calibration",
    "CaseTable",
    "Feasibility",
    "Floats",
    "Integers",
    "LoadKind",
    "PredictionTable",
    "SustainableRate",
    "feasibility",
    "predict",
    "sustainable_rate",
]

CHUNK_ROWS = 4096
"""Rows inverted together: the columns of a chunk stay in the processor's cache over the iterations."""
ASKED_NOTHING_SECONDS = 1e30
"""Stands for no objective: infinities would hide from the secant steps how far the others are from theirs."""


@dataclass(frozen=True, slots=True)
class SustainableRate:
    """The highest open-loop rate per replica at which every objective holds on the pessimistic edge of the band.

    ``requests_per_second`` is 0 where an objective is broken even by a lone request; then ``binding`` names that
    objective as (metric, statistic), ``value`` is the pessimistic edge for a lone request and ``limit`` the objective.
    Where the rate is above 0, ``binding`` names what would break first (None: throughput itself), and ``value`` is the
    pessimistic edge at that rate. It is 0 without ``binding`` where the case cannot run at all: ``reasons`` says why.
    """

    requests_per_second: Floats
    binding: NDArray[np.object_]
    value: Floats
    limit: Floats
    maximum_rate: Floats
    """Requests per second at which a replica is saturated, by the point prediction; nan where it cannot run."""
    reasons: Feasibility


def predict(table: CaseTable, constants: Constants | None = None, *, seed: int | None = None) -> PredictionTable:
    """Latency percentiles, throughput, memory, power and energy of every case.

    With a ``seed``, percentiles under an open load that is not light come from a simulation, a few milliseconds a case;
    without one from closed forms, as everything else does.

    Reasons: ``unknown`` (a number that nobody knows, named in the message), ``parallelism``, ``precision``,
    ``memory`` (value and limit in bytes), ``overload`` (value and limit in requests per second), ``batch`` (of a
    classic network: items of a request, and what its largest batch holds; not under open loads). A classic network is
    refused for memory that it cannot do without; :func:`feasibility` and :func:`sustainable_rate`, which promise that
    it runs, refuse it for memory that it may need.
    """
    constants = constants or built_in_constants()
    outcome = empty_outcome(len(table))
    language = is_transformer(table)
    of_language, of_network = language_outcome, classic_outcome
    if seed is not None:
        of_language = partial(language_outcome, point_state=partial(simulated_language_state, seed=seed))
        of_network = partial(classic_outcome, point_state=partial(simulated_classic_state, seed=seed))
    for kind in LoadKind:
        for rows, answer in ((language, of_language), (~language, of_network)):
            chosen = np.flatnonzero(rows & (table.load_kind == kind))
            if len(chosen):
                scatter(outcome, chosen, answer(table.rows(chosen), kind, constants))
    split = memory_split(
        table,
        language,
        outcome.parts["memory_seconds"],
        outcome.point["outputTokensPerSecond"][SCALAR],
        outcome.point[TIME_PER_OUTPUT_TOKEN]["mean"],
    )
    return replace(_prediction_table(table, outcome, constants), memory_split=split)


def _prediction_table(table: CaseTable, outcome: Outcome, constants: Constants) -> PredictionTable:
    evidence = np.full(len(table), "estimated", dtype=object)
    return PredictionTable(
        feasible=outcome.reasons.feasible,
        reason_code=outcome.reasons.code,
        reason_message=outcome.reasons.message,
        reason_value=outcome.reasons.value,
        reason_limit=outcome.reasons.limit,
        point=outcome.point,
        low=outcome.low,
        high=outcome.high,
        parts=outcome.parts,
        utilization=outcome.utilization,
        evidence=evidence if table.calibration is None else table.calibration.evidence,
        maximum_rate=outcome.maximum_rate,
        model_version=constants.model_version,
    )


def feasibility(table: CaseTable, constants: Constants | None = None) -> Feasibility:
    """Only whether each case is sure to run, whatever its load: what :func:`predict` refuses except ``overload`` and
    ``batch``, and what may need more memory than there is."""
    constants = constants or built_in_constants()
    reasons = without_reasons(len(table))
    for chosen, replicas in _by_kind_of_model(table, constants):
        _copy_reasons(reasons, chosen, replicas.reasons)
    return reasons


def sustainable_rate(
    table: CaseTable, objectives: Mapping[tuple[str, str], Floats], constants: Constants | None = None
) -> SustainableRate:
    """Invert :func:`predict` for the rate. ``objectives``: (metric, statistic) → limit in seconds (n,), inf: not asked.

    The table's own ``load_kind`` and ``requests_per_second`` are ignored; its ``burstiness`` is respected.
    ``endToEndSeconds`` and ``latencySeconds`` mean each other where the model has only one of them; an objective on
    tokens of a classic network cannot hold (rate 0, value nan). Raises ValueError where an objective names no latency
    metric or statistic, or a limit is nan or not above 0.
    """
    _check_objectives(objectives)
    constants = constants or built_in_constants()
    count = len(table)
    opened = replace(table, load_kind=np.full(count, int(LoadKind.OPEN)), requests_per_second=np.ones(count))
    asked = [(key, limits) for key, limits in sorted(objectives.items()) if np.isfinite(limits).any()]
    rate, value, limit = np.zeros(count), np.full(count, np.nan), np.full(count, np.nan)
    binding, maximum = np.full(count, None, dtype=object), np.full(count, np.nan)
    reasons = without_reasons(count)
    for chosen, replicas in _by_kind_of_model(opened, constants):
        _copy_reasons(reasons, chosen, replicas.reasons)
        able = replicas.reasons.feasible
        here = [(key, limits[chosen]) for key, limits in asked if np.isfinite(limits[chosen]).any()]
        solved = _inverted(replicas, here, constants)
        rate[chosen] = np.where(able, solved.rate, 0.0)
        value[chosen], limit[chosen] = np.where(able, solved.value, np.nan), np.where(able, solved.limit, np.nan)
        binding[chosen[able]] = solved.binding[able]
        maximum[chosen] = np.where(
            able, replicas.maximum_rate / calibration_factor(replicas.table, _service_metric(replicas)), np.nan
        )
    return SustainableRate(rate, binding, value, limit, maximum, reasons)


def _check_objectives(objectives: Mapping[tuple[str, str], Floats]) -> None:
    for (metric, statistic), limits in objectives.items():
        if metric not in (*LANGUAGE_METRICS, LATENCY):
            raise ValueError(f"objective on {metric!r}: name one of {', '.join((*LANGUAGE_METRICS, LATENCY))}")
        if statistic not in STATISTICS:
            raise ValueError(f"objective on {metric}.{statistic}: the statistics are {', '.join(STATISTICS)}")
        if not np.all(limits > 0):
            raise ValueError(f"objective on {metric}.{statistic}: a limit must be above 0 seconds, inf where not asked")


def _by_kind_of_model(table: CaseTable, constants: Constants) -> list[tuple[Integers, Replicas]]:
    """The rows of language models and of classic networks, each as replicas."""
    language = is_transformer(table)
    groups: list[tuple[Integers, Replicas]] = []
    chosen = np.flatnonzero(language)
    if len(chosen):
        groups.append((chosen, language_replicas(table.rows(chosen), constants)))
    chosen = np.flatnonzero(~language)
    if len(chosen):
        groups.append((chosen, classic_replicas(table.rows(chosen), constants, sure=True)))
    return groups


def _copy_reasons(reasons: Feasibility, chosen: Integers, some: Feasibility) -> None:
    reasons.feasible[chosen] = some.feasible
    reasons.code[chosen], reasons.message[chosen] = some.code, some.message
    reasons.value[chosen], reasons.limit[chosen] = some.value, some.limit


def _service_metric(replicas: Replicas) -> str:
    """The time whose band says how much slower than predicted a replica may be."""
    return TIME_PER_OUTPUT_TOKEN if isinstance(replicas, LanguageReplicas) else LATENCY


@dataclass(frozen=True, slots=True)
class _Inverted:
    rate: Floats
    binding: Objects
    value: Floats
    limit: Floats


@dataclass(frozen=True, slots=True)
class _Objective:
    """``statistic`` of ``metric`` (None: the model has none of the kind), times ``edge``, must not exceed ``limit``."""

    metric: str | None
    statistic: str
    edge: Floats
    limit: Floats


def _inverted(replicas: Replicas, asked: Sequence[tuple[tuple[str, str], Floats]], constants: Constants) -> _Inverted:
    """Find the largest load variable at which every objective holds on the pessimistic edge.

    On that edge every service time is longer by a factor h, so a rate λ loads the replica as λ·h would at the point:
    h·T(λ·h), the same replica on a slower clock.
    """
    table, wide = replicas.table, widening(replicas)
    service = _service_metric(replicas)
    edge = calibration_factor(table, service) * band_edges(constants, table, service, "mean", wide)[1]
    objectives = [_objective(replicas, key, limits, constants, wide) for key, limits in asked]
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        load, excess = _largest_loads(replicas, objectives)
    if not objectives:
        unknown = np.full(len(table), np.nan)
        return _Inverted(replicas.rate(load) / edge, np.full(len(table), None, dtype=object), unknown, unknown)
    worst = excess.argmax(axis=0)
    impossible = excess[worst, np.arange(len(table))] > 0
    throughput = ~impossible & (load >= replicas.fullest())
    limits = np.array([objective.limit for objective in objectives])[worst, np.arange(len(table))]
    keys = np.empty(len(asked), dtype=object)
    keys[:] = [key for key, _ in asked]
    binding = keys[worst]
    binding[throughput] = None
    value = limits * np.exp(excess[worst, np.arange(len(table))])
    return _Inverted(
        rate=np.where(impossible, 0.0, replicas.rate(load) / edge),
        binding=binding,
        value=np.where(throughput | ~np.isfinite(value), np.nan, value),
        limit=np.where(throughput, np.nan, limits),
    )


def _largest_loads(replicas: Replicas, objectives: Sequence[_Objective]) -> tuple[Floats, Floats]:
    """(largest load variable at which all hold, or the lightest; :func:`_excesses` there)."""
    count = len(replicas.table)
    if not objectives:
        return replicas.fullest(), np.empty((0, count))
    load, excess = np.empty(count), np.empty((len(objectives), count))
    for start in range(0, count, CHUNK_ROWS):
        part = slice(start, start + CHUNK_ROWS)
        some, asked = rows_of(replicas, part), [rows_of(objective, part) for objective in objectives]
        load[part] = last_true(partial(_worst_excess, some, asked), some.lightest(), some.fullest())
        excess[:, part] = _excesses(some, asked, load[part])
    return load, excess


def _objective(
    replicas: Replicas, key: tuple[str, str], limits: Floats, constants: Constants, wide: Floats
) -> _Objective:
    metric, statistic = key
    own = _own_metric(replicas, metric)
    high = band_edges(constants, replicas.table, own or LATENCY, statistic, wide)[1]
    return _Objective(
        metric=own,
        statistic=statistic,
        edge=calibration_factor(replicas.table, own or LATENCY) * high,
        limit=np.where(np.isfinite(limits), limits, ASKED_NOTHING_SECONDS),
    )


def _excesses(replicas: Replicas, objectives: Sequence[_Objective], load: Floats) -> Floats:
    """log(pessimistic edge / limit) by objective, shape (objectives, n); infinite where it cannot hold."""
    latencies = replicas.open_latencies(load)
    rows = np.empty((len(objectives), len(load)))
    for row, objective in enumerate(objectives):
        if objective.metric is None:
            rows[row] = np.where(objective.limit < ASKED_NOTHING_SECONDS, np.inf, -np.inf)
        else:
            latency = latencies[objective.metric].statistic(objective.statistic)
            rows[row] = np.log(objective.edge * latency / objective.limit)
    return rows


def _worst_excess(replicas: Replicas, objectives: Sequence[_Objective], rows: Integers) -> Excess:
    """The function of some rows that :func:`last_true` needs."""
    some, asked = rows_of(replicas, rows), [rows_of(objective, rows) for objective in objectives]
    return lambda load: -np.expm1(-_excesses(some, asked, load).max(axis=0))


def _own_metric(replicas: Replicas, metric: str) -> str | None:
    """What the model calls the metric; None where it has none of the kind."""
    if isinstance(replicas, LanguageReplicas):
        return END_TO_END if metric == LATENCY else metric
    if metric == END_TO_END:
        return LATENCY
    return None if metric in LANGUAGE_METRICS else metric
