"""Prices of GPU nodes, each with its source and date. Money is Decimal; a price not known is absent, never zero."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from fractions import Fraction
from functools import cache, cached_property
from typing import Annotated, Any, NamedTuple

from pydantic import Field

from berth_cost.document import (
    DocumentError,
    Flaw,
    Lines,
    Source,
    known_keys_only,
    parse_yaml,
    read_built_in,
    read_sources,
)
from berth_cost.prices.rows import (
    TERMS,
    InstanceShape,
    Market,
    PriceFlag,
    PriceKey,
    PriceMissing,
    PriceRow,
    Term,
    read_rows,
)
from berth_cost.prices.traps import KnownNames, Reference, shape_flaw, suspicion
from berth_cost.record import Record
from berth_cost.spelling import nearest

__all__ = [
    "TERMS",
    "FlaggedPrice",
    "InstanceShape",
    "Market",
    "Origin",
    "Price",
    "PriceBook",
    "PriceFlag",
    "PriceKey",
    "PriceMissing",
    "PriceRow",
    "Term",
]


class Price(Record):
    """Of one node for one hour."""

    usd_per_node_hour: Annotated[Decimal, Field(gt=0, allow_inf_nan=False)]
    source: str
    date: date
    stated: bool = False
    """By whoever owns the pool, for as long as the pool says so: it does not grow old."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a user's row stands, and what the book said before it."""

    file: str
    line: int | None
    replaces: Price | None


@dataclass(frozen=True, slots=True)
class FlaggedPrice:
    """A price that is listed and not used, and why."""

    price: Price
    flag: PriceFlag
    message: str
    origin: Origin


class CheapestNode(NamedTuple):
    """On demand, the cheapest node per GPU of one kind at one place; ``most_gpus`` in one node of any type there."""

    usd_per_gpu_hour: Fraction
    key: PriceKey
    price: Price
    gpus: int
    most_gpus: int


