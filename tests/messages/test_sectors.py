from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pandas as pd

from bot.analytics.windows import AsOf
from bot.messages.html import strip_html
from bot.messages.pages.sectors import sectors_answer
from tests.sample_market import sample_market

if TYPE_CHECKING:
    from bot.analytics.market import Market


def text(market: Market) -> str:
    return strip_html(sectors_answer(market, AsOf()).html)


def test_weights_of_both_funds_largest_difference_first() -> None:
    said = text(sample_market()).splitlines()
    assert said[0] == "Sector weights · close of Fri 11 Dec 2020"
    assert said[1].startswith("Sample data")
    table = said.index("As of 30 Nov 2020 (9 sessions old), largest difference first.") + 1
    assert said[table].split() == ["IWM", "SPY", "gap"]
    assert said[table + 1].split() == ["Info", "tech", "13.6%", "27.6%", "−14.0pp"]
    assert said[table + 2].split() == ["Communication", "2.4%", "10.6%", "−8.2pp"]
    assert all(len(line) <= 34 for line in said[table : table + 12])
    revenue = "IWM 80.0%, SPY 59.0%, as of 30 Nov 2020 (9 sessions old)"
    assert f"Share of revenue, United States: {revenue}; sample data." in said
    assert said[-1] == "Source: sample data."


def test_without_weights_it_says_so_and_how_to_get_them() -> None:
    bare = sample_market()
    said = text(replace(bare, weights=bare.weights.iloc[:0]))
    assert "n/a: no weights are stored." in said
    assert "python -m bot import weights FILE --ticker IWM" in said
    assert "Share of revenue from the home market: n/a, none imported." in said


def test_one_fund_alone_is_not_compared() -> None:
    bare = sample_market()
    rows = bare.weights[(bare.weights["ticker"] == "IWM") & (bare.weights["level"] == "sector")]
    said = text(replace(bare, weights=rows))
    assert "Only IWM from this source: nothing to compare with." in said
    assert "n/a" in said


def test_a_long_group_name_is_cut_to_its_column() -> None:
    bare = sample_market()
    group = pd.DataFrame(
        {
            "session": [pd.Timestamp("2020-11-30")] * 2,
            "ticker": ["IWM", "SPY"],
            "level": ["industry group"] * 2,
            "sector": ["Pharmaceuticals & <Biotech>"] * 2,
            "weight": [12.0, 7.0],
            "source": ["csv"] * 2,
        }
    )
    html = sectors_answer(replace(bare, weights=group), AsOf()).html
    assert "Pharmaceutic…" in html
    assert "Industry groups" in strip_html(html)


def test_all_names_are_written_alike() -> None:
    said = text(sample_market())
    assert {"Info tech", "Health care", "Real estate"} <= {line[:14].rstrip() for line in said.splitlines()}
    assert "Health Care" not in said
