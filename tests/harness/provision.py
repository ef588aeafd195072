"""Fetch and build, once, all that the local cluster stands on: ``python provision.py`` before the tests.

A session's first test would do it otherwise, within that test's time limit, which a slow machine's build exceeds.
"""

import sys

import artefacts
import binary
import debian
import prometheus_server
import sandbox
import triton_server
from progress import say


def everything() -> None:
    """With its progress to be seen. What this machine cannot have is said; tests that need it skip, the rest runs."""
    binary.controlplane()
    try:
        sandbox.bubblewrap()
        triton_server.installed()
        artefacts.file_types()
    except (sandbox.Unavailable, triton_server.Unavailable) as reason:
        say(f"Triton is only simulated on this machine: {reason}")


def main() -> int:
    everything()
    try:
        prometheus_server.program("prometheus")
    except debian.Unavailable as reason:
        say(f"there is no Prometheus on this machine: {reason}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
