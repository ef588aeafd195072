"""Traces of spot capacity: how many nodes each zone had, tick by tick, read from run-length rows.

A trace file is CSV with the columns ``trace_id,tick_start,tick_end,nodes_available``. A row covers the ticks
[tick_start, tick_end); the rows of one trace_id cover every tick from the first to the last once, in any order. One
trace_id is one zone (or one pool of nodes in a zone); all zones of a file are replayed jointly, so all of them cover
the same ticks.
"""

import csv
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from berth_cost.document import DocumentError, Flaw

COLUMNS = ("trace_id", "tick_start", "tick_end", "nodes_available")
MOST_CELLS = 20_000_000
"""Ticks × zones that are held in memory at once: 45 days of 195 s in a thousand zones."""
MOST_NODES = 1_000_000
_NAME = re.compile(r"[A-Za-z0-9_.:/+-]{1,200}")
_WHOLE = re.compile(r"[0-9]{1,15}")
_ZONE = re.compile(r"(?<![a-z0-9])((?:[a-z]{2,}-)+?[a-z]+-?[0-9]+)-?([a-f])(?![a-z0-9])")
"""``us-east-1a``, ``us-gov-west-1b``, ``us-central1-a``: a region, then the letter of a zone."""
_MOST_FLAWS = 20


@dataclass(frozen=True, slots=True)
class SpotTrace:
    """``nodes``: how many nodes a request could get, shape (ticks, zones); zones sorted by name.

    ``regions`` holds the region of each zone as its name says it; a name that says none is a region by itself.
    """

    zones: tuple[str, ...]
    regions: tuple[str, ...]
    nodes: NDArray[np.int64]
    first_tick: int = 0

    @property
    def ticks(self) -> int:
        return int(self.nodes.shape[0])

    def window(self, start: int, stop: int) -> "SpotTrace":
        """The ticks [start, stop), counted from the first of this trace."""
        return SpotTrace(self.zones, self.regions, self.nodes[start:stop], self.first_tick + start)


@dataclass(frozen=True, slots=True)
class _Run:
    line: int
    start: int
    stop: int
    nodes: int


def region_of(zone: str) -> str:
    """The cloud region that the name of a zone or trace contains; the name itself where it contains none."""
    found = _ZONE.search(zone)
    # `avail-1-node-aws-us-east-1a` also reads as a region of many words: the last three are the region.
    return "-".join(found[1].split("-")[-3:]) if found else zone


def read_spot_trace(text: str, file: str, select: str = "*") -> SpotTrace:
    """The trace of a CSV text; ``select`` is a pattern (``avail-1-node-*``) of the trace_ids to take.

    Raises :class:`DocumentError` that names every wrong line, up to twenty.
    """
    runs = _read_runs(text, file)
    chosen = {name: rows for name, rows in sorted(runs.items()) if fnmatchcase(name, select)}
    if not chosen:
        known = ", ".join(sorted(runs)[:3])
        raise DocumentError([Flaw(file, "", f"has no trace_id like {select!r}; it has {known} …")])
    _covered_once(chosen, file)
    start, stop = _common_ticks(chosen, file)
    if (stop - start) * len(chosen) > MOST_CELLS:
        message = f"{stop - start} ticks × {len(chosen)} traces are more than {MOST_CELLS:,}: cut it into several files"
        raise DocumentError([Flaw(file, "", message)])
    nodes = np.empty((stop - start, len(chosen)), dtype=np.int64)
    for column, rows in enumerate(chosen.values()):
        for run in rows:
            nodes[run.start - start : run.stop - start, column] = run.nodes
    return SpotTrace(tuple(chosen), tuple(region_of(name) for name in chosen), nodes, start)


def write_spot_trace(trace: SpotTrace) -> str:
    """The CSV text of a trace: what :func:`read_spot_trace` reads back."""
    lines = [",".join(COLUMNS)]
    for column, zone in enumerate(trace.zones):
        nodes = trace.nodes[:, column]
        edges = [0, *(np.flatnonzero(np.diff(nodes)) + 1).tolist(), trace.ticks]
        lines.extend(
            f"{zone},{trace.first_tick + start},{trace.first_tick + stop},{nodes[start]}"
            for start, stop in pairwise(edges)
        )
    return "\n".join(lines) + "\n"


