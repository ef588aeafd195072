"""``berth cost compare`` as a person or a pipeline meets it."""

import copy
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from berth_cost.ownership.comparison import Comparison
from berth_operator.cli import run
from kubernetes_objects import pool, workload

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"

Compare = Callable[..., tuple[int, str, str]]

PLAIN: dict[str, Any] = {
    "horizonMonths": 48,
    "hoursPerMonth": "730",
    "discountRatePercent": "10",
    "compounding": "monthly",
    "demand": {"gpus": 64, "utilizationPercent": "70"},
    "baseline": "rented",
    "options": [
        {"name": "owned", "owned": {"capexUSD": "1920000", "lifeMonths": 48, "opexUSDPerMonth": "15180.85"}},
        {"name": "rented", "rented": {"usdPerGPUHour": "2.00", "billed": "used"}},
    ],
}


@pytest.fixture
def compare(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Compare:
    """``compare(scenario or text, *options)``: exit code, stdout, stderr."""

    def call(scenario: dict[str, Any] | str, *arguments: object) -> tuple[int, str, str]:
        file = tmp_path / "scenario.yaml"
        text = scenario if isinstance(scenario, str) else yaml.safe_dump(scenario, sort_keys=False)
        file.write_text(text, encoding="utf-8")
        code = run(["cost", "compare", str(file), *map(str, arguments)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def plain(path: str = "", value: object = None) -> dict[str, Any]:
    """The plain scenario with one value at ``options.0.owned.capexUSD``, say; ``...`` takes the key away."""
    stated = copy.deepcopy(PLAIN)
    if not path:
        return stated
    *steps, last = path.split(".")
    at: Any = stated
    for step in steps:
        at = at[int(step)] if isinstance(at, list) else at.setdefault(step, {})
    if value is ...:
        del at[last]
    else:
        at[last] = value
    return stated


def test_the_first_line_is_the_answer_and_says_against_what(compare: Compare) -> None:
    code, out, err = compare(plain())
    assert (code, err) == (0, "")
    first = " ".join(out.split("\n\n")[0].split())
    assert first.startswith("owned is the cheapest of 2 options: $2,648,681 over 48 months, $490,903 (16 %) less")
    assert "than rented, the baseline" in first
    assert all(len(line) <= 100 for line in out.splitlines())


def test_many_options_with_long_names_stay_within_the_page(compare: Compare) -> None:
    stated = plain()
    stated["options"] += [
        {"name": f"an option with a long name, {place}".replace(",", ""), "rented": {"usdPerGPUHour": place}}
        for place in range(2, 10)
    ]
    _, out, _ = compare(stated, "--scaling", "--draws", 20)
    assert all(len(line) <= 100 for line in out.splitlines())
    assert "Where the money goes, continued" in out
    assert "AN OP…G NAME 9" in out and "opex" in out


def test_json_has_what_the_contract_names(compare: Compare) -> None:
    code, out, _ = compare(plain("compounding", "yearly"), "-o", "json")
    found = json.loads(out)
    assert code == 0
    assert (found["kind"], found["baseline"]) == ("Comparison", "rented")
    owned = found["options"][0]
    assert owned["totalUSD"] == "2648680.80"
    assert owned["npvUSD"] == "-9440.31"
    assert owned["breakEvenUtilizationPercent"] == 59.0548
    assert found["options"][1]["npvUSD"] is None
    assert Comparison.model_validate_json(out).cheapest == "owned"


def test_yaml_and_json_say_the_same(compare: Compare) -> None:
    assert yaml.safe_load(compare(plain(), "-o", "yaml")[1]) == json.loads(compare(plain(), "-o", "json")[1])


def test_markdown_has_the_tables(compare: Compare) -> None:
    out = compare(plain(), "-o", "markdown")[1]
    assert out.startswith("**owned is the cheapest of 2 options")
    assert "| owned | $1,920,000 | $490,903 |" in out


def test_equal_input_gives_equal_bytes(compare: Compare) -> None:
    asked = ("-o", "json", "--draws", 200, "--seed", 3, "--scaling")
    assert compare(plain(), *asked) == compare(plain(), *asked)


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("options.1.rented.usdPerGPUHour", "-2", "usdPerGPUHour: must be above 0"),
        ("options.1.rented.usdPerGPUHour", "NaN", "usdPerGPUHour: must be a plain decimal"),
        ("options.1.rented.usdPerGPUHour", float("nan"), "usdPerGPUHour: must be a plain decimal"),
        ("options.1.rented.usdPerGPUHour", float("inf"), "usdPerGPUHour: must be a plain decimal"),
        ("options.1.rented.usdPerGPUHour", "2.00 EUR", "in US dollars: convert"),
        ("options.1.rented.usdPerGPUHour", "€2.00", "in US dollars: convert"),
        ("options.1.rented.usdPerGPUHour", "$2.00", "without a unit"),
        ("options.1.rented.usdPerGPUHour", True, "usdPerGPUHour: must be a plain decimal"),
        ("options.1.rented.usdPerGPUHour", [2], "usdPerGPUHour: must be a plain decimal"),
        ("options.1.rented.usdPerGPUHour", ..., "exactly one of usdPerGPUHour, perNode, price; there is none"),
        ("options.1.rented.eurPerGPUHour", "2", "eurPerGPUHour: unknown field (known: usdPerGPUHour"),
        ("options.0.owned.capexUSD", "1,920,000", "without separators between thousands: is '1,920,000' '1920000'?"),
        ("options.0.owned.capexUSD", "1_920_000", "without separators between thousands"),
        ("options.0.owned.capexUSD", "1.920.000,00", "capexUSD: must be a plain decimal"),
        ("options.0.owned.capexUSD", "1e6", "capexUSD: must be a plain decimal"),
        ("options.0.owned.capexUSD", "9" * 40, "more than 28 digits"),
        ("options.0.owned.capexUSD", "0", "must be above 0"),
        ("options.0.owned.lifeMonths", 0, "lifeMonths: must be whole months, 1 to 600"),
        ("options.0.owned.lifeMonths", "36.5", "lifeMonths: must be whole months"),
        ("options.0.owned.residualPercent", 120, "residualPercent: must be from 0 to 100"),
        ("options.0.owned.monthlyUSD", {"tax": "-5"}, "monthlyUSD.tax: must not be negative"),
        ("options.0.owned.power", {"idleKW": 9, "busyKW": 2, "usdPerKWh": "0.1"}, "busyKW 2 is below idleKW 9"),
        ("options.0.owned.power", {"idleKW": 1, "busyKW": 2, "usdPerKWh": "0.1", "pue": "0.9"}, "pue: must be from 1"),
        ("options.0.name", "rented", "two options are named rented"),
        ("options.0.rented", {"usdPerGPUHour": 2}, "exactly one of owned, rented, reserved"),
        ("options", [], "options: must have at least 1 item"),
        ("baseline", "spot", "baseline spot names no option; there are owned, rented"),
        ("horizonMonths", 0, "horizonMonths: must be at least 1"),
        ("horizonMonths", ..., "horizonMonths: Required value"),
        ("hoursPerMonth", ..., "hoursPerMonth: Required value"),
        ("hoursPerMonth", "800", "hoursPerMonth 800 is more than a month has"),
        ("discountRatePercent", "-100", "discountRatePercent: must be from -50"),
        ("currency", "EUR", "currency: must be 'USD'"),
        ("compounding", "daily", "compounding: must be 'monthly' or 'yearly'"),
        ("demand.utilizationPercent", 120, "utilizationPercent: must be from 0 to 100"),
        ("demand.utilizationPercent", -1, "utilizationPercent: must be from 0 to 100"),
        ("demand.gpus", 0, "gpus: must be above 0"),
        ("ranges", {"owned.capex": {"low": 1, "high": 2}}, "owned.capex: is no input of this scenario; there are"),
        ("ranges", {"owned.capexUSD": {"low": 3, "high": 2}}, "low 3 must be below high 2"),
    ],
)
def test_hostile_input_is_refused_by_name(compare: Compare, path: str, value: object, said: str) -> None:
    code, out, err = compare(plain(path, value))
    assert (code, out) == (1, "")
    assert said in err
    assert "scenario.yaml:" in err


@pytest.mark.parametrize(
    ("path", "value", "flagged"),
    [
        ("options.1.rented.usdPerGPUHour", "98.32", "rented.usdPerGPUHour: $98.32/h for one GPU is above every GPU"),
        ("demand.utilizationPercent", "0.7", "demand.utilizationPercent: 0.7 is at most 1 %"),
        ("demand.utilizationPercent", "0", "demand.utilizationPercent: 0: nothing is used"),
        ("discountRatePercent", "-5", "discountRatePercent: -5 is negative"),
        ("options.0.owned.capexUSD", "30000", "owned.capexUSD: comes to $469 a GPU"),
        ("hoursPerMonth", "8760", None),
    ],
)
def test_what_looks_wrong_is_flagged(compare: Compare, path: str, value: object, flagged: str | None) -> None:
    code, out, _ = compare(plain(path, value))
    if flagged is None:
        assert code == 1
        return
    assert code == 0
    assert flagged in " ".join(out.partition("Looks wrong")[2].split())


def test_a_node_price_beside_gpu_prices_is_flagged_although_gpus_can_cost_as_much(compare: Compare) -> None:
    stated = plain("options.1.rented.usdPerGPUHour", "2.10")
    stated["options"].append({"name": "other", "rented": {"usdPerGPUHour": "16.80"}})
    flags = json.loads(compare(stated, "-o", "json")[1])["flags"]
    assert [flag["input"] for flag in flags] == ["other.usdPerGPUHour"]
    assert "8.0 times the cheapest other option" in flags[0]["message"]
    assert "$2.10 with 8" in flags[0]["message"]


def test_a_node_price_is_flagged_beside_owned_hardware_alone(compare: Compare) -> None:
    flags = json.loads(compare(plain("options.1.rented.usdPerGPUHour", "16.00"), "-o", "json")[1])["flags"]
    assert [flag["input"] for flag in flags] == ["rented.usdPerGPUHour"]
    assert "times the cheapest other option" in flags[0]["message"] and "$2.00 with 8" in flags[0]["message"]


def test_a_gpu_price_where_a_node_price_is_due_is_flagged(compare: Compare) -> None:
    stated = plain("options.1.rented", {"perNode": {"usdPerHour": "1.00", "gpus": 8}})
    flags = json.loads(compare(stated, "-o", "json")[1])["flags"]
    assert [flag["input"] for flag in flags] == ["rented.perNode.usdPerHour"]
    assert "is it the price of one GPU?" in flags[0]["message"]


@pytest.mark.parametrize("name", ["demand.gpus", "owned.lifeMonths", "owned.capexUSD", "rented.usdPerGPUHour"])
def test_a_range_down_to_zero_is_survived(compare: Compare, name: str) -> None:
    stated = plain("ranges", {name: {"low": "0", "high": "100"}})
    code, out, _ = compare(stated, "-o", "json", "--draws", 50)
    assert code == 0
    assert Comparison.model_validate_json(out).distribution is not None


def test_an_opex_beside_built_up_power_is_flagged_with_both_figures(compare: Compare) -> None:
    stated = plain("options.0.owned.power", {"idleKW": "5.6", "busyKW": "5.7", "pue": "1.4", "usdPerKWh": "0.10"})
    stated["options"][0]["owned"]["opexUSDPerMonth"] = "2800"
    flags = json.loads(compare(stated, "-o", "json")[1])["flags"]
    assert any("inconsistent" in flag["message"] and "2,800.00" in flag["message"] for flag in flags)


def test_unquoted_decimals_count_as_they_are_written(compare: Compare) -> None:
    stated = plain("options.1.rented.usdPerGPUHour", 2.05)
    options = json.loads(compare(stated, "-o", "json")[1])["options"]
    assert options[1]["perGPUHourUsedUSD"] == "2.05"


def test_every_flaw_has_the_line_of_its_field(compare: Compare) -> None:
    stated = plain("options.1.rented.usdPerGPUHour", "-2")
    stated["demand"]["utilizationPercent"] = 120
    text = yaml.safe_dump(stated, sort_keys=False)
    lines = [number for number, line in enumerate(text.splitlines(), 1) if "-2" in line or "120" in line]
    _, _, err = compare(text)
    assert [f"scenario.yaml:{line}:" in err for line in lines] == [True, True]


def test_a_price_that_the_book_does_not_have_is_refused(compare: Compare) -> None:
    price = {"cloud": "aws", "region": "us-east-1", "instanceType": "p5.48xlarge", "term": "ThreeYears"}
    stated = plain("options.1.rented", {"price": {**price, "region": "mars-north-1"}})
    code, _, err = compare(stated)
    assert code == 1
    assert "options[1].rented.price: the price book has no price of p5.48xlarge in mars-north-1" in err


def test_an_old_price_is_flagged_with_its_band_and_a_very_old_one_refused(compare: Compare) -> None:
    price = {"cloud": "aws", "region": "us-east-1", "instanceType": "p5.48xlarge"}
    stated = plain("options.1.rented", {"price": price})
    fresh = json.loads(compare(stated, "-o", "json", "--at", "2026-08-01")[1])
    old = json.loads(compare(stated, "-o", "json", "--at", "2027-06-01")[1])
    assert fresh["flags"] == []
    assert [flag["input"] for flag in old["flags"]] == ["rented.price"]
    assert "is of 2026-07-20, older than 180 days: it may be $" in old["flags"][0]["message"]
    assert old["options"] == fresh["options"]
    code, out, err = compare(stated, "--at", "2030-01-01")
    assert (code, out) == (1, "") and "older than 730 days" in err


def test_the_baseline_can_be_another_one(compare: Compare) -> None:
    assert json.loads(compare(plain(), "--baseline", "owned", "-o", "json")[1])["baseline"] == "owned"
    code, _, err = compare(plain(), "--baseline", "spot")
    assert code == 1 and "--baseline spot: names no option; there are owned, rented" in err


@pytest.mark.parametrize("text", ["", "[]", "a: [", "kind: x\n---\nkind: y\n", "apiVersion: v1\nkind: Pod\n"])
def test_what_is_no_scenario_is_refused(compare: Compare, text: str) -> None:
    code, out, err = compare(text)
    assert (code, out) == (1, "") and "scenario.yaml" in err


def test_a_missing_file_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["cost", "compare", "nowhere.yaml"]) == 1
    assert "nowhere.yaml: No such file" in capsys.readouterr().err


