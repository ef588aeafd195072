"""From a replica's state under its load to metrics with bands, parts and utilisation."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np

from berth_cost.performance.bands import (
    ESTIMATED_WIDENING,
    RECALLED_WIDENING,
    band_edges,
    calibration_factor,
)
from berth_cost.performance.batch_service import ClassicState
from berth_cost.performance.batching import LanguageState
from berth_cost.performance.case_table import Booleans, CaseTable, Floats, Integers, LoadKind
from berth_cost.performance.energy import power_watts
from berth_cost.performance.engine_constants import Constants
from berth_cost.performance.feasibility import OVERLOAD, Feasibility, check_batch, check_overload, without_reasons
from berth_cost.performance.percentiles import STATISTICS, Latency
from berth_cost.performance.prediction_table import SCALAR
from berth_cost.performance.replica import (
    LANGUAGE_METRICS,
    LATENCY,
    TIME_PER_OUTPUT_TOKEN,
    ClassicReplicas,
    LanguageReplicas,
    Replicas,
    classic_replicas,
    classic_state,
    language_replicas,
    language_state,
    latencies_of,
)
from berth_cost.performance.roofline import share_of_first

SCALARS = (
    "requestsPerSecond",
    "itemsPerSecond",
    "outputTokensPerSecond",
    "totalTokensPerSecond",
    "memoryBytesPerGPU",
    "powerWattsPerGPU",
    "joulesPerOutputToken",
    "joulesPerRequest",
)
OUTPUT_RATE, POWER_WATTS = "outputTokensPerSecond", "powerWattsPerGPU"
PARTS = (
    "compute_seconds",
    "memory_seconds",
    "overhead_seconds",
    "communication_seconds",
    "host_seconds",
    "queue_seconds",
)

OFFERED_EDGES = (0.93, 1.01)
"""Served over offered: published runs of an hour of conversations serve what is offered within 0.2 %, runs of 1,000
requests 5 to 11 % less, because the last ones are waited for."""

Edges = tuple[Floats, Floats, Floats]
"""Stretch of every service time at the low edge of the band, at the point, at the high edge."""
ReplicasOfKind = TypeVar("ReplicasOfKind", LanguageReplicas, ClassicReplicas)
State = TypeVar("State")
Answer = TypeVar("Answer")
Columns = dict[str, dict[str, Floats]]
"""By metric, then statistic."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of all rows; shapes (n,)."""

    reasons: Feasibility
    point: Columns
    low: Columns
    high: Columns
    parts: dict[str, Floats]
    utilization: Floats
    maximum_rate: Floats


def empty_outcome(rows: int) -> Outcome:
    """Nothing known about any of ``rows`` rows."""

    def nothing() -> Columns:
        columns = {
            metric: {name: np.full(rows, np.nan) for name in STATISTICS} for metric in (*LANGUAGE_METRICS, LATENCY)
        }
        return columns | {metric: {SCALAR: np.full(rows, np.nan)} for metric in SCALARS}

    return Outcome(
        reasons=without_reasons(rows),
        point=nothing(),
        low=nothing(),
        high=nothing(),
        parts={name: np.full(rows, np.nan) for name in PARTS},
        utilization=np.full(rows, np.nan),
        maximum_rate=np.full(rows, np.nan),
    )


def scatter(whole: Outcome, chosen: Integers, part: Outcome) -> None:
    """Write the rows of ``part``, which are the rows ``chosen`` of ``whole``; infeasible ones stay nan."""
    feasible = part.reasons.feasible
    for name in ("feasible", "code", "message", "value", "limit"):
        getattr(whole.reasons, name)[chosen] = getattr(part.reasons, name)
    for target, source in ((whole.point, part.point), (whole.low, part.low), (whole.high, part.high)):
        for metric, statistics in source.items():
            for statistic, values in statistics.items():
                target[metric][statistic][chosen] = np.where(feasible, values, np.nan)
    for name, values in part.parts.items():
        whole.parts[name][chosen] = np.where(feasible, values, np.nan)
    whole.utilization[chosen] = np.where(feasible, part.utilization, np.nan)
    runs = feasible | (part.reasons.code == OVERLOAD)
    whole.maximum_rate[chosen] = np.where(runs, part.maximum_rate, np.nan)


def widening(replicas: Replicas) -> Floats:
    """What is less sure than usual about each row widens its band by this much, in logs; shape (n,)."""
    wide = RECALLED_WIDENING * replicas.device.recalled
    if isinstance(replicas, ClassicReplicas):
        wide = wide + ESTIMATED_WIDENING * replicas.estimated
    return wide


