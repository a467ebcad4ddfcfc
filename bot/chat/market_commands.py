"""/backtest: a rule over history, by the same step that judges alerts.

Market commands: parse the question, load its Market, render.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

import pandas as pd

from bot.alerts.grammar import PRESETS, parse_subject
from bot.analytics.windows import YTD, Window, parse_date
from bot.errors import BadInput
from bot.messages.common import Answer
from bot.messages.html import bold, code, lines
from bot.messages.pages.backtest import backtest_answer
from bot.messages.pages.chart import metric_answer
from bot.messages.pages.compare import compare_answer
from bot.messages.pages.flows import flows_answer
from bot.messages.pages.fundamentals import attribution_answer, fundamentals_answer
from bot.messages.pages.help import metric_list
from bot.messages.pages.multiples import multiples_answer
from bot.messages.pages.sectors import sectors_answer
from bot.messages.pages.trend import trend_answer
from bot.services import metrics_for
from bot.services.questions import backtest, load_market, parse_question

if TYPE_CHECKING:
    from bot.chat.access import Ask


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


_CHART = "/chart ratio_vs_sma 200 5y"
_COMPARED = re.compile(r"(\S[^<>]*?)\s*[<>]")


async def on_compare(ask: Ask) -> Answer:
    """/compare: who leads, by how much."""
    question = parse_question(ask.text, "/compare 3y tr asof 2020-12-11", ask.services.pair, kinds=True)
    market = await load_market(ask.services, question)
    total = question.returns(ask.settings.total)
    return await asyncio.to_thread(compare_answer, market, question.asked, ask.theme, question.windows, total)


async def on_trend(ask: Ask) -> Answer:
    """/trend: is the relative trend breaking."""
    question = parse_question(ask.text, "/trend 5y", ask.services.pair)
    market = await load_market(ask.services, question)
    window = question.only_window("/trend 5y")
    return await asyncio.to_thread(trend_answer, market, question.asked, ask.theme, window)


async def on_flows(ask: Ask) -> Answer:
    """/flows: is money moving."""
    question = parse_question(ask.text, "/flows 3m asof 2020-12-11", ask.services.pair)
    market = await load_market(ask.services, question)
    return await asyncio.to_thread(flows_answer, market, question.asked, ask.theme, question.windows)


async def on_multiples(ask: Ask) -> Answer:
    """/multiples: what is being paid."""
    question = parse_question(ask.text, "/multiples asof 2020-12-11", ask.services.pair)
    if question.windows:
        raise BadInput("/multiples takes no window.", "/multiples asof 2020-12-11")
    market = await load_market(ask.services, question)
    return await asyncio.to_thread(multiples_answer, market, question.asked, ask.theme)


async def on_why(ask: Ask) -> Answer:
    """/why: what moved it."""
    question = parse_question(ask.text, "/why ytd", ask.services.pair)
    market = await load_market(ask.services, question)
    window = question.only_window("/why ytd") or YTD
    return await asyncio.to_thread(attribution_answer, market, question.asked, window)


async def on_fundamentals(ask: Ask) -> Answer:
    """/fundamentals: what prices and multiples imply per share."""
    question = parse_question(ask.text, "/fundamentals 1y", ask.services.pair)
    market = await load_market(ask.services, question)
    window = question.only_window("/fundamentals 1y") or YTD
    return await asyncio.to_thread(fundamentals_answer, market, question.asked, ask.theme, window)


async def on_sectors(ask: Ask) -> Answer:
    """/sectors: what the funds hold, by sector."""
    question = parse_question(ask.text, "/sectors asof 2020-12-11", ask.services.pair)
    if question.windows:
        raise BadInput("/sectors takes no window.", "/sectors asof 2020-12-11")
    market = await load_market(ask.services, question)
    return await asyncio.to_thread(sectors_answer, market, question.asked)


async def on_chart(ask: Ask) -> Answer:
    """/chart: any metric as a picture; without a metric, the list as buttons."""
    if (subject := _COMPARED.match(ask.text)) is not None:
        reason = "A picture takes no comparison; with one it is a rule for /alert."
        raise BadInput(reason, f"/chart {subject[1]}")
    question = parse_question(ask.text, _CHART, ask.services.pair, rest=True)
    if not question.rest:
        return metric_list(question.asked, ask.services.pair)
    market = await load_market(ask.services, question)
    try:
        words = " ".join(question.rest)
        metric, arguments, span = parse_subject(words, question.windows, metrics_for(market))
    except BadInput as error:  # its example is a rule
        raise BadInput(error.sentence, _CHART) from error
    return await asyncio.to_thread(
        metric_answer,
        market,
        question.asked,
        ask.theme,
        metric,
        arguments,
        span or Window("y", 2),
    )
