"""Models, GPUs and case tables for the tests of the cost model, with numbers that can be checked by hand."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from berth_cost.cases.case import (
    Case,
    Dense,
    Engine,
    Experts,
    Hardware,
    LatentAttention,
    Load,
    Model,
    Parallelism,
    Request,
    Serving,
    Transformer,
)
from berth_cost.cases.records import case_table
from berth_cost.hardware.gpu_catalogue import GPUSpecification, MIGProfile
from berth_cost.performance.prediction import CaseTable

LLAMA_8B = Model(
    name="llama-8b",
    transformer=Transformer(
        parameters=8.03e9,
        layers=32,
        hidden_size=4096,
        intermediate_size=14336,
        attention_heads=32,
        key_value_heads=8,
        head_size=128,
        vocabulary_size=128256,
    ),
)
RESNET50 = Model(
    name="resnet50",
    dense=Dense(
        parameters=25.6e6,
        flops_per_inference=8.2e9,
        activation_bytes_per_inference=22e6,
        input_bytes_per_inference=602112,
        output_bytes_per_inference=4000,
        family="resnet",
    ),
)
MIXTURE = Model(
    name="mixture",
    transformer=Transformer(
        parameters=46.7e9,
        layers=32,
        hidden_size=4096,
        intermediate_size=14336,
        attention_heads=32,
        key_value_heads=8,
        head_size=128,
        vocabulary_size=32000,
        experts=Experts(count=8, per_token=2, intermediate_size=14336),
    ),
)
LATENT = Model(
    name="latent",
    transformer=Transformer(
        parameters=671e9,
        layers=61,
        hidden_size=7168,
        intermediate_size=18432,
        attention_heads=128,
        key_value_heads=128,
        head_size=192,
        vocabulary_size=129280,
        experts=Experts(count=256, per_token=8, intermediate_size=2048, shared=1, first_dense_layers=3),
        latent_attention=LatentAttention(
            key_value_rank=512, query_rank=1536, rope_head_size=64, nope_head_size=128, value_head_size=128
        ),
    ),
)

GPU = GPUSpecification(
    name="test-gpu",
    memory_bytes=80_000_000_000,
    memory_bandwidth_bytes_per_second=2e12,
    peak_flops_per_second={"fp32": 20e12, "fp16": 300e12, "bf16": 300e12, "int8": 600e12},
    power_watts=400,
    idle_power_watts=50,
    nvlink_bytes_per_second=600e9,
    pcie_bytes_per_second=32e9,
    compute_capability=(8, 0),
    mig_profiles=(
        MIGProfile(
            name="1g.10gb",
            maximum_instances=7,
            compute_slices=1,
            compute_slices_total=7,
            memory_slices=1,
            memory_slices_total=8,
            memory_bytes=10_000_000_000,
        ),
    ),
)


def scaled_gpu(factor: float, gpu: GPUSpecification = GPU) -> GPUSpecification:
    """The same GPU with every number times ``factor``."""
    return gpu.model_copy(
        update={
            "name": f"{gpu.name}-x{factor:g}",
            "memory_bytes": int((gpu.memory_bytes or 0) * factor),
            "memory_bandwidth_bytes_per_second": (gpu.memory_bandwidth_bytes_per_second or 0) * factor,
            "peak_flops_per_second": {key: rate * factor for key, rate in gpu.peak_flops_per_second.items()},
            "nvlink_bytes_per_second": (gpu.nvlink_bytes_per_second or 0) * factor,
            "pcie_bytes_per_second": (gpu.pcie_bytes_per_second or 0) * factor,
        }
    )


def case(
    model: Model = LLAMA_8B,
    load: Load | None = None,
    *,
    gpu: GPUSpecification = GPU,
    tensor: int = 1,
    gpu_count: int | None = None,
    precision: str = "fp16",
    engine: str | None = None,
    mig_profile: str | None = None,
    inputs: float | None = 512,
    outputs: float | None = 128,
    serving: Serving | None = None,
    name: str = "a",
) -> Case:
    """A case with everything but what is named at an ordinary value."""
    language = model.transformer is not None
    default = Serving() if language else Serving(maximum_batch_size=16)
    return Case(
        id=name,
        model=model,
        hardware=Hardware(gpu=gpu.name, gpu_specification=gpu, gpu_count=gpu_count or tensor, mig_profile=mig_profile),
        precision=precision,  # type: ignore[arg-type]
        engine=Engine(name=engine or ("vllm" if language else "tensorrt")),
        parallelism=Parallelism(tensor=tensor),
        serving=serving or default,
        load=load or Load(kind="closed", concurrency=1),
        request=Request(input_tokens=inputs, output_tokens=outputs) if language else Request(),
    )


def table(cases: Sequence[Case]) -> CaseTable:
    return case_table(cases, {})


def open_at(rate: float, burstiness: float = 1.0) -> Load:
    return Load(kind="open", requests_per_second=rate, burstiness=burstiness)


def at_rates(asked: CaseTable, rates: np.ndarray) -> CaseTable:
    """The same replicas under open loads of these rates."""
    return replace(asked, load_kind=np.full(len(asked), 1), requests_per_second=np.asarray(rates, dtype=np.float64))
