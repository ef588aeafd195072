"""What kube-proxy does, on loopback: each Service listens and spreads new connections over its ready endpoints."""

import asyncio
import contextlib
import dataclasses
import itertools
from collections.abc import Iterable, Iterator

from addresses import of_pod, of_service
from async_api import AsyncApi
from kube_api import Object

BUFFER_BYTES = 1 << 16
SERVICE_NAME = "kubernetes.io/service-name"

Key = tuple[str, str]
"""Namespace and name of a Service."""


@dataclasses.dataclass(frozen=True)
class Endpoint:
    """One address behind a Service port, as the EndpointSlice says it."""

    address: str
    port: int


class ServiceProxy:
    """Connections that are open stay with their endpoint; new ones go round robin, per connection.

    Ready endpoints are used; where there is none, those that are terminating and still serve, as kube-proxy does.
    A port without endpoints refuses connections.
    """

    def __init__(self, api: AsyncApi) -> None:
        self._api = api
        self._services: dict[Key, Object] = {}
        self._slices: dict[Key, dict[str, Object]] = {}
        self._listeners: dict[tuple[Key, int], asyncio.Server] = {}
        self._ports: dict[tuple[Key, int], int] = {}
        self._turns: dict[tuple[Key, int], Iterator[int]] = {}
        self._connections: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._api.follow("/api/v1/services", self._service_changed))
                group.create_task(self._api.follow("/apis/discovery.k8s.io/v1/endpointslices", self._slice_changed))
        finally:
            for listener in self._listeners.values():
                listener.close()
            for connection in self._connections:
                connection.cancel()

    def address(self, namespace: str, service: str, port: int | str) -> tuple[str, int]:
        """Where to connect on this machine to reach the Service's port, by number or by name.

        Raises LookupError for a Service or port that is not there, or is headless.
        """
        key = (namespace, service)
        document = self._services.get(key)
        if document is None or document["spec"].get("clusterIP", "None") == "None":
            raise LookupError(f"no Service {namespace}/{service} with a cluster IP")
        for stated in document["spec"].get("ports", []):
            if port in (stated["port"], stated.get("name")):
                number = stated["port"]
                return of_service(document["spec"]["clusterIP"]), self._ports.get((key, number), number)
        raise LookupError(f"Service {namespace}/{service} has no port {port}")

    def endpoints(self, namespace: str, service: str, port: int | str) -> list[tuple[str, int]]:
        """The loopback addresses behind a Service just now, for a headless one too: what DNS would tell a client."""
        key = (namespace, service)
        document = self._services.get(key)
        if document is None:
            raise LookupError(f"no Service {namespace}/{service}")
        stated = next(each for each in document["spec"]["ports"] if port in (each["port"], each.get("name")))
        return [(of_pod(each.address), each.port) for each in self._behind(key, stated)]

    async def _service_changed(self, kind: str, service: Object) -> None:
        key = (service["metadata"]["namespace"], service["metadata"]["name"])
        if kind == "DELETED":
            self._services.pop(key, None)
        else:
            self._services[key] = service
        await self._listen(key)

    async def _slice_changed(self, kind: str, document: Object) -> None:
        metadata = document["metadata"]
        key = (metadata["namespace"], metadata.get("labels", {}).get(SERVICE_NAME, ""))
        slices = self._slices.setdefault(key, {})
        if kind == "DELETED":
            slices.pop(metadata["name"], None)
        else:
            slices[metadata["name"]] = document
        await self._listen(key)

    async def _listen(self, key: Key) -> None:
        """Bring the listeners of one Service in line with its ports and endpoints."""
        service = self._services.get(key)
        cluster_ip = service["spec"].get("clusterIP", "None") if service else "None"
        ports = service["spec"].get("ports", []) if service and cluster_ip != "None" else []
        wanted = {each["port"]: each for each in ports if self._behind(key, each)}
        for listening in [each for each in self._listeners if each[0] == key and each[1] not in wanted]:
            self._listeners.pop(listening).close()
        for number, stated in wanted.items():
            if (key, number) not in self._listeners:
                self._listeners[key, number] = await self._listener(key, of_service(cluster_ip), stated)

    async def _listener(self, key: Key, address: str, stated: Object) -> asyncio.Server:
        number = stated["port"]

        def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            serving = asyncio.create_task(self._serve(key, number, reader, writer))
            self._connections.add(serving)
            serving.add_done_callback(self._connections.discard)

        try:
            listener = await asyncio.start_server(accepted, address, number, backlog=1024)
        except PermissionError:  # a port below 1024, and no root
            listener = await asyncio.start_server(accepted, address, 0, backlog=1024)
        self._ports[key, number] = listener.sockets[0].getsockname()[1]
        return listener

    def _behind(self, key: Key, port: Object) -> list[Endpoint]:
        return behind(self._slices.get(key, {}).values(), port.get("name", ""))

    async def _serve(self, key: Key, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Join the client with the next endpoint that takes the connection; give up after one round."""
        service = self._services.get(key)
        stated = next((each for each in service["spec"]["ports"] if each["port"] == number), None) if service else None
        endpoints = self._behind(key, stated) if stated else []
        turn = next(self._turns.setdefault((key, number), itertools.count()))
        for offset in range(len(endpoints)):
            endpoint = endpoints[(turn + offset) % len(endpoints)]
            try:
                joined = await asyncio.open_connection(of_pod(endpoint.address), endpoint.port)
            except OSError:
                continue
            await _join((reader, writer), joined)
            return
        writer.transport.abort()


def behind(slices: Iterable[Object], port: str) -> list[Endpoint]:
    """The endpoints that new connections to the Service port of that name may go to, in a fixed order."""
    ready, draining = set(), set()
    for document in slices:
        number = _port_number(document, port)
        if number is None:
            continue
        for endpoint in document.get("endpoints") or []:
            state = endpoint.get("conditions", {})
            found = {Endpoint(address, number) for address in endpoint["addresses"]}
            if state.get("ready", True):
                ready |= found
            elif state.get("serving") and state.get("terminating"):
                draining |= found
    return sorted(ready or draining, key=lambda endpoint: (endpoint.address, endpoint.port))


def _port_number(endpoint_slice: Object, name: str) -> int | None:
    """The pods' port behind the Service port of that name (the only port may have none)."""
    ports = endpoint_slice.get("ports") or []
    return next((port["port"] for port in ports if port.get("name", "") == name), None)


Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _join(one: Stream, other: Stream) -> None:
    try:
        await asyncio.gather(_copy(one[0], other[1]), _copy(other[0], one[1]))
    finally:
        for _, writer in (one, other):
            writer.transport.abort()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(BUFFER_BYTES):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
