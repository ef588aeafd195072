"""The solver finds the last point at which a rising function is not above zero, from below."""

from collections.abc import Callable

import numpy as np
import pytest

from berth_cost.performance.bracketing import TOLERANCE, last_true

FUNCTIONS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "line": lambda x, root: x - root,
    "pole": lambda x, root: 1 / (1.0001 - x) - 1 / (1.0001 - root),
    "step": lambda x, root: np.where(x > root, 1.0, -1.0),
    "kink": lambda x, root: np.where(x > root, 1e6 * (x - root), 1e-6 * (x - root)),
    "flat": lambda x, root: (x - root) ** 9,
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_root_is_found_from_below(name: str):
    function = FUNCTIONS[name]
    roots = np.array([3e-9, 1e-6, 0.01, 0.5, 0.9, 0.99999])
    found = last_true(lambda rows: lambda x: function(x, roots[rows]), np.full(6, 1e-9), np.full(6, 1.0))
    # Differences of numbers near one are exact to their last bit only.
    assert np.all(found <= roots + 1e-15)
    # A root where the function is flat to the last bit is anywhere on the flat.
    slack = 0.03 if name == "flat" else 4 * TOLERANCE
    assert np.all(found >= roots * (1 - slack) - (0.03 if name == "flat" else 0))


def test_ends_are_answered_where_there_is_no_root_between_them():
    low, high = np.array([1.0, 1.0]), np.array([2.0, 2.0])
    offsets = np.array([5.0, -5.0])
    found = last_true(lambda rows: lambda x: x + offsets[rows], low, high)
    assert found.tolist() == [1.0, 2.0]
