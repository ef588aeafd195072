"""Model presets: that their dimensions add up, what is absent, and what users' documents do."""

import datetime

import pytest

from berth_cost.cases.case import Transformer
from berth_cost.document import DocumentError
from berth_cost.performance.model_catalogue import ModelCatalogue, ModelPreset, UnknownModel
from berth_cost.performance.parameter_count import counted_parameters

CATALOGUE = ModelCatalogue.load_builtin()
TRANSFORMERS = [name for name, one in sorted(CATALOGUE.presets.items()) if one.model.transformer]
TWO_MLP_MATRICES = {"gpt-j-6b"}


def preset(name: str, catalogue: ModelCatalogue = CATALOGUE) -> ModelPreset:
    found = catalogue.get(name)
    assert isinstance(found, ModelPreset), found
    return found


def transformer(name: str) -> Transformer:
    found = preset(name).model.transformer
    assert found is not None
    return found


# --- what is in it -----------------------------------------------------------------------------------------------


def test_it_is_read_once_a_process() -> None:
    assert ModelCatalogue.load_builtin() is CATALOGUE


@pytest.mark.parametrize(
    "name",
    [
        *("resnet50", "retinanet", "ssd-resnet34", "3d-unet", "bert-large-squad-384", "dlrm-v2", "rnnt", "gpt-j-6b"),
        *("llama2-70b", "stable-diffusion-xl", "mixtral-8x7b", "llama3.1-8b", "llama3.1-405b", "deepseek-r1"),
        *("gpt-oss-120b", "whisper-large-v3"),
    ],
)
def test_the_networks_of_mlperf_inference_are_there(name: str) -> None:
    assert "MLPerf" in (preset(name).notes or "")


@pytest.mark.parametrize(
    ("task", "least"),
    [("llm", 40), ("vision", 15), ("detection", 3), ("nlp", 5), ("embedding", 6), ("reranking", 3), ("speech", 5),
     ("diffusion", 3), ("recommendation", 2), ("segmentation", 1)],
)  # fmt: skip
def test_every_kind_of_model_has_its_presets(task: str, least: int) -> None:
    assert sum(one.task == task for one in CATALOGUE.presets.values()) >= least


@pytest.mark.parametrize("name", CATALOGUE.names())
def test_a_preset_is_named_as_its_model_and_is_complete_for_its_task(name: str) -> None:
    one = preset(name)
    assert one.name == one.model.name == name
    if one.task == "llm":
        assert one.model.transformer is not None and one.maximum_context_tokens is not None
    else:
        assert one.model.dense is not None and one.item is not None
        assert one.model.dense.parameters is not None


@pytest.mark.parametrize("name", CATALOGUE.names())
def test_every_stated_number_has_a_source_and_a_date(name: str) -> None:
    origins = CATALOGUE.provenances[name]
    assert {path.split(".")[0] for path in origins} >= {"displayName", "task"}
    assert any(path.startswith(("transformer.", "dense.")) for path in origins)
    for path, origin in origins.items():
        assert origin.title and origin.date <= datetime.date(2026, 11, 21), path
    assert len(preset(name).recalled) == sum(origin.recalled for origin in origins.values())


def test_provenance_is_asked_by_field() -> None:
    origin = CATALOGUE.provenance("resnet50", "dense.flops_per_inference")
    assert origin is not None and origin.source == "mlperf"
    assert CATALOGUE.provenance("resnet50", "model.dense.flops_per_inference") == origin
    assert CATALOGUE.provenance("rnnt", "dense.flops_per_inference") is None


# --- numbers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_the_stated_parameters_are_those_that_the_dimensions_imply(name: str) -> None:
    one = transformer(name)
    counted = counted_parameters(one, mlp_matrices=2 if name in TWO_MLP_MATRICES else 3)
    assert counted == pytest.approx(one.parameters, rel=0.02)


def test_parameters_are_counted_as_on_paper() -> None:
    tiny = Transformer(
        parameters=1,
        layers=2,
        hidden_size=8,
        intermediate_size=16,
        attention_heads=4,
        key_value_heads=2,
        head_size=2,
        vocabulary_size=100,
    )
    attention = 8 * 8 + 2 * 8 * 4 + 8 * 8
    assert counted_parameters(tiny) == 2 * (attention + 3 * 8 * 16 + 2 * 8) + 2 * 800 + 8
    assert counted_parameters(tiny.model_copy(update={"tied_embeddings": True})) == counted_parameters(tiny) - 800


