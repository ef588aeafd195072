"""Spending in the operator: charged by what runs, kept over changes of leader, judged by the hour, told once."""

import asyncio
import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from berth_cost.prices.book import Price
from berth_cost.spending.budget import Spend
from berth_cost.spending.hour_history import Hour, Used
from berth_cost.spending.ledger import Account, Charge, Ledger, Rates
from berth_operator import kinds
from berth_operator.api.conditions import Reason
from berth_operator.errors import Forbidden, Unavailable
from berth_operator.events import News
from berth_operator.planner import Planned, Result
from berth_operator.spending import ledger_document
from berth_operator.spending.accountant import Accountant
from berth_operator.spending.budget_report import Standing, budget_finding, budget_status
from berth_operator.spending.known_traffic import KnownTraffic
from berth_operator.spending.ledger_document import LedgerError, packed, unpacked
from berth_operator.spending.ledger_store import KEY as DATA
from berth_operator.spending.ledger_store import LedgerStore
from berth_operator.spending.running_cost import Holding, RunningFleet, running_fleet
from berth_operator.spending.spending_metrics import SpendingMetrics
from berth_scheduler.decision import Decision
from berth_scheduler.snapshot import (
    Berth,
    CapacityType,
    PodResources,
    Pool,
    Running,
    RunningBerth,
    Sharing,
    Snapshot,
    Traffic,
    Variant,
    Workload,
)
from fake_kube import FakeKube

KEY = "vision/resnet"
START = datetime(2026, 11, 10, 0, 0, tzinfo=UTC)


def workload(budget: str | None = "1000", key: str = KEY, **more: Any) -> Workload:
    return Workload(
        key=key,
        planning_hash="h",
        backend="onnxruntime",
        variants=(Variant(precision="fp16"),),
        traffic=Traffic(requests_per_second=200),
        resources=PodResources(cpu_cores=1, memory_bytes=1),
        budget_usd_per_month=None if budget is None else Decimal(budget),
        **more,
    )


