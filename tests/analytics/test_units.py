from __future__ import annotations

import math
import pickle

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot.analytics.units import LEVEL, MULTIPLE, NUMBER, PERCENT, POINTS, SHARE, UNITS, USD, Unit
from bot.errors import BadInput

EVERY = pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
FINITE = st.floats(allow_nan=False, allow_infinity=False)


@EVERY
@given(value=FINITE)
@example(value=1.5e9)
@example(value=-999_999.995)
@example(value=5e-324)
@example(value=1.7976931348623157e308)
def test_what_is_written_reads_back_to_the_same_number(unit: Unit, value: float) -> None:
    text = unit.write(value)
    assert unit.parse(text) == value
    assert unit.write(unit.parse(text)) == text


@EVERY
@pytest.mark.parametrize("value", [-189_869_242.95, 0.5195])
def test_a_unit_that_comes_from_another_process_is_the_same(unit: Unit, value: float) -> None:
    sent = pickle.loads(pickle.dumps(unit))  # noqa: S301 - our own bytes
    assert (sent, sent.symbol, sent.words) == (unit, unit.symbol, unit.words)
    assert (sent.show(value), sent.write(value)) == (unit.show(value), unit.write(value))
    assert sent.in_one_scale(value) == unit.in_one_scale(value)


@EVERY
def test_minus_zero_is_zero_and_the_example_is_an_amount(unit: Unit) -> None:
    assert unit.write(-0.0) == unit.write(0.0)
    assert math.copysign(1.0, unit.parse("-0")) == 1.0
    assert unit.write(unit.parse(unit.example)) == unit.example
    assert {unit.show(value) for value in (None, math.nan, math.inf, -math.inf)} == {"n/a"}


@pytest.mark.parametrize(
    ("unit", "value", "text"),
    [
        (USD, 1.5e9, "$1.5bn"),
        (USD, -2e9, "-$2bn"),
        (USD, 310e6, "$310m"),
        (USD, 1e9, "$1bn"),
        (USD, 1e6, "$1m"),
        (USD, 1e3, "$1k"),
        (USD, 2500.0, "$2.5k"),
        (USD, 12.25, "$12.25"),
        (USD, 0.0, "$0"),
        (PERCENT, 5.0, "5%"),
        (PERCENT, -0.25, "-0.25%"),
        (POINTS, -2.0, "-2pp"),
        (MULTIPLE, 25.0, "25x"),
        (SHARE, 80.0, "80%"),
        (NUMBER, 1e-7, "0.0000001"),
        (LEVEL, 0.52, "0.52"),
        (LEVEL, 1e16, "10000000000000000"),
    ],
)
def test_canonical_text(unit: Unit, value: float, text: str) -> None:
    assert unit.write(value) == text


@pytest.mark.parametrize(
    ("unit", "text", "value"),
    [
        (USD, "1.5b", 1.5e9),
        (USD, "$1.5 BN", 1.5e9),
        (USD, "-$2m", -2e6),
        (USD, "$-2mn", -2e6),
        (USD, "\u2212$2m", -2e6),
        (USD, "1,234,567.5", 1_234_567.5),
        (USD, "+.5k", 500.0),
        (USD, "7.", 7.0),
        (PERCENT, " 5 % ", 5.0),
        (PERCENT, "5 percent", 5.0),
        (PERCENT, "5PCT", 5.0),
        (PERCENT, "0", 0.0),
        (PERCENT, "-0.0", 0.0),
        (POINTS, "2 points", 2.0),
        (POINTS, "2pts", 2.0),
        (MULTIPLE, "25", 25.0),
        (MULTIPLE, "25X", 25.0),
        (SHARE, "1.5%", 1.5),
        (NUMBER, "-2", -2.0),
        (LEVEL, "0.5", 0.5),
    ],
)
def test_spellings(unit: Unit, text: str, value: float) -> None:
    assert unit.parse(text) == value


