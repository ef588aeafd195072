"""The 90 % band: how far observations lay from predictions, by metric and engine, and what widens or narrows it.

The edges are empirical: the 5th and 95th percentile of observed over predicted on the measured cases, left as factors.
A GPU whose numbers have no second source and a network with estimated sizes widen it; calibration narrows it.
"""

from collections.abc import Mapping

import numpy as np

from berth_cost.performance.case_table import Calibration, CaseTable, Floats, Integers, LoadKind
from berth_cost.performance.engine_constants import Constants, engine_names
from berth_cost.performance.fitted_constants import GENERAL, BandEdges, FittedConstants
from berth_cost.performance.language.columns import release

RECALLED_WIDENING = 0.10
"""Added to both edges, in logs, where a number of the GPU that the model reads has no second source."""
ESTIMATED_WIDENING = 0.05
"""The same where the activations or inputs of a classic network are estimates: most networks that the edges come from
are such, so that little is left to add."""
NORMAL_EDGE = 1.6448536269514722
"""Standard deviations from the middle of a normal distribution to the edge of its central 90 %."""
TAIL_DEVIATION = 0.10
"""What a high percentile strays from its mean, beside what the mean strays; in logs."""

SERVICE, FIRST_TOKEN, THROUGHPUT, POWER = "service", "first_token", "throughput", "power"
GROUPS = {
    "timePerOutputTokenSeconds": SERVICE,
    "timeToFirstTokenSeconds": FIRST_TOKEN,
    "endToEndSeconds": SERVICE,
    "latencySeconds": SERVICE,
}
"""Calibration group by metric: runs correct times."""
LANGUAGE_GROUPS = {**GROUPS, "outputTokensPerSecond": THROUGHPUT, "powerWattsPerGPU": POWER}
"""Of language models they correct rates and power too; memory is left as it is."""


def band_edges(
    constants: Constants, table: CaseTable, metric: str, statistic: str, widening: Floats
) -> tuple[Floats, Floats]:
    """(low, high) factors on the point, shapes (n,): of ``metric.statistic`` where the constants tell it apart, else of
    ``metric``; of the row's engine where it was seen, else of the general prior. ``widening`` in logs. All rows are
    models of one kind."""
    bands = constants_of_kind(constants, table).bands
    by_slice = bands.get(f"{metric}.{statistic}", bands[metric])
    known = [_edges_of(by_slice, name, load, kind) for name, load, kind in _slices(constants, table)]
    index = (table.engine_index * len(LoadKind) + table.load_kind) * 2 + _has_experts(table)
    widening = widening + unseen_widening(constants, table, metric)
    low = np.log(np.array([one.low for one in known]))[index] - widening
    high = np.log(np.array([one.high for one in known]))[index] + widening
    if table.calibration is not None:
        if is_language(table) and metric in LANGUAGE_GROUPS:
            group = LANGUAGE_GROUPS[metric]
            deviation = _left_open(table.calibration, group, statistic)
            low, high = _narrowed(_run_edges(constants, table, group)[index] * deviation, low, high)
        elif metric in GROUPS:
            low, high = _of_networks(constants, table.calibration, statistic, low, high)
    return np.exp(low), np.exp(high)


def _slices(constants: Constants, table: CaseTable) -> list[tuple[str, str, str]]:
    """All combinations of engine, load and kind of model, in the order of the index into them."""
    loads = [kind.name.lower() for kind in LoadKind]
    names = engine_names(constants, table)
    return [(name, load, kind) for name in names for load in loads for kind in ("dense", "moe")]


def _edges_of(by_slice: Mapping[str, BandEdges], engine: str, load: str, kind: str) -> BandEdges:
    """Of the narrowest slice that has edges."""
    for name in (f"{engine}/{load}/{kind}", f"{engine}/{load}", engine):
        if name in by_slice:
            return by_slice[name]
    return by_slice[GENERAL]


def _has_experts(table: CaseTable) -> Integers:
    experts = [model.transformer is not None and model.transformer.experts is not None for model in table.models]
    return np.array(experts, dtype=np.int64)[table.model_index]


def _run_edges(constants: Constants, table: CaseTable, group: str) -> Floats:
    """Deviations from the point to the edge, by the index of :func:`_slices`."""
    by_slice = constants.language.run_edges.get(group, {})
    found = []
    for engine, load, kind in _slices(constants, table):
        names = (f"{engine}/{load}/{kind}", f"{engine}/{load}", engine, GENERAL)
        found.append(next((by_slice[name] for name in names if name in by_slice), NORMAL_EDGE))
    return np.array(found)


def unseen_widening(constants: Constants, table: CaseTable, metric: str) -> Floats:
    """What GPUs, precisions, engines and releases that nobody measured add to each edge, in logs; shape (n,). They add
    up as independent errors do."""
    known = constants_of_kind(constants, table).unseen
    labels = {
        "engine": (engine_names(constants, table), table.engine_index),
        "gpu": ([gpu.name for gpu in table.gpus], table.gpu_index),
        "precision": (list(table.precisions), table.precision_index),
        "version": ([release(engine) for engine in table.engines], table.engine_index),
    }
    squares = np.zeros(len(table))
    for kind, (names, index) in labels.items():
        unseen = known.get(kind)
        if unseen is None or metric not in unseen.widening:
            continue
        added = np.array([0.0 if name in unseen.measured else unseen.widening[metric] ** 2 for name in names])
        squares = squares + added[index]
    return np.sqrt(squares)


def _left_open(calibration: Calibration, group: str, statistic: str) -> Floats:
    """Deviation of what the runs of language models leave open, in logs; nan where there are none."""
    if calibration.deviation is None:
        return np.full(len(calibration.evidence), np.nan)
    tail = TAIL_DEVIATION if statistic in ("p90", "p95", "p99") else 0.0
    return np.hypot(calibration.deviation[group], tail)


def _narrowed(width: Floats, low: Floats, high: Floats) -> tuple[Floats, Floats]:
    """The log edges; where ``width`` is known that far to both sides of the point, which the runs have moved, and no
    further than the farther edge without them."""
    told = np.isfinite(width)
    width = np.minimum(width, np.maximum(-low, high))
    return np.where(told, -width, low), np.where(told, width, high)


def _of_networks(
    constants: Constants, calibration: Calibration, statistic: str, low: Floats, high: Floats
) -> tuple[Floats, Floats]:
    """The log edges, of classic networks with runs by what their own regression leaves open: never more than without
    runs, where the network's size is known."""
    if calibration.network is None:
        return low, high
    prior = constants.classic.calibration
    tail = prior.tail if statistic in ("p90", "p95", "p99") else 0.0
    width = prior.quantile * np.hypot(calibration.network.deviation, tail)
    width = np.where(calibration.assumed_size, width, np.minimum(width, np.maximum(-low, high)))
    told = np.isfinite(calibration.network.deviation)
    return np.where(told, -width, low), np.where(told, width, high)


def constants_of_kind(constants: Constants, table: CaseTable) -> FittedConstants:
    """Those of the kind of model that all rows of ``table`` are."""
    return constants.language if is_language(table) else constants.classic


def is_language(table: CaseTable) -> bool:
    """Of a table whose rows are models of one kind."""
    return len(table) > 0 and table.models[table.model_index[0]].transformer is not None


def calibration_factor(table: CaseTable, metric: str) -> Floats:
    """What measured runs multiply the metric by, shape (n,); 1 without any."""
    if table.calibration is None:
        return np.ones(len(table))
    return np.exp(table.calibration.log_factor[LANGUAGE_GROUPS[metric]])
