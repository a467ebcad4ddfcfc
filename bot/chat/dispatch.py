"""From updates to answers: guards, the command table, buttons, errors in one place."""

from __future__ import annotations

import logging
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeAlias

from telegram import BotCommand, CallbackQuery, Message, Update
from telegram.error import ChatMigrated, TelegramError
from telegram.ext import (
    Application,
    CallbackQueryHandler,
    ChatMemberHandler,
    InlineQueryHandler,
    MessageHandler,
    filters,
)

from bot.chat.access import REJECTED, Door, Role, may_change
from bot.chat.ask import Ask, Redelivered
from bot.chat.commands import BY_NAME, COMMANDS, FORGET
from bot.chat.inline import Inline
from bot.chat.polling import reason
from bot.chat.question import question_of
from bot.chat.refusals import ADMINISTRATORS, FAILED, OWNER, UNUSABLE, hush, note_of, refusal, unknown
from bot.chat.reply import send, thread_of, typing
from bot.delivery import Verdict, classify
from bot.errors import BadInput, BotError
from storage import access, chats
from storage.db import StorageError

if TYPE_CHECKING:
    import sqlite_utils
    from telegram.ext import CallbackContext

    from bot.chat.commands import Command
    from bot.chat.question import Question
    from bot.quota import Quota
    from bot.rendering.answer import Answer
    from bot.services.base import Services

Context: TypeAlias = "CallbackContext[Any, Any, Any, Any]"

_log = logging.getLogger(__name__)
_GONE = ("left", "kicked")
# Control characters, and marks of direction, which could turn around the words and ids beside a name.
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
# An answer is not worth a queue: who still wants it asks again.
_OUTAGES = (Verdict.LATER, Verdict.UNKNOWN, Verdict.HALTED, Verdict.PAUSED, Verdict.NOTHING)


