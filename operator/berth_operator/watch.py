"""kopf as the edge: it keeps the watch streams alive, and every event becomes an entry in the mirror. Nothing else.

kopf runs in a thread with its own event loop: it ends every task of the loop that it shares, and its work on a flood of
events must not delay ours. Handlers project the object there and hand the entry over; what it means is decided in
:mod:`berth_operator.routing`.
"""

import asyncio
import random
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import aiohttp
import kopf
import structlog

from berth_operator.credentials import Credentials
from berth_operator.kinds import Kind
from berth_operator.mirror import Entry, Mirror, entry_of, fields, selector

log = structlog.get_logger()

RESTART_SECONDS = 5.0
"""Between an end of kopf that nobody asked for and its next start."""


class EndlessBackoffs:
    """Seconds between attempts, for ever: kopf ends the process when a finite sequence is used up."""

    def __init__(self, first_seconds: float, last_seconds: float) -> None:
        self._first = first_seconds
        self._last = last_seconds

    def __iter__(self) -> Iterator[float]:
        delay = self._first
        while True:
            yield delay * (0.5 + random.random())  # noqa: S311  (jitter, no secret)
            delay = min(self._last, delay * 2)


class NoMemory(kopf.DiffBaseStorage):
    """kopf compares objects with what it remembered of them, at the price of two deep copies an event; we never ask."""

    def build(self, **_: Any) -> Any:
        return None

    def fetch(self, **_: Any) -> Any:
        return None

    def store(self, **_: Any) -> None:
        raise NotImplementedError("nothing here writes to an object through kopf")


def edge_settings(watched: Iterable[Kind]) -> kopf.OperatorSettings:
    """kopf reduced to watch streams that never give up."""
    settings = kopf.OperatorSettings()
    settings.scanning.disabled = True  # no watch of CRDs and namespaces: fewer rights
    settings.peering.standalone = True  # who leads is decided by our own Lease
    settings.posting.enabled = False  # Events are ours
    settings.persistence.diffbase_storage = NoMemory()
    settings.watching.chunk_size = 500
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 5
    settings.networking.error_backoffs = EndlessBackoffs(1, 30)
    settings.queueing.error_delays = (1, 2, 5, 10, 30)
    settings.queueing.idle_timeout = 1
    settings.execution.max_workers = 1  # only synchronous handlers would need more
    for kind in watched:
        resource = (kind.group, kind.version, kind.plural)
        if labels := selector(kind):
            settings.watching.label_selectors[resource] = labels
        if where := fields(kind):
            settings.watching.field_selectors[resource] = where
    return settings


class Bridge:
    """Runs what one thread hands over on the event loop of another, in order; a burst wakes that loop once."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[Callable[[], None]] = deque()
        self._woken = False

    def hand_over(self, act: Callable[..., Any], *arguments: Any) -> None:
        """From the other thread; lost where the loop has ended."""
        self._waiting.append(partial(act, *arguments))
        if not self._woken and not self._loop.is_closed():
            self._woken = True
            self._loop.call_soon_threadsafe(self._cross)

    def _cross(self) -> None:
        # First the flag, then the count: what comes later wakes the loop again, and others get their turn before it.
        self._woken = False
        for _ in range(len(self._waiting)):
            act = self._waiting.popleft()
            try:
                act()
            except Exception:
                log.exception("edge.defect")


class Edge:
    """Watches ``mirrors``' kinds in ``namespaces`` (empty: all) and feeds the mirrors, on the loop that started it."""

    def __init__(self, credentials: Credentials, mirrors: Iterable[Mirror], namespaces: tuple[str, ...] = ()) -> None:
        self._credentials = credentials
        self._mirrors = {mirror.kind: mirror for mirror in mirrors}
        self._namespaces = namespaces
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to watch; to be called on the event loop that owns the mirrors."""
        bridge = Bridge(asyncio.get_running_loop())
        self._thread = threading.Thread(target=self._run, args=[bridge.hand_over], name="edge", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ask the streams to end; does not wait for them."""
        self._stop.set()

    @property
    def alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _run(self, hand_over: Callable[..., None]) -> None:
        while not self._stop.is_set():
            try:
                asyncio.run(
                    kopf.operator(
                        registry=self._registry(hand_over),
                        settings=edge_settings(self._mirrors),
                        clusterwide=not self._namespaces,
                        namespaces=self._namespaces,
                        stop_flag=self._stop,
                        # Never shown, but asked of the system otherwise, where a container's user has no name.
                        identity="berthmaster",  # type: ignore[arg-type]
                    )
                )
            except Exception:
                log.exception("edge.ended")
            self._stop.wait(RESTART_SECONDS)

    def _registry(self, hand_over: Callable[..., None]) -> kopf.OperatorRegistry:
        registry = kopf.OperatorRegistry()

        @kopf.on.login(registry=registry)
        async def login(**_: Any) -> kopf.AiohttpSession:
            await self._credentials.load()
            session = self._credentials.session(connections=0, and_then=start_over)
            return kopf.AiohttpSession(server=self._credentials.server, aiohttp_session=session)

        for mirror in self._mirrors.values():
            self._watch(registry, mirror, hand_over)
        return registry

    def _watch(self, registry: kopf.OperatorRegistry, mirror: Mirror, hand_over: Callable[..., None]) -> None:
        kind = mirror.kind

        @kopf.on.event(kind.group, kind.version, kind.plural, registry=registry, id=kind.plural)
        async def seen(event: kopf.RawEvent, **_: Any) -> None:
            entry = None if event["type"] == "DELETED" else entry_of(kind, event["object"])
            uid = str(event["object"].get("metadata", {}).get("uid", ""))
            hand_over(_deliver, mirror, uid, entry, event["type"] == "DELETED")


def _deliver(mirror: Mirror, uid: str, entry: Entry | None, deleted: bool) -> None:
    if entry is None:
        mirror.gone(uid, bury=deleted)
    else:
        mirror.take(entry)


async def start_over(response: aiohttp.ClientResponse) -> None:
    """Turn what kopf would end for into what it retries: refused credentials, and a list that expired half-read.

    Raises ClientConnectionError on 401, which kopf repeats, and ClientPayloadError on 410, which makes it list anew.
    """
    if response.status == 401:
        raise aiohttp.ClientConnectionError("401: the API server does not accept our credentials")
    if response.status == 410:
        raise aiohttp.ClientPayloadError("410: the list expired while it was read")
