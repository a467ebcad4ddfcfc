from __future__ import annotations

from dataclasses import replace

import pytest

from bot.analytics.windows import YTD, AsOf, parse_window
from bot.errors import NoData
from bot.messages.canvas import LIGHT
from bot.messages.html import strip_html
from bot.messages.pages.fundamentals import attribution_answer, fundamentals_answer
from tests.messages.pages import empty, market, page, shown
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


SAMPLE_WHY = """\
What moved it, ytd · close of Fri 11 Dec 2020
Sample data: simulated between published points, not the market.
Reading: IWM's price rose on a higher multiple while its earnings fell.
IWM since 31 Dec 2019
                    change
price return       +14.87%
distributions      +1.27pp
implied earnings   −49.00%
multiple (P/E)    +125.23%
flow              +$0.80bn
flow, of assets     +1.65%
P/E 33.3x → 75.0x, losses included: (1 − 0.490) × (1 + 1.252) = 1 + 0.149, 31 Dec 2019 to 11 Dec 2020.
SPY since 31 Dec 2019
                     change
price return        +13.81%
distributions       +1.68pp
implied earnings    −13.99%
multiple (P/E)      +32.32%
flow              −$33.08bn
flow, of assets     −10.70%
P/E 21.0x → 27.8x, losses included: (1 − 0.140) × (1 + 0.323) = 1 + 0.138, 31 Dec 2019 to 11 Dec 2020.

Source: sample data."""


def test_it_is_a_whole_page_with_the_articles_split() -> None:
    assert page(attribution_answer(sample_market(), AsOf(), YTD)) == SAMPLE_WHY


def moved(small_pe: float, price: float) -> list[str]:
    """/why over a session in which IWM's P/E went from 20 to `small_pe` and its price from 50 to `price`."""
    figures = [
        ("2020-01-02", "IWM", "pe", 20.0),
        ("2020-01-02", "SPY", "pe", 20.0),
        ("2020-01-03", "IWM", "pe", small_pe),
        ("2020-01-03", "SPY", "pe", 20.0),
    ]
    return shown(attribution_answer(market([50.0, price], multiples=figures), AsOf(), parse_window("1d")))


@pytest.mark.parametrize(
    ("small_pe", "price", "reading"),
    [
        (30.0, 55.0, "IWM's price rose on a higher multiple while its earnings fell."),
        (15.0, 45.0, "IWM's price fell on a lower multiple while its earnings rose."),
        (26.0, 70.0, "IWM's price moved mostly with its multiple."),
        (21.0, 70.0, "IWM's price moved mostly with its earnings."),
        (19.0, 40.0, "IWM's price moved mostly with its earnings."),
    ],
)
def test_the_reading_says_what_did_the_work(small_pe: float, price: float, reading: str) -> None:
    assert f"Reading: {reading}" in moved(small_pe, price)


def test_why_says_that_counts_behind_its_flow_are_doubtful() -> None:
    counts = [250.0, 251.0, 400.0]
    lines = shown(attribution_answer(market([50.0] * 3, units={"IWM": counts}), AsOf(), parse_window("2d")))
    assert "Flow with 1 flagged day, BIG on 6 Jan 2020 (see /flows)." in lines


def test_why_without_multiples_or_facts_says_what_is_missing() -> None:
    lines = shown(attribution_answer(market([50.0, 51.0]), AsOf(), parse_window("1d")))
    assert lines[1:] == [
        "IWM since 2 Jan 2020",
        "               change",
        "price return   +2.00%",
        "distributions  0.00pp",
        "Earnings and multiple: n/a, no P/E stored.",
        "Flow: n/a, no fund facts.",
        "SPY since 2 Jan 2020",
        "               change",
        "price return    0.00%",
        "distributions  0.00pp",
        "Earnings and multiple: n/a, no P/E stored.",
        "Flow: n/a, no fund facts.",
        "",
        "Source: CSV import.",
    ]


def test_a_split_that_has_no_base_says_from_when_there_is_one() -> None:
    figures = [("2020-03-09", ticker, "pe", 20.0) for ticker in ("IWM", "SPY")]
    of = market([50.0] * 60, multiples=figures)
    lines = shown(attribution_answer(of, AsOf(), parse_window("50d")))
    assert lines[5].startswith("Earnings and multiple: n/a, ")
    assert "9 Mar 2020" in lines[5]
    assert not any(line.startswith("Reading") for line in lines)


def test_a_window_longer_than_the_prices_has_no_answer_for_either_fund() -> None:
    lines = shown(attribution_answer(market([50.0] * 5), AsOf(), parse_window("1y")))
    assert lines[1:3] == [
        "IWM: n/a, too little price history for 1y.",
        "SPY: n/a, too little price history for 1y.",
    ]


def test_an_empty_market_has_no_answer() -> None:
    with pytest.raises(NoData, match=r"^No prices are stored yet\."):
        attribution_answer(empty(), AsOf(), YTD)


def test_it_does_not_offer_itself() -> None:
    labels = [line for row in attribution_answer(sample_market(), AsOf(), YTD).buttons for _, line in row]
    assert labels == ["/compare", "/flows", "/multiples", "/fundamentals ytd"]
