"""What measured runs say about classic networks: from a made-up truth that the constants do not know."""

from dataclasses import replace

import numpy as np
import pytest

from berth_cost.cases.case import Dense, Hardware, Load, MeasuredPoint, Metrics, Model, Percentiles, Serving
from berth_cost.hardware.gpu_catalogue import GPUSpecification
from berth_cost.performance.calibration import calibrated
from berth_cost.performance.case_table import Calibration, NetworkCalibration, joined
from berth_cost.performance.prediction import predict, sustainable_rate
from berth_cost.performance.roofline import overlapped
from berth_cost.performance.work import named_layers
from cost_cases import GPU, RESNET50, at_rates, case, open_at, scaled_gpu, table

LATENCY = "latencySeconds"
UNKNOWN = Model(name="nobody-knows", dense=Dense())
LARGE = Serving(maximum_batch_size=64)


def batch(size: int) -> Load:
    return Load(kind="batch", batch_size=size)


def true_seconds(load: Load, *, fixed: float = 1.0, item: float = 1.0, gpu: GPUSpecification = GPU) -> float:
    """Of ResNet-50 where a pass takes ``fixed`` and an item ``item`` times as long as the constants say."""
    one = table([case(RESNET50, load, gpu=gpu, serving=LARGE)])
    logs = (np.array([np.log(factor)]) for factor in (fixed, item, 1.0, 1.0))
    factors = NetworkCalibration(*logs, deviation=np.array([np.nan]))
    nothing = {name: np.zeros(1) for name in ("service", "first_token")}
    estimated, no = np.array(["estimated"], dtype=object), np.zeros(1, dtype=np.bool_)
    told = replace(one, calibration=Calibration(nothing, estimated, no, network=factors))
    return float(predict(told).point[LATENCY]["mean"][0])


def run(load: Load, seconds: float, **elsewhere: object) -> MeasuredPoint:
    return MeasuredPoint(load=load, metrics=Metrics(latency_seconds=Percentiles(mean=seconds)), **elsewhere)


def told(load: Load, *runs: MeasuredPoint, model: Model = RESNET50):
    """(the table that knows the runs, its predictions)."""
    known = calibrated(table([case(model, load, serving=LARGE)]), [(np.array([0]), runs)], {})
    return known, predict(known)


def mean(answers) -> float:
    return float(answers.point[LATENCY]["mean"][0])


def width(answers) -> float:
    """Of the band, as a factor."""
    return float(answers.high[LATENCY]["mean"][0] / answers.low[LATENCY]["mean"][0])


def test_two_runs_fix_both_what_a_pass_takes_and_what_an_item_adds():
    truth = {size: true_seconds(batch(size), fixed=2.0, item=0.6) for size in (1, 8, 64)}
    _, answers = told(batch(8), run(batch(1), truth[1]), run(batch(64), truth[64]))
    assert mean(answers) == pytest.approx(truth[8], rel=0.05)
    # One factor on all times could not do it: each run alone says something else.
    alone = [truth[size] / true_seconds(batch(size)) for size in (1, 64)]
    assert alone[0] > 1.4 * alone[1]


def test_a_run_of_the_very_load_is_repeated_and_narrows_the_band_most():
    truth = true_seconds(batch(8), fixed=1.5, item=1.5)
    near, far = told(batch(8), run(batch(8), truth)), told(batch(8), run(batch(16), true_seconds(batch(16)) * 1.5))
    assert mean(near[1]) == pytest.approx(truth, rel=0.03)
    assert near[1].evidence[0] == "measured"
    assert far[1].evidence[0] == "calibrated"
    assert width(near[1]) < width(far[1]) < width(predict(table([case(RESNET50, batch(8))])))


def test_a_run_on_another_gpu_says_less_than_one_here():
    faster = scaled_gpu(2.0)
    slower_there = true_seconds(batch(8), fixed=1.5, item=1.5, gpu=faster)
    here = told(batch(8), run(batch(8), true_seconds(batch(8), fixed=1.5, item=1.5)))[1]
    place = Hardware(gpu=faster.name, gpu_specification=faster)
    there = told(batch(8), run(batch(8), slower_there, hardware=place))[1]
    plain = true_seconds(batch(8))
    assert plain < mean(there) < mean(here)
    assert width(here) < width(there)


def test_two_runs_of_a_network_of_unknown_size_answer_the_loads_between():
    seconds = {size: 0.002 + 0.0005 * size for size in (1, 8, 64)}
    answers = told(batch(8), run(batch(1), seconds[1]), run(batch(64), seconds[64]), model=UNKNOWN)[1]
    assert mean(answers) == pytest.approx(seconds[8], rel=0.15)
    low, high = (getattr(answers, edge)[LATENCY]["mean"][0] for edge in ("low", "high"))
    assert low < seconds[8] < high


def test_contradictory_runs_are_met_halfway():
    truth = true_seconds(batch(8))
    answers = told(batch(8), run(batch(8), truth / 2), run(batch(8), truth * 2))[1]
    assert truth / 1.5 < mean(answers) < truth * 1.5


def test_runs_that_nothing_reconciles_widen_the_band_to_hold_them():
    answers = told(batch(8), run(batch(1), 0.5), run(batch(64), 0.001), model=UNKNOWN)[1]
    agreeing = told(batch(8), run(batch(1), 0.001), run(batch(64), 0.5), model=UNKNOWN)[1]
    assert width(answers) > 100 * width(agreeing)


