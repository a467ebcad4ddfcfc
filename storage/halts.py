"""Halts: chats, or all of them, to which nothing may be sent before an instant, because Telegram said so."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import msgspec

from storage.rows import change, instant, not_earlier, select_as

if TYPE_CHECKING:
    import sqlite_utils

    from storage.rows import Moment

EVERY_CHAT = 0  # the chat_id of a halt of all sending


class Halt(msgspec.Struct, frozen=True):
    """Nothing may be sent to a chat (EVERY_CHAT: to nobody) before `until`."""

    chat_id: int
    until: dt.datetime


def begin_halt(db: sqlite_utils.Database, chat_id: int, until: Moment) -> None:
    """Send nothing to a chat (EVERY_CHAT: to nobody) before an instant; the later of two counts."""
    db.execute(
        """
        INSERT INTO halts (chat_id, until) VALUES (?, ?)
        ON CONFLICT (chat_id) DO UPDATE SET until = max(until, excluded.until)
        """,
        (chat_id, not_earlier(until)),
    )


def current_halts(db: sqlite_utils.Database, now: Moment) -> list[Halt]:
    """The halts in force."""
    return select_as(
        db, Halt, "SELECT chat_id, until FROM halts WHERE until > ? ORDER BY chat_id", (instant(now),)
    )


def lift_halts(db: sqlite_utils.Database, after: Moment) -> int:
    """Forget the halts that would last beyond an instant; how many."""
    return change(db, "DELETE FROM halts WHERE until > ?", (instant(after),))
