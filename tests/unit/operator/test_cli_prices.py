"""``berth prices`` as a person uses it: what it lists, ranks, explains and compares, and how it ends."""

import json
from datetime import date
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from berth_operator.cli.schemas import RECORDS
from berth_operator.price_sources.gpuhunt_catalogue import GPUHuntCatalogue
from command_line import Berth

AT = ("--at", "2026-11-21T00:00:00Z")
PRICES = """\
sources: {contract: {title: "our contract, annex B", date: 2026-11-01}}
prices:
  - {cloud: aws, region: us-east-1, instanceType: g6.xlarge, usdPerHour: "0.70"}
  - {cloud: aws, region: us-east-1, instanceType: p5.48xlarge, usdPerHour: "6.88"}
"""
RESNET = """\
apiVersion: berthmaster.dev/v1alpha1
kind: InferenceWorkload
metadata: {name: resnet, namespace: vision}
spec:
  model:
    preset: resnet50
    backend: onnxruntime
    variants: [{precision: fp16, source: {persistentVolumeClaim: {claimName: models, path: resnet50/fp16}}}]
  traffic: {requestsPerSecond: 200}
  objectives: {latency: {p99Milliseconds: 50}}
"""


@pytest.fixture
def berth(berth: Berth) -> Berth:
    """``berth(…)`` is ``berth prices …``."""
    return partial(berth, "prices")


@pytest.fixture
def own(tmp_path: Path) -> Path:
    file = tmp_path / "prices.yaml"
    file.write_text(PRICES, encoding="utf-8")
    return file


def answer(berth: Berth, *arguments: object) -> Any:
    code, out, err = berth(*arguments, "-o", "json")
    assert code in (0, 2), err
    return json.loads(out)


# --- list ----------------------------------------------------------------------------------------------------------


def test_a_list_has_the_whole_schema_of_a_price(berth: Berth) -> None:
    found = answer(berth, "list", "--cloud", "aws", "--region", "us-east-1", "--type", "p4de.24xlarge", *AT)
    one_year = next(offer for offer in found["offers"] if offer["term"] == "OneYear")
    assert one_year == {
        "cloud": "aws",
        "region": "us-east-1",
        "zone": None,
        "instanceType": "p4de.24xlarge",
        "gpu": "A100-SXM-80GB",
        "gpuCount": "8",
        "capacityType": "OnDemand",
        "term": "OneYear",
        "usdPerHour": "17.401365",
        "usdPerGPUHour": "2.17517",
        "currency": "USD",
        "source": "tsaol/aws-gpu, data/all_gpu_instances.js",
        "date": "2026-01-21",
        "ageDays": 304,
        "old": True,
        "toCome": False,
        "usdPerHourLow": "13.2754",
        "usdPerHourHigh": "22.8096",
        "file": None,
        "line": None,
    }


def test_a_table_says_how_many_and_from_where_and_stays_inside_its_width(berth: Berth) -> None:
    code, out, _ = berth("list", "--gpu", "L4", "--buy", "OnDemand", "--cloud", "gcp", *AT, "--limit", "3")
    assert code == 0
    lines = out.splitlines()
    assert lines[0].startswith("144 prices of 1 cloud in 18 regions")
    assert lines[-1] == "141 more: narrow it, or --limit 0"
    assert max(map(len, lines)) <= 100


def test_a_gpu_goes_by_any_spelling_and_h100_is_every_h100(berth: Berth) -> None:
    found = answer(berth, "list", "--gpu", "h100", "--buy", "ondemand", "--limit", "0", *AT)
    assert {offer["gpu"] for offer in found["offers"]} == {"H100-SXM-80GB", "H100-PCIe-80GB", "H100-NVL"}


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("--cloud", "aliyun", "--cloud: the price book has no aliyun"),
        ("--region", "us-east-9", "nearest: us-east-"),
        ("--type", "g6.xlage", "g6.xlarge"),
        ("--gpu", "H1000", "--gpu: H1000 is no known GPU"),
        ("--buy", "FiveYears", "known: OnDemand, Spot, OneYear, ThreeYears"),
    ],
)
def test_a_name_that_is_not_there_is_an_error_and_no_empty_answer(
    berth: Berth, option: str, value: str, says: str
) -> None:
    code, out, err = berth("list", option, value)
    assert (code, out) == (1, "") and says in err


def test_what_looks_wrong_is_listed_with_its_line_and_reason(berth: Berth, own: Path) -> None:
    code, out, _ = berth("list", "--flagged", "--prices", own, *AT)
    assert code == 0
    told = " ".join(out.split())
    assert f"{own}:4: aws us-east-1 p5.48xlarge OnDemand $6.88: GPUPriceAsNodePrice:" in told
    assert "State usdPerGPUHour" in told
    (flagged,) = answer(berth, "list", "--flagged", "--prices", own, *AT)["flagged"]
    assert (flagged["flag"], flagged["offer"]["line"]) == ("GPUPriceAsNodePrice", 4)