def test_a_rate_that_was_only_offered_says_nothing():
    offered = MeasuredPoint(load=open_at(1.0), metrics=Metrics(requests_per_second=1.0))
    answers = told(batch(8), offered)[1]
    assert mean(answers) == pytest.approx(true_seconds(batch(8)))
    assert answers.evidence[0] == "estimated"
    assert width(answers) == pytest.approx(width(predict(table([case(RESNET50, batch(8))]))))


def test_measured_percentiles_say_how_unevenly_a_deployment_answers():
    load, serving = Load(kind="closed", concurrency=16), Serving(maximum_batch_size=8, instances=2)
    asked = case(RESNET50, Load(kind="closed", concurrency=32), serving=serving)
    ratios = []
    for p99 in (1.02, 2.0):
        seconds = Percentiles(mean=0.02, p99=0.02 * p99)
        point = MeasuredPoint(load=load, metrics=Metrics(latency_seconds=seconds))
        answers = predict(calibrated(table([asked]), [(np.array([0]), [point])], {}))
        ratios.append(answers.point[LATENCY]["p99"][0] / mean(answers))
    assert 1 < ratios[0] < 1.3
    assert ratios[1] > 1.5


def test_the_sustainable_rate_follows_the_runs():
    asked = table([case(RESNET50)])
    known = calibrated(asked, [(np.array([0]), [run(batch(8), true_seconds(batch(8)) * 2)])], {})
    objectives = {(LATENCY, "p99"): np.array([0.05])}
    plain, found = (sustainable_rate(one, objectives) for one in (asked, known))
    assert found.maximum_rate[0] < plain.maximum_rate[0]
    edge = predict(at_rates(known, found.requests_per_second)).high[LATENCY]["p99"][0]
    assert edge == pytest.approx(0.05, rel=1e-4)


def test_rows_are_told_apart_in_one_table():
    asked = table([case(RESNET50, batch(8)), case(RESNET50, batch(8)), case(RESNET50, batch(8))])
    slow, fast = (run(batch(8), true_seconds(batch(8)) * factor) for factor in (2, 0.5))
    answers = predict(calibrated(asked, [(np.array([0]), [slow]), (np.array([2]), [fast])], {}))
    means, plain = answers.point[LATENCY]["mean"], true_seconds(batch(8))
    assert means[0] == pytest.approx(2 * plain, rel=0.05)
    assert means[1] == pytest.approx(plain)
    assert means[2] == pytest.approx(plain / 2, rel=0.05)
    assert list(answers.evidence) == ["measured", "estimated", "measured"]


def test_tables_are_joined_by_what_their_categories_are():
    first, second = table([case(RESNET50, batch(1))]), table([case(UNKNOWN, batch(2)), case(RESNET50, batch(4))])
    whole = joined([first, second])
    assert [whole.models[index].name for index in whole.model_index] == [RESNET50.name, UNKNOWN.name, RESNET50.name]
    assert len(whole.gpus) == 1
    assert list(whole.batch_size) == [1, 2, 4]


@pytest.mark.parametrize(
    ("name", "layers"),
    [("ResNet50_vd", 50), ("VGG16", 16), ("densenet121", 121), ("resnetv2_50x1_bit", 50), ("SE_ResNeXt101_32x4d", 101)],
)
def test_a_network_that_is_named_after_its_layers_has_them(name, layers):
    assert named_layers(name) == layers


@pytest.mark.parametrize("name", ["HRNet_W18_C", "EfficientNetB0", "mobilenetv2", "regnetx_002", "bert-base"])
def test_other_numbers_in_a_name_are_not_layers(name):
    assert np.isnan(named_layers(name))


def test_what_runs_beside_something_hides_behind_it():
    work, launches = np.array([4.0]), np.array([1.0])
    sequential, beside = (overlapped(work, launches, np.array([share]))[0] for share in (0.0, 1.0))
    assert sequential == 5.0
    assert 4.0 < beside < 4.02


def test_slices_of_like_size_tell_more_of_each_other():
    load, small = Load(kind="saturated"), GPU.mig_profiles[0]
    double = small.model_copy(update={"name": "2g.20gb", "compute_slices": 2, "memory_slices": 2})
    gpu = GPU.model_copy(update={"mig_profiles": (small, double)})

    def width_on(profile: str | None) -> float:
        """Where one run on the smallest slice was told."""
        asked = case(RESNET50, load, gpu=gpu, mig_profile=profile)
        point = run(load, 0.02, hardware=case(RESNET50, load, gpu=gpu, mig_profile=small.name).hardware)
        return width(predict(calibrated(table([asked]), [(np.array([0]), [point])], {})))

    assert width_on(small.name) < width_on("2g.20gb") < width_on(None)


def test_a_gpu_without_fast_eight_bit_units_runs_them_as_it_runs_sixteen():
    slow = GPU.model_copy(update={"peak_flops_per_second": {**GPU.peak_flops_per_second, "int8": 1e12}})
    asked = [case(RESNET50, batch(16), gpu=slow, precision=precision, serving=LARGE) for precision in ("fp16", "int8")]
    sixteen, eight = predict(table(asked)).point[LATENCY]["mean"]
    # Weights and activations are half as large, and nothing else differs.
    assert 0.5 * sixteen < eight <= sixteen