def language_outcome(
    table: CaseTable,
    kind: LoadKind,
    constants: Constants,
    point_state: Callable[[LanguageReplicas, LoadKind, Floats], LanguageState] = language_state,
) -> Outcome:
    """Of rows that are all transformers under loads of one kind. ``point_state``: of the latencies at the point, whose
    edges keep the distance in closed form."""
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        replicas = language_replicas(table, constants)
        edges = _edges(replicas, constants, TIME_PER_OUTPUT_TOKEN)
        states = _states(replicas, kind, edges, language_state)
        refuse_overload(replicas, kind, edges[1])
        latencies = _per_state(states, latencies_of)
        columns = _latency_columns(replicas, constants, latencies, LANGUAGE_METRICS)
        state, stretch = states[1], edges[1]
        if point_state is not language_state and kind is LoadKind.OPEN:
            state = point_state(replicas, kind, stretch)
            _moved(columns, latencies[1], latencies_of(state), _told(table))
        rates = _language_rates(replicas, constants, kind, states[1], edges)
        served = rates[1] if kind is LoadKind.OPEN else states[1].requests_per_second / stretch
        output, total = table.output_tokens, table.input_tokens + table.output_tokens
        _add_rates(
            columns,
            rates,
            {"requestsPerSecond": 1.0, "outputTokensPerSecond": output, "totalTokensPerSecond": total},
        )
        held = replicas.batching.memory.held_bytes(np.maximum(state.sequences, 1.0))
        _add_banded(columns, constants, replicas, "memoryBytesPerGPU", held)
        compute, memory = _step_shares(replicas, state)
        busy = -np.expm1(-state.sequences - state.requests_per_second * state.prefill_seconds)
        # A faster clock costs more than its share: power rises with the root of the rate of computing.
        watts = power_watts(constants.language.power, replicas.device, busy, np.sqrt(compute), memory)
        watts = watts * calibration_factor(table, POWER_WATTS)
        _add_energy(columns, constants, replicas, watts, output)
        return Outcome(
            reasons=replicas.reasons,
            point=columns[1],
            low=columns[0],
            high=columns[2],
            parts=_language_parts(replicas, state, stretch),
            utilization=_utilization(kind, served, replicas.maximum_rate / stretch),
            maximum_rate=replicas.maximum_rate / stretch,
        )


def classic_outcome(
    table: CaseTable,
    kind: LoadKind,
    constants: Constants,
    point_state: Callable[[ClassicReplicas, LoadKind, Floats], ClassicState] = classic_state,
) -> Outcome:
    """Of rows that are all classic networks under loads of one kind; ``point_state`` as in
    :func:`language_outcome`."""
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        replicas = classic_replicas(table, constants)
        if kind is not LoadKind.OPEN:
            # Plans ask about open loads of requests that no batch holds, to say how long one would take at least.
            check_batch(table, replicas.reasons)
        edges = _edges(replicas, constants, LATENCY)
        states = _states(replicas, kind, edges, classic_state)
        refuse_overload(replicas, kind, edges[1])
        latencies = _per_state(states, _latency_by_name)
        columns = _latency_columns(replicas, constants, latencies, (LATENCY,))
        state, stretch = states[1], edges[1]
        if point_state is not classic_state and kind is LoadKind.OPEN:
            state = point_state(replicas, kind, stretch)
            _moved(columns, latencies[1], _latency_by_name(state), _told(table))
        rates = [state.requests_per_second / edge for state, edge in zip(states, edges, strict=True)]
        if kind is LoadKind.OPEN:
            rates = _served_rates(replicas, edges)
        _add_rates(columns, rates, {"requestsPerSecond": 1.0, "itemsPerSecond": replicas.service.items})
        _add_banded(columns, constants, replicas, "memoryBytesPerGPU", replicas.memory_bytes)
        below = columns[0]["memoryBytesPerGPU"]
        below[SCALAR] = np.minimum(below[SCALAR], replicas.least_memory_bytes)
        passes = replicas.service.work
        compute, memory = passes.compute(state.items_per_pass), passes.memory(state.items_per_pass)
        cycle = replicas.service.cycle_seconds(state.items_per_pass / replicas.service.items)
        watts = power_watts(constants.classic.power, replicas.device, state.busy, compute / cycle, memory / cycle)
        _add_energy(columns, constants, replicas, watts, None)
        return Outcome(
            reasons=replicas.reasons,
            point=columns[1],
            low=columns[0],
            high=columns[2],
            parts=_classic_parts(replicas, state, stretch),
            utilization=_utilization(kind, rates[1], replicas.maximum_rate / stretch),
            maximum_rate=replicas.maximum_rate / stretch,
        )


