"""The real Triton server as a process of a test: no pod."""

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import child_process
import triton_server
from controlplane import free_ports

READY_WITHIN_SECONDS = 90


@contextlib.contextmanager
def started(
    server: triton_server.TritonServer,
    arguments: Sequence[str],
    log: Path,
    *,
    environment: Mapping[str, str] | None = None,
    within: Sequence[str] = (),
) -> Iterator[tuple[child_process.Child, dict[str, str]]]:
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
    log.unlink(missing_ok=True)  # of an earlier server
    process = child_process.started(command, log, environment={**needed, **(environment or {})})
    try:
        yield process, {name: f"127.0.0.1:{port}" for name, port in ports.items()}
    finally:
        child_process.end(process)
        for region in Path("/dev/shm").glob(f"{prefix}*"):  # a server that is killed leaves them behind
            region.unlink(missing_ok=True)


@contextlib.contextmanager
def serving(server: triton_server.TritonServer, repository: Path, log: Path) -> Iterator[str]:
    """The gRPC address of a server that has loaded everything in ``repository``."""
    with started(server, [f"--model-repository={repository}"], log) as (process, addresses):
        url = f"http://{addresses['http']}/v2/health/ready"
        child_process.wait_ready(process, url, log, name="Triton", within_seconds=READY_WITHIN_SECONDS)
        yield addresses["grpc"]
