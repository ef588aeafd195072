"""What is said about a pool: how many GPUs it has and has free, what it costs, and what is wrong with it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from berth_operator.api.conditions import POOL_CONDITIONS, ConditionType, Finding, Reason, merge, read_conditions
from berth_operator.api.v1alpha1 import GPUPoolStatus, PoolPriceStatus, PoolSummary
from berth_operator.report import as_json, count_of, word
from berth_operator.supply.owned_price import OWNED
from berth_scheduler.snapshot import Pool

_UNPRICED = frozenset({Reason.NO_PRICE, Reason.PRICE_DOUBTFUL})


@dataclass(frozen=True, slots=True)
class Held:
    """What our own workloads hold of a pool; a snapshot counts it as free, because the plan places them anew."""

    gpus: int = 0
    slices: Mapping[str, int] = field(default_factory=dict)
    """MIG slices by profile."""


def pool_status(pool: Pool, held: Held, generation: int, previous: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """The status of a stated pool, as the newest plan saw it."""
    conditions = merge(
        read_conditions(previous),
        (_priced(pool), _matched(pool)),
        always=POOL_CONDITIONS,
        generation=generation,
        now=now,
    )
    gpus = sum(node.gpus for node in pool.nodes)
    free = max(0, sum(node.free_gpus for node in pool.nodes) - held.gpus)
    slices = {profile: -count for profile, count in held.slices.items()}
    for node in pool.nodes:
        for profile, count in node.free_slices.items():
            slices[profile] = slices.get(profile, 0) + count
    price = pool.price
    status = GPUPoolStatus(
        observed_generation=generation,
        conditions=conditions,
        summary=PoolSummary(
            gpu=_pool_gpu(pool),
            free=f"{free}/{gpus}" if pool.nodes else None,
            price_per_hour=None if price is None else f"${price.usd_per_node_hour:,.2f}",
        ),
        gpu=None if pool.gpu is None else pool.gpu.name,
        nodes=len(pool.nodes),
        gpus=gpus,
        free_gpus=free,
        free_slices={profile: max(0, count) for profile, count in sorted(slices.items())} or None,
        price=None
        if price is None
        else PoolPriceStatus(usd_per_node_hour=price.usd_per_node_hour, date=price.date, source=price.source),
    )
    return as_json(status)


def _priced(pool: Pool) -> Finding:
    problem = next((each for each in pool.problems if word(each.reason, Reason.PENDING) in _UNPRICED), None)
    if problem is not None:
        return Finding(ConditionType.PRICED, "False", Reason.NO_PRICE, problem.message)
    if pool.price is None:
        return Finding(ConditionType.PRICED, "False", Reason.NO_PRICE, "no price is known")
    price = f"${pool.price.usd_per_node_hour:,.4f} per node hour"
    doubt = next((each.message for each in pool.remarks if each.reason == Reason.PRICE_DOUBTFUL), None)
    if doubt is not None:
        return Finding(ConditionType.PRICED, "True", Reason.PRICE_DOUBTFUL, f"{price}: {doubt}")
    if pool.price.source == f"GPUPool {pool.name}":
        return Finding(ConditionType.PRICED, "True", Reason.PRICE_STATED, f"{price}, as stated")
    if pool.price.source.startswith(OWNED):
        return Finding(ConditionType.PRICED, "True", Reason.PRICE_STATED, f"{price}, {pool.price.source}")
    old = next((each.message for each in pool.remarks if word(each.reason, Reason.PENDING) in _UNPRICED), None)
    message = f"{price}: {old}" if old else f"{price}, {pool.price.source} of {pool.price.date}"
    return Finding(ConditionType.PRICED, "True", Reason.PRICE_FOUND, message)


def _matched(pool: Pool) -> Finding:
    for problem in (*pool.problems, *pool.remarks):
        reason = word(problem.reason, Reason.CONTRADICTORY_NODES)
        if reason not in _UNPRICED:
            return Finding(ConditionType.MATCHED, "False", reason, problem.message)
    if not pool.nodes:
        return Finding(ConditionType.MATCHED, "False", Reason.NO_NODES, "no node matches")
    return Finding(ConditionType.MATCHED, "True", Reason.NODES_MATCHED, f"{count_of(len(pool.nodes), 'node')} found")


def _pool_gpu(pool: Pool) -> str | None:
    """``L4``, or ``A100-SXM-80GB 7×1g.10gb``."""
    if pool.gpu is None:
        return None
    layout = " ".join(f"{count}×{profile}" for profile, count in sorted(pool.mig_layout.items()))
    return f"{pool.gpu.name} {layout}".strip()
