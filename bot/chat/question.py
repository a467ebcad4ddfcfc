"""Parsing an update into a command request: a typed command, words in a private chat, or a pressed button."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bot.chat.access import person_of
from bot.chat.commands import BY_NAME
from bot.rendering.answer import EDIT, REPLY

if TYPE_CHECKING:
    from telegram import CallbackQuery, Message, Update

_LINE = re.compile(r"/(?P<name>\w+)(?:@(?P<bot>\w+))?(?P<words>.*)", re.DOTALL)


@dataclass(frozen=True)
class CommandRequest:
    """A command's name and words; with `edit`, the answer replaces the message with the button."""

    name: str
    words: str
    edit: bool = False


def parse_update(update: Update) -> CommandRequest | None:
    """The request of an update, or None if it does not address this bot.

    In groups only this bot's commands are requests, and unknown commands if they name the bot. Forwarded
    messages are not, whether forwarded by hand or from a linked channel: somebody else wrote them.
    """
    if update.callback_query is not None:
        return _parse_button(update.callback_query)
    if update.message is None or not update.message.text:
        return None
    return _parse_message(update.message, update.message.text)


def _parse_button(query: CallbackQuery) -> CommandRequest | None:
    """The command line that a button carries, or None if the button is not this bot's."""
    data = query.data or ""
    match = _LINE.fullmatch(data[1:])
    if match is None or data[0] not in (EDIT, REPLY) or match["name"] not in BY_NAME or match["bot"]:
        return None
    return CommandRequest(match["name"], match["words"].strip(), edit=data[0] == EDIT)


def _parse_message(message: Message, text: str) -> CommandRequest | None:
    private = message.chat.type == "private"
    if message.via_bot is not None or (message.forward_origin is not None and not private):
        return None  # an inline result, or somebody else's words
    match = _LINE.fullmatch(text)
    if match is None:
        name, *words = text.split(maxsplit=1) or [""]
        return CommandRequest(name, "".join(words).strip()) if private and name else None
    addressed = match["bot"]
    if addressed and addressed.lower() != message.get_bot().username.lower():
        return None
    if match["name"].lower() not in BY_NAME and not private and not addressed:
        return None
    return CommandRequest(match["name"], match["words"].strip())


def quota_key(update: Update) -> int | None:
    """The key of the quota that an update counts against, or None if it asks nothing.

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
