"""Who asked to be let in, and what the owner decided; ids are chats', a private chat's is the person's.

Chats and their settings, their daily summaries that are due, and the updates already seen.

Everything stored about one chat, to be given or to be gone; which tables that is, the schema says.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from storage.rows import change, instant, select, select_as, select_one
from storage.sources import RESTORED_AT

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


def count_access_requests(db: sqlite_utils.Database) -> int:
    """How many wait for the owner's word."""
    return int(db.execute("SELECT count(*) FROM access WHERE status = 'asked'").fetchone()[0])


def list_access_requests(db: sqlite_utils.Database, status: str, limit: int) -> list[AccessRequest]:
    """Requests of one status, the longest known first."""
    sql = "SELECT * FROM access WHERE status = ? ORDER BY asked_at, chat_id LIMIT ?"
    return select_as(db, AccessRequest, sql, (status, limit))


# Telegram keeps an update for 24 h; one that comes again later than this is a new one.
UPDATES_KEPT = "-7 days"


class StoredChat(msgspec.Struct, frozen=True):
    """A row of the chats table.

    kind                    Telegram's: "private", "group", "supergroup" or "channel"
    status                  "active" or "inactive", then with the reason
    summary_at              local time "HH:MM" of the daily summary; None: no summary
    weekdays                1 where the summary comes on weekdays only
    quiet_from, quiet_to    local times "HH:MM" between which alerts are deferred; None, None: never
    timezone, returns, theme, numbers    what the chat has set; None: the configuration's
    """

    chat_id: int
    kind: str
    title: str
    status: str
    reason: str
    last_number: int
    created_at: dt.datetime
    summary_at: str | None
    weekdays: int
    quiet_from: str | None
    quiet_to: str | None
    timezone: str | None
    returns: str | None
    theme: str | None
    numbers: str | None


class DueSummary(msgspec.Struct, frozen=True):
    """A summary of one local date that is due and that nobody has claimed."""

    id: int
    chat_id: int
    kind: str
    local_date: dt.date
    due_at: dt.datetime


def ensure_chat(db: sqlite_utils.Database, chat_id: int, kind: str, title: str, now: Moment) -> StoredChat:
    """Return the chat, made when it is new; kind and title follow what Telegram says."""
    db.execute(
        """
        INSERT INTO chats (chat_id, kind, title, created_at) VALUES (?, ?, ?, ?)
        ON CONFLICT (chat_id) DO UPDATE SET kind = excluded.kind, title = excluded.title
        WHERE (kind, title) IS NOT (excluded.kind, excluded.title)
        """,
        (chat_id, kind, title, instant(now)),
    )
    return _chats(db, "WHERE chat_id = ?", (chat_id,))[0]


def get_chat(db: sqlite_utils.Database, chat_id: int) -> StoredChat | None:
    """Return the chat, None when it is not known."""
    return next(iter(_chats(db, "WHERE chat_id = ?", (chat_id,))), None)


def _chats(db: sqlite_utils.Database, where: str, parameters: tuple[int, ...] = ()) -> list[StoredChat]:
    return select_as(db, StoredChat, f"SELECT * FROM chats {where}", parameters)  # noqa: S608 - fixed text


def deactivate(db: sqlite_utils.Database, chat_id: int, reason: str) -> bool:
    """Send nothing more to a chat and judge none of its alerts; they stay. False when unknown.

    What waits to be sent waits for the chat's return; summaries and answers are worth nothing by then.
    """
    sql = "UPDATE chats SET status = 'inactive', reason = ? WHERE chat_id = ?"
    known = change(db, sql, (reason, chat_id)) == 1
    if known:
        db.execute(
            "UPDATE outbox SET status = 'dead', reason = ?, photo = NULL WHERE chat_id = ? "
            "AND kind IN ('summary', 'reply') AND status IN ('queued', 'waiting')",
            (reason, chat_id),
        )
    return known


def reactivate(db: sqlite_utils.Database, chat_id: int) -> bool:
    """Take a chat back; False when it was active already or is unknown."""
    sql = "UPDATE chats SET status = 'active', reason = '' WHERE chat_id = ? AND status = 'inactive'"
    return change(db, sql, (chat_id,)) == 1


