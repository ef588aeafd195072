"""The numbers of a cost scenario: decimals as people write them, read exactly or refused with what to do."""

import math
import re
from collections.abc import Callable
from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Decimal
from typing import Annotated, Any, TypeAlias

import numpy as np
from pydantic import AfterValidator, BeforeValidator

Number: TypeAlias = Any
"""A Decimal, or an array of floats with one element a draw: the formulas of this package are the same for both."""

MOST_DIGITS = 28
"""What a Decimal of the default context holds exactly."""

_PLAIN = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_GROUPED = re.compile(r"-?[0-9]{1,3}([,_ '’][0-9]{3})+([.,][0-9]+)?")
_FORMS = 'must be a plain decimal number such as 64 or "2.05"'


def exact_decimal(stated: object) -> Decimal:
    """A decimal from an integer, a text or a YAML float, which counts as it is written: 2.05 is 2.05.

    Raises ValueError, which says what would do, for anything else: thousands separators, units, currencies, NaN.
    """
    if isinstance(stated, Decimal):
        return _finite(stated)
    if isinstance(stated, bool) or not isinstance(stated, int | float | str):
        raise ValueError(_FORMS)
    if isinstance(stated, float):
        return _finite(Decimal(repr(stated)))
    text = str(stated)
    if not _PLAIN.fullmatch(text):
        raise ValueError(_why_not(text))
    if len(text) > MOST_DIGITS:
        raise ValueError(f"has more than {MOST_DIGITS} digits")
    return Decimal(text)


def _finite(value: Decimal) -> Decimal:
    if not value.is_finite():
        raise ValueError(f"{_FORMS}, not {value}")
    return value


def _why_not(text: str) -> str:
    if _GROUPED.fullmatch(text):
        return f"{_FORMS}, without separators between thousands: is {text!r} {re.sub('[,_ ’]', '', text)!r}?"
    if re.search(r"[€£¥₹]|\b(EUR|GBP|JPY|CNY|INR|CHF|CAD|AUD|SEK|NOK|DKK|PLN)\b", text, re.IGNORECASE):
        return f"{_FORMS}, in US dollars: convert {text!r}"
    if re.search(r"\$|\bUSD\b|%|[A-Za-z]", text):
        return f"{_FORMS}, without a unit: the name of the field says it ({text!r})"
    return f"{_FORMS}, not {text!r}"


def _bounded(holds: Callable[[Decimal], bool], message: str) -> AfterValidator:
    def check(value: Decimal) -> Decimal:
        if not holds(value):
            raise ValueError(f"{message}, not {value}")
        return value

    return AfterValidator(check)


_EXACT = BeforeValidator(exact_decimal)
_LEAST, _MOST = Decimal(10) ** -9, Decimal(10) ** 15
_SANE = _bounded(lambda value: not value or _LEAST <= abs(value) <= _MOST, "must be 0, or from 10^-9 to 10^15 in size")

NotNegative = Annotated[Decimal, _EXACT, _bounded(lambda value: value >= 0, "must not be negative"), _SANE]
Positive = Annotated[Decimal, _EXACT, _bounded(lambda value: value > 0, "must be above 0"), _SANE]
Percent = Annotated[Decimal, _EXACT, _bounded(lambda value: 0 <= value <= 100, "must be from 0 to 100"), _SANE]
"""0 to 100, both included."""
PartialPercent = Annotated[
    Decimal, _EXACT, _bounded(lambda value: 0 <= value < 100, "must be at least 0, below 100"), _SANE
]
Rate = Annotated[Decimal, _EXACT, _bounded(lambda value: -50 <= value <= 1000, "must be from -50 to 1000"), _SANE]
"""Percent a year."""
WholeMonths = Annotated[
    Decimal,
    _EXACT,
    _bounded(lambda value: value == value.to_integral_value() and 1 <= value <= 600, "must be whole months, 1 to 600"),
]
Ratio = Annotated[Decimal, _EXACT, _bounded(lambda value: 1 <= value <= 10, "must be from 1 to 10")]


# --- arithmetic that both kinds of number have -------------------------------------------------------------------


def ceiling(value: Number) -> Number:
    if isinstance(value, Decimal):
        return value.to_integral_value(rounding=ROUND_CEILING)
    return np.ceil(np.asarray(value) - 1e-9)  # 48.000000000000007 of a draw are 48


def larger(first: Number, second: Number) -> Number:
    if isinstance(first, Decimal) and isinstance(second, Decimal):
        return max(first, second)
    return np.maximum(np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64))


# --- rounding of results -----------------------------------------------------------------------------------------

CENT = Decimal("0.01")


def exact(value: Number) -> Decimal:
    """A single number of either kind as a Decimal; a float as its shortest text."""
    if isinstance(value, Decimal):
        return value
    return Decimal(value) if isinstance(value, int) else Decimal(repr(float(value)))


def cents(usd: Number) -> Decimal:
    """To the cent, half a cent to even."""
    return exact(usd).quantize(CENT, ROUND_HALF_EVEN) + 0  # never −0.00


def unit_price(usd: Number) -> Decimal:
    """Of one GPU-hour or a million tokens: six significant digits, never coarser than a cent."""
    price = exact(usd)
    if not price:
        return Decimal("0.00")
    places = max(2, 5 - price.adjusted())
    rounded = price.quantize(Decimal(1).scaleb(-places), ROUND_HALF_EVEN)
    while places > 2 and rounded == rounded.quantize(Decimal(1).scaleb(1 - places)):
        places -= 1
        rounded = rounded.quantize(Decimal(1).scaleb(-places))
    return rounded


def add_up(parts: dict[str, Number], total: Decimal) -> dict[str, Decimal]:
    """``parts`` to the cent so that they sum to ``total``: what rounding leaves over goes to the largest."""
    rounded = {name: cents(value) for name, value in parts.items()}
    if rounded:
        largest = max(rounded, key=lambda name: (abs(rounded[name]), name))
        rounded[largest] += total - sum(rounded.values(), Decimal(0))
    return rounded


def figure(value: Number) -> float:
    """A result that is no money, six significant digits."""
    number = float(value)
    return float(f"{number:.6g}") if math.isfinite(number) else number
