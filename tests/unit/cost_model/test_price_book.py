"""The price book: what it says, what it refuses and why, and what a user's rows do to it."""

import csv
import datetime
import time
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import pytest

from berth_cost.document import DocumentError, read_built_in
from berth_cost.hardware.gpu_catalogue import GPUCatalogue, UnknownGPU
from berth_cost.prices.book import InstanceShape, Price, PriceBook, PriceKey, PriceMissing, PriceRow, _built_in
from berth_cost.prices.traps import suspicion

LARGE = ("aws", "azure", "gcp")


@pytest.fixture(scope="module")
def book() -> PriceBook:
    return PriceBook.load_builtin()


def price(answer: Price | PriceMissing) -> Price:
    assert isinstance(answer, Price), answer
    return answer


def missing(answer: object) -> PriceMissing:
    assert isinstance(answer, PriceMissing), answer
    return answer


def shape(answer: InstanceShape | PriceMissing) -> InstanceShape:
    assert isinstance(answer, InstanceShape), answer
    return answer


# --- what is in it -----------------------------------------------------------------------------------------------


def test_it_is_read_once_a_process(book: PriceBook) -> None:
    assert PriceBook.load_builtin() is book


def test_it_prices_three_clouds_in_eight_regions_or_more_and_ten_other_providers(book: PriceBook) -> None:
    regions: dict[str, set[str]] = {}
    for key in book.prices:
        regions.setdefault(key.cloud, set()).add(key.region)
    assert all(len(regions[cloud]) >= 8 for cloud in LARGE)
    assert len(set(regions) - set(LARGE)) >= 10


def test_it_has_spot_and_terms_of_one_and_three_years_where_they_are_known(book: PriceBook) -> None:
    bought = {(key.cloud, key.bought) for key in book.prices}
    assert {(cloud, how) for cloud in ("aws", "gcp") for how in ("OnDemand", "Spot", "OneYear", "ThreeYears")} <= bought
    assert {("azure", "OnDemand"), ("azure", "Spot")} <= bought


@pytest.mark.parametrize(
    ("place", "how", "usd"),
    [
        (("aws", "us-east-1", "g6.xlarge"), {}, "0.8048"),
        (("aws", "us-east-1", "g6.xlarge"), {"capacity_type": "Spot"}, "0.4104"),
        (("aws", "us-east-1", "p5.48xlarge"), {"term": "OnDemand"}, "55.04"),
        (("aws", "us-east-1", "g4dn.xlarge"), {"capacity_type": "Reserved", "term": "OneYear"}, "0.331"),
        (("aws", "us-east-1", "g4dn.xlarge"), {"term": "Spot"}, "0.1894"),
        (("gcp", "us-central1", "g2-standard-4"), {}, "0.706832"),
        (("gcp", "us-east4", "a3-highgpu-8g"), {"capacity_type": "Spot"}, "36.320837"),
        (("gcp", "europe-west4", "a2-highgpu-1g"), {"term": "ThreeYears"}, "1.311818"),
        (("azure", "westus2", "Standard_NC40ads_H100_v5"), {}, "6.98"),
    ],
)
def test_a_price_is_found_by_what_a_pool_states(
    book: PriceBook, place: tuple[str, str, str], how: dict[str, str], usd: str
) -> None:
    cloud, region, instance_type = place
    found = price(book.lookup(cloud=cloud, region=region, instance_type=instance_type, **how))
    assert found.usd_per_node_hour == Decimal(usd)


def test_every_price_is_positive_dated_and_of_a_known_instance_type(book: PriceBook) -> None:
    for key, found in book.rows():
        assert found.usd_per_node_hour > 0
        assert found.source and found.date <= datetime.date(2026, 11, 21)
        assert (key.cloud, key.instance_type) in book.instances


def test_every_instance_type_of_the_large_clouds_is_priced_on_demand_and_every_other_somehow(book: PriceBook) -> None:
    assert {(key.cloud, key.instance_type) for key in book.prices} == set(book.instances)
    priced = {(key.cloud, key.instance_type) for key in book.prices if key.bought == "OnDemand"}
    assert {of for of in book.instances if of[0] in LARGE} <= priced


