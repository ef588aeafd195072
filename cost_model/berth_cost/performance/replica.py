"""One replica of every row, put together: work, device, memory, batching, and why it cannot run.

The two kinds of models meet here under one shape: a load variable that rises with the rate, states at a value of it,
and latencies by metric name.
"""

from dataclasses import dataclass

import numpy as np

from berth_cost.hardware.device import DeviceColumns, device_columns
from berth_cost.performance.batch_service import BatchService, ClassicState, batch_service, state_under
from berth_cost.performance.batching import ContinuousBatching, LanguageState, continuous_batching
from berth_cost.performance.case_table import CaseTable, Floats, LoadKind
from berth_cost.performance.classic.columns import classic_columns
from berth_cost.performance.engine_constants import Constants
from berth_cost.performance.feasibility import (
    Feasibility,
    check_dense_parallelism,
    check_known_dense,
    check_known_transformer,
    check_memory,
    check_precision,
    check_transformer_parallelism,
    without_reasons,
)
from berth_cost.performance.memory import FEWEST_LIVE_ACTIVATIONS, classic_memory_bytes
from berth_cost.performance.percentiles import Latency
from berth_cost.performance.work import dense_work, transformer_work

TIME_TO_FIRST_TOKEN, TIME_PER_OUTPUT_TOKEN = "timeToFirstTokenSeconds", "timePerOutputTokenSeconds"
END_TO_END, LATENCY = "endToEndSeconds", "latencySeconds"
LANGUAGE_METRICS = (TIME_TO_FIRST_TOKEN, TIME_PER_OUTPUT_TOKEN, END_TO_END)


@dataclass(frozen=True, slots=True)
class LanguageReplicas:
    """Rows whose model is a transformer."""

    table: CaseTable
    device: DeviceColumns
    reasons: Feasibility
    batching: ContinuousBatching

    @property
    def maximum_rate(self) -> Floats:
        return self.batching.maximum_rate

    def lightest(self) -> Floats:
        return self.batching.smallest_admission()

    def fullest(self) -> Floats:
        return self.batching.fullest_admission()

    def rate(self, load: Floats) -> Floats:
        return self.batching.rate(load)

    def open_latencies(self, load: Floats) -> dict[str, Latency]:
        return latencies_of(self.batching.open_state(load))


@dataclass(frozen=True, slots=True)
class ClassicReplicas:
    """Rows whose model is a classic network."""

    table: CaseTable
    device: DeviceColumns
    reasons: Feasibility
    service: BatchService
    memory_bytes: Floats
    """With as many activations alive as may be, no more than the GPU has; nan of a network of assumed size."""
    least_memory_bytes: Floats
    """With as few as published runs got by with."""
    estimated: Floats
    """1 where sizes of the network are estimates."""

    @property
    def maximum_rate(self) -> Floats:
        return self.service.maximum_rate

    def lightest(self) -> Floats:
        return self.service.smallest_arrivals()

    def fullest(self) -> Floats:
        return self.service.fullest_arrivals()

    def rate(self, load: Floats) -> Floats:
        return self.service.rate(load)

    def open_latencies(self, load: Floats) -> dict[str, Latency]:
        return {LATENCY: self.service.open_state(load).latency}


Replicas = LanguageReplicas | ClassicReplicas


def latencies_of(state: LanguageState) -> dict[str, Latency]:
    return {
        TIME_TO_FIRST_TOKEN: state.time_to_first_token,
        TIME_PER_OUTPUT_TOKEN: state.time_per_output_token,
        END_TO_END: state.end_to_end,
    }


def language_replicas(table: CaseTable, constants: Constants) -> LanguageReplicas:
    """Every row of ``table`` must be a transformer."""
    work, device, reasons = transformer_work(table), device_columns(table), without_reasons(len(table))
    check_known_transformer(table, reasons, device)
    check_transformer_parallelism(table, reasons, work)
    check_precision(table, reasons, device)
    batching = continuous_batching(table, work, device, constants)
    memory = batching.memory
    one_request = memory.standing_bytes + memory.prefix_bytes + memory.request_bytes
    check_memory(reasons, one_request, memory.limit_bytes)
    copies = table.gpu_count / (table.tensor * table.pipeline)
    batch = np.where(table.load_kind == LoadKind.BATCH, np.maximum(table.batch_size / copies, 1.0), 1.0)
    check_memory(reasons, one_request + (batch - 1) * memory.request_bytes, memory.limit_bytes)
    return LanguageReplicas(table, device, reasons, batching)


def classic_replicas(table: CaseTable, constants: Constants, *, sure: bool = False) -> ClassicReplicas:
    """Every row of ``table`` must be a classic network. ``sure``: refuse what may not fit, rather than what cannot."""
    work, device, reasons = dense_work(table), device_columns(table), without_reasons(len(table))
    check_known_dense(table, reasons, work, device)
    check_dense_parallelism(table, reasons)
    check_precision(table, reasons, device)
    service = batch_service(table, work, device, constants)
    engine = classic_columns(constants, table)
    items = np.where(table.load_kind == LoadKind.BATCH, table.batch_size, service.largest_batch) * service.items
    most = classic_memory_bytes(table, work, engine, items)
    least = classic_memory_bytes(table, work, engine, items, FEWEST_LIVE_ACTIVATIONS)
    if table.calibration is not None:
        most, least = (np.where(table.calibration.assumed_size, np.nan, needed) for needed in (most, least))
    check_memory(reasons, most if sure else least, device.memory_bytes)
    held = np.minimum(most, device.memory_bytes)
    return ClassicReplicas(table, device, reasons, service, held, least, work.estimated)


def language_state(replicas: LanguageReplicas, kind: LoadKind, stretch: Floats) -> LanguageState:
    """At the load of the table, all of ``kind``, where every service time is ``stretch`` times as long.

    Times in the result are on the replica's own clock: multiply them by ``stretch``, divide rates by it. An open load
    beyond what the stretched replica can serve is answered at the highest utilisation that has an answer.
    """
    batching, table = replicas.batching, replicas.table
    if kind is LoadKind.OPEN:
        return batching.open_state(batching.admission_at(table.requests_per_second * stretch))
    if kind is LoadKind.CLOSED:
        return batching.closed_state(table.concurrency)
    if kind is LoadKind.BATCH:
        return batching.batch_state(table.batch_size)
    return batching.saturated_state()


def classic_state(replicas: ClassicReplicas, kind: LoadKind, stretch: Floats) -> ClassicState:
    """As :func:`language_state`."""
    return state_under(replicas.service, replicas.table, kind, stretch)
