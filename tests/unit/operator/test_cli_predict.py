"""``berth predict``: one record for each line, in the order of the lines."""

import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from command_line import Berth

CASE: dict[str, Any] = {
    "id": "resnet",
    "model": {"name": "resnet50", "dense": {"parameters": 25.6e6, "flopsPerInference": 8.2e9}},
    "hardware": {"gpu": "L4"},
    "precision": "fp16",
    "load": {"kind": "open", "requestsPerSecond": 100},
}


@pytest.fixture
def cases(tmp_path: Path) -> Callable[..., Path]:
    """``cases(*lines)``: a file of them; a mapping is a change of :data:`CASE`."""

    def write(*lines: dict[str, Any] | str | bytes) -> Path:
        file = tmp_path / "cases.jsonl"
        texts = [json.dumps(CASE | one) if isinstance(one, dict) else one for one in lines]
        file.write_bytes(b"".join((one if isinstance(one, bytes) else one.encode()) + b"\n" for one in texts))
        return file

    return write


def test_a_file_without_errors_is_answered_line_by_line_with_exit_code_0(berth: Berth, cases: Any) -> None:
    code, out, err = berth("predict", cases({"id": "a"}, "", {"id": "b", "precision": "int8"}))
    records = [json.loads(line) for line in out.splitlines()]
    assert (code, err, [one["id"] for one in records]) == (0, "", ["a", "b"])
    assert set(records[0]) >= {"id", "feasible", "reasons", "evidence", "metrics", "band", "parts"}


def test_a_bad_line_is_one_record_that_names_it_and_the_others_are_answered(berth: Berth, cases: Any) -> None:
    file = cases({"id": "a"}, {"id": "b", "batch": 3}, "nonsense", {"id": "d"})
    code, out, err = berth("predict", file)
    records = [json.loads(line) for line in out.splitlines()]
    assert code == 1
    assert [(one.get("id"), one.get("line"), one.get("keys")) for one in records] == [
        ("a", None, None), ("b", 2, ["batch"]), (None, 3, []), ("d", None, None),
    ]  # fmt: skip
    assert f"error: {file}:2: batch: unknown key" in err and f"error: {file}:3: is not JSON" in err


def test_what_cannot_run_is_an_answer_and_no_error(berth: Berth, cases: Any) -> None:
    code, out, _ = berth("predict", cases({"load": {"kind": "open", "requestsPerSecond": 1e8}}))
    assert code == 0 and json.loads(out)["reasons"][0]["code"] == "overload"


def test_a_file_without_a_case_is_an_error(berth: Berth, cases: Any) -> None:
    code, out, err = berth("predict", cases("", "  "))
    assert (code, out) == (1, "") and "has no case in it" in err


def test_a_line_of_a_hundred_megabytes_is_refused_without_being_kept(berth: Berth, cases: Any) -> None:
    code, out, _ = berth("predict", cases(b"[" + b"1," * 50_000_000 + b"1]", {"id": "next"}))
    first, second = (json.loads(line) for line in out.splitlines())
    assert code == 1 and first["line"] == 1 and "longer than" in first["error"]
    assert second["id"] == "next"


def test_lines_that_are_no_utf8_and_a_byte_order_mark_are_survived(berth: Berth, cases: Any) -> None:
    code, out, _ = berth("predict", cases(b"\xef\xbb\xbf" + json.dumps(CASE).encode(), b"\xff", {"id": "z"}))
    assert code == 1 and [json.loads(line).get("line") for line in out.splitlines()] == [None, 2, None]


def test_ids_that_stand_twice_are_answered_and_noted(berth: Berth, cases: Any) -> None:
    code, out, err = berth("predict", cases({}, {}))
    assert code == 0 and len(out.splitlines()) == 2
    assert "the id 'resnet' was on line 1 already" in err


def test_stdin_and_packed_files_are_read(berth: Berth, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = tmp_path / "cases.jsonl.gz"
    packed.write_bytes(gzip.compress(json.dumps(CASE).encode()))
    code, out, _ = berth("predict", packed)
    assert code == 0 and json.loads(out)["id"] == "resnet"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(json.dumps(CASE).encode())))
    assert berth("predict", "-")[:2] == (code, out)
    packed.write_bytes(packed.read_bytes()[:40])
    assert berth("predict", packed)[0] == 1


def test_the_answers_go_to_a_file_but_never_over_the_cases(berth: Berth, cases: Any, tmp_path: Path) -> None:
    file = cases({})
    code, out, _ = berth("predict", file, "--to", tmp_path / "out.jsonl")
    assert (code, out) == (0, "") and json.loads((tmp_path / "out.jsonl").read_text("utf-8"))["id"] == "resnet"
    code, _, err = berth("predict", file, "--to", file)
    assert code == 1 and "is the file of the cases" in err and json.loads(file.read_text("utf-8")) == CASE


def test_a_missing_file_is_an_error_in_one_line(berth: Berth, tmp_path: Path) -> None:
    code, _, err = berth("predict", tmp_path / "nowhere.jsonl")
    assert code == 1 and err.count("\n") == 1 and "cannot be read: No such file" in err


def test_people_get_a_table_and_other_formats_say_the_same(berth: Berth, cases: Any) -> None:
    file = cases({}, {"id": "much", "load": {"kind": "open", "requestsPerSecond": 1e8}}, "x")
    _, table, _ = berth("predict", file, "-o", "table")
    assert "latency p99" in table and "overload" in table and "line 3" in table
    assert all(len(line) <= 100 for line in table.splitlines())
    _, out, _ = berth("predict", file)
    _, as_yaml, _ = berth("predict", file, "-o", "yaml")
    assert list(yaml.safe_load_all(as_yaml)) == [json.loads(line) for line in out.splitlines()]
    assert berth("predict", file, "-o", "markdown")[1].startswith("| CASE |")