@dataclass(frozen=True)
class PriceBook:
    """Prices by key, and instance types by (cloud, type). Frozen: :meth:`merged` gives a new one."""

    prices: Mapping[PriceKey, Price]
    instances: Mapping[tuple[str, str], InstanceShape]
    flagged: Mapping[PriceKey, FlaggedPrice] = field(default_factory=dict)
    """Of users' documents. A flagged row hides the listed price of its key too: somebody meant to replace it."""
    origins: Mapping[PriceKey, Origin] = field(default_factory=dict)
    """Of the prices that users' documents brought."""

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
            of = PriceKey(clouds[0], (region or "").casefold(), place, key, market, commitment)
            if of in self.flagged:
                return _not_used(of, self.flagged[of])
            if of in self.prices:
                return self.prices[of]
        return self._why_not(clouds[0], region, instance_type, market, commitment)

    def rows(self) -> Iterator[tuple[PriceKey, Price]]:
        """All prices that are used, sorted by what they are of."""
        return iter(sorted(self.prices.items(), key=lambda item: item[0].order))

    def merged(
        self, user_document: Mapping[str, Any], file: str = "price document", lines: Lines | None = None
    ) -> "PriceBook":
        """With a user's document on top: its rows replace those of the same key.

        Rows that only look wrong are in ``flagged`` and not used. Raises :class:`DocumentError`, naming ``file``, row
        and field of everything that cannot be read; ``lines`` adds the lines of the file.
        """
        known_keys_only(user_document, ("sources", "instances", "prices"), file)
        sources = read_sources(user_document, file)
        shapes = read_rows(InstanceShape, user_document, "instances", file)
        flaws = [
            Flaw(file, f"instances[{index}].{flaw[0]}", flaw[1])
            for index, shape in enumerate(shapes)
            if (flaw := shape_flaw(shape, self.instances.get(_instance_key(shape)))) is not None
        ]
        if flaws:
            raise DocumentError(flaws)
        rows = read_rows(PriceRow, user_document, "prices", file)
        book = replace(self, instances={**self.instances} | {_instance_key(shape): shape for shape in shapes})
        stated = _priced(rows, sources, book.instances, file)
        return book._with_rows(stated, rows, file, lines or Lines({}))

    def _with_rows(
        self, stated: Mapping[PriceKey, Price], rows: Sequence[PriceRow], file: str, lines: Lines
    ) -> "PriceBook":
        """On demand first: it is what spot and commitments are judged by."""
        prices, flagged, origins = {**self.prices}, {**self.flagged}, {**self.origins}
        accepted = {PriceKey.of(row): row.accept for row in rows}
        names = KnownNames.of(self.prices)
        origin = {
            key: Origin(file, lines.line_of(f"prices[{index}]"), self.prices.get(key))
            for index, key in enumerate(stated)
        }
        for key in sorted(stated, key=lambda one: one.bought != "OnDemand"):
            price, shape = stated[key], self.instances.get((key.cloud, key.instance_type))
            on_demand = _on_demand(key, prices)
            found = names.misspelt(key) or suspicion(key, price.usd_per_node_hour, shape, on_demand, self.reference)
            prices.pop(key, None)
            flagged.pop(key, None)
            if found is not None and found.flag not in accepted[key]:
                flagged[key] = FlaggedPrice(price, found.flag, found.message, origin[key])
            else:
                prices[key], origins[key] = price, origin[key]
        return replace(self, prices=prices, flagged=flagged, origins=origins)

    @cached_property
    def reference(self) -> Reference:
        """What prices on demand are in this book."""
        return Reference.of({key: price.usd_per_node_hour for key, price in self.prices.items()}, self.instances)

    @cached_property
    def cheapest(self) -> Mapping[str, tuple[CheapestNode, ...]]:
        """By GPU, the cheapest node of each cloud and region that has whole ones on demand, by place."""
        nodes: dict[str, dict[tuple[str, str], list[CheapestNode]]] = {}
        for key, price in self.rows():
            shape = self.instances.get((key.cloud, key.instance_type))
            if shape is not None and key.bought == "OnDemand" and shape.gpu_count.denominator == 1:
                count = shape.gpu_count.numerator
                usd = Fraction(price.usd_per_node_hour) / count
                at = nodes.setdefault(shape.gpu, {}).setdefault((key.cloud, key.region), [])
                at.append(CheapestNode(usd, key, price, count, count))
        return {
            gpu: tuple(
                min(found, key=lambda one: (one.usd_per_gpu_hour, one.key.order))._replace(
                    most_gpus=max(one.gpus for one in found)
                )
                for _, found in sorted(places.items())
            )
            for gpu, places in sorted(nodes.items())
        }

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
            near = _nearest_first((region or "").casefold(), regions)[:MOST_REGIONS]
            more = f" and {len(regions) - len(near)} more" if len(regions) > len(near) else ""
            place = f"in {region}" if region else "without a region"
            message = f"the price book has no price of {instance_type} {place}; it has {', '.join(near)}{more}"
            return PriceMissing(reason="NotSoldInRegion", message=message, nearest=near)
        offered = tuple(sorted({"Spot" if key.capacity_type == "Spot" else key.term for key in in_region}))
        wanted = "Spot" if market == "Spot" else term
        message = f"the price book has no {wanted} price of {instance_type} in {region}; it has {', '.join(offered)}"
        return PriceMissing(
            reason="NoSpotPrice" if market == "Spot" else "NoCommitmentPrice", message=message, nearest=offered
        )


SHARE_PLACES = Decimal("0.0000000001")
"""To which a price of a share of a GPU is exact: a sixth of a dollar has no end."""
MOST_REGIONS = 6
"""Named where there is no price: a message is read in a table."""


def _nearest_first(name: str, known: tuple[str, ...]) -> tuple[str, ...]:
    near = nearest(name, known, most=MOST_REGIONS)
    return (*near, *(one for one in known if one not in near))


def _not_used(key: PriceKey, found: FlaggedPrice) -> PriceMissing:
    place = found.origin.file if found.origin.line is None else f"{found.origin.file}:{found.origin.line}"
    usd = found.price.usd_per_node_hour
    message = f"the price of {key}, ${usd} ({place}), is flagged {found.flag} and not used: {found.message}"
    return PriceMissing(reason="FlaggedPrice", message=message)


