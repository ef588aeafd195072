"""The ledger: sums that can be checked by hand, over hours, months and gaps."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from berth_cost.spending.hour_history import MOST_HOURS, Hour, HourHistory, Used
from berth_cost.spending.ledger import Account, Charge, Ledger, Rates

KEY = "vision/resnet"
TWO = Rates((Charge("l4", 2.0, 0.75),), 100.0)
"""1.50 USD an hour."""
FOUR = Rates((Charge("l4", 4.0, 0.75),), 100.0)


def at(day: int, hour: int = 0, minute: int = 0, month: int = 11) -> datetime:
    return datetime(2026, month, day, hour, minute, tzinfo=UTC)


def ledger_at(time: datetime, rates: Rates = TWO) -> Ledger:
    return Ledger(time, {KEY: Account(rates=rates)})


def hours_of(ledger: Ledger) -> list[Decimal]:
    return [hour.usd for hour in ledger.accounts[KEY].hours]


def test_an_hour_costs_what_ran_in_it() -> None:
    ledger = ledger_at(at(3, 10))
    for minute in range(1, 60):
        assert ledger.accrue(at(3, 10, minute), {KEY: TWO}) == []
    assert ledger.accrue(at(3, 11), {KEY: TWO}) == [at(3, 10)]
    assert ledger.accounts[KEY].hours.last(1)[0] == Hour((Used("l4", 2.0, Decimal("1.5")),), 360_000.0)
    assert ledger.accounts[KEY].month_usd == Decimal("1.5")


def test_what_changed_between_two_looks_is_charged_by_halves() -> None:
    ledger = ledger_at(at(3, 10))
    ledger.accrue(at(3, 11), {KEY: FOUR})
    assert hours_of(ledger) == [Decimal("2.25")]


def test_a_gap_is_charged_by_what_ran_before_and_after_it() -> None:
    ledger = ledger_at(at(3, 10, 30))
    assert ledger.accrue(at(3, 13, 15), {KEY: TWO}) == [at(3, 10), at(3, 11), at(3, 12)]
    assert hours_of(ledger) == [Decimal("0.75"), Decimal("1.5"), Decimal("1.5")]
    assert ledger.accounts[KEY].open_total_usd == 0.375


def test_what_stopped_costs_nothing_more() -> None:
    ledger = ledger_at(at(3, 10))
    ledger.accrue(at(3, 10, 1), {})
    ledger.accrue(at(3, 12), {})
    assert hours_of(ledger) == [Decimal("0.0125"), Decimal(0)]  # half of a minute


def test_a_month_starts_at_nothing_and_keeps_its_hours() -> None:
    ledger = ledger_at(at(30, 22))
    ledger.accounts[KEY].told = frozenset({"spent-50"})
    ledger.accrue(at(30, 23), {KEY: TWO})
    assert (ledger.month, ledger.hours_left) == ("2026-11", 1)
    ledger.accrue(at(1, 1, month=12), {KEY: TWO})
    account = ledger.accounts[KEY]
    assert (ledger.month, account.month_usd, len(account.hours), account.told) == (
        "2026-12",
        Decimal("1.5"),
        3,
        frozenset(),
    )


def test_the_hours_left_are_those_to_the_end_of_the_month() -> None:
    assert Ledger(at(1)).hours_left == 30 * 24
    assert Ledger(at(30, 23, 59)).hours_left == 1
    assert Ledger(datetime(2026, 12, 31, tzinfo=UTC)).hours_left == 24


def test_what_spent_nothing_for_two_weeks_is_forgotten_with_the_month() -> None:
    ledger = ledger_at(at(10))
    for day in range(10, 31):
        ledger.accrue(at(day), {})
    assert KEY in ledger.accounts
    ledger.accrue(at(1, month=12), {})
    assert KEY not in ledger.accounts


def test_a_clock_that_was_set_back_charges_nothing_twice() -> None:
    ledger = ledger_at(at(3, 10))
    ledger.accrue(at(3, 11), {KEY: TWO})
    assert ledger.accrue(at(3, 10, 30), {KEY: TWO}) == []
    assert ledger.accrue(at(3, 11), {KEY: TWO}) == []
    assert ledger.accounts[KEY].month_usd == Decimal("1.5")


def test_weeks_in_which_nobody_looked_are_not_charged() -> None:
    ledger = ledger_at(at(3, 10))
    ledger.accrue(at(3, 11), {KEY: TWO})
    ledger.accrue(at(3, 11) + timedelta(days=8), {KEY: TWO})
    assert (ledger.accounts[KEY].month_usd, hours_of(ledger)) == (Decimal("1.5"), [])


def test_a_fleet_that_does_not_move_is_one_line() -> None:
    ledger = ledger_at(at(3))
    for minute in range(0, 60 * 24, 7):
        ledger.accrue(at(3) + timedelta(minutes=minute), {KEY: TWO})
    ((count, hour),) = ledger.accounts[KEY].hours.runs(MOST_HOURS)
    assert (count, hour.usd) == (23, Decimal("1.5"))
    assert list(HourHistory().runs(MOST_HOURS)) == []