def test_a_document_that_cannot_be_read_is_an_error_with_file_and_line(berth: Berth, tmp_path: Path) -> None:
    file = tmp_path / "prices.yaml"
    file.write_text(PRICES.replace('"6.88"', '"1,055.04"'), encoding="utf-8")
    code, _, err = berth("list", "--prices", file)
    assert code == 1
    assert f"error: {file}:4: prices[1].usdPerHour: '1,055.04' has a thousands separator" in err
    assert berth("list", "--prices", tmp_path / "nowhere.yaml")[0] == 1


def test_only_old_prices_can_be_listed(berth: Berth) -> None:
    found = answer(berth, "list", "--old", "--cloud", "aws", "--limit", "0", *AT)
    assert found["offers"] and all(offer["old"] for offer in found["offers"])


# --- compare -------------------------------------------------------------------------------------------------------


def test_the_cheapest_is_first_and_each_kind_of_node_is_there_once(berth: Berth) -> None:
    found = answer(berth, "compare", "--gpu", "L4", "--cloud", "aws", "--cloud", "gcp", "--buy", "OnDemand", *AT)
    costs = [float(one["usdPerUnit"]) for one in found["ranked"]]
    assert costs == sorted(costs) and costs[0] == pytest.approx(0.705, abs=0.01)
    kinds = [(one["offer"]["cloud"], one["offer"]["instanceType"]) for one in found["ranked"]]
    assert len(kinds) == len(set(kinds))


@pytest.mark.parametrize(
    ("measure", "unit"), [("memory", "GB-hour of GPU memory"), ("tflops", "fp16 TFLOP/s-hour"), ("gpu", "GPU-hour")]
)
def test_a_page_names_its_unit(berth: Berth, measure: str, unit: str) -> None:
    code, out, _ = berth("compare", "--per", measure, "--cloud", "gcp", "--limit", "2", *AT)
    assert code == 0 and out.startswith(f"The cheapest {unit} is $")
    assert max(map(len, out.splitlines())) <= 100


def test_the_cheapest_good_request_is_found_by_planning_the_workload_on_each_kind_of_node(
    berth: Berth, tmp_path: Path
) -> None:
    file = tmp_path / "resnet.yaml"
    file.write_text(RESNET, encoding="utf-8")
    asked = (
        "compare",
        "--per",
        "requests",
        "-f",
        file,
        "--cloud",
        "gcp",
        "--region",
        "us-east4",
        "--buy",
        "OnDemand",
        *AT,
    )
    found = answer(berth, *asked)
    best = found["ranked"][0]
    assert (found["workload"], best["offer"]["gpu"]) == ("vision/resnet", "L4")
    # 200/s and at least 99 % of them inside the objective: dollars per hour over good requests per hour.
    nodes = int(best["detail"].rpartition("; ")[2].split()[0])
    good_per_hour = 200 * 3600 * 0.99
    usd = float(best["offer"]["usdPerHour"]) * nodes
    assert float(best["usdPerUnit"]) == pytest.approx(usd / good_per_hour * 1e6, rel=1e-5)
    shared = answer(berth, *asked, "--shared")
    assert float(shared["ranked"][0]["usdPerUnit"]) <= float(best["usdPerUnit"])


def test_prices_that_are_too_old_are_left_out_and_counted(berth: Berth, tmp_path: Path) -> None:
    settings = tmp_path / "settings.yaml"
    settings.write_text(yaml.safe_dump({"policy": {"priceRefusedAfterDays": 200}}), encoding="utf-8")
    found = answer(berth, "compare", "--cloud", "aws", "--settings", settings, *AT)
    (old,) = found["leftOut"]
    assert old["reason"] == "the price is older than 200 days" and old["offers"] > 1000


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--per", "watts"), "--per: watts is none of gpu, memory, tflops, requests"),
        (("--per", "tflops", "--precision", "fp12"), "--precision: fp12 is none of"),
        (("--per", "requests"), "which workload?"),
        (("--shared",), "are for --per requests"),
    ],
)
def test_a_wrong_question_is_refused(berth: Berth, arguments: tuple[str, ...], says: str) -> None:
    code, _, err = berth("compare", *arguments)
    assert code == 1 and says in err


def test_nothing_to_compare_ends_with_two(berth: Berth) -> None:
    assert berth("compare", "--per", "tflops", "--precision", "fp4", "--gpu", "T4", *AT)[0] == 2


# --- explain -------------------------------------------------------------------------------------------------------


