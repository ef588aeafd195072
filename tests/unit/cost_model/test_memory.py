"""What a replica needs per GPU, and what is refused for want of it."""

import numpy as np
import pytest

from berth_cost.cases.case import Load, Serving
from berth_cost.cases.records import predict_cases
from berth_cost.performance.engine_constants import built_in_constants
from berth_cost.performance.prediction import feasibility, predict
from cost_cases import GPU, LLAMA_8B, RESNET50, case, table


def memory(*cases) -> np.ndarray:
    return predict(table(cases)).point["memoryBytesPerGPU"]["value"]


GROWING = "llama.cpp"
"""An engine that takes memory as it needs it, where others take their whole share at start."""


def test_a_language_model_needs_its_weights_and_the_engines_own():
    reserved = built_in_constants().language.engines[GROWING].reserved_memory_bytes
    weights = 8.03e9 * 2
    assert weights + reserved < memory(case(engine=GROWING))[0] < weights + reserved + 3e9


def test_every_running_request_adds_its_cache():
    loads = (Load(kind="closed", concurrency=clients) for clients in (1, 101))
    few, many = memory(*(case(load=load, engine=GROWING) for load in loads))
    per_token = 2 * 32 * 8 * 128 * 2
    assert (many - few) / 100 == pytest.approx(per_token * 512, rel=0.35)


def test_tensor_parallelism_splits_the_weights():
    one, two = memory(case(engine=GROWING), case(engine=GROWING, tensor=2))
    assert one - two == pytest.approx(8.03e9, rel=0.1)


def test_too_little_memory_is_refused_with_both_numbers_in_bytes():
    small = GPU.model_copy(update={"memory_bytes": 16_000_000_000})
    (answer,) = predict_cases([case(gpu=small)], {})
    assert not answer.feasible
    (reason,) = answer.reasons
    assert reason.code == "memory"
    assert reason.value > 16e9
    assert reason.limit <= 16e9


def test_a_batch_whose_cache_does_not_fit_is_refused():
    fits, not_fits = predict(
        table([case(load=Load(kind="batch", batch_size=size), inputs=4096) for size in (8, 4096)])
    ).feasible
    assert fits
    assert not not_fits


def test_every_instance_of_a_classic_network_holds_its_own_weights_and_activations():
    one, four = memory(*(case(RESNET50, serving=Serving(maximum_batch_size=16, instances=count)) for count in (1, 4)))
    each = 25.6e6 * 2 + 16 * (0.3 * 22e6 + 602112 + 4000)
    assert four - one == pytest.approx(3 * each)


def test_a_network_that_may_not_fit_is_predicted_with_a_wide_band_and_not_promised():
    large = Load(kind="batch", batch_size=2048)
    small = GPU.model_copy(update={"memory_bytes": 8_000_000_000})
    cases = table([case(RESNET50, large, gpu=small, serving=Serving(maximum_batch_size=2048))])
    answer = predict(cases)
    assert answer.feasible.all()
    band = [edge["memoryBytesPerGPU"]["value"][0] for edge in (answer.low, answer.high)]
    assert band[0] < 4e9
    assert band[1] >= 8e9
    promised = feasibility(cases)
    assert promised.code.tolist() == ["memory"]


def test_layers_with_a_window_keep_no_more_than_that():
    windowed = {"sliding_window_tokens": 128, "sliding_window_layers": 24}
    models = [
        LLAMA_8B.model_copy(update={"transformer": LLAMA_8B.transformer.model_copy(update=extra)})
        for extra in ({}, {"sliding_window_tokens": 128}, windowed)
    ]
    load = Load(kind="closed", concurrency=50)
    full, half, most = memory(*(case(model, load, engine=GROWING, inputs=4096) for model in models))
    none = memory(case(models[0], Load(kind="closed", concurrency=1e-6), engine=GROWING, inputs=4096))[0]
    assert full - half == pytest.approx((full - most) * 16 / 24, rel=0.01)
    assert none < most < half < full


def test_a_slice_has_its_own_memory_only():
    whole, sliced = predict(table([case(), case(mig_profile="1g.10gb")])).feasible
    assert whole
    assert not sliced
