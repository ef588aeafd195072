"""Case records as columns, and predictions of records."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np

from berth_cost.cases.case import Case, Hardware, Prediction
from berth_cost.hardware.gpu_catalogue import GPUSpecification, MIGProfile
from berth_cost.performance.calibration import calibrated
from berth_cost.performance.case_table import CaseTable, Floats, Integers, LoadKind
from berth_cost.performance.engine_constants import Constants
from berth_cost.performance.prediction import predict

Kind = TypeVar("Kind")

LOAD_KINDS = {
    "closed": LoadKind.CLOSED,
    "open": LoadKind.OPEN,
    "batch": LoadKind.BATCH,
    "saturated": LoadKind.SATURATED,
}


CALIBRATED_ROWS = 48
"""Cases with runs of their own that share a table."""


class CaseError(ValueError):
    """A case that cannot be answered because of what it names; the message says which case and which field."""


def predict_cases(
    cases: Sequence[Case],
    gpus: Mapping[str, GPUSpecification],
    constants: Constants | None = None,
    *,
    seed: int | None = None,
) -> list[Prediction]:
    """One prediction a case, in order. ``gpus`` as in :func:`case_table`, ``seed`` as in
    :func:`berth_cost.performance.prediction.predict`."""
    groups: dict[str, list[int]] = {}
    for row, case in enumerate(cases):
        # Rows of one model with the same runs are calibrated together.
        key = case.model_dump_json(include={"model", "measured"}) if case.measured else ""
        groups.setdefault(key, []).append(row)
    found: dict[int, Prediction] = {}
    for batch in _batches(groups):
        rows = [row for group in batch for row in group]
        found |= zip(rows, _predicted(cases, batch, gpus, constants, seed), strict=True)
    return [found[row] for row in range(len(cases))]


def _batches(groups: Mapping[str, list[int]]) -> list[list[list[int]]]:
    """Groups of rows that are answered from one table: those without runs in one, the others a few at a time, because
    what a run is compared with grows with the table."""
    batches = [[groups[""]]] if "" in groups else []
    waiting: list[list[int]] = []
    for key, rows in groups.items():
        if key:
            waiting.append(rows)
            if sum(map(len, waiting)) >= CALIBRATED_ROWS:
                batches.append(waiting)
                waiting = []
    return [*batches, waiting] if waiting else batches


def _predicted(
    cases: Sequence[Case],
    groups: Sequence[Sequence[int]],
    gpus: Mapping[str, GPUSpecification],
    constants: Constants | None,
    seed: int | None,
) -> list[Prediction]:
    """Of the rows of all ``groups``, in their order."""
    chosen = [cases[row] for group in groups for row in group]
    table, start, measured = case_table(chosen, gpus), 0, []
    for group in groups:
        own = np.arange(start, start + len(group), dtype=np.int64)
        start += len(group)
        measured.append((own, chosen[own[0]].measured))
    if any(points for _, points in measured):
        table = calibrated(table, measured, gpus, constants)
    answers = predict(table, constants, seed=seed)
    return answers.records(case.id for case in chosen)


def case_table(cases: Sequence[Case], gpus: Mapping[str, GPUSpecification]) -> CaseTable:
    """Cases as columns. ``gpus``: specifications by catalogue name; a case's own ``gpuSpecification`` comes first.

    Raises :class:`CaseError` where a case names a GPU or a MIG profile that is not known.
    """
    specifications = [_specification(case, gpus) for case in cases]
    slices = [_slice(case, gpu) for case, gpu in zip(cases, specifications, strict=True)]
    models, model_index = _categories((case.model for case in cases), lambda model: model.model_dump_json())
    chosen_gpus, gpu_index = _categories(specifications, lambda gpu: gpu.model_dump_json())
    chosen_slices, slice_index = _categories(slices, lambda one: one)
    precisions, precision_index = _categories((case.precision for case in cases), lambda one: one)
    engines, engine_index = _categories((case.engine for case in cases), lambda engine: (engine.name, engine.version))
    return CaseTable(
        models=models,
        gpus=chosen_gpus,
        slices=chosen_slices,
        precisions=precisions,
        engines=engines,
        model_index=model_index,
        gpu_index=gpu_index,
        slice_index=slice_index,
        precision_index=precision_index,
        engine_index=engine_index,
        gpu_count=_integers(case.hardware.gpu_count for case in cases),
        tensor=_integers(case.parallelism.tensor for case in cases),
        pipeline=_integers(case.parallelism.pipeline for case in cases),
        expert=_integers(case.parallelism.expert for case in cases),
        maximum_batch_size=_floats(case.serving.maximum_batch_size for case in cases),
        maximum_batched_tokens=_floats(case.serving.maximum_batched_tokens for case in cases),
        instances=_integers(case.serving.instances for case in cases),
        dynamic_batching=np.array([case.serving.dynamic_batching for case in cases], dtype=np.bool_),
        maximum_queue_delay_seconds=_floats(case.serving.maximum_queue_delay_microseconds for case in cases) * 1e-6,
        load_kind=_integers(int(LOAD_KINDS[case.load.kind]) for case in cases),
        concurrency=_floats(case.load.concurrency for case in cases),
        requests_per_second=_floats(case.load.requests_per_second for case in cases),
        burstiness=_floats(case.load.burstiness for case in cases),
        batch_size=_floats(case.load.batch_size for case in cases),
        input_tokens=_floats(case.request.input_tokens for case in cases),
        input_tokens_p95=np.full(len(cases), np.nan),
        output_tokens=_floats(case.request.output_tokens for case in cases),
        items_per_request=_floats(case.request.items_per_request for case in cases),
        shared_prefix_tokens=_floats(case.request.shared_prefix_tokens for case in cases),
    )


def _specification(case: Case, gpus: Mapping[str, GPUSpecification]) -> GPUSpecification:
    hardware: Hardware = case.hardware
    if hardware.gpu_specification is not None:
        return hardware.gpu_specification
    if hardware.gpu not in gpus:
        raise CaseError(f"case {case.id}: hardware.gpu {hardware.gpu!r} is not a GPU of the catalogue")
    return gpus[hardware.gpu]


def _slice(case: Case, gpu: GPUSpecification) -> MIGProfile | None:
    name = case.hardware.mig_profile
    if name is None:
        return None
    for profile in gpu.mig_profiles:
        if profile.name == name:
            return profile
    known = ", ".join(profile.name for profile in gpu.mig_profiles) or "none"
    raise CaseError(f"case {case.id}: hardware.migProfile {name!r} is not a profile of {gpu.name}, which has: {known}")


def _categories(values: Iterable[Kind], key: Callable[[Kind], object]) -> tuple[tuple[Kind, ...], Integers]:
    """Distinct values by key in order of first use, and each row's index into them."""
    distinct: dict[object, int] = {}
    kept: list[Kind] = []
    index = []
    for value in values:
        position = distinct.setdefault(key(value), len(kept))
        if position == len(kept):
            kept.append(value)
        index.append(position)
    return tuple(kept), np.array(index, dtype=np.int64)


def _integers(values: Iterable[int]) -> Integers:
    return np.fromiter(values, dtype=np.int64)


def _floats(values: Iterable[float | None]) -> Floats:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)
