"""A chat's settings, its daily summary, who may use the bot, and what is stored about a chat.

Each change is one transaction. Raises BadInput, with a line to send instead, for what is not possible.
"""

import datetime as dt
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple
from zoneinfo import ZoneInfo

import sqlite_utils

from bot.config import Config
from bot.errors import BadInput
from bot.services import DAILY, Caller, Services, ensure_chat
from storage import chat_store, outbox
from storage.chat_store import APPROVED, REJECTED, AccessRequest, ExportedRow, StoredChat
from storage.database import StorageError, file_size
from storage.outbox import MessageBody, NewMessage
from storage.records import get_meta, set_meta

RETURNS: dict[str, bool | None] = {"both": None, "price": False, "total": True}
SUMMARY_TIME = "18:30"  # in New York two and a half hours after the close, when Yahoo has it
# Ids that many share (Bot API documentation): an anonymous administrator's, that of messages in the name of a
# channel, and that of a linked channel's posts.
ANONYMOUS_ADMIN = 1087968824
SHARED = frozenset({ANONYMOUS_ADMIN, 136817688, 777000})
_GONE = ("left", "kicked")  # the bot's memberships without which nothing can be sent
NO_ACCESS = "may not use the bot any more"  # why a chat is inactive
MAX_OPEN_REQUESTS = 20  # strangers whose requests wait for the owner's decision
_DRAFT = "broadcast"  # key under which a message to every chat waits for the owner's confirmation


@dataclass(frozen=True)
class ChatSettings:
    """The settings of one chat. What it has not set comes from the configuration.

    total    which return is shown: True total, False price, None both
    numbers  how numbers are written, by an example; None: as the texts have them
    """

    zone: str
    theme: str
    total: bool | None = None
    numbers: str | None = None


def settings_of(config: Config, chat: StoredChat | None) -> ChatSettings:
    """Return the settings of a chat, the configuration's for an unknown one."""
    zone = chat_store.zone_of(chat.timezone if chat else None, config.time.timezone).key
    if chat is None:
        return ChatSettings(zone, config.charts.theme)
    total = RETURNS.get(chat.returns or "both")
    return ChatSettings(zone, chat.theme or config.charts.theme, total, chat.numbers)


async def stored_chat(services: Services, chat_id: int) -> StoredChat | None:
    """Return what is stored about a chat, or None if it is unknown."""
    return await services.database.read(lambda db: chat_store.get_chat(db, chat_id))


class Standing(NamedTuple):
    """What is stored about a request."""

    admitted: bool  # whether the person may use the bot in the chat
    answered: bool  # whether its update was recorded
    settings: ChatSettings


def standing(services: Services, person: int, chat_id: int, update_id: int) -> Standing:
    """Read what is stored about a request, all at once."""

    def read(db: sqlite_utils.Database) -> Standing:
        return Standing(
            is_allowed(db, services.config, person, chat_id),
            chat_store.is_recorded(db, update_id),
            settings_of(services.config, chat_store.get_chat(db, chat_id)),
        )

    return services.database.look_up(read)


async def set_time_zone(caller: Caller, zone: str) -> StoredChat:
    """Set the time zone. A summary whose time has passed in the new zone is not sent late."""

    def write(db: sqlite_utils.Database, before: StoredChat) -> None:
        chat_store.set_preferences(db, before.chat_id, timezone=zone)
        if before.summary_at is not None:
            chat_store.set_summary(db, before.chat_id, before.summary_at)
            _skip_past(db, caller, before.summary_at, zone)

    return await _change(caller, write)


async def set_preferences(caller: Caller, **values: str | None) -> StoredChat:
    """Set what is shown and when alerts wait: "returns", "theme", "numbers", "quiet_from", "quiet_to"."""
    return await _change(caller, lambda db, chat: chat_store.set_preferences(db, chat.chat_id, **values))


async def _change(caller: Caller, write: Callable[[sqlite_utils.Database, StoredChat], object]) -> StoredChat:
    """Change the caller's chat, created if it is new. Return the chat after the change."""

    def ensure_and_write(db: sqlite_utils.Database) -> StoredChat:
        write(db, ensure_chat(db, caller))
        return ensure_chat(db, caller)

    return await caller.change(ensure_and_write)


async def subscribe(caller: Caller, at: str | None, days: str | None = None) -> StoredChat:
    """Send the summary at a local time on "daily", "weekdays" or "weekly" days. None keeps what was set."""

    def write(db: sqlite_utils.Database, before: StoredChat) -> None:
        time = at or before.summary_at or SUMMARY_TIME
        if days is not None:
            chat_store.set_preferences(db, before.chat_id, summary_days=days)
        if time != before.summary_at:
            chat_store.set_summary(db, before.chat_id, time)
            _skip_past(db, caller, time, settings_of(caller.services.config, before).zone)

    return await _change(caller, write)


async def unsubscribe(caller: Caller) -> StoredChat:
    """Stop sending the daily summary."""
    return await _change(caller, lambda db, chat: chat_store.set_summary(db, chat.chat_id, None))


