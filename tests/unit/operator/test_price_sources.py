"""Live sources, by answers of the shape that they were recorded in: no test reaches a provider."""

import json
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import date
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from berth_cost.prices.book import Price, PriceBook, PriceFlag, PriceMissing
from berth_operator.catalogues import Catalogues
from berth_operator.cli.outcome import InputError
from berth_operator.cli.price_refresh import https_get, refresh, source_named
from berth_operator.price_sources import SOURCES, Fetched, PriceSource, SourceUnavailable
from berth_operator.price_sources.aws_spot_advisor import AWSSpotAdvisor
from berth_operator.price_sources.azure_retail import AzureRetail
from berth_operator.price_sources.gpuhunt_catalogue import GPUHuntCatalogue

DAY = date(2026, 11, 21)
BUILT_IN = Catalogues.built_in()


def fetched(source: PriceSource, get: Callable[[str], bytes] = lambda url: b"") -> Fetched:
    return source.fetch(get, BUILT_IN.prices, BUILT_IN.gpus)


def prices(found: Fetched) -> dict[tuple[str, str, str], str]:
    """US dollars by region (or zone), type and way to buy."""
    return {
        (row.zone or row.region, row.instance_type, "Spot" if row.capacity_type == "Spot" else row.term): str(
            row.usd_per_hour
        )
        for row in found.rows
    }


def test_every_source_goes_by_its_name_and_says_what_it_is() -> None:
    assert list(SOURCES) == ["aws-spot-advisor", "azure-retail", "gpuhunt"]
    assert all(source.name == name and source.about for name, source in SOURCES.items())


# --- AWS Spot Advisor ----------------------------------------------------------------------------------------------


def advisor(**types: Any) -> Callable[[str], bytes]:
    """As the advisor publishes it: ``s`` is the saving, ``r`` the range of interruptions."""
    answer = {
        "global_rate": "<10%",
        "instance_types": {"g6.xlarge": {"emr": False, "cores": 4, "ram_gb": 16.0}},
        "ranges": [{"index": 0, "label": "<5%", "dots": 0, "max": 5}],
        "spot_advisor": {"us-east-1": {"Linux": types, "Windows": {"g6.xlarge": {"s": 11, "r": 1}}}},
    }
    return lambda url: json.dumps(answer).encode()


def test_a_saving_is_taken_off_the_price_on_demand_of_the_book() -> None:
    found = fetched(AWSSpotAdvisor(), advisor(**{"g6.xlarge": {"s": 60, "r": 3}, "m5.large": {"s": 50, "r": 0}}))
    assert prices(found) == {("us-east-1", "g6.xlarge", "Spot"): "0.3219"}
    assert not found.skipped


@pytest.mark.parametrize("saving", [None, 100, -1, 12.5, True, "60"])
def test_a_saving_that_is_no_percentage_is_left_out(saving: object) -> None:
    found = fetched(AWSSpotAdvisor(), advisor(**{"g6.xlarge": {"s": saving, "r": 3}}))
    assert not found.rows and found.skipped == Counter({"the saving is no percentage": 1})


@pytest.mark.parametrize("answer", [b"", b"<html>", b"[]", b'{"spot_advisor": 7}'])
def test_an_answer_of_another_shape_is_refused(answer: bytes) -> None:
    with pytest.raises(SourceUnavailable, match="another shape"):
        fetched(AWSSpotAdvisor(), lambda url: answer)


# --- Azure ---------------------------------------------------------------------------------------------------------


def azure_item(**fields: Any) -> dict[str, Any]:
    """As https://prices.azure.com/api/retail/prices lists it."""
    return {
        "currencyCode": "USD",
        "tierMinimumUnits": 0.0,
        "retailPrice": 3.673,
        "unitPrice": 3.673,
        "armRegionName": "eastus2",
        "location": "US East 2",
        "effectiveStartDate": "2026-11-01T00:00:00Z",
        "meterName": "NC24ads A100 v4",
        "productName": "Virtual Machines NCads A100 v4 Series",
        "skuName": "NC24ads A100 v4",
        "serviceName": "Virtual Machines",
        "serviceFamily": "Compute",
        "unitOfMeasure": "1 Hour",
        "type": "Consumption",
        "isPrimaryMeterRegion": True,
        "armSkuName": "Standard_NC24ads_A100_v4",
    } | fields


