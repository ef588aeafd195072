"""Seasonal forecast of demand: the usual course of a day or week at the recent level, with a band from its own errors.

The course is the median of earlier seasons at the same place of the season, the level an exponentially weighted mean of
the ratio to it, and the band the empirical quantiles of the errors that the same rule would have made in the history
(Hyndman and Athanasopoulos, Forecasting: Principles and Practice, 3rd ed., 5.2 and 5.5: seasonal naive method and
bootstrapped residuals). Medians keep one odd day from being expected again.

For money: days to weeks ahead, in steps of minutes to an hour, for commitments and the end of the month. How many
replicas will be needed in some minutes is asked of ``berth_scheduler.control.lead_forecast``, another question: that
one looks a cold start ahead, learns from its own misses sample by sample, and bounds how often it is too low.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Forecast:
    """``mean`` has one entry a step ahead; ``log_errors`` are what the rule missed by in the history, as log ratios."""

    mean: Floats
    log_errors: Floats

    def quantile(self, share: float) -> Floats:
        """The demand that is not exceeded with this probability, step by step."""
        return np.asarray(self.mean * np.exp(np.quantile(self.log_errors, share)), dtype=np.float64)

    def scenarios(self, count: int) -> Floats:
        """Equally likely courses, shape (count, steps): the mean scaled by evenly spaced quantiles of the errors."""
        shares = (np.arange(count) + 0.5) / count
        return np.asarray(np.exp(np.quantile(self.log_errors, shares))[:, None] * self.mean, dtype=np.float64)


def forecast(history: Floats, season: int, steps: int, level_half_life: float | None = None) -> Forecast:
    """The next ``steps`` of a series with a season of ``season`` steps.

    ``level_half_life`` in steps; None: one season. Raises ValueError with less than two seasons of history, or where a
    value is negative or not finite.
    """
    means, errors = forecast_all(np.asarray(history, dtype=np.float64)[None, :], season, steps, level_half_life)
    known = errors[0][np.isfinite(errors[0])]
    return Forecast(means[0], known if len(known) else np.zeros(1))


def forecast_all(
    history: Floats, season: int, steps: int, level_half_life: float | None = None
) -> tuple[Floats, Floats]:
    """The same for many series of one length, shape (series, steps of history): what is expected of the next steps,
    shape (series, steps), and what the rule missed by in the history, NaN where there was nothing to compare."""
    known = np.asarray(history, dtype=np.float64)
    count, length = known.shape
    if length < 2 * season:
        raise ValueError(f"{length} steps of history are less than two seasons of {season}")
    if not np.isfinite(known).all() or (known < 0).any():
        raise ValueError("demand must be finite and not negative")
    weight = 1 - 0.5 ** (1 / (level_half_life or season))
    errors = np.full((count, length), np.nan)
    level = np.zeros(count)
    for start in range(season, length - season + 1, season):
        course = _course(known[:, :start], season)
        for place in range(season):
            actual, usual = known[:, start + place], course[:, place]
            compared = (actual > 0) & (usual > 0)
            missed = np.log(np.divide(actual, usual, out=np.ones(count), where=compared)) - level
            errors[:, start + place] = np.where(compared, missed, np.nan)
            level += np.where(compared, weight * missed, 0.0)
    places = (np.arange(steps) + length % season) % season
    return np.asarray(_course(known, season)[:, places] * np.exp(level)[:, None]), errors


def _course(known: Floats, season: int) -> Floats:
    """Median of the whole seasons, counted from the first step, smoothed over three neighbouring steps."""
    whole = known[:, : known.shape[1] // season * season].reshape(len(known), -1, season)
    median = np.median(whole, axis=1)
    return np.asarray((np.roll(median, 1, axis=1) + median + np.roll(median, -1, axis=1)) / 3, dtype=np.float64)
