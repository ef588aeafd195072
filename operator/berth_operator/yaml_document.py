"""YAML and JSON documents as plain values, with the line of every field, read the way the API server's clients do.

Refused, with the line: duplicate keys, keys that are not strings, unknown tags, a document that contains itself or
unfolds beyond any reason. JSON is YAML here. Dates and times stay strings, as JSON has none.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

MOST_VALUES = 500_000
"""In one file, aliases unfolded: more than any manifest, far less than memory."""

_TAG = "tag:yaml.org,2002:"
_INTEGER = re.compile(r"[-+]?[0-9][0-9_]*")
_OTHER_INTEGER = re.compile(r"[-+]?0[xob]?[0-9a-fA-F_]+")


@dataclass(frozen=True, slots=True)
class Flaw:
    """What is wrong, where. ``path`` is empty where no field is at fault; ``line`` counts from 1, 0 is the file."""

    file: str
    line: int
    path: str
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.path}: {self.message}" if self.path else f"{place}: {self.message}"


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a file: its value, and the line of every field by path (``spec.model.variants[0].source``)."""

    file: str
    line: int
    value: Any
    lines: Mapping[str, int]

    def line_of(self, path: str) -> int:
        """The line of a field; of the nearest one around it where the field itself is not there."""
        while path and path not in self.lines:
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return self.lines.get(path, self.line)

    def flaw(self, path: str, message: str) -> Flaw:
        return Flaw(self.file, self.line_of(path), path, message)


class Unreadable(ValueError):
    """Text that is not YAML as Kubernetes takes it."""

    def __init__(self, flaw: Flaw) -> None:
        super().__init__(str(flaw))
        self.flaw = flaw


def read_documents(text: str, file: str) -> Iterator[Document]:
    """The documents of a text; empty ones are left out. Raises :class:`Unreadable` at the first that cannot be read."""
    reader = _Reader(file)
    try:
        for node in yaml.compose_all(text, Loader=yaml.SafeLoader):
            lines: dict[str, int] = {}
            value = reader.read(node, "", lines)
            if value is not None:
                yield Document(file, node.start_mark.line + 1, value, lines)
    except yaml.YAMLError as error:
        raise Unreadable(_syntax(error, text, file)) from error
    except Unreadable as error:
        line = text.splitlines()[error.flaw.line - 1 : error.flaw.line]
        raise Unreadable(_template(error.flaw.line, file)) if _is_template("".join(line)) else error from None
    except RecursionError as error:
        raise Unreadable(Flaw(file, 0, "", "is nested too deeply")) from error


def _syntax(error: yaml.YAMLError, text: str, file: str) -> Flaw:
    mark = getattr(error, "problem_mark", None)
    line = mark.line + 1 if mark is not None else 0
    if _is_template(text):
        return _template(line, file)
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
    context = getattr(error, "context", None)
    return Flaw(file, line, "", f"is not YAML: {problem}{f' {context}' if context else ''}")


def _template(line: int, file: str) -> Flaw:
    return Flaw(file, line, "", "looks like a Helm template: render it first, with helm template")


def _is_template(text: str) -> bool:
    return re.search(r"\{\{-?\s*[.$#/a-zA-Z(]", text) is not None


class _Reader:
    """Turns composed nodes into values; counts them, and remembers what it is inside of."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._count = 0
        self._inside: set[int] = set()
        self._merged: dict[int, int] = {}
        """By node: how many of its first entries came through merge keys, which its own ones override."""
        self._constructor = yaml.constructor.SafeConstructor()

    def read(self, node: yaml.Node, path: str, lines: dict[str, int]) -> Any:
        self._count += 1
        if self._count > MOST_VALUES:
            self._refuse(node, path, f"unfolds to more than {MOST_VALUES} values")
        if id(node) in self._inside:
            self._refuse(node, path, "contains itself")
        self._inside.add(id(node))
        try:
            return self._value(node, path, lines)
        finally:
            self._inside.discard(id(node))

    def _value(self, node: yaml.Node, path: str, lines: dict[str, int]) -> Any:
        if isinstance(node, yaml.MappingNode) and node.tag == _TAG + "map":
            return self._mapping(node, path, lines)
        if isinstance(node, yaml.SequenceNode) and node.tag == _TAG + "seq":
            return [self._at(item, f"{path}[{index}]", lines) for index, item in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        return self._refuse(node, path, f"has tag {node.tag}, which Kubernetes does not know: remove it")

    def _at(self, node: yaml.Node, path: str, lines: dict[str, int]) -> Any:
        lines[path] = node.start_mark.line + 1
        return self.read(node, path, lines)

    def _mapping(self, node: yaml.MappingNode, path: str, lines: dict[str, int]) -> dict[str, Any]:
        if id(node) not in self._merged:  # an alias leads here again, when the merge keys are already resolved
            own = sum(key.tag != _TAG + "merge" for key, _ in node.value)
            self._constructor.flatten_mapping(node)
            self._merged[id(node)] = len(node.value) - own
        merged = self._merged[id(node)]
        result: dict[str, Any] = {}
        own_names: set[str] = set()
        for index, (key, value) in enumerate(node.value):
            name = self._key(key, path)
            inner = f"{path}.{name}" if path else name
            if name in own_names:
                self._refuse(key, inner, f"is there twice, first on line {lines[inner]}")
            if index >= merged:
                own_names.add(name)
            lines[inner] = key.start_mark.line + 1
            result[name] = self.read(value, inner, lines)
        return result

    def _key(self, key: yaml.Node, path: str) -> str:
        if not isinstance(key, yaml.ScalarNode) or key.tag != _TAG + "str":
            shown = key.value if isinstance(key, yaml.ScalarNode) else "of this mapping"
            self._refuse(key, path, f"key {shown} must be a string: put it in quotes")
        return str(key.value)

    def _scalar(self, node: yaml.ScalarNode, path: str) -> Any:
        match node.tag.removeprefix(_TAG):
            case "str" | "timestamp":
                return node.value
            case "int" if not (_INTEGER.fullmatch(node.value) or _OTHER_INTEGER.fullmatch(node.value)):
                return node.value  # 1:30 is ninety in YAML 1.1 only
            case "null" | "bool" | "int" | "float":
                try:
                    return self._constructor.construct_object(node)
                except ValueError:
                    return self._refuse(node, path, f"{node.value} is not a number")
            case _:
                return self._refuse(node, path, f"has tag {node.tag}, which Kubernetes does not know: remove it")

    def _refuse(self, node: yaml.Node, path: str, message: str) -> Any:
        raise Unreadable(Flaw(self._file, node.start_mark.line + 1, path, message))
