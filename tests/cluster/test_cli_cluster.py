"""``berth --cluster`` on a real API server: what it reads is what there is, and what it cannot read it says."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

import fleet
from berth_operator.cli import cluster, run
from berth_operator.cli.cluster import cluster_world
from berth_operator.manifests import InvalidManifests, read_manifests
from controlplane import ControlPlane
from kube_api import Api, ApiError, until
from kubernetes_objects import config_map, measured_from, workload
from kubernetes_objects import run as run_line

ROOT = Path(__file__).resolve().parents[2]
WORKLOADS = "/apis/berthmaster.dev/v1alpha1/namespaces/default/inferenceworkloads"
AT = ("--at", "2026-11-02T12:00:00Z")

Berth = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A control plane of this module's own, at first without the CRDs."""
    with ControlPlane(tmp_path_factory.mktemp("cli")) as running:
        yield running


@pytest.fixture(scope="module")
def api(plane: ControlPlane) -> Api:
    """With the committed CRDs, the examples and the default fleet of nodes."""
    api = Api(plane.kubeconfig)
    for path in sorted((ROOT / "crds").glob("*.yaml")):
        api.apply_object(yaml.safe_load(path.read_text(encoding="utf-8")))
    until(lambda: _serves(api, "gpupools") and _serves(api, "inferenceworkloads"))
    paths = sorted((ROOT / "examples").glob("*.yaml"), key=lambda path: (path.stem != "namespaces", path.stem))
    for path in paths:
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            api.apply_object(document)
    fleet.add(api)
    return api


def _serves(api: Api, plural: str) -> bool:
    try:
        api.get(f"/apis/berthmaster.dev/v1alpha1/{plural}")
    except ApiError as error:
        if error.status not in (404, 429):
            raise
        return False
    return True


