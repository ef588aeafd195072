"""Cases and measured runs of classic networks that cannot be are refused by name, and do not stop the others."""

from typing import Any

import pytest

from berth_cost.cases.case import Case, Load, MeasuredPoint, Metrics, Percentiles, Prediction, Serving
from berth_cost.cases.measured_runs import impossible
from berth_cost.cases.records import predict_cases
from cost_cases import RESNET50, case

CLOSED = Load(kind="closed", concurrency=8)


def answered(load: Load, **serving: Any) -> Prediction:
    one: Case = case(RESNET50, load, serving=Serving(**serving))
    return predict_cases([one], {})[0]


def run(**metrics: Any) -> MeasuredPoint:
    return MeasuredPoint(load=CLOSED, metrics=Metrics(**metrics))


def test_a_batch_larger_than_the_largest_is_refused_with_both_numbers() -> None:
    refused = answered(Load(kind="batch", batch_size=64), maximum_batch_size=8)
    (reason,) = refused.reasons
    assert not refused.feasible and (reason.code, reason.value, reason.limit) == ("batch", 64, 8)
    assert "maximumBatchSize" in reason.message
    assert answered(Load(kind="batch", batch_size=8), maximum_batch_size=8).feasible
    assert answered(Load(kind="batch", batch_size=64)).feasible


def test_overload_is_a_reason_and_never_a_number() -> None:
    refused = answered(Load(kind="open", requests_per_second=1e6), maximum_batch_size=8)
    (reason,) = refused.reasons
    assert reason.code == "overload" and reason.value == 1e6 and reason.limit is not None and reason.limit < 1e6
    assert refused.metrics == {}


@pytest.mark.parametrize(
    ("metrics", "words"),
    [
        ({"latency_seconds": Percentiles(p50=0.02, p99=0.001)}, "latencySeconds.p50 is 0.02 and p99 is 0.001"),
        ({"latency_seconds": Percentiles(mean=0.004), "requests_per_second": 1e6}, "more at once than 8 clients"),
    ],
)
def test_a_run_that_cannot_be_true_says_why(metrics: dict[str, Any], words: str) -> None:
    assert words in (impossible(run(**metrics)) or "")


def test_runs_that_are_only_noisy_are_believed() -> None:
    assert impossible(run(latency_seconds=Percentiles(mean=0.02, p95=0.0141, p99=0.0121))) is None
    assert impossible(run(latency_seconds=Percentiles(mean=0.004), requests_per_second=1900.0)) is None
