"""From a step of the load to the request of the last replica that it needs, as a scraped counter shows it."""

import math
from collections.abc import Mapping
from typing import Any

import pytest

from berth_operator import kinds
from berth_operator.settings import Settings
from followed_fleet import TICK_SECONDS, FollowedFleet, ScriptedSource, cluster, workload

RESNET = ("vision", "resnet")
SCRAPE_SECONDS = 5.0
SCRAPES: dict[str, Any] = {"platform": {"metricsIntervalSeconds": SCRAPE_SECONDS}}
GOAL_SECONDS = 30.0
PLAN_SECONDS = 2.0
"""Between what a tick wants and its write: the planner waits for a second of rest, and plans."""
TARGET_SECONDS = 45.0
"""Until the target is kept again, too: it is kept for the forecast's best guess, which a step has to convince first."""


class ScrapedCounter:
    """What Prometheus' ``rate`` says of a counter that is scraped every so often: by its samples within the window."""

    def __init__(self, fleet: FollowedFleet, requests_per_second: float, *, phase_seconds: float) -> None:
        self.fleet = fleet
        self.before = self.after = requests_per_second
        self.step_at = math.inf
        self.phase_seconds = phase_seconds
        own = Settings.model_validate({"prometheus": {"url": "http://prometheus"}, **SCRAPES})
        self.window_seconds = own.rate_window_seconds

    def step(self, factor: float, at_seconds: float) -> None:
        self.after, self.step_at = self.before * factor, at_seconds

    def __call__(self) -> Mapping[str, Any]:
        now = self.fleet.seconds
        newest = now - (now - self.phase_seconds) % SCRAPE_SECONDS
        oldest = newest - (self.window_seconds - 1e-6 - (now - newest)) // SCRAPE_SECONDS * SCRAPE_SECONDS
        rate = (self._count(newest) - self._count(oldest)) / (newest - oldest)
        return {**self.fleet.serve(rate)(), "age_seconds": now - newest}

    def _count(self, at_seconds: float) -> float:
        return self.before * min(at_seconds, self.step_at) + self.after * max(at_seconds - self.step_at, 0.0)


@pytest.mark.parametrize(("phase_seconds", "after_tick_seconds"), [(0.0, 0.1), (1.0, 5.0), (4.9, 9.9)])
async def test_a_step_of_three_is_asked_for_within_half_a_minute(
    phase_seconds: float, after_tick_seconds: float
) -> None:
    kube = cluster(60)
    kube.put(kinds.WORKLOAD, workload(replicas={"minimum": 1, "maximum": 60}))
    fleet = FollowedFleet(kube, ScriptedSource())
    await fleet.settle()
    counter = ScrapedCounter(fleet, 10 * fleet.sustained(), phase_seconds=phase_seconds)
    assert fleet.source is not None
    fleet.source.signals[RESNET] = counter
    await fleet.rounds(60)
    assert fleet.replicas() <= 14
    counter.step(3, fleet.seconds - TICK_SECONDS + after_tick_seconds)
    waited = TICK_SECONDS - after_tick_seconds
    await fleet.round()
    for needed, goal_seconds in ((30, GOAL_SECONDS), (round(30 / 0.75), TARGET_SECONDS)):  # objective, then target
        while fleet.replicas() < needed:
            waited += TICK_SECONDS
            assert waited <= goal_seconds - PLAN_SECONDS, f"{fleet.replicas()} of {needed} replicas"
            await fleet.round()
