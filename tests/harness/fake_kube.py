"""An API server in memory with the face of :class:`berth_operator.kube.Kube`, and faults by script.

It keeps what the operator relies on: uids, resource versions, generations, server-side apply with ownership (lists
are atomic here), preconditions, and a watch that feeds mirrors. It knows no schema, no defaults and no controllers.
"""

import copy
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

from berth_operator import kinds
from berth_operator.errors import Conflict, FieldsOwned, LostLeadership, Refused, Vanished
from berth_operator.kinds import Kind
from berth_operator.kube import Object, Page
from berth_operator.mirror import Mirror

Fields = dict[str, Any]


class Crash(BaseException):
    """The process dies here: nothing that is caught by ``except Exception``."""


class FakeKube:
    """``writes`` lists every accepted write as (verb, kind, name)."""

    def __init__(self) -> None:
        self.objects: dict[tuple[Kind, str | None, str], Object] = {}
        self.mirrors: dict[Kind, Mirror] = {}
        self.writes: list[tuple[str, str, str]] = []
        self.reads: Counter[str] = Counter()
        self.held = True
        self.crash_before_write: int | None = None
        self.served: set[Kind] = set()
        self._faults: list[tuple[Callable[[str, Kind, str], bool], Exception]] = []
        self._versions = itertools.count(100)
        self._uids = itertools.count(1)

    # --- scripting -----------------------------------------------------------------------------------------------

    def fail(self, error: Exception, *, verb: str | None = None, kind: Kind | None = None, times: int = 1) -> None:
        """The next ``times`` matching requests end in ``error``."""

        def matches(asked: str, about: Kind, name: str) -> bool:
            return verb in (None, asked) and kind in (None, about)

        self._faults += [(matches, error)] * times

    def clone(self) -> "FakeKube":
        """Another server with the same objects."""
        other = FakeKube()
        other.objects = {key: copy.deepcopy(thing) for key, thing in self.objects.items()}
        other._versions, other._uids = itertools.count(10_000), itertools.count(10_000)
        return other

    def watch(self, mirrors: Iterable[Mirror]) -> None:
        """Feed ``mirrors`` with every change from now on, and with what there is."""
        self.mirrors = {mirror.kind: mirror for mirror in mirrors}
        for (kind, _, _), thing in self.objects.items():
            if kind in self.mirrors:
                self.mirrors[kind].see(copy.deepcopy(thing))

    def put(self, kind: Kind, thing: Object) -> Object:
        """Somebody else creates or replaces an object."""
        metadata = thing["metadata"]
        key = (kind, metadata.get("namespace"), metadata["name"])
        before = self.objects.get(key)
        stored = copy.deepcopy(thing) | {"apiVersion": kind.api_version, "kind": kind.name}
        stored["metadata"].setdefault("uid", before["metadata"]["uid"] if before else f"uid-{next(self._uids)}")
        stored["metadata"].setdefault("generation", 1)
        return self._store(key, stored)

    def change(self, kind: Kind, name: str, namespace: str | None, act: Callable[[Object], None]) -> Object:
        """Somebody else edits an object in place."""
        key = (kind, namespace, name)
        stored = copy.deepcopy(self.objects[key])
        act(stored)
        return self._store(key, stored)

    def remove(self, kind: Kind, name: str, namespace: str | None = None) -> None:
        """Somebody else deletes an object."""
        self._remove((kind, namespace, name))

    def names(self, kind: Kind) -> list[str]:
        return sorted(name for found, _, name in self.objects if found is kind)

    def only(self, kind: Kind) -> Object:
        (found,) = [thing for (each, _, _), thing in self.objects.items() if each is kind]
        return found

    # --- the face of Kube ----------------------------------------------------------------------------------------

    async def get(self, kind: Kind, name: str, namespace: str | None = None) -> Object | None:
        self._ask("GET", kind, name)
        return copy.deepcopy(self.objects.get((kind, namespace, name)))

    async def find(self, kind: Kind, name: str, namespace: str | None = None) -> Object | None:
        self._ask("LIST", kind, name)
        return copy.deepcopy(self.objects.get((kind, namespace, name)))

    async def pages(
        self, kind: Kind, namespace: str | None = None, *, labels: str | None = None, fields: str | None = None
    ) -> AsyncIterator[Page]:
        self._ask("LIST", kind, "")
        wanted = dict([labels.split("=")]) if labels else {}
        items = [
            copy.deepcopy(thing)
            for (found, where, _), thing in sorted(self.objects.items(), key=lambda each: each[0][1:])
            if found is kind
            and namespace in (None, where)
            and wanted.items() <= (thing["metadata"].get("labels") or {}).items()
        ]
        version = str(next(self._versions))
        yield Page(items[:2], version)
        yield Page(items[2:], version)

    async def serves(self, kind: Kind) -> bool:
        return kind in self.served

    async def apply(
        self, kind: Kind, body: Object, *, manager: str, force: bool, subresource: str | None = None
    ) -> Object:
        metadata = body["metadata"]
        key = (kind, metadata.get("namespace"), metadata["name"])
        self._ask("APPLY", kind, metadata["name"], write=True)
        before = self.objects.get(key)
        if before is None and subresource is not None:
            raise Vanished(f"{kind.name} {metadata['name']} not found")
        if "uid" in metadata and (before is None or before["metadata"]["uid"] != metadata["uid"]):
            raise Conflict("uid mismatch")
        if before is None:
            if kind is kinds.DEPLOYMENT and "template" not in body.get("spec", {}):
                raise Refused("spec.template: Required value")
            before = {"metadata": {"uid": f"uid-{next(self._uids)}", "generation": 1}}
        stored = _applied(copy.deepcopy(before), copy.deepcopy(body), manager, force, subresource)
        if stored.get("spec") != before.get("spec") and "spec" in before:
            stored["metadata"]["generation"] += 1
        self.writes.append(("APPLY", kind.name, metadata["name"]))
        return copy.deepcopy(stored if stored == before else self._store(key, stored))

    async def create(self, kind: Kind, body: Object, *, fenced: bool = True) -> Object:
        name = body["metadata"].get("name") or f"{body['metadata']['generateName']}{next(self._versions)}"
        key = (kind, body["metadata"].get("namespace"), name)
        self._ask("CREATE", kind, name, write=fenced)
        if key in self.objects:
            raise Conflict(f"{name} exists")
        body = copy.deepcopy(body)
        body["metadata"] |= {"name": name, "uid": f"uid-{next(self._uids)}", "generation": 1}
        self.writes.append(("CREATE", kind.name, name))
        return copy.deepcopy(self._store(key, body))

    async def replace(
        self, kind: Kind, body: Object, *, fenced: bool = True, timeout_seconds: float | None = None
    ) -> Object:
        key = (kind, body["metadata"].get("namespace"), body["metadata"]["name"])
        self._ask("UPDATE", kind, key[2], write=fenced)
        if self.objects[key]["metadata"]["resourceVersion"] != body["metadata"]["resourceVersion"]:
            raise Conflict("the object has been modified")
        self.writes.append(("UPDATE", kind.name, key[2]))
        return copy.deepcopy(self._store(key, copy.deepcopy(body)))

    async def delete(self, kind: Kind, name: str, namespace: str | None = None, *, uid: str | None = None) -> bool:
        self._ask("DELETE", kind, name, write=True)
        found = self.objects.get((kind, namespace, name))
        if found is None or uid not in (None, found["metadata"]["uid"]):
            return False
        self.writes.append(("DELETE", kind.name, name))
        self._remove((kind, namespace, name))
        return True

    # --- inside --------------------------------------------------------------------------------------------------

    def _ask(self, verb: str, kind: Kind, name: str, *, write: bool = False) -> None:
        if write and not self.held:
            raise LostLeadership("not the leader")
        if write and self.crash_before_write is not None and len(self.writes) >= self.crash_before_write:
            raise Crash
        if not write:
            self.reads[verb] += 1
        for index, (matches, error) in enumerate(self._faults):
            if matches(verb, kind, name):
                del self._faults[index]
                raise error

    def _store(self, key: tuple[Kind, str | None, str], thing: Object) -> Object:
        thing["metadata"]["resourceVersion"] = str(next(self._versions))
        self.objects[key] = thing
        if key[0] in self.mirrors and _is_watched(key[0], thing):
            self.mirrors[key[0]].see(copy.deepcopy(thing))
        return thing

    def _remove(self, key: tuple[Kind, str | None, str]) -> None:
        thing = self.objects.pop(key)
        if key[0] in self.mirrors:
            self.mirrors[key[0]].gone(thing["metadata"]["uid"])
        if key[0] is kinds.WORKLOAD:  # the garbage collector
            uid = thing["metadata"]["uid"]
            for child, other in list(self.objects.items()):
                if any(each["uid"] == uid for each in other["metadata"].get("ownerReferences") or ()):
                    self._remove(child)


