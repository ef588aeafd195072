"""Cases as JSON lines: each line becomes a case, or a record of what is wrong with it. Pure: bytes in, records out.

Stricter than JSON readers are by default: a key may stand once, numbers are numbers (no text, no true), and what only
Python knows (NaN, Infinity) is refused by the key that has it.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from berth_cost.cases.case import Case
from berth_cost.record import Record
from berth_cost.spelling import nearest

MOST_LINE_BYTES = 4 * 2**20
"""A case is some kilobytes, with a hundred measured runs some hundred."""
MOST_FLAWS = 8
"""Of one line that are told."""


class CaseFlaw(Record):
    """A line that is not answered: ``error`` says what is wrong and what to do, ``keys`` where (dotted paths)."""

    line: int
    """From 1; blank lines are counted."""
    id: str | None = None
    """Of the case, where it could be read."""
    keys: tuple[str, ...] = ()
    error: str


@dataclass(frozen=True, slots=True)
class NumberedCase:
    line: int
    case: Case


class _Unreadable(Exception):
    """Raised where a line holds no object, or one that states a key twice."""

    def __init__(self, words: str, keys: tuple[str, ...] = ()) -> None:
        super().__init__(words)
        self.keys = keys


def read_cases(lines: Iterable[bytes]) -> Iterator[NumberedCase | CaseFlaw]:
    """What each line holds, in order; blank lines are passed over. A line may be cut: one byte more than
    :data:`MOST_LINE_BYTES` is enough to be refused."""
    for number, line in enumerate(lines, 1):
        if stripped := line.removeprefix(b"\xef\xbb\xbf" if number == 1 else b"").strip():
            yield read_case(number, stripped)


def read_case(number: int, line: bytes) -> NumberedCase | CaseFlaw:
    """The case of line ``number``."""
    stated: dict[str, Any] = {}
    try:
        stated = _parsed(line)
        # By way of JSON again, because lists are tuples only there.
        case = Case.model_validate_json(json.dumps(stated), strict=True, by_alias=True, by_name=False)
    except _Unreadable as error:
        return CaseFlaw(line=number, keys=error.keys, error=str(error))
    except ValidationError as error:
        return _flaw(number, stated, error.errors(include_url=False))
    return NumberedCase(number, case)


def _parsed(line: bytes) -> dict[str, Any]:
    """The object in a line. Raises :class:`_Unreadable`."""
    if len(line) > MOST_LINE_BYTES:
        raise _Unreadable(f"is longer than {MOST_LINE_BYTES >> 20} MiB: one case a line")
    try:
        stated = json.loads(line.decode("utf-8"), object_pairs_hook=_once, parse_float=_number)
    except UnicodeDecodeError as error:
        raise _Unreadable(f"is not UTF-8: {error.reason} at byte {error.start}") from error
    except RecursionError as error:
        raise _Unreadable("is nested too deeply to be a case") from error
    except json.JSONDecodeError as error:
        raise _Unreadable(f"is not JSON: {_lower(error.msg)} at column {error.colno}") from error
    except ValueError as error:
        raise _Unreadable("is not JSON: a number has too many digits") from error
    if not isinstance(stated, dict):
        raise _Unreadable("is not a case: it must be a JSON object")
    return stated


def flaw_of(case: NumberedCase, key: str, message: str) -> CaseFlaw:
    """What only its meaning shows to be wrong with a case that could be read."""
    return CaseFlaw(line=case.line, id=case.case.id, keys=(key,), error=f"{key}: {message}")


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    stated = dict(pairs)
    if len(stated) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)[:80]
        raise _Unreadable(f"{_path((twice,))} stands twice in one object: remove one", (_path((twice,)),))
    return stated


def _number(text: str) -> float | int:
    """``8.0`` and ``1e3`` are whole numbers too, where one is asked for."""
    value = float(text)
    return int(value) if abs(value) < 2**53 and value.is_integer() else value


def _flaw(number: int, stated: Mapping[str, Any], found: Sequence[ErrorDetails]) -> CaseFlaw:
    told = [(_path(one["loc"]), _words(one)) for one in found[:MOST_FLAWS]]
    more = [f"and {len(found) - MOST_FLAWS} more"] if len(found) > MOST_FLAWS else []
    case_id = stated.get("id")
    return CaseFlaw(
        line=number,
        id=case_id if isinstance(case_id, str) and _is_text(case_id) else None,
        keys=tuple(dict.fromkeys(path for path, _ in told if path)),
        error="; ".join([*(f"{path}: {words}" if path else words for path, words in told), *more]),
    )


def _is_text(value: str) -> bool:
    """Whether it can be written as UTF-8: half of a surrogate pair cannot."""
    return not any(0xD800 <= ord(character) < 0xE000 for character in value)


def _path(location: tuple[int | str, ...]) -> str:
    path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in location).lstrip(".")
    printable = "".join(character if character.isprintable() else "?" for character in path)
    return printable if len(printable) <= 200 else printable[:199] + "…"


_WORDS = {
    "missing": "is missing",
    "finite_number": "must be a finite number",
    "greater_than": "must be above {gt:g}, and is {input}",
    "greater_than_equal": "must be at least {ge:g}, and is {input}",
    "less_than_equal": "must be at most {le:g}, and is {input}",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "string_type": "must be a text",
    "literal_error": "must be one of {expected}, and is {input}",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "dict_type": "must be an object",
    "tuple_type": "must be a list",
    "value_error": "{error}",
}


def _words(found: ErrorDetails) -> str:
    """One error in plain words; of an unknown key also what it may have been meant to be."""
    if found["type"] == "extra_forbidden":
        known = tuple(sorted(_known_keys(found["loc"][:-1])))
        near = nearest(str(found["loc"][-1])[:60], known, most=2)
        meant = f"; did you mean {' or '.join(near)}?" if near else ""
        return f"unknown key{meant} (known: {', '.join(known)})" if known else "unknown key"
    pattern = _WORDS.get(found["type"])
    if pattern is None:
        return _lower(found["msg"])
    return pattern.format(input=_short(found["input"]), **found.get("ctx", {}))


def _short(value: object) -> str:
    try:
        text = json.dumps(value)
    except (TypeError, ValueError):
        return "something else"
    return text if len(text) <= 40 else text[:39] + "…"


def _known_keys(location: tuple[int | str, ...]) -> list[str]:
    """The keys of the object at ``location`` inside a case."""
    model: Any = Case
    for step in location:
        if isinstance(step, int):
            continue
        fields = model.model_fields if model is not None else {}
        field = next((one for one in fields.values() if one.alias == step), None)
        model = None if field is None else _record_in(field.annotation)
    return [] if model is None else [field.alias or name for name, field in model.model_fields.items()]


def _record_in(annotation: Any) -> type[BaseModel] | None:
    """``Experts`` of ``Experts | None`` and of ``tuple[Experts, ...]``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (Union, UnionType, tuple):
        return next((found for one in get_args(annotation) if (found := _record_in(one)) is not None), None)
    return None


def _lower(message: str) -> str:
    return message[:1].lower() + message[1:]
