"""The only module that speaks to the API server: plain dicts in and out, one place for the meaning of every status.

No typed models (they refuse objects that are newer than they are) and no discovery on the way to a write. Every write
asks the fence first: who does not hold the Lease any more must not touch the cluster.
"""

import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Protocol, cast
from urllib.parse import urlencode

import aiohttp
from pydantic_core import from_json

from berth_operator.errors import (
    BerthmasterError,
    Conflict,
    Expired,
    FieldsOwned,
    Forbidden,
    LostLeadership,
    Refused,
    Retryable,
    Throttled,
    Unauthenticated,
    Unavailable,
    Vanished,
)
from berth_operator.kinds import Kind

Object = dict[str, Any]
"""One Kubernetes object as a plain dict."""

APPLY = "application/apply-patch+yaml"  # JSON is YAML
PAGE_SIZE = 500
REQUEST_TIMEOUT_SECONDS = 30.0
CONNECT_TIMEOUT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list; ``version`` is the resource version of the whole list, the same on every page."""

    items: list[Object]
    version: str


class Observer(Protocol):
    """Who counts requests: ``code`` is the HTTP status, or the name of the failure where none came."""

    def __call__(self, verb: str, kind: str, code: str, seconds: float) -> None: ...


class Kube:
    """A thin client. Every method raises from :mod:`berth_operator.errors` and nothing else."""

    def __init__(
        self, session: aiohttp.ClientSession, *, fence: Callable[[], bool], observe: Observer | None = None
    ) -> None:
        self._session = session
        self._fence = fence
        self._observe = observe
        self.answered_at = float("-inf")
        """Monotonic time of the newest answer other than a 5xx: the server is reachable."""

    # --- reading -------------------------------------------------------------------------------------------------

    async def get(self, kind: Kind, name: str, namespace: str | None = None) -> Object | None:
        """The object, or None where there is none."""
        try:
            return await self._request("GET", kind, kind.path(namespace, name))
        except Vanished:
            return None

    async def find(self, kind: Kind, name: str, namespace: str | None = None) -> Object | None:
        """As :meth:`get`, asked as a list of one name: who may watch a kind may list it, and needs no further right."""
        async for page in self.pages(kind, namespace, fields=f"metadata.name={name}"):
            for item in page.items:
                return item
        return None

    async def pages(
        self,
        kind: Kind,
        namespace: str | None = None,
        *,
        labels: str | None = None,
        fields: str | None = None,
        page_size: int = PAGE_SIZE,
    ) -> AsyncIterator[Page]:
        """The objects page by page: a large fleet is never in memory twice. Raises Expired when read too slowly."""
        query = {"limit": str(page_size)}
        query |= {"labelSelector": labels} if labels else {}
        query |= {"fieldSelector": fields} if fields else {}
        while True:
            answer = await self._request("LIST", kind, kind.path(namespace), query=query)
            metadata = answer.get("metadata") or {}
            yield Page(answer.get("items") or [], str(metadata.get("resourceVersion", "")))
            if not metadata.get("continue"):
                return
            query["continue"] = metadata["continue"]

    async def events(
        self, kind: Kind, namespace: str, *, fields: str, version: str, seconds: int
    ) -> AsyncGenerator[tuple[str, Object], None]:
        """(ADDED, MODIFIED or DELETED; the object) of every change after ``version``, for at most ``seconds``.

        Raises Expired where the server has forgotten ``version``: list again.
        """
        query = {"watch": "true", "fieldSelector": fields, "resourceVersion": version, "timeoutSeconds": str(seconds)}
        path = kind.path(namespace)
        timeout = aiohttp.ClientTimeout(
            sock_connect=CONNECT_TIMEOUT_SECONDS, sock_read=seconds + REQUEST_TIMEOUT_SECONDS
        )
        try:
            async with self._session.get(f"{path}?{urlencode(query)}", timeout=timeout) as response:
                if response.status >= 300:
                    answer = _decoded(await response.read())
                    raise _error(response, str(answer.get("message") or response.reason), {}, f"WATCH {path}")
                rest = b""
                async for chunk in response.content.iter_any():
                    *lines, rest = (rest + chunk).split(b"\n")
                    for line in filter(None, lines):
                        event = _decoded(line)
                        thing = event.get("object") or {}
                        if event.get("type") == "ERROR":
                            raise Expired(f"WATCH {path}: {thing.get('message')}")
                        if event.get("type") in ("ADDED", "MODIFIED", "DELETED"):
                            yield event["type"], thing
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable(f"WATCH {path}: {type(error).__name__}: {error}") from error

    async def serves(self, kind: Kind) -> bool:
        """Whether the API server knows ``kind`` at present (its CRD is installed)."""
        try:
            answer = await self._request("GET", kind, f"/apis/{kind.api_version}" if kind.group else "/api/v1")
        except Vanished:
            return False
        return any(resource.get("name") == kind.plural for resource in answer.get("resources") or [])

    # --- writing -------------------------------------------------------------------------------------------------

    async def apply(
        self, kind: Kind, body: Object, *, manager: str, force: bool, subresource: str | None = None
    ) -> Object:
        """Server-side apply; the object as it is now. A ``metadata.uid`` in ``body`` makes it a precondition.

        Raises FieldsOwned where ``force`` is False and another manager owns a field that would change; Conflict where
        the uid is another one.
        """
        metadata = body["metadata"]
        path = kind.path(metadata.get("namespace"), metadata["name"], subresource)
        query = {"fieldManager": manager, "force": "true" if force else "false", "fieldValidation": "Strict"}
        return await self._request("APPLY", kind, path, query=query, body=body, content_type=APPLY)

    async def create(self, kind: Kind, body: Object, *, fenced: bool = True) -> Object:
        """Raises Conflict where the name is taken."""
        path = kind.path(body["metadata"].get("namespace"))
        return await self._request("CREATE", kind, path, body=body, fenced=fenced)

    async def replace(
        self, kind: Kind, body: Object, *, fenced: bool = True, timeout_seconds: float | None = None
    ) -> Object:
        """Raises Conflict where ``metadata.resourceVersion`` is not the current one."""
        path = kind.path(body["metadata"].get("namespace"), body["metadata"]["name"])
        return await self._request("UPDATE", kind, path, body=body, fenced=fenced, timeout_seconds=timeout_seconds)

    async def delete(self, kind: Kind, name: str, namespace: str | None = None, *, uid: str | None = None) -> bool:
        """Delete in the background; False where it is gone already or ``uid`` names an earlier object of that name."""
        body: Object = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"}
        if uid is not None:
            body["preconditions"] = {"uid": uid}
        try:
            await self._request("DELETE", kind, kind.path(namespace, name), body=body)
        except (Vanished, Conflict):
            return False
        return True

    # --- one request ---------------------------------------------------------------------------------------------

    async def _request(
        self,
        verb: str,
        kind: Kind,
        path: str,
        *,
        query: dict[str, str] | None = None,
        body: Object | None = None,
        content_type: str = "application/json",
        fenced: bool = True,
        timeout_seconds: float | None = None,
    ) -> Object:
        if fenced and verb not in ("GET", "LIST") and not self._fence():
            raise LostLeadership(f"{verb} {path} was not sent: the Lease was not renewed in time")
        started = time.monotonic()
        code = "error"
        try:
            async with self._session.request(
                _METHODS[verb],
                f"{path}?{urlencode(query)}" if query else path,
                data=None if body is None else json.dumps(body, separators=(",", ":")).encode(),
                headers={"Content-Type": content_type, "Accept": "application/json"},
                timeout=aiohttp.ClientTimeout(
                    total=timeout_seconds or REQUEST_TIMEOUT_SECONDS, sock_connect=CONNECT_TIMEOUT_SECONDS
                ),
            ) as response:
                code = str(response.status)
                text = await response.read()
                if response.status < 500:
                    self.answered_at = time.monotonic()
                answer = _decoded(text)
                if response.status >= 300:
                    said = str(answer.get("message") or text[:200].decode(errors="replace").strip() or response.reason)
                    raise _error(response, said, answer.get("details") or {}, f"{verb} {path}")
                if not answer:
                    raise Unavailable(f"{verb} {path}: the answer is not a JSON object")
                return answer
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            code = "timeout" if isinstance(error, TimeoutError) else "connection"
            raise Unavailable(f"{verb} {path}: {type(error).__name__}: {error}") from error
        finally:
            if self._observe is not None:
                self._observe(verb, kind.name, code, time.monotonic() - started)


_METHODS = {
    "GET": "GET",
    "LIST": "GET",
    "APPLY": "PATCH",
    "CREATE": "POST",
    "UPDATE": "PUT",
    "DELETE": "DELETE",
}


def _decoded(text: bytes) -> Object:
    """The JSON object in ``text``; empty for anything else (an unknown path answers in plain text)."""
    try:
        answer = from_json(text)
    except ValueError:
        return {}
    return cast(Object, answer) if isinstance(answer, dict) else {}


_REFUSALS = (400, 413, 415, 422)
_RETRYABLE: dict[int, type[Retryable]] = {
    401: Unauthenticated,
    403: Vanished,
    404: Vanished,
    409: Conflict,
    410: Expired,
    429: Throttled,
}


def _error(response: aiohttp.ClientResponse, said: str, details: Object, request: str) -> BerthmasterError:
    """What an answer means to the caller; ``said`` is the server's own sentence, ``details`` what came with it."""
    status, causes = response.status, details.get("causes") or []
    if status in _REFUSALS:
        other_uid = any(cause.get("field") == "metadata.uid" for cause in causes)
        return Conflict(f"{request}: {said}") if other_uid else Refused(said)
    # A namespace that is being deleted accepts nothing new: what is asked for is gone, nobody is at fault.
    if status == 403 and not any(cause.get("reason") == "NamespaceTerminating" for cause in causes):
        return Forbidden(said)
    owners = _field_owners(causes)
    if status == 409 and owners:
        return FieldsOwned(said, owners)
    return _RETRYABLE.get(status, Unavailable)(f"{request}: {said}", _seconds(response.headers.get("Retry-After")))


def _field_owners(causes: list[Object]) -> tuple[str, ...]:
    """The managers in the causes of a failed apply: ``conflict with "kubectl" with subresource "scale" using …``."""
    conflicts = (cause.get("message", "") for cause in causes if cause.get("reason") == "FieldManagerConflict")
    quoted = (message.split('"') for message in conflicts)
    return tuple(sorted({parts[1] for parts in quoted if len(parts) > 2}))


def _seconds(retry_after: str | None) -> float | None:
    """Retry-After in seconds; a date, which the API server never sends, is ignored."""
    return float(retry_after) if retry_after and retry_after.isdigit() else None