def _is_watched(kind: Kind, thing: Object) -> bool:
    """The label selector of the operator's watches."""
    labels = thing["metadata"].get("labels") or {}
    return kind not in kinds.CHILDREN or labels.get("app.kubernetes.io/managed-by") == "berthmaster"


def _applied(before: Object, body: Object, manager: str, force: bool, subresource: str | None) -> Object:
    """``before`` with ``body`` applied by ``manager``: fields it dropped go, fields of others conflict or are taken."""
    body["metadata"] = {k: v for k, v in body["metadata"].items() if k != "uid"}
    content = {k: v for k, v in body.items() if k not in ("apiVersion", "kind")}
    content["metadata"] = {k: v for k, v in content["metadata"].items() if k not in ("name", "namespace")}
    content = {k: v for k, v in content.items() if k != "metadata" or v}
    entries: list[Object] = before["metadata"].pop("managedFields", [])
    mine = next(
        (each for each in entries if (each["manager"], each.get("subresource")) == (manager, subresource)), None
    )
    leaves = dict(_leaves(content))
    owners = set()
    for other in entries:
        if other is mine:
            continue
        taken = {path for path in _paths(other["fieldsV1"]) if path in leaves and _at(before, path) != leaves[path]}
        if taken and not force:
            owners.add(other["manager"])
        for path in taken:
            _drop(other["fieldsV1"], path)
    if owners:
        raise FieldsOwned("Apply failed with 1 conflict", tuple(sorted(owners)))
    for path in set(_paths(mine["fieldsV1"]) if mine else ()) - leaves.keys():
        if not any(path in _paths(other["fieldsV1"]) for other in entries if other is not mine):
            _remove_at(before, path)
    after = before
    for path, value in leaves.items():
        _set_at(after, path, value)
    after |= {"apiVersion": body["apiVersion"], "kind": body["kind"]}
    after["metadata"] |= {k: v for k, v in body["metadata"].items() if k in ("name", "namespace")}
    fields: Fields = {}
    for path in leaves:
        _set_at(fields, tuple(f"f:{step}" for step in path), {})
    entry = {"manager": manager, "operation": "Apply", "fieldsV1": fields}
    entry |= {"subresource": subresource} if subresource else {}
    rest = [each for each in entries if each is not mine and each["fieldsV1"]]
    after["metadata"]["managedFields"] = [*rest, entry]
    return after


