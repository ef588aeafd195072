"""Supply: what the pools offer, each offer with its price, in one fixed order.

A *shape* is what one unit of a replica can be: a whole GPU or one MIG slice. An *offer* is a shape in a pool. How
fast a model runs depends on the shape alone; price, capacity type and nodes belong to the offer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from berth_cost.hardware.gpu_catalogue import GPUSpecification, MIGProfile
from berth_cost.rounding import significant_number
from berth_scheduler.snapshot import CapacityType, Pool, Sharing

NO_SHAPE = -1
CAPACITY_TYPES = tuple(CapacityType)


@dataclass(frozen=True, slots=True)
class Shape:
    """A whole GPU, or one MIG slice of it. Two pools offer the same shape if nothing about the GPU differs."""

    gpu: GPUSpecification
    mig: MIGProfile | None

    @property
    def sharing(self) -> Sharing:
        return Sharing.MIG if self.mig else Sharing.EXCLUSIVE

    @property
    def memory_bytes(self) -> int | None:
        """Memory of one unit; None where nobody knows it."""
        return self.mig.memory_bytes if self.mig else self.gpu.memory_bytes


@dataclass(frozen=True, slots=True)
class Offer:
    """One shape in one pool. ``unusable`` says in a sentence why nothing new can be placed there."""

    pool: Pool
    pool_index: int
    shape: int
    mig_profile: str | None
    gpu_share: Fraction
    """Of one GPU that one unit takes: 1 for a whole GPU."""
    gpus_per_unit: float
    """The same in six significant digits."""
    usd_per_unit_hour: Fraction | None
    """None where it is not known."""
    comparable_usd_per_unit_hour: float
    """The same in six significant digits; inf where it is not known."""
    steadiness: int
    """Place of the capacity type in :class:`CapacityType`: the steadier first."""
    spot: bool
    unusable: str | None

    @property
    def capacity_type(self) -> CapacityType:
        return self.pool.capacity_type


@dataclass(frozen=True, slots=True)
class Supply:
    """Pools by name and their offers by (pool, slice); arrays have one entry an offer."""

    pools: tuple[Pool, ...]
    shapes: tuple[Shape, ...]
    offers: tuple[Offer, ...]
    shape: NDArray[np.int64]
    gpus_per_node: NDArray[np.int64]
    usd_per_unit_hour: NDArray[np.float64]
    """Six significant digits; inf where the price is not known."""
    spot: NDArray[np.bool_]
    steadiness: NDArray[np.int64]

    def usd_per_hour(self, units: Sequence[tuple[int, int]]) -> Fraction:
        """What units of offers cost in an hour, exactly; every price must be known."""
        total = Fraction(0)
        for offer, count in units:
            price = self.offers[offer].usd_per_unit_hour
            assert price is not None, self.offers[offer].pool.name
            total = price * count if not total else total + price * count
        return total

    def find(self, pool: str, mig_profile: str | None) -> int | None:
        """Index of the offer of a pool's whole GPUs or of one of its slices."""
        for index, offer in enumerate(self.offers):
            if offer.pool.name == pool and offer.mig_profile == mig_profile:
                return index
        return None

    def find_shape(self, gpu: str, mig_profile: str | None) -> int | None:
        """Index of the first shape of that GPU, whole or a slice of it."""
        for index, shape in enumerate(self.shapes):
            if shape.gpu.name == gpu and (shape.mig.name if shape.mig else None) == mig_profile:
                return index
        return None


def supply_of(pools: Sequence[Pool]) -> Supply:
    """The supply in pools, whatever order they come in."""
    ordered = tuple(sorted(pools, key=lambda pool: pool.name))
    shapes: list[Shape] = []
    index_of_shape: dict[tuple[str, str | None], int] = {}
    offers: list[Offer] = []
    for pool_index, pool in enumerate(ordered):
        identity = pool.gpu.model_dump_json() if pool.gpu else ""
        profiles: list[str | None] = [*sorted(pool.mig_layout)]
        for profile in profiles or [None]:
            shape = _shape_of(pool, profile)
            index = NO_SHAPE
            if shape is not None:
                index = index_of_shape.setdefault((identity, profile), len(shapes))
                if index == len(shapes):
                    shapes.append(shape)
            offers.append(_offer(pool, pool_index, profile, index))
    return Supply(
        pools=ordered,
        shapes=tuple(shapes),
        offers=tuple(offers),
        shape=np.array([offer.shape for offer in offers], dtype=np.int64),
        gpus_per_node=np.array([offer.pool.gpus_per_node for offer in offers], dtype=np.int64),
        usd_per_unit_hour=np.array([offer.comparable_usd_per_unit_hour for offer in offers], dtype=np.float64),
        spot=np.array([offer.spot for offer in offers], dtype=np.bool_),
        steadiness=np.array([offer.steadiness for offer in offers], dtype=np.int64),
    )


def slice_shares(pool: Pool) -> dict[str, Fraction]:
    """Share of one GPU by profile, so that the shares of a fully used GPU sum to 1.

    A slice weighs the larger of its shares of compute and of memory: what it takes from the GPU is what nobody else
    can have. Weights are divided by their sum over the layout, so that what the layout itself wastes is paid by
    those who use it. Empty where the layout names a profile that the GPU does not have.
    """
    profiles = {profile.name: profile for profile in pool.gpu.mig_profiles} if pool.gpu else {}
    if any(name not in profiles for name in pool.mig_layout):
        return {}
    weights = {name: _weight(profiles[name]) for name in sorted(pool.mig_layout)}
    total = sum((weights[name] * count for name, count in pool.mig_layout.items()), Fraction(0))
    return {name: weight / total for name, weight in weights.items()} if total else {}


def _weight(profile: MIGProfile) -> Fraction:
    return max(
        Fraction(profile.compute_slices, profile.compute_slices_total),
        Fraction(profile.memory_slices, profile.memory_slices_total),
    )


def _shape_of(pool: Pool, profile: str | None) -> Shape | None:
    if pool.gpu is None:
        return None
    if profile is None:
        return Shape(pool.gpu, None)
    known = [mig for mig in pool.gpu.mig_profiles if mig.name == profile]
    return Shape(pool.gpu, known[0]) if known else None


def _offer(pool: Pool, pool_index: int, profile: str | None, shape: int) -> Offer:
    share = Fraction(1) if profile is None else slice_shares(pool).get(profile, Fraction(0))
    price = None
    if pool.price is not None and share:
        price = Fraction(pool.price.usd_per_node_hour) / pool.gpus_per_node * share
    return Offer(
        pool=pool,
        pool_index=pool_index,
        shape=shape,
        mig_profile=profile,
        gpu_share=share,
        gpus_per_unit=significant_number(float(share)),
        usd_per_unit_hour=price,
        comparable_usd_per_unit_hour=float("inf") if price is None else significant_number(float(price)),
        steadiness=CAPACITY_TYPES.index(pool.capacity_type),
        spot=pool.capacity_type is CapacityType.SPOT,
        unusable=_why_unusable(pool, profile, shape),
    )


def _why_unusable(pool: Pool, profile: str | None, shape: int) -> str | None:
    if pool.problems:
        return "; ".join(problem.message for problem in pool.problems)
    if pool.gpu is None:
        return "its GPU is not known"
    if shape == NO_SHAPE:
        return f"{pool.gpu.name} has no MIG profile {profile}: correct migProfiles"
    if pool.price is None:
        return "its price is not known"
    return None
