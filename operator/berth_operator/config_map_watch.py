"""The ConfigMaps that workloads refer to by name, read and followed one by one; no other is ever asked for.

Each has a stream of its own (a field selector cannot name two), which takes no right beyond that of watching
ConfigMaps, and holds nothing but them in memory. Fleets with very many of them have the rest read once a minute.
"""

import asyncio
import contextlib
import random
from collections.abc import Callable

import structlog

from berth_operator import kinds
from berth_operator.errors import BerthmasterError
from berth_operator.kube import Kube, Object

log = structlog.get_logger()

Reference = tuple[str, str]
"""Namespace and name."""
MOST_STREAMS = 200
STREAM_SECONDS = 300
"""After which a ConfigMap is read anew, whatever the stream said."""
POLL_SECONDS = 60.0
FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS = 1.0, 30.0


class ConfigMapWatch:
    """``changed`` is called after every change of what :meth:`things` gives."""

    def __init__(self, kube: Kube, changed: Callable[[], None], *, most_streams: int = MOST_STREAMS) -> None:
        self._kube = kube
        self._changed = changed
        self._streams = asyncio.Semaphore(most_streams)
        self._tasks: dict[Reference, asyncio.Task[None]] = {}
        self._read: dict[Reference, asyncio.Event] = {}
        self._things: dict[Reference, Object] = {}

    def follow(self, wanted: frozenset[Reference]) -> None:
        """Follow these and no others."""
        for reference in sorted(self._tasks.keys() - wanted):
            self._tasks.pop(reference).cancel()
            self._read.pop(reference)
            self._things.pop(reference, None)
        for reference in sorted(wanted - self._tasks.keys()):
            self._read[reference] = asyncio.Event()
            self._tasks[reference] = asyncio.create_task(self._keep(reference))

    async def read_once(self, longest_seconds: float) -> None:
        """Wait until each that is followed was read, but no longer than this."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*(event.wait() for event in self._read.values())), longest_seconds)

    def things(self) -> tuple[Object, ...]:
        """Those that there are, by namespace and name; never changed in place."""
        return tuple(self._things[reference] for reference in sorted(self._things))

    async def close(self) -> None:
        """Follow nothing any more."""
        tasks = tuple(self._tasks.values())
        self.follow(frozenset())
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _keep(self, reference: Reference) -> None:
        """Read, then listen, again and again; never returns."""
        pause = FIRST_RETRY_SECONDS
        while True:
            try:
                version = await self._list(reference)
                pause = FIRST_RETRY_SECONDS
                if self._streams.locked():
                    await asyncio.sleep(POLL_SECONDS)
                    continue
                async with self._streams:
                    await self._listen(reference, version)
            except BerthmasterError as error:
                log.warning("config_map.waiting", config_map="/".join(reference), error=str(error))
                await asyncio.sleep(pause * (0.5 + random.random()))  # noqa: S311  (jitter, no secret)
                pause = min(LAST_RETRY_SECONDS, pause * 2)

    async def _list(self, reference: Reference) -> str:
        """The resource version that the ConfigMap was read at."""
        namespace, name = reference
        version, found = "", None
        async for page in self._kube.pages(kinds.CONFIG_MAP, namespace, fields=f"metadata.name={name}"):
            version = page.version
            found = next(iter(page.items), found)
        self._see(reference, found)
        self._read[reference].set()
        return version

    async def _listen(self, reference: Reference, version: str) -> None:
        namespace, name = reference
        changes = self._kube.events(
            kinds.CONFIG_MAP, namespace, fields=f"metadata.name={name}", version=version, seconds=STREAM_SECONDS
        )
        async with contextlib.aclosing(changes) as stream:
            async for kind, thing in stream:
                self._see(reference, None if kind == "DELETED" else thing)

    def _see(self, reference: Reference, thing: Object | None) -> None:
        """Keep what somebody reads of it; tell where that is another than before."""
        namespace, name = reference
        before = self._things.pop(reference, None)
        if thing is not None:
            metadata = {"namespace": namespace, "name": name}
            self._things[reference] = {
                "apiVersion": kinds.CONFIG_MAP.api_version,
                "kind": kinds.CONFIG_MAP.name,
                "metadata": metadata,
                "data": thing.get("data") or {},
            }
        if self._things.get(reference) != before:
            self._changed()
