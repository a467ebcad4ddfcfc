"""Live boards: posted and pinned by /pin, then edited when what they show changes. They never make a sound.

A board that was deleted is not posted again by itself: the next /pin does. One that was unpinned by hand is
edited all the same, and stays unpinned.
"""

import asyncio
import hashlib
import logging
import re
from contextlib import suppress
from functools import partial

import sqlite_utils
from telegram.constants import ParseMode
from telegram.error import TelegramError

from bot.alerts.view import AlertView
from bot.analytics.market import Market
from bot.delivery.drain import Delivery
from bot.delivery.outcome import NO_ANSWER, ErrorClass, classify, error_text
from bot.delivery.rate_limiter import PICTURE
from bot.errors import BadInput
from bot.messages.html import Html, bold, lines, localized
from bot.messages.pages.summary import board_answer
from bot.services import Caller, Services, context_of, ensure_chat
from bot.services.alert_views import view_active_alerts
from bot.services.chats import ChatSettings, settings_of
from storage import chat_store

_log = logging.getLogger(__name__)
_GONE = re.compile("message to edit not found|message can't be edited|MESSAGE_ID_INVALID", re.IGNORECASE)
GONE = "The board before it was deleted."
NOT_PINNED = "I may not pin messages here: give me that right and send /pin again, or pin it yourself."


class Boards:
    """Posts, edits and removes boards through a delivery's bot."""

    def __init__(self, services: Services, delivery: Delivery) -> None:
        self._services, self._delivery = services, delivery
        self._seen: dict[int, tuple[Market, str]] = {}  # by chat, what its board was last made of

    async def run(self) -> int:
        """Edit the boards whose text has changed. Returns how many were edited."""
        market, edited = await self._services.markets.current(), 0
        boards = await self._services.database.run(chat_store.get_pins)
        for pin in boards if market.end is not None else ():
            seen = market, pin.mark
            if self._seen.get(pin.chat_id) == seen or not self._delivery.serves(pin.chat_id):
                continue
            self._seen[pin.chat_id] = seen  # an edit that is refused is not tried again until it changes
            text = await self._text(market, pin.chat_id)
            if pin.message_id is not None and pin.shown != _digest(text):
                error_class = await self._edit(pin.chat_id, pin.message_id, text)
                if error_class in (ErrorClass.HALTED, *NO_ANSWER):
                    del self._seen[pin.chat_id]
                if error_class in NO_ANSWER:
                    break
                if error_class in (None, ErrorClass.NOTHING, ErrorClass.DEAD):
                    message_id = None if error_class is ErrorClass.DEAD else pin.message_id
                    update = partial(chat_store.update_pin, pin=pin, message_id=message_id, shown=_digest(text))
                    await self._services.database.run(update)
                edited += error_class is None
        return edited

    async def post(self, caller: Caller) -> list[str]:
        """Post the board, or edit the one that there is, and pin it. Returns what to say about it.

        Raises BadInput if the chat does not take it, NoData without a close of both funds.
        """
        chat, bot = caller.chat, self._delivery.bot
        text = await self._text(await self._services.markets.current(), chat.id)
        before = await self._services.database.run(partial(chat_store.get_pins, chat_id=chat.id))
        message_id = before[0].message_id if before else None
        remarks = [GONE] if before and message_id is None else []
        try:
            if message_id is not None:
                error_class = await self._edit(chat.id, message_id, text)
                if error_class is ErrorClass.DEAD:
                    remarks, message_id = [GONE], None
                elif error_class not in (None, ErrorClass.NOTHING):
                    raise BadInput(f"The board could not be edited ({error_class.value}).", "/pin")
            if message_id is None:
                sent = await bot.send_message(
                    chat.id, text, ParseMode.HTML, message_thread_id=chat.thread_id, disable_notification=True
                )
                message_id = sent.message_id
        except TelegramError as error:
            raise BadInput(f"The board could not be posted: {error_text(error)}.", "/pin") from error

        def save(db: sqlite_utils.Database) -> None:
            ensure_chat(db, caller)
            chat_store.save_pin(db, chat.id, message_id, _digest(text))

        await caller.change(save)
        try:
            await bot.pin_chat_message(chat.id, message_id, disable_notification=True)
        except TelegramError:
            remarks.append(NOT_PINNED)
        return remarks

    async def remove(self, chat_id: int) -> bool:
        """Unpin a chat's board and edit it no more. Returns whether there was one."""
        database, bot = self._services.database, self._delivery.bot
        board = await database.run(partial(chat_store.get_pins, chat_id=chat_id))
        await database.run(partial(chat_store.drop_pin, chat_id=chat_id))
        if board and (message_id := board[0].message_id) is not None:
            text = await self._text(await self._services.markets.current(), chat_id)
            await self._edit(chat_id, message_id, lines(text, bold("Not updated any more.")))
            with suppress(TelegramError):
                await bot.unpin_chat_message(chat_id, message_id)
        return bool(board)

    async def _text(self, market: Market, chat_id: int) -> Html:
        services = self._services

        def read(db: sqlite_utils.Database) -> tuple[list[AlertView], ChatSettings]:
            settings = settings_of(services.config, chat_store.get_chat(db, chat_id))
            return view_active_alerts(db, chat_id, services.clock()), settings

        alerts, settings = await services.database.run(read)
        context = await asyncio.to_thread(context_of, market, services.markets)
        answer = await asyncio.to_thread(board_answer, context, alerts, bool(settings.total))
        return localized(answer.text, settings.numbers)

    async def _edit(self, chat_id: int, message_id: int, text: Html) -> ErrorClass | None:
        """Edit a board. Returns the error's class, DEAD if the message is gone; None if it was edited."""
        edit = partial(self._delivery.bot.edit_message_text, parse_mode=ParseMode.HTML)
        try:
            await edit(text, chat_id, message_id, rate_limit_args=PICTURE)
        except TelegramError as error:
            error_class = classify(error)
            if error_class is ErrorClass.DEAD and not _GONE.search(str(error)):
                return ErrorClass.PLAIN
            if error_class is not ErrorClass.NOTHING:
                _log.info("the board of chat %s was not edited: %s", chat_id, error_text(error))
            return error_class
        return None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
