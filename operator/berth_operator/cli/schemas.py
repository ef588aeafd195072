"""JSON schemas of what the commands write with ``-o json``, from the types themselves.

``python -m berth_operator.cli.schemas --to docs/reference`` writes them; a test fails where they differ.
"""

import argparse
import json
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter

from berth_cost.cases.answers import Answer
from berth_cost.cases.case import Case
from berth_cost.cases.validation import Validation
from berth_cost.ownership.comparison import Comparison
from berth_cost.prices.diff import PriceDiff
from berth_cost.spending.commitment_study import CommitmentStudy
from berth_cost.spot.replay import Replay
from berth_operator.cli.comparison import PlanComparison
from berth_operator.cli.price_records import PriceComparison, PriceExplanation, PriceList, Refreshed
from berth_operator.probe.specification import Probe
from berth_scheduler.decision import Plan
from berth_scheduler.explain import Explanation
from berth_scheduler.right_sizing.assessment import RightSizingReport
from berth_scheduler.simulation.simulation_record import Simulation
from berth_scheduler.snapshot import Snapshot

RECORDS: dict[str, Any] = {
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
    "cost-commitment": CommitmentStudy,
    "simulation": Simulation,
    "right-sizing": RightSizingReport,
    "prediction": Answer,
    "validation": Validation,
    "probe": Probe,
}
"""By file name without suffix: what is a type to pydantic, records and unions of them."""

READ: dict[str, Any] = {"case": Case}
"""The same of what commands read: there, what has a default may be left out."""


def schemas() -> dict[str, str]:
    """The text of each file, by its name."""
    written = {name: _schema(record, "serialization") for name, record in RECORDS.items()}
    read = {name: _schema(record, "validation") for name, record in READ.items()}
    return {f"{name}.schema.json": text for name, text in (written | read).items()}


def _schema(record: Any, mode: Literal["serialization", "validation"]) -> str:
    described = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **TypeAdapter(record).json_schema(mode=mode, by_alias=True),
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
