"""Prices of GPU nodes, each with its source and date. Money is Decimal; a price not known is absent, never zero."""

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from functools import cache, cached_property
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BeforeValidator, Field

from berth_cost.document import (
    DocumentError,
    Flaw,
    Source,
    known_keys_only,
    parse_yaml,
    read_built_in,
    read_sources,
    validate,
)
from berth_cost.record import Record
from berth_cost.spelling import nearest

Market = Literal["OnDemand", "Spot"]
Term = Literal["OnDemand", "OneYear", "ThreeYears"]
"""How long one commits: OnDemand is not at all."""

TERMS: Mapping[str, tuple[Market, Term]] = {
    "OnDemand": ("OnDemand", "OnDemand"),
    "Spot": ("Spot", "OnDemand"),
    "OneYear": ("OnDemand", "OneYear"),
    "ThreeYears": ("OnDemand", "ThreeYears"),
}
"""What a pool calls the term of its price, as market and commitment."""

Day = date  # a field named date hides the type from the fields after it
RowType = TypeVar("RowType", bound=Record)


class Price(Record):
    """Of one node for one hour."""

    usd_per_node_hour: Annotated[Decimal, Field(gt=0, allow_inf_nan=False)]
    source: str
    date: date


class PriceMissing(Record):
    """Why the book has no answer. ``nearest`` are what it does have: instance types, regions, clouds or terms."""

    reason: Literal[
        "UnknownCloud",
        "UnknownInstanceType",
        "NotSoldInRegion",
        "NoSpotPrice",
        "NoCommitmentPrice",
        "NoListPrice",
        "FractionalGPU",
    ]
    message: str
    nearest: tuple[str, ...] = ()


class InstanceShape(Record):
    """What a node of a type is. ``gpu`` is a name of the GPU catalogue; a ``gpu_count`` of 1/6 is a share of one."""

    cloud: str
    instance_type: str
    gpu: str
    gpu_count: Annotated[Fraction, Field(gt=0)]
    vcpus: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    memory_bytes: Annotated[int, Field(gt=0)]

    def whole_gpus(self) -> int | PriceMissing:
        """How many GPUs it has; refused where it has a share of one, which no device plugin hands out whole."""
        if self.gpu_count.denominator == 1:
            return self.gpu_count.numerator
        message = f"{self.instance_type} has {self.gpu_count} of a {self.gpu}: only whole GPUs can be placed on"
        return PriceMissing(reason="FractionalGPU", message=message)


def _exact_decimal(stated: object) -> object:
    if isinstance(stated, float | bool):
        raise ValueError('must be an integer or a text such as "1.006": a float would round it')
    return stated


class PriceRow(Record):
    """One price as a document states it. ``zone`` absent: of the whole region."""

    cloud: Annotated[str, Field(min_length=1)]
    region: Annotated[str, Field(min_length=1)]
    zone: str | None = None
    instance_type: Annotated[str, Field(min_length=1)]
    capacity_type: Market = "OnDemand"
    term: Term = "OnDemand"
    usd_per_hour: Annotated[Decimal, BeforeValidator(_exact_decimal), Field(gt=0, allow_inf_nan=False)]
    currency: Literal["USD"] = "USD"
    source: str | None = None
    date: Day | None = None


@dataclass(frozen=True, slots=True)
class PriceKey:
    """What a price is of. Clouds, regions, zones and instance types are compared without case."""

    cloud: str
    region: str
    zone: str | None
    instance_type: str
    capacity_type: Market
    term: Term

    @classmethod
    def of(cls, row: PriceRow) -> "PriceKey":
        zone = row.zone.casefold() if row.zone else None
        where = (row.cloud.casefold(), row.region.casefold(), zone, row.instance_type.casefold())
        return cls(*where, row.capacity_type, row.term)


