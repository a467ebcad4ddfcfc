"""Who may use the bot, who may change a group's settings, and how strangers ask to be let in."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from telegram.error import TelegramError

from bot.chat.reply import Denied
from bot.messages.common import EDIT, Answer, payload_of
from bot.messages.html import bold, code, lines
from bot.services import chats
from bot.services.chats import ANONYMOUS_ADMIN, SHARED

if TYPE_CHECKING:
    from telegram import Bot, Update

    from bot.chat.ask import Ask
    from bot.services import Services


_ADMINISTRATORS = ("creator", "administrator")
_MAX_STRANGERS = 1000


class Role(Enum):
    """Who may use a command."""

    MEMBER = "everybody with access"
    ADMIN = "in groups administrators only"
    OWNER = "the owner only"

    def required(self, *, changes: bool) -> Role:
        """Return who may send words that change settings, or that only read them."""
        return Role.ADMIN if self is Role.MEMBER and changes else self


def person_of(user_id: int, chat_id: int) -> int:
    """The person's id, or the chat's if they write under an id that many share."""
    return chat_id if user_id in SHARED else user_id


async def may_change(bot: Bot, update: Update) -> bool:
    """Whether the sender may change the chat's settings: anybody in private chats, administrators in groups.

    Telegram is asked each time. If it does not answer, the sender may not.
    """
    chat, user, message = update.effective_chat, update.effective_user, update.effective_message
    if chat is None or user is None:
        return False
    if chat.type == "private":
        return True
    if user.id == ANONYMOUS_ADMIN:
        sender = message.sender_chat if message is not None else None
        return update.callback_query is None and sender is not None and sender.id == chat.id
    try:
        member = await bot.get_chat_member(chat.id, user.id)
    except TelegramError:
        return False
    return member.status in _ADMINISTRATORS


class AccessGate:
    """Decides who may use the bot, and asks the owner about each stranger once."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._strangers: dict[int, None] = {}

    async def admits(self, user_id: int, chat_id: int) -> bool:
        """Whether this person may use the bot in this chat."""
        return await chats.admits(self._services, person_of(user_id, chat_id), chat_id)

    async def reject(self, ask: Ask) -> None:
        """Raise Denied for a chat's first question and ask the owner about it. Later questions get no answer.

        The request is stored, so that neither a restart nor a refusal asks the owner again. While nobody can
        be asked (no owner is configured, or too many requests are open), nothing is stored about strangers.
        """
        if await chats.is_known(self._services, ask.caller):
            return
        owner = self._services.config.access.owner
        if owner is not None and await chats.request_access(ask.caller, owner, *_question(ask)):
            raise Denied(person_of(ask.user_id, ask.chat_id), ask.chat_id, asked=True)
        if ask.chat_id in self._strangers:
            return
        if len(self._strangers) >= _MAX_STRANGERS:
            self._strangers.pop(next(iter(self._strangers)))
        self._strangers[ask.chat_id] = None
        raise Denied(person_of(ask.user_id, ask.chat_id), ask.chat_id)


def _question(ask: Ask) -> tuple[str, chats.Notice]:
    """The name under which a stranger waits, and what the owner is asked."""
    title = ask.user_name if ask.chat_id == ask.user_id else ask.chat_title
    payload = {**payload_of(_access_question(ask), EDIT), "names": [ask.chat_id, ask.user_id]}
    return title, chats.Notice(f"access:{ask.chat_id}:{ask.update_id}", payload)


def _access_question(ask: Ask) -> Answer:
    """The question to the owner about a stranger."""
    where = None
    if ask.chat_id != ask.user_id:
        where = lines(
            f"in the group “{ask.chat_title}”, " + code(ask.chat_id), "Everybody there would get in."
        )
    who = ask.user_name if ask.user_id in SHARED else f"{ask.user_name}, " + code(ask.user_id)
    html = lines(bold("Somebody asks to use this bot"), who, where)
    choice = (("Approve", f"/admin approve {ask.chat_id}"), ("Reject", f"/admin reject {ask.chat_id}"))
    return Answer(html, buttons=(choice,))
