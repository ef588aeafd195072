"""A day of what was observed of a workload: means of five minutes, small enough for five thousand workloads. Pure.

What a plan should hold is a high percentile of these means: the peaks within five minutes are the replica controller's,
and one freak hour of a day is not what a berth is chosen by.
"""

import math
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from berth_scheduler.snapshot import Correction, Observed, TokenLengths

BIN_SECONDS = 300.0
BINS = 288
"""A day."""
PERCENTILE = 95
LENGTH_MEMORY_REQUESTS = 1e6
"""Requests after which the mean lengths have forgotten two thirds of the past."""
SECONDS_PER_HOUR = 3600.0
NOTHING_LEARNED = Correction()
AGREEING_SPREAD = 0.25
CALIBRATED_SAMPLES = 30
"""Samples and their spread from which on a correction is one."""


@dataclass(frozen=True, slots=True)
class ObservedDay:
    """``rates``: closed bins in requests/s, the newest last. ``requests`` weigh the mean lengths."""

    rates: tuple[float, ...] = ()
    position: int = -1
    total: float = 0.0
    count: int = 0
    requests: float = 0.0
    prompt_tokens: float = 0.0
    output_tokens: float = 0.0
    at_seconds: float = 0.0

    def with_sample(
        self,
        at_seconds: float,
        requests_per_second: float | None,
        prompt_tokens: float | None = None,
        output_tokens: float | None = None,
    ) -> "ObservedDay":
        """One more reading; the same day where it says nothing that can be trusted, or is not newer than the last."""
        rate = requests_per_second
        if rate is None or not math.isfinite(rate) or rate < 0 or at_seconds <= self.at_seconds:
            return self
        position = int(at_seconds // BIN_SECONDS)
        if position - self.position > BINS and self.position >= 0:
            return ObservedDay().with_sample(at_seconds, rate, prompt_tokens, output_tokens)
        day = self
        if position != self.position:
            closed = (*self.rates, self.total / self.count) if self.count else self.rates
            day = replace(self, rates=closed[-BINS:], position=position, total=0.0, count=0)
        day = day._with_lengths(rate * (at_seconds - self.at_seconds), prompt_tokens, output_tokens)
        return replace(day, total=day.total + rate, count=day.count + 1, at_seconds=at_seconds)

    def _with_lengths(self, requests: float, prompt: float | None, output: float | None) -> "ObservedDay":
        if prompt is None or output is None or not (math.isfinite(prompt) and math.isfinite(output)):
            return self
        if not (prompt >= 0 and output >= 0 and 0 < requests < LENGTH_MEMORY_REQUESTS):
            return self
        before = self.requests * math.exp(-requests / LENGTH_MEMORY_REQUESTS)
        weight = requests / (before + requests)
        return replace(
            self,
            requests=before + requests,
            prompt_tokens=self.prompt_tokens + weight * (prompt - self.prompt_tokens),
            output_tokens=self.output_tokens + weight * (output - self.output_tokens),
        )

    @property
    def hours(self) -> float:
        return len(self.rates) * BIN_SECONDS / SECONDS_PER_HOUR

    def observed(
        self, correction: Correction = NOTHING_LEARNED, seconds_to_ready: float | None = None
    ) -> Observed | None:
        """What a snapshot says of it; None before the first bin is closed."""
        if not self.rates:
            return None
        ordered = sorted(self.rates)
        agreed = correction.samples >= CALIBRATED_SAMPLES and correction.spread <= AGREEING_SPREAD
        lengths = self.requests > 0 and self.prompt_tokens > 0 and self.output_tokens > 0
        return Observed(
            at=datetime.fromtimestamp(int(self.at_seconds), UTC),
            hours=self.hours,
            requests_per_second=ordered[math.ceil(len(ordered) * PERCENTILE / 100) - 1],
            percentile=PERCENTILE,
            input_tokens=TokenLengths(mean=self.prompt_tokens) if lengths else None,
            output_tokens=TokenLengths(mean=self.output_tokens) if lengths else None,
            correction=correction,
            seconds_to_ready=seconds_to_ready,
            evidence="calibrated" if agreed else "measured",
        )
