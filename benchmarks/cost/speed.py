"""How long it takes to plan over every kind of node in every region, and to compare ways of buying.

    python benchmarks/cost/speed.py [--models 50] [--types 40] [--regions 30] [--draws 10000]

Two questions, each asked through the functions that ``berth plan`` and ``berth cost compare`` call:

- 50 models, each with two precisions, its own rate and objectives, and 40 instance types in 30 regions: a GPUPool for
  each type in each region, which makes 1,200. Manifests are read before the clock starts; taking the snapshot (parsing
  pools, pricing them) and planning it are timed apart. Goal: 10 s together. Types and regions are those that the
  built-in price book has most of; where it has no price of a type in a region, the pool states that of another region.
- a comparison with 10,000 draws, its sensitivity and its scaling curve. Goal: 1 s.
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table

from berth_cost.ownership.comparison import compare
from berth_cost.ownership.scenario import Scenario
from berth_cost.performance.model_catalogue import ModelCatalogue, ModelPreset
from berth_cost.prices.book import PriceBook, PriceKey
from berth_cost.spending.carbon import CarbonTable
from berth_operator.catalogues import Catalogues
from berth_operator.gather import gather
from berth_operator.world import World
from berth_scheduler.plan import plan
from berth_scheduler.snapshot import Policy

PLAN_GOAL_SECONDS, COMPARISON_GOAL_SECONDS = 10.0, 1.0
TIME = datetime(2026, 11, 2, 12, tzinfo=UTC)
SCENARIO = Path(__file__).resolve().parents[2] / "examples" / "cost" / "buy-or-rent.yaml"


def kinds(book: PriceBook, count: int) -> list[tuple[str, str]]:
    """The (cloud, type) with whole GPUs that most regions have on demand."""
    regions = Counter((key.cloud, key.instance_type) for key in book.prices if key.bought == "OnDemand")
    whole = [kind for kind in regions if kind in book.instances and book.instances[kind].gpu_count.denominator == 1]
    return sorted(whole, key=lambda kind: (-regions[kind], kind))[:count]


def places(book: PriceBook, cloud: str, count: int) -> list[str]:
    """The cloud's regions; made-up ones behind them where it has too few."""
    regions = sorted({key.region for key in book.prices if key.cloud == cloud})
    return (regions + [f"{cloud}-region-{number}" for number in range(count)])[:count]


def pools(book: PriceBook, types: int, regions: int) -> list[dict[str, Any]]:
    made = []
    for cloud, kind in kinds(book, types):
        shape = book.instances[cloud, kind]
        known = sorted(
            price.usd_per_node_hour
            for key, price in book.prices.items()
            if (key.cloud, key.instance_type, key.bought) == (cloud, kind, "OnDemand")
        )
        for region in places(book, cloud, regions):
            listed = PriceKey(cloud, region, None, kind, "OnDemand", "OnDemand") in book.prices
            price: dict[str, Any] = {"cloud": cloud, "region": region, "instanceType": kind}
            if not listed:
                price = {"usdPerNodeHour": str(known[0])}
            name = f"{cloud}-{region}-{kind}".lower().replace("_", "-").replace(".", "-")
            made.append(
                {
                    "apiVersion": "berthmaster.dev/v1alpha1",
                    "kind": "GPUPool",
                    "metadata": {"name": name},
                    "spec": {
                        "gpu": shape.gpu,
                        "gpusPerNode": int(shape.gpu_count),
                        "nodeSelector": {"pool": name},
                        "nodeResources": {"cpu": "32", "memory": "256Gi"},
                        "maximumNodes": 20,
                        "price": price,
                    },
                }
            )
    return made


def workloads(count: int) -> list[dict[str, Any]]:
    """As many different models of the catalogue, language models and others in turn."""
    catalogue = ModelCatalogue.load_builtin()
    presets = [preset for name in catalogue.names() if isinstance(preset := catalogue.get(name), ModelPreset)]
    language = [one for one in presets if one.model.transformer is not None]
    classic = [one for one in presets if one.model.transformer is None]
    chosen = [one for pair in zip(language, classic, strict=False) for one in pair]
    chosen += [*language[len(classic) :], *classic[len(language) :]]
    return [_workload(preset, place) for place, preset in enumerate(chosen[:count])]


