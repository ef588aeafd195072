"""Which signals there are of each workload, and which are missing and why: said at the start, and when it changes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import structlog

from berth_operator.signals.source import Reading, WorkloadKey, WorkloadSignals

log = structlog.get_logger()

PLAIN = (
    "requests_per_second", "utilization", "concurrency", "pending_requests", "queue_seconds", "mean_batch",
    "prompt_tokens", "output_tokens", "kv_cache_share", "gpu_utilization", "power_watts",
)  # fmt: skip
FAMILIES = ("latency", "ttft", "tpot")
"""Of percentiles and means: there is one of them where any of its statistics is."""
SIGNALS = (*PLAIN, *FAMILIES)

LOGGED_EVERY_SECONDS = 60.0
"""At most: pods that start lack their signals for a moment, which is no news."""
LONGEST_MESSAGE = 200


@dataclass(frozen=True, slots=True)
class Kinds:
    """Signals that are there, and that are missing; what is in neither is not expected of such a server."""

    present: tuple[str, ...]
    missing: tuple[str, ...]


def kinds_of(signals: WorkloadSignals) -> Kinds:
    families = {name.partition(".")[0] for name in signals.latency_seconds}
    present = [name for name in PLAIN if getattr(signals, name) is not None]
    present += [name for name in FAMILIES if name in families]
    return Kinds(tuple(present), tuple(sorted(set(signals.missing) - set(present))))


def sentence(signals: WorkloadSignals) -> str:
    """For a condition: what is missing and why, the arrival rate first; "" where everything is there."""
    ordered = sorted(signals.missing, key=lambda name: (name not in SIGNALS[:2], name))
    if not ordered:
        return ""
    first, more = ordered[0], len(ordered) - 1
    text = f"{first} is missing: {signals.missing[first]}" + (f"; {more} more are missing" if more else "")
    return text if len(text) <= LONGEST_MESSAGE else f"{text[: LONGEST_MESSAGE - 1]}…"


def counts(workloads: Mapping[WorkloadKey, WorkloadSignals]) -> dict[tuple[str, str], int]:
    """Workloads by signal and whether they have it: ``present`` or ``missing``."""
    found = {(name, state): 0 for name in SIGNALS for state in ("present", "missing")}
    for signals in workloads.values():
        kinds = kinds_of(signals)
        for state, names in (("present", kinds.present), ("missing", kinds.missing)):
            for name in names:
                found[name, state] = found.get((name, state), 0) + 1
    return found


class SelfCheck:
    """Logs a line for each group of workloads that have the same signals, when the groups are other ones."""

    def __init__(self) -> None:
        self._said: object = None
        self._said_at = float("-inf")

    def look(self, reading: Reading) -> None:
        if reading.problem:
            self._say(reading, reading.problem, [{"problem": reading.problem}])
            return
        groups: dict[Kinds, list[WorkloadKey]] = {}
        for key, signals in sorted(reading.workloads.items()):
            groups.setdefault(kinds_of(signals), []).append(key)
        self._say(reading, frozenset(groups), [_line(keys, kinds, reading) for kinds, keys in groups.items()])

    def _say(self, reading: Reading, what: object, lines: Sequence[Mapping[str, object]]) -> None:
        if what == self._said or reading.at_seconds < self._said_at + LOGGED_EVERY_SECONDS:
            return
        self._said, self._said_at = what, reading.at_seconds
        for line in lines:
            (log.warning if "problem" in line else log.info)("signals.checked", **line)


def _line(keys: Sequence[WorkloadKey], kinds: Kinds, reading: Reading) -> dict[str, object]:
    example = keys[0]
    reasons = reading.workloads[example].missing
    return {
        "workloads": len(keys),
        "example": "/".join(example),
        "present": list(kinds.present),
        "missing": {name: reasons[name] for name in kinds.missing},
    }
