"""Documents of facts: the built-in data files and the users' own, read by one schema and faulted by file and key.

A document is a mapping as YAML gives it. Wherever a fact stands, it stands as a plain value or as
``{value, source, date, note}``; ``source`` names an entry of the document's ``sources``. A plain value takes the
source of the entry it stands in. A GPU document, for example::

    sources:
      probe: {title: "nvidia-smi and our own GEMM runs", date: 2026-05-01}
    gpus:
      ACME-X1:
        source: probe
        memoryBytes: 25769803776
        powerWatts: {value: 150, note: "capped by the chassis"}
    spellings:
      ACME-X1: [acme-x-1]
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from functools import cache
from importlib import resources
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, Field, ValidationError

from berth_cost.record import Record

Read = TypeVar("Read")
RecordType = TypeVar("RecordType", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Flaw:
    """One thing wrong in a document: where (``key`` is a dotted path inside ``file``) and what to do about it.

    ``line`` counts from 1; None where only the parsed document is known.
    """

    file: str
    key: str
    message: str
    line: int | None = None

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{place}: {self.key}: {self.message}" if self.key else f"{place}: {self.message}"


class DocumentError(ValueError):
    """A document cannot be used. ``flaws`` holds everything wrong with it, in the order of the document."""

    def __init__(self, flaws: Iterable[Flaw]) -> None:
        self.flaws = tuple(flaws)
        super().__init__("\n".join(str(flaw) for flaw in self.flaws))


class Source(Record):
    """Where facts come from. ``recalled``: nobody looked it up again; the value may be off and widens error bands."""

    title: str = Field(min_length=1)
    date: date
    recalled: bool = False


class Provenance(Record):
    """Of one value: who says so, as of when, and what to know about it."""

    source: str
    title: str
    date: date
    recalled: bool = False
    note: str | None = None


@cache
def read_built_in(name: str) -> str:
    """The text of a data file of this package."""
    return resources.files("berth_cost").joinpath("data", name).read_text(encoding="utf-8")


def parse_yaml(text: str, file: str) -> dict[str, Any]:
    """A YAML text as a document. Raises :class:`DocumentError` where it is not YAML or not a mapping."""
    try:
        # The C loader is safe and ten times faster; wheels of PyYAML always carry it.
        document = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise DocumentError([Flaw(file, place, f"is not YAML: {getattr(error, 'problem', None) or error}")]) from error
    if not isinstance(document, dict):
        raise DocumentError([Flaw(file, "", "must be a mapping")])
    return document


@dataclass(frozen=True, slots=True)
class Lines:
    """The lines of a document's keys, by path: ``sources.contract``, ``prices[3].usdPerHour``."""

    by_path: Mapping[str, int]

    def line_of(self, path: str) -> int | None:
        """Of the key, else of the nearest one around it; None where not even that is known."""
        while path and path not in self.by_path:
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return self.by_path.get(path)

    def located(self, flaws: Iterable[Flaw]) -> list[Flaw]:
        """The flaws with the lines of their keys."""
        return [flaw if flaw.line else replace(flaw, line=self.line_of(flaw.key)) for flaw in flaws]