def _edges(replicas: Replicas, constants: Constants, metric: str) -> Edges:
    """How much longer service takes than counted: at the low edge of the band, at the point, at the high edge."""
    point = calibration_factor(replicas.table, metric)
    low, high = band_edges(constants, replicas.table, metric, "mean", widening(replicas))
    return point * low, point, point * high


def _states(
    replicas: ReplicasOfKind,
    kind: LoadKind,
    edges: Edges,
    state_of: Callable[[ReplicasOfKind, LoadKind, Floats], State],
) -> list[State]:
    """At the low edge, the point and the high edge: only an open load makes a slower replica fuller."""
    if kind is LoadKind.OPEN:
        return [state_of(replicas, kind, stretch) for stretch in edges]
    return [state_of(replicas, kind, edges[1])] * 3


def _per_state(states: list[State], of: Callable[[State], Answer]) -> list[Answer]:
    """``of`` each state, asked once where they are the same."""
    if states[0] is states[1]:
        return [of(states[0])] * 3
    return [of(state) for state in states]


def _latency_by_name(state: ClassicState) -> dict[str, Latency]:
    return {LATENCY: state.latency}


def _seconds(metric: str, statistic: str, latencies: dict[str, Latency]) -> Floats:
    return latencies[metric].statistic(statistic)


def refuse_overload(replicas: Replicas, kind: LoadKind, stretch: Floats) -> None:
    if kind is LoadKind.OPEN:
        check_overload(replicas.reasons, replicas.table.requests_per_second, replicas.maximum_rate / stretch)


def _latency_columns(
    replicas: Replicas,
    constants: Constants,
    latencies: list[dict[str, Latency]],
    metrics: tuple[str, ...],
) -> list[Columns]:
    """Low, point and high columns. An edge is the metric's own factor on the latency under the load of that edge."""
    wide = widening(replicas)
    columns: list[Columns] = [{}, {}, {}]
    for metric in metrics:
        calibrated = calibration_factor(replicas.table, metric)
        for target in columns:
            target[metric] = {}
        for statistic in STATISTICS:
            low, high = band_edges(constants, replicas.table, metric, statistic, wide)
            times = _per_state(latencies, partial(_seconds, metric, statistic))
            for target, seconds, factor in zip(columns, times, (low, np.ones_like(low), high), strict=True):
                target[metric][statistic] = calibrated * seconds * factor
    return columns


def _moved(columns: list[Columns], before: dict[str, Latency], after: dict[str, Latency], told: Booleans) -> None:
    """Point and edges by the factor by which the point moves. Where runs have ``told`` the mean, it stays, and the
    simulation says only how percentiles lie around it."""
    for metric, latency in before.items():
        mean = np.where(told, latency.statistic("mean") / after[metric].statistic("mean"), 1.0)
        for statistic in STATISTICS:
            factor = mean * after[metric].statistic(statistic) / latency.statistic(statistic)
            for target in columns:
                target[metric][statistic] = target[metric][statistic] * factor


def _language_rates(
    replicas: LanguageReplicas, constants: Constants, kind: LoadKind, state: LanguageState, edges: Edges
) -> list[Floats]:
    """Requests per second as of the fast service, the point and the slow one. Throughput that nobody offers has runs
    and a band of its own."""
    if kind is LoadKind.OPEN:
        return _served_rates(replicas, edges)
    point = state.requests_per_second * calibration_factor(replicas.table, OUTPUT_RATE)
    low, high = band_edges(constants, replicas.table, OUTPUT_RATE, SCALAR, np.zeros(len(replicas.table)))
    return [point * high, point, point * low]


def _served_rates(replicas: Replicas, edges: Edges) -> list[Floats]:
    """Of an open load, as of the fast service, the point and the slow one: what is offered. A replica as slow as the
    band allows may not keep up, and a run of finite length serves a little less."""
    offered = replicas.table.requests_per_second
    low, high = OFFERED_EDGES
    return [offered * high, offered, np.minimum(offered, replicas.maximum_rate / edges[2]) * low]


def _add_rates(columns: list[Columns], rates: list[Floats], per_request: dict[str, Floats | float]) -> None:
    """Throughput by metric, from the ``rates`` of the fast service, the point and the slow one."""
    # The slow edge of the service is the low edge of the throughput.
    for target, rate in zip(columns, reversed(rates), strict=True):
        for metric, units in per_request.items():
            target[metric] = {SCALAR: rate * units}