def test_spot_and_commitment_cost_less_than_on_demand_at_the_same_place(book: PriceBook) -> None:
    for key, found in book.prices.items():
        on_demand = book.prices.get(replace(key, capacity_type="OnDemand", term="OnDemand"))
        if key.bought != "OnDemand" and on_demand is not None:
            assert found.usd_per_node_hour < on_demand.usd_per_node_hour, key


def test_no_row_of_the_built_in_book_looks_wrong(book: PriceBook) -> None:
    """The checks that users' rows pass through, asked of every row of the package."""
    for key, found in book.prices.items():
        on_demand = book.prices.get(replace(key, capacity_type="OnDemand", term="OnDemand"))
        usd = on_demand.usd_per_node_hour if on_demand and key.bought != "OnDemand" else None
        shape = book.instances[key.cloud, key.instance_type]
        assert suspicion(key, found.usd_per_node_hour, shape, usd, book.reference) is None, key


def test_every_row_of_the_built_in_book_would_pass_as_a_users_row() -> None:
    rows = list(csv.DictReader(line for line in read_built_in("prices.csv").splitlines() if line[0] != "#"))
    assert len(rows) == len({PriceKey.of(PriceRow.model_validate(row)) for row in rows}) > 4000


def test_it_is_loaded_in_a_moment(book: PriceBook) -> None:
    _built_in.cache_clear()
    before = time.process_time()
    again = PriceBook.load_builtin()
    assert time.process_time() - before < 0.5  # 0.05 s on an idle core
    assert again == book


def test_every_instance_type_has_a_gpu_of_the_catalogue(book: PriceBook) -> None:
    names = GPUCatalogue.load_builtin().names()
    assert {one.gpu for one in book.instances.values()} - set(names) == {"MI300X"}


def test_rows_come_in_one_order(book: PriceBook) -> None:
    keys = [key for key, _ in book.rows()]
    assert len(keys) == len(book.prices)
    assert [key.cloud for key in keys] == sorted(key.cloud for key in keys)
    assert keys == [key for key, _ in PriceBook(dict(reversed(book.prices.items())), {}).rows()]


# --- instance types ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cloud", "instance_type", "gpus", "room"),
    [
        ("aws", "g5.48xlarge", ("A10G", 8), (192, 768)),
        ("aws", "p4d.24xlarge", ("A100-SXM-40GB", 8), (96, 1152)),
        ("aws", "p5en.48xlarge", ("H200-SXM-141GB", 8), (192, 2048)),
        ("gcp", "a2-ultragpu-1g", ("A100-SXM-80GB", 1), (12, 170)),
        ("gcp", "g4-standard-48", ("RTX-PRO-6000-Server", 1), (48, 180)),
        ("azure", "Standard_NC24ads_A100_v4", ("A100-PCIe-80GB", 1), (24, 220)),
        ("azure", "Standard_ND96asr_v4", ("A100-SXM-40GB", 8), (96, 900)),
        ("azure", "Standard_NC6s_v3", ("V100-PCIe", 1), (6, 112)),
    ],
)
def test_an_instance_type_says_what_its_node_is(
    book: PriceBook, cloud: str, instance_type: str, gpus: tuple[str, int], room: tuple[int, int]
) -> None:
    found = shape(book.instance(cloud, instance_type))
    vcpus, memory_gib = room
    assert (found.gpu, found.whole_gpus()) == gpus
    assert (found.vcpus, found.memory_bytes) == (vcpus, memory_gib * 2**30)


def test_an_instance_type_alone_tells_its_cloud(book: PriceBook) -> None:
    assert shape(book.instance(None, "g5.xlarge")).cloud == "aws"
    assert shape(book.instance(None, "a3-highgpu-8g")).cloud == "gcp"
    assert shape(book.instance(None, "Standard_NC24ads_A100_v4")).cloud == "azure"
    by_label = book.lookup(cloud=None, region="us-east-1", instance_type="g5.xlarge")
    assert price(by_label).usd_per_node_hour == Decimal("1.006")


def test_names_are_compared_without_case(book: PriceBook) -> None:
    one = price(book.lookup(cloud="AWS", region="US-East-1", instance_type="G5.XLARGE"))
    assert one == price(book.lookup(cloud="aws", region="us-east-1", instance_type="g5.xlarge"))
    assert shape(book.instance("Azure", "standard_nc6s_v3")).instance_type == "Standard_NC6s_v3"


