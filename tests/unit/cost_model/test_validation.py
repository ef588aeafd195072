"""Errors of predictions: numbers that can be checked by hand, and slices that add up."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from berth_cost.cases.case import Case, Prediction
from berth_cost.cases.validation import DIMENSIONS, comparisons, error_slices, error_statistics


def statistics(observed: list[float], predicted: list[float], width: float = 1.5) -> Any:
    point = np.array(predicted)
    return error_statistics(np.array(observed), point, point / width, point * width)


def test_errors_are_of_the_prediction_over_the_observation() -> None:
    found = statistics([1.0, 1.0, 1.0, 1.0], [1.1, 0.9, 1.3, 2.0])
    assert found.n == 4
    assert found.median_percent == 20  # of 10, 10, 30 and 100
    assert found.mean_percent == 37.5
    assert found.p90_percent == 79  # nine tenths between the third and the fourth: 30 + 0.7 · 70
    assert found.coverage_percent == 75


def test_twice_and_half_have_no_bias() -> None:
    assert statistics([1.0, 1.0], [2.0, 0.5]).bias_percent == pytest.approx(0, abs=1e-9)
    assert statistics([1.0], [0.8]).bias_percent == -20


def test_what_was_not_predicted_is_in_no_statistic() -> None:
    assert statistics([1.0, 1.0], [float("nan"), 1.0]).n == 1
    assert statistics([1.0], [float("nan")]).model_dump(exclude_none=True) == {"n": 0}


def case(**changed: Any) -> Case:
    stated: dict[str, Any] = {
        "id": "a",
        "model": {"name": "resnet50", "dense": {}},
        "hardware": {"gpu": "L4"},
        "precision": "fp16",
        "engine": {"name": "tensorrt"},
        "load": {"kind": "batch", "batchSize": 8},
        "observed": {"latencySeconds": {"mean": 0.02, "p99": 0.03}, "itemsPerSecond": 400},
    }
    return Case.model_validate(stated | changed)


def prediction(feasible: bool = True) -> Prediction:
    metrics = {"latencySeconds": {"mean": 0.022}, "itemsPerSecond": 360.0} if feasible else {}
    band = {"latencySeconds": {"mean": (0.018, 0.03)}, "itemsPerSecond": (370.0, 380.0)} if feasible else {}
    return Prediction.model_validate(
        {
            "id": "a",
            "feasible": feasible,
            "evidence": "estimated",
            "metrics": metrics,
            "band": band,
            "modelVersion": "1",
        }
    )


def test_every_observed_number_is_compared_with_its_own_band() -> None:
    found = {(one.metric, one.statistic): one for one in error_slices(comparisons(case(), prediction()))}
    assert found["latencySeconds", "mean"].errors.median_percent == pytest.approx(10)
    assert found["latencySeconds", "mean"].errors.coverage_percent == 100
    assert found["itemsPerSecond", None].errors.coverage_percent == 0
    assert (found["latencySeconds", "p99"].errors.n, found["latencySeconds", "p99"].refused) == (0, 1)


def test_what_ran_and_is_predicted_not_to_run_is_counted_as_refused() -> None:
    found = error_slices(comparisons(case(), prediction(feasible=False)))
    assert [one.refused for one in found] == [1, 1, 1]


def test_slices_are_told_apart_by_gpu_slice_precision_engine_and_class() -> None:
    llm = {
        "name": "tiny", "transformer": {
            "parameters": 1e6, "layers": 2, "hiddenSize": 64, "intermediateSize": 256, "attentionHeads": 4,
            "keyValueHeads": 4, "headSize": 16, "vocabularySize": 1000,
            "experts": {"count": 4, "perToken": 2, "intermediateSize": 64},
        },
    }  # fmt: skip
    cases = [case(), case(model=llm, hardware={"gpu": "A100-SXM-80GB", "migProfile": "1g.10gb"}, engine={})]
    found = error_slices((one for each in cases for one in comparisons(each, prediction())), DIMENSIONS)
    assert {(one.gpu, one.precision, one.engine, one.model_class) for one in found} == {
        ("L4", "fp16", "tensorrt", "classic"),
        ("A100-SXM-80GB 1g.10gb", "fp16", "any", "MoE LLM"),
    }


@given(st.lists(st.tuples(st.sampled_from(["L4", "T4"]), st.sampled_from(["fp16", "int8"])), min_size=1, max_size=20))
def test_slices_add_up_to_the_totals(kinds: list[tuple[str, str]]) -> None:
    cases = [case(hardware={"gpu": gpu}, precision=precision) for gpu, precision in kinds]
    compared = [one for each in cases for one in comparisons(each, prediction())]
    (total, *_), slices = error_slices(compared), error_slices(compared, ("gpu", "precision"))
    assert sum(one.errors.n for one in slices if one.metric == total.metric) == total.errors.n == len(kinds)
