"""What was observed, as a file: CSV for people, JSON for programs; each line about one workload."""

import csv
import io
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from berth_operator.cli.outcome import InputError
from berth_scheduler.snapshot import Correction, Observed, TokenLengths

MOST_BYTES = 20 * 2**20
WORKLOAD, RATE = "workload", "requests_per_second"
COLUMNS = (
    WORKLOAD,
    RATE,
    "burstiness",
    "input_tokens_mean",
    "input_tokens_p95",
    "output_tokens_mean",
    "capacity_factor",
    "capacity_samples",
    "seconds_to_ready",
)
"""Of a CSV; all but the first two may be absent or empty."""
HOURS_OF_A_FILE = 24.0
"""Whoever writes a file says that it is what should be held."""
_MOST = {"burstiness": 1e3, "capacity_factor": 10.0, "capacity_samples": 1e9, "seconds_to_ready": 86_400.0}
_BEYOND = "beyond the last column"
_BY_KEY = TypeAdapter(dict[str, Observed])


def read_observed(file: Path, at: datetime) -> dict[str, Observed]:
    """By workload key. ``at`` dates what a CSV says. Raises :class:`InputError` with every flaw."""
    try:
        if file.stat().st_size > MOST_BYTES:
            raise InputError(f"{file}: larger than {MOST_BYTES // 2**20} MiB")
        text = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"{file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: is not text in UTF-8") from error
    return _json(file, text) if text.lstrip().startswith("{") else _csv(file, text, at)


def _json(file: Path, text: str) -> dict[str, Observed]:
    """``{"namespace/name": {…}}``, each as ``Workload.observed`` of a snapshot."""
    try:
        found = _BY_KEY.validate_json(text)
    except ValidationError as error:
        flaws = [
            f"{file}: {'.'.join(map(str, flaw['loc']))}: {flaw['msg']}" for flaw in error.errors(include_url=False)
        ]
        raise InputError(*flaws[:10]) from error
    wrong = [key for key, one in found.items() if not 0 <= one.requests_per_second < float("inf")]
    if wrong:
        raise InputError(*(f"{file}: {key}: requestsPerSecond must be a number, at least 0" for key in wrong[:10]))
    return found


def _csv(file: Path, text: str, at: datetime) -> dict[str, Observed]:
    rows = csv.DictReader(io.StringIO(text), restkey=_BEYOND)
    there = rows.fieldnames or ()
    missing = [name for name in (WORKLOAD, RATE) if name not in there]
    unknown = [name for name in there if name not in COLUMNS]
    if missing or unknown:
        said = [f"no column {name}" for name in missing] + [f"unknown column {name!r}" for name in unknown]
        raise InputError(f"{file}:1: {', '.join(said)} (known: {', '.join(COLUMNS)})")
    found: dict[str, Observed] = {}
    flaws: list[str] = []
    for row in rows:
        where = f"{file}:{rows.line_num}"
        try:
            if _BEYOND in row:
                raise ValueError("has more cells than there are columns")
            key, observed = _row(row, at)
        except ValueError as error:
            flaws.append(f"{where}: {error}")
            continue
        if key in found:
            flaws.append(f"{where}: {key} is there twice")
        found[key] = observed
    if flaws:
        raise InputError(*flaws[:10], *([f"… and {len(flaws) - 10} more"] if len(flaws) > 10 else []))
    return found


def _row(row: Mapping[str, Any], at: datetime) -> tuple[str, Observed]:
    key = (row[WORKLOAD] or "").strip()
    if key.count("/") != 1 or key.startswith("/") or key.endswith("/"):
        raise ValueError(f"{WORKLOAD} {key!r}: must be NAMESPACE/NAME")
    numbers = {name: _number(name, row.get(name)) for name in COLUMNS if name != WORKLOAD}
    rate = numbers[RATE]
    if rate is None:
        raise ValueError(f"{RATE} is empty")
    prompt, answer = numbers["input_tokens_mean"], numbers["output_tokens_mean"]
    if (prompt is None) != (answer is None):
        raise ValueError("input_tokens_mean and output_tokens_mean go together")
    p95 = numbers["input_tokens_p95"]
    if p95 is not None and (prompt is None or p95 < prompt):
        raise ValueError("input_tokens_p95 must not be below input_tokens_mean")
    observed = Observed(
        at=at,
        hours=HOURS_OF_A_FILE,
        requests_per_second=rate,
        burstiness=numbers["burstiness"],
        input_tokens=None if prompt is None else TokenLengths(mean=prompt, p95=p95),
        output_tokens=None if answer is None else TokenLengths(mean=answer),
        correction=Correction(factor=numbers["capacity_factor"] or 1.0, samples=int(numbers["capacity_samples"] or 0)),
        seconds_to_ready=numbers["seconds_to_ready"],
    )
    return key, observed


def _number(name: str, text: str | None) -> float | None:
    if text is None or not text.strip():
        return None
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"{name} {text.strip()!r}: must be a number") from None
    most = _MOST.get(name, 1e9)
    if not 0 <= value <= most:
        raise ValueError(f"{name} {text.strip()}: must be between 0 and {most:g}")
    return value