def parse_yaml_with_lines(text: str, file: str) -> tuple[dict[str, Any], Lines]:
    """As :func:`parse_yaml`, with the line of every key. A key that is stated twice is refused too."""
    document = parse_yaml(text, file)
    lines: dict[str, int] = {}
    flaws: list[Flaw] = []
    seen: set[int] = set()

    def walk(node: yaml.Node, path: str) -> None:
        if id(node) in seen:  # an alias, which may stand inside of what it names
            return
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                lines[f"{path}[{index}]"] = item.start_mark.line + 1
                walk(item, f"{path}[{index}]")
        elif isinstance(node, yaml.MappingNode):
            stated: set[str] = set()
            for key, value in node.value:
                name = str(key.value)
                here = f"{path}.{name}".lstrip(".")
                if name in stated:
                    flaws.append(Flaw(file, here, "is stated twice", key.start_mark.line + 1))
                stated.add(name)
                lines[here] = key.start_mark.line + 1
                walk(value, here)

    root = yaml.compose(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    assert root is not None  # it was a mapping a moment ago
    walk(root, "")
    if flaws:
        raise DocumentError(flaws)
    return document, Lines(lines)


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of a document: its plain values, and where each is from by dotted path (``peakFlopsPerSecond.fp16``)."""

    values: dict[str, Any]
    provenance: dict[str, Provenance]


def read_entry(stated: object, sources: Mapping[str, Source], file: str, key: str) -> Entry:
    """Take an entry apart. Raises :class:`DocumentError` where a value has no source, with one flaw per value."""
    if not isinstance(stated, Mapping):
        raise DocumentError([Flaw(file, key, "must be a mapping")])
    provenance: dict[str, Provenance] = {}
    flaws: list[Flaw] = []
    own_source = stated.get("source")

    def plain(level: Mapping[Any, Any], path: str) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name, value in level.items():
            here = f"{path}.{name}".lstrip(".")
            if isinstance(value, Mapping) and "value" not in value:
                values[str(name)] = plain(value, here)
                continue
            wrapped = value if isinstance(value, Mapping) else {"value": value}
            values[str(name)] = wrapped["value"]
            try:
                provenance[here] = _provenance(wrapped, own_source, sources)
            except ValueError as error:
                flaws.append(Flaw(file, f"{key}.{here}", str(error)))
        return values

    entry = Entry(plain({name: value for name, value in stated.items() if name != "source"}, ""), provenance)
    if flaws:
        raise DocumentError(flaws)
    return entry


def _provenance(wrapped: Mapping[Any, Any], default_source: object, sources: Mapping[str, Source]) -> Provenance:
    unknown = sorted(str(name) for name in wrapped if name not in ("value", "source", "date", "note"))
    if unknown:
        raise ValueError(f"knows value, source, date and note, not {', '.join(unknown)}")
    name = wrapped.get("source", default_source)
    if name is None:
        raise ValueError("states no source: add `source: NAME` to it or to its entry, and NAME under `sources`")
    source = sources.get(str(name))
    if source is None:
        known = ", ".join(sorted(sources)) or "none"
        raise ValueError(f"source {name!r} is not under `sources` (there: {known})")
    day = wrapped.get("date", source.date)
    try:
        day = date.fromisoformat(day) if isinstance(day, str) else day
    except ValueError:
        day = None
    if not isinstance(day, date):
        raise ValueError(f"date must be a day such as 2026-01-31, not {wrapped['date']!r}")
    note = wrapped.get("note")
    return Provenance(
        source=str(name),
        title=source.title,
        date=day,
        recalled=source.recalled,
        note=None if note is None else str(note),
    )


def validate(model: type[RecordType], value: object, file: str, key: str) -> RecordType:
    """``value`` as a record. Raises :class:`DocumentError` with one flaw per wrong field."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise DocumentError(flaws_of(error, file, key)) from error


def flaws_of(error: ValidationError, file: str, key: str) -> list[Flaw]:
    """What pydantic found, with the path of each field appended to ``key``."""
    flaws = []
    for found in error.errors(include_url=False):
        path = ".".join([key, *(str(part) for part in found["loc"])]).strip(".")
        message = "is not a known key" if found["type"] == "extra_forbidden" else found["msg"]
        message = message.removeprefix("Value error, ")
        flaws.append(Flaw(file, path, message[:1].lower() + message[1:]))
    return flaws


def read_sources(document: Mapping[str, Any], file: str) -> dict[str, Source]:
    """The ``sources`` of a document by name."""
    stated = section(document, "sources", file)
    return {name: validate(Source, value, file, f"sources.{name}") for name, value in stated.items()}


def known_keys_only(document: Mapping[str, Any], known: tuple[str, ...], file: str, key: str = "") -> None:
    """Raise :class:`DocumentError` where ``document`` has a key that nothing reads."""
    unknown = [name for name in document if name not in known]
    if unknown:
        raise DocumentError(
            Flaw(file, f"{key}.{name}".strip("."), f"is not a known key; known: {', '.join(known)}") for name in unknown
        )


def section(document: Mapping[str, Any], name: str, file: str) -> dict[str, Any]:
    """A section that is a mapping by name; empty where the document has none."""
    stated = document.get(name)
    if stated is None:
        return {}
    if not isinstance(stated, Mapping):
        raise DocumentError([Flaw(file, name, "must be a mapping")])
    return {str(key): value for key, value in stated.items()}


def strings(stated: object, file: str, key: str) -> tuple[str, ...]:
    """A list of texts. Raises :class:`DocumentError` for anything else."""
    if not isinstance(stated, list) or not all(isinstance(text, str) for text in stated):
        raise DocumentError([Flaw(file, key, "must be a list of texts")])
    return tuple(stated)


def recalled_fields(entry: Entry, *records: type[BaseModel]) -> tuple[str, ...]:
    """The fields of an entry that nobody looked up a second time, dotted, by the names of ``records``; sorted."""
    field_of = {info.alias or name: name for record in records for name, info in record.model_fields.items()}
    recalled = (path for path, origin in entry.provenance.items() if origin.recalled)
    return tuple(sorted(".".join(field_of.get(part, part) for part in path.split(".")) for path in recalled))


def read_section(
    document: Mapping[str, Any],
    name: str,
    file: str,
    read: Callable[[str, object, Mapping[str, Source], str], Read],
) -> dict[str, Read]:
    """Every entry of a section as ``read`` reads it, by name; all flaws of all entries together."""
    sources = read_sources(document, file)
    found: dict[str, Read] = {}
    flaws: list[Flaw] = []
    for key, stated in section(document, name, file).items():
        try:
            found[key] = read(key, stated, sources, file)
        except DocumentError as error:
            flaws.extend(error.flaws)
    if flaws:
        raise DocumentError(flaws)
    return found


def refuse_derived(stated: Collection[str], derived: Iterable[str], file: str, key: str) -> None:
    """Raises :class:`DocumentError` where an entry states what follows from the rest of it."""
    for name in derived:
        if name in stated:
            raise DocumentError([Flaw(file, f"{key}.{name}", "is not stated: it follows from the rest of the entry")])
