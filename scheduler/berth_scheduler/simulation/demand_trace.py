"""A trace of demand: ``t_s,requests_per_min[,mean_prompt_tokens,mean_output_tokens]``, linear between rows."""

import csv
import io
import math
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

TIME, RATE, PROMPT, OUTPUT = "t_s", "requests_per_min", "mean_prompt_tokens", "mean_output_tokens"
MOST_ROWS = 2_000_000
MOST_SECONDS = 400 * 86_400.0
MOST_REQUESTS_PER_MINUTE = 1e9
MOST_TOKENS = 1e8
LONGEST_LINE = 10_000


class TraceError(ValueError):
    """A trace cannot be used; the message names the line and what to do."""


@dataclass(frozen=True, slots=True)
class DemandTrace:
    """Arrays over rows. Token columns are None where the trace has none. ``ignored``: columns that nothing reads."""

    seconds: Floats
    requests_per_second: Floats
    prompt_tokens: Floats | None = None
    output_tokens: Floats | None = None
    lines: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    ignored: tuple[str, ...] = ()

    def without_tokens(self) -> "DemandTrace":
        return replace(self, prompt_tokens=None, output_tokens=None)


def read_trace(text: str) -> DemandTrace:
    """A trace from CSV. Raises :class:`TraceError` that names the first line that cannot be used."""
    columns, rows, lines, ignored = read_columns(text, (TIME, RATE), (PROMPT, OUTPUT))
    seconds, rates = columns[TIME], columns[RATE]
    if rows < 2:
        raise TraceError(f"line {lines[0] if rows else 1}: a trace needs at least two rows of {TIME},{RATE}")
    _check_limits(columns, lines)
    prompt, output = columns.get(PROMPT), columns.get(OUTPUT)
    if (prompt is None) != (output is None):
        missing = PROMPT if prompt is None else OUTPUT
        raise TraceError(f"line 1: {PROMPT} and {OUTPUT} come together: add {missing}, or leave the other out")
    return DemandTrace(
        seconds=seconds,
        requests_per_second=rates / 60,
        prompt_tokens=None if prompt is None else _filled(prompt),
        output_tokens=None if output is None else _filled(output),
        lines=lines,
        ignored=ignored,
    )


def _check_limits(columns: dict[str, Floats], lines: NDArray[np.int64]) -> None:
    seconds = columns[TIME]
    if seconds[-1] - seconds[0] < 120:
        raise TraceError(f"line {lines[-1]}: the trace spans {seconds[-1] - seconds[0]:g} s: two minutes are the least")
    if seconds[-1] - seconds[0] > MOST_SECONDS:
        raise TraceError(
            f"line {lines[-1]}: the trace spans more than {MOST_SECONDS / 86_400:g} days: cut it, or write {TIME} in "
            "seconds"
        )
    for name, least, most in (
        (RATE, 0.0, MOST_REQUESTS_PER_MINUTE),
        (PROMPT, 0.0, MOST_TOKENS),
        (OUTPUT, 0.0, MOST_TOKENS),
    ):
        if name in columns:
            bad = np.flatnonzero((columns[name] < least) | (columns[name] > most))
            if len(bad):
                value = columns[name][bad[0]]
                raise TraceError(
                    f"line {lines[bad[0]]}: {name} is {value:g}: it must be between {least:g} and {most:g}"
                )
    if not np.any(columns[RATE] > 0):
        raise TraceError(f"line {lines[0]}: {RATE} is 0 in every row: there is no demand to simulate")


