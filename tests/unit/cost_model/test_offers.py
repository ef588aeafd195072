"""What is cheapest by what is used, and what changed between two books: numbers that a person can check by hand."""

import datetime
from decimal import Decimal

import pytest

from berth_cost.hardware.gpu_catalogue import GPUCatalogue
from berth_cost.prices.book import PriceBook
from berth_cost.prices.diff import price_diff
from berth_cost.prices.offers import (
    AgeLimits,
    OfferFilter,
    cheapest,
    flagged_of,
    gpu_units,
    memory_units,
    offers_of,
    tflop_units,
    usable,
)

TODAY = datetime.date(2026, 11, 21)
LIMITS = AgeLimits(TODAY, old_after=180, refused_after=730)
GPUS = GPUCatalogue.load_builtin().specifications
SOURCES = {"list": {"title": "a list", "date": datetime.date(2026, 11, 1)}}
NODES = [
    {"cloud": "acme", "instanceType": "h8", "gpu": "H100-SXM-80GB", "gpuCount": 8},
    {"cloud": "acme", "instanceType": "l1", "gpu": "L4", "gpuCount": 1},
    {"cloud": "acme", "instanceType": "v6", "gpu": "A10", "gpuCount": "1/6"},
    {"cloud": "acme", "instanceType": "amd", "gpu": "MI300X", "gpuCount": 8},
]


def row(instance_type: str, usd: str, **fields: object) -> dict[str, object]:
    return {"cloud": "acme", "region": "r1", "instanceType": instance_type, "usdPerHour": usd} | fields


def book(*rows: dict[str, object]) -> PriceBook:
    return PriceBook({}, {}).merged({"sources": SOURCES, "instances": NODES, "prices": list(rows)}, "list.yaml")


FOUR = book(row("h8", "24"), row("l1", "0.60"), row("l1", "0.50", region="r2"), row("v6", "0.40"), row("amd", "16"))


def test_offers_come_by_gpu_and_price_per_gpu() -> None:
    shown = [(one.gpu, one.region, str(one.usd_per_gpu_hour)) for one in offers_of(FOUR, OfferFilter(), LIMITS)]
    assert shown == [
        ("A10", "r1", "2.4"),
        ("H100-SXM-80GB", "r1", "3"),
        ("L4", "r2", "0.5"),
        ("L4", "r1", "0.6"),
        ("MI300X", "r1", "2"),
    ]


def test_a_filter_compares_without_case_and_takes_alternatives() -> None:
    l4_or_h100 = OfferFilter(gpus=frozenset({"l4", "h100-sxm-80gb"}), regions=frozenset({"r1"}))
    assert [one.instance_type for one in offers_of(FOUR, l4_or_h100, LIMITS)] == ["h8", "l1"]
    assert not offers_of(FOUR, OfferFilter(bought=frozenset({"spot"})), LIMITS)


def test_the_cheapest_gpu_hour_counts_gpus_and_takes_the_cheapest_place() -> None:
    ranked, left_out = cheapest(offers_of(FOUR, OfferFilter(), LIMITS), gpu_units)
    assert [(one.offer.instance_type, str(one.usd_per_unit)) for one in ranked] == [
        ("l1", "0.5"),
        ("amd", "2"),
        ("v6", "2.4"),
        ("h8", "3"),
    ]
    assert not left_out


def test_the_cheapest_gb_counts_the_memory_that_the_driver_reports_and_shares_of_it() -> None:
    ranked, left_out = cheapest(offers_of(FOUR, OfferFilter(), LIMITS), lambda one: memory_units(one, GPUS))
    by_type = {one.offer.instance_type: float(one.usd_per_unit) for one in ranked}
    assert by_type["h8"] == pytest.approx(24 / (8 * (GPUS["H100-SXM-80GB"].memory_bytes or 0) / 1e9), rel=1e-5)
    assert by_type["v6"] == pytest.approx(0.40 / ((GPUS["A10"].memory_bytes or 0) / 6 / 1e9), rel=1e-5)
    assert [(one.reason, one.offers) for one in left_out] == [("the GPU catalogue has no MI300X", 1)]


