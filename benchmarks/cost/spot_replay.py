"""Spot policies on thirty days of nine AWS V100 zones: ready how often, at what share of on demand.

Run: ``python benchmarks/cost/spot_replay.py [--data FOLDER] [--write-fit FILE]``. Three replicas wanted, ticks of
195 s, one tick of start-up, spot at 0.35 of on demand, at most one replica a zone. Each day is judged by hazards
learned from all other days and by the emphasis that was cheapest, and ready enough, on all other days.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from berth_cost.spot.comparison import other_days_fit
from berth_cost.spot.hazard import Emphasis, HazardFit, HazardSample, built_in_fit, fit_hazard
from berth_cost.spot.learned import LearnedPolicy
from berth_cost.spot.policy import FIXED_POLICIES, clairvoyant
from berth_cost.spot.replay import Policy, Replayed, ReplayRules, Tally, day_of, replay, tally
from berth_cost.spot.trace import SpotTrace, read_spot_trace

DEFAULT_DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
TRACE = Path("spot") / "skypilot_spot_traces_rle.csv"
ZONES = "avail-1-node-aws-02-15-2023-*"
SOURCE = "nine AWS V100 zones, 30 days from 2023-02-15 (SkyPilot spot traces)"
RULES = ReplayRules(want=3)
CALM_DAYS = 10
GOALS = (
    ("99", "all", 0.990, 0.43),
    ("99.9", "all", 0.999, 0.60),
    ("99.5", "calm", 0.996, 0.43),
    ("99.9", "calm", 0.999, 0.55),
)
GRID: Mapping[str, Sequence[Emphasis]] = {
    aim: tuple(Emphasis(shortfall_weight=weight, hysteresis=hysteresis, shock_weight=shock) for weight in weights)
    for aim, hysteresis, shock, weights in (
        ("99", 0.2, 0.55, (17.0, 20.0, 24.0)),
        ("99.5", 0.2, 0.55, (38.0, 44.0, 50.0)),
        ("99.9", 0.08, 0.65, (330.0, 370.0, 420.0)),
    )
}
MARGIN = 0.1
"""Of the time that an aim allows to be short, this share is left over on the other days."""


@dataclass(frozen=True)
class Days:
    """One policy's sums by day."""

    name: str
    by_day: Sequence[Tally]

    def over(self, days: Sequence[int]) -> tuple[float, float, float]:
        """Ready share, cost share, replicas lost a day."""
        mine = [self.by_day[day] for day in days]
        ticks = sum(one.ticks for one in mine)
        ready = sum(one.ready_ticks for one in mine) / ticks
        paid = sum(RULES.spot_price_share * one.spot_ticks + one.on_demand_ticks for one in mine)
        lost = sum(one.preemptions for one in mine) / (ticks * RULES.tick_seconds / 86_400)
        return ready, paid / (ticks * RULES.want), lost


def by_day(name: str, replayed: Replayed) -> Days:
    day = day_of(np.arange(len(replayed.log)), RULES)
    starts = np.flatnonzero(np.diff(day, prepend=-1)).tolist()
    stops = [*starts[1:], len(day)]
    return Days(
        name,
        [
            tally(replayed.log[start:stop], replayed.losses[start:stop], RULES)
            for start, stop in zip(starts, stops, strict=True)
        ],
    )


def run(policy: Policy, trace: SpotTrace) -> Days:
    progress(policy.name)
    return by_day(policy.name, replay(policy, trace, RULES))


def held_out(aim: str, fits: Sequence[HazardFit], trace: SpotTrace) -> Days:
    """Each day by the emphasis that the other days chose."""
    tried = []
    for emphasis in GRID[aim]:
        with_it = tuple(fit.model_copy(update={"emphasis": {aim: emphasis}}) for fit in fits)
        tried.append(run(LearnedPolicy(with_it, aim), trace))
    chosen = []
    days = range(len(tried[0].by_day))
    for day in days:
        others = [other for other in days if other != day]
        good = [one for one in tried if one.over(others)[0] >= 1 - (1 - float(aim) / 100) * (1 - MARGIN)]
        best = min(good, key=lambda one: one.over(others)[1]) if good else tried[-1]
        chosen.append(best.by_day[day])
    return Days(f"learned-{aim}, each day from the others", chosen)


