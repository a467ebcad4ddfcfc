"""From updates to answers: access checks, the command table, buttons and error handling.

Inline mode: “@bot 6m” typed in any chat offers short cards. Nothing about such queries is stored.
"""

from __future__ import annotations

import asyncio
import logging
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeAlias

from telegram import (
    BotCommand,
    CallbackQuery,
    InlineQueryResultArticle,
    InputTextMessageContent,
    Message,
    Update,
)
from telegram.constants import ParseMode
from telegram.error import ChatMigrated, TelegramError
from telegram.ext import (
    Application,
    CallbackQueryHandler,
    ChatMemberHandler,
    InlineQueryHandler,
    MessageHandler,
    filters,
)

from bot.chat import reply
from bot.chat.access import AccessGate, Ask, Redelivered, Role, may_change
from bot.chat.commands import BY_NAME, COMMANDS, FORGET
from bot.chat.updates import error_text, parse_update
from bot.delivery.outcome import ErrorClass, classify
from bot.errors import BadInput, BotError
from bot.messages.html import lines, localized
from bot.messages.pages.compare import Card, cards
from bot.services.chats import settings_of, stored_chat
from bot.services.questions import parse_question
from storage import chat_store
from storage.connection import StorageError

if TYPE_CHECKING:
    import sqlite_utils
    from telegram.ext import CallbackContext

    from bot.chat.commands import Command
    from bot.chat.updates import CommandRequest, Quota
    from bot.messages.common import Answer
    from bot.services import Services
    from bot.services.chats import ChatSettings


_log = logging.getLogger(__name__)
Context: TypeAlias = "CallbackContext[Any, Any, Any, Any]"
_INLINE_EXAMPLE = "6m total"
_INLINE_CACHE = 60  # seconds for which Telegram answers the same query of the same person itself
_GONE = ("left", "kicked")
# Control and direction characters, which could reorder the words and ids next to a name.
_INVISIBLE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
# Answers are not queued: whoever still wants one asks again.
_OUTAGES = (ErrorClass.LATER, ErrorClass.UNKNOWN, ErrorClass.HALTED, ErrorClass.PAUSED, ErrorClass.NOTHING)


