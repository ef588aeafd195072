"""The ledger as the bytes that are kept: JSON, equal hours told once, compressed, and never more than a bound."""

import gzip
import io
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import Field

from berth_cost.record import Record
from berth_cost.spending.hour_history import MOST_HOURS, Hour, HourHistory, Used
from berth_cost.spending.ledger import Account, Charge, Ledger, Rates

MOST_BYTES = 600_000
"""Compressed. A ConfigMap may have 1 MiB, and what is binary in it is written in four characters for three bytes."""
MOST_BYTES_READ = 200 * 2**20
LEAST_BYTES_A_LINE = 6
"""Compressed, of an hour that differs from the one before: what cannot fit by that is not tried."""
KEPT_HOURS = (MOST_HOURS, MOST_HOURS // 2, 72, 24, 0)
"""History is shortened for all until everything fits: what was spent in the month is never left out."""

Number = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Money = Annotated[Decimal, Field(ge=0, allow_inf_nan=False)]
Name = Annotated[str, Field(max_length=512)]


class LedgerError(ValueError):
    """What is kept is no ledger."""


class _HourDocument(Record):
    times: Annotated[int, Field(ge=1, le=MOST_HOURS)] = 1
    used: tuple[tuple[Name, Number, Money], ...] = ()
    requests: Number | None = None


class _AccountDocument(Record):
    month_usd: Money
    hours: Annotated[tuple[_HourDocument, ...], Field(max_length=MOST_HOURS)] = ()
    charges: tuple[tuple[Name, Number, Number], ...] = ()
    requests_per_second: Number | None = None
    told: tuple[Name, ...] = ()
    open_hours: dict[str, Number] = {}
    open_usd: dict[str, Number] = {}
    open_requests: Number = 0.0


class _LedgerDocument(Record):
    version: Annotated[int, Field(ge=1, le=1)] = 1
    at: datetime
    accounts: dict[str, _AccountDocument] = {}


def packed(ledger: Ledger, keys: frozenset[str]) -> tuple[bytes, int]:
    """The accounts of ``keys`` in at most :data:`MOST_BYTES`, and how many hours of history are in them.

    Raises LedgerError where not even the sums fit.
    """
    wanted = sorted(keys & ledger.accounts.keys())
    size = 0
    for hours in KEPT_HOURS:
        lines = sum(ledger.accounts[key].hours.count_runs(hours) for key in wanted)
        if hours and lines * LEAST_BYTES_A_LINE > MOST_BYTES:
            continue
        accounts = {key: _written(ledger.accounts[key], hours) for key in wanted}
        data = gzip.compress(_text(ledger.at, accounts).encode(), compresslevel=6, mtime=0)
        size = len(data)
        if size <= MOST_BYTES:
            return data, hours
    raise LedgerError(f"the sums of {len(wanted)} workloads need {size} bytes, more than {MOST_BYTES}")


def _text(at: datetime, accounts: Mapping[str, dict[str, Any]]) -> str:
    """As JSON, one account at a time: whoever waits for this thread's lock gets it in between."""
    head = _LedgerDocument(at=at).model_dump_json(by_alias=True, exclude={"accounts"})
    each = (f"{json.dumps(key)}:{json.dumps(one, separators=(',', ':'))}" for key, one in accounts.items())
    return f'{head[:-1]},"accounts":{{{",".join(each)}}}}}'


def unpacked(data: bytes) -> Ledger:
    """Raises LedgerError."""
    try:
        with gzip.open(io.BytesIO(data)) as stream:
            text = stream.read(MOST_BYTES_READ)
        document = _LedgerDocument.model_validate_json(text)
    except (OSError, EOFError, ValueError, RecursionError) as error:
        raise LedgerError(f"is no ledger of spending: {str(error).partition(chr(10))[0]}") from error
    at = document.at if document.at.tzinfo else document.at.replace(tzinfo=UTC)
    return Ledger(at, {key: _read(account) for key, account in document.accounts.items()})


def _written(account: Account, hours: int) -> dict[str, Any]:
    """What :class:`_AccountDocument` reads, without what is empty; by hand, as there are very many hours."""
    whole = {
        "monthUSD": str(account.month_usd),
        "hours": [_hour_written(times, hour) for times, hour in account.hours.runs(hours)],
        "charges": [[each.kind, each.gpus, each.usd_per_gpu_hour] for each in account.rates.charges],
        "requestsPerSecond": account.rates.requests_per_second,
        "told": sorted(account.told),
        "openHours": dict(sorted(account.open_hours.items())),
        "openUSD": dict(sorted(account.open_usd.items())),
        "openRequests": account.open_requests,
    }
    return {name: value for name, value in whole.items() if value is not None and value not in ([], {}, 0.0)}


def _hour_written(times: int, hour: Hour) -> dict[str, Any]:
    written: dict[str, Any] = {"times": times} if times > 1 else {}
    if hour.used:
        written["used"] = [[used.kind, used.gpu_hours, str(used.usd)] for used in hour.used]
    if hour.requests is not None:
        written["requests"] = hour.requests
    return written


def _read(document: _AccountDocument) -> Account:
    hours = (
        hour
        for each in document.hours
        for hour in [Hour(tuple(Used(*used) for used in each.used), each.requests)] * each.times
    )
    return Account(
        month_usd=document.month_usd,
        hours=HourHistory(hours),
        rates=Rates(tuple(Charge(*charge) for charge in document.charges), document.requests_per_second),
        told=frozenset(document.told),
        open_hours=dict(document.open_hours),
        open_usd=dict(document.open_usd),
        open_requests=document.open_requests,
    )
