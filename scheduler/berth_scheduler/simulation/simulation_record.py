"""What ``berth simulate`` answers."""

from typing import Literal

from berth_cost.record import Record
from berth_scheduler.simulation.play import PolicyResult
from berth_scheduler.simulation.setting_ladder import SettingResult


class Simulation(Record):
    """The answer of ``berth simulate``."""

    kind: Literal["Simulation"] = "Simulation"
    trace: str
    workload: str
    windows: int
    windows_cut: int
    """Windows left out because the trace has holes there."""
    unreachable_windows: int
    """Windows that need more than the maximum: no policy meets them."""
    cold_start_seconds: float
    seed: int
    target_utilization_percent: float
    scale_down_stabilization_seconds: float
    allowed_miss_percent: float
    requests_per_second_per_replica: float
    """Sustained inside every objective; the mean over the trace where request lengths change."""
    peak_requests_per_second: float
    minimum_replicas: int
    maximum_replicas: int
    policies: tuple[PolicyResult, ...]
    settings: tuple[SettingResult, ...] = ()
    """The same trace under other settings, where they were asked for."""
