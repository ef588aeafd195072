"""What real price feeds get wrong: each is refused by name, or listed with a flag and not used."""

import datetime
from fractions import Fraction

import pytest

from berth_cost.document import DocumentError, Flaw, parse_yaml_with_lines
from berth_cost.prices.book import Price, PriceBook, PriceFlag, PriceMissing
from berth_cost.prices.rows import csv_document

SOURCES = {"feed": {"title": "a feed", "date": datetime.date(2026, 10, 1)}}
H100_NODE = {"cloud": "acme", "instanceType": "h8", "gpu": "H100-SXM-80GB", "gpuCount": 8}
ONE_H100 = {"cloud": "acme", "instanceType": "h1", "gpu": "H100-SXM-80GB", "gpuCount": 1}


@pytest.fixture(scope="module")
def book() -> PriceBook:
    return PriceBook.load_builtin()


def row(usd: object, **fields: object) -> dict[str, object]:
    return {"cloud": "aws", "region": "us-east-1", "instanceType": "p5.48xlarge", "usdPerHour": usd} | fields


def merged(book: PriceBook, *rows: dict[str, object], instances: tuple[dict[str, object], ...] = ()) -> PriceBook:
    return book.merged({"sources": SOURCES, "instances": list(instances), "prices": list(rows)}, "feed.yaml")


def flag_of(
    book: PriceBook, *rows: dict[str, object], instances: tuple[dict[str, object], ...] = ()
) -> PriceFlag | None:
    """The flag of the last row; None where it is used."""
    found = merged(book, *rows, instances=instances)
    stated = {**rows[-1]}
    answer = found.lookup(
        cloud=str(stated["cloud"]),
        region=str(stated["region"]),
        instance_type=str(stated["instanceType"]),
        capacity_type=str(stated.get("capacityType", "OnDemand")),
        term=stated.get("term"),  # type: ignore[arg-type]
    )
    if isinstance(answer, Price):
        assert answer.source == "a feed"
        return None
    assert answer.reason == "FlaggedPrice"
    (flagged,) = found.flagged.values()
    assert flagged.message in answer.message and str(flagged.flag) in answer.message
    return flagged.flag


def refusal(book: PriceBook, document: dict[str, object]) -> Flaw:
    with pytest.raises(DocumentError) as error:
        book.merged({"sources": SOURCES} | document, "feed.yaml")
    (flaw,) = error.value.flaws
    return flaw


# --- the ten, as they stood in real feeds --------------------------------------------------------------------------


def test_1_spot_that_equals_on_demand_is_no_offer(book: PriceBook) -> None:
    assert flag_of(book, row("55.04", capacityType="Spot")) is PriceFlag.SPOT_EQUALS_ON_DEMAND
    assert flag_of(book, row("54.9", capacityType="Spot")) is PriceFlag.SPOT_EQUALS_ON_DEMAND
    assert flag_of(book, row("24.5", capacityType="Spot")) is None


def test_2_a_tenth_of_on_demand_is_a_floor_without_capacity(book: PriceBook) -> None:
    there = {"region": "ap-southeast-3"}
    assert flag_of(book, row("75.955", **there), row("7.5955", capacityType="Spot", **there)) is PriceFlag.FLOOR_PRICE
    assert flag_of(book, row("75.955", **there), row("8.2", capacityType="Spot", **there)) is None


@pytest.mark.parametrize("usd", ["700", "700.0", "9999", "999.99"])
def test_3_a_sentinel_is_no_price(book: PriceBook, usd: str) -> None:
    assert flag_of(book, row(usd)) is PriceFlag.SENTINEL
    assert flag_of(book, row(usd, cloud="acme", instanceType="tpu")) is PriceFlag.SENTINEL


def test_3_no_gpu_costs_hundreds_of_dollars_an_hour(book: PriceBook) -> None:
    assert flag_of(book, row("512.5", cloud="acme", instanceType="h1"), instances=(ONE_H100,)) is PriceFlag.SENTINEL


