"""What is in a rendered pod, and why: numbers that can be checked by hand."""

import json
from typing import Any

import pytest
import yaml
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

import render_stories
from berth_operator import labels
from berth_operator.render import Unrenderable
from berth_operator.render.names import label_value
from berth_operator.render.repository import shared_memory_bytes
from berth_operator.render.startup import startup_seconds
from berth_operator.render.termination import termination
from berth_scheduler.snapshot import CapacityType, LatencyObjective, PodResources, Toleration
from render_stories import Story, story

RESNET, BERT, LLAMA_8B, LLAMA_70B = map(story, ("vision-resnet", "search-bert", "chat-llama8b", "chat-llama70b"))
WHISPER, DETECTOR, RERANKER, OLD_VLLM = map(story, ("speech-whisper", "street-detector", "search-reranker", "old-vllm"))


def pod(story: Story, berth: int = 0) -> dict[str, Any]:
    spec: dict[str, Any] = story.render().deployments[berth]["spec"]["template"]["spec"]
    return spec


def container(story: Story, berth: int = 0) -> dict[str, Any]:
    (only,) = pod(story, berth)["containers"]
    return dict(only)


def config(story: Story) -> Any:
    return text_format.Parse(story.render().config["data"]["config.pbtxt"], pb.ModelConfig())


def shared(story: Story, kind: str, name: str | None = None) -> dict[str, Any]:
    (found,) = (
        each
        for each in story.render().shared
        if each["kind"] == kind and each["metadata"]["name"] == (name or story.workload.metadata.name)
    )
    return found


def environment(story: Story) -> dict[str, str]:
    return {each["name"]: each["value"] for each in container(story)["env"] if "value" in each}


# --- batching and queues -----------------------------------------------------------------------------------------


def test_batch_size_and_queue_delay_come_from_the_berth() -> None:
    assert config(RESNET).max_batch_size == 16
    assert config(RESNET).dynamic_batching.max_queue_delay_microseconds == 500


def test_a_request_is_rejected_when_four_fifths_of_its_limit_went_by_in_the_queue() -> None:
    policy = config(RESNET).dynamic_batching.default_queue_policy
    assert policy.default_timeout_microseconds == 40_000  # of 50 ms
    assert policy.timeout_action == pb.ModelQueuePolicy.REJECT
    assert policy.allow_timeout_override


def test_the_highest_percentile_sets_the_timeout_because_a_median_says_nothing_of_one_request() -> None:
    assert config(BERT).dynamic_batching.default_queue_policy.default_timeout_microseconds == 40_000  # p99, not p50
    whisper = config(WHISPER).dynamic_batching.default_queue_policy  # mean 300 ms: 0.8 × 4 × 300 ms
    assert whisper.default_timeout_microseconds == 960_000


def test_without_a_latency_objective_nothing_times_out_but_the_queue_is_still_bounded() -> None:
    policy = config(DETECTOR).dynamic_batching.default_queue_policy
    assert policy.default_timeout_microseconds == 0
    assert policy.max_queue_size == 32


def test_four_batches_per_instance_may_wait_and_never_fewer_than_an_ordinary_burst() -> None:
    assert config(RESNET).dynamic_batching.default_queue_policy.max_queue_size == 64  # 4 × 16 × 1
    assert config(WHISPER).dynamic_batching.default_queue_policy.max_queue_size == 32  # 4 × 4 × 2
    one = RESNET.with_berths(maximum_batch_size=1)
    assert config(one).dynamic_batching.default_queue_policy.max_queue_size == 32


def test_instances_of_a_network_are_bound_to_gpus_so_that_a_missing_gpu_fails() -> None:
    (group,) = config(WHISPER).instance_group
    assert (group.kind, group.count) == (pb.ModelInstanceGroup.KIND_GPU, 2)


def test_the_version_is_pinned_to_the_mounted_directory() -> None:
    assert list(config(RESNET).version_policy.specific.versions) == [1]


# --- inputs, warm-up, accelerators -------------------------------------------------------------------------------


def test_declared_inputs_are_warmed_up_with_one_and_a_full_batch_of_zeros() -> None:
    samples = {sample.name: sample for sample in config(BERT).model_warmup}
    assert {name: sample.batch_size for name, sample in samples.items()} == {"batch-1": 1, "batch-8": 8}
    assert all(content.zero_data for sample in samples.values() for content in sample.inputs.values())
    assert set(samples["batch-8"].inputs) == {"input_ids", "attention_mask", "token_type_ids"}