def azure(*items: dict[str, Any]) -> Callable[[str], bytes]:
    """The type's own answer, in two pages; nothing of the others."""

    def get(url: str) -> bytes:
        page = {"BillingCurrency": "USD", "Items": [], "NextPageLink": None, "Count": 0}
        if "NC24ads_A100_v4%27" in url:
            page |= {"Items": items[:1], "NextPageLink": "https://prices.azure.com:443/api/retail/prices?$skip=1000"}
        elif "$skip=1000" in url:
            page |= {"Items": items[1:]}
        return json.dumps(page).encode()

    return get


def test_azure_has_prices_on_demand_of_spot_and_of_reservations_over_pages() -> None:
    found = fetched(
        AzureRetail(),
        azure(
            azure_item(),
            azure_item(skuName="NC24ads A100 v4 Spot", retailPrice=0.949),
            azure_item(type="Reservation", reservationTerm="1 Year", retailPrice=23652.0),
            azure_item(type="Reservation", reservationTerm="3 Years", retailPrice=48000.0),
            azure_item(skuName="NC24ads A100 v4 Low Priority", retailPrice=0.7),
            azure_item(productName="Virtual Machines NCads A100 v4 Series Windows", retailPrice=4.777),
        ),
    )
    assert prices(found) == {
        ("eastus2", "Standard_NC24ads_A100_v4", "OnDemand"): "3.673",
        ("eastus2", "Standard_NC24ads_A100_v4", "Spot"): "0.949",
        ("eastus2", "Standard_NC24ads_A100_v4", "OneYear"): "2.700000",
        ("eastus2", "Standard_NC24ads_A100_v4", "ThreeYears"): "1.826484",
    }


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"currencyCode": "EUR"}, "a price in EUR"),
        ({"retailPrice": 0.0}, "a price that is nothing"),
        ({"retailPrice": None}, "a price that is nothing"),
        ({"unitOfMeasure": "1/Month"}, "a price per 1/Month"),
        ({"armRegionName": ""}, "a row without region or type"),
        ({"type": "DevTestConsumption"}, "neither consumption nor a reservation of one or three years"),
        ({"type": "Reservation", "reservationTerm": "5 Years"}, "neither consumption nor a reservation of one or"),
    ],
)
def test_a_row_that_means_something_else_is_left_out_by_name(fields: dict[str, Any], why: str) -> None:
    found = fetched(AzureRetail(), azure(azure_item(**fields)))
    ((reason, count),) = found.skipped.items()
    assert not found.rows and reason.startswith(why) and count == 1


def test_pages_that_lead_elsewhere_are_not_followed() -> None:
    page = {"Items": [], "NextPageLink": "https://example.com/more"}
    with pytest.raises(SourceUnavailable, match="elsewhere"):
        fetched(AzureRetail(), lambda url: json.dumps(page).encode())


def test_pages_without_end_are_given_up() -> None:
    page = {"Items": [], "NextPageLink": "https://prices.azure.com/again"}
    with pytest.raises(SourceUnavailable, match="more than"):
        fetched(AzureRetail(), lambda url: json.dumps(page).encode())


# --- gpuhunt -------------------------------------------------------------------------------------------------------


def item(**fields: Any) -> SimpleNamespace:
    """As gpuhunt 0.1.34 lists it: price and memory are floats, memory in GB, location a region or a zone."""
    return SimpleNamespace(
        **{
            "provider": "aws",
            "instance_name": "g6.xlarge",
            "location": "us-east-1",
            "price": 0.8048,
            "cpu": 4,
            "memory": 16.0,
            "gpu_vendor": SimpleNamespace(value="nvidia"),
            "gpu_count": 1,
            "gpu_name": "L4",
            "gpu_memory": 24.0,
            "spot": False,
        }
        | fields
    )


def hunted(*items: SimpleNamespace) -> Fetched:
    return fetched(GPUHuntCatalogue(lambda: items))


def test_gpuhunt_lists_regions_and_zones_and_floats_become_exact() -> None:
    found = hunted(
        item(),
        item(location="us-east-1a", spot=True, price=0.30000000000000004),
        item(provider="gcp", instance_name="g2-standard-8", location="us-east4-c", price=0.9610),
    )
    assert prices(found) == {
        ("us-east-1", "g6.xlarge", "OnDemand"): "0.8048",
        ("us-east-1a", "g6.xlarge", "Spot"): "0.3",
        ("us-east4-c", "g2-standard-8", "OnDemand"): "0.961",
    }
    assert {row.region for row in found.rows} == {"us-east-1", "us-east4"}
    assert not found.instances  # the book knows them


