"""Hazard of spot capacity: how likely each zone is to lose its capacity within the next tick, from what it did so far.

A logistic regression (discrete-time hazard model; Allison, Sociological Methodology 13, 1982) on the time since
capacity came, by single ticks while young and by knots in its logarithm afterwards, on how much and how steadily the
zone was up lately, and on what its neighbours in the region do. It knows no zone by name, so it answers for zones that
it has never seen. It is fitted by Newton's method with a ridge penalty; the fit is data (``data/spot_hazard.yaml``).

Losses in one region come together. When one zone loses capacity the others of its region do so at the same tick far
more often than chance has it, at any level of hazard; between regions they do not. So a region is drawn as a mixture:
with the probability ``shared_shock`` one common draw decides for all of its zones, otherwise each has its own.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from berth_cost.document import known_keys_only, parse_yaml, read_built_in, validate
from berth_cost.record import Record
from berth_cost.spot.trace import SpotTrace

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]

YOUNG_TICKS = 13
"""Ages that have a hazard of their own. Capacity is probed at a rhythm, and some ages never see a loss."""
REGION_RHYTHM_TICKS = 12
"""Ticks since anything changed in the region that have a hazard of their own: where a provider moves capacity at a
rhythm, or a trace was probed at one, it shows there."""
AGE_KNOTS = (0, 2, 4, 8, 16, 32, 64, 128, 256)
UP_HALF_LIVES = (3, 10, 30, 100, 300)
LOSS_HALF_LIVES = (5, 20, 80, 300)
REGION_HALF_LIVES = (4, 16, 64, 250)
AGE_BEFORE_START = 30
"""Ticks that capacity is taken to have lasted before the first tick of a trace; nobody knows."""
TYPICAL_UP_SHARE, TYPICAL_LOSS_RATE = 0.65, 0.01
"""What moving averages start from: the mean of the nine V100 zones of the built-in fit."""

FEATURES: tuple[str, ...] = (
    *(f"age{age}" for age in range(1, YOUNG_TICKS + 1)),
    *(f"logAgeAbove{knot}" for knot in AGE_KNOTS),
    *(f"regionQuiet{ticks}" for ticks in range(REGION_RHYTHM_TICKS)),
    *(f"upShare{half_life}" for half_life in UP_HALF_LIVES),
    *(f"losses{half_life}" for half_life in LOSS_HALF_LIVES),
    "neighbourLostNow",
    *(f"neighbourLosses{half_life}" for half_life in REGION_HALF_LIVES),
    "neighboursUp",
    "neighboursUp10",
    "neighboursUp60",
)


class Emphasis(Record):
    """How a policy weighs readiness against money, found by replay on the days of the fit.

    ``shortfall_weight``: a tick short of ready replicas counts as that many replica-ticks on demand.
    ``hysteresis``: a zone not yet held counts as that much dearer, in replica-ticks on demand.
    ``shock_weight``: how much of the measured ``shared_shock`` counts. One draw for a whole region is too gloomy about
    three zones at once, which replays show and pairs do not.
    """

    shortfall_weight: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    hysteresis: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    shock_weight: Annotated[float, Field(ge=0, le=1)] = 1.0


class HazardFit(Record):
    """A fitted model. ``coefficients`` are per unit of the feature as :func:`features` gives it."""

    source: str
    tick_seconds: Annotated[float, Field(gt=0)]
    intercept: float
    coefficients: Mapping[str, float]
    shared_shock: Annotated[float, Field(ge=0, le=1)]
    emphasis: Mapping[str, Emphasis] = {}
    """By percentage of ready ticks aimed at, as text: "99", "99.9"."""

    @model_validator(mode="after")
    def _complete(self) -> "HazardFit":
        wrong = sorted(set(self.coefficients) ^ set(FEATURES))
        if wrong:
            raise ValueError(f"coefficients must be those of the features; missing or unknown: {', '.join(wrong)}")
        return self


def hazards_of(
    fits: Sequence[HazardFit], fit_of_tick: NDArray[np.int64], trace: SpotTrace, tick_seconds: float
) -> Floats:
    """P(no capacity at the next tick), shape (ticks, zones), from the ticks up to that one; 1 where there is none.

    ``fit_of_tick``: which of the fits answers for each tick, shape (ticks,); they are of one length of tick. Where the
    trace has another one, ages and half-lives are taken in time, and the hazard is rescaled to its tick.
    """
    ratio = tick_seconds / fits[0].tick_seconds
    log_odds = np.zeros(trace.nodes.shape) + np.array([fit.intercept for fit in fits])[fit_of_tick][:, None]
    for name, column in features(trace, ratio):
        log_odds += np.array([fit.coefficients[name] for fit in fits])[fit_of_tick][:, None] * column
    hazard = 1 - np.power(1 - _logistic(log_odds), ratio)
    return np.asarray(np.where(trace.nodes > 0, hazard, 1.0), dtype=np.float64)


@cache
def built_in_fit() -> HazardFit:
    """The fit of this package: nine AWS V100 zones, 30 days of 2023."""
    return read_fit(read_built_in("spot_hazard.yaml"), "spot_hazard.yaml")


def read_fit(text: str, file: str) -> HazardFit:
    """A fit from YAML. Raises :class:`DocumentError`."""
    document = parse_yaml(text, file)
    known_keys_only(document, ("fit",), file)
    return validate(HazardFit, document.get("fit"), file, "fit")


def features(trace: SpotTrace, ratio: float = 1.0) -> Iterable[tuple[str, Floats]]:
    """Name and values, shape (ticks, zones), of each feature; ``ratio``: length of a tick in ticks of the fit."""
    up = trace.nodes > 0
    lost = np.zeros_like(up)
    lost[1:] = up[:-1] & ~up[1:]
    neighbour = _neighbours(trace.regions)
    count = neighbour.sum(axis=0)
    # A zone alone in its region has neighbours that do as they typically do.
    neighbour_losses = np.where(count > 0, (lost @ neighbour) / np.maximum(count, 1), TYPICAL_LOSS_RATE)
    neighbours_up = np.where(count > 0, (up @ neighbour) / np.maximum(count, 1), TYPICAL_UP_SHARE)
    age = np.rint(_ages(up) * ratio)
    log_age = np.log1p(age)
    for young in range(1, YOUNG_TICKS + 1):
        yield f"age{young}", (age == young).astype(float)
    for knot in AGE_KNOTS:
        yield f"logAgeAbove{knot}", np.maximum(log_age - np.log1p(knot), 0)
    quiet = np.rint(_region_quiet(up, neighbour) * ratio)
    for ticks in range(REGION_RHYTHM_TICKS):
        yield f"regionQuiet{ticks}", (quiet == ticks).astype(float)
    for half_life in UP_HALF_LIVES:
        yield f"upShare{half_life}", _moving_average(up, half_life / ratio, TYPICAL_UP_SHARE)
    for half_life in LOSS_HALF_LIVES:
        yield f"losses{half_life}", np.sqrt(_moving_average(lost, half_life / ratio, TYPICAL_LOSS_RATE))
    yield "neighbourLostNow", ((lost @ neighbour) > 0).astype(float)
    for half_life in REGION_HALF_LIVES:
        average = _moving_average(neighbour_losses, half_life / ratio, TYPICAL_LOSS_RATE)
        yield f"neighbourLosses{half_life}", np.sqrt(average)
    yield "neighboursUp", neighbours_up
    for half_life in (10, 60):
        yield f"neighboursUp{half_life}", _moving_average(neighbours_up, half_life / ratio, TYPICAL_UP_SHARE)


@dataclass(frozen=True, slots=True)
class HazardSample:
    """What a fit is made of: per tick and zone with capacity, the features and whether it was lost at the next tick."""

    tick: NDArray[np.int64]
    zone: NDArray[np.int64]
    values: Floats
    """Shape (observations, features), in the order of FEATURES."""
    lost: Floats

    @classmethod
    def of(cls, trace: SpotTrace) -> "HazardSample":
        up = trace.nodes > 0
        tick, zone = np.nonzero(up[:-1])
        values = np.stack([column[tick, zone] for _, column in features(trace)], axis=1)
        return cls(tick, zone, values, (~up[tick + 1, zone]).astype(float))

    def where(self, chosen: Booleans) -> "HazardSample":
        return HazardSample(self.tick[chosen], self.zone[chosen], self.values[chosen], self.lost[chosen])


def fit_hazard(
    sample: HazardSample, regions: tuple[str, ...], tick_seconds: float, source: str, ridge: float = 10.0
) -> HazardFit:
    """Fit by Newton's method on standardised features; ``ridge`` is the penalty on each squared coefficient.

    Raises ValueError where the sample has no loss, or nothing but losses: there is nothing to learn from.
    """
    if not 0 < sample.lost.sum() < len(sample.lost):
        raise ValueError("the days to fit on have no loss of capacity, or nothing else: give a longer trace")
    mean, spread = sample.values.mean(axis=0), sample.values.std(axis=0)
    spread = np.where(spread > 1e-9, spread, 1.0)
    design = np.column_stack([np.ones(len(sample.lost)), (sample.values - mean) / spread])
    weights = _newton(design, sample.lost, ridge)
    per_unit = weights[1:] / spread
    predicted = _logistic(design @ weights)
    return HazardFit(
        source=source,
        tick_seconds=tick_seconds,
        intercept=float(f"{weights[0] - per_unit @ mean:.6g}"),
        coefficients={name: float(f"{value:.6g}") for name, value in zip(FEATURES, per_unit, strict=True)},
        shared_shock=_shared_shock(sample, predicted, regions),
    )


def _newton(design: Floats, lost: Floats, ridge: float) -> Floats:
    """Maximum of the penalised likelihood; each step is halved until it is one."""
    penalty = np.full(design.shape[1], ridge)
    penalty[0] = 1e-9
    share = lost.mean()
    weights = np.zeros(design.shape[1])
    weights[0] = np.log(share / (1 - share))

    def loss(candidate: Floats) -> float:
        log_odds = design @ candidate
        return float(np.logaddexp(0, log_odds).sum() - lost @ log_odds + 0.5 * penalty @ candidate**2)

    before = loss(weights)
    for _ in range(50):
        chance = _logistic(design @ weights)
        gradient = design.T @ (lost - chance) - penalty * weights
        curvature = (design * (chance * (1 - chance))[:, None]).T @ design + np.diag(penalty)
        step = np.linalg.solve(curvature, gradient)
        while (after := loss(weights + step)) > before and np.abs(step).max() > 1e-9:
            step = step / 2
        weights = weights + step
        if before - after < 1e-4:
            break
        before = after
    return np.asarray(weights, dtype=np.float64)


def _shared_shock(sample: HazardSample, predicted: Floats, regions: tuple[str, ...]) -> float:
    """The share of common draws: c with Σ both lost = Σ [c·min(h₁, h₂) + (1 − c)·h₁·h₂] over pairs in a region."""
    ticks = int(sample.tick.max()) + 1
    hazard = np.full((ticks, len(regions)), np.nan)
    lost = np.zeros((ticks, len(regions)))
    hazard[sample.tick, sample.zone] = predicted
    lost[sample.tick, sample.zone] = sample.lost
    together = apart = common = 0.0
    for first in range(len(regions)):
        for second in range(first):
            if regions[first] != regions[second]:
                continue
            both = np.isfinite(hazard[:, first] + hazard[:, second])
            one, other = hazard[both, first], hazard[both, second]
            together += float((lost[both, first] * lost[both, second]).sum())
            apart += float((one * other).sum())
            common += float(np.minimum(one, other).sum())
    if common <= apart:
        return 0.0
    return round(min(max((together - apart) / (common - apart), 0.0), 1.0), 4)


def _logistic(log_odds: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-np.clip(log_odds, -40, 40))), dtype=np.float64)


def _ages(up: Booleans) -> NDArray[np.int64]:
    """Ticks since capacity came, the present one included; 0 without."""
    ages = np.zeros(up.shape, dtype=np.int64)
    age = np.full(up.shape[1], AGE_BEFORE_START, dtype=np.int64)
    for tick, here in enumerate(up):
        age = np.where(here, age + 1, 0)
        ages[tick] = age
    return ages


def _region_quiet(up: Booleans, neighbour: NDArray[np.float64]) -> NDArray[np.int64]:
    """Ticks since a zone of the region, the zone itself included, came or went; 0 at the tick of the change."""
    changed = np.zeros_like(up)
    changed[1:] = up[1:] != up[:-1]
    in_region = (changed @ (neighbour + np.eye(len(neighbour)))) > 0
    quiet = np.zeros(up.shape, dtype=np.int64)
    since = np.full(up.shape[1], AGE_BEFORE_START, dtype=np.int64)
    for tick, here in enumerate(in_region):
        since = np.where(here, 0, since + 1)
        quiet[tick] = since
    return quiet


def _moving_average(values: NDArray[np.generic], half_life: float, start: float) -> Floats:
    """Exponentially weighted over the ticks up to and including each one."""
    weight = 1 - 0.5 ** (1 / half_life)
    averages = np.empty(values.shape, dtype=np.float64)
    level = np.full(values.shape[1], start)
    for tick, value in enumerate(values.astype(np.float64)):
        level = level + weight * (value - level)
        averages[tick] = level
    return averages


def _neighbours(regions: tuple[str, ...]) -> NDArray[np.float64]:
    names = np.array(regions)
    same = np.asarray(names[:, None] == names[None, :], dtype=np.float64)
    np.fill_diagonal(same, 0.0)
    return same
