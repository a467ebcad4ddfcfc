from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from bot.alerts.grammar import parse_rule
from bot.analytics.market import Source
from bot.analytics.metrics import METRICS
from bot.errors import NoData
from bot.messages.canvas import LIGHT
from bot.messages.html import strip_html
from bot.messages.pages.backtest import backtest_answer
from bot.services.questions import run_backtest
from tests.messages.pages import context
from tests.sample_market import sample_market

if TYPE_CHECKING:
    from bot.analytics.market import Market
    from bot.messages.common import Answer


def answer(rule: str, years: int = 5, market: Market | None = None) -> Answer:
    market = market or sample_market()
    tested = run_backtest(parse_rule(rule, METRICS), context(market), years)
    return backtest_answer(tested, LIGHT)


def test_fires_are_dated_counted_and_followed() -> None:
    found = answer("ratio > sma 200", 1)
    said = strip_html(found.html).splitlines()
    assert "Evaluated close by close from 12 Dec 2019 to 11 Dec 2020." in said
    assert any(line.startswith("Fired once; without the re-arm band it would have fired ") for line in said)
    assert "On 6 Oct 2020." in said
    table = said.index("What IWM/SPY did after it fired:") + 1
    assert said[table].split() == ["sessions", "median", "rose", "n", "any", "day"]
    assert said[table + 3].split()[0::3] == ["60", "0"]  # too near the end: n = 0
    assert "n below 10: too few to mean anything." in said
    assert all(len(line) <= 34 for line in said[table : table + 4])
    assert found.draw is not None
    assert "Fired: 6 Oct 2020." in found.draw().caption


def test_the_band_keeps_repeats_quiet() -> None:
    said = strip_html(answer("ratio > sma 200", 5).html)
    found = re.search(r"Fired (\d+) times; without the re-arm band it would have fired (\d+) times\.", said)
    assert found is not None
    assert 1 < int(found[1]) < int(found[2])


def test_a_short_history_says_from_when() -> None:
    found = answer("pe losses_in > 50x", 10)
    told = (
        r"from \d+ \w+ \d+ to 4 Dec 2020, 5 sessions before the last close; "
        r"before that there is too little history\."
    )
    assert re.search(told, strip_html(found.html))
    assert found.buttons == ((("Make it an alert", "/alert pe iwm losses_in > 50x"),),)


def test_of_several_conditions_the_one_with_the_shortest_history_is_named() -> None:
    said = strip_html(
        answer("ratio > sma 200 and flow_gap 20d > 0 and pe_premium losses_in < pct 90", 10).html
    )
    assert (
        "Evaluated close by close from 8 Apr 2019 to 4 Dec 2020, 5 sessions before the last close; "
        "before that there is too little history of pe_premium losses_in < pct 90."
    ) in said.splitlines()


def test_a_flow_rule_says_from_when_there_are_share_counts() -> None:
    market = sample_market()
    facts = {ticker: frame.loc["2019-03-01":] for ticker, frame in market.facts.items()}
    said = strip_html(answer("flow iwm 5d > $1bn", 5, replace(market, facts=facts)).html)
    assert re.search(r"from \d+ Mar 2019 to 11 Dec 2020; before that there is too little history\.", said)


@pytest.mark.parametrize(("years", "more"), [(1, 5), (5, 10), (10, 20), (15, None), (20, None)])
def test_more_years_are_offered_while_there_is_history(years: int, more: int | None) -> None:
    market = sample_market()
    ((_, *longer),) = answer("ratio > sma 200", years, market).buttons
    assert longer == ([(f"{more} years", f"/backtest ratio > sma 200 {more}y")] if more else [])


def test_every_condition_is_drawn_with_the_fires_on_it() -> None:
    found = answer("ratio > sma 200 and corr 60 > 0.5")
    assert found.draw is not None
    caption = found.draw().caption.splitlines()
    assert [line.split(":")[0] for line in caption] == [
        "Backtest",
        "ratio",
        "corr 60",
        "Fired",
        "Source",
    ]


def test_every_source_of_a_rule_is_named() -> None:
    market = sample_market()
    market = replace(market, sources={**market.sources, "facts:SPY": Source("csv", "CSV import")})
    said = strip_html(answer("flow spy 5d > $1bn", 1, market).html)
    assert said.splitlines()[-1] == "Source: CSV import."


def test_a_rule_that_never_fires_says_so_and_has_no_table() -> None:
    said = strip_html(answer("ratio > 0.9").html)
    assert "It never fired, with the re-arm band or without." in said
    assert "What IWM/SPY did" not in said


def test_a_rule_without_any_history_is_refused_by_name() -> None:
    market = sample_market()
    bare = replace(market, multiples=market.multiples.iloc[:0])
    with pytest.raises(NoData) as refused:
        answer("pe > 50x", market=bare)
    said = "There is no history for pe iwm morningstar > 50x; nothing can be tested."
    assert str(refused.value) == said


def test_a_percentile_without_a_year_of_values_cannot_be_tested() -> None:
    market = sample_market()
    few = market.multiples[market.multiples["session"] > "2020-10-01"]
    with pytest.raises(NoData) as refused:
        answer("ratio > sma 200 and pe_premium losses_in > pct 90", market=replace(market, multiples=few))
    said = "There is no history for pe_premium losses_in > pct 90; nothing can be tested."
    assert str(refused.value) == said


def test_the_picture_is_dated_by_the_newest_figure_that_it_shows() -> None:
    whole = sample_market()
    older = replace(whole, multiples=whole.multiples[whole.multiples["session"] <= "2020-12-04"])
    draw = answer("pe_premium losses_in > 20%", market=older).draw
    assert isinstance(draw, partial)
    panels, style, _ = draw.args
    assert [panel.series.last_valid_index() for panel in panels] == [pd.Timestamp("2020-12-04")]
    assert style.footer.endswith("close of Fri 4 Dec 2020")
