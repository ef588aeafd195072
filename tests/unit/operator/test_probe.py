"""What a driver says of GPUs becomes a specification, and on a Node it is preferred to the catalogue."""

import importlib
import json
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

import recorded_nvml
from berth_cost.hardware.gpu_catalogue import GPUCatalogue, GPUSpecification
from berth_operator import kinds
from berth_operator.catalogues import Catalogues
from berth_operator.cli import probe_command, run
from berth_operator.cli.outcome import InputError
from berth_operator.cli.probe_command import annotation
from berth_operator.labels import GPU_SPECIFICATION
from berth_operator.probe import rates
from berth_operator.probe.nvml import ask_driver
from berth_operator.probe.rates import AchievedRate, NoLibrary, achieved_rates
from berth_operator.probe.specification import Probe, probed
from berth_operator.projection import project
from berth_operator.supply.gpu_annotation import annotated, preferred, weakest
from berth_operator.supply.node_labels import Garbled
from berth_operator.supply.pools import pools_of
from berth_operator.world import World
from berth_scheduler.snapshot import Pool
from kubernetes_objects import node, pool

CATALOGUE = GPUCatalogue.load_builtin()


def asked(monkeypatch: pytest.MonkeyPatch, name: str, **changes: Any) -> Probe:
    recorded_nvml.replay(monkeypatch, name, **changes)
    return probed(ask_driver(), CATALOGUE)


# --- the driver --------------------------------------------------------------------------------------------------


def test_numbers_of_the_driver_are_in_si_units_and_the_rest_is_the_catalogues(monkeypatch: pytest.MonkeyPatch) -> None:
    first = asked(monkeypatch, "a100-80gb-mig").gpus[0]
    gpu, known = first.gpu_specification, CATALOGUE.specifications["A100-SXM-80GB"]
    assert first.catalogue_name == gpu.name == "A100-SXM-80GB"
    assert gpu.memory_bytes == 80 * 2**30
    assert gpu.memory_bandwidth_bytes_per_second == 2.039e12  # 1593 MHz × 2 × 5120 bit
    assert gpu.power_watts == 300 and first.driver_says.power.default_watts == 400  # capped
    assert gpu.nvlink_bytes_per_second == 600e9  # 12 links × 25 GB/s × two directions
    assert gpu.pcie_bytes_per_second == 31.5e9  # 16 lanes of generation 4
    assert (gpu.multiprocessors, gpu.compute_capability) == (108, (8, 0))
    assert gpu.peak_flops_per_second == known.peak_flops_per_second