def _workload(preset: ModelPreset, place: int) -> dict[str, Any]:
    talks = preset.model.transformer is not None
    precisions = ("bf16", "fp8") if talks else ("fp16", "int8")
    rate: dict[str, Any] = {"requestsPerSecond": str(2 + place % 7 if talks else 20 + 10 * place)}
    objectives: dict[str, Any] = {"latency": {"p99Milliseconds": 200 + 10 * place}}
    if talks:
        rate |= {"inputTokens": {"mean": 512 + 8 * place}, "outputTokens": {"mean": 128}}
        objectives = {"timeToFirstToken": {"p95Milliseconds": 3000}, "timePerOutputToken": {"p95Milliseconds": 120}}
    claim = {"persistentVolumeClaim": {"claimName": "models", "path": "model"}}
    return {
        "apiVersion": "berthmaster.dev/v1alpha1",
        "kind": "InferenceWorkload",
        "metadata": {"name": f"workload-{place:02d}", "namespace": "bench"},
        "spec": {
            "model": {
                "preset": preset.name,
                "backend": "vllm" if talks else "onnxruntime",
                "variants": [{"precision": precision, "source": claim} for precision in precisions],
            },
            "traffic": rate,
            "objectives": objectives,
        },
    }


def seconds(ask: Callable[[], Any], repeat: int) -> tuple[float, Any]:
    """Of one processor, the best of several; and the answer."""
    best, answer = float("inf"), None
    for _ in range(repeat):
        start = time.process_time()
        answer = ask()
        best = min(best, time.process_time() - start)
    return best, answer


def plan_rows(asked: argparse.Namespace) -> list[tuple[str, float, float | None, str]]:
    catalogues = Catalogues.built_in()
    world = World.of(
        [*pools(catalogues.prices, asked.types, asked.regions), *workloads(asked.models)], claims_known=False
    )
    # The book is priced by what was known last; how old that is, is not the question here.
    policy = Policy(price_refused_after_days=None)
    taken, snapshot = seconds(lambda: gather(world, catalogues, time=TIME, policy=policy), asked.repeat)
    planned, made = seconds(lambda: plan(snapshot), asked.repeat)
    usable = sum(not pool.problems for pool in snapshot.pools)
    placed = sum(one.placed for one in made.decisions)
    return [
        (f"snapshot of {asked.models} workloads and {len(snapshot.pools):,} pools", taken, None, f"{usable:,} priced"),
        ("plan", planned, None, f"{placed} placed, ${made.totals.usd_per_hour}/h"),
        ("both", taken + planned, PLAN_GOAL_SECONDS, ""),
    ]


def comparison_rows(asked: argparse.Namespace) -> list[tuple[str, float, float | None, str]]:
    stated = yaml.safe_load(SCENARIO.read_text(encoding="utf-8"))
    scenario = Scenario.model_validate(stated, by_name=False)
    book, carbon = PriceBook.load_builtin(), CarbonTable.load_builtin()
    taken, result = seconds(
        lambda: compare(scenario, book, carbon, draws=asked.draws, seed=1, scaling=True), asked.repeat
    )
    what = f"comparison of {len(result.options)} options, {asked.draws:,} draws"
    return [(what, taken, COMPARISON_GOAL_SECONDS, "with sensitivity and scaling")]


def show(rows: Sequence[tuple[str, float, float | None, str]], asked: argparse.Namespace) -> bool:
    title = f"{asked.models} models × {asked.types} instance types × {asked.regions} regions, best of {asked.repeat}"
    table = Table("question", "processor seconds", "goal", "", title=title)
    for what, taken, goal, told in rows:
        verdict = "" if goal is None else f"{goal:g} s: {'reached' if taken <= goal else 'missed'}"
        table.add_row(what, f"{taken:.2f}", verdict, told)
    Console(width=120).print(table)
    return all(goal is None or taken <= goal for _, taken, goal, _ in rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=50)
    parser.add_argument("--types", type=int, default=40)
    parser.add_argument("--regions", type=int, default=30)
    parser.add_argument("--draws", type=int, default=10_000)
    parser.add_argument("--repeat", type=int, default=3)
    asked = parser.parse_args()
    return 0 if show([*plan_rows(asked), *comparison_rows(asked)], asked) else 1


if __name__ == "__main__":
    sys.exit(main())
