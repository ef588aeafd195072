"""What the replica controller and the status are told of a workload that runs, and who tells it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

WorkloadKey = tuple[str, str]
"""Namespace and name."""


@dataclass(frozen=True, slots=True)
class BerthSignals:
    """Of the ready replicas of one berth. None: not measured, or not to be trusted."""

    requests_per_second: float | None = None
    utilization: float | None = None
    """Busy share of the instances, mean over the replicas; 1 is saturated."""
    pending_requests: float | None = None
    replicas_seen: int = 0
    """Pods with a fresh sample."""
    slots: int = 0
    """What the ready replicas compute at once: instances, or sequences of a language engine; 0: not known."""


@dataclass(frozen=True, slots=True)
class WorkloadSignals:
    """Of one workload at one time. None, or absent in a mapping: not measured, or not to be trusted."""

    at_seconds: float
    """Unix time for which the queries were evaluated."""
    age_seconds: float
    """Of the newest sample; infinite where there is none."""
    requests_per_second: float | None = None
    utilization: float | None = None
    concurrency: float | None = None
    """Requests under way, by Little's law."""
    counts_sequences: bool = False
    """Of a language engine: utilisation is the share of the sequences it computes at once that are in use, which grows
    faster than the rate does, and not the share of time in which instances are busy."""
    pending_requests: float | None = None
    queue_seconds: float | None = None
    """Mean wait of a request for its execution."""
    mean_batch: float | None = None
    prompt_tokens: float | None = None
    """Mean of a request."""
    output_tokens: float | None = None
    latency_seconds: Mapping[str, float] = field(default_factory=dict)
    """By objective, as ``latency.p99``, ``ttft.p95`` and ``tpot.p50``."""
    kv_cache_share: float | None = None
    gpu_utilization: float | None = None
    """DCGM's, where its exporter runs: the share of time in which anything ran. Shown, never steered by."""
    power_watts: float | None = None
    berths: Mapping[str, BerthSignals] = field(default_factory=dict)
    """By the name of the berth."""
    missing: Mapping[str, str] = field(default_factory=dict)
    """Signals that should be there and are not, by name, each with the reason in words."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One reading of the whole fleet. ``problem``: why nothing of it can be used, in words that name what to do."""

    at_seconds: float
    workloads: Mapping[WorkloadKey, WorkloadSignals] = field(default_factory=dict)
    problem: str = ""
    queries: int = 0


class SignalSource(Protocol):
    """Reads signals of all workloads at once; never raises for what the other side does."""

    async def read(self, workloads: Iterable[WorkloadKey], at_seconds: float) -> Reading: ...
