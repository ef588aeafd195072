"""What a source of prices is, and what it gives: rows as somebody else states them, not yet believed.

A source translates, and leaves out what it cannot name, counted by reason. It does not judge: the rows become a price
document, and the price book's own checks refuse or flag what is wrong with them, whoever the source is.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any, Protocol

from berth_cost.hardware.gpu_catalogue import GPUCatalogue, GPUSpecification
from berth_cost.prices.book import PriceBook
from berth_cost.prices.rows import InstanceShape, PriceRow

Fetch = Callable[[str], bytes]
"""The content of a URL. Raises :class:`SourceUnavailable`."""


class SourceUnavailable(Exception):
    """A source cannot be read: no network, a library that is not installed, an answer of another shape."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """``rows`` name no source: all are of ``title``, as of the day they were fetched. ``skipped``: how many, by why."""

    title: str
    rows: tuple[PriceRow, ...]
    instances: tuple[InstanceShape, ...] = ()
    skipped: Counter[str] = field(default_factory=Counter)


class PriceSource(Protocol):
    """One public source. ``name`` is what ``--source`` says; ``about`` one line for people."""

    @property
    def name(self) -> str: ...

    @property
    def about(self) -> str: ...

    def fetch(self, get: Fetch, book: PriceBook, gpus: GPUCatalogue) -> Fetched:
        """All GPU prices of the source. Raises :class:`SourceUnavailable`.

        ``book`` says which instance types are known, and what on demand costs; ``gpus`` what GPUs are called.
        """
        ...


def exact(number: object) -> Decimal | None:
    """A JSON number as it was written, six decimals at most; None for what is no number."""
    if isinstance(number, bool) or not isinstance(number, int | float | Decimal):
        return None
    written = Decimal(str(number))
    return Decimal(f"{written.quantize(Decimal('0.000001')).normalize():f}") if written.is_finite() else None


def shape_of(cloud: str, instance_type: str, book: PriceBook) -> InstanceShape | None:
    return book.instances.get((cloud.casefold(), instance_type.casefold()))


def gpu_name(spelling: str, memory_gib: float | None, gpus: GPUCatalogue) -> str | None:
    """The catalogue's name, where spelling and memory tell it; None where they do not."""
    found = gpus.resolve(spelling, memory_mib=memory_gib * 1024 if memory_gib else None)
    return found.name if isinstance(found, GPUSpecification) else None


def document_of(fetched: Fetched, day: date) -> dict[str, Any]:
    """A price document of the rows, in the order of their keys, each instance type once."""
    dumped = [row.model_dump(mode="json", by_alias=True, exclude_defaults=True) for row in _sorted(fetched.rows)]
    shapes = [shape.model_dump(mode="json", by_alias=True, exclude_none=True) for shape in fetched.instances]
    for shape in shapes:
        shape.pop("accept", None)
        shape["gpuCount"] = str(shape["gpuCount"])
    document: dict[str, Any] = {"sources": {"refresh": {"title": fetched.title, "date": day.isoformat()}}}
    if shapes:
        document["instances"] = sorted(shapes, key=lambda shape: (shape["cloud"], shape["instanceType"]))
    return document | {"prices": dumped}


def _sorted(rows: Iterable[PriceRow]) -> list[PriceRow]:
    """By key; of two rows of one key the cheaper, as a buyer would take it."""
    best: dict[tuple[str, ...], PriceRow] = {}
    for row in rows:
        key = (row.cloud, row.region, row.zone or "", row.instance_type, row.capacity_type, row.term)
        if key not in best or (row.usd_per_hour or 0) < (best[key].usd_per_hour or 0):
            best[key] = row
    return [best[key] for key in sorted(best)]
