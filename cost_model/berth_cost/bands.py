"""The 90 % band: how far observations lay from predictions, by metric and engine, and what widens or narrows it.

The edges are empirical: the 5th and 95th percentile of observed over predicted on the measured cases, left as factors.
A GPU whose numbers have no second source and a network with estimated sizes widen it; calibration narrows it.
"""

import numpy as np

from berth_cost.case_table import Calibration, CaseTable, Floats
from berth_cost.engine_constants import Constants, engine_names
from berth_cost.fitted_constants import GENERAL, FittedConstants

RECALLED_WIDENING = 0.10
"""Added to both edges, in logs, where a number of the GPU that the model reads has no second source."""
ESTIMATED_WIDENING = 0.05
"""The same where the activations or inputs of a classic network are estimates: most networks that the edges come from
are such, so that little is left to add."""
UNMEASURED_WIDENING = 0.20
"""The same of classic networks on a GPU that no measurement entered the constants of: left out of the fit, GPUs were
off by 2 to 40 % on average."""

GROUPS = {
    "timeToFirstTokenSeconds": "first_token",
    "timePerOutputTokenSeconds": "service",
    "endToEndSeconds": "service",
    "latencySeconds": "service",
}
"""Calibration group by metric: runs correct times, and leave memory and power as they are."""


def band_edges(
    constants: Constants, table: CaseTable, metric: str, statistic: str, widening: Floats
) -> tuple[Floats, Floats]:
    """(low, high) factors on the point, shapes (n,): of ``metric.statistic`` where the constants tell it apart, else of
    ``metric``; of the row's engine where it was seen, else of the general prior. ``widening`` in logs. All rows are
    models of one kind."""
    bands = constants_of_kind(constants, table).bands
    by_engine = bands.get(f"{metric}.{statistic}", bands[metric])
    known = [by_engine.get(name, by_engine[GENERAL]) for name in engine_names(constants, table)]
    index = table.engine_index
    low = np.log(np.array([one.low for one in known]))[index] - widening
    high = np.log(np.array([one.high for one in known]))[index] + widening
    if table.calibration is not None and metric in GROUPS:
        share = table.calibration.residual_share[GROUPS[metric]]
        low, high = low * share, high * share
        low, high = _of_networks(constants, table.calibration, statistic, low, high)
    return np.exp(low), np.exp(high)


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
    language = table.models[table.model_index[0]].transformer is not None
    return constants.language if language else constants.classic


def calibration_factor(table: CaseTable, metric: str) -> Floats:
    """What measured runs multiply the metric's time by, shape (n,); 1 without any."""
    if table.calibration is None:
        return np.ones(len(table))
    return np.exp(table.calibration.log_factor[GROUPS[metric]])
