"""What measured runs of a model say about cases that were not measured.

Each run is predicted as every row sees it (what it leaves out is as in the row); its residual, log(measured /
predicted), is what the model is off by there. What that says about the row is for ``language_calibration`` and
``classic_calibration``; how sure it is, in one word, goes by likeness, ρ from 0 to 1.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from berth_cost.cases.case import Dense, Hardware, MeasuredPoint, Model
from berth_cost.hardware.gpu_catalogue import GPUSpecification
from berth_cost.performance.bands import LANGUAGE_GROUPS, NORMAL_EDGE, SERVICE, band_edges
from berth_cost.performance.case_table import Booleans, Calibration, CaseTable, Floats, Integers, LoadKind, Objects
from berth_cost.performance.classic.calibration import calibrated_networks
from berth_cost.performance.classic.network_runs import NetworkRun
from berth_cost.performance.engine_constants import Constants, built_in_constants
from berth_cost.performance.feasibility import is_transformer
from berth_cost.performance.language import calibration as language_calibration
from berth_cost.performance.language.run_residuals import run_residuals
from berth_cost.performance.language.step_shares import step_shares
from berth_cost.performance.prediction import predict

TYPICAL = {"parameters": 25e6, "flops_per_inference": 4e9}
LIKE_OTHER_GPU, LIKE_OTHER_ENGINE, LIKE_OTHER_PRECISION, LIKE_OTHER_SPLIT = 0.5, 0.5, 0.7, 0.7
"""ρ of a run that differs in that way alone; differences multiply."""
LIKE_OTHER_LOAD_KIND = 0.7
LOAD_REACH = 3.0
"""e-folds of load, batch or length over which ρ falls to 1/e."""

Kind = TypeVar("Kind")


class CalibrationError(ValueError):
    """A measured run names a GPU or a MIG profile that is not known."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one run says about some rows; shapes (n,)."""

    run: CaseTable
    """The run as each row sees it."""
    headroom: Floats
    """1 far from saturation, towards 0 near it."""
    likeness: Floats
    """ρ, 0 where the run says nothing (no residual could be formed)."""
    residual: dict[str, Floats]
    """By group, log(measured / predicted)."""
    same_deployment: Booleans
    load_ratio: Floats
    """log(load of the run / load asked for), nan where they are of different kinds."""


def calibrated(
    table: CaseTable,
    measured: Iterable[tuple[Integers, Sequence[MeasuredPoint]]],
    gpus: Mapping[str, GPUSpecification],
    constants: Constants | None = None,
) -> CaseTable:
    """``table`` with its ``calibration`` filled. ``measured``: rows, and the runs of the model that those rows share.

    What a run leaves out is as in each row. ``gpus`` by catalogue name. Raises :class:`CalibrationError`.
    """
    constants = constants or built_in_constants()
    measured = [(rows, points) for rows, points in measured if len(rows) and points]
    unknown, count = table.model_index, len(table)
    table, assumed = _completed(table, [rows for rows, _ in measured])
    covariances = constants.language.run_covariance
    factor = {group: np.zeros(count) for group in covariances}
    grade = np.full(count, "estimated", dtype=object)
    deviation = {group: np.full(count, np.nan) for group in covariances}
    language = is_transformer(table)
    for every, points in measured:
        rows = every[language[every]]
        if not len(rows):
            continue
        asked = table.rows(rows)
        evidence = [_evidence(asked, point, gpus, constants) for point in points]
        places = [_place(asked, one.run, constants) for one in evidence]
        headroom = np.stack([one.headroom for one in evidence], axis=1)
        near = language_calibration.neighbours(_place(asked, asked, constants), places, headroom)
        for group, covariance in covariances.items():
            residual = np.stack([one.residual[group] for one in evidence], axis=1)
            before = _deviation_before(asked, group, constants)
            found = language_calibration.posterior(near, residual, covariance, before)
            factor[group][rows], deviation[group][rows] = found
        grade[rows] = _grades(evidence)
    networks = calibrated_networks(table, _network_runs(table, measured, ~language, gpus), assumed, constants)
    factor[SERVICE][~language], grade[~language] = networks.log_factor[~language], networks.evidence[~language]
    # Where no run says anything either, the size stays unknown, and the case is refused for it.
    silent = assumed & (grade == "estimated")
    table = replace(table, model_index=np.where(silent, unknown, table.model_index))
    return replace(table, calibration=Calibration(factor, grade, assumed & ~silent, deviation, networks.network))


