"""The AWS Spot Instance Advisor: mean saving over the last thirty days, by region and type.

The advisor publishes savings in percent of on demand, as whole numbers, and no prices: a price is what the book says
of on demand at the same place, less the saving. Where a saving of 90 % makes a tenth of on demand, the price book flags
the row: that is AWS's floor, listed where there is no capacity.
"""

import json
from collections import Counter
from decimal import Decimal
from typing import Any

from berth_cost.hardware.gpu_catalogue import GPUCatalogue
from berth_cost.prices.book import PriceBook
from berth_cost.prices.rows import PriceKey, PriceRow
from berth_operator.price_sources.source import Fetch, Fetched, SourceUnavailable, shape_of

URL = "https://spot-bid-advisor.s3.amazonaws.com/spot-advisor-data.json"
CLOUD, SYSTEM = "aws", "Linux"


class AWSSpotAdvisor:
    """Spot prices of AWS, without keys."""

    name = "aws-spot-advisor"
    about = "spot prices of AWS: on demand less the mean saving of thirty days"

    def fetch(self, get: Fetch, book: PriceBook, gpus: GPUCatalogue) -> Fetched:
        """Of the instance types that the book knows."""
        regions = _regions(get(URL))
        rows, skipped = [], Counter[str]()
        for region in sorted(regions):
            of_system = regions[region].get(SYSTEM) or {}
            for instance_type in sorted(of_system):
                if shape_of(CLOUD, instance_type, book) is None:
                    continue  # hundreds of types without a GPU
                row = _row(region, instance_type, of_system[instance_type], book)
                if isinstance(row, str):
                    skipped[row] += 1
                else:
                    rows.append(row)
        return Fetched("AWS Spot Advisor: on demand less the mean saving of 30 days", tuple(rows), (), skipped)


def _regions(content: bytes) -> dict[str, Any]:
    try:
        regions = json.loads(content)["spot_advisor"]
    except (ValueError, KeyError, TypeError) as error:
        raise SourceUnavailable(f"{URL} has another shape than expected: no spot_advisor in it") from error
    if not isinstance(regions, dict):
        raise SourceUnavailable(f"{URL} has another shape than expected: spot_advisor is no mapping")
    return regions


def _row(region: str, instance_type: str, advice: Any, book: PriceBook) -> PriceRow | str:
    saving = advice.get("s") if isinstance(advice, dict) else None
    if isinstance(saving, bool) or not isinstance(saving, int) or not 0 <= saving < 100:
        return "the saving is no percentage"
    key = PriceKey(CLOUD, region, None, instance_type.casefold(), "OnDemand", "OnDemand")
    on_demand = book.prices.get(key)
    if on_demand is None:
        return "the price on demand is not known there"
    usd = (on_demand.usd_per_node_hour * (100 - saving) / 100).quantize(Decimal("0.0001"))
    return PriceRow(cloud=CLOUD, region=region, instance_type=instance_type, capacity_type="Spot", usd_per_hour=usd)
