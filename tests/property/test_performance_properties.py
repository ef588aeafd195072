"""Properties that the performance model keeps whatever the numbers are."""

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from berth_cost.cases.case import Load, Model, Serving
from berth_cost.performance.prediction import predict, sustainable_rate
from cost_cases import GPU, LLAMA_8B, MIXTURE, RESNET50, at_rates, case, scaled_gpu, table

MODELS = st.sampled_from([LLAMA_8B, MIXTURE, RESNET50])
STATISTICS = ("mean", "p50", "p90", "p95", "p99")
TTFT, TPOT, E2E, LATENCY = (
    "timeToFirstTokenSeconds",
    "timePerOutputTokenSeconds",
    "endToEndSeconds",
    "latencySeconds",
)
# A little more than the last digit of a sum: properties are of the model, not of floating-point.
SLACK = 1 + 1e-6

servings = st.builds(
    Serving,
    maximum_batch_size=st.integers(1, 256),
    instances=st.integers(1, 4),
    maximum_queue_delay_microseconds=st.sampled_from([0, 100, 5000]),
    maximum_batched_tokens=st.sampled_from([None, 512, 8192]),
)
big = scaled_gpu(4)


@st.composite
def cases(draw):
    return case(
        draw(MODELS),
        gpu=big,
        inputs=draw(st.integers(1, 8000)),
        outputs=draw(st.integers(1, 2000)),
        serving=draw(servings),
        precision=draw(st.sampled_from(["fp16", "int8"])),
    )


def latency_metrics(one) -> tuple[str, ...]:
    return (TTFT, TPOT, E2E) if one.model.transformer else (LATENCY,)


@settings(max_examples=60, deadline=None)
@given(cases(), st.floats(0, 4))
def test_latency_rises_with_the_rate(one, burstiness):
    single = replace(table([one]), burstiness=np.array([burstiness]))
    top = predict(at_rates(single, np.array([1e-9]))).maximum_rate[0]
    shares = np.array([1e-6, 0.01, 0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99])
    predicted = predict(at_rates(single.rows(np.zeros(len(shares), dtype=np.int64)), shares * top))
    assert predicted.feasible.all()
    for metric in latency_metrics(one):
        for statistic in STATISTICS:
            for column in (predicted.low, predicted.point, predicted.high):
                values = column[metric][statistic]
                assert np.all(values[1:] * SLACK >= values[:-1]), (metric, statistic, values)


@settings(max_examples=40, deadline=None)
@given(cases(), st.floats(1.05, 3), st.floats(0.01, 0.6))
def test_a_bigger_model_is_never_faster(one, factor, share):
    if one.model.transformer:
        shape = one.model.transformer
        larger = shape.model_copy(update={"parameters": shape.parameters * factor})
        bigger = Model(name="bigger", transformer=larger)
    else:
        dense = one.model.dense
        names = ("parameters", "flops_per_inference", "activation_bytes_per_inference")
        bigger = Model(name="b", dense=dense.model_copy(update={key: getattr(dense, key) * factor for key in names}))
    both = table([one, one.model_copy(update={"model": bigger})])
    top = predict(at_rates(both, np.full(2, 1e-9))).maximum_rate
    if np.isnan(top).any():
        return
    predicted = predict(at_rates(both, np.full(2, share * top.min())))
    for metric in latency_metrics(one):
        for statistic in STATISTICS:
            small, large = predicted.point[metric][statistic]
            assert large * SLACK >= small, (metric, statistic)


@settings(max_examples=40, deadline=None)
@given(cases(), st.floats(1.05, 8), st.sampled_from(["closed", "open", "batch", "saturated"]))
def test_a_gpu_with_more_of_everything_is_never_slower(one, factor, kind):
    loads = {
        "closed": Load(kind="closed", concurrency=3),
        "open": Load(kind="open", requests_per_second=0.05),
        "batch": Load(kind="batch", batch_size=2),
        "saturated": Load(kind="saturated"),
    }
    faster = scaled_gpu(factor, big)
    asked = []
    for gpu in (big, faster):
        hardware = one.hardware.model_copy(update={"gpu": gpu.name, "gpu_specification": gpu})
        asked.append(one.model_copy(update={"hardware": hardware, "load": loads[kind]}))
    predicted = predict(table(asked))
    if not predicted.feasible.all():
        return
    rate = predicted.point["requestsPerSecond"]["value"]
    assert rate[1] * SLACK >= rate[0]
    if kind != "saturated":
        # More memory seats more requests, so a saturated replica may well answer each of them later.
        for metric in latency_metrics(one):
            slow, fast = predicted.point[metric]["mean"]
            assert fast <= slow * SLACK, metric


