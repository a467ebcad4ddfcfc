"""Market commands: parse, load, compute, render, reply."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

from bot.alerts.subject import parse_subject
from bot.analytics.dates import date_phrase
from bot.analytics.windows import YTD, Window
from bot.chat.query import Query, parse_query
from bot.errors import BadInput
from bot.rendering.compare import compare
from bot.rendering.flows import flows_answer
from bot.rendering.fundamentals import fundamentals_answer
from bot.rendering.metric import metric_answer
from bot.rendering.moved import why_answer
from bot.rendering.multiples import multiples_answer
from bot.rendering.reference import metric_list
from bot.rendering.sectors import sectors_answer
from bot.rendering.trend import trend_answer
from bot.services.base import metrics_for

if TYPE_CHECKING:
    from bot.analytics.market import Market
    from bot.chat.ask import Ask
    from bot.rendering.answer import Answer

_CHART = "/chart ratio_vs_sma 200 5y"
_COMPARED = re.compile(r"(\S[^<>]*?)\s*[<>]")


async def on_compare(ask: Ask) -> Answer:
    """/compare: who leads, by how much."""
    query = parse_query(ask.text, "/compare 3y tr asof 2020-12-11", ask.services.pair, kinds=True)
    market = await _market(ask, query)
    total = query.total if query.stated else ask.preferences.total
    return await asyncio.to_thread(compare, market, query.asked, ask.theme, query.windows, total)


async def on_trend(ask: Ask) -> Answer:
    """/trend: is the relative trend breaking."""
    query = parse_query(ask.text, "/trend 5y", ask.services.pair)
    market = await _market(ask, query)
    return await asyncio.to_thread(trend_answer, market, query.asked, ask.theme, _only(query, "/trend 5y"))


async def on_flows(ask: Ask) -> Answer:
    """/flows: is money moving."""
    query = parse_query(ask.text, "/flows 3m asof 2020-12-11", ask.services.pair)
    market = await _market(ask, query)
    return await asyncio.to_thread(flows_answer, market, query.asked, ask.theme, query.windows)


async def on_multiples(ask: Ask) -> Answer:
    """/multiples: what is being paid."""
    query = parse_query(ask.text, "/multiples asof 2020-12-11", ask.services.pair)
    if query.windows:
        raise BadInput("/multiples takes no window.", "/multiples asof 2020-12-11")
    market = await _market(ask, query)
    return await asyncio.to_thread(multiples_answer, market, query.asked, ask.theme)


async def on_why(ask: Ask) -> Answer:
    """/why: what moved it."""
    query = parse_query(ask.text, "/why ytd", ask.services.pair)
    market = await _market(ask, query)
    return await asyncio.to_thread(why_answer, market, query.asked, _only(query, "/why ytd") or YTD)


async def on_fundamentals(ask: Ask) -> Answer:
    """/fundamentals: what prices and multiples imply per share."""
    query = parse_query(ask.text, "/fundamentals 1y", ask.services.pair)
    market = await _market(ask, query)
    window = _only(query, "/fundamentals 1y") or YTD
    return await asyncio.to_thread(fundamentals_answer, market, query.asked, ask.theme, window)


async def on_sectors(ask: Ask) -> Answer:
    """/sectors: what the funds hold, by sector."""
    query = parse_query(ask.text, "/sectors asof 2020-12-11", ask.services.pair)
    if query.windows:
        raise BadInput("/sectors takes no window.", "/sectors asof 2020-12-11")
    market = await _market(ask, query)
    return await asyncio.to_thread(sectors_answer, market, query.asked)


async def on_chart(ask: Ask) -> Answer:
    """/chart: any metric as a picture; without a metric, the list as buttons."""
    if (subject := _COMPARED.match(ask.text)) is not None:
        reason = "A picture takes no comparison; with one it is a rule for /alert."
        raise BadInput(reason, f"/chart {subject[1]}")
    query = parse_query(ask.text, _CHART, ask.services.pair, rest=True)
    if not query.rest:
        return metric_list(query.asked, ask.services.pair)
    market = await _market(ask, query)
    try:
        metric, arguments, span = parse_subject(" ".join(query.rest), query.windows, metrics_for(market))
    except BadInput as error:  # its example is a rule
        raise BadInput(error.sentence, _CHART) from error
    return await asyncio.to_thread(
        metric_answer,
        market,
        query.asked,
        ask.theme,
        metric,
        arguments,
        span or Window("y", 2),
    )


async def _market(ask: Ask, query: Query) -> Market:
    """The Market of the question; raises BadInput for a window that begins after it ends."""
    market = await ask.market(query.asked)
    for window in query.windows:
        if window.since and market.end is not None and window.since > market.end.date():
            end = date_phrase(market.end)
            raise BadInput(f"“{window}” begins after the last close there is, {end}.", "since 2020-09-30")
    return market


def _only(query: Query, example: str) -> Window | None:
    if len(query.windows) > 1:
        raise BadInput("One window is enough here.", example)
    return query.windows[0] if query.windows else None
