"""Kubernetes quantities ("8.03G", "8Gi", "250m") and decimals that are an integer or a string, read and written.

Floats are refused: YAML reads ``0.1`` as a binary fraction, and no two programs print it alike.
Grammar: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/ (2025-10).
"""

import re
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Self

_BINARY = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50, "Ei": 2**60}
_DECIMAL_EXPONENT = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_QUANTITY = re.compile(
    r"(?P<number>[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+))"
    r"(?P<suffix>Ki|Mi|Gi|Ti|Pi|Ei|n|u|m|k|M|G|T|P|E|[eE](?P<exponent>[+-]?[0-9]{1,3}))?"
)
_DECIMAL = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
_MAXIMUM_LENGTH = 64


@dataclass(frozen=True, slots=True)
class Quantity:
    """An amount with the spelling it came in. Equal amounts are equal, however they are spelt."""

    amount: Decimal
    text: str = field(compare=False)

    @classmethod
    def parse(cls, value: object) -> Self:
        """Of an integer or a quantity string; raises ValueError, which says what would do, for anything else."""
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise ValueError('must be an integer or a quantity in quotes such as "8.03G" or "8Gi"')
        text = str(value)
        found = _QUANTITY.fullmatch(text) if len(text) <= _MAXIMUM_LENGTH else None
        if found is None:
            raise ValueError('must be a quantity such as "8.03G", "8Gi" or "250m"')
        suffix = found["suffix"] or ""
        number = Decimal(found["number"])
        if found["exponent"]:
            return cls(number.scaleb(int(found["exponent"])), text)
        if suffix in _BINARY:
            return cls(number * _BINARY[suffix], text)
        return cls(number.scaleb(_DECIMAL_EXPONENT[suffix]), text)

    def __str__(self) -> str:
        return self.text

    def __float__(self) -> float:
        return float(self.amount)

    def __int__(self) -> int:
        """Rounded up, as Kubernetes rounds: asking for a fraction of a byte asks for a byte."""
        return int(self.amount.to_integral_value(rounding="ROUND_CEILING"))

    def __lt__(self, other: Self) -> bool:
        return self.amount < other.amount

    def __le__(self, other: Self) -> bool:
        return self.amount <= other.amount


def parse_decimal(value: object) -> Decimal:
    """Of an integer or a string of digits with at most one point; raises ValueError for anything else."""
    if isinstance(value, Decimal):
        return value
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError('must be an integer or a string: put a number with a point in quotes, as in "0.5"')
    text = str(value)
    if len(text) > _MAXIMUM_LENGTH or not _DECIMAL.fullmatch(text):
        raise ValueError('must be a decimal number such as 200 or "0.5"')
    return Decimal(text)


def decimal_text(value: Decimal) -> str:
    """Plain digits, no exponent, no trailing zeros after the point: ``Decimal("1E+2")`` → ``100``."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def byte_quantity(count: int) -> str:
    """The shortest exact binary quantity of ``count`` bytes: 8589934592 → ``8Gi``, 1000 → ``1000``."""
    for suffix, size in reversed(_BINARY.items()):
        if count and count % size == 0:
            return f"{count // size}{suffix}"
    return str(count)


def count_quantity(amount: Decimal | int) -> str:
    """The shortest exact decimal quantity: 8030000000 → ``8030M``, ``Decimal("0.25")`` → ``250m``."""
    amount = Decimal(amount)
    for suffix, exponent in reversed(_DECIMAL_EXPONENT.items()):
        scaled = amount.scaleb(-exponent)
        if amount and scaled == scaled.to_integral_value():
            return f"{scaled:f}".split(".", maxsplit=1)[0] + suffix
    if amount:
        raise ValueError(f"{amount} is finer than a nano: no Kubernetes quantity can say it")
    return "0"
