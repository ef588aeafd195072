"""The real operator as a plain process beside the control plane: to kill, freeze and restart at will."""

import functools
import itertools
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

import addresses
import child_process
from addresses import of_pod
from images import POD_SITE

STOP_SECONDS = 30
_serial = itertools.count(1)


@functools.cache
def _block() -> addresses.Block:
    """Of this test run's own operators: no cluster uses it, and no other run, for as long as it is kept."""
    return addresses.claimed()


@functools.cache
def _addresses() -> Iterator[str]:
    return _block().pods()


class OperatorProcess:
    """Context manager. Each has a loopback address of its own, so that several can run side by side.

    ``settings`` is a mapping, or the path of a settings file; ``kubeconfig`` says with whose rights it runs.
    """

    def __init__(
        self, kubeconfig: Path, settings: Mapping[str, Any] | Path, folder: Path, *,
        namespace: str = "default", name: str = "",
    ) -> None:  # fmt: skip
        number = next(_serial)
        self.name = name or f"operator-{number}"
        self.address = of_pod(next(_addresses()))
        """Where it listens, on the ports of its settings."""
        folder.mkdir(parents=True, exist_ok=True)
        self.log = folder / f"{self.name}.log"
        self.settings = settings if isinstance(settings, Path) else folder / f"{self.name}.yaml"
        if not isinstance(settings, Path):
            self.settings.write_text(yaml.safe_dump(dict(settings)))
        self._environment = os.environ | {
            "KUBECONFIG": str(kubeconfig),
            "POD_NAME": self.name,
            "POD_NAMESPACE": namespace,
            "POD_LOOPBACK": self.address,
            "PYTHONPATH": str(POD_SITE),
            "PYTHONUNBUFFERED": "1",
        }
        self.process: child_process.Child | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def start(self) -> None:
        """As the image's entry point does; the log is appended to."""
        command = [sys.executable, "-P", "-m", "berth_operator", "--settings", str(self.settings)]
        self.process = child_process.started(command, self.log, environment=self._environment)

    def stop(self) -> int:
        """SIGTERM, as on a rollout; its exit status."""
        process = self._running()
        process.terminate()
        return process.wait(STOP_SECONDS)

    def kill(self) -> None:
        """SIGKILL, as when the node loses power."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def freeze(self) -> None:
        self._running().send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._running().send_signal(signal.SIGCONT)

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def said(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def _running(self) -> child_process.Child:
        if self.process is None:
            raise RuntimeError(f"{self.name} was not started")
        return self.process
