"""Inline mode: “@bot 6m” typed in any chat offers short cards. Nothing is stored about queries."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from telegram import InlineQueryResultArticle, InputTextMessageContent
from telegram.constants import ParseMode
from telegram.error import TelegramError

from bot.chat.polling import error_text
from bot.errors import BadInput, BotError
from bot.rendering.card import Card, cards
from bot.rendering.numbers import localized
from bot.rendering.text import lines
from bot.services.chats import settings_of, stored_chat
from bot.services.questions import parse_question

if TYPE_CHECKING:
    from telegram import InlineQuery, Update

    from bot.chat.access import AccessGate
    from bot.chat.dispatch import Context
    from bot.quota import Quota
    from bot.services.base import Services
    from bot.services.chats import ChatSettings

_log = logging.getLogger(__name__)
_EXAMPLE = "6m total"
_CACHED = 60  # seconds for which Telegram answers the same query of the same person itself


class Inline:
    """Answers inline queries of people who may use the bot. Others get no results."""

    def __init__(self, services: Services, gate: AccessGate, quota: Quota) -> None:
        self._services, self._gate, self._quota = services, gate, quota

    async def on_query(self, update: Update, context: Context) -> None:
        """Answer one query. Telegram sends one after every few typed letters."""
        del context
        query = update.inline_query
        if query is None or self._quota.take_notice(update.update_id) is not None:
            return
        results: list[InlineQueryResultArticle] = []
        if await self._gate.admits(query.from_user.id, query.from_user.id):
            settings = await self._chat_settings(query.from_user.id)
            offered = await self._cards(query, settings)
            results = [_result(number, card, settings.numbers) for number, card in enumerate(offered)]
        try:
            await query.answer(results, cache_time=_CACHED, is_personal=True)
        except TelegramError as error:  # most likely the person went on typing
            _log.info("an inline query was not answered: %s", error_text(error))

    async def _chat_settings(self, user_id: int) -> ChatSettings:
        """The settings of the person's private chat."""
        return settings_of(self._services.config, await stored_chat(self._services, user_id))

    async def _cards(self, query: InlineQuery, settings: ChatSettings) -> list[Card]:
        """The cards for a query. An error is offered as a card that explains it."""
        try:
            question = parse_question(query.query, _EXAMPLE, self._services.pair, kinds=True)
            market = await self._services.markets.asked(question.asked.asof, question.asked.known)
            total = question.returns(settings.total)
            return await asyncio.to_thread(cards, market, question.asked, question.windows, total)
        except BotError as error:
            return [_error_card(error)]


def _error_card(error: BotError) -> Card:
    """An error as a card."""
    if isinstance(error, BadInput):
        return Card("Not understood", error.sentence, lines(error.sentence))
    return Card("No data", str(error), lines(str(error)))


def _result(number: int, card: Card, numbers: str | None) -> InlineQueryResultArticle:
    content = InputTextMessageContent(localized(card.html, numbers), parse_mode=ParseMode.HTML)
    return InlineQueryResultArticle(str(number), card.title, content, description=card.summary)
