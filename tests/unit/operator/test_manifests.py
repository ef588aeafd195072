"""Files become a world; whatever is wrong in them is told with file, line and what to do."""

import io
import json
from pathlib import Path

import pytest

from berth_operator.manifests import InvalidManifests, Manifests, read_manifests
from berth_operator.world import name_of
from berth_operator.yaml_document import read_documents
from kubernetes_objects import claim, pool, workload

RESNET = """\
apiVersion: berthmaster.dev/v1alpha1
kind: InferenceWorkload
metadata: {name: resnet, namespace: vision}
spec:
  model:
    preset: resnet50
    variants: [{precision: fp16, source: {persistentVolumeClaim: {claimName: models}}}]
  traffic: {requestsPerSecond: 200}
  objectives:
    latency:
      p99Milliseconds: 50
"""


def read(directory: Path, **files: str) -> Manifests:
    for name, text in files.items():
        (directory / f"{name}.yaml").write_text(text, encoding="utf-8")
    return read_manifests([directory])


def flaws(directory: Path, text: str) -> list[str]:
    """What is wrong with one file, without the directory's name."""
    with pytest.raises(InvalidManifests) as caught:
        read(directory, bert=text)
    return [str(flaw).removeprefix(f"{directory}/") for flaw in caught.value.flaws]


# --- what is read ------------------------------------------------------------------------------------------------


def test_directories_are_read_through_and_every_kind_finds_its_place(tmp_path: Path) -> None:
    (tmp_path / "deep" / ".hidden").mkdir(parents=True)
    (tmp_path / "deep" / "pool.json").write_text(json.dumps(pool()), encoding="utf-8")
    (tmp_path / "deep" / ".hidden" / "broken.yaml").write_text("{", encoding="utf-8")
    (tmp_path / "deep" / "notes.txt").write_text("{", encoding="utf-8")
    node = "---\napiVersion: v1\nkind: Node\nmetadata: {name: n1}\n"
    found = read(tmp_path, b=f"{RESNET}{node}", a=json.dumps(claim()))
    assert [name_of(thing) for thing in found.world.workloads] == ["resnet"]
    assert [name_of(thing) for thing in found.world.pools] == ["l4"]
    assert [name_of(thing) for thing in found.world.nodes] == ["n1"]
    assert found.world.claims is not None and found.notes == ()


def test_lists_are_opened_and_empty_documents_passed_over(tmp_path: Path) -> None:
    listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": [workload("a"), workload("b")]})
    assert [name_of(thing) for thing in read(tmp_path, a=listed, b="---\n# nothing\n---\n").world.workloads] == [
        "a",
        "b",
    ]


def test_kinds_that_no_plan_depends_on_are_passed_over_with_a_note(tmp_path: Path) -> None:
    secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\n"
    found = read(tmp_path, a=RESNET, b=secret, c="apiVersion: batch/v1\nkind: Job\n")
    assert found.notes[0] == "passed over, no plan depends on it: Job.batch (1), Secret (1)"


def test_without_any_claim_it_is_said_that_artefacts_are_taken_for_granted(tmp_path: Path) -> None:
    found = read(tmp_path, a=RESNET)
    assert found.world.claims is None
    assert found.notes == ("no PersistentVolumeClaim is among the files: artefacts are taken to mount anywhere",)


def test_a_dash_is_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(RESNET))
    assert len(read_manifests([Path("-")]).world.workloads) == 1


def test_a_chart_among_the_files_is_passed_over_with_a_note(tmp_path: Path) -> None:
    (tmp_path / "chart" / "templates").mkdir(parents=True)
    (tmp_path / "chart" / "Chart.yaml").write_text("name: x", encoding="utf-8")
    (tmp_path / "chart" / "templates" / "a.yaml").write_text("{{ .Values }}", encoding="utf-8")
    assert "is a Helm chart, passed over: render it with helm template" in read(tmp_path, a=RESNET).notes[0]


