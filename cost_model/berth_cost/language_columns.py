"""Constants of engines of language models, by row of a case table."""

from dataclasses import dataclass

import numpy as np

from berth_cost.case_table import CaseTable, Floats
from berth_cost.engine_constants import Constants, engine_names
from berth_cost.fitted_constants import GENERAL


@dataclass(frozen=True, slots=True)
class LanguageColumns:
    """``LanguageConstants`` by row, shapes (n,)."""

    compute_efficiency: Floats
    memory_efficiency: Floats
    ramp_tokens: Floats
    layer_overhead_seconds: Floats
    step_overhead_seconds: Floats
    sequence_overhead_seconds: Floats
    expert_layer_overhead_seconds: Floats
    request_overhead_seconds: Floats
    cohort_share: Floats
    maximum_batch_size: Floats
    maximum_batched_tokens: Floats
    memory_share: Floats
    reserved_memory_bytes: Floats
    output_reservation: Floats


def language_columns(constants: Constants, table: CaseTable) -> LanguageColumns:
    """An engine without constants of its own has the general ones."""
    engines = constants.language.engines
    entries = [engines.get(name, engines[GENERAL]) for name in engine_names(constants, table)]
    columns = {
        name: np.array([float(getattr(entry, name)) for entry in entries])[table.engine_index]
        for name in LanguageColumns.__slots__
    }
    return LanguageColumns(**columns)
