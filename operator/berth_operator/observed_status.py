"""What a workload's status says was observed, as a snapshot has it. Total: what is garbled was not observed."""

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from berth_operator.world import Object, mapping
from berth_scheduler.snapshot import Observed

HOURS = 24.0


def observed_of_status(thing: Object, at: datetime) -> Observed | None:
    """The rate that the operator holds in mind, and how long pods take to start; None where no rate was measured.

    ``at``: when it was observed, unless the status says since when nothing was."""
    rate = _number(mapping(thing, "status", "rightSizing"), "observedRequestsPerSecond")
    if rate is None:
        return None
    ready = _number(mapping(thing, "status", "observed"), "secondsToReady")
    since = mapping(thing, "status", "observed").get("notKnownSince")
    return Observed(at=min(at, _time(since) or at), hours=HOURS, requests_per_second=rate, seconds_to_ready=ready)


def _time(stated: object) -> datetime | None:
    try:
        found = datetime.fromisoformat(str(stated))
    except ValueError:
        return None
    return found if found.tzinfo is not None else None


def _number(stated: Mapping[str, Any], name: str) -> float | None:
    value = stated.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None
