"""Manifests: files and directories of YAML or JSON become a world, with file and line for whatever is wrong.

Workloads and pools are held to the API as strictly as kubectl holds them; of every other kind that a plan depends on
(nodes, pods, claims, volumes, Deployments, Services, ConfigMaps) the objects are taken as they are, and any other kind
is passed over with a note.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from berth_operator.api.v1alpha1 import InvalidObject, parse_pool, parse_workload
from berth_operator.world import CLUSTER_SCOPED, FIELD_BY_KIND, Object, World, group_and_kind, name_of, namespace_of
from berth_operator.yaml_document import Document, Flaw, Unreadable, read_documents

SUFFIXES = (".yaml", ".yml", ".json")
STDIN = Path("-")
OUR_GROUP = "berthmaster.dev"
UNKNOWN_FIELD = "unknown field"
COST_SCENARIO = "cost scenario"
"""No manifest, but often beside them: ``berth cost compare`` reads it."""


@dataclass(frozen=True, slots=True)
class Manifests:
    """What the files hold. ``notes`` are for the person who asked: what was passed over, what was taken for granted."""

    world: World
    notes: tuple[str, ...] = ()


class InvalidManifests(ValueError):
    """Files that cannot be used. ``flaws`` has everything that is wrong, in the order of files and lines."""

    def __init__(self, flaws: Sequence[Flaw]) -> None:
        super().__init__("\n".join(map(str, flaws)))
        self.flaws = tuple(flaws)


@dataclass(slots=True)
class _Reading:
    """What has been read so far."""

    documents: list[tuple[Object, Document]] = field(default_factory=list)
    flaws: list[Flaw] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    passed_over: dict[str, int] = field(default_factory=dict)
    seen: dict[tuple[str, str, str], Document] = field(default_factory=dict)


def read_manifests(paths: Iterable[Path]) -> Manifests:
    """The objects in files and, recursively, in directories. Raises :class:`InvalidManifests` with every flaw."""
    reading = _Reading()
    for file in _files(paths, reading):
        _read_file(file, reading)
    if reading.flaws:
        raise InvalidManifests(reading.flaws)
    if reading.passed_over:
        kinds = ", ".join(f"{kind} ({count})" for kind, count in sorted(reading.passed_over.items()))
        reading.notes.append(f"passed over, no plan depends on it: {kinds}")
    world = World.of((thing for thing, _ in reading.documents), claims_known=False)
    if world.claims is None and _names_claims(world):
        reading.notes.append("no PersistentVolumeClaim is among the files: artefacts are taken to mount anywhere")
    return Manifests(world, tuple(reading.notes))


def _files(paths: Iterable[Path], reading: _Reading) -> Iterator[Path]:
    """Each file once, those of a directory in the order of their names; a named file whatever its suffix."""
    seen: set[Path] = set()
    for path in paths:
        if path == STDIN:
            yield path
            continue
        if not path.exists():
            reading.flaws.append(Flaw(str(path), 0, "", "no such file or directory"))
            continue
        for file in [path] if path.is_file() else _files_below(path, reading):
            if file.resolve() not in seen:
                seen.add(file.resolve())
                yield file


def _files_below(directory: Path, reading: _Reading) -> Iterator[Path]:
    if (directory / "Chart.yaml").is_file():
        reading.notes.append(f"{directory} is a Helm chart, passed over: render it with helm template, and plan that")
        return
    for entry in sorted(directory.iterdir(), key=lambda entry: entry.name):
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from _files_below(entry, reading)
        elif entry.suffix in SUFFIXES and entry.is_file():
            yield entry


def _read_file(file: Path, reading: _Reading) -> None:
    try:
        stated = sys.stdin.read() if file == STDIN else file.read_text(encoding="utf-8")
        for document in read_documents(stated, "<stdin>" if file == STDIN else str(file)):
            _read_document(document, reading)
    except Unreadable as error:
        reading.flaws.append(error.flaw)
    except UnicodeDecodeError as error:
        reading.flaws.append(Flaw(str(file), 0, "", f"is not UTF-8: {error.reason} at byte {error.start}"))
    except OSError as error:
        reading.flaws.append(Flaw(str(file), 0, "", f"cannot be read: {error.strerror}"))


def _read_document(document: Document, reading: _Reading) -> None:
    """One object, or the items of a List."""
    value = document.value
    if not isinstance(value, Mapping):
        reading.flaws.append(document.flaw("", "is not a Kubernetes object: it must be a mapping"))
    elif "horizonMonths" in value and "kind" not in value:
        reading.passed_over[COST_SCENARIO] = reading.passed_over.get(COST_SCENARIO, 0) + 1
    elif isinstance(value.get("items"), list) and str(value.get("kind", "")).endswith("List"):
        for index, item in enumerate(value["items"]):
            _read_object(item, _inside(document, f"items[{index}]", item), reading)
    else:
        _read_object(value, document, reading)


def _inside(document: Document, path: str, value: Any) -> Document:
    """The part of a document at ``path`` as a document of its own: messages name fields as they are in the object."""
    own = {line[len(path) + 1 :]: number for line, number in document.lines.items() if line.startswith(f"{path}.")}
    return Document(document.file, document.line_of(path), value, own)


def _read_object(thing: Any, document: Document, reading: _Reading) -> None:
    flaw = _not_an_object(thing, document)
    if flaw is not None:
        reading.flaws.append(flaw)
        return
    group, kind = group_and_kind(thing)
    if (group, kind) not in FIELD_BY_KIND:
        if group == OUR_GROUP:
            known = ", ".join(known for own, known in FIELD_BY_KIND if own == OUR_GROUP)
            reading.flaws.append(document.flaw("kind", f"{kind} is no kind of {OUR_GROUP} (known: {known})"))
        else:
            name = f"{kind}.{group}" if group else kind
            reading.passed_over[name] = reading.passed_over.get(name, 0) + 1
        return
    if group == OUR_GROUP:
        reading.flaws.extend(_api_flaws(thing, document))
    namespace = "" if kind in CLUSTER_SCOPED else namespace_of(thing)
    key = (kind, namespace, name_of(thing) or "")
    first = reading.seen.setdefault(key, document)
    if first is not document:
        where = f"{first.file}:{first.line}"
        named = f"{kind} {namespace}/{key[2]}" if namespace else f"{kind} {key[2]}"
        reading.flaws.append(document.flaw("metadata.name", f"{named} is there twice, first at {where}"))
    reading.documents.append((thing, document))


def _not_an_object(thing: Any, document: Document) -> Flaw | None:
    if not isinstance(thing, Mapping):
        return document.flaw("", "is not a Kubernetes object: it must be a mapping")
    if thing.get("kind") == "Snapshot" and "apiVersion" not in thing:
        return document.flaw("", "is a snapshot, no manifest: berth replay plans it again")
    for name in ("apiVersion", "kind"):
        if not isinstance(thing.get(name), str) or not thing[name]:
            return document.flaw(name, "Required value")
    if group_and_kind(thing) in FIELD_BY_KIND and name_of(thing) is None:
        return document.flaw("metadata.name", "Required value")
    return None


def _api_flaws(thing: Object, document: Document) -> Iterator[Flaw]:
    """What the API server would refuse, each with the line of its field."""
    parse = parse_workload if thing["kind"] == "InferenceWorkload" else parse_pool
    try:
        parse(thing, strict=True)
    except InvalidObject as error:
        misspelt = {_parent(problem.path) for problem in error.problems if problem.message.startswith(UNKNOWN_FIELD)}
        for problem in error.problems:
            if problem.path in misspelt:
                continue  # "state at least one of …" of a part with a misspelt member says the same thing twice
            value = _at(thing, problem.path)
            message = problem.message
            if isinstance(value, float):
                # In the words of the API server, whose clients turn the YAML float into a JSON number.
                message = (
                    f'Invalid value: "number": {problem.path} in body must be of type integer,string: "number":'
                    f' put it in quotes, "{value}"'
                )
            yield document.flaw(problem.path, message)


def _parent(path: str) -> str:
    return path[: max(path.rfind("."), path.rfind("["), 0)]


def _at(value: Any, path: str) -> Any:
    """The value at a path such as ``spec.model.variants[0].source``; None where there is none."""
    for step in path.replace("[", ".[").split("."):
        if step.startswith("["):
            index = int(step[1:-1]) if step[1:-1].isdigit() else -1
            value = value[index] if isinstance(value, list) and 0 <= index < len(value) else None
        else:
            value = value.get(step) if isinstance(value, Mapping) else None
    return value


def _names_claims(world: World) -> bool:
    return any("persistentVolumeClaim" in repr(workload.get("spec")) for workload in world.workloads)
