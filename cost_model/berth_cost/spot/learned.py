"""A spot policy that learned: it spreads over the zones least likely to be lost, and keeps spares while they pay.

At every tick it takes the mix of zones and on-demand replicas that is cheapest when a shortfall has a price::

    spot price × spot replicas + on-demand replicas + weight × P(too few survive a start) + hysteresis × moves

The weight is the multiplier of Lagrange of "ready this often", found by replay on the days of the fit. What the mix
does not contain but what is needed until the new replicas are ready is kept until then.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from berth_cost.spot.hazard import Emphasis, Floats, HazardFit, hazards_of
from berth_cost.spot.replay import Decide, Order, ReplayRules, Standing, day_of
from berth_cost.spot.survival import Spreads
from berth_cost.spot.trace import SpotTrace

MOST_SPREADS, FEWER_SPREADS = 1024, 256
"""Spreads compared at a tick. Where the zones allow more than the first, only those zones that are least likely to be
lost are considered, as many as give no more than the second: these risks cannot be computed for many ticks at once."""
BLOCK_CELLS = 200_000
Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class LearnedPolicy:
    """``fits``: one for all days, or one for each day of the trace, fitted on others.

    ``aim``: the percentage of ready ticks whose emphasis it takes from the fit.
    """

    fits: tuple[HazardFit, ...]
    aim: str

    @property
    def name(self) -> str:
        return f"learned-{self.aim}"

    @property
    def summary(self) -> str:
        return f"learned hazards, aimed at {self.aim} %"

    @property
    def emphasis(self) -> Emphasis:
        return self.fits[0].emphasis[self.aim]

    def begin(self, trace: SpotTrace, rules: ReplayRules) -> Decide:
        fit_of_tick = np.zeros(trace.ticks, dtype=np.int64)
        if len(self.fits) > 1:
            fit_of_tick = day_of(np.arange(trace.ticks), rules)
        hazards = hazards_of(self.fits, fit_of_tick, trace, rules.tick_seconds)
        through_start = 1 - np.power(1 - hazards, rules.start_ticks)
        shared_shock = np.array([fit.shared_shock for fit in self.fits])[fit_of_tick] * self.emphasis.shock_weight
        return _Mix(self.emphasis, trace.regions, rules, through_start, shared_shock).decide


class _Mix:
    """Guards the block of ticks whose risks were computed last: they are computed for many ticks at once."""

    def __init__(
        self, emphasis: Emphasis, regions: Sequence[str], rules: ReplayRules, hazards: Floats, shared_shock: Floats
    ) -> None:
        self._emphasis, self._regions, self._rules = emphasis, regions, rules
        self._hazards, self._shared_shock = hazards, shared_shock
        levels = _levels(rules)
        self._all_zones = len(levels) ** len(regions) <= MOST_SPREADS
        self._considered = len(regions) if self._all_zones else _considered(len(levels))
        self._spreads = _spreads(self._considered, levels)
        self._fitting: dict[tuple[int, ...], tuple[Integers, Integers, Floats]] = {}
        self._over: dict[tuple[str, ...], Spreads] = {}
        self._on_demand = np.arange(rules.want + 1)
        self._price = rules.spot_price_share * self._spreads.sum(axis=1)[:, None] + self._on_demand
        self._most = int(min(rules.want, self._spreads.sum(axis=1).max()))
        self._block_ticks = max(BLOCK_CELLS // (len(self._spreads) * (rules.want + 1)), 1)
        self._block_start = -1
        self._block: Floats = np.zeros(0)

    def decide(self, seen: Standing) -> Order:
        zones, shortfall = self._risk(seen)
        possible, spreads, price = self._possible(tuple(seen.room[zone] for zone in zones))
        held = np.array([seen.held[zone] for zone in zones])
        moves = np.maximum(spreads - held, 0).sum(axis=1)
        score = (
            price + self._emphasis.shortfall_weight * shortfall[possible] + self._emphasis.hysteresis * moves[:, None]
        )
        # Rounded, so that a tie is one on every machine; the first is the one with fewer replicas.
        best = int(np.argmin(np.round(score, 9)))
        spread, on_demand = possible[best // len(self._on_demand)], best % len(self._on_demand)
        wanted = [0] * len(seen.room)
        for zone, count in zip(zones, self._spreads[spread].tolist(), strict=True):
            wanted[zone] = count
        return self._bridged(seen, wanted, int(on_demand))

    def _possible(self, room: tuple[int, ...]) -> tuple[Integers, Integers, Floats]:
        """The spreads that fit, by index and by zone, and their price by on-demand replicas."""
        found = self._fitting.get(room)
        if found is None:
            index = np.flatnonzero((self._spreads <= np.array(room)).all(axis=1))
            found = self._fitting[room] = (index, self._spreads[index], self._price[index])
        return found

    def _risk(self, seen: Standing) -> tuple[Sequence[int], Floats]:
        """The zones considered, and P(short) by spread and on-demand replicas."""
        if not self._all_zones:
            hazard = self._hazards[seen.tick].tolist()
            # What is held counts as a little steadier, so that zones do not drop in and out of view.
            by_hazard = sorted(
                range(len(hazard)), key=lambda zone: (hazard[zone] * (0.8 if seen.held[zone] else 1), zone)
            )
            zones = sorted(by_hazard[: self._considered])
            here = slice(seen.tick, seen.tick + 1)
            regions = [self._regions[zone] for zone in zones]
            return zones, self._shortfall(self._hazards[here, zones], self._shared_shock[here], regions)[0]
        offset = seen.tick % self._block_ticks
        if seen.tick - offset != self._block_start:
            self._block_start = seen.tick - offset
            block = slice(self._block_start, self._block_start + self._block_ticks)
            self._block = self._shortfall(self._hazards[block], self._shared_shock[block], self._regions)
        return range(len(seen.room)), self._block[offset]

    def _shortfall(self, hazards: Floats, shared_shock: Floats, regions: Sequence[str]) -> Floats:
        """P(survivors + on demand < wanted), shape (ticks, spreads, on-demand replicas)."""
        key = tuple(regions)
        if key not in self._over:
            self._over[key] = Spreads.over(self._spreads, key)
        chance = self._over[key].survivors(hazards, shared_shock, self._most)
        below = np.concatenate([np.zeros((*chance.shape[:2], 1)), np.cumsum(chance, axis=2)], axis=2)
        needed = self._rules.want - self._on_demand
        # More are needed than there can be: short for certain.
        return np.where(needed > self._most, 1.0, below[..., np.minimum(needed, self._most)])

    def _bridged(self, seen: Standing, wanted: list[int], on_demand: int) -> Order:
        """With what has to stay until enough of the rest is ready: the steadiest spot first, it is cheaper."""
        ready = sum(min(count, stands) for count, stands in zip(wanted, seen.ready, strict=True))
        missing = self._rules.want - ready - min(on_demand, seen.on_demand_ready)
        hazard = self._hazards[seen.tick]
        for zone in sorted(range(len(wanted)), key=lambda one: (hazard[one], one)):
            stays = min(max(seen.ready[zone] - wanted[zone], 0), max(missing, 0))
            wanted[zone] += stays
            missing -= stays
        on_demand += min(max(seen.on_demand_ready - on_demand, 0), max(missing, 0))
        return Order(wanted, on_demand)


def _levels(rules: ReplayRules) -> tuple[int, ...]:
    """Replicas that one zone may be given: none, one, two, half of what may be useful there, all of it."""
    most = min(rules.per_zone_limit, rules.want)
    return tuple(sorted({0, 1, min(2, most), -(-most // 2), most}))


def _considered(levels: int) -> int:
    """How many zones can be combined without more than FEWER_SPREADS spreads; at least one."""
    count = 1
    while levels ** (count + 1) <= FEWER_SPREADS:
        count += 1
    return count


def _spreads(zones: int, levels: Sequence[int]) -> Integers:
    """Every spread of the levels over the zones, those with fewer replicas first."""
    found = sorted(product(levels, repeat=zones), key=lambda spread: (sum(spread), spread))
    return np.array(found, dtype=np.int64)