def _skip_past(db: sqlite_utils.Database, caller: Caller, at: str, zone: str) -> None:
    """Skip what would have been due before now, at a new time or in a new zone."""
    local = caller.now.astimezone(ZoneInfo(zone))
    past = [local.date() - dt.timedelta(days=1)]
    if local.time() >= dt.time.fromisoformat(at):
        past.append(local.date())
    for day in past:
        chat_store.plan_summary(db, caller.chat.id, DAILY, day.isoformat(), caller.now, "skipped")


async def start(caller: Caller) -> None:
    """Store a chat. One that is inactive or asleep is reactivated, unless the owner has rejected it."""

    def write(db: sqlite_utils.Database, chat: StoredChat) -> None:
        if chat_store.access_status(db, chat.chat_id) != REJECTED:
            chat_store.reactivate(db, chat.chat_id)

    await _change(caller, write)


async def deactivate(services: Services, chat_id: int, reason: str) -> None:
    """Stop sending to a chat, which keeps its alerts."""
    await services.database.run(lambda db: chat_store.deactivate(db, chat_id, reason))


async def note_delivery(services: Services, chat_id: int, update_id: int | None = None) -> None:
    """Wake a chat up, because an answer was delivered, and record the update that was answered."""
    await _wake(services, chat_id, update_id, chat_store.note_delivery)


async def note_sign_of_life(services: Services, chat_id: int, update_id: int | None = None) -> None:
    """Let a sleeping chat be tried again, because something happened in it, and record the update."""
    await _wake(services, chat_id, update_id, partial(chat_store.note_sign_of_life, now=services.clock()))


async def _wake(
    services: Services, chat_id: int, update_id: int | None, wake: Callable[[sqlite_utils.Database, int], object]
) -> None:
    """Change a chat that refused a message, and record the update, if any, in the same transaction.

    Few chats refuse: without an update the chat is read before anything is written. A database that cannot be
    used must not spoil what was answered; the chat is tried within a day.
    """

    def write(db: sqlite_utils.Database) -> None:
        if update_id is not None:
            chat_store.record_update(db, update_id, services.clock())
        wake(db, chat_id)

    with suppress(StorageError):
        if update_id is None:
            chat = await stored_chat(services, chat_id)
            if chat is None or chat.refused_at is None:
                return
        await services.database.run(write)


async def follow_membership(
    services: Services, update_id: int, chat_id: int, status: str, *, welcome: bool, greeting: MessageBody | None
) -> None:
    """Stop or resume sending when the bot was blocked, removed or added again, once for an update.

    `greeting` is sent to a group that has added it.
    """

    def write(db: sqlite_utils.Database) -> None:
        if not chat_store.record_update(db, update_id, services.clock()):
            return
        if status in _GONE:
            chat_store.deactivate(db, chat_id, f"the bot is {status}")
        elif welcome and chat_store.access_status(db, chat_id) != REJECTED:
            chat_store.reactivate(db, chat_id)
            if greeting is not None:
                notice = NewMessage(chat_id, None, "notice", f"welcome:{chat_id}:{update_id}", greeting)
                outbox.enqueue(db, notice, services.clock())

    await services.database.run(write)


async def migrate(services: Services, old: int, new: int, update_id: int | None = None) -> None:
    """Move everything stored about a group to its new id; if an update says so, once for the update."""

    def write(db: sqlite_utils.Database) -> None:
        if update_id is None or chat_store.record_update(db, update_id, services.clock()):
            chat_store.migrate_chat(db, old, new)

    await services.database.run(write)


def is_listed(config: Config, subject: int, *, is_chat: bool = True) -> bool:
    """Return whether the configuration lets in a person or a chat.

    `is_chat` is false for a person in a group, because a private chat listed under `chats` gives its person
    access there only.
    """
    section = config.access
    return subject == section.owner or subject in section.users or (is_chat and subject in section.chats)


def is_allowed(db: sqlite_utils.Database, config: Config, person: int, chat_id: int) -> bool:
    """Return whether a person may use the bot in a chat.

    Access is denied by default. The person counts before the chat, and the configuration before the owner's
    decision. A rejection of either denies access even if the mode is "open".
    """
    decisions = []
    for subject in (person, chat_id):
        if is_listed(config, subject, is_chat=subject == chat_id):
            return True
        decisions.append(chat_store.access_status(db, subject))
        if decisions[-1] == REJECTED:
            return False
    return config.access.mode == "open" or APPROVED in decisions


async def owner_knows(caller: Caller) -> bool:
    """Return whether the owner has been asked about this chat already, or has rejected this person."""
    return await caller.services.database.read(
        lambda db: (
            chat_store.access_status(db, caller.chat.id) is not None
            or chat_store.access_status(db, caller.user_id) == REJECTED
        )
    )


