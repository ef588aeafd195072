"""Rows of a price document, as somebody states them: strict about every number, and about what a number is of.

A document is YAML with the sections ``sources``, ``instances`` and ``prices``, or a CSV table with one price a line.
What can only be a slip of the pen is refused here, by file, line and field: a thousands separator, a decimal comma, a
currency sign, NaN, a price of nothing, bytes that are MiB or GB, a tenth of a GPU that nobody sells. What is possible
but suspicious is flagged by :mod:`berth_cost.prices.traps`.
"""

import csv
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from berth_cost.document import DocumentError, Flaw, Lines, validate
from berth_cost.record import Record, json_name

Market = Literal["OnDemand", "Spot"]
Term = Literal["OnDemand", "OneYear", "ThreeYears"]
Bought = Literal["OnDemand", "Spot", "OneYear", "ThreeYears"]
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


class PriceFlag(StrEnum):
    """Why a price is listed and not used. Whoever knows better accepts it: ``accept: [FloorPrice]`` in its row."""

    SPOT_EQUALS_ON_DEMAND = "SpotEqualsOnDemand"
    """No discount is offered, which means that there is no capacity: 12 of 60 zones of the AWS p4 and p5 families."""
    SPOT_ABOVE_ON_DEMAND = "SpotAboveOnDemand"
    """A marketplace bid, or two prices that are not of the same thing."""
    FLOOR_PRICE = "FloorPrice"
    """A tenth of on demand: AWS lists it where nothing can be had."""
    COMMITMENT_ABOVE_ON_DEMAND = "CommitmentAboveOnDemand"
    SENTINEL = "Sentinel"
    """A number that stands for "not known": 700, 999, 9999; or more than any GPU costs."""
    NODE_PRICE_AS_GPU_PRICE = "NodePriceAsGPUPrice"
    """A multiple of what one such GPU costs elsewhere: $31.20 for one H100 of Crusoe is 8 × $3.90."""
    GPU_PRICE_AS_NODE_PRICE = "GPUPriceAsNodePrice"
    """A share of what such a node costs elsewhere."""
    PRICED_WITHOUT_GPU = "PricedWithoutGPU"
    """A calculator that lists the machine in a region without such GPUs prices its processors only."""
    FAR_FROM_OTHERS = "FarFromOthers"
    MISSPELT = "Misspelt"
    """Of a provider, region or type that nobody else names, and whose letters are nearly those of one that is known."""
    GPU_COUNT = "GPUCount"
    """Another number of GPUs than the built-in book knows, or one that nobody sells: ND96isr_H100_v5 with 12."""
    GPU_NAME = "GPU"
    """Another GPU than the built-in book knows."""


# --- numbers -----------------------------------------------------------------------------------------------------

_PLAIN = re.compile(r"-?[0-9]+(\.[0-9]+)?", re.ASCII)
_THOUSANDS = re.compile(r"[0-9]{1,3}([,.' \u00a0\u202f_][0-9]{3})+([.,][0-9]+)?")
_DECIMAL_COMMA = re.compile(r"[0-9]+,[0-9]+")
_SIGN = re.compile(r"^[^\d\s.,+-]|[^\d\s.,]$")


def exact_amount(stated: object) -> object:
    """``stated`` where it is written as a plain decimal number; ValueError that says what is wrong with it."""
    if isinstance(stated, float | bool):
        raise ValueError('must be an integer or a text such as "1.006": a float would round it')
    if isinstance(stated, int | Decimal):
        return stated
    if not isinstance(stated, str):
        raise ValueError('must be a decimal number such as "1.006"')
    text = stated.strip()
    if _PLAIN.fullmatch(text):
        return text
    raise ValueError(_what_is_wrong(text))


