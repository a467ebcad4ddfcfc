import re
from dataclasses import replace

import pandas as pd
import pytest

from bot.alerts.grammar import parse_rule
from bot.analytics.market import Market, Source
from bot.analytics.metrics import METRICS
from bot.errors import NoData
from bot.messages.canvas import LIGHT
from bot.messages.common import Answer
from bot.messages.pages.backtest import backtest_answer
from bot.services.questions import run_backtest
from tests.messages.pages import context, drawing, page, shown
from tests.sample_market import sample_market


def backtest_of(rule: str, years: int = 5, market: Market | None = None) -> Answer:
    of = context(market or sample_market())
    return backtest_answer(run_backtest(parse_rule(rule, METRICS), of, years), LIGHT)


def test_fires_are_dated_counted_and_followed() -> None:
    answer = backtest_of("ratio > sma 200", 1)
    lines = shown(answer)
    assert "Evaluated close by close from 12 Dec 2019 to 11 Dec 2020." in lines
    assert lines[0].startswith("Fired once in 1 year · ")
    assert any(line.startswith("Without the re-arm band: ") for line in lines)
    assert "On 6 Oct 2020." in lines
    table = lines.index("What IWM/SPY did once the fire was known:") + 1
    assert lines[table].split() == ["sessions", "median", "rose", "n", "any", "day"]
    assert lines[table + 3].split()[0::3] == ["60", "0"]  # too near the end: n = 0
    assert any(line.startswith("Middle half of the moves: 5 sessions ") for line in lines)
    assert re.search(r"How likely by luck \(.*\): 5 sessions \d+%, (hardly|perhaps|no)", page(answer))
    assert "n below 10: too few to mean anything." in lines
    assert drawing(answer).args[2] == [pd.Timestamp("2020-10-06")]


def test_the_band_keeps_repeats_quiet() -> None:
    text = page(backtest_of("ratio > sma 200", 5))
    with_band, bare = (re.search(pattern, text) for pattern in (r"Fired (\d+) times", r"re-arm band: (\d+) times\."))
    assert with_band is not None
    assert bare is not None
    assert 1 < int(with_band[1]) < int(bare[1])


def test_a_short_history_says_from_when_and_offers_no_more_years() -> None:
    answer = backtest_of("pe losses_in > 50x", 10)
    span = (
        r"from \d+ \w+ \d+ to 4 Dec 2020, 5 sessions before the last close; "
        r"before that there is too little history\."
    )
    assert re.search(span, page(answer))
    assert answer.buttons == ((("Make it an alert", "/alert pe iwm losses_in > 50x"),),)


def test_of_several_conditions_the_one_with_the_shortest_history_is_named() -> None:
    rule = "ratio > sma 200 and flow_gap 20d > 0 and pe_premium losses_in < pct 90"
    assert (
        "Evaluated close by close from 8 Apr 2019 to 4 Dec 2020, 5 sessions before the last close; "
        "before that there is too little history of pe_premium losses_in < pct 90."
    ) in shown(backtest_of(rule, 10))


@pytest.mark.parametrize(("years", "more"), [(1, 5), (5, 10), (10, 20), (15, None), (20, None)])
def test_more_years_are_offered_while_there_is_history(years: int, more: int | None) -> None:
    ((_, *longer),) = backtest_of("ratio > sma 200", years).buttons
    assert longer == ([(f"{more} years", f"/backtest ratio > sma 200 {more}y")] if more else [])


def test_every_condition_is_drawn_up_to_the_newest_figure() -> None:
    whole = sample_market()
    older = replace(whole, multiples=whole.multiples[whole.multiples["session"] <= "2020-12-04"])
    panels, _, _ = drawing(backtest_of("ratio > sma 200 and corr 60 > 0.5")).args
    assert [panel.name for panel in panels] == ["IWM/SPY", "The correlation of both funds over 60 days"]
    (panel,), style, _ = drawing(backtest_of("pe_premium losses_in > 20%", market=older)).args
    assert panel.series.last_valid_index() == pd.Timestamp("2020-12-04")
    assert style.footer.endswith("close of Fri 4 Dec 2020")


def test_every_source_of_a_rule_is_named() -> None:
    market = sample_market()
    market = replace(market, sources={**market.sources, "facts:SPY": Source("csv", "CSV import")})
    assert shown(backtest_of("flow spy 5d > $1bn", 1, market))[-1] == "Source: CSV import."


def test_a_rule_that_never_fires_says_so_and_has_no_table() -> None:
    text = page(backtest_of("ratio > 0.9"))
    assert text.startswith("Never fired in 5 years · ")
    assert "What IWM/SPY did" not in text


@pytest.mark.parametrize(
    ("rule", "first", "condition"),
    [
        ("pe > 50x", "2021-01-01", "pe iwm morningstar > 50x"),
        # less than a year for a percentile
        ("ratio > sma 200 and pe_premium losses_in > pct 90", "2020-10-01", "pe_premium losses_in > pct 90"),
    ],
)
def test_a_rule_without_any_history_is_refused_by_name(rule: str, first: str, condition: str) -> None:
    whole = sample_market()
    few = replace(whole, multiples=whole.multiples[whole.multiples["session"] > first])
    with pytest.raises(NoData) as refused:
        backtest_of(rule, market=few)
    assert str(refused.value) == f"There is no history for {condition}; nothing can be tested."
