"""Azure's retail price API: on demand, spot, and one- and three-year reservations of virtual machines, without keys.

https://learn.microsoft.com/rest/api/cost-management/retail-prices/azure-retail-prices. Three traps of it: a
reservation's ``retailPrice`` is of the whole term although its unit is "1 Hour"; Windows has rows of its own, told by
``productName`` alone; "Low Priority" is a predecessor of spot at another price.
"""

import json
from collections import Counter
from decimal import Decimal
from typing import Any
from urllib.parse import quote

from berth_cost.hardware.gpu_catalogue import GPUCatalogue
from berth_cost.prices.book import PriceBook
from berth_cost.prices.rows import Market, PriceRow, Term
from berth_operator.price_sources.source import Fetch, Fetched, SourceUnavailable, exact, shape_of

ENDPOINT = "https://prices.azure.com/api/retail/prices"
CLOUD = "azure"
MOST_PAGES = 400
"""Of a thousand rows each: more than all virtual machines have."""
HOURS_A_YEAR = 8760
TERMS: dict[str, tuple[Term, int]] = {"1 Year": ("OneYear", 1), "3 Years": ("ThreeYears", 3)}


class AzureRetail:
    """Prices of Azure, without keys."""

    name = "azure-retail"
    about = "on demand, spot and reserved prices of Azure, from its retail price API"

    def fetch(self, get: Fetch, book: PriceBook, gpus: GPUCatalogue) -> Fetched:
        """Of the instance types that the book knows, one request a type and page."""
        rows, skipped = [], Counter[str]()
        types = sorted(shape.instance_type for (cloud, _), shape in book.instances.items() if cloud == CLOUD)
        for instance_type in types:
            for item in _items(get, instance_type):
                row = _row(item, book)
                if isinstance(row, str):
                    skipped[row] += 1
                elif row is not None:
                    rows.append(row)
        return Fetched("Azure retail price API", tuple(rows), (), skipped)


def _items(get: Fetch, instance_type: str) -> list[Any]:
    url: str | None = f"{ENDPOINT}?$filter={quote(_filter(instance_type))}"
    items: list[Any] = []
    for _ in range(MOST_PAGES):
        if not url:
            return items
        try:
            page = json.loads(get(url), parse_float=Decimal)
            items += page["Items"]
            url = page.get("NextPageLink")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise SourceUnavailable(f"{url} has another shape than expected: no Items in it") from error
        if url and not url.startswith("https://prices.azure.com"):
            raise SourceUnavailable(f"the next page of {ENDPOINT} is elsewhere: {url}")
    raise SourceUnavailable(f"{ENDPOINT} has more than {MOST_PAGES} pages of {instance_type}")


def _filter(instance_type: str) -> str:
    return f"serviceName eq 'Virtual Machines' and armSkuName eq '{instance_type}'"


def _row(item: Any, book: PriceBook) -> PriceRow | str | None:
    """None for what is not meant: Windows, low priority, other services."""
    if not isinstance(item, dict) or not item.get("armRegionName") or not item.get("armSkuName"):
        return "a row without region or type"
    name = str(item.get("skuName") or "")
    windows = "Windows" in str(item.get("productName"))
    if windows or "Low Priority" in name or shape_of(CLOUD, str(item["armSkuName"]), book) is None:
        return None
    bought = _bought(item, name)
    usd = _usd_per_hour(item, bought[2] if bought else 0)
    if bought is None:
        return "neither consumption nor a reservation of one or three years"
    if isinstance(usd, str):
        return usd
    return PriceRow(
        cloud=CLOUD,
        region=str(item["armRegionName"]),
        instance_type=str(item["armSkuName"]),
        capacity_type=bought[0],
        term=bought[1],
        usd_per_hour=usd,
    )


def _usd_per_hour(item: dict[str, Any], years: int) -> Decimal | str:
    """The price of an hour; ``years`` is what the price is of where it is a reservation's, else 0."""
    if item.get("currencyCode") != "USD":
        return f"a price in {item.get('currencyCode')}"
    price = exact(item.get("retailPrice"))
    if price is None or price <= 0:
        return "a price that is nothing"
    if years:
        return (price / (years * HOURS_A_YEAR)).quantize(Decimal("0.000001"))
    return price if item.get("unitOfMeasure") == "1 Hour" else f"a price per {item.get('unitOfMeasure')}"


def _bought(item: dict[str, Any], name: str) -> tuple[Market, Term, int] | None:
    """Market, term, and the years that the price is of; 0 where it is of an hour."""
    if item.get("type") == "Consumption":
        return ("Spot" if name.endswith("Spot") else "OnDemand"), "OnDemand", 0
    found = TERMS.get(str(item.get("reservationTerm"))) if item.get("type") == "Reservation" else None
    return ("OnDemand", *found) if found else None
