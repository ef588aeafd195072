"""Percentiles of language models under open loads, simulated request by request."""

from typing import Any

import numpy as np
import pytest
from tests.unit.cost_model.test_parameter_count import LLAMA

from berth_cost.cases.case import Case, Prediction
from berth_cost.cases.records import case_table, predict_cases
from berth_cost.hardware.gpu_catalogue import GPUCatalogue
from berth_cost.performance.engine_constants import built_in_constants
from berth_cost.performance.prediction import predict
from berth_cost.performance.replica import language_replicas
from berth_cost.performance.simulated.arrivals import arrival_seconds
from berth_cost.performance.simulated.continuous_batching import REQUESTS, WARM_UP, simulated_requests

GPUS = GPUCatalogue.load_builtin().specifications
FIRST, TOKEN, END = "timeToFirstTokenSeconds", "timePerOutputTokenSeconds", "endToEndSeconds"


def case(rate: float, burstiness: float = 1.0, load: str = "open", **changed: Any) -> Case:
    loads = {"open": {"requestsPerSecond": rate, "burstiness": burstiness}, "closed": {"concurrency": 8}}
    return Case.model_validate(
        {
            "id": f"{rate}-{burstiness}",
            "model": {"name": "llama", "transformer": LLAMA},
            "hardware": {"gpu": "H100-SXM-80GB"},
            "precision": "bf16",
            "engine": {"name": "vllm"},
            "load": {"kind": load, **loads[load]},
            "request": {"inputTokens": 1000, "outputTokens": 200},
        }
        | changed
    )


def most(**changed: Any) -> float:
    """Requests per second that saturate the replica."""
    return float(predict(case_table([case(1.0, **changed)], GPUS)).maximum_rate[0])


def seconds(answer: Prediction, metric: str, statistic: str) -> float:
    values = answer.metrics[metric]
    assert isinstance(values, dict)
    return values[statistic]


def test_gaps_have_the_rate_and_the_variation_that_were_asked_for() -> None:
    times = arrival_seconds(np.array([2.0, 2.0, 5.0]), np.array([0.0, 1.0, 4.0]), 4000, seed=3)
    gaps = np.diff(times, axis=1, prepend=0.0)
    assert gaps.mean(axis=1) == pytest.approx([0.5, 0.5, 0.2])
    variation = gaps.var(axis=1) / gaps.mean(axis=1) ** 2
    assert variation == pytest.approx([0.0, 1.0, 4.0], abs=0.4)


def test_constant_arrivals_agree_with_the_closed_forms() -> None:
    """Nothing fluctuates: then both describe the same engine."""
    top = most()
    cases = [case(share * top, burstiness=0.0) for share in (0.3, 0.5, 0.7)]
    for closed, simulated in zip(predict_cases(cases, GPUS), predict_cases(cases, GPUS, seed=1), strict=True):
        assert seconds(simulated, END, "mean") == pytest.approx(seconds(closed, END, "mean"), rel=0.03)
        assert seconds(simulated, FIRST, "mean") == pytest.approx(seconds(closed, FIRST, "mean"), rel=0.15)


def test_burstier_arrivals_are_slower_in_every_percentile() -> None:
    rate = 0.6 * most()
    answers = predict_cases([case(rate, burstiness) for burstiness in (0.0, 1.0, 4.0)], GPUS, seed=1)
    for metric in (FIRST, END):
        for statistic in ("mean", "p95", "p99"):
            found = [seconds(one, metric, statistic) for one in answers]
            assert found == sorted(found) and found[0] < found[2]


def test_a_case_does_not_depend_on_its_company() -> None:
    top = most()
    alone = predict_cases([case(0.5 * top)], GPUS, seed=7)[0]
    among = predict_cases([case(0.9 * top, 4.0), case(0.5 * top), case(0.3 * top, 0.0)], GPUS, seed=7)[1]
    assert alone == among
    assert alone == predict_cases([case(0.5 * top)], GPUS, seed=7)[0]
    assert alone != predict_cases([case(0.5 * top)], GPUS, seed=8)[0]


@pytest.mark.parametrize("share", [0.05, 0.99])
def test_light_loads_and_loads_next_to_saturation_keep_the_closed_forms(share: float) -> None:
    rate = share * most()
    assert predict_cases([case(rate)], GPUS, seed=1) == predict_cases([case(rate)], GPUS)


def test_clients_in_a_loop_keep_the_closed_forms() -> None:
    assert predict_cases([case(1.0, load="closed")], GPUS, seed=1) == predict_cases([case(1.0, load="closed")], GPUS)


def test_overload_stays_a_reason_and_no_number() -> None:
    (answer,) = predict_cases([case(1.1 * most())], GPUS, seed=1)
    assert not answer.feasible and answer.reasons[0].code == "overload" and not answer.metrics


def test_percentiles_rise_inside_their_bands() -> None:
    rate = 0.7 * most()
    for answer in predict_cases([case(rate, burstiness) for burstiness in (0.0, 1.0, 3.0)], GPUS, seed=1):
        for metric in (FIRST, TOKEN, END):
            rising = [seconds(answer, metric, name) for name in ("p50", "p90", "p95", "p99")]
            assert rising == sorted(rising)
            band = answer.band[metric]
            assert isinstance(band, dict)
            for name, (low, high) in band.items():
                assert low <= seconds(answer, metric, name) <= high


def test_a_measured_run_still_says_what_the_mean_is() -> None:
    rate = 0.6 * most()
    run = {"metrics": {END: {"mean": 4.0}, FIRST: {"mean": 0.1}}}
    told = case(rate, measured=[run])
    closed, simulated = predict_cases([told], GPUS)[0], predict_cases([told], GPUS, seed=1)[0]
    for metric in (FIRST, END):
        assert seconds(simulated, metric, "mean") == pytest.approx(seconds(closed, metric, "mean"), rel=1e-5)
    assert seconds(simulated, END, "p99") != seconds(closed, END, "p99")


def test_every_request_is_served_in_order_and_none_is_lost() -> None:
    """16 seats, a load that queues: a first token takes the wait and the prompt, an answer its steps."""
    serving = {"maximumBatchSize": 16}
    rate = 0.9 * most(serving=serving)
    batching = language_replicas(case_table([case(rate, serving=serving)], GPUS), built_in_constants()).batching
    times = simulated_requests(batching, np.array([rate]), np.array([14.0]), seed=1)
    assert times.first_token.shape == (1, REQUESTS - WARM_UP)
    assert np.isfinite(times.first_token).all() and (times.first_token > 0).all()
    zero = np.zeros(1)
    alone = batching.step.seconds(np.ones(1), zero)[0] * batching.decode_steps[0]
    full = batching.step.seconds(batching.seats, batching.token_budget)[0] * batching.decode_steps[0]
    assert (times.decoding > 0.99 * alone).all() and (times.decoding < full).all()
    # Some find a seat, others wait for one.
    assert times.first_token.min() < 0.05 and times.first_token.max() > 0.3