@dataclass(frozen=True)
class PriceBook:
    """Prices by key, and instance types by (cloud, type). Frozen: :meth:`merged` gives a new one."""

    prices: Mapping[PriceKey, Price]
    instances: Mapping[tuple[str, str], InstanceShape]

    @staticmethod
    def load_builtin() -> "PriceBook":
        """The book of this package, read and validated once a process."""
        return _built_in()

    def instance(self, cloud: str | None, instance_type: str) -> InstanceShape | PriceMissing:
        """What a node of that type is; ``cloud`` None: of the one cloud that has a type of that name."""
        key = instance_type.casefold()
        clouds = (cloud.casefold(),) if cloud else self._clouds_by_type.get(key, ())
        if len(clouds) > 1:
            message = f"{instance_type} is an instance type of {' and '.join(clouds)}: state the cloud"
            return PriceMissing(reason="UnknownCloud", message=message, nearest=clouds)
        found = self.instances.get((clouds[0], key)) if clouds else None
        return found if found is not None else self._unknown_instance(cloud, instance_type)

    def lookup(
        self,
        *,
        cloud: str | None,
        region: str | None,
        instance_type: str,
        capacity_type: str = "OnDemand",
        term: str | None = None,
        zone: str | None = None,
    ) -> Price | PriceMissing:
        """The price of a node-hour, or why the book does not say.

        ``capacity_type`` as of a pool (OnDemand, Spot, Reserved, Owned); ``term`` OnDemand, Spot, OneYear or
        ThreeYears, absent: Spot for spot capacity, else OnDemand. A price of the zone wins over one of its region.
        """
        if capacity_type == "Owned" and term is None:
            return PriceMissing(reason="NoListPrice", message="owned nodes have no list price: state usdPerNodeHour")
        named = term or ("Spot" if capacity_type == "Spot" else "OnDemand")
        if named not in TERMS:
            message = f"a price has no term {named}; it is one of {', '.join(TERMS)}"
            return PriceMissing(reason="NoCommitmentPrice", message=message, nearest=tuple(TERMS))
        market, commitment = TERMS[named]
        key = instance_type.casefold()
        clouds = (cloud.casefold(),) if cloud else self._clouds_by_type.get(key, ())
        if len(clouds) != 1:
            unknown = self.instance(cloud, instance_type)
            return unknown if isinstance(unknown, PriceMissing) else self._unknown_instance(cloud, instance_type)
        for place in (zone.casefold(), None) if zone else (None,):
            found = self.prices.get(PriceKey(clouds[0], (region or "").casefold(), place, key, market, commitment))
            if found is not None:
                return found
        return self._why_not(clouds[0], region, instance_type, market, commitment)

    def rows(self) -> Iterator[tuple[PriceKey, Price]]:
        """All prices, sorted by what they are of."""
        return iter(sorted(self.prices.items(), key=lambda item: tuple(str(part) for part in _parts(item[0]))))

    def merged(self, user_document: Mapping[str, Any], file: str = "price document") -> "PriceBook":
        """With a user's document on top: its rows replace those of the same key.

        Raises :class:`DocumentError`, naming ``file``, row and field of everything wrong.
        """
        known_keys_only(user_document, ("sources", "instances", "prices"), file)
        sources = read_sources(user_document, file)
        shapes = _read_rows(InstanceShape, user_document, "instances", file)
        rows = _read_rows(PriceRow, user_document, "prices", file)
        return PriceBook(
            prices={**self.prices} | _priced(rows, sources, file),
            instances={**self.instances} | {_instance_key(shape): shape for shape in shapes},
        )

    @cached_property
    def _clouds_by_type(self) -> Mapping[str, tuple[str, ...]]:
        """The clouds that have an instance type of that name, sorted; nearly always one."""
        clouds: dict[str, set[str]] = {}
        for cloud, instance_type in [*self.instances, *((key.cloud, key.instance_type) for key in self.prices)]:
            clouds.setdefault(instance_type, set()).add(cloud)
        return {instance_type: tuple(sorted(found)) for instance_type, found in clouds.items()}

    def _unknown_instance(self, cloud: str | None, instance_type: str) -> PriceMissing:
        clouds = sorted({one for one, _ in self.instances} | {key.cloud for key in self.prices})
        if cloud is not None and cloud.casefold() not in clouds:
            message = f"the price book has no cloud {cloud}; it has {', '.join(clouds)}"
            return PriceMissing(reason="UnknownCloud", message=message, nearest=tuple(clouds))
        known = {
            key: shape.instance_type
            for (one, key), shape in sorted(self.instances.items())
            if cloud is None or one == cloud.casefold()
        }
        near = tuple(known[key] for key in nearest(instance_type.casefold(), tuple(known), most=3))
        hint = f"; nearest: {', '.join(near)}" if near else ""
        message = f"the price book has no instance type {instance_type}{f' of {cloud}' if cloud else ''}{hint}"
        return PriceMissing(reason="UnknownInstanceType", message=message, nearest=near)

    def _why_not(self, cloud: str, region: str | None, instance_type: str, market: Market, term: Term) -> PriceMissing:
        """There is a cloud, but no price: the type is unknown, not priced in the region, or not in this market."""
        of_type = [key for key in self.prices if key.cloud == cloud and key.instance_type == instance_type.casefold()]
        if not of_type:
            return self._unknown_instance(cloud, instance_type)
        in_region = [key for key in of_type if key.region == (region or "").casefold()]
        if not in_region:
            regions = tuple(sorted({key.region for key in of_type}))
            place = f"in {region}" if region else "without a region"
            message = f"the price book has no price of {instance_type} {place}; it has {', '.join(regions)}"
            return PriceMissing(reason="NotSoldInRegion", message=message, nearest=regions)
        offered = tuple(sorted({"Spot" if key.capacity_type == "Spot" else key.term for key in in_region}))
        wanted = "Spot" if market == "Spot" else term
        message = f"the price book has no {wanted} price of {instance_type} in {region}; it has {', '.join(offered)}"
        return PriceMissing(
            reason="NoSpotPrice" if market == "Spot" else "NoCommitmentPrice", message=message, nearest=offered
        )


