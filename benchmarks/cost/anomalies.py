"""Injected anomalies of cost: how many are found, how soon, why, and how often nothing was there.

Run: ``python benchmarks/cost/anomalies.py [--data FOLDER]``. Two services of ServeGen, windows of ten minutes, fourteen
days; replicas follow traffic on two kinds of nodes (half on spot, half on demand, as rounding has it). After a week of
history one anomaly at a time is injected, at 40 places spread over the second week:

- rate × 1.5 of one kind; the unit errors that price feeds have: a node's price for a GPU's (× 8), a GPU's for a node's
  (÷ 8), on demand for spot, GB for GiB (× 1.074), a sentinel of 700 USD;
- use × 2: twice the replicas for the same traffic;
- mix: all on demand.

Found is an alarm of the right cause within 15 minutes of data, the first two windows. False alarms are counted over the
second week of the series as it is.
"""

import argparse
import copy
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from demand_traces import DEFAULT_DATA, SERVICES, WINDOWS_PER_DAY, Floats, replicas, requests_per_minute

from berth_cost.spending.anomaly import Cause, CostWatch, Sensitivity, Window

RATES = {"OnDemand": 1.861, "Spot": 0.7816}
"""USD an hour, aws us-east-1 g6e.xlarge, on demand (2026-07-20) and spot (2025-06-28)."""
MEAN_REPLICAS = 40
PLACES = 40
SOON_WINDOWS = 2
HOURS_PER_WINDOW = 1 / 6
DAYS_PER_MONTH = 365 / 12
GOAL_RECALL, GOAL_FALSE_ALARMS = 0.95, 1.0
Change = Callable[[Window], Window]


def rate_change(kind: str, factor: float) -> Change:
    return lambda window: Window(window.quantity, {**window.rate, kind: window.rate[kind] * factor}, window.requests)


def rate_is(kind: str, usd: float) -> Change:
    return lambda window: Window(window.quantity, {**window.rate, kind: usd}, window.requests)


def use_change(factor: float) -> Change:
    return lambda window: Window(
        {kind: quantity * factor for kind, quantity in window.quantity.items()}, window.rate, window.requests
    )


def all_on_demand(window: Window) -> Window:
    return Window({"OnDemand": window.units, "Spot": 0.0}, window.rate, window.requests)


INJECTED: tuple[tuple[str, Cause, Change], ...] = (
    ("rate × 1.5, on demand", Cause.RATE, rate_change("OnDemand", 1.5)),
    ("rate × 1.5, spot", Cause.RATE, rate_change("Spot", 1.5)),
    ("node price for GPU price (× 8)", Cause.RATE, rate_change("OnDemand", 8)),
    ("GPU price for node price (÷ 8)", Cause.RATE, rate_change("OnDemand", 1 / 8)),
    ("on-demand price for spot", Cause.RATE, rate_is("Spot", RATES["OnDemand"])),
    ("GB for GiB (× 1.074)", Cause.RATE, rate_change("OnDemand", 1.074)),
    ("sentinel of 700 USD", Cause.RATE, rate_is("Spot", 700.0)),
    ("use × 2", Cause.USE, use_change(2)),
    ("mix: all on demand", Cause.MIX, all_on_demand),
)


def windows_of(rate: Floats, *, traffic_known: bool) -> list[Window]:
    held = replicas(rate, float(rate.mean()) / MEAN_REPLICAS)
    spot = np.floor(held / 2)
    return [
        Window(
            {"OnDemand": float(count - cheap) * HOURS_PER_WINDOW, "Spot": float(cheap) * HOURS_PER_WINDOW},
            RATES,
            float(requests) * 10 if traffic_known else None,
        )
        for count, cheap, requests in zip(held, spot, rate, strict=True)
    ]


def watched(series: Sequence[Window], sensitivity: Sensitivity) -> tuple[int, dict[str, float]]:
    """False alarms of the second week, and the share found of each kind of anomaly."""
    week = 7 * WINDOWS_PER_DAY
    places = set(np.linspace(week, len(series) - SOON_WINDOWS - 1, PLACES).astype(int).tolist())
    watch, alarms, found = CostWatch(sensitivity), 0, {name: 0 for name, _, _ in INJECTED}
    for index, window in enumerate(series):
        if index in places:
            for name, cause, change in INJECTED:
                forked = copy.deepcopy(watch)
                soon = [alarm for one in series[index : index + SOON_WINDOWS] for alarm in forked.observe(change(one))]
                found[name] += any(alarm.cause is cause for alarm in soon)
        raised = watch.observe(window)
        alarms += len(raised) if index >= week else 0
    return alarms, {name: count / len(places) for name, count in found.items()}


def show(traffic_known: bool, by_kind: Mapping[str, Sequence[float]], alarms: int, months: float) -> bool:
    """Prints the table; whether the goal is reached."""
    print(f"\nuse is judged {'per request' if traffic_known else 'by itself: traffic is not known'}")
    for name, shares in by_kind.items():
        print(f"  {name:<34} found {float(np.mean(shares)) * 100:>5.1f} %")
    overall = float(np.mean([share for shares in by_kind.values() for share in shares]))
    reached = overall >= GOAL_RECALL and alarms / months <= GOAL_FALSE_ALARMS
    print(f"  all: {overall * 100:.1f} %; {alarms} false alarms in {months:.2f} service-months")
    print(f"  goal ≥ 95 % at ≤ 1 a service-month: {'reached' if reached else 'MISSED'}")
    return reached


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, metavar="FOLDER")
    data: Path = parser.parse_args().data
    sensitivity = Sensitivity(windows_per_day=WINDOWS_PER_DAY)
    missed = False
    for traffic_known in (True, False):
        alarms, months = 0, 0.0
        by_kind: dict[str, list[float]] = {}
        for service in SERVICES:
            rate = requests_per_minute(data, service)
            if rate is None:
                print(f"skipped: the trace of {service} is not there; say where the traces are with --data")
                continue
            series = windows_of(rate, traffic_known=traffic_known)
            false_ones, found = watched(series, sensitivity)
            alarms += false_ones
            months += (len(series) / WINDOWS_PER_DAY - 7) / DAYS_PER_MONTH
            for name, share in found.items():
                by_kind.setdefault(name, []).append(share)
        if months:
            reached = show(traffic_known, by_kind, alarms, months)
            missed |= traffic_known and not reached
    return int(missed)


if __name__ == "__main__":
    raise SystemExit(main())
