"""From updates to answers: guards, the command table, buttons, errors in one place."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from telegram import BotCommand, Message, Update
from telegram.ext import (
    Application,
    BaseUpdateProcessor,
    CallbackQueryHandler,
    ChatMemberHandler,
    MessageHandler,
    filters,
)

from bot.chat.access import is_allowed, may_change
from bot.chat.ask import Ask
from bot.chat.commands import BY_NAME, COMMANDS
from bot.chat.reply import send
from bot.errors import BadInput, BotError
from bot.rendering.answer import REPLY, Answer
from bot.rendering.text import bold, code, did_you_mean, lines
from storage import chats

if TYPE_CHECKING:
    from telegram.ext import CallbackContext

    from bot.services import Services

_log = logging.getLogger(__name__)
_LINE = re.compile(r"/(?P<name>\w+)(?:@(?P<bot>\w+))?(?:\s+(?P<words>.*))?", re.DOTALL)
_STRANGERS_KEPT = 1000
_GONE = ("left", "kicked")
_FAILED = "Something failed here; it has been logged. Please try again."


class PerChat(BaseUpdateProcessor):
    """Updates of one chat in order, those of different chats at once."""

    def __init__(self, most: int = 64) -> None:
        super().__init__(most)
        self._locks: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()

    async def do_process_update(self, update: object, coroutine: Awaitable[Any]) -> None:
        """Run the update's handlers once those before it in its chat are done."""
        chat = update.effective_chat if isinstance(update, Update) else None
        lock = self._locks.setdefault(chat.id if chat else 0, asyncio.Lock())
        async with lock:
            await coroutine

    async def initialize(self) -> None:
        """Nothing to prepare."""

    async def shutdown(self) -> None:
        """Nothing to put away."""


