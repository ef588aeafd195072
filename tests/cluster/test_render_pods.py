"""Rendered pods run: scheduled by the real scheduler, started by the process kubelet, real Triton in each."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton

import namespaces
import onnx_network
import render_stories
import rendered_pods
import sandbox
import triton_server
from cluster import LocalCluster
from rendered_pods import apply, claim, on_nodes, wait_ready


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    try:
        sandbox.bubblewrap()
        triton_server.installed()
    except (sandbox.Unavailable, triton_server.Unavailable) as reason:
        pytest.skip(f"no real pods on this machine: {reason}")
    with LocalCluster(tmp_path_factory.mktemp("cluster"), [(rendered_pods.L4, 1), (rendered_pods.H100, 1)]) as local:
        yield local


def assert_real(pods: list[dict[str, Any]]) -> None:
    for pod in pods:
        for status in pod["status"]["containerStatuses"]:
            assert not status["imageID"].startswith("simulated"), status["imageID"]


def test_both_berths_of_a_revision_serve_behind_one_service(cluster: LocalCluster) -> None:
    namespace = namespaces.fresh(cluster.api)
    story = on_nodes(render_stories.story("vision-resnet"), "l4", namespace).with_berths(replicas=1)
    folder = cluster.components.claim_folder(namespace, "models") / "resnet50" / "fp16"
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(onnx_network.sum_of_inputs(["input"], ["output"], 4))
    claim(cluster, namespace, "models")
    rendered = story.render()
    apply(cluster, rendered)
    pods = wait_ready(cluster, rendered)
    assert_real(pods)
    assert {pod["metadata"]["labels"]["berthmaster.dev/capacity-type"] for pod in pods} == {"OnDemand", "Spot"}

    cluster.wait_until(lambda: len(cluster.components.endpoints(namespace, "resnet", "grpc")) == 2)
    host, port = cluster.components.address(namespace, "resnet", "grpc")
    row = np.array([[1, 2, 3, 4]], dtype=np.float32)
    given = triton.InferInput("input", [1, 4], "FP32")
    given.set_data_from_numpy(row)
    for _ in range(4):  # a connection each, so both pods get some
        with triton.InferenceServerClient(f"{host}:{port}") as client:
            np.testing.assert_array_equal(client.infer("resnet", [given]).as_numpy("output"), row)


def test_tensorrt_llm_takes_its_adapter_out_of_the_image_and_its_weights_from_an_image_volume(
    cluster: LocalCluster, tmp_path: Path
) -> None:
    namespace = namespaces.fresh(cluster.api)
    story = on_nodes(render_stories.story("chat-llama70b"), "h100", namespace)
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "config.json").write_text("{}")
    tmp_path.chmod(0o755)
    cluster.components.volumes.images["registry.example.com/weights/llama-70b:fp8"] = tmp_path
    rendered = story.render()
    apply(cluster, rendered)
    assert_real(wait_ready(cluster, rendered))
