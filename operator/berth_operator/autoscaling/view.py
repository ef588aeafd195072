"""What autoscaling says of one workload: for its status, for the next plan, for metrics."""

from dataclasses import dataclass

from berth_operator.api.conditions import Finding
from berth_operator.api.v1alpha1 import Observed


@dataclass(frozen=True, slots=True)
class View:
    """Everything in it changes rarely: it is what a status is written for."""

    desired: int | None
    """What the controller asks for; None where somebody else, or the stated rate, decides."""
    autoscaling: Finding
    slo: Finding
    mispredicted: Finding | None = None
    """Model and measurements disagree by more than the band of the prediction."""
    observed: Observed | None = None
    memory: str | None = None
    """What the controller keeps over a restart; None until there is something worth keeping."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Of one workload at the last tick, for metrics."""

    desired: int | None
    current: int
    utilization: float | None
    signal_age_seconds: float | None