class Dispatcher:
    """The handlers of one Application."""

    def __init__(self, services: Services, quota: Quota) -> None:
        self._services, self._quota = services, quota
        self._door = Door(services)
        self._inline = Inline(services, self._door, quota)

    def register(self, application: Application[Any, Any, Any, Any, Any, Any]) -> None:
        """Add the handlers; the command table decides what is known."""
        new = filters.UpdateType.MESSAGE  # an edited message was answered already
        application.add_handler(MessageHandler(filters.TEXT & new, self.on_question))
        application.add_handler(CallbackQueryHandler(self.on_question))
        application.add_handler(InlineQueryHandler(self._inline.on_query))
        application.add_handler(ChatMemberHandler(self.on_membership, ChatMemberHandler.MY_CHAT_MEMBER))
        application.add_handler(MessageHandler(filters.StatusUpdate.MIGRATE & new, self.on_migration))
        application.add_error_handler(self.on_error)

    async def on_question(self, update: Update, context: Context) -> None:
        """A typed command, words in private, a pressed button; what asks nothing is left alone."""
        question, ask = question_of(update), None
        if question is not None:
            ask = self._ask(update, question.words)
        if question is None or ask is None:
            await _noted(update.callback_query)
            return
        await self._run(update, context, ask, question)

    async def on_membership(self, update: Update, context: Context) -> None:
        """The bot was blocked or removed, or let in again: sending stops or goes on; alerts stay."""
        del context
        change = update.my_chat_member
        if change is None:
            return
        status, chat = change.new_chat_member.status, change.chat.id
        welcome = change.chat.type != "private" or await self._door.admits(chat, chat)

        def write(db: sqlite_utils.Database) -> None:
            if not chats.seen_update(db, update.update_id, self._services.clock()):
                return
            if status in _GONE:
                chats.deactivate(db, chat, f"the bot is {status}")
            elif welcome and access.status_of(db, chat) != REJECTED:
                chats.reactivate(db, chat)

        await self._services.database.run(write)

    async def on_migration(self, update: Update, context: Context) -> None:
        """A group became a supergroup: everything stored goes along."""
        del context
        message = update.effective_message
        if message is None or message.migrate_to_chat_id is None:
            return
        old, new = message.chat_id, message.migrate_to_chat_id

        def write(db: sqlite_utils.Database) -> None:
            if chats.seen_update(db, update.update_id, self._services.clock()):
                chats.migrate_chat(db, old, new)

        await self._services.database.run(write)

    async def _run(self, update: Update, context: Context, ask: Ask, question: Question) -> None:
        """Answer one question, once."""
        try:
            try:
                answer, refused = await self._answer(update, context, ask, question.name), False
            except BotError as error:
                answer, refused = refusal(error), True
            if answer is None:
                await _noted(update.callback_query)
                return
            await ask.note()
        except Redelivered:
            return
        note = note_of(answer) if refused else None
        if not await _noted(update.callback_query, note):
            await self._send(update, context, ask, answer, edit=question.edit and not refused)

    async def _send(self, update: Update, context: Context, ask: Ask, answer: Answer, *, edit: bool) -> None:
        """Send the answer; a picture that has nothing to show says so instead."""
        try:
            try:
                await send(context.bot, ask, update, answer, edit=edit)
            except BotError as error:
                await send(context.bot, ask, update, refusal(error), edit=False)
        except TelegramError as error:
            await self._unsent(update, error)

    async def _unsent(self, update: Update, error: TelegramError) -> None:
        """An answer that does not arrive: the chat is gone or moved, Telegram is down, else our own fault."""
        chat = update.effective_chat.id if update.effective_chat else 0
        verdict = classify(error)
        if verdict is Verdict.LEFT:
            await self._services.database.run(lambda db: chats.deactivate(db, chat, reason(error)))
        elif isinstance(error, ChatMigrated):
            new = error.new_chat_id
            await self._services.database.run(lambda db: chats.migrate_chat(db, chat, new))
        elif verdict not in _OUTAGES:
            raise error
        _log.warning("an answer to chat %s did not arrive: %s", chat, reason(error))

    def _ask(self, update: Update, words: str) -> Ask | None:
        chat, user = update.effective_chat, update.effective_user
        if chat is None or user is None:
            return None
        full_name = _visible(user.full_name)
        name = f"{full_name} (@{user.username})" if user.username else full_name
        title = _visible(chat.title) if chat.title else full_name
        thread = thread_of(update.effective_message)
        return Ask(self._services, words, chat.id, chat.type, title, user.id, update.update_id, name, thread)

    async def _answer(self, update: Update, context: Context, ask: Ask, name: str) -> Answer | None:
        """The answer of the command, after the guards."""
        silence = self._quota.last_word(ask.update_id)
        command = BY_NAME.get(name.lower())
        if not await self._door.admits(ask.user_id, ask.chat_id):
            if command is None or command.name != FORGET:  # pressed twice, it is no wish to be let in
                await self._door.turn_away(ask)
            return None
        if silence is not None:
            raise BadInput(hush(silence))
        if command is None:
            return unknown(name, ask.text, BY_NAME, self._services.pair)
        await self._guard(update, context, ask, command)
        await ask.prefer()
        async with typing(context.bot, update):
            return await command.handler(ask)

    async def _guard(self, update: Update, context: Context, ask: Ask, command: Command) -> None:
        """Raise BadInput unless the person may use the command with these words."""
        role = command.role(ask.text)
        if role is Role.OWNER and not ask.is_owner:
            raise BadInput(OWNER)
        if role is Role.ADMIN and not await may_change(context.bot, update):
            raise BadInput(ADMINISTRATORS)

    async def on_error(self, update: object, context: Context) -> None:
        """A fault of ours: logged in full, told in one line."""
        _log.error("an update failed", exc_info=context.error)
        if not isinstance(update, Update):
            return
        said = UNUSABLE if isinstance(context.error, StorageError) else FAILED
        message = update.effective_message
        if await _noted(update.callback_query, said) or not isinstance(message, Message):
            return
        with suppress(TelegramError):
            await context.bot.send_message(message.chat_id, said, message_thread_id=thread_of(message))


def _visible(name: str) -> str:
    """A name as the owner may be shown it."""
    return _UNSEEN.sub("", name).strip() or "unnamed"


async def _noted(query: CallbackQuery | None, note: str | None = None) -> bool:
    """End the button's waiting, with a note over the chat if there is one; whether the note was shown."""
    if query is None:
        return False
    try:
        await query.answer(note, show_alert=note is not None)
    except TelegramError:  # most likely pressed too long ago; what matters is the answer itself
        return False
    return note is not None


def menu(*, owner: bool = False) -> list[BotCommand]:
    """The command menu that Telegram shows; the owner's has what is theirs alone."""
    shown = (command for command in COMMANDS if owner or command.who is not Role.OWNER)
    return [BotCommand(command.name, command.help) for command in shown]
