import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from berth_operator.api import crd

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("folder", ["crds", "helm/berthmaster/files/crds"])
def test_the_committed_files_are_what_the_models_say(folder: str) -> None:
    committed = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / folder).iterdir()}
    assert committed == dict(crd.generated_files()), "run `make crds`"


def test_the_command_writes_the_same_bytes_whatever_the_hash_seed(tmp_path: Path) -> None:
    folders = [tmp_path / seed for seed in ("1", "2")]
    for folder in folders:
        environment = os.environ | {"PYTHONHASHSEED": folder.name}
        subprocess.run([sys.executable, "-m", crd.__name__, "--to", str(folder)], check=True, env=environment)
    for name, text in crd.generated_files().items():
        assert {(folder / name).read_text(encoding="utf-8") for folder in folders} == {text}


@cache
def documents() -> dict[str, dict[str, Any]]:
    return {each.kind.__name__: yaml.safe_load(yaml.safe_dump(each.document())) for each in crd.DEFINITIONS}


def schema_at(kind: str, *path: str) -> dict[str, Any]:
    found: dict[str, Any] = documents()[kind]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    for name in path:
        found = found["properties"][name]
    return found


def every_schema(schema: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, member in schema.get("properties", {}).items():
        yield from every_schema(member, f"{path}.{name}")
    for name in ("items", "additionalProperties"):
        if name in schema:
            yield from every_schema(schema[name], f"{path}[]")


def test_names_and_scopes_are_those_that_users_type() -> None:
    workloads, pools = documents()["InferenceWorkload"]["spec"], documents()["GPUPool"]["spec"]
    assert (workloads["scope"], pools["scope"]) == ("Namespaced", "Cluster")
    assert (workloads["names"]["shortNames"], pools["names"]["shortNames"]) == (["iw"], ["gpupool"])
    assert workloads["names"]["categories"] == pools["names"]["categories"] == ["berthmaster", "inference"]


def test_the_columns_are_in_the_order_that_people_read() -> None:
    columns = documents()["InferenceWorkload"]["spec"]["versions"][0]["additionalPrinterColumns"]
    narrow = [column["name"] for column in columns if not column.get("priority")]
    assert narrow == ["Ready", "GPU", "Precision", "Replicas", "Cost/h", "Age"]
    assert [column["name"] for column in columns if column.get("priority")] == ["P99", "Reason", "Message"]


@pytest.mark.parametrize("definition", crd.DEFINITIONS, ids=lambda definition: definition.plural)
def test_every_column_reads_a_field_that_there_is(definition: crd.Definition) -> None:
    kind = definition.kind.__name__
    for column in definition.columns:
        path = column.path.removeprefix(".").split(".")
        if path[0] == "metadata":
            continue
        if path[:2] == ["status", "conditions[?(@"]:
            assert path[-1] in schema_at(kind, "status", "conditions")["items"]["properties"]
        else:
            assert schema_at(kind, *path)["type"] == column.kind


def test_what_the_schema_has_not_got_yet_cannot_be_stated() -> None:
    absent = {
        ("InferenceWorkload", "spec", "placement"): {"mixGPUs"},
        ("InferenceWorkload", "spec", "serving"): {"responseCacheBytes", "image", "serviceAccountName"},
        ("GPUPool", "spec", "price", "owned", "power"): {"statedUSDPerYear"},
    }
    for (kind, *path), names in absent.items():
        assert not names & schema_at(kind, *path)["properties"].keys()
    sources = schema_at("InferenceWorkload", "spec", "model", "variants")["items"]["properties"]["source"]
    assert sources["properties"].keys() == {"persistentVolumeClaim", "image"}
    assert schema_at("InferenceWorkload", "spec", "placement", "sharing")["items"]["enum"] == ["Exclusive", "MIG"]
    assert schema_at("InferenceWorkload", "spec", "rollout", "strategy")["enum"] == ["Switch", "Recreate"]
    assert schema_at("InferenceWorkload", "spec", "budget", "onExceeded")["enum"] == ["Alert"]


def test_variants_are_keyed_by_precision() -> None:
    variants = schema_at("InferenceWorkload", "spec", "model", "variants")
    assert variants["x-kubernetes-list-map-keys"] == ["precision"]
    assert variants["minItems"] == 1


def test_every_kind_has_a_status_subresource_and_workloads_have_one_to_scale() -> None:
    subresources = {name: each["spec"]["versions"][0]["subresources"] for name, each in documents().items()}
    assert all("status" in each for each in subresources.values())
    scalable = [each["scale"] for each in subresources.values() if "scale" in each]
    assert [each["specReplicasPath"] for each in scalable] == [".spec.replicas.desired"]


def test_helm_keeps_the_definitions_on_uninstall() -> None:
    for document in documents().values():
        assert document["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}


@pytest.mark.parametrize("kind", ["InferenceWorkload", "GPUPool"])
def test_every_integer_of_a_spec_has_bounds(kind: str) -> None:
    for path, schema in every_schema(schema_at(kind, "spec")):
        if schema.get("type") == "integer":
            assert "minimum" in schema, path
            assert "maximum" in schema, path


@pytest.mark.parametrize("kind", ["InferenceWorkload", "GPUPool"])
def test_every_field_at_every_depth_is_described_for_kubectl_explain(kind: str) -> None:
    said = {
        path: schema.get("description", "")
        for part in ("spec", "status")
        for path, schema in every_schema(schema_at(kind, part), part)
        # entries that are plain values are described by their list or map
        if not path.endswith("[]") or schema.get("type") == "object"
    }
    assert {"spec", "status.conditions[].lastTransitionTime"} <= said.keys()
    assert not [path for path, description in said.items() if not description.endswith(".")], "write a docstring there"


def test_no_default_chooses_for_the_user_what_the_operator_decides() -> None:
    defaults = {path for path, schema in every_schema(schema_at("InferenceWorkload", "spec")) if "default" in schema}
    assert defaults == {
        ".model.architecture.transformer.experts.firstDenseLayers",
        ".model.architecture.transformer.experts.shared",
        ".model.architecture.transformer.tiedEmbeddings",
        ".traffic.burstiness",
        ".traffic.itemsPerRequest",
        ".objectives",
        ".placement",
        ".placement.capacityTypes",
        ".placement.maximumTensorParallel",
        ".placement.sharing",
        ".priority",
        ".replicas",
        ".replicas.maximum",
        ".replicas.minimum",
        ".rightSizing",
        ".rightSizing.maximumPaybackHours",
        ".rightSizing.minimumSavingPercent",
        ".rightSizing.mode",
        ".autoscaling",
        ".autoscaling.allowedMissPercent",
        ".autoscaling.mode",
        ".autoscaling.scaleDownStabilizationSeconds",
        ".autoscaling.targetUtilizationPercent",
        ".rollout",
        ".rollout.strategy",
        ".budget.onExceeded",
        ".spot.maximumSharePercent",
        ".spot.onDemandBase",
    }
