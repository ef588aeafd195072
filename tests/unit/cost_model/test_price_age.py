"""How old a price is, and how wide the band that its age leaves."""

from datetime import date, timedelta
from decimal import Decimal

import pytest

from berth_cost.prices.age import PriceAge
from berth_cost.prices.book import Price

LISTED = Price(usd_per_node_hour=Decimal("55.04"), source="a list", date=date(2025, 1, 1))


def age(days: int, price: Price = LISTED) -> PriceAge:
    return PriceAge.of(price, price.date + timedelta(days=days), old_after_days=180, refused_after_days=730)


@pytest.mark.parametrize(
    ("days", "old", "refused"), [(-400, False, False), (0, False, False), (180, False, False), (181, True, False)]
)
def test_a_price_is_old_from_the_day_after_the_limit(days: int, old: bool, refused: bool) -> None:
    assert (age(days).old, age(days).refused) == (old, refused)


def test_beyond_the_second_limit_it_is_refused_unless_nothing_is() -> None:
    assert not age(730).refused and age(731).refused
    assert not PriceAge.of(LISTED, date(2040, 1, 1), 180, None).refused


def test_the_band_covers_the_deepest_price_cut_known_after_its_two_years() -> None:
    """AWS, June 2025: $98.32 became $55.04, 44 % less."""
    assert age(719).factor(spot=False) == pytest.approx(1.07**8)
    assert 98.32 / age(719).factor(spot=False) == pytest.approx(57.2, abs=0.1)


def test_the_band_widens_by_the_quarter_and_says_the_same_between() -> None:
    factors = [age(days).factor(spot=True) for days in range(181, 730)]
    assert factors == sorted(factors) and len(set(factors)) == 7
    assert age(181).factor(spot=True) == age(270).factor(spot=True) < age(271).factor(spot=True)


def test_a_fresh_price_has_no_band_and_a_spot_price_ages_faster_than_a_list_price() -> None:
    assert age(180).factor(spot=True) == 1
    assert age(200).factor(spot=True) > age(200).factor(spot=False) > 1


def test_what_a_pool_states_itself_does_not_grow_old() -> None:
    stated = LISTED.model_copy(update={"stated": True})
    assert age(4000, stated) == PriceAge(old=False, refused=False, steps=0)
