"""A container's environment variables, as a kubelet makes them: references resolved, ``$(NAME)`` expanded."""

import base64
import re
from collections.abc import Awaitable, Callable, Mapping
from decimal import ROUND_CEILING, Decimal
from typing import Any

from kube_api import Object

Read = Callable[[str, str], Awaitable[Object | None]]
"""``read("configmaps" or "secrets", name)`` in the pod's namespace; None where it is not there."""

REFERENCE = re.compile(r"\$\$|\$\(([A-Za-z_.-][A-Za-z0-9_.-]*)\)")
INDEXED_FIELD = re.compile(r"metadata\.(labels|annotations)\['(.+)'\]")


class Missing(Exception):
    """Something that the pod refers to is not there (yet); the message names it."""


async def variables(container: Object, pod: Object, addresses: Mapping[str, str], read: Read) -> dict[str, str]:
    """``addresses`` holds ``status.podIP`` and ``status.hostIP`` as the pod itself should see them."""
    found: dict[str, str] = {}
    for source in container.get("envFrom", []):
        found |= await _all_of(source, read)
    for variable in container.get("env", []):
        if "valueFrom" in variable:
            value = await _value(variable["valueFrom"], container, pod, addresses, read)
            if value is not None:
                found[variable["name"]] = value
        else:
            found[variable["name"]] = expanded(variable.get("value", ""), found)
    return found


def expanded(text: str, variables: Mapping[str, str]) -> str:
    """``$(NAME)`` replaced where NAME is known, left alone where it is not; ``$$`` is a dollar sign."""
    return REFERENCE.sub(lambda found: _expansion(found, variables), text)


def _expansion(found: re.Match[str], variables: Mapping[str, str]) -> str:
    name = found[1]
    return "$" if name is None else variables.get(name, found[0])


def field(pod: Object, path: str, addresses: Mapping[str, str] | None = None) -> str:
    """A value of the downward API."""
    if path in (addresses or {}):
        return (addresses or {})[path]
    if indexed := INDEXED_FIELD.fullmatch(path):
        return str(pod["metadata"].get(indexed[1], {}).get(indexed[2], ""))
    value: Any = pod
    for part in path.split("."):
        value = value.get(part, {}) if isinstance(value, Mapping) else {}
    if isinstance(value, Mapping):  # all labels or annotations, as in a downwardAPI volume
        return "\n".join(f'{name}="{text}"' for name, text in sorted(value.items()))
    return str(value)


async def _all_of(source: Object, read: Read) -> dict[str, str]:
    prefix = source.get("prefix", "")
    for reference, plural in (("configMapRef", "configmaps"), ("secretRef", "secrets")):
        if reference in source:
            found = await read(plural, source[reference]["name"])
            if found is None and not source[reference].get("optional"):
                raise Missing(f'{plural[:-1]} "{source[reference]["name"]}" not found')
            return {prefix + name: text.decode() for name, text in contents(found or {}).items()}
    return {}


async def _value(
    source: Object, container: Object, pod: Object, addresses: Mapping[str, str], read: Read
) -> str | None:
    if "fieldRef" in source:
        return field(pod, source["fieldRef"]["fieldPath"], addresses)
    if "resourceFieldRef" in source:
        return resource(container, source["resourceFieldRef"])
    for reference, plural in (("configMapKeyRef", "configmaps"), ("secretKeyRef", "secrets")):
        if reference in source:
            wanted = source[reference]
            found = contents(await read(plural, wanted["name"]) or {}).get(wanted["key"])
            if found is None and not wanted.get("optional"):
                raise Missing(f'{plural[:-1]} "{wanted["name"]}" with key "{wanted["key"]}" not found')
            return None if found is None else found.decode()
    raise Missing(f"a source of environment variables that this kubelet does not know: {sorted(source)}")


def resource(container: Object, reference: Object) -> str:
    """``limits.cpu`` and the like, divided by the divisor and rounded up, as the downward API does."""
    kind, _, name = reference["resource"].partition(".")
    stated = container.get("resources", {}).get(kind, {}).get(name, "0")
    divisor = quantity(str(reference.get("divisor", "0"))) or 1
    return str(int((quantity(str(stated)) / divisor).to_integral_value(ROUND_CEILING)))


SUFFIXES = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


def quantity(text: str) -> Decimal:
    """A Kubernetes quantity as a Decimal."""
    found = re.fullmatch(r"([0-9.]+)(m|[kMGT]|[KMGT]i)?", text)
    if found is None:
        raise Missing(f"{text!r} is not a quantity")
    return Decimal(found[1]) / 1000 if found[2] == "m" else Decimal(found[1]) * SUFFIXES[found[2] or ""]


def contents(source: Object) -> dict[str, bytes]:
    """The entries of a ConfigMap or Secret."""
    plain = {name: text.encode() for name, text in source.get("data", {}).items()}
    binary = {name: base64.b64decode(text) for name, text in source.get("binaryData", {}).items()}
    if source.get("kind") == "Secret":
        return {name: base64.b64decode(text) for name, text in source.get("data", {}).items()}
    return plain | binary
