"""A Kubernetes control plane made of plain processes on 127.0.0.1.

kube-apiserver makes its own certificate, its key also signs service-account tokens, and every client (administrator,
controller manager, scheduler) authenticates with a token from a static file: there is no PKI step. Ready in about 3 s.
"""

import base64
import json
import os
import secrets
import signal
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import addresses
import binary
import child_process

ADMIN = "admin"
CONTROLLER_MANAGER = "system:kube-controller-manager"
SCHEDULER = "system:kube-scheduler"
GROUPS = {ADMIN: "system:masters", CONTROLLER_MANAGER: "", SCHEDULER: ""}

CONTROLLERS_OFF = ("node-ipam-controller", "bootstrap-signer-controller", "token-cleaner-controller")
"""Cloud and kubeadm duties: nothing here needs them."""

UNTHROTTLED = ("--kube-api-qps=500", "--kube-api-burst=1000")
"""The default delays each start by 4 s."""

COLLECTOR = {
    "kube-apiserver": {"GOMEMLIMIT": "2GiB", "GOGC": "300"},
    "kube-controller-manager": {"GOMEMLIMIT": "256MiB"},
}
"""Of Go, by component: a soft limit, above which it works harder, and by how many per cent the heap may grow until it
works again. By its defaults it takes a quarter of the API server's time on two cores."""

FAST_NODE_LOSS = {
    "kube-controller-manager": ("--node-monitor-grace-period=8s", "--node-monitor-period=1s"),
}
"""For tests that lose nodes: noticed after 6 to 9 s instead of a minute. A loaded machine may lose nodes by itself."""

AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived", "ResponseStarted"],
    "rules": [{"level": "Metadata"}],
}

READY_WITHIN_SECONDS = 60.0


