"""How far forecasts of spend miss: several rules, three traces, every origin, the sum of the days ahead.

Run: ``python benchmarks/cost/month_end.py [--data FOLDER]``. Replicas follow the traffic of two services of ServeGen
and of the NASA trace of 1995; an hour costs what its replicas cost. From three days of history on, every twelve hours,
each rule says what the next 3 and 7 days will cost together, from at most two weeks of hours. Shown is the mean of the
absolute error in percent.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from demand_traces import DEFAULT_DATA, SERVICES, Floats, nasa_requests_per_minute, replicas, requests_per_minute

from berth_cost.spending.budget import HOURS_PER_DAY, LEVEL_HALF_LIFE_HOURS, expected_spend
from berth_cost.spending.demand_forecast import forecast

MEAN_REPLICAS = 40
HISTORY_HOURS = 336
LEAST_HOURS = 72
BETWEEN_ORIGINS_HOURS = 12
AHEAD_HOURS = (72, 168)


def usual_course(half_life_hours: float) -> Callable[[Floats, int], float]:
    def total(past: Floats, hours: int) -> float:
        whole = past[len(past) % HOURS_PER_DAY :]
        return float(forecast(whole, HOURS_PER_DAY, hours, half_life_hours).mean.sum())

    return total


def ours(past: Floats, hours: int) -> float:
    (expected,) = expected_spend([past.tolist()], hours, [0.0])
    return float(expected)


RULES: dict[str, Callable[[Floats, int], float]] = {
    "what runs now": lambda past, hours: float(past[-1]) * hours,
    "the last day again": lambda past, hours: float(np.resize(past[-HOURS_PER_DAY:], hours).sum()),
    "all of the past": lambda past, hours: float(past.mean()) * hours,
    "usual course, level of 6 h": usual_course(6),
    "usual course, level of a day": usual_course(24),
    "usual course, level of a week": usual_course(LEVEL_HALF_LIFE_HOURS),
    "last day and usual course (budgets)": ours,
}


def hourly(rate: Floats) -> Floats:
    held = replicas(rate, float(rate.mean()) / MEAN_REPLICAS)
    return np.asarray(held[: len(held) // 6 * 6].reshape(-1, 6).mean(axis=1), dtype=np.float64)


def mean_error_percent(spend: Floats, rule: Callable[[Floats, int], float], hours: int) -> float:
    errors = []
    for origin in range(LEAST_HOURS, len(spend) - hours, BETWEEN_ORIGINS_HOURS):
        actual = float(spend[origin : origin + hours].sum())
        errors.append(abs(rule(spend[max(0, origin - HISTORY_HOURS) : origin], hours) / actual - 1))
    return float(np.mean(errors)) * 100


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, metavar="FOLDER")
    data: Path = parser.parse_args().data
    found = {service: requests_per_minute(data, service) for service in SERVICES} | {
        "nasa": nasa_requests_per_minute(data)
    }
    traces = {name: hourly(rate) for name, rate in found.items() if rate is not None}
    for name in found.keys() - traces.keys():
        print(f"skipped: the trace of {name} is not there; say where the traces are with --data")
    columns = [(name, hours) for name in traces for hours in AHEAD_HOURS]
    print(f"{'':<38}" + "".join(f"{f'{name} {hours // 24} d':>13}" for name, hours in columns) + f"{'mean':>8}")
    means: dict[str, float] = {}
    for label, rule in RULES.items():
        errors = [mean_error_percent(traces[name], rule, hours) for name, hours in columns]
        means[label] = float(np.mean(errors)) if errors else 0.0
        print(f"{label:<38}" + "".join(f"{error:>11.1f} %" for error in errors) + f"{means[label]:>6.1f} %")
    label = list(RULES)[-1]
    best = means[label] <= min(means.values())
    print(f"{label}: {'no rule missed by less' if best else 'NOT the best of these'}")
    return int(not best)


if __name__ == "__main__":
    raise SystemExit(main())
