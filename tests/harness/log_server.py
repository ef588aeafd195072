"""The one part of a kubelet's own API that people use daily: container logs, for ``kubectl logs``."""

import asyncio
import ssl
from pathlib import Path

from aiohttp import web

from kubelet import Kubelet

FOLLOW_SECONDS = 0.2


class LogServer:
    """Serves every node's logs on one loopback port, with the API server's own certificate."""

    def __init__(self, kubelet: Kubelet, certificate: Path, key: Path) -> None:
        self._kubelet = kubelet
        self._tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._tls.load_cert_chain(certificate, key)

    async def start(self, address: str) -> int:
        """The port it listens on."""
        application = web.Application()
        application.router.add_get("/containerLogs/{namespace}/{pod}/{container}", self._logs)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, address, 0, ssl_context=self._tls)
        await site.start()
        port: int = runner.addresses[0][1]
        return port

    async def _logs(self, request: web.Request) -> web.StreamResponse:
        names = request.match_info
        try:
            logs = self._kubelet.logs(names["namespace"], names["pod"], names["container"])
        except LookupError as error:
            raise web.HTTPNotFound(text=str(error)) from error
        earlier, newest = logs[:-1], logs[-1:]
        wanted = earlier[-1:] if request.query.get("previous") == "true" else newest
        if not wanted:
            return web.Response(text="")
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        tail = request.query.get("tailLines")
        with open(wanted[0], "rb") as log:
            await response.write(_last_lines(log.read(), int(tail) if tail else None))
            while request.query.get("follow") == "true":
                if grown := log.read():
                    await response.write(grown)
                elif not self._runs(names["namespace"], names["pod"], names["container"]):
                    break
                await asyncio.sleep(FOLLOW_SECONDS)
        return response

    def _runs(self, namespace: str, pod: str, container: str) -> bool:
        try:
            containers = self._kubelet.pod(namespace, pod).containers
        except LookupError:
            return False
        return any(each.running for each in containers if each.name == container)


def _last_lines(text: bytes, count: int | None) -> bytes:
    return text if count is None else b"".join(text.splitlines(keepends=True)[-count:] if count else [])
