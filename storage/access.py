"""Who asked to be let in, and what the owner decided; ids are chats', a private chat's is the person's."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import msgspec

from storage.rows import change, instant, select_as

if TYPE_CHECKING:
    import sqlite_utils

    from storage.rows import Moment


APPROVED, REJECTED = "approved", "rejected"


class AccessRequest(msgspec.Struct, frozen=True):
    """A row of the access table; status is "asked", "approved" or "rejected"."""

    chat_id: int
    title: str
    status: str
    asked_at: dt.datetime
    decided_at: dt.datetime | None


def request_access(db: sqlite_utils.Database, chat_id: int, title: str, now: Moment) -> bool:
    """Note that somebody wants in; False when that is known already, whatever was decided."""
    sql = """
        INSERT INTO access (chat_id, title, status, asked_at) VALUES (?, ?, 'asked', ?)
        ON CONFLICT (chat_id) DO NOTHING
    """
    return change(db, sql, (chat_id, title, instant(now))) == 1


def decide_access(
    db: sqlite_utils.Database, chat_id: int, status: str, now: Moment, title: str = ""
) -> AccessRequest:
    """Set 'approved' or 'rejected', also for one who never asked."""
    (request,) = select_as(
        db,
        AccessRequest,
        """
        INSERT INTO access (chat_id, title, status, asked_at, decided_at)
        VALUES (:chat, :title, :status, :now, :now)
        ON CONFLICT (chat_id) DO UPDATE SET status = excluded.status, decided_at = excluded.decided_at
        RETURNING *
        """,
        {"chat": chat_id, "title": title, "status": status, "now": instant(now)},
    )
    return request


def access_status(db: sqlite_utils.Database, chat_id: int) -> str | None:
    """'asked', 'approved' or 'rejected'; None for one who never asked."""
    request = get_access(db, chat_id)
    return None if request is None else request.status


def get_access(db: sqlite_utils.Database, chat_id: int) -> AccessRequest | None:
    """The request of one id, None when nothing was ever asked or decided."""
    sql = "SELECT * FROM access WHERE chat_id = ?"
    return next(iter(select_as(db, AccessRequest, sql, (chat_id,))), None)


def count_waiting(db: sqlite_utils.Database) -> int:
    """How many wait for the owner's word."""
    return int(db.execute("SELECT count(*) FROM access WHERE status = 'asked'").fetchone()[0])


def list_access(db: sqlite_utils.Database, status: str, limit: int) -> list[AccessRequest]:
    """Requests of one status, the longest known first."""
    sql = "SELECT * FROM access WHERE status = ? ORDER BY asked_at, chat_id LIMIT ?"
    return select_as(db, AccessRequest, sql, (status, limit))
