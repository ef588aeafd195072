"""Loopback addresses in place of a cluster network.

The API server refuses loopback addresses in EndpointSlices, and nothing else can be had without root: so a pod
*reports* 10.244.b.c and *listens* on 127.1.b.c; a Service has the cluster IP 10.0.a.b and is reached at 127.200.a.b.
"""

import itertools
import socket
from collections.abc import Iterator

POD_NETWORK = "10.244"
POD_LOOPBACK = "127.1"
SERVICE_NETWORK = "10.0"
SERVICE_LOOPBACK = "127.200"


CLAIM_PORT = 47_999


def pod_addresses() -> Iterator[str]:
    """10.244.0.1, 10.244.0.2 …: up to 65,000 of them; one is used again only after all others.

    Several clusters share this machine's loopback network: each takes blocks of 254 that no other one holds.
    """
    claims, used = [], []
    for upper in range(256):
        claim = _claimed(f"{POD_LOOPBACK}.{upper}.255")
        if claim is None:
            continue
        claims.append(claim)
        block = [f"{POD_NETWORK}.{upper}.{lower}" for lower in range(1, 255)]
        yield from block
        used += block
    yield from itertools.cycle(used)


def _claimed(address: str) -> socket.socket | None:
    """A socket there, which holds the block of that address for as long as it lives; None where another one does."""
    claim = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        claim.bind((address, CLAIM_PORT))
    except OSError:
        claim.close()
        return None
    return claim


def of_pod(reported: str) -> str:
    """Where the pod that reports this address listens."""
    return _moved(reported, POD_NETWORK, POD_LOOPBACK)


def of_service(cluster_ip: str) -> str:
    """Where the Service with this cluster IP is reached."""
    return _moved(cluster_ip, SERVICE_NETWORK, SERVICE_LOOPBACK)


def _moved(address: str, network: str, loopback: str) -> str:
    if not address.startswith(f"{network}."):
        raise ValueError(f"{address} is not in {network}.0.0/16")
    return loopback + address.removeprefix(network)