@pytest.mark.parametrize("name", [name for name in TRANSFORMERS if transformer(name).experts])
def test_a_token_runs_through_the_experts_that_are_stated(name: str) -> None:
    one = transformer(name)
    assert one.experts is not None and one.active_parameters is not None
    drawn = one.experts.model_copy(update={"count": one.experts.per_token})
    reached = counted_parameters(one.model_copy(update={"experts": drawn}))
    embedding = one.vocabulary_size * one.hidden_size
    assert reached - embedding <= one.active_parameters * 1.03
    assert one.active_parameters * 0.97 <= reached


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_heads_divide_as_grouped_attention_needs(name: str) -> None:
    one = transformer(name)
    assert one.attention_heads % one.key_value_heads == 0
    if one.latent_attention is not None:
        assert one.head_size == one.latent_attention.nope_head_size + one.latent_attention.rope_head_size


def encoder_flops(layers: int, hidden: int, intermediate: int, tokens: int) -> int:
    """Projections and MLP, then the two products of attention; a multiply-add is two."""
    return 2 * layers * ((4 * hidden**2 + 2 * hidden * intermediate) * tokens + 2 * tokens**2 * hidden)


@pytest.mark.parametrize(
    ("name", "flops"),
    [
        ("bert-base-128", encoder_flops(12, 768, 3072, 128)),
        ("bert-large-squad-384", encoder_flops(24, 1024, 4096, 384)),
        ("bge-large-en-v1.5", encoder_flops(24, 1024, 4096, 512)),
        ("all-minilm-l6-v2", encoder_flops(6, 384, 1536, 256)),
        ("bge-reranker-base", encoder_flops(12, 768, 3072, 512)),
    ],
)
def test_encoders_are_counted_from_their_shapes(name: str, flops: int) -> None:
    dense = preset(name).model.dense
    assert dense is not None and dense.flops_per_inference == flops


def test_published_operation_counts_agree() -> None:
    bert, resnet = preset("bert-large-squad-384").model.dense, preset("resnet50").model.dense
    assert bert is not None and bert.flops_per_inference == pytest.approx(246e9, rel=0.01)
    assert resnet is not None and resnet.flops_per_inference == 8.2e9
    assert resnet.input_bytes_per_inference == 3 * 224 * 224 * 4


def test_numbers_that_nobody_states_are_absent() -> None:
    rnnt, flux = preset("rnnt").model.dense, preset("flux.1-dev").model.dense
    assert rnnt is not None and rnnt.flops_per_inference is None
    assert flux is not None and flux.flops_per_inference is None
    assert preset("llama2-7b").typical_tokens is None


def test_tensors_are_those_of_the_best_known_file() -> None:
    bert = preset("bert-large-squad-384")
    assert [(one.name, one.data_type, one.dimensions) for one in bert.inputs] == [
        ("input_ids", "INT64", (384,)),
        ("input_mask", "INT64", (384,)),
        ("segment_ids", "INT64", (384,)),
    ]
    assert [one.name for one in bert.outputs] == ["output_start_logits", "output_end_logits"]


# --- refusals and users' documents -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("llama-3-8b", "llama3-8b"),
        ("LLAMA3-8B", "llama3-8b"),
        ("resnet-50", "resnet50"),
        ("bert_large", "bert-large-128"),
    ],
)
def test_an_unknown_preset_is_refused_with_the_nearest_names(name: str, nearest: str) -> None:
    answer = CATALOGUE.get(name)
    assert isinstance(answer, UnknownModel)
    assert nearest in answer.nearest
    assert nearest in answer.message and "spec.model.architecture" in answer.message


@pytest.mark.parametrize("name", ["", "zzzzzzzz"])
def test_a_preset_like_no_other_has_no_nearest(name: str) -> None:
    answer = CATALOGUE.get(name)
    assert isinstance(answer, UnknownModel) and answer.nearest == ()


