"""Looks up what a scenario only names: prices in the price book, carbon intensities by region and country."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from berth_cost.ownership.scenario import Draw, ListPrice, NodeRate, Option, Owned, Rental, Reserved, Scenario
from berth_cost.prices.age import PriceAge
from berth_cost.prices.book import Price, PriceBook, PriceMissing
from berth_cost.spending.carbon import CarbonIntensity, CarbonTable, UnknownIntensity


@dataclass(frozen=True, slots=True)
class ScenarioFlaw:
    """What cannot be used, where: ``path`` as ``options[1].rented.price``."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class ScenarioError(ValueError):
    """A scenario that cannot be computed; ``flaws`` has everything that is wrong with it."""

    def __init__(self, flaws: Iterable[ScenarioFlaw]) -> None:
        self.flaws = tuple(flaws)
        super().__init__("\n".join(map(str, self.flaws)))


@dataclass(frozen=True, slots=True)
class Freshness:
    """How old a price of the book may be: beyond the first limit it is flagged, beyond the second it is refused."""

    today: date
    old_after_days: int
    refused_after_days: int | None


@dataclass(slots=True)
class Priced:
    """A scenario in which every price is a number, and where the looked-up numbers come from, by option."""

    scenario: Scenario
    sources: dict[str, list[str]] = field(default_factory=dict)
    intensities: dict[str, str] = field(default_factory=dict)
    """By option without an intensity: why there is none."""
    old: list[tuple[str, str]] = field(default_factory=list)
    """Prices that are old: the name of the input, and what the price may be by now."""


def priced(scenario: Scenario, book: PriceBook, carbon: CarbonTable, freshness: Freshness | None = None) -> Priced:
    """Raises :class:`ScenarioError` with every price that the book does not have, or that is too old."""
    result, flaws, options = Priced(scenario), list[ScenarioFlaw](), []
    for index, stated in enumerate(scenario.options):
        path = f"options[{index}].{stated.kind}"
        result.sources[stated.name] = []
        option, flaw = _with_price(stated, book, path, result, freshness)
        options.append(_with_intensity(option, carbon, path, result, flaws))
        if flaw is not None:
            flaws.append(flaw)
    if flaws:
        raise ScenarioError(flaws)
    result.scenario = scenario.model_copy(update={"options": tuple(options)})
    return result


def _with_price(
    option: Option, book: PriceBook, path: str, result: Priced, freshness: Freshness | None
) -> tuple[Option, ScenarioFlaw | None]:
    block = option.block
    if isinstance(block, Owned) or block.price is None:
        return option, None
    asked = block.price
    shape = book.instance(asked.cloud, asked.instance_type)
    gpus = shape if isinstance(shape, PriceMissing) else shape.whole_gpus()
    if isinstance(gpus, PriceMissing):
        field_at_fault = "cloud" if gpus.reason == "UnknownCloud" else "instanceType"
        return option, ScenarioFlaw(f"{path}.price.{field_at_fault}", gpus.message)
    price = book.lookup(
        cloud=asked.cloud,
        region=asked.region,
        instance_type=asked.instance_type,
        capacity_type=asked.capacity_type,
        term=asked.term or _term(block, asked),
        zone=asked.zone,
    )
    if isinstance(price, PriceMissing):
        return option, ScenarioFlaw(f"{path}.price", price.message)
    if freshness is not None:
        too_old = _aged(option, price, asked, freshness, result)
        if too_old is not None:
            return option, ScenarioFlaw(f"{path}.price", too_old)
    result.sources[option.name].append(
        f"{asked.instance_type} ({gpus} GPUs) in {asked.cloud} {asked.region}: ${price.usd_per_node_hour}/h,"
        f" {price.source} of {price.date}"
    )
    rate = NodeRate(usd_per_hour=price.usd_per_node_hour, gpus=gpus)
    return _replaced(option, {"per_node": rate}), None


def _aged(option: Option, price: Price, asked: ListPrice, freshness: Freshness, result: Priced) -> str | None:
    """Why the price is too old to use; where it is only old, it is noted with the band that it stands in."""
    age = PriceAge.of(price, freshness.today, freshness.old_after_days, freshness.refused_after_days)
    if age.refused:
        return (
            f"the newest price known is of {price.date}, older than {freshness.refused_after_days} days: state"
            " usdPerGPUHour or perNode, or add a newer one to the price book"
        )
    if age.to_come:
        message = f"${price.usd_per_node_hour}/h is dated {price.date}, in the future: correct the date"
        result.old.append((f"{option.name}.price", message))
    if age.old:
        usd, factor = float(price.usd_per_node_hour), age.factor(spot=asked.capacity_type == "Spot")
        message = (
            f"${price.usd_per_node_hour}/h is of {price.date}, older than {freshness.old_after_days} days: it may be"
            f" ${usd / factor:,.4g} to ${usd * factor:,.4g} by now"
        )
        result.old.append((f"{option.name}.price", message))
    return None


def _term(block: Rental, asked: ListPrice) -> str | None:
    """A reservation of one or three years has that price, unless it states another."""
    if not isinstance(block, Reserved) or asked.capacity_type == "Spot":
        return None
    return {12: "OneYear", 36: "ThreeYears"}.get(int(block.term_months))


def _with_intensity(
    option: Option, carbon: CarbonTable, path: str, result: Priced, flaws: list[ScenarioFlaw]
) -> Option:
    """With the grid's intensity where it is looked up. An unknown country is an error; an unknown region only a gap."""
    block = option.block
    name: str = "power" if isinstance(block, Owned) else "energy"
    draw: Draw | None = getattr(block, name)
    if draw is None or draw.g_co2e_per_kwh is not None:
        return option
    found: CarbonIntensity | UnknownIntensity
    if draw.country is not None:
        found = carbon.of_country(draw.country)
        if isinstance(found, UnknownIntensity):
            flaws.append(ScenarioFlaw(f"{path}.{name}.country", found.message))
            return option
    elif not isinstance(block, Owned) and block.price is not None:
        found = carbon.of_region(block.price.cloud, block.price.region)
    else:
        found = UnknownIntensity(f"no intensity of the grid: state {name}.gCO2ePerKWh or {name}.country")
    if isinstance(found, UnknownIntensity):
        result.intensities[option.name] = found.message
        return option
    result.sources[option.name].append(f"{found.place}: {found.grams_per_kwh:g} gCO2e/kWh, {found.source}")
    grams = str(found.grams_per_kwh)
    return _replaced(option, {name: _validated(draw, gCO2ePerKWh=grams, country=None)})


def _validated(draw: Draw, **update: Any) -> Draw:
    return type(draw).model_validate(draw.model_dump(by_alias=True) | update)


def _replaced(option: Option, update: dict[str, Any]) -> Option:
    return option.model_copy(update={option.kind: option.block.model_copy(update=update)})
