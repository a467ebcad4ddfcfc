"""From updates to answers: parsing, quotas, access checks, the command table, buttons and error handling.

Inline mode: “@bot 6m” typed in any chat offers short cards. Nothing about such queries is stored.
"""

import asyncio
import datetime as dt
import logging
import math
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeAlias

from telegram import (
    BotCommand,
    CallbackQuery,
    ChatMember,
    InlineQueryResultArticle,
    InputTextMessageContent,
    Message,
    Update,
    ext,
)
from telegram.constants import ParseMode
from telegram.error import ChatMigrated, TelegramError

from bot.chat import reply
from bot.chat.access import AccessGate, Ask, Redelivered, Role, may_change, person_of
from bot.chat.commands import BY_NAME, COMMANDS, FORGET, Command, first_step, plain_request
from bot.delivery.outcome import REFUSED_BY_CHAT, ErrorClass, classify, error_text, put_to_sleep
from bot.errors import BadInput, BotError, NoData
from bot.messages.common import AS_EDIT, AS_NEW, Answer, payload_of
from bot.messages.html import lines, localized, strip_html
from bot.messages.pages.compare import Card, cards
from bot.messages.pages.start import group_welcome
from bot.services import Services, chats
from bot.services.chats import ChatSettings
from bot.services.questions import load_market, parse_question
from bot.text import counted
from storage import chat_store
from storage.database import StorageError

_log = logging.getLogger(__name__)
Context: TypeAlias = "ext.CallbackContext[Any, Any, Any, Any]"
_INLINE_EXAMPLE = "6m total"
_INLINE_CACHE = 60  # seconds for which Telegram answers the same query of the same person itself
_LINE = re.compile(r"/(?P<name>\w+)(?:@(?P<bot>\w+))?(?P<words>.*)", re.DOTALL)
COMMANDS_PER_MINUTE = 30  # of one person
_MINUTE = dt.timedelta(minutes=1)
_MAX_KEYS = 10_000  # when more are remembered, those without a recent command are removed
_MAX_REFUSED = 1_000  # messages whose edits are answered
# Control and direction characters, which could reorder the words and ids next to a name.
_INVISIBLE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
# Answers are not queued: whoever still wants one asks again.
_UNSENT = (ErrorClass.LATER, ErrorClass.UNKNOWN, ErrorClass.HALTED, ErrorClass.PAUSED, ErrorClass.NOTHING)


@dataclass(frozen=True)
class CommandRequest:
    """A command's name and words; with `edit`, the answer replaces the message with the button.

    `plain` words begin with no slash.
    """

    name: str
    words: str
    edit: bool = False
    plain: bool = False
    forwarded: bool = False


def parse_update(update: Update) -> CommandRequest | None:
    """Return the request of an update, or None if it does not address this bot.

    In groups only this bot's commands are requests, and unknown commands if they name the bot. Forwarded
    messages are commands nowhere, whether forwarded by hand or from a linked channel: somebody else wrote
    them. In a private chat they are a request all the same, to be told so.
    """
    if update.callback_query is not None:
        return _parse_button(update.callback_query)
    message = update.message or update.edited_message
    return _parse_message(message, message.text) if message is not None and message.text else None


def _parse_button(query: CallbackQuery) -> CommandRequest | None:
    data = query.data or ""
    match = _LINE.fullmatch(data[1:])
    if match is None or data[0] not in (AS_EDIT, AS_NEW) or match["name"] not in BY_NAME or match["bot"]:
        return None
    return CommandRequest(match["name"], match["words"].strip(), edit=data[0] == AS_EDIT)


def _parse_message(message: Message, text: str) -> CommandRequest | None:
    private = message.chat.type == "private"
    if message.via_bot is not None:
        return None  # an inline result
    if _is_forwarded(message):
        return CommandRequest("", "", forwarded=True) if private else None
    mention = f"@{message.get_bot().username} /"  # is in front of a line that a button put into the input field
    match = _LINE.fullmatch(text[len(mention) - 1 :] if text.lower().startswith(mention.lower()) else text)
    if match is None:
        name, *words = text.split(maxsplit=1) or [""]
        return CommandRequest(name, "".join(words).strip(), plain=True) if private and name else None
    addressed = match["bot"]
    if addressed and addressed.lower() != message.get_bot().username.lower():
        return None
    if match["name"].lower() not in BY_NAME and not private and not addressed:
        return None
    return CommandRequest(match["name"], match["words"].strip())


