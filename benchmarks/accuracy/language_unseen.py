"""What less certain cases add to the bands of language models: GPUs, precisions and releases without measurements, and
what measured runs leave open. All from cases that the constants had not seen."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from language_bands import CENTRAL, FEWEST, METRICS, banded, slice_names
from language_levels import NOT_SERVING
from language_splits import Residuals, joined, residuals_at
from language_table import ends, middle, of_rows, told
from numpy.typing import NDArray

from berth_cost.cases.case import Case
from berth_cost.cases.records import case_table
from berth_cost.hardware.gpu_catalogue import GPUSpecification
from berth_cost.performance.bands import LANGUAGE_GROUPS, NORMAL_EDGE
from berth_cost.performance.engine_constants import Constants, engine_names
from berth_cost.performance.fitted_constants import GENERAL
from berth_cost.performance.prediction import predict

Document = dict[str, Any]
Floats = NDArray[np.float64]
KINDS = {"gpu": "gpu", "precision": "precision", "version": "version"}
"""The split that tells what an unseen one adds, and the label of a residual that names it."""
INSIDE = 0.90
FEWEST_DEVIATIONS, MOST_DEVIATIONS = NORMAL_EDGE, 4.0
"""Between which the edge of a told band lies: runs of a slice are few, and some are odd."""
PICKS = (middle, ends)


def unseen_of(
    residuals: Mapping[str, Residuals], bands: Mapping[str, Mapping[str, Document]], widest: float = 1.5
) -> dict[str, Document]:
    """By kind: what is measured, and by how much the edges must move for 90 % of its unseen ones to lie within.

    Each unseen one counts by the root of its residuals, so that a GPU with hundreds does not decide alone.
    """
    found = {}
    for kind, label in KINDS.items():
        left_out = banded(residuals[kind])
        left_out = left_out.where(~np.isin(left_out.source, NOT_SERVING))
        names = getattr(left_out, label)
        widening = {}
        for metric in METRICS:
            labels = (metric, *(f"{metric}.{name}" for name in CENTRAL))
            mine = np.isin(left_out.metric, labels)
            if mine.sum() < FEWEST or metric not in bands:
                continue
            beyond = outside(left_out.where(mine), bands[metric])
            _, which, counts = np.unique(names[mine], return_inverse=True, return_counts=True)
            widening[metric] = round(float(np.clip(quantile(beyond, 1 / np.sqrt(counts[which])), 0.0, widest)), 3)
        found[kind] = {"measured": sorted(set(names.tolist())), "widening": widening}
    return found


def outside(residuals: Residuals, by_slice: Mapping[str, Document]) -> Floats:
    """How far each residual lies beyond the nearer edge of its slice, in logs; below 0 inside."""
    found = np.empty(len(residuals.ratio))
    for row, ratio in enumerate(residuals.ratio):
        engine, load, experts = residuals.engine[row], residuals.load[row], residuals.experts[row]
        edges = next(by_slice[name] for name in (*slice_names(engine, load, experts), GENERAL) if name in by_slice)
        found[row] = max(np.log(edges["low"]) - ratio, ratio - np.log(edges["high"]))
    return found


def quantile(values: Floats, weight: Floats) -> float:
    order = np.argsort(values)
    share = np.cumsum(weight[order]) / weight.sum()
    return float(values[order][np.searchsorted(share, INSIDE)])


def run_edges_of(
    folds: Sequence[tuple[list[Case], Constants]], gpus: Mapping[str, GPUSpecification]
) -> dict[str, dict[str, float]]:
    """By calibration group and slice: within how many of the deviations that runs leave open 90 % of a deployment's
    other loads lie, told one run and two, of models that the constants had not seen. ``folds``: those models' cases,
    and the constants with their bands and covariances."""
    groups = sorted(set(LANGUAGE_GROUPS.values()))
    parts: dict[tuple[str, int], list[tuple[Residuals, Floats]]] = {
        (group, pick): [] for group in groups for pick in range(len(PICKS))
    }
    for own, constants in folds:
        table = case_table(own, gpus)
        engine = np.array(engine_names(constants, table))[table.engine_index]
        rows = {case.id: row for row, case in enumerate(own)}
        for pick, picks in enumerate(PICKS):
            with_runs, asked = told(own, table, picks, gpus, constants)
            residuals = of_rows(residuals_at(own, predict(with_runs, constants), engine), own, asked)
            calibration = with_runs.calibration
            if calibration is None or calibration.deviation is None or not len(residuals.ratio):
                continue
            for group in groups:
                mine = banded(residuals.where(np.isin(residuals.metric, labels_of(group))))
                deviation = calibration.deviation[group][[rows[name] for name in mine.case]]
                parts[group, pick].append((mine, np.abs(mine.ratio) / deviation))
    return {group: widest([edges_by_slice(parts[group, pick]) for pick in range(len(PICKS))]) for group in groups}


def labels_of(group: str) -> list[str]:
    """Metrics of the group, and their central statistics."""
    metrics = [metric for metric, its in LANGUAGE_GROUPS.items() if its == group]
    return [label for metric in metrics for label in (metric, *(f"{metric}.{name}" for name in CENTRAL))]


def widest(edges: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Of one run and of two: neither is promised more than it holds."""
    return {name: max(one[name] for one in edges if name in one) for name in sorted(set().union(*edges))}


def edges_by_slice(parts: Sequence[tuple[Residuals, Floats]]) -> dict[str, float]:
    residuals, distance = joined([part for part, _ in parts]), np.concatenate([part for _, part in parts])
    known = np.isfinite(distance)
    residuals, distance = residuals.where(known), distance[known]
    every = [slice_names(*labels) for labels in zip(residuals.engine, residuals.load, residuals.experts, strict=True)]
    found = {GENERAL: edge_of(distance)}
    for name in sorted({name for names in every for name in names}):
        mine = np.array([name in names for names in every])
        if mine.sum() >= FEWEST:
            found[str(name)] = edge_of(distance[mine])
    return found


def edge_of(distance: Floats) -> float:
    return round(float(np.clip(np.quantile(distance, INSIDE), FEWEST_DEVIATIONS, MOST_DEVIATIONS)), 3)
