"""What the operator wrote and when, from the API server's audit log while it grows."""

import dataclasses
import json
import threading
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from kube_api import Object

_READS = ("get", "list", "watch")


@dataclasses.dataclass(frozen=True)
class Write:
    """One answered write. ``resource`` has its subresource behind a slash."""

    answered_at: float
    """Seconds since 1970, on the API server's clock, which is this machine's."""
    verb: str
    resource: str
    namespace: str
    name: str
    code: int
    uri: str

    @classmethod
    def of(cls, entry: Object) -> "Write":
        about = entry["objectRef"]
        return cls(
            answered_at=datetime.fromisoformat(entry["stageTimestamp"]).timestamp(),
            verb=entry["verb"],
            resource="/".join(filter(None, (about["resource"], about.get("subresource", "")))),
            namespace=about.get("namespace", ""),
            name=about.get("name", ""),
            code=entry["responseStatus"]["code"],
            uri=entry["requestURI"],
        )

    def __str__(self) -> str:
        return f"{self.code} {self.verb} {self.resource} {self.namespace}/{self.name}"


class Trail:
    """Context manager: from entry on, follows the log in a thread. The operator's Lease is left out."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._writes: list[Write] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> "Trail":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def since(self, moment: float) -> list[Write]:
        """Writes that were answered at ``moment`` (``time.time()``) or later, in the order of their answers."""
        return [each for each in list(self._writes) if each.answered_at >= moment]

    def wait_for(self, enough: Callable[[list[Write]], bool], since: float, timeout_seconds: float) -> list[Write]:
        """The writes since then, once they are enough; raises TimeoutError."""
        deadline = time.monotonic() + timeout_seconds
        while not enough(found := self.since(since)):
            if time.monotonic() > deadline:
                raise TimeoutError(f"after {timeout_seconds:g} s there were only {len(found)} writes")
            time.sleep(0.1)
        return found

    def _follow(self) -> None:
        part = b""  # the server may be in the midst of a line, and of a character
        with self._log.open("rb") as log:
            log.seek(0, 2)
            while not self._stop.wait(0.05):
                while line := log.readline():
                    part += line
                    if part.endswith(b"\n"):
                        self._note(part)
                        part = b""

    def _note(self, line: bytes) -> None:
        if b'"userAgent":"berthmaster"' not in line:  # most lines are not worth parsing
            return
        entry = json.loads(line)
        if entry["verb"] not in _READS and entry["objectRef"].get("resource") != "leases":
            self._writes.append(Write.of(entry))