def test_plots_are_written_and_reproducible(compare: Compare, tmp_path: Path) -> None:
    first, second = tmp_path / "one", tmp_path / "two"
    for folder in (first, second):
        code, _, err = compare(plain(), "--draws", 50, "--plots", folder)
        assert code == 0 and "cost.svg" in err
    names = sorted(path.name for path in first.iterdir())
    assert names == ["cost.svg", "distribution.svg", "scaling.svg", "sensitivity.svg"]
    assert all((first / name).read_bytes() == (second / name).read_bytes() for name in names)


# --- sized by the planner ----------------------------------------------------------------------------------------


def sized_scenario(tmp_path: Path) -> dict[str, Any]:
    supply = pool(
        "l4",
        maximumNodes=50,
        nodeSelector={"pool": "l4"},
        nodeResources={"cpu": 8, "memory": "32Gi"},
        price={"usdPerNodeHour": "1"},
    )
    wanted = workload("resnet")
    wanted["spec"]["replicas"] = {"maximum": 100}
    (tmp_path / "workload.yaml").write_text(yaml.safe_dump_all([wanted, supply]), encoding="utf-8")
    stated = plain("demand", {"requestsPerSecond": "20000", "workload": "workload.yaml"})
    stated["options"][1]["rented"]["usdPerGPUHour"] = "0.80"
    return stated


