"""Injected anomalies of cost: how many are found, how soon, why, and how often nothing was there.

Run: ``python benchmarks/cost/anomalies.py [--data FOLDER]``. Two services of ServeGen in windows of ten minutes, a
fortnight each, and the NASA trace of 1995 in windows of five minutes as the operator has them, 58 days. Replicas follow
traffic, 10, 40 or 160 of them on average, on two kinds of nodes (half on spot, half on demand, as rounding has it).
After a week of history one anomaly at a time is injected, at 40 places spread over the rest:

- rate × 1.5 of one kind; the unit errors that price feeds have: a node's price for a GPU's (× 8), a GPU's for a node's
  (÷ 8), on demand for spot, GB for GiB (× 1.074), a sentinel of 700 USD;
- use × 2: twice the replicas for the same traffic;
- mix: all on demand.

Found is an alarm of the right cause within 15 minutes of data: the first window of ten minutes, or three of five. An
anomaly that moves no money (another price of what is not used) is none. False alarms are counted over the same weeks as
they are. Thresholds were chosen on 40 replicas of ServeGen (traffic known) and on NASA (traffic not known); the other
lines are held out.
"""

import argparse
import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from demand_traces import (
    DEFAULT_DATA,
    SERVICES,
    WINDOW_SECONDS,
    Floats,
    nasa_requests_per_minute,
    replicas,
    requests_per_minute,
)

from berth_cost.spending.anomaly import Anomaly, Cause, Jump, Sensitivity, Use, Window
from berth_cost.spending.cost_watch import CostWatch

RATES = {"OnDemand": 1.861, "Spot": 0.7816}
"""USD an hour, aws us-east-1 g6e.xlarge, on demand (2026-07-20) and spot (2025-06-28)."""
SIZES = (10, 40, 160)
PLACES = 40
SOON_SECONDS = 15 * 60
SETTLING_SECONDS = 30 * 60
STAYS_SECONDS = 10 * 60
"""A jump of use has to stay for so long, where traffic is not known: two windows of the operator."""
FIVE_MINUTES, DAY_SECONDS = 300, 86_400
DAYS_PER_MONTH = 365 / 12
HISTORY_DAYS = 7
GOAL_RECALL, GOAL_FALSE_ALARMS = 0.95, 1.0
Change = Callable[[Use], Use]


@dataclass(frozen=True, slots=True)
class Injected:
    """``rate``: what the prices become; ``use``: what the use becomes."""

    name: str
    cause: Cause
    rate: Callable[[dict[str, float]], dict[str, float]] = dict
    use: Change = lambda use: use

    def into(self, window: Window) -> Window:
        return Window(self.rate(dict(window.rate)), {size: self.use(use) for size, use in window.used.items()})

    def moves(self, window: Window, size: str) -> bool:
        """Whether it moves any money of a service."""
        return not np.isclose(_usd(window, size), _usd(self.into(window), size), rtol=1e-9)


def _usd(window: Window, size: str) -> float:
    return sum(quantity * window.rate[kind] for kind, quantity in window.used[size].quantity.items())


def price(
    kind: str, *, factor: float = 1.0, usd: float | None = None
) -> Callable[[dict[str, float]], dict[str, float]]:
    return lambda rates: {**rates, kind: rates[kind] * factor if usd is None else usd}


def twice(use: Use) -> Use:
    return Use({kind: quantity * 2 for kind, quantity in use.quantity.items()}, use.requests)


def all_on_demand(use: Use) -> Use:
    return Use({"OnDemand": sum(use.quantity.values()), "Spot": 0.0}, use.requests)


INJECTED = (
    Injected("rate × 1.5, on demand", Cause.RATE, price("OnDemand", factor=1.5)),
    Injected("rate × 1.5, spot", Cause.RATE, price("Spot", factor=1.5)),
    Injected("node price for GPU price (× 8)", Cause.RATE, price("OnDemand", factor=8)),
    Injected("GPU price for node price (÷ 8)", Cause.RATE, price("OnDemand", factor=1 / 8)),
    Injected("on-demand price for spot", Cause.RATE, price("Spot", usd=RATES["OnDemand"])),
    Injected("GB for GiB (× 1.074)", Cause.RATE, price("OnDemand", factor=1.074)),
    Injected("sentinel of 700 USD", Cause.RATE, price("Spot", usd=700.0)),
    Injected("use × 2", Cause.USE, use=twice),
    Injected("mix: all on demand", Cause.MIX, use=all_on_demand),
)


@dataclass(slots=True)
class Tally:
    """Of one trace at one size. ``found`` and ``there`` by the name of what was injected."""

    months: float
    found: dict[str, int]
    there: dict[str, int]
    false_alarms: int = 0

    def recall(self) -> float:
        """Mean over the kinds of anomaly."""
        return float(np.mean([self.found[name] / self.there[name] for name in self.there if self.there[name]]))