def test_an_input_of_any_length_is_not_warmed_up() -> None:
    assert not config(WHISPER).model_warmup
    assert [list(each.dims) for each in config(WHISPER).input] == [[128, -1]]


def test_the_server_asks_the_backend_unless_everything_is_declared() -> None:
    assert "--disable-auto-complete-config" in container(BERT)["args"]
    assert "--disable-auto-complete-config" not in container(RESNET)["args"]
    assert "--disable-auto-complete-config" not in container(LLAMA_70B)["args"]


def test_int8_networks_with_declared_inputs_are_built_by_tensorrt_and_get_the_time_for_it() -> None:
    (accelerator,) = config(BERT).optimization.execution_accelerators.gpu_execution_accelerator
    assert accelerator.name == "tensorrt"
    assert accelerator.parameters["precision_mode"] == "INT8"
    assert accelerator.parameters["trt_profile_max_shapes"].startswith("input_ids:8x384,")
    assert not any("calibration" in key for key in accelerator.parameters)
    without = BERT.with_platform(tensorrt_for_int8=False)
    assert not config(without).optimization.execution_accelerators.gpu_execution_accelerator
    berth = BERT.decision.berths[0]
    assert startup_seconds(BERT.order, berth) - startup_seconds(without.order, berth) == 900


def test_fp16_networks_are_left_to_the_cuda_provider() -> None:
    fp16 = BERT.with_berths(precision="fp16")
    assert not config(fp16).optimization.execution_accelerators.gpu_execution_accelerator


# --- engines -----------------------------------------------------------------------------------------------------


def test_vllm_batches_and_places_itself() -> None:
    assert config(LLAMA_8B).max_batch_size == 0
    assert not config(LLAMA_8B).HasField("dynamic_batching")
    assert config(LLAMA_8B).instance_group[0].kind == pb.ModelInstanceGroup.KIND_MODEL
    assert config(LLAMA_8B).parameters["REPORT_CUSTOM_METRICS"].string_value == "true"


def test_vllm_is_told_its_share_of_memory_its_context_and_how_many_requests_run_at_once() -> None:
    arguments = json.loads(LLAMA_8B.render().config["data"]["model.json"])
    assert arguments["model"] == "/weights"
    assert arguments["max_model_len"] == 8192
    assert arguments["max_num_seqs"] == 64
    assert arguments["gpu_memory_utilization"] == 0.9
    assert arguments["disable_log_stats"] is False
    shared_gpu = LLAMA_8B.with_berths(instances_per_gpu=2)
    assert json.loads(shared_gpu.render().config["data"]["model.json"])["gpu_memory_utilization"] == 0.45


@pytest.mark.parametrize(
    ("precision", "data_type"), [("bf16", "bfloat16"), ("fp16", "float16"), ("fp32", "float32"), ("fp8", "auto")]
)
def test_the_data_type_is_stated_for_plain_weights_and_left_to_the_artefact_of_quantised_ones(
    precision: str, data_type: str
) -> None:
    source = {"persistentVolumeClaim": {"claimName": "weights"}}
    changed = LLAMA_8B.with_spec({"model.variants": [{"precision": precision, "source": source}]})
    arguments = json.loads(changed.with_berths(precision=precision).render().config["data"]["model.json"])
    assert arguments["dtype"] == data_type
    assert "quantization" not in arguments


def test_without_a_stated_context_what_the_traffic_needs_is_reserved() -> None:
    """Prompts of 2 × 600 and answers of 2 × 300 tokens, in steps of 256."""
    assert json.loads(OLD_VLLM.render().config["data"]["model.json"])["max_model_len"] == 2048


def test_tensorrt_llm_is_the_llm_api_of_the_python_backend_with_its_adapter_copied_from_the_image() -> None:
    rendered = config(LLAMA_70B)
    assert rendered.backend == "python"
    assert rendered.instance_group[0].kind == pb.ModelInstanceGroup.KIND_CPU
    assert rendered.parameters["gpu_device_ids"].string_value == "0,1,2,3"
    (adapter,) = pod(LLAMA_70B)["initContainers"]
    assert adapter["command"] == ["cp", "-RT", "/app/all_models/llmapi/tensorrt_llm/1", "/models/llama70b/1"]
    assert adapter["image"] == container(LLAMA_70B)["image"]
    arguments = yaml.safe_load(LLAMA_70B.render().config["data"]["model.yaml"])
    assert arguments["tensor_parallel_size"] == 4
    assert arguments["max_seq_len"] == 8192  # 2 × 1000 prompt and 6000 answer tokens
    assert arguments["triton_config"] == {"max_batch_size": 0, "decoupled": True}