def _read_runs(text: str, file: str) -> dict[str, list[_Run]]:
    reader = csv.reader(io.StringIO(text.removeprefix("\ufeff")))
    runs: dict[str, list[_Run]] = {}
    flaws: list[Flaw] = []
    try:
        header = tuple(cell.strip() for cell in next(reader, []))
        if header != COLUMNS:
            message = f"must be the header {','.join(COLUMNS)}, not {','.join(header)[:80] or 'empty'}"
            raise DocumentError([Flaw(file, "line 1", message)])
        for row in reader:
            if not row:
                continue
            try:
                run = _run(row, reader.line_num)
            except ValueError as error:
                flaws.append(Flaw(file, f"line {reader.line_num}", str(error)))
                if len(flaws) >= _MOST_FLAWS:
                    break
                continue
            runs.setdefault(row[0].strip(), []).append(run)
    except csv.Error as error:
        flaws.append(Flaw(file, f"line {reader.line_num}", f"is not CSV: {error}"))
    if flaws:
        raise DocumentError(flaws)
    if not runs:
        raise DocumentError([Flaw(file, "", "has no rows: a trace needs at least one")])
    return runs


def _run(row: Sequence[str], line: int) -> _Run:
    if len(row) != len(COLUMNS):
        raise ValueError(f"has {len(row)} cells where {len(COLUMNS)} are due: {','.join(COLUMNS)}")
    if not _NAME.fullmatch(row[0].strip()):
        raise ValueError(f"trace_id must be a name of up to 200 letters, digits and -_.:/+, not {row[0][:40]!r}")
    start, stop, nodes = (_whole(cell, name) for cell, name in zip(row[1:], COLUMNS[1:], strict=True))
    if stop <= start:
        raise ValueError(f"tick_end {stop} must be above tick_start {start}: a row covers [tick_start, tick_end)")
    if nodes > MOST_NODES:
        raise ValueError(f"nodes_available {nodes} is above {MOST_NODES:,}: state what a request could get")
    return _Run(line, start, stop, nodes)


def _whole(cell: str, name: str) -> int:
    if not _WHOLE.fullmatch(cell.strip()):
        raise ValueError(f"{name} must be a whole number of at least 0 without separators, not {cell[:40]!r}")
    return int(cell)


def _covered_once(runs: dict[str, list[_Run]], file: str) -> None:
    flaws = []
    for name, rows in runs.items():
        rows.sort(key=lambda run: (run.start, run.line))
        for before, after in pairwise(rows):
            if after.start < before.stop:
                overlap = f"of {name} repeats ticks of line {before.line} (from {after.start})"
                flaws.append(Flaw(file, f"line {after.line}", overlap))
            elif after.start > before.stop:
                gap = f"of {name} starts at tick {after.start}: ticks {before.stop} to {after.start - 1} are missing"
                flaws.append(Flaw(file, f"line {after.line}", gap))
    if flaws:
        raise DocumentError(flaws[:_MOST_FLAWS])


def _common_ticks(runs: dict[str, list[_Run]], file: str) -> tuple[int, int]:
    spans = {name: (rows[0].start, rows[-1].stop) for name, rows in runs.items()}
    first_name, expected = next(iter(spans.items()))
    flaws = [
        Flaw(file, f"line {runs[name][0].line}", f"{name} covers ticks {_span(span)}, {first_name} {_span(expected)}")
        for name, span in spans.items()
        if span != expected
    ]
    if flaws:
        flaws.append(Flaw(file, "", "traces are replayed jointly: select those of one length and clock (--select)"))
        raise DocumentError([*flaws[: _MOST_FLAWS - 1], flaws[-1]])
    return expected


def _span(span: Iterable[int]) -> str:
    start, stop = span
    return f"{start} to {stop - 1}"
