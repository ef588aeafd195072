"""JSON schemas of what the commands write with ``-o json``, from the types themselves.

``python -m berth_operator.cli.schemas --to docs/reference`` writes them; a test fails where they differ.
"""

import argparse
import json
from pathlib import Path

from pydantic import BaseModel

from berth_cost.ownership.comparison import Comparison
from berth_cost.price_diff import PriceDiff
from berth_cost.spot_replay import Replay
from berth_operator.cli.comparison import PlanComparison
from berth_operator.cli.price_records import PriceComparison, PriceExplanation, PriceList, Refreshed
from berth_scheduler.decision import Plan
from berth_scheduler.explain import Explanation
from berth_scheduler.simulation import Simulation
from berth_scheduler.snapshot import Snapshot

RECORDS: dict[str, type[BaseModel]] = {
    "plan": Plan,
    "plan-comparison": PlanComparison,
    "explanation": Explanation,
    "snapshot": Snapshot,
    "cost-replay": Replay,
    "price-list": PriceList,
    "price-comparison": PriceComparison,
    "price-explanation": PriceExplanation,
    "price-diff": PriceDiff,
    "price-refresh": Refreshed,
    "cost-comparison": Comparison,
    "simulation": Simulation,
}
"""By file name without suffix."""


def schemas() -> dict[str, str]:
    """The text of each file, by its name."""
    return {f"{name}.schema.json": _schema(record) for name, record in RECORDS.items()}


def _schema(record: type[BaseModel]) -> str:
    described = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **record.model_json_schema(mode="serialization", by_alias=True),
    }
    return json.dumps(described, indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the JSON schemas of the command line's results.")
    parser.add_argument("--to", type=Path, required=True, metavar="DIR")
    directory: Path = parser.parse_args().to
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in schemas().items():
        (directory / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