def _deviation_before(asked: CaseTable, group: str, constants: Constants) -> Floats:
    """Of the residuals of the group's metric where nothing was measured, as the row's band says; in logs."""
    metric = next(name for name, own in LANGUAGE_GROUPS.items() if own == group)
    low, high = band_edges(constants, replace(asked, calibration=None), metric, "mean", np.zeros(len(asked)))
    return np.log(high / low) / (2 * NORMAL_EDGE)


def _place(asked: CaseTable, run: CaseTable, constants: Constants) -> language_calibration.Place:
    """Codes are 0 where the run is as the row, else the run's own category: two runs may share what the row has not."""

    def codes(same: Booleans, index: Integers) -> Floats:
        return np.where(same, 0.0, index + 1.0)

    split = ((run.gpu_count * 64 + run.tensor) * 64 + run.pipeline) * 64 + run.expert
    return language_calibration.Place(
        table=run,
        gpu=codes(_same_gpu(asked, run), run.gpu_index),
        engine=codes(_same_engine(asked, run), run.engine_index),
        precision=codes(_same_precision(asked, run), run.precision_index),
        split=codes(_same_split(asked, run), split),
        shares=step_shares(run, constants),
    )


def _network_runs(
    table: CaseTable,
    measured: Sequence[tuple[Integers, Sequence[MeasuredPoint]]],
    networks: Booleans,
    gpus: Mapping[str, GPUSpecification],
) -> list[NetworkRun]:
    """The runs of the rows that are classic networks."""
    runs = []
    for rows, points in measured:
        chosen = rows[networks[rows]]
        if len(chosen):
            asked = table.rows(chosen)
            runs += [NetworkRun(chosen, _as_run(asked, point, gpus), point.metrics) for point in points]
    return runs


def _completed(table: CaseTable, groups: Sequence[Integers]) -> tuple[CaseTable, Booleans]:
    """The uncalibrated table with a typical network in place of the numbers that nobody knows, where runs tell its
    speed anyway; and which rows that concerns."""
    models = list(table.models)
    index, assumed = table.model_index.copy(), np.zeros(len(table), dtype=np.bool_)
    for rows in groups:
        for model in np.unique(table.model_index[rows]):
            dense = table.models[model].dense
            if dense is None or None not in (dense.flops_per_inference, dense.parameters):
                continue
            known = {name: value for name, value in dense if value is not None}
            models.append(Model(name=table.models[model].name, dense=Dense(**{**TYPICAL, **known})))
            concerned = rows[table.model_index[rows] == model]
            index[concerned], assumed[concerned] = len(models) - 1, True
    return replace(table, models=tuple(models), model_index=index, calibration=None), assumed


def _grades(evidence: Sequence[Evidence]) -> Objects:
    """measured: this very load was run; interpolated: runs of the deployment lie on both sides; calibrated: any run."""
    says = np.stack([one.likeness > 0 for one in evidence])
    same = np.stack([one.same_deployment for one in evidence]) & says
    ratio = np.stack([one.load_ratio for one in evidence])
    exact = (same & (np.abs(ratio) < 1e-6) & (np.stack([one.likeness for one in evidence]) > 0.999)).any(axis=0)
    between = (same & (ratio <= 0)).any(axis=0) & (same & (ratio >= 0)).any(axis=0)
    grades = np.full(says.shape[1], "estimated", dtype=object)
    grades[says.any(axis=0)] = "calibrated"
    grades[between] = "interpolated"
    grades[exact] = "measured"
    return grades