def _is_forwarded(message: Message) -> bool:
    """Return whether somebody else wrote the words. Servers before version 7.0 of the Bot API send a date."""
    return (
        message.forward_origin is not None or bool(message.is_automatic_forward) or "forward_date" in message.api_kwargs
    )


def quota_key(update: Update) -> int | None:
    """Return the key of the quota that an update counts against, or None if it asks nothing.

    People who write in the name of a chat share its quota. Inline queries have a separate quota per person,
    because every few typed letters are a query.
    """
    user, chat = update.effective_user, update.effective_chat
    if update.inline_query is not None:
        return -update.inline_query.from_user.id
    asks = update.callback_query is not None or parse_update(update) is not None
    if user is None or not asks:
        return None
    return person_of(user.id, chat.id if chat else user.id)


class Quota:
    """Allows `count` commands of one person in any minute. The first one over it is answered with a notice.

    Time is the bot's clock. Commands over the limit are not counted, so answers resume as the counted ones
    become a minute old. The notice is sent at most once a minute.
    """

    def __init__(self, clock: Callable[[], dt.datetime], count: int = COMMANDS_PER_MINUTE) -> None:
        self._clock, self._count = clock, count
        self._commands: dict[int, list[dt.datetime]] = {}
        self._notified_at: dict[int, dt.datetime] = {}
        self._notices: dict[int, int] = {}  # seconds to wait, by the update to answer with the notice

    def admits_update(self, update: Update) -> bool:
        """Return whether to process an update, be it with the notice."""
        key = quota_key(update)
        return key is None or self.admits(key, update.update_id)

    def admits(self, key: int, update_id: int) -> bool:
        """Return whether to answer a command, be it with the notice."""
        now = self._clock()
        if len(self._commands) > _MAX_KEYS:
            self._commands = {key: at for key, at in self._commands.items() if _is_recent(at[-1], now)}
            self._notified_at = {key: at for key, at in self._notified_at.items() if _is_recent(at, now)}
        commands = [at for at in self._commands.get(key, ()) if _is_recent(at, now)]
        self._commands[key] = commands
        if len(commands) < self._count:
            commands.append(now)
            return True
        if _is_recent(self._notified_at.get(key), now):
            return False
        self._notified_at[key] = now
        self._notices[update_id] = max(math.ceil((commands[0] + _MINUTE - now).total_seconds()), 1)
        return True

    def take_notice(self, update_id: int) -> int | None:
        """Return the seconds to wait, once, if the update is to be answered with the notice."""
        return self._notices.pop(update_id, None)


def _is_recent(moment: dt.datetime | None, now: dt.datetime) -> bool:
    """Return whether a moment is in the last minute. One in the future, after a clock set back, is not."""
    return moment is not None and moment <= now < moment + _MINUTE


