"""States of classic networks under open loads whose percentiles are simulated; everything else stays in closed form.

What the simulation brings are batches whose sizes vary, and what they do to those who wait behind them. Closed loops
stay in closed form: how unevenly published ones answer is no queue's doing (``docs/classic-networks.md``).
"""

from dataclasses import replace

import numpy as np

from berth_cost.performance.batch_service import ClassicState
from berth_cost.performance.case_table import Floats, Integers, LoadKind, rows_of
from berth_cost.performance.percentiles import PROBABILITIES, STATISTICS, Jitter, Latency, Sampled
from berth_cost.performance.replica import ClassicReplicas, classic_state
from berth_cost.performance.simulated.dynamic_batching import simulated_seconds

LIGHT_UTILIZATION = 0.02
"""Of the maximum rate: below it requests hardly meet, and closed forms are exact enough."""
SHORT_OF_SATURATION = 0.9
"""Beyond it a queue takes longer to settle than a run lasts: closed forms, which know where it settles."""
REQUESTS, MOST_REQUESTS = 2000, 8000
"""Of a server that answers one by one, and of one with large batches: as many batches, if the memory holds them."""
ROWS = 256
"""Simulated in lockstep: enough to share the cost of an event, few enough for the memory."""
TABLE_ENTRIES = 400_000
"""Rows times sizes of a batch times instances, of the same."""


def simulated_classic_state(replicas: ClassicReplicas, kind: LoadKind, stretch: Floats, *, seed: int) -> ClassicState:
    """As :func:`berth_cost.performance.replica.classic_state`, with simulated latencies where they say more."""
    state, service = classic_state(replicas, kind, stretch), replicas.service
    if kind is not LoadKind.OPEN:
        return state
    utilization = state.requests_per_second / service.maximum_rate
    chosen = replicas.reasons.feasible & (utilization >= LIGHT_UTILIZATION) & (utilization <= SHORT_OF_SATURATION)
    # Powers of two of the batch: a case has its own number of requests, whatever else is asked.
    doublings = np.ceil(np.log2(np.maximum(state.items_per_pass / service.items, 1.0)))
    requests = np.minimum(REQUESTS * 2**doublings, MOST_REQUESTS).astype(np.int64)
    table = {name: state.latency.statistic(name).copy() for name in STATISTICS}
    for count in np.unique(requests[chosen]):
        rows = np.flatnonzero(chosen & (requests == count))
        # Like with like: the largest batch of a lot sets the size of its tables.
        rows = rows[np.argsort(service.largest_batch[rows] * service.instances[rows], kind="stable")]
        while len(rows):
            entries = np.minimum(service.largest_batch[rows], count) * service.instances[rows]
            fits = int(np.searchsorted(entries * np.arange(1, len(rows) + 1), TABLE_ENTRIES))
            some, rows = np.split(rows, [max(min(fits, ROWS), 1)])
            latency = _latency(replicas, some, state.requests_per_second[some], int(count), seed)
            for name in STATISTICS:
                table[name][some] = latency.statistic(name)
    return replace(state, latency=Latency(np.zeros(len(chosen)), [Sampled(table)]))


def _latency(replicas: ClassicReplicas, rows: Integers, rate: Floats, requests: int, seed: int) -> Latency:
    """With the same server and jitter as in closed form."""
    service = rows_of(replicas.service, rows)
    seconds = simulated_seconds(service, rate, requests, seed)
    columns = np.quantile(seconds, list(PROBABILITIES.values()), axis=1)
    sampled = {"mean": seconds.mean(axis=1), **dict(zip(PROBABILITIES, columns, strict=True))}
    alone = service.pass_seconds(np.ones(len(rows)))
    jitters = [Jitter(service.pass_jitter * alone), Jitter(service.host_jitter * service.host)]
    # The copy of a lone request is part of its pass here.
    return Latency(service.host - service.host_serial, [Sampled(sampled), *jitters])
