"""/admin, the owner's command: who may use the bot, how it is doing, a word to all."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from bot import __version__
from bot.errors import BadInput, BotError
from bot.messages.common import REPLY, Answer, payload_of
from bot.messages.html import Html, bold, code, lines
from bot.services import chats
from bot.text import counted, did_you_mean
from storage import outbox
from storage.backup import backup
from storage.chat_store import APPROVED, REJECTED, count_by_status
from storage.connection import StorageError
from storage.db import file_size

if TYPE_CHECKING:
    import sqlite_utils

    from bot.chat.access import Ask
    from bot.messages.common import Button
    from storage.chat_store import AccessRequest


_ID = re.compile(r"-?[1-9][0-9]{0,15}")
_EXAMPLE = "/admin people"
_SHOWN = 20  # people of one kind in a list
BY_HAND = "by-hand.db"  # no date in its name, so that the nightly ones do not forget it
LONGEST = 3500  # characters of a broadcast
_BUTTONS = ((("People", "/admin people"), ("Stats", "/admin stats"), ("Backup", "/admin backup")),)


class NoBackup(BotError):
    """A copy that was asked for could not be made."""


async def on_admin(ask: Ask) -> Answer:
    """/admin: a choice; people, approve ID, reject ID, stats, backup, broadcast TEXT."""
    word, _, rest = ask.text.partition(" ")
    act = ACTIONS.get(word.lower())
    if act is None:
        hint = did_you_mean(word, ACTIONS)
        raise BadInput(f"“{ask.text[:40]}” is not understood. {hint}".strip(), _EXAMPLE)
    return await act(ask, rest.strip())


async def _choice(ask: Ask, _: str) -> Answer:
    del ask
    html = lines(
        bold("Your bot"),
        "People: " + code("/admin people"),
        "Let in, also before they ask: " + code("/admin approve 123456789"),
        "A word to every chat: " + code("/admin broadcast The bot moves tonight."),
    )
    return Answer(html, buttons=_BUTTONS)


async def _people(ask: Ask, _: str) -> Answer:
    """Who waits, who was let in, who was not; with buttons to decide otherwise."""
    requests = await chats.listed_access(ask.services, _SHOWN)
    config = ask.services.config
    by_config = ", ".join(
        str(listed_id) for listed_id in (*sorted(config.access.users), *sorted(config.access.chats))
    )
    html = lines(
        bold("Who may use the bot"),
        "Everybody but those rejected (mode open)." if config.access.mode == "open" else None,
        f"By the configuration: {by_config}." if by_config else None,
        *_listed("Waiting for you", requests["asked"]),
        *_listed("Let in by you", requests[APPROVED]),
        *_listed("Rejected", requests[REJECTED]),
        "Nobody has asked yet." if not any(requests.values()) else None,
    )
    rows: list[tuple[Button, ...]] = [
        *((_button("Approve", row), _button("Reject", row)) for row in requests["asked"]),
        *((_button("Take back", row, "reject"),) for row in requests[APPROVED]),
        *((_button("Let in", row, "approve"),) for row in requests[REJECTED]),
    ]
    return Answer(html, buttons=tuple(rows))


def _listed(title: str, rows: list[AccessRequest]) -> list[Html]:
    return [bold(title), *(_line(row) for row in rows)] if rows else []


def _line(row: AccessRequest) -> Html:
    since = f"{row.decided_at or row.asked_at:%Y-%m-%d}"
    return Html("").join((code(row.chat_id), f" {_name(row)} · {since}"))


def _name(row: AccessRequest) -> str:
    kind = "group " if row.chat_id < 0 else ""
    return f"{kind}{row.title[:64]}".strip() or "unnamed"


def _button(label: str, row: AccessRequest, verb: str = "") -> Button:
    return f"{label}: {_name(row)[:24]}", f"/admin {verb or label.lower()} {row.chat_id}"


async def _approve(ask: Ask, given: str) -> Answer:
    return await _decide(ask, _id(given, "approve"), APPROVED)


async def _reject(ask: Ask, given: str) -> Answer:
    return await _decide(ask, _id(given, "reject"), REJECTED)


def _id(given: str, verb: str) -> int:
    """The id of a person or a group; raises BadInput."""
    if _ID.fullmatch(given):
        return int(given)
    sentence = f"“{given[:40]}” is not an id." if given else f"“{verb}” needs an id after it."
    raise BadInput(sentence, f"/admin {verb} 123456789")


async def _decide(ask: Ask, subject: int, status: str) -> Answer:
    """Let somebody in, who is told so; or not, or not any longer: then their chat falls silent."""
    welcome = chats.Notice(f"welcome:{subject}:{ask.update_id}", payload_of(_welcome(), REPLY))
    request = await chats.decide_access(ask.services, ask.caller, subject, status, welcome)
    who = Html("").join((f"{_name(request)}, ", code(subject)))
    if status == APPROVED:
        again = (("Take it back", f"/admin reject {subject}"), ("People", "/admin people"))
        return Answer(lines(bold("Let in: ") + who), buttons=(again,))
    again = (("Let in", f"/admin approve {subject}"), ("People", "/admin people"))
    sentence = "Nothing is answered or sent there; you are not asked again."
    return Answer(lines(bold("Not let in: ") + who, sentence), buttons=(again,))


def _welcome() -> Answer:
    """What they are told, in their chat."""
    html = lines(bold("The owner of this bot has let you in."), "What it can do: /start")
    return Answer(html, buttons=((("Begin", "/start"),),))


async def _stats(ask: Ask, _: str) -> Answer:
    """How much there is of everything."""

    def read(db: sqlite_utils.Database) -> tuple[dict[str, dict[str, int]], dict[str, int], int]:
        return count_by_status(db), outbox.count_by_status(db), file_size(db)

    by_status, queue, taken = await ask.services.database.run(read)
    counted_by = {
        name: ", ".join(f"{n:,} {status}" for status, n in group.items()) for name, group in by_status.items()
    }
    html = lines(
        bold("Stats"),
        *(f"{name.capitalize()}: {words or 'none'}." for name, words in counted_by.items()),
        f"Messages: {', '.join(f'{n:,} {status}' for status, n in queue.items()) or 'none'}.",
        f"Database: {taken / 1e6:,.1f} MB. Version {__version__}.",
    )
    return Answer(html, buttons=((("Status", "/status"), ("People", "/admin people")),))


async def _backup(ask: Ask, _: str) -> Answer:
    """A verified copy beside the nightly ones, which replaces the last one made by hand."""
    config = ask.services.config
    target = config.backups / BY_HAND
    try:
        config.backups.mkdir(mode=0o700, parents=True, exist_ok=True)
        counts = await asyncio.to_thread(backup, config.storage.database, target)
    except OSError as error:
        raise NoBackup(f"No copy was made in {config.backups} ({error.strerror}).") from error
    except StorageError as error:
        raise NoBackup(f"No copy was made: {error}") from error
    html = lines(
        bold("The database was copied and the copy verified."),
        f"{sum(counts.values()):,} rows, {target.stat().st_size / 1e6:,.1f} MB: " + code(target.name),
        "It lies in the folder of the backups; the next one made here replaces it.",
    )
    return Answer(html, buttons=_BUTTONS)


async def _draft(ask: Ask, text: str) -> Answer:
    """Show a message to all as it will be, with the button that sends it."""
    if not text:
        raise BadInput("“broadcast” needs a text after it.", "/admin broadcast The bot moves tonight.")
    if len(text) > LONGEST:
        raise BadInput(f"{len(text):,} characters are too many; at most {LONGEST:,}.")

    count = await chats.draft_broadcast(ask.caller, ask.update_id, text)
    html = lines(_announcement(text), "", f"This goes to {counted(count, 'chat')}.")
    return Answer(html, buttons=((("Send", f"/admin send {ask.update_id}"), ("Leave it", "/admin")),))


def _announcement(text: str) -> Html:
    return lines(bold("From the owner of this bot"), text)


def _broadcast_payload(text: str) -> dict[str, object]:
    return payload_of(Answer(_announcement(text)), REPLY)


async def _broadcast(ask: Ask, given: str) -> Answer:
    """Queue the message for every chat, once; `given` is the update that brought it."""
    draft = _id(given, "send")

    count = await chats.send_broadcast(ask.caller, draft, _broadcast_payload)
    if count is None:
        raise BadInput("That message was sent already, or another took its place.")
    return Answer(lines(bold(f"On its way to {counted(count, 'chat')}.")))


# What /admin can do.
ACTIONS: dict[str, Callable[[Ask, str], Awaitable[Answer]]] = {
    "": _choice,
    "people": _people,
    "approve": _approve,
    "reject": _reject,
    "revoke": _reject,
    "stats": _stats,
    "backup": _backup,
    "broadcast": _draft,
    "send": _broadcast,
}
