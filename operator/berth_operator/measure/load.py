"""A bounded load against one target: closed (so many clients) or open (so many requests a second), warm-up excluded.

Of an open load the latency counts from when a request was due, not from when it could be sent: what waits inside the
client because the server is slow is waiting too (coordinated omission).
"""

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True, slots=True)
class Bounds:
    """When a run ends. ``requests`` counts measured ones; whatever comes first."""

    seconds: float = 10.0
    requests: int = 100_000
    warm_up_seconds: float = 1.0
    timeout_seconds: float = 60.0
    """Of one request."""
    error_share: float = 0.05
    """More errors than this, and the run is given up: what is measured then is the errors."""


@dataclass(frozen=True, slots=True)
class OfferedLoad:
    """``concurrency`` clients without think time, or ``requests_per_second`` with gaps of ``burstiness`` (squared
    coefficient of variation: 0 constant, 1 Poisson, in between or above gamma-distributed)."""

    concurrency: int | None = None
    requests_per_second: float | None = None
    burstiness: float = 1.0
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Sample:
    """One request that was answered; seconds on the run's clock. ``tokens_at``: when each token came."""

    due_seconds: float
    done_seconds: float
    tokens_at: tuple[float, ...] = ()


@dataclass(slots=True)
class Run:
    """What came of a load. ``seconds``: how long was measured."""

    samples: list[Sample] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    seconds: float = 0.0


class TooManyErrors(Exception):
    """Raised where a run was given up; the message has the most frequent error."""


class NothingMeasured(Exception):
    """Raised where not one request ended inside the bounds."""


Send = Callable[[int], Awaitable[tuple[float, ...]]]
"""Send request number n and wait for its whole answer; when each token came on the event loop's clock, or nothing.
Raises on an error."""
FEWEST_JUDGED = 20
"""Requests before the share of errors is judged."""
MOST_WAITING = 10_000
"""Requests of an open load under way at once: far beyond overload."""


async def measure(send: Send, load: OfferedLoad, bounds: Bounds) -> Run:
    """Raises :class:`TooManyErrors` and :class:`NothingMeasured`."""
    runner = _Runner(send, bounds)
    if load.concurrency is not None:
        await runner.closed(load.concurrency)
    else:
        await runner.open(load)
    return runner.finished()


def gaps(load: OfferedLoad, count: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Seconds between ``count`` arrivals, the same for the same seed."""
    mean = 1 / (load.requests_per_second or math.inf)
    if load.burstiness == 0:
        return np.full(count, mean)
    shape = 1 / load.burstiness
    return np.random.default_rng(load.seed).gamma(shape, mean / shape, count)


class _Runner:
    def __init__(self, send: Send, bounds: Bounds) -> None:
        self._send = send
        self._bounds = bounds
        self._run = Run()
        self._clock = asyncio.get_running_loop().time
        self._began = self._clock()
        self._measured_from = self._began + bounds.warm_up_seconds
        self._ends = self._measured_from + bounds.seconds
        self._number = 0
        self._answered = 0
        """Warm-up included."""
        self._last_done = self._measured_from

    @property
    def _over(self) -> bool:
        enough = len(self._run.samples) >= self._bounds.requests
        return enough or self._clock() >= self._ends or self._given_up()

    def _given_up(self) -> bool:
        errors, answered = len(self._run.errors), self._answered
        judged = errors + answered >= FEWEST_JUDGED
        return judged and errors > self._bounds.error_share * (errors + answered)

    async def closed(self, clients: int) -> None:
        async def client() -> None:
            while not self._over:
                await self._request(self._clock())

        async with asyncio.TaskGroup() as group:
            for _ in range(clients):
                group.create_task(client())

    async def open(self, load: OfferedLoad) -> None:
        total = self._bounds.warm_up_seconds + self._bounds.seconds
        count = max(1, math.ceil(total * (load.requests_per_second or 1) * 1.5) + 100)
        due = self._began
        under_way: set[asyncio.Task[None]] = set()
        for gap in gaps(load, count):
            due += float(gap)
            if due >= self._ends or self._over or len(under_way) >= MOST_WAITING:
                break
            await asyncio.sleep(due - self._clock())
            task = asyncio.create_task(self._request(due))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
        # Those that were due are waited for: leaving out the slow ones would make the server fast.
        if under_way:
            await asyncio.gather(*under_way)

    async def _request(self, due: float) -> None:
        number, self._number = self._number, self._number + 1
        try:
            async with asyncio.timeout(self._bounds.timeout_seconds):
                tokens = await self._send(number)
        except TimeoutError:
            self._run.errors.append(f"no answer within {self._bounds.timeout_seconds:g} s")
        except Exception as error:  # whatever a client library raises is an error of the server to us
            self._run.errors.append(f"{type(error).__name__}: {error}"[:200])
        else:
            done = self._clock()
            self._answered += 1
            if due >= self._measured_from:
                self._last_done = max(self._last_done, done)
                shifted = tuple(at - self._measured_from for at in tokens)
                self._run.samples.append(Sample(due - self._measured_from, done - self._measured_from, shifted))

    def finished(self) -> Run:
        errors, samples = self._run.errors, self._run.samples
        asked = len(errors) + self._answered
        if errors and len(errors) > self._bounds.error_share * asked:
            often = max(sorted(set(errors)), key=errors.count)
            raise TooManyErrors(f"{len(errors)} of {asked} requests failed, most often: {often}")
        if not samples:
            raise NothingMeasured("no request was answered in the time: give it longer with --duration")
        self._run.seconds = max(self._last_done - self._measured_from, 1e-9)
        return self._run
