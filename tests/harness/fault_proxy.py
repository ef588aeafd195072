"""Between a client and the API server: counts its writes, refuses, delays and cuts its requests as scripted.

The client speaks plain HTTP to it with the token of the kubeconfig that it is given; everything else passes unchanged,
watch streams included.
"""

import asyncio
import json
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp import web

MUTATING = frozenset({"POST", "PUT", "PATCH", "DELETE"})
HOP_BY_HOP = frozenset({"connection", "content-length", "host", "transfer-encoding", "accept-encoding"})

Rule = Callable[[web.Request], web.StreamResponse | None]
"""``rule(request)``: the answer to give in the server's place, or None to pass it on."""


def is_write(request: web.Request) -> bool:
    """Whether it changes something other than the Lease, which is renewed all the time."""
    return request.method in MUTATING and "/leases" not in request.path


class FaultProxy:
    """Context manager around a thread with an event loop of its own. ``kubeconfig`` leads through it.

    ``rule`` may be replaced at any time. ``after_write`` is called with the number of writes so far when the server has
    carried one out and before the client hears of it.
    """

    def __init__(self, kubeconfig: Path, folder: Path) -> None:
        config = json.loads(kubeconfig.read_text())
        self._server = config["clusters"][0]["cluster"]["server"]
        self._config = config
        self.kubeconfig = folder / "through-proxy.kubeconfig"
        self.rule: Rule = lambda request: None
        self.delay_seconds = 0.0
        """Before each request is passed on."""
        self.after_write: Callable[[int], None] = lambda count: None
        self.writes: list[tuple[str, str]] = []
        """(method, path) of every write that the server accepted."""
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._stop = asyncio.Event()
        self._streams: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._serve()), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._ready.wait(10):
            raise RuntimeError("the proxy did not start")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def cut(self) -> None:
        """Cut every request under way, watch streams above all."""

        def cancel() -> None:
            for task in list(self._streams):
                task.cancel()

        self._loop.call_soon_threadsafe(cancel)

    async def _serve(self) -> None:
        tls = ssl.create_default_context()
        tls.check_hostname = False
        tls.verify_mode = ssl.CERT_NONE
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=tls, limit=0),
            timeout=aiohttp.ClientTimeout(total=None),
            auto_decompress=False,
        ) as self._session:
            application = web.Application(client_max_size=2**24)
            application.router.add_route("*", "/{path:.*}", self._handle)
            runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            port = runner.addresses[0][1]
            user = self._config["users"][0]["user"]
            self.kubeconfig.write_text(
                json.dumps(
                    self._config
                    | {"clusters": [{**self._config["clusters"][0], "cluster": {"server": f"http://127.0.0.1:{port}"}}]}
                    | {"users": [{**self._config["users"][0], "user": user}]}
                )
            )
            self._ready.set()
            await self._stop.wait()
            self.cut()
            await runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        answer = self.rule(request)
        if answer is not None:
            return answer
        body = await request.read()
        if self.delay_seconds:
            await asyncio.sleep(self.delay_seconds)
        headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP}
        url = f"{self._server}{request.path_qs}"
        async with self._session.request(request.method, url, data=body or None, headers=headers) as upstream:
            if is_write(request) and upstream.status < 300:
                self.writes.append((request.method, request.path))
                self.after_write(len(self.writes))
            return await self._pass_on(request, upstream)

    async def _pass_on(self, request: web.Request, upstream: aiohttp.ClientResponse) -> web.StreamResponse:
        kept = {name: value for name, value in upstream.headers.items() if name.lower() not in HOP_BY_HOP}
        response = web.StreamResponse(status=upstream.status, headers=kept)
        await response.prepare(request)

        async def stream() -> None:
            async for chunk in upstream.content.iter_any():
                await response.write(chunk)

        task = asyncio.ensure_future(stream())
        self._streams.add(task)
        try:
            await task
        except (asyncio.CancelledError, aiohttp.ClientError, ConnectionResetError):
            if request.transport is not None:  # cut, or one of the two sides went away
                request.transport.abort()
        finally:
            self._streams.discard(task)
        return response