class Dispatcher:
    """The update handlers of one Application."""

    def __init__(self, services: Services, quota: Quota) -> None:
        self._services, self._quota = services, quota
        self._gate = AccessGate(services)
        self._refused: dict[tuple[int, int], None] = {}  # messages by chat and id, oldest first

    def register(self, application: ext.Application[Any, Any, Any, Any, Any, Any]) -> None:
        """Add the handlers to the application."""
        new, edited = ext.filters.UpdateType.MESSAGE, ext.filters.UpdateType.EDITED_MESSAGE
        application.add_handler(ext.MessageHandler(ext.filters.TEXT & (new | edited), self.on_request))
        application.add_handler(ext.CallbackQueryHandler(self.on_request))
        application.add_handler(ext.InlineQueryHandler(self.on_inline_query))
        application.add_handler(ext.ChatMemberHandler(self.on_membership, ext.ChatMemberHandler.MY_CHAT_MEMBER))
        application.add_handler(ext.MessageHandler(ext.filters.StatusUpdate.MIGRATE & new, self.on_migration))
        application.add_handler(ext.TypeHandler(Update, self.on_other))
        application.add_error_handler(self.on_error)

    async def on_request(self, update: Update, context: Context) -> None:
        """Answer a typed command, words in a private chat, or a pressed button, each update once.

        A message that is edited is answered again if it was refused.
        """
        message = update.edited_message
        was_answered = message is not None and (message.chat_id, message.message_id) not in self._refused
        request = None if was_answered else self._read_request(update)
        query, wanted = update.callback_query, self._services.wanted
        if wanted and query is not None and query.message is not None:
            self._services.tapped.add((query.message.chat.id, query.message.message_id))
        ask = self._ask(update, request.words) if request is not None else None
        if request is None or ask is None:
            await _answer_query(update.callback_query)
            await self.on_other(update, context)
            return
        try:
            try:
                answer, refused = await self._answer(update, context, ask, request), False
            except BotError as raised:
                error = raised
                if isinstance(raised, NoData) and not ask.is_owner:
                    error = NoData(raised.reason, raised.example)
                line = f"/{request.name.lower()} {request.words}".strip()
                answer, refused = reply.error_answer(error, first_step, line), True
            if answer is None:
                await _answer_query(update.callback_query)
                await self.on_other(update, context)
                return
        except Redelivered:
            return
        self._note_refusal(update.message or message, refused=refused)
        toast = strip_html(answer.html) if refused else answer.toast  # shown if it is short enough
        if toast is not None and len(toast) > reply.MAX_TOAST_LENGTH:
            toast = None
        if await _answer_query(update.callback_query, toast, alert=refused) and refused:
            await chats.note_sign_of_life(self._services, ask.chat_id, ask.unrecorded)
        else:
            await self._send(update, context, ask, answer, edit=request.edit and not refused)

    def _note_refusal(self, message: Message | None, *, refused: bool) -> None:
        if message is not None:
            self._refused.pop(key := (message.chat_id, message.message_id), None)
            if refused:
                self._refused[key] = None
        if len(self._refused) > _MAX_REFUSED:
            del self._refused[next(iter(self._refused))]

    async def on_other(self, update: Update, context: Context) -> None:
        """Take an update without an answer of its own as a sign of life of its chat."""
        del context
        if update.effective_chat is not None:
            await chats.note_sign_of_life(self._services, update.effective_chat.id)

    async def on_membership(self, update: Update, context: Context) -> None:
        """Stop or resume sending when the bot was blocked, removed or added again. The alerts stay."""
        del context
        change = update.my_chat_member
        if change is None:
            return
        status, chat = change.new_chat_member.status, change.chat.id
        was_out = change.old_chat_member.status in {ChatMember.LEFT, ChatMember.BANNED}
        stored = chats.standing(self._services, chat, chat, update.update_id)
        is_group = change.chat.type != "private"
        greeting = None
        if is_group and stored.admitted and was_out:
            greeting = payload_of(group_welcome(" and ".join(self._services.pair.tickers)), AS_EDIT)
        follow = partial(chats.follow_membership, self._services, update.update_id, chat, status)
        await follow(welcome=is_group or stored.admitted, greeting=greeting)

    async def on_migration(self, update: Update, context: Context) -> None:
        """Move everything stored about a group that became a supergroup to its new id."""
        del context
        message = update.effective_message
        if message is None or message.migrate_to_chat_id is None:
            return
        old, new = message.chat_id, message.migrate_to_chat_id
        await chats.migrate(self._services, old, new, update.update_id)

    async def _send(self, update: Update, context: Context, ask: Ask, answer: Answer, *, edit: bool) -> None:
        """Send the answer, then record its update. A picture without data is replaced by its error."""
        send = partial(reply.send, context.bot, self._services, update, numbers=ask.settings.numbers)
        try:
            try:
                sent = await send(answer, edit=edit)
            except BotError as error:
                sent = await send(reply.error_answer(error, first_step), edit=False)
        except TelegramError as error:
            await self._handle_send_error(update, error)
        else:
            note = chats.note_delivery if sent else chats.note_sign_of_life
            await note(self._services, ask.chat_id, ask.unrecorded)

    async def _handle_send_error(self, update: Update, error: TelegramError) -> None:
        """Handle an answer that could not be sent. Errors that are the bot's own are raised.

        A chat that refuses an answer is tried again soon, because what it was an answer to is a sign of life.
        """
        chat = update.effective_chat.id if update.effective_chat else 0
        error_class, services = classify(error), self._services
        if error_class is ErrorClass.LEFT:
            await chats.deactivate(services, chat, error_text(error))
        elif error_class in REFUSED_BY_CHAT:
            sleep = partial(put_to_sleep, chat_id=chat, reason=error_text(error), now=services.clock())
            owner = services.config.access.owner
            await services.database.run(partial(sleep, owner=owner, pause=chat_store.TRY_AFTER))
        elif isinstance(error, ChatMigrated):
            await chats.migrate(services, chat, error.new_chat_id)
        elif error_class not in _UNSENT:
            raise error
        _log.warning("an answer to chat %s did not arrive: %s", chat, error_text(error))

    def _read_request(self, update: Update) -> CommandRequest | None:
        """Return the request of an update; plain words are a request for the command that they ask for."""
        request = parse_update(update)
        if request is None or not request.name or (request.name.lower() in BY_NAME and not request.plain):
            return request
        typed, today = f"{request.name} {request.words}".strip(), self._services.clock().date()
        name, words = plain_request(typed, self._services.pair, today) or (request.name, request.words)
        return replace(request, name=name, words=words)

    def _ask(self, update: Update, words: str) -> Ask | None:
        chat, user = update.effective_chat, update.effective_user
        if chat is None or user is None:
            return None
        full_name = _visible(user.full_name)
        name = f"{full_name} (@{user.username})" if user.username else full_name
        title = _visible(chat.title) if chat.title else full_name
        thread = reply.thread_of(update.effective_message)
        where = (chat.id, chat.type, title, user.id, update.update_id, name, thread)
        return Ask(self._services, words, *where, is_pressed=update.callback_query is not None)

    async def _answer(self, update: Update, context: Context, ask: Ask, request: CommandRequest) -> Answer | None:
        """Return the answer of the command, after all checks. None means that nothing is answered."""
        notice = self._quota.take_notice(ask.update_id)
        command = BY_NAME.get(request.name.lower())
        if not await ask.load():
            if command is None or command.name != FORGET:  # pressed twice, it is not a request for access
                await self._gate.reject(ask.caller, ask.user_name, ask.update_id)
            return None
        if notice is not None:
            wait = counted(notice, "second")
            raise BadInput(f"You have sent more than {COMMANDS_PER_MINUTE} commands in a minute; please wait {wait}.")
        if request.forwarded:
            raise BadInput(reply.FORWARDED)
        if command is None:
            return reply.unknown_command(request.name, BY_NAME, self._services.pair)
        await self._check_role(update, context, ask, command)
        async with reply.typing_indicator(context.bot, update):
            return await command.handler(ask)

    async def _check_role(self, update: Update, context: Context, ask: Ask, command: Command) -> None:
        role = command.role.required(changes=command.changes is not None and command.changes(ask.text))
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
        stored = chats.standing(self._services, user_id, user_id, update.update_id)
        if stored.admitted and not query.query.startswith("/"):  # which is such a line
            offers, numbers = await self._cards(query.query, stored.settings), stored.settings.numbers
            results = [_inline_result(number, card, numbers) for number, card in enumerate(offers)]
        try:
            await query.answer(results, cache_time=_INLINE_CACHE, is_personal=True)
        except TelegramError as error:  # most likely the person went on typing
            _log.info("an inline query was not answered: %s", error_text(error))

    async def _cards(self, text: str, settings: ChatSettings) -> list[Card]:
        """Return the cards for an inline query. An error is offered as a card that explains it."""
        try:
            today = self._services.clock().date()
            question = parse_question(text, _INLINE_EXAMPLE, self._services.pair, today, kinds=True)
            question, market = await load_market(self._services, question)
            total = question.returns(settings.total)
            return await asyncio.to_thread(cards, market, question.dates, question.windows, total)
        except BotError as error:
            title = "Not understood" if isinstance(error, BadInput) else "No data"
            sentence = error.reason if isinstance(error, NoData) else error.sentence
            return [Card(title, sentence, lines(sentence))]

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
    return _INVISIBLE.sub("", name).strip() or "unnamed"


async def _answer_query(query: CallbackQuery | None, toast: str | None = None, *, alert: bool = True) -> bool:
    """Answer the callback query, with a toast if there is a text. Return whether the toast was shown.

    An `alert` stays until it is closed, any other toast vanishes by itself.
    """
    if query is None:
        return False
    try:
        await query.answer(toast, show_alert=alert and toast is not None)
    except TelegramError:  # most likely pressed too long ago; the answer is sent all the same
        return False
    return toast is not None


def menu(role: Role) -> list[BotCommand]:
    """Return the menu of commands that Telegram shows to people of a role."""
    shown = list(Role)[: list(Role).index(role) + 1]
    return [BotCommand(command.name, command.help) for command in COMMANDS if command.role in shown]
