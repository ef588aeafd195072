"""Whether a case can run at all: an ordered chain of checks, the first that fails names the reason."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from berth_cost.hardware.device import DeviceColumns
from berth_cost.performance.case_table import Booleans, CaseTable, Floats, LoadKind, Objects
from berth_cost.performance.parameter_count import contradiction
from berth_cost.performance.work import DenseWork, TransformerWork

UNKNOWN, PARALLELISM, PRECISION, MEMORY, OVERLOAD = "unknown", "parallelism", "precision", "memory", "overload"
BATCH = "batch"


@dataclass(frozen=True, slots=True)
class Feasibility:
    """Why a row cannot run; shapes (n,). ``code`` is None where it can; ``value`` and ``limit`` nan where the reason is
    not a number. The arrays are filled while the chain of checks runs, and not written afterwards."""

    feasible: Booleans
    code: Objects
    message: Objects
    value: Floats
    limit: Floats

    def refuse(
        self, rows: Booleans, code: str, message: str, value: Floats | None = None, limit: Floats | None = None
    ) -> None:
        """Refuse the ``rows`` that nothing else has refused."""
        fresh = rows & self.feasible
        self.feasible[fresh] = False
        self.code[fresh] = code
        self.message[fresh] = message
        if value is not None and limit is not None:
            self.value[fresh], self.limit[fresh] = value[fresh], limit[fresh]


def without_reasons(rows: int) -> Feasibility:
    nothing, unknown = np.full(rows, None, dtype=object), np.full(rows, np.nan)
    return Feasibility(np.ones(rows, dtype=np.bool_), nothing, nothing.copy(), unknown, unknown.copy())


def is_transformer(table: CaseTable) -> Booleans:
    return np.array([model.transformer is not None for model in table.models], dtype=np.bool_)[table.model_index]


def check_known_transformer(table: CaseTable, reasons: Feasibility, device: DeviceColumns) -> None:
    """Every number that the answer for a language model depends on; its parameters as its dimensions make them."""
    for index, model in enumerate(table.models):
        words = None if model.transformer is None else contradiction(model.transformer)
        if words is not None:
            reasons.refuse(table.model_index == index, UNKNOWN, words)
    _refuse_missing(
        reasons,
        (
            ("request.inputTokens", np.isnan(table.input_tokens)),
            ("request.outputTokens", np.isnan(table.output_tokens)),
            *_known_everywhere(table, device),
        ),
    )


def check_known_dense(table: CaseTable, reasons: Feasibility, work: DenseWork, device: DeviceColumns) -> None:
    """Every number that the answer for a classic network depends on."""
    _refuse_missing(
        reasons,
        (
            ("the model's flopsPerInference", np.isnan(work.flops)),
            ("the model's parameters", np.isnan(work.weight_bytes)),
            *_known_everywhere(table, device),
        ),
    )


def _known_everywhere(table: CaseTable, device: DeviceColumns) -> Sequence[tuple[str, Booleans]]:
    kind = table.load_kind
    return (
        ("the GPU's memoryBytes", np.isnan(device.memory_bytes)),
        ("the GPU's memoryBandwidthBytesPerSecond", np.isnan(device.bandwidth_bytes_per_second)),
        (
            "the GPU's nvlinkBytesPerSecond or pcieBytesPerSecond",
            (table.gpu_count > 1) & np.isnan(device.link_bytes_per_second),
        ),
        ("load.requestsPerSecond", (kind == LoadKind.OPEN) & np.isnan(table.requests_per_second)),
        ("load.concurrency", (kind == LoadKind.CLOSED) & np.isnan(table.concurrency)),
        ("load.batchSize", (kind == LoadKind.BATCH) & np.isnan(table.batch_size)),
    )


def _refuse_missing(reasons: Feasibility, needed: Sequence[tuple[str, Booleans]]) -> None:
    for name, missing in needed:
        if missing.any():
            reasons.refuse(missing, UNKNOWN, f"{name} is not known")


def check_transformer_parallelism(table: CaseTable, reasons: Feasibility, work: TransformerWork) -> None:
    """What the architecture can be split into."""
    gpus, tensor, pipeline, expert = table.gpu_count, table.tensor, table.pipeline, table.expert
    smaller, larger = np.minimum(tensor, work.key_value_heads), np.maximum(tensor, work.key_value_heads)
    _refuse_broken(
        reasons,
        (
            ("a MIG slice cannot be joined with others: set gpuCount to 1", _sliced(table) & (gpus > 1)),
            ("gpuCount must be a multiple of tensor × pipeline", gpus % (tensor * pipeline) != 0),
            ("tensor must divide the attention heads", work.attention_heads % tensor != 0),
            ("tensor must divide the key-value heads, or be a multiple of them", larger % smaller != 0),
            ("pipeline must not exceed the layers", pipeline > work.layers),
            ("expert needs a model with at least as many experts", expert > np.maximum(work.expert_count, 1)),
            ("expert must not exceed gpuCount", expert > gpus),
        ),
    )


def check_dense_parallelism(table: CaseTable, reasons: Feasibility) -> None:
    """A classic network is not split: more of it are more replicas."""
    split = (table.gpu_count > 1) | (table.tensor > 1) | (table.pipeline > 1) | (table.expert > 1)
    _refuse_broken(
        reasons,
        (("a classic network runs on one GPU per replica: set gpuCount, tensor, pipeline and expert to 1", split),),
    )


def _refuse_broken(reasons: Feasibility, rules: Sequence[tuple[str, Booleans]]) -> None:
    for message, broken in rules:
        if broken.any():
            reasons.refuse(broken, PARALLELISM, message)


def _sliced(table: CaseTable) -> Booleans:
    return np.array([one is not None for one in table.slices], dtype=np.bool_)[table.slice_index]


def check_precision(table: CaseTable, reasons: Feasibility, device: DeviceColumns) -> None:
    unsupported = np.isnan(device.peak_flops_per_second)
    if unsupported.any():
        reasons.refuse(unsupported, PRECISION, "the GPU has no rate for this precision")


def check_memory(reasons: Feasibility, needed_bytes: Floats, limit_bytes: Floats) -> None:
    too_much = needed_bytes > limit_bytes
    if too_much.any():
        message = "weights, engine and the work in hand need more memory than there is"
        reasons.refuse(too_much, MEMORY, message, needed_bytes, limit_bytes)


def check_batch(table: CaseTable, reasons: Feasibility) -> None:
    """A server of classic networks refuses a request that is larger than its largest batch."""
    sent = np.where(table.load_kind == LoadKind.BATCH, table.batch_size, 1.0) * table.items_per_request
    too_large = sent > table.maximum_batch_size
    if too_large.any():
        message = "a request has more items than serving.maximumBatchSize lets into a batch"
        reasons.refuse(too_large, BATCH, message, sent, table.maximum_batch_size)


def check_overload(reasons: Feasibility, rate: Floats, maximum_rate: Floats) -> None:
    """``rate``: offered, nan where the load has none."""
    too_much = rate >= maximum_rate
    if too_much.any():
        reasons.refuse(too_much, OVERLOAD, "requests arrive faster than a replica can serve them", rate, maximum_rate)
