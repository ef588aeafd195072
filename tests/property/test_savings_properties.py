"""Parts of a saving, whatever the two bills are."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from berth_scheduler.savings.bill import Bill, Static, parts_of
from berth_scheduler.savings.saving import Factor

usd = st.floats(min_value=0.01, max_value=5000, allow_nan=False)


@st.composite
def bills(draw: st.DrawFn) -> Bill:
    return Bill(draw(st.integers(1, 200)), draw(usd), draw(usd), draw(usd))


@given(bills(), bills(), usd, st.none() | usd, usd)
def test_the_parts_add_up_to_the_saving_exactly(
    before: Bill, after: Bill, first: float, other: float | None, last: float
) -> None:
    saved = Decimal(str(round(before.paid, 4))) - Decimal(str(round(after.paid, 4)))
    parts = parts_of(before, after, Static(first, other, last), saved)
    assert sum(parts.values(), Decimal(0)) == saved
    assert not ({Factor.GPU, Factor.PRECISION} & set(parts) and Factor.GPU_AND_PRECISION in parts)


@given(bills(), usd)
def test_a_bill_against_itself_saves_nothing(bill: Bill, static: float) -> None:
    assert parts_of(bill, bill, Static(static, static, static), Decimal(0)) == {}


@given(bills(), bills(), usd, usd, usd)
def test_the_other_way_round_the_whole_changes_its_sign(
    one: Bill, two: Bill, first: float, other: float, last: float
) -> None:
    saved = Decimal(str(round(one.paid - two.paid, 4)))
    there = parts_of(one, two, Static(first, other, last), saved)
    back = parts_of(two, one, Static(last, other, first), -saved)
    assert sum(there.values(), Decimal(0)) == -sum(back.values(), Decimal(0))