def test_a_node_that_the_book_does_not_know_is_described() -> None:
    found = hunted(
        item(provider="oci", instance_name="BM.GPU.A10.4", gpu_name="A10", gpu_count=4, cpu=64, memory=1024.0)
    )
    (shape,) = found.instances
    assert (shape.gpu, shape.gpu_count, shape.vcpus, shape.memory_bytes) == ("A10", 4, 64, 1024 * 10**9)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"gpu_vendor": SimpleNamespace(value="amd"), "gpu_name": "MI300X"}, "not an NVIDIA GPU"),
        ({"gpu_count": 0}, "no GPU, or no name"),
        ({"price": float("0")}, "a price that is nothing"),
        ({"provider": "x", "gpu_name": "H100", "gpu_memory": 80.0}, "which GPU a H100 of 80 GB is, is not said"),
        ({"provider": "x", "gpu_name": "Q9000", "gpu_memory": None}, "which GPU a Q9000 of 0 GB is, is not said"),
    ],
)
def test_what_cannot_be_named_is_left_out_by_reason(fields: dict[str, Any], why: str) -> None:
    found = hunted(item(**fields))
    assert not found.rows and found.skipped == Counter({why: 1})


def test_a_library_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "gpuhunt", None)
    with pytest.raises(SourceUnavailable, match=r"pip install 'berthmaster\[prices\]'"):
        fetched(GPUHuntCatalogue())


# --- a document of it ----------------------------------------------------------------------------------------------


def refreshed(items: Iterable[SimpleNamespace], file: Path) -> Any:
    return refresh(GPUHuntCatalogue(lambda: items), file, BUILT_IN, DAY)


def looked_up(file: Path, **place: str) -> Price | PriceMissing:
    book: PriceBook = BUILT_IN.with_files(prices=[file]).prices
    return book.lookup(**({"cloud": "aws", "region": "us-east-1", "instance_type": "g6.xlarge"} | place))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["live.yaml", "live.csv"])
def test_a_refresh_writes_a_document_that_the_book_reads(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    new = item(provider="oci", instance_name="BM.GPU.A10.4", gpu_name="A10", gpu_count=4, price=8.0, location="iad")
    told = refreshed([item(price=0.79), new], file)
    assert (told.rows, told.added, told.changed, told.unchanged, told.flagged) == (2, 1, 1, 0, 0)
    found = looked_up(file)
    assert isinstance(found, Price)
    assert (found.usd_per_node_hour, found.source, found.date) == (Decimal("0.79"), "gpuhunt catalogue", DAY)
    assert isinstance(looked_up(file, cloud="oci", region="iad", instance_type="BM.GPU.A10.4"), Price)


def test_a_second_refresh_is_compared_with_the_first(tmp_path: Path) -> None:
    file = tmp_path / "live.yaml"
    refreshed([item(price=0.79)], file)
    assert refreshed([item(price=0.79)], file).unchanged == 1
    assert refreshed([item(price=0.75)], file).changed == 1


def test_what_a_source_gets_wrong_is_flagged_like_anybody_elses(tmp_path: Path) -> None:
    file = tmp_path / "live.yaml"
    told = refreshed([item(), item(spot=True, price=0.08048)], file)
    assert (told.rows, told.flagged) == (2, 1)
    (flagged,) = BUILT_IN.with_files(prices=[file]).prices.flagged.values()
    assert flagged.flag is PriceFlag.FLOOR_PRICE


def test_of_two_offers_of_one_key_the_cheaper_is_taken(tmp_path: Path) -> None:
    file = tmp_path / "live.yaml"
    refreshed([item(price=0.9), item(price=0.85), item(price=0.88)], file)
    found = looked_up(file)
    assert isinstance(found, Price) and found.usd_per_node_hour == Decimal("0.85")


def test_a_source_that_gives_nothing_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "live.yaml"
    refreshed([item()], file)
    before = file.read_bytes()
    with pytest.raises(InputError, match="stays as it was"):
        refreshed([], file)
    assert file.read_bytes() == before


def test_a_file_that_is_something_else_is_not_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "infra.yaml"
    file.write_text("kind: GPUPool\n", encoding="utf-8")
    with pytest.raises(InputError, match="is no price document"):
        refreshed([item()], file)
    assert file.read_text(encoding="utf-8") == "kind: GPUPool\n"


def test_a_source_that_nobody_knows_is_refused_by_name() -> None:
    with pytest.raises(InputError, match="none of aws-spot-advisor, azure-retail, gpuhunt"):
        source_named("rumours")


def test_only_https_is_read() -> None:
    with pytest.raises(SourceUnavailable, match="not https"):
        https_get("file:///etc/passwd")
