"""Which constants a language model's row gets, and what they change."""

import numpy as np
import pytest

from berth_cost.cases.case import Engine, Load, MeasuredPoint, Metrics, Percentiles
from berth_cost.cases.records import case_table, predict_cases
from berth_cost.hardware.gpu_catalogue import GPUCatalogue
from berth_cost.performance.calibration import calibrated
from berth_cost.performance.engine_constants import built_in_constants
from berth_cost.performance.language.columns import engine_keys, entry_index, gpu_generation, version_numbers
from berth_cost.performance.prediction import predict
from cost_cases import GPU, LLAMA_8B, case, open_at, table

TTFT, TPOT = "timeToFirstTokenSeconds", "timePerOutputTokenSeconds"


def of_engine(name, version=None, load=None):
    return case(LLAMA_8B, load or Load(kind="closed", concurrency=8)).model_copy(
        update={"engine": Engine(name=name, version=version)}
    )


def key_of(one):
    keys, index = entry_index(built_in_constants(), table([one]))
    return keys[index[0]]


@pytest.mark.parametrize(
    ("name", "version", "key"),
    [
        ("vllm", "0.12.0", "vllm@0.12"),
        ("vLLM", "v0.13.1", "vllm@0.12"),
        ("vllm", "0.16.0", "vllm@0.15"),
        ("vllm", "0.6.3", "vllm@0"),
        ("vllm", None, "vllm"),
        ("tensorrt-llm", "v0.9.0", "tensorrtllm@0.8"),
        ("tensorrtllm", "1.2.0rc6.post3", "tensorrtllm@1.2.0rc6.post3"),
        ("tensorrtllm", "1.2.0rc6.post2", "tensorrtllm@1.2"),
        ("somebody's own", "3.1", "general"),
        (None, None, "general"),
    ],
)
def test_an_engine_has_the_constants_of_the_newest_release_that_is_not_newer(name, version, key):
    assert engine_keys(built_in_constants(), table([of_engine(name, version)])) == [key]


def test_an_unknown_version_under_an_open_load_has_those_of_the_campaigns_that_ran_so():
    assert key_of(of_engine("vllm", None, open_at(2.0))) == "vllm@open"
    assert key_of(of_engine("vllm")) == "vllm@closed"
    assert key_of(of_engine("vllm", "0.12.0", open_at(2.0))) == "vllm@0.12"
    assert key_of(of_engine("tensorrtllm", None, open_at(2.0))) == "tensorrtllm"


def test_a_version_is_its_first_two_numbers():
    assert version_numbers("v0.10.0") == (0, 10)
    assert version_numbers("1.2.0rc6.post2") == (1, 2)
    assert version_numbers("nightly") == ()


def test_gpus_of_one_generation_stand_in_for_each_other():
    gpus = GPUCatalogue.load_builtin().specifications
    assert gpu_generation(gpus["L4"]) == gpu_generation(gpus["RTX-4090"]) == "generation 8.9"
    assert gpu_generation(gpus["B300-SXM"]) == gpu_generation(gpus["B200-SXM"]) == "generation 10"
    assert "L4" not in built_in_constants().language.gpus
    assert "generation 8.9" in built_in_constants().language.gpus


def test_an_engine_that_reserves_memory_shows_its_share_of_the_gpu_whatever_it_serves():
    shown = predict(table([of_engine("vllm"), of_engine("llama.cpp")])).point["memoryBytesPerGPU"]["value"]
    share = built_in_constants().language.engines["vllm"].memory_share
    whole = table([of_engine("vllm")]).gpus[0].memory_bytes
    assert shown[0] == pytest.approx(share * whole)
    assert shown[1] < shown[0] / 2


def test_a_share_of_what_is_free_leaves_room_beside_weights_that_nearly_fill_the_gpu():
    weights = LLAMA_8B.transformer.parameters * 2
    small = GPU.model_copy(update={"memory_bytes": round(weights * 1.25)})
    of_all, of_free = predict(
        table([case(gpu=small, engine=name, inputs=64, outputs=64) for name in ("vllm", "tensorrtllm")])
    ).feasible
    assert not of_all
    assert of_free


