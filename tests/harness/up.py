"""Bring up the local cluster, if it is not up, and print what to export: ``eval "$(make -s up)"`` in a shell."""

import subprocess
import sys

import background
import cluster
import provision
from progress import Step, say

LAST_LINES = 20


def main() -> int:
    provision.everything()
    if background.holder() is None:
        try:
            start()
        except StartFailed as error:
            say(str(error))
            return 1
    elif not background.READY.exists():
        say(f"a cluster is being started by process {background.holder()}; try again in a minute")
        return 1
    say(f"PersistentVolumeClaims are the folders NAMESPACE/CLAIM below {background.CLAIMS}")
    say("stop it with: make down")
    print("\n".join(background.export_lines()))
    return 1 if background.problem() else 0


class StartFailed(Exception):
    """The cluster's process ended before it was ready; the message holds the end of its log."""


def start() -> None:
    """The cluster's process, detached. Returns once it says that it is ready."""
    cluster.clear(background.STATE)
    background.STATE.mkdir(parents=True)
    with open(background.LOG, "ab") as log, Step("starting the local cluster"):
        process = subprocess.Popen(
            [sys.executable, background.__file__],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True,
        )  # fmt: skip
        for line in process.stdout or ():
            say(f"\r\x1b[K{line.rstrip()}" if sys.stderr.isatty() else line.rstrip())
        if not background.READY.exists():
            last = background.LOG.read_text(errors="replace").splitlines()[-LAST_LINES:]
            raise StartFailed("\n".join([f"exit status {process.wait()}; the end of {background.LOG}:", *last]))


if __name__ == "__main__":
    sys.exit(main())
