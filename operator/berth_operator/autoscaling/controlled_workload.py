"""One workload under control: what is known of it between two ticks, and what one tick makes of its signals. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from berth_operator.api.conditions import ConditionType, Finding, Reason
from berth_operator.api.v1alpha1 import Observed
from berth_operator.autoscaling.capacity import SECONDS_TO_READY, ReplicaCapacity
from berth_operator.autoscaling.control_memory import in_other_replicas, is_worth_keeping, packed
from berth_operator.autoscaling.objectives import Patient, judged, latency_ratio, patience_seconds
from berth_operator.autoscaling.smoothing import is_noticeable, observed, smoothed
from berth_operator.autoscaling.start_times import StartTimes
from berth_operator.autoscaling.view import Measured, View
from berth_operator.planner import Planned, SeenPool
from berth_operator.signals.source import WorkloadSignals
from berth_scheduler.control.berth_spread import BerthSupply, spares, spread
from berth_scheduler.control.replica_control import (
    HELD,
    Control,
    ControlPolicy,
    ControlReason,
    ControlState,
    ReplicaSignals,
    control,
)
from berth_scheduler.incumbent import configuration
from berth_scheduler.snapshot import Berth, CapacityType, Scaling, SpotPolicy

SAID_AFTER_SECONDS = 60.0
"""What holds the replicas for less is no news: pods that start have no signals, and room for more is planned first."""
SHOWN_EVERY_SECONDS = 60.0
"""Observed numbers enter a status no more often."""
SMALLEST_BAND = 0.1
"""A prediction that claims to be surer than this is not held to it."""

REASONS = {
    ControlReason.AT_MAXIMUM: Reason.AT_MAXIMUM,
    ControlReason.SIGNALS_MISSING: Reason.SIGNALS_MISSING,
    ControlReason.SIGNALS_STALE: Reason.SIGNALS_STALE,
    ControlReason.SIGNALS_CONTRADICT: Reason.SIGNALS_CONTRADICT,
    ControlReason.CAPACITY_UNKNOWN: Reason.CAPACITY_UNKNOWN,
}
"""Of the others the condition says that the replicas follow the demand: which way they moved last is in the log."""
FOLLOWS = Finding(ConditionType.AUTOSCALING, "True", Reason.MANAGED, "the replicas follow the measured demand")
UNTRUSTED = frozenset(HELD - {ControlReason.CAPACITY_UNKNOWN})
"""What says that the signals are not there, or are not to be believed."""
WAITS = Finding(ConditionType.AUTOSCALING, "Unknown", Reason.SIGNALS_MISSING, "nothing was measured yet")
NOT_MEASURED = Finding(ConditionType.SLO_MET, "Unknown", Reason.NOT_MEASURED, "nothing was measured yet")


@dataclass(frozen=True, slots=True)
class Look:
    """What there is of a workload at a tick. ``asked`` and ``ready``: replicas of its Deployments that serve."""

    planned: Planned
    pools: Mapping[str, SeenPool]
    policy: ControlPolicy
    at_seconds: float
    signals: WorkloadSignals | None
    problem: str
    """Why there are no signals, in words; empty where there are."""
    ready: int
    serving: bool
    """The revision that is decided is the one that serves, and so the one that was measured."""
    in_charge: bool
    """The counts are the controller's: the mode is Managed and nobody else took them over."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What a status still says from before this process."""

    desired: int | None = None
    observed: Observed | None = None
    state: ControlState | None = None
    autoscaling: Finding | None = None
    slo: Finding | None = None


