"""The parts of the local cluster that need no cluster to be held to their word."""

import re
import subprocess
import sys
import threading
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import addresses
import artefacts
import cache
import container_environment
import fleet
import probes
import sandbox
import service_proxy
import volumes
from kube_api import Object

LOCKS = sorted((cache.REPOSITORY / "requirements").glob("*.txt"))
PINNED = re.compile(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", re.MULTILINE)


@pytest.fixture(autouse=True)
def cache_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


class TestCache:
    def test_lies_where_xdg_says(self, tmp_path: Path) -> None:
        assert cache.root() == tmp_path / "cache" / "berthmaster"

    def test_makes_a_thing_once(self) -> None:
        calls = []

        def make(path: Path) -> None:
            calls.append(path)
            path.write_text("made")

        assert cache.kept("a/thing", make).read_text() == "made"
        assert cache.kept("a/thing", make).read_text() == "made"
        assert len(calls) == 1

    def test_keeps_nothing_of_a_build_that_failed(self) -> None:
        def fail(path: Path) -> None:
            path.mkdir()
            (path / "half").write_text("done")
            raise RuntimeError("no space left")

        with pytest.raises(RuntimeError):
            cache.kept("thing", fail)
        assert [path.name for path in cache.root().iterdir() if not path.name.endswith(".lock")] == []

    def test_lets_the_second_wait_for_the_first(self) -> None:
        """Two at once: one makes it, both get it."""
        calls: list[str] = []
        made = threading.Event()

        def make(path: Path) -> None:
            calls.append("made")
            made.wait(0.3)
            path.write_text("whole")

        found: list[str] = []
        both = [threading.Thread(target=lambda: found.append(cache.kept("t", make).read_text())) for _ in range(2)]
        for thread in both:
            thread.start()
        for thread in both:
            thread.join()
        assert found == ["whole", "whole"]
        assert calls == ["made"]

    def test_makes_again_what_carries_another_stamp(self) -> None:
        def make(content: str) -> Path:
            return cache.made_in_place("env", content, lambda folder: _folder_with(folder, content)) / "file"

        assert make("one").read_text() == "one"
        assert make("two").read_text() == "two"

    def test_keys_tell_where_one_part_ends(self) -> None:
        assert cache.key("ab", "c") != cache.key("a", "bc")


def _folder_with(folder: Path, content: str) -> None:
    folder.mkdir(parents=True)
    (folder / "file").write_text(content)


class TestLocks:
    def test_hold_every_direct_dependency_in_a_version_that_the_project_allows(self) -> None:
        project = tomllib.loads((cache.REPOSITORY / "pyproject.toml").read_text())
        stated = [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]
        text = (cache.REPOSITORY / "requirements" / "dev.txt").read_text()
        pinned = {name.lower(): version for name, version in PINNED.findall(text)}
        for line in stated:
            wanted = Requirement(line)
            assert pinned.get(wanted.name.lower()) in wanted.specifier, f"run `make lock`: {line}"

    @pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
    def test_name_a_hash_for_everything_and_no_registry(self, lock: Path) -> None:
        text = lock.read_text()
        assert "://" not in text
        for entry in re.split(r"\n(?=\S)", text):
            assert not PINNED.match(entry) or "--hash=sha256:" in entry


class TestAddresses:
    def test_pods_report_one_address_and_listen_on_another(self) -> None:
        block = addresses.claimed()
        made = block.pods()
        first = next(made)
        assert (first, addresses.of_pod(first)) == (f"10.{block.number}.0.1", f"127.{block.number}.0.1")
        assert len({first, *(next(made) for _ in range(2999))}) == 3000
        block.claim.close()

    def test_two_clusters_on_a_machine_never_share_an_address(self) -> None:
        one, other = addresses.claimed(), addresses.claimed()
        assert one.number != other.number
        assert one.service_range == f"10.{one.number + 120}.0.0/16" != other.service_range
        for each in (one, other):
            each.claim.close()

    def test_a_service_is_reached_at_the_loopback_twin_of_its_cluster_address(self) -> None:
        assert addresses.of_service("10.121.12.34") == "127.121.12.34"

    def test_an_address_of_another_network_is_refused(self) -> None:
        with pytest.raises(ValueError, match=r"192\.168\.1\.1 is not in 10\."):
            addresses.of_pod("192.168.1.1")


class TestEnvironmentVariables:
    @pytest.mark.parametrize(
        ("text", "expanded"),
        [
            ("--name=$(POD)", "--name=p"),
            ("$$(POD)", "$(POD)"),
            ("$(UNKNOWN)", "$(UNKNOWN)"),
            ("a $ sign", "a $ sign"),
            ("$(POD)$(POD)", "pp"),
        ],
    )
    def test_are_expanded_as_kubernetes_does(self, text: str, expanded: str) -> None:
        assert container_environment.expanded(text, {"POD": "p"}) == expanded

    @pytest.mark.parametrize(
        ("resource", "divisor", "value"),
        [
            ("limits.cpu", "0", "2"),
            ("limits.cpu", "1m", "1500"),
            ("limits.memory", "1Mi", "512"),
            ("limits.x", "0", "0"),
        ],
    )
    def test_of_resources_are_divided_and_rounded_up(self, resource: str, divisor: str, value: str) -> None:
        container = {"resources": {"limits": {"cpu": "1500m", "memory": "512Mi"}}}
        reference = {"resource": resource, "divisor": divisor}
        assert container_environment.resource(container, reference) == value

    def test_of_fields_read_labels_by_name(self) -> None:
        pod = {"metadata": {"name": "n", "labels": {"a/b": "c"}}, "spec": {"nodeName": "gpu-0"}}
        assert container_environment.field(pod, "metadata.labels['a/b']") == "c"
        assert container_environment.field(pod, "spec.nodeName") == "gpu-0"
        assert container_environment.field(pod, "metadata.labels") == 'a/b="c"'


class TestVolumes:
    def test_files_are_linked_through_a_dated_folder_as_a_kubelet_does(self, tmp_path: Path) -> None:
        volumes.write_atomically(tmp_path / "v", {"a": b"1", "deep/b": b"2"})
        assert (tmp_path / "v/a").is_symlink()
        assert (tmp_path / "v/a").read_bytes() == b"1"
        assert (tmp_path / "v/deep/b").read_bytes() == b"2"
        assert (tmp_path / "v/..data").is_symlink()

    def test_only_model_configurations_lose_their_gpu(self) -> None:
        assert volumes.for_cpu("config.pbtxt", b"kind: KIND_GPU") == b"kind: KIND_CPU"
        assert volumes.for_cpu("model.json", b"KIND_GPU") == b"KIND_GPU"
        assert volumes.for_cpu("config.pbtxt", b"MY_KIND_GPU_X") == b"MY_KIND_GPU_X"


class TestSandbox:
    @pytest.mark.parametrize("target", ["/usr/share/x", "/proc/y", "/lib/z", "/etc/passwd"])
    def test_refuses_mounts_into_the_machines_own_files(self, target: str) -> None:
        with pytest.raises(OSError, match=target.split("/")[1]):
            sandbox.refuse_machine_paths(target)

    @pytest.mark.parametrize("target", ["/models", "/etc/berthmaster", "/var/run/secrets/x", "/opt/tritonserver/bin/x"])
    def test_allows_them_everywhere_else(self, target: str) -> None:
        sandbox.refuse_machine_paths(target)


class TestProbeTarget:
    def test_finds_ports_by_number_and_by_name(self) -> None:
        target = probes.Target("127.1.0.1", {"http": 8000}, execute=_never)
        assert [target.port("http"), target.port(8001), target.port("8002")] == [8000, 8001, 8002]
        with pytest.raises(LookupError, match="'grpc'"):
            target.port("grpc")


async def _never(command: list[str]) -> int:
    raise AssertionError(f"{command} was run")


def _slice(*endpoints: Object) -> Object:
    return {"ports": [{"name": "http", "port": 8000}], "endpoints": list(endpoints)}


def _endpoint(address: str, **conditions: bool) -> Object:
    return {"addresses": [address], "conditions": conditions}


class TestServiceProxy:
    def test_new_connections_go_to_ready_endpoints_only(self) -> None:
        ready = _endpoint("10.244.0.2", ready=True, serving=True, terminating=False)
        draining = _endpoint("10.244.0.1", ready=False, serving=True, terminating=True)
        assert _behind(_slice(ready, draining)) == ["10.244.0.2"]

    def test_what_drains_is_used_while_nothing_is_ready(self) -> None:
        draining = _endpoint("10.244.0.1", ready=False, serving=True, terminating=True)
        loading = _endpoint("10.244.0.3", ready=False, serving=False, terminating=False)
        assert _behind(_slice(draining, loading)) == ["10.244.0.1"]

    def test_a_port_that_the_slice_does_not_have_has_no_endpoints(self) -> None:
        assert _behind(_slice(_endpoint("10.244.0.1", ready=True)), port="grpc") == []


def _behind(endpoint_slice: Object, port: str = "http") -> list[str]:
    return [each.address for each in service_proxy.behind([endpoint_slice], port)]


class TestFleet:
    def test_has_at_least_five_kinds_of_gpu_nodes_and_some_garbled_ones(self) -> None:
        products = {
            kind.labels.get("nvidia.com/gpu.product") for kind, _ in fleet.DEFAULT_FLEET if kind.gpus or kind.mig
        }
        assert {"Tesla-T4", "NVIDIA-L4", "NVIDIA-L40S", "NVIDIA-A100-SXM4-80GB", "NVIDIA-H100-80GB-HBM3"} < products
        assert {None, "Graphics-Device"} < products

    def test_a_mig_node_offers_slices_and_no_whole_gpu(self) -> None:
        offered = fleet.node(fleet.A100_MIG)["status"]["allocatable"]
        assert offered["nvidia.com/mig-1g.10gb"] == "7"
        assert "nvidia.com/gpu" not in offered

    def test_regions_follow_from_zones(self) -> None:
        zones = {kind.labels["topology.kubernetes.io/zone"]: kind.labels["topology.kubernetes.io/region"]
                 for kind in (fleet.T4_EKS, fleet.L4_GKE)}  # fmt: skip
        assert zones == {"us-east-1a": "us-east-1", "us-east1-b": "us-east1"}


class TestFileTypes:
    def test_a_short_file_stands_at_both_ends_of_the_input(self) -> None:
        row = artefacts.tokens(b"  ab \n")[0]
        assert row.shape == (2048,)
        assert list(row[:3]) == [97, 98, 256]
        assert list(row[-3:]) == [256, 97, 98]

    def test_of_a_long_file_only_the_ends_count(self) -> None:
        row = artefacts.tokens(b"a" * 5000 + b"m" * 5000 + b"z" * 5000)[0]
        assert set(row[:1024]) == {97}
        assert set(row[1024:]) == {122}


def test_two_pods_can_bind_the_same_port_of_all_addresses() -> None:
    """What stands in for a network namespace of their own."""
    program = "import socket; s = socket.create_server(('', 18123)); print(s.getsockname()[0])"
    site = cache.HARNESS / "pod_site"
    found = []
    for address in ("127.9.0.1", "127.9.0.2"):
        environment = {"PYTHONPATH": str(site), "POD_LOOPBACK": address}
        answer = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
        )
        found.append(answer.stdout.strip())
    assert found == ["127.9.0.1", "127.9.0.2"]
