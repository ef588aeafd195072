"""Roots of many rising functions at once."""

from collections.abc import Callable

import numpy as np

from berth_cost.case_table import Booleans, Floats

ITERATIONS = 60
"""Halving a bracket of twelve decades in logs to a part in 1e9 takes 35; the secant steps usually need ten."""


def last_true(holds: Callable[[Floats], Floats], low: Floats, high: Floats, tolerance: float = 1e-10) -> Floats:
    """The largest x in [low, high] at which the rising ``holds(x)`` is at most 0, from below; shapes (n,).

    ``holds`` must be finite at ``low``. Rows where it is above 0 at ``low`` give ``low``, rows where it is at most 0 at
    ``high`` give ``high``: the caller asks which. Illinois' regula falsi on log x with a bisection whenever the secant
    step stalls, so the bracket shrinks at least by half every second step (Dowell and Jarratt, BIT 11, 1971).
    """
    left, right = np.log(low), np.log(high)
    left_value, right_value = holds(low), holds(high)
    done: Booleans = (left_value > 0) | (right_value <= 0)
    answer = np.where(left_value > 0, low, high)
    for step in range(ITERATIONS):
        width = right - left
        open_rows = ~done & (width > tolerance)
        if not open_rows.any():
            break
        with np.errstate(all="ignore"):
            share = left_value / (left_value - right_value)
        usable = np.isfinite(share) & (step % 3 != 2)
        middle = left + width * np.where(usable, np.clip(share, 1e-3, 1 - 1e-3), 0.5)
        value = holds(np.exp(middle))
        below = value <= 0
        # Illinois: the end that stays keeps half of its weight, so that the next secant leans towards it.
        left_value = np.where(below, value, left_value / 2)
        right_value = np.where(below, right_value / 2, value)
        left, right = np.where(below, middle, left), np.where(below, right, middle)
    return np.where(done, answer, np.exp(left))
