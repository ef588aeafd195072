"""The ledger, whatever the looks: time is charged once, and what is kept is what comes back."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from berth_cost.spending.ledger import Account, Charge, Ledger, Rates
from berth_operator.spending.ledger_document import packed, unpacked

START = datetime(2026, 10, 30, 21, 17, tzinfo=UTC)
KEY = "chat/llama"
steps = st.lists(st.integers(1, 400), min_size=1, max_size=40)
"""Minutes between looks."""
charges = st.lists(
    st.builds(Charge, st.sampled_from(["a", "b", "c"]), st.floats(0.01, 1000), st.floats(0.01, 100)),
    max_size=3,
    unique_by=lambda charge: charge.kind,
).map(lambda found: Rates(tuple(sorted(found, key=lambda charge: charge.kind)), 5.0))


def charged(ledger: Ledger) -> float:
    """Of all hours that are closed, and of the one that is not."""
    account = ledger.accounts.get(KEY, Account())
    return sum(float(hour.usd) for hour in account.hours) + account.open_total_usd


@given(steps, charges)
def test_the_same_rate_costs_the_same_however_often_one_looks(minutes: list[int], rates: Rates) -> None:
    ledger = Ledger(START, {KEY: Account(rates=rates)})
    for step in minutes:
        ledger.accrue(ledger.at + timedelta(minutes=step), {KEY: rates})
    assert charged(ledger) == pytest.approx(rates.usd_per_hour * sum(minutes) / 60, rel=1e-5)


@given(st.lists(st.tuples(st.integers(1, 400), charges), min_size=1, max_size=30))
def test_every_hour_is_closed_once_and_months_add_up(looks: list[tuple[int, Rates]]) -> None:
    ledger, closed = Ledger(START), []
    for step, rates in looks:
        closed += ledger.accrue(ledger.at + timedelta(minutes=step), {KEY: rates})
    assert closed == sorted(set(closed))
    assert len(closed) == (ledger.at.replace(minute=0) - START.replace(minute=0)) // timedelta(hours=1)
    account = ledger.accounts.get(KEY)
    if account is not None:
        of_month = sum(1 for hour in closed if f"{hour:%Y-%m}" == ledger.month)
        recent = account.hours.last(of_month)
        assert float(account.month_usd) == pytest.approx(sum(float(hour.usd) for hour in recent), abs=1e-9)


@given(st.lists(st.tuples(st.integers(1, 400), charges), min_size=1, max_size=30))
def test_what_is_kept_comes_back(looks: list[tuple[int, Rates]]) -> None:
    ledger = Ledger(START)
    for step, rates in looks:
        ledger.accrue(ledger.at + timedelta(minutes=step), {KEY: rates})
    again = unpacked(packed(ledger, frozenset({KEY}))[0])
    assert (again.at, again.accounts) == (ledger.at, ledger.accounts)
