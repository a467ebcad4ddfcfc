from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
import pytest

from bot.analytics.windows import AsOf, Window
from bot.errors import BadInput
from bot.pair import DEFAULT_PAIR
from bot.services.questions import MOST_WINDOWS, load_market, parse_question

if TYPE_CHECKING:
    from tests.jobs.desk import Desk

EXAMPLE = "/compare 3y"


@pytest.mark.parametrize(
    ("text", "total", "stated"),
    [
        ("3m", None, False),
        ("3m tr", True, True),
        ("price 3m", False, True),
        ("tr price", None, True),
        ("both", None, True),
    ],
)
def test_a_kind_of_return_that_was_typed_is_stated(text: str, total: bool | None, stated: bool) -> None:
    question = parse_question(text, EXAMPLE, DEFAULT_PAIR, kinds=True)
    assert (question.total, question.stated) == (total, stated)
    assert question.returns(preferred=True) is (total if stated else True)


def test_dates_and_windows_come_in_any_order() -> None:
    question = parse_question("asof 2020-12-11 3m known 2020-12-14 since 2020-01-02", EXAMPLE, DEFAULT_PAIR)
    assert question.dates == AsOf(pd.Timestamp("2020-12-11"), pd.Timestamp("2020-12-14"))
    assert [str(window) for window in question.windows] == ["3m", "since 2020-01-02"]


def test_other_words_are_left_to_the_command_where_it_takes_some() -> None:
    question = parse_question("ratio_vs_sma 200 5y", EXAMPLE, DEFAULT_PAIR, rest=True)
    assert (question.rest, question.windows) == (("ratio_vs_sma", "200"), (Window("y", 5),))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("asof", "“asof” needs a date after it."),
        ("asof 2020-12-11 asof 2020-12-10", "“asof” is given twice."),
        (" ".join(["3m"] * (MOST_WINDOWS + 1)), "7 windows are too many; at most 6."),
    ],
)
def test_what_cannot_be_asked_is_named(text: str, sentence: str) -> None:
    with pytest.raises(BadInput) as error:
        parse_question(text, EXAMPLE, DEFAULT_PAIR)
    assert (error.value.sentence, error.value.example) == (sentence, EXAMPLE)


def test_one_window_is_enough_where_one_is_shown() -> None:
    assert parse_question("", EXAMPLE, DEFAULT_PAIR, most_windows=1).window is None
    assert parse_question("3m", EXAMPLE, DEFAULT_PAIR, most_windows=1).window == Window("m", 3)
    with pytest.raises(BadInput, match=r"^/compare takes one window\."):
        parse_question("3m 6m", EXAMPLE, DEFAULT_PAIR, most_windows=1)


async def test_the_market_is_the_one_of_the_date_asked_for(desk: Desk) -> None:
    await desk.closes([0.5] * 10)
    market = await load_market(desk.services, parse_question("asof 2020-01-10", EXAMPLE, DEFAULT_PAIR))
    assert market.end == pd.Timestamp("2020-01-10")


async def test_a_window_cannot_begin_after_the_last_close(desk: Desk) -> None:
    await desk.closes([0.5] * 10)
    question = parse_question("since 2020-01-20", EXAMPLE, DEFAULT_PAIR)
    with pytest.raises(BadInput, match=r"^“since 2020-01-20” begins after the last known close"):
        await load_market(desk.services, question)
