"""The door to the performance model: what it answers, what it refuses and why, and that its inverse agrees."""

from dataclasses import replace

import numpy as np
import pytest

from berth_cost.cases.case import Dense, Engine, Load, MeasuredPoint, Metrics, Model, Percentiles, Serving
from berth_cost.cases.records import CaseError, predict_cases
from berth_cost.performance.calibration import calibrated
from berth_cost.performance.engine_constants import built_in_constants
from berth_cost.performance.prediction import predict, sustainable_rate
from cost_cases import GPU, LLAMA_8B, MIXTURE, RESNET50, at_rates, case, open_at, scaled_gpu, table

TTFT, TPOT, E2E, LATENCY = (
    "timeToFirstTokenSeconds",
    "timePerOutputTokenSeconds",
    "endToEndSeconds",
    "latencySeconds",
)


def answer(one):
    return predict_cases([one], {})[0]


# --- what is answered --------------------------------------------------------------------------------------------


def test_a_lone_token_takes_no_less_than_reading_the_weights_once():
    # Of a stated release: the campaigns of unknown ones read weights more slowly.
    prediction = answer(case(LLAMA_8B).model_copy(update={"engine": Engine(name="vllm", version="0.12.0")}))
    weights = (8.03e9 - 128256 * 4096) * 2
    floor = weights / 2e12
    assert floor < prediction.metrics[TPOT]["mean"] < 2 * floor


def test_a_language_model_answers_in_tokens_and_a_classic_network_in_one_latency():
    language, classic = answer(case(LLAMA_8B)), answer(case(RESNET50))
    assert {TTFT, TPOT, E2E, "outputTokensPerSecond"} <= language.metrics.keys()
    assert LATENCY not in language.metrics
    assert {LATENCY, "itemsPerSecond"} <= classic.metrics.keys()
    assert not {TTFT, TPOT, E2E} & classic.metrics.keys()


def test_the_first_token_and_the_others_make_up_the_whole():
    metrics = answer(case(LLAMA_8B, outputs=101)).metrics
    assert metrics[E2E]["mean"] == pytest.approx(metrics[TTFT]["mean"] + 100 * metrics[TPOT]["mean"], rel=1e-5)


@pytest.mark.parametrize("model", [LLAMA_8B, MIXTURE, RESNET50], ids=lambda model: model.name)
@pytest.mark.parametrize(
    "load",
    [Load(kind="closed", concurrency=4), open_at(0.5), Load(kind="batch", batch_size=4), Load(kind="saturated")],
    ids=lambda load: load.kind,
)
def test_parts_make_up_the_mean_latency(model, load):
    prediction = answer(case(model, load, gpu=scaled_gpu(4)))
    whole = prediction.metrics[E2E if model.transformer else LATENCY]["mean"]
    assert sum(prediction.parts.model_dump().values()) == pytest.approx(whole, rel=1e-3)


@pytest.mark.parametrize("model", [LLAMA_8B, RESNET50], ids=lambda model: model.name)
def test_percentiles_are_in_order_and_inside_their_band(model):
    prediction = answer(case(model, open_at(5.0)))
    for metric in (TTFT, TPOT, E2E) if model.transformer else (LATENCY,):
        ordered = [prediction.metrics[metric][name] for name in ("p50", "p90", "p95", "p99")]
        assert ordered == sorted(ordered)
        assert prediction.metrics[metric]["p99"] > prediction.metrics[metric]["mean"]
        for name, value in prediction.metrics[metric].items():
            low, high = prediction.band[metric][name]
            assert low < value < high


def test_a_closed_loop_obeys_littles_law():
    prediction = answer(case(LLAMA_8B, Load(kind="closed", concurrency=32)))
    running = prediction.metrics["requestsPerSecond"] * prediction.metrics[E2E]["mean"]
    assert running == pytest.approx(32, rel=1e-4)


def test_an_open_load_answers_its_own_rate_and_what_share_of_the_replica_it_takes():
    asked = table([case(LLAMA_8B, open_at(4.0))])
    predicted = predict(asked)
    assert predicted.point["requestsPerSecond"]["value"][0] == 4.0
    assert predicted.utilization[0] == pytest.approx(4.0 / predicted.maximum_rate[0])


