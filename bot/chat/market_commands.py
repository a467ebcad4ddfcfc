"""Commands about the Market: parse the question, load the Market that it is about, render the answer."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeAlias, TypeVar, cast

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

W = TypeVar("W", bound=Window | None)
Handler: TypeAlias = Callable[[Ask], Awaitable[Answer]]
_COMPARISON = re.compile(r"(\S[^<>]*+)[<>]")
_BACKTEST = "/backtest ratio > sma 200 10y"
_YEARS = re.compile(r"\s([0-9]+)\s*(?:y|years?)\s*$", re.IGNORECASE)
_ASOF = re.compile(r"\sasof\s+(\S+)\s*$", re.IGNORECASE)
_DEFAULT_YEARS, _MOST_YEARS = 5, 30


def paged(name: str, handler: Handler) -> Handler:
    """Return the handler of a command whose answers have pages: "more" and "more 3" ask for a further one."""

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


async def on_compare(ask: Ask) -> Answer:
    """/compare: who leads, by how much."""
    question, market = await _load(ask, "/compare 3y tr asof 2020-12-11", kinds=True)
    total = question.returns(ask.settings.total)
    return await answer_once(compare_answer, market, question.dates, ask.theme, question.windows, total)


async def on_flows(ask: Ask) -> Answer:
    """/flows: net flows of both funds."""
    question, market = await _load(ask, "/flows 3m asof 2020-12-11")
    return await answer_once(flows_answer, market, question.dates, ask.theme, question.windows)


def on_window(page: Callable[[Market, AsOf, Theme, W], Answer], example: str, default: W) -> Handler:
    """Return the handler of a command that takes one window."""

    async def answer(ask: Ask) -> Answer:
        question, market = await _load(ask, example, most_windows=1)
        window = cast("W", question.window) if question.window else default
        return await answer_once(page, market, question.dates, ask.theme, window)

    return answer


def on_part(
    page: Callable[[Market, AsOf, Theme, str], Answer], parts_of: Callable[[Market], Iterable[str]], example: str
) -> Handler:
    """Return the handler of a command that takes no window, but which of the parts is shown, "" for the first."""

    async def answer(ask: Ask) -> Answer:
        question = parse_question(ask.text, example, ask.services.pair, ask.today, rest=True, most_windows=0)
        _, market = await load_market(ask.services, question)
        part = " ".join(word for word in question.rest if word not in ask.services.pair.words)
        if part and part not in (stored := list(parts_of(market))):
            known = f"It can be {', '.join(stored)}." if stored else "Nothing is stored yet."
            raise BadInput(f"“{part}” is not understood here. {known}", example)
        return await answer_once(page, market, question.dates, ask.theme, part)

    return answer


on_trend = on_window(trend_answer, "/trend 5y", None)
on_seasons = on_window(seasons_answer, "/seasons 10y", None)
on_why = on_window(attribution_answer, "/why ytd", YTD)
on_fundamentals = on_window(fundamentals_answer, "/fundamentals 1y", YTD)
on_multiples = on_part(multiples_answer, kinds, "/multiples asof 2020-12-11")
on_sectors = on_part(sectors_answer, parts, "/sectors asof 2020-12-11")


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
