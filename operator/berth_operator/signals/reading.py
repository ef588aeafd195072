"""From answers to signals: which of them can be trusted, and why not the others. Pure and total."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from berth_operator.signals.expected import ExpectedBerth
from berth_operator.signals.expressions import ENGINE, SERVER
from berth_operator.signals.source import BerthSignals, WorkloadKey, WorkloadSignals
from berth_operator.signals.table import NO_FIGURES, Figures, Labels, Table

MOST_REQUESTS_PER_SECOND = 1e7
"""Of one workload. More is a counter that is none."""
MOST_BUSY = 1.3
"""Share. Rates at the edges of a window are extrapolated, which may add so much; beyond it the count of instances is
another one than was taken."""
MOST_SHARE = 1.05
"""Of what cannot exceed 1 but for rounding."""
MOST_SECONDS_AHEAD = 5.0
"""Of a sample before the time of the query."""
SHOWN_NAMES = 3

NO_SERIES = "Prometheus has no series of it"
NOTHING_ENDED = "no request ended within the window"
TAKEN_AT_ONCE = "the server hands each request to its engine on arrival and does not see it wait"
CONTRADICTORY = "its percentiles contradict each other"
NOT_EXPORTED = "the engine does not export it through Triton"


@dataclass(frozen=True, slots=True)
class Answered:
    """All answers of one reading. ``clock_seconds``: the server's time that they are evaluated at."""

    clock_seconds: float
    tables: Mapping[str, Table]
    failures: Mapping[str, str] = field(default_factory=dict)
    stale_seconds: float = 60.0

    def replicas_seen(self, key: WorkloadKey, berth: str) -> int:
        seen = self.figures("replicas_seen", key).get((berth,), 0.0)
        return int(seen) if math.isfinite(seen) and seen > 0 else 0

    def figures(self, name: str, key: WorkloadKey) -> Figures:
        found = self.tables.get(name)
        return NO_FIGURES if found is None else found.figures.get(key, NO_FIGURES)

    def number(self, name: str, key: WorkloadKey, labels: Labels = ()) -> tuple[float | None, str]:
        """The number, or why there is none."""
        if name in self.failures:
            return None, f"the query failed: {self.failures[name]}"
        value = self.figures(name, key).get(labels)
        if value is None:
            return None, NO_SERIES
        if flaw := self.tables[name].flaws.get((key, labels)):
            return None, flaw
        if math.isnan(value):
            return None, NOTHING_ENDED
        if not math.isfinite(value) or value < 0:
            return None, f"is {value:g}"
        return value, ""


def read_workload(
    key: WorkloadKey,
    answered: Answered,
    expected: Mapping[str, ExpectedBerth],
    *,
    at_seconds: float,
    short: Mapping[str, float] | None = None,
) -> WorkloadSignals:
    """``expected``: its berths by name; empty: nobody knows, so what was found counts. ``short``: berths of which fewer
    pods than ready ones have been seen, and for how many seconds, where that is too long."""
    return _Reader(key, answered, expected, short or {}).signals(at_seconds)