def test_dates_stay_text_merge_keys_are_resolved_and_clock_times_are_no_numbers() -> None:
    text = "base: &b {x: 1, y: 2}\nthing: {<<: *b, y: 3}\nagain: *b\nday: 2026-11-02\ntime: 1:30\nhex: 0x10\n"
    (document,) = read_documents(text, "f")
    assert document.value == {
        "base": {"x": 1, "y": 2},
        "thing": {"x": 1, "y": 3},
        "again": {"x": 1, "y": 2},
        "day": "2026-11-02",
        "time": "1:30",
        "hex": 16,
    }


# --- what is wrong -----------------------------------------------------------------------------------------------


def test_an_unknown_field_names_its_line_and_what_is_known(tmp_path: Path) -> None:
    assert flaws(tmp_path, RESNET.replace("p99Milli", "p101Milli")) == [
        "bert.yaml:11: spec.objectives.latency.p101Milliseconds: unknown field (known: meanMilliseconds,"
        " p50Milliseconds, p90Milliseconds, p95Milliseconds, p99Milliseconds)"
    ]


def test_a_float_is_refused_in_the_words_of_the_api_server(tmp_path: Path) -> None:
    (said,) = flaws(tmp_path, RESNET.replace("200", "0.5"))
    assert said == (
        'bert.yaml:8: spec.traffic.requestsPerSecond: Invalid value: "number": spec.traffic.requestsPerSecond in body'
        ' must be of type integer,string: "number": put it in quotes, "0.5"'
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            RESNET.replace("  traffic:", "  traffic: {}\n  traffic:"),
            "bert.yaml:9: spec.traffic: is there twice, first on line 8",
        ),
        (
            RESNET.replace("{requestsPerSecond: 200}", "{}"),
            "bert.yaml:8: spec.traffic.requestsPerSecond: Required value",
        ),
        (RESNET.replace("name: resnet,", ""), "bert.yaml:3: metadata.name: Required value"),
        (
            RESNET.replace("kind: Inf", "kind: inf"),
            "bert.yaml:2: kind: inferenceWorkload is no kind of",
        ),
        (f"{RESNET}---\n{RESNET}", "bert.yaml:15: metadata.name: InferenceWorkload vision/resnet is there twice"),
        ("- 1\n- 2\n", "bert.yaml:1: is not a Kubernetes object"),
        ("kind: Foo\n", "bert.yaml:1: apiVersion: Required value"),
        ("a: [1\n", "bert.yaml:2: is not YAML: "),
        ("a: {{ .Values.x }}\n", "bert.yaml:1: looks like a Helm template: render it first, with helm template"),
        ("{{- if .Values.x }}\na: 1\n{{- end }}\n", "bert.yaml:1: looks like a Helm template"),
        ("1: a\n", "bert.yaml:1: key 1 must be a string: put it in quotes"),
        ("a: !!python/object:os.system x\n", "bert.yaml:1: a: has tag tag:yaml.org,2002:python/object:os.system"),
        ("a: &x [*x]\n", "bert.yaml:1: a[0]: contains itself"),
        ("[" * 3000, "bert.yaml: is nested too deeply"),
        ('{"kind": "Snapshot", "time": "2026-11-02T00:00:00Z"}', "bert.yaml:1: is a snapshot, no manifest"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, text: str, says: str) -> None:
    assert flaws(tmp_path, text)[0].startswith(says)


def test_aliases_that_unfold_without_end_are_refused(tmp_path: Path) -> None:
    levels = [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    bomb = "\n".join(["a0: &a0 [1, 1]", *levels]) + "\n"
    (said,) = flaws(tmp_path, bomb)
    assert "unfolds to more than 500000 values" in said


def test_everything_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    wrong = RESNET.replace("200", "0.5").replace("p99Milli", "p101Milli").replace("resnet50", "resnet 50!")
    with pytest.raises(InvalidManifests) as caught:
        read(tmp_path, bert=wrong)
    assert len(caught.value.flaws) == 4
    assert "binary.yaml: is not UTF-8" in str(caught.value)


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(InvalidManifests, match="nowhere: no such file or directory"):
        read_manifests([Path("nowhere")])