class Dispatcher:
    """The handlers of one Application."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._strangers: dict[int, None] = {}

    def register(self, application: Application[Any, Any, Any, Any, Any, Any]) -> None:
        """Add the handlers; the command table decides what is known."""
        application.add_handler(MessageHandler(filters.COMMAND & filters.UpdateType.MESSAGE, self.on_command))
        application.add_handler(CallbackQueryHandler(self.on_button))
        application.add_handler(ChatMemberHandler(self.on_membership, ChatMemberHandler.MY_CHAT_MEMBER))
        application.add_handler(
            MessageHandler(filters.TEXT & filters.ChatType.PRIVATE & filters.UpdateType.MESSAGE, self.on_text)
        )
        application.add_error_handler(self.on_error)

    async def on_command(self, update: Update, context: CallbackContext[Any, Any, Any, Any]) -> None:
        """A typed command; one meant for another bot is left alone."""
        text = update.effective_message.text if update.effective_message else None
        match = _LINE.fullmatch((text or "").strip())
        if match is None:
            return
        addressed = match["bot"]
        if addressed and addressed.lower() != context.bot.username.lower():
            return
        in_group = update.effective_chat is not None and update.effective_chat.type != "private"
        if match["name"].lower() not in BY_NAME and in_group and not addressed:
            return
        await self._run(update, context, match["name"], match["words"] or "", edit=False)

    async def on_text(self, update: Update, context: CallbackContext[Any, Any, Any, Any]) -> None:
        """Plain text in a private chat: a command without its slash, else a hint."""
        text = (update.effective_message.text or "").strip() if update.effective_message else ""
        name, _, words = text.partition(" ")
        await self._run(update, context, name, words, edit=False)

    async def on_button(self, update: Update, context: CallbackContext[Any, Any, Any, Any]) -> None:
        """A pressed button: its command line is run as if typed."""
        query = update.callback_query
        if query is None:
            return
        await query.answer()
        data = query.data or ""
        match = _LINE.fullmatch(data[1:])
        if match is None or match["name"] not in BY_NAME:
            return
        await self._run(update, context, match["name"], match["words"] or "", edit=data[0] != REPLY)

    async def on_membership(self, update: Update, context: CallbackContext[Any, Any, Any, Any]) -> None:
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

    async def _run(
        self,
        update: Update,
        context: CallbackContext[Any, Any, Any, Any],
        name: str,
        words: str,
        *,
        edit: bool,
    ) -> None:
        ask = self._ask(update, words)
        if ask is None or not await self._first_time(ask):
            return
        try:
            answer = await self._answer(update, context, ask, name)
        except BotError as error:
            answer = _refusal(error)
        if answer is not None:
            await self._send(update, context, answer, edit=edit)

    async def _send(
        self, update: Update, context: CallbackContext[Any, Any, Any, Any], answer: Answer, *, edit: bool
    ) -> None:
        """Send the answer; a picture that has nothing to show says so instead."""
        try:
            await send(context.bot, self._services, update, answer, edit=edit)
        except BotError as error:
            await send(context.bot, self._services, update, _refusal(error), edit=False)

    def _ask(self, update: Update, words: str) -> Ask | None:
        chat, user = update.effective_chat, update.effective_user
        if chat is None or user is None:
            return None
        title = chat.title or user.full_name
        return Ask(self._services, words, chat.id, chat.type, title, user.id, update.update_id)

    async def _first_time(self, ask: Ask) -> bool:
        """False for an update that Telegram delivers again."""
        return await self._services.database.run(lambda db: chats.seen_update(db, ask.update_id, ask.now))

    async def _answer(
        self, update: Update, context: CallbackContext[Any, Any, Any, Any], ask: Ask, name: str
    ) -> Answer | None:
        """The answer of the command, after the guards."""
        if not is_allowed(self._services.config, ask.user_id, ask.chat_id):
            return self._stranger(ask)
        command = BY_NAME.get(name.lower())
        if command is None:
            return _unknown(name)
        if command.changes(ask.text) and not await may_change(context.bot, update):
            raise BadInput("Only this group's administrators may change its alerts and settings.")
        return await command.handler(ask)

    def _stranger(self, ask: Ask) -> Answer | None:
        """One polite line, once a chat, that tells the owner's next step."""
        if ask.chat_id in self._strangers:
            return None
        if len(self._strangers) >= _STRANGERS_KEPT:
            self._strangers.pop(next(iter(self._strangers)))
        self._strangers[ask.chat_id] = None
        return Answer(
            lines(
                "This bot is private. Its owner can let you in with your id: " + code(str(ask.user_id)),
            )
        )

    async def on_error(self, update: object, context: CallbackContext[Any, Any, Any, Any]) -> None:
        """A fault of ours: logged in full, told in one line."""
        _log.error("an update failed", exc_info=context.error)
        message = update.effective_message if isinstance(update, Update) else None
        if isinstance(message, Message):
            await context.bot.send_message(message.chat_id, _FAILED)


def _refusal(error: BotError) -> Answer:
    """An error as an answer: its sentence, and the example ready to be copied."""
    example = getattr(error, "example", "")
    sentence = str(error).removesuffix(f" Example: {example}") if example else str(error)
    line = example if example.startswith("/") else ""
    return Answer(
        lines(sentence, "Example: " + code(example) if example else None),
        buttons=((("Try the example", line),),) if line else (),
    )


def _unknown(name: str) -> Answer:
    near = did_you_mean(name, BY_NAME)
    suggestion = near.removeprefix("Did you mean ").removesuffix("?")
    html = lines(
        bold(f"“{name}” is not a command.") + (f" Did you mean /{suggestion}?" if near else ""),
        "All commands: /help",
    )
    rows = (((f"/{suggestion}", f"/{suggestion}"),),) if near else ((("Help", "/help"),),)
    return Answer(html, buttons=rows)


def menu() -> list[BotCommand]:
    """The command menu that Telegram shows."""
    return [BotCommand(command.name, command.help) for command in COMMANDS]