def _what_is_wrong(text: str) -> str:
    if text.lower().lstrip("+-") in ("nan", "inf", "infinity"):
        return f"must be a finite number, not {text}"
    if _THOUSANDS.fullmatch(text):
        return f"{text!r} has a thousands separator or a decimal comma: write a plain number such as 1204.5"
    if _DECIMAL_COMMA.fullmatch(text):
        return f"{text!r} has a decimal comma: write a point"
    if re.fullmatch(r"[.,][0-9]+", text):
        return f"{text!r} has no digit before the point: write 0{text.replace(',', '.')}, if that is what is meant"
    if _SIGN.search(text) and any(character.isdigit() for character in text):
        return f"{text!r} has more than a number in it: leave the sign and unit away, prices are US dollars an hour"
    return f"{text!r} is not a decimal number such as 1.006"


Amount = Annotated[Annotated[Decimal, Field(gt=0, allow_inf_nan=False)] | None, BeforeValidator(exact_amount)]
"""Of money: positive, finite, exactly as written; None only where it is not stated at all."""


def us_dollars(currency: str) -> str:
    """``currency`` where it is US dollars: nothing here knows an exchange rate."""
    if currency.strip().upper() != "USD":
        raise ValueError(f"is {currency}, and prices are in USD: convert it, and say in the source at which rate")
    return "USD"


SMALLEST_SHARE = 16
"""No vGPU profile of a rented node is less than a sixteenth of a GPU."""


def share_of_gpus(stated: object) -> object:
    """A count of GPUs; a share such as 0.1667 becomes the fraction that is meant, 1/6."""
    if isinstance(stated, bool) or not isinstance(stated, str | int | float | Fraction):
        raise ValueError('must be a number of GPUs, or a share of one such as "1/6"')
    try:
        count = Fraction(str(stated).strip() if isinstance(stated, float) else stated)
    except (ValueError, ZeroDivisionError) as error:
        raise ValueError('must be a number of GPUs, or a share of one such as "1/6"') from error
    if count.denominator == 1 or count <= 0:
        return count
    meant = count.limit_denominator(SMALLEST_SHARE)
    if count > 1 or meant == 0 or abs(count / meant - 1) > Fraction(1, 200):
        raise ValueError('is no share of a GPU that is sold: state it as a fraction, such as "1/6"')
    return meant


LEAST_MEMORY_BYTES, MOST_MEMORY_BYTES = 2**30, 2**47
"""Main memory of a node: 1 GiB to 128 TiB."""


def memory_in_bytes(stated: object) -> object:
    """``stated`` where it can be the main memory of a node in bytes."""
    if isinstance(stated, int) and not isinstance(stated, bool):
        if 0 < stated < LEAST_MEMORY_BYTES:
            raise ValueError(f"is {stated} bytes, less than 1 GiB: it seems to be in GB or MiB; state bytes")
        if stated > MOST_MEMORY_BYTES:
            raise ValueError(f"is {stated} bytes, more than 128 TiB: state bytes, not a smaller unit")
    return stated


# --- rows --------------------------------------------------------------------------------------------------------


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
        "FlaggedPrice",
    ]
    message: str
    nearest: tuple[str, ...] = ()


class InstanceShape(Record):
    """What a node of a type is. ``gpu`` is a name of the GPU catalogue; a ``gpu_count`` of 1/6 is a share of one.

    ``vcpus`` and ``memory_bytes`` are None where the provider sells GPUs with whatever goes with them.
    ``gpu_memory_bytes`` is a check: it is compared with what the catalogue knows of the GPU.
    """

    cloud: Annotated[str, Field(min_length=1)]
    instance_type: Annotated[str, Field(min_length=1)]
    gpu: Annotated[str, Field(min_length=1)]
    gpu_count: Annotated[Fraction, BeforeValidator(share_of_gpus), Field(gt=0)]
    vcpus: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    memory_bytes: Annotated[int, BeforeValidator(memory_in_bytes), Field(gt=0)] | None = None
    gpu_memory_bytes: Annotated[int, Field(gt=0)] | None = None
    accept: tuple[PriceFlag, ...] = ()

    def whole_gpus(self) -> int | PriceMissing:
        """How many GPUs it has; refused where it has a share of one, which no device plugin hands out whole."""
        if self.gpu_count.denominator == 1:
            return self.gpu_count.numerator
        message = f"{self.instance_type} has {self.gpu_count} of a {self.gpu}: only whole GPUs can be placed on"
        return PriceMissing(reason="FractionalGPU", message=message)