def test_a_rate_is_sized_with_the_planner(compare: Compare, tmp_path: Path) -> None:
    code, out, err = compare(sized_scenario(tmp_path), "-o", "json")
    assert code == 0, err
    found = json.loads(out)
    gpus, used = Decimal(found["demand"]["gpus"]), float(found["demand"]["utilizationPercent"])
    assert gpus >= 2 and 0 < used <= 100
    assert "L4" in found["demand"]["sizedFrom"]
    rented = found["options"][1]
    hourly = float(gpus) * 0.80 * used / 100
    assert float(rented["perMillionRequestsUSD"]) == pytest.approx(hourly / (20_000 * 3600) * 1e6, rel=1e-4)


def test_an_option_with_another_gpu_than_the_sized_one_is_flagged(compare: Compare, tmp_path: Path) -> None:
    stated = sized_scenario(tmp_path)
    price = {"cloud": "aws", "region": "us-east-1", "instanceType": "p5.48xlarge"}
    stated["options"].append({"name": "other", "rented": {"price": price}})
    flags = json.loads(compare(stated, "-o", "json")[1])["flags"]
    found = next(flag for flag in flags if flag["input"] == "other.price.instanceType")
    assert "p5.48xlarge has H100-SXM-80GB, but the demand is counted in L4" in found["message"]


