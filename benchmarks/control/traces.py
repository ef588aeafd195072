"""The replica controller on published traces of demand, beside every setting of what people run today.

    python benchmarks/control/traces.py [--data ../shared/data] [--mean-replicas 20] [--days 14] [--trace NAME …]

Cold starts take 3 minutes, windows are one minute, all policies begin with the count that the peak needs and may not
exceed it. A replica's capacity is set so that the mean demand of the trace needs ``--mean-replicas``.

For each baseline all settings of a grid are played, and kept where no other setting of the same baseline is better on
that very trace: its frontier in hindsight. Our settings are one grid for all traces, of what a spec can say; on a trace
only those count that are near our frontier of at least one *other* trace: there, nothing in the grid meets as many
windows for 5 % less, a replica of the twenty. A point of a baseline is matched where one of them meets no fewer windows
at no higher cost.

Thousands of settings are played at once by :mod:`many_settings`, and some of them by the controller itself: that both
agree is checked first. The exit code is 1 where a goal was missed.
"""

import argparse
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np
from many_settings import Outcomes, play_autoscalers, play_controllers
from rich.console import Console
from rich.table import Table

from berth_scheduler.control.berth_spread import BerthSupply
from berth_scheduler.control.replica_control import ControlPolicy
from berth_scheduler.simulation.demand_ticks import TICK_SECONDS, Ticks, ticks_of
from berth_scheduler.simulation.demand_trace import DemandTrace, read_trace
from berth_scheduler.simulation.play import Run, Scene, hindsight_result, peak_replicas, play, play_static_peak
from berth_scheduler.simulation.scaling_policy import Autoscaler, Controlled

TRACES = {
    "servegen m-large": "servegen_m-large.csv",
    "servegen m-mid": "servegen_m-mid.csv",
    "azure conversation": "azure_llm_2023_conv.csv",
    "azure code": "azure_llm_2023_code.csv",
    "mooncake": "mooncake_conversation.csv",
    "nasa": "nasa_http_1995.csv",
}
SMOOTH = ("servegen m-large", "servegen m-mid", "azure conversation")
COLD_START_SECONDS = 180.0
SATURATION = 1.3
"""Saturation rate over the rate at which the objectives just hold: typical of a p99 objective in the examples."""
GOAL_MET_PERCENT, GOAL_TIMES_HINDSIGHT = 99.5, 1.4
GOAL_BAND, GOAL_BAND_SHARE = (0.70, 0.95), 0.95
NEAR = 0.05
MEAN_TICKS = 20
"""Ten minutes."""
CHECKED_EVERY, CHECKED_TICKS = 60, 4000
"""Of the settings, one in so many is played by the controller itself, on traces that are not longer; on the longer ones
the default alone is."""


@dataclass(frozen=True, slots=True)
class Setting:
    """Of ours, all within what a spec can say. ``…_share``: replicas.minimum and maximum over the peak's count."""

    target: float = 0.75
    miss_share: float = 0.01
    stabilization_seconds: float = 300.0
    maximum_share: float = 1.0
    minimum_share: float = 0.0

    def __str__(self) -> str:
        if self.minimum_share == self.maximum_share:
            return f"always {self.maximum_share:.0%} of the peak's"
        most = "" if self.maximum_share == 1 else f", maximum {self.maximum_share:.0%}"
        return f"target {self.target:.0%}, miss {self.miss_share:.1%}, window {self.stabilization_seconds:g} s{most}"


