# The generated protobuf module makes its classes at import, where no type checker sees them.
# pyright: reportAttributeAccessIssue=false
"""``config.pbtxt``: Triton's description of the model, built as protobuf so that no text is ever pasted into it.

Contract: ``model_config.proto`` of triton-inference-server/common (2026-07). Rules: docs/user_guide/optimization.md,
batcher.md and model_configuration.md of triton-inference-server/server, and the READMEs of the backends (2026-08).
"""

from collections.abc import Iterator
from typing import Any

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from berth_operator.api.v1alpha1 import Tensor
from berth_operator.render import llm_api
from berth_operator.render.order import Order
from berth_scheduler.snapshot import Berth

VERSION = 1
"""The version directory that artefacts are mounted at; pinned, so that a stray directory is never served."""

TIMEOUT_SHARE = 0.8
"""Of the latency limit that a request may spend in the queue: the rest is for computing it."""
QUEUED_BATCHES = 4
"""Batches per instance that may wait; more would wait longer than any sensible objective."""
SHORTEST_QUEUE = 32
"""Requests. Batches of one must not make an ordinary burst overflow: 4 waiting requests are common at 70 % load."""

HISTOGRAM_RELEASE = "26.01"
"""From here on every model has ``nv_inference_first_response_histogram_ms`` (core#464, 2025-12), with buckets of ours.
``model_metrics`` itself (2024-11) is refused by Triton 24.10."""
_BUCKETS = (0.125, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 4.0)
"""Of the latency limit: finest around it, where the question is whether it was kept."""

TENSORRT_CACHE = "/tmp/tensorrt"  # noqa: S108 - the pod's own volume
_WORKSPACE_BYTES = 2**30


def model_config(order: Order, berth: Berth) -> Any:
    """The ``ModelConfig`` of one berth. What the backend completes by itself (inputs, outputs) is left out."""
    config = pb.ModelConfig(name=order.model_name, backend=_triton_backend(order.backend))
    config.version_policy.specific.versions.append(VERSION)
    _instances(config, order, berth)
    if order.is_engine:
        config.max_batch_size = 0
    else:
        config.max_batch_size = berth.maximum_batch_size
        _batching(config, order, berth)
    _tensors(config, order)
    _parameters(config, order, berth)
    if builds_tensorrt(order, berth):
        _tensorrt(config, order)
    _warm_up(config, order)
    _histogram(config, order)
    return config


def text(config: Any) -> str:
    """As a file: fields in the order of the protobuf, map keys sorted."""
    return text_format.MessageToString(config, as_utf8=True)


def _triton_backend(backend: str) -> str:
    """TensorRT-LLM's LLM API is a model of the python backend; the backend of that name runs engine files only."""
    return "python" if backend == "tensorrtllm" else backend


# --- instances and batching --------------------------------------------------------------------------------------


def _instances(config: Any, order: Order, berth: Berth) -> None:
    """KIND_GPU, so that a missing GPU fails the load instead of falling back to the CPU; engines place themselves."""
    kind = {"vllm": pb.ModelInstanceGroup.KIND_MODEL, "tensorrtllm": pb.ModelInstanceGroup.KIND_CPU}
    config.instance_group.add(
        kind=kind.get(order.backend, pb.ModelInstanceGroup.KIND_GPU), count=berth.instances_per_gpu
    )


def _batching(config: Any, order: Order, berth: Berth) -> None:
    batching = config.dynamic_batching
    batching.max_queue_delay_microseconds = berth.maximum_queue_delay_microseconds
    policy = batching.default_queue_policy
    policy.timeout_action = pb.ModelQueuePolicy.REJECT
    policy.allow_timeout_override = True  # clients can only shorten it
    policy.max_queue_size = max(SHORTEST_QUEUE, QUEUED_BATCHES * berth.maximum_batch_size * berth.instances_per_gpu)
    if (limit := order.waiting_limit_seconds()) is not None:
        policy.default_timeout_microseconds = round(TIMEOUT_SHARE * limit * 1e6)


# --- inputs, outputs, warm-up ------------------------------------------------------------------------------------


def _tensors(config: Any, order: Order) -> None:
    if order.backend == "tensorrtllm":
        llm_api.add_tensors(config)
    model = order.workload.spec.model
    for tensors, field in ((model.inputs, config.input), (model.outputs, config.output)):
        for tensor in tensors or ():
            field.add(name=tensor.name, data_type=_data_type(tensor), dims=tensor.dimensions)


