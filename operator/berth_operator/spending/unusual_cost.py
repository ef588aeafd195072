"""Unusual cost: what every workload holds is looked at every five minutes, and an alarm says what moved.

Two windows of five minutes are inside a quarter of an hour wherever in a window it began. Workloads with a budget are
remembered by the ledger's hours over a change of leader; of all others the usual is known after a day.
"""

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta

from berth_cost.spending.anomaly import Anomaly, Cause, Sensitivity, Use, Window
from berth_cost.spending.cost_watch import CostWatch
from berth_cost.spending.hour_history import Hour, HourHistory, Used
from berth_cost.spending.ledger import HOUR, Ledger, Rates
from berth_operator.api.conditions import ConditionType, Finding, Reason
from berth_operator.spending import spending_news
from berth_operator.spending.known_traffic import KnownTraffic
from berth_operator.spending.running_cost import RunningFleet

WINDOW = timedelta(minutes=5)
AN_HOUR = HOUR // WINDOW
SENSITIVITY = Sensitivity(windows_per_day=24 * AN_HOUR, settling_windows=AN_HOUR // 2, quiet_windows=AN_HOUR)
"""Replicas stay for five minutes when traffic has gone, and then go by a fifth a minute; half an hour is on the safe
side."""
MOST_UNSETTLED = timedelta(hours=1)
"""Two revisions side by side are usual for so long."""

_REASONS = {Cause.RATE: Reason.PRICE_MOVED, Cause.USE: Reason.USE_MOVED, Cause.MIX: Reason.MIX_MOVED}


class UnusualCost:
    """Units are GPUs, so that a window costs what an hour of it does."""

    def __init__(self, traffic: KnownTraffic) -> None:
        self._traffic = traffic
        self._watch = CostWatch(SENSITIVITY)
        self._place: int | None = None
        """Of the last window, counted from the epoch."""
        self._unsettled_since: dict[str, datetime] = {}
        self._said: dict[str, Anomaly] = {}

    def finding(self, key: str) -> Finding | None:
        """What a status says while it lasts."""
        said = self._said.get(key)
        if said is None:
            return None
        message = spending_news.what_moved(said)
        return Finding(ConditionType.COST_UNUSUAL, "True", _REASONS[said.cause], message)

    async def look(
        self,
        at: datetime,
        running: RunningFleet,
        rates: Mapping[str, Rates],
        prices: Mapping[str, float],
        ledger: Ledger,
    ) -> tuple[list[Anomaly], set[str]]:
        """Alarms, and the workloads of which there is something else to say; none before the next window."""
        place = int(at.timestamp() // WINDOW.total_seconds())
        if self._place is not None and place <= self._place:
            return [], set()
        newly = self._traffic.newly_told({key: each.requests_per_second for key, each in rates.items()})
        missed, first = (0, True) if self._place is None else (place - self._place - 1, False)
        self._place = place
        past = {key: account.hours for key, account in ledger.accounts.items()} if first else {}
        # Tenths of a second for a large fleet, most of them in numpy.
        alarms = await asyncio.to_thread(
            lambda: self._observe(self._window(at, running, rates, prices), missed, newly, past)
        )
        self._watch.forget_but(ledger.accounts.keys() | rates.keys())
        before, self._said = self._said, self._watch.sounding()
        return alarms, {key for key in before.keys() | self._said.keys() if before.get(key) != self._said.get(key)}

    def _observe(self, window: Window, missed: int, newly: set[str], past: Mapping[str, HourHistory]) -> list[Anomaly]:
        prices: dict[str, list[float]] = {}
        for key in sorted(past):
            recalled = past[key].last(SENSITIVITY.days * 24)
            if recalled:
                self._recall(key, recalled)
                prices = {**_prices(recalled[-24:]), **prices}
        self._watch.remember_rates(prices)
        self._watch.pass_over(missed)
        for key in sorted(newly):
            self._watch.forget_traffic(key)
        return self._watch.observe(window)

    def _window(
        self, at: datetime, running: RunningFleet, rates: Mapping[str, Rates], prices: Mapping[str, float]
    ) -> Window:
        return Window(dict(prices), {key: self._use(key, at, running, each) for key, each in rates.items()})

    def _use(self, key: str, at: datetime, running: RunningFleet, rates: Rates) -> Use:
        if running.holdings[key].settled:
            self._unsettled_since.pop(key, None)
            settled = True
        else:
            settled = at - self._unsettled_since.setdefault(key, at) >= MOST_UNSETTLED
        return Use({charge.kind: charge.gpus for charge in rates.charges}, rates.requests_per_second, settled)

    def _recall(self, key: str, hours: list[Hour]) -> None:
        uses = [
            Use({used.kind: used.gpu_hours for used in hour.used}, None if not hour.requests else hour.requests / 3600)
            for hour in hours
        ]
        known = {used.kind: _usd_per_gpu(used) for hour in hours for used in hour.used}
        self._watch.remember(key, known, uses, times=AN_HOUR)


def _prices(day: list[Hour]) -> dict[str, list[float]]:
    """By pool, as one workload paid them."""
    found: dict[str, list[float]] = {}
    for hour in day:
        for used in hour.used:
            found.setdefault(used.kind, []).extend([_usd_per_gpu(used)] * AN_HOUR)
    return found


def _usd_per_gpu(used: Used) -> float:
    return float(used.usd) / used.gpu_hours if used.gpu_hours else 0.0