async def request_access(caller: Caller, title: str, question: NewMessage) -> bool:
    """Store a request for access and queue the question to the owner. Return False if too many wait."""

    def write(db: sqlite_utils.Database) -> bool:
        if len(chat_store.list_access_requests(db, "asked", MAX_OPEN_REQUESTS)) == MAX_OPEN_REQUESTS:
            return False
        if chat_store.request_access(db, caller.chat.id, title, caller.now):
            outbox.enqueue(db, question, caller.now)
        return True

    return await caller.change(write)


async def approve(caller: Caller, subject: int, welcome: NewMessage) -> AccessRequest:
    """Let a person or group in. Those who had asked get `welcome`."""
    _refuse_undecidable(caller.services.config, subject)

    def write(db: sqlite_utils.Database) -> AccessRequest:
        before = chat_store.access_status(db, subject)
        chat_store.reactivate(db, subject)
        if before is not None and before != APPROVED:
            outbox.enqueue(db, welcome, caller.now)
        return chat_store.decide_access(db, subject, APPROVED, caller.now)

    return await caller.change(write)


async def reject(caller: Caller, subject: int) -> AccessRequest:
    """Reject a person or group: nothing is answered or sent in their chat any more."""
    _refuse_undecidable(caller.services.config, subject)

    def write(db: sqlite_utils.Database) -> AccessRequest:
        chat_store.deactivate(db, subject, "rejected by the owner")
        return chat_store.decide_access(db, subject, REJECTED, caller.now)

    return await caller.change(write)


def _refuse_undecidable(config: Config, subject: int) -> None:
    """Raise BadInput for an id on which the owner cannot decide in a chat."""
    if subject in SHARED:
        sentence = f"Many people write under the id {subject}. Use the id of their group."
        raise BadInput(sentence, "/admin people")
    if is_listed(config, subject):
        raise BadInput(f"The configuration lets {subject} in; change it there.", "/admin people")


async def list_access(services: Services, limit: int) -> dict[str, list[AccessRequest]]:
    """Return who asked, who was approved and who was rejected, by status, oldest first."""
    statuses = ("asked", APPROVED, REJECTED)
    return await services.database.read(
        lambda db: {status: chat_store.list_access_requests(db, status, limit) for status in statuses}
    )


async def deactivate_denied_chats(services: Services, except_chat: int) -> int:
    """Deactivate private chats of people who may no longer use the bot. Return their number.

    Called at start, because the configuration may have changed. Chats of people who may use it again are
    reactivated. Groups stay: Telegram decides who is in them. `except_chat` is the terminal's chat.
    """

    def write(db: sqlite_utils.Database) -> int:
        deactivated = 0
        for chat in chat_store.private_chats(db):
            if (chat_id := chat.chat_id) != except_chat:
                allowed = is_allowed(db, services.config, chat_id, chat_id)
                if allowed and chat.reason == NO_ACCESS:
                    chat_store.reactivate(db, chat_id)
                elif not allowed and chat.status != "inactive":
                    deactivated += chat_store.deactivate(db, chat_id, NO_ACCESS)
        return deactivated

    return await services.database.run(write)


async def draft_broadcast(caller: Caller, draft_id: int, text: str) -> int:
    """Store a message that waits for the owner's confirmation. Return how many chats it would go to."""

    def write(db: sqlite_utils.Database) -> int:
        set_meta(db, _DRAFT, json.dumps({"id": draft_id, "text": text}))
        return len(chat_store.active_chats(db))

    return await caller.change(write)


async def send_broadcast(caller: Caller, draft_id: int, body_of: Callable[[str], MessageBody]) -> int | None:
    """Queue a draft for every chat, once. Return their number, or None if another draft waits."""

    def write(db: sqlite_utils.Database) -> int | None:
        draft = json.loads(get_meta(db, _DRAFT) or "{}")
        if draft.get("id") != draft_id:
            return None
        set_meta(db, _DRAFT, "{}")
        body = body_of(draft["text"])
        chat_ids = chat_store.active_chats(db)
        for chat_id in chat_ids:
            dedup = f"broadcast:{draft_id}:{chat_id}"
            outbox.enqueue(db, NewMessage(chat_id, None, "notice", dedup, body), caller.now)
        return len(chat_ids)

    return await caller.change(write)


async def count_stored(services: Services) -> tuple[dict[str, dict[str, int]], int]:
    """Return the numbers of chats, alerts and messages by status, and the size of the database in bytes."""
    return await services.database.read(
        lambda db: (
            {**chat_store.count_by_status(db), "messages": outbox.count_by_status(db, sent=True)},
            file_size(db),
        )
    )


async def stored_tables(services: Services, chat_id: int) -> dict[str, list[ExportedRow]]:
    """Return everything stored about a chat, by table; empty when nothing is."""
    return await services.database.read(lambda db: chat_store.export_chat(db, chat_id))


async def forget(caller: Caller) -> None:
    """Delete everything stored about the caller's chat."""
    await caller.change(lambda db: chat_store.forget_chat(db, caller.chat.id))
