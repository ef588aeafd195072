"""A short forecast of demand with an upper edge that learns from its own misses. Small on purpose.

Minutes ahead, for replicas; :mod:`berth_cost.spending.demand_forecast` looks days and weeks ahead, for money, from the
whole history at once: neither could answer the other's question.

Demand is in replicas: arrival rate over what one replica sustains inside the objectives. Every half minute six simple
experts say what demand will be one lead time ahead (a cold start, the scrape window and one evaluation). They are
mixed by how well each did lately, and the upper edge is

    edge = mix · (1 + z · s)

with ``s`` the mean relative error of the mix, over the last hour or a share of that of the last day, whichever is
larger, and ``z`` moved by adaptive conformal inference (Gibbs and Candès, NeurIPS 2021): up by γ·(1 − m) after a
miss, down by γ·m otherwise. Whatever the demand does, the share of misses tends to ``m``.
"""

from dataclasses import dataclass, replace

STEP_SECONDS = 30.0
"""Between samples. Evaluations in between use the last forecast."""
LONGEST_GAP_SECONDS = 300.0
"""After a longer silence the recent past is forgotten; errors, z and the day's profile are kept."""
SAMPLES = 60
"""The recent past: 30 minutes."""
DAY_SECONDS = 86_400.0
BIN_SECONDS = 300.0
BINS = int(DAY_SECONDS / BIN_SECONDS)
EXPERTS = 6
LEAST_DEMAND = 0.05
"""Replicas. Relative errors of next to nothing mean nothing."""
MOST_GROWTH = 2.0
"""An expert says at most this many times the present demand, and at least its inverse."""
ERROR_MEMORY_SECONDS = 3600.0
LONG_MEMORY_SECONDS = 86_400.0
LONG_SHARE = 0.5
"""A calm hour after a wild day is not trusted fully."""
WEIGHT_POWER = 8.0
"""Weights go with error^−8: the best expert leads, and an expert half as wrong again has a twenty-fifth of its say."""
CONFORMAL_GAIN = 0.1
FIRST_ERROR = 0.05
FIRST_Z = 3.0
MOST_Z = 20.0


