"""Latencies of classic networks as functions of the factors that measured runs correct."""

from dataclasses import fields, replace

import numpy as np

from berth_cost.hardware.device import device_columns
from berth_cost.performance.batch_service import BatchService, batch_service, state_under
from berth_cost.performance.case_table import CaseTable, Floats, Integers, LoadKind, NetworkCalibration, rows_of
from berth_cost.performance.classic.network_runs import TAILS
from berth_cost.performance.engine_constants import Constants
from berth_cost.performance.percentiles import STATISTICS
from berth_cost.performance.work import dense_work

FACTORS, SPEED = ("fixed", "item", "host", "speed"), 3
"""By name in the prior; the last stands for all of them together."""
SLOPE_STEP = 0.02
"""Of the finite differences, in logs."""


def effective(factors: Floats, scales: Floats) -> Floats:
    """Logs of what a pass takes, an item adds and the server adds, (3, ...), from all factors, (4, ...)."""
    together: Floats = factors[:SPEED] + scales.reshape(*scales.shape, *([1] * (factors.ndim - 2))) * factors[SPEED]
    return together


class Latencies:
    """log seconds of the rows of a table as functions of the factors; rows that are alike are computed once."""

    def __init__(self, table: CaseTable, constants: Constants, statistic: Integers) -> None:
        uncalibrated = replace(table, calibration=None)
        self._table, self._statistic = uncalibrated, statistic
        self._service = batch_service(uncalibrated, dense_work(uncalibrated), device_columns(uncalibrated), constants)
        columns = [
            np.nan_to_num(np.asarray(getattr(table, field.name), dtype=np.float64), nan=-1.0)
            for field in fields(CaseTable)
            if isinstance(getattr(table, field.name), np.ndarray)
        ]
        _, code = np.unique(np.stack([*columns, statistic], axis=1), axis=0, return_inverse=True)
        self._code = code.reshape(-1)

    def around(self, factors: Floats, scales: Floats, rows: Integers) -> tuple[Floats, Floats]:
        """(values (...), slopes (4, ...)) at ``factors`` (4, ...) of the rows (...)."""
        moved = effective(factors, scales).reshape(SPEED, -1)
        flat = np.concatenate([self._code[rows.reshape(1, -1)], np.round(moved, 9)])
        _, first, inverse = np.unique(flat, axis=1, return_index=True, return_inverse=True)
        inverse = inverse.reshape(-1)
        chosen, at = rows.reshape(-1)[first], moved[:, first]
        table, service = self._table.rows(chosen), rows_of(self._service, chosen)
        base = self._values(table, service, at, self._statistic[chosen])
        slopes = []
        for one in range(SPEED):
            stepped = at.copy()
            stepped[one] += SLOPE_STEP
            slopes.append((self._values(table, service, stepped, self._statistic[chosen]) - base) / SLOPE_STEP)
        found = np.stack(slopes)[:, inverse].reshape(SPEED, *rows.shape)
        # What moves all three does what they do together.
        return base[inverse].reshape(rows.shape), np.concatenate(
            [found, (scales[:, :, None] * found).sum(axis=0)[None]]
        )

    @staticmethod
    def _values(table: CaseTable, service: BatchService, factors: Floats, statistic: Integers) -> Floats:
        state = _states(table, service, factors)
        values = np.full(len(table), np.nan)
        for position, name in enumerate((*STATISTICS, "rate")):
            chosen = statistic == position
            if chosen.any():
                values[chosen] = np.log(state[name][chosen])
        return values

    def tails(self, factors: Floats, scales: Floats, rows: Integers) -> Floats:
        """How far p90, p95 and p99 lie above the mean, relative to it; shape (3, ...)."""
        flat = rows.reshape(-1)
        moved = effective(factors, scales).reshape(SPEED, -1)
        state = _states(self._table.rows(flat), rows_of(self._service, flat), moved)
        return np.stack([(state[name] / state["mean"] - 1).reshape(rows.shape) for name in TAILS])


def _states(table: CaseTable, service: BatchService, factors: Floats) -> dict[str, Floats]:
    """Latency by statistic, and the time between two requests as ``rate``."""
    nothing = np.zeros(len(table))
    moved = service.calibrated(
        NetworkCalibration(factors[0], factors[1], factors[2], log_spread=nothing, deviation=nothing)
    )
    found = {name: np.full(len(table), np.nan) for name in (*STATISTICS, "rate")}
    for kind in LoadKind:
        rows = np.flatnonzero(table.load_kind == kind)
        if len(rows):
            state = state_under(rows_of(moved, rows), table.rows(rows), kind, np.ones(len(rows)))
            for name in STATISTICS:
                found[name][rows] = state.latency.statistic(name)
            found["rate"][rows] = 1 / state.requests_per_second
    return found
