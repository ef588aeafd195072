"""Lines of cases: each is read, or refused by its number and by the key at fault."""

import json
from typing import Any

import pytest

from berth_cost.cases.answers import answers
from berth_cost.cases.case import Prediction
from berth_cost.cases.lines import MOST_LINE_BYTES, CaseFlaw, NumberedCase, read_cases
from berth_cost.hardware.gpu_catalogue import GPUCatalogue

CATALOGUE = GPUCatalogue.load_builtin()
CASE: dict[str, Any] = {
    "id": "resnet",
    "model": {"name": "resnet50", "dense": {"parameters": 25.6e6, "flopsPerInference": 8.2e9}},
    "hardware": {"gpu": "L4"},
    "precision": "fp16",
    "load": {"kind": "batch", "batchSize": 8},
}


def line(**changed: Any) -> bytes:
    return json.dumps(CASE | changed).encode()


def flaw(text: bytes) -> CaseFlaw:
    (found,) = read_cases([text])
    assert isinstance(found, CaseFlaw), found
    return found


def answer(text: bytes) -> Prediction | CaseFlaw:
    ((_, found),) = answers([text], CATALOGUE)
    return found


def predicted(text: bytes) -> Prediction:
    found = answer(text)
    assert isinstance(found, Prediction), found
    return found


def refused(text: bytes) -> CaseFlaw:
    found = answer(text)
    assert isinstance(found, CaseFlaw), found
    return found


def test_blank_lines_are_passed_over_and_counted() -> None:
    found = list(read_cases([b"\n", line() + b"\r\n", b"  ", line(id="second")]))
    assert [(one.line, one.case.id) for one in found if isinstance(one, NumberedCase)] == [(2, "resnet"), (4, "second")]


@pytest.mark.parametrize(
    ("text", "keys", "words"),
    [
        (line(hardware={"gpu": "L4", "gpuCuont": 2}), ("hardware.gpuCuont",), "did you mean gpuCount"),
        (line(hardware={"gpu": "L4", "gpu_count": 2}), ("hardware.gpu_count",), "unknown key"),
        (line(hardware={"gpu": "L4", "gpuCount": "2"}), ("hardware.gpuCount",), "must be a whole number"),
        (line(hardware={"gpu": "L4", "gpuCount": 1.5}), ("hardware.gpuCount",), "must be a whole number"),
        (line(hardware={"gpu": "L4", "gpuCount": True}), ("hardware.gpuCount",), "must be a whole number"),
        (line(hardware={"gpu": "L4", "gpuCount": 10**30}), ("hardware.gpuCount",), "must be at most"),
        (line(load={"kind": "open", "requestsPerSecond": 0}), ("load.requestsPerSecond",), "must be above 0"),
        (line(load={"kind": "open", "requestsPerSecond": -1}), ("load.requestsPerSecond",), "must be above 0"),
        (line(load={"kind": "open", "requestsPerSecond": float("nan")}), ("load.requestsPerSecond",), "finite"),
        (line(load={"kind": "open", "requestsPerSecond": float("inf")}), ("load.requestsPerSecond",), "finite"),
        (line(load={"kind": "open"}), ("load",), "needs requestsPerSecond"),
        (line(precision="fp17"), ("precision",), "must be one of 'fp32'"),
        (line(model={"name": "nothing"}), ("model",), "exactly one of transformer and dense"),
        (line(measured=[{"metrics": {"powerWatts": 1}}]), ("measured[0].metrics.powerWatts",), "powerWattsPerGPU"),
        (b'{"id": 1e999}', ("id", "model", "hardware", "precision", "load"), "id: must be a text"),
        (b'{"id": "a", "id": "b"}', ("id",), "stands twice"),
        (b'{"id": "\\ud800"}', (), "hex escape"),
        (b"[1]", (), "must be a JSON object"),
        (b"{", (), "is not JSON"),
        (b"[" * 200_000, (), "nested too deeply"),
        (b'{"id": ' + b"9" * 5000 + b"}", (), "too many digits"),
        (b"\xff\xfe{}", (), "is not UTF-8"),
        (b" " + b"x" * (MOST_LINE_BYTES + 1), (), "longer than 4 MiB"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_key_and_what_to_do(text: bytes, keys: tuple[str, ...], words: str) -> None:
    found = flaw(text)
    assert (found.line, found.keys) == (1, keys)
    assert words in found.error


def test_a_whole_number_may_be_written_as_a_float() -> None:
    assert predicted(line(load={"kind": "batch", "batchSize": 8.0})) == predicted(line())


@pytest.mark.parametrize(
    ("spelling", "words"),
    [
        ("H100-SMX-80GB", "nearest: H100-SXM-80GB"),
        ("NVIDIA-L4", "calls it L4"),
        ("H100", "H100-SXM-80GB or"),
        ("x\n\x1b[31m", "no known GPU"),
    ],
)
def test_an_unknown_gpu_is_refused_with_what_it_may_be_called(spelling: str, words: str) -> None:
    found = refused(line(hardware={"gpu": spelling}))
    assert found.keys == ("hardware.gpu",) and words in found.error


def test_a_gpu_that_nobody_knows_is_predicted_from_its_specification() -> None:
    described = {"memoryBytes": 24e9, "memoryBandwidthBytesPerSecond": 3e11, "peakFlopsPerSecond": {"fp16": 1.2e14}}
    found = predicted(line(hardware={"gpu": "Acme-X1", "gpuSpecification": described}))
    assert found.feasible and found.metrics["latencySeconds"]


def test_what_a_specification_does_not_say_is_named_as_a_reason() -> None:
    found = predicted(line(hardware={"gpu": "Acme-X1", "gpuSpecification": {"memoryBytes": 24_000_000_000}}))
    assert not found.feasible and "memoryBandwidth" in found.reasons[0].message


def test_a_slice_that_the_gpu_does_not_have_is_refused_with_those_it_has() -> None:
    found = refused(line(hardware={"gpu": "A100-SXM-80GB", "migProfile": "1g.5gb"}))
    assert found.keys == ("hardware.migProfile",) and "1g.10gb" in found.error


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"hardware": {"gpu": "L4", "gpuCount": 3}, "parallelism": {"tensor": 2}}, "parallelism"),
        ({"precision": "fp4"}, "precision"),
        ({"model": {"name": "vast", "dense": {"parameters": 1e12, "flopsPerInference": 1e9}}}, "memory"),
        ({"load": {"kind": "open", "requestsPerSecond": 1e9}}, "overload"),
        ({"model": {"name": "unsaid", "dense": {}}}, "unknown"),
    ],
)
def test_what_cannot_run_is_answered_with_a_reason_and_no_number(changed: dict[str, Any], code: str) -> None:
    found = predicted(line(**changed))
    assert not found.feasible and found.metrics == {}
    assert [reason.code for reason in found.reasons] == [code]