@pytest.fixture
def berth(plane: ControlPlane, capsys: pytest.CaptureFixture[str]) -> Berth:
    """``berth(*arguments, kubeconfig=…)``: exit code, stdout, stderr."""

    def call(*arguments: object, kubeconfig: Path = plane.kubeconfig) -> tuple[int, str, str]:
        code = run([*map(str, arguments), "--cluster", "--kubeconfig", str(kubeconfig)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def test_a_cluster_without_the_crds_is_told_how_to_get_them(berth: Berth) -> None:
    code, _, err = berth("plan")
    assert code == 1
    assert "does not know InferenceWorkload: Berthmaster's CRDs are not installed" in err
    assert "kubectl apply -f crds/" in err


def test_the_cluster_is_planned_on_its_nodes_and_replayed_bit_for_bit(
    api: Api, berth: Berth, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, planned, _ = berth("plan", *AT, "-o", "json")
    decisions = {one["workload"]: one for one in json.loads(planned)["decisions"]}
    assert code == 2 and [key for key, one in decisions.items() if not one["placed"]] == ["vision/huge"]

    file = tmp_path / "live.json"
    assert berth("snapshot", *AT, "--to", file)[0] == 0
    pools = {one["name"]: one for one in json.loads(file.read_text(encoding="utf-8"))["pools"]}
    assert len(pools["h100"]["nodes"]) == 2
    assert "unreadable-nodes" in pools
    assert run(["replay", str(file), "-o", "json"]) == 2
    assert capsys.readouterr().out == planned


def test_files_are_laid_over_the_cluster(api: Api, berth: Berth, tmp_path: Path) -> None:
    stated = yaml.safe_load((ROOT / "examples" / "resnet.yaml").read_text(encoding="utf-8"))
    stated["spec"]["traffic"]["requestsPerSecond"] = 10
    (tmp_path / "resnet.yaml").write_text(yaml.safe_dump(stated), encoding="utf-8")
    _, before, _ = berth("snapshot", *AT)
    _, after, _ = berth("snapshot", *AT, "-f", tmp_path)
    rates = [
        {one["key"]: one["traffic"]["requestsPerSecond"] for one in json.loads(text)["workloads"]}
        for text in (before, after)
    ]
    assert rates[0] | {"vision/resnet": 10} == rates[1]
    uids = [{one["key"]: one["uid"] for one in json.loads(text)["workloads"]} for text in (before, after)]
    assert uids[0] == uids[1] and all(uids[0].values())


def test_measured_runs_that_a_workload_refers_to_are_read_and_no_other_config_map(
    api: Api, plane: ControlPlane, berth: Berth, tmp_path: Path
) -> None:
    stated = yaml.safe_load((ROOT / "examples" / "resnet.yaml").read_text(encoding="utf-8"))
    stated["spec"]["model"] |= measured_from()
    (tmp_path / "resnet.yaml").write_text(yaml.safe_dump(stated), encoding="utf-8")
    api.apply_object(config_map("points", points_jsonl=run_line(1, 0.004)))
    api.apply_object(config_map("another", points_jsonl=run_line(1, 0.004)))
    _, out, _ = berth("snapshot", *AT, "-f", tmp_path)
    workloads = {one["key"]: one for one in json.loads(out)["workloads"]}
    assert len(workloads["vision/resnet"]["measured"]) == 1
    read = cluster_world(plane.kubeconfig, also=[stated]).config_maps
    assert [each["metadata"]["name"] for each in read] == ["points"]


def test_explain_is_about_the_live_cluster_unless_files_are_given(api: Api, berth: Berth) -> None:
    code, out, _ = berth("explain", "-n", "vision", "resnet")
    assert code == 0 and out.startswith("vision/resnet is placed on ")


def test_long_lists_are_read_page_by_page(api: Api, plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    everything = cluster_world(plane.kubeconfig)
    monkeypatch.setattr(cluster, "PAGE", 2)
    assert cluster_world(plane.kubeconfig) == everything
    assert len(everything.nodes) > 2


def test_who_may_not_list_everything_is_told_what_to_ask_for(api: Api, berth: Berth, tmp_path: Path) -> None:
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "guest", "namespace": "default"}}
    api.apply_object(account)
    token = api.create("/api/v1/namespaces/default/serviceaccounts/guest/token", {"spec": {}})["status"]["token"]
    guest = json.loads(api.kubeconfig.read_text(encoding="utf-8"))
    guest["users"][0]["user"] = {"token": token}
    kubeconfig = tmp_path / "guest.kubeconfig"
    kubeconfig.write_text(json.dumps(guest), encoding="utf-8")
    code, _, err = berth("plan", kubeconfig=kubeconfig)
    assert code == 1
    assert "not allowed to list inferenceworkloads: inferenceworkloads.berthmaster.dev is forbidden" in err
    assert "berth snapshot --cluster" in err


def test_an_api_server_that_does_not_answer_is_named(api: Api, berth: Berth, tmp_path: Path) -> None:
    config = json.loads(api.kubeconfig.read_text(encoding="utf-8"))
    config["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:9"
    kubeconfig = tmp_path / "away.kubeconfig"
    kubeconfig.write_text(json.dumps(config), encoding="utf-8")
    code, out, err = berth("plan", kubeconfig=kubeconfig)
    assert (code, out) == (1, "")
    assert err.startswith("error: --cluster: the API server at https://127.0.0.1:9 cannot be reached: ")
    assert "refused" in err and len(err.splitlines()) == 2


def test_a_float_is_refused_in_the_very_words_of_the_api_server(api: Api, tmp_path: Path) -> None:
    thing = workload("float", "default", traffic={"requestsPerSecond": 0.5})
    with pytest.raises(ApiError) as theirs:
        api.create(WORKLOADS, thing)
    (tmp_path / "float.yaml").write_text(yaml.safe_dump(thing), encoding="utf-8")
    with pytest.raises(InvalidManifests) as ours:
        read_manifests([tmp_path])
    words = ours.value.flaws[0].message.partition(": put it in quotes")[0]
    assert words.startswith('Invalid value: "number"')
    assert words in theirs.value.message
