"""The last windows of every service of a fleet as arrays: one row a window, one column a service.

Values are natural logarithms in half precision: they are off by less than 0.4 % of the quantity, and a week of windows
of five minutes takes 12 kB a service.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Columns = NDArray[np.intp]
UNITS, DIVISOR, UNIT_PRICE = "units", "divisor", "unit price"
"""Of what was used; requests of the busiest of the last windows; the price of an average unit at usual rates."""
FIGURES = (UNITS, DIVISOR, UNIT_PRICE)
_LEAST_COLUMNS = 4


class FleetHistory:
    """``rows`` windows are remembered. A service has a column from when it is first asked for until it is forgotten."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._columns: dict[str, int] = {}
        self._free: list[int] = []
        self._logs = {name: np.full((rows, _LEAST_COLUMNS), np.nan, dtype=np.float16) for name in FIGURES}
        self.seen = 0
        """Windows so far."""
        self.born = np.zeros(_LEAST_COLUMNS, dtype=np.int64)
        """By column: the first window that is known."""

    @property
    def width(self) -> int:
        """Columns that there is room for."""
        return len(self.born)

    def columns(self, services: Iterable[str]) -> Columns:
        return np.array([self._column(service) for service in services], dtype=np.intp)

    def rows(self, name: str, backs: Sequence[int], columns: Columns) -> Floats:
        """What was so many windows ago (at least 1), shape (backs, columns); NaN where nothing is known."""
        near = np.array([back for back in backs if 1 <= back <= self._rows], dtype=np.intp)
        found = self._logs[name][np.ix_((self.seen - near) % self._rows, columns)]
        return found.astype(np.float64)

    def append(self, columns: Columns, logs: dict[str, Floats]) -> None:
        """One more window; what is not in ``columns`` is not known of it."""
        here = self.seen % self._rows
        for name, values in logs.items():
            self._logs[name][here] = np.nan
            self._logs[name][here, columns] = values
        self.seen += 1

    def fill(self, service: str, logs: dict[str, Floats]) -> None:
        """The windows just before now of a service, oldest first, as they are known from elsewhere."""
        (column,) = self.columns([service])
        length = min(len(logs[UNITS]), self._rows)
        places = (self.seen - length + np.arange(length)) % self._rows
        for name, values in logs.items():
            self._logs[name][places, column] = values[len(values) - length :]
        self.born[column] = self.seen - length

    def blank(self, service: str, name: str) -> None:
        """What was of one figure is no longer comparable."""
        self._logs[name][:, self.columns([service])] = np.nan

    def forget_but(self, services: Iterable[str]) -> None:
        kept = set(services)
        for service in [each for each in self._columns if each not in kept]:
            self._free.append(self._columns.pop(service))

    def _column(self, service: str) -> int:
        found = self._columns.get(service)
        if found is None:
            if not self._free and len(self._columns) == self.width:
                self._widen()
            found = self._free.pop() if self._free else len(self._columns)
            self._columns[service] = found
            self.born[found] = self.seen
            for logs in self._logs.values():
                logs[:, found] = np.nan
        return found

    def _widen(self) -> None:
        more = self.width
        for name, logs in self._logs.items():
            self._logs[name] = np.concatenate([logs, np.full((self._rows, more), np.nan, dtype=np.float16)], axis=1)
        self.born = np.concatenate([self.born, np.zeros(more, dtype=np.int64)])


def median_of_known(rows: Floats) -> Floats:
    """Of each column, of what is not NaN; NaN where nothing is. Sorting puts NaN last."""
    if not len(rows):
        return np.full(rows.shape[1], np.nan)
    ordered = np.sort(rows, axis=0)
    count = np.isfinite(rows).sum(axis=0)
    each = np.arange(rows.shape[1])
    return np.asarray((ordered[np.maximum(count - 1, 0) // 2, each] + ordered[count // 2, each]) / 2)