def test_an_engine_that_knows_only_stages_gains_hardly_any_speed_from_a_second_gpu():
    def gain(engine):
        alone, split = (
            predict(table([case(LLAMA_8B, engine=engine, tensor=gpus)])).point[TPOT]["mean"][0] for gpus in (1, 2)
        )
        return alone / split

    assert gain("llama.cpp") < 1.05
    assert gain("vllm") > 1.4


def test_what_nobody_measured_widens_the_band():
    unknown = GPU.model_copy(update={"name": "unknown"})
    known = GPU.model_copy(update={"name": "H100-SXM-80GB"})

    def width(gpu, version):
        one = of_engine("vllm", version).model_copy(update={"hardware": case(gpu=gpu).hardware})
        answer = predict(table([one]))
        return answer.high[TPOT]["mean"][0] / answer.low[TPOT]["mean"][0]

    assert width(known, "0.12") < width(unknown, "0.12") < width(unknown, "0.99")


def test_a_replay_at_a_constant_rate_finds_its_prefix_cached_and_traffic_does_not():
    long = 4000
    replay, traffic = (
        predict(table([case(LLAMA_8B, open_at(0.5, burstiness), inputs=long)])).point[TTFT]["mean"][0]
        for burstiness in (0.0, 1e-9)
    )
    assert replay < traffic


def test_most_gaps_between_tokens_are_shorter_than_the_mean_where_prompts_interrupt_now_and_then():
    rare = predict(table([case(LLAMA_8B, Load(kind="closed", concurrency=16), inputs=2000, outputs=400)]))
    point = rare.point[TPOT]
    assert point["p50"][0] < 0.98 * point["mean"][0]
    assert point["p99"][0] > point["mean"][0]


def runs(*loads_and_factors):
    """Runs at some loads that took so many times what is predicted there."""
    points = []
    for clients, factor in loads_and_factors:
        load = Load(kind="closed", concurrency=clients)
        plain = predict_cases([case(LLAMA_8B, load)], {})[0].metrics[TPOT]["mean"]
        metrics = Metrics(time_per_output_token_seconds=Percentiles(mean=plain * factor))
        points.append(MeasuredPoint(load=load, metrics=metrics))
    return tuple(points)


def factor_at(clients, measured):
    one = case(LLAMA_8B, Load(kind="closed", concurrency=clients))
    plain, told = predict_cases([one, one.model_copy(update={"measured": measured})], {})
    widths = [answer.band[TPOT]["mean"][1] / answer.band[TPOT]["mean"][0] for answer in (plain, told)]
    return told.metrics[TPOT]["mean"] / plain.metrics[TPOT]["mean"], widths[1] / widths[0]


def test_two_runs_that_bracket_a_load_correct_what_lies_between_by_both():
    between, _ = factor_at(16, runs((4, 1.1), (64, 1.5)))
    low, _ = factor_at(4, runs((4, 1.1), (64, 1.5)))
    high, _ = factor_at(64, runs((4, 1.1), (64, 1.5)))
    assert low < between < high


def test_a_second_run_makes_the_band_narrower():
    _, one = factor_at(16, runs((4, 1.3)))
    _, two = factor_at(16, runs((4, 1.3), (64, 1.3)))
    assert two < one < 1


def test_a_run_of_another_engine_moves_less_and_narrows_less():
    own = runs((8, 1.5))
    other = tuple(point.model_copy(update={"engine": Engine(name="llama.cpp")}) for point in own)
    gpus = GPUCatalogue.load_builtin().specifications
    told = case(LLAMA_8B, Load(kind="closed", concurrency=8))
    widths = []
    for measured in (own, other):
        found = predict(_calibrated(told, measured, gpus))
        widths.append(found.high[TPOT]["mean"][0] / found.low[TPOT]["mean"][0])
    assert widths[0] < widths[1]


def _calibrated(one, measured, gpus):
    return calibrated(case_table([one], gpus), [(np.array([0]), list(measured))], gpus)
