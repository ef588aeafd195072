"""How far predictions of measured runs are off, log(measured / predicted), by what the runs correct.

A run states what its publisher chose to measure. What one group of metrics lacks another says: tokens of a full replica
come the slower the fewer there are, and power is energy times rate.
"""

import numpy as np

from berth_cost.cases.case import Metrics, Percentiles
from berth_cost.performance.bands import FIRST_TOKEN, POWER, SERVICE, THROUGHPUT
from berth_cost.performance.case_table import Booleans, Floats
from berth_cost.performance.prediction_table import SCALAR, PredictionTable

TIMES = {
    "time_per_output_token_seconds": "timePerOutputTokenSeconds",
    "latency_seconds": "latencySeconds",
    "end_to_end_seconds": "endToEndSeconds",
}
"""What tells service times, the first that was measured."""
RATES = {
    "items_per_second": "itemsPerSecond",
    "output_tokens_per_second": "outputTokensPerSecond",
    "requests_per_second": "requestsPerSecond",
}
ENERGIES = {"joules_per_output_token": "joulesPerOutputToken", "joules_per_request": "joulesPerRequest"}
STATISTICS = ("mean", "p50", "p90", "p95", "p99")
"""The most central first."""


def run_residuals(metrics: Metrics, answers: PredictionTable, offered: Booleans) -> dict[str, Floats]:
    """By calibration group, shapes (n,); nan where the run says nothing. ``offered``: rows whose load states its rate,
    so that measuring it says nothing."""
    rate = _scalar_residual(metrics, RATES, answers)
    service = _first_known([_time_residual(metrics, name, answers) for name in TIMES])
    service = service if np.isfinite(service).any() else -rate
    first = _time_residual(metrics, "time_to_first_token_seconds", answers)
    throughput = np.where(offered | np.isnan(rate), -service, rate)
    power = _residual(metrics.power_watts_per_gpu, "powerWattsPerGPU", SCALAR, answers)
    # Power is the energy of a token times tokens per second, on so many GPUs.
    by_energy = _scalar_residual(metrics, ENERGIES, answers) + np.where(offered, 0.0, throughput)
    return {
        SERVICE: service,
        FIRST_TOKEN: np.where(np.isnan(first), service, first),
        THROUGHPUT: throughput,
        POWER: np.where(np.isnan(power), by_energy, power),
    }


def _first_known(residuals: list[Floats]) -> Floats:
    return next((one for one in residuals if np.isfinite(one).any()), residuals[0])


def _scalar_residual(metrics: Metrics, names: dict[str, str], answers: PredictionTable) -> Floats:
    """Of the first that was measured."""
    return _first_known([_residual(getattr(metrics, name), own, SCALAR, answers) for name, own in names.items()])


def _time_residual(metrics: Metrics, name: str, answers: PredictionTable) -> Floats:
    """Of the most central statistic that was measured."""
    observed: Percentiles | None = getattr(metrics, name)
    for statistic in STATISTICS:
        value = None if observed is None else getattr(observed, statistic)
        if value is not None:
            return _residual(value, TIMES.get(name, "timeToFirstTokenSeconds"), statistic, answers)
    return np.full(len(answers.feasible), np.nan)


def _residual(value: float | None, metric: str, statistic: str, answers: PredictionTable) -> Floats:
    if value is None:
        return np.full(len(answers.feasible), np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.log(value / answers.point[metric][statistic]), dtype=np.float64)
