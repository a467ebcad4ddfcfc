from __future__ import annotations

from dataclasses import replace

from bot.analytics.windows import AsOf, parse_window
from bot.messages.canvas import LIGHT
from bot.messages.html import strip_html
from bot.messages.pages.fundamentals import fundamentals_answer
from tests.sample_market import sample_market


def test_what_prices_and_multiples_imply_is_indexed_to_the_base() -> None:
    answer = fundamentals_answer(sample_market(), AsOf(), LIGHT, parse_window("ytd"))
    said = strip_html(answer.html).splitlines()
    block = said[said.index("IWM, 31 Dec 2019 to 11 Dec 2020") :]
    # 190.30 / 75.0 = 2.54; 49 percent less than at the end of 2019, as the article has it.
    assert block[1:6] == [
        "per share      now  index",
        "Earnings     $2.54   51.0",
        "Cash flow   $13.22   80.0",
        "Book        $80.98   95.0",
        "Sales      $131.24   92.0",
    ]
    assert block[6] == "Net margin 1.9%, return on equity 3.1%."
    assert "Sample data" in said[1]
    assert answer.draw is not None
    assert answer.draw().caption.splitlines() == [
        "Implied per share, indexed: losses included",
        "IWM, 31 Dec 2019 = 100: Earnings 51.0, Cash flow 80.0, Book 95.0, Sales 92.0, 11 Dec 2020.",
        "SPY, 31 Dec 2019 = 100: Earnings 86.0, Cash flow 94.0, Book 101.0, Sales 97.0, 11 Dec 2020.",
        "Source: sample data · close of Fri 11 Dec 2020",
    ]


def test_a_figure_without_a_base_is_left_out_of_the_picture() -> None:
    whole = sample_market()
    rows = whole.multiples
    young = rows[~((rows["metric"] == "ps") & (rows["session"] < "2020-11-01"))]
    answer = fundamentals_answer(replace(whole, multiples=young), AsOf(), LIGHT, parse_window("ytd"))
    assert "Sales      $131.24    n/a" in strip_html(answer.html)
    assert answer.draw is not None
    assert "Cash flow 80.0, Book 95.0, 11 Dec 2020." in answer.draw().caption


def test_figures_with_bases_of_their_own_are_drawn_without_dating_the_base() -> None:
    whole = sample_market()
    rows = whole.multiples
    moved = rows[~((rows["metric"] == "ps") & (rows["session"] == "2019-12-31"))]
    answer = fundamentals_answer(replace(whole, multiples=moved), AsOf(), LIGHT, parse_window("ytd"))
    assert answer.draw is not None
    assert "IWM, base = 100: Earnings 51.0," in answer.draw().caption


def test_a_base_before_the_history_gives_no_index() -> None:
    answer = fundamentals_answer(sample_market(), AsOf(), LIGHT, parse_window("10y"))
    said = strip_html(answer.html)
    assert "IWM, figures to 11 Dec 2020, none at the base" in said
    assert "Earnings     $2.54    n/a" in said
    assert "History from 31 Dec 2014, n = 352." in said
    assert answer.draw is None


def test_without_multiples_nothing_is_implied() -> None:
    bare = sample_market()
    answer = fundamentals_answer(
        replace(bare, multiples=bare.multiples.iloc[:0]), AsOf(), LIGHT, parse_window("ytd")
    )
    assert "n/a: no multiples are stored, so nothing is implied." in strip_html(answer.html)
    assert answer.draw is None
    assert [label for row in answer.buttons for label, _ in row] == ["Compare", "What moved it"]


def test_figures_of_an_older_session_are_dated_and_the_block_says_its_age() -> None:
    whole = sample_market()
    rows = whole.multiples
    cut = rows[
        (rows["session"] <= "2020-12-04") & ~((rows["metric"] == "ps") & (rows["session"] > "2020-12-01"))
    ]
    old = replace(whole, multiples=cut)
    said = strip_html(fundamentals_answer(old, AsOf(), LIGHT, parse_window("ytd")).html)
    assert "IWM, 31 Dec 2019 to 4 Dec 2020, 5 sessions old" in said
    assert "Of an earlier session: Sales of " in said
    assert "Of an earlier session" not in strip_html(
        fundamentals_answer(whole, AsOf(), LIGHT, parse_window("ytd")).html
    )


def test_a_window_since_a_date_stands_in_the_title_as_a_date() -> None:
    answer = fundamentals_answer(sample_market(), AsOf(), LIGHT, parse_window("since 2020-09-30"))
    assert strip_html(answer.html).startswith("Implied fundamentals, since 30 Sep 2020 · close of Fri 11 Dec")