def test_what_an_open_load_is_served_has_a_band_and_less_where_a_slow_replica_would_not_keep_up():
    limit = predict(table([case(LLAMA_8B, open_at(0.1))])).maximum_rate[0]
    light, heavy = (answer(case(LLAMA_8B, open_at(share * limit))) for share in (0.1, 0.95))
    for metric in ("requestsPerSecond", "outputTokensPerSecond"):
        shares = [one.band[metric][0] / one.metrics[metric] for one in (light, heavy)]
        assert shares[1] < shares[0] < 1 < light.band[metric][1] / light.metrics[metric]


def test_saturation_is_the_rate_beyond_which_a_load_is_refused():
    top = predict(table([case(LLAMA_8B, Load(kind="saturated"))])).point["requestsPerSecond"]["value"][0]
    below, above = predict_cases([case(LLAMA_8B, open_at(float(top) * share)) for share in (0.99, 1.01)], {})
    assert below.feasible
    assert not above.feasible
    assert above.reasons[0].code == "overload"
    assert above.reasons[0].limit == pytest.approx(top, rel=1e-5)
    assert above.metrics == {}


def test_constant_gaps_wait_less_than_random_ones():
    nearly_all = 0.95 * float(predict(table([case(RESNET50, open_at(1.0))])).maximum_rate[0])
    loads = [open_at(nearly_all, variation) for variation in (0, 1, 4)]
    tails = [answer(case(RESNET50, load)).metrics[LATENCY]["p99"] for load in loads]
    assert tails[0] < tails[1] < tails[2]


def test_long_prompts_among_the_requests_show_in_the_tail_of_the_first_token_only():
    plain = table([case(LLAMA_8B, open_at(2.0), inputs=2000)])
    varied = replace(plain, input_tokens_p95=np.array([6000.0]))
    before, after = predict(plain).point[TTFT], predict(varied).point[TTFT]
    assert after["p95"][0] > 1.2 * before["p95"][0]
    assert after["mean"][0] == pytest.approx(before["mean"][0])


def test_a_queue_delay_is_waited_even_by_a_lone_request():
    def delayed(microseconds: int):
        serving = Serving(maximum_batch_size=16, maximum_queue_delay_microseconds=microseconds)
        return answer(case(RESNET50, open_at(0.001), serving=serving)).metrics[LATENCY]["mean"]

    assert delayed(3000) - delayed(0) == pytest.approx(0.003, rel=0.01)


def test_a_slice_slows_small_networks_by_less_than_its_share_of_the_gpu():
    small = Model(
        name="small",
        dense=RESNET50.dense.model_copy(update={"flops_per_inference": 0.6e9, "activation_bytes_per_inference": 13e6}),
    )
    batch = Load(kind="batch", batch_size=1)
    whole, seventh = predict_cases([case(small, batch), case(small, batch, mig_profile="1g.10gb")], {})
    slowdown = seventh.metrics[LATENCY]["mean"] / whole.metrics[LATENCY]["mean"]
    assert 1 < slowdown < 3.5


def test_a_part_that_repeats_reads_its_weights_each_time():
    """A decoder of 400 million weights in fp16, 50 tokens: 40 GB more through the memory than a single pass."""

    def memory_seconds(**repeated: float) -> float:
        heavy = RESNET50.dense.model_copy(update={"parameters": 1e9, **repeated})
        lone = answer(case(Model(name="heavy", dense=heavy), Load(kind="batch", batch_size=1)))
        return lone.metrics[LATENCY]["mean"]

    once, again = memory_seconds(), memory_seconds(repeated_passes=50, repeated_parameters=0.4e9)
    assert again - once > 50 * 0.4e9 * 2 / GPU.memory_bandwidth_bytes_per_second
    assert memory_seconds(repeated_passes=50) > again  # absent: every pass reads all of them


def test_instances_share_the_gpu_and_hide_each_others_overhead():
    one, two, eight = predict_cases(
        [
            case(RESNET50, Load(kind="saturated"), serving=Serving(maximum_batch_size=8, instances=count))
            for count in (1, 2, 8)
        ],
        {},
    )
    rates = [prediction.metrics["itemsPerSecond"] for prediction in (one, two, eight)]
    assert rates[0] < rates[1] <= rates[2] < 8 * rates[0]


