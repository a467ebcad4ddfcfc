from collections.abc import Callable
from dataclasses import replace

import pandas as pd
import pytest

from bot.analytics.market import Market
from bot.analytics.sources import COMPANIES
from bot.analytics.windows import AsOf, parse_window
from bot.messages.canvas import LIGHT
from bot.messages.common import Answer
from bot.messages.pages.fundamentals import attribution_answer, fundamentals_answer
from tests.messages.pages import SAMPLE, button_labels, drawing, market, page, shown
from tests.sample_market import sample_market


def implied(of: Market, window: str = "ytd") -> Answer:
    return fundamentals_answer(of, AsOf(), LIGHT, parse_window(window))


def panels(answer: Answer) -> dict[str, dict[str, str]]:
    """The last values that the chart would show, by panel and line."""
    return {
        title: {name: f"{line.iloc[-1]:.1f}" for name, line in series.items()}
        for title, series in drawing(answer).args[0].items()
    }


def cells(answer: Answer, name: str) -> list[str]:
    """The figures of both funds in a row of the table."""
    return next(line for line in shown(answer) if line.startswith(name)).split()[-2:]


def without(of: Market, metric: str, sessions: Callable[[pd.Series], pd.Series]) -> Market:
    """The market without the figures of a multiple on some sessions."""
    rows = of.multiples
    return replace(of, multiples=rows[~((rows["metric"] == metric) & sessions(rows["session"]))])


def test_what_prices_and_multiples_imply_is_indexed_to_the_base() -> None:
    answer = implied(sample_market())
    text = shown(answer)
    # 190.30 / 75.0 = 2.54; 49 percent less than at the end of 2019, as the article has it.
    assert text[:2] == ["Implied earnings, ytd: IWM −49%, SPY −14% · Fri 11 Dec 2020", SAMPLE]
    assert (
        "IWM, 31 Dec 2019 to 11 Dec 2020: earnings $2.54, cash flow $13.22, book $80.98, sales $131.24; "
        "P/E history from 31 Dec 2014, n = 352."
    ) in text
    assert panels(answer) == {
        "Earnings": {"IWM": "51.0", "SPY": "86.0"},
        "Cash flow": {"IWM": "80.0", "SPY": "94.0"},
        "Book": {"IWM": "95.0", "SPY": "101.0"},
        "Sales": {"IWM": "92.0", "SPY": "97.0"},
    }
    style = drawing(answer).args[2]
    assert style.title == "Implied per share, losses included, 31 Dec 2019 = 100"
    assert style.footer == "Source: sample data · close of Fri 11 Dec 2020"


def test_a_figure_without_a_base_is_left_out_of_the_picture() -> None:
    answer = implied(without(sample_market(), "ps", lambda session: session < "2020-11-01"))
    assert cells(answer, "Sales") == ["n/a", "n/a"]
    assert [name for name, lines in panels(answer).items() if lines] == ["Earnings", "Cash flow", "Book"]


def test_figures_with_bases_of_their_own_are_drawn_without_dating_the_base() -> None:
    answer = implied(without(sample_market(), "ps", lambda session: session == "2019-12-31"))
    assert drawing(answer).args[2].title == "Implied per share, losses included, base = 100"


def test_a_base_before_the_history_gives_no_index() -> None:
    answer = implied(sample_market(), "10y")
    text = shown(answer)
    assert any(line.startswith("IWM, figures to 11 Dec 2020, none at the base: earnings $2.54") for line in text)
    assert cells(answer, "Earnings") == ["n/a", "n/a"]
    assert answer.draw is None


def test_without_multiples_nothing_is_implied() -> None:
    answer = implied(market([50.0]))
    assert shown(answer)[0].startswith("Nothing is implied: no multiples are stored · ")
    assert answer.draw is None
    assert button_labels(answer) == [["Compare", "Multiples", "Why"]]


def test_figures_of_an_older_session_are_dated_and_the_block_says_its_age() -> None:
    whole = sample_market()
    old = replace(whole, multiples=whole.multiples[whole.multiples["session"] <= "2020-12-04"])
    text = shown(implied(without(old, "ps", lambda session: session > "2020-12-01")))
    (line,) = [line for line in text if line.startswith("IWM, 31 Dec 2019 to 4 Dec 2020, 5 sessions old: ")]
    assert "; of an earlier session: Sales of " in line


def test_a_window_since_a_date_stands_in_the_title_as_a_date() -> None:
    title = shown(implied(sample_market(), "since 2020-09-30"))[0]
    assert title == "Implied earnings, since 30 Sep 2020: IWM +3%, SPY +2% · Fri 11 Dec 2020"


def why(of: Market, window: str) -> list[str]:
    return shown(attribution_answer(of, AsOf(), LIGHT, parse_window(window)))


@pytest.mark.parametrize(
    ("small_pe", "price", "reading"),
    [
        (30.0, 55.0, "IWM rose on a higher multiple while its earnings fell."),
        (15.0, 45.0, "IWM fell on a lower multiple while its earnings rose."),
        (26.0, 70.0, "IWM moved mostly with its multiple."),
        (21.0, 70.0, "IWM moved mostly with its earnings."),
        (19.0, 40.0, "IWM moved mostly with its earnings."),
    ],
)
def test_the_reading_says_what_did_the_work(small_pe: float, price: float, reading: str) -> None:
    figures = [("2020-01-02", "IWM", "pe", 20.0), ("2020-01-03", "IWM", "pe", small_pe)]
    lines = why(market([50.0, price], multiples=figures), "1d")
    assert lines[0] == f"{reading.rstrip('.')}, 1d · Fri 3 Jan 2020"