def own(**fields: object) -> dict[str, object]:
    entry = {"source": "us", "displayName": "Ours", "task": "vision", "item": "one frame", "dense": {"parameters": 1e6}}
    return {
        "sources": {"us": {"title": "our training run", "date": datetime.date(2026, 6, 1)}},
        "models": {"ours": entry | fields},
    }


def test_a_users_preset_joins_the_built_in_ones() -> None:
    merged = CATALOGUE.merged(own())
    assert preset("ours", merged).model.dense is not None
    assert preset("resnet50", merged) == preset("resnet50")
    assert isinstance(CATALOGUE.get("ours"), UnknownModel)
    origin = merged.provenance("ours", "dense.parameters")
    assert origin is not None and origin.title == "our training run"


def test_a_users_preset_replaces_the_built_in_one() -> None:
    document = own()
    document["models"] = {"resnet50": own()["models"]["ours"]}  # type: ignore[index]
    dense = preset("resnet50", CATALOGUE.merged(document)).model.dense
    assert dense is not None and dense.parameters == 1e6


@pytest.mark.parametrize(
    ("fields", "key", "says"),
    [
        ({"dense": {"parameters": -1}}, "models.ours.dense.parameters", "greater than 0"),
        ({"dense": {"parameters": 0}}, "models.ours.dense.parameters", "greater than 0"),
        ({"dense": {"flops": 1}}, "models.ours.dense.flops", "not a known key"),
        ({"dense": {}, "transformer": {"layers": 2}}, "models.ours.transformer.parameters", "field required"),
        ({"dense": None}, "models.ours", "exactly one of transformer and dense"),
        ({"task": "chess"}, "models.ours.task", "'llm'"),
        ({"displayName": ""}, "models.ours.displayName", "at least 1 character"),
        ({"maximumContextTokens": 0}, "models.ours.maximumContextTokens", "greater than or equal to 1"),
        (
            {"inputs": [{"name": "x", "dataType": "FLOAT", "dimensions": [1]}]},
            "models.ours.inputs.0.dataType",
            "'FP32'",
        ),
        ({"model": {}}, "models.ours.model", "follows from the rest"),
        ({"source": "them"}, "models.ours.displayName", "'them' is not under `sources`"),
        ({"speed": "high"}, "models.ours.speed", "not a known key"),
    ],
)
def test_a_wrong_document_is_refused_by_file_key_and_field(fields: dict[str, object], key: str, says: str) -> None:
    with pytest.raises(DocumentError) as error:
        CATALOGUE.merged(own(**fields), "models.yaml")
    flaw = error.value.flaws[0]
    assert (flaw.file, flaw.key) == ("models.yaml", key)
    assert says in flaw.message


@pytest.mark.parametrize(
    ("name", "width", "encoder", "decoder", "mels"),
    [
        ("whisper-tiny", 384, 4, 4, 80),
        ("whisper-medium", 1024, 24, 24, 80),
        ("whisper-large-v3", 1280, 32, 32, 128),
        ("whisper-large-v3-turbo", 1280, 32, 4, 128),
    ],
)
def test_speech_is_counted_from_its_shapes_and_its_decoder_runs_for_every_token(
    name: str, width: int, encoder: int, decoder: int, mels: int
) -> None:
    """Two convolutions over 3,000 frames, 1,500 positions; MLPerf states 2.69e12 for the large one."""
    found = preset(name)
    dense, tokens = found.model.dense, found.typical_tokens
    assert dense is not None and dense.repeated_passes is not None and tokens is not None
    read_again = 14 * width**2 * decoder + 51866 * width
    convolutions = 2 * 3000 * 3 * mels * width + 2 * 1500 * 3 * width**2
    heard = 24 * width**2 * encoder * 1500 + 4 * 1500**2 * width * encoder + 4 * width**2 * 1500 * decoder
    written = dense.repeated_passes * (2 * read_again + 4 * 1500 * width * decoder)
    assert dense.repeated_passes == tokens.output
    assert dense.repeated_parameters == pytest.approx(read_again, rel=1e-4)
    assert dense.flops_per_inference == pytest.approx(convolutions + heard + written, rel=0.01)
