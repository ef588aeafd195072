"""The local cluster in the background: one process that holds everything and takes it along when it ends.

``python background.py`` is that process; ``up.py`` and ``down.py`` start and stop it. It holds a lock while it lives,
so that a cluster that was killed is never taken for one that runs. What it says on stdout is its progress.
"""

import contextlib
import fcntl
import importlib.util
import json
import os
import signal
import sys
import threading

import cache
import cluster
from cluster import LocalCluster
from helm import HelmError
from kube_api import ApiError

LOCK = cache.root() / "cluster.lock"
STATE = cache.root() / "cluster"
CLAIMS = cache.root() / "claims"
LOG = STATE / "background.log"
READY = STATE / "ready.json"


def holder() -> int | None:
    """The process that holds the cluster; None when none runs."""
    if not LOCK.exists():
        return None
    with open(LOCK) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return int(lock.read() or 0)
    return None


def hold() -> None:
    """Until SIGTERM or SIGINT: the cluster, with the operator in it where this checkout has one."""
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    with open(LOCK, "a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        with LocalCluster(STATE, claims=CLAIMS) as local:
            print(f"control plane and {len(local.api.items('/api/v1/nodes'))} nodes are up", flush=True)
            problem = _install(local)
            told = {"kubeconfig": str(local.kubeconfig), "programs": str(local.programs), "problem": problem}
            READY.write_text(json.dumps(told))
            print(problem or "the operator is ready", flush=True)
            _leave_terminal()
            stopped.wait()


def _install(local: LocalCluster) -> str | None:
    """Why the operator does not run, or None."""
    if importlib.util.find_spec("berth_operator.__main__") is None:
        return "the operator is not installed: this checkout has no berth_operator to run"
    if reason := local.operator_installable():
        return f"the operator is not installed: {reason}"
    print("installing the chart with Helm", flush=True)
    try:
        local.install_operator()
    except HelmError as error:
        return f"the operator does not become ready: {error}\n{operator_logs(local)}"
    return None


def operator_logs(local: LocalCluster, lines: int = 15) -> str:
    """The ends of the operator pods' logs."""
    namespace, said = cluster.SYSTEM_NAMESPACE, []
    with contextlib.suppress(ApiError, OSError):
        for pod in local.api.items(f"/api/v1/namespaces/{namespace}/pods"):
            name, container = pod["metadata"]["name"], pod["spec"]["containers"][0]["name"]
            with contextlib.suppress(LookupError):
                said += [f"{name}:", *local.components.log(namespace, name, container).splitlines()[-lines:]]
    return "\n".join(said)


def _leave_terminal() -> None:
    """Whoever started this has heard enough: further words go to the log."""
    log = os.open(LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, sys.stdout.fileno())
    os.close(log)


def export_lines() -> list[str]:
    """What to type (or ``eval``) to work with the cluster."""
    told = json.loads(READY.read_text())
    return [f"export KUBECONFIG={told['kubeconfig']}", f"export PATH={told['programs']}:$PATH"]


def problem() -> str | None:
    """Why the operator does not run in a cluster that is up."""
    found: str | None = json.loads(READY.read_text())["problem"]
    return found


if __name__ == "__main__":
    hold()
