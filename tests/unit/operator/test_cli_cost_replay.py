"""``berth cost replay`` as a user types it: the table, the JSON, the ticks, and what is refused."""

import json
from pathlib import Path

import pytest

from berth_operator.cli import run

HEADER = "trace_id,tick_start,tick_end,nodes_available\n"
TRACE = HEADER + "".join(
    f"{zone},0,{lost},1\n{zone},{lost},{lost + 4},0\n{zone},{lost + 4},60,1\n"
    for zone, lost in (("us-east-1a", 10), ("us-east-1b", 12), ("us-west-2a", 30), ("us-west-2b", 40))
)


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    path = tmp_path / "trace.csv"
    path.write_text(TRACE, encoding="utf-8")
    return path


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert run(["cost", "replay", *map(str, arguments)]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err


def test_the_table_names_the_rules_and_every_policy(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["cost", "replay", "--trace", str(trace), "--want", "2"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("2 replicas wanted on 4 zones of 2 regions, 0.135 days.")
    for name in ("on-demand", "fallback", "spare-fallback", "learned-99", "learned-99.9", "clairvoyant-99.9"):
        assert f"\n{name} " in out
    assert max(map(len, out.splitlines())) <= 100


def test_the_json_has_what_the_schema_says_and_the_ticks_add_up_to_it(
    trace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ticks = tmp_path / "ticks.csv"
    arguments = ["--trace", trace, "--want", 2, "--policy", "fallback", "--ticks", ticks, "-o", "json"]
    assert run(["cost", "replay", *map(str, arguments)]) == 0
    result = json.loads(capsys.readouterr().out)
    (policy,) = result["policies"]
    assert (result["kind"], result["want"], policy["name"]) == ("Replay", 2, "fallback")
    rows = [line.split(",") for line in ticks.read_text(encoding="utf-8").splitlines()[1:]]
    assert len(rows) == 60
    paid = sum(0.35 * len(row[2].split()) + int(row[3]) for row in rows)
    assert policy["costShare"] == pytest.approx(paid / 120, rel=1e-5)
    assert policy["readyShare"] == pytest.approx(sum(int(row[4]) >= 2 for row in rows) / 60, rel=1e-5)
    assert policy["preemptionsPerDay"] > 0


def test_equal_input_gives_equal_bytes(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outputs = []
    for _ in range(2):
        assert run(["cost", "replay", "--trace", str(trace), "--want", "2", "-o", "json"]) == 0
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1]


def test_markdown_is_a_table(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["cost", "replay", "--trace", str(trace), "--want", "2", "-o", "markdown"]) == 0
    assert "| fallback | " in capsys.readouterr().out


def test_a_wrong_line_is_named(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace.write_text(HEADER + "a,0,9,1\na,9,12,-3\n", encoding="utf-8")
    assert f"error: {trace}: line 3: nodes_available must be a whole number" in refused(
        capsys, "--trace", trace, "--want", 2
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--spot-price-share", "nan"), "--spot-price-share nan: must be above 0 and at most 1"),
        (("--spot-price-share", "1.5"), "--spot-price-share 1.5: must be above 0 and at most 1"),
        (("--spot-price-share", "0"), "--spot-price-share 0: must be above 0"),
        (("--tick-seconds", "-195"), "--tick-seconds -195: must be above 0"),
        (("--tick-seconds", "nan"), "--tick-seconds nan: must be above 0"),
        (("--policy", "magic"), "--policy magic: there is no such policy; there are on-demand,"),
        (("--select", "x*"), "has no trace_id like 'x*'"),
        (("--fit", "other-days"), "--fit other-days: the trace has 1 days; at least 3 are needed"),
        (("--fit", "nowhere.yaml"), "--fit nowhere.yaml: cannot be read"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused_by_name(
    trace: Path, arguments: tuple[str, str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said in refused(capsys, "--trace", trace, "--want", 2, *arguments)


@pytest.mark.parametrize("want", ["0", "65", "two"])
def test_a_number_of_replicas_that_is_none_is_refused(
    trace: Path, want: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "--want" in refused(capsys, "--trace", trace, "--want", want)


def test_a_file_that_is_not_there_or_not_text_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = tmp_path / "missing.csv"
    assert f"--trace {missing}: cannot be read" in refused(capsys, "--trace", missing, "--want", 2)
    binary = tmp_path / "binary.csv"
    binary.write_bytes(b"\xff\xfe\x00")
    assert f"--trace {binary}: is not UTF-8 text" in refused(capsys, "--trace", binary, "--want", 2)


def test_a_fit_in_a_file_is_used_and_a_wrong_one_is_refused(
    trace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fit = tmp_path / "fit.yaml"
    fit.write_text("fit: {source: mine, tickSeconds: 195, intercept: -3}\n", encoding="utf-8")
    assert f"{fit}: fit.coefficients: field required" in refused(capsys, "--trace", trace, "--want", 2, "--fit", fit)
