"""Measured runs: which ConfigMap is read, what of it cannot be used, and what a plan makes of the rest."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from berth_cost.cases.case import Engine
from berth_operator.catalogues import Catalogues
from berth_operator.gather import gather
from berth_operator.measurements import MOST_RUNS, read_measurements, referred_to
from berth_operator.world import World
from berth_scheduler.decision import Decision
from berth_scheduler.explain import explain
from berth_scheduler.plan import plan
from berth_scheduler.snapshot import Snapshot, Workload
from kubernetes_objects import claim, config_map, measured_from, node, run, variant, workload

TIME = datetime(2026, 11, 2, 12, tzinfo=UTC)
CATALOGUES = Catalogues.built_in()
VARIANTS = {"variants": [variant("fp16")]}
RUNS = run(1, 0.004) + "\n\n" + run(8, 0.02) + "\n"


def snapshot(*objects: dict[str, Any]) -> Snapshot:
    return gather(World.of([claim(), node(), *objects]), CATALOGUES, time=TIME)


def gathered(*objects: dict[str, Any]) -> Workload:
    (found,) = snapshot(*objects).workloads
    return found


def decided(*objects: dict[str, Any]) -> Decision:
    (found,) = plan(snapshot(*objects)).decisions
    return found


def stated(preset: str | None = "resnet50", **reference: str) -> dict[str, Any]:
    model = VARIANTS | measured_from(**reference) | ({"preset": preset} if preset else {})
    return workload(model=model)


def problem(*objects: dict[str, Any]) -> tuple[str, str]:
    found = gathered(*objects).problem
    assert found is not None
    return found.reason, found.message


# --- reading -----------------------------------------------------------------------------------------------------


def test_runs_enter_the_snapshot_with_everything_stated() -> None:
    first, second = gathered(stated(), config_map("points", points_jsonl=RUNS)).measured
    assert first.load is not None and second.load is not None
    assert (first.load.batch_size, second.load.batch_size) == (1, 8)
    assert first.hardware is not None and first.hardware.gpu_specification is not None
    assert first.hardware.gpu_specification.name == "L4"
    assert first.engine == Engine(name="onnxruntime")


def test_an_engine_of_another_name_stays_as_it_was_measured() -> None:
    other = run(1, 0.004, engine={"name": "tensorrt", "version": "10"})
    (found,) = gathered(stated(), config_map("points", points_jsonl=other)).measured
    assert found.engine == Engine(name="tensorrt", version="10")


def test_runs_that_calibrated_a_line_count_too() -> None:
    line = run(1, 0.004, measured=[{"load": {"kind": "batch", "batchSize": 4}, "metrics": {"itemsPerSecond": 400}}])
    found = gathered(stated(), config_map("points", points_jsonl=line)).measured
    assert [one.load.batch_size for one in found if one.load] == [1, 4]


@pytest.mark.parametrize(
    ("maps", "words"),
    [
        ([], "ConfigMap points is not in vision"),
        ([config_map("points", "chat", points_jsonl=RUNS)], "ConfigMap points is not in vision"),
        ([config_map("points", other_jsonl=RUNS)], "has no key points.jsonl in its data, which holds other.jsonl"),
    ],
)
def test_what_is_not_there_is_said_and_may_still_come(maps: list[Any], words: str) -> None:
    reason, message = problem(stated(), *maps)
    assert reason == "MeasurementsMissing" and words in message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "key points.jsonl holds no case"),
        (run(1, 0.004) + "\n{", "line 2: is not JSON"),
        (run(1, 0.004, gpus=2), "line 1: gpus: unknown key"),
        (run(1, -1), "line 1: observed.latencySeconds.mean: must be at least 1e-09"),
        (run(1, 0.004, hardware={"gpu": "L44"}), "line 1: hardware.gpu: L44 is no known GPU"),
        (run(1, 0.004, observed=None), "line 1: observed is missing"),
        (run(1, 0.004) + "\n" + run(1, 0.012), "line 2 contradicts line 1: latencySeconds.mean is 0.004"),
        (run(1, 0.004) + "\n" + run(2, 1, model={"name": "b", "dense": {}}), "line 2: its model is not that of line 1"),
        ("\n".join(run(1 + n, 0.004) for n in range(MOST_RUNS + 1)), "101 runs, more than 100"),
    ],
)
def test_a_line_that_cannot_be_used_is_named_and_the_workload_is_not_planned(text: str, words: str) -> None:
    objects = stated(), config_map("points", points_jsonl=text)
    reason, message = problem(*objects)
    assert reason == "InvalidMeasurements"
    assert message.startswith("ConfigMap points, key points.jsonl") and words in message
    assert not decided(*objects).placed


def test_runs_of_a_language_model_say_nothing_about_a_classic_network() -> None:
    llm = {
        "parameters": 1e9, "layers": 2, "hiddenSize": 64, "intermediateSize": 256, "attentionHeads": 4,
        "keyValueHeads": 4, "headSize": 16, "vocabularySize": 1000,
    }  # fmt: skip
    line = run(1, 0.004, model={"name": "m", "transformer": llm})
    reason, message = problem(stated(), config_map("points", points_jsonl=line))
    assert reason == "InvalidMeasurements" and "its runs are of a language model" in message


@given(st.one_of(st.text(max_size=200), st.binary(max_size=200).map(lambda raw: raw.decode("latin-1"))))
@settings(max_examples=100, deadline=None)
def test_whatever_a_config_map_holds_is_read_or_refused(text: str) -> None:
    found = read_measurements(text, CATALOGUES.gpus, "here")
    assert (found.problem is None) == bool(found.runs)


def test_only_what_workloads_refer_to_is_asked_for() -> None:
    plain, garbled = workload("plain"), {"metadata": {"name": "x"}, "spec": {"model": {"measuredFrom": 3}}}
    broken = workload("broken", model=measured_from("other"))
    assert referred_to([stated(), plain, garbled, broken]) == {("vision", "points"), ("vision", "other")}


# --- planning ----------------------------------------------------------------------------------------------------


def test_a_plan_rests_on_the_runs_and_says_so() -> None:
    plain, calibrated = decided(workload()), decided(stated(), config_map("points", points_jsonl=RUNS))
    assert plain.prediction is not None and calibrated.prediction is not None
    assert plain.prediction.evidence == "estimated"
    assert calibrated.prediction.evidence in ("calibrated", "interpolated")


def test_an_explanation_says_what_the_prediction_rests_on() -> None:
    objects = stated(), config_map("points", points_jsonl=RUNS)
    lines = explain(decided(*objects), gathered(*objects)).objectives
    assert lines[0].evidence in ("calibrated, 2 measured points", "interpolated, 2 measured points")


def test_slower_runs_make_slower_predictions_and_never_fewer_replicas() -> None:
    def mean(factor: float) -> tuple[float, int]:
        runs = run(1, 0.004 * factor) + "\n" + run(8, 0.02 * factor)
        objects = stated(), config_map("points", points_jsonl=runs), *(node(f"n{n}") for n in range(2, 9))
        found = decided(*objects)
        assert found.prediction is not None
        latency = found.prediction.metrics["latencySeconds"]
        assert isinstance(latency, dict)
        return latency["mean"], found.berths[0].replicas

    (fast, few), (slow, many) = mean(0.4), mean(1)
    assert fast < slow and few <= many


def test_a_model_that_only_its_runs_describe_is_placed() -> None:
    found = decided(stated(preset=None), config_map("points", points_jsonl=RUNS))
    assert found.placed and found.prediction is not None
    assert found.prediction.evidence in ("calibrated", "interpolated")
    assert "memoryBytesPerGPU" not in found.prediction.metrics


def test_a_change_of_the_runs_is_a_change_of_what_is_planned_for_and_another_name_is_none() -> None:
    plain = gathered(workload()).planning_hash
    first = gathered(stated(), config_map("points", points_jsonl=RUNS)).planning_hash
    renamed = gathered(stated(name="other"), config_map("other", points_jsonl=RUNS)).planning_hash
    changed = gathered(stated(), config_map("points", points_jsonl=RUNS.replace("0.02", "0.03"))).planning_hash
    assert first == renamed and len({plain, first, changed}) == 3


def test_a_snapshot_holds_what_a_plan_needs_of_the_runs() -> None:
    seen = snapshot(stated(), config_map("points", points_jsonl=run(1, 0.002, hardware={"gpu": "A100-SXM-80GB"})))
    again = Snapshot.model_validate_json(seen.model_dump_json())
    assert plan(again) == plan(seen)
    assert plan(again).decisions[0].prediction is not None


@given(st.permutations([run(1, 0.004), run(4, 0.011), run(8, 0.02)]))
@settings(max_examples=6, deadline=None)
def test_the_order_of_the_lines_decides_nothing(lines: list[str]) -> None:
    there = decided(stated(), config_map("points", points_jsonl="\n".join(lines)))
    usual = decided(stated(), config_map("points", points_jsonl="\n".join(sorted(lines))))
    assert (there.berths, there.cost, there.prediction) == (usual.berths, usual.cost, usual.prediction)