def test_the_cheapest_tflop_is_dense_and_of_a_precision_that_the_gpu_has() -> None:
    ranked, left_out = cheapest(offers_of(FOUR, OfferFilter(), LIMITS), lambda one: tflop_units(one, GPUS, "fp8"))
    assert [one.offer.instance_type for one in ranked] == ["h8", "l1"]
    rate = GPUS["H100-SXM-80GB"].peak_flops_per_second["fp8"]
    assert float(ranked[0].usd_per_unit) == pytest.approx(3 / (rate / 1e12), rel=1e-5)
    assert "no dense fp8 rate is known of a A10" in {one.reason for one in left_out}


def test_an_old_price_has_a_band_and_one_that_is_too_old_is_left_out() -> None:
    dated = book(row("h8", "24", date="2026-01-01"), row("l1", "0.5", date="2024-01-01"))
    offers = {one.instance_type: one for one in offers_of(dated, OfferFilter(), LIMITS)}
    assert offers["h8"].old and offers["h8"].age_days == 324
    assert offers["h8"].usd_per_hour_low == Decimal("18.3095")  # 24 / 1.07^4
    fresh, left_out = usable(list(offers.values()), LIMITS)
    assert [one.instance_type for one in fresh] == ["h8"]
    assert [(one.reason, one.offers) for one in left_out] == [("the price is older than 730 days", 1)]


def test_a_flagged_price_is_listed_apart_with_its_file() -> None:
    odd = book(row("h8", "24"), row("h8", "24", capacityType="Spot"))
    (flagged,) = flagged_of(odd, OfferFilter(), LIMITS)
    assert (flagged.flag, flagged.offer.file) == ("SpotEqualsOnDemand", "list.yaml")
    assert [one.bought for one in offers_of(odd, OfferFilter(), LIMITS)] == ["OnDemand"]


# --- two books -----------------------------------------------------------------------------------------------------


def test_what_changed_came_and_went() -> None:
    after = book(
        row("h8", "30"), row("l1", "0.60"), row("l1", "0.55", region="r3"), row("v6", "0.40"), row("amd", "16")
    )
    diff = price_diff(FOUR, after, ("before", "after"))
    assert [(one.instance_type, str(one.percent)) for one in diff.changed] == [("h8", "25")]
    assert [(one.instance_type, one.region) for one in diff.added] == [("l1", "r3")]
    assert [(one.instance_type, one.region) for one in diff.removed] == [("l1", "r2")]
    assert diff.unchanged == 3
    assert [one.gpu for one in diff.gpus] == ["H100-SXM-80GB", "L4"]


def test_the_same_book_has_not_changed() -> None:
    diff = price_diff(FOUR, FOUR, ("a", "b"))
    assert (diff.changed, diff.added, diff.removed, diff.gpus) == ((), (), (), ())


def test_a_median_that_moves_because_providers_left_is_told_from_a_price_that_moved() -> None:
    """Trap 7: 31 providers became 6, the median fell by half, and no price moved."""
    many = [row("l1", f"0.{40 + index}", region=f"r{index}") for index in range(31)]
    diff = price_diff(book(*many), book(*many[:6]), ("April", "May"))
    (l4,) = diff.gpus
    assert (l4.offers_before, l4.offers_after, l4.offers_in_both) == (31, 6, 6)
    assert l4.panel_changed
    assert l4.percent == Decimal("-22.7273") and l4.like_for_like_percent == 0


def test_a_price_that_moved_moves_like_for_like_too() -> None:
    before = book(*(row("l1", "0.50", region=f"r{index}") for index in range(5)))
    after = book(*(row("l1", "0.60", region=f"r{index}") for index in range(5)))
    (l4,) = price_diff(before, after, ("a", "b")).gpus
    assert not l4.panel_changed and l4.percent == l4.like_for_like_percent == 20
