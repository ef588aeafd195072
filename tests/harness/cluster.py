"""The local cluster: control plane, nodes, what runs on them, and the tools to look at it."""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import diagnosis
import fleet
import helm
import sandbox
import triton_server
from controlplane import ControlPlane
from fleet import NodeKind
from helm import Helm
from kube_api import Api
from node_components import NodeComponents
from operator_process import OperatorProcess

T = TypeVar("T")

RELEASE = "berthmaster"
SYSTEM_NAMESPACE = "berthmaster-system"
PROGRAMS = ("berth", "kubectl-berth", "berth-operator")


class LocalCluster:
    """Context manager. ``state`` holds everything it writes; ``claims`` the folders of PersistentVolumeClaims."""

    def __init__(
        self, state: Path, nodes: Sequence[tuple[NodeKind, int]] = fleet.DEFAULT_FLEET, *,
        claims: Path | None = None, real_triton: int = 4, only: Sequence[str] = ("*",),
        flags: Mapping[str, Sequence[str]] | None = None, audit: bool = False, renew_seconds: float = 15,
    ) -> None:  # fmt: skip
        self.state = state.resolve()
        self.nodes = tuple(nodes)
        self.control_plane = ControlPlane(self.state / "control-plane", flags=flags, audit=audit)
        self.components = NodeComponents(
            self.control_plane, self.state / "nodes",
            claims=claims, real_triton=real_triton, only=only, renew_seconds=renew_seconds,
        )  # fmt: skip
        self.programs = self.state / "bin"
        """kubectl, and the project's own programs, for PATH."""
        self.operator_beside: OperatorProcess | None = None
        """The operator, on a machine where its pods can only be played."""
        self._open = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as opening:
            opening.enter_context(self.control_plane)
            opening.enter_context(self.components)
            self.api = Api(self.control_plane.kubeconfig)
            self._link_programs()
            fleet.add(self.api, self.nodes)
            self._open = opening.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    @property
    def kubeconfig(self) -> Path:
        return self.control_plane.kubeconfig

    @property
    def environment(self) -> dict[str, str]:
        """For programs that are to find this cluster, kubectl and ``kubectl berth``."""
        return os.environ | {
            "KUBECONFIG": str(self.kubeconfig),
            "PATH": f"{self.programs}{os.pathsep}{os.environ.get('PATH', '')}",
        }

    def wait_until(
        self, ask: Callable[[], T], *, timeout_seconds: float = 30, every_seconds: float = 0.05, what: str = ""
    ) -> T:
        """Poll until true; on failure the message holds the cluster's conditions and events."""
        return diagnosis.wait_until(
            ask, self.api, timeout_seconds=timeout_seconds, every_seconds=every_seconds, what=what
        )

    def run(self, *command: str) -> str:
        """What ``kubectl``, ``berth`` or another program says on stdout; CalledProcessError holds its stderr."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=True)
        return done.stdout

    def helm(self, namespace: str = SYSTEM_NAMESPACE) -> Helm:
        return Helm(self.kubeconfig, namespace)

    def install_operator(self, values: Mapping[str, Any] | None = None, *, wait: bool = True) -> None:
        """The chart, with the operator in pods of its own; upgraded where it is installed already.

        The operator is told which Triton runs here (``settings.platform.images``), unless ``values`` say otherwise.
        """
        release = self.helm()
        values = _merged({"settings": {"platform": triton_server.PLATFORM}}, values or {})
        if release.exists(RELEASE):
            release.upgrade(RELEASE, values, wait=wait)
        else:
            release.install(RELEASE, values, wait=wait)
        try:
            sandbox.bubblewrap()
        except sandbox.Unavailable:
            self._operator_beside()

    def _operator_beside(self) -> None:
        """Where pods can only be played: the operator as a plain process, with its pods' settings and rights."""
        core = f"/api/v1/namespaces/{SYSTEM_NAMESPACE}"
        settings = self.api.get(f"{core}/configmaps/{RELEASE}-settings")["data"]["settings.yaml"]
        spec = {"expirationSeconds": 86_400}
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        token = self.api.create(f"{core}/serviceaccounts/{RELEASE}/token", request)["status"]["token"]
        folder = self.state / "operator"
        kubeconfig = self.control_plane.token_kubeconfig(folder / "kubeconfig", token, SYSTEM_NAMESPACE)
        (folder / "settings.yaml").write_text(settings)
        if self.operator_beside is not None:
            self.operator_beside.kill()
        process = OperatorProcess(kubeconfig, folder / "settings.yaml", folder, namespace=SYSTEM_NAMESPACE)
        self.operator_beside = self._open.enter_context(process)

    def operator_installable(self) -> str | None:
        """Why this checkout has no operator to install, or None."""
        if not (helm.CHART / "Chart.yaml").exists():
            return f"there is no chart in {helm.CHART}"
        return None

    def _link_programs(self) -> None:
        self.control_plane.link_kubectl(self.programs)
        for name in PROGRAMS:
            program = Path(sys.prefix) / "bin" / name
            if program.exists():
                with contextlib.suppress(FileExistsError):
                    (self.programs / name).symlink_to(program)


def _merged(values: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """``values`` with what ``over`` states, key by key, as Helm merges."""
    nested = {
        key: _merged(values[key], each)
        for key, each in over.items()
        if isinstance(each, Mapping) and isinstance(values.get(key), Mapping)
    }
    return {**values, **over, **nested}


def clear(state: Path) -> None:
    """Remove what an earlier cluster left there, its claims' files excepted when they lie elsewhere."""
    shutil.rmtree(state, ignore_errors=True)
