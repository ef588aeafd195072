"""Assessments: what another berth would save a workload, what the change costs, and why it is proposed or not. Pure.

Of what has room, the cheapest berth is proposed that saves enough and pays back its change-over in time, where

    change-over = S · proposed + F · S · (now + proposed)
    payback     = change-over / (now − proposed)

with rates in USD per hour, spot with the starts that its interruptions waste. S is for how long both revisions run: the
start of the new one, and the end of the old one's requests. F is how often a choice that was only predicted breaks its
objective and is taken back: it is held against the upper edge of a 90 % band, which the world exceeds 5 % of the time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import Literal

from berth_cost.record import Record
from berth_cost.rounding import significant_number
from berth_cost.spot.availability import REPLACEMENT_SECONDS
from berth_scheduler.cost import money, usd_per_month, wasted_usd_per_hour
from berth_scheduler.crew import interruptions_of
from berth_scheduler.decision import Alternative, Cost, Decision, Plan
from berth_scheduler.incumbent import configuration
from berth_scheduler.snapshot import Berth, CapacityType, Pool, Snapshot, Workload
from berth_scheduler.wording import berths_phrase, dollars, number, plural

HOURS_PER_DAY = 24


class SizingReason(StrEnum):
    """Why a workload is or is not to move."""

    CHEAPER_BERTH = "CheaperBerth"
    """Another berth saves enough and pays back its change-over in time."""
    RIGHT_SIZED = "RightSized"
    """No other berth that holds the objectives and has room costs less."""
    SAVING_TOO_SMALL = "SavingTooSmall"
    """Another berth is cheaper, but by less than ``minimumSavingPercent``."""
    PAYBACK_TOO_LONG = "PaybackTooLong"
    """The change-over costs more than is saved within ``maximumPaybackHours``."""
    OBJECTIVE_BROKEN = "ObjectiveBroken"
    """A measured objective does not hold: this is no time to save."""
    NOTHING_RUNS = "NothingRuns"
    """Nothing runs that stays: the workload is placed anew, or not at all."""
    OUTGROWN = "Outgrown"
    """What runs has no room for this traffic where it is: the plan for it would be another."""
    PRICE_UNKNOWN = "PriceUnknown"
    """What runs has no known price."""
    TRAFFIC_UNKNOWN = "TrafficUnknown"
    """What arrives was measured and is not any more: nothing is proposed on old numbers."""
    DISABLED = "Disabled"
    """``rightSizing.mode`` is Disabled."""


@dataclass(frozen=True, slots=True)
class ChangeOver:
    """How long both revisions run, in seconds, and how often one that was only predicted is taken back."""

    start_seconds: float = REPLACEMENT_SECONDS
    """From the request of a pod to its first answer, where neither a measurement nor the pool says."""
    drain_seconds: float = 60.0
    taken_back_share: float = 0.05


class Proposal(Record):
    """Another way to run a workload. Money is in USD; hourly rates count the starts that interruptions waste."""

    berths: tuple[Berth, ...]
    usd_per_hour: Decimal
    saving_usd_per_month: Decimal
    saving_percent: float
    """Of what the present berths would cost under the same traffic."""
    change_over_usd: Decimal
    payback_hours: float
    interruptions_per_day: float
    """Expected, of all its replicas on spot."""
    same_revision: bool
    """Only pools or capacity types differ: pods of the same revision, elsewhere."""


class Assessment(Record):
    """What right-sizing found about one workload."""

    workload: str
    mode: Literal["Disabled", "Recommend", "Auto"]
    reason: SizingReason
    message: str
    basis: Literal["observed", "stated"]
    """Whether the traffic is what was observed or what the spec states."""
    requests_per_second: float
    """Of that traffic; of observed traffic in units of the capacity that the model believes in."""
    berths: tuple[Berth, ...] = ()
    """What runs, with the replicas that this traffic needs."""
    usd_per_hour: Decimal | None = None
    proposal: Proposal | None = None
    """Also where it is not recommended: the reason says what it lacks."""
    others: tuple[Proposal, ...] = ()
    """Other ways that would be recommended if it were not for this one, cheapest first."""

    @property
    def recommended(self) -> bool:
        return self.reason is SizingReason.CHEAPER_BERTH

    def message_of(self, proposal: Proposal) -> str:
        """What recommends one of the proposals."""
        return recommendation(proposal, self.usd_per_hour or Decimal(0))


class RightSizingReport(Record):
    """Of a fleet; ``saving_usd_per_month`` is of what is recommended, each taken by itself."""

    kind: Literal["RightSizing"] = "RightSizing"
    time: datetime
    workloads: tuple[Assessment, ...]
    saving_usd_per_month: Decimal


def assess(asked: Snapshot, answered: Plan, change_over: ChangeOver = ChangeOver()) -> tuple[Assessment, ...]:
    """Of every workload, by key. ``answered`` is the plan of ``asked``, which
    :func:`berth_scheduler.right_sizing.what_if.what_if` made."""
    workloads = {workload.key: workload for workload in asked.workloads}
    pools = {pool.name: pool for pool in asked.pools}
    judge = _Judge(asked, pools, change_over)
    return tuple(judge.assessment(workloads[decision.workload], decision) for decision in answered.decisions)


def report(snapshot: Snapshot, assessments: Sequence[Assessment]) -> RightSizingReport:
    saved = [one.proposal.saving_usd_per_month for one in assessments if one.recommended and one.proposal]
    return RightSizingReport(
        time=snapshot.time, workloads=tuple(assessments), saving_usd_per_month=sum(saved, Decimal("0.00"))
    )


@dataclass(frozen=True, slots=True)
class _Judge:
    snapshot: Snapshot
    pools: dict[str, Pool]
    change_over: ChangeOver

    def assessment(self, workload: Workload, decision: Decision) -> Assessment:
        hindrance = _hindrance(workload, decision)
        if hindrance is not None or decision.cost is None:
            return self._found(workload, decision, *(hindrance or _PRICE_UNKNOWN))
        now = self._effective(decision.berths, decision.cost)
        priced = ((one, self._effective(one.berths, one)) for one in decision.alternatives)
        cheaper = sorted(
            (self._proposal(workload, decision.berths, now, one.berths, usd) for one, usd in priced if usd < now),
            key=lambda one: (one.usd_per_hour, one.payback_hours),
        )
        bounds = workload.right_sizing
        enough = [one for one in cheaper if one.saving_percent >= bounds.minimum_saving_percent]
        soon = [one for one in enough if one.payback_hours <= bounds.maximum_payback_hours]
        if soon:
            message = recommendation(soon[0], now)
            return self._found(workload, decision, SizingReason.CHEAPER_BERTH, message, *soon)
        if enough:
            message = (
                f"{berths_phrase(enough[0].berths)} would save {number(enough[0].saving_percent, 2)} %, but its "
                f"change-over pays back in {hours_phrase(enough[0].payback_hours)}, later than "
                f"{hours_phrase(bounds.maximum_payback_hours)}"
            )
            return self._found(workload, decision, SizingReason.PAYBACK_TOO_LONG, message, enough[0])
        if cheaper:
            message = (
                f"{berths_phrase(cheaper[0].berths)} would save {number(cheaper[0].saving_percent, 2)} %, less than "
                f"{number(bounds.minimum_saving_percent)} %"
            )
            return self._found(workload, decision, SizingReason.SAVING_TOO_SMALL, message, cheaper[0])
        message = "no other berth that holds the objectives and has room costs less"
        return self._found(workload, decision, SizingReason.RIGHT_SIZED, message)

    def _found(
        self,
        workload: Workload,
        decision: Decision,
        reason: SizingReason,
        message: str,
        *proposals: Proposal,
    ) -> Assessment:
        return Assessment(
            workload=workload.key,
            mode=workload.right_sizing.mode,
            reason=reason,
            message=message,
            basis="stated" if workload.observed is None else "observed",
            requests_per_second=workload.traffic.requests_per_second,
            berths=decision.berths,
            usd_per_hour=None if decision.cost is None else money(self._effective(decision.berths, decision.cost)),
            proposal=proposals[0] if proposals else None,
            others=proposals[1:],
        )

    def _proposal(
        self,
        workload: Workload,
        berths: tuple[Berth, ...],
        now: Fraction,
        others: tuple[Berth, ...],
        proposed: Fraction,
    ) -> Proposal:
        """Of berths that cost less than what runs, in USD per hour."""
        saved = now - proposed
        same = configuration(berths[0]) == configuration(others[0])
        hours = Fraction(self._double_seconds(workload, others)) / 3600
        risked = Fraction(0) if same else Fraction(self.change_over.taken_back_share) * hours * (now + proposed)
        cost = hours * proposed + risked
        return Proposal(
            berths=others,
            usd_per_hour=money(proposed),
            saving_usd_per_month=money(usd_per_month(saved, self.snapshot.policy)),
            saving_percent=significant_number(float(saved / now) * 100, 4),
            change_over_usd=money(cost),
            payback_hours=significant_number(float(cost / saved), 3),
            interruptions_per_day=significant_number(self._interruptions_per_day(others), 3),
            same_revision=same,
        )

    def _double_seconds(self, workload: Workload, berths: Sequence[Berth]) -> float:
        """How long both revisions run: the slowest start among the pools, and the end of what still runs."""
        measured = workload.observed.seconds_to_ready if workload.observed else None
        stated = [pool.spot.startup_seconds for berth in berths if (pool := self.pools[berth.pool]).spot is not None]
        start = max([measured or self.change_over.start_seconds, *stated])
        return start + self.change_over.drain_seconds

    def _effective(self, berths: Sequence[Berth], cost: Cost | Alternative) -> Fraction:
        """USD an hour, with the starts that interruptions of spot waste."""
        return Fraction(cost.usd_per_hour) + Fraction(wasted_usd_per_hour(berths, self.pools))

    def _interruptions_per_day(self, berths: Sequence[Berth]) -> float:
        return sum(
            berth.replicas * interruptions_of(self.pools[berth.pool])[0] * HOURS_PER_DAY
            for berth in berths
            if berth.capacity_type is CapacityType.SPOT
        )


def _hindrance(workload: Workload, decision: Decision) -> tuple[SizingReason, str] | None:
    """What makes the question idle."""
    if workload.right_sizing.mode == "Disabled":
        return SizingReason.DISABLED, "spec.rightSizing.mode is Disabled"
    if workload.objective_broken:
        return SizingReason.OBJECTIVE_BROKEN, "a measured objective does not hold: this is no time to save"
    if not any(one.serving and one.planned_for == workload.planning_hash for one in workload.running):
        return SizingReason.NOTHING_RUNS, "nothing serves that was chosen for this spec"
    if not (decision.placed and decision.kept and decision.berths):
        return SizingReason.OUTGROWN, f"what runs has no room for this traffic where it is: {decision.message}"
    return None


_PRICE_UNKNOWN = (SizingReason.PRICE_UNKNOWN, "the price of what runs is not known")


def recommendation(proposal: Proposal, now: Fraction | Decimal) -> str:
    """``2 × L4, fp16, on demand: $1.40/h instead of $4.20/h, saves …``"""
    spot = proposal.interruptions_per_day
    risk = f"; {number(spot, 2)} interruptions a day expected" if spot else ""
    return (
        f"{berths_phrase(proposal.berths)}: {dollars(proposal.usd_per_hour)}/h instead of {dollars(now)}/h, saves "
        f"{dollars(proposal.saving_usd_per_month)} a month ({number(proposal.saving_percent, 2)} %); the change costs "
        f"{dollars(proposal.change_over_usd)} and pays back in {hours_phrase(proposal.payback_hours)}{risk}"
    )


def hours_phrase(hours: float) -> str:
    """``12 minutes``, ``3.5 hours``, ``4.2 days``"""
    if hours < 1:
        return plural(max(round(hours * 60), 1), "minute")
    return f"{number(hours, 2)} hours" if hours < 2 * HOURS_PER_DAY else f"{number(hours / HOURS_PER_DAY, 2)} days"
