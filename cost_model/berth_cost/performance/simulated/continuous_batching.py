"""Continuous batching, event by event, many replicas in lockstep.

The same engine as in :mod:`berth_cost.performance.batching`: a step decodes every running sequence and carries prompt
tokens up to what the budget leaves; requests wait in order for a seat. Steps between which nothing changes are taken at
once, so that a request costs some three events however long its answer is. All arrays are (rows,) or (rows, events).
"""

from dataclasses import dataclass

import numpy as np

from berth_cost.performance.batching import SMALLEST_CHUNK_SHARE, ContinuousBatching
from berth_cost.performance.case_table import Floats, Integers
from berth_cost.performance.simulated.arrivals import arrival_seconds

EVENTS_PER_REQUEST = 4
"""At most: an arrival, a chunk or two of its prompt, its end. A run that needs more ends early, with fewer requests."""


@dataclass(frozen=True, slots=True)
class RequestTimes:
    """Of the finished requests by row in order of arrival, seconds, shapes (n, requests); nan beyond those finished."""

    arrived: Floats
    first_token: Floats
    """When its prompt was through, on the replica's clock."""
    finished: Floats


def open_requests(batching: ContinuousBatching, rate: Floats, requests: int, seed: int) -> RequestTimes:
    """Requests that arrive at ``rate`` per second, whatever the replica does."""
    arrived = arrival_seconds(rate, batching.burstiness, requests, seed)
    events = _Events(batching, arrived, np.full(arrived.shape, 1, dtype=np.int64), requests)
    return events.run(returning=None)


def closed_requests(batching: ContinuousBatching, clients: Floats, away: Floats, requests: int) -> RequestTimes:
    """``clients`` that each send a request when the one before is answered, ``away`` seconds later. All start at once;
    the first round is part of what is returned."""
    rows = len(clients)
    arrived = np.full((rows, requests + 1), np.inf)
    count = np.zeros((rows, requests + 1), dtype=np.int64)
    arrived[:, 0], count[:, 0] = 0.0, np.maximum(np.round(clients), 1).astype(np.int64)
    return _Events(batching, arrived, count, requests).run(returning=away)


class _Events:
    """The state of every replica between two events; arrivals are groups (time, number), in order of time."""

    def __init__(self, batching: ContinuousBatching, arrived: Floats, number: Integers, requests: int) -> None:
        rows = len(batching.prompt)
        self.batching, self.requests = batching, requests
        self.rows = np.arange(rows)
        self.arrived, self.number = (
            np.pad(arrived, ((0, 0), (0, 1)), constant_values=np.inf),
            np.pad(number, ((0, 0), (0, 1))),
        )
        self.groups = np.zeros(rows, dtype=np.int64)
        """Groups of arrivals so far."""
        self.known = np.where(np.isfinite(arrived), 1, 0).sum(axis=1)
        self.decode_steps = np.maximum(np.round(batching.decode_steps), 0)
        self.seats = np.maximum(np.floor(batching.seats), 1)
        self.now, self.step = np.zeros(rows), np.zeros(rows)
        self.came, self.admitted, self.prefilled, self.ended = (np.zeros(rows) for _ in range(4))
        self.tokens = np.zeros(rows)
        """Of prompts, processed so far."""
        limit = requests * EVENTS_PER_REQUEST
        # One column a batch of prompts that ended together: its step, its size, when it got its tokens.
        self.batch_step, self.batch_size = np.full((rows, limit + 1), np.inf), np.zeros((rows, limit + 1))
        self.batch_first, self.batch_end = np.full((rows, limit + 1), np.nan), np.full((rows, limit + 1), np.nan)
        self.batches, self.first_running = np.zeros(rows, dtype=np.int64), np.zeros(rows, dtype=np.int64)
        self.limit = limit

    def run(self, returning: Floats | None) -> RequestTimes:
        for _ in range(self.limit):
            if (self.ended >= self.requests).all():
                break
            self._arrive()
            self._advance()
            self._finish(returning)
        return self._times()

    def _arrive(self) -> None:
        """What has come by now; a replica with nothing to do waits for the next."""
        idle = (self.came == self.ended) & np.isfinite(self._next_arrival())
        self.now = np.where(idle, np.maximum(self.now, self._next_arrival()), self.now)
        while True:
            due = self._next_arrival() <= self.now
            if not due.any():
                break
            self.came += np.where(due, self.number[self.rows, self.groups], 0)
            self.groups += due
        free = self.seats - (self.admitted - self.ended)
        self.admitted += np.minimum(self.came - self.admitted, free)

    def _next_arrival(self) -> Floats:
        return np.asarray(self.arrived[self.rows, self.groups], dtype=np.float64)

    def _advance(self) -> None:
        """One step with prompts where there are some, else plain steps up to the next arrival or end."""
        batching = self.batching
        running = self.prefilled - self.ended
        waiting = self.admitted * batching.prompt - self.tokens
        room = np.maximum(batching.token_budget - running, SMALLEST_CHUNK_SHARE * batching.token_budget)
        chunk = np.where(waiting > 1e-6, np.minimum(waiting, room), 0.0)
        seconds = batching.step.seconds(running, chunk)
        until_end = self.batch_step[self.rows, self.first_running] - self.step
        until_arrival = np.ceil((self._next_arrival() - self.now) / seconds)
        steps = np.where(chunk > 0, 1.0, np.maximum(np.minimum(until_end, until_arrival), 1.0))
        # Nothing runs and nobody comes: over.
        steps = np.where(np.isfinite(steps), steps, 0.0)
        self.now = self.now + steps * seconds
        self.step = self.step + steps
        self.tokens = self.tokens + chunk
        done = np.floor(self.tokens / batching.prompt + 1e-6) - self.prefilled
        at = self.rows, self.batches
        fresh = done > 0
        self.batch_step[at] = np.where(fresh, self.step + self.decode_steps, np.inf)
        self.batch_size[at] = np.where(fresh, done, 0.0)
        self.batch_first[at] = self.now
        self.prefilled += done
        self.batches += fresh

    def _finish(self, returning: Floats | None) -> None:
        over = self.batch_step[self.rows, self.first_running] <= self.step
        size = np.where(over, self.batch_size[self.rows, self.first_running], 0.0)
        self.batch_end[self.rows[over], self.first_running[over]] = self.now[over]
        self.first_running += over
        self.ended += size
        if returning is None:
            return
        fits = over & (self.known < self.requests)
        where = self.rows[fits], self.known[fits]
        self.arrived[where] = (self.now + returning)[fits]
        self.number[where] = size[fits].astype(np.int64)
        self.known += fits

    def _times(self) -> RequestTimes:
        """From groups to requests: the i-th belongs to the group whose running total passes i."""
        asked = np.arange(self.requests)
        shape = len(self.rows), self.requests
        arrived, first, finished = (np.full(shape, np.nan) for _ in range(3))
        for row in self.rows:
            count = int(min(self.ended[row], self.requests))
            came = np.searchsorted(np.cumsum(self.number[row]), asked[:count], side="right")
            batch = np.searchsorted(np.cumsum(self.batch_size[row]), asked[:count], side="right")
            arrived[row, :count] = self.arrived[row, came]
            first[row, :count] = self.batch_first[row, batch]
            finished[row, :count] = self.batch_end[row, batch]
        return RequestTimes(arrived, first, finished)
