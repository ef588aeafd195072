"""Each rule with a configuration that breaks it and nothing else."""

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

import render_stories
from berth_operator.render.lint import RULES, Circumstances, lint

GOOD = """
name: "m" backend: "onnxruntime" max_batch_size: 8
version_policy { specific { versions: 1 } }
instance_group { count: 1 kind: KIND_GPU }
dynamic_batching { default_queue_policy { max_queue_size: 32 default_timeout_microseconds: 40000 } }
input { name: "x" data_type: TYPE_FP32 dims: 3 }
output { name: "y" data_type: TYPE_FP32 dims: 3 }
"""
HERE = Circumstances(directory="m", release="26.07")
OLD = Circumstances(directory="m", release="24.10")

BROKEN = [
    ("backend_is_named", 'backend: "onnxruntime"', "", HERE, "backend is missing"),
    ("name_is_directory", 'name: "m"', 'name: "other"', HERE, "differs from the model's directory 'm'"),
    ("version_is_pinned", "version_policy { specific { versions: 1 } }", "", HERE, "version_policy must name versions"),
    ("fields_are_known", "", "model_metrics {}", OLD, "model_metrics is newer than Triton 24.10"),
    ("batch_size_is_not_negative", "max_batch_size: 8", "max_batch_size: -1", HERE, "must not be negative"),
    ("batcher_has_batches", "max_batch_size: 8", "max_batch_size: 0", HERE, "dynamic_batching needs max_batch_size"),
    (
        "batch_holds_a_request",
        "",
        "",
        Circumstances(directory="m", release="26.07", items_per_request=9),
        "max_batch_size 8 is below traffic.itemsPerRequest 9",
    ),
    (
        "preferred_sizes_fit",
        "dynamic_batching {",
        "dynamic_batching { preferred_batch_size: 16",
        HERE,
        "preferred_batch_size 16 must be between 1 and max_batch_size 8",
    ),
    (
        "priorities_are_in_range",
        "dynamic_batching {",
        "dynamic_batching { priority_levels: 2 default_priority_level: 3",
        HERE,
        "default_priority_level must be in 1 to 2",
    ),
    ("queue_is_bounded", "max_queue_size: 32", "", HERE, "max_queue_size must be at least one batch, 8"),
    (
        "queue_outlasts_delay",
        "dynamic_batching {",
        "dynamic_batching { max_queue_delay_microseconds: 40000",
        HERE,
        "reaches the queue timeout 40000",
    ),
    ("instances_are_stated", "count: 1", "count: 0", HERE, "instance_group needs a count"),
    ("kind_is_stated", "KIND_GPU", "KIND_AUTO", HERE, "KIND_AUTO hides a missing GPU"),
    ("tensors_are_complete", "data_type: TYPE_FP32 dims: 3 }\noutput", "dims: 3 }\noutput", HERE, "input 'x' needs"),
    (
        "tensors_are_declared",
        'output { name: "y" data_type: TYPE_FP32 dims: 3 }',
        "",
        Circumstances(directory="m", release="26.07", auto_complete=False),
        "must be stated where the server does not ask",
    ),
    (
        "warm_up_fits",
        "",
        'model_warmup { name: "w" batch_size: 9 inputs { key: "x" value { data_type: TYPE_FP32 dims: 3 } } }',
        HERE,
        "batch_size 9 is above max_batch_size",
    ),
    (
        "warm_up_fits",
        "",
        'model_warmup { name: "w" batch_size: 1 inputs { key: "z" value { data_type: TYPE_FP32 dims: 3 } } }',
        HERE,
        "feeds inputs that are not declared: z",
    ),
    (
        "accelerator_is_read",
        "",
        'optimization { execution_accelerators { gpu_execution_accelerator { name: "tensorrt" } } }',
        HERE,
        "needs model_warmup",
    ),
    (
        "accelerator_is_read",
        'backend: "onnxruntime"',
        'backend: "python" optimization { execution_accelerators { gpu_execution_accelerator { name: "cuda" } } }',
        HERE,
        "does nothing with backend python",
    ),
    ("cache_is_there", "", "response_cache { enable: true }", HERE, "does nothing without the server's --cache-config"),
]


def parsed(text: str) -> object:
    return text_format.Parse(text, pb.ModelConfig())


def test_the_good_configuration_breaks_no_rule() -> None:
    assert lint(parsed(GOOD), HERE) == ()


@pytest.mark.parametrize(("rule", "part", "instead", "circumstances", "message"), BROKEN)
def test_a_rule_names_what_is_wrong(
    rule: str, part: str, instead: str, circumstances: Circumstances, message: str
) -> None:
    text = GOOD.replace(part, instead, 1) if part else GOOD + instead
    config = parsed(text)
    broken = [each.__name__ for each in RULES if list(each(config, circumstances))]
    assert broken == [rule]
    (problem,) = lint(config, circumstances)
    assert message in problem.message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("instance_group { count: 1 kind: KIND_GPU }", "vllm on 2 GPUs needs instance_group.kind KIND_MODEL"),
        ("instance_group { count: 1 kind: KIND_MODEL } max_batch_size: 4", "max_batch_size must be 0, not 4"),
    ],
)
def test_vllm_places_and_batches_by_itself(text: str, message: str) -> None:
    config = parsed(f'name: "m" backend: "vllm" version_policy {{ specific {{ versions: 1 }} }} {text}')
    (problem,) = lint(config, Circumstances(directory="m", release="26.07", gpus=2))
    assert message in problem.message


def test_pytorch_needs_declared_tensors_even_where_the_server_asks() -> None:
    config = parsed(GOOD.replace("onnxruntime", "pytorch").replace("input {", "output {"))
    (problem,) = lint(config, HERE)
    assert "pytorch cannot tell" in problem.message


def test_a_newer_field_of_ensembles_is_gated_too() -> None:
    ensemble = (
        'name: "m" backend: "x" version_policy { specific { versions: 1 } } instance_group { count: 1 kind: KIND_CPU }'
    )
    config = parsed(ensemble + " ensemble_scheduling { max_inflight_requests: 4 }")
    (problem,) = lint(config, OLD)
    assert "max_inflight_requests needs Triton 26.01" in problem.message
    assert lint(config, HERE) == ()


def test_every_rule_has_a_failing_example() -> None:
    assert {each.__name__ for each in RULES} == {rule for rule, *_ in BROKEN} | {"vllm_places_itself"}


@pytest.mark.parametrize("name", render_stories.NAMES)
def test_what_is_rendered_breaks_no_rule(name: str) -> None:
    render_stories.story(name).render()  # raises Unrenderable otherwise
