"""What is rendered, loaded by the real Triton server (2.51, CPU): KIND_GPU becomes KIND_CPU, nothing else changes.

Configurations newer than that server are held by the protobuf of the newer client: tests/unit/operator/test_render.py.
"""

import contextlib
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton
from google.protobuf import json_format, text_format
from tritonclient.grpc import model_config_pb2 as pb

import bare_triton
import onnx_network
import render_stories
import sandbox
import triton_server

READY_WITHIN_SECONDS = 60
POD_UID = "0f0e0d0c-1111-4222-8333-444455556666"


SLOW_MODEL = """
import time

class TritonPythonModel:
    def initialize(self, args):
        time.sleep(60)

    def execute(self, requests):
        return []
"""

ECHO_MODEL = """
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    @staticmethod
    def auto_complete_config(config):
        config.add_input({"name": "text", "data_type": "TYPE_FP32", "dims": [2]})
        config.add_output({"name": "score", "data_type": "TYPE_FP32", "dims": [2]})
        return config

    def execute(self, requests):
        tensors = [pb_utils.get_input_tensor_by_name(request, "text") for request in requests]
        return [pb_utils.InferenceResponse([pb_utils.Tensor("score", tensor.as_numpy())]) for tensor in tensors]
"""


@pytest.fixture(scope="module")
def server() -> triton_server.TritonServer:
    try:
        return triton_server.installed()
    except triton_server.Unavailable as reason:
        pytest.skip(str(reason))


def on_release_of_server(name: str) -> render_stories.Story:
    return render_stories.story(name).with_platform(**triton_server.PLATFORM)


@dataclasses.dataclass(frozen=True)
class Running:
    """A server that runs the pod of one story."""

    process: subprocess.Popen[bytes]
    http: str
    grpc: str
    log: Path

    def status(self, path: str, headers: dict[str, str] | None = None, body: bytes | None = None) -> int:
        request = urllib.request.Request(f"http://{self.http}{path}", headers=headers or {}, data=body)
        try:
            with urllib.request.urlopen(request, timeout=5) as reply:
                return int(reply.status)
        except urllib.error.HTTPError as refusal:
            return refusal.code
        except OSError:
            return 0

    def wait_ready(self, path: str) -> None:
        deadline = time.monotonic() + READY_WITHIN_SECONDS
        while self.status(path) != 200:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"{path} did not become ready:\n{self.log.read_text(errors='replace')[-4000:]}")
            time.sleep(0.1)


def laid_out(pod: dict[str, Any], data: dict[str, str], artefact: Path, root: Path) -> None:
    """The container's mounts as files below ``root``: what a kubelet does, with KIND_GPU swapped."""
    for mount in pod["containers"][0]["volumeMounts"]:
        target = root / mount["mountPath"].lstrip("/")
        if mount["name"] == "artefact":
            shutil.copytree(artefact, target, dirs_exist_ok=True)
        elif mount["name"] == "configuration":
            target.parent.mkdir(parents=True, exist_ok=True)
            body = data[mount["subPath"]].replace("KIND_GPU", "KIND_CPU").replace("/weights", f"{root}/weights")
            target.write_text(body)
        else:
            target.mkdir(parents=True, exist_ok=True)
    for container in pod.get("initContainers", []):
        assert container["command"][:3] == ["cp", "-RT", "/app/all_models/llmapi/tensorrt_llm/1"]
        target = root / container["command"][3].lstrip("/")
        shutil.copytree(triton_server.STAND_INS / "tensorrtllm", target, dirs_exist_ok=True)


@contextlib.contextmanager
def running(
    server: triton_server.TritonServer,
    story: render_stories.Story,
    artefact: Path,
    root: Path,
    *,
    edit: Callable[[str], str] = str,
    within: Sequence[str] = (),
) -> Iterator[Running]:
    """The story's first pod; ``edit`` changes each of its configuration files, ``within`` is a command to run it in."""
    rendered = story.render()
    pod = rendered.deployments[0]["spec"]["template"]["spec"]
    laid_out(pod, {key: edit(body) for key, body in rendered.config["data"].items()}, artefact, root)
    arguments = [
        argument.replace("$(POD_UID)", POD_UID).replace("--model-repository=", f"--model-repository={root}")
        for argument in pod["containers"][0]["args"][1:]
    ]
    environment = {each["name"]: each["value"] for each in pod["containers"][0]["env"] if "value" in each}
    log = root / "server.log"
    with bare_triton.started(server, arguments, log, environment=environment, within=within) as (process, addresses):
        yield Running(process, addresses["http"], addresses["grpc"], log)


def artefact_of(backend: str, folder: Path) -> Path:
    """What a user has on the claim or in the image."""
    folder.mkdir(parents=True)
    match backend:
        case "tensorrt":
            bindings = {
                "inputs": [{"name": "image", "data_type": "TYPE_FP32", "dims": [3, 8, 8]}],
                "outputs": [{"name": "boxes", "data_type": "TYPE_FP32", "dims": [10, 4]}],
            }
            (folder / "model.plan").write_text(json.dumps(bindings))
        case "pytorch":
            (folder / "model.pt").write_bytes(b"torch")
        case "python":
            (folder / "model.py").write_text(ECHO_MODEL)
        case "vllm" | "tensorrtllm":
            (folder / "config.json").write_text(json.dumps({"max_position_embeddings": 131072}))
    return folder