@pytest.mark.parametrize("usd", ["123456789", "0.0000001"])
def test_3_a_node_that_nobody_described_still_costs_something_sensible(book: PriceBook, usd: str) -> None:
    assert flag_of(book, row(usd, cloud="acme", instanceType="unheard-of")) is PriceFlag.SENTINEL


def test_4_a_gpu_count_that_contradicts_the_book_is_refused(book: PriceBook) -> None:
    wrong = {"cloud": "azure", "instanceType": "Standard_ND96isr_H100_v5", "gpu": "H100-SXM-80GB", "gpuCount": 12}
    flaw = refusal(book, {"instances": [wrong]})
    assert flaw.key == "instances[0].gpuCount" and "is 12" in flaw.message and "has 8" in flaw.message
    accepted = book.merged({"instances": [wrong | {"accept": ["GPUCount"]}]})
    assert accepted.instances["azure", "standard_nd96isr_h100_v5"].gpu_count == 12


def test_4_another_gpu_than_the_book_knows_is_refused(book: PriceBook) -> None:
    wrong = {"cloud": "aws", "instanceType": "g6.xlarge", "gpu": "L40S", "gpuCount": 1}
    flaw = refusal(book, {"instances": [wrong]})
    assert flaw.key == "instances[0].gpu" and "is L40S, but g6.xlarge has L4" in flaw.message
    assert book.merged({"instances": [wrong | {"accept": ["GPU"]}]}).instances["aws", "g6.xlarge"].gpu == "L40S"


def test_4_a_gpu_count_that_nobody_sells_is_refused(book: PriceBook) -> None:
    flaw = refusal(book, {"instances": [H100_NODE | {"gpuCount": 12}]})
    assert flaw.key == "instances[0].gpuCount" and "nobody sells" in flaw.message


def test_5_a_machine_priced_without_its_gpus_is_not_a_bargain(book: PriceBook) -> None:
    place = {"cloud": "gcp", "region": "europe-west9", "instanceType": "a2-highgpu-1g"}
    assert flag_of(book, row("0.83", **place)) is PriceFlag.PRICED_WITHOUT_GPU
    assert flag_of(book, row("3.9", **place)) is None
    one = {"cloud": "acme", "instanceType": "h1"}
    assert flag_of(book, row("0.11", **one), instances=(ONE_H100,)) is PriceFlag.PRICED_WITHOUT_GPU


def test_6_the_price_of_a_node_is_not_that_of_a_gpu(book: PriceBook) -> None:
    crusoe = {"cloud": "crusoe", "region": "global", "instanceType": "1xh100-sxm"}
    assert flag_of(book, row("31.20", **crusoe)) is PriceFlag.NODE_PRICE_AS_GPU_PRICE
    assert flag_of(book, row("3.95", **crusoe)) is None


def test_6_also_of_a_provider_that_nobody_listed_before(book: PriceBook) -> None:
    one = {"cloud": "acme", "instanceType": "h1"}
    assert flag_of(book, row("21.6", **one), instances=(ONE_H100,)) is PriceFlag.NODE_PRICE_AS_GPU_PRICE
    assert flag_of(book, row("2.7", **one), instances=(ONE_H100,)) is None


def test_6_a_price_per_gpu_is_multiplied_only_where_it_is_said_to_be_one(book: PriceBook) -> None:
    node = {"cloud": "acme", "instanceType": "h8", "usdPerHour": None}
    per_gpu = {
        name: value for name, value in (row("", **node) | {"usdPerGPUHour": "2.95"}).items() if value is not None
    }
    found = merged(book, per_gpu, instances=(H100_NODE,)).lookup(cloud="acme", region="us-east-1", instance_type="h8")
    assert isinstance(found, Price) and str(found.usd_per_node_hour) == "23.60"
    as_node = {"cloud": "acme", "instanceType": "h8"}
    assert flag_of(book, row("2.95", **as_node), instances=(H100_NODE,)) is PriceFlag.GPU_PRICE_AS_NODE_PRICE
    assert flag_of(book, row("6.88")) is PriceFlag.GPU_PRICE_AS_NODE_PRICE
    node_price_per_gpu = per_gpu | {"usdPerGPUHour": "23.6"}
    found_flag = flag_of(book, node_price_per_gpu, instances=(H100_NODE,))
    assert found_flag is PriceFlag.NODE_PRICE_AS_GPU_PRICE


