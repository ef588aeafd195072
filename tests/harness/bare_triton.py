"""The real Triton server as a process of a test: no pod."""

import contextlib
import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import triton_server
from controlplane import die_with_parent, free_ports

READY_WITHIN_SECONDS = 90


@contextlib.contextmanager
def started(
    server: triton_server.TritonServer,
    arguments: Sequence[str],
    log: Path,
    *,
    environment: Mapping[str, str] | None = None,
    within: Sequence[str] = (),
) -> Iterator[tuple[subprocess.Popen[bytes], dict[str, str]]]:
    """The process, and its address by protocol (http, grpc, metrics); ended afterwards, its shared memory removed.

    ``environment`` is added to what the server needs; ``within`` is a command to run it in.
    """
    ports = dict(zip(("http", "grpc", "metrics"), free_ports(3), strict=True))
    prefix = f"triton-{os.getpid()}-{ports['http']}"
    command = [
        *within,
        str(server.program),
        *arguments,
        f"--backend-directory={server.backends}",
        f"--backend-config=python,shm-region-prefix-name={prefix}",
        *(f"--{name}-address=127.0.0.1" for name in ports),
        *(f"--{name}-port={port}" for name, port in ports.items()),
    ]
    needed = {
        "PATH": f"{server.environment / 'bin'}:/usr/bin:/bin",
        "LD_LIBRARY_PATH": ":".join(map(str, server.libraries)),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env={**needed, **(environment or {})},
            stdout=output,
            stderr=output,
            start_new_session=True,
            preexec_fn=die_with_parent,  # noqa: PLW1509 - it calls one C function, loaded before the fork
        )
    try:
        yield process, {name: f"127.0.0.1:{port}" for name, port in ports.items()}
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        for region in Path("/dev/shm").glob(f"{prefix}*"):  # a server that is killed leaves them behind
            region.unlink(missing_ok=True)


@contextlib.contextmanager
def serving(server: triton_server.TritonServer, repository: Path, log: Path) -> Iterator[str]:
    """The gRPC address of a server that has loaded everything in ``repository``."""
    with started(server, [f"--model-repository={repository}"], log) as (process, addresses):
        _wait_ready(process, f"http://{addresses['http']}/v2/health/ready", log)
        yield addresses["grpc"]


def _wait_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + READY_WITHIN_SECONDS
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"Triton is not ready:\n{log.read_text(errors='replace')[-4000:]}") from None
            time.sleep(0.1)
