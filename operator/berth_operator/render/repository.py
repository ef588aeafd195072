"""The files that Triton reads: an ``emptyDir`` tree into which the artefact and each configuration file are mounted.

    /models/<name>/config.pbtxt      from the revision's ConfigMap
    /models/<name>/1                 the artefact (claim or image volume), read-only
    /models/<name>/1/model.json      engines: from the ConfigMap; the artefact is then at /weights

Every ConfigMap file is mounted by itself: a mounted directory has ``..data`` links in it, which Triton would scan.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from berth_operator.api.v1alpha1 import Source
from berth_operator.quantity import byte_quantity
from berth_operator.render import llm_api, model_config
from berth_operator.render.order import Order
from berth_scheduler.snapshot import Berth

ROOT = "/models"
REPOSITORY, ARTEFACT, CONFIGURATION, SCRATCH, SHARED_MEMORY = (
    "repository",
    "artefact",
    "configuration",
    "scratch",
    "shm",
)

_REPOSITORY_BYTES = 16 * 2**20
"""It holds mount points, and for TensorRT-LLM two source files."""

_PLAIN_SHARED_MEMORY_BYTES = 64 * 2**20
"""What a container has without asking; C++ backends use none of it."""
_ENGINE_SHARED_MEMORY_BYTES = {"vllm": 2**30, "tensorrtllm": 2 * 2**30}
"""Per GPU, for NCCL and the engine's worker processes: --shm-size of both backends' own instructions (2026-08)."""
_ELEMENT_BYTES = {"BOOL": 1, "UINT8": 1, "INT8": 1, "UINT16": 2, "INT16": 2, "FP16": 2, "BF16": 2}
_WIDE_ELEMENT_BYTES = {"UINT32": 4, "INT32": 4, "FP32": 4, "UINT64": 8, "INT64": 8, "FP64": 8, "STRING": 256}


def files(order: Order, berth: Berth) -> dict[str, str]:
    """Configuration files by their path inside the model's directory."""
    config = model_config.text(model_config.model_config(order, berth))
    engine = llm_api.files(order, berth)
    return {"config.pbtxt": config, **{f"{model_config.VERSION}/{name}": body for name, body in engine.items()}}


@dataclass(frozen=True)
class Configuration:
    """Where the files of one berth are: ``keys`` gives the ConfigMap's key of each path."""

    config_map: str
    keys: Mapping[str, str]


def volumes(order: Order, berth: Berth, configuration: Configuration) -> list[dict[str, Any]]:
    return [
        {"name": REPOSITORY, "emptyDir": {"sizeLimit": byte_quantity(_REPOSITORY_BYTES)}},
        {"name": ARTEFACT, **_artefact_volume(order.variant(berth).source)},
        {"name": CONFIGURATION, "configMap": {"name": configuration.config_map, "defaultMode": 0o444}},
        {"name": SCRATCH, "emptyDir": {"sizeLimit": byte_quantity(order.platform.scratch_bytes)}},
        {
            "name": SHARED_MEMORY,
            "emptyDir": {"medium": "Memory", "sizeLimit": byte_quantity(shared_memory_bytes(order, berth))},
        },
    ]


def mounts(order: Order, berth: Berth, configuration: Configuration) -> list[dict[str, Any]]:
    """In the order of their paths: a mount point lies in what was mounted before it."""
    directory = model_directory(order)
    return [
        {"name": SHARED_MEMORY, "mountPath": "/dev/shm"},  # noqa: S108 - the pod's own
        {"name": REPOSITORY, "mountPath": ROOT},
        _artefact_mount(order.variant(berth).source, _artefact_path(order)),
        *(
            {
                "name": CONFIGURATION,
                "mountPath": f"{directory}/{path}",
                "subPath": configuration.keys[path],
                "readOnly": True,
            }
            for path in sorted(configuration.keys)
        ),
        {"name": SCRATCH, "mountPath": "/tmp"},  # noqa: S108 - the pod's own
    ]


def adapter_container(order: Order, image: Mapping[str, Any], security: Mapping[str, Any]) -> dict[str, Any]:
    """TensorRT-LLM: copies the LLM API's adapter out of the image into the version directory; repeatable."""
    directory = model_directory(order)
    target = f"{directory}/{model_config.VERSION}"
    return {
        "name": "adapter",
        **image,
        "command": ["cp", "-RT", order.platform.llm_api_directory, target],
        "securityContext": dict(security),
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "64Mi"}},
        "volumeMounts": [{"name": REPOSITORY, "mountPath": directory, "subPath": order.model_name}],
    }


def model_directory(order: Order) -> str:
    return f"{ROOT}/{order.model_name}"


def shared_memory_bytes(order: Order, berth: Berth) -> int:
    """Size limit of /dev/shm: two batches of every instance, or what the engine's processes share.

    It counts against the memory limit of the pod, so it never asks for more than half of that.
    """
    if order.is_engine:
        wanted = _ENGINE_SHARED_MEMORY_BYTES[order.backend] * berth.tensor_parallel
    else:
        batches = 2 * berth.instances_per_gpu * berth.maximum_batch_size * _item_bytes(order)
        wanted = max(_PLAIN_SHARED_MEMORY_BYTES, batches)
    step = 2**20
    return min(-(-wanted // step), memory_limit_bytes(order) // 2 // step) * step


def memory_limit_bytes(order: Order) -> int:
    limits = order.limits
    return int(limits.memory) if limits and limits.memory else order.planned.resources.memory_bytes


def _item_bytes(order: Order) -> int:
    """Input and output of one item: as declared, or as the model's architecture says; 1 MiB where neither does.

    A size that is not fixed counts as 1024, a string as 256 bytes.
    """
    model = order.workload.spec.model
    if model.inputs and model.outputs:
        return sum(_tensor_bytes(tensor.data_type, tensor.dimensions) for tensor in (*model.inputs, *model.outputs))
    dense = order.planned.model.dense if order.planned.model else None
    if dense and dense.input_bytes_per_inference and dense.output_bytes_per_inference:
        return int(dense.input_bytes_per_inference + dense.output_bytes_per_inference)
    return 2**20


def _tensor_bytes(data_type: str, dimensions: tuple[int, ...]) -> int:
    size = (_ELEMENT_BYTES | _WIDE_ELEMENT_BYTES)[data_type]
    for dimension in dimensions:
        size *= dimension if dimension > 0 else 1024
    return size


# --- the artefact ------------------------------------------------------------------------------------------------


def _artefact_path(order: Order) -> str:
    return llm_api.WEIGHTS if order.is_engine else f"{model_directory(order)}/{model_config.VERSION}"


def _artefact_volume(source: Source) -> dict[str, Any]:
    if source.persistent_volume_claim is not None:
        return {"persistentVolumeClaim": {"claimName": source.persistent_volume_claim.claim_name, "readOnly": True}}
    assert source.image is not None, "the API admits exactly one of the two"
    image = {"reference": source.image.reference}
    return {"image": image | ({"pullPolicy": source.image.pull_policy} if source.image.pull_policy else {})}


def _artefact_mount(source: Source, path: str) -> dict[str, Any]:
    stated = source.persistent_volume_claim or source.image
    assert stated is not None, "the API admits exactly one of the two"
    mount = {"name": ARTEFACT, "mountPath": path, "readOnly": True}
    sub_path = (stated.path or "").strip("/")
    return mount | ({"subPath": sub_path} if sub_path not in ("", ".") else {})