def _parts(key: PriceKey) -> tuple[str | None, ...]:
    return key.cloud, key.region, key.zone or "", key.instance_type, key.capacity_type, key.term


def _instance_key(shape: InstanceShape) -> tuple[str, str]:
    return shape.cloud.casefold(), shape.instance_type.casefold()


def _read_rows(model: type[RowType], document: Mapping[str, Any], name: str, file: str) -> list[RowType]:
    """A list of rows; every wrong field of every row is a flaw under ``name[index].field``."""
    stated = document.get(name)
    if stated is None:
        return []
    if not isinstance(stated, list):
        raise DocumentError([Flaw(file, name, "must be a list of rows")])
    rows: list[RowType] = []
    flaws: list[Flaw] = []
    for index, row in enumerate(stated):
        try:
            rows.append(validate(model, row, file, f"{name}[{index}]"))
        except DocumentError as error:
            flaws.extend(error.flaws)
    if flaws:
        raise DocumentError(flaws)
    return rows


def _priced(rows: Iterable[PriceRow], sources: Mapping[str, Source], file: str) -> dict[PriceKey, Price]:
    """Rows by what they are of. A row without ``source`` has the only one of its document."""
    only = next(iter(sources)) if len(sources) == 1 else None
    prices: dict[PriceKey, Price] = {}
    flaws = []
    for index, row in enumerate(rows):
        key = PriceKey.of(row)
        name = row.source or only
        source = sources.get(name) if name else None
        if source is None:
            known = ", ".join(sorted(sources)) or "none"
            flaws.append(Flaw(file, f"prices[{index}].source", f"must name one of `sources` (there: {known})"))
        elif key in prices:
            flaws.append(Flaw(file, f"prices[{index}]", "repeats the cloud, region, type and term of an earlier row"))
        else:
            prices[key] = Price(usd_per_node_hour=row.usd_per_hour, source=source.title, date=row.date or source.date)
    if flaws:
        raise DocumentError(flaws)
    return prices


@cache
def _built_in() -> PriceBook:
    shapes = [
        {name: cell for name, cell in row.items() if name != "memory_gib"}
        | {"memory_bytes": int(row["memory_gib"]) * 2**30}
        for row in _table("instances.csv")
    ]
    document = parse_yaml(read_built_in("price_sources.yaml"), "price_sources.yaml")
    return PriceBook({}, {}).merged(
        {"sources": document["sources"], "instances": shapes, "prices": list(_table("prices.csv"))}, "prices.csv"
    )


def _table(file: str) -> Iterator[dict[str, str]]:
    """The rows of a data file; lines that start with # are comments."""
    lines = (line for line in read_built_in(file).splitlines() if not line.startswith("#"))
    yield from csv.DictReader(lines)