def test_power_lies_between_idle_and_the_limit():
    for load in (open_at(0.01), Load(kind="saturated")):
        watts = answer(case(LLAMA_8B, load)).metrics["powerWattsPerGPU"]
        assert 50 <= watts <= 400


def test_energy_per_request_is_power_over_rate():
    metrics = answer(case(LLAMA_8B, open_at(2.0))).metrics
    assert metrics["joulesPerRequest"] == pytest.approx(metrics["powerWattsPerGPU"] / 2.0, rel=1e-5)
    assert metrics["joulesPerOutputToken"] == pytest.approx(metrics["joulesPerRequest"] / 128, rel=1e-5)


def test_an_engine_without_constants_is_answered_with_the_wider_general_band():
    known, unknown = answer(case(LLAMA_8B)), answer(case(LLAMA_8B, engine="somebody's own"))
    width = [one.band[TPOT]["mean"][1] / one.band[TPOT]["mean"][0] for one in (known, unknown)]
    assert unknown.feasible
    assert width[1] > width[0]


def test_a_gpu_whose_numbers_have_no_second_source_has_a_wider_band():
    recalled = GPU.model_copy(update={"recalled": ("peak_flops_per_second.fp16",)})
    sure, unsure = answer(case()), answer(case(gpu=recalled))
    assert unsure.band[TPOT]["mean"][1] > sure.band[TPOT]["mean"][1]
    assert unsure.metrics == sure.metrics


def test_numbers_of_a_row_carry_six_significant_digits():
    for value in answer(case()).metrics[TTFT].values():
        assert value == float(f"{value:.5e}")


# --- what is refused ---------------------------------------------------------------------------------------------


def refusal(one):
    prediction = answer(one)
    assert not prediction.feasible
    assert prediction.metrics == {}
    (reason,) = prediction.reasons
    return reason


def test_an_unknown_number_is_named():
    bare = Model(name="bare", dense=Dense(parameters=1e6))
    assert refusal(case(bare)).code == "unknown"
    assert "flopsPerInference" in refusal(case(bare)).message
    assert "outputTokens" in refusal(case(outputs=None)).message
    blind = GPU.model_copy(update={"memory_bandwidth_bytes_per_second": None})
    assert "memoryBandwidthBytesPerSecond" in refusal(case(gpu=blind)).message
    linkless = GPU.model_copy(update={"nvlink_bytes_per_second": None, "pcie_bytes_per_second": None})
    assert "nvlinkBytesPerSecond" in refusal(case(gpu=linkless, tensor=2)).message


def test_a_precision_without_a_rate_is_refused():
    assert refusal(case(precision="fp8")).code == "precision"


@pytest.mark.parametrize(
    "one",
    [
        case(LLAMA_8B, tensor=3),
        case(LLAMA_8B, tensor=2, gpu_count=3),
        case(RESNET50, tensor=2),
        case(LLAMA_8B, tensor=2, mig_profile="1g.10gb"),
    ],
    ids=["heads", "gpus", "classic", "slice"],
)
def test_what_cannot_be_split_is_refused(one):
    assert refusal(one).code == "parallelism"


def test_a_refused_row_leaves_its_neighbours_alone():
    alone = answer(case())
    _, beside = predict_cases([case(precision="fp8"), case()], {})
    assert beside == alone


def test_a_gpu_that_nobody_knows_is_an_error_that_names_case_and_field():
    stranger = case(name="mine")
    stranger = stranger.model_copy(
        update={"hardware": stranger.hardware.model_copy(update={"gpu": "Q1", "gpu_specification": None})}
    )
    with pytest.raises(CaseError, match=r"mine: hardware\.gpu 'Q1'"):
        predict_cases([stranger], {})


# --- the inverse -------------------------------------------------------------------------------------------------