def test_8_a_marketplace_bid_above_on_demand_is_no_spot_price(book: PriceBook) -> None:
    vast = {"cloud": "vast-ai", "region": "global", "instanceType": "1xh200"}
    assert flag_of(book, row("3.1", capacityType="Spot", **vast)) is PriceFlag.SPOT_ABOVE_ON_DEMAND


def test_9_a_row_that_lost_a_part_is_refused_by_line() -> None:
    head = "cloud,region,instance_type,usd_per_hour,source,date\n"
    with pytest.raises(DocumentError) as error:
        csv_document(head + "aws,us-east-1,p5.48xlarge,1,055.04,feed,2026-10-01\naws,us-east-1,g6.xlarge\n", "feed.csv")
    assert [flaw.line for flaw in error.value.flaws] == [2, 3]
    assert "comma in a number" in str(error.value.flaws[0])


def test_9_a_number_that_lost_its_first_digit_is_refused(book: PriceBook) -> None:
    assert "no digit before the point" in refusal(book, {"prices": [row(".8048")]}).message


@pytest.mark.parametrize("stated", [{"memoryBytes": 80}, {"memoryBytes": 81_920}, {"memoryBytes": 2**48}])
def test_10_bytes_that_are_gb_or_mib_are_refused(book: PriceBook, stated: dict[str, object]) -> None:
    flaw = refusal(book, {"instances": [ONE_H100 | {"vcpus": 16} | stated]})
    assert flaw.key == "instances[0].memoryBytes" and "state bytes" in flaw.message


def test_10_gpu_memory_that_the_gpu_does_not_have_is_refused(book: PriceBook) -> None:
    flaw = refusal(book, {"instances": [ONE_H100 | {"gpuMemoryBytes": 80 * 2**20}]})
    assert flaw.key == "instances[0].gpuMemoryBytes" and "MiB" in flaw.message
    book.merged({"instances": [ONE_H100 | {"gpuMemoryBytes": 80 * 10**9}]})


# --- and others ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stated", "meant"), [(0.1667, "1/6"), ("0.3333", "1/3"), ("1/2", "1/2"), (0.125, "1/8"), (1.0, "1")]
)
def test_a_share_of_a_gpu_is_the_fraction_that_is_meant(book: PriceBook, stated: object, meant: str) -> None:
    shape = {"cloud": "acme", "instanceType": "v", "gpu": "A10", "gpuCount": stated}
    assert book.merged({"instances": [shape]}).instances["acme", "v"].gpu_count == Fraction(meant)


@pytest.mark.parametrize("stated", [0, -1, "0.037", 2.3, "many", float("nan"), True])
def test_a_share_that_nobody_sells_is_refused(book: PriceBook, stated: object) -> None:
    flaw = refusal(book, {"instances": [ONE_H100 | {"gpuCount": stated}]})
    assert flaw.key == "instances[0].gpuCount"


@pytest.mark.parametrize(
    ("usd", "says"),
    [
        ("1,204.50", "thousands separator"),
        ("1.204,50", "thousands separator"),
        ("1 204.50", "thousands separator"),
        ("1'204", "thousands separator"),
        ("1_204", "thousands separator"),
        ("0,8048", "decimal comma"),
        ("$0.8048", "more than a number"),
        ("€0.8048", "more than a number"),
        ("0.8048 USD", "more than a number"),
        ("8e-1", "not a decimal number"),
        ("٠.٨", "not a decimal number"),
        ("", "not a decimal number"),
        ("nan", "finite"),
        ("-Infinity", "finite"),
        ("-0.8048", "greater than 0"),
        ("0.000", "greater than 0"),
        (True, "a float would round it"),
        ([1], "must be a decimal number"),
    ],
)
def test_a_number_that_is_not_plain_is_refused(book: PriceBook, usd: object, says: str) -> None:
    flaw = refusal(book, {"prices": [row(usd)]})
    assert flaw.key == "prices[0].usdPerHour" and says in flaw.message


