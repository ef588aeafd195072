"""Continuous batching under an open load, event by event, many replicas in lockstep.

The same engine as in :mod:`berth_cost.performance.batching`: a step decodes every running sequence and carries prompt
tokens up to what the budget leaves; requests wait in order for a seat. Steps between which nothing changes are taken at
once, so that a request costs some three events however long its answer is. Arrays are (rows,) or (rows, requests).
"""

from dataclasses import dataclass

import numpy as np

from berth_cost.performance.batching import SMALLEST_CHUNK_SHARE, ContinuousBatching
from berth_cost.performance.case_table import Floats, Integers
from berth_cost.performance.simulated.arrivals import arrival_seconds

REQUESTS = 600
"""That are looked at, after those that were there at the start."""
WARM_UP = 100
"""Of these, not counted: what is running at first came at even intervals."""
MOST_RUNNING = 1024
"""At the start."""
MOST_EVENTS = 6 * REQUESTS
"""An arrival, a chunk or two of its prompt and an end a request; a row that needs more has no answer."""


@dataclass(frozen=True, slots=True)
class RequestTimes:
    """Of requests by row in order of arrival, seconds, shapes (n, requests); nan where one was not finished."""

    first_token: Floats
    """From its arrival until its prompt was through."""
    decoding: Floats
    """From then until its last token, in proportion for an answer of mean length."""


def simulated_requests(batching: ContinuousBatching, rate: Floats, running: Floats, seed: int) -> RequestTimes:
    """Requests that arrive at ``rate`` per second at replicas where ``running`` decode already; both shape (n,).

    Prompts vary as the case says. Answers vary by the engine's ``output_variation`` where arrivals are random; a load
    at a constant rate is a replay, whose answers are as long as it states.
    """
    drawn = REQUESTS + MOST_RUNNING
    varied = np.where(batching.burstiness > 0, np.sqrt(np.log1p(batching.output_variation)), 0.0)
    prompts = batching.prompt[:, None] * _lengths(batching.prompt_sigma, drawn, (seed, 1))
    steps = np.maximum(np.round(batching.decode_steps[:, None] * _lengths(varied, drawn, (seed, 2))), 0)
    there = np.clip(np.round(running), 0, np.minimum(np.floor(batching.seats), MOST_RUNNING)).astype(np.int64)
    events = _Events(batching, arrival_seconds(rate, batching.burstiness, drawn, seed), prompts, steps, there)
    for _ in range(MOST_EVENTS):
        if (events.finished == REQUESTS).all():
            break
        events.arrive()
        events.advance()
        events.finish()
    return events.times()


def _lengths(sigma: Floats, requests: int, seed: tuple[int, int]) -> Floats:
    """Log-normal lengths relative to their mean, shape (n, requests); rows share their draws."""
    drawn = np.random.default_rng(seed).standard_normal(requests)
    lengths = np.exp(sigma[:, None] * drawn)
    return np.asarray(lengths / lengths.mean(axis=1, keepdims=True), dtype=np.float64)


