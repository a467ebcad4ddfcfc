"""Outages: parts of the Market that brought no figure when they should have, and who was told."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import msgspec

from storage.rows import change, instant, select, select_as

if TYPE_CHECKING:
    from collections.abc import Iterable

    import sqlite_utils

    from storage.rows import Moment


class StoredOutage(msgspec.Struct, frozen=True):
    """A part of the Market ("prices", "facts:IWM", ...) and the first session that it lacks."""

    part: str
    session: dt.date
    began: dt.datetime


def begin(db: sqlite_utils.Database, part: str, session: str, now: Moment) -> bool:
    """Note that a part lacks `session` and what followed; False when that outage is noted already."""
    sql = "INSERT INTO outages (part, session, began) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
    return change(db, sql, (part, session, instant(now))) == 1


def end(db: sqlite_utils.Database, part: str, session: str, now: Moment) -> bool:
    """Note that an outage is over; False when it was before."""
    sql = "UPDATE outages SET back_at = ? WHERE part = ? AND session = ? AND back_at IS NULL"
    return change(db, sql, (instant(now), part, session)) == 1


def current(db: sqlite_utils.Database) -> list[StoredOutage]:
    """The outages that are not over, by part."""
    return select_as(db, StoredOutage, "SELECT * FROM outages WHERE back_at IS NULL ORDER BY part, session")


def add_chats(db: sqlite_utils.Database, part: str, session: str, chats: Iterable[int]) -> list[int]:
    """Note who is told of an outage; of these chats the ones that were not told before and still exist."""
    sql = """
        INSERT INTO outage_chats (part, session, chat_id) SELECT ?, ?, chat_id FROM chats WHERE chat_id = ?
        ON CONFLICT DO NOTHING
    """
    return [chat_id for chat_id in chats if change(db, sql, (part, session, chat_id)) == 1]


def chats_of(db: sqlite_utils.Database, part: str, session: str) -> list[int]:
    """The chats that were told of an outage."""
    sql = "SELECT chat_id FROM outage_chats WHERE part = ? AND session = ? ORDER BY chat_id"
    return [row["chat_id"] for row in select(db, sql, (part, session))]
