"""pydantic models → structural schemas, the dialect of OpenAPI v3 that a CRD may use.

What the API server refuses (references, null branches, exclusive bounds as numbers) is rewritten; what it would drop
without a word, or what this converter does not know, is an error here, long before it reaches a server. So is every
string, list and map without a limit: CEL rules are priced by the worst case, and nobody may store a megabyte in a name.
Rules: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/ (2025-10).
"""

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel

Schema = dict[str, Any]

_KEPT = (
    "description",
    "type",
    "format",
    "enum",
    "pattern",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "required",
    "x-kubernetes-int-or-string",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-list-type",
    "x-kubernetes-validations",
)
_DROPPED = frozenset({"title", "examples", "$defs"})
"""Noise: the server would drop them too."""
_REWRITTEN = frozenset(
    {"$ref", "anyOf", "const", "default", "exclusiveMinimum", "exclusiveMaximum", "properties", "items"}
    | {"additionalProperties"}
)
_BOUNDED_FORMATS = frozenset({"date", "date-time"})


class NotStructural(TypeError):
    """A model says something that a CRD cannot say; the message names the field and what to use instead."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path or 'the model'}: {problem}")
        self.path = path


def structural_schema(model: type[BaseModel]) -> Schema:
    """The structural schema of ``model``, without references. Raises :class:`NotStructural`."""
    generated = model.model_json_schema(by_alias=True, mode="validation")
    return _Converter(generated.get("$defs", {})).convert(generated, "", ())


class _Converter:
    """``definitions`` are what references of the generated schema point to."""

    def __init__(self, definitions: Mapping[str, Schema]) -> None:
        self._definitions = definitions

    def convert(self, schema: Schema, path: str, inside: tuple[str, ...]) -> Schema:
        """``inside``: the definitions that ``schema`` is part of. One that contains itself has no structural form."""
        schema, inside = self._resolved(schema, path, inside)
        _refuse_unknown(schema, path)
        found: Schema = {key: schema[key] for key in _KEPT if key in schema}
        if "description" in found:
            found["description"] = _prose(found["description"])
        if "const" in schema:
            found["enum"] = [schema["const"]]
        found |= _exclusive_bounds(schema)
        found |= self._members(schema, path, inside)
        _require_type(found, path)
        _require_bounds(found, path)
        return found | _default(schema)

    def _resolved(self, schema: Schema, path: str, inside: tuple[str, ...]) -> tuple[Schema, tuple[str, ...]]:
        """Without null branches and references; what stands beside them (description, default, rules) wins."""
        while "anyOf" in schema or "$ref" in schema:
            beside = {key: value for key, value in schema.items() if key not in ("anyOf", "$ref")}
            if "anyOf" in schema:
                schema = _not_null(schema["anyOf"], path) | beside
            else:
                name = schema["$ref"].removeprefix("#/$defs/")
                if name in inside:
                    raise NotStructural(path, f"{name} contains itself, which no structural schema can say")
                schema, inside = self._definitions[name] | beside, (*inside, name)
        return schema, inside

    def _members(self, schema: Schema, path: str, inside: tuple[str, ...]) -> Schema:
        members: Schema = {}
        if "properties" in schema:
            members["properties"] = {
                name: self.convert(member, f"{path}.{name}".removeprefix("."), inside)
                for name, member in schema["properties"].items()
            }
        if "items" in schema:
            items = self.convert(schema["items"], f"{path}[]", inside)
            if items.get("type") != "object":
                items.pop("description", None)  # of the type, not of this list
            members["items"] = items
        values = schema.get("additionalProperties", False)
        if values is True:
            raise NotStructural(path, "a map of anything: state the type of its values")
        if values is not False:  # false stands for extra="forbid", which pruning and strict field validation do
            members["additionalProperties"] = self.convert(values, f"{path}[]", inside)
        return members


def _refuse_unknown(schema: Schema, path: str) -> None:
    unknown = sorted(schema.keys() - set(_KEPT) - _DROPPED - _REWRITTEN)
    if unknown:
        hint = "; ".join(_INSTEAD.get(key, "not known to this converter") for key in unknown)
        raise NotStructural(path, f"{', '.join(unknown)}: {hint}")


_INSTEAD = {
    "allOf": "use one model",
    "discriminator": "use optional members and a rule that says exactly one",
    "oneOf": "use optional members and a rule that says exactly one",
    "prefixItems": "use an object instead of a tuple of several types",
    "propertyNames": "use a rule on the map for its keys",
    "uniqueItems": "use a tuple annotated with UNIQUE instead of a set",
}


def _not_null(branches: list[Schema], path: str) -> Schema:
    """The one branch of ``anyOf`` that is not null."""
    rest = [branch for branch in branches if branch.get("type") != "null"]
    if len(rest) != 1:
        raise NotStructural(path, "a union of types: use optional members and a rule that says exactly one")
    return rest[0]


def _exclusive_bounds(schema: Schema) -> Schema:
    """JSON Schema has exclusive bounds as numbers, OpenAPI v3 as flags beside the bound."""
    found: Schema = {}
    for exclusive, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if exclusive in schema:
            found |= {bound: schema[exclusive], exclusive: True}
    return found


def _require_type(found: Schema, path: str) -> None:
    if found.get("x-kubernetes-int-or-string"):
        found.pop("type", None)
    elif "type" not in found:
        raise NotStructural(path, "no type (Any?): state one")
    if found.get("type") == "object" and "properties" in found and "additionalProperties" in found:
        raise NotStructural(path, "properties and a map at once")
    if found.get("type") == "number":
        raise NotStructural(path, "a float: use a decimal that is an integer or a string")


_BOUND: Mapping[str, tuple[str, Callable[[Schema], bool]]] = {
    "string": ("maxLength", lambda found: "enum" not in found and found.get("format") not in _BOUNDED_FORMATS),
    "array": ("maxItems", lambda found: True),
    "object": ("maxProperties", lambda found: "additionalProperties" in found),
}


def _require_bounds(found: Schema, path: str) -> None:
    kind = "string" if found.get("x-kubernetes-int-or-string") else found.get("type", "")
    bound, needed = _BOUND.get(kind, ("", lambda found: False))
    if needed(found) and bound not in found:
        raise NotStructural(path, f"{kind} without {bound}: state the most that makes sense")


def _default(schema: Schema) -> Schema:
    """The default, if it says anything: null and an empty list are what absence says already.

    Of an object with all its members, although each has a default of its own: the server holds a default to the rules
    of the object before it fills members in.
    """
    default = _without_absent(schema.get("default"))
    return {} if default is None or default == [] else {"default": default}


def _without_absent(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {name: _without_absent(member) for name, member in value.items() if member not in (None, [])}


def _prose(docstring: str) -> str:
    """One line a paragraph, without the markup of docstrings."""
    paragraphs = (" ".join(paragraph.split()) for paragraph in docstring.split("\n\n"))
    return "\n".join(paragraphs).replace("``", "")
