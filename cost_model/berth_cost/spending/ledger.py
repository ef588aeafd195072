"""What was spent, hour by hour: accrued from what runs and what it costs, for every workload of a fleet.

Between two looks a workload is charged the mean of what it cost an hour at the first and at the second (the trapezoid
rule), so that a gap in which nobody looked is charged by what ran before and after it. Hours and months are UTC.
An hour that is over is closed: rounded, added to its month, and remembered for two weeks, which is what
forecasts, burn rates and anomalies look back on.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from berth_cost.rounding import significant_number
from berth_cost.spending.hour_history import Hour, HourHistory, Used

MOST_GAP = timedelta(days=7)
"""A longer time in which nobody looked is not charged: nothing is known of it."""
HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Charge:
    """What one workload holds of one kind of supply now. A kind is a pool: one GPU bought one way at one price."""

    kind: str
    gpus: float
    """MIG slices as their share."""
    usd_per_gpu_hour: float


@dataclass(frozen=True, slots=True)
class Rates:
    """All that a workload holds now, by kind. ``requests_per_second``: what it is for, where that is known."""

    charges: tuple[Charge, ...] = ()
    requests_per_second: float | None = None

    @property
    def usd_per_hour(self) -> float:
        return sum(charge.gpus * charge.usd_per_gpu_hour for charge in self.charges)


@dataclass(slots=True)
class Account:
    """Of one workload. ``month_usd``: of the closed hours of the month that the ledger's time is in."""

    month_usd: Decimal = Decimal(0)
    hours: HourHistory = field(default_factory=HourHistory)
    rates: Rates = Rates()
    told: frozenset[str] = frozenset()
    """Alarms of the budget that were raised in this month."""
    open_hours: dict[str, float] = field(default_factory=dict)
    """GPU-hours by kind in the hour that is not over."""
    open_usd: dict[str, float] = field(default_factory=dict)
    open_requests: float = 0.0

    @property
    def open_total_usd(self) -> float:
        return sum(self.open_usd.values())

    def charge(self, rates: Rates, hours: float) -> None:
        """``hours`` at ``rates``."""
        for charge in rates.charges:
            used = charge.gpus * hours
            self.open_hours[charge.kind] = self.open_hours.get(charge.kind, 0.0) + used
            self.open_usd[charge.kind] = self.open_usd.get(charge.kind, 0.0) + used * charge.usd_per_gpu_hour
        self.open_requests += (rates.requests_per_second or 0.0) * 3600 * hours

    def close(self) -> Hour:
        """The hour that is over, which now counts."""
        used = tuple(
            Used(kind, significant_number(self.open_hours[kind]), _money(self.open_usd[kind]))
            for kind in sorted(self.open_hours)
            if self.open_hours[kind] > 0
        )
        hour = Hour(used, significant_number(self.open_requests) if self.open_requests else None)
        self.open_hours, self.open_usd, self.open_requests = {}, {}, 0.0
        self.hours.append(hour)
        self.month_usd += hour.usd
        return hour


class Ledger:
    """The accounts of a fleet up to ``at``. Not for several threads."""

    def __init__(self, at: datetime, accounts: Mapping[str, Account] | None = None) -> None:
        self.at = at.astimezone(UTC)
        self.accounts: dict[str, Account] = dict(accounts or {})

    @property
    def month(self) -> str:
        """``2026-11``."""
        return f"{self.at:%Y-%m}"

    @property
    def hours_left(self) -> int:
        """Whole hours from the one that is not over to the end of the month, that one included."""
        return round((_next_month(self.at) - _hour_of(self.at)) / HOUR)

    def accrue(self, until: datetime, rates: Mapping[str, Rates]) -> list[datetime]:
        """Charge everybody from the last time to ``until``; the starts of the hours that this closed, oldest first.

        ``rates`` are what holds at ``until``; a workload that is not in them runs nothing. A clock that was set back
        charges nothing until it has caught up.
        """
        until = until.astimezone(UTC)
        for key in rates:
            if key not in self.accounts and rates[key].charges:
                self.accounts[key] = Account()
        closed = []
        if until - self.at > MOST_GAP:
            self._forget_until(until)
        for start, end in _pieces(self.at, until):
            for key, account in self.accounts.items():
                hours = (end - start) / HOUR / 2
                account.charge(account.rates, hours)
                account.charge(rates.get(key, _NOTHING), hours)
            self.at = end
            if end == _hour_of(end):
                closed.append(end - HOUR)
                self._close(end)
        for key, account in self.accounts.items():
            account.rates = rates.get(key, _NOTHING)
        return closed

    def _close(self, end: datetime) -> None:
        for account in self.accounts.values():
            account.close()
        if end == _month_of(end):
            self._begin_month()

    def _begin_month(self) -> None:
        for account in self.accounts.values():
            account.month_usd, account.told = Decimal(0), frozenset()
        idle = [key for key, account in self.accounts.items() if not any(hour.used for hour in account.hours)]
        for key in idle:
            del self.accounts[key]

    def _forget_until(self, until: datetime) -> None:
        """Nobody looked for so long that what was before says nothing: only the sum of this month stays."""
        for account in self.accounts.values():
            account.hours.clear()
            account.open_hours, account.open_usd, account.open_requests = {}, {}, 0.0
            if _month_of(until) != _month_of(self.at):
                account.month_usd, account.told = Decimal(0), frozenset()
        self.at = until


_NOTHING = Rates()


def _money(usd: float) -> Decimal:
    return Decimal(repr(significant_number(usd)))


def _hour_of(time: datetime) -> datetime:
    return time.replace(minute=0, second=0, microsecond=0)


def _month_of(time: datetime) -> datetime:
    return _hour_of(time).replace(day=1, hour=0)


def _next_month(time: datetime) -> datetime:
    return _month_of(_month_of(time) + timedelta(days=32))


def _pieces(start: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
    """``start`` to ``end`` cut at full hours; nothing where ``end`` is not later."""
    while start < end:
        cut = min(_hour_of(start) + HOUR, end)
        yield start, cut
        start = cut
