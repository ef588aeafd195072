"""A real control plane for the tests in this folder. What the fixtures stand on lives in ``tests/harness``."""

import contextlib
import itertools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pytest

import diagnosis
import namespaces
from cluster import LocalCluster
from controlplane import ControlPlane
from kube_api import Api
from operator_process import OperatorProcess

T = TypeVar("T")


class WaitUntil(Protocol):
    def __call__(
        self, ask: Callable[[], T], *, timeout_seconds: float = 30, every_seconds: float = 0.05, what: str = ""
    ) -> T: ...


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.cluster)


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """etcd, API server, controller manager and scheduler, booted once a session: no nodes, and nothing runs pods.

    Its audit log holds one line per request. All tests of the session share cluster-scoped objects: clean them up.
    """
    with ControlPlane(tmp_path_factory.mktemp("control-plane"), audit=True) as plane:
        yield plane


@pytest.fixture
def fresh_control_plane(tmp_path: Path) -> Iterator[ControlPlane]:
    """One of the test's own, to kill, freeze and restart components of: 3 s more."""
    with ControlPlane(tmp_path / "control-plane", audit=True) as plane:
        yield plane


@pytest.fixture
def api(control_plane: ControlPlane) -> Api:
    """Administrator's rights on ``control_plane``."""
    return Api(control_plane.kubeconfig)


@pytest.fixture
def make_namespace(api: Api) -> Callable[..., str]:
    """``make_namespace(restricted=False) -> name``: fresh, with its default ServiceAccount there.

    Nobody deletes it: that would take 5 s, and the control plane is thrown away.
    """

    def make(*, restricted: bool = False) -> str:
        return namespaces.fresh(api, restricted=restricted)

    return make


@pytest.fixture
def namespace(make_namespace: Callable[..., str]) -> str:
    return make_namespace()


@pytest.fixture
def restricted_namespace(make_namespace: Callable[..., str]) -> str:
    """A namespace that enforces the Pod Security Standard ``restricted``."""
    return make_namespace(restricted=True)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """A whole local cluster for the tests of one module: control plane, the default fleet of GPU nodes, kubelets.

    The operator is not in it: ``cluster.install_operator()`` installs the chart, ``operator_process`` runs it beside.
    """
    with LocalCluster(tmp_path_factory.mktemp("cluster"), audit=True) as local:
        yield local


@pytest.fixture
def make_cluster(tmp_path: Path) -> Iterator[Callable[..., LocalCluster]]:
    """``make_cluster(nodes=…, flags=…)``: a local cluster of the test's own, with the arguments of LocalCluster."""
    serial = itertools.count()
    with contextlib.ExitStack() as opened:

        def make(**options: Any) -> LocalCluster:
            return opened.enter_context(LocalCluster(tmp_path / f"cluster-{next(serial)}", **options))

        yield make


@pytest.fixture
def operator_process(
    tmp_path: Path, control_plane: ControlPlane
) -> Iterator[Callable[[Mapping[str, Any] | Path], OperatorProcess]]:
    """``operator_process(settings, kubeconfig=…, namespace=…)``: the real operator, running beside it."""
    with contextlib.ExitStack() as running:

        def start(
            settings: Mapping[str, Any] | Path,
            *,
            kubeconfig: Path = control_plane.kubeconfig,
            namespace: str = "default",
        ) -> OperatorProcess:
            process = OperatorProcess(kubeconfig, settings, tmp_path / "operators", namespace=namespace)
            return running.enter_context(process)

        yield start


@pytest.fixture
def wait_until(api: Api) -> WaitUntil:
    """Poll until true; on failure the message holds conditions and events of the cluster."""

    def wait(ask: Callable[[], T], *, timeout_seconds: float = 30, every_seconds: float = 0.05, what: str = "") -> T:
        return diagnosis.wait_until(ask, api, timeout_seconds=timeout_seconds, every_seconds=every_seconds, what=what)

    return wait
