"""Queueing messages in the outbox: single ones, and lists with a line per event."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot.jobs.telling import DeliveryWindow
from bot.rendering import pushes
from bot.rendering.answer import REPLY, payload_of
from bot.rendering.text import Html
from storage import chats, held, outbox

if TYPE_CHECKING:
    import datetime as dt

    import sqlite_utils

    from bot.rendering.answer import Answer
    from storage.outbox import ListedEvent

Place = tuple[int, int | None]  # a chat and its topic
Payload = dict[str, object]


def send_lines(
    db: sqlite_utils.Database,
    place: Place,
    lines: list[ListedEvent],
    why: str,
    now: dt.datetime,
    *,
    sample: bool,
    silent: bool,
) -> None:
    """Queue one list of lines (event_id, session, html), newest first, that reports these events."""
    ordered = newest_first(lines)
    payload = list_payload(db, place, ordered, why, sample=sample, silent=silent)
    dedup = f"digest:{ordered[0][0]}"
    message = outbox.enqueue(
        db,
        chat_id=place[0],
        thread_id=place[1],
        kind="alert",
        dedup=dedup,
        payload=payload,
        now=now,
        about=ordered[-1][1],
    )
    held.tell(db, [line[0] for line in lines], message)


def newest_first(lines: list[ListedEvent]) -> list[ListedEvent]:
    """Lines by session and event, the last one first."""
    return sorted(lines, key=lambda line: (line[1], line[0]), reverse=True)


def list_payload(
    db: sqlite_utils.Database, place: Place, lines: list[ListedEvent], why: str, *, sample: bool, silent: bool
) -> Payload:
    """The payload of a list with its lines, so that one can be removed while it waits."""
    ordered = newest_first(lines)
    answer = pushes.digest([Html(line[2]) for line in ordered], sample=sample, why=why)
    return {
        **payload_for(db, place, answer, silent=silent),
        "lines": {"told": ordered, "why": why, "sample": sample},
    }


def payload_for(db: sqlite_utils.Database, place: Place, answer: Answer, *, silent: bool = False) -> Payload:
    """The outbox payload of an answer, with numbers in the format of the chat."""
    chat = chats.get_chat(db, place[0])
    return payload_of(answer, REPLY, silent=silent, numbers=chat.numbers if chat else None)


def send(  # noqa: PLR0913 - a message's columns, by name
    db: sqlite_utils.Database,
    place: Place,
    dedup: str,
    answer: Answer,
    now: dt.datetime,
    *,
    kind: str = "alert",
    silent: bool = False,
    reply_to: int | None = None,
    not_before: dt.datetime | None = None,
    about: dt.date | None = None,
) -> int | None:
    """Queue one message `about` a session; its id, None when it was queued before."""
    payload = payload_for(db, place, answer, silent=silent)
    if reply_to is not None:
        payload["reply_to"] = reply_to
    return outbox.enqueue(
        db,
        chat_id=place[0],
        thread_id=place[1],
        kind=kind,
        dedup=dedup,
        payload=payload,
        now=now,
        not_before=not_before,
        about=about.isoformat() if about else None,
    )


def queue_notice(
    db: sqlite_utils.Database, place: Place, dedup: str, answer: Answer, default_zone: str, now: dt.datetime
) -> None:
    """Queue a notice to an active chat, after its quiet hours."""
    chat = chats.get_chat(db, place[0])
    if chat is None or chat.status != "active":
        return
    window = DeliveryWindow.of(chat.timezone, default_zone, now, chat.quiet_from, chat.quiet_to)
    send(db, place, dedup, answer, now, kind="notice", not_before=window.quiet_until)
