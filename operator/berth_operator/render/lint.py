# The generated protobuf module makes its classes at import, where no type checker sees them.
# pyright: reportAttributeAccessIssue=false
"""Rules that a ``config.pbtxt`` must keep and protobuf cannot check.

Some break a load with a message of Triton's, some load and then do nothing or the wrong thing in silence: an ordered
chain, each rule a few lines. Every configuration is held against it before it is applied.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tritonclient.grpc import model_config_pb2 as pb

from berth_operator.api.conditions import Reason
from berth_scheduler.snapshot import Problem


@dataclass(frozen=True)
class Circumstances:
    """What a configuration is for: the directory it lies in, the server that reads it, the requests that come."""

    directory: str
    release: str
    gpus: int = 1
    items_per_request: int = 1
    has_response_cache: bool = False
    auto_complete: bool = True
    """The server asks the backend for what the configuration leaves out."""


Rule = Callable[[Any, Circumstances], Iterator[str]]


def lint(config: Any, circumstances: Circumstances) -> tuple[Problem, ...]:
    """Every rule that ``config`` (a ``ModelConfig``) breaks, in the order of :data:`RULES`; empty when it is good."""
    return tuple(
        Problem(reason=Reason.INVALID_SPEC, message=message)
        for rule in RULES
        for message in rule(config, circumstances)
    )


# --- who and what ------------------------------------------------------------------------------------------------


def backend_is_named(config: Any, _: Circumstances) -> Iterator[str]:
    """Triton would take the first model file it recognises, and load an empty file as ready."""
    if not config.backend:
        yield "backend is missing: name the Triton backend"


def name_is_directory(config: Any, circumstances: Circumstances) -> Iterator[str]:
    if config.name != circumstances.directory:
        yield f"name {config.name!r} differs from the model's directory {circumstances.directory!r}: make them equal"


def version_is_pinned(config: Any, _: Circumstances) -> Iterator[str]:
    """The default policy serves the latest version, whatever else lies in the artefact's volume."""
    if not config.version_policy.specific.versions:
        yield "version_policy must name versions: specific { versions: [1] }"


def fields_are_known(config: Any, circumstances: Circumstances) -> Iterator[str]:
    """An unknown field fails the parse, and the model is skipped."""
    for field, since in FIELD_RELEASES.items():
        if config.HasField(field) and circumstances.release < since:
            yield f"{field} is newer than Triton {circumstances.release}: use an image of {since} or later"
    if config.ensemble_scheduling.max_inflight_requests and circumstances.release < INFLIGHT_RELEASE:
        yield f"ensemble_scheduling.max_inflight_requests needs Triton {INFLIGHT_RELEASE}"


FIELD_RELEASES = {"model_metrics": "25.02"}
"""First release whose server surely reads the field: it entered model_config.proto in 2024-11; 24.10 refuses it."""
INFLIGHT_RELEASE = "26.01"
"""``ensemble_scheduling.max_inflight_requests`` entered model_config.proto in 2025-11."""


# --- batching ----------------------------------------------------------------------------------------------------


def batch_size_is_not_negative(config: Any, _: Circumstances) -> Iterator[str]:
    if config.max_batch_size < 0:
        yield f"max_batch_size {config.max_batch_size} must not be negative"


def batcher_has_batches(config: Any, _: Circumstances) -> Iterator[str]:
    """It would load, and never batch."""
    if config.max_batch_size == 0 and config.HasField("dynamic_batching"):
        yield "dynamic_batching needs max_batch_size of at least 1"


def batch_holds_a_request(config: Any, circumstances: Circumstances) -> Iterator[str]:
    """A request with more items than the largest batch is refused, each time."""
    if 0 < config.max_batch_size < circumstances.items_per_request:
        yield (
            f"max_batch_size {config.max_batch_size} is below traffic.itemsPerRequest"
            f" {circumstances.items_per_request}: every request would be refused"
        )


def preferred_sizes_fit(config: Any, _: Circumstances) -> Iterator[str]:
    for size in config.dynamic_batching.preferred_batch_size:
        if not 0 < size <= config.max_batch_size:
            yield f"preferred_batch_size {size} must be between 1 and max_batch_size {config.max_batch_size}"


def priorities_are_in_range(config: Any, _: Circumstances) -> Iterator[str]:
    batching = config.dynamic_batching
    if batching.priority_levels and not 1 <= batching.default_priority_level <= batching.priority_levels:
        yield f"default_priority_level must be in 1 to {batching.priority_levels}, priority_levels"


def queue_is_bounded(config: Any, _: Circumstances) -> Iterator[str]:
    """Without a bound a slow model collects requests until the pod's memory is full."""
    policy = config.dynamic_batching.default_queue_policy
    if config.HasField("dynamic_batching") and policy.max_queue_size < max(1, config.max_batch_size):
        yield f"default_queue_policy.max_queue_size must be at least one batch, {config.max_batch_size}"