def test_a_replica_gets_the_gpus_it_spans_or_its_slice() -> None:
    assert container(LLAMA_70B)["resources"]["limits"]["nvidia.com/gpu"] == "4"
    assert container(BERT)["resources"]["limits"]["nvidia.com/mig-1g.10gb"] == "1"
    assert "nvidia.com/gpu" not in container(BERT)["resources"]["limits"]
    media = BERT.with_berths(mig_profile="1g.10gb+me")
    assert container(media)["resources"]["requests"]["nvidia.com/mig-1g.10gb.me"] == "1"


# --- releases ----------------------------------------------------------------------------------------------------


def test_fields_that_an_older_server_cannot_parse_are_left_out() -> None:
    assert config(LLAMA_8B).HasField("model_metrics")
    assert not config(OLD_VLLM).HasField("model_metrics")
    assert "--metrics-config=histogram_latencies=true" in container(LLAMA_8B)["args"]
    assert "--metrics-config=histogram_latencies=true" not in container(OLD_VLLM)["args"]


def test_latency_buckets_are_finest_around_the_objective() -> None:
    (control,) = config(RESNET).model_metrics.metric_control
    assert list(control.histogram_options.buckets) == [6.25, 12.5, 25, 37.5, 50, 75, 100, 200]


# --- starting ----------------------------------------------------------------------------------------------------


