"""InferenceWorkloads become workloads in SI units, with names looked up and artefacts located."""

from decimal import Decimal
from typing import Any

import pytest

from berth_operator.artefacts import Volumes
from berth_operator.catalogues import Catalogues
from berth_operator.demand import workload_of
from berth_operator.replica_resources import GIBIBYTE, default_memory_bytes
from berth_operator.world import World
from berth_scheduler.snapshot import Workload
from kubernetes_objects import claim, node, variant, volume, workload

CATALOGUES = Catalogues.built_in()
LLAMA = {
    "model": {"preset": "llama3.1-8b", "variants": [variant("fp8")]},
    "traffic": {
        "requestsPerSecond": "2.5",
        "inputTokens": {"mean": 512, "p95": "900.5"},
        "outputTokens": {"mean": 128},
    },
    "objectives": {
        "latency": {"p99Milliseconds": 20000},
        "timeToFirstToken": {"p95Milliseconds": 500},
        "timePerOutputToken": {"meanMilliseconds": "40.5"},
    },
}
UNKNOWN_CLAIMS = World(claims=None)


def read(thing: dict[str, Any], world: World = UNKNOWN_CLAIMS) -> Workload:
    found = workload_of(thing, CATALOGUES, Volumes.of(world))
    assert found is not None
    return found


def problem(**spec: Any) -> tuple[str, str]:
    found = read(workload(**spec)).problem
    assert found is not None
    return found.reason, found.message


# --- what is asked -----------------------------------------------------------------------------------------------


def test_milliseconds_become_seconds_and_a_language_model_is_measured_end_to_end() -> None:
    found = read(workload(**LLAMA))
    assert [(one.metric, one.statistic, one.limit_seconds) for one in found.latency] == [
        ("endToEndSeconds", "p99", 20.0),
        ("timeToFirstTokenSeconds", "p95", 0.5),
        ("timePerOutputTokenSeconds", "mean", 0.0405),
    ]
    assert found.traffic.requests_per_second == 2.5
    assert found.traffic.input_tokens is not None and found.traffic.input_tokens.p95 == 900.5
    assert found.problem is None


def test_the_latency_of_a_classic_network_is_that_of_one_pass() -> None:
    assert [one.metric for one in read(workload()).latency] == ["latencySeconds"]


def test_the_backend_follows_from_the_model_where_it_is_not_stated() -> None:
    assert (read(workload(**LLAMA)).backend, read(workload()).backend) == ("vllm", "onnxruntime")


def test_a_stated_architecture_beats_the_preset_and_leaves_it_what_it_does_not_state() -> None:
    model = {"preset": "resnet50", "architecture": {"dense": {"parameters": "1M"}}, "variants": [variant("fp16")]}
    found, preset = read(workload(model=model)).model, read(workload()).model
    assert found is not None and found.dense is not None and preset is not None and preset.dense is not None
    assert found.dense.parameters == 1e6
    assert found.dense.flops_per_inference == preset.dense.flops_per_inference == 8.2e9


def test_a_smaller_copy_of_a_preset_repeats_a_like_share_of_itself() -> None:
    copy = {"preset": "whisper-large-v3", "architecture": {"dense": {"parameters": "500M"}}}
    found, preset = read(workload(model={**copy, "variants": [variant("fp16")]})).model, CATALOGUES.models.presets
    known = preset["whisper-large-v3"].model.dense
    assert found is not None and found.dense is not None and known is not None
    assert known.parameters and known.repeated_parameters and found.dense.repeated_parameters
    share = known.repeated_parameters / known.parameters
    assert found.dense.repeated_parameters / 500e6 == pytest.approx(share)
    assert found.dense.repeated_passes == known.repeated_passes


def test_a_repeated_part_that_is_larger_than_the_preset_is_refused_by_name() -> None:
    more = {"dense": {"repeatedPasses": 10, "repeatedParameters": "90M"}}
    reason, message = problem(
        model={"preset": "resnet50", "architecture": more, "variants": [variant("fp16")]},
    )
    assert reason == "InvalidSpec"
    assert message.startswith("spec.model.architecture.dense.repeatedParameters: must not be above the preset's")


