"""Loaded by every Python process of a pod in place of its own network namespace.

The pods of a node share this machine's network, so two of them cannot both listen on 0.0.0.0:8080. What a process binds
on all addresses is bound on its pod's own loopback address instead, named by ``POD_LOOPBACK``.
"""

import os
import socket
from typing import Any

ALL_ADDRESSES = ("", "0.0.0.0")
ALL_ADDRESSES_V6 = ("::", "::0")

_own = os.environ.get("POD_LOOPBACK")
_bind = socket.socket.bind


def _bind_own(self: socket.socket, address: Any) -> None:
    if self.family == socket.AF_INET and address[0] in ALL_ADDRESSES:
        address = (_own, *address[1:])
    elif self.family == socket.AF_INET6 and address[0] in ALL_ADDRESSES_V6:
        address = ("::1", 0)  # servers that bind both families must get something; nobody asks there
    _bind(self, address)


if _own:
    socket.socket.bind = _bind_own  # type: ignore[assignment, method-assign]