def onnx_artefact(story: render_stories.Story, folder: Path) -> Path:
    folder.mkdir(parents=True)
    model = story.workload.spec.model
    inputs = [tensor.name for tensor in model.inputs or ()] or ["input"]
    outputs = [tensor.name for tensor in model.outputs or ()] or ["output"]
    size, kind = (model.inputs[0].dimensions[0], onnx_network.INT64) if model.inputs else (4, onnx_network.FLOAT)
    (folder / "model.onnx").write_bytes(onnx_network.sum_of_inputs(inputs, outputs, size, kind))
    return folder


def expected_config(story: render_stories.Story) -> Any:
    """The rendered configuration with the kind swapped."""
    text = story.render().config["data"]["config.pbtxt"].replace("KIND_GPU", "KIND_CPU")
    return text_format.Parse(text, pb.ModelConfig())


def assert_contains(whole: Any, part: Any, path: str = "config") -> None:
    """Every stated field of ``part`` is in ``whole``; a list of messages is compared item by item."""
    if isinstance(part, dict):
        for key, value in part.items():
            assert key in whole, f"{path}.{key} is missing"
            assert_contains(whole[key], value, f"{path}.{key}")
    elif isinstance(part, list):
        assert len(whole) >= len(part), path
        for i, value in enumerate(part):
            assert_contains(whole[i], value, f"{path}[{i}]")
    else:
        assert whole == part, path


@pytest.mark.parametrize("name", render_stories.NAMES)
def test_a_rendered_pod_becomes_ready_and_has_the_configuration_it_was_given(
    name: str, server: triton_server.TritonServer, tmp_path: Path
) -> None:
    story = on_release_of_server(name)
    backend = story.planned.backend
    artefact = tmp_path / "artefact"
    artefact = onnx_artefact(story, artefact) if backend == "onnxruntime" else artefact_of(backend, artefact)
    with running(server, story, artefact, tmp_path / "root") as pod:
        pod.wait_ready(f"/v2/models/{story.workload.model_name}/ready")
        with triton.InferenceServerClient(pod.grpc) as client:
            loaded = client.get_model_config(story.workload.model_name).config
    assert_contains(
        json_format.MessageToDict(loaded, preserving_proto_field_name=True),
        json_format.MessageToDict(expected_config(story), preserving_proto_field_name=True),
    )


def test_a_real_network_answers_through_the_rendered_batcher(
    server: triton_server.TritonServer, tmp_path: Path
) -> None:
    story = on_release_of_server("vision-resnet").with_berths(maximum_queue_delay_microseconds=200_000)
    story = story.with_planned(latency=())
    with running(server, story, onnx_artefact(story, tmp_path / "artefact"), tmp_path / "root") as pod:
        pod.wait_ready("/v2/models/resnet/ready")
        with triton.InferenceServerClient(pod.grpc) as client:
            rows = [np.full((1, 4), i, dtype=np.float32) for i in range(8)]
            answers = infer_together(client, "resnet", rows)
            statistics = client.get_inference_statistics("resnet").model_stats[0]
    for row, answer in zip(rows, answers, strict=True):
        np.testing.assert_array_equal(answer, row)
    assert statistics.inference_count == 8
    assert statistics.execution_count < 8, "requests that waited together were not computed together"


def tensor(name: str, value: Any, kind: str) -> triton.InferInput:
    tensor = triton.InferInput(name, list(value.shape), kind)
    tensor.set_data_from_numpy(value)
    return tensor


def infer_together(client: triton.InferenceServerClient, model: str, rows: list[Any]) -> list[Any]:
    """The answers to ``rows``, sent at once."""
    answers: dict[int, Any] = {}

    def keep(i: int) -> Any:
        def callback(result: Any, error: Exception | None) -> None:
            answers[i] = error or result.as_numpy("output")

        return callback

    for i, row in enumerate(rows):
        client.async_infer(model, [tensor("input", row, "FP32")], callback=keep(i))
    deadline = time.monotonic() + 20
    while len(answers) < len(rows) and time.monotonic() < deadline:
        time.sleep(0.01)
    return [answers[i] for i in range(len(rows))]


def test_only_who_knows_the_pods_uid_reaches_the_dangerous_apis(
    server: triton_server.TritonServer, tmp_path: Path
) -> None:
    story = on_release_of_server("search-reranker").with_platform(restricted_api_header="berthmaster-pod")
    with running(server, story, artefact_of("python", tmp_path / "artefact"), tmp_path / "root") as pod:
        pod.wait_ready("/v2/models/reranker/ready")
        closed = {"/v2/repository/index": b"{}", "/v2/systemsharedmemory/status": None, "/v2/logging": None}
        assert {path: pod.status(path, body=body) for path, body in closed.items()} == dict.fromkeys(closed, 403)
        knows = {"berthmaster-pod": POD_UID}
        assert {path: pod.status(path, knows, body) for path, body in closed.items()} == dict.fromkeys(closed, 200)
        assert pod.status("/v2/health/live") == 200
        assert pod.status("/v2/models/reranker/stats") == 200


