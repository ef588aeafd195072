"""A real control plane for the tests in this folder. What the fixtures stand on lives in ``tests/harness``."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol, TypeVar

import pytest

import diagnosis
from controlplane import ControlPlane
from kube_api import Api

T = TypeVar("T")

RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}
_serial = itertools.count(1)


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
        return new_namespace(api, restricted=restricted)

    return make


@pytest.fixture
def namespace(make_namespace: Callable[..., str]) -> str:
    return make_namespace()


@pytest.fixture
def restricted_namespace(make_namespace: Callable[..., str]) -> str:
    """A namespace that enforces the Pod Security Standard ``restricted``."""
    return make_namespace(restricted=True)


@pytest.fixture
def wait_until(api: Api) -> WaitUntil:
    """Poll until true; on failure the message holds conditions and events of the cluster."""

    def wait(ask: Callable[[], T], *, timeout_seconds: float = 30, every_seconds: float = 0.05, what: str = "") -> T:
        return diagnosis.wait_until(ask, api, timeout_seconds=timeout_seconds, every_seconds=every_seconds, what=what)

    return wait


def new_namespace(api: Api, *, restricted: bool = False) -> str:
    name = f"test-{next(_serial)}"
    labels = RESTRICTED if restricted else {}
    api.create("/api/v1/namespaces", {"metadata": {"name": name, "labels": labels}})
    account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
    diagnosis.wait_until(lambda: api.exists(account), api, what=f"the default ServiceAccount of {name}")
    return name
