"""Cost comparisons against published examples and a reference library, and how fast ten thousand draws are.

    python benchmarks/cost/ownership.py [--scenarios 1000] [--draws 10000]

Three tables:

- the published examples of ``examples/cost/`` against what their publications print, goal 0.5 % (0.01 % for
  ClusterMAX, exact for the cluster sheet and the node split);
- random scenarios against numpy-financial and plain arithmetic (``tests/harness/reference_scenarios.py``): NPV and
  total to the cent, all other figures to six digits, undefined where the reference is;
- seconds of a comparison with its sensitivity and draws, goal 1 s for 10,000 draws, on one core.
"""

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "harness"))

from berth_cost.ownership.comparison import Comparison, OptionResult, compare  # noqa: E402
from berth_cost.ownership.scenario import Scenario  # noqa: E402
from berth_cost.prices.book import PriceBook  # noqa: E402
from berth_cost.spending.carbon import CarbonTable  # noqa: E402
from reference_scenarios import Reference, reference, same, scenario  # noqa: E402

FIGURES = ("irr_percent", "roi_percent", "payback_months", "break_even_hours", "break_even_utilization_percent")
EXAMPLES = ROOT / "examples" / "cost"


@dataclass(frozen=True)
class Published:
    """One printed figure; ``goal`` is the largest relative error."""

    file: str
    what: str
    option: str
    figure: Callable[[OptionResult], Any]
    value: float
    goal: float = 0.005
    baseline: str | None = None


def _break_even(baseline: str, hours: float) -> Published:
    what = f"break-even hours against {baseline}"
    return Published(
        "lenovo-against-aws", what, "owned", lambda found: found.break_even_hours, hours, baseline=baseline
    )


def _total(file: str, option: str, usd: float, goal: float) -> Published:
    return Published(file, f"total of {option}", option, lambda found: found.total_usd, usd, goal)


PUBLISHED = (
    _break_even("aws-on-demand", 8_556),
    _break_even("aws-1-year", 10_890),
    _break_even("aws-3-years", 15_710),
    _total("lenovo-against-aws", "aws-on-demand", 4_306_416, 0.005),
    _total("clustermax", "gold", 199_408_973, 0.0001),
    _total("clustermax", "hyperscaler", 251_618_208, 0.0001),
    _total("clustermax", "silver", 223_224_957, 0.0001),
    Published("owned-64-gpus", "saving", "owned", lambda found: found.saving_usd, 490_903),
    Published("owned-64-gpus", "NPV at 10 %", "owned", lambda found: found.npv_usd, -9_440),
    Published("owned-64-gpus", "payback, years", "owned", lambda found: (found.payback_months or 0) / 12, 3.1855),
    Published(
        "owned-64-gpus", "break-even use, %", "owned", lambda found: found.break_even_utilization_percent, 59.0549
    ),
    Published("h100-cluster-512", "$ a GPU", "cluster", lambda found: found.per_gpu_usd, 46_882.50, 0.0),
    Published("opencost-node", "GPU share of a node", "node", lambda found: found.breakdown_usd["gpu"] / 730, 15, 0.0),
)


def compared(stated: dict[str, Any], **asked: Any) -> Comparison:
    read = Scenario.model_validate(stated, by_name=False)
    return compare(read, PriceBook.load_builtin(), CarbonTable.load_builtin(), **asked)


def published_table(console: Console) -> bool:
    table = Table("example", "figure", "published", "ours", "error", "goal", title="Published examples")
    met = True
    for each in PUBLISHED:
        stated = yaml.safe_load((EXAMPLES / f"{each.file}.yaml").read_text(encoding="utf-8"))
        stated["baseline"] = each.baseline or stated["baseline"]
        found = next(option for option in compared(stated).options if option.name == each.option)
        ours = float(each.figure(found))
        error = abs(ours / each.value - 1)
        met &= error <= each.goal
        goal = "exact" if not each.goal else f"{each.goal:.2%}"
        table.add_row(each.file, each.what, f"{each.value:,.10g}", f"{ours:,.10g}", f"{error:.4%}", goal)
    console.print(table)
    return met


def differs(found: OptionResult, expected: Reference) -> list[str]:
    """The figures that are not the reference's."""
    wrong = [name for name in FIGURES if not same(getattr(found, name), getattr(expected, name))]
    wrong += [] if abs(float(found.total_usd) - expected.total_usd) < 0.0051 else ["total_usd"]
    off = found.npv_usd is None or abs(float(found.npv_usd) - expected.npv_usd) >= 0.0051
    return [*wrong, "npv_usd"] if off else wrong


def random_table(console: Console, count: int) -> bool:
    wrong: dict[str, int] = {}
    undefined, unexplained = 0, 0
    for seed in range(count):
        stated = scenario(seed)
        found, expected = compared(stated).options[0], reference(stated)
        for name in differs(found, expected):
            wrong[name] = wrong.get(name, 0) + 1
        shown = found.model_dump(by_alias=True)
        missing = [name for name in ("irrPercent", "roiPercent", "paybackMonths") if shown[name] is None]
        undefined += len(missing)
        unexplained += sum(name not in found.reasons for name in missing)
    table = Table("figure", "scenarios", "different", title="Random scenarios against the reference library")
    for name in ("total_usd", "npv_usd", *FIGURES):
        table.add_row(name, f"{count:,}", str(wrong.get(name, 0)))
    console.print(table, f"{undefined:,} figures are undefined in both; {unexplained} of them without a reason.")
    return not wrong and not unexplained


def speed_table(console: Console, draws: int) -> bool:
    stated = yaml.safe_load((EXAMPLES / "buy-or-rent.yaml").read_text(encoding="utf-8"))
    compared(stated, draws=10)
    table = Table("options", "months", "draws", "seconds", "goal", title="Speed, one core, best of 3")
    slowest = 0.0
    for months in (48, 120):
        best = min(_seconds({**stated, "horizonMonths": months}, draws) for _ in range(3))
        slowest = max(slowest, best)
        table.add_row(str(len(stated["options"])), str(months), f"{draws:,}", f"{best:.3f}", "1")
    console.print(table)
    return slowest <= 1.0


def _seconds(stated: dict[str, Any], draws: int) -> float:
    start = time.perf_counter()
    compared(stated, draws=draws, seed=1, scaling=True)
    return time.perf_counter() - start


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenarios", type=int, default=1000)
    parser.add_argument("--draws", type=int, default=10_000)
    asked = parser.parse_args()
    console = Console(width=120)
    met = [published_table(console), random_table(console, asked.scenarios), speed_table(console, asked.draws)]
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