def test_slices_that_it_can_be_cut_into_and_those_it_is_cut_into(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, cut = (one.driver_says for one in asked(monkeypatch, "a100-80gb-mig").gpus)
    assert (whole.mig_enabled, whole.mig_layout) == (False, {})
    assert (cut.mig_enabled, cut.mig_layout) == (True, {"1g.10gb": 2, "2g.20gb": 1, "3g.40gb": 1})
    known = {one.name: one for one in CATALOGUE.specifications["A100-SXM-80GB"].mig_profiles}
    for profile in cut.mig_profiles:
        ours = known[profile.name]
        assert (profile.compute_slices, profile.memory_slices) == (ours.compute_slices, ours.memory_slices)
        assert (profile.compute_slices_total, profile.memory_slices_total) == (7, 8)
        assert profile.memory_bytes == pytest.approx(ours.memory_bytes, rel=0.02)


def test_what_a_gpu_does_not_have_or_not_tell_is_left_to_the_catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    (found,) = asked(monkeypatch, "t4").gpus
    assert found.gpu_specification.nvlink_bytes_per_second == 0
    assert found.gpu_specification.memory_bandwidth_bytes_per_second == pytest.approx(320e9, rel=0.001)
    (silent,) = asked(monkeypatch, "t4", nvmlDeviceGetMemoryBusWidth=None, nvmlDeviceGetEnforcedPowerLimit=None).gpus
    known = CATALOGUE.specifications["T4"]
    assert silent.gpu_specification.memory_bandwidth_bytes_per_second == known.memory_bandwidth_bytes_per_second
    assert silent.gpu_specification.power_watts == known.power_watts


def test_a_product_that_nobody_describes_is_described_by_its_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    recorded_nvml.replay(monkeypatch, "t4", nvmlDeviceGetName=b"NVIDIA X9000")
    reached = [
        AchievedRate(gpu=0, what="matrix product", precision="fp16", size=8192, per_second=5e13, library="torch"),
        AchievedRate(gpu=0, what="copy", size=2**30, per_second=2.5e11, library="torch"),
    ]
    (found,) = probed(ask_driver(), CATALOGUE, reached).gpus
    assert found.catalogue_name is None and "no known GPU" in (found.why_unknown or "")
    gpu = found.gpu_specification
    assert (gpu.name, gpu.memory_bytes) == ("NVIDIA X9000", 15 * 2**30)
    assert gpu.peak_flops_per_second == {"fp16": 5e13}
    assert gpu.recalled == ("peak_flops_per_second.fp16",)


# --- the command -------------------------------------------------------------------------------------------------


def test_without_a_driver_it_is_one_line_and_exit_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded_nvml.without_driver(monkeypatch)
    assert run(["probe"]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1 and "no NVIDIA driver" in said.err


def test_a_driver_without_gpus_is_exit_code_2_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded_nvml.replay(monkeypatch, "t4").clear()
    assert run(["probe"]) == 2
    assert "sees no GPU" in capsys.readouterr().err


def test_the_specification_can_be_used_in_a_case(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded_nvml.replay(monkeypatch, "t4")
    assert run(["probe"]) == 0
    (gpu,) = yaml.safe_load(capsys.readouterr().out)["gpus"]
    assert GPUSpecification.model_validate_json(json.dumps(gpu["gpuSpecification"])).name == "T4"
    assert run(["probe", "-o", "json"]) == 0
    assert Probe.model_validate_json(capsys.readouterr().out).driver == "550.90.07"
    assert run(["probe", "-o", "table"]) == 0
    assert capsys.readouterr().out.startswith("1 × T4, driver 550.90.07.")


def test_a_node_gets_the_weakest_of_its_gpus_in_one_annotation(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded_nvml.replay(monkeypatch, "a100-80gb-mig")
    written: list[Any] = []
    monkeypatch.setattr("berth_operator.cli.cluster.annotate_node", lambda *asked: written.append(asked))
    assert run(["probe", "--node", "a100-1"]) == 0
    ((name, annotations, manager, _, _),) = written
    assert (name, manager) == ("a100-1", "berthmaster-probe")
    said = json.loads(annotations[GPU_SPECIFICATION])
    assert said["name"] == "A100-SXM-80GB" and said["powerWatts"] == 300
    assert "peakFlopsPerSecond" not in said  # the driver does not know them
    assert "Node a100-1 is annotated" in capsys.readouterr().err


def test_two_kinds_of_gpu_on_one_node_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = asked(monkeypatch, "t4"), asked(monkeypatch, "a100-80gb-mig")
    with pytest.raises(InputError, match="A100-SXM-80GB and T4"):
        annotation(Probe(gpus=(*one.gpus, *other.gpus)))


# --- timed rates -------------------------------------------------------------------------------------------------


def test_measuring_needs_a_library_and_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    there = importlib.import_module

    def absent(name: str) -> Any:
        if name in ("torch", "cupy"):
            raise ImportError(name)
        return there(name)

    monkeypatch.setattr(rates.importlib, "import_module", absent)
    with pytest.raises(NoLibrary):
        achieved_rates([0])
    recorded_nvml.replay(monkeypatch, "t4")
    assert run(["probe", "--measure"]) == 1
    assert "neither torch nor cupy" in capsys.readouterr().err


def test_rates_are_work_over_the_best_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for cupy whose every operation takes the same time on a clock of its own."""
    clock = [0.0]

    def works(*_: Any, **__: Any) -> Any:
        clock[0] += 0.01
        return SimpleNamespace()

    class Device:
        def __init__(self, gpu: int) -> None: ...
        def __enter__(self) -> None: ...
        def __exit__(self, *_: object) -> None: ...

    runtime = SimpleNamespace(getDeviceCount=lambda: 1, deviceSynchronize=lambda: None)
    still = SimpleNamespace
    cupy = SimpleNamespace(
        __name__="cupy",
        cuda=still(Device=Device, runtime=runtime),
        empty=lambda *_, **__: still(),
        empty_like=lambda *_: still(),
        ones=lambda *_, **__: still(),
        copyto=works,
        matmul=works,
    )
    monkeypatch.setattr(rates.importlib, "import_module", lambda name: cupy if name == "cupy" else None)
    monkeypatch.setattr(rates.time, "perf_counter", lambda: clock[0])
    found = {(one.what, one.precision): one.per_second for one in achieved_rates([0])}
    assert found["copy", None] == pytest.approx(2 * 2**30 / 0.01, rel=1e-3)
    assert found["matrix product", "fp16"] == pytest.approx(2 * 8192**3 / 0.01, rel=1e-3)


# --- on nodes ----------------------------------------------------------------------------------------------------


def probed_node(node_name: str = "n1", *, labels: dict[str, Any] | None = None, **said: Any) -> dict[str, Any]:
    found = node(node_name, labels=labels)
    found["metadata"]["annotations"] = {GPU_SPECIFICATION: json.dumps({"name": "L4"} | said), "other": "x"}
    return found


def only(*objects: dict[str, Any]) -> Pool:
    (found,) = pools_of(World.of(objects), Catalogues.built_in(), time=datetime(2026, 11, 2, tzinfo=UTC))
    return found


def test_what_a_node_says_of_itself_is_preferred_to_the_catalogue() -> None:
    gpu = only(probed_node(powerWatts=50, memoryBytes=24_000_000_000)).gpu
    known = CATALOGUE.specifications["L4"]
    assert gpu is not None and (gpu.power_watts, gpu.memory_bytes) == (50, 24_000_000_000)
    assert gpu.peak_flops_per_second == known.peak_flops_per_second
    stated = only(probed_node(labels={"karpenter.sh/nodepool": "l4"}, powerWatts=50), pool()).gpu
    assert stated is not None and stated.power_watts == 50


def test_a_pool_is_planned_as_its_weakest_node() -> None:
    gpu = only(probed_node(powerWatts=50), node("n2")).gpu
    assert gpu is not None and gpu.power_watts == 50
    known = CATALOGUE.specifications["L4"]
    assert weakest([known, known.model_copy(update={"memory_bytes": None})]).memory_bytes == known.memory_bytes


def test_a_gpu_that_no_label_and_no_catalogue_knows_is_known_by_its_probe() -> None:
    labels = {"nvidia.com/gpu.product": "NVIDIA-X9000", "nvidia.com/gpu.memory": None}
    said = {"name": "X9000", "memoryBytes": 10**10, "peakFlopsPerSecond": {"fp16": 1e14}}
    labels |= {"node.kubernetes.io/instance-type": None}
    gpu = only(probed_node(labels=labels, **said)).gpu
    assert gpu is not None and (gpu.name, gpu.memory_bytes) == ("X9000", 10**10)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "probe the node again"),
        ('{"name": "L4", "memory": 3}', "memory: unknown key"),
        ('{"name": "L4", "memoryBytes": -3}', "memoryBytes"),
        ('{"name": "T4"}', "says T4, and its labels L4"),
        ('{"name": "' + "x" * 20_000 + '"}', "longer than"),
    ],
)
def test_an_annotation_that_cannot_be_used_leaves_its_node_out_and_says_why(text: str, words: str) -> None:
    wrong = node()
    wrong["metadata"]["annotations"] = {GPU_SPECIFICATION: text}
    (problem,) = only(wrong).problems
    assert problem.reason == "UnreadableLabels" and words in problem.message


def test_what_was_recalled_is_known_once_it_was_asked() -> None:
    known = GPUSpecification(name="X", recalled=("memory_bandwidth_bytes_per_second", "idle_power_watts"))
    catalogue = GPUCatalogue({"X": known}, {}, {}, {}, {})
    said = annotated({GPU_SPECIFICATION: '{"name": "X", "memoryBandwidthBytesPerSecond": 1e12}'})
    assert said is not None and preferred(said, None, catalogue).recalled == ("idle_power_watts",)
    with pytest.raises(Garbled):
        annotated({GPU_SPECIFICATION: "[]"})


def test_the_mirror_keeps_the_annotation_of_a_node_and_no_other() -> None:
    found = project(kinds.NODE, probed_node())
    assert found is not None and set(found["metadata"]["annotations"]) == {GPU_SPECIFICATION}
    bare = project(kinds.NODE, node())
    assert bare is not None and "annotations" not in bare["metadata"]


def test_the_command_writes_what_the_operator_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    found = asked(monkeypatch, "a100-80gb-mig")
    text = probe_command.annotation(found)
    said = annotated({GPU_SPECIFICATION: text})
    assert said is not None
    merged = preferred(said, None, CATALOGUE)
    assert merged.power_watts == 300
    assert merged.mig_profiles == found.gpus[0].gpu_specification.mig_profiles