@settings(max_examples=60, deadline=None)
@given(st.lists(cases(), min_size=1, max_size=6), st.floats(1.01, 100), st.sampled_from(STATISTICS), st.floats(0, 4))
def test_the_sustainable_rate_is_where_objectives_stop_to_hold(some, looseness, statistic, burstiness):
    asked = replace(table(some), burstiness=np.full(len(some), burstiness))
    lone = predict(at_rates(asked, np.full(len(some), 1e-9)))
    language = np.array([one.model.transformer is not None for one in some])
    whole = np.where(language, lone.high[E2E][statistic], lone.high[LATENCY][statistic]) * looseness
    objectives = {
        (E2E, statistic): whole,
        (TTFT, "p95"): np.where(language, lone.high[TTFT]["p95"] * looseness, np.inf),
    }
    found = sustainable_rate(asked, objectives)
    assert np.all(found.requests_per_second > 0)

    def edge(rates):
        predicted = predict(at_rates(asked, rates))
        total = np.where(language, predicted.high[E2E][statistic], predicted.high[LATENCY][statistic]) / whole
        first = np.where(language, predicted.high[TTFT]["p95"] / objectives[TTFT, "p95"], 0.0)
        return predicted, np.maximum(total, first)

    predicted, at_rate = edge(found.requests_per_second)
    assert predicted.feasible.all()
    assert np.all(at_rate <= SLACK)
    _, beyond = edge(found.requests_per_second * 1.02)
    throughput = np.array([binding is None for binding in found.binding])
    # Refused beyond (nan) is as good as broken. A load of a billionth of the capacity is a lone request still.
    negligible = found.requests_per_second < 1e-6 * found.maximum_rate
    assert np.all(throughput | negligible | ~(beyond <= 1.0))


@settings(max_examples=30, deadline=None)
@given(st.lists(cases(), min_size=2, max_size=8), st.randoms(use_true_random=False))
def test_rows_do_not_depend_on_their_order_or_company(some, random):
    order = list(range(len(some)))
    random.shuffle(order)
    straight, shuffled = table(some), table([some[i] for i in order])
    first, second = predict(straight), predict(shuffled)
    for metric, statistics in first.point.items():
        for statistic, values in statistics.items():
            assert np.array_equal(values[order], second.point[metric][statistic], equal_nan=True)
    limits = {(E2E, "p95"): np.full(len(some), 5.0)}
    rates, others = (sustainable_rate(one, limits).requests_per_second for one in (straight, shuffled))
    # The solver stops on its own company's clock: equal far beyond the six digits that anything is compared at.
    assert np.allclose(rates[order], others, rtol=1e-7, atol=0)


@settings(max_examples=20, deadline=None)
@given(st.lists(cases(), min_size=1, max_size=4))
def test_the_same_question_gets_the_same_answer_to_the_last_bit(some):
    first, second = (sustainable_rate(table(some), {(E2E, "p99"): np.full(len(some), 9.0)}) for _ in range(2))
    assert first.requests_per_second.tobytes() == second.requests_per_second.tobytes()
    assert [predict(table(some)).records(["a"])[0].model_dump_json() for _ in range(2)].count(
        predict(table(some)).records(["a"])[0].model_dump_json()
    ) == 2


@settings(max_examples=40, deadline=None)
@given(cases(), st.integers(2, 64))
def test_more_clients_never_get_less_throughput(one, clients):
    few, many = (one.model_copy(update={"load": Load(kind="closed", concurrency=count)}) for count in (1, clients))
    predicted = predict(table([few, many]))
    rate = predicted.point["requestsPerSecond"]["value"]
    assert rate[1] * SLACK >= rate[0]


def test_the_gpu_of_these_tests_fits_their_models():
    predicted = predict(table([case(model, gpu=big) for model in (LLAMA_8B, MIXTURE, RESNET50)]))
    assert predicted.feasible.all()
    assert GPU.memory_bytes * 4 == big.memory_bytes
