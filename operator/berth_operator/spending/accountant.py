"""The accountant: charges every workload with what it holds, and at each full hour judges budgets.

All is in memory but what workloads with a budget spent (their own, or their namespace's): that is kept in a ConfigMap,
written when the first of them runs and whenever an hour is closed in which one of them ran. A new leader goes on from
there; the time in between is charged by what ran before and after it. Whether what runs costs what is usual is looked
at in between (:mod:`berth_operator.spending.unusual_cost`).
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from decimal import Decimal

import structlog

from berth_cost.spending.anomaly import Anomaly
from berth_cost.spending.budget import Spend
from berth_cost.spending.hour_history import Hour
from berth_cost.spending.ledger import Account, Ledger, Rates
from berth_operator.api.conditions import Finding
from berth_operator.api.v1alpha1 import BudgetStatus
from berth_operator.errors import LostLeadership
from berth_operator.events import News
from berth_operator.planner import Result
from berth_operator.spending import spending_news
from berth_operator.spending.budget_judgement import Budgets, Judged, judged, spends
from berth_operator.spending.budget_report import Standing, budget_status
from berth_operator.spending.known_traffic import KnownTraffic, MeasuredRates
from berth_operator.spending.ledger_keeper import LedgerKeeper
from berth_operator.spending.ledger_store import LedgerStore
from berth_operator.spending.running_cost import RunningFleet
from berth_operator.spending.spending_metrics import SpendingMetrics
from berth_operator.spending.unusual_cost import UnusualCost

log = structlog.get_logger()

LOOK_SECONDS = 60.0
"""Between two looks while nothing changes, which closes an hour within a minute of its end."""
LEAST_SECONDS = 5.0
"""Between two looks while plans are made: each may know of something that runs now."""
AT_ONCE = 50
"""Workloads of which something is told before others have the event loop."""


class Accountant:
    """``planned`` is set when there is a plan; ``look_again`` puts a workload into the queue, ``tell`` posts an Event
    about a workload (``namespace/name``) or a namespace (``namespace/``). ``measured``: None where nothing measures."""

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
        measured: MeasuredRates | None = None,
    ) -> None:
        self._keeper = LedgerKeeper(store)
        self._newest = newest
        self._now = now
        self._metrics = metrics
        self._planned = planned
        self._woken = asyncio.Event()
        self._namespace_budgets = dict(sorted(namespace_budgets.items()))
        self._look_again = look_again
        self._tell = tell
        self._traffic = KnownTraffic(measured)
        self._unusual = UnusualCost(self._traffic)
        self._ledger: Ledger | None = None
        self._standings: dict[str, Standing] = {}
        self._said: dict[str, BudgetStatus] = {}
        self._last_prices: dict[str, float] = {}
        self._unpriced: tuple[str, ...] = ()
        self._problem: str | None = None

    def standing(self, key: str) -> Standing | None:
        """Of a workload with a budget; None where nothing is known of it yet."""
        return self._standings.get(key)

    def not_kept(self, key: str) -> str | None:
        """Why what is spent is not kept, in words; None where it is."""
        return self._problem

    def unusual(self, key: str) -> Finding | None:
        """That a workload costs what is not usual, while it does."""
        return self._unusual.finding(key)

    async def restore(self) -> None:
        """Read what was kept, so that the first statuses already go by it. Raises LostLeadership."""
        ledger = await self._keeper.read(self._now())
        if ledger is None:
            return
        self._ledger = ledger
        self._last_prices = {
            charge.kind: charge.usd_per_gpu_hour
            for account in ledger.accounts.values()
            for charge in account.rates.charges
        }
        rates = {key: account.rates for key, account in ledger.accounts.items()}
        self._stand(ledger, await asyncio.to_thread(spends, ledger, sorted(rates), rates))

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
                self._say_problem()
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
        at = self._now()
        rates, unpriced = running.rates(self._last_prices, self._traffic.requests_per_second(at, running.holdings))
        self._last_prices |= running.usd_per_gpu_hour
        self._say_unpriced(unpriced)
        closed = ledger.accrue(at, rates)
        self._metrics.show_rates(rates, len(unpriced))
        await self._look_for_unusual(at, running, rates, ledger)
        if closed:
            await self._judge(ledger, rates, len(closed))
            self._count_unsaved(ledger, len(closed))
        else:
            await self._welcome(ledger, rates)
        await self._keep(ledger, rates)

    # --- budgets -------------------------------------------------------------------------------------------------

    def _budgets(self) -> Budgets:
        """Of the workloads that are there, and of all namespaces."""
        planned = self._newest().planned
        stated = ((key, planned[key].workload.budget_usd_per_month) for key in sorted(planned))
        return Budgets({key: usd for key, usd in stated if usd is not None}, self._namespace_budgets)

    def _stand(self, ledger: Ledger, found: Mapping[str, Spend]) -> None:
        self._standings |= {key: Standing(ledger.month, spend) for key, spend in found.items()}

    async def _welcome(self, ledger: Ledger, rates: Mapping[str, Rates]) -> None:
        """Workloads that have just begun to run get their first forecast at once."""
        budgets = self._budgets().workloads
        new = [key for key in budgets if key in rates and key not in self._standings and key in ledger.accounts]
        if new:
            self._stand(ledger, await asyncio.to_thread(spends, ledger, new, rates))
            for key in new:
                self._look_again(key)

    async def _judge(self, ledger: Ledger, rates: Mapping[str, Rates], closed: int) -> None:
        budgets, there = self._budgets(), self._newest().planned.keys()
        # Keys that end in a slash are of namespaces: nothing but what was told is kept of them.
        mine = [key for key in sorted(ledger.accounts) if budgets.covers(key) and not key.endswith("/")]
        gone = frozenset(mine) - there
        found, all_judged = await asyncio.to_thread(_judgements, ledger, mine, rates, gone, budgets)
        self._standings = {key: one for key, one in self._standings.items() if key in budgets.workloads}
        self._stand(ledger, {key: found[key] for key in mine if key in budgets.workloads})
        self._said = {key: said for key, said in self._said.items() if key in budgets.workloads}
        for number, one in enumerate(all_judged, start=1):
            self._alarm(ledger, one)
            self._metrics.show_budget(one)
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)
        self._metrics.forget_budgets_but(one.key for one in all_judged)
        for number, (key, account) in enumerate(sorted(ledger.accounts.items()), start=1):
            for hour in account.hours.last(closed):
                self._count(key, hour)
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)

    def _alarm(self, ledger: Ledger, one: Judged) -> None:
        """Tells what was not told in this month; what burns is told again when it has not burnt for a while."""
        alarms = spending_news.alarms(one.state, one.budget_usd, ledger.month, whole_namespace=one.key.endswith("/"))
        account = ledger.accounts.setdefault(one.key, Account())
        for name, news in alarms.items():
            if name not in account.told:
                self._tell(one.key, news)
        gone = {name for name in account.told if name.startswith(spending_news.BURNING)} - alarms.keys()
        account.told = (account.told | alarms.keys()) - gone
        standing = self._standings.get(one.key)
        if standing is not None:
            self._say(one, standing)

    def _say(self, one: Judged, standing: Standing) -> None:
        """Only what a status would say otherwise is worth a look."""
        before = self._said.get(one.key)
        said = budget_status(standing, one.budget_usd, None if before is None else before.model_dump(by_alias=True))
        if said != before:
            self._said[one.key] = said
            self._look_again(one.key)

    def _count(self, key: str, hour: Hour) -> None:
        namespace, _, name = key.partition("/")
        for used in hour.used:
            self._metrics.cost_usd.labels(namespace, name, used.kind).inc(float(used.usd))

    # --- unusual cost --------------------------------------------------------------------------------------------

    async def _look_for_unusual(
        self, at: datetime, running: RunningFleet, rates: Mapping[str, Rates], ledger: Ledger
    ) -> None:
        alarms, changed = await self._unusual.look(at, running, rates, self._last_prices, ledger)
        for number, anomaly in enumerate(alarms, start=1):
            self._say_unusual(anomaly)
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)
        for key in sorted(changed):
            self._look_again(key)

    def _say_unusual(self, anomaly: Anomaly) -> None:
        self._metrics.count(anomaly)
        self._tell(anomaly.service, spending_news.of_anomaly(anomaly))
        log.warning(
            "spending.anomaly",
            key=anomaly.service,
            cause=anomaly.cause.value,
            pool=anomaly.kind,
            factor=round(anomaly.factor, 3),
        )

    def _say_unpriced(self, pools: Iterable[str]) -> None:
        unpriced = tuple(pools)
        if unpriced != self._unpriced and unpriced:
            log.warning(
                "spending.unpriced", pools=unpriced, remedy="what runs there is counted from the first price on"
            )
        self._unpriced = unpriced

    # --- keeping -------------------------------------------------------------------------------------------------

    def _count_unsaved(self, ledger: Ledger, closed: int) -> None:
        """Hours in which nothing with a budget ran need not be kept."""
        unsaved = self._keeper.unsaved_hours + closed
        covered = self._with_budget(ledger)
        ran = any(hour.used for key in covered for hour in ledger.accounts[key].hours.last(unsaved))
        self._keeper.unsaved_hours = unsaved if ran else 0

    async def _keep(self, ledger: Ledger, rates: Mapping[str, Rates]) -> None:
        """Write what has a budget: closed hours, and the first account as soon as it runs, so that what keeps it from
        being written is known then and not after an hour."""
        keys = self._with_budget(ledger)
        if self._keeper.unsaved_hours or (not self._keeper.kept and keys & rates.keys()):
            await self._keeper.write(ledger, keys)
        self._metrics.unsaved.set(self._keeper.unsaved_hours)

    def _with_budget(self, ledger: Ledger) -> frozenset[str]:
        """Their own, or their namespace's."""
        budgets = self._budgets()
        return frozenset(key for key in ledger.accounts if budgets.covers(key))

    def _say_problem(self) -> None:
        """Every workload with a budget says that it is not kept, or that it is again."""
        if self._problem != self._keeper.problem:
            self._problem = self._keeper.problem
            for key in self._budgets().workloads:
                self._look_again(key)


def _judgements(
    ledger: Ledger, keys: list[str], rates: Mapping[str, Rates], gone: frozenset[str], budgets: Budgets
) -> tuple[dict[str, Spend], list[Judged]]:
    found = spends(ledger, keys, rates, gone=gone)
    return found, judged(found, budgets)