DEFAULT = Setting()
TARGETS = (0.2, 0.4, 0.5, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0)
MISS_SHARES = (0.003, 0.01, 0.02, 0.03, 0.06, 0.1, 0.2, 0.35, 0.5)
OUR_WINDOWS = (0.0, 60.0, 300.0, 900.0, 1800.0, 3600.0)
SHARES = tuple(round(0.02 * step, 2) for step in range(1, 50))
OURS = tuple(
    dict.fromkeys(
        (
            DEFAULT,
            *(Setting(*each) for each in product(TARGETS, MISS_SHARES, OUR_WINDOWS)),
            *(Setting(1.0, *each) for each in product((0.01, 0.1, 0.5), (0.0, 300.0, 900.0), SHARES)),
            *(Setting(maximum_share=share, minimum_share=share) for share in (*SHARES, 1.0)),
        )
    )
)
WINDOWS = (0.0, 60.0, 300.0, 900.0)
BASELINES: dict[str, tuple[str, tuple[float, ...]]] = {
    "hpa-gpu-utilization": ("busy", (0.2, 0.3, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.9)),
    "hpa-queue-time": ("queue", (0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.5, 2.0, 3.0, 5.0)),
    "keda-threshold": ("rate", (0.2, 0.3, 0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 1.0, 1.1)),
}


@dataclass(frozen=True, slots=True)
class Point:
    """How one setting did: windows met, cost over hindsight's."""

    label: str
    met: int
    times: float
    setting: Setting | None = None

    def matches(self, other: "Point") -> bool:
        return self.met >= other.met and self.times <= other.times + 1e-9


@dataclass(frozen=True, slots=True)
class Played:
    """A trace with everything that was played on it."""

    name: str
    scene: Scene
    limits: ControlPolicy
    ours: dict[Setting, Point]
    default: Run
    baselines: dict[str, list[Point]]
    seconds: float

    @property
    def windows(self) -> int:
        return self.scene.ticks.windows


def scene_of(file: Path, mean_replicas: float, days: float) -> tuple[Scene, ControlPolicy]:
    trace = read_trace(file.read_text(encoding="utf-8")).without_tokens()
    kept = trace.seconds <= trace.seconds[0] + days * 86_400
    trace = DemandTrace(trace.seconds[kept], trace.requests_per_second[kept], lines=trace.lines[kept])
    unit = _ticks(trace, 1.0)
    ticks = _ticks(trace, float(unit.mean.mean()) / mean_replicas)
    peak = peak_replicas(ticks, ControlPolicy(maximum=10**9))
    berth = BerthSupply("pool", False, 1.0, peak)
    return Scene(ticks, (berth,), 1.0, (peak,), COLD_START_SECONDS), ControlPolicy(maximum=peak)


def _ticks(trace: DemandTrace, capacity: float) -> Ticks:
    return ticks_of(trace, lambda _prompt, _output: (np.array(capacity), np.array(capacity * SATURATION)))


def policy_of(setting: Setting, limits: ControlPolicy) -> ControlPolicy:
    return replace(
        limits,
        target_utilization=setting.target,
        miss_share=setting.miss_share,
        scale_down_stabilization_seconds=setting.stabilization_seconds,
        minimum=max(1, round(limits.maximum * setting.minimum_share)),
        maximum=max(1, round(limits.maximum * setting.maximum_share)),
    )


def play_all(name: str, file: Path, mean_replicas: float, days: float) -> Played:
    begun = time.process_time()
    scene, limits = scene_of(file, mean_replicas, days)
    least = float(hindsight_result(scene, limits).usd)  # a replica-hour costs a dollar

    def points(labels: Sequence[str], outcomes: Outcomes, settings: Sequence[Setting | None]) -> list[Point]:
        rows = zip(labels, outcomes.met, outcomes.replica_hours, settings, strict=True)
        return [Point(label, int(met), float(hours) / least, setting) for label, met, hours, setting in rows]

    policies = [policy_of(setting, limits) for setting in OURS]
    ours = play_controllers(scene.ticks, policies, COLD_START_SECONDS)
    default = _checked(name, scene, policies, ours)
    static = play_static_peak(scene, limits)
    baselines = {"static-peak": [Point("peak", int(static.windows_met(scene.ticks).sum()), static.fleet.usd / least)]}
    for baseline, (value, targets) in BASELINES.items():
        pairs = list(product(targets, WINDOWS))
        scalers = [Autoscaler(value, target, window, limits) for target, window in pairs]
        outcomes = play_autoscalers(scene.ticks, scalers, limits.maximum, COLD_START_SECONDS)
        labels = [f"target {target:g}, window {window:g} s" for target, window in pairs]
        baselines[baseline] = frontier(points(labels, outcomes, [None] * len(pairs)))
    found = points([str(setting) for setting in OURS], ours, OURS)
    by_setting = dict(zip(OURS, found, strict=True))
    return Played(name, scene, limits, by_setting, default, baselines, time.process_time() - begun)


