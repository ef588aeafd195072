"""Replicas that somebody else sets, through the workload's scale subresource: kubectl, an HPA, KEDA."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import cache
import keda
import operator_stories
from cluster import LocalCluster
from kube_api import Object
from operator_process import OperatorProcess
from operator_stories import QUICK, Story

SCALING = cache.REPOSITORY / "docs" / "how-to" / "scaling"
SCALE = "/apis/berthmaster.dev/v1alpha1/namespaces/{}/inferenceworkloads/{}/scale"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    with operator_stories.played_cluster(tmp_path_factory.mktemp("scaling")) as local:
        operator_stories.install(local.api)
        with OperatorProcess(local.kubeconfig, QUICK, local.state / "operators", name="leader"):
            yield local


@pytest.fixture
def story(fleet: LocalCluster) -> Iterator[Story]:
    story = Story(fleet.api)
    yield story
    story.leave()


def pods(story: Story) -> int:
    found = story.items("pods")
    return sum("deletionTimestamp" not in pod["metadata"] for pod in found)


def test_kubectl_scale_sets_the_replicas_of_a_workload_in_mode_external(fleet: LocalCluster, story: Story) -> None:
    story.apply(autoscaling={"mode": "External"}, replicas={"desired": 1})
    fleet.wait_until(story.settled, what="resnet is ready")
    for count in (3, 1):
        fleet.run("kubectl", "-n", story.namespace, "scale", "iw/resnet", f"--replicas={count}")
        fleet.wait_until(lambda count=count: pods(story) == count and story.settled(), what=f"{count} replicas")
        assert story.get()["status"]["replicas"] == count
    scale: Object = fleet.api.get(SCALE.format(story.namespace, "resnet"))
    assert (scale["spec"]["replicas"], scale["status"]["replicas"]) == (1, 1)
    assert scale["status"]["selector"] == story.get()["status"]["selector"]
    assert story.condition("Autoscaling") == ("True", "External")


@pytest.mark.parametrize("count", [0, 1001])
def test_a_count_that_cannot_be_is_refused(fleet: LocalCluster, story: Story, count: int) -> None:
    story.apply(autoscaling={"mode": "External"}, replicas={"desired": 1})
    with pytest.raises(subprocess.CalledProcessError) as refused:
        fleet.run("kubectl", "-n", story.namespace, "scale", "iw/resnet", f"--replicas={count}")
    assert "spec.replicas.desired" in refused.value.stderr


def test_in_other_modes_kubectl_scale_is_refused_and_says_why(fleet: LocalCluster, story: Story) -> None:
    story.apply()
    with pytest.raises(subprocess.CalledProcessError) as refused:
        fleet.run("kubectl", "-n", story.namespace, "scale", "iw/resnet", "--replicas=3")
    assert "replicas.desired and autoscaling.mode External go together" in refused.value.stderr


def test_the_maximum_of_the_spec_holds_for_others_too(fleet: LocalCluster, story: Story) -> None:
    story.apply(autoscaling={"mode": "External"}, replicas={"desired": 9, "maximum": 2})
    fleet.wait_until(story.settled, what="resnet is ready")
    assert pods(story) == 2


def test_the_examples_of_an_hpa_and_of_keda_target_the_scale_subresource(fleet: LocalCluster, story: Story) -> None:
    keda.install(fleet.api)
    texts = {name: placed(SCALING / f"{name}.yaml", story) for name in ("resnet-external", "hpa", "keda")}
    file = fleet.state / "scaling.yaml"
    file.write_text("\n---\n".join(texts.values()))
    fleet.run("kubectl", "apply", "-f", str(file))
    path = f"/apis/autoscaling/v2/namespaces/{story.namespace}/horizontalpodautoscalers/resnet-external"

    def able() -> bool:
        found = fleet.api.get(path).get("status", {}).get("conditions") or ()
        return any((each["type"], each["status"]) == ("AbleToScale", "True") for each in found)

    fleet.wait_until(able, timeout_seconds=60, what="the HPA gets the scale of the workload")
    assert fleet.api.get(path)["status"]["currentReplicas"] == 2


def placed(file: Path, story: Story) -> str:
    return file.read_text().replace("namespace: vision", f"namespace: {story.namespace}")
