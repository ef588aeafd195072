"""The kinds of field that the API is made of: objects with rules, decimals, quantities, names, paths, keyed lists."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationInfo,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from berth_cost.record import json_name
from berth_operator.api.rule import Rule, check_rules, with_rules
from berth_operator.quantity import Quantity, decimal_text, parse_decimal


class Part(BaseModel):
    """A part of an object of the API: frozen, camelCase in JSON, with the rules that its members must keep together.

    Unknown fields are ignored: an operator that was rolled back must still read what a newer one stored. Who writes is
    held to the schema: by the API server, and by :func:`berth_operator.api.v1alpha1.problems` on the command line.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        alias_generator=json_name,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        use_attribute_docstrings=True,
        allow_inf_nan=False,
    )
    rules: ClassVar[tuple[Rule, ...]] = ()

    @model_validator(mode="after")
    def _keeps_its_rules(self, info: ValidationInfo) -> Self:
        check_rules(type(self).rules, self, info)
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler, /) -> JsonSchemaValue:
        described = handler(schema)
        resolved = handler.resolve_ref_schema(described)
        resolved.update(with_rules(dict(resolved), cls.rules))
        return described


# --- decimals and quantities -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class IntegerOrString:
    """Annotates a field that is an integer or a string in JSON and ``parse(value)`` in Python."""

    parse: Callable[[object], Any]
    show: Callable[[Any], str]
    pattern: str
    expected: str
    """What would do, in words."""
    maximum_length: int = 24
    maximum: int = 10**15
    """Of an integer, whose minimum is zero; schemas hold bounds as floats, exact up to 2**53."""
    string_only: bool = False

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self.read, serialization=core_schema.plain_serializer_function_ser_schema(self.show)
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        text = {"pattern": self.pattern, "maxLength": self.maximum_length}
        if self.string_only:
            return {"type": "string", **text}
        return {"x-kubernetes-int-or-string": True, **text, "minimum": 0, "maximum": self.maximum}

    def read(self, value: object) -> Any:
        parsed = self.parse(value)
        if isinstance(value, str) and (len(value) > self.maximum_length or not re.fullmatch(self.pattern, value)):
            raise ValueError(f"must be {self.expected}")
        if isinstance(value, int) and not 0 <= value <= self.maximum:
            raise ValueError(f"must be {self.expected}, as an integer at least 0 and at most {self.maximum}")
        return parsed


def _quantity(value: object) -> Quantity:
    return value if isinstance(value, Quantity) else Quantity.parse(value)


_DECIMAL = IntegerOrString(
    parse=parse_decimal,
    show=decimal_text,
    pattern=r"^[0-9]{1,12}(\.[0-9]{1,9})?$",
    expected='a decimal number that is not negative, such as 200 or "0.5"',
    maximum=10**12,
)
_COUNT = IntegerOrString(
    parse=_quantity,
    show=str,
    pattern=r"^[0-9]{1,18}(\.[0-9]{1,9})?(m|k|M|G|T|P|E|e[0-9]{1,2})?$",
    expected='a quantity such as 4, "500m" or "8.03G"',
    maximum_length=32,
)
_BYTES = IntegerOrString(
    parse=_quantity,
    show=str,
    pattern=r"^[0-9]{1,18}(\.[0-9]{1,9})?(k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?$",
    expected='a quantity of bytes such as "8Gi" or "500M"',
    maximum_length=32,
)
_DECIMAL_STRING = IntegerOrString(
    parse=parse_decimal,
    show=decimal_text,
    pattern=r"^-?[0-9]{1,18}(\.[0-9]{1,12})?$",
    expected='a decimal number in quotes, such as "0.5"',
    maximum_length=32,
    string_only=True,
)

_ABOVE_ZERO = Rule(  # a string that is no number is the pattern's to refuse, once
    cel="type(self) == int ? self > 0 : !self.matches('^[0-9]+([.][0-9]+)?$') || double(self) > 0.0",
    message="must be above zero",
    holds=lambda amount: amount > 0,
)
_QUANTITY_ABOVE_ZERO = Rule(
    cel=(
        "type(self) == int ? self > 0"
        " : !self.matches('^[0-9]') || !isQuantity(self) || quantity(self).isGreaterThan(quantity('0'))"
    ),
    message="must be above zero",
    holds=lambda quantity: quantity.amount > 0,
)

