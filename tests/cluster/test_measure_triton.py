"""Measure, calibrate, predict another load, compare: on the real Triton, with a model whose speed is known.

The model sleeps, so that the machine's own speed hardly matters: 20 ms a batch and 2 ms an item. Bounds are generous,
for a shared machine, and a prediction that ignored the runs, or a load that was not what it says, would miss them.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import bare_triton
import triton_server
from berth_cost.cases.case import Case, Percentiles, Prediction
from berth_operator.cli import run

BATCH_SECONDS, ITEM_SECONDS, LARGEST = 0.020, 0.002, 8
MODEL = f"""
import time
import numpy as np
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        tensors = [pb_utils.get_input_tensor_by_name(request, "x").as_numpy() for request in requests]
        time.sleep({BATCH_SECONDS} + {ITEM_SECONDS} * sum(len(tensor) for tensor in tensors))
        return [pb_utils.InferenceResponse([pb_utils.Tensor("y", tensor)]) for tensor in tensors]
"""
CONFIG = f"""
name: "sleepy"
backend: "python"
max_batch_size: {LARGEST}
input [ {{ name: "x" data_type: TYPE_FP32 dims: [ 4 ] }} ]
output [ {{ name: "y" data_type: TYPE_FP32 dims: [ 4 ] }} ]
instance_group [ {{ kind: KIND_CPU count: 1 }} ]
dynamic_batching {{ max_queue_delay_microseconds: 500 }}
"""


@pytest.fixture(scope="module")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    try:
        server = triton_server.installed()
    except triton_server.Unavailable as reason:
        pytest.skip(str(reason))
    folder = tmp_path_factory.mktemp("triton")
    version = folder / "repository" / "sleepy" / "1"
    version.mkdir(parents=True)
    (version / "model.py").write_text(MODEL)
    (version.parent / "config.pbtxt").write_text(CONFIG)
    with bare_triton.serving(server, folder / "repository", folder / "server.log") as address:
        yield address


def measured(address: str, folder: Path, *load: str) -> list[Case]:
    file = folder / "measured.jsonl"
    asked = ["measure", "--triton", address, "--model", "sleepy", "--gpu", "T4", "--precision", "fp32", *load]
    assert run([*asked, "--duration", "3", "--warm-up", "0.5", "--to", str(file)]) == 0
    return [Case.model_validate_json(line) for line in file.read_text().splitlines()]


def mean(latency: Percentiles | None) -> float:
    assert latency is not None and latency.mean is not None
    return latency.mean


def test_what_the_server_says_of_itself_is_in_the_case(triton: str, tmp_path: Path) -> None:
    (case,) = measured(triton, tmp_path, "--concurrency", "1")
    assert (case.engine.name, case.model.name, case.hardware.gpu) == ("python", "sleepy", "T4")
    assert case.engine.version is not None and case.engine.version.startswith("triton 2.")
    assert (case.serving.maximum_batch_size, case.serving.instances) == (LARGEST, 1)
    assert (case.serving.dynamic_batching, case.serving.maximum_queue_delay_microseconds) == (True, 500)


def test_a_lone_client_sees_the_time_of_one_item_and_items_of_one_request_theirs(triton: str, tmp_path: Path) -> None:
    (alone,) = measured(triton, tmp_path, "--concurrency", "1")
    (full,) = measured(triton, tmp_path, "--concurrency", "1", "--items", str(LARGEST))
    assert alone.observed is not None and full.observed is not None
    for case, items in ((alone, 1), (full, LARGEST)):
        assert case.observed is not None
        expected = BATCH_SECONDS + items * ITEM_SECONDS
        assert expected < mean(case.observed.latency_seconds) < 1.6 * expected + 0.005
    assert full.request.items_per_request == LARGEST


def test_an_open_load_is_offered_at_its_rate(triton: str, tmp_path: Path) -> None:
    (case,) = measured(triton, tmp_path, "--rate", "20")
    assert case.observed is not None and case.observed.requests_per_second is not None
    assert case.observed.requests_per_second == pytest.approx(20, rel=0.35)
    assert (case.load.kind, case.load.burstiness) == ("open", 1)


def test_runs_at_two_loads_predict_a_third(triton: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    light, heavy = measured(triton, tmp_path, "--concurrency", "1,8")
    (between,) = measured(triton, tmp_path, "--concurrency", "4")
    assert between.observed is not None
    runs: list[dict[str, Any]] = []
    for case in (light, heavy):
        assert case.observed is not None
        stated = case.model_dump(mode="json", by_alias=True, exclude_none=True)
        runs.append({name: stated[name] for name in ("serving", "load", "request")} | {"metrics": stated["observed"]})
    asked = between.model_dump(mode="json", by_alias=True, exclude_none=True) | {"measured": runs}
    (tmp_path / "asked.jsonl").write_text(json.dumps(asked))

    capsys.readouterr()
    assert run(["predict", str(tmp_path / "asked.jsonl")]) == 0
    answer = Prediction.model_validate_json(capsys.readouterr().out)
    assert answer.feasible and answer.evidence == "interpolated"
    latency, band = answer.metrics["latencySeconds"], answer.band["latencySeconds"]
    assert isinstance(latency, dict) and isinstance(band, dict)
    observed = mean(between.observed.latency_seconds)
    assert latency["mean"] == pytest.approx(observed, rel=0.6)
    # Four clients fall into one batch, or into two that alternate, a fifth apart: which, is a matter of chance.
    assert 0.8 * band["mean"][0] < observed < 1.25 * band["mean"][1]

    assert run(["validate", str(tmp_path / "asked.jsonl"), "-o", "json"]) == 0
    totals = {(one["metric"], one["statistic"]): one for one in json.loads(capsys.readouterr().out)["totals"]}
    assert totals["latencySeconds", "mean"]["errors"]["medianPercent"] < 60