def queue_outlasts_delay(config: Any, _: Circumstances) -> Iterator[str]:
    batching = config.dynamic_batching
    timeout = batching.default_queue_policy.default_timeout_microseconds
    if timeout and batching.max_queue_delay_microseconds >= timeout:
        yield (
            f"max_queue_delay_microseconds {batching.max_queue_delay_microseconds} reaches the queue timeout {timeout}:"
            " a lone request would be rejected"
        )


# --- instances ---------------------------------------------------------------------------------------------------


def instances_are_stated(config: Any, _: Circumstances) -> Iterator[str]:
    """``count: 0`` loads as 1; without a group the backend chooses, ONNX Runtime two on a CPU."""
    if not config.instance_group or any(group.count < 1 for group in config.instance_group):
        yield "instance_group needs a count of at least 1"


def kind_is_stated(config: Any, _: Circumstances) -> Iterator[str]:
    """KIND_AUTO falls back to the CPU in silence where there is no GPU."""
    if any(group.kind == pb.ModelInstanceGroup.KIND_AUTO for group in config.instance_group):
        yield "instance_group.kind KIND_AUTO hides a missing GPU: state KIND_GPU"


def vllm_places_itself(config: Any, circumstances: Circumstances) -> Iterator[str]:
    """vLLM refuses KIND_GPU for an engine of several GPUs, and batches by itself."""
    if config.backend != "vllm":
        return
    model = pb.ModelInstanceGroup.KIND_MODEL
    if circumstances.gpus > 1 and any(group.kind != model for group in config.instance_group):
        yield f"vllm on {circumstances.gpus} GPUs needs instance_group.kind KIND_MODEL"
    if config.max_batch_size:
        yield f"vllm batches by itself: max_batch_size must be 0, not {config.max_batch_size}"


# --- inputs and outputs ------------------------------------------------------------------------------------------


def tensors_are_complete(config: Any, _: Circumstances) -> Iterator[str]:
    for field in ("input", "output"):
        for tensor in getattr(config, field):
            if tensor.data_type == pb.TYPE_INVALID or not tensor.dims:
                yield f"{field} {tensor.name!r} needs data_type and dims"


def tensors_are_declared(config: Any, circumstances: Circumstances) -> Iterator[str]:
    """TorchScript has no names and types of inputs, and without auto-completion no backend is asked."""
    if config.input and config.output:
        return
    if config.backend == "pytorch":
        yield "backend pytorch cannot tell its inputs and outputs: state model.inputs and model.outputs"
    elif not circumstances.auto_complete:
        yield "inputs and outputs must be stated where the server does not ask the backend"


def warm_up_fits(config: Any, _: Circumstances) -> Iterator[str]:
    """A sample that the model refuses fails the load."""
    declared = {tensor.name for tensor in config.input}
    for sample in config.model_warmup:
        if config.max_batch_size and sample.batch_size > config.max_batch_size:
            yield f"model_warmup {sample.name!r}: batch_size {sample.batch_size} is above max_batch_size"
        if unknown := sorted(set(sample.inputs) - declared):
            yield f"model_warmup {sample.name!r} feeds inputs that are not declared: {', '.join(unknown)}"


# --- extras that do nothing alone --------------------------------------------------------------------------------


def accelerator_is_read(config: Any, _: Circumstances) -> Iterator[str]:
    """Only ONNX Runtime reads it; other backends load and ignore it."""
    accelerators = config.optimization.execution_accelerators.gpu_execution_accelerator
    names = {accelerator.name for accelerator in accelerators}
    if names and config.backend != "onnxruntime":
        yield f"gpu_execution_accelerator {', '.join(sorted(names))} does nothing with backend {config.backend}"
    if "tensorrt" in names and not config.model_warmup:
        yield "the tensorrt accelerator needs model_warmup: it builds its engines during the first requests otherwise"


def cache_is_there(config: Any, circumstances: Circumstances) -> Iterator[str]:
    """The model's flag alone is inert."""
    if config.response_cache.enable and not circumstances.has_response_cache:
        yield "response_cache.enable does nothing without the server's --cache-config"


RULES: tuple[Rule, ...] = (
    backend_is_named,
    name_is_directory,
    version_is_pinned,
    fields_are_known,
    batch_size_is_not_negative,
    batcher_has_batches,
    batch_holds_a_request,
    preferred_sizes_fit,
    priorities_are_in_range,
    queue_is_bounded,
    queue_outlasts_delay,
    instances_are_stated,
    kind_is_stated,
    vllm_places_itself,
    tensors_are_complete,
    tensors_are_declared,
    warm_up_fits,
    accelerator_is_read,
    cache_is_there,
)
