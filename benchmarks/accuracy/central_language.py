"""log(predicted / observed) of what constants of language models are fitted to, without the rest of a prediction."""

from collections.abc import Sequence

import numpy as np
from measured_cases import Observations
from numpy.typing import NDArray

from berth_cost.hardware.device import device_columns
from berth_cost.performance.batching import continuous_batching
from berth_cost.performance.case_table import CaseTable, LoadKind
from berth_cost.performance.engine_constants import Constants
from berth_cost.performance.feasibility import without_reasons
from berth_cost.performance.replica import LANGUAGE_METRICS, LanguageReplicas, language_state, latencies_of
from berth_cost.performance.work import transformer_work

Floats = NDArray[np.float64]
RATE = "outputTokensPerSecond"


class CentralLanguage:
    """The work of a table is counted once, and asked about at many constants: a prediction for a tenth of its price."""

    def __init__(self, table: CaseTable, judged: Sequence[Observations], overload_residual: float) -> None:
        self._judged, self._overload, self._count = judged, overload_residual, len(table)
        self._asked = sorted({(one.metric, one.statistic) for one in judged})
        self._parts = []
        for kind in LoadKind:
            chosen = np.flatnonzero(table.load_kind == kind)
            if len(chosen):
                rows = table.rows(chosen)
                self._parts.append((kind, chosen, rows, transformer_work(rows), device_columns(rows)))

    def log_ratios(self, constants: Constants) -> Floats:
        """Of every observation: 0 where nothing is predicted, the residual of an overload where that is."""
        found = {key: np.full(self._count, np.nan) for key in self._asked}
        overload = np.zeros(self._count, dtype=np.bool_)
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            for kind, chosen, table, work, device in self._parts:
                batching = continuous_batching(table, work, device, constants)
                replicas = LanguageReplicas(table, device, without_reasons(len(table)), batching)
                state = language_state(replicas, kind, np.ones(len(table)))
                if kind is LoadKind.OPEN:
                    overload[chosen] = table.requests_per_second >= batching.maximum_rate
                runs = batching.memory.seats >= 1
                latencies = latencies_of(state)
                for metric, statistic in self._asked:
                    if metric in LANGUAGE_METRICS:
                        value = latencies[metric].statistic(statistic)
                    else:
                        value = state.requests_per_second * table.output_tokens
                    found[metric, statistic][chosen] = np.where(runs, value, np.nan)
        parts = []
        for one in self._judged:
            ratio = np.log(found[one.metric, one.statistic][one.rows] / one.values)
            ratio = np.nan_to_num(np.clip(ratio, -3, 3))
            parts.append(np.where(overload[one.rows], self._overload, ratio))
        return np.concatenate(parts)
