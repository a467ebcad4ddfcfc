"""From updates to answers: guards, the command table, buttons, errors in one place."""

from __future__ import annotations

import logging
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeAlias

from telegram import BotCommand, CallbackQuery, Message, Update
from telegram.error import ChatMigrated, TelegramError
from telegram.ext import Application, CallbackQueryHandler, ChatMemberHandler, MessageHandler, filters

from bot.chat.access import is_allowed, may_change
from bot.chat.ask import Ask, Redelivered
from bot.chat.commands import BY_NAME, COMMANDS
from bot.chat.polling import reason
from bot.chat.refusals import ADMINISTRATORS, FAILED, UNUSABLE, Denied, note_of, refusal, unknown
from bot.chat.reply import send, thread_of, typing
from bot.delivery import Verdict, classify
from bot.errors import BadInput, BotError
from bot.rendering.answer import EDIT, REPLY, Answer
from storage import chats
from storage.db import StorageError

if TYPE_CHECKING:
    from telegram.ext import CallbackContext

    from bot.services import Services

Context: TypeAlias = "CallbackContext[Any, Any, Any, Any]"

_log = logging.getLogger(__name__)
_LINE = re.compile(r"/(?P<name>\w+)(?:@(?P<bot>\w+))?(?P<words>.*)", re.DOTALL)
_STRANGERS_KEPT = 1000
_GONE = ("left", "kicked")
# An answer is not worth a queue: who still wants it asks again.
_OUTAGES = (Verdict.LATER, Verdict.UNKNOWN, Verdict.HALTED, Verdict.PAUSED, Verdict.NOTHING)


class Dispatcher:
    """The handlers of one Application."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._strangers: dict[int, None] = {}

    def register(self, application: Application[Any, Any, Any, Any, Any, Any]) -> None:
        """Add the handlers; the command table decides what is known."""
        new = filters.UpdateType.MESSAGE  # an edited message was answered already
        application.add_handler(MessageHandler(filters.COMMAND & new, self.on_command))
        application.add_handler(CallbackQueryHandler(self.on_button))
        application.add_handler(ChatMemberHandler(self.on_membership, ChatMemberHandler.MY_CHAT_MEMBER))
        application.add_handler(MessageHandler(filters.StatusUpdate.MIGRATE & new, self.on_migration))
        application.add_handler(MessageHandler(filters.TEXT & filters.ChatType.PRIVATE & new, self.on_text))
        application.add_error_handler(self.on_error)

    async def on_command(self, update: Update, context: Context) -> None:
        """A typed command; one meant for another bot is left alone."""
        match = _LINE.fullmatch((update.effective_message.text or "") if update.effective_message else "")
        chat = update.effective_chat
        if match is None or chat is None:
            return
        addressed = match["bot"]
        if addressed and addressed.lower() != context.bot.username.lower():
            return
        if match["name"].lower() not in BY_NAME and chat.type != "private" and not addressed:
            return
        await self._run(update, context, match["name"], match["words"])

    async def on_text(self, update: Update, context: Context) -> None:
        """Plain text in a private chat: a command without its slash, else a hint."""
        text = (update.effective_message.text or "") if update.effective_message else ""
        name, *words = text.split(maxsplit=1) or [""]
        await self._run(update, context, name, "".join(words))

    async def on_button(self, update: Update, context: Context) -> None:
        """A pressed button: its command line is run as if typed."""
        query = update.callback_query
        data = (query.data or "") if query else ""
        match = _LINE.fullmatch(data[1:])
        if query is None or match is None or data[0] not in (EDIT, REPLY) or match["name"] not in BY_NAME:
            await _noted(query)
            return
        await self._run(update, context, match["name"], match["words"], edit=data[0] == EDIT)

    async def on_membership(self, update: Update, context: Context) -> None:
        """The bot was blocked or removed, or let in again: sending stops or goes on; alerts stay."""
        del context
        change = update.my_chat_member
        if change is None:
            return
        status, chat = change.new_chat_member.status, change.chat.id
        if status in _GONE:
            await self._services.database.run(lambda db: chats.deactivate(db, chat, f"the bot is {status}"))
        else:
            await self._services.database.run(lambda db: chats.reactivate(db, chat))

    async def on_migration(self, update: Update, context: Context) -> None:
        """A group became a supergroup: everything stored goes along."""
        del context
        message = update.effective_message
        if message is not None and message.migrate_to_chat_id is not None:
            old, new = message.chat_id, message.migrate_to_chat_id
            await self._services.database.run(lambda db: chats.migrate_chat(db, old, new))

    async def _run(
        self, update: Update, context: Context, name: str, words: str, *, edit: bool = False
    ) -> None:
        """Answer one question, once."""
        ask = self._ask(update, words.strip())
        if ask is None:
            return
        try:
            try:
                answer, refused = await self._answer(update, context, ask, name), False
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
            await self._send(update, context, answer, edit=edit and not refused)

    async def _send(self, update: Update, context: Context, answer: Answer, *, edit: bool) -> None:
        """Send the answer; a picture that has nothing to show says so instead."""
        try:
            try:
                await send(context.bot, self._services, update, answer, edit=edit)
            except BotError as error:
                await send(context.bot, self._services, update, refusal(error), edit=False)
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
        title = chat.title or user.full_name
        return Ask(self._services, words, chat.id, chat.type, title, user.id, update.update_id)

    async def _answer(self, update: Update, context: Context, ask: Ask, name: str) -> Answer | None:
        """The answer of the command, after the guards."""
        if not is_allowed(self._services.config, ask.user_id, ask.chat_id):
            self._turn_away(ask)
            return None
        command = BY_NAME.get(name.lower())
        if command is None:
            return unknown(name, ask.text, BY_NAME)
        if command.changes(ask.text) and not await may_change(context.bot, update):
            raise BadInput(ADMINISTRATORS)
        async with typing(context.bot, update):
            return await command.handler(ask)

    def _turn_away(self, ask: Ask) -> None:
        """One polite line, once a chat, that tells the owner's next step."""
        if ask.chat_id in self._strangers:
            return
        if len(self._strangers) >= _STRANGERS_KEPT:
            self._strangers.pop(next(iter(self._strangers)))
        self._strangers[ask.chat_id] = None
        raise Denied(ask.user_id, ask.chat_id)

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


async def _noted(query: CallbackQuery | None, note: str | None = None) -> bool:
    """End the button's waiting, with a note over the chat if there is one; whether the note was shown."""
    if query is None:
        return False
    try:
        await query.answer(note, show_alert=note is not None)
    except TelegramError:  # most likely pressed too long ago; what matters is the answer itself
        return False
    return note is not None


def menu() -> list[BotCommand]:
    """The command menu that Telegram shows."""
    return [BotCommand(command.name, command.help) for command in COMMANDS]
