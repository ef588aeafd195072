from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

import api_cases
from api_cases import Case, merge_patch
from berth_cost.performance.model_catalogue import ModelCatalogue, ModelPreset
from berth_operator.api.crd import DEFINITIONS
from berth_operator.api.v1alpha1 import (
    Backend,
    GPUPool,
    InferenceWorkload,
    InvalidObject,
    parse_pool,
    parse_workload,
)

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"


def named(case: Case) -> str:
    return case.name


def problems_of(manifest: dict[str, Any], *, strict: bool = True) -> frozenset[tuple[str, str]]:
    with pytest.raises(InvalidObject) as refusal:
        api_cases.parse(manifest, strict=strict)
    return frozenset((problem.path, problem.message) for problem in refusal.value.problems)


@pytest.mark.parametrize("case", api_cases.accepted(), ids=named)
def test_a_valid_object_is_read_and_written_back_as_an_equal_one(case: Case) -> None:
    read = api_cases.parse(case.manifest)
    assert api_cases.parse(read.model_dump(mode="json", exclude_none=True)) == read


@pytest.mark.parametrize("case", api_cases.refused_by_rule(), ids=named)
def test_a_broken_rule_is_told_with_its_field_and_its_message(case: Case) -> None:
    assert problems_of(case.manifest) == case.refused


@pytest.mark.parametrize("case", api_cases.refused_by_schema(), ids=named)
def test_a_field_of_the_wrong_kind_is_named(case: Case) -> None:
    found = problems_of(case.manifest)
    assert {path for path, _ in found} == case.fields
    assert all(message and "Input" not in message and "Tuple" not in message for _, message in found), found


@pytest.mark.parametrize("case", api_cases.refused_when_strict(), ids=named)
def test_a_writer_is_told_which_fields_there_are_and_a_reader_ignores_what_it_does_not_know(case: Case) -> None:
    ((path, message),) = problems_of(case.manifest)
    assert path in case.fields
    assert message.startswith("unknown field (known: ")
    if case.name != "owned nodes":  # without the field it does not know, that price says nothing
        api_cases.parse(case.manifest, strict=False)


def test_every_rule_about_one_object_is_broken_by_a_case() -> None:
    stated = {
        entry["message"] for each in DEFINITIONS for entry in _rules(each.schema()) if "oldSelf" not in entry["rule"]
    }
    broken = {message for case in api_cases.refused_by_rule() for _, message in case.refused}
    assert stated == broken


def _rules(schema: Any) -> Iterator[dict[str, str]]:
    """Of a schema and all that it contains."""
    if isinstance(schema, dict):
        yield from schema.get("x-kubernetes-validations", [])
        for member in schema.values():
            yield from _rules(member)


def test_the_unknown_field_message_reads_as_documented() -> None:
    manifest = merge_patch(api_cases.base("classic"), {"spec": {"objectives": {"latency": {"p101Milliseconds": 5}}}})
    assert problems_of(manifest) == {
        (
            "spec.objectives.latency.p101Milliseconds",
            "unknown field (known: meanMilliseconds, p50Milliseconds, p90Milliseconds, p95Milliseconds,"
            " p99Milliseconds)",
        )
    }


def test_what_is_not_said_has_the_documented_defaults() -> None:
    spec = parse_workload(api_cases.base("classic")).spec
    assert (spec.replicas.minimum, spec.replicas.maximum, spec.priority) == (1, 20, 0)
    assert (spec.traffic.burstiness, spec.traffic.items_per_request) == (Decimal(1), 1)
    assert [str(kind) for kind in spec.placement.capacity_types] == ["OnDemand"]
    assert [str(kind) for kind in spec.placement.sharing] == ["Exclusive", "MIG"]
    assert spec.placement.maximum_tensor_parallel == 8
    assert spec.rollout.strategy == "Switch"
    assert (spec.spot, spec.budget, spec.serving, spec.model.backend) == (None, None, None, None)


def test_spot_that_says_nothing_more_has_the_documented_defaults() -> None:
    patch = {"spec": {"spot": {}, "placement": {"capacityTypes": ["Spot"]}}}
    spot = parse_workload(merge_patch(api_cases.base("classic"), patch)).spec.spot
    assert spot is not None
    assert (spot.maximum_share_percent, spot.on_demand_base) == (70, 1)


def test_numbers_are_read_exactly() -> None:
    spec = parse_workload(api_cases.base("language")).spec
    assert spec.traffic.requests_per_second == Decimal("2.5")
    assert spec.model.architecture is not None
    assert spec.model.architecture.transformer is not None
    assert float(spec.model.architecture.transformer.parameters) == 8.03e9
    assert spec.model.backend is Backend.VLLM
    assert spec.serving is not None
    assert spec.serving.resources is not None
    assert spec.serving.resources.limits is not None
    assert spec.serving.resources.limits.memory == spec.serving.resources.requests.memory  # type: ignore[union-attr]


def test_a_workload_is_known_by_namespace_and_name_and_its_model_by_the_workload_unless_named() -> None:
    classic = merge_patch(api_cases.base("classic"), {"metadata": {"namespace": "vision"}})
    assert parse_workload(classic).key == "vision/resnet"
    assert parse_workload(classic).model_name == "resnet"
    assert parse_workload(api_cases.base("language")).model_name == "llama3_8b"


def test_what_the_server_adds_to_an_object_is_no_unknown_field() -> None:
    stored = merge_patch(
        api_cases.base("classic"),
        {
            "metadata": {"namespace": "a", "uid": "u", "generation": 3, "managedFields": [{"manager": "kubectl"}]},
            "status": {"observedGeneration": 3, "fieldOfALaterRelease": 1},
        },
    )
    read = parse_workload(stored, strict=True)
    assert read.metadata.generation == 3
    assert parse_workload(stored).status is not None


def test_an_object_that_is_none_is_refused_and_not_an_accident() -> None:
    for nonsense in ({}, {"kind": "InferenceWorkload"}, {"metadata": None, "spec": []}, {"spec": {"model": None}}):
        with pytest.raises(InvalidObject):
            parse_workload(nonsense)
        with pytest.raises(InvalidObject):
            parse_pool(nonsense)


def test_one_kind_is_not_read_as_the_other() -> None:
    with pytest.raises(InvalidObject, match="kind: must be 'InferenceWorkload'"):
        parse_workload(api_cases.base("pool"))


def test_two_problems_are_told_at_once() -> None:
    patch = {"spec": {"traffic": {"requestsPerSecond": 0}, "replicas": {"minimum": 3, "maximum": 2}}}
    assert {path for path, _ in problems_of(merge_patch(api_cases.base("classic"), patch))} == {
        "spec.traffic.requestsPerSecond",
        "spec.replicas.minimum",
    }


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.name)
def test_every_example_is_valid_and_names_presets_that_exist(path: Path) -> None:
    for manifest in yaml.safe_load_all(path.read_text(encoding="utf-8")):
        if not manifest["apiVersion"].startswith("berthmaster.dev/"):
            continue
        read: InferenceWorkload | GPUPool = api_cases.parse(manifest)
        if isinstance(read, InferenceWorkload) and read.spec.model.preset is not None:
            assert isinstance(ModelCatalogue.load_builtin().get(read.spec.model.preset), ModelPreset)