class PriceRow(Record):
    """One price as a document states it, of a node or of each of its GPUs. ``zone`` absent: of the whole region."""

    cloud: Annotated[str, Field(min_length=1)]
    region: Annotated[str, Field(min_length=1)]
    zone: str | None = None
    instance_type: Annotated[str, Field(min_length=1)]
    capacity_type: Market = "OnDemand"
    term: Term = "OnDemand"
    usd_per_hour: Amount = None
    usd_per_gpu_hour: Amount = None
    currency: Annotated[str, AfterValidator(us_dollars)] = "USD"
    source: str | None = None
    date: Day | None = None
    accept: tuple[PriceFlag, ...] = ()

    @model_validator(mode="after")
    def _one_price(self) -> Self:
        if (self.usd_per_hour is None) == (self.usd_per_gpu_hour is None):
            raise ValueError("state one price: usdPerHour of the node, or usdPerGPUHour of each of its GPUs")
        if self.capacity_type == "Spot" and self.term != "OnDemand":
            raise ValueError(f"term is {self.term}, but nobody commits to spot: leave the term away")
        return self


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

    @property
    def bought(self) -> Bought:
        """As a pool calls it: OnDemand, Spot, OneYear or ThreeYears."""
        return "Spot" if self.capacity_type == "Spot" else self.term

    @property
    def order(self) -> tuple[str, ...]:
        return self.cloud, self.region, self.zone or "", self.instance_type, self.capacity_type, self.term

    def __str__(self) -> str:
        place = f"{self.cloud} {self.region}{f'/{self.zone}' if self.zone else ''}"
        return f"{place} {self.instance_type} {self.bought}"


def read_rows(model: type[RowType], document: Mapping[str, Any], name: str, file: str) -> list[RowType]:
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


# --- tables ------------------------------------------------------------------------------------------------------

_SHAPE_COLUMNS = ("gpu", "gpu_count", "vcpus", "memory_gib", "gpu_memory_gib")
_PRICE_COLUMNS = (
    "cloud",
    "region",
    "zone",
    "instance_type",
    "capacity_type",
    "term",
    "usd_per_hour",
    "usd_per_gpu_hour",
    "currency",
    "source",
    "date",
    "accept",
)
CSV_COLUMNS = _PRICE_COLUMNS + _SHAPE_COLUMNS
_OF_SHAPES = (PriceFlag.GPU_COUNT, PriceFlag.GPU_NAME)
_REQUIRED = ("cloud", "region", "instance_type", "source", "date")
GIB = 2**30


def csv_document(text: str, file: str) -> tuple[dict[str, Any], Lines]:
    """A CSV table as a document: one price a line, each with its own ``source`` and ``date``; empty cells are absent.

    Columns that describe the node (``gpu``, ``gpu_count``, ``vcpus``, ``memory_gib``) make ``instances``. Lines that
    start with # are comments. Raises :class:`DocumentError` with the line of everything that is no row.
    """
    numbered = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    numbered = [(number, line) for number, line in numbered if not line.startswith("#")]
    cells = list(csv.reader(io.StringIO("\n".join(line for _, line in numbered)), strict=False))
    if not numbered or len(cells) != len(numbered):
        raise DocumentError([Flaw(file, "", "is not a table of one price a line, with a head")])
    head = [_column(name) for name in cells[0]]
    flaws = [
        Flaw(file, name, f"is not a known column; known: {', '.join(CSV_COLUMNS)}", numbered[0][0])
        for name in head
        if name not in CSV_COLUMNS
    ]
    flaws += [
        Flaw(file, name, "is stated twice", numbered[0][0]) for name in sorted({n for n in head if head.count(n) > 1})
    ]
    flaws += [
        Flaw(file, name, "is a column that must be there", numbered[0][0]) for name in _REQUIRED if name not in head
    ]
    if flaws:
        raise DocumentError(flaws)
    return _from_table(head, cells[1:], [number for number, _ in numbered[1:]], file)


