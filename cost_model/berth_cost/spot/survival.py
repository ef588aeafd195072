"""How many replicas of a spread survive: the distribution over zones whose losses come together within a region.

Zones of a region share one draw with the probability ``shared_shock`` (then a zone is lost where the draw is below
its hazard, so the shakiest go first) and draw by themselves otherwise; regions are independent. All replicas of a zone
share its fate.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Region:
    """The distinct spreads within one region, and which of them each spread has."""

    zones: tuple[int, ...]
    spreads: Integers
    of_spread: Integers


@dataclass(frozen=True, slots=True)
class Spreads:
    """Ways to spread replicas over zones: ``replicas``, shape (spreads, zones)."""

    replicas: Integers
    regions: tuple[_Region, ...]

    @classmethod
    def over(cls, replicas: Integers, regions: Sequence[str]) -> "Spreads":
        """``regions``: that of each zone."""
        parts = []
        for region in sorted(set(regions)):
            zones = tuple(index for index, name in enumerate(regions) if name == region)
            distinct, of_spread = np.unique(replicas[:, zones], axis=0, return_inverse=True)
            parts.append(_Region(zones, distinct, of_spread.reshape(-1)))
        return cls(replicas, tuple(parts))

    def survivors(self, hazards: Floats, shared_shock: Floats, most: int) -> Floats:
        """P(exactly k replicas survive), shape (ticks, spreads, most + 1); the last entry is ``most`` or more.

        ``hazards``: P(loss) of each zone, shape (ticks, zones); ``shared_shock``: shape (ticks,).
        """
        by_region = [
            _of_region(hazards[:, region.zones], region.spreads, shared_shock, most)[:, region.of_spread]
            for region in self.regions
        ]
        return reduce(lambda total, region: _sum(total, region, most), by_region)


def _of_region(hazards: Floats, spreads: Integers, shared_shock: Floats, most: int) -> Floats:
    apart = _independent(hazards, spreads, most)
    if hazards.shape[1] == 1 or not shared_shock.any():
        return apart
    shared = shared_shock[:, None, None]
    return (1 - shared) * apart + shared * _common_draw(hazards, spreads, most)


def _independent(hazards: Floats, spreads: Integers, most: int) -> Floats:
    shape = (len(hazards), len(spreads), most + 1)
    chance = np.zeros(shape)
    chance[..., 0] = 1.0
    for zone in range(hazards.shape[1]):
        survives = 1 - hazards[:, zone]
        for count in range(1, int(spreads[:, zone].max(initial=0)) + 1):
            rows = np.flatnonzero(spreads[:, zone] == count)
            if len(rows):
                before = chance[:, rows]
                chance[:, rows] = before * (1 - survives)[:, None, None]
                chance[:, rows] += _shifted(before, count, most) * survives[:, None, None]
    return chance


def _common_draw(hazards: Floats, spreads: Integers, most: int) -> Floats:
    """One uniform draw for the region: between two neighbouring hazards, exactly the steadier zones survive."""
    order = np.argsort(hazards, axis=1, kind="stable")
    ranked = np.take_along_axis(hazards, order, axis=1)
    # shape (ticks, spreads, zones): replicas of the j steadiest zones and of those steadier still
    standing = np.minimum(np.cumsum(spreads.T[order].transpose(0, 2, 1), axis=2), most)
    edges = np.concatenate([ranked, np.ones((len(ranked), 1))], axis=1)
    chance = np.zeros((len(hazards), len(spreads), most + 1))
    chance[..., 0] = edges[:, :1]
    for rank in range(hazards.shape[1]):
        mass = (edges[:, rank + 1] - edges[:, rank])[:, None]
        for count in range(most + 1):
            chance[..., count] += mass * (standing[..., rank] == count)
    return chance


def _shifted(chance: Floats, count: int, most: int) -> Floats:
    moved = np.zeros_like(chance)
    kept = max(most + 1 - count, 0)
    if kept:
        moved[..., count:] = chance[..., :kept]
    moved[..., most] += chance[..., kept:].sum(axis=-1)
    return moved


def _sum(first: Floats, second: Floats, most: int) -> Floats:
    total = np.zeros_like(first)
    for one in range(most + 1):
        for other in range(most + 1):
            total[..., min(one + other, most)] += first[..., one] * second[..., other]
    return total
