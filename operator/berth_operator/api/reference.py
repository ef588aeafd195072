"""Reference pages made from the models: ``python -m berth_operator.api.reference --to docs/reference/api.md``.

The name of the file says which page: ``api.md`` (both kinds, from their schemas) or ``settings.md`` (the operator's
settings, from their docstrings). A test fails where a page in ``docs/`` differs from what this writes.
"""

import argparse
import ast
import inspect
import json
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel

from berth_cost.record import json_name
from berth_operator.api.crd import DEFINITIONS, Definition
from berth_operator.api.field import ByteQuantity, CountQuantity, DecimalString, NotNegativeDecimal
from berth_operator.api.schema import Schema
from berth_operator.settings import Settings

WIDTH = 118

_NAMED_PATTERNS = {
    get_args(kind)[1].pattern: name
    for kind, name in (
        (NotNegativeDecimal, "decimal"),
        (CountQuantity, "quantity"),
        (ByteQuantity, "quantity of bytes"),
        (DecimalString, "decimal in quotes"),
    )
}
_FIELD_NAME = re.compile(r"`([a-z]+(?:_[a-z]+)+)`")
"""A member as docstrings call it; pages call it as YAML does."""

# --- one schema in words -----------------------------------------------------------------------------------------


def type_of(schema: Schema) -> str:
    """``integer``, ``decimal``, ``list of string``, ``map of integer``, or the choices there are."""
    if "enum" in schema:
        return " or ".join(f"`{choice}`" for choice in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if name := _NAMED_PATTERNS.get(schema.get("pattern", "")):
        return name
    if "items" in schema:
        return f"list of {type_of(schema['items'])}"
    if isinstance(schema.get("additionalProperties"), dict):
        return f"map of {type_of(schema['additionalProperties'])}"
    return str(schema.get("format") or schema["type"])


def limits_of(schema: Schema) -> str:
    """What the type alone does not say: ranges, lengths, patterns, and the rules on a value that is not an object."""
    if schema.get("items"):
        inner = limits_of(schema["items"]) if "properties" not in schema["items"] else ""
        said = [*_range(schema, "Items", "entries"), *([f"each {inner}"] if inner else [])]
        return ", ".join([*said, *(["no duplicates"] if "x-kubernetes-list-type" in schema else [])])
    named = schema.get("pattern") in _NAMED_PATTERNS
    said = [*_range(schema, "Properties", "entries")]
    if not named:
        said += [*_range(schema, "", ""), *_range(schema, "Length", "characters")]
        said += [f"`{schema['pattern']}`"] if "pattern" in schema else []
    return ", ".join([*said, *(rule["message"] for rule in schema.get("x-kubernetes-validations", ()))])


def _range(schema: Schema, of: str, unit: str) -> Iterator[str]:
    """``1 to 20``, ``≥ 1``, ``at most 64 characters``; of ``minimum`` and ``maximum`` where ``of`` is empty."""
    least, most = (schema.get(f"min{of}" if of else "minimum"), schema.get(f"max{of}" if of else "maximum"))
    above = "exclusiveMinimum" in schema and not of
    least = schema["exclusiveMinimum"] if above and schema["exclusiveMinimum"] is not True else least
    below = not of and "exclusiveMaximum" in schema
    most = schema["exclusiveMaximum"] if below and schema["exclusiveMaximum"] is not True else most
    unit = f" {unit}" if unit else ""
    if least is not None and most is not None and not above and not below:
        yield f"{_number(least)} to {_number(most)}{unit}"
        return
    if least is not None:
        yield f"{'>' if above else '≥'} {_number(least)}{unit}"
    if most is not None:
        yield f"{'<' if below else '≤'} {_number(most)}{unit}"


def _number(value: float) -> str:
    return f"{value:,}".replace(",", " ") if isinstance(value, int) else f"{value:g}"


def _default(schema: Schema) -> str:
    if schema.get("default") in (None, [], {}, "") or "properties" in schema:
        return ""
    return f"`{json.dumps(schema['default'], ensure_ascii=False)}`"


# --- api.md ------------------------------------------------------------------------------------------------------

_API_TITLE = """\
# The API: `berthmaster.dev/v1alpha1`

Made from the models by `python -m berth_operator.api.reference --to docs/reference/api.md`; do not edit.

A *decimal* is an integer or a string (`200`, `"0.5"`): the API server refuses a YAML float. A *quantity* is a number
with a suffix (`"8.03G"`, `"500m"`), one of bytes may have a binary one (`"8Gi"`). Fields in bold are required. What
breaks a limit or one of the rules is refused by the API server, and by `berth`, with the words of the rule; unknown
fields are refused too. What conditions and reasons mean: [conditions.md](conditions.md).
"""


def api_page() -> str:
    """Every field of both kinds."""
    return "\n".join([_API_TITLE, *(_kind(definition) for definition in DEFINITIONS)])


def _kind(definition: Definition) -> str:
    schema, name = definition.schema(), definition.kind.__name__
    scope = "in a namespace" if definition.scope == "Namespaced" else "of the whole cluster"
    short = ", ".join(f"`{each}`" for each in definition.short_names)
    lines = [f"## {name}", "", f"{schema['description']} An object {scope}; kubectl knows it as {short}.", ""]
    lines += _refusals(schema)
    shown: dict[str, str] = {}
    for part in ("spec", "status"):
        lines += _object(part, schema["properties"][part], shown)
    return "\n".join(lines)


def _object(path: str, schema: Schema, shown: dict[str, str]) -> list[str]:
    """The section of an object, and those of the objects inside it that ``shown`` (path by content) has not yet."""
    lines = [f"### {path}", "", *([schema["description"], ""] if "description" in schema else [])]
    lines += ["| field | type | default | limits | meaning |", "|---|---|---|---|---|"]
    required = schema.get("required", ())
    inner: list[str] = []
    for name, member in schema["properties"].items():
        nested = member.get("items", member)
        section = f"{path}.{name}" + ("[]" if "items" in member else "")
        label = f"**`{name}`**" if name in required else f"`{name}`"
        kind, limits = type_of(member), limits_of(member)
        if "properties" in nested:
            content = json.dumps({key: value for key, value in nested.items() if key not in ("description", "default")})
            same = shown.setdefault(content, section)
            kind, limits = "list of objects" if "items" in member else "object", _object_limits(member)
            kind += "" if same == section else f", as [{same}](#{_anchor(same)})"
            inner += _object(section, nested, shown) if same == section else []
        cells = (label, kind, _default(member), limits, member.get("description", ""))
        lines.append("| " + " | ".join(_cell(cell) for cell in cells) + " |")
    return [*lines, "", *_refusals(schema), *inner]


def _object_limits(member: Schema) -> str:
    keys = member.get("x-kubernetes-list-map-keys")
    unique = [f"each of its own {keys[0]}"] if keys else []
    return ", ".join([*_range(member, "Items", "entries"), *unique])


def _refusals(schema: Schema) -> list[str]:
    messages = [rule["message"] for rule in schema.get("x-kubernetes-validations", ())]
    return ["Rules:", "", *(f"- {message}" for message in messages), ""] if messages else []


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


# --- settings.md -------------------------------------------------------------------------------------------------

_SETTINGS_TITLE = """\
# Settings of the operator

Made from the models by `python -m berth_operator.api.reference --to docs/reference/settings.md`; do not edit.

One YAML file, given by `--settings`; the chart writes it from its value `settings`. All of them have defaults to run
with, and an unknown key is refused by its path. For example:

```yaml
platform:
  drainSeconds: 20
  images:
    onnxruntime: {reference: "registry.example.com/tritonserver:26.07-py3"}
policy: {memoryMarginPercent: 8}
```
"""


def settings_page() -> str:
    """Every setting, with what it trades."""
    schema = Settings.model_json_schema(by_alias=True)
    return "\n".join([_SETTINGS_TITLE, *_settings("", Settings, schema["$defs"] | {"Settings": schema}, {})])


def _settings(
    path: str, model: type[BaseModel], definitions: Mapping[str, Schema], shown: dict[type[BaseModel], str]
) -> list[str]:
    """One section a record; the records inside it follow, each type of record once (``shown``: where)."""
    said = docstrings_of(model)
    lines = [f"## {path}", "", *_paragraph(inspect.getdoc(model) or "")] if path else []
    inner: list[str] = []
    for name, field in model.model_fields.items():
        key = field.alias or name
        member = _resolved(definitions[model.__name__]["properties"][key], definitions)
        records = _records(field.annotation)
        section = f"{path}.{key}".lstrip(".") + ("[]" if "items" in member else "")
        text = said.get(name, "")
        if records:
            same = shown.setdefault(records[0], section)
            inner += _settings(section, records[0], definitions, shown) if same == section else []
            text = f"{text} See [{same}](#{_anchor(same)}).".strip()
            kind, default = ("list", _default(member)) if "items" in member else ("mapping", "")
        else:
            kind, default = type_of(member), _default(member)
        about = ", ".join(each for each in (kind, limits_of(member), f"default {default}" if default else "") if each)
        line = f"- `{key}` ({about})" + (f": {text}" if text else "")
        lines += textwrap.wrap(line, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
    return [*lines, "", *inner]


def _anchor(heading: str) -> str:
    """As GitHub makes it."""
    return "".join(letter for letter in heading.lower() if letter.isalnum() or letter in "-_")


def _paragraph(text: str) -> list[str]:
    joined = " ".join(text.replace("``", "`").split())
    return [*textwrap.wrap(joined, WIDTH, break_on_hyphens=False), ""] if joined else []


def _resolved(schema: Schema, definitions: Mapping[str, Schema]) -> Schema:
    """Without references and null branches, lists and maps included."""
    if "anyOf" in schema:
        branch = next(each for each in schema["anyOf"] if each.get("type") != "null")
        rest = {key: value for key, value in schema.items() if key not in ("anyOf", "default") or value is not None}
        rest.pop("anyOf")
        return _resolved({**branch, **rest}, definitions)
    if "$ref" in schema:
        target = definitions[schema["$ref"].removeprefix("#/$defs/")]
        return _resolved({**target, **{key: value for key, value in schema.items() if key != "$ref"}}, definitions)
    found = dict(schema)
    for inside in ("items", "additionalProperties"):
        if isinstance(found.get(inside), dict):
            found[inside] = _resolved(found[inside], definitions)
    return found


def _records(annotation: Any) -> list[type[BaseModel]]:
    """The models in an annotation: of the field itself, or of the entries of its list."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for part in get_args(annotation) for found in _records(part)]


def docstrings_of(model: type) -> dict[str, str]:
    """The strings that stand below the members of a class, by member, on one line and without docstring markup."""
    body = ast.parse(textwrap.dedent(inspect.getsource(model))).body[0]
    assert isinstance(body, ast.ClassDef)
    found = {}
    for member, after in zip(body.body, body.body[1:], strict=False):
        target: ast.expr | None = None
        if isinstance(member, ast.AnnAssign):
            target = member.target
        elif isinstance(member, ast.Assign):
            target = member.targets[0]
        if (
            isinstance(target, ast.Name)
            and isinstance(after, ast.Expr)
            and isinstance(after.value, ast.Constant)
            and isinstance(after.value.value, str)
        ):
            text = " ".join(after.value.value.replace("``", "`").split())
            found[target.id] = _FIELD_NAME.sub(lambda named: f"`{json_name(named[1])}`", text)
    return found


PAGES: Mapping[str, Callable[[], str]] = {"api.md": api_page, "settings.md": settings_page}
"""By file name."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the reference pages that are made from the models.")
    parser.add_argument("--to", type=Path, action="append", required=True, help=f"a file: {' or '.join(PAGES)}")
    for file in parser.parse_args().to:
        page = PAGES.get(file.name)
        if page is None:
            parser.error(f"{file}: there is no page of that name; there are {', '.join(PAGES)}")
        file.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
