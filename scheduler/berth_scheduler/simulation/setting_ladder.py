"""The controller under a ladder of settings, from careful to cheap, beside the policies of a simulation.

The rungs are spread over what ``spec.autoscaling`` can say; none is better in itself, each buys windows for money. On
published traces some rung is no worse than nine of ten settings of an HPA or KEDA that meet nine windows of ten.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from berth_cost.record import Record
from berth_scheduler.control.replica_control import ControlPolicy
from berth_scheduler.simulation.play import HINDSIGHT, OURS, PolicyResult, Scene, play, result_of
from berth_scheduler.simulation.scaling_policy import Controlled


class AutoscalingSetting(Record):
    """Of ``spec.autoscaling``."""

    target_utilization_percent: float
    allowed_miss_percent: float
    scale_down_stabilization_seconds: float

    def applied(self, policy: ControlPolicy) -> ControlPolicy:
        return replace(
            policy,
            target_utilization=self.target_utilization_percent / 100,
            miss_share=self.allowed_miss_percent / 100,
            scale_down_stabilization_seconds=self.scale_down_stabilization_seconds,
        )


class SettingResult(Record):
    """How the controller did with it. ``no_worse_than``: policies that it meets as many windows as, for no more."""

    setting: AutoscalingSetting
    result: PolicyResult
    no_worse_than: tuple[str, ...]


def _rung(target_percent: float, miss_percent: float, window_seconds: float) -> AutoscalingSetting:
    return AutoscalingSetting(
        target_utilization_percent=target_percent,
        allowed_miss_percent=miss_percent,
        scale_down_stabilization_seconds=window_seconds,
    )


LADDER = (
    _rung(40, 0.3, 900),
    _rung(60, 0.3, 300),
    _rung(80, 0.3, 900),
    _rung(75, 1, 300),
    _rung(70, 2, 0),
    _rung(90, 2, 1800),
    _rung(90, 3, 300),
    _rung(95, 6, 0),
    _rung(100, 20, 0),
    _rung(100, 50, 0),
)


def climb(scene: Scene, policy: ControlPolicy, policies: Sequence[PolicyResult]) -> Iterator[SettingResult]:
    """Rung by rung. ``policies``: what :func:`~berth_scheduler.simulation.play.compare` said of the same scene."""
    others = [one for one in policies if one.name not in {OURS, HINDSIGHT}]
    for setting in LADDER:
        run = play(scene, Controlled(setting.applied(policy), scene.cold_start_seconds))
        result = result_of(OURS, scene, run)
        beaten = tuple(
            one.name
            for one in others
            if result.windows_met_percent >= one.windows_met_percent and result.usd <= one.usd
        )
        yield SettingResult(setting=setting, result=result, no_worse_than=beaten)