def windows_of(rate: Floats, window_seconds: int, *, traffic_known: bool) -> list[Window]:
    """All sizes as services of one fleet."""
    held = {str(size): replicas(rate, float(rate.mean()) / size, SETTLING_SECONDS // window_seconds) for size in SIZES}
    return [
        Window(
            RATES,
            {
                size: Use(
                    {"OnDemand": float(np.ceil(count[place] / 2)), "Spot": float(np.floor(count[place] / 2))},
                    float(rate[place]) if traffic_known else None,
                )
                for size, count in held.items()
            },
        )
        for place in range(len(rate))
    ]


def watched(series: Sequence[Window], window_seconds: int) -> dict[str, Tally]:
    """What was found and what was not there, by size."""
    day, soon = DAY_SECONDS // window_seconds, SOON_SECONDS // window_seconds
    start = HISTORY_DAYS * day
    places = set(np.linspace(start, len(series) - soon - 1, PLACES).astype(int).tolist())
    watch = CostWatch(
        Sensitivity(
            day,
            settling_windows=SETTLING_SECONDS // window_seconds,
            quiet_windows=3600 // window_seconds,
            jump=Jump(windows=STAYS_SECONDS // window_seconds),
        )
    )
    months = (len(series) - start) / day / DAYS_PER_MONTH
    tallies = {
        str(size): Tally(months, {one.name: 0 for one in INJECTED}, {one.name: 0 for one in INJECTED}) for size in SIZES
    }
    for index, window in enumerate(series):
        if index in places:
            for one in INJECTED:
                _inject(one, copy.deepcopy(watch), series[index : index + soon], tallies)
        for alarm in watch.observe(window):
            tallies[alarm.service].false_alarms += index >= start
    return tallies


def _inject(one: Injected, watch: CostWatch, windows: Sequence[Window], tallies: dict[str, Tally]) -> None:
    told: list[Anomaly] = [alarm for window in windows for alarm in watch.observe(one.into(window))]
    for size, tally in tallies.items():
        if one.moves(windows[0], size):
            tally.there[one.name] += 1
            tally.found[one.name] += any(alarm.service == size and alarm.cause is one.cause for alarm in told)


def show(traffic_known: bool, found: dict[tuple[str, str], Tally]) -> bool:
    """Prints the table; whether the goal is reached on all lines together."""
    print(f"\nuse is judged {'per request' if traffic_known else 'by itself: traffic is not known'}")
    lines = list(found)
    print(f"  {'':<32}" + "".join(f"{f'{trace} {size}':>13}" for trace, size in lines))
    for one in INJECTED:
        shares = (found[line].found[one.name] / max(found[line].there[one.name], 1) for line in lines)
        print(f"  {one.name:<32}" + "".join(f"{share * 100:>11.1f} %" for share in shares))
    print(f"  {'all':<32}" + "".join(f"{found[line].recall() * 100:>11.1f} %" for line in lines))
    print(f"  {'false alarms':<32}" + "".join(f"{found[line].false_alarms:>13}" for line in lines))
    print(f"  {'service-months':<32}" + "".join(f"{found[line].months:>13.2f}" for line in lines))
    months = sum(one.months for one in found.values())
    recall = sum(one.recall() * one.months for one in found.values()) / months
    alarms = sum(one.false_alarms for one in found.values()) / months
    reached = recall >= GOAL_RECALL and alarms <= GOAL_FALSE_ALARMS
    print(f"  all lines: {recall * 100:.1f} % found, {alarms:.2f} false alarms a service-month ({months:.2f} of them)")
    print(f"  goal ≥ 95 % at ≤ 1 a service-month: {'reached' if reached else 'MISSED'}")
    return reached


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, metavar="FOLDER")
    data: Path = parser.parse_args().data
    traces = {service: (requests_per_minute(data, service), WINDOW_SECONDS) for service in SERVICES}
    traces["nasa"] = (nasa_requests_per_minute(data, FIVE_MINUTES), FIVE_MINUTES)
    missed = False
    for traffic_known in (True, False):
        found: dict[tuple[str, str], Tally] = {}
        for name, (rate, window_seconds) in traces.items():
            if rate is None:
                print(f"skipped: the trace of {name} is not there; say where the traces are with --data")
                continue
            series = windows_of(rate, window_seconds, traffic_known=traffic_known)
            found |= {(name, size): tally for size, tally in watched(series, window_seconds).items()}
        if found:
            reached = show(traffic_known, found)
            missed |= traffic_known and not reached
    return int(missed)


if __name__ == "__main__":
    raise SystemExit(main())
