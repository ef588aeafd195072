"""Which fields of an object are ours, read from ``metadata.managedFields`` (server-side apply's own record).

What our manager still owns of a live object, and with which value, is exactly what an apply of the same intent would
leave alone. So "did anybody touch it?" needs no memory: compare the digest of the owned part with that of the intent.
Format: https://kubernetes.io/docs/reference/using-api/server-side-apply/ (Kubernetes 1.36), ``fieldsV1``.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from berth_operator.labels import TEMPLATE_MANAGER

_IDENTITY = ("apiVersion", "kind")
_IDENTITY_METADATA = ("name", "namespace", "uid")


def intent_digest(manifest: Mapping[str, Any]) -> str:
    """Digest of what an apply of ``manifest`` sets, the object's identity aside."""
    content = {key: value for key, value in manifest.items() if key not in _IDENTITY}
    metadata = content.get("metadata") or {}
    content["metadata"] = {key: value for key, value in metadata.items() if key not in _IDENTITY_METADATA}
    return _digest(content)


def owned_digest(thing: Mapping[str, Any], manager: str = TEMPLATE_MANAGER) -> str | None:
    """Digest of what ``manager`` owns of ``thing`` by server-side apply; None where it owns nothing."""
    for entry in _entries(thing):
        if entry.get("manager") == manager and entry.get("operation") == "Apply":
            return _digest(_owned(thing, entry.get("fieldsV1") or {}))
    return None


def owners(thing: Mapping[str, Any], *path: str) -> tuple[str, ...]:
    """The managers that own the field at ``path`` (its names from the root), by apply or by update, sorted."""
    found = set()
    for entry in _entries(thing):
        fields: Any = entry.get("fieldsV1") or {}
        for name in path:
            fields = fields.get(f"f:{name}") if isinstance(fields, dict) else None
        if fields is not None:
            found.add(str(entry.get("manager")))
    return tuple(sorted(found))


def _entries(thing: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from (thing.get("metadata") or {}).get("managedFields") or ()


def _owned(value: Any, fields: Mapping[str, Any]) -> Any:
    """The part of ``value`` that ``fields`` names: ``f:`` members of a map, ``k:`` and ``v:`` items of a list."""
    if not fields:
        return value  # a leaf: owned as a whole
    steps = {step: inner for step, inner in fields.items() if step != "."}
    if isinstance(value, dict):
        named = {step[2:]: inner for step, inner in steps.items() if step.startswith("f:")}
        return {name: _owned(value[name], named[name]) for name in sorted(named) if name in value}
    if isinstance(value, list):
        keyed = [(json.loads(step[2:]), inner) for step, inner in steps.items() if step.startswith("k:")]
        members = [json.loads(step[2:]) for step in steps if step.startswith("v:")]
        return [_owned(item, inner) for item in value for inner in _inner(item, keyed, members)]
    return value


def _inner(item: Any, keyed: list[tuple[dict[str, Any], Any]], members: list[Any]) -> Iterator[Mapping[str, Any]]:
    """The fields owned inside a list's ``item``, once; nothing where the item is not owned."""
    if isinstance(item, dict):
        for keys, inner in keyed:
            if all(item.get(name) == value for name, value in keys.items()):
                yield inner
                return
    elif item in members:
        yield {}


def _digest(content: Any) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
