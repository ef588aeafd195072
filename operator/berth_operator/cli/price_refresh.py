"""``berth prices refresh``: a public source becomes a price document, checked like any other, with what changed."""

import csv
import io
import json
import urllib.request
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from berth_cost.document import DocumentError
from berth_cost.prices.book import PriceBook
from berth_cost.prices.offers import LeftOut
from berth_cost.prices.rows import CSV_COLUMNS, GIB
from berth_operator.catalogues import Catalogues, read_document
from berth_operator.cli.outcome import InputError
from berth_operator.cli.output import progress
from berth_operator.cli.price_records import Refreshed
from berth_operator.price_sources import SOURCES, Fetch, Fetched, PriceSource, SourceUnavailable
from berth_operator.price_sources.source import document_of

TIMEOUT_SECONDS = 60
AGENT = "berthmaster (price refresh)"


def source_named(name: str) -> PriceSource:
    if name not in SOURCES:
        raise InputError(f"--source: {name} is none of {', '.join(SOURCES)}")
    return SOURCES[name]


def https_get(url: str) -> bytes:
    """The content of an https URL. Raises :class:`SourceUnavailable`."""
    if not url.startswith("https://"):
        raise SourceUnavailable(f"{url} is not https")
    request = urllib.request.Request(url.replace(" ", "%20"), headers={"User-Agent": AGENT})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310
            content: bytes = answer.read()
    except OSError as error:
        raise SourceUnavailable(f"{url} cannot be read: {error}") from error
    return content


def refresh(source: PriceSource, file: Path, catalogues: Catalogues, day: date, get: Fetch = https_get) -> Refreshed:
    """Write what ``source`` has to ``file``, and say what of it differs from the book with the file as it was.

    Raises :class:`InputError` where the source cannot be read or gives nothing: the file then stays as it was.
    """
    before = _with_old(file, catalogues).prices
    try:
        with progress(f"reading {source.name}"):
            fetched = source.fetch(get, catalogues.prices, catalogues.gpus)
    except SourceUnavailable as error:
        raise InputError(f"--source {source.name}: {error}") from error
    if not fetched.rows:
        raise InputError(f"--source {source.name}: it has no price of a known GPU; {file} stays as it was")
    document = document_of(fetched, day)
    try:
        after = catalogues.prices.merged(document, str(file))
    except DocumentError as error:
        raise InputError(
            f"--source {source.name}: what it says cannot be used:", *map(str, error.flaws[:10])
        ) from error
    _write(document, fetched, file, day)
    return _told(source.name, file, (before, after), fetched)


def _with_old(file: Path, catalogues: Catalogues) -> Catalogues:
    """With the file as it is now, where there is one that can be read."""
    if not file.exists():
        return catalogues
    try:
        document, _ = read_document(file)
        return catalogues.merged(prices={str(file): document})
    except (DocumentError, OSError) as error:
        raise InputError(f"--to {file} is there and is no price document: {error}") from error


def _told(name: str, file: Path, books: tuple[PriceBook, PriceBook], fetched: Fetched) -> Refreshed:
    """``books`` before and after."""
    before, after = books
    stated = {key for key, origin in after.origins.items() if origin.file == str(file)}
    known = {key for key in stated if key in before.prices}
    changed = {key for key in known if before.prices[key].usd_per_node_hour != after.prices[key].usd_per_node_hour}
    flagged = sum(found.origin.file == str(file) for found in after.flagged.values())
    return Refreshed(
        source=name,
        file=str(file),
        rows=len(stated) + flagged,
        added=len(stated - known),
        changed=len(changed),
        unchanged=len(known - changed),
        flagged=flagged,
        skipped=tuple(LeftOut(reason=why, offers=fetched.skipped[why]) for why in sorted(fetched.skipped)),
    )


# --- files ---------------------------------------------------------------------------------------------------------


def _write(document: Mapping[str, Any], fetched: Fetched, file: Path, day: date) -> None:
    head = f"# {fetched.title}, fetched {day}. Written by `berth prices refresh`.\n"
    text = _as_csv(document) if file.suffix.lower() == ".csv" else _as_yaml(document)
    try:
        file.write_text(head + text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"--to {file}: cannot be written: {error.strerror}") from error


def _as_yaml(document: Mapping[str, Any]) -> str:
    """One row a line, so that a version control shows what changed."""
    (name, source), *_ = document["sources"].items()
    lines = ["sources:", f"  {name}: {json.dumps(source, ensure_ascii=False)}"]
    for section in ("instances", "prices"):
        if document.get(section):
            lines += [f"{section}:", *(f"  - {json.dumps(row, ensure_ascii=False)}" for row in document[section])]
    return "\n".join(lines) + "\n"


def _as_csv(document: Mapping[str, Any]) -> str:
    (source,) = document["sources"].values()
    shapes = {(shape["cloud"], shape["instanceType"]): shape for shape in document.get("instances", ())}
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=[*CSV_COLUMNS], lineterminator="\n", restval="")
    writer.writeheader()
    for row in document["prices"]:
        shape = shapes.get((row["cloud"], row["instanceType"]), {})
        cells = {
            "cloud": row["cloud"],
            "region": row["region"],
            "zone": row.get("zone", ""),
            "instance_type": row["instanceType"],
            "capacity_type": row.get("capacityType", "OnDemand"),
            "term": row.get("term", "OnDemand"),
            "usd_per_hour": row["usdPerHour"],
            "source": source["title"],
            "date": source["date"],
            "gpu": shape.get("gpu", ""),
            "gpu_count": shape.get("gpuCount", ""),
            "vcpus": shape.get("vcpus", ""),
            "memory_gib": shape["memoryBytes"] / GIB if "memoryBytes" in shape else "",
        }
        writer.writerow(cells)
    return out.getvalue()
