"""The keyed queue between what happens and what is done about it.

Work is proportional to keys, not to events: a key that is added while it waits is one entry, one that is added while
it is worked on is worked on once more afterwards, and never twice at a time. A key that fails backs off by itself and
keeps nobody waiting.
"""

import asyncio
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum


class Cause(StrEnum):
    """Why a key is in the queue; the label of metrics and logs."""

    CHANGE = "change"
    """An object of the workload changed in the cluster."""
    PLAN = "plan"
    """The newest plan says something else about the workload, or about its newest spec."""
    SPENDING = "spending"
    """An hour was closed: what was spent of the workload's budget is another."""
    SIGNALS = "signals"
    """What is measured of the workload says something new."""
    RETRY = "retry"
    """An attempt failed."""
    TIMER = "timer"
    """An attempt asked for another look, to end a drain, say."""
    RESYNC = "resync"
    """Nothing happened: everything is looked at once in a while, so that a lost signal heals."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Seconds before the n-th repetition: doubling from ``first_seconds`` to ``last_seconds``, minus up to a half."""

    first_seconds: float = 1.0
    last_seconds: float = 300.0

    def seconds(self, attempt: int, jitter: float) -> float:
        """``attempt`` counts from 1; ``jitter`` is uniform in 0 to 1, so that failures of one cause spread out."""
        full = min(self.last_seconds, self.first_seconds * 2.0 ** min(attempt - 1, 60))
        return full * (1 - jitter / 2)


@dataclass(frozen=True, slots=True)
class Item:
    """What a worker takes. ``attempt`` counts the attempts since the last success, this one included."""

    key: str
    causes: frozenset[Cause]
    attempt: int


class QueueClosed(Exception):
    """Raised to whoever waits for work that will not come."""


@dataclass(slots=True)
class _Entry:
    since: float
    causes: set[Cause] = field(default_factory=set)


class WorkQueue:
    """Not thread-safe: everything happens on one event loop."""

    def __init__(
        self,
        backoff: Backoff = Backoff(),
        *,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._backoff = backoff
        self._draw = draw
        self._order: asyncio.Queue[str | None] = asyncio.Queue()
        self._closed = False
        self._waiting: dict[str, _Entry] = {}
        self._working: dict[str, float] = {}
        self._again: dict[str, set[Cause]] = {}
        self._timers: dict[str, tuple[asyncio.TimerHandle, Cause]] = {}
        self._failures: dict[str, int] = {}

    def add(self, key: str, cause: Cause) -> None:
        """``key`` is looked at as soon as a worker is free; a backoff is cut short, except by a resync."""
        if cause is Cause.RESYNC and key in self._timers:
            return
        self._cancel_timer(key)
        if key in self._working:
            self._again.setdefault(key, set()).add(cause)
            return
        entry = self._waiting.get(key)
        if entry is None:
            entry = self._waiting[key] = _Entry(_now())
            self._order.put_nowait(key)
        entry.causes.add(cause)

    def add_after(self, key: str, seconds: float, cause: Cause = Cause.TIMER) -> None:
        """``key`` is looked at in ``seconds``, or earlier if something happens to it; an earlier timer wins."""
        due = _now() + seconds
        if key in self._waiting or (key in self._timers and self._timers[key][0].when() <= due):
            return
        self._cancel_timer(key)
        handle = asyncio.get_running_loop().call_later(seconds, self._due, key)
        self._timers[key] = (handle, cause)

    async def take(self) -> Item:
        """The key that has waited longest; the caller must end with :meth:`succeeded` or :meth:`failed`.

        Raises QueueClosed after :meth:`close`.
        """
        key = None if self._closed else await self._order.get()
        if key is None:
            self._order.put_nowait(None)  # for the next who waits
            raise QueueClosed
        entry = self._waiting.pop(key)
        self._working[key] = _now()
        return Item(key, frozenset(entry.causes), self._failures.get(key, 0) + 1)

    def succeeded(self, key: str) -> None:
        self._failures.pop(key, None)
        self._finish(key)

    def failed(self, key: str, after_seconds: float | None = None) -> float:
        """Put ``key`` back after its backoff, or after ``after_seconds`` if that is longer; returns the delay."""
        attempt = self._failures[key] = self._failures.get(key, 0) + 1
        delay = max(self._backoff.seconds(attempt, self._draw()), after_seconds or 0.0)
        self._finish(key)
        self.add_after(key, delay, Cause.RETRY)
        return delay

    def close(self) -> None:
        """No key is handed out any more."""
        self._closed = True
        self._order.put_nowait(None)

    @property
    def depth(self) -> int:
        """Keys that wait for a worker."""
        return len(self._waiting)

    @property
    def retrying(self) -> int:
        """Keys whose last attempt failed."""
        return len(self._failures)

    def oldest_seconds(self) -> float:
        """Age of the oldest key that waits or is worked on, 0 where there is none; a key that backs off has no age."""
        since = [entry.since for entry in self._waiting.values()]
        return max((_now() - each for each in [*since, *self._working.values()]), default=0.0)

    def _finish(self, key: str) -> None:
        self._working.pop(key, None)
        for cause in self._again.pop(key, ()):
            self.add(key, cause)

    def _due(self, key: str) -> None:
        _, cause = self._timers.pop(key)
        self.add(key, cause)

    def _cancel_timer(self, key: str) -> None:
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer[0].cancel()


async def resync(
    queue: WorkQueue,
    keys: Callable[[], Iterable[str]],
    window_seconds: float,
    *,
    draw: Callable[[], float] = random.random,
) -> None:
    """Add every key once in a window, spread evenly; never returns."""
    while True:
        batch = sorted(keys())
        pause = window_seconds * (0.9 + 0.2 * draw()) / max(1, len(batch))
        if not batch:
            await asyncio.sleep(pause)
        for key in batch:
            await asyncio.sleep(pause)
            queue.add(key, Cause.RESYNC)


def _now() -> float:
    return asyncio.get_running_loop().time()