def set_summary(db: sqlite_utils.Database, chat_id: int, at: str | None) -> bool:
    """Set the local time 'HH:MM' of the daily summary, None = off; False when the chat is unknown.

    What was due at the old time is dropped, so that it comes at the new time or not at all.
    """
    db.execute("DELETE FROM summaries WHERE chat_id = ? AND status = 'due'", (chat_id,))
    return change(db, "UPDATE chats SET summary_at = ? WHERE chat_id = ?", (at, chat_id)) == 1


PREFERENCES = ("timezone", "returns", "theme", "numbers", "weekdays")


def set_preference(db: sqlite_utils.Database, chat_id: int, column: str, value: str | int | None) -> bool:
    """Set one of PREFERENCES; False when the chat is unknown."""
    if column not in PREFERENCES:
        raise ValueError(f"{column} is not among {PREFERENCES}")
    return change(db, f"UPDATE chats SET {column} = ? WHERE chat_id = ?", (value, chat_id)) == 1  # noqa: S608 - one of PREFERENCES


def set_quiet_hours(db: sqlite_utils.Database, chat_id: int, start: str | None, end: str | None) -> bool:
    """Set the local times 'HH:MM' between which alerts are held, None and None = off; False when unknown."""
    sql = "UPDATE chats SET quiet_from = ?, quiet_to = ? WHERE chat_id = ?"
    return change(db, sql, (start, end, chat_id)) == 1


def active_chats(db: sqlite_utils.Database) -> list[int]:
    """Ids of the chats that messages are sent to."""
    return [
        row[0] for row in db.execute("SELECT chat_id FROM chats WHERE status = 'active' ORDER BY chat_id")
    ]


def private_chats(db: sqlite_utils.Database) -> list[tuple[int, str]]:
    """Every private chat with why nothing is sent to it, "" for an active one."""
    return list(db.execute("SELECT chat_id, reason FROM chats WHERE kind = 'private'").fetchall())


def count_by_status(db: sqlite_utils.Database) -> dict[str, dict[str, int]]:
    """How many chats and alerts there are, by status."""
    columns = {"chats": "status", "alerts": "life"}
    return {
        table: dict(db.execute(f"SELECT {column}, count(*) FROM {table} GROUP BY {column}").fetchall())  # noqa: S608 - names from here
        for table, column in columns.items()
    }


def subscribers(db: sqlite_utils.Database) -> list[StoredChat]:
    """Active chats that want a daily summary."""
    return _chats(db, "WHERE status = 'active' AND summary_at IS NOT NULL ORDER BY chat_id")


def plan_summary(
    db: sqlite_utils.Database, chat_id: int, kind: str, local_date: str, due_at: Moment
) -> int | None:
    """Plan a chat's summary of one local date; its id, None when that date was planned before."""
    cursor = db.execute(
        "INSERT INTO summaries (chat_id, kind, local_date, due_at) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (chat_id, kind, local_date) DO NOTHING",
        (chat_id, kind, local_date, instant(due_at)),
    )
    return cursor.lastrowid if cursor.rowcount == 1 else None


def due_summaries(db: sqlite_utils.Database, now: Moment) -> list[DueSummary]:
    """Summaries of active chats whose time has come and which nobody has claimed, oldest first."""
    return select_as(
        db,
        DueSummary,
        """
        SELECT summaries.* FROM summaries JOIN chats USING (chat_id)
        WHERE summaries.status = 'due' AND due_at <= ? AND chats.status = 'active'
        ORDER BY due_at, id
        """,
        (instant(now),),
    )


def claim_summary(db: sqlite_utils.Database, summary_id: int) -> bool:
    """Take a due summary, once: True for the one caller that may send it."""
    return (
        change(db, "UPDATE summaries SET status = 'claimed' WHERE id = ? AND status = 'due'", (summary_id,))
        == 1
    )


def finish_summary(db: sqlite_utils.Database, summary_id: int, status: str) -> bool:
    """Note what became of a claimed summary: 'sent' or 'skipped'."""
    sql = "UPDATE summaries SET status = ? WHERE id = ? AND status = 'claimed'"
    return change(db, sql, (status, summary_id)) == 1


def skip_before_restore(db: sqlite_utils.Database) -> int:
    """Leave out the summaries that were due before a restore, because they may have been sent; how many."""
    sql = """
        UPDATE summaries SET status = 'skipped'
        WHERE status = 'due' AND due_at <= (SELECT value FROM meta WHERE key = ?)
    """
    return change(db, sql, (RESTORED_AT,))


