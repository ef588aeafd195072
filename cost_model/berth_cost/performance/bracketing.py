"""Roots of many rising functions at once."""

from collections.abc import Callable
from functools import partial

import numpy as np

from berth_cost.performance.case_table import Floats, Integers

ITERATIONS = 64
"""A bound that pure halving would keep: 53 bits of a double and some. Ten is usual."""
TOLERANCE = 1e-8
"""Relative width of the final bracket: two digits beyond the six that anything is compared at."""


STRAGGLERS_AFTER = 9
"""Iterations after which the rows that are still open are solved on their own, if they are few."""
STRAGGLERS_SHARE = 0.5

Point = tuple[Floats, Floats]
"""(x, excess)."""
Excess = Callable[[Floats], Floats]


def last_true(narrowed: Callable[[Integers], Excess], low: Floats, high: Floats) -> Floats:
    """The largest x in [low, high] at which the rising ``excess(x)`` is at most 0, from below; shapes (n,).

    ``narrowed(rows)`` gives the function of some rows only, finite between the ends. Rows where it is above 0 at
    ``low`` give ``low``, rows where it is at most 0 at ``high`` give ``high``: the caller asks which. Chandrupatla's
    method (Adv. Eng. Software 28, 1997): inverse quadratic steps where the last three points allow it, halving where
    they do not.
    """
    excess = narrowed(np.arange(len(low)))
    low_value, high_value = excess(low), excess(high)
    answer = np.where(low_value > 0, low, high)
    rows = np.flatnonzero((low_value <= 0) & (high_value > 0))
    if len(rows) == len(low):
        return _solved(narrowed, excess, (low, low_value), (high, high_value))
    if len(rows):
        ends = (low[rows], low_value[rows]), (high[rows], high_value[rows])
        answer[rows] = _solved(partial(_narrowed_again, narrowed, rows), narrowed(rows), *ends)
    return answer


def _solved(narrowed: Callable[[Integers], Excess], excess: Excess, low: Point, high: Point) -> Floats:
    """Rows that change their sign between the ends; ``excess`` is that of all of them."""
    (newest, newest_value), (across, across_value) = high, low
    share = np.full_like(newest, 0.5)
    with np.errstate(all="ignore"):
        for iteration in range(ITERATIONS):
            tried = newest + share * (across - newest)
            value = excess(tried)
            same_side = (value <= 0) == (newest_value <= 0)
            older, older_value = np.where(same_side, newest, across), np.where(same_side, newest_value, across_value)
            across, across_value = (
                np.where(same_side, across, newest),
                np.where(same_side, across_value, newest_value),
            )
            newest, newest_value = tried, value
            width = np.abs(across - newest)
            tolerance = TOLERANCE * np.abs(newest)
            unsolved = width > tolerance
            if not unsolved.any():
                break
            if iteration >= STRAGGLERS_AFTER and unsolved.sum() < STRAGGLERS_SHARE * len(unsolved):
                rows = np.flatnonzero(unsolved)
                left, right = np.minimum(newest, across), np.maximum(newest, across)
                left[rows] = last_true(partial(_narrowed_again, narrowed, rows), left[rows], right[rows])
                return left
            share = _next_share((newest, newest_value), (across, across_value), (older, older_value))
            # A step of at least the tolerance: the bracket must close from both sides.
            least = np.minimum(0.5, tolerance / (2 * width))
            share = np.clip(share, least, 1 - least)
    return np.where(newest_value <= 0, newest, across)


def _narrowed_again(narrowed: Callable[[Integers], Excess], rows: Integers, some: Integers) -> Excess:
    return narrowed(rows[some])


def _next_share(newest: Point, across: Point, older: Point) -> Floats:
    """How far towards the other end of the bracket to try next: inverse quadratic where it is safe, else half."""
    (x, f), (x_across, f_across), (x_older, f_older) = newest, across, older
    position = (x - x_across) / (x_older - x_across)
    level = (f - f_across) / (f_older - f_across)
    safe = (level * level < position) & ((1 - level) * (1 - level) < 1 - position)
    share = f / (f_across - f) * f_older / (f_across - f_older)
    share = share + (x_older - x) / (x_across - x) * f / (f_older - f) * f_across / (f_older - f_across)
    return np.where(safe & np.isfinite(share), share, 0.5)