def test_a_workload_that_fits_nowhere_is_exit_code_two(compare: Compare, tmp_path: Path) -> None:
    stated = sized_scenario(tmp_path)
    stated["demand"]["requestsPerSecond"] = "900000000"
    code, out, err = compare(stated)
    assert (code, out) == (2, "")
    assert "cannot be sized" in err


def test_a_workload_file_that_is_not_there_is_named_with_its_line(compare: Compare) -> None:
    code, _, err = compare(plain("demand", {"requestsPerSecond": "5", "workload": "none.yaml"}))
    assert code == 1 and "demand.workload" in err and "no such file" in err


def test_scenarios_among_manifests_are_passed_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "scenario.yaml").write_text(yaml.safe_dump(plain()), encoding="utf-8")
    assert run(["plan", str(tmp_path), "--at", "2026-11-02T12:00:00Z"]) == 0
    assert "cost scenario (1)" in capsys.readouterr().err


@pytest.mark.parametrize("file", sorted(path.name for path in (EXAMPLES / "cost").glob("*.yaml")))
def test_the_examples_answer_or_are_the_one_that_is_refused(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = run(["cost", "compare", str(EXAMPLES / "cost" / file)])
    said = capsys.readouterr()
    if file == "power-bill-that-does-not-add-up.yaml":
        assert code == 1 and "inconsistent" in said.err
    else:
        assert code == 0 and "over" in said.out.splitlines()[0]