class Operator:
    """An accountant with a clock of its own, and what it says. ``gpus``: what the workload holds of pool l4."""

    def __init__(self, kube: FakeKube, at: datetime = START, namespaces: dict[str, Decimal] | None = None) -> None:
        self.now, self.gpus, self.usd_per_gpu_hour = at, 2.0, 0.75
        self.stated: float | None = 200.0
        self.settled = True
        self.measured: dict[str, float] | None = None
        self.workloads = [workload()]
        self.news: list[tuple[str, News]] = []
        self.looked: list[str] = []
        self.registry = CollectorRegistry()
        self.kube = kube
        planned = asyncio.Event()
        planned.set()
        self.accountant = Accountant(
            LedgerStore(kube, namespace="berthmaster", name="berthmaster-spending"),  # type: ignore[arg-type]
            self.result,
            lambda: self.now,
            SpendingMetrics(self.registry),
            planned=planned,
            namespace_budgets=namespaces or {},
            look_again=self.looked.append,
            tell=lambda key, news: self.news.append((key, news)),
            measured=lambda at: self.measured or {},
        )

    def result(self) -> Result:
        held = (
            {one.key: Holding({"l4": self.gpus}, self.stated, self.settled) for one in self.workloads}
            if self.gpus
            else {}
        )
        planned = {
            one.key: Planned(Decision(workload=one.key, placed=True, reason="", message="", decision_hash=""), one)
            for one in self.workloads
        }
        return Result(planned, {}, RunningFleet(held, {"l4": self.usd_per_gpu_hour}))

    async def pass_hours(self, hours: float, step_minutes: int = 20) -> None:
        if self.accountant._ledger is None:
            await self.accountant.restore()
            await self.look()
        for _ in range(round(hours * 60 / step_minutes)):
            self.now += timedelta(minutes=step_minutes)
            await self.look()

    async def look(self) -> None:
        assert self.accountant._ledger is not None
        await self.accountant.look(self.accountant._ledger)

    def spent(self) -> Decimal:
        standing = self.accountant.standing(KEY)
        assert standing is not None
        return standing.spend.spent_usd

    def metric(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(
            f"berthmaster_{name}", {"namespace": "vision", "workload": "resnet"} | labels
        )

    def told(self) -> list[str]:
        return [news.note for _, news in self.news]


# --- what runs ---------------------------------------------------------------------------------------------------


def test_what_runs_is_paid_by_pods_on_nodes_of_every_revision() -> None:
    def running(pool: str, nodes: tuple[str, ...], share: float = 1.0) -> RunningBerth:
        berth = Berth(
            pool=pool, gpu="L4", sharing=Sharing.EXCLUSIVE, capacity_type=CapacityType.SPOT, precision="fp16",
            tensor_parallel=1, gpus_per_replica=share, instances_per_gpu=1, maximum_batch_size=1,
            maximum_queue_delay_microseconds=0, replicas=9,
        )  # fmt: skip
        return RunningBerth(berth=berth, ready_replicas=0, nodes=nodes)

    old = Running(revision="a", planned_for="h", serving=True, berths=(running("cheap", ("n1", "n2")),))
    new = Running(
        revision="b", planned_for="h", serving=False, berths=(running("mig", ("n3",), 0.25), running("cheap", ()))
    )
    price = Price(usd_per_node_hour=Decimal(8), source="test", date=START.date())
    pools = (
        Pool(name="cheap", capacity_type=CapacityType.SPOT, gpus_per_node=4, price=price),
        Pool(name="mig", capacity_type=CapacityType.SPOT, gpus_per_node=1),
    )
    fleet = running_fleet(
        Snapshot(time=START, workloads=(workload(running=(old, new)), workload(key="a/idle")), pools=pools)
    )
    assert fleet.holdings == {KEY: Holding({"cheap": 2.0, "mig": 0.25}, 200.0, settled=False)}
    rates, unpriced = fleet.rates({}, {KEY: 200.0})
    assert (rates[KEY].charges, unpriced) == ((Charge("cheap", 2.0, 2.0),), ("mig",))
    rates, unpriced = fleet.rates({"mig": 3.0, "cheap": 99.0}, {})
    assert (rates[KEY].usd_per_hour, unpriced) == (4.75, ())


# --- keeping -----------------------------------------------------------------------------------------------------


async def test_a_new_leader_goes_on_from_what_the_old_one_kept() -> None:
    kube = FakeKube()
    first = Operator(kube)
    await first.pass_hours(5)
    second = Operator(kube, at=first.now + timedelta(minutes=90))
    await second.pass_hours(0.5, step_minutes=30)
    assert (first.spent(), second.spent()) == (Decimal("7.5"), Decimal("10.5"))  # 5 and 7 hours of 1.50


async def test_it_is_written_when_it_begins_then_once_an_hour_and_not_while_nothing_runs() -> None:
    kube = FakeKube()
    operator = Operator(kube)
    await operator.pass_hours(0.95, step_minutes=19)
    assert [kind for _, kind, _ in kube.writes] == ["ConfigMap"]
    await operator.pass_hours(4.05, step_minutes=27)
    assert [kind for _, kind, _ in kube.writes] == ["ConfigMap"] * 6
    operator.gpus = 0.0
    await operator.pass_hours(2)
    written = len(kube.writes)
    await operator.pass_hours(10)
    assert len(kube.writes) == written


async def test_a_fleet_without_budgets_is_not_kept() -> None:
    kube = FakeKube()
    operator = Operator(kube)
    operator.workloads = [workload(None)]
    await operator.pass_hours(3)
    assert (kube.writes, operator.looked, operator.accountant.standing(KEY)) == ([], [], None)
    assert operator.metric("cost_usd_total", pool="l4") == pytest.approx(4.5)


async def test_nothing_is_overwritten_before_it_could_be_read() -> None:
    kube = FakeKube()
    await Operator(kube).pass_hours(5)
    kube.fail(Unavailable("the server is away"), verb="LIST", kind=kinds.CONFIG_MAP)
    second = Operator(kube, at=START + timedelta(hours=5))
    await second.accountant.restore()
    assert second.accountant.standing(KEY) is None
    second.now += timedelta(minutes=1)
    await second.pass_hours(1)
    assert second.spent() == Decimal(9)


async def test_an_hour_that_could_not_be_written_is_written_when_that_goes_again() -> None:
    kube = FakeKube()
    operator = Operator(kube)
    await operator.pass_hours(1 / 3)
    assert len(kube.writes) == 1
    kube.fail(Unavailable("the server is away"), verb="APPLY", kind=kinds.CONFIG_MAP)
    await operator.pass_hours(2 / 3)
    assert operator.registry.get_sample_value("berthmaster_spending_unsaved_hours") == 1
    assert operator.accountant.not_kept(KEY) is None  # it may pass by itself
    await operator.pass_hours(1 / 3)
    assert len(kube.writes) == 2
    assert operator.registry.get_sample_value("berthmaster_spending_unsaved_hours") == 0


async def test_a_ledger_that_may_not_be_written_is_said_at_once_and_tried_ever_more_seldom() -> None:
    kube = FakeKube()
    operator = Operator(kube)
    kube.fail(Forbidden("configmaps is forbidden"), verb="APPLY", kind=kinds.CONFIG_MAP, times=10)
    await operator.pass_hours(1 / 6, step_minutes=1)
    operator.accountant._say_problem()
    assert operator.accountant.not_kept(KEY) == "what is spent cannot be written: configmaps is forbidden"
    assert operator.looked[-1] == KEY
    await operator.pass_hours(4, step_minutes=1)  # after 1, 2, 4, 8, 16, 32, 60, 60 and 60 minutes
    assert kube.writes == []
    await operator.pass_hours(2, step_minutes=1)
    operator.accountant._say_problem()
    assert (operator.accountant.not_kept(KEY), len(kube.writes)) == (None, 2)


async def test_a_server_that_stays_away_is_said_after_the_third_time() -> None:
    kube = FakeKube()
    operator = Operator(kube)
    kube.fail(Unavailable("the server is away"), verb="APPLY", kind=kinds.CONFIG_MAP, times=3)
    await operator.pass_hours(1 / 60, step_minutes=1)
    operator.accountant._say_problem()
    assert operator.accountant.not_kept(KEY) is None
    await operator.pass_hours(1 / 12, step_minutes=1)
    operator.accountant._say_problem()
    assert operator.accountant.not_kept(KEY) == "what is spent cannot be written: the server is away"


async def test_what_is_no_ledger_is_said_and_begun_anew() -> None:
    kube = FakeKube()
    metadata = {"name": "berthmaster-spending", "namespace": "berthmaster"}
    kube.put(kinds.CONFIG_MAP, {"metadata": metadata, "binaryData": {DATA: "bm90IGEgbGVkZ2Vy"}})
    operator = Operator(kube)
    await operator.pass_hours(1)
    assert operator.spent() == Decimal("1.5")


@pytest.mark.parametrize("data", [b"", b"not a ledger", b"\x1f\x8b\x08\x00"])
def test_bytes_that_are_no_ledger_are_refused(data: bytes) -> None:
    with pytest.raises(LedgerError, match="is no ledger"):
        unpacked(data)


def fleet(count: int, hours: int) -> Ledger:
    """Accounts whose every hour differs."""
    draw = random.Random(3)
    ledger = Ledger(START)
    for number in range(count):
        account = Account(
            month_usd=Decimal("12.5"), rates=Rates((Charge("l4", 2.0, 0.75),), 1.0), told=frozenset({"spent-50"})
        )
        for _ in range(hours):
            account.hours.append(Hour((Used("l4", draw.random(), Decimal(f"{draw.random():.5f}")),)))
        ledger.accounts[f"chat/{number}"] = account
    return ledger


def test_what_is_packed_is_unpacked_as_it_was_and_in_the_same_bytes() -> None:
    ledger = fleet(3, 400)
    data, hours = packed(ledger, frozenset(ledger.accounts))
    again = unpacked(data)
    assert (again.at, again.accounts, hours) == (ledger.at, ledger.accounts, 336)
    assert packed(again, frozenset(ledger.accounts))[0] == data


def test_history_is_shortened_before_the_sums_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_document, "MOST_BYTES", 20_000)
    ledger = fleet(20, 336)
    data, hours = packed(ledger, frozenset(ledger.accounts))
    kept = unpacked(data)
    assert (len(data) <= 20_000, hours) == (True, 24)
    assert {(account.month_usd, len(account.hours)) for account in kept.accounts.values()} == {(Decimal("12.5"), 24)}
    monkeypatch.setattr(ledger_document, "MOST_BYTES", 50)
    with pytest.raises(LedgerError, match="the sums of 20 workloads"):
        packed(ledger, frozenset(ledger.accounts))


