"""The Kubernetes API for the kubelet and its neighbours: many requests in flight on one event loop."""

import asyncio
import base64
import json
import ssl
import urllib.parse
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp

from kube_api import MERGE, ApiError, Object

IN_FLIGHT = 32
RETRY_SECONDS = 0.5
WATCH_SECONDS = 240
GONE = 410

Handler = Callable[[str, Object], Awaitable[None] | None]


class AsyncApi:
    """Context manager. ``follow`` keeps a picture of a list right over disconnections and restarts of the server."""

    def __init__(self, kubeconfig: Path) -> None:
        self.kubeconfig = kubeconfig
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        config = json.loads(self.kubeconfig.read_text())
        cluster = config["clusters"][0]["cluster"]
        tls = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
        self._session = aiohttp.ClientSession(
            base_url=cluster["server"],
            connector=aiohttp.TCPConnector(ssl=tls, limit=0),
            headers={"Authorization": f"Bearer {config['users'][0]['user']['token']}"},
        )
        self._free = asyncio.Semaphore(IN_FLIGHT)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session:
            await self._session.close()

    async def get(self, path: str) -> Object:
        return await self.call("GET", path)

    async def create(self, path: str, body: Mapping[str, Any]) -> Object:
        return await self.call("POST", path, body)

    async def patch(self, path: str, body: Mapping[str, Any]) -> Object:
        return await self.call("PATCH", path, body, MERGE)

    async def delete(self, path: str, **options: Any) -> Object:
        return await self.call("DELETE", path, options)

    async def call(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, content_type: str = "application/json"
    ) -> Object:
        """Raises ApiError when the server refuses; aiohttp.ClientError or TimeoutError when it is not there."""
        async with self._free, self._request(method, path, body, content_type, timeout_seconds=30) as reply:
            text = await reply.text()
        if reply.status >= 300:
            raise ApiError(reply.status, _message(text))
        answer: Object = json.loads(text)
        return answer

    async def follow(self, path: str, handle: Handler, query: Mapping[str, str] | None = None) -> None:
        """Call ``handle(type, object)`` for what exists, then for each change; never returns.

        After a gap the list is read again: what vanished meanwhile is handed over as DELETED.
        """
        known: dict[str, Object] = {}
        while True:
            try:
                version = await self._list(path, query or {}, known, handle)
                await self._watch(path, query or {}, version, known, handle)
            except (aiohttp.ClientError, TimeoutError, ApiError, OSError):
                await asyncio.sleep(RETRY_SECONDS)

    async def _list(self, path: str, query: Mapping[str, str], known: dict[str, Object], handle: Handler) -> str:
        listed = await self.get(f"{path}?{urllib.parse.urlencode(query)}")
        present = {each["metadata"]["uid"]: each for each in listed["items"]}
        for uid in [uid for uid in known if uid not in present]:
            await _call(handle, "DELETED", known.pop(uid))
        for uid, each in present.items():
            kind = "MODIFIED" if uid in known else "ADDED"
            known[uid] = each
            await _call(handle, kind, each)
        version: str = listed["metadata"]["resourceVersion"]
        return version

    async def _watch(
        self, path: str, query: Mapping[str, str], version: str, known: dict[str, Object], handle: Handler
    ) -> None:
        """Until the server ends the watch; it is then continued from the newest version, so nothing is read twice."""
        while True:
            async for kind, changed in self._events(path, query, version):
                if kind == "ERROR":
                    return  # too old: list again
                version = changed["metadata"]["resourceVersion"]
                if kind == "BOOKMARK":
                    continue
                if kind == "DELETED":
                    known.pop(changed["metadata"]["uid"], None)
                else:
                    known[changed["metadata"]["uid"]] = changed
                await _call(handle, kind, changed)

    async def _events(self, path: str, query: Mapping[str, str], version: str) -> AsyncIterator[tuple[str, Object]]:
        options = {**query, "watch": "true", "resourceVersion": version, "allowWatchBookmarks": "true"}
        options["timeoutSeconds"] = str(WATCH_SECONDS)
        address = f"{path}?{urllib.parse.urlencode(options)}"
        async with self._request("GET", address, None, "", timeout_seconds=WATCH_SECONDS + 30) as reply:
            if reply.status >= 300:
                raise ApiError(reply.status, _message(await reply.text()))
            buffer = b""
            async for chunk in reply.content.iter_any():  # a line may be longer than the reader's own limit
                *lines, buffer = (buffer + chunk).split(b"\n")
                for line in lines:
                    event = json.loads(line)
                    yield event["type"], event["object"]

    def _request(
        self, method: str, path: str, body: Mapping[str, Any] | None, content_type: str, *, timeout_seconds: float
    ) -> "aiohttp.client._RequestContextManager":
        if self._session is None:
            raise RuntimeError("AsyncApi is used outside its context")
        return self._session.request(
            method,
            path,
            data=json.dumps(body) if body is not None else None,
            headers={"Content-Type": content_type} if content_type else {},
            timeout=aiohttp.ClientTimeout(total=timeout_seconds, sock_connect=5),
        )


async def _call(handle: Handler, kind: str, changed: Object) -> None:
    answer = handle(kind, changed)
    if answer is not None:
        await answer


def _message(text: str) -> str:
    """An unknown path answers in plain text, everything else with a Status."""
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError):
        return text.strip()
