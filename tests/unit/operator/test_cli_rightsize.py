"""``berth rightsize`` as a person meets it."""

import json
from pathlib import Path

import pytest
import yaml

from berth_operator.cli import run
from berth_scheduler.right_sizing.assessment import RightSizingReport
from kubernetes_objects import claim, pool, workload


def supply(name, gpu, usd):
    return pool(
        name, gpu=gpu, maximumNodes=20, nodeSelector={"pool": name}, nodeResources={"cpu": 8, "memory": "32Gi"},
        price={"usdPerNodeHour": usd},
    )  # fmt: skip


@pytest.fixture
def berth(capsys):
    def call(*arguments):
        code = run(["rightsize", *map(str, arguments)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


@pytest.fixture
def infra(tmp_path: Path) -> Path:
    """A network for which one H100 is cheaper than the many L4 that 20,000 requests/s need."""
    model = workload()
    model["spec"] |= {"traffic": {"requestsPerSecond": 20000}, "replicas": {"maximum": 100}}
    things = [model, claim(), supply("l4", "L4", "1"), supply("h100", "H100-PCIe-80GB", "2.5")]
    (tmp_path / "all.yaml").write_text(yaml.safe_dump_all(things), encoding="utf-8")
    return tmp_path / "all.yaml"


@pytest.fixture
def observed(tmp_path: Path):
    def write(*lines: str, name: str = "observed.csv") -> Path:
        (tmp_path / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
        return tmp_path / name

    return write


HEADER = "workload,requests_per_second"


def test_little_traffic_makes_a_small_gpu_do(berth, infra, observed):
    code, out, _ = berth("-f", infra, "--observed", observed(HEADER, "vision/resnet,20"))
    assert code == 0, out
    assert out.startswith("1 of 1 workload would cost $1,095 a month less on other berths.")
    assert "1 × L4" in out
    assert "Under observed traffic, 20/s." in out


def test_the_json_is_a_record_with_the_money(berth, infra, observed):
    code, out, _ = berth("-f", infra, "--observed", observed(HEADER, "vision/resnet,20"), "-o", "json")
    found = RightSizingReport.model_validate_json(out)
    assert code == 0
    assert json.loads(out)["savingUSDPerMonth"] == "1095.00"
    assert found.workloads[0].proposal.saving_percent == 60


def test_a_json_of_observations_says_the_same_as_a_csv(berth, infra, observed):
    seen = {"vision/resnet": {"at": "2026-11-02T12:00:00Z", "hours": 24, "requestsPerSecond": 20}}
    file = observed(json.dumps(seen), name="observed.json")
    _, from_json, _ = berth("-f", infra, "--observed", file)
    _, from_csv, _ = berth("-f", infra, "--observed", observed(HEADER, "vision/resnet,20"))
    assert from_json == from_csv


def test_without_observations_the_stated_traffic_is_asked_about(berth, infra):
    code, out, _ = berth("-f", infra)
    assert code == 0
    assert "no other berth saves enough" in out
    assert "Under stated traffic, 20,000/s." in " ".join(out.split())


def test_the_bounds_can_be_given(berth, infra, observed):
    file = observed(HEADER, "vision/resnet,20")
    _, out, _ = berth("-f", infra, "--observed", file, "--minimum-saving-percent", 70)
    assert "saves too little" in out
    _, out, _ = berth("-f", infra, "--observed", file, "--maximum-payback-hours", "0.001")
    assert "pays back late" in out


def test_what_cannot_be_placed_is_exit_code_2(berth, infra):
    things = list(yaml.safe_load_all(infra.read_text(encoding="utf-8")))
    things[0]["spec"]["objectives"] = {"latency": {"p99Milliseconds": "0.001"}}
    infra.write_text(yaml.safe_dump_all(things), encoding="utf-8")
    code, _, err = berth("-f", infra)
    assert code == 2
    assert "cannot be placed" in err


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (("workload,rate", "vision/resnet,1"), "no column requests_per_second, unknown column 'rate'"),
        ((HEADER, "resnet,1"), "observed.csv:2: workload 'resnet': must be NAMESPACE/NAME"),
        ((HEADER, "vision/resnet,-1"), "requests_per_second -1: must be between 0"),
        ((HEADER, "vision/resnet,nan"), "requests_per_second nan: must be between 0"),
        ((HEADER, "vision/resnet,many"), "requests_per_second 'many': must be a number"),
        ((HEADER, "vision/resnet,"), "requests_per_second is empty"),
        ((HEADER, "vision/resnet,1,2"), "more cells than there are columns"),
        ((HEADER, "vision/resnet,1", "vision/resnet,2"), "observed.csv:3: vision/resnet is there twice"),
        ((HEADER, "vision/other,1"), "there is no workload vision/other"),
        ((HEADER + ",input_tokens_mean", "vision/resnet,1,5"), "go together"),
        (('{"vision/resnet": {"hours": 24}}',), "requestsPerSecond: Field required"),
    ],
)
def test_a_flaw_in_the_observations_is_named(berth, infra, observed, lines, said):
    code, _, err = berth("-f", infra, "--observed", observed(*lines))
    assert code == 1
    assert said in err