RUN = {"metrics": {"latencySeconds": {"mean": 0.02}}}


def test_a_model_of_which_nothing_is_known_is_predicted_from_its_runs() -> None:
    unsaid = {"name": "unsaid", "dense": {"parameters": None, "flopsPerInference": None}}
    found = predicted(line(model=unsaid, measured=[RUN]))
    latency = found.metrics["latencySeconds"]
    assert found.feasible and isinstance(latency, dict)
    assert latency["mean"] == pytest.approx(0.02, rel=0.1)


def test_two_runs_of_one_configuration_that_differ_threefold_are_refused_by_name() -> None:
    found = refused(line(measured=[RUN, {"metrics": {"latencySeconds": {"mean": 0.06}}}]))
    assert found.keys == ("measured[1]",)
    assert "measured[0]" in found.error and "a factor of 3.0" in found.error


def test_the_same_run_stated_once_in_full_and_once_as_in_the_case_is_one_configuration() -> None:
    stated = {"hardware": {"gpu": "L4"}, "load": CASE["load"], "metrics": {"latencySeconds": {"mean": 0.06}}}
    assert refused(line(measured=[RUN, stated])).keys == ("measured[1]",)


def test_runs_of_different_loads_may_differ_as_they_like() -> None:
    heavier = {"load": {"kind": "batch", "batchSize": 64}, "metrics": {"latencySeconds": {"mean": 0.2}}}
    assert predicted(line(measured=[RUN, heavier])).feasible


def test_a_run_on_a_gpu_that_nobody_knows_is_refused_by_its_place() -> None:
    found = refused(line(measured=[{"hardware": {"gpu": "L44"}, **RUN}]))
    assert found.keys == ("measured[0].hardware.gpu",)


def test_a_run_that_says_nothing_is_refused() -> None:
    assert refused(line(measured=[RUN, {"metrics": {}}])).keys == ("measured[1].metrics",)
    assert "must be at least 1e-09" in refused(line(measured=[{"metrics": {"latencySeconds": {"mean": 1e-30}}}])).error


def test_a_token_cannot_draw_more_experts_than_there_are() -> None:
    experts = {"count": 8, "perToken": 9, "intermediateSize": 64}
    sizes = {
        "parameters": 1e9, "layers": 2, "hiddenSize": 64, "intermediateSize": 256, "attentionHeads": 4,
        "keyValueHeads": 4, "headSize": 16, "vocabularySize": 1000, "experts": experts,
    }  # fmt: skip
    found = flaw(line(model={"name": "m", "transformer": sizes}))
    assert found.keys == ("model.transformer.experts",) and "perToken is 9, of 8 experts" in found.error


@pytest.mark.parametrize("parameters", [1e-300, 1e30])
def test_numbers_beyond_the_arithmetic_stop_nobody_else(parameters: float) -> None:
    odd = line(id="odd", model={"name": "odd", "dense": {"parameters": parameters, "flopsPerInference": 1e-300}})
    (_, before), (_, found), (_, after) = answers([line(), odd, line()], CATALOGUE)
    assert (
        isinstance(found, CaseFlaw)
        or not found.feasible
        or all(value > 0 for value in found.model_dump()["metrics"]["latencySeconds"].values())
    )
    assert before == after == predicted(line())


def test_an_exception_inside_the_model_is_the_matter_of_its_line_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    from berth_cost.cases import answers as room

    true = room.predict_cases

    def fails(cases: Any, gpus: Any, seed: int) -> Any:
        if any(case.id == "odd" for case in cases):
            raise OverflowError("too large")
        return true(cases, gpus, seed=seed)

    monkeypatch.setattr(room, "predict_cases", fails)
    found = [one for _, one in answers([line(), line(id="odd"), line(), line()], CATALOGUE)]
    assert [isinstance(one, CaseFlaw) for one in found] == [False, True, False, False]
    assert isinstance(found[1], CaseFlaw) and (found[1].line, found[1].id) == (2, "odd")
    assert "OverflowError" in found[1].error
