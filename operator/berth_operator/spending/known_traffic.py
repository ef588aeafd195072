"""Whose word is taken for a workload's traffic when its cost is judged: what is measured, else what its spec states."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from berth_operator.spending.running_cost import Holding

MeasuredRates = Callable[[datetime], Mapping[str, float]]
"""Requests per second by workload, as they are measured at a time; what is not measured then is not in it."""
LASTS = timedelta(days=1)
"""What was measured is measured again: for so long nothing else is taken for it."""


class KnownTraffic:
    """``measured`` None: nothing measures."""

    def __init__(self, measured: MeasuredRates | None) -> None:
        self._measured = measured
        self._began: datetime | None = None
        self._measured_at: dict[str, datetime] = {}
        self._is_measured: dict[str, bool] = {}

    def requests_per_second(self, at: datetime, holdings: Mapping[str, Holding]) -> dict[str, float | None]:
        """By workload; None: not known now. A stated rate counts only where replicas follow it."""
        self._began = self._began or at
        measured = {} if self._measured is None else self._measured(at)
        self._measured_at |= {key: at for key in measured if key in holdings}
        self._measured_at = {key: since for key, since in self._measured_at.items() if key in holdings}
        return {key: self._told(key, at, measured.get(key), holding) for key, holding in holdings.items()}

    def newly_told(self, traffic: Mapping[str, float | None]) -> set[str]:
        """Workloads whose traffic somebody else tells than before, in the last answer: what was is not comparable."""
        now = {key: key in self._measured_at for key, rate in traffic.items() if rate is not None}
        changed = {key for key, is_measured in now.items() if self._is_measured.get(key, is_measured) != is_measured}
        self._is_measured = {key: told for key, told in (self._is_measured | now).items() if key in traffic}
        return changed

    def _told(self, key: str, at: datetime, measured: float | None, holding: Holding) -> float | None:
        if measured is not None:
            return measured
        since = self._measured_at.get(key, self._began if self._measured is not None else None)
        if since is not None and at - since < LASTS:
            return None
        self._measured_at.pop(key, None)
        return holding.requests_per_second
