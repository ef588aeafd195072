"""What a GPU, or a slice of it, gives one replica: rates, memory, links and power as columns."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from berth_cost.hardware.gpu_catalogue import GPUSpecification
from berth_cost.number_format import FORMATS
from berth_cost.performance.case_table import CaseTable, Floats


@dataclass(frozen=True, slots=True)
class DeviceColumns:
    """One GPU (or slice) of each row's replica; shapes (n,). nan: the catalogue does not know the number.

    ``peak_flops_per_second`` is nan where the GPU cannot compute at the row's precision.
    """

    memory_bytes: Floats
    bandwidth_bytes_per_second: Floats
    peak_flops_per_second: Floats
    attention_flops_per_second: Floats
    """Peak rate in 16 bits, in which attention is computed; that of the precision where there is none."""
    power_watts: Floats
    idle_power_watts: Floats
    link_bytes_per_second: Floats
    """One direction, between the GPUs of one node: NVLink, else PCIe."""
    nvlink: Floats
    """1 where the link is NVLink."""
    recalled: Floats
    """1 where a number that the model reads has no second source."""


def device_columns(table: CaseTable) -> DeviceColumns:
    """By GPU, then a slice's share: rates and power by compute slices, bandwidth by memory slices."""
    gpu = table.gpu_index
    nvlink = _column([one.nvlink_bytes_per_second for one in table.gpus])
    pcie = _column([one.pcie_bytes_per_second for one in table.gpus])
    has_nvlink = np.nan_to_num(nvlink) > 0
    link = np.where(has_nvlink, nvlink / 2, pcie)
    compute_share, memory_share, slice_bytes = _slice_shares(table)
    whole = _column([one.memory_bytes for one in table.gpus])[gpu]
    return DeviceColumns(
        memory_bytes=np.where(np.isnan(slice_bytes), whole, slice_bytes),
        bandwidth_bytes_per_second=_column([one.memory_bandwidth_bytes_per_second for one in table.gpus])[gpu]
        * memory_share,
        peak_flops_per_second=_peaks(table.gpus, table.precisions)[gpu, table.precision_index] * compute_share,
        attention_flops_per_second=_attention_peaks(table)[gpu, table.precision_index] * compute_share,
        power_watts=_column([one.power_watts for one in table.gpus])[gpu] * compute_share,
        idle_power_watts=_column([one.idle_power_watts for one in table.gpus])[gpu] * compute_share,
        link_bytes_per_second=link[gpu],
        nvlink=has_nvlink.astype(np.float64)[gpu],
        recalled=_recalled(table.gpus, table.precisions)[gpu, table.precision_index],
    )


def _recalled(gpus: Sequence[GPUSpecification], precisions: Sequence[str]) -> Floats:
    """1 by (GPU, precision) where the bandwidth or the rate of that precision has no second source."""
    marks = np.zeros((len(gpus), len(precisions)))
    for i, gpu in enumerate(gpus):
        for j, precision in enumerate(precisions):
            rates = [key for key in FORMATS[precision].compute if key in gpu.peak_flops_per_second][:1]
            read = {"memory_bandwidth_bytes_per_second", *(f"peak_flops_per_second.{key}" for key in rates)}
            marks[i, j] = float(bool(read.intersection(gpu.recalled)))
    return marks


def _column(values: Sequence[float | int | None]) -> Floats:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _slice_shares(table: CaseTable) -> tuple[Floats, Floats, Floats]:
    compute = [1.0 if one is None else one.compute_slices / one.compute_slices_total for one in table.slices]
    memory = [1.0 if one is None else one.memory_slices / one.memory_slices_total for one in table.slices]
    size = [np.nan if one is None else float(one.memory_bytes) for one in table.slices]
    chosen = table.slice_index
    return np.array(compute)[chosen], np.array(memory)[chosen], np.array(size)[chosen]


FASTER_INSTEAD = {"int8": "fp16", "int8-sparse": "fp16"}
"""Where a GPU computes the second type faster, engines run the first in it: Volta and B300 have no fast int8 units."""


def _attention_peaks(table: CaseTable) -> Floats:
    """By (GPU, precision)."""
    peaks = _peaks(table.gpus, table.precisions)
    known = [one.peak_flops_per_second for one in table.gpus]
    half = _column([rates.get("bf16", rates.get("fp16")) for rates in known])
    return np.fmin(peaks, half[:, None])


def _peaks(gpus: Sequence[GPUSpecification], precisions: Sequence[str]) -> Floats:
    """Dense peak rate by (GPU, precision): the first of the precision's compute types that the GPU has a rate for, or
    of a type that engines run instead because it is faster."""
    peaks = np.full((len(gpus), len(precisions)), np.nan)
    for i, gpu in enumerate(gpus):
        rates = gpu.peak_flops_per_second
        for j, precision in enumerate(precisions):
            known = [rates[key] for key in FORMATS[precision].compute if key in rates]
            peaks[i, j] = max(known[0], rates.get(FASTER_INSTEAD.get(precision, ""), 0.0)) if known else np.nan
    return peaks
