"""Loopback addresses in place of a cluster network.

The API server refuses loopback addresses in EndpointSlices, and nothing else can be had without root. So what *reports*
10.n.b.c, a pod or the cluster IP of a Service, *listens* on 127.n.b.c; each cluster on a machine has blocks of its own.
"""

import contextlib
import dataclasses
import itertools
import socket
from collections.abc import Iterator

REPORTED, LOOPBACK = "10.", "127."
BLOCKS = range(1, 120)
SERVICES_ABOVE = 120
CLAIM = ("255.254", 42420)
"""Address in the block, and port, on which a cluster listens for nothing: whoever has it has the block."""


@dataclasses.dataclass(frozen=True)
class Block:
    """Pods are 10.``number``.0.0/16, Services 10.(``number`` + 120).0.0/16. Free again when ``claim`` is closed."""

    number: int
    claim: socket.socket

    @property
    def service_range(self) -> str:
        return f"{REPORTED}{self.number + SERVICES_ABOVE}.0.0/16"

    def pods(self) -> Iterator[str]:
        """What pods report, one after the other: 65,000 of them; one is used again only after all others."""
        hosts = [f"{REPORTED}{self.number}.{upper}.{lower}" for upper in range(255) for lower in range(1, 255)]
        return itertools.cycle(hosts)


def claimed() -> Block:
    """A block that no other cluster on this machine uses; the kernel takes it back should this process die."""
    host, port = CLAIM
    for number in BLOCKS:
        with contextlib.suppress(OSError):
            return Block(number, socket.create_server((f"{LOOPBACK}{number}.{host}", port)))
    raise RuntimeError(f"{len(BLOCKS)} clusters run on this machine: stop some")


def of_pod(reported: str) -> str:
    """Where the pod that reports this address listens."""
    return _moved(reported)


def of_service(cluster_ip: str) -> str:
    """Where the Service with this cluster IP is reached."""
    return _moved(cluster_ip)


def _moved(address: str) -> str:
    if not address.startswith(REPORTED):
        raise ValueError(f"{address} is not in {REPORTED}0.0.0/8")
    return LOOPBACK + address.removeprefix(REPORTED)
