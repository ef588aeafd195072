"""The accountant: charges every workload with what it holds, and at each full hour judges budgets and unusual cost.

All is in memory but what workloads with a budget spent (their own, or their namespace's): that is kept in a ConfigMap,
written when the first of them runs and whenever an hour is closed in which one of them ran. A new leader goes on from
there; the time in between is charged by what ran before and after it. What has no budget is watched for unusual cost as
well, from the present leader on.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from decimal import Decimal

import structlog

from berth_cost.spending.anomaly import Anomaly, CostWatch, Jump, Sensitivity, Window
from berth_cost.spending.budget import BURN_RULES, Spend, budget_state, expected_spend, total
from berth_cost.spending.ledger import Account, Hour, Ledger, Rates
from berth_operator.errors import BerthmasterError, LostLeadership
from berth_operator.events import News
from berth_operator.planner import Result
from berth_operator.spending import spending_news
from berth_operator.spending.budget_report import Standing
from berth_operator.spending.ledger_document import LedgerError
from berth_operator.spending.ledger_store import LedgerStore
from berth_operator.spending.spending_metrics import Judged, SpendingMetrics

log = structlog.get_logger()

LOOK_SECONDS = 60.0
"""Between two looks while nothing changes, which closes an hour within a minute of its end."""
LEAST_SECONDS = 5.0
"""Between two looks while plans are made: each may know of something that runs now."""
RECENT_HOURS = max(rule.long_hours for rule in BURN_RULES)
SENSITIVITY = Sensitivity(windows_per_day=24, settling_windows=1, quiet_windows=3, jump=Jump(windows=1))
"""Of windows of an hour."""
AT_ONCE = 5
"""Workloads judged before others get their turn."""


class Accountant:
    """``planned`` is set when there is a plan; ``look_again`` puts a workload into the queue, ``tell`` posts an Event
    about a workload (``namespace/name``) or a namespace (``namespace/``)."""

    def __init__(
        self,
        store: LedgerStore,
        newest: Callable[[], Result],
        now: Callable[[], datetime],
        metrics: SpendingMetrics,
        *,
        planned: asyncio.Event,
        namespace_budgets: Mapping[str, Decimal],
        look_again: Callable[[str], None],
        tell: Callable[[str, News], None],
    ) -> None:
        self._store = store
        self._newest = newest
        self._now = now
        self._metrics = metrics
        self._planned = planned
        self._woken = asyncio.Event()
        self._namespace_budgets = dict(sorted(namespace_budgets.items()))
        self._look_again = look_again
        self._tell = tell
        self._ledger: Ledger | None = None
        self._standings: dict[str, Standing] = {}
        self._watches: dict[str, CostWatch] = {}
        self._last_prices: dict[str, float] = {}
        self._unpriced: tuple[str, ...] = ()
        self._unsaved = 0
        self._kept = False
        """Whether there is a ConfigMap to go on from."""

    def standing(self, key: str) -> Standing | None:
        """Of a workload with a budget; None where nothing is known of it yet."""
        return self._standings.get(key)

    async def restore(self) -> None:
        """Read what was kept, so that the first statuses already go by it. Raises LostLeadership."""
        try:
            kept = await self._store.read()
        except LostLeadership:
            raise
        except LedgerError as error:
            log.error("spending.unreadable", error=str(error), remedy="spending of this month starts at 0")
            kept = None
        except BerthmasterError as error:
            log.warning("spending.waiting", error=str(error))
            return
        self._ledger, self._kept = kept or Ledger(self._now()), kept is not None
        self._last_prices = {
            charge.kind: charge.usd_per_gpu_hour
            for account in self._ledger.accounts.values()
            for charge in account.rates.charges
        }
        for key, account in self._ledger.accounts.items():
            self._stand(key, account, account.rates)

    async def run(self) -> None:
        """Look after every plan and once a minute; never returns. Raises LostLeadership."""
        await self._planned.wait()
        while True:
            self._woken.clear()
            try:
                if self._ledger is None:
                    await self.restore()
                if self._ledger is not None:
                    await self.look(self._ledger)
            except LostLeadership:
                raise
            except Exception:
                # A bug in what is told of money must not end the operator: what runs keeps running.
                log.exception("spending.failed")
            await asyncio.sleep(LEAST_SECONDS)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), LOOK_SECONDS - LEAST_SECONDS)

    def wake(self) -> None:
        """There is a new plan: what runs may be another."""
        self._woken.set()

    async def look(self, ledger: Ledger) -> None:
        """Charge the time since the last look; judge and keep what that closed."""
        running = self._newest().running
        if running is None:
            return
        rates, unpriced = running.rates(self._last_prices)
        self._last_prices |= running.usd_per_gpu_hour
        self._say_unpriced(unpriced)
        closed = ledger.accrue(self._now(), rates)
        self._metrics.show_rates(rates, len(unpriced))
        if closed:
            await self._judge(ledger, rates, len(closed))
            await self._keep(ledger, len(closed))
        else:
            self._welcome(ledger, rates)
            await self._begin(ledger, rates)

    # --- budgets -------------------------------------------------------------------------------------------------

    def _budgets(self) -> dict[str, Decimal]:
        """By workload, of those that are there."""
        planned = self._newest().planned
        stated = ((key, planned[key].workload.budget_usd_per_month) for key in sorted(planned))
        return {key: budget for key, budget in stated if budget is not None}

    def _stand(self, key: str, account: Account, rates: Rates | None) -> Standing:
        """``rates``: None of what is gone, which will spend nothing more."""
        assert self._ledger is not None
        hourly = [hour.usd for hour in account.hours]
        expected: tuple[Decimal, ...] = ()
        if rates is not None:
            usd_per_hour = Decimal(str(round(rates.usd_per_hour, 6)))
            expected = expected_spend(hourly, self._ledger.hours_left, usd_per_hour)
        spend = Spend(account.month_usd, tuple(hourly[-RECENT_HOURS:]), expected)
        self._standings[key] = Standing(self._ledger.month, spend)
        return self._standings[key]

    def _welcome(self, ledger: Ledger, rates: Mapping[str, Rates]) -> None:
        """A workload that has just begun to run gets its first forecast at once."""
        for key in self._budgets():
            if key in rates and key not in self._standings and key in ledger.accounts:
                self._stand(key, ledger.accounts[key], rates[key])
                self._look_again(key)

    async def _judge(self, ledger: Ledger, rates: Mapping[str, Rates], closed: int) -> None:
        there, budgets = self._newest().planned.keys(), self._budgets()
        judged: list[Judged] = []
        members: dict[str, list[Spend]] = {namespace: [] for namespace in self._namespace_budgets}
        for number, key in enumerate(sorted(ledger.accounts), start=1):
            account, namespace = ledger.accounts[key], key.partition("/")[0]
            if key.endswith("/"):
                continue  # of a namespace: nothing but what was told
            self._watch(key, account, closed)
            if key in budgets or namespace in members:
                spend = self._stand(key, account, rates.get(key, Rates()) if key in there else None).spend
                members.get(namespace, []).append(spend)
                if key in budgets:
                    judged.append(self._alarmed(ledger, key, budgets[key], spend))
                    self._look_again(key)
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)
        self._forget_but(ledger.accounts.keys(), {one.key for one in judged})
        for namespace, budget in self._namespace_budgets.items():
            judged.append(self._alarmed(ledger, f"{namespace}/", budget, total(members[namespace])))
        self._metrics.show_budgets(judged)

    def _forget_but(self, accounts: Iterable[str], with_budget: set[str]) -> None:
        """What is gone, or has no budget any more, is not remembered for ever."""
        there = set(accounts)
        self._standings = {key: standing for key, standing in self._standings.items() if key in with_budget}
        self._watches = {key: watch for key, watch in self._watches.items() if key in there}

    def _alarmed(self, ledger: Ledger, key: str, budget_usd: Decimal, spend: Spend) -> Judged:
        """Tells what was not told in this month; what burns is told again when it has not burnt for a while."""
        state = budget_state(spend, budget_usd)
        alarms = spending_news.alarms(state, budget_usd, ledger.month, whole_namespace=key.endswith("/"))
        account = ledger.accounts.setdefault(key, Account())
        for name, news in alarms.items():
            if name not in account.told:
                self._tell(key, news)
        gone = {name for name in account.told if name.startswith(spending_news.BURNING)} - alarms.keys()
        account.told = (account.told | alarms.keys()) - gone
        return Judged(key, budget_usd, spend, state)

    # --- unusual cost --------------------------------------------------------------------------------------------

    def _watch(self, key: str, account: Account, closed: int) -> None:
        hours = list(account.hours)
        known = max(len(hours) - closed, 0)
        watch = self._watches.get(key)
        if watch is None:
            watch = self._watches[key] = CostWatch(SENSITIVITY)
            for hour in hours[:known]:
                watch.remember(_window(hour))
        for hour in hours[known:]:
            self._count(key, hour)
            for anomaly in watch.observe(_window(hour)):
                self._say(key, anomaly)

    def _count(self, key: str, hour: Hour) -> None:
        namespace, _, name = key.partition("/")
        for used in hour.used:
            self._metrics.cost_usd.labels(namespace, name, used.kind).inc(float(used.usd))

    def _say(self, key: str, anomaly: Anomaly) -> None:
        self._metrics.count(key, anomaly)
        self._tell(key, spending_news.of_anomaly(anomaly))
        log.warning(
            "spending.anomaly", key=key, cause=anomaly.cause.value, pool=anomaly.kind, factor=round(anomaly.factor, 3)
        )

    def _say_unpriced(self, pools: Iterable[str]) -> None:
        unpriced = tuple(pools)
        if unpriced != self._unpriced and unpriced:
            log.warning(
                "spending.unpriced", pools=unpriced, remedy="what runs there is counted from the first price on"
            )
        self._unpriced = unpriced

    # --- keeping -------------------------------------------------------------------------------------------------

    async def _begin(self, ledger: Ledger, rates: Mapping[str, Rates]) -> None:
        """Keep the first account with a budget as soon as it runs: that nothing can be written is known then, and not
        after an hour."""
        keys = self._with_budget(ledger)
        if not self._kept and keys & rates.keys():
            await self._write(ledger, keys)

    async def _keep(self, ledger: Ledger, closed: int) -> None:
        """Write what has a budget, where any of it ran in the hours that were just closed."""
        keys = self._with_budget(ledger)
        self._unsaved += closed
        ran = any(hour.used for key in keys for hour in list(ledger.accounts[key].hours)[-self._unsaved :])
        if ran:
            await self._write(ledger, keys)
        else:
            self._unsaved = 0

    def _with_budget(self, ledger: Ledger) -> frozenset[str]:
        """Their own, or their namespace's."""
        budgets = self._budgets()
        return frozenset(
            key for key in ledger.accounts if key in budgets or key.partition("/")[0] in self._namespace_budgets
        )

    async def _write(self, ledger: Ledger, keys: frozenset[str]) -> None:
        try:
            await self._store.write(ledger, keys)
            self._unsaved, self._kept = 0, True
        except LostLeadership:
            raise
        except (BerthmasterError, LedgerError) as error:
            log.warning("spending.unsaved", hours=self._unsaved, error=str(error))
        self._metrics.unsaved.set(self._unsaved)


def _window(hour: Hour) -> Window:
    return Window(
        {used.kind: used.gpu_hours for used in hour.used},
        {used.kind: float(used.usd) / used.gpu_hours for used in hour.used},
        hour.requests,
    )