def test_a_share_of_a_gpu_is_a_fraction_and_cannot_be_placed_on(book: PriceBook) -> None:
    found = shape(book.instance("azure", "Standard_NV6ads_A10_v5"))
    assert found.gpu_count == Fraction(1, 6)
    refusal = missing(found.whole_gpus())
    assert refusal.reason == "FractionalGPU"
    assert "1/6" in refusal.message


def test_amd_instance_types_are_priced_though_nothing_can_be_planned_on_them(book: PriceBook) -> None:
    assert shape(book.instance("azure", "Standard_ND96isr_MI300X_v5")).gpu == "MI300X"
    assert isinstance(GPUCatalogue.load_builtin().get("MI300X"), UnknownGPU)


def test_a_provider_that_sells_gpus_with_whatever_goes_with_them_has_no_node_size(book: PriceBook) -> None:
    found = shape(book.instance("nebius", "1xh100-sxm"))
    assert (found.gpu, found.whole_gpus(), found.vcpus, found.memory_bytes) == ("H100-SXM-80GB", 1, None, None)


# --- refusals ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "reason", "nearest"),
    [
        (("oracle", "us-east-1", "g5.xlarge"), "UnknownCloud", {"aws", "azure", "gcp"}),
        (("aws", "us-east-1", "g5.xxlarge"), "UnknownInstanceType", {"g5.xlarge"}),
        ((None, "us-east-1", "g5.xxlarge"), "UnknownInstanceType", {"g5.xlarge"}),
        ((None, "us-east-1", ""), "UnknownInstanceType", set()),
        (("gcp", "us-central1", "g5.xlarge"), "UnknownInstanceType", set()),
        (("aws", "us-east-7", "p5.48xlarge"), "NotSoldInRegion", {"us-east-1", "us-east-2"}),
        (("aws", None, "p5.48xlarge"), "NotSoldInRegion", {"ap-northeast-1"}),
    ],
)
def test_a_missing_price_says_what_there_is_instead(
    book: PriceBook, place: tuple[str | None, str | None, str], reason: str, nearest: set[str]
) -> None:
    cloud, region, instance_type = place
    answer = missing(book.lookup(cloud=cloud, region=region, instance_type=instance_type))
    assert answer.reason == reason
    assert nearest <= set(answer.nearest)
    assert all(name in answer.message for name in answer.nearest)


def test_a_price_that_is_not_known_is_never_that_of_another_market(book: PriceBook) -> None:
    where = {"cloud": "aws", "region": "us-east-1", "instance_type": "g7e.2xlarge"}
    answer = missing(book.lookup(**where, capacity_type="Spot"))
    assert (answer.reason, answer.nearest) == ("NoSpotPrice", ("OnDemand",))
    assert missing(book.lookup(**where, term="ThreeYears")).reason == "NoCommitmentPrice"
    assert missing(book.lookup(**where, term="FiveYears")).reason == "NoCommitmentPrice"


def test_owned_nodes_have_no_list_price(book: PriceBook) -> None:
    answer = missing(book.lookup(cloud="aws", region="us-east-1", instance_type="g5.xlarge", capacity_type="Owned"))
    assert answer.reason == "NoListPrice"


# --- users' documents --------------------------------------------------------------------------------------------

SOURCES = {"contract": {"title": "our contract", "date": datetime.date(2026, 3, 1)}}


def row(**fields: object) -> dict[str, object]:
    return {"cloud": "aws", "region": "us-east-1", "instanceType": "g5.xlarge", "usdPerHour": "0.5"} | fields


def test_a_users_price_replaces_the_listed_one(book: PriceBook) -> None:
    merged = book.merged({"sources": SOURCES, "prices": [row()]})
    found = price(merged.lookup(cloud="aws", region="us-east-1", instance_type="g5.xlarge"))
    assert found == Price(usd_per_node_hour=Decimal("0.5"), source="our contract", date=datetime.date(2026, 3, 1))
    listed = price(book.lookup(cloud="aws", region="us-east-1", instance_type="g5.xlarge"))
    assert listed.usd_per_node_hour == Decimal("1.006")