def _told(table: CaseTable) -> Booleans:
    """Rows that runs say something about."""
    if table.calibration is None:
        return np.zeros(len(table), dtype=np.bool_)
    return np.asarray(table.calibration.evidence != "estimated", dtype=np.bool_)


def _add_banded(columns: list[Columns], constants: Constants, replicas: Replicas, metric: str, values: Floats) -> None:
    low, high = band_edges(constants, replicas.table, metric, SCALAR, np.zeros(len(replicas.table)))
    for target, factor in zip(columns, (low, np.ones_like(low), high), strict=True):
        target[metric] = {SCALAR: values * factor}


def _add_energy(
    columns: list[Columns], constants: Constants, replicas: Replicas, watts: Floats, output: Floats | None
) -> None:
    _add_banded(columns, constants, replicas, POWER_WATTS, watts)
    # Joules per request = power / rate: each edge of the energy is that edge of the power over the other of the rate.
    rates = [target["requestsPerSecond"][SCALAR] for target in columns]
    for target, slow in zip(columns, reversed(rates), strict=True):
        joules = target[POWER_WATTS][SCALAR] * replicas.table.gpu_count / slow
        target["joulesPerRequest"] = {SCALAR: joules}
        if output is not None:
            target["joulesPerOutputToken"] = {SCALAR: joules / output}
    if output is not None:
        # Errors of power and rate are not independent: measured energy has edges of its own, until runs tell the rate.
        composed = [target["joulesPerOutputToken"][SCALAR] for target in columns]
        _add_banded(columns, constants, replicas, "joulesPerOutputToken", composed[1].copy())
        told = _told(replicas.table)
        for target, own in zip(columns, composed, strict=True):
            joules = np.where(told, own, target["joulesPerOutputToken"][SCALAR])
            target["joulesPerOutputToken"] = {SCALAR: joules}
            target["joulesPerRequest"] = {SCALAR: joules * output}


def _utilization(kind: LoadKind, rate: Floats, maximum: Floats) -> Floats:
    if kind is LoadKind.BATCH:
        return np.full_like(rate, np.nan)
    return np.minimum(rate / maximum, 1.0)


def _step_shares(replicas: LanguageReplicas, state: LanguageState) -> tuple[Floats, Floats]:
    """Compute and memory time of a mean step, each as a share of it."""
    step, sequences = replicas.batching.step, state.sequences
    plain = step.split(sequences, np.zeros_like(sequences))
    mixed = step.split(sequences, state.mixed_tokens)
    shares = [
        (plain[name] + state.mixed_share * (mixed[name] - plain[name])) / state.step_seconds
        for name in ("compute_seconds", "memory_seconds")
    ]
    return shares[0], shares[1]


def _language_parts(replicas: LanguageReplicas, state: LanguageState, stretch: Floats) -> dict[str, Floats]:
    """Prefill and decode split by what their steps are made of; what is left of the mean latency is queueing."""
    batching, step = replicas.batching, replicas.batching.step
    zero = np.zeros_like(state.sequences)
    chunk = np.minimum(batching.prompt, batching.token_budget)
    decode = batching.decode_steps * state.step_seconds
    parts: dict[str, Floats] = dict.fromkeys(PARTS, zero)
    for seconds, sequences, prompts in (
        (state.prefill_seconds, zero, chunk),
        ((1 - state.mixed_share) * decode, state.sequences, zero),
        (state.mixed_share * decode, state.sequences, state.mixed_tokens),
    ):
        split = step.split(sequences, prompts)
        whole = sum(split.values(), zero)
        for name, part in split.items():
            parts[name] = parts[name] + seconds * part / whole
    parts["host_seconds"] = batching.request_overhead
    served = sum(parts.values(), zero)
    parts["queue_seconds"] = np.maximum(state.end_to_end.statistic("mean") - served, 0.0)
    return {name: values * stretch for name, values in parts.items()}


def _classic_parts(replicas: ClassicReplicas, state: ClassicState, stretch: Floats) -> dict[str, Floats]:
    work, items = replicas.service.work, state.items_per_pass
    rooted, overhead = work.device_seconds(items), work.overhead(items)
    share = share_of_first(work.compute(items), work.memory(items))
    # Other instances on the GPU stretch the pass evenly.
    slower = state.service_seconds / (rooted + overhead)
    parts = {
        "compute_seconds": rooted * share * slower,
        "memory_seconds": rooted * (1 - share) * slower,
        "overhead_seconds": overhead * slower,
        "communication_seconds": np.zeros_like(rooted),
        "host_seconds": state.host_seconds,
        "queue_seconds": state.queue_seconds,
    }
    return {name: values * stretch for name, values in parts.items()}
