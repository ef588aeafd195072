# The generated protobuf module makes its classes at import, where no type checker sees them.
# pyright: reportAttributeAccessIssue=false
"""What language-model engines read beside ``config.pbtxt``: vLLM's ``model.json``, TensorRT-LLM's ``model.yaml``.

Both are keyword arguments of the engine's constructor, and an unknown key fails the load: only keys that every
supported release has are written. vLLM: ``AsyncEngineArgs`` (0.6 to 0.24); TensorRT-LLM: ``LLM()`` of the PyTorch
backend with ``triton_config`` beside it, as in triton_backend/all_models/llmapi (2026-07).

``quantization`` is never written: a quantised artefact says in its own configuration how it was quantised, and vLLM
refuses a stated method that differs (compressed-tensors against fp8, say).
"""

import json
from typing import Any

import yaml
from tritonclient.grpc import model_config_pb2 as pb

from berth_operator.render.order import Order
from berth_scheduler.snapshot import Berth

WEIGHTS = "/weights"
"""Where the artefact of an engine is mounted, beside the model repository."""

DATA_TYPES = {"fp32": "float32", "tf32": "float32", "fp16": "float16", "bf16": "bfloat16"}
"""Of weights that are not quantised; the others compute in the type that their artefact names."""


def files(order: Order, berth: Berth) -> dict[str, str]:
    """The engine's file by its name in the version directory; none for backends that are no engines."""
    match order.backend:
        case "vllm":
            return {"model.json": json.dumps(vllm_arguments(order, berth), indent=2, sort_keys=True) + "\n"}
        case "tensorrtllm":
            return {"model.yaml": yaml.safe_dump(tensorrt_llm_arguments(order, berth), sort_keys=True)}
    return {}


def vllm_arguments(order: Order, berth: Berth) -> dict[str, Any]:
    """Keyword arguments of ``AsyncEngineArgs``."""
    arguments: dict[str, Any] = {
        "model": WEIGHTS,
        "served_model_name": order.model_name,
        "dtype": DATA_TYPES.get(berth.precision, "auto"),
        "tensor_parallel_size": berth.tensor_parallel,
        "pipeline_parallel_size": 1,
        "gpu_memory_utilization": _memory_share(order, berth),
        "max_num_seqs": berth.maximum_batch_size,
        "enable_prefix_caching": True,
        "enforce_eager": False,
        "trust_remote_code": False,
        "disable_log_stats": False,  # without statistics there are no metrics
    }
    if (context := order.context_tokens()) is not None:
        arguments["max_model_len"] = context
    return arguments


def tensorrt_llm_arguments(order: Order, berth: Berth) -> dict[str, Any]:
    """Keyword arguments of ``LLM()``, and what Triton's adapter reads from the same file."""
    arguments: dict[str, Any] = {
        "model": WEIGHTS,
        "backend": "pytorch",
        "dtype": DATA_TYPES.get(berth.precision, "auto"),
        "tensor_parallel_size": berth.tensor_parallel,
        "pipeline_parallel_size": 1,
        "max_batch_size": berth.maximum_batch_size,
        "trust_remote_code": False,
        "kv_cache_config": {"enable_block_reuse": True, "free_gpu_memory_fraction": _memory_share(order, berth)},
        "triton_config": {"max_batch_size": 0, "decoupled": True},  # streaming needs decoupled answers
    }
    if (context := order.context_tokens()) is not None:
        arguments["max_seq_len"] = context
    return arguments


def _memory_share(order: Order, berth: Berth) -> float:
    """Engines that share a GPU share its memory."""
    return round(order.platform.gpu_memory_utilization / berth.instances_per_gpu, 4)


def gpu_device_ids(berth: Berth) -> str:
    """The GPUs of each instance: ``0,1;0,1`` is two instances on the same two GPUs."""
    return ";".join([",".join(map(str, range(berth.tensor_parallel)))] * berth.instances_per_gpu)


# --- the interface of TensorRT-LLM's adapter, which cannot complete it by itself ---------------------------------

_INPUTS = (
    ("text_input", "STRING", -1, False),
    ("streaming", "BOOL", 1, True),
    ("sampling_param_best_of", "INT32", 1, True),
    ("sampling_param_temperature", "FP32", 1, True),
    ("sampling_param_top_k", "INT32", 1, True),
    ("sampling_param_top_p", "FP32", 1, True),
    ("sampling_param_frequency_penalty", "FP32", 1, True),
    ("sampling_param_presence_penalty", "FP32", 1, True),
    ("sampling_param_max_tokens", "INT32", 1, True),
    ("sampling_param_stop", "STRING", -1, True),
    ("sampling_param_seed", "UINT64", 1, True),
    ("sampling_param_exclude_input_from_output", "BOOL", 1, True),
    ("return_finish_reason", "BOOL", 1, True),
    ("return_stop_reason", "BOOL", 1, True),
    ("return_cumulative_logprob", "BOOL", 1, True),
    ("stop", "BOOL", 1, True),
)
"""Name, type, dimension, optional: tensorrt_llm/config.pbtxt of the LLM API's model repository (2026-07)."""

_OUTPUTS = (
    ("text_output", "STRING", -1),
    ("finish_reason", "STRING", -1),
    ("stop_reason", "STRING", -1),
    ("cumulative_logprob", "FP32", -1),
)


def add_tensors(config: Any) -> None:
    """Inputs and outputs of the LLM API's adapter."""
    for name, kind, size, optional in _INPUTS:
        config.input.add(name=name, data_type=pb.DataType.Value(f"TYPE_{kind}"), dims=[size], optional=optional)
    for name, kind, size in _OUTPUTS:
        config.output.add(name=name, data_type=pb.DataType.Value(f"TYPE_{kind}"), dims=[size])
