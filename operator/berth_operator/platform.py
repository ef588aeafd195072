"""What the platform sets for every rendered workload, and a workload cannot: images, times, security, network peers.

Each field says what it trades. The Helm values fill it under ``settings.platform``.
"""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from berth_cost.record import Record
from berth_scheduler.snapshot import CapacityType, Toleration

Backend = Literal["onnxruntime", "tensorrt", "pytorch", "python", "vllm", "tensorrtllm"]

Seconds = Annotated[int, Field(ge=1, le=86_400)]
Bytes = Annotated[int, Field(ge=1)]

OLDEST_RELEASE = "24.10"
_RELEASE = re.compile(r"^2[0-9]\.(0[1-9]|1[0-2])$")
_RELEASE_IN_TAG = re.compile(r":(2[0-9]\.(?:0[1-9]|1[0-2]))(?:[.-]|$|@)")


class TritonImage(Record):
    """A container image with Triton in it."""

    reference: Annotated[str, Field(min_length=1, max_length=512, pattern=r"^[^\s]+$")]
    """Repository with tag or digest. A digest keeps every node on the same bytes; a tag is easier to read."""

    release: str = ""
    """Triton's container release, as ``26.07``; by default the one in the tag. Fields of ``config.pbtxt`` that this
    release cannot parse are not rendered: a release stated too high makes the server refuse its configuration, one
    stated too low gives up what newer ones can do."""

    @model_validator(mode="before")
    @classmethod
    def _release_from_tag(cls, data: Any) -> Any:
        if isinstance(data, dict) and not data.get("release"):
            found = _RELEASE_IN_TAG.search(str(data.get("reference", "")))
            return data | ({"release": found[1]} if found else {})
        return data

    @model_validator(mode="after")
    def _release_is_known(self) -> Self:
        if not _RELEASE.match(self.release):
            raise ValueError(
                f'the Triton release of {self.reference} is not in its tag: state release, as in release: "26.07"'
            )
        if self.release < OLDEST_RELEASE:
            raise ValueError(f"Triton {self.release} of {self.reference} is too old: use {OLDEST_RELEASE} or newer")
        return self


def _official(variant: str) -> TritonImage:
    """NVIDIA's image of the release that the constants of this project were checked against (2026-08)."""
    return TritonImage(reference=f"nvcr.io/nvidia/tritonserver:26.07-{variant}")


class Images(Record):
    """The image of each backend. vLLM and TensorRT-LLM are not in the plain image, and theirs are 10 to 14 GB."""

    onnxruntime: TritonImage = _official("py3")
    tensorrt: TritonImage = _official("py3")
    pytorch: TritonImage = _official("py3")
    python: TritonImage = _official("py3")
    vllm: TritonImage = _official("vllm-python-py3")
    tensorrtllm: TritonImage = _official("trtllm-python-py3")

    def of(self, backend: str) -> TritonImage:
        image: TritonImage = getattr(self, backend)
        return image


class Peer(Record):
    """Pods by their labels in namespaces by theirs. No namespace labels: the workload's own namespace."""

    namespace_labels: dict[str, str] | None = None
    """``{}`` is every namespace."""
    pod_labels: dict[str, str] = {}
    """``{}`` is every pod."""