def test_a_price_is_explained_by_source_age_and_what_it_replaced(berth: Berth, own: Path) -> None:
    code, out, _ = berth("explain", "aws", "us-east-1", "g6.xlarge", "--prices", own, *AT)
    told = " ".join(out.split())
    assert code == 0 and told.startswith("aws us-east-1 g6.xlarge OnDemand: $0.70 an hour")
    assert "source our contract, annex B" in told
    assert "as of 2026-11-01, 20 days ago" in told
    assert f"from {own}:3" in told
    assert "replaces $0.8048 of 2026-07-20, aws/karpenter-provider-aws" in told


def test_a_price_that_is_not_there_ends_with_two_and_says_what_is(berth: Berth) -> None:
    code, out, _ = berth("explain", "aws", "mars", "g6.xlarge")
    assert code == 2 and "no price of g6.xlarge in mars; it has" in " ".join(out.split())


def test_a_flagged_price_and_one_too_old_end_with_two(berth: Berth, own: Path) -> None:
    flagged = answer(berth, "explain", "aws", "us-east-1", "p5.48xlarge", "--prices", own, *AT)
    assert flagged["offer"] is None and flagged["flagged"]["flag"] == "GPUPriceAsNodePrice"
    old = ("explain", "azure", "eastus2", "Standard_NC24ads_A100_v4", "--buy", "Spot", *AT)
    code, out, _ = berth(*old)
    assert code == 2 and "too old, no plan uses it" in out


# --- diff and refresh ----------------------------------------------------------------------------------------------


def test_two_books_are_compared_row_by_row(berth: Berth, own: Path) -> None:
    found = answer(berth, "diff", "built-in", own)
    assert [one["instanceType"] for one in found["changed"]] == ["g6.xlarge"]
    assert found["changed"][0]["percent"] == "-13.0219"
    assert found["flagged"] == 1 and [one["instanceType"] for one in found["removed"]] == ["p5.48xlarge"]
    code, out, _ = berth("diff", "built-in", own)
    assert code == 0 and "1 changed, 0 new, 1 gone, 1 flagged and not used" in " ".join(out.split())


def test_documents_can_be_compared_by_themselves(berth: Berth, own: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(PRICES.replace("us-east-1", "us-west-2"), encoding="utf-8")
    found = answer(berth, "diff", own, other, "--alone")
    assert (len(found["added"]), len(found["removed"])) == (2, 2)


def test_a_refresh_writes_the_document_and_says_what_changed(
    berth: Berth, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu: dict[str, Any] = {"gpu_vendor": None, "gpu_count": 1, "gpu_name": "L4", "gpu_memory": 24.0}
    node: dict[str, Any] = {"provider": "aws", "instance_name": "g6.xlarge", "location": "us-east-1", "cpu": 4}
    item = SimpleNamespace(**gpu, **node, memory=16.0, price=0.79, spot=False)
    monkeypatch.setattr("berth_operator.cli.prices.source_named", lambda name: GPUHuntCatalogue(lambda: [item]))
    file = tmp_path / "live.yaml"
    code, out, _ = berth("refresh", "--source", "gpuhunt", "--to", file, *AT)
    assert code == 0 and f"{file}: 1 price from gpuhunt: 0 new, 1 changed, 0 as before." in " ".join(out.split())
    (row,) = yaml.safe_load(file.read_text(encoding="utf-8"))["prices"]
    assert (row["instanceType"], row["usdPerHour"]) == ("g6.xlarge", "0.79")
    source = yaml.safe_load(file.read_text(encoding="utf-8"))["sources"]["refresh"]
    assert source["date"] == date(2026, 11, 21).isoformat()


def test_a_source_that_is_not_known_is_an_error(berth: Berth, tmp_path: Path) -> None:
    code, _, err = berth("refresh", "--source", "rumours", "--to", tmp_path / "x.yaml")
    assert code == 1 and "none of aws-spot-advisor, azure-retail, gpuhunt" in err


@pytest.mark.parametrize("form", ["yaml", "markdown"])
def test_every_answer_comes_as_yaml_and_markdown_too(berth: Berth, own: Path, form: str) -> None:
    asked: list[tuple[object, ...]] = [
        ("list", "--type", "g6.xlarge", "--prices", own, *AT),
        ("compare", "--gpu", "L4", "--limit", "3", *AT),
        ("explain", "aws", "us-east-1", "g6.xlarge", *AT),
        ("diff", "built-in", own),
    ]
    for arguments in asked:
        code, out, _ = berth(*arguments, "-o", form)
        assert code == 0 and out.strip()
        assert out.startswith("kind: ") if form == "yaml" else "**" in out


def test_every_answer_has_a_schema() -> None:
    assert {"price-list", "price-comparison", "price-explanation", "price-diff", "price-refresh"} <= set(RECORDS)
