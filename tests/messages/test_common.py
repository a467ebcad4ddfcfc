from dataclasses import replace

import pandas as pd
import pytest

from bot.alerts.grammar import parse_rule
from bot.analytics.market import Dispute, Market, Source
from bot.analytics.metrics import METRICS
from bot.analytics.windows import AsOf
from bot.errors import NoData
from bot.messages.common import (
    MAX_BUTTON_DATA,
    Answer,
    age,
    button_rows,
    details,
    heading,
    percentile_phrase,
    price_notes,
    rule_sources,
    sources,
)
from bot.messages.html import CAPTION_LIMIT, Html, lines, visible_length
from tests.messages.pages import SAMPLE, days, empty, market, shown
from tests.sample_market import sample_market

NOTHING = (
    "No prices are stored yet. Fetch them with “python -m bot refresh”, or import a file: "
    "python -m bot import prices IWM_daily.csv --ticker IWM"
)
FIVE, NAN, NOW = market([50.0] * 5), float("nan"), AsOf()


def as_of(**dates: str) -> AsOf:
    return AsOf(**{word: pd.Timestamp(text) for word, text in dates.items()})


def head(of: Market, moment: AsOf = NOW) -> list[str]:
    """The lines of a heading below its title, and the title's date first."""
    title, *remarks = shown(heading("Trend", of, moment))
    return [title.removeprefix("Trend · "), *remarks]


@pytest.mark.parametrize(
    ("of", "moment", "lines"),
    [
        (FIVE, NOW, ["Wed 8 Jan 2020"]),
        (
            market([50.0] * 5, behind=1),
            as_of(),
            ["Wed 8 Jan 2020", "Stale: 1 session old; the last completed session is Thu 9 Jan 2020."],
        ),
        (
            market([50.0] * 5, behind=3),
            as_of(),
            ["Wed 8 Jan 2020", "Stale: 3 sessions old; the last completed session is Mon 13 Jan 2020."],
        ),
        (
            FIVE.at(pd.Timestamp("2020-01-05")),
            as_of(asof="2020-01-05"),
            ["Fri 3 Jan 2020", "Asked for Sun 5 Jan 2020; the last close before it is used."],
        ),
        (FIVE.at(pd.Timestamp("2020-01-07")), as_of(asof="2020-01-07"), ["Tue 7 Jan 2020"]),
        (FIVE, as_of(known="2020-01-31"), ["Wed 8 Jan 2020", "As known on Fri 31 Jan 2020."]),
        (sample_market(), as_of(), ["Fri 11 Dec 2020", SAMPLE]),
    ],
)
def test_a_heading_names_the_close_and_its_remarks(of: Market, moment: AsOf, lines: list[str]) -> None:
    assert head(of, moment) == lines


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
def test_missing_sessions_of_the_last_year_are_counted(levels: list[float | None], note: list[str]) -> None:
    assert price_notes(market(levels)) == [
        f"{line} Windows in days count them, averages leave them out." for line in note
    ]


def disputed(**differences: dict[str, float]) -> Market:
    """A Market in which the daily CSV's closes differ from Yahoo's, by fund and session."""
    disputes = tuple(
        Dispute(ticker, "Yahoo", "daily CSV", pd.Series(sizes.values(), pd.DatetimeIndex(list(sizes))))
        for ticker, sizes in differences.items()
    )
    return replace(FIVE, disputes=disputes)


def test_a_disagreement_is_told_for_a_year_and_not_before_it_happens() -> None:
    assert price_notes(disputed(IWM={"2019-01-08": 0.3}, SPY={"2018-06-29": 0.3})) == []
    (note,) = price_notes(disputed(IWM={"2019-01-08": 0.3, "2019-01-09": -0.002}))
    assert "differ by up to 0.20% on 1 session, the last on 9 Jan 2019" in note
    of = disputed(IWM={"2020-01-03": 0.002, "2020-01-07": 0.5})
    assert "up to 0.20% on 1 session" in price_notes(of.at(pd.Timestamp("2020-01-06")))[0]
    assert price_notes(of.at(pd.Timestamp("2020-01-02"))) == []


def test_sources_of_prices_that_disagree_are_named() -> None:
    of = disputed(IWM={"2020-01-03": 0.002, "2020-01-06": -0.0125}, SPY={"2020-01-06": 0.005})
    (note,) = price_notes(of)
    assert note == (
        "Prices of Yahoo and daily CSV differ by up to 1.25% on 2 sessions, the last on 6 Jan 2020. "
        "Those of Yahoo are used; see /status."
    )
    assert price_notes(of, priced=False) == []
    lacking = market([50.0, None, 50.0, 50.0, 50.0])
    first, last = details(replace(lacking, disputes=of.disputes), "Source: Yahoo.").split("\n")
    assert first == f"{note} 1 more note: /status."
    assert last == "Source: Yahoo."