def record_update(db: sqlite_utils.Database, update_id: int, now: Moment) -> bool:
    """Note a Telegram update; True the first time. Notes older than a week are forgotten."""
    at = instant(now)
    db.execute("DELETE FROM updates WHERE seen_at < strftime('%Y-%m-%dT%H:%M:%SZ', ?, ?)", (at, UPDATES_KEPT))
    sql = "INSERT INTO updates (update_id, seen_at) VALUES (?, ?) ON CONFLICT DO NOTHING"
    return change(db, sql, (update_id, at)) == 1


def migrate_chat(db: sqlite_utils.Database, old: int, new: int) -> bool:
    """Rewrite a chat's id everywhere: a group became a supergroup. False when `old` is unknown.

    A chat `new` that is known already keeps its row and takes over what `old` had: settings it
    lacks, alerts (one whose number is taken gets the next free one), summaries, messages, halts. What
    the owner decided about a group goes along, also of one that is not known otherwise.
    """
    before = get_chat(db, old)
    if old == new:
        return False
    _move_access(db, old, new)
    if before is None:
        return False
    if get_chat(db, new) is None:
        db.execute("UPDATE chats SET chat_id = ? WHERE chat_id = ?", (new, old))  # the rest cascades
    else:
        _merge(db, before, new)
    db.execute("UPDATE outbox SET chat_id = ? WHERE chat_id = ?", (new, old))
    db.execute(
        "INSERT INTO halts (chat_id, until) SELECT ?, until FROM halts WHERE chat_id = ? "
        "ON CONFLICT (chat_id) DO UPDATE SET until = max(until, excluded.until)",
        (new, old),
    )
    db.execute("DELETE FROM halts WHERE chat_id = ?", (old,))
    return True


def _move_access(db: sqlite_utils.Database, old: int, new: int) -> None:
    """A decision goes along, unless the new one has its own; it answers what was asked about that, too.

    What was asked about the old one does not: its buttons name the old id. The group asks anew.
    """
    db.execute("DELETE FROM access WHERE chat_id = ? AND status = 'asked'", (old,))
    db.execute(
        """
        DELETE FROM access WHERE chat_id = :new AND status = 'asked'
        AND EXISTS (SELECT 1 FROM access WHERE chat_id = :old)
        """,
        {"old": old, "new": new},
    )
    db.execute("UPDATE OR IGNORE access SET chat_id = ? WHERE chat_id = ?", (new, old))
    db.execute("DELETE FROM access WHERE chat_id = ?", (old,))


def _merge(db: sqlite_utils.Database, old: StoredChat, new: int) -> None:
    """Move settings, alerts and summaries of a chat to another chat, and delete it."""
    db.execute(
        """
        UPDATE chats SET
            timezone = coalesce(timezone, :timezone),
            weekdays = CASE WHEN summary_at IS NULL THEN :weekdays ELSE weekdays END,
            summary_at = coalesce(summary_at, :summary_at),
            returns = coalesce(returns, :returns),
            theme = coalesce(theme, :theme),
            numbers = coalesce(numbers, :numbers),
            quiet_from = CASE WHEN quiet_from IS NULL THEN :quiet_from ELSE quiet_from END,
            quiet_to = CASE WHEN quiet_from IS NULL THEN :quiet_to ELSE quiet_to END,
            last_number = max(last_number, :last_number)
        WHERE chat_id = :new
        """,
        {**msgspec.structs.asdict(old), "created_at": None, "new": new},
    )
    _move_alerts(db, old.chat_id, new)
    _move_summaries(db, old.chat_id, new)
    db.execute("UPDATE OR IGNORE outage_chats SET chat_id = ? WHERE chat_id = ?", (new, old.chat_id))
    db.execute("DELETE FROM chats WHERE chat_id = ?", (old.chat_id,))


def _move_alerts(db: sqlite_utils.Database, old: int, new: int) -> None:
    taken = {row["number"] for row in select(db, "SELECT number FROM alerts WHERE chat_id = ?", (new,))}
    for alert in select(db, "SELECT alert_id, number FROM alerts WHERE chat_id = ? ORDER BY number", (old,)):
        number = next_alert_number(db, new) if alert["number"] in taken else alert["number"]
        db.execute(
            "UPDATE alerts SET chat_id = ?, number = ? WHERE alert_id = ?", (new, number, alert["alert_id"])
        )


