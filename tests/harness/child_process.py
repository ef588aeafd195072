"""Programs that the harness starts: each with a log, and none that outlives the harness, even one that is killed."""

import ctypes
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

PARENT_DEATH_SIGNAL = 1
STOP_SECONDS = 20
SHOWN_CHARACTERS = 4000
_libc = ctypes.CDLL(None)

Child = subprocess.Popen[bytes]


def started(
    command: Sequence[str | Path], log: Path, *, environment: Mapping[str, str], executable: Path | None = None
) -> Child:
    """In a session of its own; what it says is appended to ``log``."""
    with log.open("ab") as said:
        return subprocess.Popen(
            command,
            executable=executable,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,
            preexec_fn=_die_with_parent,  # noqa: PLW1509 - it calls one C function, loaded before the fork
        )


def wait_ready(child: Child, url: str, log: Path, *, name: str, within_seconds: float) -> None:
    """Until ``url`` answers; raises AssertionError with the end of the log where it does not, or the child ended."""
    deadline = time.monotonic() + within_seconds
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            if child.poll() is not None or time.monotonic() > deadline:
                said = log.read_text(errors="replace")[-SHOWN_CHARACTERS:]
                raise AssertionError(f"{name} is not ready:\n{said}") from None
            time.sleep(0.05)


def end(child: Child) -> None:
    """SIGTERM, and SIGKILL to all that it started where that does not end it in time."""
    child.terminate()
    try:
        child.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def _die_with_parent() -> None:
    if sys.platform == "linux":
        _libc.prctl(PARENT_DEATH_SIGNAL, signal.SIGKILL)