def _evidence(
    asked: CaseTable, point: MeasuredPoint, gpus: Mapping[str, GPUSpecification], constants: Constants
) -> Evidence:
    run = _as_run(asked, point, gpus)
    answers = predict(run, constants)
    offered = run.load_kind == LoadKind.OPEN
    residual = run_residuals(point.metrics, answers, offered)
    # Near saturation a latency says more about the queue than about the service.
    headroom = np.where(offered, 1 - np.nan_to_num(answers.utilization), 1.0)
    likeness = _likeness(asked, run) * headroom
    return Evidence(
        run=run,
        headroom=headroom,
        likeness=np.where(np.isfinite(list(residual.values())).any(axis=0), likeness, 0.0),
        residual=residual,
        same_deployment=_same_deployment(asked, run),
        load_ratio=_load_ratio(asked, run),
    )


def _likeness(asked: CaseTable, run: CaseTable) -> Floats:
    """ρ of run and row, shape (n,)."""
    likeness = np.where(_same_gpu(asked, run), 1.0, LIKE_OTHER_GPU)
    likeness = likeness * np.where(_same_engine(asked, run), 1.0, LIKE_OTHER_ENGINE)
    likeness = likeness * np.where(_same_precision(asked, run), 1.0, LIKE_OTHER_PRECISION)
    likeness = likeness * np.where(_same_split(asked, run), 1.0, LIKE_OTHER_SPLIT)
    ratio = _load_ratio(asked, run)
    near = np.exp(-np.abs(np.nan_to_num(ratio)) / LOAD_REACH)
    likeness = likeness * np.where(np.isnan(ratio), LIKE_OTHER_LOAD_KIND, near)
    for name in ("input_tokens", "output_tokens", "items_per_request", "maximum_batch_size", "instances"):
        distance = np.abs(np.log(getattr(run, name) / getattr(asked, name)))
        likeness = likeness * np.exp(-np.nan_to_num(distance) / LOAD_REACH)
    return np.asarray(likeness, dtype=np.float64)


def _same_split(asked: CaseTable, run: CaseTable) -> Booleans:
    names = ("gpu_count", "tensor", "pipeline", "expert")
    alike = [getattr(run, name) == getattr(asked, name) for name in names]
    return np.asarray(np.logical_and.reduce(alike), dtype=np.bool_)


def _same_gpu(asked: CaseTable, run: CaseTable) -> Booleans:
    gpus = _same(asked.gpus, asked.gpu_index, run.gpus, run.gpu_index)
    return gpus & _same(asked.slices, asked.slice_index, run.slices, run.slice_index)


def _same_engine(asked: CaseTable, run: CaseTable) -> Booleans:
    return _same(asked.engines, asked.engine_index, run.engines, run.engine_index)


def _same_precision(asked: CaseTable, run: CaseTable) -> Booleans:
    return _same(asked.precisions, asked.precision_index, run.precisions, run.precision_index)


