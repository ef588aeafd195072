"""Regularised fit of positive constants in logs: residuals are robust, and every constant is pulled to its prior."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
STEP = 0.02
"""Of the finite differences, in logs."""
HUBER = 2.0
"""Residuals beyond this many standard deviations count linearly: some published rows carry a wrong label."""


@dataclass(frozen=True)
class Parameter:
    """A constant of the model by its path in the file. ``deviation`` of the prior is in logs; ``upper`` is its largest
    plausible value, ``lower`` its smallest."""

    path: tuple[str, ...]
    deviation: float
    upper: float = np.inf
    lower: float = 0.0


def fit(
    residuals: Callable[[Floats], Floats],
    start: Floats,
    parameters: Sequence[Parameter],
    rounds: int = 8,
    owners: Sequence[NDArray[np.int64]] | None = None,
) -> Floats:
    """Minimise Σ huber(residual) + Σ ((log value − log prior) / deviation)² by damped Gauss-Newton.

    Returns the values, shape (parameters,). ``start`` is the prior, positive. ``residuals``: weighted log ratios at
    given values. ``owners``: groups of parameters that are moved together because no residual depends on two of them;
    each an array of the shape of the residuals that names the one parameter of the group that each depends on, −1 for
    none. Without it every parameter is moved alone.
    """
    prior = np.log(start)
    deviation = np.array([one.deviation for one in parameters])
    lower = np.log(np.maximum([one.lower for one in parameters], 1e-30))
    upper = np.log([one.upper for one in parameters])

    def bounded(point: Floats) -> Floats:
        return np.clip(point, lower, upper)

    def cost(point: Floats) -> float:
        found = np.abs(residuals(np.exp(point)))
        robust = np.where(found <= HUBER, found**2, 2 * HUBER * found - HUBER**2)
        return float(robust.sum() + (((point - prior) / deviation) ** 2).sum())

    point, damping = bounded(prior), 1e-2
    best = cost(point)
    for _ in range(rounds):
        base = residuals(np.exp(point))
        # Away from an upper bound: a step that is cut off there would show no slope.
        steps = np.where(point + STEP > upper, -STEP, STEP)
        slopes = np.zeros((len(base), len(point)))
        for owner in owners or [np.full(len(base), i) for i in range(len(point))]:
            own = np.unique(owner[owner >= 0])
            moved = point.copy()
            moved[own] += steps[own]
            change = residuals(np.exp(moved)) - base
            rows = np.flatnonzero(owner >= 0)
            slopes[rows, owner[rows]] = change[rows] / steps[owner[rows]]
        weight = np.where(np.abs(base) <= HUBER, 1.0, HUBER / np.maximum(np.abs(base), 1e-12))
        normal = slopes.T @ (weight[:, None] * slopes) + np.diag(1 / deviation**2)
        gradient = slopes.T @ (weight * base) + (point - prior) / deviation**2
        improved = False
        while damping < 1e6:
            tried = bounded(point - np.linalg.solve(normal + damping * np.diag(np.diag(normal)), gradient))
            value = cost(tried)
            if value < best:
                gain, best, point, damping, improved = best - value, value, tried, damping / 3, True
                break
            damping *= 4
        if not improved or gain < 1e-4 * best:
            break
    return np.exp(point)
