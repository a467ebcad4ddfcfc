from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from bot.analytics.market import Dispute, Market
from bot.analytics.windows import AsOf
from bot.errors import NoData
from bot.messages.common import MAX_BUTTON_DATA, button_rows, heading, sources
from tests.messages.pages import empty, market, said
from tests.sample_market import sample_market

NOTHING = (
    "No prices are stored yet. Fetch them with “python -m bot refresh”, or import a file: "
    "python -m bot import prices IWM_daily.csv --ticker IWM"
)


def asked(**words: str) -> AsOf:
    return AsOf(**{word: pd.Timestamp(text) for word, text in words.items()})


def test_a_current_answer_names_the_close_and_nothing_else() -> None:
    assert said(heading("Trend", market([50.0] * 5), AsOf())) == ["Trend · close of Wed 8 Jan 2020"]


@pytest.mark.parametrize(("behind", "age"), [(1, "1 session old"), (3, "3 sessions old")])
def test_stale_data_say_so_in_the_second_line(behind: int, age: str) -> None:
    last = {1: "Thu 9 Jan 2020", 3: "Mon 13 Jan 2020"}[behind]
    assert said(heading("Trend", market([50.0] * 5, behind=behind), AsOf())) == [
        "Trend · close of Wed 8 Jan 2020",
        f"Stale: {age}; the last completed session is {last}.",
    ]


def test_a_day_without_a_session_names_the_close_before_it() -> None:
    cut = market([50.0] * 5).at(pd.Timestamp("2020-01-05"))
    assert said(heading("Trend", cut, asked(asof="2020-01-05"))) == [
        "Trend · close of Fri 3 Jan 2020",
        "Asked for Sun 5 Jan 2020; the last close before it is used.",
    ]


def test_a_session_asked_for_needs_no_explanation() -> None:
    cut = market([50.0] * 5).at(pd.Timestamp("2020-01-07"))
    assert said(heading("Trend", cut, asked(asof="2020-01-07"))) == ["Trend · close of Tue 7 Jan 2020"]


def test_what_was_known_on_a_day_says_which() -> None:
    lines = said(heading("Trend", market([50.0] * 5), asked(known="2020-01-31")))
    assert lines[1:] == ["As known on Fri 31 Jan 2020."]


@pytest.mark.parametrize(
    ("levels", "note"),
    [
        ([50.0, None, 50.0], ["Missing in the last year: 1 session, the last on 3 Jan 2020."]),
        ([50.0, None, 50.0, None, 50.0], ["Missing in the last year: 2 sessions, the last on 7 Jan 2020."]),
        ([50.0, None, *[50.0] * 251], ["Missing in the last year: 1 session, the last on 3 Jan 2020."]),
        ([50.0, None, *[50.0] * 252], []),  # to 4 Jan 2021
        ([50.0] * 4 + [None, *[50.0] * 253], []),  # 8 Jan 2020, to 8 Jan 2021
    ],
)
def test_sessions_of_the_last_year_that_are_missing_are_counted(
    levels: list[float | None], note: list[str]
) -> None:
    lines = said(heading("Trend", market(levels), AsOf()))
    assert lines[1:] == [f"{line} Windows in days skip them." for line in note]


DISPUTED = (
    "Prices of Yahoo and daily CSV differ by up to 1.25% on 2 sessions, the last on 6 Jan 2020. "
    "Those of Yahoo are used; see /status."
)


def disputed(**apart: dict[str, float]) -> Market:
    """A Market in which the daily CSV's closes are `apart` from Yahoo's, by fund and session."""
    found = tuple(
        Dispute(ticker, "Yahoo", "daily CSV", pd.Series(far.values(), pd.DatetimeIndex(list(far))))
        for ticker, far in apart.items()
    )
    return replace(market([50.0] * 5), disputes=found)


def test_what_sources_did_not_agree_on_long_ago_is_left_to_status() -> None:
    of = disputed(IWM={"2019-01-08": 0.3}, SPY={"2018-06-29": 0.3})
    assert said(heading("Trend", of, AsOf())) == ["Trend · close of Wed 8 Jan 2020"]
    of = disputed(IWM={"2019-01-08": 0.3, "2019-01-09": -0.002})
    assert (
        "differ by up to 0.20% on 1 session, the last on 9 Jan 2019" in said(heading("Trend", of, AsOf()))[1]
    )


