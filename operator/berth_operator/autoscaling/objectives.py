"""Measured percentiles against the latency objectives, and when it is time to say that one is broken. Pure."""

import math
from dataclasses import dataclass

from berth_operator.api.conditions import ConditionType, Finding, Reason
from berth_operator.signals.objective import signal_of
from berth_operator.signals.source import WorkloadSignals
from berth_scheduler.snapshot import LatencyObjective, Workload
from berth_scheduler.wording import duration, objective_name

BROKEN_AFTER_SECONDS = 60.0
MET_AFTER_SECONDS = 300.0
"""A broken objective is met again after so long without a break, and is unknown after so long without a measurement."""


def latency_ratio(workload: Workload, signals: WorkloadSignals) -> float | None:
    """The worst measured percentile over its objective; None where none is measured."""
    ratios = [
        measured / asked.limit_seconds
        for asked in workload.latency
        if (measured := _measured(asked, signals)) is not None
    ]
    return max(ratios, default=None)


def _measured(asked: LatencyObjective, signals: WorkloadSignals) -> float | None:
    value = signals.latency_seconds.get(signal_of(asked))
    return value if value is not None and math.isfinite(value) and value >= 0 else None


def judged(workload: Workload, signals: WorkloadSignals | None) -> Finding:
    """What these signals say of the objectives, without regard to what was said before."""
    if not workload.latency:
        return _unknown(Reason.NOT_MEASURED, "the spec has no latency objective")
    if signals is None:
        return _unknown(Reason.NOT_MEASURED, "nothing was measured lately")
    broken, absent = [], []
    for asked in workload.latency:
        value, name = _measured(asked, signals), objective_name(asked.metric, asked.statistic)
        if value is None:
            absent.append(name)
        elif value > asked.limit_seconds:
            broken.append(f"{name} is {duration(value)}, above {duration(asked.limit_seconds)}")
    if broken:
        return Finding(ConditionType.SLO_MET, "False", Reason.OBJECTIVE_BROKEN, "; ".join(broken))
    if absent:
        return _unknown(Reason.NOT_MEASURED, f"not measured: {', '.join(absent)}")
    return Finding(ConditionType.SLO_MET, "True", Reason.OBJECTIVES_MET, "every latency objective holds as measured")


def _unknown(reason: Reason, message: str) -> Finding:
    return Finding(ConditionType.SLO_MET, "Unknown", reason, message)


@dataclass(slots=True)
class Patient:
    """One finding that changes only when another one has lasted: what flickers is not written."""

    said: Finding
    other: Finding | None = None
    since: float = 0.0

    def hear(self, found: Finding, at_seconds: float, patience_seconds: float) -> Finding:
        """What to say now. Of one reason the first message stands: numbers that wobble are no news."""
        if (found.status, found.reason) == (self.said.status, self.said.reason):
            self.other = None
            return self.said
        if self.other is None or (found.status, found.reason) != (self.other.status, self.other.reason):
            self.other, self.since = found, at_seconds
        if at_seconds - self.since >= patience_seconds:
            self.said, self.other = found, None
        return self.said


def patience_seconds(found: Finding, said: Finding) -> float:
    """How long ``found`` has to last before it is said of the objectives in place of ``said``."""
    return BROKEN_AFTER_SECONDS if found.status == "False" or said.status == "Unknown" else MET_AFTER_SECONDS
