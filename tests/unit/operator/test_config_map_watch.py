"""ConfigMaps that workloads refer to: read by name, followed by name, forgotten when nobody refers to them."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from berth_operator import config_map_watch
from berth_operator.config_map_watch import ConfigMapWatch
from berth_operator.kube import Kube

POINTS, OTHER = ("vision", "points"), ("vision", "other")


class Server:
    """An API server with ConfigMaps and nothing else."""

    def __init__(self) -> None:
        self.version = 10
        self.stored: dict[str, dict[str, Any]] = {}
        self.streams: dict[str, list[asyncio.Queue[bytes | None]]] = {}
        self.asked: list[tuple[str, bool]] = []
        self.refuse = 0

    def put(self, name: str, **data: str) -> None:
        self.version += 1
        metadata = {"namespace": "vision", "name": name, "resourceVersion": str(self.version)}
        kind = "MODIFIED" if name in self.stored else "ADDED"
        self.stored[name] = {"metadata": metadata, "data": data, "binaryData": {"x": "AA=="}}
        self.tell(name, {"type": kind, "object": self.stored[name]})

    def remove(self, name: str) -> None:
        self.tell(name, {"type": "DELETED", "object": self.stored.pop(name)})

    def tell(self, name: str, event: dict[str, Any] | None) -> None:
        text = None if event is None else json.dumps(event).encode() + b"\n"
        for queue in self.streams.get(name, []):
            # In two pieces: a line need not come at once.
            for piece in (None,) if text is None else (text[:20], text[20:]):
                queue.put_nowait(piece)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        assert request.path == "/api/v1/namespaces/vision/configmaps"
        name = request.query["fieldSelector"].removeprefix("metadata.name=")
        watching = request.query.get("watch") == "true"
        self.asked.append((name, watching))
        if self.refuse:
            self.refuse -= 1
            return web.json_response({"message": "gone"}, status=410 if watching else 503)
        if not watching:
            items = [self.stored[name]] if name in self.stored else []
            return web.json_response({"metadata": {"resourceVersion": str(self.version)}, "items": items})
        response = web.StreamResponse()
        await response.prepare(request)
        queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.streams.setdefault(name, []).append(queue)
        while (piece := await queue.get()) is not None:
            await response.write(piece)
        return response


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    yield Server()


@pytest.fixture
async def watch(server: Server, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ConfigMapWatch]:
    monkeypatch.setattr(config_map_watch, "FIRST_RETRY_SECONDS", 0.01)
    application = web.Application()
    application.router.add_get("/{path:.*}", server.handle)
    async with TestServer(application) as local, aiohttp.ClientSession(base_url=local.make_url("/")) as session:
        changes.clear()
        found = ConfigMapWatch(Kube(session, fence=lambda: False), lambda: changes.append(1))
        yield found
        await found.close()
        for name in server.streams:
            server.tell(name, None)


changes: list[int] = []


async def until(holds: Any) -> None:
    async with asyncio.timeout(5):
        while not holds():
            await asyncio.sleep(0.005)


def data(watch: ConfigMapWatch) -> list[dict[str, str]]:
    return [thing["data"] for thing in watch.things()]


async def test_what_is_referred_to_is_read_before_the_first_plan_and_nothing_else_is(
    server: Server, watch: ConfigMapWatch
) -> None:
    server.put("points", a="1")
    server.put("secret-sauce", b="2")
    watch.follow(frozenset({POINTS, OTHER}))
    await watch.read_once(5)
    (found,) = watch.things()
    assert found["metadata"] == {"namespace": "vision", "name": "points"}
    assert found["data"] == {"a": "1"} and "binaryData" not in found
    assert {name for name, _ in server.asked} == {"points", "other"}


async def test_a_change_a_removal_and_a_return_are_told_once_each(server: Server, watch: ConfigMapWatch) -> None:
    server.put("points", a="1")
    watch.follow(frozenset({POINTS}))
    await until(lambda: "points" in server.streams)
    assert changes == [1]
    server.put("points", a="2")
    await until(lambda: data(watch) == [{"a": "2"}])
    server.put("points", a="2")  # the same again: metadata alone is no news
    server.remove("points")
    await until(lambda: data(watch) == [])
    server.put("points", a="3")
    await until(lambda: data(watch) == [{"a": "3"}])
    assert len(changes) == 4


async def test_what_nobody_refers_to_any_more_is_forgotten(server: Server, watch: ConfigMapWatch) -> None:
    server.put("points", a="1")
    server.put("other", b="1")
    watch.follow(frozenset({POINTS, OTHER}))
    await watch.read_once(5)
    watch.follow(frozenset({OTHER}))
    assert data(watch) == [{"b": "1"}]


async def test_a_stream_that_ends_and_a_server_in_trouble_are_survived(server: Server, watch: ConfigMapWatch) -> None:
    watch.follow(frozenset({POINTS}))
    await until(lambda: "points" in server.streams)
    server.refuse = 2
    server.tell("points", None)
    server.put("points", a="late")
    await until(lambda: data(watch) == [{"a": "late"}])
    assert server.refuse == 0


async def test_a_read_that_does_not_come_holds_up_the_first_plan_for_a_while_only(
    server: Server, watch: ConfigMapWatch
) -> None:
    server.refuse = 1000
    watch.follow(frozenset({POINTS}))
    async with asyncio.timeout(2):
        await watch.read_once(0.05)
    assert watch.things() == ()


async def test_beyond_the_streams_that_are_allowed_the_rest_is_read_from_time_to_time(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config_map_watch, "POLL_SECONDS", 0.02)
    application = web.Application()
    application.router.add_get("/{path:.*}", server.handle)
    async with TestServer(application) as local, aiohttp.ClientSession(base_url=local.make_url("/")) as session:
        watch = ConfigMapWatch(Kube(session, fence=lambda: False), lambda: None, most_streams=1)
        watch.follow(frozenset({POINTS, OTHER}))
        await until(lambda: sum(server.asked.count((name, False)) for name in ("points", "other")) > 3)
        server.put("points", a="1")
        server.put("other", b="1")
        await until(lambda: len(watch.things()) == 2)
        assert len([1 for _, watching in server.asked if watching]) == 1
        await watch.close()
        for name in server.streams:
            server.tell(name, None)
