"""Who pays what for the pools of a plan, by the hour: shares of GPUs as the plan counts them, or of all resources."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Literal

from berth_cost.spending.allocation import Asset, Resource, Use, allocate, base_prices, share_out
from berth_cost.spending.focus import Charge, Supplier
from berth_scheduler.decision import Plan
from berth_scheduler.snapshot import Berth, Pool, Snapshot, Workload
from berth_scheduler.supply import slice_shares

GIB = 2**30
Split = Literal["weighted", "even"]
"""How OpenCost's shareSplit calls it."""


def charges_by_gpu(snapshot: Snapshot, plan: Plan, suppliers: Mapping[str, Supplier]) -> list[Charge]:
    """As a plan's own costs: a workload pays for the GPUs and slices that it holds, the rest of a node is idle."""
    charges = []
    for pool in _priced(snapshot):
        usd_per_gpu = _usd_per_gpu_hour(pool)
        for key, berths in _berths_on(plan, pool.name).items():
            gpus = sum((_gpus(berth, pool) for berth in berths), Fraction(0))
            charges.append(Charge(suppliers[pool.name], key, gpus, gpus * usd_per_gpu))
        idle = _idle_gpus(plan, pool)
        if idle > 0:
            charges.append(Charge(suppliers[pool.name], None, idle, idle * usd_per_gpu))
    return charges


def charges_by_resource(
    snapshot: Snapshot,
    plan: Plan,
    suppliers: Mapping[str, Supplier],
    gpu_usd_per_hour: Mapping[str, Fraction],
) -> list[Charge]:
    """By the OpenCost rules: a node's price is split over GPUs, cores and memory, and what nobody requests is idle.

    ``gpu_usd_per_hour``: what one GPU of each name is listed at. A pool whose node size or GPU price nobody knows is
    charged by GPU.
    """
    workloads = {one.key: one for one in snapshot.workloads}
    charges = charges_by_gpu(snapshot, plan, suppliers)
    for pool in _priced(snapshot):
        listed = gpu_usd_per_hour.get(pool.gpu.name) if pool.gpu else None
        own = [charge for charge in charges if charge.supplier.pool == pool.name]
        if listed is None or pool.node_shape is None or not own:
            continue
        charges = [charge for charge in charges if charge.supplier.pool != pool.name]
        charges += _by_resource(pool, own, _berths_on(plan, pool.name), workloads, listed)
    return charges


def with_idle_shared(charges: Sequence[Charge], how: Split) -> list[Charge]:
    """What is idle in a pool, paid by those who hold the rest of it: weighted by what they pay, or evenly.

    GPUs follow the money, so that the price of a GPU-hour stays the pool's. Where nobody holds anything, idle is idle.
    """
    pools: dict[str, list[Charge]] = {}
    for charge in charges:
        pools.setdefault(charge.supplier.pool, []).append(charge)
    return [charge for own in pools.values() for charge in _shared(own, how)]


def _shared(own: Sequence[Charge], how: Split) -> Sequence[Charge]:
    held = {charge.workload: charge for charge in own if charge.workload is not None}
    idle = [charge for charge in own if charge.workload is None]
    if not held or not idle:
        return own
    usd = {key: charge.usd_per_hour for key, charge in held.items()}
    gpus = {key: charge.gpus for key, charge in held.items()}
    weights = dict.fromkeys(held, Fraction(1)) if how == "even" else usd
    paid = share_out(sum((charge.usd_per_hour for charge in idle), Fraction(0)), usd, weights)
    taken = share_out(sum((charge.gpus for charge in idle), Fraction(0)), gpus, weights)
    return [replace(charge, usd_per_hour=paid[key], gpus=taken[key]) for key, charge in held.items()]


def _by_resource(
    pool: Pool,
    by_gpu: Sequence[Charge],
    berths: Mapping[str, Sequence[Berth]],
    workloads: Mapping[str, Workload],
    listed: Fraction,
) -> list[Charge]:
    assert pool.node_shape is not None  # asked by the caller
    gpus = sum((charge.gpus for charge in by_gpu), Fraction(0))
    nodes = gpus / pool.gpus_per_node
    amounts: dict[Resource, Fraction] = {
        "gpu": gpus,
        "cpu": nodes * Fraction(pool.node_shape.cpu_cores),
        "memory": nodes * Fraction(pool.node_shape.memory_bytes, GIB),
    }
    usd = sum((charge.usd_per_hour for charge in by_gpu), Fraction(0))
    uses = [Use(key, _requested(berths[key], pool, workloads[key]), {}) for key in sorted(berths)]
    split = allocate(Asset(pool.name, usd, amounts), uses, base_prices(listed))
    held = {charge.workload: charge.gpus for charge in by_gpu}
    supplier = by_gpu[0].supplier
    charges = [Charge(supplier, key, held[key], each) for key, each in split.by_workload.items()]
    # Cores and memory that nobody asked for are idle too, so that idle has a cost where it may hold no GPU.
    return [*charges, Charge(supplier, None, held.get(None, Fraction(1)), split.idle)] if split.idle > 0 else charges


def _requested(berths: Sequence[Berth], pool: Pool, workload: Workload) -> dict[Resource, Fraction]:
    replicas = sum(berth.replicas for berth in berths)
    return {
        "gpu": sum((_gpus(berth, pool) for berth in berths), Fraction(0)),
        "cpu": replicas * Fraction(workload.resources.cpu_cores),
        "memory": replicas * Fraction(workload.resources.memory_bytes, GIB),
    }


def _priced(snapshot: Snapshot) -> list[Pool]:
    return sorted((pool for pool in snapshot.pools if pool.price is not None), key=lambda pool: pool.name)


def _berths_on(plan: Plan, pool: str) -> dict[str, list[Berth]]:
    found: dict[str, list[Berth]] = {}
    for decision in plan.decisions:
        for berth in decision.berths:
            if berth.pool == pool:
                found.setdefault(decision.workload, []).append(berth)
    return found


def _gpus(berth: Berth, pool: Pool) -> Fraction:
    """GPUs of all replicas; a slice is its exact share of one."""
    if berth.mig_profile is None:
        return Fraction(berth.tensor_parallel * berth.replicas)
    return slice_shares(pool)[berth.mig_profile] * berth.replicas


def _usd_per_gpu_hour(pool: Pool) -> Fraction:
    assert pool.price is not None  # see _priced
    return Fraction(pool.price.usd_per_node_hour) / pool.gpus_per_node


def _idle_gpus(plan: Plan, pool: Pool) -> Fraction:
    return Fraction(plan.totals.idle_usd_per_hour_by_pool.get(pool.name, 0)) / _usd_per_gpu_hour(pool)
