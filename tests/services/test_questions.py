import pandas as pd
import pytest

from bot.analytics.windows import AsOf, Window
from bot.pair import DEFAULT_PAIR
from bot.services.questions import parse_question

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


@pytest.mark.parametrize("text", ["30.09.2020", "2020-09-30", "since 30.9.2020"])
def test_a_date_by_itself_begins_the_window(text: str) -> None:
    question = parse_question(text, EXAMPLE, DEFAULT_PAIR)
    assert [str(window) for window in question.windows] == ["since 2020-09-30"]