@dataclass(frozen=True, slots=True)
class DayProfile:
    """Demand by time of day, five minutes a bin; None where nothing was seen yet. ``total / count``: the open bin."""

    bins: tuple[float | None, ...] = (None,) * BINS
    position: int = -1
    total: float = 0.0
    count: int = 0

    def with_sample(self, at_seconds: float, demand: float) -> "DayProfile":
        position = int(at_seconds % DAY_SECONDS // BIN_SECONDS)
        if position == self.position:
            return replace(self, total=self.total + demand, count=self.count + 1)
        bins = self.bins
        if self.count:
            seen, before = self.total / self.count, bins[self.position]
            blended = seen if before is None else (seen + before) / 2
            bins = (*bins[: self.position], blended, *bins[self.position + 1 :])
        return DayProfile(bins, position, demand, 1)

    def growth(self, at_seconds: float, ahead_seconds: float) -> float:
        """Demand then over demand now, by the days before; 1 where they are not known."""
        now, later = self._level(at_seconds), self._level(at_seconds + ahead_seconds)
        return later / now if now and later else 1.0

    def _level(self, at_seconds: float) -> float | None:
        place = at_seconds % DAY_SECONDS / BIN_SECONDS - 0.5
        low = int(place // 1)
        left, right = self.bins[low % BINS], self.bins[(low + 1) % BINS]
        if left is None or right is None:
            return None
        return left + (right - left) * (place - low)


@dataclass(frozen=True, slots=True)
class Made:
    """A forecast that waits for its outcome: what each expert said, the mix, and the edge."""

    experts: tuple[float, ...]
    mix: float
    edge: float


@dataclass(frozen=True, slots=True)
class Forecast:
    """The state after a sample. ``edge``: demand in replicas that one lead time ahead exceeds with a chance of m."""

    at_seconds: float = 0.0
    edge: float = 0.0
    samples: tuple[float, ...] = ()
    made: tuple[Made, ...] = ()
    """Newest last; as many as there are steps in a lead time."""
    errors: tuple[float, ...] = (FIRST_ERROR,) * EXPERTS
    error: float = FIRST_ERROR
    long_error: float = FIRST_ERROR
    z: float = FIRST_Z
    profile: DayProfile = DayProfile()

    @property
    def mix(self) -> float:
        """Replicas that demand will need one lead time ahead, the best guess."""
        return self.made[-1].mix if self.made else self.edge

    @property
    def spread(self) -> float:
        """Mean relative error of the forecast: of the last hour, or a share of that of the last day if it is more."""
        return max(self.error, LONG_SHARE * self.long_error)


def observe(state: Forecast, at_seconds: float, demand: float, lead_seconds: float, miss_share: float) -> Forecast:
    """``state`` after one more sample (replicas, finite, ≥ 0); unchanged where the last one is less than a step ago."""
    gap = at_seconds - state.at_seconds
    if state.samples and 0 <= gap < STEP_SECONDS - 1e-6:
        return state
    if gap < 0 or gap > LONGEST_GAP_SECONDS:
        state = replace(state, samples=(), made=())
    ahead = max(1, round(lead_seconds / STEP_SECONDS))
    state = _scored(state, demand, ahead, miss_share)
    samples = (*state.samples[1 - SAMPLES :], demand)
    profile = state.profile.with_sample(at_seconds, demand)
    experts = _experts(samples, ahead, profile.growth(at_seconds, lead_seconds))
    weights = [error**-WEIGHT_POWER for error in state.errors]
    mix = sum(weight * said for weight, said in zip(weights, experts, strict=True)) / sum(weights)
    edge = mix * (1 + state.z * state.spread)
    return replace(
        state,
        at_seconds=at_seconds,
        edge=edge,
        samples=samples,
        made=(*state.made[-ahead:], Made(experts, mix, edge)),
        profile=profile,
    )


def _experts(samples: tuple[float, ...], ahead: int, growth: float) -> tuple[float, ...]:
    """As now; the trend of a minute; the trend of five, half as bold; means of 5 and 30 minutes; as the days before."""
    now = samples[-1]
    least, most = now / MOST_GROWTH, max(now * MOST_GROWTH, LEAST_DEMAND)
    minute = now + (now - samples[-3]) / 2 * ahead if len(samples) > 2 else now
    five = now + (now - samples[-11]) / 10 * ahead / 2 if len(samples) > 10 else now
    return (
        now,
        min(max(minute, least), most),
        min(max(five, least), most),
        _mean(samples[-10:]),
        _mean(samples),
        min(max(now * growth, least), most),
    )


def _mean(values: tuple[float, ...]) -> float:
    return sum(values) / len(values)


def _scored(state: Forecast, demand: float, ahead: int, miss_share: float) -> Forecast:
    """Errors and z after the outcome of the forecast that was made one lead time ago."""
    if len(state.made) < ahead:
        return state
    made = state.made[-ahead]
    base = max(demand, made.mix, LEAST_DEMAND)
    rate, slow = STEP_SECONDS / ERROR_MEMORY_SECONDS, STEP_SECONDS / LONG_MEMORY_SECONDS
    missed = demand > made.edge * (1 + 1e-9)
    off = abs(demand - made.mix) / base
    return replace(
        state,
        errors=tuple(
            max(error + rate * (abs(demand - said) / base - error), 1e-6)
            for error, said in zip(state.errors, made.experts, strict=True)
        ),
        error=state.error + rate * (off - state.error),
        long_error=state.long_error + slow * (off - state.long_error),
        z=min(max(state.z + CONFORMAL_GAIN * (missed - miss_share), 0.0), MOST_Z),
    )
