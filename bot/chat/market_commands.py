"""Commands about the Market: parse the question, load the Market that it is about, render the answer."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable
from functools import wraps
from typing import TypeAlias

import pandas as pd

from bot.alerts.grammar import parse_subject
from bot.analytics.market import Market
from bot.analytics.metrics import metrics_of
from bot.analytics.windows import YTD, AsOf, Window, named_dates, out_of_range, parse_date
from bot.chat.access import Ask
from bot.errors import BadInput
from bot.messages.canvas import Theme
from bot.messages.common import MORE, Answer
from bot.messages.pages.backtest import backtest_answer, backtest_choices
from bot.messages.pages.chart import metric_answer
from bot.messages.pages.compare import compare_answer
from bot.messages.pages.flows import flows_answer
from bot.messages.pages.fundamentals import attribution_answer, fundamentals_answer
from bot.messages.pages.help import metric_list
from bot.messages.pages.multiples import kinds, multiples_answer
from bot.messages.pages.sectors import parts, sectors_answer
from bot.messages.pages.trend import seasons_answer, trend_answer
from bot.services import metrics_for
from bot.services.alert_views import evaluation_context
from bot.services.questions import MOST_WINDOWS, MarketQuestion, answer_once, backtest, load_market, parse_question

Handler: TypeAlias = Callable[[Ask], Awaitable[Answer]]
_COMPARISON = re.compile(r"(\S[^<>]*+)[<>]")
_MULTIPLES = "/multiples asof 2020-12-11"
_SECTORS = "/sectors asof 2020-12-11"
_BACKTEST = "/backtest ratio > sma 200 10y"
_YEARS = re.compile(r"\s([0-9]+)\s*(?:y|years?)\s*$", re.IGNORECASE)
_ASOF = re.compile(r"\sasof\s+(\S+)\s*$", re.IGNORECASE)
_DEFAULT_YEARS, _MOST_YEARS = 5, 30


def paged(handler: Handler) -> Handler:
    """Return the handler of a command whose answers have pages: "more" and "more 3" ask for a further one."""
    name = handler.__name__.removeprefix("on_")

    @wraps(handler)
    async def answer_page(ask: Ask) -> Answer:
        more = MORE.search(ask.text)
        ask.text = ask.text[: more.start()] if more else ask.text
        number = int(more[1] or 2) if more else 1
        return (await handler(ask)).page(f"/{name} {ask.text.strip()}".strip(), number, owner=ask.is_owner)

    return answer_page


async def _load(
    ask: Ask, example: str, *, kinds: bool = False, most_windows: int = MOST_WINDOWS
) -> tuple[MarketQuestion, Market]:
    pair = ask.services.pair
    question = parse_question(ask.text, example, pair, ask.today, kinds=kinds, most_windows=most_windows)
    return await load_market(ask.services, question, example)


async def _load_part(
    ask: Ask, example: str, parts_of: Callable[[Market], Iterable[str]]
) -> tuple[MarketQuestion, Market, str]:
    """Return a question without window, its Market, and which of its parts is asked for, "" for the first."""
    question = parse_question(ask.text, example, ask.services.pair, ask.today, rest=True, most_windows=0)
    _, market = await load_market(ask.services, question)
    part = " ".join(word for word in question.rest if word not in ask.services.pair.words)
    if part and part not in (stored := list(parts_of(market))):
        known = f"It can be {', '.join(stored)}." if stored else "Nothing is stored yet."
        raise BadInput(f"“{part}” is not understood here. {known}", example)
    return question, market, part


@paged
async def on_compare(ask: Ask) -> Answer:
    """/compare: who leads, by how much."""
    question, market = await _load(ask, "/compare 3y tr asof 2020-12-11", kinds=True)
    total = question.returns(ask.settings.total)
    return await answer_once(compare_answer, market, question.dates, ask.theme, question.windows, total)


@paged
async def on_trend(ask: Ask) -> Answer:
    """/trend: whether the trend is breaking."""
    question, market = await _load(ask, "/trend 5y", most_windows=1)
    return await answer_once(trend_answer, market, question.dates, ask.theme, question.window)


@paged
async def on_seasons(ask: Ask) -> Answer:
    """/seasons: what the ratio did in each calendar month."""
    question, market = await _load(ask, "/seasons 10y", most_windows=1)
    return await answer_once(seasons_answer, market, question.dates, ask.theme, question.window)


@paged
async def on_flows(ask: Ask) -> Answer:
    """/flows: net flows of both funds."""
    question, market = await _load(ask, "/flows 3m asof 2020-12-11")
    return await answer_once(flows_answer, market, question.dates, ask.theme, question.windows)


@paged
async def on_multiples(ask: Ask) -> Answer:
    """/multiples: valuation multiples by convention and source."""
    question, market, kind = await _load_part(ask, _MULTIPLES, kinds)
    return await answer_once(multiples_answer, market, question.dates, ask.theme, kind)


@paged
async def on_why(ask: Ask) -> Answer:
    """/why: what moved the prices."""
    question, market = await _load(ask, "/why ytd", most_windows=1)
    return await answer_once(attribution_answer, market, question.dates, ask.theme, question.window or YTD)


@paged
async def on_fundamentals(ask: Ask) -> Answer:
    """/fundamentals: what prices and multiples imply per share."""
    question, market = await _load(ask, "/fundamentals 1y", most_windows=1)
    window = question.window or YTD
    return await answer_once(fundamentals_answer, market, question.dates, ask.theme, window)


@paged
async def on_sectors(ask: Ask) -> Answer:
    """/sectors: sector weights of both funds."""
    question, market, part = await _load_part(ask, _SECTORS, parts)
    return await answer_once(sectors_answer, market, question.dates, ask.theme, part)


@paged
async def on_chart(ask: Ask) -> Answer:
    """/chart: the chart of any metric; without one, the list as buttons."""
    if (subject := _COMPARISON.match(ask.text)) is not None:
        reason = "A picture takes no comparison; with one it is a rule for /alert."
        raise BadInput(reason, f"/chart {subject[1].rstrip()}")
    metrics = metrics_of(ask.services.pair)
    named = next((metrics[word] for word in ask.text.lower().split() if word in metrics), None)
    example = _chart_of(named.example) if named else "/chart"
    question = parse_question(ask.text, example, ask.services.pair, ask.today, rest=True)
    if not question.rest:
        return metric_list(question.dates, ask.services.pair)
    question, market = await load_market(ask.services, question, example)
    return await answer_once(_chart_answer, market, question.dates, ask.theme, question)


def _chart_answer(market: Market, as_of: AsOf, theme: Theme, question: MarketQuestion) -> Answer:
    try:
        words = " ".join(question.rest)
        metric, arguments, window = parse_subject(words, question.windows, metrics_for(market))
    except BadInput as error:  # its example is a rule
        raise BadInput(error.sentence, _chart_of(error.example)) from error
    return metric_answer(market, as_of, theme, metric, arguments, window or Window("y", 2))


def _chart_of(rule: str) -> str:
    """Return the command that draws what a rule is about, "/chart" for none."""
    subject = _COMPARISON.match(rule)
    return f"/chart {subject[1].rstrip()}" if subject else "/chart"


@paged
async def on_backtest(ask: Ask) -> Answer:
    """/backtest: the rule's fires over the last years; without a rule, rules to choose from."""
    text = named_dates(ask.text.strip(), ask.today)
    if not text:
        context = await evaluation_context(ask.caller)
        return await asyncio.to_thread(backtest_choices, context, _BACKTEST)
    asof = None
    if match := _ASOF.search(text):
        text, asof = text[: match.start()], pd.Timestamp(parse_date(match[1], _BACKTEST))
    years = _DEFAULT_YEARS
    if match := _YEARS.search(text):
        text, years = text[: match.start()], int(match[1])
        if not 1 <= years <= _MOST_YEARS:
            raise out_of_range(match[0].strip(), "y", _MOST_YEARS, _BACKTEST)
    tested = await backtest(ask.services, text, years, asof)
    return await asyncio.to_thread(backtest_answer, tested, ask.theme)
