"""Which precision runs where: refusals of one combination, and the table of many."""

from typing import get_args

import numpy as np
import pytest

from berth_cost.cases.case import Precision
from berth_cost.hardware.gpu_catalogue import GPUCatalogue, GPUSpecification
from berth_cost.hardware.precision import PrecisionRules, Refusal, number_format, support_table, supported
from berth_cost.number_format import FORMATS

PRECISIONS = get_args(Precision)
BACKENDS = ("onnxruntime", "tensorrt", "pytorch", "python", "vllm", "tensorrtllm")


def gpu(name: str) -> GPUSpecification:
    found = GPUCatalogue.load_builtin().get(name)
    assert isinstance(found, GPUSpecification)
    return found


def refusal(name: str, precision: str, backend: str) -> Refusal:
    found = supported(gpu(name), precision, backend)
    assert found is not None
    return found


def test_the_rules_cover_every_precision_and_backend_of_the_api() -> None:
    rules = PrecisionRules.load_builtin()
    assert set(rules.precisions) == set(PRECISIONS) == set(FORMATS)
    assert set(rules.backends) == set(BACKENDS)
    assert all(backend in rules.backends and precision in rules.precisions for backend, precision in rules.exceptions)
    assert all(set(rule.precisions) <= set(PRECISIONS) for rule in rules.backends.values())


def test_every_rule_has_a_source_and_a_date() -> None:
    rules = PrecisionRules.load_builtin()
    assert len(rules.provenances) == len(rules.precisions) + len(rules.backends) + len(rules.exceptions)
    for origins in rules.provenances.values():
        assert origins and all(origin.title and origin.date for origin in origins.values())


@pytest.mark.parametrize(
    ("name", "precision", "backend"),
    [
        ("T4", "fp16", "onnxruntime"),
        ("T4", "int8", "tensorrt"),
        ("T4", "int4-weight", "vllm"),
        ("V100-SXM-16GB", "fp16", "vllm"),
        ("A10G", "bf16", "vllm"),
        ("A100-SXM-80GB", "tf32", "pytorch"),
        ("A100-SXM-80GB", "int8-sparse", "tensorrt"),
        ("A100-SXM-80GB", "mxfp4", "vllm"),
        ("L4", "fp8", "tensorrt"),
        ("L40S", "fp8", "tensorrtllm"),
        ("H100-SXM-80GB", "int8", "vllm"),
        ("H100-SXM-80GB", "mxfp4", "tensorrtllm"),
        ("B200-SXM", "fp4", "vllm"),
        ("RTX-PRO-6000-Server", "fp4", "tensorrtllm"),
    ],
)
def test_what_runs_is_not_refused(name: str, precision: str, backend: str) -> None:
    assert supported(gpu(name), precision, backend) is None


@pytest.mark.parametrize(
    ("name", "precision", "backend", "value", "limit"),
    [
        ("T4", "bf16", "vllm", 7.5, 8.0),
        ("T4", "fp8", "tensorrt", 7.5, 8.9),
        ("T4", "fp16", "tensorrtllm", 7.5, 8.0),
        ("V100-SXM-16GB", "fp16", "tensorrt", 7.0, 7.5),
        ("V100-SXM-16GB", "int8", "vllm", 7.0, 7.5),
        ("A100-SXM-80GB", "fp8", "vllm", 8.0, 8.9),
        ("A100-SXM-80GB", "mxfp4", "tensorrtllm", 8.0, 9.0),
        ("H100-SXM-80GB", "fp4", "vllm", 9.0, 10.0),
        ("B200-SXM", "int8", "vllm", 10.0, 10.0),
        ("B300-SXM", "int8", "vllm", 10.3, 10.0),
    ],
)
def test_a_gpu_of_the_wrong_generation_is_refused_with_both_numbers(
    name: str, precision: str, backend: str, value: float, limit: float
) -> None:
    found = refusal(name, precision, backend)
    assert (found.reason, found.value, found.limit) == ("ComputeCapability", value, limit)
    assert name in found.message and str(limit) in found.message


@pytest.mark.parametrize(
    ("precision", "backend"),
    [
        ("fp8", "onnxruntime"),
        ("mxfp4", "tensorrt"),
        ("int8", "pytorch"),
        ("tf32", "vllm"),
        ("int8-sparse", "tensorrtllm"),
    ],
)
def test_a_backend_that_lacks_the_precision_is_refused_on_any_gpu(precision: str, backend: str) -> None:
    found = refusal("B200-SXM", precision, backend)
    assert found.reason == "Backend"
    assert found.limit is None and found.value is None


def test_unknown_names_are_refused_with_the_known_ones() -> None:
    precision = refusal("L4", "fp9", "vllm")
    assert precision.reason == "UnknownPrecision" and "fp8" in precision.message
    backend = refusal("L4", "fp16", "tensorflow")
    assert backend.reason == "UnknownBackend" and "onnxruntime" in backend.message


def test_a_gpu_of_unknown_generation_is_refused_and_not_guessed() -> None:
    found = supported(GPUSpecification(name="X1"), "fp16", "vllm")
    assert found is not None and found.reason == "UnknownComputeCapability"


@pytest.mark.parametrize("backend", [*BACKENDS, "tensorflow"])
def test_the_table_says_what_the_single_question_says(backend: str) -> None:
    catalogue = GPUCatalogue.load_builtin()
    gpus = [*(gpu(name) for name in catalogue.names()), GPUSpecification(name="X1")]
    precisions = [*PRECISIONS, "fp9"]
    table = support_table(gpus, precisions, backend)
    assert table.shape == (len(gpus), len(precisions)) and table.dtype == np.bool_
    one_by_one = [[supported(one, precision, backend) is None for precision in precisions] for one in gpus]
    assert table.tolist() == one_by_one


def test_the_table_of_nothing_is_empty() -> None:
    assert support_table([], [], "vllm").shape == (0, 0)


def test_weights_of_fewer_bits_are_smaller_and_cached_values_stay_sixteen_bits() -> None:
    assert number_format("fp32").weight_bytes == 4
    assert number_format("int4-weight").weight_bytes < number_format("int8-weight").weight_bytes == 1
    assert number_format("int4-weight").compute[0] == "fp16"
    assert number_format("fp8").cache_bytes == 2