class Platform(Record):
    """Defaults are those of a cluster that we know nothing about."""

    images: Images = Images()

    image_pull_policy: Literal["IfNotPresent", "Always", "Never"] = "IfNotPresent"
    """``Always`` asks the registry at every start, which a digest makes pointless and a registry outage makes fatal."""

    image_pull_secrets: tuple[str, ...] = ()
    """Names of Secrets in each workload's namespace, beside those that a workload names itself."""

    # --- starting ---

    load_bytes_per_second: Annotated[int, Field(ge=1_000_000)] = 200_000_000
    """How fast weights come from their volume, at the worst. Too high, and the startup probe kills a pod that was
    still loading; too low, and a pod that hangs is noticed late."""

    startup_base_seconds: Seconds = 300
    """Server start, CUDA initialisation, compilation and graph capture, before and after the weights are read."""

    startup_seconds_of_unknown_weights: Seconds = 1800
    """The whole startup budget of a model whose number of parameters nobody stated."""

    tensorrt_build_seconds: Seconds = 900
    """Added where ONNX Runtime builds TensorRT engines at the start: 205 to 750 s were reported (server#6014)."""

    tensorrt_for_int8: bool = True
    """Give int8 ONNX models with declared inputs of fixed shape to TensorRT inside ONNX Runtime. The CUDA provider
    computes most quantised operators in floating point, so int8 brings nothing there; TensorRT builds engines at every
    start of a pod, which takes minutes."""

    # --- stopping ---

    drain_seconds: Seconds = 10
    """Between leaving the Service and SIGTERM, which closes Triton's listeners at once: as long as load balancers and
    clients need to notice. Too short refuses connections, too long slows every scale-down and every move."""

    exit_timeout_seconds: Seconds = 30
    """How long requests in flight may take to finish after SIGTERM."""

    maximum_exit_timeout_seconds: Seconds = 300
    """Of a language model, whose longest answer may take longer than ``exit_timeout_seconds``: at most this."""

    unload_seconds: Seconds = 5
    """For Triton to unload its models when the last request is done."""

    grace_cap_seconds: dict[CapacityType, Annotated[int, Field(ge=5, le=86_400)]] = {CapacityType.SPOT: 25}
    """The longest grace period by capacity type. A reclaimed spot node gives 15 s (GKE), 30 s (AKS) or 120 s (AWS) in
    all; what does not fit is killed with its requests. Draining and finishing share what is left in proportion."""

    # --- running ---

    gpu_memory_utilization: Annotated[float, Field(gt=0, lt=1)] = 0.9
    """Share of GPU memory that a language model's engine takes for weights and cache. More cache serves more requests
    at once; the rest is for what the engine does not count: the CUDA context, graphs, fragmentation."""

    scratch_bytes: Bytes = 10 * 2**30
    """Limit of /tmp, the only writable place of a pod: compiled kernels, engines, unpacked environments. A pod that
    writes more is evicted."""

    restricted_api_header: Annotated[str, Field(pattern=r"^[a-z][-a-z0-9]{0,62}$")] | None = "berthmaster-pod"
    """Shared memory, logging, tracing and the model repository answer only to requests that carry this header with the
    pod's uid, which only readers of pods know: they let a client map memory, write files or swap code. None leaves
    them open to all who reach the port."""

    grpc_connection_seconds: Seconds = 4
    """After how long a gRPC channel is asked to reconnect (give or take a tenth), requests in flight aside. A Service
    keeps a channel on the pod that it found first; Triton answers on it until its models are unloaded, and then with
    errors. Shorter than any pod drains, spot included, no channel is left when a pod stops, and new replicas get their
    share at once, for the price of a handshake; longer loses requests of clients that do not retry."""

    log_format: Literal["ISO8601", "default"] = "ISO8601"

    llm_api_directory: Annotated[str, Field(pattern=r"^/[-A-Za-z0-9_./]+$")] = "/app/all_models/llmapi/tensorrt_llm/1"
    """Where the TensorRT-LLM image keeps Triton's adapter for the LLM API (model.py, helpers.py). Images without it
    need one line of Dockerfile that copies ``triton_backend/all_models`` of the TensorRT-LLM release they hold."""

    # --- where ---

    lost_node_seconds: Seconds = 60
    """How long a pod stays bound to a node that does not answer. Kubernetes' default of 300 s leaves capacity missing
    that long; a short one starts replacements for nodes that were only slow."""

    extra_tolerations: tuple[Toleration, ...] = ()
    """For every workload, beside those of its pools."""

    # --- network and metrics ---

    network_policies: bool = True
    """False where a mesh or another policy engine is in charge."""

    inference_from: tuple[Peer, ...] = (Peer(),)
    """Who may send requests (8000, 8001): by default the pods of the workload's own namespace."""

    metrics_from: tuple[Peer, ...] = (Peer(namespace_labels={"kubernetes.io/metadata.name": "monitoring"}),)
    """Who may scrape metrics (8002)."""

    open_egress: bool = False
    """Artefacts hold code (python models, remote code of language models), so serving pods may not open connections.
    Open it where models call other services."""

    metrics_interval_seconds: Seconds = 15
