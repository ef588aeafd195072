"""Which measured latency an objective is about."""

from berth_scheduler.snapshot import LatencyObjective

_FAMILY = {
    "latencySeconds": "latency",
    "endToEndSeconds": "latency",
    "timeToFirstTokenSeconds": "ttft",
    "timePerOutputTokenSeconds": "tpot",
}


def signal_of(objective: LatencyObjective) -> str:
    """As in ``WorkloadSignals.latency_seconds``: ``latency.p99``, ``ttft.p95``, ``tpot.p50``."""
    return f"{_FAMILY[objective.metric]}.{objective.statistic}"
