"""What runs on nodes: kubelets, service proxy and storage, on one event loop in a thread of their own."""

import asyncio
import concurrent.futures
import threading
from collections.abc import Coroutine, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from addresses import of_pod
from async_api import AsyncApi
from controlplane import ControlPlane
from images import Images
from kubelet import Kubelet
from log_server import LogServer
from pod import Surroundings
from service_proxy import ServiceProxy
from storage import Storage
from volumes import Volumes

T = TypeVar("T")


class NodeComponents:
    """Context manager: from entry to exit every pod that is bound to a node of ``plane`` is run or played.

    Containers live in a thread of their own and die with it, as components of the control plane do with theirs.
    """

    def __init__(
        self, plane: ControlPlane, state: Path, *,
        claims: Path | None = None, real_triton: int = 4, only: Sequence[str] = ("*",), renew_seconds: float = 15,
    ) -> None:  # fmt: skip
        self.plane = plane
        self.state = state.resolve()
        self.api = AsyncApi(plane.kubeconfig)
        self.volumes = Volumes(self.api, claims or self.state / "claims")
        self.images = Images(self.volumes, real_triton=real_triton, only=only)
        around = Surroundings(
            self.api, self.state / "pods", self.volumes, self.images,
            plane.block.pods(), (plane.host, plane.port), first_backoff_seconds=2,
        )  # fmt: skip
        self.kubelet = Kubelet(around, renew_seconds=renew_seconds)
        self.proxy = ServiceProxy(self.api)
        self._storage = Storage(self.api, self.volumes)
        self._loop = asyncio.new_event_loop()
        self._running: asyncio.Task[None] | None = None
        self._ready: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._thread = threading.Thread(target=self._serve, name="node components", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.result()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._running is not None:
            self._loop.call_soon_threadsafe(self._running.cancel)
        self._thread.join()

    def claim_folder(self, namespace: str, claim: str) -> Path:
        """Put the files of a PersistentVolumeClaim here, before or after it exists."""
        return self.volumes.claim_folder(namespace, claim)

    def address(self, namespace: str, service: str, port: int | str) -> tuple[str, int]:
        """Where a Service's port is reached on this machine."""
        found: tuple[str, int] = self.call(self._async(self.proxy.address, namespace, service, port))
        return found

    def endpoints(self, namespace: str, service: str, port: int | str) -> list[tuple[str, int]]:
        """Where the pods behind a Service's port are reached on this machine."""
        found: list[tuple[str, int]] = self.call(self._async(self.proxy.endpoints, namespace, service, port))
        return found

    def pod_address(self, reported: str) -> str:
        """Where the pod that reports this address listens."""
        return of_pod(reported)

    def log(self, namespace: str, pod: str, container: str) -> str:
        """All that the container has written, over its restarts."""
        logs: list[Path] = self.call(self._async(self.kubelet.logs, namespace, pod, container))
        return "".join(log.read_text(errors="replace") for log in logs)

    def lose(self, node: str) -> None:
        self.call(self._async(self.kubelet.lose, node))

    def restore(self, node: str) -> None:
        self.call(self.kubelet.restore(node))

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run ``work`` on the components' event loop and wait for its result."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _async(self, function: Any, *arguments: Any) -> Any:
        return function(*arguments)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._running = self._loop.create_task(self._run())
        try:
            self._loop.run_until_complete(self._running)
        except asyncio.CancelledError:
            pass
        except BaseException as error:
            if not self._ready.done():
                self._ready.set_exception(error)
            raise
        finally:
            self._loop.close()

    async def _run(self) -> None:
        logs = LogServer(self.kubelet, self.plane.certificate, self.plane.key)
        self.kubelet.port = await logs.start(self.plane.host)
        async with self.api, asyncio.TaskGroup() as group:
            for component in (self.kubelet, self.proxy, self._storage):
                group.create_task(component.run())
            self._ready.set_result(None)
