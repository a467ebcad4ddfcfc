import asyncio

import pandas as pd
import pytest

from bot.analytics.market import Market
from bot.analytics.windows import AsOf, Window
from bot.errors import NoData
from bot.pair import DEFAULT_PAIR
from bot.services.questions import MOST_ANSWERS, answer_once, parse_question

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


async def test_a_page_is_computed_once_a_market_for_all_who_ask_and_an_error_again() -> None:
    computed: list[object] = []

    def page(market: Market, as_of: AsOf, number: int) -> str:
        del market, as_of
        computed.append(number)
        if number < 0:
            raise NoData("There are no prices.")
        return f"answer {number}"

    day = pd.Timestamp("2020-12-11")
    markets = [Market(pd.DataFrame(index=pd.DatetimeIndex([])), last_completed=day) for _ in range(2)]
    for market in markets:
        answers = await asyncio.gather(*(answer_once(page, market, AsOf(), 1) for _ in range(3)))
        assert answers == ["answer 1"] * 3
    assert await answer_once(page, markets[0], AsOf(day), 1) == "answer 1"
    assert computed == [1, 1, 1]
    for _ in range(2):
        with pytest.raises(NoData):
            await answer_once(page, markets[0], AsOf(), -1)
    for number in range(MOST_ANSWERS + 1):
        await answer_once(page, markets[0], AsOf(), number)
    assert len(markets[0].results[answer_once,]) == MOST_ANSWERS
    assert computed[3:5] == [-1, -1]


def test_a_command_without_windows_takes_a_bare_date_as_the_day_asked_about() -> None:
    question = parse_question("30 Sep 2020", "/multiples", DEFAULT_PAIR, most_windows=0)
    assert question.dates.asof == pd.Timestamp("2020-09-30")
