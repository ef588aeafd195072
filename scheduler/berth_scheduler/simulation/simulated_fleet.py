"""Replicas of one workload in simulated time: they are asked for, start, serve, are interrupted, and are paid for."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from berth_scheduler.control.berth_spread import BerthSupply
from berth_scheduler.simulation.demand_ticks import TICK_SECONDS

HOURS_PER_TICK = TICK_SECONDS / 3600


@dataclass(frozen=True, slots=True)
class SpotTrace:
    """Arrays over rows, each holding until the next: replicas that spot berths can have, and what one costs.

    ``usd_per_replica_hour`` nan: the berth's own price.
    """

    seconds: NDArray[np.float64]
    replicas: NDArray[np.int64]
    usd_per_replica_hour: NDArray[np.float64]


@dataclass(slots=True)
class SimulatedFleet:
    """``asked`` and ``ready`` by berth. A replica is paid for from the tick it is asked for to the tick it is given up.

    Scale-down gives up what still starts first, the newest of it first. A cold start takes whole ticks, rounded up.
    """

    berths: tuple[BerthSupply, ...]
    gpus_per_replica: float
    cold_start_ticks: int
    asked: list[int]
    seed: int
    spot: SpotTrace | None = None
    ready: list[int] = field(init=False)
    supply: list[BerthSupply] = field(init=False)
    starting: list[deque[tuple[int, int]]] = field(init=False)
    replica_ticks: int = 0
    usd: float = 0.0
    scalings: int = 0
    interruptions: int = 0
    random: np.random.Generator = field(init=False)
    spot_row: int = -1

    def __post_init__(self) -> None:
        self.ready = list(self.asked)
        self.supply = list(self.berths)
        self.starting = [deque() for _ in self.berths]
        self.random = np.random.default_rng(self.seed)

    def begin(self, tick: int, seconds: float) -> None:
        """What happens by itself: starts end, spot capacity comes and goes, spot replicas are interrupted."""
        for index, starting in enumerate(self.starting):
            while starting and starting[0][0] <= tick:
                self.ready[index] += starting.popleft()[1]
        if self.spot is not None:
            self._follow_spot(tick, seconds)
        for index, berth in enumerate(self.berths):
            if berth.interruptions_per_hour and self.ready[index]:
                chance = 1 - np.exp(-berth.interruptions_per_hour * HOURS_PER_TICK)
                lost = int(self.random.binomial(self.ready[index], chance))
                if lost:
                    # Its Deployment asks for another one at once.
                    self.ready[index] -= lost
                    self.interruptions += lost
                    self.starting[index].append((tick + self.cold_start_ticks, lost))

    def scale(self, tick: int, wanted: Sequence[int]) -> None:
        if list(wanted) == self.asked:
            return
        self.scalings += sum(wanted) != sum(self.asked)
        for index, count in enumerate(wanted):
            more = count - self.asked[index]
            if more > 0:
                self.starting[index].append((tick + self.cold_start_ticks, more))
            elif more < 0:
                self._give_up(index, -more)
            self.asked[index] = count

    def pay(self) -> None:
        for count, berth in zip(self.asked, self.supply, strict=True):
            self.replica_ticks += count
            self.usd += count * berth.usd_per_replica_hour * HOURS_PER_TICK

    @property
    def gpu_hours(self) -> float:
        return self.replica_ticks * self.gpus_per_replica * HOURS_PER_TICK

    def _give_up(self, index: int, count: int) -> None:
        starting = self.starting[index]
        while count and starting:
            tick, some = starting.pop()
            taken = min(count, some)
            count -= taken
            if some > taken:
                starting.append((tick, some - taken))
        self.ready[index] -= count

    def _follow_spot(self, tick: int, seconds: float) -> None:
        assert self.spot is not None
        row = int(np.searchsorted(self.spot.seconds, seconds, side="right")) - 1
        if row == self.spot_row:
            return
        self.spot_row = row
        left = int(self.spot.replicas[row]) if row >= 0 else 0
        price = float(self.spot.usd_per_replica_hour[row]) if row >= 0 else np.nan
        for index, berth in enumerate(self.berths):
            if not berth.spot:
                continue
            most = min(berth.maximum, left)
            left -= most
            self.supply[index] = BerthSupply(
                berth.key,
                True,
                berth.usd_per_replica_hour if np.isnan(price) else price,
                most,
                berth.interruptions_per_hour,
            )
            if self.asked[index] > most:
                before = self.ready[index]
                self._give_up(index, self.asked[index] - most)
                self.asked[index] = most
                self.interruptions += before - self.ready[index]
