"""A rule of the API, stated once: as CEL for the API server, as a predicate for the command line, with one message.

The tests hold both forms against the same examples, the CEL one on a real API server.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

RULE_BROKEN = "rule_broken"
"""Type of the pydantic error; its context has ``broken``: the rules, in order of statement."""

WITHOUT_RULES: Mapping[str, Any] = MappingProxyType({})
"""Validation context in which types and bounds are checked, and rules are not asked."""


@dataclass(frozen=True, slots=True)
class Rule:
    """``holds`` is None for a rule about a change (``oldSelf``), which one object alone can neither keep nor break.

    ``field`` names the member at fault, as ``.minimum``, where the rule belongs to an object.
    """

    cel: str
    message: str
    holds: Callable[[Any], bool] | None
    field: str | None = None

    def as_schema(self) -> dict[str, str]:
        """An entry of ``x-kubernetes-validations``."""
        entry = {"rule": self.cel, "message": self.message}
        return entry | {"fieldPath": self.field} if self.field else entry

    def check(self, value: Any, info: ValidationInfo) -> Any:
        return check_rules((self,), value, info)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return with_rules(handler(schema), (self,))


def broken_rules(rules: tuple[Rule, ...], value: Any) -> tuple[Rule, ...]:
    """Those of ``rules`` that ``value`` does not keep."""
    return tuple(rule for rule in rules if rule.holds is not None and not rule.holds(value))


def check_rules(rules: tuple[Rule, ...], value: Any, info: ValidationInfo) -> Any:
    """``value``, or one error that carries every broken rule; ``value`` alone where the context is WITHOUT_RULES."""
    broken = () if info.context is WITHOUT_RULES else broken_rules(rules, value)
    if broken:
        text = "; ".join(rule.message for rule in broken)
        raise PydanticCustomError(RULE_BROKEN, "{text}", {"text": text, "broken": broken})
    return value


def with_rules(schema: JsonSchemaValue, rules: tuple[Rule, ...]) -> JsonSchemaValue:
    """``schema`` with ``rules`` added to those that it has."""
    if not rules:
        return schema
    earlier = schema.get("x-kubernetes-validations", [])
    return schema | {"x-kubernetes-validations": [*earlier, *(rule.as_schema() for rule in rules)]}