def test_the_startup_probe_waits_as_long_as_the_weights_may_take() -> None:
    """70.6 GB at 200 MB/s are 353 s, after 300 s for the rest: 653 s, in whole minutes 660."""
    assert startup_seconds(LLAMA_70B.order, LLAMA_70B.decision.berths[0]) == 660
    probe = container(LLAMA_70B)["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] == 660
    assert LLAMA_70B.render().deployments[0]["spec"]["progressDeadlineSeconds"] == 660 + 1200


def test_half_the_bytes_load_in_half_the_time() -> None:
    slow = LLAMA_70B.with_platform(load_bytes_per_second=10_000_000)
    source = {"persistentVolumeClaim": {"claimName": "weights"}}
    int4 = slow.with_spec({"model.variants": [{"precision": "int4-weight", "source": source}]})
    int4 = int4.with_berths(precision="int4-weight")
    assert startup_seconds(slow.order, slow.decision.berths[0]) == 7380  # 300 + 7060, rounded up to minutes
    assert startup_seconds(int4.order, int4.decision.berths[0]) == 3840  # 300 + 3530


def test_a_model_of_unknown_size_gets_a_generous_budget() -> None:
    assert startup_seconds(DETECTOR.order, DETECTOR.decision.berths[0]) == 1800


def test_readiness_asks_for_the_model_and_liveness_only_for_the_server() -> None:
    probes = container(LLAMA_8B)
    assert probes["readinessProbe"]["httpGet"]["path"] == "/v2/models/llama-3-8b/ready"
    assert probes["startupProbe"]["httpGet"]["path"] == "/v2/models/llama-3-8b/ready"
    assert probes["livenessProbe"]["httpGet"]["path"] == "/v2/health/live"


# --- stopping ----------------------------------------------------------------------------------------------------


def test_the_grace_period_is_the_sum_of_draining_finishing_and_unloading() -> None:
    assert pod(RESNET)["terminationGracePeriodSeconds"] == 10 + 30 + 5
    assert container(RESNET)["lifecycle"] == {"preStop": {"sleep": {"seconds": 10}}}
    assert "--exit-timeout-secs=30" in container(RESNET)["args"]


def test_spot_pods_stop_within_what_the_cloud_leaves_them() -> None:
    """25 s: 5 to unload; the other 20 shared as 10 to 30."""
    assert pod(RESNET, berth=1)["terminationGracePeriodSeconds"] == 25
    assert container(RESNET, berth=1)["lifecycle"] == {"preStop": {"sleep": {"seconds": 5}}}
    assert "--exit-timeout-secs=15" in container(RESNET, berth=1)["args"]


@pytest.mark.parametrize("cap", [5, 6, 15, 25, 44, 45, 110])
def test_whatever_the_cap_every_part_gets_a_second_and_all_of_them_fit(cap: int) -> None:
    capped = RESNET.with_platform(grace_cap_seconds={CapacityType.SPOT: cap})
    stop = termination(capped.order, CapacityType.SPOT)
    assert min(stop.drain, stop.exit_timeout, stop.unload) >= 1
    assert stop.grace == min(cap, 45)


def test_long_answers_may_finish() -> None:
    """6000 tokens at 30 ms are 180 s; the first token has no objective."""
    assert pod(LLAMA_70B)["terminationGracePeriodSeconds"] == 10 + 180 + 5
    endless = LLAMA_70B.with_platform(maximum_exit_timeout_seconds=60)
    assert pod(endless)["terminationGracePeriodSeconds"] == 10 + 60 + 5


def test_a_pod_deleted_while_loading_stops_at_once() -> None:
    assert pod(RESNET)["shareProcessNamespace"] is True


# --- resources and threads ---------------------------------------------------------------------------------------


def test_memory_is_limited_to_what_is_asked_for_and_cpu_is_not_limited() -> None:
    resources = container(RESNET)["resources"]
    assert resources["requests"] == {"cpu": "3500m", "memory": "8Gi", "nvidia.com/gpu": "1"}
    assert resources["limits"] == {"memory": "8Gi", "nvidia.com/gpu": "1"}


def test_stated_limits_are_kept() -> None:
    resources = container(RERANKER)["resources"]
    assert resources["requests"] == {"cpu": "1500m", "memory": "6Gi", "nvidia.com/gpu": "1"}
    assert resources["limits"] == {"cpu": "3", "memory": "8Gi", "nvidia.com/gpu": "1"}


def test_threads_follow_the_cpu_limit_then_the_request_and_are_shared_by_instances() -> None:
    assert environment(RERANKER)["OMP_NUM_THREADS"] == "3"  # its limit
    assert environment(RESNET)["OMP_NUM_THREADS"] == environment(RESNET)["MKL_NUM_THREADS"] == "3"  # of 3.5 requested
    assert config(RESNET).parameters["intra_op_thread_count"].string_value == "3"
    assert config(WHISPER).parameters["INTRA_OP_THREAD_COUNT"].string_value == "2"  # 4 cores, 2 instances
    assert environment(LLAMA_70B)["OMP_NUM_THREADS"] == "4"  # 16 cores, 4 processes
    tiny = RESNET.with_planned(resources=PodResources(cpu_cores=0.25, memory_bytes=2**30))
    assert environment(tiny)["OMP_NUM_THREADS"] == "1"


def test_shared_memory_holds_two_batches_of_every_instance() -> None:
    """Whisper: inputs of 128 × 1024 and outputs of 1024 × 1280 half floats (an open size counts as 1024)."""
    item = 2 * (128 * 1024 + 1024 * 1280)
    assert shared_memory_bytes(WHISPER.order, WHISPER.decision.berths[0]) == 64 * 2**20  # 2 × 2 × 4 × 2.75 MiB are less
    many = WHISPER.with_berths(maximum_batch_size=64)
    expected = -(-2 * 2 * 64 * item // 2**20) * 2**20
    assert shared_memory_bytes(many.order, many.decision.berths[0]) == expected


def test_shared_memory_of_engines_grows_with_their_gpus_but_not_beyond_half_the_memory() -> None:
    assert shared_memory_bytes(LLAMA_8B.order, LLAMA_8B.decision.berths[0]) == 2**30
    assert shared_memory_bytes(LLAMA_70B.order, LLAMA_70B.decision.berths[0]) == 4 * 2 * 2**30
    small = LLAMA_70B.with_planned(resources=PodResources(cpu_cores=4, memory_bytes=8 * 2**30))
    assert shared_memory_bytes(small.order, small.decision.berths[0]) == 4 * 2**30


# --- where -------------------------------------------------------------------------------------------------------


def test_a_pod_may_only_run_on_its_pools_nodes_and_zones() -> None:
    affinity = pod(RESNET)["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    (term,) = affinity["nodeSelectorTerms"]
    assert {each["key"]: each["values"] for each in term["matchExpressions"]} == {
        "karpenter.sh/capacity-type": ["on-demand"],
        "nvidia.com/gpu.product": ["NVIDIA-L4"],
        "topology.kubernetes.io/zone": ["us-east1-b", "us-east1-c"],
    }


def test_gpu_and_pool_taints_are_tolerated_and_those_of_leaving_nodes_are_not() -> None:
    keys = [each["key"] for each in pod(RESNET, berth=1)["tolerations"]]
    assert "nvidia.com/gpu" in keys
    assert "cloud.google.com/gke-spot" in keys
    assert "karpenter.sh/disrupted" not in keys
    (name, pool), *_ = RESNET.pools.items()
    interrupted = Toleration(key="aws-node-termination-handler/spot-itn", operator="Exists")
    changed = RESNET.but(pools={**RESNET.pools, name: pool.model_copy(update={"tolerations": (interrupted,)})})
    assert pod(changed)["tolerations"] == pod(RESNET)["tolerations"]


def test_replicas_are_spread_over_zones_then_hosts_where_there_is_room() -> None:
    spread = pod(RESNET)["topologySpreadConstraints"]
    assert [each["topologyKey"] for each in spread] == ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]
    assert {each["whenUnsatisfiable"] for each in spread} == {"ScheduleAnyway"}


def test_a_pool_whose_name_is_no_label_value_gets_one_that_no_other_pool_gets() -> None:
    value = DETECTOR.render().deployments[0]["metadata"]["labels"][labels.POOL]
    assert value == label_value(DETECTOR.decision.berths[0].pool)
    assert len(value) <= 63
    assert label_value("a/b") != label_value("a b")
    assert label_value("l4-spot") == "l4-spot"


# --- around the pods ---------------------------------------------------------------------------------------------


def test_the_services_select_the_serving_revision_and_the_new_one_when_nothing_serves() -> None:
    first = RESNET.render()
    for name in ("resnet", "resnet-headless"):
        assert shared(RESNET, "Service", name)["spec"]["selector"] == {
            labels.WORKLOAD: "resnet",
            labels.REVISION: first.revision,
        }
    switching = RESNET.but(serving_revision="0123abcd")
    assert shared(switching, "Service")["spec"]["selector"][labels.REVISION] == "0123abcd"
    assert shared(RESNET, "Service", "resnet-headless")["spec"]["clusterIP"] == "None"


def test_pods_carry_the_labels_that_services_monitors_and_deployments_select() -> None:
    for deployment in RESNET.render().deployments:
        own = deployment["spec"]["template"]["metadata"]["labels"]
        assert deployment["spec"]["selector"]["matchLabels"].items() <= own.items()
        assert shared(RESNET, "Service")["spec"]["selector"].items() <= own.items()
        assert set(shared(RESNET, "PodMonitor")["spec"]["podTargetLabels"]) <= set(own)
        assert own[labels.MANAGED_BY] == labels.MANAGER


def test_the_disruption_budget_lets_loading_pods_go() -> None:
    spec = shared(RESNET, "PodDisruptionBudget")["spec"]
    assert (spec["maxUnavailable"], spec["unhealthyPodEvictionPolicy"]) == (1, "AlwaysAllow")


def test_by_default_only_the_own_namespace_infers_only_monitoring_scrapes_and_nothing_leaves() -> None:
    spec = shared(RESNET, "NetworkPolicy")["spec"]
    infer, scrape = spec["ingress"]
    assert infer["from"] == [{"podSelector": {}}]
    assert [each["port"] for each in infer["ports"]] == [8000, 8001]
    assert scrape["from"] == [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert "egress" not in spec


def test_no_peer_is_no_rule_because_an_empty_list_of_peers_would_admit_everyone() -> None:
    closed = RESNET.with_platform(inference_from=(), metrics_from=())
    assert "ingress" not in shared(closed, "NetworkPolicy")["spec"]


def test_what_a_platform_or_cluster_has_not_is_not_rendered() -> None:
    kinds = {each["kind"] for each in OLD_VLLM.render().objects}
    assert kinds == {"ServiceAccount", "Service", "PodDisruptionBudget", "ConfigMap", "Deployment"}


def test_a_configuration_is_immutable_because_its_name_says_what_is_in_it() -> None:
    rendered = RESNET.render()
    assert rendered.config["immutable"] is True
    assert rendered.config["metadata"]["name"] == f"resnet-{rendered.revision}"


def test_names_of_children_are_short_enough_for_the_longest_workload_name() -> None:
    manifest = RESNET.workload.model_copy(
        update={"metadata": RESNET.workload.metadata.model_copy(update={"name": "w" * 40})}
    )
    for document in RESNET.but(workload=manifest).render().objects:
        assert len(document["metadata"]["name"]) <= 63


# --- the model repository ----------------------------------------------------------------------------------------


def mounts(story: Story) -> dict[str, dict[str, Any]]:
    return {each["mountPath"]: each for each in container(story)["volumeMounts"]}


def test_an_artefact_is_the_version_directory_and_every_file_is_mounted_by_itself() -> None:
    assert mounts(RESNET)["/models/resnet/1"] == {
        "name": "artefact",
        "mountPath": "/models/resnet/1",
        "subPath": "resnet50/fp16",
        "readOnly": True,
    }
    assert mounts(RESNET)["/models/resnet/config.pbtxt"]["subPath"] == "config.pbtxt"
    assert all("subPath" in each for each in mounts(RESNET).values() if each["name"] == "configuration")


def test_weights_of_an_engine_lie_beside_the_repository() -> None:
    assert mounts(LLAMA_8B)["/weights"]["subPath"] == "llama-3.1-8b-fp8"
    assert mounts(LLAMA_8B)["/models/llama-3-8b/1/model.json"]["subPath"] == "model.json"


def test_an_artefact_without_a_path_is_the_whole_volume() -> None:
    assert "subPath" not in mounts(DETECTOR)["/models/detector/1"]
    assert "subPath" not in mounts(RERANKER)["/models/reranker/1"]


def test_only_scratch_shared_memory_and_the_repository_tree_can_be_written() -> None:
    for name in render_stories.NAMES:
        writable = {each["mountPath"] for each in container(story(name))["volumeMounts"] if not each.get("readOnly")}
        assert writable == {"/models", "/tmp", "/dev/shm"}


# --- refusals ----------------------------------------------------------------------------------------------------


def test_a_request_larger_than_the_largest_batch_is_refused_before_it_is_deployed() -> None:
    with pytest.raises(Unrenderable, match=r"max_batch_size 2 is below traffic\.itemsPerRequest 4"):
        DETECTOR.with_berths(maximum_batch_size=2).render()


def test_a_decision_whose_pool_is_gone_says_so() -> None:
    with pytest.raises(Unrenderable, match="pool l4-on-demand of the decision is gone"):
        RESNET.but(pools={"l4-spot": RESNET.pools["l4-spot"]}).render()


def test_a_decision_whose_variant_was_removed_says_so() -> None:
    with pytest.raises(Unrenderable, match="has no fp16 any more"):
        RESNET.with_spec({"model.variants.0.precision": "int8"}).render()


def test_a_decision_without_berths_is_refused() -> None:
    with pytest.raises(Unrenderable, match="vision/resnet has no berth"):
        RESNET.but(decision=RESNET.decision.model_copy(update={"berths": ()})).render()


def test_a_queue_that_times_out_before_a_batch_is_collected_is_refused() -> None:
    limit = LatencyObjective(metric="latencySeconds", statistic="p99", limit_seconds=0.0005)
    with pytest.raises(Unrenderable, match="reaches the queue timeout 400"):
        RESNET.with_planned(latency=(limit,)).render()


# --- security ----------------------------------------------------------------------------------------------------


def test_dangerous_apis_need_a_header_that_only_readers_of_pods_know() -> None:
    flag = next(each for each in container(RESNET)["args"] if each.startswith("--http-restricted-api="))
    assert flag == "--http-restricted-api=model-repository,shared-memory,logging,trace:berthmaster-pod=$(POD_UID)"
    uid = next(each for each in container(RESNET)["env"] if each["name"] == "POD_UID")
    assert uid["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.uid"
    assert not any("restricted" in each for each in container(OLD_VLLM)["args"])


def test_nothing_in_a_pod_has_a_token_a_capability_or_a_writable_root() -> None:
    for name in render_stories.NAMES:
        spec = pod(story(name))
        assert spec["automountServiceAccountToken"] is False
        for each in (*spec["containers"], *spec.get("initContainers", ())):
            assert each["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
                "readOnlyRootFilesystem": True,
            }
