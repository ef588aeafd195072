"""``berth cost commit`` as a user types it: the advice, the table, the JSON, and what is refused."""

import json
import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from berth_operator.cli import run

NODE = "aws/us-east-1/g6e.xlarge"


def demand(days: float, rate: Any) -> str:
    """``rate`` in requests a minute by hour."""
    rows = [f"{hour * 3600},{rate(hour):.3f}" for hour in range(int(days * 24) + 1)]
    return "\n".join(["t_s,requests_per_min", *rows]) + "\n"


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """From 2 to 10 replicas of 1 request/s over the day."""
    path = tmp_path / "demand.csv"
    path.write_text(demand(10, lambda hour: 60 * (6 - 4 * math.cos(2 * math.pi * hour / 24))), encoding="utf-8")
    return path


def commit(*arguments: object) -> int:
    return run(["cost", "commit", *map(str, arguments)])


def study(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    assert commit(*arguments, "-o", "json") == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert commit(*arguments) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err


def test_steady_demand_is_reserved_to_the_last_replica(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "steady.csv"
    path.write_text(demand(8, lambda hour: 60 * 6.5), encoding="utf-8")
    found = study(capsys, "--trace", path, "--node", NODE, "--replica-rate", 1)
    prices = {one["bought"]: Decimal(one["usdPerReplicaHour"]) for one in found["prices"]}
    assert (found["advice"]["replicas"], found["meanReplicas"], found["peakReplicas"]) == (7, 7.0, 7)
    assert Decimal(found["advice"]["usdPerHour"]) == 7 * prices["OneYear"]
    by_name = {one["name"]: one for one in found["policies"]}
    assert Decimal(by_name["static-peak"]["usdPerHour"]) == 7 * prices["OnDemand"]
    assert (by_name["two-stage"]["reserved"], by_name["two-stage"]["overHindsightPercent"]) == (7, 0.0)


def test_a_course_of_the_day_is_reserved_in_part(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = study(capsys, "--trace", trace, "--node", NODE, "--replica-rate", 1)
    assert 4 <= found["advice"]["replicas"] <= 9
    assert (found["knownDays"], found["judgedDays"]) == (5.0, 5.0)
    ours = next(one for one in found["policies"] if one["name"] == "two-stage")
    assert ours["overHindsightPercent"] < 2


def test_spot_leaves_less_to_reserve(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ("--trace", trace, "--node", NODE, "--replica-rate", 1)
    without, with_spot = study(capsys, *asked), study(capsys, *asked, "--spot-share-percent", 70)
    assert with_spot["advice"]["replicas"] < without["advice"]["replicas"]
    assert [one["bought"] for one in with_spot["prices"]] == ["OnDemand", "OneYear", "Spot"]
    assert "spot" in [one["name"] for one in with_spot["policies"]]


def test_replicas_share_nodes_and_their_price(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = study(capsys, "--trace", trace, "--node", "aws/us-east-1/g6e.12xlarge", "--replica-rate", 1)
    pair = study(
        capsys, "--trace", trace, "--node", "aws/us-east-1/g6e.12xlarge", "--replica-rate", 1,
        "--gpus-per-replica", 2,
    )  # fmt: skip
    assert whole["advice"]["nodes"] == math.ceil(whole["advice"]["replicas"] / 4)
    assert pair["advice"]["nodes"] == math.ceil(pair["advice"]["replicas"] / 2)
    each = [Decimal(found["prices"][0]["usdPerReplicaHour"]) for found in (whole, pair)]
    assert each[1] == 2 * each[0]


def test_the_table_begins_with_the_advice_and_is_the_same_twice(
    trace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ("--trace", trace, "--node", NODE, "--replica-rate", 1)
    assert commit(*asked) == 0
    out = capsys.readouterr().out
    assert out.startswith("Reserve ")
    assert max(map(len, out.splitlines())) <= 100
    assert commit(*asked) == 0
    assert capsys.readouterr().out == out
    assert commit(*asked, "-o", "markdown") == 0
    assert "| two-stage | " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--node", "g6e.xlarge"), "--node g6e.xlarge: state CLOUD/REGION/TYPE"),
        (("--node", "aws/us-east-1/g99.huge"), "no instance type g99.huge"),
        (("--node", "aws/mars-1/g6e.xlarge"), "no price of g6e.xlarge in mars-1"),
        (("--term", "Forever"), "--term Forever: must be OneYear or ThreeYears"),
        (("--season", "year"), "--season year: must be day or week"),
        (("--season", "week"), "10 days of demand are less than 3 weeks"),
        (("--spot-share-percent", "120"), "--spot-share-percent 120: must be from 0 to 100"),
        (("--replica-rate", "nan"), "--replica-rate nan: must be above 0"),
        (("--replica-rate", "0"), "--replica-rate 0: must be above 0"),
        (("--gpus-per-replica", "2"), "has 1 GPUs, and a replica needs 2"),
        (("--gpus-per-replica", "-1"), "--gpus-per-replica -1: must be above 0"),
    ],
)
def test_what_cannot_be_is_refused_by_its_name(
    trace: Path, arguments: tuple[str, str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = {"--trace": str(trace), "--node": NODE, "--replica-rate": "1"} | dict([arguments])
    assert said in refused(capsys, *(word for option in asked.items() for word in option))


def test_what_a_replica_sustains_must_be_said_once(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "say what one replica sustains" in refused(capsys, "--trace", trace, "--node", NODE)


def test_a_line_of_the_trace_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "demand.csv"
    path.write_text("t_s,requests_per_min\n0,1\n600,1,000\n", encoding="utf-8")
    assert f"{path}: line 3: " in refused(capsys, "--trace", path, "--node", NODE, "--replica-rate", 1)


def test_a_workload_is_planned_for_what_a_replica_sustains(
    trace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifests = tmp_path / "fleet.yaml"
    manifests.write_text(
        """
apiVersion: berthmaster.dev/v1alpha1
kind: InferenceWorkload
metadata: {name: resnet, namespace: vision}
spec:
  model:
    preset: resnet50
    variants: [{precision: fp16, source: {persistentVolumeClaim: {claimName: models, path: resnet50/fp16}}}]
  traffic: {requestsPerSecond: 200}
  objectives: {latency: {p99Milliseconds: 50}}
---
apiVersion: berthmaster.dev/v1alpha1
kind: GPUPool
metadata: {name: l40s}
spec:
  gpu: L40S
  nodeSelector: {pool: l40s}
  capacityType: OnDemand
  gpusPerNode: 1
  maximumNodes: 40
  nodeResources: {cpu: "16", memory: 64Gi}
  price: {usdPerNodeHour: "1.861"}
""",
        encoding="utf-8",
    )
    found = study(capsys, "--trace", trace, "--node", NODE, "-f", manifests)
    assert found["requestsPerSecondPerReplica"] > 200
    assert (found["gpusPerReplica"], found["peakReplicas"], found["advice"]["replicas"]) == (1.0, 1, 1)