def _checked(name: str, scene: Scene, policies: Sequence[ControlPolicy], outcomes: Outcomes) -> Run:
    """The default's run by the controller itself. Exits where it, or another that is tried, came out differently."""

    def checked(place: int) -> Run:
        policy = policies[place]
        run = play(replace(scene, start=(policy.maximum,)), Controlled(policy, COLD_START_SECONDS))
        told = (int(run.windows_met(scene.ticks).sum()), round(run.fleet.usd, 6), run.fleet.scalings)
        found = (
            int(outcomes.met[place]),
            round(float(outcomes.replica_hours[place]), 6),
            int(outcomes.scalings[place]),
        )
        if told != found:
            raise SystemExit(f"{name}, {OURS[place]}: the controller says {told}, all settings at once {found}")
        return run

    if len(scene.ticks.seconds) <= CHECKED_TICKS:
        for place in range(CHECKED_EVERY, len(policies), CHECKED_EVERY):
            checked(place)
    return checked(0)


def frontier(points: Iterable[Point]) -> list[Point]:
    """Those that no other beats, the cheapest first."""
    kept: list[Point] = []
    for one in sorted(points, key=lambda each: (each.times, -each.met)):
        if not kept or one.met > kept[-1].met:
            kept.append(one)
    return kept


def chosen_elsewhere(played: Sequence[Played], name: str) -> set[Setting]:
    """Our settings that are near our frontier of some other trace."""
    found = {DEFAULT}
    for one in played:
        if one.name != name:
            best = frontier(one.ours.values())
            found |= {setting for setting, point in one.ours.items() if not _beaten(point, best)}
    return found


def _beaten(point: Point, best: Sequence[Point]) -> bool:
    return any(other.met >= point.met and other.times < point.times * (1 - NEAR) for other in best)


def in_band(played: Played, run: Run) -> tuple[float, int]:
    """(share of windows with a utilisation within the goal's band, windows that count).

    Utilisation is the mean over ten minutes. Windows count where ten or more replicas run and demand moves slower than
    a cold start: by no more than one replica within one, before and after.
    """
    ready, demand = run.ready, played.scene.ticks.mean
    reach = int(COLD_START_SECONDS / TICK_SECONDS)
    slow = ready >= 10
    for shift in range(1, reach + 1):
        for moved in (np.roll(demand, shift), np.roll(demand, -shift)):
            slow &= np.abs(moved - demand) <= 1.0
    slow[:MEAN_TICKS], slow[-MEAN_TICKS:] = False, False
    if not slow.any():
        return 1.0, 0
    box = np.ones(MEAN_TICKS)
    utilization = (np.convolve(demand, box, "same") / np.convolve(ready, box, "same"))[slow]
    low, high = GOAL_BAND
    return float(np.mean((utilization >= low) & (utilization <= high))), int(slow.sum()) // 2


# --- tables ------------------------------------------------------------------------------------------------------