class Dispatcher:
    """The update handlers of one Application."""

    def __init__(self, services: Services, quota: Quota) -> None:
        self._services, self._quota = services, quota
        self._gate = AccessGate(services)

    def register(self, application: Application[Any, Any, Any, Any, Any, Any]) -> None:
        """Add the handlers to the application."""
        new = filters.UpdateType.MESSAGE  # an edited message was answered already
        application.add_handler(MessageHandler(filters.TEXT & new, self.on_request))
        application.add_handler(CallbackQueryHandler(self.on_request))
        application.add_handler(InlineQueryHandler(self.on_inline_query))
        application.add_handler(ChatMemberHandler(self.on_membership, ChatMemberHandler.MY_CHAT_MEMBER))
        application.add_handler(MessageHandler(filters.StatusUpdate.MIGRATE & new, self.on_migration))
        application.add_error_handler(self.on_error)

    async def on_request(self, update: Update, context: Context) -> None:
        """Answer a typed command, words in a private chat, or a pressed button."""
        request = parse_update(update)
        ask = self._ask(update, request.words) if request is not None else None
        if request is None or ask is None:
            await _answer_query(update.callback_query)
            return
        await self._run(update, context, ask, request)

    async def on_membership(self, update: Update, context: Context) -> None:
        """Stop or resume sending when the bot was blocked, removed or added again. The alerts stay."""
        del context
        change = update.my_chat_member
        if change is None:
            return
        status, chat = change.new_chat_member.status, change.chat.id
        welcome = change.chat.type != "private" or await self._gate.admits(chat, chat)

        def write(db: sqlite_utils.Database) -> None:
            if not chat_store.record_update(db, update.update_id, self._services.clock()):
                return
            if status in _GONE:
                chat_store.deactivate(db, chat, f"the bot is {status}")
            elif welcome and chat_store.access_status(db, chat) != chat_store.REJECTED:
                chat_store.reactivate(db, chat)

        await self._services.database.run(write)

    async def on_migration(self, update: Update, context: Context) -> None:
        """Move everything stored about a group that became a supergroup to its new id."""
        del context
        message = update.effective_message
        if message is None or message.migrate_to_chat_id is None:
            return
        old, new = message.chat_id, message.migrate_to_chat_id

        def write(db: sqlite_utils.Database) -> None:
            if chat_store.record_update(db, update.update_id, self._services.clock()):
                chat_store.migrate_chat(db, old, new)

        await self._services.database.run(write)

    async def _run(self, update: Update, context: Context, ask: Ask, request: CommandRequest) -> None:
        """Answer a request, unless it was answered before."""
        try:
            try:
                answer, refused = await self._answer(update, context, ask, request.name), False
            except BotError as error:
                answer, refused = reply.error_answer(error), True
            if answer is None:
                await _answer_query(update.callback_query)
                return
            await ask.record()
        except Redelivered:
            return
        toast = reply.toast_text(answer) if refused else None
        if not await _answer_query(update.callback_query, toast):
            await self._send(update, context, ask, answer, edit=request.edit and not refused)

    async def _send(self, update: Update, context: Context, ask: Ask, answer: Answer, *, edit: bool) -> None:
        """Send the answer. A picture without data is replaced by its error."""
        try:
            try:
                await reply.send(context.bot, ask, update, answer, edit=edit)
            except BotError as error:
                await reply.send(context.bot, ask, update, reply.error_answer(error), edit=False)
        except TelegramError as error:
            await self._handle_send_error(update, error)

    async def _handle_send_error(self, update: Update, error: TelegramError) -> None:
        """Handle an answer that could not be sent. Errors that are the bot's own are raised."""
        chat = update.effective_chat.id if update.effective_chat else 0
        error_class = classify(error)
        if error_class is ErrorClass.LEFT:
            await self._services.database.run(lambda db: chat_store.deactivate(db, chat, error_text(error)))
        elif isinstance(error, ChatMigrated):
            new = error.new_chat_id
            await self._services.database.run(lambda db: chat_store.migrate_chat(db, chat, new))
        elif error_class not in _OUTAGES:
            raise error
        _log.warning("an answer to chat %s did not arrive: %s", chat, error_text(error))

    def _ask(self, update: Update, words: str) -> Ask | None:
        chat, user = update.effective_chat, update.effective_user
        if chat is None or user is None:
            return None
        full_name = _visible(user.full_name)
        name = f"{full_name} (@{user.username})" if user.username else full_name
        title = _visible(chat.title) if chat.title else full_name
        thread = reply.thread_of(update.effective_message)
        return Ask(self._services, words, chat.id, chat.type, title, user.id, update.update_id, name, thread)

    async def _answer(self, update: Update, context: Context, ask: Ask, name: str) -> Answer | None:
        """Return the answer of the command, after all checks. None means that nothing is answered."""
        notice = self._quota.take_notice(ask.update_id)
        command = BY_NAME.get(name.lower())
        if not await self._gate.admits(ask.user_id, ask.chat_id):
            if command is None or command.name != FORGET:  # pressed twice, it is not a request for access
                await self._gate.reject(ask)
            return None
        if notice is not None:
            raise BadInput(reply.rate_limit_notice(notice))
        if command is None:
            return reply.unknown_command(name, ask.text, BY_NAME, self._services.pair)
        await self._check_role(update, context, ask, command)
        await ask.load_settings()
        async with reply.typing_indicator(context.bot, update):
            return await command.handler(ask)

    async def _check_role(self, update: Update, context: Context, ask: Ask, command: Command) -> None:
        """Raise BadInput unless the person may use the command with these words."""
        role = command.who.required(changes=command.changes is not None and command.changes(ask.text))
        if role is Role.OWNER and not ask.is_owner:
            raise BadInput(reply.OWNER_ONLY)
        if role is Role.ADMIN and not await may_change(context.bot, update):
            raise BadInput(reply.ADMINISTRATORS_ONLY)

    async def on_inline_query(self, update: Update, context: Context) -> None:
        """Offer cards to people who may use the bot. Telegram sends a query after every few typed letters."""
        del context
        query = update.inline_query
        if query is None or self._quota.take_notice(update.update_id) is not None:
            return
        results: list[InlineQueryResultArticle] = []
        user_id = query.from_user.id
        if await self._gate.admits(user_id, user_id):
            settings = settings_of(self._services.config, await stored_chat(self._services, user_id))
            offers = await self._cards(query.query, settings)
            results = [_inline_result(number, card, settings.numbers) for number, card in enumerate(offers)]
        try:
            await query.answer(results, cache_time=_INLINE_CACHE, is_personal=True)
        except TelegramError as error:  # most likely the person went on typing
            _log.info("an inline query was not answered: %s", error_text(error))

    async def _cards(self, text: str, settings: ChatSettings) -> list[Card]:
        """Return the cards for an inline query. An error is offered as a card that explains it."""
        try:
            question = parse_question(text, _INLINE_EXAMPLE, self._services.pair, kinds=True)
            market = await self._services.markets.at(question.asked.asof, question.asked.known)
            total = question.returns(settings.total)
            return await asyncio.to_thread(cards, market, question.asked, question.windows, total)
        except BotError as error:
            title = "Not understood" if isinstance(error, BadInput) else "No data"
            return [Card(title, error.sentence, lines(error.sentence))]

    async def on_error(self, update: object, context: Context) -> None:
        """Log an internal error and tell the person in one line."""
        _log.error("an update failed", exc_info=context.error)
        if not isinstance(update, Update):
            return
        text = reply.UNUSABLE if isinstance(context.error, StorageError) else reply.FAILED
        message = update.effective_message
        if await _answer_query(update.callback_query, text) or not isinstance(message, Message):
            return
        with suppress(TelegramError):
            await context.bot.send_message(message.chat_id, text, message_thread_id=reply.thread_of(message))


def _inline_result(number: int, card: Card, numbers: str | None) -> InlineQueryResultArticle:
    content = InputTextMessageContent(localized(card.html, numbers), parse_mode=ParseMode.HTML)
    return InlineQueryResultArticle(str(number), card.title, content, description=card.summary)


def _visible(name: str) -> str:
    """Return a name without invisible characters."""
    return _INVISIBLE.sub("", name).strip() or "unnamed"


async def _answer_query(query: CallbackQuery | None, toast: str | None = None) -> bool:
    """Answer the callback query, with a toast if there is a text. Return whether the toast was shown."""
    if query is None:
        return False
    try:
        await query.answer(toast, show_alert=toast is not None)
    except TelegramError:  # most likely pressed too long ago; the answer is sent all the same
        return False
    return toast is not None


def menu(*, owner: bool = False) -> list[BotCommand]:
    """Return the command menu that Telegram shows. The owner's includes the owner's commands."""
    shown = (command for command in COMMANDS if owner or command.who is not Role.OWNER)
    return [BotCommand(command.name, command.help) for command in shown]
