"""Replay of a spot policy on a trace of capacity: how often enough replicas were ready, and what they cost.

One tick goes like this. The trace says how many nodes each zone has; what no longer fits is lost (the youngest
first), and everything else grows one tick older. The policy sees that, and all of the past, and orders replicas; what
a zone cannot give fails at once and costs nothing. A replica is ready when it has been held for ``start_ticks`` ticks.
A tick is paid for everything held after the order, start-up included; what was let go is neither paid nor ready.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from berth_cost.record import Record
from berth_cost.rounding import significant_number
from berth_cost.spot.trace import SpotTrace

SECONDS_PER_DAY = 86_400.0


class ReplayRules(Record):
    """What a replay assumes. ``spot_price_share`` is the spot price as a share of the on-demand price."""

    want: Annotated[int, Field(ge=1, le=64)]
    tick_seconds: Annotated[float, Field(gt=0, le=SECONDS_PER_DAY, allow_inf_nan=False)] = 195.0
    start_ticks: Annotated[int, Field(ge=0, le=1000)] = 1
    spot_price_share: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] = 0.35
    per_zone_limit: Annotated[int, Field(ge=1, le=64)] = 1


class Standing(NamedTuple):
    """What a policy sees at a tick, after losses and before its order. Zones in the order of the trace."""

    tick: int
    """Counted from the start of the replay."""
    room: Sequence[int]
    """Replicas that each zone can hold now: nodes available, at most the limit per zone."""
    held: Sequence[int]
    ready: Sequence[int]
    on_demand_held: int
    on_demand_ready: int


class Order(NamedTuple):
    """What a policy wants to hold from now on: replicas by zone, and on demand. Older replicas are kept first."""

    spot: Sequence[int]
    on_demand: int


Decide = Callable[[Standing], Order]


class Policy(Protocol):
    """``begin`` returns the function that is asked at each tick.

    It is given the whole trace so that it may prepare the past of every tick at once; no answer may depend on a later
    tick (the tests cut traces short and compare).
    """

    @property
    def name(self) -> str: ...

    @property
    def summary(self) -> str:
        """What it does, in a few words."""
        ...

    def begin(self, trace: SpotTrace, rules: ReplayRules) -> Decide: ...


class PolicyReplay(Record):
    """How one policy did. ``cost_share``: of ``want`` on-demand replicas for as long."""

    name: str
    ready_share: float
    cost_share: float
    preemptions_per_day: float
    spot_replicas: float
    """Held on average, starting ones included."""
    on_demand_replicas: float
    summary: str


class Replay(Record):
    """The result of ``berth cost replay``."""

    kind: Literal["Replay"] = "Replay"
    want: int
    rules: ReplayRules
    zones: tuple[str, ...]
    regions: tuple[str, ...]
    ticks: int
    days: float
    fit: str
    """What the learned policies were fitted on."""
    policies: tuple[PolicyReplay, ...]


class TickLog(NamedTuple):
    """One tick of one policy: replicas by zone, on demand, and how many of them were ready."""

    tick: int
    spot: tuple[int, ...]
    on_demand: int
    ready: int


@dataclass(slots=True)
class _Fleet:
    """Ages in ticks of everything held, oldest first."""

    spot: list[list[int]]
    on_demand: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Tally:
    """Sums over ticks, so that days can be added up."""

    ticks: int
    ready_ticks: int
    spot_ticks: int
    on_demand_ticks: int
    preemptions: int

    def result(self, policy: Policy, rules: ReplayRules) -> PolicyReplay:
        paid = rules.spot_price_share * self.spot_ticks + self.on_demand_ticks
        days = self.ticks * rules.tick_seconds / SECONDS_PER_DAY
        return PolicyReplay(
            name=policy.name,
            summary=policy.summary,
            ready_share=significant_number(self.ready_ticks / self.ticks),
            cost_share=significant_number(paid / (self.ticks * rules.want)),
            preemptions_per_day=significant_number(self.preemptions / days),
            spot_replicas=significant_number(self.spot_ticks / self.ticks),
            on_demand_replicas=significant_number(self.on_demand_ticks / self.ticks),
        )


@dataclass(frozen=True, slots=True)
class Replayed:
    """One policy's replay: the result, every tick, and the replicas lost at each tick."""

    result: PolicyReplay
    log: Sequence[TickLog]
    losses: Sequence[int]


