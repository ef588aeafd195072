from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from berth_operator.quantity import Quantity, byte_quantity, count_quantity, decimal_text, parse_decimal


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("8Gi", 8 * 2**30),
        ("8.03G", 8_030_000_000),
        ("250m", Decimal("0.25")),
        ("1.5", Decimal("1.5")),
        (".5", Decimal("0.5")),
        ("5.", 5),
        ("0", 0),
        ("129e6", 129_000_000),
        ("129E6", 129_000_000),
        ("1E", 10**18),
        ("1Ei", 2**60),
        ("100n", Decimal("1E-7")),
        ("7u", Decimal("7E-6")),
        ("-3k", -3000),
        ("+3Ki", 3072),
        ("1e-3", Decimal("0.001")),
        (16, 16),
    ],
)
def test_every_spelling_of_a_quantity_is_understood(text: object, amount: Decimal | int) -> None:
    assert Quantity.parse(text).amount == amount


@pytest.mark.parametrize(
    "text", ["", "Gi", "8 Gi", "8GB", "8gi", "1.2.3", "0x10", "1e", "8Gi\n", "٣Gi", "NaN", "1" * 65]
)
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be a quantity such as"):
        Quantity.parse(text)


@pytest.mark.parametrize("value", [1.5, True, None, ["8Gi"]])
def test_a_quantity_is_never_a_float_or_a_flag(value: object) -> None:
    with pytest.raises(ValueError, match="in quotes"):
        Quantity.parse(value)


def test_a_quantity_keeps_its_spelling_and_equals_by_amount() -> None:
    assert str(Quantity.parse("1024Mi")) == "1024Mi"
    assert Quantity.parse("1024Mi") == Quantity.parse("1Gi")
    assert hash(Quantity.parse("1024Mi")) == hash(Quantity.parse("1Gi"))
    assert Quantity.parse("1G") < Quantity.parse("1Gi") <= Quantity.parse("1024Mi")


def test_a_fraction_of_a_byte_asks_for_a_whole_one() -> None:
    assert int(Quantity.parse("1.0001k")) == 1001


@pytest.mark.parametrize(
    ("value", "decimal"), [(200, "200"), ("0.5", "0.5"), ("-3", "-3"), ("007", "7"), (Decimal("1.10"), "1.10")]
)
def test_a_decimal_is_an_integer_or_a_string(value: object, decimal: str) -> None:
    assert parse_decimal(value) == Decimal(decimal)


def test_a_float_is_no_decimal_and_the_error_says_to_use_quotes() -> None:
    with pytest.raises(ValueError, match="put a number with a point in quotes"):
        parse_decimal(0.5)


@pytest.mark.parametrize("text", ["", "1e3", "1,5", " 1", "1.", ".5", "NaN", "Infinity", "1_000", "٣", "1\n"])
def test_what_is_no_decimal_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be a decimal number"):
        parse_decimal(text)


@pytest.mark.parametrize(
    ("value", "text"),
    [("1E+2", "100"), ("1.500", "1.5"), ("2.0", "2"), ("0.00", "0"), ("100", "100"), ("-0.10", "-0.1")],
)
def test_a_decimal_is_written_in_plain_digits(value: str, text: str) -> None:
    assert decimal_text(Decimal(value)) == text


@pytest.mark.parametrize(
    ("count", "text"), [(8 * 2**30, "8Gi"), (1000, "1000"), (1536, "1536"), (2**60, "1Ei"), (0, "0")]
)
def test_bytes_are_written_with_the_largest_exact_suffix(count: int, text: str) -> None:
    assert byte_quantity(count) == text


@pytest.mark.parametrize(
    ("amount", "text"), [(8_030_000_000, "8030M"), ("0.25", "250m"), (4, "4"), (0, "0"), ("1E-9", "1n"), (10**12, "1T")]
)
def test_counts_are_written_with_the_largest_exact_suffix(amount: int | str, text: str) -> None:
    assert count_quantity(Decimal(amount)) == text


def test_what_no_quantity_can_say_exactly_is_an_error() -> None:
    with pytest.raises(ValueError, match="finer than a nano"):
        count_quantity(Decimal("1E-10"))


@given(st.integers(min_value=0, max_value=2**63 - 1))
def test_bytes_come_back_as_they_went(count: int) -> None:
    assert int(Quantity.parse(byte_quantity(count))) == count


@given(st.decimals(min_value=0, max_value=10**15, places=9))
def test_counts_and_decimals_come_back_as_they_went(amount: Decimal) -> None:
    assert Quantity.parse(count_quantity(amount)).amount == amount
    assert parse_decimal(decimal_text(amount)) == amount