def test_sources_of_prices_that_disagree_are_told_in_the_head() -> None:
    of = disputed(IWM={"2020-01-03": 0.002, "2020-01-06": -0.0125}, SPY={"2020-01-06": 0.005})
    assert said(heading("Trend", of, AsOf())) == [
        "Trend · close of Wed 8 Jan 2020",
        DISPUTED,
    ]
    once = said(heading("Trend", disputed(IWM={"2020-01-03": 1}), AsOf()))
    assert "on 1 session, the last on 3 Jan 2020." in once[1]
    assert len(said(heading("Flows", of, AsOf(), priced=False))) == 1


def test_a_disagreement_after_the_day_that_is_asked_for_is_none() -> None:
    of = disputed(IWM={"2020-01-03": 0.002, "2020-01-07": 0.5})
    assert "up to 0.20% on 1 session" in said(heading("Trend", of.at(pd.Timestamp("2020-01-06")), AsOf()))[1]
    assert len(said(heading("Trend", of.at(pd.Timestamp("2020-01-02")), AsOf()))) == 1


def test_sample_data_is_labelled() -> None:
    lines = said(heading("Trend", sample_market(), AsOf()))
    assert lines[1:] == ["Sample data: simulated between published points, not the market."]


def lacking(held: str, ticker: str) -> str:
    return (
        f"There is no session yet with a close of both funds (prices stored: {held}). Import the rest: "
        f"python -m bot import prices {ticker}_daily.csv --ticker {ticker}"
    )


@pytest.mark.parametrize(
    ("of", "message"),
    [
        (empty(), NOTHING),
        (market([None, None], [None, None]), NOTHING),
        (market([50.0, 50.0], [None, None]), lacking("IWM from 2 Jan 2020; SPY none", "SPY")),
        (market([None, None], [None, 100.0]), lacking("IWM none; SPY from 3 Jan 2020", "IWM")),
        (market([50.0, None], [None, 100.0]), lacking("IWM from 2 Jan 2020; SPY from 3 Jan 2020", "SPY")),
    ],
    ids=["empty", "only NaN", "IWM only", "SPY only", "no common session"],
)
def test_without_a_common_close_it_is_said_what_there_is(of: Market, message: str) -> None:
    with pytest.raises(NoData) as error:
        of.require_end()
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("parts", "line"),
    [
        ({}, "Source: none."),
        ({"prices": "no data", "flows": ""}, "Source: none."),
        ({"prices": "Yahoo", "flows": "Yahoo"}, "Source: Yahoo."),
        ({"prices": "Yahoo", "flows": "no data"}, "Source: Yahoo."),
        (
            {"prices": "Yahoo", "flows": "issuer file", "multiples": "Yahoo"},
            "Sources: Yahoo (prices, multiples); issuer file (flows).",
        ),
    ],
)
def test_each_part_has_its_source(parts: dict[str, str], line: str) -> None:
    assert sources(parts) == line


def test_the_moment_asked_for_goes_with_the_buttons() -> None:
    assert AsOf().suffix == ""
    moment = asked(asof="2020-12-13", known="2021-01-05")
    assert moment.suffix == " asof 2020-12-13 known 2021-01-05"


def test_a_command_too_long_for_a_button_is_left_out() -> None:
    fits, long = "/" + "x" * (MAX_BUTTON_DATA - 2), "/" + "x" * (MAX_BUTTON_DATA - 1)
    rows = button_rows([[("fits", fits), ("long", long)], [("long", long)], [("é", "/é" * 30)]], "e")
    assert rows == [[("fits", "e" + fits)]]


def test_a_clock_before_the_first_close_says_when_it_is() -> None:
    with pytest.raises(NoData) as caught:
        replace(empty(), first_close=pd.Timestamp("2021-01-04")).require_end()
    assert str(caught.value) == (
        "The first stored close of both funds is of Mon 4 Jan 2021; the last completed session is "
        "Fri 11 Dec 2020, so there is nothing to show yet."
    )
