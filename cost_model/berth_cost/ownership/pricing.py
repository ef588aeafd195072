"""Looks up what a scenario only names: prices in the price book, carbon intensities by region and country."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from berth_cost.carbon import CarbonIntensity, CarbonTable, UnknownIntensity
from berth_cost.ownership.scenario import Draw, ListPrice, NodeRate, Option, Owned, Rental, Reserved, Scenario
from berth_cost.price_book import PriceBook, PriceMissing


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


@dataclass(slots=True)
class Priced:
    """A scenario in which every price is a number, and where the looked-up numbers come from, by option."""

    scenario: Scenario
    sources: dict[str, list[str]] = field(default_factory=dict)
    intensities: dict[str, str] = field(default_factory=dict)
    """By option without an intensity: why there is none."""


def priced(scenario: Scenario, book: PriceBook, carbon: CarbonTable) -> Priced:
    """Raises :class:`ScenarioError` with every price that the book does not have."""
    result, flaws, options = Priced(scenario), list[ScenarioFlaw](), []
    for index, stated in enumerate(scenario.options):
        path = f"options[{index}].{stated.kind}"
        option, flaw = _with_price(stated, book, path, result.sources.setdefault(stated.name, []))
        options.append(_with_intensity(option, carbon, path, result, flaws))
        if flaw is not None:
            flaws.append(flaw)
    if flaws:
        raise ScenarioError(flaws)
    result.scenario = scenario.model_copy(update={"options": tuple(options)})
    return result


def _with_price(option: Option, book: PriceBook, path: str, sources: list[str]) -> tuple[Option, ScenarioFlaw | None]:
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
    sources.append(
        f"{asked.instance_type} ({gpus} GPUs) in {asked.cloud} {asked.region}: ${price.usd_per_node_hour}/h,"
        f" {price.source} of {price.date}"
    )
    rate = NodeRate(usd_per_hour=price.usd_per_node_hour, gpus=gpus)
    return _replaced(option, {"per_node": rate}), None


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
