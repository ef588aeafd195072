"""Constants of engines of classic networks, by row of a case table."""

from dataclasses import dataclass

import numpy as np

from berth_cost.case_table import CaseTable, Floats
from berth_cost.engine_constants import Constants, engine_names
from berth_cost.fitted_constants import GENERAL


@dataclass(frozen=True, slots=True)
class ClassicColumns:
    """:class:`ClassicConstants` by row, shapes (n,)."""

    compute_efficiency: Floats
    memory_efficiency: Floats
    ramp_flops: Floats
    pass_overhead_seconds: Floats
    size_exponent: Floats
    launch_overlap: Floats
    item_overhead_seconds: Floats
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


def family_factor(constants: Constants, table: CaseTable) -> Floats:
    """How much longer a pass takes than its counts say, by the network's family; shape (n,)."""
    families = [model.dense.family if model.dense else None for model in table.models]
    known = constants.classic.families
    return np.array([known.get(family or "", 1.0) for family in families])[table.model_index]