def test_variants_come_in_one_order_with_exact_scores() -> None:
    variants = [
        variant("int8", quality={"score": "0.9012", "evidence": "Measured"}),
        variant("fp16", quality={"score": "0.9087", "evidence": "Published"}),
    ]
    found = read(workload(model={"preset": "resnet50", "variants": variants})).variants
    assert [(one.precision, one.quality and one.quality.score) for one in found] == [
        ("fp16", Decimal("0.9087")),
        ("int8", Decimal("0.9012")),
    ]


# --- what is not understood --------------------------------------------------------------------------------------


ARCHITECTURE = {
    "layers": 32,
    "hiddenSize": 4096,
    "intermediateSize": 14336,
    "attentionHeads": 32,
    "keyValueHeads": 8,
    "headSize": 128,
    "vocabularySize": 128256,
}


def model(**stated: Any) -> dict[str, Any]:
    return {"variants": [variant("fp16")], **stated}


@pytest.mark.parametrize(
    ("spec", "reason", "says"),
    [
        ({"model": model(preset="resnet-50")}, "UnknownPreset", "no model preset resnet-50; nearest: resnet50"),
        ({"model": model()}, "InvalidSpec", "state preset"),
        ({"placement": {"gpus": {"allow": ["L4", "H1000"]}}}, "UnknownGPU", "spec.placement.gpus.allow[1]: H1000"),
        ({"placement": {"gpus": {"deny": ["Tesla-T4"]}}}, "UnknownGPU", "the catalogue; it calls it T4"),
        (LLAMA | {"model": model(preset="resnet50", backend="vllm")}, "UnsupportedBackend", "language models only"),
        ({"model": model(preset="llama3.1-8b", backend="tensorrt")}, "UnsupportedBackend", "one forward pass"),
        ({"model": model(preset="llama3.1-8b")}, "InvalidSpec", "state inputTokens and outputTokens"),
        ({"traffic": LLAMA["traffic"]}, "InvalidSpec", "remove inputTokens and outputTokens"),
        (
            LLAMA | {"model": model(preset="llama3.1-8b", maximumContextTokens=10_000_000)},
            "InvalidSpec",
            "spec.model.maximumContextTokens: 10000000, but llama3.1-8b has a context of 131072",
        ),
        (
            LLAMA | {"model": model(architecture={"transformer": ARCHITECTURE | {"parameters": "80.3G"}})},
            "InvalidSpec",
            "spec.model.architecture.transformer: the model's parameters is 8.03e+10, and its dimensions make 8.03e+09",
        ),
        ({"traffic": {"requestsPerSecond": 0.5}}, "InvalidSpec", "spec.traffic.requestsPerSecond"),
        ({"replicas": {"minimum": 3, "maximum": 2}}, "InvalidSpec", "spec.replicas.minimum"),
    ],
)
def test_a_spec_that_is_not_understood_says_which_field_and_what_to_do(
    spec: dict[str, Any], reason: str, says: str
) -> None:
    found, message = problem(**spec)
    assert found == reason
    assert says in message


def test_a_workload_on_its_way_out_is_not_planned() -> None:
    going = workload()
    going["metadata"]["deletionTimestamp"] = "2026-11-02T00:00:00Z"
    assert workload_of(going, CATALOGUES, Volumes.of(UNKNOWN_CLAIMS)) is None


# --- the planning hash -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spec",
    [
        {"traffic": {"requestsPerSecond": "200.0"}},
        {"traffic": {"requestsPerSecond": 200, "burstiness": 1, "itemsPerRequest": 1}},
        {"replicas": {"minimum": 1, "maximum": 20}},
        {"rollout": {"strategy": "Recreate"}},
        {"serving": {"priorityClassName": "high", "imagePullSecrets": [{"name": "s"}]}},
        {"model": model(preset="resnet50", name="other")},
    ],
)
def test_what_only_rendering_reads_and_defaults_said_aloud_keep_the_planning_hash(spec: dict[str, Any]) -> None:
    assert read(workload(**spec)).planning_hash == read(workload()).planning_hash


