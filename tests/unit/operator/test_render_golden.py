"""The rendered stories as a person reads them. ``UPDATE_GOLDEN=1`` writes them anew."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

import render_stories


@pytest.mark.parametrize("name", render_stories.NAMES)
def test_a_story_renders_as_agreed(name: str) -> None:
    rendered = render_stories.dump(render_stories.story(name).render())
    golden = render_stories.GOLDEN / name / "objects.yaml"
    if render_stories.UPDATE:
        golden.write_text(rendered)
    assert rendered == golden.read_text()


@pytest.mark.parametrize("name", render_stories.NAMES)
def test_a_rendered_configuration_is_what_the_newest_client_can_parse(name: str) -> None:
    data = render_stories.story(name).render().config["data"]
    config = text_format.Parse(data["config.pbtxt"], pb.ModelConfig())
    assert config.name == render_stories.story(name).workload.model_name


@pytest.mark.parametrize("name", render_stories.NAMES)
def test_no_object_states_replicas_and_each_deployment_has_a_count(name: str) -> None:
    rendered = render_stories.story(name).render()
    assert all("replicas" not in each["spec"] for each in rendered.deployments)
    assert set(rendered.replicas) == {each["metadata"]["name"] for each in rendered.deployments}
    assert list(rendered.replicas.values()) == [berth.replicas for berth in render_stories.story(name).decision.berths]


@pytest.mark.parametrize("name", render_stories.NAMES)
def test_every_object_is_labelled_owned_and_in_its_workloads_namespace(name: str) -> None:
    workload = render_stories.story(name).workload
    for document in render_stories.story(name).render().objects:
        metadata = document["metadata"]
        assert metadata["namespace"] == workload.metadata.namespace
        assert metadata["labels"]["berthmaster.dev/workload"] == workload.metadata.name
        assert metadata["labels"]["app.kubernetes.io/managed-by"] == "berthmaster"
        owners = [(each["uid"], each["controller"]) for each in metadata.get("ownerReferences", [])]
        assert owners == ([(workload.metadata.uid, True)] if workload.metadata.uid else [])


def test_the_same_input_gives_the_same_bytes_whatever_the_hash_seed() -> None:
    script = "import render_stories as r; print(*(r.dump(r.story(name).render()) for name in r.NAMES))"
    harness = str(Path(render_stories.__file__).parent)

    def output(seed: str) -> bytes:
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": harness}
        return subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, check=True).stdout

    assert output("1") == output("2")


def test_dumped_documents_are_the_objects() -> None:
    rendered = render_stories.story("search-bert").render()
    assert list(yaml.safe_load_all(render_stories.dump(rendered))) == list(rendered.objects)
