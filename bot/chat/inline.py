"""Inline mode: “@bot 6m” typed in any chat offers short cards. Nothing is stored about it."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from telegram import InlineQueryResultArticle, InputTextMessageContent
from telegram.constants import ParseMode
from telegram.error import TelegramError

from bot.chat.polling import reason
from bot.errors import BadInput, BotError
from bot.preferences import preferences_of
from bot.rendering.card import Card, cards
from bot.rendering.numbers import localized
from bot.rendering.text import lines
from bot.services.questions import parse_question
from storage import chats

if TYPE_CHECKING:
    from telegram import InlineQuery, Update

    from bot.chat.access import Door
    from bot.chat.dispatch import Context
    from bot.preferences import Preferences
    from bot.quota import Quota
    from bot.services.base import Services

_log = logging.getLogger(__name__)
_EXAMPLE = "6m total"
_CACHED = 60  # seconds for which Telegram answers the same question of the same person by itself


class Inline:
    """Answers inline queries of those who may use the bot; others are offered nothing."""

    def __init__(self, services: Services, door: Door, quota: Quota) -> None:
        self._services, self._door, self._quota = services, door, quota

    async def on_query(self, update: Update, context: Context) -> None:
        """One query: every few letters typed are one."""
        del context
        query = update.inline_query
        if query is None or self._quota.last_word(update.update_id) is not None:
            return
        found: list[Card] = []
        numbers = ""
        if await self._door.admits(query.from_user.id, query.from_user.id):
            preferred = await self._preferences(query.from_user.id)
            found, numbers = await self._cards(query, preferred), preferred.numbers
        results = [_result(number, card, numbers) for number, card in enumerate(found)]
        try:
            await query.answer(results, cache_time=_CACHED, is_personal=True)
        except TelegramError as error:  # most likely typed on meanwhile
            _log.info("an inline query was not answered: %s", reason(error))

    async def _preferences(self, user_id: int) -> Preferences:
        """The settings of the person's private chat."""
        row = await self._services.database.run(lambda db: chats.get_chat(db, user_id))
        return preferences_of(self._services.config, row)

    async def _cards(self, query: InlineQuery, preferred: Preferences) -> list[Card]:
        """What is offered; a mistake is offered as the sentence that names it."""
        try:
            question = parse_question(query.query, _EXAMPLE, self._services.pair, kinds=True)
            market = await self._services.markets.asked(question.asked.asof, question.asked.known)
            total = question.returns(preferred.total)
            return await asyncio.to_thread(cards, market, question.asked, question.windows, total)
        except BotError as error:
            return [_mistake(error)]


def _mistake(error: BotError) -> Card:
    """An error as what is offered."""
    if isinstance(error, BadInput):
        return Card("Not understood", error.sentence, lines(error.sentence))
    return Card("No data", str(error), lines(str(error)))


def _result(number: int, card: Card, numbers: str) -> InlineQueryResultArticle:
    content = InputTextMessageContent(localized(card.html, numbers), parse_mode=ParseMode.HTML)
    return InlineQueryResultArticle(str(number), card.title, content, description=card.summary)