@pytest.mark.parametrize("shared_processes", [True, False])
def test_a_termination_signal_while_loading_ends_a_server_that_is_not_process_one(
    shared_processes: bool, server: triton_server.TritonServer, tmp_path: Path
) -> None:
    """Why pods share their process namespace: as process 1 the server loses the signal and goes on loading."""
    story = on_release_of_server("search-reranker")
    assert story.render().deployments[0]["spec"]["template"]["spec"]["shareProcessNamespace"] is True
    artefact = tmp_path / "artefact"
    artefact.mkdir()
    (artefact / "model.py").write_text(SLOW_MODEL)
    with running(server, story, artefact, tmp_path / "root", within=own_processes(server, shared_processes)) as pod:
        loading = first_with_name(pod.process, "tritonserver")
        time.sleep(3)
        os.kill(loading, signal.SIGTERM)
        try:
            pod.process.wait(timeout=5)
            ended = True
        except subprocess.TimeoutExpired:
            ended = False
            os.kill(loading, signal.SIGKILL)
    assert ended == shared_processes


def own_processes(server: triton_server.TritonServer, shared: bool) -> list[str]:
    """A process namespace, in which the server is process 1 unless the pod shares one with a pause container."""
    try:
        program, environment = sandbox.bubblewrap()
    except sandbox.Unavailable as reason:
        pytest.skip(str(reason))
    own = f"LD_LIBRARY_PATH={environment.get('LD_LIBRARY_PATH', '')}"
    flags = ["--unshare-user", "--unshare-pid", "--die-with-parent", "--bind", "/", "/", "--proc", "/proc"]
    flags += ["--setenv", "LD_LIBRARY_PATH", ":".join(map(str, server.libraries))]
    return ["env", own, program, *flags, *([] if shared else ["--as-pid-1"]), "--"]


def first_with_name(process: subprocess.Popen[bytes], name: str) -> int:
    """The id of the first process of that name among ``process`` and its descendants."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        waiting = [process.pid]
        while waiting:
            current = waiting.pop(0)
            with contextlib.suppress(OSError):
                if Path(f"/proc/{current}/comm").read_text().strip() == name:
                    return current
                waiting += map(int, Path(f"/proc/{current}/task/{current}/children").read_text().split())
        time.sleep(0.05)
    raise AssertionError(f"no {name} among the processes of {process.args!r}")


def test_a_model_whose_file_is_missing_ends_the_server_instead_of_leaving_it_ready(
    server: triton_server.TritonServer, tmp_path: Path
) -> None:
    story = on_release_of_server("vision-resnet")
    empty = tmp_path / "artefact"
    empty.mkdir()
    with running(server, story, empty, tmp_path / "root") as pod:
        assert pod.process.wait(timeout=30) != 0
        assert "model.onnx" in pod.log.read_text(errors="replace")


def test_an_engine_refuses_a_key_that_it_does_not_know(server: triton_server.TritonServer, tmp_path: Path) -> None:
    """So that a wrong key in what is rendered could not stay unnoticed by the tests above."""
    story, artefact = on_release_of_server("chat-llama8b"), artefact_of("vllm", tmp_path / "artefact")

    def misspelt(body: str) -> str:
        return body.replace('"dtype"', '"data_type"')

    with running(server, story, artefact, tmp_path / "root", edit=misspelt) as pod:
        assert pod.process.wait(timeout=30) != 0
        assert "unexpected keyword arguments: data_type" in pod.log.read_text(errors="replace")


@pytest.mark.parametrize("name", ["chat-llama8b", "chat-llama70b"])
def test_a_language_model_answers_at_once_or_token_by_token(
    name: str, server: triton_server.TritonServer, tmp_path: Path
) -> None:
    story = on_release_of_server(name)
    artefact = artefact_of(story.planned.backend, tmp_path / "artefact")
    model = story.workload.model_name
    stream = "stream" if story.planned.backend == "vllm" else "streaming"
    with running(server, story, artefact, tmp_path / "root") as pod:
        pod.wait_ready(f"/v2/models/{model}/ready")
        whole = generate(pod, model, {"text_input": "the quick brown fox"})
        parts = generate(pod, model, {"text_input": "the quick brown fox", stream: True})
    assert len(whole) == 1
    assert len(parts) == 16
    assert whole[0].endswith("".join(parts))


def generate(pod: Running, model: str, request: dict[str, Any]) -> list[str]:
    """The text of each response of Triton's generate extension."""
    headers = {"Content-Type": "application/json"}
    url = f"http://{pod.http}/v2/models/{model}/generate_stream"
    with urllib.request.urlopen(
        urllib.request.Request(url, json.dumps(request).encode(), headers), timeout=20
    ) as reply:
        lines = reply.read().decode().splitlines()
    return [json.loads(line.removeprefix("data: "))["text_output"] for line in lines if line.startswith("data: ")]
