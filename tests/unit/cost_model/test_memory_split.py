"""The memory time of a language model is told apart by the bytes that a step reads."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from berth_cost.cases.case import Case, MemorySplit, Prediction
from berth_cost.cases.records import predict_cases
from berth_cost.hardware.gpu_catalogue import GPUCatalogue

GPUS = GPUCatalogue.load_builtin().specifications
LLAMA_8B = {
    "parameters": 8.03e9, "layers": 32, "hiddenSize": 4096, "intermediateSize": 14336, "attentionHeads": 32,
    "keyValueHeads": 8, "headSize": 128, "vocabularySize": 128256,
}  # fmt: skip


def predicted(concurrency: float, tokens: float = 1024, **changed: Any) -> Prediction:
    stated: dict[str, Any] = {
        "id": "a",
        "model": {"name": "llama", "transformer": LLAMA_8B},
        "hardware": {"gpu": "H100-SXM-80GB"},
        "precision": "bf16",
        "engine": {"name": "vllm"},
        "load": {"kind": "closed", "concurrency": concurrency},
        "request": {"inputTokens": tokens, "outputTokens": tokens},
    }
    (found,) = predict_cases([Case.model_validate(stated | changed)], GPUS)
    return found


def split(*asked: float) -> MemorySplit:
    found = predicted(*asked).memory_split
    assert found is not None
    return found


def test_one_request_reads_weights_and_next_to_no_cache() -> None:
    # 1,536 tokens of context are 0.2 GB at 128 KiB each, the weights 15 GB.
    found = split(1)
    assert found.cache_seconds / found.weight_seconds == pytest.approx(0.2 / 15, rel=0.1)


def test_many_long_requests_read_more_cache_than_weights() -> None:
    found = split(64, 4096)
    assert found.cache_seconds > 2 * found.weight_seconds


def test_a_classic_network_has_no_such_split() -> None:
    dense = {"name": "resnet50", "dense": {"parameters": 25.6e6, "flopsPerInference": 8.2e9}}
    found = predicted(1, model=dense, precision="fp16", request={}, load={"kind": "batch", "batchSize": 1})
    assert found.feasible and found.memory_split is None


@given(st.floats(1, 128), st.floats(1, 8192))
@settings(max_examples=30, deadline=None)
def test_the_split_is_never_more_than_what_is_split(concurrency: float, tokens: float) -> None:
    found = predicted(concurrency, tokens)
    if found.parts is not None:
        assert found.memory_split is not None
        read = found.memory_split.weight_seconds + found.memory_split.cache_seconds
        assert read <= found.parts.memory_seconds * (1 + 1e-5)
