"""Who asked the API server for what: its audit log as requests, and the rights that roles grant, to compare the two."""

import dataclasses
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from kube_api import Api, Object

RBAC = "/apis/rbac.authorization.k8s.io/v1"


@dataclasses.dataclass(frozen=True, order=True)
class Right:
    """One verb on one kind. ``resource`` has its subresource behind a slash; ``group`` is empty for the core group."""

    group: str
    resource: str
    verb: str

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}{'.' + self.group if self.group else ''}"


@dataclasses.dataclass(frozen=True)
class Request:
    """One request for objects; ``namespace`` is empty where it was for all namespaces or for a kind without any."""

    user: str
    right: Right
    namespace: str
    name: str
    code: int
    uri: str

    @property
    def exercised(self) -> tuple[Right, ...]:
        """The rights that it took. An apply that makes the object is allowed only to who may also create it."""
        if self.right.verb == "patch" and self.code == 201:
            return (self.right, dataclasses.replace(self.right, verb="create"))
        return (self.right,)

    def __str__(self) -> str:
        return f"{self.code} {self.right} {self.namespace}/{self.name} ({self.uri})"


@dataclasses.dataclass(frozen=True, order=True)
class Grant:
    """A right that a role gives. ``namespaces`` is empty for all of them; ``names`` for every object."""

    role: str
    namespaces: tuple[str, ...]
    right: Right
    names: tuple[str, ...] = ()

    def covers(self, request: Request) -> bool:
        """Whether ``request`` made use of it."""
        here = not self.namespaces or request.namespace in self.namespaces
        named = not self.names or request.name in self.names
        return here and named and self.right in request.exercised

    def __str__(self) -> str:
        where = f" in {', '.join(self.namespaces)}" if self.namespaces else ""
        which = f" named {', '.join(self.names)}" if self.names else ""
        return f"{self.right}{which}{where}, granted by {self.role}"


def requests(log: Path, user: str) -> list[Request]:
    """What ``user`` asked for, in the order in which it was answered; a watch is there once it has ended."""
    entries = (json.loads(line) for line in log.read_text().splitlines())
    return [_request(each) for each in entries if each["user"]["username"] == user and "resource" in _object(each)]


def _request(entry: Object) -> Request:
    about = _object(entry)
    resource = "/".join(filter(None, [about["resource"], about.get("subresource", "")]))
    return Request(
        user=entry["user"]["username"],
        right=Right(about.get("apiGroup", ""), resource, entry["verb"]),
        namespace=about.get("namespace", ""),
        name=about.get("name", ""),
        code=entry["responseStatus"]["code"],
        uri=entry["requestURI"],
    )


def _object(entry: Object) -> Object:
    found: Object = entry.get("objectRef", {})
    return found


def grants(api: Api, namespace: str, account: str) -> list[Grant]:
    """Everything that roles give this ServiceAccount by name; Roles of one name are one grant in several namespaces."""
    subject = {"kind": "ServiceAccount", "name": account, "namespace": namespace}
    found: dict[tuple[str, Right, tuple[str, ...]], list[str]] = {}
    for kind in ("clusterrolebindings", "rolebindings"):
        for binding in api.items(f"{RBAC}/{kind}"):
            if not any(subject.items() <= each.items() for each in binding.get("subjects", [])):
                continue
            where = binding["metadata"].get("namespace", "")
            role = binding["roleRef"]
            for right, names in _rights(_rules(api, role, where)):
                found.setdefault((f"{role['kind']} {role['name']}", right, names), []).append(where)
    return sorted(
        Grant(role, tuple(sorted(filter(None, namespaces))), right, names)
        for (role, right, names), namespaces in found.items()
    )


def _rules(api: Api, role: Object, namespace: str) -> list[Object]:
    place = "clusterroles" if role["kind"] == "ClusterRole" else f"namespaces/{namespace}/roles"
    rules: list[Object] = api.get(f"{RBAC}/{place}/{role['name']}")["rules"]
    return rules


def _rights(rules: Iterable[Object]) -> Iterator[tuple[Right, tuple[str, ...]]]:
    for rule in rules:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                for verb in rule["verbs"]:
                    yield Right(group, resource, verb), tuple(rule.get("resourceNames", ()))
