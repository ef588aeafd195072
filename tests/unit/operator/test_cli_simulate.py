"""``berth simulate`` as a person meets it."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from berth_scheduler.simulation.simulation_record import Simulation
from command_line import Berth
from kubernetes_objects import claim, pool, workload

ROOT = Path(__file__).resolve().parents[3]
LANGUAGE = ("-f", ROOT / "examples/llama8b.yaml", "-f", ROOT / "examples/pools.yaml")
POLICIES = ["berthmaster", "static-peak", "hpa-gpu-utilization", "hpa-queue-time", "keda-threshold", "hindsight"]


@pytest.fixture
def infra(tmp_path: Path) -> Path:
    """A network that is planned for 200/s on up to twenty L4 at 1 USD an hour."""
    supply = pool(
        "l4", maximumNodes=20, nodeSelector={"pool": "l4"}, nodeResources={"cpu": 8, "memory": "32Gi"},
        price={"usdPerNodeHour": "1"},
    )  # fmt: skip
    (tmp_path / "all.yaml").write_text(yaml.safe_dump_all([workload(), claim(), supply]), encoding="utf-8")
    return tmp_path / "all.yaml"


@pytest.fixture
def trace(tmp_path: Path) -> Callable[..., Path]:
    def write(*rows: object, header: str = "t_s,requests_per_min", name: str = "day.csv") -> Path:
        file = tmp_path / name
        file.write_text("\n".join([header, *map(str, rows)]) + "\n", encoding="utf-8")
        return file

    return write


def test_the_json_is_the_documented_one(berth: Berth, infra: Path, trace: Callable[..., Path]) -> None:
    file = trace("0,6000", "3600,30000", "7200,6000")
    code, out, _ = berth("simulate", "-f", infra, "--trace", file, "-o", "json")
    simulation = json.loads(out)
    assert code == 0
    assert (simulation["kind"], simulation["trace"], simulation["windows"]) == ("Simulation", "day.csv", 120)
    assert [one["name"] for one in simulation["policies"]] == POLICIES
    for one in simulation["policies"]:
        assert {"windowsMetPercent", "usd", "gpuHours", "scalingsPerDay", "utilizationPercent"} <= set(one)
    best = simulation["policies"][-1]
    assert best["windowsMetPercent"] == 100
    Simulation.model_validate_json(out)


def test_equal_input_gives_equal_bytes(berth: Berth, infra: Path, trace: Callable[..., Path]) -> None:
    arguments = ("simulate", "-f", infra, "--trace", trace("0,6000", "3600,30000", "7200,6000"), "-o", "json")
    assert berth(*arguments) == berth(*arguments)


def test_the_table_answers_first_and_is_at_most_a_hundred_columns_wide(
    berth: Berth, infra: Path, trace: Callable[..., Path]
) -> None:
    code, out, _ = berth("simulate", "-f", infra, "--trace", trace("0,6000", "3600,30000", "7200,6000"))
    lines = out.split("\n")
    assert code == 0
    assert lines[0].startswith("vision/resnet keeps its objectives in ")
    assert all(len(line) <= 100 for line in lines)
    assert [line.split()[0] for line in lines[3:9]] == POLICIES


def test_settings_are_those_of_the_workload_unless_the_command_line_says_otherwise(
    berth: Berth, infra: Path, trace: Callable[..., Path]
) -> None:
    things = list(yaml.safe_load_all(infra.read_text(encoding="utf-8")))
    things[0]["spec"]["autoscaling"] = {
        "targetUtilizationPercent": 50, "scaleDownStabilizationSeconds": 60, "allowedMissPercent": "0.5",
    }  # fmt: skip
    infra.write_text(yaml.safe_dump_all(things), encoding="utf-8")
    file = trace("0,60000", "3600,300000", "7200,60000")

    def simulated(*options: object) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(berth("simulate", "-f", infra, "--trace", file, *options, "-o", "json")[1])
        return found

    stated, dearer = simulated(), simulated("--target-utilization-percent", 30)
    names = ("targetUtilizationPercent", "scaleDownStabilizationSeconds", "allowedMissPercent")
    assert [stated[name] for name in names] == [50, 60, 0.5]
    assert [dearer[name] for name in names] == [30, 60, 0.5]
    assert float(dearer["policies"][0]["usd"]) > float(stated["policies"][0]["usd"])


def test_other_settings_are_played_from_careful_to_cheap(berth: Berth, infra: Path, trace: Callable[..., Path]) -> None:
    file = trace(*(f"{600 * at},{60000 + 12000 * (at % 24)}" for at in range(72)))
    asked = ("simulate", "-f", infra, "--trace", file, "--other-settings")
    code, out, _ = berth(*asked, "-o", "json")
    simulation = json.loads(out)
    assert code == 0
    assert len(simulation["settings"]) == 10
    costs = [float(each["result"]["usd"]) for each in simulation["settings"]]
    assert costs[0] == max(costs) and costs[-1] == min(costs)
    policies = {one["name"]: one for one in simulation["policies"]}
    for each in simulation["settings"]:
        for name in each["noWorseThan"]:
            assert each["result"]["windowsMetPercent"] >= policies[name]["windowsMetPercent"]
            assert float(each["result"]["usd"]) <= float(policies[name]["usd"])
    assert any(each["noWorseThan"] for each in simulation["settings"])
    table = berth(*asked)[1].split("\n")
    heading = next(place for place, line in enumerate(table) if line.lstrip().startswith("TARGET"))
    assert table[heading + 4].split()[:6] == ["75", "%", "1", "%", "300", "s"]
    assert all(len(line) <= 100 for line in table)


def test_a_longer_cold_start_costs_more_or_misses_more(berth: Berth, infra: Path, trace: Callable[..., Path]) -> None:
    file = trace(*(f"{600 * at},{60 * (200 + 1500 * (at % 3))}" for at in range(40)))

    def ours(seconds: int) -> dict[str, Any]:
        _, out, _ = berth("simulate", "-f", infra, "--trace", file, "--cold-start-seconds", seconds, "-o", "json")
        found: dict[str, Any] = json.loads(out)["policies"][0]
        return found

    quick, slow = ours(30), ours(900)
    assert float(slow["usd"]) > float(quick["usd"]) or slow["windowsMetPercent"] < quick["windowsMetPercent"]


def test_longer_requests_need_more_replicas(berth: Berth, trace: Callable[..., Path]) -> None:
    header = "t_s,requests_per_min,mean_prompt_tokens,mean_output_tokens"

    def hindsight(prompt: int, output: int) -> float:
        file = trace(f"0,180,{prompt},{output}", f"3600,180,{prompt},{output}", header=header)
        code, out, _ = berth("simulate", *LANGUAGE, "--trace", file, "-o", "json")
        assert code == 0
        return float(json.loads(out)["requestsPerSecondPerReplica"])

    assert hindsight(512, 128) > 1.5 * hindsight(512, 512)


def test_columns_that_say_nothing_about_this_workload_are_noted(
    berth: Berth, infra: Path, trace: Callable[..., Path]
) -> None:
    header = "t_s,window_s,requests_per_min,mean_prompt_tokens,mean_output_tokens"
    code, _, err = berth("simulate", "-f", infra, "--trace", trace("0,60,600,9,9", "600,60,600,9,9", header=header))
    assert code == 0
    assert "columns that a simulation does not read: window_s" in err
    assert "vision/resnet is no language model" in err


def test_holes_are_cut_out_and_said(berth: Berth, infra: Path, trace: Callable[..., Path]) -> None:
    rates = [6000] * 60 + [0] * 30 + [6000] * 60
    _, out, err = berth(
        "simulate", "-f", infra, "--trace", trace(*(f"{60 * at},{rate}" for at, rate in enumerate(rates)))
    )
    assert "zeros from t_s 3540 to 5400: a hole in the trace, not demand: cut out" in err
    assert "32 windows are left out" in out


def test_missing_rows_are_cut_out_and_said(berth: Berth, infra: Path, trace: Callable[..., Path]) -> None:
    rows = [f"{60 * at},6000" for at in (*range(60), *range(120, 180))]
    _, out, err = berth("simulate", "-f", infra, "--trace", trace(*rows))
    assert "no rows from t_s 3540 to 7200: a hole in the trace, not demand: cut out" in err
    assert "62 windows are left out" in out


def test_a_time_that_is_in_milliseconds_is_asked_about(berth: Berth, infra: Path, trace: Callable[..., Path]) -> None:
    rows = [f"{1_700_000_000_000 + 60_000 * at},6000" for at in range(10)]
    _, _, err = berth("simulate", "-f", infra, "--trace", trace(*rows))
    assert "rows are 60,000 s apart, and demand between them is taken for a line: is t_s in seconds?" in err


@pytest.mark.parametrize("ends", ["\r\n", "\r"])
def test_lines_may_end_in_any_way_and_gzip_may_have_made_the_file_smaller(
    berth: Berth, infra: Path, trace: Callable[..., Path], ends: str
) -> None:
    plain = trace("0,6000", "3600,30000", "7200,6000")
    expected = berth("simulate", "-f", infra, "--trace", plain, "-o", "json")
    content = plain.read_bytes()
    for changed in (content.replace(b"\n", ends.encode()), gzip.compress(content)):
        plain.write_bytes(changed)
        assert berth("simulate", "-f", infra, "--trace", plain, "-o", "json") == expected


def test_demand_beyond_the_maximum_is_said(berth: Berth, infra: Path, trace: Callable[..., Path]) -> None:
    code, out, _ = berth("simulate", "-f", infra, "--trace", trace("0,6000000", "600,6000000"))
    assert code == 0
    assert "10 windows need more than the 20 replicas" in " ".join(out.split())


def test_what_cannot_be_placed_is_exit_code_2(berth: Berth, trace: Callable[..., Path]) -> None:
    code, out, err = berth(
        "simulate", "-f", ROOT / "examples", "--workload", "huge", "--trace", trace("0,600", "600,600")
    )
    assert (code, out) == (2, "")
    assert "vision/huge cannot be placed, so there is nothing to simulate" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--cold-start-seconds", "-1"), "--cold-start-seconds -1: must be between 0 and 7200"),
        (("--cold-start-seconds", "nan"), "--cold-start-seconds nan: must be between"),
        (("--target-utilization-percent", "0"), "--target-utilization-percent 0: must be between 10 and 100"),
        (("--scale-down-stabilization-seconds", "-5"), "--scale-down-stabilization-seconds -5: must be"),
        (("--allowed-miss-percent", "90"), "--allowed-miss-percent 90: must be between 0.1 and 50"),
        (("--workload", "nobody"), "there is no workload nobody"),
    ],
)
def test_options_that_cannot_be_are_errors(
    berth: Berth, infra: Path, trace: Callable[..., Path], arguments: tuple[str, ...], said: str
) -> None:
    code, out, err = berth("simulate", "-f", infra, "--trace", trace("0,600", "600,600"), *arguments)
    assert (code, out) == (1, "")
    assert said in err


def test_several_workloads_need_a_name(berth: Berth, trace: Callable[..., Path]) -> None:
    code, _, err = berth("simulate", "-f", ROOT / "examples", "--trace", trace("0,600", "600,600"))
    assert code == 1
    assert "say which with --workload (chat/embedder" in err or "say which with --workload (" in err


def test_a_trace_that_cannot_be_used_is_named_with_its_line(berth: Berth, infra: Path, tmp_path: Path) -> None:
    file = tmp_path / "bad.csv"
    for content, said in (
        (b"t_s,requests_per_min\n0,1\n60,oops\n", "bad.csv: line 3: requests_per_min is 'oops': write a finite number"),
        (b"t_s,requests_per_min\n0,1\n\xff\xfe,1\n", "bad.csv: line 3: is not text in UTF-8"),
        (gzip.compress(b"t_s,requests_per_min\n0,1\n600,1\n")[:-9], "bad.csv: is no whole gzip file"),
        (gzip.compress(b"0" * (200 * 2**20 + 1), 1), "bad.csv: larger than 200 MiB: thin the trace out"),
        (b"", "bad.csv: line 1: the first line must name the column t_s once, and it is empty"),
    ):
        file.write_bytes(content)
        code, out, err = berth("simulate", "-f", infra, "--trace", file)
        assert (code, out) == (1, "")
        assert said in err
    code, _, err = berth("simulate", "-f", infra, "--trace", tmp_path / "none.csv")
    assert code == 1
    assert "none.csv: No such file" in err
    code, _, err = berth("simulate", "-f", infra, "--trace", "/dev/zero")
    assert code == 1
    assert "/dev/zero: larger than 200 MiB" in err


def test_a_spot_trace_needs_a_spot_berth(berth: Berth, infra: Path, trace: Callable[..., Path]) -> None:
    spot = trace("0,3", header="t_s,nodes_available", name="spot.csv")
    code, _, err = berth("simulate", "-f", infra, "--trace", trace("0,600", "600,600"), "--spot-trace", spot)
    assert code == 1
    assert "vision/resnet has no spot berth to apply it to" in err


ZONES = """trace_id,tick_start,tick_end,nodes_available
us-east-1a,0,10,4
us-east-1a,10,40,0
us-east-1b,0,40,1
"""


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """The same network, on spot at a third of the price as far as the share goes."""
    asked = workload()
    asked["spec"]["placement"] = {"capacityTypes": ["OnDemand", "Spot"]}
    same = {"maximumNodes": 20, "nodeResources": {"cpu": 8, "memory": "32Gi"}}
    steady = pool("l4", nodeSelector={"pool": "l4"}, price={"usdPerNodeHour": "1"}, **same)
    spot = pool(
        "l4-spot", nodeSelector={"pool": "spot"}, price={"usdPerNodeHour": "0.35"}, capacityType="Spot",
        spot={"interruptionsPerHour": "0.5", "startupSeconds": 240}, **same,
    )  # fmt: skip
    (tmp_path / "mixed.yaml").write_text(yaml.safe_dump_all([asked, claim(), steady, spot]), encoding="utf-8")
    return tmp_path / "mixed.yaml"


def test_a_spot_trace_by_zones_is_added_up_and_followed(
    berth: Berth, mixed: Path, trace: Callable[..., Path], tmp_path: Path
) -> None:
    spot, demand = tmp_path / "zones.csv", trace("0,500000", "7200,500000")
    spot.write_text(ZONES, encoding="utf-8")

    def simulated(*more: object) -> dict[str, Any]:
        code, out, err = berth("simulate", "-f", mixed, "--trace", demand, *more, "-o", "json")
        assert code == 0, err
        found: dict[str, Any] = json.loads(out)
        return found

    free = simulated()
    both = simulated("--spot-trace", spot)
    one = simulated("--spot-trace", spot, "--spot-select", "*1b")
    assert free["coldStartSeconds"] == 240
    costs = [float(each["policies"][0]["usd"]) for each in (free, both, one)]
    assert costs == sorted(costs) and len(set(costs)) == 3
    assert simulated("--seed", 1) == simulated("--seed", 1) != simulated("--seed", 2)
    spot.write_text("trace_id,tick_start,tick_end,nodes_available\nus-east-1a,5,3,1\n", encoding="utf-8")
    code, _, err = berth("simulate", "-f", mixed, "--trace", demand, "--spot-trace", spot)
    assert code == 1
    assert "line 2" in err