class _Reader:
    """One workload. ``_missing`` gathers reasons while values are read."""

    def __init__(
        self, key: WorkloadKey, answered: Answered, expected: Mapping[str, ExpectedBerth], short: Mapping[str, float]
    ) -> None:
        self._key, self._answered, self._short = key, answered, short
        self._expected = dict(expected) or {
            name: ExpectedBerth(answered.replicas_seen(key, name))
            for (name,) in sorted(answered.figures("replicas_seen", key))
        }
        self._missing: dict[str, str] = {}
        self._is_engine = any(each.sequences for each in self._expected.values()) or self._has_engine_series()
        self._idle = False

    def _has_engine_series(self) -> bool:
        return any(of == ENGINE for _, of in self._answered.figures("requests_per_second", self._key))

    def signals(self, at_seconds: float) -> WorkloadSignals:
        berths = {name: self._berth(name, berth) for name, berth in sorted(self._expected.items())}
        rate = self._sum("requests_per_second", {name: each.requests_per_second for name, each in berths.items()})
        if rate is not None and rate > MOST_REQUESTS_PER_SECOND:
            self._missing["requests_per_second"] = f"{rate:g} requests per second are no demand"
            rate = None
        self._idle = rate == 0
        return WorkloadSignals(
            at_seconds=at_seconds,
            age_seconds=self._age(),
            requests_per_second=rate,
            utilization=self._utilization(berths),
            concurrency=self._sum("concurrency", {name: self._concurrency(name) for name in self._serving}),
            counts_sequences=self._is_engine,
            pending_requests=self._sum(
                "pending_requests", {name: each.pending_requests for name, each in berths.items()}
            ),
            queue_seconds=self._queue(),
            mean_batch=None if self._is_engine else self._plain("mean_batch"),
            prompt_tokens=self._plain("prompt_tokens") if self._is_engine else None,
            output_tokens=self._plain("output_tokens") if self._is_engine else None,
            latency_seconds=self._latency(),
            kv_cache_share=self._share("kv_cache_share", NOT_EXPORTED) if self._is_engine else None,
            gpu_utilization=self._optional("gpu_utilization", MOST_SHARE),
            power_watts=self._optional("power_watts", math.inf),
            berths=berths,
            missing=dict(sorted(self._missing.items())),
        )

    # --- pods ------------------------------------------------------------------------------------------------------

    @property
    def _serving(self) -> list[str]:
        return [name for name, berth in sorted(self._expected.items()) if berth.ready_replicas]

    def _age(self) -> float:
        newest = [
            value for value in self._answered.figures("newest_sample", self._key).values() if math.isfinite(value)
        ]
        return max(0.0, self._answered.clock_seconds - max(newest)) if newest else math.inf

    def _unseen(self, name: str) -> str:
        """Why nothing that is said of a berth is to be trusted; "" where it is."""
        answered, ready = self._answered, self._expected[name].ready_replicas
        for query in ("replicas_seen", "newest_sample"):
            if query in answered.failures:
                return f"the query failed: {answered.failures[query]}"
        seen = answered.replicas_seen(self._key, name)
        if ready or seen:
            newest = answered.figures("newest_sample", self._key).get((name,), math.nan)
            if untimely := self._untimely(answered.clock_seconds - newest):
                return f"the newest sample of {name} is {untimely}"
            if seen and not math.isfinite(newest):
                return f"the newest sample of {name} is of an unknown age"
        if ready and not seen:
            return f"none of {ready} ready pods of {name} is scraped{self._strangers()}"
        if name in self._short:
            return f"{seen} of {ready} ready pods of {name} are scraped, for {self._short[name]:.0f} s now"
        return ""

    def _untimely(self, age_seconds: float) -> str:
        """What is wrong with the age of a sample; that of none at all is said otherwise."""
        if age_seconds < -MOST_SECONDS_AHEAD:
            return f"{-age_seconds:.0f} s ahead of Prometheus' own clock"
        return f"{age_seconds:.0f} s old" if age_seconds > self._answered.stale_seconds + 1 else ""

    def _strangers(self) -> str:
        found = [name for (name,) in self._answered.figures("replicas_seen", self._key) if name not in self._expected]
        if not found:
            return ""
        shown = ", ".join(repr(name) for name in sorted(found)[:SHOWN_NAMES])
        return f", but pods of {shown} are, of which there is no such Deployment"

    def _berth(self, name: str, berth: ExpectedBerth) -> BerthSignals:
        seen = self._answered.replicas_seen(self._key, name)
        slots = (berth.sequences or 0 if self._is_engine else berth.instances) * berth.ready_replicas
        if unseen := self._unseen(name):
            for signal in ("requests_per_second", "utilization", "pending_requests", "concurrency"):
                self._missing.setdefault(signal, unseen)
            return BerthSignals(replicas_seen=seen, slots=slots)
        return BerthSignals(
            requests_per_second=self._by_berth("requests_per_second", name),
            utilization=self._busy(name, berth, seen),
            pending_requests=self._pending(name),
            replicas_seen=seen,
            slots=slots,
        )

    # --- sums over berths ------------------------------------------------------------------------------------------

    def _by_berth(self, signal: str, berth: str) -> float | None:
        """An engine's own number where it has one, else the server's."""
        figures = self._answered.figures(signal, self._key)
        of = ENGINE if self._is_engine and (berth, ENGINE) in figures else SERVER
        return self._noted(signal, *self._answered.number(signal, self._key, (berth, of)), berth=berth)

    def _pending(self, berth: str) -> float | None:
        if self._is_engine and (berth, ENGINE) not in self._answered.figures("pending_requests", self._key):
            self._missing.setdefault("pending_requests", TAKEN_AT_ONCE)
            return None
        return self._by_berth("pending_requests", berth)

    def _concurrency(self, berth: str) -> float | None:
        """The server's own durations are wrong for engines, which answer behind its back."""
        if self._unseen(berth):
            return None
        if self._is_engine and (berth, ENGINE) not in self._answered.figures("concurrency", self._key):
            self._missing.setdefault("concurrency", NOT_EXPORTED)
            return None
        return self._by_berth("concurrency", berth)

    def _sum(self, signal: str, by_berth: Mapping[str, float | None]) -> float | None:
        """Of all berths with ready replicas; a part of it is no sum. What others still answer is counted."""
        serving = self._serving
        if not serving:
            self._missing.setdefault(signal, "no replica is ready")
            return None
        if any(by_berth[name] is None for name in serving):
            return None
        return math.fsum(value for value in by_berth.values() if value is not None)

    # --- utilisation -----------------------------------------------------------------------------------------------

    def _busy(self, name: str, berth: ExpectedBerth, seen: int) -> float | None:
        """Mean over the ready replicas: one that drains or starts is none of them."""
        replicas = berth.ready_replicas or seen
        if not replicas:
            return None
        if self._is_engine:
            used, room = self._concurrency(name), (berth.sequences or 0) * replicas
            if used is None or not room:
                self._missing.setdefault(
                    "utilization", self._missing.get("concurrency", "the engine's room is unknown")
                )
                return None
            return min(used / room, 1.0)
        busy, reason = self._answered.number("busy_instances", self._key, (name,))
        if busy is None:
            return self._noted("utilization", None, reason, berth=name)
        share = busy / (berth.instances * replicas)
        if share > MOST_BUSY:
            reason = f"{busy:.2f} instances are busy and only {berth.instances * replicas} are there"
            return self._noted("utilization", None, reason, berth=name)
        return min(share, 1.0)

    def _utilization(self, berths: Mapping[str, BerthSignals]) -> float | None:
        """Of the slots of all ready replicas, the share that is busy."""
        busy, slots = 0.0, 0
        for name in self._serving:
            share = berths[name].utilization
            if share is None:
                return None
            busy, slots = busy + share * berths[name].slots, slots + berths[name].slots
        if not slots:
            self._missing.setdefault("utilization", "no replica is ready")
            return None
        return busy / slots

    # --- means, shares, percentiles of the workload ------------------------------------------------------------------

    def _noted(self, signal: str, value: float | None, reason: str, *, berth: str = "") -> float | None:
        """``value``; its absence is noted, but for what an idle server has no mean of."""
        ended = self._idle and reason == NOTHING_ENDED
        if value is None and not ended:
            ready = not berth or self._expected[berth].ready_replicas
            if ready:
                self._missing.setdefault(signal, f"{berth}: {reason}" if berth else reason)
        return value

    def _plain(self, signal: str) -> float | None:
        return self._noted(signal, *self._answered.number(signal, self._key))

    def _share(self, signal: str, absent: str) -> float | None:
        value, reason = self._answered.number(signal, self._key)
        if value is not None and value > MOST_SHARE:
            value, reason = None, f"is {value:g}, and a share is at most 1"
        value = self._noted(signal, value, absent if reason == NO_SERIES else reason)
        return None if value is None else min(value, 1.0)

    def _optional(self, signal: str, most: float) -> float | None:
        """What is not there is not missed."""
        value, reason = self._answered.number(signal, self._key)
        if value is None or value > most:
            if reason != NO_SERIES:
                self._missing[signal] = reason or f"is {value:g}"
            return None
        return min(value, 1.0) if most == MOST_SHARE else value

    def _queue(self) -> float | None:
        if not self._is_engine:
            return self._noted("queue_seconds", *self._answered.number("queue_seconds", self._key, (SERVER,)))
        value, reason = self._answered.number("queue_seconds", self._key, (ENGINE,))
        return self._noted("queue_seconds", value, TAKEN_AT_ONCE if reason == NO_SERIES else reason)

    def _latency(self) -> dict[str, float]:
        found: dict[str, float] = {}
        if self._is_engine:
            for family, query in (("latency", "engine_latency"), ("ttft", "ttft"), ("tpot", "tpot")):
                found |= self._family(family, query)
            if not any(name.startswith("ttft") for name in found):
                found |= self._first_response()
        else:
            found |= self._family("latency", "server_latency")
            if set(found) <= {"latency.mean"} and self._missing.get("latency") != CONTRADICTORY:
                found |= self._slowest()
        return dict(sorted(found.items()))

    def _family(self, family: str, query: str) -> dict[str, float]:
        figures = self._answered.figures(query, self._key)
        values = {
            f"{family}.{of}": value
            for (of,) in sorted(figures)
            if (value := self._answered.number(query, self._key, (of,))[0]) is not None
        }
        if not values:
            _, reason = self._answered.number(query, self._key, next(iter(sorted(figures)), ("p99",)))
            self._noted(family, None, reason)
        return self._ascending(family, values)

    def _ascending(self, family: str, values: dict[str, float]) -> dict[str, float]:
        ordered = [values[name] for name in sorted(values) if not name.endswith(".mean")]
        if ordered != sorted(ordered):
            self._missing[family] = CONTRADICTORY
            return {}
        return values

    def _first_response(self) -> dict[str, float]:
        """The server's histogram of first responses, where the engine exports none: of streamed answers, the first
        token; of whole ones it is later."""
        found = self._family("ttft", "server_latency")
        found.pop("ttft.mean", None)
        if found:
            self._missing.pop("ttft", None)
        return found

    def _slowest(self) -> dict[str, float]:
        found = self._family("latency", "slowest_replica_latency")
        if self._missing.get("latency") != CONTRADICTORY:
            self._missing.pop("latency", None)
            if not found and not self._idle:
                self._missing["latency"] = "Triton exports neither a histogram nor a summary of it"
        return found