def replay(policy: Policy, trace: SpotTrace, rules: ReplayRules) -> Replayed:
    """Replay one policy on a trace."""
    decide = policy.begin(trace, rules)
    fleet = _Fleet([[] for _ in trace.zones])
    log: list[TickLog] = []
    losses: list[int] = []
    for tick, nodes in enumerate(trace.nodes.tolist()):
        room = [min(count, rules.per_zone_limit) for count in nodes]
        losses.append(_lose_and_age(fleet, room))
        order = decide(_standing(tick, room, fleet, rules))
        for zone, wanted in enumerate(order.spot):
            _resize(fleet.spot[zone], min(wanted, room[zone]))
        _resize(fleet.on_demand, order.on_demand)
        ready = _ready(fleet.on_demand, rules) + sum(_ready(ages, rules) for ages in fleet.spot)
        log.append(TickLog(tick, tuple(len(ages) for ages in fleet.spot), len(fleet.on_demand), ready))
    return Replayed(tally(log, losses, rules).result(policy, rules), log, losses)


def tally(log: Sequence[TickLog], losses: Sequence[int], rules: ReplayRules) -> Tally:
    """The sums of some ticks of a log."""
    return Tally(
        ticks=len(log),
        ready_ticks=sum(entry.ready >= rules.want for entry in log),
        spot_ticks=sum(sum(entry.spot) for entry in log),
        on_demand_ticks=sum(entry.on_demand for entry in log),
        preemptions=sum(losses),
    )


def day_of(ticks: NDArray[np.int64], rules: ReplayRules) -> NDArray[np.int64]:
    """The day of each tick: 86,400 s each, from the start of the trace."""
    return np.asarray(ticks * rules.tick_seconds // SECONDS_PER_DAY, dtype=np.int64)


def tick_rows(logs: Mapping[str, Sequence[TickLog]], trace: SpotTrace) -> str:
    """The CSV of ``--ticks``: per policy and tick the zones held (``zone`` or ``zone×2``), on demand and ready."""
    lines = ["policy,tick,zones_held,on_demand,ready"]
    for name, log in logs.items():
        for entry in log:
            held = " ".join(
                zone if count == 1 else f"{zone}×{count}"
                for zone, count in zip(trace.zones, entry.spot, strict=True)
                if count
            )
            lines.append(f"{name},{trace.first_tick + entry.tick},{held},{entry.on_demand},{entry.ready}")
    return "\n".join(lines) + "\n"


def _lose_and_age(fleet: _Fleet, room: Sequence[int]) -> int:
    lost = 0
    for ages, most in zip(fleet.spot, room, strict=True):
        lost += max(len(ages) - most, 0)
        ages[:] = [age + 1 for age in ages[:most]]
    fleet.on_demand = [age + 1 for age in fleet.on_demand]
    return lost


def _standing(tick: int, room: Sequence[int], fleet: _Fleet, rules: ReplayRules) -> Standing:
    return Standing(
        tick=tick,
        room=room,
        held=[len(ages) for ages in fleet.spot],
        ready=[_ready(ages, rules) for ages in fleet.spot],
        on_demand_held=len(fleet.on_demand),
        on_demand_ready=_ready(fleet.on_demand, rules),
    )


def _ready(ages: Sequence[int], rules: ReplayRules) -> int:
    return sum(age >= rules.start_ticks for age in ages)


def _resize(ages: list[int], wanted: int) -> None:
    del ages[max(wanted, 0) :]
    ages.extend([0] * (wanted - len(ages)))
