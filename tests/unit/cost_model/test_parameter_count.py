"""Parameters and dimensions of a decoder that contradict each other are refused by name."""

from typing import Any

import pytest

from berth_cost.cases.case import Case, Transformer
from berth_cost.cases.records import predict_cases
from berth_cost.performance.parameter_count import contradiction, counted_active_parameters, counted_parameters

# Llama 3.1 8B, as its config.json states it.
LLAMA: dict[str, Any] = {
    "parameters": 8.03e9,
    "layers": 32,
    "hiddenSize": 4096,
    "intermediateSize": 14336,
    "attentionHeads": 32,
    "keyValueHeads": 8,
    "headSize": 128,
    "vocabularySize": 128256,
}
# DeepSeek-V3: 671 billion parameters, 37 billion of them for a token (arXiv:2412.19437).
DEEPSEEK: dict[str, Any] = {
    "parameters": 671e9,
    "activeParameters": 37e9,
    "layers": 61,
    "hiddenSize": 7168,
    "intermediateSize": 18432,
    "attentionHeads": 128,
    "keyValueHeads": 128,
    "headSize": 192,
    "vocabularySize": 129280,
    "experts": {"count": 256, "perToken": 8, "intermediateSize": 2048, "shared": 1, "firstDenseLayers": 3},
    "latentAttention": {
        "keyValueRank": 512,
        "queryRank": 1536,
        "ropeHeadSize": 64,
        "nopeHeadSize": 128,
        "valueHeadSize": 128,
    },
}


def transformer(stated: dict[str, Any], **changed: Any) -> Transformer:
    return Transformer.model_validate(stated | changed)


def test_published_models_agree_with_their_dimensions() -> None:
    assert contradiction(transformer(LLAMA)) is None
    assert contradiction(transformer(DEEPSEEK)) is None
    assert counted_parameters(transformer(LLAMA)) == pytest.approx(8.03e9, rel=0.001)
    assert counted_parameters(transformer(DEEPSEEK)) == pytest.approx(671e9, rel=0.001)
    assert counted_active_parameters(transformer(DEEPSEEK)) == pytest.approx(37.5e9, rel=0.01)


@pytest.mark.parametrize(
    ("stated", "changed", "field"),
    [
        (LLAMA, {"parameters": 80.3e9}, "parameters is 8.03e+10"),
        (LLAMA, {"parameters": 0.8e9}, "parameters is 8e+08"),
        (LLAMA, {"intermediateSize": 143360}, "parameters is 8.03e+09"),
        (DEEPSEEK, {"activeParameters": 371e9}, "activeParameters is 3.71e+11"),
        (DEEPSEEK, {"experts": DEEPSEEK["experts"] | {"shared": 400}}, "parameters is 6.71e+11"),
        (
            DEEPSEEK,
            {"latentAttention": DEEPSEEK["latentAttention"] | {"queryRank": 153600}},
            "activeParameters is 3.7e+10",
        ),
    ],
)
def test_a_slip_of_a_digit_is_named(stated: dict[str, Any], changed: dict[str, Any], field: str) -> None:
    words = contradiction(transformer(stated, **changed))
    assert words is not None and field in words and "factor of 1.5" in words


def test_two_matrices_an_mlp_are_as_good_as_three() -> None:
    three = counted_parameters(transformer(LLAMA))
    two = counted_parameters(transformer(LLAMA), mlp_matrices=2)
    assert two < three
    assert contradiction(transformer(LLAMA, parameters=two)) is None


def test_a_contradicted_case_is_refused_and_the_others_are_answered() -> None:
    case = {
        "id": "one",
        "model": {"name": "llama", "transformer": LLAMA},
        "hardware": {"gpu": "H100-SXM-80GB"},
        "precision": "bf16",
        "engine": {"name": "vllm"},
        "load": {"kind": "closed", "concurrency": 8},
        "request": {"inputTokens": 500, "outputTokens": 100},
    }
    odd = case | {"id": "odd", "model": {"name": "llama", "transformer": LLAMA | {"parameters": 80.3e9}}}
    from berth_cost.hardware.gpu_catalogue import GPUCatalogue

    gpus = GPUCatalogue.load_builtin().specifications
    good, bad = predict_cases([Case.model_validate(case), Case.model_validate(odd)], gpus)
    assert good.feasible and not bad.feasible
    assert bad.reasons[0].code == "unknown" and "parameters is 8.03e+10" in bad.reasons[0].message
