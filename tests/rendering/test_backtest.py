from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from bot.alerts.bars import Histories
from bot.alerts.grammar import parse_rule
from bot.analytics.registry import METRICS
from bot.errors import NoData
from bot.rendering.backtest import backtest_answer
from bot.rendering.text import strip_html
from bot.rendering.themes import LIGHT
from tests.sample_market import sample_market

if TYPE_CHECKING:
    from bot.analytics.market import Market
    from bot.rendering.answer import Answer


def answer(rule: str, years: int = 5, market: Market | None = None) -> Answer:
    market = market or sample_market()
    return backtest_answer(market, LIGHT, Histories(market, METRICS), parse_rule(rule, METRICS), years)


def test_fires_are_dated_counted_and_followed() -> None:
    found = answer("ratio > sma 200", 1)
    said = strip_html(found.html).splitlines()
    assert "Judged close by close from 12 Dec 2019 to 11 Dec 2020." in said
    assert any(line.startswith("Fired once; without the re-arm band ") for line in said)
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
    found = re.search(r"Fired (\d+) times; without the re-arm band (\d+) times\.", said)
    assert found is not None
    assert 1 < int(found[1]) < int(found[2])


def test_a_short_history_says_from_when() -> None:
    said = strip_html(answer("pe losses_in > 50x", 10).html)
    assert "there is no history before" in said


def test_a_rule_that_never_fires_says_so_and_has_no_table() -> None:
    said = strip_html(answer("ratio > 0.9").html)
    assert "Fired never" in said
    assert "What IWM/SPY did" not in said


def test_a_rule_without_any_history_is_refused_by_name() -> None:
    market = sample_market()
    bare = replace(market, multiples=market.multiples.iloc[:0])
    with pytest.raises(NoData) as refused:
        answer("pe > 50x", market=bare)
    said = "There is no history for pe iwm morningstar > 50x; nothing can be tested."
    assert str(refused.value) == said