class ControlledWorkload:
    """Of one revision; ``start`` replicas run, or are decided, as it begins."""

    def __init__(self, look: Look, start: int, kept: Kept) -> None:
        self.configuration = configuration_of(look.planned)
        self._planned: Planned | None = None
        self._capacity = ReplicaCapacity(look.planned, look.pools)
        self._adopt(look)
        began = kept.state or ControlState()
        self.state = replace(began, total=self._without_spares(look, start))
        self.desired = start
        self.in_control = kept.desired is not None
        """Demand was measured once: from then on the counts are the controller's, and not those of the stated rate."""
        self.revision: str | None = None
        self.start_times = StartTimes(
            None if kept.observed is None or kept.observed.seconds_to_ready is None else kept.observed.seconds_to_ready
        )
        self.smoothed: WorkloadSignals | None = None
        self.measured = Measured(start, start, None, None)
        self._observed = kept.observed
        stated = None if kept.observed is None else kept.observed.not_known_since
        self._trusted_at = look.at_seconds if stated is None else stated.timestamp()
        """When signals were last trusted; before the first time, when this began."""
        self._held_since: float | None = None
        """Since when they are not; None while they are."""
        self._is_current = kept.observed is None
        """Whether the shown numbers are of now; a gap of a minute is none."""
        self._shown_at = -math.inf
        self._kept = began
        self._kept_at = look.at_seconds
        self._memory = None if kept.state is None else packed(kept.state)
        self._autoscaling = Patient(kept.autoscaling or WAITS)
        self._slo = Patient(kept.slo or NOT_MEASURED)
        self._mispredicted: Finding | None = None

    def scaling(self) -> Scaling:
        """For the next plan. The rate is the one that the status shows: it stands still while nothing noticeable
        happens."""
        shown = None if self._observed is None else self._observed.requests_per_second
        return Scaling(
            replicas=self.desired,
            requests_per_second=float(shown) if shown else None,
            target_utilization=self._target,
            is_current=self._is_current,
        )

    @property
    def _decided(self) -> tuple[Berth, ...]:
        return () if self._planned is None else self._planned.decision.berths

    def tick(self, look: Look) -> View:
        """One evaluation."""
        self._adopt(look)
        now = self.smoothed if look.signals is None else smoothed(self.smoothed, look.signals)
        answer = self._controlled(look, now)
        if look.signals is not None and answer.reason not in UNTRUSTED:
            self.smoothed, self._trusted_at, self._held_since, self._is_current = now, look.at_seconds, None, True
        elif self._held_since is None:
            self._held_since = look.at_seconds
        self._is_current = self._is_current and not self._is_unknown(look)
        self.in_control = self.in_control or answer.reason not in HELD
        if look.in_charge:
            self.state, self.desired = answer.state, max(sum(answer.replicas), answer.state.total or 0)
        else:
            # What we would want is shown, and the counts are somebody's else: it begins from what they set.
            self.desired = max(sum(answer.replicas), answer.state.total or 0)
            self.state = replace(answer.state, total=sum(berth.replicas for berth in self._decided))
        self._show(look)
        self._remember(look)
        self.measured = Measured(
            self.desired,
            sum(berth.replicas for berth in self._decided),
            None if look.signals is None else look.signals.utilization,
            None if look.signals is None else look.signals.age_seconds,
        )
        return self._view(look, answer)

    def move(self, look: Look, start: int) -> None:
        """Another configuration is decided. Who controls, and what was learned of the demand, in replicas of the new
        one, stay; what was learned of a replica, and the recent past, go."""
        before = self._sustained()
        self.configuration = configuration_of(look.planned)
        self._adopt(look)
        self._capacity = ReplicaCapacity(look.planned, look.pools)
        self.start_times, self._mispredicted = StartTimes(), None
        now = self._sustained()
        forecast = in_other_replicas(self.state.forecast, before * self.state.correction / now if now else 0.0)
        self.state = ControlState(total=self._without_spares(look, start), forecast=forecast)
        self.desired = start

    def serve(self, revision: str | None) -> None:
        """Another revision is wanted now: what was learned of the one before does not count any more."""
        if self.revision is not None and revision != self.revision:
            self.state = replace(self.state, correction=1.0)
            self.start_times = StartTimes()
            self._kept, self._memory, self._mispredicted = ControlState(), None, None
            self._kept_at = -math.inf
        self.revision = revision

    # --- control -------------------------------------------------------------------------------------------------

    def _without_spares(self, look: Look, count: int) -> int:
        """The controller's own count: spares for spot are added to it."""
        supply = _supply(look, self._decided)
        if any(berth.spot for berth in supply):
            count -= spares(spread(count, supply, _share(supply, look.policy.spot)), supply, SECONDS_TO_READY)
        return max(min(count, look.policy.maximum), look.policy.minimum)

    def _sustained(self) -> float:
        """Requests/s of one replica, by the model."""
        return self._capacity.model(None, None, None).requests_per_second

    def _adopt(self, look: Look) -> None:
        """Take the newest plan of the same configuration."""
        self._target = look.policy.target_utilization
        if self._planned is not look.planned:
            before, self._planned = self._planned, look.planned
            if before is None or _model_of(before) != _model_of(look.planned):
                self._capacity = ReplicaCapacity(look.planned, look.pools)

    def _is_unknown(self, look: Look) -> bool:
        """Whether nothing could be trusted for so long that it is said."""
        return self._held_since is not None and look.at_seconds - self._held_since >= SAID_AFTER_SECONDS

    @property
    def _not_known_since(self) -> datetime:
        """To the second, as a status has it."""
        return datetime.fromtimestamp(int(self._trusted_at), UTC)

    def _controlled(self, look: Look, now: WorkloadSignals | None) -> Control:
        supply = _supply(look, self._decided)
        signals = self._signals(look)
        tokens = (None, None) if now is None else (now.prompt_tokens, now.output_tokens)
        model = self._capacity.model(*tokens, self.start_times.seconds)
        policy = replace(look.policy, spot=_share(supply, look.policy.spot))
        current = [berth.replicas for berth in self._decided]
        return control(signals, self.state, model, supply, current, policy=policy)

    def _signals(self, look: Look) -> ReplicaSignals:
        found = look.signals
        if found is None:
            return ReplicaSignals(look.at_seconds, None, look.ready)
        rate = ReplicaSignals(look.at_seconds, found.requests_per_second, look.ready, found.age_seconds)
        if not look.serving:
            return rate  # of what is measured only the demand is true of the revision that starts
        return replace(
            rate,
            # A share of sequences in use grows faster than the rate: the correction is not learned from it.
            utilization=None if found.counts_sequences else found.utilization,
            pending_requests=found.pending_requests,
            latency_ratio=latency_ratio(look.planned.workload, found),
        )

    # --- what is said --------------------------------------------------------------------------------------------

    def _show(self, look: Look) -> None:
        """Renew the shown numbers where one of them is noticeably wrong; say since when they are not known."""
        if self._held_since is not None:
            if self._observed is not None and self._is_unknown(look):
                self._observed = self._observed.model_copy(update={"not_known_since": self._not_known_since})
            return
        if self._observed is not None and self._observed.not_known_since is not None:
            self._observed = self._observed.model_copy(update={"not_known_since": None})
        if self.smoothed is None or look.at_seconds - self._shown_at < SHOWN_EVERY_SECONDS:
            return
        seconds = self.start_times.seconds
        busy = self.smoothed.utilization is not None
        now = observed(
            self.smoothed,
            round(100 * self.state.correction) if busy else None,
            None if seconds is None else round(seconds),
        )
        if self._observed is None or is_noticeable(now, self._observed):
            self._observed, self._shown_at = now, look.at_seconds

    def _remember(self, look: Look) -> None:
        if is_worth_keeping(self.state, self._kept, look.at_seconds - self._kept_at):
            self._kept, self._kept_at, self._memory = self.state, look.at_seconds, packed(self.state)

    def _view(self, look: Look, answer: Control) -> View:
        held = answer.reason in HELD
        finding = self._finding(look, answer)
        at_once = finding is FOLLOWS and self._autoscaling.said.reason != Reason.AT_MAXIMUM
        patience = 0.0 if at_once else SAID_AFTER_SECONDS
        said = self._autoscaling.hear(finding, look.at_seconds, patience)
        found = judged(look.planned.workload, None if held or not look.serving else self.smoothed)
        if self._is_unknown(look) and look.planned.workload.latency:
            message = f"not known since {self._not_known_since:%Y-%m-%d %H:%M} UTC: {look.problem or answer.message}"
            found = Finding(ConditionType.SLO_MET, "Unknown", Reason.NOT_MEASURED, message)
        patience = SAID_AFTER_SECONDS if held else patience_seconds(found, self._slo.said)
        slo = self._slo.hear(found, look.at_seconds, patience)
        return View(
            desired=self.desired if look.in_charge and self.in_control else None,
            autoscaling=said,
            slo=slo,
            mispredicted=self._disagreement(look),
            observed=self._observed,
            memory=self._memory,
        )

    def _finding(self, look: Look, answer: Control) -> Finding:
        planned = sum(berth.replicas for berth in self._decided)
        if answer.reason in HELD:
            message = look.problem or answer.message
            return Finding(ConditionType.AUTOSCALING, "False", REASONS[answer.reason], message)
        if answer.reason is ControlReason.AT_MAXIMUM:
            message = f"more is wanted than replicas.maximum {look.policy.maximum}"
            return Finding(ConditionType.AUTOSCALING, "True", Reason.AT_MAXIMUM, message)
        if look.in_charge and self.desired > planned and self.state.total != planned:
            message = f"{self.desired} replicas are wanted, and there is room for {planned}"
            return Finding(ConditionType.AUTOSCALING, "True", Reason.AT_MAXIMUM, message)
        return FOLLOWS

    def _disagreement(self, look: Look) -> Finding | None:
        """A correction outside the band of the prediction, until it is well inside again."""
        low, high = _band(look.planned)
        correction, margin = self.state.correction, 0.05 if self._mispredicted is not None else 0.0
        if 1 / high + margin <= correction <= 1 / low - margin:
            self._mispredicted = None
        elif self._mispredicted is None:
            much = f"{abs(correction - 1):.0%} {'less' if correction < 1 else 'more'}"
            message = f"a replica carries {much} than predicted, which is outside the band: measure this workload"
            self._mispredicted = Finding(ConditionType.MISPREDICTED, "True", Reason.OUTSIDE_BAND, message)
        return self._mispredicted


