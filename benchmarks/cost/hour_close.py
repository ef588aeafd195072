"""What it costs the operator to close an hour of a large fleet: processor time, the longest turn, memory.

Run: ``python benchmarks/cost/hour_close.py [--workloads N]``. So many workloads, each with a budget of its own and two
weeks of hours that all differ, on two pools; nothing is written to any cluster. Timed are a look within an hour, a look
that judges a window of five minutes, and one that closes an hour, forecasts and judges every budget, and packs the
ledger. The longest turn is how much processor time the event loop spent without letting anybody else have it.
"""

import argparse
import asyncio
import logging
import random
import resource
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import structlog
from prometheus_client import CollectorRegistry

from berth_cost.spending.hour_history import MOST_HOURS, Hour, Used
from berth_cost.spending.ledger import Account, Charge, Ledger, Rates
from berth_operator.planner import Planned, Result
from berth_operator.spending.accountant import Accountant
from berth_operator.spending.ledger_document import packed
from berth_operator.spending.running_cost import Holding, RunningFleet
from berth_operator.spending.spending_metrics import SpendingMetrics
from berth_scheduler.decision import Decision
from berth_scheduler.snapshot import PodResources, Traffic, Variant, Workload

START = datetime(2026, 11, 20, 11, 0, tzinfo=UTC)
BEAT_SECONDS = 0.001
GOAL_CPU_SECONDS, GOAL_TURN_SECONDS = 5.0, 0.5


class Shelf:
    """In place of the ConfigMap: packs what it is given, which is most of the work, and keeps the ledger to begin
    with."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def read(self) -> Ledger:
        return self._ledger

    async def write(self, ledger: Ledger, keys: frozenset[str]) -> int:
        return (await asyncio.to_thread(packed, ledger, keys))[1]


def workload(key: str) -> Workload:
    return Workload(
        key=key,
        planning_hash="h",
        backend="onnxruntime",
        variants=(Variant(precision="fp16"),),
        traffic=Traffic(requests_per_second=100),
        resources=PodResources(cpu_cores=1, memory_bytes=1),
        budget_usd_per_month=Decimal(2000),
    )


def fleet(count: int) -> tuple[Ledger, Result]:
    draw, ledger = random.Random(7), Ledger(START)
    planned, held = {}, {}
    for number in range(count):
        key = f"team-{number % 40}/model-{number}"
        account = Account(month_usd=Decimal("612.5"), rates=Rates((Charge("l4", 2.0, 0.75),), 100.0))
        for _ in range(MOST_HOURS):
            gpus = round(draw.uniform(1, 3), 3)
            used = (Used("l4", gpus, Decimal(repr(round(gpus * 0.75, 5)))), Used("t4", 1.0, Decimal("0.35")))
            account.hours.append(Hour(used, 360_000.0))
        ledger.accounts[key] = account
        one = workload(key)
        planned[key] = Planned(Decision(workload=key, placed=True, reason="", message="", decision_hash=""), one)
        held[key] = Holding({"l4": 2.0, "t4": 1.0}, 100.0)
    return ledger, Result(planned, {}, RunningFleet(held, {"l4": 0.75, "t4": 0.35}))


class Heart:
    """Beats on the event loop; ``longest`` is what its thread computed between two beats."""

    def __init__(self) -> None:
        self.longest = 0.0

    async def beat(self) -> None:
        while True:
            began = time.thread_time()
            await asyncio.sleep(BEAT_SECONDS)
            self.longest = max(self.longest, time.thread_time() - began)


async def measure(count: int) -> bool:
    ledger, result = fleet(count)
    clock = [START]
    planned = asyncio.Event()
    planned.set()
    accountant = Accountant(
        Shelf(ledger),  # type: ignore[arg-type]
        lambda: result,
        lambda: clock[0],
        SpendingMetrics(CollectorRegistry()),
        planned=planned,
        namespace_budgets={"team-1": Decimal(100_000)},
        look_again=lambda key: None,
        tell=lambda key, news: None,
    )
    await accountant.restore()
    heart = Heart()
    beating = asyncio.create_task(heart.beat())
    print(f"{count} workloads with a budget{'CPU s':>34}{'longest turn, s':>18}")
    reached = True
    for label, minutes in (
        ("the first look: learns from the ledger", 1),
        ("a look within an hour", 1),
        ("a look that judges five minutes", 5),
        ("a look that closes an hour", 53),
    ):
        clock[0] += timedelta(minutes=minutes)
        heart.longest, began = 0.0, time.process_time()
        await accountant.look(ledger)
        await asyncio.sleep(5 * BEAT_SECONDS)
        used = time.process_time() - began
        print(f"  {label:<52}{used:>8.2f}{heart.longest:>18.3f}")
        reached = used <= GOAL_CPU_SECONDS and heart.longest <= GOAL_TURN_SECONDS
    beating.cancel()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"  {'peak memory of this process, MB':<52}{memory:>8.0f}")
    verdict = "reached" if reached else "MISSED"
    print(
        f"  goal for closing an hour: {GOAL_CPU_SECONDS:g} s of CPU, no turn above {GOAL_TURN_SECONDS:g} s: {verdict}"
    )
    return reached


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workloads", type=int, default=5000, metavar="N")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    return int(not asyncio.run(measure(parser.parse_args().workloads)))


if __name__ == "__main__":
    raise SystemExit(main())