# --- budgets -----------------------------------------------------------------------------------------------------


async def test_a_workload_that_begins_to_run_is_forecast_at_once() -> None:
    operator = Operator(FakeKube(), at=START + timedelta(minutes=30))
    await operator.pass_hours(0.1, step_minutes=2)
    standing = operator.accountant.standing(KEY)
    assert standing is not None
    assert (standing.month, standing.spend.forecast_usd) == ("2026-11", Decimal("1.5") * 21 * 24)
    assert operator.looked == [KEY]


async def test_thresholds_are_told_once_also_by_the_next_leader() -> None:
    kube = FakeKube()
    first = Operator(kube)
    first.workloads = [workload("20")]
    await first.pass_hours(8)
    assert first.told() == ["50 % of the budget of $20.00 is spent in 2026-11: $10.50"]
    second = Operator(kube, at=first.now)
    second.workloads = first.workloads
    await second.pass_hours(4)
    assert second.told() == ["80 % of the budget of $20.00 is spent in 2026-11: $16.50"]


async def test_money_that_burns_is_told_and_told_again_when_it_burns_anew() -> None:
    operator = Operator(FakeKube())
    await operator.pass_hours(30, step_minutes=60)
    assert not [note for note in operator.told() if "money goes" in note]
    operator.gpus = 20.0
    await operator.pass_hours(20, step_minutes=60)
    burning = [note for note in operator.told() if "(page)" in note]
    assert len(burning) == 1
    assert operator.metric("budget_burning", severity="page") == 1
    assert (operator.metric("budget_burn_rate", window="2h") or 0) > 3
    operator.gpus = 0.0
    await operator.pass_hours(24, step_minutes=60)
    assert operator.metric("budget_burning", severity="page") == 0
    operator.gpus = 20.0
    await operator.pass_hours(10, step_minutes=60)
    assert len([note for note in operator.told() if "(page)" in note]) == 2