def configuration_of(planned: Planned) -> tuple[object, ...]:
    """What makes two decisions count the same kind of replica; empty where nothing is placed."""
    berths = planned.decision.berths
    return configuration(berths[0]) if berths else ()


def _model_of(planned: Planned) -> tuple[object, ...]:
    """What the capacity of a replica depends on."""
    decision, workload = planned.decision, planned.workload
    used = None if decision.prediction is None else decision.prediction.utilization
    pools = tuple(berth.pool for berth in decision.berths)
    sustained = decision.requests_per_second_per_replica
    counts = sum(berth.replicas for berth in decision.berths)
    return sustained, used, decision.requests_per_second, counts, pools, workload.traffic, workload.latency


def _supply(look: Look, berths: Sequence[Berth]) -> tuple[BerthSupply, ...]:
    """The decided berths as the controller sees them. How many of each have room is the plan's to say."""
    found = []
    for place, berth in enumerate(berths):
        seen = look.pools.get(berth.pool)
        pool = None if seen is None else seen.pool
        spot = berth.capacity_type is CapacityType.SPOT
        price = float(pool.price.usd_per_node_hour) / pool.gpus_per_node if pool is not None and pool.price else 0.0
        interruptions = pool.spot.interruptions_per_hour if spot and pool is not None and pool.spot else 0.0
        name = f"{berth.pool}/{berth.mig_profile or ''}/{place}"
        found.append(BerthSupply(name, spot, price * berth.gpus_per_replica, look.policy.maximum, interruptions))
    return tuple(found)


def _share(supply: Sequence[BerthSupply], policy: SpotPolicy) -> SpotPolicy:
    """The policy; where all of the decided berths are spot, the plan has judged that they may be."""
    return (
        policy if any(not berth.spot for berth in supply) else SpotPolicy(maximum_share_percent=100, on_demand_base=0)
    )


def _band(planned: Planned) -> tuple[float, float]:
    """The widest relative band of the predicted mean latencies, low and high edge over the value: how long a request
    takes is what a replica's capacity is predicted from."""
    prediction = planned.decision.prediction
    low, high = 1 - SMALLEST_BAND, 1 + SMALLEST_BAND
    for metric, bands in ({} if prediction is None else prediction.band).items():
        points = prediction.metrics.get(metric) if prediction is not None else None
        if isinstance(points, Mapping) and isinstance(bands, Mapping) and points.get("mean") and "mean" in bands:
            least, most = bands["mean"]
            low, high = min(low, least / points["mean"]), max(high, most / points["mean"])
    return max(low, 0.01), high
