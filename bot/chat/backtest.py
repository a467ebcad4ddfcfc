"""/backtest: a rule over history, by the same step that judges alerts."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

import pandas as pd

from bot.alerts.presets import PRESETS
from bot.analytics.windows import parse_date
from bot.errors import BadInput
from bot.rendering.answer import Answer
from bot.rendering.backtest import backtest_answer
from bot.rendering.text import bold, code, lines
from bot.services.questions import backtest

if TYPE_CHECKING:
    from bot.chat.ask import Ask

_YEARS = re.compile(r"\s(\d{1,2})\s*(?:y|years?)\s*$", re.IGNORECASE)
_ASOF = re.compile(r"\sasof\s+(\S+)\s*$", re.IGNORECASE)
_DEFAULT, _MOST = 5, 30


async def on_backtest(ask: Ask) -> Answer:
    """The rule's fires over the last years (5 unless said); without a rule, a choice."""
    text = ask.text.strip()
    if not text:
        rows = tuple(((preset.name, f"/backtest {preset.name.lower()}"),) for preset in PRESETS)
        html = lines(bold("Test which rule?"), "Type one, e.g. " + code("/backtest ratio > sma 200 10y"))
        return Answer(html, buttons=rows)
    asof = None
    if match := _ASOF.search(text):
        text, asof = text[: match.start()], pd.Timestamp(parse_date(match[1]))
    years = _DEFAULT
    if match := _YEARS.search(text):
        text, years = text[: match.start()], int(match[1])
        if not 1 <= years <= _MOST:
            raise BadInput(f"{years} years are out of range (1 to {_MOST}).", "/backtest ratio > sma 200 10y")
    tested = await backtest(ask.services, text, years, asof)
    return await asyncio.to_thread(backtest_answer, tested, ask.theme)
