"""Who pays for a node: the OpenCost rules (specification v0.1), with each kind of GPU at its own price.

What a workload holds of a resource is the larger of what it requests and what it uses. A node's price is split over its
resources in proportion to base prices, so that the parts add up to what the node really costs; what nobody holds is
idle, and shown apart. OpenCost knows one base price for all GPUs ($0.95 an hour, whether T4 or H100); here it is that
of the GPU at hand, so that GPU and processor share a node as the market prices them. MIG slices count as their share.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

Resource = Literal["gpu", "cpu", "memory"]
RESOURCES: tuple[Resource, ...] = ("gpu", "cpu", "memory")
"""GPUs (a MIG slice is its share of one), cores, GiB."""

CPU_USD_PER_CORE_HOUR = Fraction("0.031611")
MEMORY_USD_PER_GIB_HOUR = Fraction("0.004237")
"""OpenCost configs/default.json, read 2026-11."""

Amounts = Mapping[Resource, Fraction]


@dataclass(frozen=True, slots=True)
class Asset:
    """Nodes of one kind over a time: ``usd`` for all of ``amounts``."""

    name: str
    usd: Fraction
    amounts: Amounts


@dataclass(frozen=True, slots=True)
class Use:
    """What one workload requests and uses of an asset, on average over the time that the asset is paid for."""

    workload: str
    requested: Amounts
    used: Amounts

    def held(self, resource: Resource) -> Fraction:
        return max(self.requested.get(resource, Fraction(0)), self.used.get(resource, Fraction(0)))


@dataclass(frozen=True, slots=True)
class Allocation:
    """US dollars by workload, and what nobody holds; they add up to the asset's price."""

    by_workload: Mapping[str, Fraction]
    idle: Fraction


def base_prices(gpu_usd_per_hour: Fraction) -> dict[Resource, Fraction]:
    """By resource, for a node whose GPUs are listed at ``gpu_usd_per_hour`` each."""
    return {"gpu": gpu_usd_per_hour, "cpu": CPU_USD_PER_CORE_HOUR, "memory": MEMORY_USD_PER_GIB_HOUR}


def unit_prices(usd: Fraction, amounts: Amounts, bases: Amounts) -> dict[Resource, Fraction]:
    """``base_i × usd / Σ base_j × amount_j``: a unit price of each resource, so that all together cost ``usd``."""
    weight = sum((bases[resource] * amounts.get(resource, Fraction(0)) for resource in RESOURCES), Fraction(0))
    if weight <= 0:
        raise ValueError("a node without GPUs, cores and memory has nothing to split its price over")
    return {resource: bases[resource] * usd / weight for resource in RESOURCES}


def allocate(asset: Asset, uses: Sequence[Use], bases: Amounts) -> Allocation:
    """Split what the asset cost. Where more is held of a resource than there is, its price is shared in proportion."""
    price = unit_prices(asset.usd, asset.amounts, bases)
    by_workload = {use.workload: Fraction(0) for use in uses}
    for resource in RESOURCES:
        there = asset.amounts.get(resource, Fraction(0))
        held = sum((use.held(resource) for use in uses), Fraction(0))
        scale = there / held if held > there else Fraction(1)
        for use in uses:
            by_workload[use.workload] += price[resource] * use.held(resource) * scale
    return Allocation(by_workload, asset.usd - sum(by_workload.values(), Fraction(0)))


def share_out(
    shared: Fraction, by_workload: Mapping[str, Fraction], weights: Mapping[str, Fraction] | None = None
) -> dict[str, Fraction]:
    """What each workload costs with its part of ``shared`` (idle, overhead): in proportion to ``weights``.

    Without weights in proportion to cost; evenly where every workload costs nothing, or with equal weights.
    """
    chosen = weights if weights is not None else by_workload
    total = sum((chosen.get(name, Fraction(0)) for name in by_workload), Fraction(0))
    even = Fraction(1, len(by_workload)) if by_workload else Fraction(0)
    return {
        name: usd + shared * (chosen.get(name, Fraction(0)) / total if total else even)
        for name, usd in by_workload.items()
    }