def test_why_says_that_counts_behind_its_flow_are_doubtful() -> None:
    lines = why(market([50.0] * 3, units={"IWM": [250.0, 251.0, 300.0]}), "2d")
    assert "IWM flow, unconfirmed, with 1 flagged day, BIG on 6 Jan 2020 (see /flows)." in lines
    lines = why(market([50.0] * 3, units={"IWM": [250.0, 251.0, 400.0]}), "2d")
    assert "IWM flow: n/a, 1 flagged day, IMPOSSIBLE on 6 Jan 2020 (see /flows)." in lines


def test_why_without_multiples_or_facts_says_what_is_missing() -> None:
    lines = why(market([50.0, 51.0]), "1d")
    assert [line.split() for line in lines[2:6]] == [
        ["Price", "return", "+2.00%", "0.00%"],
        ["Distributions", "0.00pp", "0.00pp"],
        ["Earnings", "n/a", "n/a"],
        ["Multiple", "(P/E)", "n/a", "n/a"],
    ]
    assert lines[-5:] == [
        "IWM, earnings and multiple: n/a, no P/E stored.",
        "SPY, earnings and multiple: n/a, no P/E stored.",
        "IWM flow: n/a, no fund facts.",
        "SPY flow: n/a, no fund facts.",
        "Source: CSV import.",
    ]


def test_a_split_that_has_no_base_says_from_when_there_is_one() -> None:
    figures = [("2020-03-09", ticker, "pe", 20.0) for ticker in ("IWM", "SPY")]
    lines = why(market([50.0] * 60, multiples=figures), "50d")
    (line,) = [line for line in lines if line.startswith("IWM, earnings and multiple: n/a, ")]
    assert "9 Mar 2020" in line
    assert lines[0].startswith("What moved IWM and SPY, 50d · ")


def test_a_window_longer_than_the_prices_has_no_answer_for_either_fund() -> None:
    assert why(market([50.0] * 5), "1y")[1:] == ["1y: too little history."]


def first_day() -> Market:
    """A market whose companies were first added up on the last day; Morningstar's figures began before."""
    columns = ("metric", "convention", "basis", "value", "source", "session")
    own = [("pe", 50.0), ("pb", 2.0), ("earnings_yield", 2.0)]
    lent = [("pe", 20.0), ("pb", 2.1), ("pcf", 11.0), ("ps", 1.1)]
    rows = [
        *((metric, "losses_in", "trailing", value, COMPANIES, "2020-01-03") for metric, value in own),
        *(
            (metric, "morningstar", "unstated", value + day, "yahoo", f"2020-01-0{2 + day}")
            for metric, value in lent
            for day in (0, 1)
        ),
    ]
    figures = pd.DataFrame([(*row, t) for row in rows for t in ("IWM", "SPY")], columns=[*columns, "ticker"])
    return replace(market([50.0, 55.0]), multiples=figures.astype({"session": "datetime64[ns]"}))


def test_each_line_is_of_the_convention_that_has_it() -> None:
    answer = implied(first_day(), "1d")
    assert shown(answer)[1:] == [
        "Implied per share, losses included, trailing; base = 100.",
        "                    IWM    SPY",
        "Earnings            n/a    n/a",
        "Cash flow         100.8   91.7",
        "Book                n/a    n/a",
        "Sales              57.6   52.4",
        "Net margin        10.0%  10.0%",
        "Return on equity   4.0%   4.0%",
        (
            "IWM, 2 Jan 2020 to 3 Jan 2020: earnings $1.10, cash flow $4.58, book $27.50, sales $26.19; "
            "P/E history from 3 Jan 2020, n = 1."
        ),
        (
            "SPY, 2 Jan 2020 to 3 Jan 2020: earnings $2.00, cash flow $8.33, book $50.00, sales $47.62; "
            "P/E history from 3 Jan 2020, n = 1."
        ),
        "Cash flow, Sales, Net margin: Morningstar via Yahoo, basis unstated.",
        "Implied per share = price / multiple.",
        "Source: CSV import.",
    ]
    assert drawing(answer).args[2].title.startswith("Implied per share, losses included, Morningstar via Yahoo, ")


def test_a_leading_convention_without_a_base_leaves_the_split_to_another() -> None:
    lines = why(first_day(), "1d")
    assert "P/E 20.0x → 21.0x, Morningstar via Yahoo, basis unstated: " in "\n".join(lines)
    assert "With losses included there is no split: P/E is recorded from 3 Jan 2020." in lines
    text = "\n".join(why(first_day(), "1y"))
    assert "too little history" in text
    assert "there is no split" not in text


def test_where_companies_together_earn_nothing_the_answers_say_so() -> None:
    rows = first_day().multiples
    losing = rows.assign(value=rows["value"].where(rows["metric"] != "pe")).query("convention == 'losses_in'")
    of = replace(first_day(), multiples=losing)
    assert "IWM, earnings and multiple: n/a, its P/E is not meaningful." in why(of, "1d")
    assert cells(implied(of, "1d"), "Net margin") == cells(implied(of, "1d"), "Return on equity") == ["n/a", "n/a"]
    assert "no history of a P/E above 0" in page(implied(of, "1d"))
