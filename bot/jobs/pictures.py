"""Pictures of pushed alerts and summaries, added by an edit when nothing else waits to be sent.

A push never waits for a drawing. Nothing about pictures is stored and none is tried twice: a restart, a
refusal or a rate limit leaves the text as it is. What reads the same gets one picture in each theme.
"""

import asyncio
import datetime as dt
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import TypeAlias

import pandas as pd
from telegram import InputFile, InputMediaPhoto, Message
from telegram.constants import ParseMode
from telegram.error import TelegramError

from bot.alerts.rule import Rule
from bot.alerts.series import subject_of_rule
from bot.alerts.view import EvaluationContext
from bot.analytics.market import Market
from bot.analytics.windows import AsOf
from bot.delivery.drain import Delivery
from bot.delivery.outcome import NO_ANSWER, classify, error_text
from bot.delivery.rate_limiter import PICTURE
from bot.delivery.send import keyboard
from bot.errors import BotError
from bot.messages import common
from bot.messages.alerts import words
from bot.messages.canvas import THEMES, Theme
from bot.messages.charts import ChartSpec
from bot.messages.html import CAPTION_LIMIT, capital, visible_length
from bot.messages.pages.compare import compare_answer
from bot.services import Services
from bot.services.questions import answer_once
from storage import outbox
from storage.outbox import SentPush

_log = logging.getLogger(__name__)
MOST_LEVELS = 20  # fires of a run up to which each rule's own threshold is drawn
GIVEN_UP = dt.timedelta(minutes=15)  # after which a message that was not sent gets no picture
_AT_A_TIME, _READ = 8, 500  # requests, and messages that are read
_SPAN = pd.DateOffset(years=1)

Chart: TypeAlias = "Callable[[Theme], Awaitable[ChartSpec | None]]"


def want_alert_charts(
    services: Services, context: EvaluationContext, fires: Iterable[tuple[str, Rule, dt.date]]
) -> None:
    """Note the charts of messages about fires: deduplication key, rule and session of each."""
    with_level = len(fires := list(fires)) <= MOST_LEVELS
    charts: dict[object, Chart] = {}
    for dedup, rule, session in fires:
        key = rule.bare if with_level else subject_of_rule(rule), session
        chart = partial(_alert_chart, context, rule, session, with_level=with_level)
        services.wanted[dedup] = services.clock(), charts.setdefault(key, chart)


def want_summary_chart(services: Services, market: Market, dedups: Iterable[str]) -> None:
    """Note the chart of summaries: that of /compare."""
    chart = partial(_summary_chart, market)
    services.wanted.update((dedup, (services.clock(), chart)) for dedup in dedups)


async def _alert_chart(
    context: EvaluationContext, rule: Rule, session: dt.date, theme: Theme, *, with_level: bool
) -> ChartSpec | None:
    pair = context.market.pair
    subjects = rule.joined([words.subject_words(condition, pair) for condition in rule.conditions])
    title = capital(words.rule_words(rule, pair) if with_level else subjects)
    begin = context.market.require_end() - _SPAN
    make = partial(common.rule_chart_spec, with_amounts=with_level)
    spec, missing = await asyncio.to_thread(make, title, rule, context, theme, begin, [session])
    return spec if len(missing) < len(rule.conditions) else None


async def _summary_chart(market: Market, theme: Theme) -> ChartSpec | None:
    return (await answer_once(compare_answer, market, AsOf(), theme, (), None)).draw


class Pictures:
    """The job that adds pictures to what a delivery has sent."""

    def __init__(self, services: Services, delivery: Delivery) -> None:
        self._services, self._delivery = services, delivery

    async def run(self) -> int:
        """Add the pictures that are wanted, once nothing waits to be sent. Returns how many were added."""
        services, added = self._services, 0
        for dedup, (at, _) in list(services.wanted.items()):
            if abs(services.clock() - at) > GIVEN_UP:
                del services.wanted[dedup]
        groups: dict[tuple[Chart, str], list[SentPush]] = defaultdict(list)
        dedups = list(services.wanted)
        if not dedups or not await self._delivery.is_idle():
            return 0
        for start in range(0, len(dedups), _READ):
            read = partial(outbox.sent_pushes, dedups=dedups[start : start + _READ])
            for push in await services.database.run(read):
                chart = services.wanted.pop(push.dedup)[1]
                groups[chart, push.theme or services.config.charts.theme].append(push)
        with suppress(TelegramError):  # it does not answer: the rest stays without
            for (chart, theme), pushes in groups.items():
                added += await self._add(chart, THEMES[theme], pushes)
        if not services.wanted:
            services.tapped.clear()
        return added

    async def _add(self, chart: Chart, theme: Theme, pushes: list[SentPush]) -> int:
        """Add one picture to messages, uploaded until one has accepted it. Returns to how many."""
        pictures = self._services.pictures
        pushes = [push for push in pushes if visible_length(push.body.html) <= CAPTION_LIMIT]
        try:
            spec = await chart(theme) if pushes else None
            if spec is None:
                return 0
            png = b"" if spec in pictures else await self._services.charts.draw(spec)
        except BotError as error:
            _log.warning("a picture was not drawn: %s", error)
            return 0
        added = 0
        while pushes and spec not in pictures:
            file_id = await self._edit(pushes.pop(0), InputFile(png, "chart.png", attach=True))
            if file_id:
                pictures[spec], added = file_id, added + 1
        while pushes:
            batch, pushes = pushes[:_AT_A_TIME], pushes[_AT_A_TIME:]
            edits = await asyncio.gather(*(self._edit(push, pictures[spec]) for push in batch))
            added += sum(map(bool, edits))
        return added

    async def _edit(self, push: SentPush, file: str | InputFile) -> str:
        """Show a picture below a message. Returns its file id, "" if the message stays as it is."""
        if (push.chat_id, push.message_id) in self._services.tapped:  # its buttons may have changed it
            return ""
        body = push.body
        media = InputMediaPhoto(file, body.html, ParseMode.HTML, show_caption_above_media=True)
        try:
            edited = await self._delivery.bot.edit_message_media(
                media, push.chat_id, push.message_id, reply_markup=keyboard(body.buttons), rate_limit_args=PICTURE
            )
        except TelegramError as error:
            _log.info("a message to chat %s stays without its picture: %s", push.chat_id, error_text(error))
            if classify(error) in NO_ANSWER:
                raise
            return ""
        return edited.photo[-1].file_id if isinstance(edited, Message) and edited.photo else ""