def _column(name: str) -> str:
    """``usdPerHour`` and ``usd_per_hour`` are one."""
    stripped = name.strip().lstrip("\ufeff")
    return next((known for known in CSV_COLUMNS if stripped in (known, json_name(known))), stripped)


def _from_table(head: list[str], body: list[list[str]], numbers: list[int], file: str) -> tuple[dict[str, Any], Lines]:
    prices: list[dict[str, Any]] = []
    instances: dict[tuple[str, str], dict[str, Any]] = {}
    sources: dict[str, dict[str, Any]] = {}
    lines: dict[str, int] = {}
    flaws: list[Flaw] = []
    for number, cells in zip(numbers, body, strict=True):
        key = f"prices[{len(prices)}]"
        lines[key] = number
        if len(cells) != len(head):
            message = f"has {len(cells)} cells, the head has {len(head)}: is there a comma in a number?"
            flaws.append(Flaw(file, "", message, number))
            continue
        row: dict[str, str] = {name: cell.strip() for name, cell in zip(head, cells, strict=True) if cell.strip()}
        try:
            shape = _shape(row)
        except ValueError as error:
            flaws.append(Flaw(file, "", str(error), number))
            continue
        if shape is not None:
            of = (row.get("cloud", ""), row.get("instance_type", ""))
            known = instances.setdefault(of, shape)
            lines.setdefault(f"instances[{list(instances).index(of)}]", number)
            if known != shape:
                flaws.append(Flaw(file, "", f"describes {' '.join(of)} otherwise than an earlier line", number))
        missing = [name for name in ("source", "date") if name not in row]
        if "date" in row and not _is_day(row["date"]):
            flaws.append(Flaw(file, "date", f"is {row['date']!r}: state a day such as 2026-11-02", number))
            continue
        flaws += [Flaw(file, name, "is empty: every price has a source and a date", number) for name in missing]
        if not missing:
            sources.setdefault(row["source"], {"title": row["source"], "date": row["date"]})
        accepted = {"accept": row["accept"].split()} if "accept" in row else {}
        prices.append({name: cell for name, cell in row.items() if name in _PRICE_COLUMNS} | accepted)
    if not body:
        flaws.append(Flaw(file, "", "has a head and no price: remove the file, or add lines", 1))
    if flaws:
        raise DocumentError(flaws)
    return {"sources": sources, "instances": list(instances.values()), "prices": prices}, Lines(lines)


def _is_day(text: str) -> bool:
    try:
        return date.fromisoformat(text) is not None and len(text) == 10
    except ValueError:
        return False


def _shape(row: Mapping[str, str]) -> dict[str, Any] | None:
    """What the line says of its node; None where it says nothing."""
    if not any(name in row for name in _SHAPE_COLUMNS):
        return None
    shape: dict[str, Any] = {
        name: row[name] for name in ("cloud", "instance_type", "gpu", "gpu_count", "vcpus") if name in row
    }
    for column, field in (("memory_gib", "memory_bytes"), ("gpu_memory_gib", "gpu_memory_bytes")):
        if column in row:
            try:
                gib = Fraction(row[column])
            except (ValueError, ZeroDivisionError) as error:
                raise ValueError(f"{column} {row[column]!r} is not a number of GiB") from error
            shape[field] = int(gib * GIB)
            if column == "memory_gib" and gib > 2**17:
                raise ValueError(f"memory_gib is {row[column]}: it seems to be in MiB or bytes; state GiB")
    if "accept" in row:
        shape["accept"] = [flag for flag in row["accept"].split() if flag in _OF_SHAPES]
    return shape