def test_at_the_sustainable_rate_the_objective_holds_on_the_pessimistic_edge_and_not_beyond():
    asked = table([case(LLAMA_8B), case(RESNET50)])
    objectives = {(TPOT, "p95"): np.array([0.03, np.inf]), (LATENCY, "p99"): np.array([np.inf, 0.03])}
    found = sustainable_rate(asked, objectives)
    assert np.all(found.requests_per_second > 0)
    for share, holds in ((1.0, True), (1.02, False)):
        predicted = predict(at_rates(asked, found.requests_per_second * share))
        edges = [predicted.high[TPOT]["p95"][0] / 0.03, predicted.high[LATENCY]["p99"][1] / 0.03]
        assert all((edge <= 1 + 1e-9) == holds for edge in edges)
    assert found.binding.tolist() == [(TPOT, "p95"), (LATENCY, "p99")]


def test_an_objective_that_a_lone_request_breaks_gives_no_rate_and_says_by_how_much():
    found = sustainable_rate(table([case(LLAMA_8B)]), {(TPOT, "mean"): np.array([0.001])})
    assert found.requests_per_second[0] == 0
    assert found.binding[0] == (TPOT, "mean")
    assert found.limit[0] == 0.001
    lone = predict(at_rates(table([case(LLAMA_8B)]), np.array([1e-6]))).high[TPOT]["mean"][0]
    assert found.value[0] == pytest.approx(lone, rel=1e-4)


def test_without_objectives_throughput_is_the_limit():
    found = sustainable_rate(table([case(LLAMA_8B)]), {})
    assert found.binding[0] is None
    assert 0.3 * found.maximum_rate[0] < found.requests_per_second[0] < found.maximum_rate[0]


def test_end_to_end_and_latency_mean_each_other():
    asked = table([case(LLAMA_8B), case(RESNET50)])
    limits = np.array([10.0, 0.05])
    first = sustainable_rate(asked, {(E2E, "p95"): limits}).requests_per_second
    second = sustainable_rate(asked, {(LATENCY, "p95"): limits}).requests_per_second
    assert np.all(first > 0)
    assert first.tolist() == second.tolist()


def test_a_classic_network_cannot_meet_an_objective_on_tokens():
    found = sustainable_rate(table([case(RESNET50)]), {(TPOT, "mean"): np.array([1.0])})
    assert found.requests_per_second[0] == 0
    assert found.binding[0] == (TPOT, "mean")


@pytest.mark.parametrize(
    ("key", "limit", "named"),
    [
        (("speed", "p95"), 1.0, "'speed'"),
        ((TPOT, "p42"), 1.0, "p42"),
        ((TPOT, "p95"), np.nan, "above 0"),
        ((E2E, "p95"), 0.0, "above 0"),
    ],
)
def test_an_objective_that_means_nothing_is_an_error_that_names_it(key, limit, named):
    with pytest.raises(ValueError, match=named):
        sustainable_rate(table([case()]), {key: np.array([limit])})


def test_no_cases_get_no_answers():
    nothing = table([case()]).rows(np.array([], dtype=np.int64))
    assert len(predict(nothing).feasible) == 0
    assert len(sustainable_rate(nothing, {(TPOT, "p95"): np.zeros(0)}).requests_per_second) == 0


def test_what_cannot_run_sustains_nothing_and_says_why():
    found = sustainable_rate(table([case(precision="fp8")]), {(TPOT, "mean"): np.array([1.0])})
    assert found.requests_per_second[0] == 0
    assert found.binding[0] is None
    assert found.reasons.code[0] == "precision"
    assert not found.reasons.feasible[0]
    assert np.isnan(found.maximum_rate[0])


# --- calibration -------------------------------------------------------------------------------------------------


def run_of(load: Load, seconds: float) -> MeasuredPoint:
    return MeasuredPoint(load=load, metrics=Metrics(time_per_output_token_seconds=Percentiles(mean=seconds)))


def test_a_measured_case_is_answered_by_its_measurement():
    load = Load(kind="closed", concurrency=8)
    plain = answer(case(load=load))
    truth = plain.metrics[TPOT]["mean"] * 1.5
    told = answer(case(load=load).model_copy(update={"measured": (run_of(load, truth),)}))
    assert told.evidence == "measured"
    assert told.metrics[TPOT]["mean"] == pytest.approx(truth, rel=0.03)
    narrow, wide = (one.band[TPOT]["mean"][1] / one.band[TPOT]["mean"][0] for one in (told, plain))
    assert narrow < wide**0.3


