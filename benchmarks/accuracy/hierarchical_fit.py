"""Regularised fit of constants that belong to levels: all engines, an engine, a version; a generation of GPUs, a GPU.

A constant's value is its prior times e^(sum of the deviations of its levels), each deviation pulled to 0 as strongly as
its own standard deviation says. So a version without measurements has its engine's constants, and an engine without any
the general ones. Published sources differ by harness: each has a factor of its own on all its times, which is fitted
beside the constants and thrown away, so that one campaign's habits do not become another engine's physics.

Least squares in logs with Student-t weights (some published rows carry a wrong label), by damped Gauss-Newton. Only one
level of a constant acts on a given row, so one finite difference per constant gives the slopes of all its levels.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Key = tuple[str, str, str]
"""(group, constant, level): ``("engines", "memory_efficiency", "vllm@0.12")``."""

STEP = 0.02
"""Of the finite differences, in logs."""
TAIL = 2.5
"""Standard deviations beyond which a residual counts like its logarithm."""
LARGEST_MOVE = 0.7
"""Of a deviation in one round, in logs."""
ENOUGH = 1e-4
"""Relative gain below which a fit is done."""


@dataclass(frozen=True)
class Term:
    """One deviation: of ``key`` on the observations where ``acts`` is not 0; ``spread`` is its standard deviation."""

    key: Key
    acts: Floats
    """Shape (observations,)."""
    spread: float
    harness: bool = False
    """True: a factor of the source, not of a constant: its slope is ``acts`` itself."""


@dataclass(frozen=True)
class Problem:
    """What is fitted. ``log_ratios(deviations, bumped)``: log(predicted / observed) of every observation, where the
    constant ``bumped`` (group, name) is e^STEP larger everywhere."""

    terms: Sequence[Term]
    weight: Floats
    """One over the noise, shape (observations,)."""
    log_ratios: Callable[[Mapping[Key, float], tuple[str, str] | None], Floats]


def solve(problem: Problem, start: Mapping[Key, float], rounds: int) -> dict[Key, float]:
    """The deviations at which the penalised sum of squares is least. ``start``: of an earlier fit, or empty."""
    terms = problem.terms
    spread = np.array([term.spread for term in terms])
    harness = np.stack([term.acts if term.harness else np.zeros_like(term.acts) for term in terms], axis=1)
    # A level without observations stays at what its parent says.
    point = np.array([start.get(term.key, 0.0) if term.acts.any() else 0.0 for term in terms])

    def named(values: Floats) -> dict[Key, float]:
        return {term.key: float(value) for term, value in zip(terms, values, strict=True)}

    def residuals(values: Floats) -> Floats:
        return problem.log_ratios(named(values), None) + harness @ values

    def cost(found: Floats, values: Floats) -> float:
        scaled = (found * problem.weight / TAIL) ** 2
        return float(TAIL**2 * np.log1p(scaled).sum() + ((values / spread) ** 2).sum())

    found, damping = residuals(point), 1e-2
    best = cost(found, point)
    constants = sorted({term.key[:2] for term in terms if not term.harness})
    for _ in range(rounds):
        base = found - harness @ point
        slope = {one: (problem.log_ratios(named(point), one) - base) / STEP for one in constants}
        slopes = np.stack([term.acts if term.harness else slope[term.key[:2]] * term.acts for term in terms], axis=1)
        weight = problem.weight / np.sqrt(1 + (found * problem.weight / TAIL) ** 2)
        weighted = slopes * weight[:, None]
        normal = weighted.T @ weighted + np.diag(1 / spread**2)
        gradient = weighted.T @ (found * weight) + point / spread**2
        gain = 0.0
        while damping < 1e4:
            move = np.linalg.solve(normal + damping * np.diag(np.diag(normal)), gradient)
            tried = point - np.clip(move, -LARGEST_MOVE, LARGEST_MOVE)
            there = residuals(tried)
            value = cost(there, tried)
            if value < best:
                gain, best, point, found, damping = best - value, value, tried, there, damping / 3
                break
            damping *= 4
        if gain < ENOUGH * best:
            break
    return named(point)
