"""Availability: how often enough replicas stand, from how often one is lost and how long a new one takes.

A replica alternates between standing and being replaced. Steady replicas fail by themselves; spot replicas are taken
together far more often than chance has it, so they share one draw with the probability SHARED_SHOCK (as zones of a
region do, :mod:`berth_cost.spot.hazard`). Where spot capacity stays away for longer than a start, the answer is too
good: what is asked for here is the crew, not the policy that moves it.

Rates that nobody stated, with their sources:

- A GPU that is kept: 419 unexpected interruptions in 54 days on 16,384 H100, 2.0e-5 per GPU-hour (Llama Team, The
  Llama 3 Herd of Models, arXiv 2407.21783, 2024-07, section 3.3.4).
- A spot node: 0.28 interruptions an hour, GCP V100, December 2021 (Thorpe et al., Bamboo, NSDI 2023; the middle of its
  four traces, 0.10 to 0.61; nine AWS V100 zones of February 2023 had 0.11 to 1.33, Mao et al., SkyPilot spot traces).
- A replacement: 600 s from the loss to a replica that serves; an assumption (a node starts in some 200 s, an image is
  pulled and a model loaded in some 400 s). A spot pool that states ``startupSeconds`` is believed.
"""

from functools import lru_cache
from math import exp, lgamma, log, log1p

SECONDS_PER_HOUR = 3600.0
FAILURES_PER_GPU_HOUR = 419 / (54 * 24 * 16_384)
SPOT_INTERRUPTIONS_PER_HOUR = 0.28
REPLACEMENT_SECONDS = 600.0
SHARED_SHOCK = 0.3
"""Of spot capacity within a region: of the nine AWS V100 zones (2023-02-15 to 2023-03-17), two of a region lost
capacity within the same 195 s 168 times, 0.30 of what one common draw would give (independent draws: 0)."""


def unavailability(losses_per_hour: float, replacement_seconds: float) -> float:
    """Share of the time that one replica does not stand: r / (1 + r) with r = losses × replacement."""
    away = losses_per_hour * replacement_seconds / SECONDS_PER_HOUR
    return away / (1 + away)


def enough_stand(needed: int, steady: int, spot: int, steady_away: float, spot_away: float) -> float:
    """P(at least ``needed`` of ``steady`` + ``spot`` replicas stand).

    ``steady_away`` and ``spot_away``: the :func:`unavailability` of one of them.
    """
    together = (1 - spot_away) * _at_least(needed - spot, steady, steady_away)
    together += spot_away * _at_least(needed, steady, steady_away)
    apart = sum(
        _exactly(standing, spot, spot_away) * _at_least(needed - standing, steady, steady_away)
        for standing in range(spot + 1)
    )
    return SHARED_SHOCK * together + (1 - SHARED_SHOCK) * apart


@lru_cache(maxsize=65_536)
def _at_least(needed: int, replicas: int, away: float) -> float:
    """Binomial tail, summed over the losses: the few terms that matter come first."""
    if needed <= 0:
        return 1.0
    if needed > replicas:
        return 0.0
    return min(sum(_exactly(replicas - lost, replicas, away) for lost in range(replicas - needed + 1)), 1.0)


@lru_cache(maxsize=65_536)
def _exactly(standing: int, replicas: int, away: float) -> float:
    """Binomial probability, in logs: the number of ways alone is beyond a float from about a thousand replicas on."""
    lost = replicas - standing
    if away <= 0 or away >= 1:
        return float((lost if away <= 0 else standing) == 0)
    ways = lgamma(replicas + 1) - lgamma(lost + 1) - lgamma(standing + 1)
    return exp(ways + lost * log(away) + standing * log1p(-away))


def effective_usd_per_hour(
    usd_per_hour: float,
    interruptions_per_hour: float,
    startup_seconds: float,
    *,
    lost_work_share: float = 0.0,
    breach_usd_per_hour: float = 0.0,
    breach_share: float = 0.0,
) -> float:
    """What an hour of *useful* spot costs: price × (1 + interruptions × start-up) / (1 − lost work) + breaches.

    ``lost_work_share``: of the work, done twice or thrown away, in [0, 1); ``breach_share``: of the time with the
    objective broken because of interruptions, each hour of which costs ``breach_usd_per_hour``.
    Raises ValueError where everything is lost.
    """
    if not 0 <= lost_work_share < 1:
        raise ValueError(f"lost work must be a share from 0 up to, not including, 1, not {lost_work_share:g}")
    paid_twice = 1 + interruptions_per_hour * startup_seconds / SECONDS_PER_HOUR
    return usd_per_hour * paid_twice / (1 - lost_work_share) + breach_usd_per_hour * breach_share
