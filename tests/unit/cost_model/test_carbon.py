"""Carbon intensities and PUE: looked up by name, with source and year, never guessed."""

import pytest

from berth_cost.spending.carbon import CarbonIntensity, CarbonTable, UnknownIntensity

TABLE = CarbonTable.load_builtin()


@pytest.mark.parametrize(
    ("cloud", "region", "grams"),
    [
        ("gcp", "europe-north2", 2.7),
        ("gcp", "asia-south1", 679),
        ("aws", "eu-north-1", 8),
        ("azure", "francecentral", 67),
    ],
)
def test_a_region_has_the_intensity_of_its_source(cloud: str, region: str, grams: float) -> None:
    found = TABLE.of_region(cloud.upper(), region)
    assert isinstance(found, CarbonIntensity)
    assert found.grams_per_kwh == grams
    assert str(found.date.year) in found.source


def test_a_country_is_known_by_its_code() -> None:
    found = TABLE.of_country("nor")
    assert isinstance(found, CarbonIntensity) and found.grams_per_kwh < 50


def test_an_unknown_region_is_refused_by_name_with_near_ones() -> None:
    found = TABLE.of_region("gcp", "europe-north9")
    assert isinstance(found, UnknownIntensity)
    assert "gcp europe-north9" in found.message and "europe-north1" in found.message
    assert isinstance(TABLE.of_country("XXX"), UnknownIntensity)


def test_every_intensity_is_one_of_electricity() -> None:
    """No value without its leading 0, and none in kg: between hydropower and brown coal."""
    everything = [*TABLE.regions.values(), *TABLE.countries.values()]
    assert len(everything) > 140
    assert all(2 <= found.grams_per_kwh <= 1000 for found in everything)


def test_a_site_has_pue_and_grid_or_says_what_is_not_known() -> None:
    known = TABLE.site_of_region("gcp", "us-central1")
    assert known is not None and (known.pue, known.unknown) == (1.1, None)
    unknown = TABLE.site_of_region("aws", "mars-1")
    assert unknown is not None and unknown.grams_per_kwh is None and "aws mars-1" in (unknown.unknown or "")
    assert TABLE.site_of_region("runpod", "global") is None


def test_an_owner_states_the_site() -> None:
    stated = TABLE.site_of_owner(1.3, 413.0, None)
    assert (stated.pue, stated.grams_per_kwh, stated.source) == (1.3, 413.0, "stated")
    assert TABLE.site_of_owner(1.3, None, "DEU").grams_per_kwh is not None
    assert "country" in (TABLE.site_of_owner(1.3, None, None).unknown or "")
