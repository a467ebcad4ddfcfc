"""Who may use the bot, who may change a group's settings, and how strangers ask to be let in."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from telegram.error import TelegramError

from bot.chat.refusals import Denied
from bot.rendering.answer import EDIT, Answer, payload_of
from bot.rendering.text import bold, code, lines
from storage import access, chats, outbox

if TYPE_CHECKING:
    import sqlite_utils
    from telegram import Bot, Update

    from bot.chat.ask import Ask
    from bot.config import Config
    from bot.services.base import Services

# Ids that are nobody's (Bot API documentation): commands of an administrator who hides behind the group come
# from the first, from the others what is written in the name of a channel, and what a linked channel posts.
ANONYMOUS_ADMIN = 1087968824
SHARED = frozenset({ANONYMOUS_ADMIN, 136817688, 777000})
APPROVED, REJECTED = "approved", "rejected"
NO_ACCESS = "may not use the bot any more"  # why a chat is inactive
MOST_WAITING = 20  # strangers about whom the owner is asked before any is decided on
_ADMINISTRATORS = ("creator", "administrator")
_STRANGERS_KEPT = 1000


class Role(Enum):
    """Who may use a command."""

    MEMBER = "everybody who is let in"
    ADMIN = "in groups administrators only"
    OWNER = "the owner only"


def is_listed(config: Config, one: int, *, here: bool = True) -> bool:
    """Whether the configuration itself lets a person, or everybody in a chat, in.

    `here`: `one` is the chat that it is about. A private chat under `chats` lets its person in there alone.
    """
    access = config.access
    return one == access.owner or one in access.users or (here and one in access.chats)


def is_allowed(config: Config, person: int, chat_id: int, decided: dict[int, str | None]) -> bool:
    """Deny by default; `decided` is the owner's word on the person and on the chat.

    What is known of the person counts before what is known of the chat, the configuration before the owner's
    word. A no to either keeps out, also of a bot whose mode is "open".
    """
    for one in (person, chat_id):
        if is_listed(config, one, here=one == chat_id):
            return True
        if decided.get(one) == REJECTED:
            return False
    return config.access.mode == "open" or APPROVED in decided.values()


def person_of(user_id: int, chat_id: int) -> int:
    """The person's id; the chat's where somebody hides behind an id that is nobody's."""
    return chat_id if user_id in SHARED else user_id


async def may_change(bot: Bot, update: Update) -> bool:
    """Whether the sender may change the chat's settings: anybody in private, administrators in groups.

    Asked of Telegram each time; if it cannot say, the answer is no.
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
        config, person = self._services.config, person_of(user_id, chat_id)
        if is_listed(config, person, here=person == chat_id):
            return True
        decided = await self._services.database.run(
            lambda db: {one: access.status_of(db, one) for one in (person, chat_id)}
        )
        return is_allowed(config, person, chat_id, decided)

    async def reject(self, ask: Ask) -> None:
        """Raise Denied for a chat's first question and ask the owner about it. Later questions get no answer.

        The request is stored, so that neither a restart nor a refusal asks the owner again. While nobody can
        be asked (no owner is configured, or too many requests are open), nothing is stored about strangers.
        """
        if await self._services.database.run(lambda db: _is_known(db, ask)):
            return
        if self._services.config.access.owner is not None and await ask.change(lambda db: self._ask(db, ask)):
            raise Denied(person_of(ask.user_id, ask.chat_id), ask.chat_id, asked=True)
        if ask.chat_id in self._strangers:
            return
        if len(self._strangers) >= _STRANGERS_KEPT:
            self._strangers.pop(next(iter(self._strangers)))
        self._strangers[ask.chat_id] = None
        raise Denied(person_of(ask.user_id, ask.chat_id), ask.chat_id)

    def _ask(self, db: sqlite_utils.Database, ask: Ask) -> bool:
        """Note the wish and queue the question to the owner; False when too many wait already."""
        owner = self._services.config.access.owner
        if owner is None or access.waiting(db) >= MOST_WAITING:
            return False
        title = ask.user_name if ask.chat_id == ask.user_id else ask.chat_title
        if access.ask(db, ask.chat_id, title, ask.now):
            outbox.enqueue(
                db,
                chat_id=owner,
                kind="notice",
                dedup=f"access:{ask.chat_id}:{ask.update_id}",
                payload={**payload_of(_wish(ask), EDIT), "names": [ask.chat_id, ask.user_id]},
                now=ask.now,
            )
        return True


async def deactivate_denied_chats(services: Services, besides: int) -> int:
    """Deactivate private chats of people who may no longer use the bot. Returns their number.

    Called at start, because the configuration may have changed. Chats of people who may use it again are
    reactivated. Groups stay as they are: Telegram decides who is in them. `besides` is the terminal's chat.
    """
    config = services.config

    def write(db: sqlite_utils.Database) -> int:
        closed = 0
        for chat_id, reason in chats.private(db):
            if chat_id != besides:
                inside = is_allowed(config, chat_id, chat_id, {chat_id: access.status_of(db, chat_id)})
                if inside and reason == NO_ACCESS:
                    chats.reactivate(db, chat_id)
                elif not inside and not reason:
                    closed += chats.deactivate(db, chat_id, NO_ACCESS)
        return closed

    return await services.database.run(write)


def _is_known(db: sqlite_utils.Database, ask: Ask) -> bool:
    """Whether the owner has been asked already, or wants to hear nothing of this person."""
    return access.status_of(db, ask.chat_id) is not None or access.status_of(db, ask.user_id) == REJECTED


def _wish(ask: Ask) -> Answer:
    """What the owner is asked about a stranger."""
    where = None
    if ask.chat_id != ask.user_id:
        where = lines(
            f"in the group “{ask.chat_title}”, " + code(ask.chat_id), "Everybody there would get in."
        )
    who = ask.user_name if ask.user_id in SHARED else f"{ask.user_name}, " + code(ask.user_id)
    html = lines(bold("Somebody asks to use this bot"), who, where)
    choice = (("Approve", f"/admin approve {ask.chat_id}"), ("Reject", f"/admin reject {ask.chat_id}"))
    return Answer(html, buttons=(choice,))