def test_a_price_is_of_the_node_or_of_each_gpu_and_not_of_both(book: PriceBook) -> None:
    assert "state one price" in refusal(book, {"prices": [row("55", usdPerGPUHour="6.88")]}).message
    without = {name: value for name, value in row("").items() if name != "usdPerHour"}
    assert "state one price" in refusal(book, {"prices": [without]}).message


def test_a_price_per_gpu_of_a_node_that_nobody_described_is_refused(book: PriceBook) -> None:
    stated = {"cloud": "acme", "region": "r", "instanceType": "x", "usdPerGPUHour": "2"}
    assert "how many GPUs has x" in refusal(book, {"prices": [stated]}).message


def test_a_price_per_gpu_of_a_share_of_one_is_that_share(book: PriceBook) -> None:
    shape = {"cloud": "acme", "instanceType": "v", "gpu": "A10", "gpuCount": "1/6"}
    stated = {"cloud": "acme", "region": "r", "instanceType": "v", "usdPerGPUHour": "2.50"}
    found = merged(book, stated, instances=(shape,)).lookup(cloud="acme", region="r", instance_type="v")
    assert isinstance(found, Price) and str(found.usd_per_node_hour) == "0.4166666667"


def test_a_commitment_costs_less_than_on_demand_and_not_next_to_nothing(book: PriceBook) -> None:
    assert flag_of(book, row("56", term="OneYear")) is PriceFlag.COMMITMENT_ABOVE_ON_DEMAND
    assert flag_of(book, row("2.5", term="ThreeYears")) is PriceFlag.FAR_FROM_OTHERS
    assert flag_of(book, row("23.7", term="ThreeYears")) is None
    assert (
        "nobody commits to spot" in refusal(book, {"prices": [row("20", capacityType="Spot", term="OneYear")]}).message
    )


def test_spot_at_next_to_nothing_is_flagged(book: PriceBook) -> None:
    assert flag_of(book, row("0.5", capacityType="Spot")) is PriceFlag.FAR_FROM_OTHERS


def test_a_price_that_is_off_by_no_round_factor_is_flagged_too(book: PriceBook) -> None:
    assert flag_of(book, row("165")) is PriceFlag.FAR_FROM_OTHERS


def test_the_deepest_known_price_cut_is_believed(book: PriceBook) -> None:
    """AWS cut p5.48xlarge from $98.32 to $55.04 in June 2025, and what was true before may come again."""
    assert flag_of(book, row("30.9")) is None
    assert flag_of(book, row("98.32")) is None


def test_a_flagged_row_hides_the_listed_price_too(book: PriceBook) -> None:
    """Somebody meant to replace that price: the old one is not what they would see."""
    found = merged(book, row("6.88"))
    assert isinstance(found.lookup(cloud="aws", region="us-east-1", instance_type="p5.48xlarge"), PriceMissing)
    assert isinstance(book.lookup(cloud="aws", region="us-east-1", instance_type="p5.48xlarge"), Price)


def test_whoever_knows_better_accepts_the_flag(book: PriceBook) -> None:
    assert flag_of(book, row("6.88", accept=["GPUPriceAsNodePrice"])) is None
    assert flag_of(book, row("6.88", accept=["FloorPrice"])) is PriceFlag.GPU_PRICE_AS_NODE_PRICE
    assert "prices[0].accept" in refusal(book, {"prices": [row("6.88", accept=["Everything"])]}).key


def test_a_later_document_may_mend_an_earlier_one(book: PriceBook) -> None:
    mended = merged(merged(book, row("6.88")), row("53.2"))
    found = mended.lookup(cloud="aws", region="us-east-1", instance_type="p5.48xlarge")
    assert isinstance(found, Price) and not mended.flagged


def test_on_demand_is_judged_first_wherever_it_stands(book: PriceBook) -> None:
    """Spot is judged by the on-demand price of the same document."""
    spot = row("14", capacityType="Spot")
    for rows in ((spot, row("140", accept=["FarFromOthers"])), (row("140", accept=["FarFromOthers"]), spot)):
        (flagged,) = merged(book, *rows).flagged.values()
        assert flagged.flag is PriceFlag.FLOOR_PRICE


