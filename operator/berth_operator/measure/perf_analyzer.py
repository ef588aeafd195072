"""What perf_analyzer (``-f FILE``) and Model Analyzer (``metrics-model-inference.csv``) export, as loads with what was
observed. Pure: text in, records out.

perf_analyzer counts inferences (requests × batch) and writes latencies in microseconds; without the column of the
average a closed loop's mean follows from Little's law: concurrency over requests per second. Model Analyzer writes
milliseconds, and one table after the other; those that do not have a throughput are passed over. Formats as of
perf_analyzer 2.60 and Model Analyzer 1.50 (documentation read 2026-11).
"""

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from berth_cost.cases.case import Load, Metrics, Percentiles
from berth_cost.rounding import significant_number


class UnreadableExport(ValueError):
    """Raised for a file that is no export, or a row that makes no sense; the message names line and column."""


@dataclass(frozen=True, slots=True)
class ExportedRun:
    """One row. ``model`` and ``instances`` are None where the export does not say."""

    line: int
    model: str | None
    items_per_request: int
    instances: int | None
    maximum_batch_size: int | None
    load: Load
    observed: Metrics


PERCENTILES = ("p50", "p90", "p95", "p99")
Row = Mapping[str, str]


def exported_runs(text: str, items_per_request: int = 1) -> tuple[ExportedRun, ...]:
    """The runs in an export, in its order. ``items_per_request``: the batch (``-b``), which perf_analyzer leaves out.

    Raises :class:`UnreadableExport`.
    """
    found = [
        _model_analyzer(line, row) if "Throughput (infer/sec)" in row else _perf_analyzer(line, row, items_per_request)
        for line, row in _rows(text)
    ]
    if not found:
        raise UnreadableExport("has no table with Inferences/Second (perf_analyzer) or Throughput (Model Analyzer)")
    return tuple(found)


def _rows(text: str) -> Iterator[tuple[int, Row]]:
    """Rows of the tables that have a throughput; an empty line ends a table."""
    header: list[str] | None = None
    for line, cells in enumerate(csv.reader(io.StringIO(text)), 1):
        if not any(cell.strip() for cell in cells):
            header = None
        elif header is None:
            header = [cell.strip() for cell in cells]
        elif "Inferences/Second" in header or "Throughput (infer/sec)" in header:
            if len(cells) < len(header):
                raise UnreadableExport(f"line {line}: has {len(cells)} cells, and its table {len(header)} columns")
            yield line, dict(zip(header, (cell.strip() for cell in cells), strict=False))


def _perf_analyzer(line: int, row: Row, items: int) -> ExportedRun:
    requests = _number(line, row, "Inferences/Second") / items
    if row.get("Concurrency"):
        concurrency = _number(line, row, "Concurrency")
        load = Load(kind="closed", concurrency=concurrency)
        mean = concurrency / requests
    else:
        load = Load(kind="open", requests_per_second=_number(line, row, "Request Rate"), burstiness=0)
        mean = None
    averaged = _optional(line, row, "Avg latency")
    latency = {name: _optional(line, row, f"{name} latency") for name in PERCENTILES}
    seconds = {name: value * 1e-6 for name, value in latency.items() if value is not None}
    if averaged is not None:
        mean = averaged * 1e-6
    return ExportedRun(
        line=line,
        model=None,
        items_per_request=items,
        instances=None,
        maximum_batch_size=None,
        load=load,
        observed=_observed(seconds | ({"mean": mean} if mean else {}), requests, items),
    )


def _model_analyzer(line: int, row: Row) -> ExportedRun:
    items = int(_number(line, row, "Batch")) if row.get("Batch") else 1
    requests = _number(line, row, "Throughput (infer/sec)") / items
    latency = {name: _optional(line, row, f"{name} Latency (ms)") for name in PERCENTILES}
    seconds = {name: value * 1e-3 for name, value in latency.items() if value is not None}
    averaged = _optional(line, row, "Avg Latency (ms)")
    concurrency, rate = _optional(line, row, "Concurrency"), _optional(line, row, "Request Rate")
    if concurrency:
        load = Load(kind="closed", concurrency=concurrency)
        seconds["mean"] = concurrency / requests
    elif rate:
        load = Load(kind="open", requests_per_second=rate, burstiness=0)
    else:
        raise UnreadableExport(f"line {line}: states neither Concurrency nor Request Rate")
    if averaged is not None:
        seconds["mean"] = averaged * 1e-3
    largest = _optional(line, row, "Max Batch Size")
    return ExportedRun(
        line=line,
        model=row.get("Model") or None,
        items_per_request=items,
        instances=_instances(row.get("Instance Group", "")),
        maximum_batch_size=int(largest) if largest else None,
        load=load,
        observed=_observed(seconds, requests, items),
    )


def _instances(group: str) -> int | None:
    """2 of ``2/GPU`` and of ``2:GPU``."""
    count = group.replace(":", "/").partition("/")[0].strip()
    return int(count) if count.isdigit() and int(count) else None


def _observed(seconds: Mapping[str, float], requests: float, items: int) -> Metrics:
    rounded = {name: significant_number(value) for name, value in seconds.items() if value > 0}
    return Metrics(
        latency_seconds=Percentiles.model_validate(rounded) if rounded else None,
        requests_per_second=significant_number(requests),
        items_per_second=significant_number(requests * items),
    )


def _number(line: int, row: Row, column: str) -> float:
    found = _optional(line, row, column)
    if found is None or found <= 0:
        raise UnreadableExport(f"line {line}: {column} is {row.get(column, 'missing')!r}, not a number above 0")
    return found


def _optional(line: int, row: Row, column: str) -> float | None:
    text: Any = row.get(column)
    if not text:
        return None
    try:
        value = float(text)
    except ValueError as error:
        raise UnreadableExport(f"line {line}: {column} is {text!r}, not a number") from error
    if not 0 <= value < 1e15:
        raise UnreadableExport(f"line {line}: {column} is {text!r}, which makes no sense")
    return value
