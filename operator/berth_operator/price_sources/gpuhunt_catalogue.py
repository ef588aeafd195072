"""The catalogue of gpuhunt: AWS, Azure, GCP and a dozen others, collected by dstack several times a day.

The library is an extra (``pip install 'berthmaster[prices]'``), because it brings ``requests`` and more along; why it
is not a dependency of everything is in docs/design. What it lists is normalised by us again: its GPU names become those
of the catalogue by name and memory, its zones become zones, its floats are rounded to six decimals.
"""

import importlib
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from berth_cost.hardware.gpu_catalogue import GPUCatalogue
from berth_cost.prices.book import PriceBook
from berth_cost.prices.rows import InstanceShape, PriceRow
from berth_operator.price_sources.source import Fetch, Fetched, SourceUnavailable, exact, gpu_name, shape_of

GIB, GB = 2**30, 10**9
CLOUDS = {"lambdalabs": "lambda", "vastai": "vast-ai", "datacrunch": "verda"}
"""Where the book calls a provider otherwise."""

Query = Callable[[], Iterable[Any]]


class GPUHuntCatalogue:
    """Prices of many providers, from gpuhunt's catalogue. ``query`` gives its items; tests bring their own."""

    name = "gpuhunt"
    about = "AWS, Azure, GCP and others, from the catalogue of the gpuhunt library (an extra)"

    def __init__(self, query: Query | None = None) -> None:
        self._query = query or _installed

    def fetch(self, get: Fetch, book: PriceBook, gpus: GPUCatalogue) -> Fetched:
        """The library does its own requests: ``get`` is not asked."""
        rows: list[PriceRow] = []
        shapes: dict[tuple[str, str], InstanceShape] = {}
        skipped = Counter[str]()
        for item in self._query():
            found = _read(item, book, gpus)
            if isinstance(found, str):
                skipped[found] += 1
                continue
            row, shape = found
            rows.append(row)
            if shape is not None:
                shapes.setdefault((row.cloud, row.instance_type), shape)
        return Fetched("gpuhunt catalogue", tuple(rows), tuple(shapes.values()), skipped)


def _installed() -> Iterable[Any]:
    try:
        library = importlib.import_module("gpuhunt")
    except ImportError as error:
        raise SourceUnavailable("the library gpuhunt is not installed: pip install 'berthmaster[prices]'") from error
    try:
        return list(library.query(min_gpu_count=1))
    except Exception as error:  # it raises whatever its own requests raise
        raise SourceUnavailable(f"gpuhunt cannot read its catalogue: {error}") from error


def _read(item: Any, book: PriceBook, gpus: GPUCatalogue) -> tuple[PriceRow, InstanceShape | None] | str:
    """A row, and what its node is where the book does not know that; or why not."""
    if not item.gpu_count or not item.gpu_name or not item.instance_name:
        return "no GPU, or no name"
    vendor = getattr(item, "gpu_vendor", None)
    if vendor is not None and str(getattr(vendor, "value", vendor)) != "nvidia":
        return "not an NVIDIA GPU"
    price = exact(item.price)
    if price is None or price <= 0:
        return "a price that is nothing"
    cloud: str = CLOUDS.get(str(item.provider), str(item.provider))
    region, zone = _place(cloud, item.location)
    shape = None
    if shape_of(cloud, item.instance_name, book) is None:
        gpu = gpu_name(item.gpu_name, item.gpu_memory, gpus)
        if gpu is None:
            return f"which GPU a {item.gpu_name} of {item.gpu_memory or 0:g} GB is, is not said"
        shape = InstanceShape(
            cloud=cloud,
            instance_type=item.instance_name,
            gpu=gpu,
            gpu_count=item.gpu_count,
            vcpus=float(item.cpu) or None,
            memory_bytes=int(item.memory * GB) or None,
        )
    row = PriceRow(
        cloud=cloud,
        region=region,
        zone=zone,
        instance_type=item.instance_name,
        capacity_type="Spot" if item.spot else "OnDemand",
        usd_per_hour=price,
    )
    return row, shape


def _place(cloud: str, location: str) -> tuple[str, str | None]:
    """Region and zone: AWS and GCP name zones after their region (``us-east-1a``, ``us-east4-c``)."""
    stem = location[:-1]
    if cloud == "gcp" and location[-2:-1] == "-" and location[-1:].isalpha():
        return location[:-2], location
    if cloud == "aws" and location[-1:].isalpha() and stem[-1:].isdigit():
        return stem, location
    return location or "global", None