async def test_a_namespace_has_the_sum_of_its_workloads() -> None:
    kube = FakeKube()
    operator = Operator(kube, namespaces={"vision": Decimal(100)})
    operator.workloads = [workload(None), workload(None, key="vision/bert"), workload(None, key="chat/llama")]
    await operator.pass_hours(2)
    assert operator.metric("budget_spent_usd", workload="") == pytest.approx(6)
    assert operator.metric("budget_forecast_usd", workload="") == pytest.approx(3 * 21 * 24)
    (about, news), *_ = operator.news
    assert (about, news.type, news.reason) == ("vision/", "Warning", "BudgetThreshold")
    assert news.note == "100 % of the budget of $100.00 is forecast to be spent in 2026-11: $1,512.00"
    again = Operator(kube, at=operator.now, namespaces={"vision": Decimal(100)})
    again.workloads = operator.workloads
    await again.pass_hours(2)
    assert again.news == []


async def test_a_price_that_is_gone_is_the_last_one_that_was_known() -> None:
    operator = Operator(FakeKube())
    await operator.pass_hours(1)
    fleet = operator.result()
    operator.accountant._newest = lambda: Result(fleet.planned, {}, RunningFleet(fleet.running.holdings, {}))  # type: ignore[union-attr]
    await operator.pass_hours(1)
    assert operator.spent() == Decimal(3)


