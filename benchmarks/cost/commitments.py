"""Commitments by forecast against the best chosen with hindsight, on two services of ServeGen.

Run: ``python benchmarks/cost/commitments.py [--data FOLDER]``. The first week is known, the second is paid for. Both
plans serve the same replica schedule, on nodes of one L40S at the prices of the built-in book (aws us-east-1
g6e.xlarge); spot is at most 70 % of the replicas of a moment and priced with 0.28 interruptions an hour of 600 s.
"""

import argparse
from pathlib import Path

import numpy as np
from demand_traces import DEFAULT_DATA, SERVICES, WINDOWS_PER_DAY, Floats, replicas, requests_per_minute

from berth_cost.prices.book import Price, PriceBook
from berth_cost.spending.commitment import Market, dispatch_usd_per_hour, newsvendor, two_stage
from berth_cost.spending.demand_forecast import forecast
from berth_cost.spot.availability import REPLACEMENT_SECONDS, SPOT_INTERRUPTIONS_PER_HOUR, effective_usd_per_hour

INSTANCE = {"cloud": "aws", "region": "us-east-1", "instance_type": "g6e.xlarge"}
MEAN_REPLICAS = 40
KNOWN_DAYS = 7
SCENARIOS = 21
LEVEL_HALF_LIFE = 7.0 * WINDOWS_PER_DAY
"""As berth cost commit has it: a commitment outlasts the week."""
GOAL_PERCENT, GOAL_SAVING_PERCENT = 15.0, 50.0


def usd(term: str) -> float:
    found = PriceBook.load_builtin().lookup(**INSTANCE, term=term)
    if not isinstance(found, Price):
        raise SystemExit(found.message)
    return float(found.usd_per_node_hour)


def market(spot_share: float) -> Market:
    spot = effective_usd_per_hour(usd("Spot"), SPOT_INTERRUPTIONS_PER_HOUR, REPLACEMENT_SECONDS)
    return Market(usd("OnDemand"), {"OneYear": usd("OneYear")}, spot, spot_share)


def rows(rate: Floats, spot_share: float) -> list[tuple[str, int, float]]:
    """Policy, replicas committed, mean USD per hour of the second week."""
    offered = market(spot_share)
    one_year = offered.reserved["OneYear"]
    schedule = replicas(rate, float(rate.mean()) / MEAN_REPLICAS)
    known, paid = np.split(schedule, [KNOWN_DAYS * WINDOWS_PER_DAY])
    ahead = forecast(known, WINDOWS_PER_DAY, len(paid), LEVEL_HALF_LIFE)
    likely = ahead.scenarios(SCENARIOS)

    def cost(committed: int) -> float:
        return dispatch_usd_per_hour(paid, committed, committed * one_year, offered)

    planned = two_stage(likely, offered).reserved.get("OneYear", 0)
    simple = newsvendor(np.ceil(likely.ravel()), one_year, offered.on_demand)
    hindsight = two_stage(paid, offered).reserved.get("OneYear", 0)
    return [
        ("static peak, on demand", 0, float(schedule.max()) * offered.on_demand),
        ("followed, on demand", 0, float(paid.mean()) * offered.on_demand),
        ("followed, spot and on demand", 0, cost(0)),
        ("newsvendor (spot not considered)", simple, cost(simple)),
        ("two-stage program on the forecast", planned, cost(planned)),
        ("best with hindsight", hindsight, cost(hindsight)),
    ]


def show(title: str, found: list[tuple[str, int, float]]) -> bool:
    """Prints the table; whether the goal is reached."""
    peak, best, ours = found[0][2], found[-1][2], found[-2][2]
    print(f"\n{title}\n{'':<36} {'committed':>9} {'USD/h':>8} {'of peak':>8} {'over best':>10}")
    for name, committed, hourly in found:
        shares = f"{hourly / peak * 100:>7.1f}% {(hourly / best - 1) * 100:>9.1f}%"
        print(f"{name:<36} {committed:>9} {hourly:>8.2f} {shares}")
    over, saved = (ours / best - 1) * 100, (1 - ours / peak) * 100
    reached = over <= GOAL_PERCENT and saved >= GOAL_SAVING_PERCENT
    goal = f"≤ {GOAL_PERCENT:.0f} % over the best, ≥ {GOAL_SAVING_PERCENT:.0f} % below static peak"
    print(f"goal {goal}: {over:.1f} %, {saved:.1f} %: {'reached' if reached else 'MISSED'}")
    return reached


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, metavar="FOLDER")
    data: Path = parser.parse_args().data
    reached = True
    for service in SERVICES:
        rate = requests_per_minute(data, service)
        if rate is None:
            print(f"skipped: the trace of {service} is not there; say where the traces are with --data")
            continue
        for share in (0.7, 0.0):
            reached &= show(f"{service}, at most {share * 100:.0f} % on spot", rows(rate, share))
    return int(not reached)


if __name__ == "__main__":
    raise SystemExit(main())
