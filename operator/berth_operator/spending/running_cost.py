"""What runs now, and what it costs an hour: pods on nodes at their share of the node's price. Pure.

Pods of every revision count, also those that start or drain: their GPUs are held. A pod that no node has is not paid.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from berth_cost.rounding import significant_number
from berth_cost.spending.ledger import Charge, Rates
from berth_scheduler.snapshot import Pool, Snapshot, Workload


@dataclass(frozen=True, slots=True)
class Holding:
    """What one workload holds: GPUs by pool, MIG slices as their share.

    ``requests_per_second``: what was stated, where replicas follow that; None where they follow the demand.
    ``settled``: False while more than one revision runs.
    """

    gpus: Mapping[str, float]
    requests_per_second: float | None
    settled: bool = True


@dataclass(frozen=True, slots=True)
class RunningFleet:
    """By workload what it holds, and USD per GPU-hour by pool, of pools whose price is known."""

    holdings: Mapping[str, Holding]
    usd_per_gpu_hour: Mapping[str, float]

    def rates(
        self, last_prices: Mapping[str, float], traffic: Mapping[str, float | None]
    ) -> tuple[dict[str, Rates], tuple[str, ...]]:
        """What every workload costs now, and the pools that nobody ever knew a price of: those are in no rate.

        ``last_prices`` stand in for a price that is no longer known: what runs does not become free by that.
        ``traffic``: requests per second by workload, where they are known.
        """
        prices = {**last_prices, **self.usd_per_gpu_hour}
        unpriced = {pool for holding in self.holdings.values() for pool in holding.gpus if pool not in prices}
        rates = {
            key: Rates(
                tuple(Charge(pool, gpus, prices[pool]) for pool, gpus in holding.gpus.items() if pool in prices),
                traffic.get(key),
            )
            for key, holding in self.holdings.items()
        }
        return rates, tuple(sorted(unpriced))


def running_fleet(snapshot: Snapshot) -> RunningFleet:
    return RunningFleet(
        {workload.key: holding for workload in snapshot.workloads if (holding := _holding(workload)) is not None},
        {pool.name: usd for pool in snapshot.pools if (usd := _price(pool)) is not None},
    )


def _price(pool: Pool) -> float | None:
    if pool.price is None or pool.gpus_per_node <= 0:
        return None
    return significant_number(float(pool.price.usd_per_node_hour) / pool.gpus_per_node)


def _holding(workload: Workload) -> Holding | None:
    gpus: dict[str, float] = {}
    for running in (each for revision in workload.running for each in revision.berths):
        if running.nodes:
            held = running.berth.gpus_per_replica * len(running.nodes)
            gpus[running.berth.pool] = gpus.get(running.berth.pool, 0.0) + held
    if not gpus:
        return None
    rounded = {pool: significant_number(gpus[pool]) for pool in sorted(gpus)}
    stated = workload.traffic.requests_per_second if workload.scaling is None else None
    return Holding(rounded, stated, settled=len(workload.running) == 1)