Path = tuple[str, ...]


def _leaves(content: Object, at: Path = ()) -> Iterable[tuple[Path, Any]]:
    for name, value in content.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, (*at, name))
        else:
            yield (*at, name), value


def _paths(fields: Fields, at: Path = ()) -> list[Path]:
    found: list[Path] = []
    for name, inner in fields.items():
        path = (*at, name.removeprefix("f:"))
        found += _paths(inner, path) if inner else [path]
    return found


def _at(thing: Any, path: Path) -> Any:
    for step in path:
        thing = thing.get(step) if isinstance(thing, dict) else None
    return thing


def _set_at(thing: Any, path: Path, value: Any) -> None:
    for step in path[:-1]:
        thing = thing.setdefault(step, {})
    thing[path[-1]] = value


def _remove_at(thing: Any, path: Path) -> None:
    """The field goes, and with it every map that it leaves empty."""
    parent = _at(thing, path[:-1])
    if isinstance(parent, dict):
        parent.pop(path[-1], None)
        if not parent and len(path) > 2:
            _remove_at(thing, path[:-1])


def _drop(fields: Fields, path: Path) -> None:
    steps = [f"f:{step}" for step in path]
    parents = [fields]
    for step in steps[:-1]:
        parents.append(parents[-1][step])
    for parent, step in zip(reversed(parents), reversed(steps), strict=True):
        if (step == steps[-1] and parent is parents[-1]) or not parent.get(step):
            parent.pop(step, None)
