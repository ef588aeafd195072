"""A dynamic batcher under an open load, batch by batch, many replicas in lockstep.

The same server as in :mod:`berth_cost.performance.batch_service`: an idle instance takes what waits, up to the largest
batch, at once or as soon as the oldest request has waited the longest delay or a full batch is there; busy instances
share the GPU. Arrays are (rows,), (rows, instances) or (rows, requests).
"""

import numpy as np

from berth_cost.performance.batch_service import BatchService
from berth_cost.performance.case_table import Floats, Integers, rows_of
from berth_cost.performance.simulated.arrivals import arrival_seconds

WARM_UP_SHARE = 0.2
"""Of the requests, not counted: the server was empty at first."""


def simulated_seconds(service: BatchService, rate: Floats, requests: int, seed: int) -> Floats:
    """From each request's arrival at the batcher until its batch is done, in order of arrival, without the first
    fifth; shape (n, 0.8 · requests). ``rate``: requests per second, shape (n,)."""
    batcher = _Batcher(service, arrival_seconds(rate, service.burstiness, requests, seed))
    # Every event sends a batch or ends one.
    for _ in range(2 * requests):
        if batcher.over():
            break
        batcher.advance()
    return batcher.done[:, int(WARM_UP_SHARE * requests) :] - batcher.arrivals[:, int(WARM_UP_SHARE * requests) : -1]


class _Batcher:
    """The state of every replica between two events. Requests leave the queue in their order: ``sent`` counts them."""

    def __init__(self, service: BatchService, arrivals: Floats) -> None:
        rows, self.requests = arrivals.shape
        self.service, self.rows = service, np.arange(rows)
        self.arrivals = np.pad(arrivals, ((0, 0), (0, 1)), constant_values=np.inf)
        # One rising sequence over all rows, so that one search finds how many have arrived in each.
        self.latest = float(arrivals[:, -1].max()) + 1.0
        self.joined = (arrivals + self.rows[:, None] * self.latest).ravel()
        self.largest = service.largest_batch.astype(np.int64)
        self.instances = np.arange(int(service.instances.max())) < service.instances[:, None]
        self.now, self.sent = np.zeros(rows), np.zeros(rows, dtype=np.int64)
        self.left = np.full(self.instances.shape, np.inf)
        """Seconds that each instance still needs if it is alone; inf where it is idle."""
        self.speed = np.ones(self.instances.shape)
        """Of those at work: 1 alone, less where others share the GPU."""
        self.alone, self.speeds = _tables(service, requests=self.requests)
        self.first = np.zeros(self.instances.shape, dtype=np.int64)
        """Of the requests in progress; the last follows from the size."""
        self.size = np.ones(self.instances.shape, dtype=np.int64)
        self.done = np.full(arrivals.shape, np.nan)

    def over(self) -> bool:
        return bool((self.sent == self.requests).all() and np.isinf(self.left).all())

    def advance(self) -> None:
        """To the next batch that is sent or done."""
        until = self.left / self.speed
        ending = until.argmin(axis=1)
        end = self.now + until[self.rows, ending]
        start = self._next_start()
        starts = start < end
        step = np.where(starts, start, end) - self.now
        moving = np.isfinite(step)
        step = np.where(moving, step, 0.0)
        self.now = self.now + step
        self.left = np.maximum(self.left - step[:, None] * self.speed, 0.0)
        self._finish(np.flatnonzero(~starts & moving), ending)
        self._send(np.flatnonzero(starts & moving))
        self._share()

    def _next_start(self) -> Floats:
        """When an idle instance would take a batch."""
        idle = (self.instances & np.isinf(self.left)).any(axis=1)
        oldest = self.arrivals[self.rows, self.sent]
        full = self.arrivals[self.rows, np.minimum(self.sent + self.largest - 1, self.requests)]
        due = np.maximum(np.minimum(oldest + self.service.delay, full), self.now)
        return np.where(idle, due, np.inf)

    def _finish(self, rows: Integers, ending: Integers) -> None:
        instance = ending[rows]
        first, size = self.first[rows, instance], self.size[rows, instance]
        columns = np.arange(len(rows)).repeat(size)
        offset = np.arange(len(columns)) - (np.cumsum(size) - size).repeat(size)
        self.done[rows[columns], first[columns] + offset] = self.now[rows[columns]]
        self.left[rows, instance] = np.inf

    def _send(self, rows: Integers) -> None:
        instance = (self.instances[rows] & np.isinf(self.left[rows])).argmax(axis=1)
        arrived = np.searchsorted(self.joined, self.now[rows] + rows * self.latest, side="right")
        arrived = np.clip(arrived - rows * self.requests, self.sent[rows] + 1, self.requests)
        size = np.minimum(arrived - self.sent[rows], self.largest[rows])
        self.first[rows, instance], self.size[rows, instance] = self.sent[rows], size
        self.left[rows, instance] = self.alone[rows, size - 1]
        self.sent[rows] += size

    def _share(self) -> None:
        """What is busy now shares the GPU."""
        busy = np.isfinite(self.left).sum(axis=1)
        self.speed = self.speeds[self.rows[:, None], self.size - 1, np.maximum(busy - 1, 0)[:, None]]


def _tables(service: BatchService, requests: int) -> tuple[Floats, Floats]:
    """(seconds of a pass of 1, 2, … requests alone, shape (n, sizes); its speed where 1, 2, … instances are at work,
    relative to that, shape (n, sizes, instances)). A run has batches of no more than its ``requests``."""
    sizes = np.arange(1, min(int(service.largest_batch.max()), requests) + 1)
    busy = np.arange(1, int(service.instances.max()) + 1)
    rows, size, count = (one.ravel() for one in np.meshgrid(np.arange(len(service.items)), sizes, busy, indexing="ij"))
    shared = rows_of(service, rows).cycle_seconds_of(size.astype(np.float64), count.astype(np.float64))
    together = (shared * count).reshape(-1, len(sizes), len(busy))
    return together[:, :, 0], together[:, :, :1] / together
