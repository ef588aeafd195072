"""Bytes per value and compute type of each precision, as the performance model counts them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class NumberFormat:
    """``compute``: keys of ``peak_flops_per_second`` that matrix products can run on, the preferred one first.

    Bytes are per value: of a weight in the large matrices, of an activation, of a cached key or value.
    """

    weight_bytes: float
    activation_bytes: float
    cache_bytes: float
    compute: tuple[str, ...]


# Group-wise quantised weights carry a 16-bit scale (and zero point) per 128 values for int4 (AWQ/GPTQ), an 8-bit scale
# per 32 for mxfp4 (OCP microscaling formats 1.0), an 8-bit scale per 16 for fp4 (NVFP4).
FORMATS = {
    "fp32": NumberFormat(4, 4, 4, ("fp32",)),
    "tf32": NumberFormat(4, 4, 4, ("tf32",)),
    "fp16": NumberFormat(2, 2, 2, ("fp16",)),
    "bf16": NumberFormat(2, 2, 2, ("bf16",)),
    "fp8": NumberFormat(1, 2, 2, ("fp8",)),
    "fp4": NumberFormat(0.5625, 2, 2, ("fp4",)),
    "mxfp4": NumberFormat(0.53125, 2, 2, ("fp4", "bf16", "fp16")),
    "int8": NumberFormat(1, 1, 2, ("int8",)),
    "int8-sparse": NumberFormat(0.625, 1, 2, ("int8",)),
    "int8-weight": NumberFormat(1, 2, 2, ("fp16", "bf16")),
    "int4-weight": NumberFormat(0.53125, 2, 2, ("fp16", "bf16")),
}
