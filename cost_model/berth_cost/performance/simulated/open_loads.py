"""States of language models under open loads whose percentiles are simulated; everything else stays in closed form.

What the simulation brings are the fluctuations that closed forms leave out: prompts that come in clusters interrupt the
same answers, and a replica that is fuller for a while is slower, so that it gets fuller still.
"""

from dataclasses import replace

import numpy as np

from berth_cost.performance.batching import ContinuousBatching, LanguageState
from berth_cost.performance.case_table import Floats, LoadKind, rows_of
from berth_cost.performance.percentiles import PROBABILITIES, STATISTICS, Interruption, Jitter, Latency, Sampled
from berth_cost.performance.replica import LanguageReplicas, language_state
from berth_cost.performance.simulated.continuous_batching import simulated_requests

LIGHT_UTILIZATION = 0.2
"""Of the maximum rate: below it requests hardly meet, and closed forms are exact enough."""
SHORT_OF_SATURATION = 0.98
"""Beyond it a queue takes longer to settle than a run lasts: closed forms, which know where it settles."""
ROWS = 512
"""Simulated in lockstep: enough to share the cost of an event, few enough for the memory."""


def simulated_language_state(
    replicas: LanguageReplicas, kind: LoadKind, stretch: Floats, *, seed: int
) -> LanguageState:
    """As :func:`berth_cost.performance.replica.language_state`, with simulated latencies where they say more."""
    state = language_state(replicas, kind, stretch)
    if kind is not LoadKind.OPEN:
        return state
    utilization = state.requests_per_second / replicas.maximum_rate
    chosen = replicas.reasons.feasible & (utilization >= LIGHT_UTILIZATION) & (utilization <= SHORT_OF_SATURATION)
    # Like with like: the widest of a lot sets what an event costs.
    rows = np.flatnonzero(chosen)
    rows = rows[np.argsort(state.sequences[rows], kind="stable")]
    latencies = (state.time_to_first_token, state.time_per_output_token, state.end_to_end)
    tables = [{name: latency.statistic(name).copy() for name in STATISTICS} for latency in latencies]
    interruption = _median_interruption(state)
    for start in range(0, len(rows), ROWS):
        some = rows[start : start + ROWS]
        found = _latencies(rows_of(replicas.batching, some), rows_of(state, some), interruption[some], seed)
        for table, latency in zip(tables, found, strict=True):
            for name in STATISTICS:
                value = latency.statistic(name)
                table[name][some] = np.where(np.isfinite(value), value, table[name][some])
    first, token, end = (Latency(np.zeros(len(chosen)), [Sampled(table)]) for table in tables)
    return replace(state, time_to_first_token=first, time_per_output_token=token, end_to_end=end)


def _median_interruption(state: LanguageState) -> Floats:
    """How much less than on average prompts add to the median gap between two tokens (a negative number)."""
    parts = [part for part in state.time_per_output_token.parts if isinstance(part, Interruption)]
    return np.asarray(sum((part.median - part.average for part in parts), np.zeros_like(state.step_seconds)))


def _latencies(
    batching: ContinuousBatching, state: LanguageState, interruption: Floats, seed: int
) -> tuple[Latency, Latency, Latency]:
    """To the first token, per token and end to end, with the same overheads and jitter as in closed form. Per token
    nan, which keeps the closed form, where answers have one token."""
    times = simulated_requests(batching, state.requests_per_second, state.sequences, seed)
    fixed = state.time_to_first_token.fixed
    step, prefill = state.step_seconds, state.prefill_seconds
    decoding = batching.decode_steps * step
    jitter = Jitter(batching.first_token_jitter * (prefill + batching.request_overhead))
    tokens = np.maximum(batching.decode_steps * batching.tokens_per_step, 1.0)
    per_token = _sampled(np.where(batching.decode_steps > 0, times.decoding.T / tokens, np.nan).T)
    # The median is of single gaps, most of which no prompt interrupts; high percentiles are of requests.
    token = per_token | {"p50": per_token["mean"] + interruption}
    service = batching.service_jitter
    return (
        Latency(fixed, [Sampled(_sampled(times.first_token)), jitter]),
        Latency(np.zeros_like(step), [Sampled(token), Jitter(service * step / batching.tokens_per_step)]),
        Latency(fixed, [Sampled(_sampled(times.first_token + times.decoding)), jitter, Jitter(service * decoding)]),
    )


def _sampled(seconds: Floats) -> dict[str, Floats]:
    """Mean and percentiles over the requests of every row; nan where one was not finished."""
    columns = np.quantile(seconds, list(PROBABILITIES.values()), axis=1)
    return {"mean": seconds.mean(axis=1), **dict(zip(PROBABILITIES, columns, strict=True))}
