"""A container's probes, asked as a kubelet asks them."""

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import aiohttp
import grpc.aio

from kube_api import Object

SERVING = 1  # grpc.health.v1.HealthCheckResponse.ServingStatus

Exec = Callable[[list[str]], Awaitable[int]]
"""Run a command in the container; its exit status."""


@dataclasses.dataclass(frozen=True)
class Target:
    """Where a container answers: its loopback address, its ports by name, and a way to run a command in it."""

    address: str
    ports: Mapping[str, int]
    execute: Exec

    def port(self, stated: int | str) -> int:
        """Raises LookupError for a name that no port of the container has."""
        if isinstance(stated, str) and not stated.isdecimal():
            if stated not in self.ports:
                raise LookupError(f"no port of the container is named {stated!r}")
            return self.ports[stated]
        return int(stated)


@dataclasses.dataclass(frozen=True)
class Timing:
    """A probe's figures, with the API's defaults."""

    initial_delay_seconds: float
    period_seconds: float
    timeout_seconds: float
    successes: int
    failures: int

    @classmethod
    def of(cls, probe: Object) -> "Timing":
        return cls(
            probe.get("initialDelaySeconds", 0),
            probe.get("periodSeconds", 10),
            probe.get("timeoutSeconds", 1),
            probe.get("successThreshold", 1),
            probe.get("failureThreshold", 3),
        )


async def watch(probe: Object, target: Target, report: Callable[[bool, str], Awaitable[None]]) -> None:
    """Ask for ever. ``report(passed, why)`` is called each time a threshold is reached, so at least once a change."""
    timing = Timing.of(probe)
    await asyncio.sleep(timing.initial_delay_seconds)
    in_a_row, last = 0, None
    while True:
        failure = await ask(probe, target)
        in_a_row = in_a_row + 1 if (failure is None) == last else 1
        last = failure is None
        if in_a_row >= (timing.successes if last else timing.failures):
            await report(last, failure or "")
        await asyncio.sleep(timing.period_seconds)


async def ask(probe: Object, target: Target) -> str | None:
    """None when the container answers as it should, else why not, in a kubelet's words."""
    try:
        async with asyncio.timeout(Timing.of(probe).timeout_seconds):
            return await _answer(probe, target)
    except TimeoutError:
        return "context deadline exceeded"
    except grpc.aio.AioRpcError as error:
        return f"{error.code().name}: {error.details()}"
    except (OSError, aiohttp.ClientError, LookupError) as error:
        return str(error)


async def _answer(probe: Object, target: Target) -> str | None:
    if http := probe.get("httpGet"):
        return await http_get(http, target)
    if call := probe.get("grpc"):
        return await _grpc_health(call, target)
    if socket := probe.get("tcpSocket"):
        _, writer = await asyncio.open_connection(target.address, target.port(socket["port"]))
        writer.close()
        return None
    if command := probe.get("exec"):
        status = await target.execute(command["command"])
        return None if status == 0 else f"the command ended with exit status {status}"
    raise LookupError(f"the probe has no handler: {sorted(probe)}")


async def http_get(stated: Object, target: Target) -> str | None:
    """An httpGet handler, of a probe or of a lifecycle hook."""
    scheme, path = stated.get("scheme", "HTTP").lower(), stated.get("path", "/")
    headers = {header["name"]: header["value"] for header in stated.get("httpHeaders", [])}
    url = f"{scheme}://{target.address}:{target.port(stated['port'])}/{path.removeprefix('/')}"
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers, ssl=False) as reply:
        return None if 200 <= reply.status < 400 else f"HTTP probe failed with statuscode: {reply.status}"


async def _grpc_health(stated: Object, target: Target) -> str | None:
    """grpc.health.v1.Health/Check, its two messages of one field each written out by hand."""
    service = stated.get("service", "").encode()
    request = b"\x0a" + bytes([len(service)]) + service if service else b""
    async with grpc.aio.insecure_channel(f"{target.address}:{target.port(stated['port'])}") as channel:
        check: Any = channel.unary_unary("/grpc.health.v1.Health/Check")
        answer: bytes = await check(request)
    return None if answer[:2] == bytes([0x08, SERVING]) else "service unhealthy"