class _Events:
    """The state of every replica between two events. ``arrived``, ``admitted`` (with a seat) and ``prefilled`` (through
    their prompt) count requests in their order; those that ``ended`` need not be the first."""

    def __init__(
        self, batching: ContinuousBatching, gaps: Floats, prompts: Floats, steps: Floats, there: Integers
    ) -> None:
        rows, requests = gaps.shape
        self.batching, self.rows, self.decode_steps, self.there = batching, np.arange(rows), steps, there
        # The first ``there`` requests have arrived, and are at even distances from their ends.
        later = np.arange(requests) - there[:, None]
        arrivals = np.where(later < 0, 0.0, gaps[self.rows[:, None], np.maximum(later, 0)])
        self.arrivals = np.pad(arrivals, ((0, 0), (0, 1)), constant_values=np.inf)
        self.prompts = np.pad(np.cumsum(prompts, axis=1), ((0, 0), (1, 0)))
        self.total = self.prompts[:, -1]
        # One rising sequence over all rows, so that one search finds how far each of them is.
        self.shares = (self.prompts[:, 1:] / self.total[:, None] + self.rows[:, None]).ravel()
        # More than the requests that are looked at never run at once.
        self.seats = np.clip(np.floor(batching.seats), 1, requests).astype(np.int64)
        self.now, self.step = np.zeros(rows), np.zeros(rows)
        self.tokens = self.prompts[self.rows, there]
        self.arrived, self.admitted, self.prefilled = there.copy(), there.copy(), there.copy()
        self.ended, self.finished = np.zeros(rows, dtype=np.int64), np.zeros(rows, dtype=np.int64)
        self.first_token, self.end = np.full((rows, requests), np.nan), np.full((rows, requests), np.nan)
        # Running requests stand side by side: the step after which each ends (inf beyond them), and which it is.
        width = max(int(self.seats.max()), 1)
        slots = np.arange(width)
        even = np.ceil((slots + 0.5) / np.maximum(there[:, None], 1) * batching.decode_steps[:, None])
        self.last_step = np.where(slots < there[:, None], even, np.inf)
        self.request = np.broadcast_to(slots, (rows, width)).copy()
        self.next_end = self.last_step.min(axis=1)
        """Step after which the next of those running ends, inf where none runs."""

    def arrive(self) -> None:
        """What has come by now; a replica with nothing to do waits for the next."""
        following = self.arrivals[self.rows, self.arrived]
        idle = (self.arrived == self.ended) & np.isfinite(following)
        self.now = np.where(idle, np.maximum(self.now, following), self.now)
        while (due := self.arrivals[self.rows, self.arrived] <= self.now).any():
            self.arrived += due
        self.admitted = np.minimum(self.arrived, self.ended + self.seats)

    def advance(self) -> None:
        """One step with prompts where there are some, else plain steps up to the next arrival or end."""
        batching, running = self.batching, (self.prefilled - self.ended).astype(np.float64)
        waiting = self.prompts[self.rows, self.admitted] - self.tokens
        room = np.maximum(batching.token_budget - running, SMALLEST_CHUNK_SHARE * batching.token_budget)
        chunk = np.where(self.admitted > self.prefilled, np.minimum(waiting, room), 0.0)
        seconds = batching.step.seconds(running, chunk)
        until_arrival = np.ceil((self.arrivals[self.rows, self.arrived] - self.now) / seconds)
        until_end = self.next_end - self.step
        steps = np.where(chunk > 0, 1.0, np.maximum(np.minimum(until_end, until_arrival), 1.0))
        # Nothing runs and nobody comes: over.
        steps = np.where(np.isfinite(steps), steps, 0.0)
        self.now = self.now + steps * seconds
        self.step = self.step + steps
        self.tokens = self.tokens + chunk
        through = np.searchsorted(self.shares, self.tokens / self.total + self.rows + 1e-12, side="right")
        through = np.minimum(through - self.rows * self.last_step.shape[1], self.admitted)
        rows, requests = _ranges(self.prefilled, through)
        self.first_token[rows, requests] = self.now[rows]
        last_step = self.step[rows] + self.decode_steps[rows, requests]
        slots = requests - self.ended[rows]
        self.last_step[rows, slots], self.request[rows, slots] = last_step, requests
        np.minimum.at(self.next_end, rows, last_step)
        self.prefilled = through

    def finish(self) -> None:
        """The last of those running takes the place of each that ends."""
        while len(rows := self.rows[self.next_end <= self.step]):
            running = self.prefilled[rows] - self.ended[rows]
            width = int(running.max())
            slot = self.last_step[rows, :width].argmin(axis=1)
            request = self.request[rows, slot]
            self.end[rows, request] = self.now[rows]
            last = running - 1
            self.last_step[rows, slot], self.request[rows, slot] = self.last_step[rows, last], self.request[rows, last]
            self.last_step[rows, last] = np.inf
            self.ended[rows] += 1
            self.next_end[rows] = self.last_step[rows, :width].min(axis=1)
            later = request - self.there[rows]
            self.finished[rows] += (later >= 0) & (later < REQUESTS)

    def times(self) -> RequestTimes:
        """Of those that are counted."""
        columns = self.there[:, None] + np.arange(WARM_UP, REQUESTS)
        rows = self.rows[:, None]
        first, steps = self.first_token[rows, columns], self.decode_steps[rows, columns]
        own = (self.end[rows, columns] - first) * self.batching.decode_steps[:, None] / np.maximum(steps, 1)
        return RequestTimes(first - self.arrivals[rows, columns], own)


def _ranges(start: Integers, stop: Integers) -> tuple[Integers, Integers]:
    """Rows and columns of all columns from ``start`` up to ``stop`` of every row."""
    count = stop - start
    rows = np.repeat(np.arange(len(count)), count)
    return rows, np.arange(len(rows)) - np.repeat(np.cumsum(count) - count, count) + np.repeat(start, count)
