"""How long pods take from being made to being ready, seen as they turn ready. Small on purpose."""

from collections import deque
from collections.abc import Iterable
from datetime import datetime
from statistics import median

from berth_operator.mirror import Entry

REMEMBERED = 9
LONGEST_SECONDS = 3600.0
"""A pod that waited longer waited for something else than its start."""


class StartTimes:
    """Of one workload's revision. Only pods that were seen while they were not ready count: of others nobody knows
    whether a probe failed in between."""

    def __init__(self, seconds: float | None = None) -> None:
        self._starting: set[str] = set()
        self._seconds: deque[float] = deque(() if seconds is None else (seconds,), maxlen=REMEMBERED)

    def look(self, pods: Iterable[Entry]) -> None:
        """Take in the pods of the revision as they are now."""
        there = {pod.uid: pod for pod in pods if not pod.deleting}
        for uid in sorted(self._starting & there.keys()):
            ready = _ready_since(there[uid])
            if ready is not None:
                self._starting.discard(uid)
                self._add(there[uid], ready)
        self._starting = {uid for uid, pod in there.items() if _ready_since(pod) is None}

    @property
    def seconds(self) -> float | None:
        """The median; None before the first."""
        return median(self._seconds) if self._seconds else None

    def _add(self, pod: Entry, ready: datetime) -> None:
        made = _time(pod.thing["metadata"].get("creationTimestamp"))
        took = None if made is None else (ready - made).total_seconds()
        if took is not None and 0 <= took <= LONGEST_SECONDS:
            self._seconds.append(took)


def _ready_since(pod: Entry) -> datetime | None:
    for condition in pod.thing["status"].get("conditions") or ():
        if (condition.get("type"), condition.get("status")) == ("Ready", "True"):
            return _time(condition.get("lastTransitionTime"))
    return None


def _time(text: object) -> datetime | None:
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return found if found.tzinfo is not None else None
