"""What an anomaly of cost is: which of rate, use and mix moved, by how much, and how far is too far.

Cost is the sum over kinds (an instance type bought one way) of rate × quantity. Each of the three ways in which it can
move has its own watch (:mod:`berth_cost.spending.cost_watch`), so that an alarm says why:

- *rate*: the price of a kind against its own median of the last day. Prices are set, not drawn: a small step is one.
- *use*: quantity a request of the busiest of the last windows (capacity follows peaks) against what is usual at this
  time of the day, as a robust z-score of the logarithm, 0.6745 · (x − median) / MAD (Iglewicz and Hoaglin, How to
  Detect and Handle Outliers, 1993), where the quantity itself has moved, too. Where traffic is not known, a rise of
  quantity itself: a jump that stays, above the busiest of the last hour and above what is usual at this time of the
  day (:class:`Jump`).
- *mix*: the price of an average unit at reference rates: the same units bought another way.

An alarm is raised once and again only after the watch was quiet for a while.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Cause(StrEnum):
    RATE = "Rate"
    USE = "Use"
    MIX = "Mix"


@dataclass(frozen=True, slots=True)
class Use:
    """What one service used in a window. ``quantity`` by kind; ``requests`` None: not known."""

    quantity: Mapping[str, float]
    requests: float | None = None
    settled: bool = True
    """False while a change is rolled out, and old and new stand side by side: neither judged nor remembered."""


@dataclass(frozen=True, slots=True)
class Window:
    """One window of a fleet. ``rate``: USD per unit by kind, the same for everybody; ``used`` by service.

    Raises ValueError for numbers that are none, and for what was used and has no rate.
    """

    rate: Mapping[str, float]
    used: Mapping[str, Use]

    def __post_init__(self) -> None:
        _refuse("rate", self.rate)
        for use in self.used.values():
            _refuse("quantity", use.quantity)
            unpriced = sorted(kind for kind, value in use.quantity.items() if value > 0 and kind not in self.rate)
            if unpriced:
                raise ValueError(f"{unpriced[0]} was used and has no rate: a use without a price is not free")


def _refuse(name: str, values: Mapping[str, float]) -> None:
    wrong = sorted(kind for kind, value in values.items() if not 0 <= value < float("inf"))
    if wrong:
        raise ValueError(f"the {name} of {wrong[0]} must be finite and not negative")


@dataclass(frozen=True, slots=True)
class Anomaly:
    """``window`` from the start of the watch; ``factor``: what moved, against what was expected of it.

    ``usd``: what the window cost beyond what it would have cost had that not moved (below zero: less).
    """

    service: str
    window: int
    cause: Cause
    kind: str | None
    factor: float
    usd: float


@dataclass(frozen=True, slots=True)
class Jump:
    """A rise of use that is told where nobody knows the traffic: by all three factors at once, for ``windows`` on end.

    The factors are those that find most doublings of the NASA trace of 1995 in windows of five minutes (58 days, 10, 40
    and 160 replicas on average) at about one false alarm a month of it.
    """

    windows: int = 2
    over_last: float = 1.85
    """Over the window before."""
    over_busiest: float = 1.35
    """Over the busiest of the hour before: what comes back after a lull is no rise."""
    over_usual: float = 1.22
    """Over the median of the same and the neighbouring windows of earlier days."""


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """How far is too far. ``windows_per_day`` is the season; factors are taken both ways."""

    windows_per_day: int
    rate_factor: float = 1.05
    """A step of a price that is told. Feeds are rounded to a percent or so; memory in GB for GiB is 7 % off."""
    use_factor: float = 1.5
    quantity_factor: float = 1.22
    """Of use where traffic is known: how far the quantity itself has to be off, from what is usual at this time or from
    an hour ago. Capacity that stands still while traffic moves costs what it did."""
    mix_factor: float = 1.15
    least_z: float = 3.5
    """Of use and mix, beside the factor: 3.5 as Iglewicz and Hoaglin recommend."""
    least_spread: float = 0.02
    """A service that never moved has no spread to speak of: never below 2 %."""
    settling_windows: int = 3
    """For how long capacity stays when traffic has gone: use is judged against the busiest of these."""
    least_usd_share: float = 0.15
    """Of what a window usually costs: use and mix that move less money are not told."""
    quiet_windows: int = 6
    """Before a watch that raised an alarm may raise the next."""
    days: int = 7
    """Of history that use and mix are compared with."""
    jump: Jump = Jump()
    """Of use, where traffic is not known."""