def read_columns(
    text: str, needed: tuple[str, ...], optional: tuple[str, ...]
) -> tuple[dict[str, Floats], int, NDArray[np.int64], tuple[str, ...]]:
    """(column by name, rows, line of each row, ignored columns) of a CSV whose first needed column is a growing time.

    An empty cell of an optional column is nan. Raises :class:`TraceError`.
    """
    # Lines are split by newlines alone: a quote must not swallow the rest of the file.
    given = text.removeprefix("\ufeff").split("\n")
    header = _cells(given[0], 1)
    names = [name.strip() for name in header]
    for name in needed:
        if names.count(name) != 1:
            shown = ",".join(names)[:80]
            raise TraceError(f"line 1: the first line must name the column {name} once, {_instead(shown)}")
    for name in optional:
        if names.count(name) > 1:
            raise TraceError(f"line 1: the column {name} is named {names.count(name)} times")
    read = [name for name in (*needed, *optional) if name in names]
    places = [names.index(name) for name in read]
    values: list[list[float]] = []
    lines: list[int] = []
    before = -math.inf
    for number, line in enumerate(given[1:], start=2):
        if not line.strip():
            continue
        if len(values) >= MOST_ROWS:
            raise TraceError(f"line {number}: more than {MOST_ROWS:,} rows: thin the trace out")
        cells = _cells(line, number)
        if len(cells) != len(names):
            raise TraceError(f"line {number}: {len(cells)} cells, but the first line names {len(names)} columns")
        row = [_number(cells[place], name, number, name in optional) for name, place in zip(read, places, strict=True)]
        if row[0] <= before:
            raise TraceError(
                f"line {number}: {needed[0]} is {row[0]:.10g} after {before:.10g}: it must grow from row to row: sort "
                "the file, and keep one row of each time"
            )
        before = row[0]
        values.append(row)
        lines.append(number)
    table = np.array(values, dtype=np.float64).reshape(len(values), len(read))
    ignored = tuple(name for name in names if name not in read)
    return {name: table[:, place] for place, name in enumerate(read)}, len(values), np.array(lines, np.int64), ignored


def _instead(header: str) -> str:
    if not header:
        return "and it is empty"
    separated = next((name for name, mark in (("semicolons", ";"), ("tabs", "\t")) if mark in header), None)
    return f"it says {header!r}" + (f": separate columns by commas, not by {separated}" if separated else "")


def _cells(line: str, number: int) -> list[str]:
    if len(line) > LONGEST_LINE:
        raise TraceError(f"line {number}: longer than {LONGEST_LINE:,} characters: this is not a table of numbers")
    try:
        return next(csv.reader(io.StringIO(line.rstrip("\r")), strict=True), [])
    except csv.Error as error:
        raise TraceError(f"line {number}: is not CSV: {error}") from error


def _number(cell: str, name: str, number: int, may_be_empty: bool) -> float:
    text = cell.strip()
    if not text and may_be_empty:
        return math.nan
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or "_" in text:
        wanted = "a finite number of seconds" if name == TIME else "a finite number"
        raise TraceError(f"line {number}: {name} is {text[:40]!r}: write {wanted}, or leave the row out")
    return value


def _filled(tokens: Floats) -> Floats | None:
    """Empty cells take the value before them (the first ones the first there is); zeros count as empty.

    Minutes without a request have no mean length. None where no row has one.
    """
    known = np.isfinite(tokens) & (tokens > 0)
    if not known.any():
        return None
    place = np.maximum.accumulate(np.where(known, np.arange(len(tokens)), -1))
    return np.asarray(tokens[np.where(place < 0, np.argmax(known), place)], dtype=np.float64)


# --- spot --------------------------------------------------------------------------------------------------------

SPOT_NODES, SPOT_PRICE = "nodes_available", "usd_per_node_hour"


@dataclass(frozen=True, slots=True)
class SpotSupplyTrace:
    """Arrays over rows, each holding until the next. ``usd_per_node_hour`` nan: as the pool states."""

    seconds: Floats
    nodes: NDArray[np.int64]
    usd_per_node_hour: Floats


def read_spot_trace(text: str) -> SpotSupplyTrace:
    """``t_s,nodes_available[,usd_per_node_hour]``. Raises :class:`TraceError` that names the line."""
    columns, rows, lines, _ = read_columns(text, (TIME, SPOT_NODES), (SPOT_PRICE,))
    if not rows:
        raise TraceError(f"line 1: a trace of spot needs at least one row of {TIME},{SPOT_NODES}")
    nodes = columns[SPOT_NODES]
    price = columns.get(SPOT_PRICE, np.full(rows, np.nan))
    for name, bad, what in (
        (SPOT_NODES, (nodes < 0) | (nodes > 1e6) | (nodes != np.round(nodes)), "a whole number from 0 to 1,000,000"),
        (SPOT_PRICE, ~np.isnan(price) & ((price < 0) | (price > 1e6)), "a price from 0 to 1,000,000 USD"),
    ):
        first = np.flatnonzero(bad)
        if len(first):
            value = (nodes if name == SPOT_NODES else price)[first[0]]
            raise TraceError(f"line {lines[first[0]]}: {name} is {value:g}: it must be {what}")
    return SpotSupplyTrace(columns[TIME], nodes.astype(np.int64), price)
