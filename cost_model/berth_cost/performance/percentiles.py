"""Percentiles of a latency that is a sum of a fixed part and independent random parts.

The mean of a sum is the sum of means. A high percentile is the mean plus the root of the summed squares of each part's
own distance between percentile and mean: exact for normal parts, close for the skewed ones here, and rising in every
part. The median is the sum of medians. A part whose percentile lies below its mean (a rare wait) counts with its mean.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from berth_cost.performance.case_table import Floats

STATISTICS = ("mean", "p50", "p90", "p95", "p99")
PROBABILITIES = {"p50": 0.50, "p90": 0.90, "p95": 0.95, "p99": 0.99}
NORMAL_QUANTILES = {"p50": 0.0, "p90": 1.2815515655446004, "p95": 1.6448536269514722, "p99": 2.3263478740408408}


@dataclass(frozen=True, slots=True)
class Jitter:
    """A normal disturbance around zero."""

    deviation: Floats

    def mean(self) -> Floats | float:
        return 0.0

    def quantile(self, statistic: str) -> Floats | float:
        return NORMAL_QUANTILES[statistic] * self.deviation


@dataclass(frozen=True, slots=True)
class LogNormal:
    """A time whose logarithm is normal: service that grows with a skewed length. ``scale`` is its mean."""

    scale: Floats
    sigma: Floats

    def mean(self) -> Floats | float:
        return self.scale

    def quantile(self, statistic: str) -> Floats | float:
        return self.scale * np.exp(self.sigma * NORMAL_QUANTILES[statistic] - self.sigma * self.sigma / 2)


@dataclass(frozen=True, slots=True)
class Residual:
    """The rest of something in progress: uniform up to ``longest``, and 0 for those who find nothing in progress."""

    longest: Floats
    probability: Floats

    def mean(self) -> Floats | float:
        return self.probability * self.longest / 2

    def quantile(self, statistic: str) -> Floats | float:
        missing = 1.0 - PROBABILITIES[statistic]
        return self.longest * np.maximum(1.0 - missing / np.maximum(self.probability, 1e-12), 0.0)


@dataclass(frozen=True, slots=True)
class Wait:
    """A queueing time: exponential for those who wait (Kingman's heavy-traffic limit), 0 for the others."""

    average: Floats
    """Over everybody."""
    probability: Floats
    """Of having to wait."""

    def mean(self) -> Floats | float:
        return self.average

    def quantile(self, statistic: str) -> Floats | float:
        probability = np.maximum(self.probability, 1e-12)
        odds = np.log(np.maximum(probability / (1.0 - PROBABILITIES[statistic]), 1.0))
        return self.average / probability * odds


@dataclass(frozen=True, slots=True)
class Interruption:
    """What prompts of others add to the time between two tokens. The median is that of single gaps; over a request the
    gaps average out, so that high percentiles of requests count the mean."""

    average: Floats
    median: Floats

    def mean(self) -> Floats | float:
        return self.average

    def quantile(self, statistic: str) -> Floats | float:
        return self.median if statistic == "p50" else self.average


@dataclass(frozen=True, slots=True)
class Sampled:
    """A time that was simulated; by statistic."""

    seconds: Mapping[str, Floats]

    def mean(self) -> Floats | float:
        return self.seconds["mean"]

    def quantile(self, statistic: str) -> Floats | float:
        return self.seconds[statistic]


Part = Interruption | Jitter | LogNormal | Residual | Sampled | Wait


@dataclass(frozen=True, slots=True)
class Latency:
    """A latency as a fixed part and random parts; shapes (n,), seconds."""

    fixed: Floats
    parts: Sequence[Part]

    def statistic(self, name: str) -> Floats:
        """``name``: mean, p50, p90, p95 or p99."""
        if name == "p50":
            return _sum(self.fixed, [part.quantile(name) for part in self.parts])
        mean = _sum(self.fixed, [part.mean() for part in self.parts])
        if name == "mean":
            return mean
        squares: Floats | float = 0.0
        for part in self.parts:
            distance = np.maximum(part.quantile(name) - part.mean(), 0.0)
            squares = squares + distance * distance
        return mean + np.sqrt(squares)


def _sum(first: Floats, others: Sequence[Floats | float]) -> Floats:
    total = first
    for other in others:
        total = total + other
    return total