async def test_what_was_deleted_will_spend_nothing_more() -> None:
    operator = Operator(FakeKube(), namespaces={"vision": Decimal(10_000)})
    await operator.pass_hours(3)
    operator.workloads = []
    await operator.pass_hours(2)
    spent = operator.metric("budget_spent_usd", workload="")
    assert spent == pytest.approx(4.75)  # and ten minutes of the look in which it was gone
    assert operator.metric("budget_forecast_usd", workload="") == spent


# --- unusual cost ------------------------------------------------------------------------------------------------


async def test_a_price_that_steps_is_an_anomaly_of_rate() -> None:
    operator = Operator(FakeKube())
    await operator.pass_hours(30, step_minutes=60)
    operator.usd_per_gpu_hour = 1.5
    await operator.pass_hours(2, step_minutes=5)
    assert operator.metric("cost_anomalies_total", cause="Rate") == 1
    (note,) = [note for note in operator.told() if "price" in note]
    assert note == "the price of l4 moved to × 2 of its usual: $1.50 an hour more by that"


async def test_twice_the_use_is_an_anomaly_also_after_a_change_of_leader() -> None:
    kube = FakeKube()
    first = Operator(kube)
    await first.pass_hours(30, step_minutes=60)
    second = Operator(kube, at=first.now)
    second.gpus = 6.0
    await second.pass_hours(2, step_minutes=5)
    assert second.metric("cost_anomalies_total", cause="Use") == 1


async def told_within(operator: Operator, minutes: int) -> list[str]:
    before = len(operator.told())
    await operator.pass_hours(minutes / 60, step_minutes=1)
    return [note.partition(" of ")[0] for note in operator.told()[before:]]


async def test_twice_the_use_for_the_measured_traffic_is_told_within_a_quarter_of_an_hour() -> None:
    operator = Operator(FakeKube())
    operator.workloads, operator.stated, operator.measured = [workload(None)], None, {KEY: 120.0}
    await operator.pass_hours(26, step_minutes=5)
    operator.gpus = 4.0
    assert await told_within(operator, 15) == ["the GPUs moved to × 2"]
    finding = operator.accountant.unusual(KEY)
    assert finding is not None
    assert (finding.type, finding.status, finding.reason) == ("CostUnusual", "True", Reason.USE_MOVED)
    assert finding.message.endswith(": $1.50 an hour more by that")
    assert operator.looked == [KEY]


async def test_what_was_unusual_is_not_said_for_ever() -> None:
    operator = Operator(FakeKube())
    await operator.pass_hours(26, step_minutes=5)
    operator.usd_per_gpu_hour = 1.0
    assert await told_within(operator, 15) == ["the price"]
    await operator.pass_hours(16, step_minutes=5)
    assert operator.accountant.unusual(KEY) is None
    assert operator.metric("cost_anomalies_total", cause="Rate") == 1


async def test_replicas_that_follow_the_measured_traffic_are_usual() -> None:
    operator = Operator(FakeKube())
    operator.stated, operator.measured = None, {KEY: 120.0}
    await operator.pass_hours(26, step_minutes=5)
    operator.gpus, operator.measured = 8.0, {KEY: 480.0}
    assert await told_within(operator, 60) == []


async def test_capacity_that_stands_still_while_traffic_goes_costs_what_it_did() -> None:
    operator = Operator(FakeKube())
    operator.stated, operator.measured = None, {KEY: 120.0}
    await operator.pass_hours(26, step_minutes=5)
    operator.measured = {KEY: 3.0}
    assert await told_within(operator, 120) == []


async def test_a_jump_of_use_is_told_where_nobody_knows_the_traffic() -> None:
    operator = Operator(FakeKube())
    operator.stated = None
    await operator.pass_hours(26, step_minutes=5)
    operator.gpus = 4.0
    assert await told_within(operator, 15) == ["the GPUs moved to × 2"]


async def test_two_revisions_side_by_side_are_usual_for_an_hour() -> None:
    operator = Operator(FakeKube())
    await operator.pass_hours(50, step_minutes=5)
    operator.gpus, operator.settled = 4.0, False
    assert await told_within(operator, 55) == []
    assert await told_within(operator, 15) == ["the GPUs moved to × 2"]


