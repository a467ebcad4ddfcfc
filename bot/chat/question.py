"""What an update asks: a typed command, plain words in private, a pressed button."""

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
class Question:
    """A command's name and words; `edit`: the answer takes the place of the message with the button."""

    name: str
    words: str
    edit: bool = False


def question_of(update: Update) -> Question | None:
    """The question of an update, None where it asks nothing of this bot.

    In groups that is all but commands of this bot's, and mistyped ones that are addressed to it; and what is
    forwarded there, be it by hand or from a linked channel: somebody else has written that.
    """
    if update.callback_query is not None:
        return _pressed(update.callback_query)
    if update.message is None or not update.message.text:
        return None
    return _typed(update.message, update.message.text)


def _pressed(query: CallbackQuery) -> Question | None:
    """A button carries the command line it stands for; anything else is no button of ours."""
    data = query.data or ""
    match = _LINE.fullmatch(data[1:])
    if match is None or data[0] not in (EDIT, REPLY) or match["name"] not in BY_NAME or match["bot"]:
        return None
    return Question(match["name"], match["words"].strip(), edit=data[0] == EDIT)


def _typed(message: Message, text: str) -> Question | None:
    private = message.chat.type == "private"
    if message.via_bot is not None or (message.forward_origin is not None and not private):
        return None  # a bot's words, chosen from its cards, or others' words
    match = _LINE.fullmatch(text)
    if match is None:
        name, *words = text.split(maxsplit=1) or [""]
        return Question(name, "".join(words).strip()) if private and name else None
    addressed = match["bot"]
    if addressed and addressed.lower() != message.get_bot().username.lower():
        return None
    if match["name"].lower() not in BY_NAME and not private and not addressed:
        return None
    return Question(match["name"], match["words"].strip())


def asker_of(update: Update) -> int | None:
    """Whose quota an update is on, None where it asks nothing; people who hide behind a chat share one.

    What is typed inline is on a quota of its own: every few letters are a query there.
    """
    user, chat = update.effective_user, update.effective_chat
    if update.inline_query is not None:
        return -update.inline_query.from_user.id
    asks = update.callback_query is not None or question_of(update) is not None
    if user is None or not asks:
        return None
    return person_of(user.id, chat.id if chat else user.id)
