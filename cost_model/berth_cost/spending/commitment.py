"""Commitments: how much to reserve, when demand moves and spot and on demand take the rest.

Two answers to the same question. The *newsvendor* one reserves the quantile of demand beyond which a reserved replica
would stand idle too often: k with P(demand > k) = reserved price / price of what it saves (Arrow, Harris and Marschak,
Econometrica 19, 1951). The *two-stage* one is a linear program over scenarios of demand (Birge and Louveaux,
Introduction to Stochastic Programming, 2nd ed., ch. 1): reserve now, buy on demand and spot later, with the share that
spot may have; it is solved by HiGHS.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog
from scipy.sparse import coo_array

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Market:
    """USD per replica-hour. ``spot``: with its risk (``availability.effective_usd_per_hour``); None: not used.

    ``reserved``: by name of the term, paid for every hour whether used or not. ``spot_share``: the most of the replicas
    of a moment that may be on spot.
    """

    on_demand: float
    reserved: Mapping[str, float]
    spot: float | None = None
    spot_share: float = 0.0

    def __post_init__(self) -> None:
        prices = {"on demand": self.on_demand, **self.reserved} | ({} if self.spot is None else {"spot": self.spot})
        for name, price in prices.items():
            if not 0 < price < float("inf"):
                raise ValueError(f"the price of {name} must be above 0 and finite, not {price:g}")
        if not 0 <= self.spot_share <= 1:
            raise ValueError(f"the share of spot must be from 0 to 1, not {self.spot_share:g}")


@dataclass(frozen=True, slots=True)
class Plan:
    """Replicas to reserve by term, and what an hour is expected to cost."""

    reserved: Mapping[str, int]
    usd_per_hour: float


def newsvendor(demand: Floats, reserved: float, otherwise: float) -> int:
    """Replicas to reserve against one alternative: the smallest k with P(demand > k) ≤ reserved / otherwise.

    ``demand``: equally likely replica counts; ``otherwise``: the price of what a reserved replica saves.
    """
    if reserved >= otherwise:
        return 0
    return int(np.ceil(np.quantile(demand, 1 - reserved / otherwise, method="inverted_cdf")))


def dispatch_usd_per_hour(demand: Floats, committed: int, reserved_usd_per_hour: float, market: Market) -> float:
    """Mean cost of an hour when the commitment is there and every moment buys the rest as cheaply as it may.

    ``reserved_usd_per_hour``: of the whole commitment. Spot is first, up to its share of the replicas of the moment,
    where it is cheaper than on demand.
    """
    rest = np.maximum(demand - committed, 0)
    spot = np.zeros_like(rest)
    if market.spot is not None and market.spot < market.on_demand:
        spot = np.minimum(rest, np.floor(market.spot_share * demand))
    later = (rest - spot) * market.on_demand + spot * (market.spot or 0.0)
    return float(reserved_usd_per_hour + later.mean())


def two_stage(scenarios: Floats, market: Market) -> Plan:
    """The commitment with the least expected cost over scenarios of demand, shape (scenarios, steps) or (steps,).

    A commitment of several terms takes the cheapest: within the horizon of the scenarios nothing else tells them apart.
    """
    demand = np.ceil(np.asarray(scenarios, dtype=np.float64).ravel())
    if not len(demand) or not np.isfinite(demand).all() or (demand < 0).any():
        raise ValueError("demand must be finite, not negative, and there must be some")
    levels, counts = np.unique(demand, return_counts=True)
    term, price = min(market.reserved.items(), key=lambda item: (item[1], item[0])) if market.reserved else ("", 0.0)
    if not term:
        return Plan({}, dispatch_usd_per_hour(demand, 0, 0.0, market))
    committed = _least_cost_commitment(levels, counts / len(demand), price, market)
    candidates = sorted({int(np.floor(committed)), int(np.ceil(committed))})
    usd, best = min((dispatch_usd_per_hour(demand, one, one * price, market), one) for one in candidates)
    return Plan({term: best} if best else {}, usd)


def _least_cost_commitment(levels: Floats, chance: Floats, price: float, market: Market) -> float:
    """min p·k + Σ chance·(o·on demand + s·spot) with k + o + s ≥ level and s ≤ share of it; variables k, o…, s…"""
    count = len(levels)
    rows = np.arange(count)
    spot = market.spot if market.spot is not None else market.on_demand
    share = market.spot_share if market.spot is not None else 0.0
    cost = np.concatenate([[price], chance * market.on_demand, chance * spot])
    columns = np.concatenate([np.zeros(count, dtype=np.int64), 1 + rows, 1 + count + rows])
    covered = coo_array((-np.ones(3 * count), (np.tile(rows, 3), columns)), shape=(count, 1 + 2 * count)).tocsr()
    bounds = [(0.0, None)] * (1 + count) + [(0.0, float(most)) for most in np.floor(share * levels)]
    solved = linprog(cost, A_ub=covered, b_ub=-levels, bounds=bounds, method="highs")
    if not solved.success:
        raise ValueError(f"the commitment has no solution: {solved.message}")
    return float(round(solved.x[0], 6))
