"""Anomalies of cost: whether the rate, the use or the mix moved, window by window, from the past alone.

Cost is the sum over kinds (an instance type bought one way) of rate × quantity. Each of the three ways in which it can
move has its own watch, so that an alarm says why:

- *rate*: the price of a kind against its own median of the last day. Prices are set, not drawn: a small step is one.
- *use*: quantity a request of the busiest of the last windows (capacity follows peaks) against what is usual at this
  time of the day, as a robust z-score of the logarithm, 0.6745 · (x − median) / MAD (Iglewicz and Hoaglin, How to
  Detect and Handle Outliers, 1993). Where traffic is not known, a rise of quantity itself: a jump that stays, above the
  busiest of the last hour and above what is usual at this time of the day (:class:`Jump`).
- *mix*: the price of an average unit at reference rates: the same units bought another way.

An alarm is raised once and again only after the watch was quiet for a while.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import exp, log
from statistics import median


class Cause(StrEnum):
    RATE = "Rate"
    USE = "Use"
    MIX = "Mix"


@dataclass(frozen=True, slots=True)
class Window:
    """One window of one service. ``quantity`` and ``rate`` (USD per unit) by kind; ``requests`` None: not known."""

    quantity: Mapping[str, float]
    rate: Mapping[str, float]
    requests: float | None = None

    def __post_init__(self) -> None:
        for name, values in (("quantity", self.quantity), ("rate", self.rate)):
            wrong = sorted(kind for kind, value in values.items() if not 0 <= value < float("inf"))
            if wrong:
                raise ValueError(f"the {name} of {wrong[0]} must be finite and not negative")
        unpriced = sorted(kind for kind, value in self.quantity.items() if value > 0 and kind not in self.rate)
        if unpriced:
            raise ValueError(f"{unpriced[0]} was used and has no rate: a use without a price is not free")

    @property
    def units(self) -> float:
        return sum(self.quantity.values())

    @property
    def usd(self) -> float:
        return sum(quantity * self.rate[kind] for kind, quantity in self.quantity.items() if quantity > 0)


@dataclass(frozen=True, slots=True)
class Anomaly:
    """``window`` from the start of the series; ``factor``: what moved, against what was expected of it.

    ``usd``: what the window cost beyond what it would have cost had that not moved (below zero: less).
    """

    window: int
    cause: Cause
    kind: str | None
    factor: float
    usd: float


@dataclass(frozen=True, slots=True)
class Jump:
    """A rise of use that is told where nobody knows the traffic: by all three factors at once, for ``windows`` on end.

    The factors are those that find most doublings of the NASA trace of 1995 (58 days, one replica for a fortieth of the
    mean rate) at no more than one false alarm a month of it.
    """

    windows: int = 2
    over_last: float = 1.65
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
    mix_factor: float = 1.15
    least_z: float = 3.5
    """Of use and mix, beside the factor: 3.5 as Iglewicz and Hoaglin recommend."""
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


class CostWatch:
    """The watch over one service: remembers ``sensitivity.days`` of windows and which alarms were raised lately."""

    def __init__(self, sensitivity: Sensitivity) -> None:
        self._sensitivity = sensitivity
        self._seen = 0
        self._rates: dict[str, deque[float]] = {}
        self._unit_use: deque[float | None] = deque(maxlen=sensitivity.days * sensitivity.windows_per_day + 2)
        self._unit_price: deque[float | None] = deque(maxlen=sensitivity.days * sensitivity.windows_per_day + 2)
        self._requests: deque[float | None] = deque(maxlen=sensitivity.settling_windows)
        self._usd: deque[float] = deque(maxlen=sensitivity.windows_per_day)
        self._quiet_from: dict[tuple[Cause, str | None], int] = {}

    def observe(self, window: Window) -> list[Anomaly]:
        """The alarms that one more window raises, judged by the windows before it."""
        usual = {kind: median(rates) for kind, rates in self._rates.items()}
        lately = [*self._requests, window.requests][-self._sensitivity.settling_windows :]
        unit_use, unit_price = _unit_use(window, lately), _unit_price(window, usual)
        alarms = [
            *self._rate_alarms(window, usual),
            *self._use_alarms(window, unit_use),
            *self._alarm(window, Cause.MIX, self._unit_price, unit_price),
        ]
        raised = [alarm for alarm in alarms if self._seen >= self._quiet_from.get((alarm.cause, alarm.kind), 0)]
        for alarm in alarms:
            self._quiet_from[alarm.cause, alarm.kind] = self._seen + self._sensitivity.quiet_windows
        self.remember(window)
        return raised

    def remember(self, window: Window) -> None:
        """One more window of the past, which raises nothing."""
        usual = {kind: median(rates) for kind, rates in self._rates.items()}
        self._requests.append(window.requests)
        self._unit_use.append(_unit_use(window, self._requests))
        self._unit_price.append(_unit_price(window, usual))
        for kind, rate in window.rate.items():
            self._rates.setdefault(kind, deque(maxlen=self._sensitivity.windows_per_day)).append(rate)
        self._usd.append(window.usd)
        self._seen += 1

    def _rate_alarms(self, window: Window, usual: Mapping[str, float]) -> list[Anomaly]:
        found = []
        for kind, rate in sorted(window.rate.items()):
            quantity, before = window.quantity.get(kind, 0.0), usual.get(kind, 0.0)
            if quantity == 0 or before == 0:
                continue
            factor = rate / before
            if not 1 / self._sensitivity.rate_factor <= factor <= self._sensitivity.rate_factor:
                found.append(Anomaly(self._seen, Cause.RATE, kind, factor, (rate - before) * quantity))
        return found

    def _use_alarms(self, window: Window, unit_use: float | None) -> list[Anomaly]:
        if window.requests is not None:
            return self._alarm(window, Cause.USE, self._unit_use, unit_use)
        beyond = None if unit_use is None else _jump(self._unit_use, unit_use, self._sensitivity)
        return [] if beyond is None else self._told(window, Cause.USE, beyond)

    def _alarm(self, window: Window, cause: Cause, past: Sequence[float | None], now: float | None) -> list[Anomaly]:
        residual = None if now is None else _residual(past, now, self._sensitivity)
        if residual is None:
            return []
        beyond, spread = residual
        least = self._sensitivity.use_factor if cause is Cause.USE else self._sensitivity.mix_factor
        # A service that never moved has no spread to speak of: never below 2 %.
        if abs(beyond) < log(least) or 0.6745 * abs(beyond) / max(spread, 0.02) < self._sensitivity.least_z:
            return []
        return self._told(window, cause, beyond)

    def _told(self, window: Window, cause: Cause, beyond: float) -> list[Anomaly]:
        """``beyond``: the logarithm of the factor. Nothing where that moved little money."""
        factor = exp(beyond)
        usd = window.usd * (1 - 1 / factor)
        if abs(usd) < self._sensitivity.least_usd_share * median(self._usd):
            return []
        return [Anomaly(self._seen, cause, None, factor, usd)]


def anomalies(windows: Sequence[Window], sensitivity: Sensitivity) -> list[Anomaly]:
    """Every alarm of a series, in order."""
    watch = CostWatch(sensitivity)
    return [alarm for window in windows for alarm in watch.observe(window)]


def _unit_use(window: Window, requests: Iterable[float | None]) -> float | None:
    """Logarithm of quantity a request of the busiest of the last windows, or of quantity where traffic is not known;
    None where there is nothing to divide."""
    known = [one for one in requests if one is not None]
    divisor = 1.0 if window.requests is None else max(known)
    return log(window.units / divisor) if window.units > 0 and divisor > 0 else None


def _unit_price(window: Window, usual: Mapping[str, float]) -> float | None:
    """Logarithm of the price of an average unit, each kind at its usual rate, where it has one."""
    usd = sum(
        quantity * usual.get(kind, window.rate[kind]) for kind, quantity in window.quantity.items() if quantity > 0
    )
    return log(usd / window.units) if usd > 0 else None


def _jump(past: Sequence[float | None], now: float, sensitivity: Sensitivity) -> float | None:
    """By how much use is above its usual, where it has jumped and stayed; None where it has not, or with less than a
    day of past."""
    jump, day = sensitivity.jump, sensitivity.windows_per_day
    start = len(past) - (jump.windows - 1)
    if start < day:
        return None
    stays = [past[place] for place in range(start, len(past))]
    hour = [value for place in range(start - max(day // 24, 1), start) if (value := past[place]) is not None]
    usual = _same_time(past, start, sensitivity)
    before = past[start - 1]
    if before is None or not hour or not usual or any(value is None for value in stays):
        return None
    least = min([now, *(value for value in stays if value is not None)])
    baselines = ((before, jump.over_last), (max(hour), jump.over_busiest), (median(usual), jump.over_usual))
    if any(least - baseline <= log(factor) for baseline, factor in baselines):
        return None
    return least - max(*hour, median(usual))


def _same_time(past: Sequence[float | None], here: int, sensitivity: Sensitivity) -> list[float]:
    """What was at the place ``here``, and beside it, on earlier days."""
    day = sensitivity.windows_per_day
    places = (here - back * day + near for back in range(1, sensitivity.days + 1) for near in (-1, 0, 1))
    return [value for place in places if 0 <= place < len(past) and (value := past[place]) is not None]


def _residual(past: Sequence[float | None], now: float, sensitivity: Sensitivity) -> tuple[float, float] | None:
    """How far a value is from what is usual, and the MAD of what is usual; None with less than a day of past.

    Usual is the median of the same and the neighbouring windows of earlier days, and the median of the last hours: odd
    by both, or it is not odd.
    """
    day = sensitivity.windows_per_day
    known = [value for value in past if value is not None]
    here = len(past)
    same_time = _same_time(past, here, sensitivity)
    lately = [past[place] for place in range(max(here - day // 4, 0), here)]
    recent = [value for value in lately if value is not None]
    if here < day or not same_time or not recent:
        return None
    middle = median(known)
    spread = median([abs(value - middle) for value in known])
    by_time, by_level = now - median(same_time), now - median(recent)
    beyond = min(by_time, by_level, key=abs) if by_time * by_level > 0 else 0.0
    return beyond, spread
