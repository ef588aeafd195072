"""Whatever a price document says, reading it gives prices that can be paid, or its flaws; never an accident."""

from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from berth_cost.document import DocumentError, parse_yaml_with_lines
from berth_cost.prices.book import Price, PriceBook
from berth_cost.prices.rows import CSV_COLUMNS, PriceFlag, PriceKey, PriceRow, csv_document

BOOK = PriceBook.load_builtin()
ODD = st.sampled_from(
    [
        "NaN",
        "-0",
        "1e400",
        "1,204.50",
        "9" * 40,
        "700",
        "0.0",
        "$5",
        "1/0",
        "1/6",
        "0.1667",
        "\x00",
        " 5 ",
        "aws",
        "Spot",
    ]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=8) | ODD
VALUES = SCALARS | st.lists(SCALARS, max_size=2) | st.dictionaries(st.text(max_size=4), SCALARS, max_size=2)
ROW: dict[str, Any] = {
    "cloud": "aws",
    "region": "us-east-1",
    "instanceType": "p5.48xlarge",
    "usdPerHour": "50",
    "source": "feed",
    "date": "2026-10-01",
}
SHAPE: dict[str, Any] = {"cloud": "acme", "instanceType": "x", "gpu": "L4", "gpuCount": 1, "vcpus": 8}
SOURCES = {"feed": {"title": "a feed", "date": "2026-10-01"}}
FIELDS = st.sampled_from([*ROW, "zone", "capacityType", "term", "usdPerGPUHour", "currency", "accept"])
SHAPE_FIELDS = st.sampled_from([*SHAPE, "memoryBytes", "gpuMemoryBytes", "accept"])


def read(document: dict[str, Any]) -> PriceBook | None:
    try:
        return BOOK.merged(document, "feed.yaml")
    except DocumentError as error:
        assert error.flaws and all(flaw.message for flaw in error.flaws)
        return None


def payable(book: PriceBook) -> None:
    for key in book.origins:
        usd = book.prices[key].usd_per_node_hour
        assert usd.is_finite() and usd > 0
    assert not book.prices.keys() & book.flagged.keys()


@settings(deadline=None, max_examples=120)
@given(changes=st.dictionaries(FIELDS, VALUES, max_size=3))
def test_a_row_with_anything_in_it_is_payable_or_refused(changes: dict[str, Any]) -> None:
    found = read({"sources": SOURCES, "prices": [ROW | changes]})
    if found is not None:
        payable(found)


@settings(deadline=None, max_examples=120)
@given(changes=st.dictionaries(SHAPE_FIELDS, VALUES, max_size=3))
def test_a_node_with_anything_in_it_is_described_or_refused(changes: dict[str, Any]) -> None:
    found = read({"instances": [SHAPE | changes]})
    if found is not None:
        assert all(shape.gpu_count > 0 for shape in found.instances.values())


@settings(deadline=None, max_examples=80)
@given(usd=st.decimals(min_value="0.01", max_value="90", places=4), spot=st.decimals("0.01", "200", places=4))
def test_a_spot_price_that_is_used_is_below_on_demand_and_not_the_floor(usd: Decimal, spot: Decimal) -> None:
    """Of any pair of prices of a node that nobody else lists."""
    node = {"cloud": "acme", "region": "r", "instanceType": "x", "source": "feed"}
    rows = [node | {"usdPerHour": str(usd)}, node | {"usdPerHour": str(spot), "capacityType": "Spot"}]
    found = read({"sources": SOURCES, "prices": rows})
    assert found is not None
    on_demand = found.lookup(cloud="acme", region="r", instance_type="x")
    bought = found.lookup(cloud="acme", region="r", instance_type="x", capacity_type="Spot")
    if isinstance(bought, Price) and isinstance(on_demand, Price):
        share = bought.usd_per_node_hour / on_demand.usd_per_node_hour
        assert share < 1 and abs(share - Decimal("0.1")) > Decimal("0.0005")


@settings(deadline=None, max_examples=80)
@given(factor=st.decimals("0.001", "1000", places=3))
def test_a_listed_price_times_anything_is_used_only_near_what_it_was(factor: Decimal) -> None:
    """Wrong units, separators and counts are all factors; what is far off is never silently used."""
    usd = Decimal("55.04") * factor
    found = read({"sources": SOURCES, "prices": [ROW | {"usdPerHour": str(usd)}]})
    assert found is not None
    used = isinstance(found.lookup(cloud="aws", region="us-east-1", instance_type="p5.48xlarge"), Price)
    assert used == (Decimal("0.35") <= factor <= Decimal("2.5"))


@settings(deadline=None, max_examples=80)
@given(order=st.permutations(range(3)))
def test_the_order_of_rows_changes_nothing(order: list[int]) -> None:
    rows = [ROW, ROW | {"capacityType": "Spot", "usdPerHour": "5"}, ROW | {"term": "OneYear", "usdPerHour": "40"}]
    found = read({"sources": SOURCES, "prices": [rows[index] for index in order]})
    assert found is not None
    assert {key.bought for key in found.origins} == {"OnDemand", "OneYear"}
    assert [flagged.flag for flagged in found.flagged.values()] == [PriceFlag.FLOOR_PRICE]


@settings(deadline=None, max_examples=120)
@given(
    columns=st.lists(st.sampled_from(CSV_COLUMNS) | st.text(max_size=5), min_size=1, max_size=10),
    cells=st.lists(st.lists(st.text(max_size=6) | ODD, max_size=10), max_size=3),
)
def test_any_table_is_rows_or_refused(columns: list[str], cells: list[list[str]]) -> None:
    text = "\n".join(",".join(line) for line in [columns, *cells])
    try:
        document, _ = csv_document(text, "feed.csv")
    except DocumentError as error:
        assert error.flaws
        return
    found = read(document)
    if found is not None:
        payable(found)


@settings(deadline=None, max_examples=80)
@given(text=st.text(max_size=60))
def test_any_text_is_a_document_or_refused(text: str) -> None:
    try:
        parse_yaml_with_lines(text, "feed.yaml")
    except DocumentError as error:
        assert error.flaws


def test_every_row_of_the_built_in_book_is_its_own_key() -> None:
    some = [ROW, ROW | {"zone": "us-east-1a"}, ROW | {"capacityType": "Spot"}, ROW | {"term": "OneYear"}]
    assert len({PriceKey.of(PriceRow.model_validate(row)) for row in some}) == 4