class ControlPlane:
    """Context manager; ``components`` maps each running component to its process.

    ``flags`` adds to (and overrides) the flags of a component; ``audit`` writes one JSON line per request to
    ``audit_log``. Enter it from a thread that lives as long as the cluster should: a component dies with the thread
    that started it, so that none outlives a killed test run.
    """

    def __init__(self, state: Path, *, flags: Mapping[str, Sequence[str]] | None = None, audit: bool = False) -> None:
        self.binary = binary.controlplane()
        self.state = state.resolve()
        self.state.mkdir(parents=True, exist_ok=True)
        self.kubeconfig = self.state / f"{ADMIN}.kubeconfig"
        self.certificate = self.state / "pki" / "apiserver.crt"
        self.key = self.certificate.with_suffix(".key")
        self.audit_log = self.state / "audit.log"
        self.components: dict[str, child_process.Child] = {}
        self.ready_after_seconds: dict[str, float] = {}
        self._more_flags = dict(flags or {})
        self._audit = audit
        self._tokens = {user: secrets.token_hex(16) for user in GROUPS}
        self._ports = dict(zip(("etcd", "peer", "api", "manager", "scheduler"), free_ports(5), strict=True))
        self.block = addresses.claimed()
        """Addresses of its pods and Services."""
        self.host, self.port = "127.0.0.1", self._ports["api"]
        self.server = f"https://{self.host}:{self.port}"

    def __enter__(self) -> Self:
        try:
            self._write_files()
            self.start("etcd")
            self.start("kube-apiserver")
            for user in GROUPS:
                self._write_kubeconfig(user)
            self.start("kube-controller-manager", "kube-scheduler")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        self.block.claim.close()

    def start(self, *names: str) -> None:
        """Start the components side by side and wait until each says that it is ready."""
        started = time.monotonic()
        for name in names:
            self._spawn(name)
        for name in names:
            self._wait_ready(name)
            self.ready_after_seconds[name] = time.monotonic() - started

    def kill(self, *names: str) -> None:
        """SIGKILL, by default to all: a graceful API server would wait a minute for its watchers."""
        processes = [self.components.pop(name) for name in names or list(self.components)]
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()

    def restart(self, *names: str) -> None:
        self.kill(*names)
        self.start(*names)

    def freeze(self, name: str) -> None:
        """SIGSTOP: the component keeps its connections and answers nothing."""
        self.components[name].send_signal(signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        self.components[name].send_signal(signal.SIGCONT)

    def log(self, name: str) -> Path:
        return self.state / f"{name}.log"

    def log_tail(self, name: str, lines: int = 20) -> str:
        return "\n".join(self.log(name).read_text(errors="replace").splitlines()[-lines:])

    def link_kubectl(self, folder: Path) -> Path:
        """``kubectl`` in ``folder``: the same binary by another name. Finds plugins on PATH as usual."""
        folder.mkdir(parents=True, exist_ok=True)
        link = folder / "kubectl"
        link.unlink(missing_ok=True)
        link.symlink_to(self.binary)
        return link

    def token_kubeconfig(self, path: Path, token: str, namespace: str = "default") -> Path:
        """A kubeconfig for whoever ``token`` belongs to, for example a ServiceAccount."""
        path.parent.mkdir(parents=True, exist_ok=True)
        write_private(path, json.dumps(self._kubeconfig(token, namespace)))
        return path

    def _spawn(self, name: str) -> None:
        environment = os.environ | {"GOMEMLIMIT": "off"} | COLLECTOR.get(name, {})
        command = [name, *self._flags(name), *self._more_flags.get(name, ())]
        self.components[name] = child_process.started(
            command, self.log(name), environment=environment, executable=self.binary
        )

    def _flags(self, name: str) -> list[str]:
        etcd, peer = (f"http://127.0.0.1:{self._ports[port]}" for port in ("etcd", "peer"))
        match name:
            case "etcd":
                return [
                    f"--data-dir={self.state / 'etcd'}",
                    f"--listen-client-urls={etcd}",
                    f"--advertise-client-urls={etcd}",
                    f"--listen-peer-urls={peer}",
                    "--unsafe-no-fsync",
                    "--log-level=warn",
                    "--heartbeat-interval=20",  # one member: elected at once
                    "--election-timeout=200",
                ]
            case "kube-apiserver":
                return [
                    f"--etcd-servers={etcd}",
                    "--bind-address=127.0.0.1",
                    f"--secure-port={self.port}",
                    "--advertise-address=127.0.0.1",
                    "--endpoint-reconciler-type=none",
                    f"--service-cluster-ip-range={self.block.service_range}",
                    "--allow-privileged=true",
                    f"--cert-dir={self.certificate.parent}",
                    f"--token-auth-file={self.state / 'tokens.csv'}",
                    "--authorization-mode=RBAC",
                    "--service-account-issuer=https://kubernetes.default.svc",
                    f"--service-account-signing-key-file={self.key}",
                    f"--service-account-key-file={self.key}",
                    "--kubelet-preferred-address-types=InternalIP",  # for kubectl logs; node names resolve nowhere
                    *self._audit_flags(),
                ]
            case "kube-controller-manager":
                return [
                    f"--kubeconfig={self.state / CONTROLLER_MANAGER}.kubeconfig",
                    "--bind-address=127.0.0.1",
                    f"--secure-port={self._ports['manager']}",
                    "--leader-elect=false",
                    "--use-service-account-credentials=true",
                    f"--service-account-private-key-file={self.key}",
                    f"--root-ca-file={self.certificate}",
                    *UNTHROTTLED,
                    "--horizontal-pod-autoscaler-sync-period=2s",
                    "--node-monitor-grace-period=50s",
                    f"--flex-volume-plugin-dir={self.state / 'flexvolume'}",  # else made under /usr/libexec
                    "--controllers=" + ",".join(["*", *("-" + off for off in CONTROLLERS_OFF)]),
                ]
            case "kube-scheduler":
                return [
                    f"--kubeconfig={self.state / SCHEDULER}.kubeconfig",
                    "--bind-address=127.0.0.1",
                    f"--secure-port={self._ports['scheduler']}",
                    "--leader-elect=false",
                    *UNTHROTTLED,
                ]
        raise ValueError(f"{name!r} is no component of the control plane")

    def _audit_flags(self) -> list[str]:
        if not self._audit:
            return []
        return [f"--audit-policy-file={self.state / 'audit-policy.json'}", f"--audit-log-path={self.audit_log}"]

    def _wait_ready(self, name: str) -> None:
        url = {
            "etcd": f"http://127.0.0.1:{self._ports['etcd']}/readyz",
            "kube-apiserver": f"{self.server}/readyz",
            "kube-controller-manager": f"https://127.0.0.1:{self._ports['manager']}/healthz",
            "kube-scheduler": f"https://127.0.0.1:{self._ports['scheduler']}/readyz",
        }[name]
        process, deadline = self.components[name], time.monotonic() + READY_WITHIN_SECONDS
        while not answers(url):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{name} is not ready (exit status {process.poll()})\n{self.log_tail(name)}")
            time.sleep(0.02)

    def _write_files(self) -> None:
        rows = [f'{token},{user},{user},"{GROUPS[user]}"' for user, token in self._tokens.items()]
        write_private(self.state / "tokens.csv", "\n".join(rows) + "\n")
        (self.state / "audit-policy.json").write_text(json.dumps(AUDIT_POLICY))

    def _write_kubeconfig(self, user: str) -> None:
        write_private(self.state / f"{user}.kubeconfig", json.dumps(self._kubeconfig(self._tokens[user], "default")))

    def _kubeconfig(self, token: str, namespace: str) -> dict[str, object]:
        """JSON is YAML: kubectl, Helm and every client library read it."""
        authority = base64.b64encode(self.certificate.read_bytes()).decode()
        cluster = {"server": self.server, "certificate-authority-data": authority}
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "local",
            "clusters": [{"name": "local", "cluster": cluster}],
            "users": [{"name": "local", "user": {"token": token}}],
            "contexts": [{"name": "local", "context": {"cluster": "local", "user": "local", "namespace": namespace}}],
        }


def free_ports(count: int) -> list[int]:
    """Ports free on 127.0.0.1 a moment ago, all different."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def answers(url: str) -> bool:
    """Whether a GET of ``url`` gives 200 now; certificates are not checked."""
    try:
        with urllib.request.urlopen(url, timeout=2, context=ssl._create_unverified_context()) as reply:
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def write_private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)
