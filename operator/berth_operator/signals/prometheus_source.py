"""Signals of all workloads out of Prometheus: a fixed number of queries, whatever the size of the fleet."""

import math
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from berth_operator.settings import Settings
from berth_operator.signals import expressions
from berth_operator.signals.expected import ExpectedBerth
from berth_operator.signals.expressions import Scope
from berth_operator.signals.prometheus import Prometheus, Unanswered
from berth_operator.signals.queries import CLOCK, UNLABELLED, queries
from berth_operator.signals.reading import Answered, read_workload
from berth_operator.signals.self_check import SelfCheck
from berth_operator.signals.source import Reading, WorkloadKey, WorkloadSignals
from berth_operator.signals.table import MOST_SECONDS_APART, Table, number, table, time_of

Expect = Callable[[WorkloadKey], Mapping[str, ExpectedBerth]]
"""The berths of a workload by the names of their Deployments; empty where nobody knows."""


class PrometheusSource:
    """A :class:`berth_operator.signals.source.SignalSource`. ``observe`` is told every reading and its seconds."""

    def __init__(
        self,
        settings: Settings,
        expect: Expect,
        *,
        observe: Callable[[Reading, float], None] = lambda reading, seconds: None,
    ) -> None:
        own = settings.prometheus
        self._observe = observe
        self._self_check = SelfCheck()
        self._settings = own
        self._expect = expect
        self._prometheus = Prometheus(own)
        scope = Scope(f"{settings.rate_window_seconds}s", own.stale_seconds, dict(own.matchers))
        self._queries = queries(scope)
        self._short_since: dict[tuple[WorkloadKey, str], float] = {}
        self._last = (math.inf, -math.inf)
        """Our time and the server's at the last reading."""

    async def read(self, workloads: Iterable[WorkloadKey], at_seconds: float) -> Reading:
        """Never raises for what the other side does. ``at_seconds`` is our time; evaluated is at the server's."""
        wanted = frozenset(workloads)
        if not wanted:
            return Reading(at_seconds)
        began = time.monotonic()
        reading = await self._read(wanted, at_seconds)
        self._observe(reading, time.monotonic() - began)
        self._self_check.look(reading)
        return reading

    async def _read(self, wanted: frozenset[WorkloadKey], at_seconds: float) -> Reading:
        clock = await self._prometheus.ask(
            [("clock", CLOCK, time_of)], at_seconds=None, seconds=self._settings.timeout_seconds
        )
        now = clock.results.get("clock")
        if now is None:
            reason = clock.failures.get("clock", "the answer holds no time: is it Prometheus' HTTP API?")
            return Reading(at_seconds, problem=f"prometheus.url: {reason}", queries=1)
        if self._stands_still(at_seconds, now):
            return Reading(
                at_seconds, problem="prometheus.url: its time stands still: are old answers cached?", queries=1
            )
        asked = [(each.name, each.promql, partial(self._table, each.labels, wanted, now)) for each in self._queries]
        answers = await self._prometheus.ask(asked, at_seconds=now, seconds=self._settings.deadline_seconds)
        answered = Answered(now, answers.results, answers.failures, self._settings.stale_seconds)
        if len(answers.failures) == len(self._queries):
            reason = next(iter(answers.failures.values()))
            return Reading(at_seconds, problem=f"every query failed: {reason}", queries=len(asked) + 1)
        expected = {key: self._expect(key) for key in sorted(wanted)}
        problem, more = await self._nothing_found(answered, expected, now)
        found = self._signals(answered, expected, at_seconds)
        return Reading(at_seconds, found, problem, len(asked) + 1 + more)

    def close(self) -> None:
        self._prometheus.close()

    def _stands_still(self, at_seconds: float, now: float) -> bool:
        """Whether our clock went on since the last reading and the server's did not."""
        (last_at, last_now), self._last = self._last, (at_seconds, now)
        return at_seconds >= last_at + MOST_SECONDS_APART and now <= last_now

    def _table(
        self, labels: Sequence[str], wanted: Collection[WorkloadKey], now: float, series: Sequence[Any]
    ) -> Table:
        most = self._settings.maximum_series
        if len(series) > most:
            raise Unanswered(f"{len(series)} series, and prometheus.maximumSeries allows {most}")
        return table(series, labels, wanted, now)

    def _signals(
        self, answered: Answered, expected: Mapping[WorkloadKey, Mapping[str, ExpectedBerth]], at_seconds: float
    ) -> dict[WorkloadKey, WorkloadSignals]:
        still: dict[tuple[WorkloadKey, str], float] = {}
        found = {}
        for key, berths in expected.items():
            short = {}
            for name, berth in berths.items():
                if answered.replicas_seen(key, name) < berth.ready_replicas:
                    since = min(self._short_since.get((key, name), at_seconds), at_seconds)
                    still[key, name] = since
                    if at_seconds - since > self._settings.grace_seconds:
                        short[name] = at_seconds - since
            found[key] = read_workload(key, answered, berths, at_seconds=at_seconds, short=short)
        self._short_since = still
        return found

    async def _nothing_found(
        self, answered: Answered, expected: Mapping[WorkloadKey, Mapping[str, ExpectedBerth]], now: float
    ) -> tuple[str, int]:
        """Why not one pod of the fleet is found by its labels, and how many queries were needed to say so."""
        seen = answered.tables.get("newest_sample")
        ready = sum(berth.ready_replicas for berths in expected.values() for berth in berths.values())
        if seen is None or seen.figures or not ready:
            return "", 0
        asked = [("unlabelled", UNLABELLED, _count)]
        unlabelled = await self._prometheus.ask(asked, at_seconds=now, seconds=self._settings.timeout_seconds)
        if count := unlabelled.results.get("unlabelled", 0):
            wanted = f"{expressions.WORKLOAD} and {expressions.BERTH}"
            return f"Prometheus has metrics of {count} models, but none with the labels {wanted}: relabel the scrape", 1
        return f"Prometheus scrapes none of {ready} ready pods: is there a PodMonitor or a scrape job for them?", 1


def _count(series: Sequence[Any]) -> int:
    value = number(series[0].get("value")) if series and isinstance(series[0], dict) else None
    return int(value) if value is not None and 0 < value < 1e9 else 0
