"""Constants of engines of classic networks, by row of a case table."""

from dataclasses import dataclass

import numpy as np

from berth_cost.hardware.device import FASTER_INSTEAD, DeviceColumns
from berth_cost.performance.case_table import CaseTable, Floats
from berth_cost.performance.classic.constants import ClassicGPUConstants, FamilyConstants
from berth_cost.performance.engine_constants import Constants, efficiency_factors, engine_names
from berth_cost.performance.fitted_constants import GENERAL
from berth_cost.performance.work import TRANSFORMER_FAMILIES


@dataclass(frozen=True, slots=True)
class ClassicColumns:
    """:class:`ClassicConstants` by row, shapes (n,)."""

    compute_efficiency: Floats
    memory_efficiency: Floats
    ramp_flops: Floats
    pass_overhead_seconds: Floats
    size_exponent: Floats
    layer_exponent: Floats
    width_exponent: Floats
    launch_overlap: Floats
    copy_seconds_per_byte: Floats
    request_seconds: Floats
    host_bytes_per_second: Floats
    host_overlap: Floats
    reserved_memory_bytes: Floats


def classic_columns(constants: Constants, table: CaseTable) -> ClassicColumns:
    """An engine without constants of its own has the general ones."""
    engines = constants.classic.engines
    entries = [engines.get(name, engines[GENERAL]) for name in engine_names(constants, table)]
    columns = {
        name: np.array([float(getattr(entry, name)) for entry in entries])[table.engine_index]
        for name in ClassicColumns.__slots__
    }
    return ClassicColumns(**columns)


@dataclass(frozen=True, slots=True)
class FamilyColumns:
    """:class:`FamilyConstants` by row, shapes (n,); 1 for a family that has none."""

    launches: Floats
    device: Floats


def family_columns(constants: Constants, table: CaseTable) -> FamilyColumns:
    known, neutral = constants.classic.families, FamilyConstants()
    names = [(model.dense.family if model.dense else None) or "" for model in table.models]
    families = [known.get(name, neutral) for name in names]
    launches = np.array([family.launches for family in families])[table.model_index]
    # An engine that was measured on one family of transformers launches the others as it does that one.
    like = constants.classic.transformers_like
    fused = [
        known[like[name]].launches if like.get(name) in known else np.nan for name in engine_names(constants, table)
    ]
    transformer = np.array([name in TRANSFORMER_FAMILIES for name in names])[table.model_index]
    alike = np.array(fused)[table.engine_index]
    return FamilyColumns(
        launches=np.where(transformer & np.isfinite(alike), alike, launches),
        device=np.array([family.device for family in families])[table.model_index],
    )


def precision_and_gpu(constants: Constants, table: CaseTable, device: DeviceColumns) -> tuple[Floats, Floats]:
    """:func:`efficiency_factors`; where a GPU runs in 16 bits what asks for 8, as well as it runs 16 bits."""
    compute, memory = efficiency_factors(constants.classic, table)
    known = [constants.classic.precisions.get(one) if one in FASTER_INSTEAD else None for one in table.precisions]
    instead = device.peak_flops_per_second <= device.attention_flops_per_second
    of_compute, of_memory = (
        np.array([1.0 if one is None else getattr(one, name) for one in known])[table.precision_index]
        for name in ("compute", "memory")
    )
    return np.where(instead, compute / of_compute, compute), np.where(instead, memory / of_memory, memory)


def launch_factor(constants: Constants, table: CaseTable) -> Floats:
    """How much longer launches take beside each row's GPU, by its host's processors; shape (n,)."""
    known, neutral = constants.classic.gpus, ClassicGPUConstants()
    return np.array([known.get(gpu.name, neutral).launches for gpu in table.gpus])[table.gpu_index]