async def test_a_prometheus_that_is_away_for_an_hour_raises_nothing() -> None:
    operator = Operator(FakeKube())
    operator.measured = {KEY: 120.0}  # and 200 are stated
    await operator.pass_hours(26, step_minutes=5)
    operator.measured = {}
    assert await told_within(operator, 60) == []
    operator.measured = {KEY: 125.0}
    assert await told_within(operator, 60) == []


async def test_a_rate_that_is_told_by_somebody_else_is_not_compared_with_the_one_before() -> None:
    operator = Operator(FakeKube())
    await operator.pass_hours(26, step_minutes=5)
    operator.accountant._traffic = KnownTraffic(lambda at: {KEY: 20.0})
    operator.accountant._unusual._traffic = operator.accountant._traffic
    assert await told_within(operator, 120) == []


# --- what is said ------------------------------------------------------------------------------------------------


def said(spent: str, expected: str, previous: dict[str, Any] | None = None, budget: str = "1000") -> Any:
    return budget_status(Standing("2026-11", Spend(Decimal(spent), (), Decimal(expected))), Decimal(budget), previous)


def test_money_is_said_in_steps_the_safe_way() -> None:
    status = said("349.99", "400")
    assert (status.spent_percent, status.forecast_percent) == (30, 75)


def test_a_forecast_that_wobbles_about_a_step_is_not_written_again() -> None:
    stands = {"month": "2026-11", "spentPercent": 50, "forecastPercent": 100}
    assert said("500", "499", stands).forecast_percent == 100
    assert said("500", "410", stands).forecast_percent == 100
    assert said("500", "399", stands).forecast_percent == 90
    assert said("500", "501", stands).forecast_percent == 105
    assert said("500", "399", {**stands, "month": "2026-10"}).forecast_percent == 90


@pytest.mark.parametrize(
    ("spent", "expected", "planned", "holds", "reason"),
    [
        ("100", "100", "900", "True", Reason.WITHIN_BUDGET),
        ("100", "100", "1100", "False", Reason.OVER_BUDGET),
        ("100", "1000", "900", "False", Reason.FORECAST_OVER_BUDGET),
        ("1000", "1", "900", "False", Reason.BUDGET_SPENT),
        ("1000", "0", "900", "True", Reason.WITHIN_BUDGET),
    ],
)
def test_a_budget_holds_while_spend_forecast_and_plan_do(
    spent: str, expected: str, planned: str, holds: str, reason: Reason
) -> None:
    finding = budget_finding(Decimal(1000), said(spent, expected), Decimal(planned), runs=True)
    assert (finding.status, finding.reason) == (holds, reason)
    assert len(finding.message) <= 200


def test_what_burns_is_still_inside() -> None:
    spend = Spend(Decimal(100), (Decimal(5),) * 24, Decimal(1))
    status = budget_status(Standing("2026-11", spend), Decimal(1000), None)
    finding = budget_finding(Decimal(1000), status, Decimal(900), runs=True)
    assert (status.burning, finding.status, finding.reason) == ("Page", "True", Reason.BURNING_FAST)
    assert finding.message == (
        "budget of $1,000.00 a month: $900.00 a month is planned; 2026-11: ≥ 10 % spent, ≤ 15 % forecast"
    )


def test_what_is_not_kept_is_not_known_to_be_inside() -> None:
    finding = budget_finding(Decimal(1000), said("100", "100"), Decimal(900), runs=True, not_kept="no room")
    assert (finding.status, finding.reason, finding.message) == ("Unknown", Reason.NOT_KEPT, "no room")
    over = budget_finding(Decimal(1000), said("100", "1000"), Decimal(900), runs=True, not_kept="no room")
    assert (over.status, over.reason) == ("False", Reason.FORECAST_OVER_BUDGET)
    assert budget_finding(None, None, None, runs=True, not_kept="no room").reason is Reason.NO_BUDGET
