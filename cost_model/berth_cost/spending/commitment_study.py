"""How much to reserve, and how good that advice would have been: what was known then, judged by what came.

The first part of a schedule of replicas is what is known, the rest is what is paid for. Two answers are judged beside
the best that hindsight has, and beside not reserving at all; the advice itself is the same answer made from all that is
known now. A commitment of a year is judged by the days of the schedule: that they go on like this is an assumption.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from berth_cost.record import Record
from berth_cost.rounding import significant_number
from berth_cost.spending.commitment import Market, dispatch_usd_per_hour, newsvendor, two_stage
from berth_cost.spending.demand_forecast import forecast

Floats = NDArray[np.float64]

SCENARIOS = 21
"""Equally likely courses that the two-stage program weighs."""
LEAST_SEASONS = 3
"""Two that are known, which a forecast needs, and one to judge by."""
HOURS_PER_MONTH = Decimal(730)


class JudgedPolicy(Record):
    """``reserved`` replicas, and what an hour of the judged days costs with the rest bought moment by moment."""

    name: str
    reserved: int
    usd_per_hour: Decimal
    over_hindsight_percent: float
    """Against the best commitment chosen with hindsight, for the same replicas."""
    below_static_peak_percent: float
    """Against as many replicas on demand as the schedule ever has, all the time."""


class CommitmentPrice(Record):
    """USD per replica-hour, and where the price is from. Of spot: with its risk."""

    bought: str
    usd_per_replica_hour: Decimal
    source: str


class Advice(Record):
    """Replicas to reserve, from all that is known. ``newsvendor``: what the rule without spot would say."""

    term: str
    replicas: int
    nodes: int
    """Whole nodes that hold them."""
    newsvendor: int
    usd_per_hour: Decimal
    """Of all replicas, expected."""
    usd_per_month: Decimal
    """The same for 730 hours."""


class CommitmentStudy(Record):
    """One trace of demand against one kind of node."""

    kind: Literal["Commitment"] = "Commitment"
    trace: str
    node: str
    requests_per_second_per_replica: float
    gpus_per_replica: float
    maximum_spot_share_percent: float
    season: Literal["day", "week"]
    known_days: float
    judged_days: float
    mean_replicas: float
    peak_replicas: int
    prices: tuple[CommitmentPrice, ...]
    advice: Advice
    policies: tuple[JudgedPolicy, ...]
    """Judged on days that none but the last knew."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """``replicas`` by step, as demand asks for them; ``season``: steps after which it repeats itself.

    ``level_half_life``, in steps: a week, whatever the season is. A commitment outlasts the week, so the level of a
    Sunday must not be taken for that of the year.
    """

    replicas: Floats
    season: int
    level_half_life: float

    @property
    def known(self) -> int:
        """Steps that are known to what is judged: half of the whole seasons, two at least."""
        return max(len(self.replicas) // self.season // 2, LEAST_SEASONS - 1) * self.season


def judged_policies(schedule: Schedule, market: Market) -> tuple[JudgedPolicy, ...]:
    """What each way would have cost in the part that was not known. Raises ValueError for less than three seasons."""
    if len(schedule.replicas) < LEAST_SEASONS * schedule.season:
        have = len(schedule.replicas) / schedule.season
        raise ValueError(f"the schedule has {have:.2g} seasons: {LEAST_SEASONS} are the least")
    (_, price), *_ = market.reserved.items()
    known, paid = np.split(schedule.replicas, [schedule.known])
    simple, planned = _answers(_courses(schedule, known, len(paid)), market)

    def cost(reserved: int) -> float:
        return dispatch_usd_per_hour(paid, reserved, reserved * price, market)

    best = _reserved(two_stage(paid, market).reserved)
    ways: list[tuple[str, int, float]] = [
        ("static-peak", 0, float(schedule.replicas.max()) * market.on_demand),
        ("on-demand", 0, float(paid.mean()) * market.on_demand),
        *([("spot", 0, cost(0))] if market.spot is not None else []),
        ("newsvendor", simple, cost(simple)),
        ("two-stage", planned, cost(planned)),
        ("hindsight", best, cost(best)),
    ]
    return tuple(_judged(name, reserved, usd, ways) for name, reserved, usd in ways)


def advice(schedule: Schedule, market: Market, *, replicas_per_node: float) -> Advice:
    """From the whole schedule, for as long as the judged part is."""
    (term, price), *_ = market.reserved.items()
    ahead = len(schedule.replicas) - schedule.known
    likely = _courses(schedule, schedule.replicas, ahead)
    simple, planned = _answers(likely, market)
    usd = dispatch_usd_per_hour(likely, planned, planned * price, market)
    return Advice(
        term=term,
        replicas=planned,
        nodes=int(np.ceil(planned / replicas_per_node - 1e-9)),
        newsvendor=simple,
        usd_per_hour=_money(usd),
        usd_per_month=_money(float(_money(usd) * HOURS_PER_MONTH)),
    )


def _courses(schedule: Schedule, known: Floats, ahead: int) -> Floats:
    """Equally likely replicas of the next ``ahead`` steps, all courses one after the other."""
    found = forecast(known, schedule.season, ahead, schedule.level_half_life)
    return np.asarray(np.ceil(found.scenarios(SCENARIOS).ravel()), dtype=np.float64)


def _answers(likely: Floats, market: Market) -> tuple[int, int]:
    """(newsvendor, two-stage): replicas to reserve."""
    (_, price), *_ = market.reserved.items()
    return newsvendor(likely, price, market.on_demand), _reserved(two_stage(likely, market).reserved)


def _reserved(by_term: Mapping[str, int]) -> int:
    return sum(by_term.values())


def _judged(name: str, reserved: int, usd: float, ways: Sequence[tuple[str, int, float]]) -> JudgedPolicy:
    peak, best = ways[0][2], ways[-1][2]
    return JudgedPolicy(
        name=name,
        reserved=reserved,
        usd_per_hour=_money(usd),
        over_hindsight_percent=significant_number((usd / best - 1) * 100, 4),
        below_static_peak_percent=significant_number((1 - usd / peak) * 100, 4),
    )


def _money(usd: float) -> Decimal:
    return Decimal(repr(significant_number(usd)))