def table(title: str, rows: Sequence[tuple[str, tuple[float, float, float]]]) -> None:
    print(f"\n{title}\n{'policy':<44} {'ready':>8} {'cost':>7} {'lost/day':>9}")
    for name, (ready, cost, lost) in rows:
        print(f"{name:<44} {ready * 100:>7.2f}% {cost:>7.3f} {lost:>9.1f}")


def bound_over(trace: SpotTrace, percent: float) -> tuple[str, tuple[float, float, float]]:
    found = clairvoyant(trace, RULES, percent)
    return f"{found.name} (bound)", (found.ready_share, found.cost_share, 0.0)


def progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def write_fit(trace: SpotTrace, file: Path) -> None:
    """The built-in fit: on all days, with the emphasis that the built-in fit has."""
    fit = fit_hazard(HazardSample.of(trace), trace.regions, RULES.tick_seconds, SOURCE)
    document = fit.model_copy(update={"emphasis": built_in_fit().emphasis}).model_dump(mode="json", by_alias=True)
    header = (
        "# Hazards of spot capacity, fitted by benchmarks/cost/spot_replay.py --write-fit to nine AWS V100 zones\n"
        "# (p3.2xlarge in us-east-1, us-east-2, us-west-2), 2023-02-15 to 2023-03-17: the spot traces of SkyPilot\n"
        "# (github.com/skypilot-org/spot-traces, read 2026-11-21; Mao et al., arXiv 2411.01438).\n"
        "# shortfallWeight, hysteresis and shockWeight by replay of the same days.\n"
    )
    file.write_text(header + yaml.safe_dump({"fit": document}, sort_keys=False), encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, metavar="FOLDER")
    parser.add_argument("--write-fit", type=Path, metavar="FILE", help="write the built-in fit anew, and stop")
    arguments = parser.parse_args()
    path = arguments.data / TRACE
    if not path.is_file():
        print(f"skipped: {path} is not there; say where the traces are with --data")
        return 0
    trace = read_spot_trace(path.read_text(encoding="utf-8"), str(path), ZONES)
    if arguments.write_fit:
        write_fit(trace, arguments.write_fit)
        return 0
    progress("learning each day from the others")
    fits = other_days_fit(trace, RULES)
    policies = [run(policy, trace) for policy in FIXED_POLICIES]
    ours = {aim: held_out(aim, fits, trace) for aim in GRID}
    policies += [*ours.values(), run(LearnedPolicy((built_in_fit(),), "99.9"), trace)]
    policies[-1] = Days("learned-99.9, built-in (has seen these days)", policies[-1].by_day)
    progress("")
    up = (trace.nodes > 0).mean(axis=1)
    day = day_of(np.arange(trace.ticks), RULES)
    whole_days = range(trace.ticks * 195 // 86_400)
    calm = sorted(sorted(whole_days, key=lambda one: (-float(up[day == one].mean()), one))[:CALM_DAYS])
    every = range(len(policies[0].by_day))
    bounds = [bound_over(trace, 99.0), bound_over(trace, 99.9)]
    table(f"{len(every)} days, three replicas wanted", [*((one.name, one.over(every)) for one in policies), *bounds])
    table(f"the {CALM_DAYS} days with the most capacity", [(one.name, one.over(calm)) for one in policies])
    print("\ngoals, each day judged by what was learned from the others")
    missed = False
    for aim, which, ready, cost in GOALS:
        reached, paid, _ = ours[aim].over(every if which == "all" else calm)
        holds = reached >= ready and paid <= cost
        missed |= not holds
        verdict = "reached" if holds else "MISSED"
        goal = f"ready ≥ {ready * 100:.1f} % at ≤ {cost:.2f}, {which} days"
        print(f"  {goal}: {reached * 100:.2f} % at {paid:.3f}: {verdict}")
    return int(missed)


if __name__ == "__main__":
    raise SystemExit(main())