@pytest.mark.parametrize(
    "spec",
    [
        {"traffic": {"requestsPerSecond": 201}},
        {"objectives": {"latency": {"p99Milliseconds": 49}}},
        {"placement": {"capacityTypes": ["OnDemand", "Spot"]}},
        {"model": model(preset="resnet50", variants=[variant("fp16", claim="others")])},
        {"model": model(preset="resnet50", variants=[variant("fp32")])},
        {"budget": {"monthlyUSD": 100}},
        {"serving": {"resources": {"requests": {"cpu": 3}}}},
    ],
)
def test_what_a_plan_depends_on_changes_the_planning_hash(spec: dict[str, Any]) -> None:
    assert read(workload(**spec)).planning_hash != read(workload()).planning_hash


# --- resources ---------------------------------------------------------------------------------------------------


def test_resources_are_sized_from_the_weights_where_they_are_not_stated() -> None:
    small, large = read(workload()).resources, read(workload(**LLAMA)).resources
    assert (small.cpu_cores, small.memory_bytes) == (2, 3 * GIBIBYTE)
    assert (large.cpu_cores, large.memory_bytes) == (4, 8 * GIBIBYTE)
    assert default_memory_bytes("onnxruntime", None) == 4 * GIBIBYTE


def test_stated_requests_win_and_a_limit_without_a_request_is_one() -> None:
    resources = {"requests": {"cpu": "500m"}, "limits": {"memory": "8Gi"}}
    found = read(workload(serving={"resources": resources})).resources
    assert (found.cpu_cores, found.memory_bytes) == (0.5, 8 * GIBIBYTE)


# --- artefacts ---------------------------------------------------------------------------------------------------


def access(*objects: dict[str, Any]) -> Any:
    return read(workload(), World.of(objects)).variants[0].access


def test_without_any_claim_in_sight_artefacts_are_taken_to_be_mountable() -> None:
    found = read(workload(), World.of([], claims_known=False)).variants[0].access
    assert found.problem is None and found.zones is None


@pytest.mark.parametrize(
    ("thing", "says"),
    [
        (claim("others"), "PersistentVolumeClaim models is not in vision: make it, or correct claimName"),
        (claim(namespace="elsewhere"), "is not in vision"),
        (claim() | {"status": {"phase": "Lost"}}, "has lost its volume"),
        (claim(modes=("ReadWriteOncePod",)), "is ReadWriteOncePod, for one pod only"),
    ],
)
def test_a_claim_that_cannot_be_used_is_the_variants_problem(thing: dict[str, Any], says: str) -> None:
    found = access(thing).problem
    assert found is not None and found.reason == "ArtefactMissing" and says in found.message


def test_a_workload_is_refused_only_where_none_of_its_artefacts_can_be_mounted() -> None:
    variants = [variant("fp16", claim="gone"), variant("int8")]
    some = read(workload(model={"preset": "resnet50", "variants": variants}), World.of([claim()]))
    assert some.problem is None and some.variants[0].access.problem is not None
    none = read(workload(model={"preset": "resnet50", "variants": variants[:1]}), World.of([claim()])).problem
    assert none is not None and none.reason == "ArtefactMissing"


def test_a_claim_for_one_node_keeps_all_replicas_on_one() -> None:
    assert access(claim(modes=("ReadWriteOnce",))).single_node
    assert not access(claim(modes=("ReadWriteOnce", "ReadOnlyMany"))).single_node


@pytest.mark.parametrize(
    "key", ["topology.kubernetes.io/zone", "topology.ebs.csi.aws.com/zone", "topology.gke.io/zone"]
)
def test_a_volume_is_reached_from_its_zones(key: str) -> None:
    assert access(claim(volumeName="pv"), volume("pv", key, "b", "a")).zones == ("a", "b")


def test_a_volume_of_one_node_is_reached_from_that_node() -> None:
    host = node("ip-10-0-0-1.internal", labels={"kubernetes.io/hostname": "ip-10-0-0-1"})
    found = access(claim(volumeName="pv"), volume("pv", "kubernetes.io/hostname", "ip-10-0-0-1"), host)
    assert found.node == "ip-10-0-0-1.internal"


def test_an_unbound_claim_or_an_unseen_volume_excludes_no_zone() -> None:
    assert access(claim()).zones is None
    assert access(claim(volumeName="unseen")).zones is None


def test_an_image_is_mountable_anywhere() -> None:
    image = {"precision": "fp16", "source": {"image": {"reference": "registry.example.com/m:1"}}}
    found = read(workload(model={"preset": "resnet50", "variants": [image]}), World.of([])).variants[0].access
    assert found.problem is None