def summary(played: Sequence[Played], console: Console) -> list[str]:
    """Prints the default setting against the goals; what was missed."""
    table = Table(title=f"Our defaults ({DEFAULT})")
    for heading in (
        "trace",
        "windows",
        "met",
        "× hindsight",
        "scalings/day",
        "utilisation",
        "in 70–95 %",
        "s",
    ):
        table.add_column(heading, justify="left" if heading == "trace" else "right")
    missed = []
    for one in played:
        point, ticks = one.ours[DEFAULT], one.scene.ticks
        percent = 100 * point.met / one.windows
        share, asked = in_band(one, one.default)
        table.add_row(
            one.name,
            f"{one.windows:,}" + (f" (−{ticks.windows_cut:,})" if ticks.windows_cut else ""),
            f"{percent:.2f} %",
            f"{point.times:.2f}",
            f"{one.default.fleet.scalings / ticks.days:.0f}",
            f"{100 * ticks.mean.sum() / one.default.ready.sum():.0f} %",
            f"{share:.1%} of {asked:,}" if asked else "–",
            f"{one.seconds:.0f}",
        )
        if one.name in SMOOTH and (percent < GOAL_MET_PERCENT or point.times > GOAL_TIMES_HINDSIGHT):
            missed.append(f"{one.name}: {percent:.2f} % met at {point.times:.2f} × hindsight")
        if asked and share < GOAL_BAND_SHARE:
            missed.append(f"{one.name}: utilisation within 70–95 % in {share:.1%} of {asked:,} windows that count")
    console.print(table)
    return missed


def frontiers(played: Sequence[Played], console: Console) -> list[str]:
    """Prints how much of each baseline's frontier in hindsight is matched by ours from elsewhere, and what is not."""
    counts = Table(
        title="Points of each baseline's frontier in hindsight that settings of ours, chosen elsewhere, match"
    )
    counts.add_column("trace")
    counts.add_column("settings", justify="right")
    names = list(played[0].baselines)
    for name in names:
        counts.add_column(name, justify="right")
    rest = Table(title="Not matched, and the nearest of ours")
    for heading in ("trace", "baseline", "setting", "met %", "×", "ours", "met %", "×"):
        rest.add_column(heading, justify="right" if heading in ("met %", "×") else "left")
    missed = []
    matched = everywhere = points_of_all = 0
    for one in played:
        chosen = chosen_elsewhere(played, one.name)
        allowed = [one.ours[setting] for setting in OURS if setting in chosen]
        cells = [one.name, f"{len(allowed)} of {len(OURS)}"]
        everywhere += sum(
            any(ours.matches(point) for ours in one.ours.values()) for name in names for point in one.baselines[name]
        )
        for name in names:
            points = one.baselines[name]
            lost = [point for point in points if not any(ours.matches(point) for ours in allowed)]
            cells.append(f"{len(points) - len(lost)} of {len(points)}")
            matched, points_of_all = matched + len(points) - len(lost), points_of_all + len(points)
            for point in lost:
                near = nearest(allowed, point, one.windows)
                rest.add_row(one.name, name, *_cells(point, one.windows), *_cells(near, one.windows))
            if lost:
                missed.append(f"{one.name}: {len(lost)} of {len(points)} points of {name} are not matched")
        counts.add_row(*cells)
    console.print(counts)
    console.print(f"{matched} of {points_of_all}; by any setting of the grid: {everywhere}")
    if rest.row_count:
        console.print(rest)
    return missed


def _cells(point: Point, windows: int) -> tuple[str, str, str]:
    return point.label, f"{100 * point.met / windows:.2f}", f"{point.times:.3f}"


def nearest(ours: Sequence[Point], point: Point, windows: int) -> Point:
    def distance(each: Point) -> float:
        return max(point.met - each.met, 0) / windows + max(each.times - point.times, 0.0)

    return min(ours, key=distance)


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "../shared/data")
    options.add_argument("--mean-replicas", type=float, default=20.0)
    options.add_argument("--days", type=float, default=14.0, help="of each trace")
    options.add_argument("--trace", action="append", choices=sorted(TRACES))
    asked = options.parse_args()
    folder = asked.data / "traces"
    if not folder.is_dir():
        print(f"{folder} is not there: give --data DIRECTORY, the folder with traces/servegen_m-large.csv")
        return 0
    console = Console(width=150)
    played = []
    for name in asked.trace or TRACES:
        print(f"playing {name}", file=sys.stderr, flush=True)
        played.append(play_all(name, folder / TRACES[name], asked.mean_replicas, asked.days))
    missed = [*summary(played, console), *(frontiers(played, console) if len(played) > 1 else [])]
    for each in missed:
        console.print(f"missed: {each}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
