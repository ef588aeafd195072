"""How well the price book tells what real feeds get wrong, beside a check of ranges alone.

Run: ``python benchmarks/cost/price_traps.py [--data FOLDER]``. Two feeds whose wrong rows somebody marked:

- zones of AWS's P family (2025-H2), marked where spot equals on demand or is the floor of a tenth;
- daily quotes per GPU of 43 providers (February to July 2026), marked where an aggregator's quote is suspected to be of
  a whole node. Every provider is unknown to the book here: its own earlier prices are not used.

The baseline flags a price outside of $0.05–30 per GPU-hour, which is what a sanity check of ranges would do. The marks
of the second feed are themselves a guess: some of what they call suspect is a list price.
"""

import argparse
import csv
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from berth_cost.prices.book import PriceBook

DEFAULT_DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
GPUS = {
    "A100_PCIE_40GB": "A100-PCIe-40GB",
    "A100_PCIE_80GB": "A100-PCIe-80GB",
    "A100_SXM_40GB": "A100-SXM-40GB",
    "A100_SXM_80GB": "A100-SXM-80GB",
    "B200": "B200-SXM",
    "B300": "B300-SXM",
    "GB200": "GB200",
    "H100_NVL": "H100-NVL",
    "H100_PCIE": "H100-PCIe-80GB",
    "H100_SXM": "H100-SXM-80GB",
    "H200": "H200-SXM-141GB",
    "L40": "L40",
    "L40S": "L40S",
}
RANGE_USD = (0.05, 30.0)
LEAST_RECALL, MOST_FALSE_ALARMS = 0.80, 0.02


@dataclass(frozen=True)
class Verdict:
    """One row of a feed: what it was marked, what the book says of it, and what a range says."""

    wrong: bool
    flagged: bool
    out_of_range: bool


def zone_verdicts(file: Path, book: PriceBook) -> Iterator[Verdict]:
    """Spot rows by zone, each with its price on demand beside it."""
    marked, prices = {}, []
    for row in _rows(file):
        zone = f"{row['region']}-{row['zone_index']}"
        place = {"cloud": "aws", "region": row["region"], "zone": zone, "instanceType": row["instance_type"]}
        prices.append(place | {"usdPerHour": row["on_demand_usd_h"]})
        prices.append(place | {"usdPerHour": row["spot_price_usd_h"], "capacityType": "Spot"})
        marked[row["instance_type"], zone] = row
    read = book.merged({"sources": _source(date(2025, 7, 1)), "prices": prices})
    flagged = {(key.instance_type, key.zone) for key in read.flagged if key.capacity_type == "Spot"}
    for key, row in marked.items():
        wrong = "True" in (row["is_no_discount"], row["is_price_floor"])
        yield Verdict(wrong, key in flagged, _out_of_range(float(row["spot_price_usd_h"]) / 8))


def quote_verdicts(file: Path, book: PriceBook) -> Iterator[Verdict]:
    """On-demand quotes, one document a day."""
    by_day: dict[str, list[dict[str, str]]] = {}
    for row in _rows(file):
        if row["gpu_model"] in GPUS and row["rental_type"] == "on_demand":
            by_day.setdefault(row["date"], []).append(row)
    for day, rows in sorted(by_day.items()):
        instances, prices = [], []
        for row in rows:
            node = {"cloud": f"quoted {row['provider']}", "instanceType": f"{row['gpu_model']} {row['source_kind']}"}
            instances.append(node | {"gpu": GPUS[row["gpu_model"]], "gpuCount": 1})
            prices.append(node | {"region": "global", "usdPerHour": row["price_median_usd_gpu_h"]})
        document = {"sources": _source(date.fromisoformat(day)), "instances": instances, "prices": prices}
        flagged = {(key.cloud, key.instance_type) for key in book.merged(document).flagged}
        for row, price in zip(rows, prices, strict=True):
            key = price["cloud"].casefold(), price["instanceType"].casefold()
            quoted = float(row["price_median_usd_gpu_h"])
            yield Verdict(row["unit_suspect"] == "True", key in flagged, _out_of_range(quoted))


def _rows(file: Path) -> Iterator[dict[str, str]]:
    with file.open(encoding="utf-8") as text:
        yield from csv.DictReader(text)


def _source(day: date) -> dict[str, object]:
    return {"feed": {"title": "the feed", "date": day}}


def _out_of_range(usd_per_gpu_hour: float) -> bool:
    return not RANGE_USD[0] <= usd_per_gpu_hour <= RANGE_USD[1]


def line(feed: str, verdicts: Iterable[Verdict]) -> tuple[str, bool]:
    """A line of the table, and whether the goal is met."""
    seen = list(verdicts)
    wrong, right = [one for one in seen if one.wrong], [one for one in seen if not one.wrong]
    recall, alarms = _share(one.flagged for one in wrong), _share(one.flagged for one in right)
    baseline = _share(one.out_of_range for one in wrong), _share(one.out_of_range for one in right)
    text = f"{feed:<28}{len(seen):>8,}{len(wrong):>8,}{recall:>10.1%}{alarms:>14.2%}"
    return f"{text}{baseline[0]:>12.1%}{baseline[1]:>12.2%}", recall >= LEAST_RECALL and alarms <= MOST_FALSE_ALARMS


def _share(flags: Iterable[bool]) -> float:
    found = list(flags)
    return sum(found) / len(found) if found else 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, metavar="FOLDER", help="with prices/ and spot/")
    data: Path = parser.parse_args().data
    zones, quotes = data / "spot" / "aws_zone_spot_p_family.csv", data / "prices" / "gpu_rental_daily.csv"
    missing = [str(file) for file in (zones, quotes) if not file.exists()]
    if missing:
        print(f"not measured: {', '.join(missing)} not there; give --data FOLDER")
        return
    book = PriceBook.load_builtin()
    print(f"{'feed':<28}{'rows':>8}{'wrong':>8}{'found':>10}{'false alarms':>14}{'range finds':>12}{'and alarms':>12}")
    lines = [
        line("AWS zones, spot", zone_verdicts(zones, book)),
        line("quotes per GPU, on demand", quote_verdicts(quotes, book)),
    ]
    for text, _ in lines:
        print(text)
    met = all(good for _, good in lines)
    print(f"goal: ≥ {LEAST_RECALL:.0%} found, ≤ {MOST_FALSE_ALARMS:.0%} false alarms: {'met' if met else 'MISSED'}")
    sys.exit(0 if met else 1)


if __name__ == "__main__":
    main()