def test_of_a_caption_too_long_the_quote_gives_way_but_for_its_sources() -> None:
    quote = lines(*("x" * 300 for _ in range(6)), "Source: Yahoo.")
    answer = Answer(Html("y" * 400), lambda: lambda: b"", quote=quote, steps=("Import it.",))
    assert (answer.text.count("x" * 300), "Source: Yahoo." in answer.text) == (2, True)
    assert replace(answer, draw=None).text.count("x" * 300) == 6
    pages = [answer.page("/flows 3m", number, owner=True) for number in (1, 2, 3, 4, 5)]
    assert [page.text.count("x" * 300) for page in pages] == [1, 1, 1, 1, 1]
    assert all(visible_length(page.text) <= CAPTION_LIMIT for page in pages)
    assert [page.buttons[-1] for page in pages] == [
        (("More", "/flows 3m more"),),
        *((("Back", "/flows 3m"), ("More", f"/flows 3m more {number}")) for number in (3, 4, 5)),
        (("Back", "/flows 3m"), ("More", "/flows 3m more 6")),
    ]
    assert "Import it." in pages[0].text
    assert answer.page("/backtest " + 60 * "x").text.endswith("more</code></blockquote>")
    assert "More" not in str(replace(answer, draw=None).page("/flows"))


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
        (
            replace(empty(), first_close=pd.Timestamp("2021-01-04")),
            (
                "The first stored close of both funds is of Mon 4 Jan 2021; the last completed session is "
                "Fri 11 Dec 2020, so there is nothing to show yet."
            ),
        ),
    ],
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
    assert as_of(asof="2020-12-13", known="2021-01-05").suffix == " asof 2020-12-13 known 2021-01-05"


def test_a_command_too_long_for_a_button_is_left_out() -> None:
    fits, long = ("fits", "/" + "x" * (MAX_BUTTON_DATA - 2)), ("long", "/" + "x" * (MAX_BUTTON_DATA - 1))
    rows = button_rows([[fits, long], [long], [("é", "/é" * 30)]], "e")
    assert rows == [[("fits", "e" + fits[1])]]


@pytest.mark.parametrize(
    ("values", "phrase"),
    [
        ([], None),
        ([1.0], None),
        ([NAN, 1.0], None),
        ([*range(18), 18.0], None),  # among fewer than 20 a place says nothing
        ([*range(19), 19.0], "percentile 100 (n = 20 since 2 Jan 2020)"),
        ([NAN, *[2.0] * 19, 1.0, NAN], "percentile 5 (n = 20 since 3 Jan 2020)"),
        ([3.0] + [0.0] * 1_498 + [2.0], "percentile above 99 (n = 1,500 since 2 Jan 2020)"),
        ([3.0] * 5 + [0.0] * 993 + [2.0], "percentile 99 (n = 999 since 2 Jan 2020)"),
        ([3.0] * 300 + [1.0], "percentile below 1 (n = 301 since 2 Jan 2020)"),
        ([3.0] * 124 + [1.0], "percentile 1 (n = 125 since 2 Jan 2020)"),
    ],
)
def test_a_place_in_history_has_its_n_and_its_first_date(values: list[float], phrase: str | None) -> None:
    assert percentile_phrase(pd.Series(values, days(len(values)))) == phrase


@pytest.mark.parametrize(("behind", "words"), [(0, "current"), (1, "1 session old"), (3, "3 sessions old")])
def test_an_age_counts_the_sessions_since(behind: int, words: str) -> None:
    assert age(market([50.0] * 5, behind=behind), days(5)[-1]) == words


@pytest.mark.parametrize(
    ("rule", "old", "line"),
    [
        ("ratio > 0.5", 0, "Source: CSV import, current."),
        ("ratio > 0.5 and excess 3m > 0", 1, "Source: CSV import, 1 session old."),
        ("ratio > 0.5 and flow_gap 20d > 2pp", 2, "Sources: CSV import; issuer file, 2 sessions old."),
    ],
)
def test_a_rule_names_the_sources_of_all_its_conditions(rule: str, old: int, line: str) -> None:
    of = market([50.0] * 5, units={"IWM": [250.0], "SPY": [900.0]}, behind=old)
    issuer = dict.fromkeys(("facts:IWM", "facts:SPY"), Source("issuer", "issuer file"))
    of = replace(of, sources={**of.sources, **issuer})
    assert rule_sources(parse_rule(rule, METRICS), of, days(5)[-1]) == line
