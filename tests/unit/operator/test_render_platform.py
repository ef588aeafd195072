"""The platform's settings: what is refused, and with which words."""

import pytest
from pydantic import ValidationError

from berth_operator.platform import Platform, TritonImage


def test_the_release_is_read_from_the_tag() -> None:
    assert TritonImage(reference="nvcr.io/nvidia/tritonserver:26.07-vllm-python-py3").release == "26.07"
    assert TritonImage(reference="registry.example.com:5000/triton:25.03").release == "25.03"


def test_a_digest_needs_its_release_stated() -> None:
    digest = "registry.example.com/triton@sha256:" + "a" * 64
    assert TritonImage(reference=digest, release="25.10").release == "25.10"
    with pytest.raises(ValidationError, match="is not in its tag: state release"):
        TritonImage(reference=digest)


def test_a_release_that_is_too_old_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"Triton 24.09 .* is too old: use 24.10 or newer"):
        TritonImage(reference="nvcr.io/nvidia/tritonserver:24.09-py3")


def test_one_image_can_be_set_without_the_others() -> None:
    platform = Platform.model_validate({"images": {"vllm": {"reference": "example.com/vllm:26.05"}}})
    assert platform.images.of("vllm").reference == "example.com/vllm:26.05"
    assert platform.images.of("onnxruntime") == Platform().images.onnxruntime


def test_a_misspelt_setting_is_refused() -> None:
    with pytest.raises(ValidationError, match="drainSecond"):
        Platform.model_validate({"drainSecond": 5})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("drainSeconds", 0),
        ("graceCapSeconds", {"Spot": 4}),
        ("graceCapSeconds", {"Sometimes": 30}),
        ("gpuMemoryUtilization", 1),
        ("restrictedApiHeader", "X Header"),
        ("llmApiDirectory", "relative/path"),
        ("loadBytesPerSecond", 10),
    ],
)
def test_a_value_that_cannot_work_is_refused(key: str, value: object) -> None:
    with pytest.raises(ValidationError, match=key):
        Platform.model_validate({key: value})