def test_a_price_of_the_zone_wins_over_that_of_its_region(book: PriceBook) -> None:
    merged = book.merged({"sources": SOURCES, "prices": [row(zone="us-east-1a", date=datetime.date(2026, 4, 1))]})
    where = {"cloud": "aws", "region": "us-east-1", "instance_type": "g5.xlarge"}
    in_zone = price(merged.lookup(**where, zone="us-east-1a"))
    assert (in_zone.usd_per_node_hour, in_zone.date) == (Decimal("0.5"), datetime.date(2026, 4, 1))
    assert price(merged.lookup(**where, zone="us-east-1b")).usd_per_node_hour == Decimal("1.006")


def test_a_users_own_kind_of_node_can_be_described_and_priced(book: PriceBook) -> None:
    document = {
        "sources": SOURCES,
        "instances": [
            {
                "cloud": "dc",
                "instanceType": "dgx",
                "gpu": "H100-SXM-80GB",
                "gpuCount": 8,
                "vcpus": 224,
                "memoryBytes": 2**41,
            }
        ],
        "prices": [row(cloud="dc", region="hall-2", instanceType="dgx", usdPerHour=18)],
    }
    merged = book.merged(document)
    assert shape(merged.instance(None, "dgx")).whole_gpus() == 8
    assert price(merged.lookup(cloud=None, region="hall-2", instance_type="dgx")).usd_per_node_hour == 18


def test_a_type_name_of_two_clouds_asks_for_the_cloud(book: PriceBook) -> None:
    twin = {"cloud": "dc", "instanceType": "g5.xlarge", "gpu": "L4", "gpuCount": 1, "vcpus": 4, "memoryBytes": 2**34}
    merged = book.merged({"instances": [twin]})
    answer = missing(merged.instance(None, "g5.xlarge"))
    assert (answer.reason, answer.nearest) == ("UnknownCloud", ("aws", "dc"))
    assert shape(merged.instance("dc", "g5.xlarge")).gpu == "L4"


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("usdPerHour", "-0.5", "greater than 0"),
        ("usdPerHour", "0", "greater than 0"),
        ("usdPerHour", 0, "greater than 0"),
        ("usdPerHour", "NaN", "finite"),
        ("usdPerHour", "Infinity", "finite"),
        ("usdPerHour", "cheap", "decimal"),
        ("usdPerHour", 0.35, "a float would round it"),
        ("usdPerHour", None, "decimal"),
        ("currency", "EUR", "prices are in USD"),
        ("capacityType", "Preemptible", "Spot"),
        ("term", "TwoYears", "ThreeYears"),
        ("cloud", "", "at least 1 character"),
        ("price", 1, "not a known key"),
        ("source", "rumour", "must name one of `sources`"),
    ],
)
def test_a_wrong_row_is_refused_by_file_row_and_field(book: PriceBook, field: str, value: object, says: str) -> None:
    document = {"sources": SOURCES, "prices": [row(region="us-west-2"), row(**{field: value})]}
    with pytest.raises(DocumentError) as error:
        book.merged(document, "prices.yaml")
    (flaw,) = error.value.flaws
    assert (flaw.file, flaw.key) == ("prices.yaml", f"prices[1].{field}")
    assert says in flaw.message


NO_GPU = {"cloud": "dc", "instanceType": "x", "gpu": "L4", "gpuCount": 0, "vcpus": 1, "memoryBytes": 1}


@pytest.mark.parametrize(
    ("document", "key"),
    [
        ({"prices": [row()]}, "prices[0].source"),
        ({"sources": SOURCES, "prices": [row(), row()]}, "prices[1]"),
        ({"prices": {}}, "prices"),
        ({"prices": [7]}, "prices[0]"),
        ({"instance": []}, "instance"),
        ({"instances": [NO_GPU]}, "instances[0].gpuCount"),
    ],
)
def test_a_wrong_document_is_refused_by_key(book: PriceBook, document: dict[str, object], key: str) -> None:
    with pytest.raises(DocumentError) as error:
        book.merged(document)
    assert error.value.flaws[0].key == key


def test_an_empty_document_changes_nothing(book: PriceBook) -> None:
    assert book.merged({"sources": None, "instances": None, "prices": None}) == book