@pytest.mark.parametrize(
    ("unit", "text", "message"),
    [
        (USD, "much", "“much” is not an amount. Example: $1.5bn"),
        (USD, "", "“” is not an amount. Example: $1.5bn"),
        (USD, "-$-5", "“-$-5” is not an amount. Example: $1.5bn"),
        (USD, "5%", "“5%” is in %; this needs dollars. Example: $1.5bn"),
        (USD, "$5%", "“$5%” has two units. Example: $1.5bn"),
        (USD, "1e9", "“1e9” is not an amount. Example: $1.5bn"),
        (USD, "9" * 400, f"“{'9' * 400}” is too large. Example: $1.5bn"),
        (PERCENT, "5", "“5” has no unit; this needs percent (%). Example: 5%"),
        (PERCENT, "$5", "“$5” is in $; this needs percent (%). Example: 5%"),
        (PERCENT, "5pp", "“5pp” is in pp; this needs percent (%). Example: 5%"),
        (PERCENT, "1,2,5%", "“1,2,5%” is not an amount. Example: 5%"),
        (POINTS, "5k", "“5k”: k is for money; this needs percentage points (pp). Example: 2pp"),
        (POINTS, "2", "“2” has no unit; this needs percentage points (pp). Example: 2pp"),
        (MULTIPLE, "5%", "“5%” is in %; this needs times (x). Example: 25x"),
        (SHARE, "80", "“80” has no unit; this needs percent (%). Example: 80%"),
        (NUMBER, "2x", "“2x” is in x; this needs a plain number. Example: 1.5"),
        (LEVEL, "$1", "“$1” is in $; this needs a plain number. Example: 0.52"),
        (LEVEL, "5m", "“5m”: m is for money; this needs a plain number. Example: 0.52"),
    ],
)
def test_what_is_not_an_amount_is_named_with_one_that_works(unit: Unit, text: str, message: str) -> None:
    with pytest.raises(BadInput) as caught:
        unit.parse(text)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("unit", "value", "text"),
    [
        (USD, 0.8235e9, "+$0.82bn"),
        (USD, -31.08e9, "\u2212$31.08bn"),
        (USD, 310e6, "+$0.31bn"),
        (USD, 52.44e6, "+$52.4m"),
        (USD, 0.1e9, "+$0.10bn"),
        (USD, 0.1e9 - 1, "+$100.0m"),
        (USD, 0.1e6, "+$0.1m"),
        (USD, 0.1e6 - 1, "+$99,999"),
        (USD, -99_999.6, "\u2212$100,000"),
        (USD, 0.0, "$0"),
        (USD, -0.4, "$0"),
        (PERCENT, 14.8694, "+14.87%"),
        (PERCENT, -1.7003, "\u22121.70%"),
        (PERCENT, -0.004, "0.00%"),
        (PERCENT, 1234.5, "+1,234.50%"),
        (POINTS, 1.064, "+1.06pp"),
        (MULTIPLE, 75.04, "75.0x"),
        (MULTIPLE, -3.0, "\u22123.0x"),
        (SHARE, 1.26, "1.3%"),
        (NUMBER, 0.0682, "+0.07"),
        (LEVEL, 0.519519, "0.5195"),
    ],
)
def test_shown_text(unit: Unit, value: float, text: str) -> None:
    assert unit.show(value) == text


@pytest.mark.parametrize(
    ("unit", "value", "decimals", "text"),
    [
        (USD, 5.5546e9, 1, "+$5.6bn"),
        (USD, 52.4e6, 1, "+$52m"),
        (USD, 52.4e6, 0, "+$52m"),
        (PERCENT, 14.8694, 0, "+15%"),
        (LEVEL, 0.519519, 2, "0.52"),
    ],
)
def test_decimals_can_be_asked_for(unit: Unit, value: float, decimals: int, text: str) -> None:
    assert unit.show(value, decimals) == text


@EVERY
@given(value=st.floats(-1e15, 1e15))
def test_a_sign_stands_before_what_is_not_zero_once_rounded_and_not_else(unit: Unit, value: float) -> None:
    text = unit.show(value)
    nothing = not any(digit in text for digit in "123456789")
    minus, plus = text.startswith("\u2212"), text.startswith("+")
    assert minus == (value < 0 and not nothing)
    assert plus == (value > 0 and unit.signed and not nothing)
    assert "-" not in text
