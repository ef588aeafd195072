"""Six significant digits: what is compared, hashed or printed is the same on every machine.

Floating-point sums differ in the last bits between machines and numpy builds; a tie that is broken by such a bit
would make two machines plan differently.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

DIGITS = 6


def significant(values: ArrayLike, digits: int = DIGITS) -> NDArray[np.float64]:
    """``values`` rounded to ``digits`` significant decimal digits; zero, nan and infinities stay as they are."""
    array = np.asarray(values, dtype=np.float64)
    magnitude = np.zeros_like(array)
    ordinary = np.isfinite(array) & (array != 0)
    np.log10(np.abs(array), out=magnitude, where=ordinary)
    exponent = digits - 1 - np.floor(magnitude)
    # Dividing by a power of ten above one keeps the result the float nearest to the decimal number.
    up, down = np.power(10.0, np.maximum(exponent, 0)), np.power(10.0, np.maximum(-exponent, 0))
    rounded = np.round(array * up / down) / up * down
    return np.where(ordinary, rounded, array)


def significant_number(value: float, digits: int = DIGITS) -> float:
    """The scalar form of :func:`significant`."""
    return float(f"{value:.{digits - 1}e}")
