"""Carbon intensity of electricity by cloud region and country, and PUE by cloud, each with source and date.

A place that is not in the table has no intensity: it is refused by name, never guessed from its neighbours.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import Annotated, Any

from pydantic import Field

from berth_cost.document import Source, parse_yaml, read_built_in, read_sources
from berth_cost.record import Record
from berth_cost.spelling import nearest

_FILE = "carbon_intensity.yaml"


@dataclass(frozen=True, slots=True)
class CarbonIntensity:
    """Grams of CO2 equivalent per kWh of electricity, as a mean over the year before ``date``."""

    grams_per_kwh: float
    place: str
    source: str
    date: date


@dataclass(frozen=True, slots=True)
class UnknownIntensity:
    """``message`` names the place, and the nearest that are known."""

    message: str


class Site(Record):
    """Where a pool draws its power. ``grams_per_kwh`` None: nobody knows, and ``unknown`` says what of."""

    place: str
    pue: Annotated[float, Field(ge=1, allow_inf_nan=False)]
    """Power usage effectiveness: what the site draws over what the machines draw."""
    pue_source: str
    grams_per_kwh: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """CO2 equivalent of the grid."""
    source: str | None = None
    """Of the intensity, with its year."""
    unknown: str | None = None


@dataclass(frozen=True, slots=True)
class CarbonTable:
    """Intensities by (cloud, region), without case, and by ISO 3166 code of three letters; PUE by cloud."""

    regions: Mapping[tuple[str, str], CarbonIntensity]
    countries: Mapping[str, CarbonIntensity]
    fleet_pue: Mapping[str, tuple[float, str]]
    """(PUE, source) of a cloud's fleet."""

    @staticmethod
    def load_builtin() -> "CarbonTable":
        """The table of this package, read once a process."""
        return _built_in()

    def of_region(self, cloud: str, region: str) -> CarbonIntensity | UnknownIntensity:
        found = self.regions.get((cloud.casefold(), region.casefold()))
        if found is not None:
            return found
        known = tuple(name for one, name in sorted(self.regions) if one == cloud.casefold())
        near = nearest(region.casefold(), known, most=3)
        hint = f"; nearest names: {', '.join(near)}" if near else ""
        return UnknownIntensity(f"no carbon intensity is known of {cloud} {region}{hint}: state gCO2ePerKWh")

    def of_country(self, code: str) -> CarbonIntensity | UnknownIntensity:
        found = self.countries.get(code.upper())
        if found is not None:
            return found
        return UnknownIntensity(
            f"no carbon intensity is known of country {code!r} (ISO 3166 codes of three letters): state gCO2ePerKWh"
        )

    def site_of_region(self, cloud: str, region: str) -> Site | None:
        """Of a cloud's region; None where the PUE of the cloud is not known, without which nothing can be said."""
        pue = self.fleet_pue.get(cloud.casefold())
        if pue is None:
            return None
        return _site(f"{cloud} {region}", pue[0], pue[1], self.of_region(cloud, region))

    def site_of_owner(self, pue: float, grams_per_kwh: float | None, country: str | None) -> Site:
        """Of a data centre whose owner states the PUE, and the grid's intensity or the country."""
        if grams_per_kwh is not None:
            return Site(place="own", pue=pue, pue_source="stated", grams_per_kwh=grams_per_kwh, source="stated")
        unknown = UnknownIntensity("no carbon intensity is stated: add gCO2ePerKWh or country to price.owned.power")
        return _site(country or "own", pue, "stated", self.of_country(country) if country else unknown)


def _site(place: str, pue: float, pue_source: str, found: CarbonIntensity | UnknownIntensity) -> Site:
    if isinstance(found, UnknownIntensity):
        return Site(place=place, pue=pue, pue_source=pue_source, unknown=found.message)
    return Site(place=place, pue=pue, pue_source=pue_source, grams_per_kwh=found.grams_per_kwh, source=found.source)


@cache
def _built_in() -> CarbonTable:
    document = parse_yaml(read_built_in(_FILE), _FILE)
    sources = read_sources(document, _FILE)
    regions = {
        (cloud, str(region)): _intensity(grams, f"{cloud} {region}", sources[part["source"]])
        for cloud, part in document["regions"].items()
        for region, grams in part["gramsPerKWh"].items()
    }
    countries = {
        code: _intensity(grams, code, sources[part["source"]])
        for part in document["countries"]
        for code, grams in part["gramsPerKWh"].items()
    }
    fleet_pue = {cloud: (float(one["value"]), sources[one["source"]].title) for cloud, one in document["pue"].items()}
    return CarbonTable(regions, countries, fleet_pue)


def _intensity(grams: Any, place: str, source: Source) -> CarbonIntensity:
    return CarbonIntensity(float(grams), place, source.title, source.date)
