"""The last hours of one workload, packed: a fleet of thousands remembers two weeks of all in little memory."""

from array import array
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice
from math import isnan, nan

MOST_HOURS = 14 * 24
"""Two weeks: what a weekly course of spend is read from."""


@dataclass(frozen=True, slots=True)
class Used:
    """Of one kind in one hour, each in six significant digits."""

    kind: str
    gpu_hours: float
    usd: Decimal


@dataclass(frozen=True, slots=True)
class Hour:
    """One closed hour of one workload."""

    used: tuple[Used, ...] = ()
    requests: float | None = None

    @property
    def usd(self) -> Decimal:
        return sum((one.usd for one in self.used), Decimal(0))


class HourHistory:
    """At most :data:`MOST_HOURS` hours, the oldest first. Equal neighbours share their bytes.

    An hour is the requests (NaN where they are not known) and, for each kind, its place in the list of kinds, GPU-hours
    and USD, as doubles: numbers of six digits come back as they were.
    """

    __slots__ = ("_kinds", "_packed")

    def __init__(self, hours: Iterable[Hour] = ()) -> None:
        self._kinds: list[str] = []
        self._packed: deque[bytes] = deque(maxlen=MOST_HOURS)
        for hour in hours:
            self.append(hour)

    def append(self, hour: Hour) -> None:
        numbers = array("d", [nan if hour.requests is None else hour.requests])
        for used in hour.used:
            numbers.extend((self._place_of(used.kind), used.gpu_hours, float(used.usd)))
        packed = numbers.tobytes()
        if self._packed and self._packed[-1] == packed:
            packed = self._packed[-1]
        self._packed.append(packed)

    def last(self, count: int) -> list[Hour]:
        """The newest, at most ``count`` of them, the oldest of these first."""
        return [self._hour(packed) for packed in self._newest(count)]

    def usd(self) -> list[float]:
        """What each hour cost."""
        return [sum(array("d", packed)[3::3]) for packed in self._packed]

    def runs(self, count: int) -> Iterator[tuple[int, Hour]]:
        """Equal neighbours of the last ``count`` as one, with their number: a fleet that does not move needs one line
        for a week."""
        times, last = 0, b""
        for packed in self._newest(count):
            if times and packed != last:
                yield times, self._hour(last)
                times = 0
            times, last = times + 1, packed
        if times:
            yield times, self._hour(last)

    def count_runs(self, count: int) -> int:
        hours = list(self._newest(count))
        return sum(one is not other for one, other in zip(hours[1:], hours, strict=False)) + bool(hours)

    def clear(self) -> None:
        self._packed.clear()

    def __iter__(self) -> Iterator[Hour]:
        return map(self._hour, self._packed)

    def __len__(self) -> int:
        return len(self._packed)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, HourHistory) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def _newest(self, count: int) -> Iterator[bytes]:
        return islice(self._packed, max(len(self._packed) - count, 0), None)

    def _hour(self, packed: bytes) -> Hour:
        requests, *rest = array("d", packed)
        used = zip(rest[::3], rest[1::3], rest[2::3], strict=True)
        return Hour(
            tuple(Used(self._kinds[int(place)], gpu_hours, Decimal(repr(usd))) for place, gpu_hours, usd in used),
            None if isnan(requests) else requests,
        )

    def _place_of(self, kind: str) -> int:
        if kind not in self._kinds:
            self._kinds.append(kind)
        return self._kinds.index(kind)