IS_NUMBER = "string({0}).matches('^[0-9]{{1,12}}([.][0-9]{{1,9}})?$')"


def as_number(name: str) -> str:
    return f"double(string({name}))"


def bounded(condition: str, message: str, low: Decimal | int, high: int) -> Rule:
    """Of a decimal: ``condition`` says in CEL of ``{0}`` what ``low`` and ``high`` say here."""
    return Rule(
        cel=f"!{IS_NUMBER.format('self')} || ({condition.format(as_number('self'))})",
        message=message,
        holds=lambda value: low <= value <= high,
    )


NotNegativeDecimal = Annotated[Decimal, _DECIMAL]
PositiveDecimal = Annotated[Decimal, _DECIMAL, _ABOVE_ZERO]
DecimalString = Annotated[Decimal, _DECIMAL_STRING]
"""In a status: always written as a string, so that no reader takes it for a float."""
CountQuantity = Annotated[Quantity, _COUNT, _QUANTITY_ABOVE_ZERO]
"""A large number: ``8.03G`` parameters; or CPU cores: ``500m``."""
ByteQuantity = Annotated[Quantity, _BYTES, _QUANTITY_ABOVE_ZERO]
"""Bytes: ``8Gi``, ``500M``."""


# --- whole numbers, strings --------------------------------------------------------------------------------------

Flag = Annotated[bool, Field(strict=True)]
Count = Annotated[int, Field(strict=True, ge=1, le=2**31 - 1)]
Tally = Annotated[int, Field(strict=True, ge=0, le=2**31 - 1)]
"""A count that may be zero."""
Percent = Annotated[int, Field(strict=True, ge=0, le=100)]

Sentence = Annotated[str, Field(max_length=1024)]
"""Free text in a status, for people."""
Word = Annotated[str, Field(max_length=128)]
"""A short text in a status."""

LABEL_PATTERN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
SUBDOMAIN_PATTERN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
ObjectName = Annotated[str, Field(min_length=1, max_length=253, pattern=SUBDOMAIN_PATTERN)]
"""The name of another object of the same namespace."""
Identifier = Annotated[
    str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9]([-A-Za-z0-9 ._+/]*[A-Za-z0-9])?$")
]
"""A name that others coined: a GPU, a model preset, a metric, an instance type, a region, a zone."""

_NO_LEADING_SLASH = Rule(
    cel="!self.startsWith('/')",
    message="must be relative to the root of the volume: remove the leading /",
    holds=lambda path: not path.startswith("/"),
)
_NO_PARENT = Rule(
    cel="!self.contains('..')",
    message="must not contain '..': name the directory by its path from the root of the volume",
    holds=lambda path: ".." not in path,
)
_NO_CONTROL_CHARACTER = Rule(
    cel=r"!self.matches('[\\x00-\\x1f\\x7f]')",
    message="must not contain control characters",
    holds=lambda path: not re.search(r"[\x00-\x1f\x7f]", path),
)
VolumePath = Annotated[str, Field(min_length=1, max_length=512), _NO_LEADING_SLASH, _NO_PARENT, _NO_CONTROL_CHARACTER]
"""A directory inside a volume."""


# --- lists without duplicates ------------------------------------------------------------------------------------


DUPLICATE = "duplicate"
"""Type of the pydantic error; its context has the ``index`` of the second of the two."""


@dataclass(frozen=True, slots=True)
class ListOf:
    """How the API server merges a list: ``set``, or ``map`` by ``key``; either way it refuses duplicates."""

    kind: str
    key: str | None = None

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        merged = handler(schema) | {"x-kubernetes-list-type": self.kind}
        return merged | {"x-kubernetes-list-map-keys": [self.key]} if self.key else merged

    def check(self, items: Sequence[Any]) -> Sequence[Any]:
        seen: set[Any] = set()
        for index, item in enumerate(items):
            identity = getattr(item, self.key) if self.key else item
            if identity in seen:
                raise PydanticCustomError(DUPLICATE, "{identity} twice", {"identity": str(identity), "index": index})
            seen.add(identity)
        return items


UNIQUE = ListOf("set")