# --- where it stands -----------------------------------------------------------------------------------------------

YAML = """\
sources:
  feed: {title: a feed, date: 2026-10-01}
prices:
  - {cloud: aws, region: us-east-1, instanceType: g6.xlarge, usdPerHour: "0.8"}
  - cloud: aws
    region: us-east-1
    instanceType: p5.48xlarge
    usdPerHour: "6.88"
"""


def test_a_row_knows_its_file_and_line_and_what_it_replaces(book: PriceBook) -> None:
    document, lines = parse_yaml_with_lines(YAML, "feed.yaml")
    found = book.merged(document, "feed.yaml", lines)
    ((key, flagged),) = found.flagged.items()
    assert (flagged.origin.file, flagged.origin.line, key.instance_type) == ("feed.yaml", 5, "p5.48xlarge")
    (used,) = found.origins.values()
    assert used.line == 4 and used.replaces is not None and str(used.replaces.usd_per_node_hour) == "0.8048"


def test_a_key_that_is_stated_twice_is_refused_with_its_line() -> None:
    with pytest.raises(DocumentError, match=r"feed\.yaml:9: prices\[1\]\.usdPerHour: is stated twice"):
        parse_yaml_with_lines(YAML + '    usdPerHour: "55"\n', "feed.yaml")


def test_a_document_that_contains_itself_ends() -> None:
    document, _ = parse_yaml_with_lines("prices: &all [*all]\n", "feed.yaml")
    assert document["prices"][0] is document["prices"]


CSV = """\
# ours
cloud,region,instanceType,gpu,gpu_count,usdPerGPUHour,source,date
acme,north,h8,H100-SXM-80GB,8,2.95,"offer of 1 October, page 3",2026-10-01
acme,south,h8,H100-SXM-80GB,8,3.05,"offer of 1 October, page 3",2026-10-02
"""


def test_a_table_is_a_document_with_a_source_and_a_date_a_line(book: PriceBook) -> None:
    document, lines = csv_document(CSV, "offer.csv")
    found = book.merged(document, "offer.csv", lines)
    price = found.lookup(cloud="acme", region="south", instance_type="h8")
    assert isinstance(price, Price)
    assert (str(price.usd_per_node_hour), price.source) == ("24.40", "offer of 1 October, page 3")
    assert price.date == datetime.date(2026, 10, 2)
    assert sorted(origin.line or 0 for origin in found.origins.values()) == [3, 4]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (CSV.replace("region", "place"), "offer.csv:2: place: is not a known column"),
        (CSV.replace("gpu_count", "gpu"), "offer.csv:2: gpu: is stated twice"),
        (CSV.replace(",date", ""), "offer.csv:2: date: is a column that must be there"),
        (CSV.replace(",2026-10-02", ","), "offer.csv:4: date: is empty"),
        (
            CSV.replace("south,h8,H100-SXM-80GB,8", "south,h8,H100-SXM-80GB,4"),
            "offer.csv:4: describes acme h8 otherwise",
        ),
        ("", "is not a table"),
    ],
)
def test_a_table_that_is_wrong_is_refused_by_line_and_column(wrong: str, says: str) -> None:
    with pytest.raises(DocumentError) as error:
        csv_document(wrong, "offer.csv")
    assert says in str(error.value)


@pytest.mark.parametrize("cell", ["3,05", "NaN", "-3.05", "0", "$3.05"])
def test_a_wrong_number_in_a_table_is_refused_by_line(book: PriceBook, cell: str) -> None:
    document, lines = csv_document(CSV.replace("3.05", f'"{cell}"'), "offer.csv")
    with pytest.raises(DocumentError) as error:
        book.merged(document, "offer.csv", lines)
    (flaw,) = lines.located(error.value.flaws)
    assert str(flaw).startswith("offer.csv:4: prices[1].usd_per_gpu_hour: ")
