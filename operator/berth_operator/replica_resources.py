"""CPU and memory of one replica where the workload does not state them.

Weights pass through host memory on their way to the GPU. ONNX Runtime, TensorRT, PyTorch and Python backends hold the
parsed file and a copy at once while they load: twice the weights, beside the server itself. vLLM and TensorRT-LLM map
the files and copy shard by shard, so that a quarter of the weights is resident at a time; what they need beside is
Python, CUDA contexts and pinned buffers. These are rules of thumb, rounded up to a GiB (2025-11; measured values
belong into ``spec.serving.resources``):

=====================  ===========  ========================
backend                CPU cores    memory
=====================  ===========  ========================
classic (onnxruntime,  2            2 GiB + 2 × weights
tensorrt, pytorch,
python)
vllm, tensorrtllm      4            6 GiB + 0.25 × weights
weights not known      as above     4 GiB, 8 GiB for engines
=====================  ===========  ========================
"""

from collections.abc import Iterable
from decimal import Decimal
from math import ceil

from berth_cost.cases.case import Model
from berth_operator.api.model import GENERATING_BACKENDS
from berth_operator.api.workload import Resources
from berth_scheduler.snapshot import PodResources

GIBIBYTE = 2**30

BYTES_PER_PARAMETER = {
    "fp32": 4.0,
    "tf32": 4.0,
    "fp16": 2.0,
    "bf16": 2.0,
    "fp8": 1.0,
    "int8": 1.0,
    "int8-sparse": 1.0,
    "int8-weight": 1.0,
    "fp4": 0.5,
    "mxfp4": 0.5,
    "int4-weight": 0.5,
}
"""As stored; scales and zero points add some percent, which rounding up covers."""


def replica_resources(
    stated: Resources | None, backend: str, model: Model | None, precisions: Iterable[str]
) -> PodResources:
    """What one replica asks of its node: as stated, else the stated limit, else by the table above.

    One amount for all variants, so that changing the precision changes no request: that of the largest.
    """
    requests, limits = stated and stated.requests, stated and stated.limits
    cpu = (requests and requests.cpu) or (limits and limits.cpu)
    memory = (requests and requests.memory) or (limits and limits.memory)
    cores = cpu.amount if cpu else Decimal(4 if backend in GENERATING_BACKENDS else 2)
    return PodResources(
        cpu_cores=float(cores),
        memory_bytes=int(memory) if memory else default_memory_bytes(backend, weight_bytes(model, precisions)),
    )


def weight_bytes(model: Model | None, precisions: Iterable[str]) -> float | None:
    """Of the largest variant; None where the number of parameters is not known."""
    architecture = (model.transformer or model.dense) if model is not None else None
    parameters = architecture.parameters if architecture is not None else None
    if parameters is None:
        return None
    return parameters * max((BYTES_PER_PARAMETER.get(precision, 4.0) for precision in precisions), default=4.0)


def default_memory_bytes(backend: str, weights: float | None) -> int:
    """By the table above, in whole GiB."""
    engine = backend in GENERATING_BACKENDS
    if weights is None:
        return (8 if engine else 4) * GIBIBYTE
    base, share = (6, 0.25) if engine else (2, 2.0)
    return (base + ceil(share * weights / GIBIBYTE)) * GIBIBYTE