def _on_demand(key: PriceKey, prices: Mapping[PriceKey, Price]) -> Decimal | None:
    """The price on demand of the same node at the same place: of its zone, else of its region."""
    for zone in (key.zone, None):
        found = prices.get(replace(key, zone=zone, capacity_type="OnDemand", term="OnDemand"))
        if found is not None:
            return found.usd_per_node_hour
    return None


def _instance_key(shape: InstanceShape) -> tuple[str, str]:
    return shape.cloud.casefold(), shape.instance_type.casefold()


def _priced(
    rows: Sequence[PriceRow],
    sources: Mapping[str, Source],
    shapes: Mapping[tuple[str, str], InstanceShape],
    file: str,
) -> dict[PriceKey, Price]:
    """Rows by what they are of, per node. A row without ``source`` has the only one of its document."""
    only = next(iter(sources)) if len(sources) == 1 else None
    prices: dict[PriceKey, Price] = {}
    flaws = []
    for index, row in enumerate(rows):
        key = PriceKey.of(row)
        name = row.source or only
        source = sources.get(name) if name else None
        usd = _usd_per_node_hour(row, shapes.get((key.cloud, key.instance_type)))
        if source is None:
            known = ", ".join(sorted(sources)) or "none"
            flaws.append(Flaw(file, f"prices[{index}].source", f"must name one of `sources` (there: {known})"))
        elif usd is None:
            message = f"how many GPUs has {row.instance_type}? Describe it under `instances`, or state usdPerHour"
            flaws.append(Flaw(file, f"prices[{index}].usdPerGPUHour", message))
        elif key in prices:
            flaws.append(Flaw(file, f"prices[{index}]", "repeats the cloud, region, type and term of an earlier row"))
        else:
            prices[key] = Price(usd_per_node_hour=usd, source=source.title, date=row.date or source.date)
    if flaws:
        raise DocumentError(flaws)
    return prices


def _usd_per_node_hour(row: PriceRow, shape: InstanceShape | None) -> Decimal | None:
    """Of the node; None where only a price per GPU is stated and nobody knows how many there are."""
    if row.usd_per_gpu_hour is None:
        return row.usd_per_hour
    if shape is None:
        return None
    count = shape.gpu_count
    usd = row.usd_per_gpu_hour * count.numerator
    return usd if count.denominator == 1 else (usd / count.denominator).quantize(SHARE_PLACES)


@cache
def _built_in() -> PriceBook:
    """The package's own tables: :class:`PriceRow` is asked in tests, not again in every process."""
    shapes = [_built_in_shape(row) for row in _table("instances.csv")]
    document = parse_yaml(read_built_in("price_sources.yaml"), "price_sources.yaml")
    sources = read_sources(document, "price_sources.yaml")
    prices: dict[PriceKey, Price] = {}
    for row in _table("prices.csv"):
        source = sources[row["source"]]
        names = (row["cloud"], row["region"], None, row["instance_type"].casefold())
        key = PriceKey(*names, row["capacity_type"], row["term"])  # type: ignore[arg-type]
        prices[key] = Price.model_construct(
            usd_per_node_hour=Decimal(row["usd_per_hour"]), source=source.title, date=source.date, stated=False
        )
    return PriceBook(prices, {_instance_key(shape): shape for shape in shapes})


def _built_in_shape(row: Mapping[str, str]) -> InstanceShape:
    stated = {name: cell for name, cell in row.items() if name != "memory_gib" and cell}
    memory = {"memory_bytes": int(row["memory_gib"]) * 2**30} if row["memory_gib"] else {}
    return InstanceShape.model_validate(stated | memory)


def _table(file: str) -> Iterator[dict[str, str]]:
    """The rows of a data file; lines that start with # are comments."""
    lines = (line for line in read_built_in(file).splitlines() if not line.startswith("#"))
    yield from csv.DictReader(lines)