def _data_type(tensor: Tensor) -> int:
    return int(pb.DataType.Value(f"TYPE_{tensor.data_type}"))


def fixed_inputs(order: Order) -> tuple[Tensor, ...]:
    """The declared inputs where all have a fixed shape and numbers in them; else none."""
    inputs = order.workload.spec.model.inputs or ()
    fixed = all(-1 not in tensor.dimensions and tensor.data_type != "STRING" for tensor in inputs)
    return inputs if fixed and not order.is_engine else ()


def _warm_up(config: Any, order: Order) -> None:
    """One batch of one and one full batch, of zeros: a valid token, index or pixel for every network.

    Without declared inputs of fixed shape nobody knows what a valid request is, and a refused one fails the load.
    """
    inputs = fixed_inputs(order)
    if not inputs:
        return
    for size in sorted({1, config.max_batch_size}):
        sample = config.model_warmup.add(name=f"batch-{size}", batch_size=size)
        for tensor in inputs:
            content = sample.inputs[tensor.name]
            content.data_type = _data_type(tensor)
            content.dims.extend(tensor.dimensions)
            content.zero_data = True


# --- what only one backend reads ---------------------------------------------------------------------------------


def _parameters(config: Any, order: Order, berth: Berth) -> None:
    for key, value in _parameter_values(order, berth):
        config.parameters[key].string_value = value


def _parameter_values(order: Order, berth: Berth) -> Iterator[tuple[str, str]]:
    threads = str(order.threads(berth))
    match order.backend:
        case "onnxruntime":
            yield "intra_op_thread_count", threads
            yield "inter_op_thread_count", "1"
        case "pytorch":
            yield "INTRA_OP_THREAD_COUNT", threads
            yield "INTER_OP_THREAD_COUNT", "1"
        case "vllm":
            yield "REPORT_CUSTOM_METRICS", "true"
        case "tensorrtllm":
            yield "gpu_device_ids", llm_api.gpu_device_ids(berth)


def builds_tensorrt(order: Order, berth: Berth) -> bool:
    """Whether ONNX Runtime hands the network to TensorRT: see ``Platform.tensorrt_for_int8``.

    It needs the shapes of the inputs beforehand: without them engines are built during the first requests.
    """
    wanted = order.backend == "onnxruntime" and berth.precision == "int8" and order.platform.tensorrt_for_int8
    return wanted and bool(fixed_inputs(order))


def _tensorrt(config: Any, order: Order) -> None:
    """Quantised networks carry their scales (Q/DQ nodes); a calibration table beside them would fail the session."""
    accelerator = config.optimization.execution_accelerators.gpu_execution_accelerator.add(name="tensorrt")
    accelerator.parameters.update(
        {
            "precision_mode": "INT8",
            "max_workspace_size_bytes": str(_WORKSPACE_BYTES),
            "trt_engine_cache_enable": "1",
            "trt_engine_cache_path": TENSORRT_CACHE,
            "trt_timing_cache_enable": "1",
            "trt_timing_cache_path": TENSORRT_CACHE,
            "trt_profile_min_shapes": _shapes(order, 1),
            "trt_profile_opt_shapes": _shapes(order, config.max_batch_size),
            "trt_profile_max_shapes": _shapes(order, config.max_batch_size),
        }
    )


def _shapes(order: Order, batch_size: int) -> str:
    """``input_ids:8x384,mask:8x384``."""
    return ",".join(
        f"{tensor.name}:{'x'.join(map(str, (batch_size, *tensor.dimensions)))}" for tensor in fixed_inputs(order)
    )


# --- metrics -----------------------------------------------------------------------------------------------------


def has_histograms(order: Order) -> bool:
    return order.image.release >= HISTOGRAM_RELEASE


def _histogram(config: Any, order: Order) -> None:
    """Latency buckets around the objective: histograms of several pods add up, their percentiles do not."""
    limit = order.waiting_limit_seconds() or order.first_response_limit_seconds()
    if limit is None or not has_histograms(order):
        return
    control = config.model_metrics.metric_control.add()
    control.metric_identifier.family = "nv_inference_first_response_histogram_ms"
    control.histogram_options.buckets.extend(round(share * limit * 1e3, 6) for share in _BUCKETS)
