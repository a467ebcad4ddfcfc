"""What all answers from the market keep to, in private, for the owner and in a group; and their words.

The words are in texts/*.txt beside this file; `REWRITE=1 pytest tests/chat/test_pages.py` writes them anew.
"""

import os
import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from bot.analytics.market import Market
from bot.chat import market_commands
from bot.chat.commands import COMMANDS
from bot.local.botapi import ApiMessage
from bot.messages.html import CAPTION_LIMIT
from tests.chat.people import no_pictures
from tests.chat.talk import GROUP, OWNER, STEP, Talk, labels
from tests.messages.pages import CSV, LONG, market
from tests.sample_market import sample_market

TEXTS = Path(__file__).parent / "texts"
ROWS, COLUMNS = 16, 38  # of a phone, before the quote
SIX = "1w 1m 3m 6m 1y 5y"
LINES = {
    "compare": ("", "5y", SIX, "2y tr", "since 2015-06-30"),
    "trend": ("", "since 2010-01-04"),
    "seasons": ("",),
    "flows": ("", "3m", SIX),
    "multiples": ("",),
    "fundamentals": ("", "5y"),
    "why": ("", "5y"),
    "sectors": ("",),
    "chart": ("ratio 5y", "channel", "flow", "pe_premium losses_in"),
    "backtest": ("ratio > sma 200 10y", "ratio > sma 200 and flow 20d > 0 and corr 60 > 0.5"),
    "summary": ("now", "weekly now"),
}


def imported() -> Market:
    """Files of an owner: two sessions old, without SPY's units, with much to be said of the figures."""
    of = sample_market(2020, 12, 15)
    units = of.fund("IWM")["shares"] * [1.5 if number % 50 == 0 else 1.0 for number in range(len(of.fund("IWM")))]
    return replace(
        of,
        facts={"IWM": of.fund("IWM").assign(shares=units)},
        sources=dict.fromkeys(of.sources, CSV),
        multiples=of.multiples.assign(source="csv"),
        weights=of.weights.assign(source="csv"),
        refusals={"SPY fund": "Rejected: it is empty."},
    )


MARKETS: dict[str, Callable[[], Market]] = {
    "sample": sample_market,
    "imported": imported,
    "missing": lambda: market(LONG),
}


def test_every_command_that_answers_from_the_market_is_asked() -> None:
    from_market = {c.name for c in COMMANDS if c.handler.__module__ == market_commands.__name__}
    assert {*LINES} == {*from_market, "summary"}


def faults(message: ApiMessage, *, sample: bool) -> list[str]:
    """What is wrong with a page, which fits a caption if it has a picture and a phone before its quote."""
    spans = {entity["type"]: (entity["offset"], entity["offset"] + entity["length"]) for entity in message.entities}
    quote, end = spans.get("expandable_blockquote", (len(message.text), 0))
    rows = sum(max(len(textwrap.wrap(line, COLUMNS)), 1) for line in message.text[:quote].rstrip().split("\n"))
    first = message.text.split("\n", 1)[0]
    is_error = not message.buttons
    return [
        fault
        for fault, holds in {
            f"{rows} rows": rows > ROWS,
            f"{len(message.text)} characters above a picture": bool(message.photo)
            and len(message.text) > CAPTION_LIMIT,
            "sample labels": message.text.lower().count("sample data") != (sample and not is_error),
            "first line not bold": not is_error
            and not any(e["type"] == "bold" and e["offset"] == 0 for e in message.entities),
            "first line undated": not is_error and " 202" not in first,
            "a table in the quote": quote <= spans.get("pre", (-1, 0))[0] < end,
            "no line for the terminal": "python -m" in message.text and message.chat_id != OWNER,
        }.items()
        if holds
    ]


@pytest.mark.parametrize("chat", [OWNER, GROUP], ids=["owner", "group"])
@pytest.mark.parametrize("name", MARKETS)
async def test_pages(talk: Talk, name: str, chat: int, monkeypatch: pytest.MonkeyPatch) -> None:
    no_pictures(monkeypatch)
    of, markets = MARKETS[name](), talk.bot.services.markets

    async def at(asof: pd.Timestamp | None = None, _: object = None) -> Market:
        return of if asof is None else of.at(asof)

    markets.at = markets.current = at  # type: ignore[method-assign, assignment]
    talk.api.chat(chat)
    for rule in ("ratio > sma 200", "flow iwm 5d > $1bn"):
        await talk.ask(f"/alert {rule}", chat)
    wrong, texts = [], list[str]()
    for line in (f"/{command} {words}".strip() for command, asked in LINES.items() for words in asked):
        talk.now += STEP
        page, *_ = await talk.ask(line, chat)
        texts.append(f"=== {line}")
        while True:
            wrong += [(line, fault) for fault in faults(page, sample=name == "sample")]
            texts += [page.text, f"[{' | '.join(labels(page))}]", ""]
            if "More" not in labels(page):
                break
            talk.now += STEP
            page, *_ = await talk.press(page, "More")
    assert wrong == []
    file = TEXTS / f"{name}{'-owner' * (chat == OWNER)}.txt"
    if os.environ.get("REWRITE"):
        file.write_text("\n".join(texts), encoding="utf-8")
    assert "\n".join(texts) == file.read_text(encoding="utf-8")
