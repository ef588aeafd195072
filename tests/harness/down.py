"""Stop the local cluster and remove its state; the folders of claims stay."""

import os
import signal
import sys
import time

import background
import cluster
from progress import Step, say

PATIENCE_SECONDS = 20.0


def main() -> int:
    holder = background.holder()
    if holder is None:
        say("no local cluster runs")
    else:
        with Step("stopping the local cluster"):
            stop(holder)
    cluster.clear(background.STATE)
    return 0


def stop(holder: int) -> None:
    """Ask, then insist. What the process holds dies with it in either case."""
    os.kill(holder, signal.SIGTERM)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while background.holder() == holder:
        if time.monotonic() > deadline:
            os.kill(holder, signal.SIGKILL)
            deadline += PATIENCE_SECONDS
        time.sleep(0.05)


if __name__ == "__main__":
    sys.exit(main())
