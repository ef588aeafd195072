"""The Kubernetes API as plain dictionaries over plain HTTP, for the harness and its tests. Standard library only."""

import base64
import datetime
import http.client
import json
import select
import ssl
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

MERGE = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"
DISCOVERY_SECONDS = 15.0

Object = dict[str, Any]
T = TypeVar("T")


class ApiError(Exception):
    """The API server refused: ``status`` is the HTTP status, ``message`` its words."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status
        self.message = message


class Api:
    """One kept-alive connection per thread; objects are plain dicts. ``kubeconfig`` is one that ControlPlane wrote."""

    def __init__(self, kubeconfig: Path, token: str | None = None) -> None:
        config = json.loads(Path(kubeconfig).read_text())
        cluster = config["clusters"][0]["cluster"]
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        self.kubeconfig = Path(kubeconfig)
        self.server = urllib.parse.urlsplit(cluster["server"]).netloc
        self.token: str = token or config["users"][0]["user"]["token"]
        self.tls = ssl.create_default_context(cadata=authority)
        self._local = threading.local()
        self._resources: dict[tuple[str, str], tuple[str, bool]] = {}

    def as_token(self, token: str) -> "Api":
        """The same server, seen with another's rights."""
        return Api(self.kubeconfig, token)

    def get(self, path: str) -> Object:
        return self.call("GET", path)

    def items(self, path: str) -> list[Object]:
        """The objects of a list, each with no apiVersion and kind of its own, as the server sends them."""
        found: list[Object] = self.get(path)["items"]
        return found

    def create(self, path: str, body: Mapping[str, Any]) -> Object:
        return self.call("POST", path, body)

    def replace(self, path: str, body: Mapping[str, Any]) -> Object:
        return self.call("PUT", path, body)

    def patch(self, path: str, body: Mapping[str, Any], content_type: str = MERGE) -> Object:
        return self.call("PATCH", path, body, content_type)

    def apply(self, path: str, body: Mapping[str, Any], manager: str, *, force: bool = True) -> Object:
        query = urllib.parse.urlencode({"fieldManager": manager, "force": str(force).lower()})
        return self.patch(f"{path}?{query}", body, APPLY)

    def apply_object(self, document: Mapping[str, Any], manager: str = "harness", *, dry_run: bool = False) -> Object:
        """Server-side apply of a whole manifest; its path comes from the server's own discovery."""
        suffix = "&dryRun=All" if dry_run else ""
        query = urllib.parse.urlencode({"fieldManager": manager, "force": "true"}) + suffix
        return self.patch(f"{self.path_of(document)}?{query}", document, APPLY)

    def delete(self, path: str, **options: Any) -> Object:
        return self.call("DELETE", path, options)

    def exists(self, path: str) -> bool:
        """False on 404; any other refusal is raised."""
        try:
            self.get(path)
        except ApiError as error:
            if error.status == 404:
                return False
            raise
        return True

    def path_of(self, document: Mapping[str, Any]) -> str:
        """The address of the object that ``document`` describes."""
        metadata = document["metadata"]
        prefix, plural, namespaced = self._resource(document["apiVersion"], document["kind"])
        middle = f"/namespaces/{metadata.get('namespace', 'default')}" if namespaced else ""
        return f"{prefix}{middle}/{plural}/{metadata['name']}"

    def _resource(self, version: str, kind: str) -> tuple[str, str, bool]:
        """Discovery lists a new kind a while after its definition is established, and one of a group before another."""
        prefix = f"/apis/{version}" if "/" in version else f"/api/{version}"
        deadline = time.monotonic() + DISCOVERY_SECONDS
        while (version, kind) not in self._resources:
            for each in self.get(prefix)["resources"]:
                if "/" not in each["name"]:
                    self._resources[version, each["kind"]] = (each["name"], each["namespaced"])
            if (version, kind) in self._resources or time.monotonic() > deadline:
                break
            time.sleep(0.2)
        if (version, kind) not in self._resources:
            raise LookupError(f"the API server does not serve {version} {kind}")
        return (prefix, *self._resources[version, kind])

    def call(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, content_type: str = "application/json"
    ) -> Object:
        """Raises ApiError when the server refuses, OSError or HTTPException when it is not there."""
        connection = self._connection()
        try:
            connection.request(method, path, json.dumps(body) if body else None, self._headers(content_type))
            reply = connection.getresponse()
            text = reply.read().decode()
        except (OSError, http.client.HTTPException):
            self._local.connection = None
            raise
        parsed = reply.headers.get_content_type() == "application/json"  # an unknown path answers in plain text
        if reply.status >= 300:
            raise ApiError(reply.status, json.loads(text)["message"] if parsed else text.strip())
        answer: Object = json.loads(text)
        return answer

    def watch(self, path: str, query: Mapping[str, str], timeout_seconds: float = 60) -> Iterator[tuple[str, Object]]:
        """Yield (type, object): first what exists, then each change, until the server ends it or is silent too long."""
        connection = http.client.HTTPSConnection(self.server, context=self.tls, timeout=timeout_seconds)
        parameters = urllib.parse.urlencode({**query, "watch": "true"})
        connection.request("GET", f"{path}?{parameters}", headers=self._headers())
        for line in connection.getresponse():
            event = json.loads(line)
            yield event["type"], event["object"]

    def _connection(self) -> http.client.HTTPSConnection:
        kept: http.client.HTTPSConnection | None = getattr(self._local, "connection", None)
        if kept is None or kept.sock is None or select.select([kept.sock], [], [], 0)[0]:  # readable while idle: closed
            kept = http.client.HTTPSConnection(self.server, context=self.tls, timeout=60)
            self._local.connection = kept
        return kept

    def _headers(self, content_type: str = "application/json") -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}", "Content-Type": content_type}


def condition(document: Mapping[str, Any], kind: str) -> Object:
    """The condition of that type in ``status.conditions``, or {} where there is none."""
    conditions = document.get("status", {}).get("conditions", [])
    return next((each for each in conditions if each["type"] == kind), {})


def timestamp(precision: str = "seconds") -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec=precision).replace("+00:00", "Z")


def until(ask: Callable[[], T], timeout_seconds: float = 30, every_seconds: float = 0.05) -> T:
    """Poll; the first true answer. Raises TimeoutError with the last false one."""
    deadline = time.monotonic() + timeout_seconds
    while not (answer := ask()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"still {answer!r} after {timeout_seconds:g} s")
        time.sleep(every_seconds)
    return answer
