"""Waiting times of queues with general arrivals and service, in closed form.

``arrival_variation`` is the squared coefficient of variation of the gaps between arrivals (0 constant, 1 Poisson),
``service_variation`` that of service times.
"""

import numpy as np

from berth_cost.performance.case_table import Floats

HIGHEST_UTILIZATION = 0.995
"""Beyond it waits have no useful estimate: the pessimistic edge of a load that is nearly too much stays a number."""


def waiting_probability(utilization: Floats, servers: Floats) -> Floats:
    """Probability that all servers are busy: ρ^(√(2(c+1)) − 1) (Sakasegawa, Ann. Inst. Stat. Math. 29, 1977)."""
    return np.asarray(np.power(utilization, np.sqrt(2 * (servers + 1)) - 1), dtype=np.float64)


def mean_wait(
    utilization: Floats, servers: Floats, service_seconds: Floats, arrival_variation: Floats, service_variation: Floats
) -> Floats:
    """Mean wait of G/G/c: (C_a² + C_s²)/2 · P(wait) / (c·(1 − ρ)) · S (Allen and Cunneen, with Sakasegawa's P).

    Exact for M/M/1 and M/D/1. Utilisation below 1.
    """
    variation = (arrival_variation + service_variation) / 2
    return variation * waiting_probability(utilization, servers) / (servers * (1 - utilization)) * service_seconds


def overflow_wait(
    utilization: Floats, batch: Floats, cycle_seconds: Floats, arrival_variation: Floats
) -> tuple[Floats, Floats]:
    """(mean, probability) of waiting beyond the batch in progress, where up to ``batch`` requests leave every cycle.

    C_a²/2 · ρ^√(2(b+1)) / (b·(1 − ρ)) · cycle. With b = 1 it is what M/D/1 waits beyond the residual service,
    ρ²/(2(1 − ρ))·S; near ρ = 1 it is the heavy-traffic limit of the bulk-service queue, S/(2b(1 − ρ)).
    """
    probability = np.power(utilization, np.sqrt(2 * (batch + 1)))
    return arrival_variation / 2 * probability / (batch * (1 - utilization)) * cycle_seconds, probability


def natural_batch(arrivals_per_cycle: Floats) -> Floats:
    """Mean size of a batch of what arrived during the last cycle, but never nothing: E[max(N, 1)], N Poisson."""
    return np.asarray(arrivals_per_cycle + np.exp(-arrivals_per_cycle), dtype=np.float64)