def _same(ours: Sequence[object], our_index: Integers, theirs: Sequence[object], their_index: Integers) -> Booleans:
    """Whether the categories of each row are equal: a table may name one category several times."""
    # Only the pairs that there are: a table may know thousands of categories, and the rows of one model use a few.
    pairs, which = np.unique(our_index * len(theirs) + their_index, return_inverse=True)
    equal = [ours[pair // len(theirs)] == theirs[pair % len(theirs)] for pair in pairs.tolist()]
    return np.asarray(np.array(equal, dtype=np.bool_)[which], dtype=np.bool_)


def _same_deployment(asked: CaseTable, run: CaseTable) -> Booleans:
    alike = _same_gpu(asked, run) & _same_engine(asked, run) & _same_precision(asked, run)
    alike = alike & _same_split(asked, run) & (asked.instances == run.instances)
    return np.asarray(alike, dtype=np.bool_)


def _load_ratio(asked: CaseTable, run: CaseTable) -> Floats:
    """log of the loads' ratio where both are of one kind; 0 for two saturated ones, nan for different kinds."""
    ratio = np.full(len(asked), np.nan)
    same = asked.load_kind == run.load_kind
    for kind, name in (
        (LoadKind.CLOSED, "concurrency"),
        (LoadKind.OPEN, "requests_per_second"),
        (LoadKind.BATCH, "batch_size"),
    ):
        chosen = same & (asked.load_kind == kind)
        ratio[chosen] = np.log(getattr(run, name)[chosen] / getattr(asked, name)[chosen])
    ratio[same & (asked.load_kind == LoadKind.SATURATED)] = 0.0
    return ratio


def _as_run(asked: CaseTable, point: MeasuredPoint, gpus: Mapping[str, GPUSpecification]) -> CaseTable:
    """The rows of ``asked`` with what the run states in place of their own."""
    changed: dict[str, object] = {}
    count = len(asked)

    def every(value: float | None) -> Floats:
        return np.full(count, np.nan if value is None else value)

    def each(value: int) -> Integers:
        return np.full(count, value, dtype=np.int64)

    if point.hardware is not None:
        changed |= _hardware(asked, point.hardware, gpus)
    if point.precision is not None:
        changed["precisions"], index = _with(asked.precisions, point.precision)
        changed["precision_index"] = each(index)
    if point.engine is not None:
        changed["engines"], index = _with(asked.engines, point.engine)
        changed["engine_index"] = each(index)
    if point.parallelism is not None:
        changed |= {name: each(getattr(point.parallelism, name)) for name in ("tensor", "pipeline", "expert")}
    if point.serving is not None:
        changed |= {
            "maximum_batch_size": every(point.serving.maximum_batch_size),
            "maximum_batched_tokens": every(point.serving.maximum_batched_tokens),
            "instances": each(point.serving.instances),
            "dynamic_batching": np.full(count, point.serving.dynamic_batching),
            "maximum_queue_delay_seconds": every(point.serving.maximum_queue_delay_microseconds * 1e-6),
        }
    if point.load is not None:
        changed |= {
            "load_kind": each(int(LoadKind[point.load.kind.upper()])),
            "concurrency": every(point.load.concurrency),
            "requests_per_second": every(point.load.requests_per_second),
            "burstiness": every(point.load.burstiness),
            "batch_size": every(point.load.batch_size),
        }
    if point.request is not None:
        changed |= {
            "input_tokens": every(point.request.input_tokens),
            "input_tokens_p95": every(None),
            "output_tokens": every(point.request.output_tokens),
            "items_per_request": every(point.request.items_per_request),
            "shared_prefix_tokens": every(point.request.shared_prefix_tokens),
        }
    return replace(asked, **changed)  # type: ignore[arg-type]  # names and types are those of the columns above


def _hardware(asked: CaseTable, hardware: Hardware, gpus: Mapping[str, GPUSpecification]) -> dict[str, object]:
    gpu = hardware.gpu_specification or gpus.get(hardware.gpu)
    if gpu is None:
        raise CalibrationError(f"measured: hardware.gpu {hardware.gpu!r} is not a GPU of the catalogue")
    profile = None if hardware.mig_profile is None else gpu.mig_profile(hardware.mig_profile)
    if hardware.mig_profile is not None and profile is None:
        raise CalibrationError(f"measured: {gpu.name} has no MIG profile {hardware.mig_profile!r}")
    kinds, gpu_index = _with(asked.gpus, gpu)
    slices, slice_index = _with(asked.slices, profile)
    count = len(asked)
    return {
        "gpus": kinds,
        "gpu_index": np.full(count, gpu_index, dtype=np.int64),
        "slices": slices,
        "slice_index": np.full(count, slice_index, dtype=np.int64),
        "gpu_count": np.full(count, hardware.gpu_count, dtype=np.int64),
    }


def _with(categories: tuple[Kind, ...], value: Kind) -> tuple[tuple[Kind, ...], int]:
    """The categories with ``value`` among them, and where it is."""
    if value in categories:
        return categories, categories.index(value)
    return (*categories, value), len(categories)