def test_runs_on_both_sides_interpolate_and_a_run_elsewhere_calibrates():
    asked = case(load=Load(kind="closed", concurrency=8))
    both = tuple(run_of(Load(kind="closed", concurrency=count), 0.02) for count in (4, 16))
    assert answer(asked.model_copy(update={"measured": both})).evidence == "interpolated"
    assert answer(asked.model_copy(update={"measured": both[:1]})).evidence == "calibrated"
    assert answer(asked).evidence == "estimated"


def test_a_run_far_away_says_less():
    asked = case(load=Load(kind="closed", concurrency=8))
    told = []
    for count in (9, 200):
        load = Load(kind="closed", concurrency=count)
        twice = 2 * answer(case(load=load)).metrics[TPOT]["mean"]
        told.append(answer(asked.model_copy(update={"measured": (run_of(load, twice),)})).metrics[TPOT]["mean"])
    plain, (near, far) = answer(asked).metrics[TPOT]["mean"], told
    assert plain < far < near < 2 * plain


def test_calibration_moves_the_sustainable_rate_too():
    asked = table([case(LLAMA_8B)])
    load = Load(kind="closed", concurrency=16)
    slow = predict(table([case(load=load)])).point[TPOT]["mean"][0] * 1.6
    told = calibrated(asked, [(np.array([0]), [run_of(load, float(slow))])], {})
    objectives = {(TPOT, "mean"): np.array([0.03])}
    rates = [sustainable_rate(one, objectives) for one in (asked, told)]
    assert rates[1].maximum_rate[0] < rates[0].maximum_rate[0]
    edge = predict(at_rates(told, rates[1].requests_per_second)).high[TPOT]["mean"][0]
    assert edge == pytest.approx(0.03, rel=1e-5)


def test_a_network_of_unknown_size_is_answered_from_its_runs_alone_without_memory():
    nobody = Model(name="nobody-knows", dense=Dense())
    load = Load(kind="batch", batch_size=8)
    assert refusal(case(nobody, load)).code == "unknown"
    run = MeasuredPoint(load=load, metrics=Metrics(latency_seconds=Percentiles(mean=0.25)))
    told = answer(case(nobody, load).model_copy(update={"measured": (run,)}))
    assert told.feasible
    assert told.metrics[LATENCY]["mean"] == pytest.approx(0.25, rel=0.03)
    assert "memoryBytesPerGPU" not in told.metrics
    larger = case(nobody, Load(kind="batch", batch_size=32), serving=Serving(maximum_batch_size=32))
    elsewhere = answer(larger.model_copy(update={"measured": (run,)}))
    assert elsewhere.metrics[LATENCY]["mean"] > 0.25
    low, high = elsewhere.band[LATENCY]["mean"]
    assert high / low > told.band[LATENCY]["mean"][1] / told.band[LATENCY]["mean"][0]


def test_runs_leave_the_bands_of_memory_and_power_as_they_are():
    load = Load(kind="closed", concurrency=8)
    plain, told = (
        answer(case(load=load)),
        answer(case(load=load).model_copy(update={"measured": (run_of(load, 0.02),)})),
    )
    for metric in ("memoryBytesPerGPU", "powerWattsPerGPU"):
        widths = [one.band[metric][1] / one.band[metric][0] for one in (plain, told)]
        assert widths[0] == pytest.approx(widths[1], rel=1e-4)


# --- the constants -----------------------------------------------------------------------------------------------


def test_every_band_has_a_general_entry_that_others_fall_back_to():
    constants = built_in_constants()
    for kind in (constants.language, constants.classic):
        assert all("general" in engines for engines in kind.bands.values())


def test_the_constants_say_what_they_were_fitted_on_and_how_far_off_they_are():
    constants = built_in_constants()
    for kind in (constants.language, constants.classic):
        assert kind.data
        assert kind.errors
        assert all(error.cases > 0 for error in kind.errors)
