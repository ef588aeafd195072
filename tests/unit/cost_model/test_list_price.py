"""What GPUs are listed at where a fleet buys, and which of them most people would take."""

from datetime import date
from decimal import Decimal
from fractions import Fraction

from berth_cost.hardware.gpu_catalogue import GPUCatalogue, GPUSpecification
from berth_cost.prices.book import PriceBook
from berth_cost.prices.conventional import ConventionalGPUs
from berth_cost.prices.list_price import ListPrice, list_prices

TODAY = date(2026, 11, 2)
EMPTY = PriceBook({}, {})


def book(*rows: tuple[str, str, str, str, int, str], day: str = "2026-10-01") -> PriceBook:
    """Rows of (cloud, region, type, GPU, GPUs, USD)."""
    shapes = {(cloud, kind): (gpu, count) for cloud, _, kind, gpu, count, _ in rows}
    return EMPTY.merged(
        {
            "sources": {"list": {"title": "a list", "date": day}},
            "instances": [
                {"cloud": cloud, "instanceType": kind, "gpu": gpu, "gpuCount": count}
                for (cloud, kind), (gpu, count) in shapes.items()
            ],
            "prices": [
                {"cloud": cloud, "region": region, "instanceType": kind, "usdPerHour": usd, "source": "list"}
                for cloud, region, kind, _, _, usd in rows
            ],
        }
    )


def of(found: PriceBook, *places: tuple[str, str], gpu: str = "T4", refused: int | None = 730) -> ListPrice | None:
    prices = list_prices(found, {gpu: None}, places, today=TODAY, refused_after_days=refused)
    return prices[0] if prices else None


def test_the_cheapest_node_per_gpu_of_the_place_counts():
    found = of(
        book(
            ("aws", "us-east-1", "big", "T4", 4, "4.00"),
            ("aws", "us-east-1", "small", "T4", 1, "0.60"),
            ("aws", "us-east-1", "four", "T4", 4, "2.00"),
        ),
        ("aws", "us-east-1"),
    )
    assert found is not None
    assert (found.instance_type, found.gpus_per_node, found.most_gpus) == ("four", 4, 4)
    assert found.usd_per_gpu_hour == Fraction(1, 2)


def test_of_several_places_the_one_in_the_middle_counts():
    there = book(
        ("aws", "a", "t", "T4", 1, "0.50"), ("aws", "b", "t", "T4", 1, "0.70"), ("aws", "c", "t", "T4", 1, "0.60")
    )
    found = of(there, ("aws", "a"), ("aws", "b"), ("aws", "c"))
    assert found is not None
    assert (found.region, found.price.usd_per_node_hour) == ("c", Decimal("0.60"))
    two = of(there, ("aws", "a"), ("aws", "b"))
    assert two is not None
    assert two.region == "a", "of two the cheaper: a yardstick does not flatter"


def test_where_the_fleet_has_none_its_clouds_are_asked_and_then_all():
    there = book(("aws", "far", "t", "T4", 1, "0.50"), ("gcp", "near", "t4", "T4", 1, "0.30"))
    elsewhere = of(there, ("aws", "here"))
    nowhere = of(there, ("own", "cellar"))
    assert (elsewhere and elsewhere.cloud, nowhere and nowhere.cloud) == ("aws", "gcp")


def test_a_price_that_is_too_old_to_plan_with_is_none():
    there = book(("aws", "a", "t", "T4", 1, "0.50"), day="2023-01-01")
    assert of(there, ("aws", "a")) is None
    assert of(there, ("aws", "a"), refused=None) is not None


def test_a_share_of_a_gpu_and_a_price_that_is_not_on_demand_are_no_list_price():
    there = EMPTY.merged(
        {
            "sources": {"list": {"title": "a list", "date": "2026-10-01"}},
            "instances": [
                {"cloud": "azure", "instanceType": "sixth", "gpu": "A10", "gpuCount": "1/6"},
                {"cloud": "azure", "instanceType": "whole", "gpu": "A10", "gpuCount": 1},
            ],
            "prices": [
                {"cloud": "azure", "region": "a", "instanceType": "sixth", "usdPerHour": "0.45"},
                {"cloud": "azure", "region": "a", "instanceType": "whole", "usdPerHour": "1", "capacityType": "Spot"},
            ],
        }
    )
    assert of(there, ("azure", "a"), gpu="A10") is None


def test_every_gpu_that_most_people_would_take_is_known_and_listed_with_a_source_and_a_date():
    ladders = ConventionalGPUs.load_builtin()
    specifications = {name: GPUCatalogue.load_builtin().get(name) for name in ladders.names}
    assert all(isinstance(one, GPUSpecification) for one in specifications.values())
    listed = list_prices(
        PriceBook.load_builtin(),
        dict.fromkeys(ladders.names),
        {("aws", "us-east-1")},
        today=TODAY,
        refused_after_days=None,
    )
    assert [one.gpu for one in listed] == list(ladders.names)
    assert all(rung.source and rung.date for rung in (*ladders.classic, *ladders.language))


def test_small_gpus_are_tried_before_large_ones():
    prices = {
        one.gpu: one.usd_per_gpu_hour
        for one in list_prices(
            PriceBook.load_builtin(),
            dict.fromkeys(ConventionalGPUs.load_builtin().names),
            {("aws", "us-east-1")},
            today=TODAY,
            refused_after_days=None,
        )
    }
    for ladder in (ConventionalGPUs.load_builtin().classic, ConventionalGPUs.load_builtin().language):
        ordered = [prices[rung.gpu] for rung in ladder]
        assert ordered == sorted(ordered)
