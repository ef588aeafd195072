"""Why an object is not accepted: which fields are at fault, and what to do about each."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from berth_operator.api.field import DUPLICATE, Part
from berth_operator.api.rule import RULE_BROKEN, broken_rules

Location = tuple[int | str, ...]
"""Where in an object: names of members and positions in lists."""


@dataclass(frozen=True, slots=True, order=True)
class FieldProblem:
    """What is wrong with one field: ``path`` as ``spec.model.variants[0].source``, and what to do about it."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class InvalidObject(ValueError):
    """An object that the API does not accept; ``problems`` has every reason.

    Of an object with fields of the wrong kind only these: as on the API server, rules are asked of what is whole.
    """

    def __init__(self, problems: Sequence[FieldProblem]) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = tuple(problems)


_WORDS: Mapping[str, str] = {
    "missing": "Required value",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "too_short": "must have at least {min_length} item",
    "too_long": "must have at most {max_length} items",
    "string_too_short": "must have at least {min_length} character",
    "string_too_long": "must have at most {max_length} characters",
    "string_pattern_mismatch": "must match {pattern}",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "int_type": "must be an integer",
    "bool_type": "must be true or false",
    "string_type": "must be a string: put it in quotes",
    "tuple_type": "must be a list",
    "model_type": "must be an object",
    "dict_type": "must be an object",
    "value_error": "{error}",
    "duplicate": "Duplicate value: {identity}",
}
"""By type of the pydantic error; braces take values of its context."""


def field_problems(kind: type[BaseModel], error: ValidationError) -> Iterator[FieldProblem]:
    """One for each broken rule and each field that is not as ``kind`` has it."""
    found = error.errors(include_url=False, include_input=False)
    for each in found:
        if not _is_echo(each, found):
            yield from _problems(kind, each)


def rule_problems(part: Part, path: str = "") -> Iterator[FieldProblem]:
    """The rules that ``part``, which was read without asking them, and the parts inside it do not keep."""
    for broken in broken_rules(type(part).rules, part):
        yield FieldProblem(_join(path, broken.field), broken.message)
    for name, field in type(part).model_fields.items():
        value, where = getattr(part, name), _join(path, field.alias or name)
        if isinstance(value, Part):
            yield from rule_problems(value, where)
        elif isinstance(value, tuple):
            for index, item in enumerate(value):
                if isinstance(item, Part):
                    yield from rule_problems(item, f"{where}[{index}]")


def _is_echo(each: ErrorDetails, found: Sequence[ErrorDetails]) -> bool:
    """A list that is too short only because its items are not valid: those are the problem."""
    where = each["loc"]
    return each["type"] == "too_short" and any(
        len(other["loc"]) > len(where) and other["loc"][: len(where)] == where for other in found
    )


def _problems(kind: type[BaseModel], each: ErrorDetails) -> Iterator[FieldProblem]:
    path, context = _path(each["loc"]), each.get("ctx", {})
    match each["type"]:
        case found if found == RULE_BROKEN:
            for broken in context["broken"]:
                yield FieldProblem(_join(path, broken.field), broken.message)
        case "extra_forbidden":
            known = ", ".join(_members(kind, each["loc"][:-1]))
            yield FieldProblem(path, f"unknown field (known: {known})")
        case found if found == DUPLICATE:
            yield FieldProblem(f"{path}[{context['index']}]", _WORDS[found].format(**context))
        case found:
            yield FieldProblem(path, _WORDS[found].format(**context) if found in _WORDS else each["msg"])


def _path(location: Location) -> str:
    """``("spec", "variants", 0)`` → ``spec.variants[0]``."""
    path = ""
    for step in location:
        path = f"{path}[{step}]" if isinstance(step, int) else _join(path, step)
    return path


def _join(path: str, member: str | None) -> str:
    member = (member or "").removeprefix(".")
    return f"{path}.{member}" if path and member else path or member


def _members(kind: type[BaseModel], location: Location) -> list[str]:
    """The JSON names of the fields of the part of ``kind`` at ``location``."""
    part: Any = kind
    for step in location:
        if isinstance(step, str) and (parts := list(_parts(part))):
            part = next((field.annotation for field in parts[0].model_fields.values() if field.alias == step), None)
    return [field.alias or name for found in _parts(part) for name, field in found.model_fields.items()]


def _parts(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models inside an annotation such as ``Annotated[tuple[Variant, ...], …] | None``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _parts(argument)
