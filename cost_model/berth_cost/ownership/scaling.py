"""Which option is cheapest at which size: $ per used GPU-hour (and per million tokens) from 1 to 10,000 GPUs.

Prices per GPU, node and kW stay; whole nodes are bought and rented; sums for all GPUs together grow with their number;
the network's share follows the size where it is stated ``byClusterSize``; and somebody has to look after hardware: a
number of people grows with the GPUs too, but never falls below half a person, or what is stated where that is less.
"""

from decimal import Decimal
from itertools import pairwise

import numpy as np

from berth_cost.ownership.amount import Number, unit_price
from berth_cost.ownership.bill import bill_of
from berth_cost.ownership.inputs import changed
from berth_cost.ownership.scenario import Scenario
from berth_cost.record import Record

LARGEST = 10_000
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 10_000)
SMALLEST_TEAM = 0.5
"""Full-time equivalents: what small sites have, 0.5 to 1.5 (Lenovo and Deloitte, summarised by sesamedisk, 2025)."""

_SUMS = frozenset(
    {
        "capexUSD",
        "opexUSDPerMonth",
        "idleKW",
        "busyKW",
        "committedKW",
        "fullTimeEquivalents",
        "goodputLossUSDPerMonth",
        "gigabytesPerMonth",
        "upFrontUSD",
        "statedUSDPerYear",
    }
)
"""Inputs that are stated for all GPUs together, beside the items and ``network.usd``."""


class ScalingRow(Record):
    """At one size, USD by option."""

    gpus: int
    per_gpu_hour_used_usd: dict[str, Decimal]
    per_million_tokens_usd: dict[str, Decimal] | None
    tokens_per_second: float | None
    cheapest: str


class ScalingStage(Record):
    """A stretch of sizes with one cheapest option, both ends included."""

    from_gpus: int
    to_gpus: int
    cheapest: str


class Scaling(Record):
    """The lower envelope of the options' curves, and the curves at some sizes."""

    stages: tuple[ScalingStage, ...]
    rows: tuple[ScalingRow, ...]


def scaling_of(scenario: Scenario) -> Scaling | None:
    """None where no GPU-hour is used, which no price per GPU-hour can be told of."""
    used = scenario.demand.utilization_percent
    if not used:
        return None
    sizes = np.arange(1, LARGEST + 1, dtype=np.float64)
    curves = per_used_gpu_hour(scenario, sizes)
    names = [option.name for option in scenario.options]
    cheapest = np.array([curves[name] for name in names]).argmin(axis=0)
    edges = [0, *(np.flatnonzero(np.diff(cheapest)) + 1), LARGEST]
    stages = tuple(
        ScalingStage(from_gpus=int(start) + 1, to_gpus=int(end), cheapest=names[cheapest[start]])
        for start, end in pairwise(edges)
    )
    tokens = _tokens_per_used_gpu_hour(scenario)
    rows = []
    for size in SIZES:
        prices = {name: float(curves[name][size - 1]) for name in names}
        rows.append(
            ScalingRow(
                gpus=size,
                per_gpu_hour_used_usd={name: unit_price(price) for name, price in prices.items()},
                per_million_tokens_usd=None
                if tokens is None
                else {name: unit_price(price / tokens * 1e6) for name, price in prices.items()},
                tokens_per_second=None if tokens is None else float(f"{tokens * size * float(used) / 360000:.6g}"),
                cheapest=names[cheapest[size - 1]],
            )
        )
    return Scaling(stages=stages, rows=tuple(rows))


def per_used_gpu_hour(scenario: Scenario, sizes: np.ndarray) -> dict[str, np.ndarray]:
    """USD by option at each of ``sizes`` (GPUs), undiscounted."""
    stated_gpus, used = scenario.demand.gpus, scenario.demand.utilization_percent
    assert stated_gpus is not None and used is not None
    scale = sizes / float(stated_gpus)
    team = min([SMALLEST_TEAM, *_team(scenario)])

    def at_size(name: str, value: Decimal) -> Number:
        parts = name.split(".")
        if name == "demand.gpus":
            return sizes
        summed = parts[-1] in _SUMS or "monthlyUSD" in parts or "oneTimeUSD" in parts or name.endswith(".network.usd")
        scaled = float(value) * scale if summed else float(value)
        return np.maximum(scaled, min(team, float(value))) if parts[-1] == "fullTimeEquivalents" else scaled

    scaled = changed(scenario, at_size)
    hours = float(scenario.hours_per_month) * scenario.horizon_months * sizes * float(used) / 100
    return {
        option.name: sum(bill_of(option, scaled).items(scenario.horizon_months).values()) / hours
        for option in scaled.options
    }


def _team(scenario: Scenario) -> list[float]:
    stated = [option.owned.staff for option in scenario.options if option.owned is not None]
    return [float(staff.full_time_equivalents) for staff in stated if staff and staff.full_time_equivalents]


def _tokens_per_used_gpu_hour(scenario: Scenario) -> float | None:
    demand = scenario.demand
    if not demand.requests_per_second or not demand.tokens_per_request or not demand.gpus:
        return None
    assert demand.utilization_percent is not None
    rate = demand.requests_per_second * demand.tokens_per_request * 3600
    return float(rate / (demand.gpus * demand.utilization_percent / 100))