def _move_summaries(db: sqlite_utils.Database, old: int, new: int) -> None:
    """Of two rows of one date the one further along stays: a summary is never repeated."""
    db.execute(
        """
        DELETE FROM summaries WHERE chat_id = :new AND status = 'due'
        AND (kind, local_date) IN (SELECT kind, local_date FROM summaries WHERE chat_id = :old)
        """,
        {"old": old, "new": new},
    )
    db.execute("UPDATE OR IGNORE summaries SET chat_id = ? WHERE chat_id = ?", (new, old))


def next_alert_number(db: sqlite_utils.Database, chat_id: int) -> int | None:
    """The chat's next alert number, used up with this call; None when the chat is unknown."""
    row = select_one(
        db,
        "UPDATE chats SET last_number = last_number + 1 WHERE chat_id = ? RETURNING last_number",
        (chat_id,),
    )
    return None if row is None else int(row["last_number"])


# A row of any table as it is exported: values by column.
ExportedRow: TypeAlias = dict[str, str | int | float | None]

_OWN = "chat_id = :chat"
_OF_ALERTS = "alert_id IN (SELECT alert_id FROM alerts WHERE chat_id = :chat)"


def chat_row_conditions(db: sqlite_utils.Database) -> dict[str, str]:
    """Table -> which of its rows are about the chat :chat; those that hang on others come first.

    A table is about chats when it has a column chat_id, or alert_id, which leads to one.
    """
    conditions: dict[str, str] = {}
    for table in sorted(db.tables, key=lambda table: table.name == "chats"):
        columns = table.columns_dict
        if "chat_id" in columns:
            conditions[table.name] = _OWN
        elif "alert_id" in columns:
            conditions = {table.name: _OF_ALERTS} | conditions
    return conditions


def export_chat(db: sqlite_utils.Database, chat_id: int) -> dict[str, list[ExportedRow]]:
    """Table -> rows about the chat; tables without any are left out, pictures are replaced by their size."""
    tables = {table: _rows(db, table, where, chat_id) for table, where in chat_row_conditions(db).items()}
    return {table: rows for table, rows in sorted(tables.items()) if rows}


def _rows(db: sqlite_utils.Database, table: str, where: str, chat_id: int) -> list[ExportedRow]:
    rows = select(db, f"SELECT * FROM {table} WHERE {where}", {"chat": chat_id})  # noqa: S608 - names of the schema
    return [
        {name: f"{len(value):,} bytes" if isinstance(value, bytes) else value for name, value in row.items()}
        for row in rows
    ]


def forget_chat(db: sqlite_utils.Database, chat_id: int) -> dict[str, int]:
    """Delete all rows about the chat, messages to it and notices that name it included; how many by table.

    Where a person made alerts in groups, which are the groups', their id is taken off.
    """
    removed = {
        table: change(db, f"DELETE FROM {table} WHERE {where}", {"chat": chat_id})  # noqa: S608 - names of the schema
        for table, where in chat_row_conditions(db).items()
    }
    removed["outbox"] += _forget_mentions(db, chat_id)
    change(db, "UPDATE alerts SET owner_id = 0 WHERE owner_id = ?", (chat_id,))
    return {table: count for table, count in removed.items() if count}


def _forget_mentions(db: sqlite_utils.Database, chat_id: int) -> int:
    """Delete the notices to the owner whose payload names the chat or the person under "names".

    A group about which the owner was not asked yet is forgotten with the question, so that it may ask anew.
    """
    named = "kind = 'notice' AND EXISTS (SELECT 1 FROM json_each(payload, '$.names') WHERE value = :chat)"
    db.execute(
        f"""
        DELETE FROM access WHERE status = 'asked' AND chat_id IN (
            SELECT json_extract(payload, '$.names[0]') FROM outbox WHERE {named} AND status <> 'sent'
        )
        """,  # noqa: S608 - fixed text
        {"chat": chat_id},
    )
    return change(db, f"DELETE FROM outbox WHERE {named}", {"chat": chat_id})  # noqa: S608 - fixed text
