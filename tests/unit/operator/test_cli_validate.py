"""``berth validate``: error tables and plots of cases in which something was observed."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from berth_cost.cases.validation import Validation
from command_line import Berth


def case(name: str, batch: int, seconds: float, **changed: Any) -> str:
    stated: dict[str, Any] = {
        "id": name,
        "model": {"name": "resnet50", "dense": {"parameters": 25.6e6, "flopsPerInference": 8.2e9}},
        "hardware": {"gpu": "L4"},
        "precision": "fp16",
        "engine": {"name": "tensorrt"},
        "load": {"kind": "batch", "batchSize": batch},
        "observed": {"latencySeconds": {"mean": seconds}, "itemsPerSecond": batch / seconds},
    }
    return json.dumps(stated | changed)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    lines = [case("a", 1, 0.002), case("b", 8, 0.006), case("c", 1, 0.004, hardware={"gpu": "T4"})]
    lines.append(case("d", 1, 0.002, observed=None))
    (tmp_path / "cases.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return tmp_path / "cases.jsonl"


def test_totals_and_slices_are_in_the_documented_json(berth: Berth, file: Path) -> None:
    code, out, _ = berth("validate", file, "-o", "json")
    found = Validation.model_validate_json(out)
    assert (code, found.cases, found.without_observed, found.evidence) == (0, 4, 1, {"estimated": 3})
    assert [(one.metric, one.errors.n) for one in found.totals] == [("itemsPerSecond", 3), ("latencySeconds", 3)]
    assert [(one.gpu, one.model_class, one.errors.n) for one in found.slices[:2]] == [
        ("L4", "classic", 2), ("T4", "classic", 1),
    ]  # fmt: skip
    assert yaml.safe_load(berth("validate", file, "-o", "yaml")[1]) == json.loads(out)


def test_a_run_that_is_given_makes_its_own_case_exact(berth: Berth, tmp_path: Path) -> None:
    run_of_it = [{"metrics": {"latencySeconds": {"mean": 0.01}}}]
    text = case("a", 1, 0.01, measured=run_of_it)
    (tmp_path / "cases.jsonl").write_text(text, encoding="utf-8")
    found = Validation.model_validate_json(berth("validate", tmp_path / "cases.jsonl", "-o", "json")[1])
    latency = next(one.errors for one in found.totals if one.metric == "latencySeconds")
    assert found.evidence == {"measured": 1}
    assert latency.median_percent is not None and latency.median_percent < 15
    assert latency.coverage_percent == 100


def test_the_table_begins_with_its_answer_and_is_at_most_a_hundred_columns_wide(berth: Berth, file: Path) -> None:
    _, out, _ = berth("validate", file)
    assert out.startswith("3 cases compared with what was observed, 1 without observed.")
    assert "latency mean" in out and all(len(line) <= 100 for line in out.splitlines())
    assert "| latency mean | L4 |" in berth("validate", file, "--by", "gpu", "-o", "markdown")[1]
    assert "GPU" not in berth("validate", file, "--by", "")[1]


def test_what_is_refused_is_counted_by_its_reason(berth: Berth, file: Path) -> None:
    vast = case("vast", 1, 0.1, model={"name": "vast", "dense": {"parameters": 1e12, "flopsPerInference": 1e9}})
    unsaid = case("unsaid", 1, 0.1, model={"name": "unsaid", "dense": {}})
    file.write_text("\n".join([file.read_text("utf-8"), vast, unsaid]), encoding="utf-8")
    found = Validation.model_validate_json(berth("validate", file, "-o", "json")[1])
    assert found.refused == {"memory": 1, "unknown": 1}
    assert "Cases refused, by reason: 1 memory, 1 unknown." in berth("validate", file)[1]


def test_an_unknown_dimension_is_refused_with_those_there_are(berth: Berth, file: Path) -> None:
    code, _, err = berth("validate", file, "--by", "gpu,colour")
    assert code == 1 and "colour" in err and "precision" in err


def test_a_bad_line_is_listed_and_exit_code_1(berth: Berth, file: Path) -> None:
    file.write_text(file.read_text("utf-8") + "\nnonsense\n", encoding="utf-8")
    code, out, err = berth("validate", file, "-o", "json")
    assert code == 1 and [one["line"] for one in json.loads(out)["flaws"]] == [5]
    assert f"{file}:5: is not JSON" in err


def test_without_anything_observed_there_is_nothing_to_say(berth: Berth, tmp_path: Path) -> None:
    (tmp_path / "cases.jsonl").write_text(case("a", 1, 1, observed=None), encoding="utf-8")
    code, out, err = berth("validate", tmp_path / "cases.jsonl")
    assert (code, out) == (1, "") and "no case states observed" in err


def test_plots_are_one_svg_a_metric_and_equal_bytes_for_equal_input(berth: Berth, file: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    assert berth("validate", file, "--plots", first)[0] == 0
    assert berth("validate", file, "--plots", second)[0] == 0
    names = sorted(one.name for one in first.iterdir())
    assert names == ["itemsPerSecond.svg", "latencySeconds.svg"]
    for name in names:
        drawn = (first / name).read_bytes()
        assert drawn == (second / name).read_bytes()
        assert b"<svg" in drawn and b"measured" in drawn


def test_a_folder_that_cannot_be_written_is_an_error(berth: Berth, file: Path) -> None:
    code, _, err = berth("validate", file, "--plots", file)
    assert code == 1 and "--plots" in err


def test_plots_without_matplotlib_say_what_to_install(
    berth: Berth, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "berth_operator.cli.validation_plots", None)
    code, _, err = berth("validate", file, "--plots", tmp_path)
    assert code == 1 and "pip install 'berthmaster[plots]'" in " ".join(err.split())
