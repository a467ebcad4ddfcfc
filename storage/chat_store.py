"""Chats: access requests, settings, planned summaries, updates, boards, and export and deletion of a chat.

Ids are Telegram's; the id of a private chat is the person's.
"""

import datetime as dt
import json
from collections.abc import Iterable
from contextlib import suppress
from typing import NamedTuple, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
import sqlite_utils

from storage.records import Moment, change, insert, instant, not_earlier, select, select_as, select_first, select_value
from storage.sources import RESTORED_AT

APPROVED, REJECTED = "approved", "rejected"


class AccessRequest(msgspec.Struct, frozen=True):
    """A row of the access table; status is "asked", "approved" or "rejected"."""

    chat_id: int
    title: str
    status: str
    asked_at: dt.datetime
    decided_at: dt.datetime | None


def request_access(db: sqlite_utils.Database, chat_id: int, title: str, now: Moment) -> bool:
    """Record a request for access. Returns False if there was one before, whatever was decided."""
    row = {"chat_id": chat_id, "title": title, "status": "asked", "asked_at": instant(now)}
    return insert(db, "access", row, unique=("chat_id",)) is not None


def decide_access(db: sqlite_utils.Database, chat_id: int, status: str, now: Moment, title: str = "") -> AccessRequest:
    """Set APPROVED or REJECTED, also for a chat that never asked."""
    sql = """
        INSERT INTO access (chat_id, title, status, asked_at, decided_at)
        VALUES (:chat, :title, :status, :now, :now)
        ON CONFLICT (chat_id) DO UPDATE SET status = excluded.status, decided_at = excluded.decided_at
        RETURNING *
    """
    parameters = {"chat": chat_id, "title": title, "status": status, "now": instant(now)}
    return select_as(db, AccessRequest, sql, parameters)[0]


def access_status(db: sqlite_utils.Database, chat_id: int) -> str | None:
    """Returns 'asked', APPROVED or REJECTED, or None for a chat that never asked."""
    return select_value(db, str, "SELECT status FROM access WHERE chat_id = ?", (chat_id,))


def list_access_requests(db: sqlite_utils.Database, status: str, limit: int) -> list[AccessRequest]:
    """Returns requests of one status, the oldest first."""
    sql = "SELECT * FROM access WHERE status = ? ORDER BY asked_at, chat_id LIMIT ?"
    return select_as(db, AccessRequest, sql, (status, limit))


class StoredChat(msgspec.Struct, frozen=True):
    """A row of the chats table.

    kind                    Telegram's: "private", "group", "supergroup" or "channel"
    status                  "active", "asleep" (it refuses messages, which may pass) or "inactive" (it gets
                            none); these two with the reason
    refused_at              the last refusal, None once a message was delivered
    next_try                nothing is sent before, if refused_at is set
    summary_at              local time "HH:MM" of the summary; None: no summary
    summary_days            "daily", "weekdays", or "weekly": after the last session of each week
    quiet_from, quiet_to    local times "HH:MM" between which alerts are deferred; None, None: never
    timezone, returns, theme, numbers    what the chat has set; None: the configuration's
    """

    chat_id: int
    kind: str
    title: str
    status: str
    reason: str
    refused_at: dt.datetime | None
    next_try: dt.datetime | None
    last_number: int
    created_at: dt.datetime
    summary_at: str | None
    summary_days: str
    quiet_from: str | None
    quiet_to: str | None
    timezone: str | None
    returns: str | None
    theme: str | None
    numbers: str | None


class DueSummary(NamedTuple):
    """A summary of one local date that is due and not claimed."""

    id: int
    chat_id: int
    due_at: dt.datetime


def ensure_chat(db: sqlite_utils.Database, chat_id: int, kind: str, title: str, now: Moment) -> StoredChat:
    """Returns the chat, which is created if it is new and takes over the kind and title of Telegram."""
    db.execute(
        """
        INSERT INTO chats (chat_id, kind, title, created_at) VALUES (?, ?, ?, ?)
        ON CONFLICT (chat_id) DO UPDATE SET kind = excluded.kind, title = excluded.title
        WHERE (kind, title) IS NOT (excluded.kind, excluded.title)
        """,
        (chat_id, kind, title, instant(now)),
    )
    return select_as(db, StoredChat, "SELECT * FROM chats WHERE chat_id = ?", (chat_id,))[0]


def zone_of(name: str | None, default: str) -> ZoneInfo:
    """Return a chat's time zone, or the default if it has set none or one that this machine does not know."""
    with suppress(ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo(name or default)
    return ZoneInfo(default)


def get_chat(db: sqlite_utils.Database, chat_id: int) -> StoredChat | None:
    """Returns the chat, or None when it is not known."""
    return select_first(db, StoredChat, "SELECT * FROM chats WHERE chat_id = ?", (chat_id,))


def chats_by_id(db: sqlite_utils.Database, chat_ids: Iterable[int]) -> list[StoredChat]:
    """Returns the chats with these ids, as far as they are known."""
    sql = "SELECT * FROM chats WHERE chat_id IN (SELECT value FROM json_each(?))"
    return select_as(db, StoredChat, sql, (json.dumps(list(chat_ids)),))


def deactivate(db: sqlite_utils.Database, chat_id: int, reason: str) -> bool:
    """Send nothing more to a chat and evaluate none of its alerts, which stay. Returns False when unknown.

    Queued messages wait for the chat's return, except summaries and replies, which are given up.
    """
    sql = """
        UPDATE chats SET status = 'inactive', reason = ?, refused_at = NULL, next_try = NULL WHERE chat_id = ?
    """
    known = change(db, sql, (reason, chat_id)) == 1
    if known:
        _drop_summaries(db, chat_id, reason)
    return known


def _drop_summaries(db: sqlite_utils.Database, chat_id: int, reason: str) -> None:
    """Give up the queued messages that are of no use later: summaries and replies."""
    sql = """
        UPDATE outbox SET status = 'dead', reason = ?
        WHERE chat_id = ? AND kind IN ('summary', 'reply') AND status IN ('queued', 'waiting')
    """
    db.execute(sql, (reason, chat_id))


def reactivate(db: sqlite_utils.Database, chat_id: int) -> bool:
    """Make a chat active again, and try at once whether it takes messages.

    Returns False when it was active already or is unknown.
    """
    sql = """
        UPDATE chats SET status = 'active', reason = '', next_try = refused_at
        WHERE chat_id = ? AND (status <> 'active' OR next_try > refused_at)
    """
    return change(db, sql, (chat_id,)) == 1


# Sleeping chats. One that refuses a message is asleep until it shows a sign of life. Then it is active, but
# the refusal is kept until a message is delivered: a further refusal belongs to the same sleep.

PROBE_AFTER = dt.timedelta(days=1)  # without a sign of life, what waits is tried again
TRY_AFTER = dt.timedelta(minutes=10)  # between two tries, whatever signs of life there are


def put_to_sleep(
    db: sqlite_utils.Database, chat_id: int, reason: str, now: dt.datetime, next_try: dt.datetime
) -> StoredChat | None:
    """Send nothing more to a chat before an instant, because it refuses messages. Its alerts are evaluated.

    Queued summaries and replies are given up. An inactive chat stays as it is. Returns the chat as it was
    before, None for an unknown one.
    """
    before = get_chat(db, chat_id)
    if before is not None and before.status != "inactive":
        sql = "UPDATE chats SET status = 'asleep', reason = ?, refused_at = ?, next_try = ? WHERE chat_id = ?"
        db.execute(sql, (reason, instant(now), not_earlier(next_try), chat_id))
        _drop_summaries(db, chat_id, reason)
    return before


def note_sign_of_life(db: sqlite_utils.Database, chat_id: int, now: dt.datetime) -> bool:
    """Let a sleeping chat be tried again, TRY_AFTER the last refusal at the earliest.

    Returns False if it does not sleep.
    """
    sql = """
        UPDATE chats SET status = 'active', reason = '', next_try = min(next_try, max(:now, strftime(
            '%Y-%m-%dT%H:%M:%SZ', refused_at, :pause)))
        WHERE chat_id = :chat AND status = 'asleep'
    """
    pause = f"+{TRY_AFTER.total_seconds():.0f} seconds"
    return change(db, sql, {"now": instant(now), "pause": pause, "chat": chat_id}) == 1


def note_delivery(db: sqlite_utils.Database, chat_id: int) -> bool:
    """Wake a chat up, because a message was delivered. False if it was awake."""
    sql = """
        UPDATE chats SET status = 'active', reason = '', refused_at = NULL, next_try = NULL
        WHERE chat_id = ? AND refused_at IS NOT NULL
    """
    return change(db, sql, (chat_id,)) == 1


def refusing_chats(db: sqlite_utils.Database) -> list[StoredChat]:
    """Returns the chats that refused the last message."""
    return select_as(db, StoredChat, "SELECT * FROM chats WHERE refused_at IS NOT NULL ORDER BY chat_id")


def set_summary(db: sqlite_utils.Database, chat_id: int, at: str | None) -> bool:
    """Set the local time 'HH:MM' of the daily summary (None: off). Returns False when the chat is unknown.

    A summary that was due at the old time is dropped.
    """
    db.execute("DELETE FROM summaries WHERE chat_id = ? AND status = 'due'", (chat_id,))
    return change(db, "UPDATE chats SET summary_at = ? WHERE chat_id = ?", (at, chat_id)) == 1


PREFERENCES = ("timezone", "returns", "theme", "numbers", "summary_days", "quiet_from", "quiet_to")


def set_preferences(db: sqlite_utils.Database, chat_id: int, **columns: str | int | None) -> bool:
    """Set columns of a chat that are among PREFERENCES. Returns False when the chat is unknown."""
    settings = ", ".join(f"{column} = :{column}" for column in columns)
    sql = f"UPDATE chats SET {settings} WHERE chat_id = :chat"  # noqa: S608 - names of the schema
    return change(db, sql, {**columns, "chat": chat_id}) == 1


def active_chats(db: sqlite_utils.Database) -> list[int]:
    """Returns the ids of the chats to which messages are sent, those that are asleep included."""
    rows = select(db, "SELECT chat_id FROM chats WHERE status <> 'inactive' ORDER BY chat_id")
    return [row["chat_id"] for row in rows]


def private_chats(db: sqlite_utils.Database) -> list[StoredChat]:
    """Returns every private chat."""
    return select_as(db, StoredChat, "SELECT * FROM chats WHERE kind = 'private'")


def count_by_status(db: sqlite_utils.Database) -> dict[str, dict[str, int]]:
    """Returns how many chats and alerts there are, by status."""
    columns = {"chats": "status", "alerts": "life"}
    return {
        table: dict(db.execute(f"SELECT {column}, count(*) FROM {table} GROUP BY {column}").fetchall())  # noqa: S608 - names from here
        for table, column in columns.items()
    }


class SummaryTime(NamedTuple):
    """A time of summaries: "HH:MM" local, the zone (None: the default), the days as in StoredChat."""

    at: str
    zone: str | None
    days: str


def summary_times(db: sqlite_utils.Database) -> list[SummaryTime]:
    """Returns the times at which active and sleeping chats want their daily summary."""
    sql = """
        SELECT DISTINCT summary_at, timezone, summary_days FROM chats INDEXED BY chats_summary
        WHERE status <> 'inactive' AND summary_at IS NOT NULL
    """
    return [SummaryTime(*row) for row in db.execute(sql).fetchall()]


def plan_summary(
    db: sqlite_utils.Database, chat_id: int, kind: str, local_date: str, due_at: Moment, status: str = "due"
) -> int | None:
    """Plan (or skip) a chat's summary of a local date. Returns its id, or None when it was planned before."""
    row = {"chat_id": chat_id, "kind": kind, "local_date": local_date, "due_at": instant(due_at)}
    return insert(db, "summaries", {**row, "status": status}, unique=("chat_id", "kind", "local_date"))


def plan_summaries(db: sqlite_utils.Database, wanted: SummaryTime, kind: str, local_date: str, due_at: Moment) -> int:
    """Plan the summaries of one local date for the chats that want them at a time, unless they were planned.

    Left out are chats that are newer than the instant. Returns how many were planned.
    """
    sql = """
        INSERT INTO summaries (chat_id, kind, local_date, due_at)
        SELECT chat_id, :kind, :local_date, :due_at FROM chats INDEXED BY chats_summary
        WHERE status <> 'inactive' AND summary_at = :at AND timezone IS :zone AND summary_days = :days
        AND created_at <= :due_at ORDER BY chat_id
        ON CONFLICT (chat_id, kind, local_date) DO NOTHING
    """
    day = {"kind": kind, "local_date": local_date, "due_at": instant(due_at)}
    return change(db, sql, {**wanted._asdict(), **day})


def prune_summaries(db: sqlite_utils.Database, before: Moment, limit: int) -> int:
    """Delete up to `limit` summaries that were due before an instant and wait no more. Returns how many."""
    sql = """
        DELETE FROM summaries WHERE id IN (
            SELECT id FROM summaries WHERE status IN ('claimed', 'sent', 'skipped') AND due_at < ? LIMIT ?)
    """
    return change(db, sql, (instant(before), limit))


def due_summaries(db: sqlite_utils.Database, now: Moment) -> list[DueSummary]:
    """Returns the summaries of active chats that are due and not claimed, oldest first."""
    sql = """
        SELECT id, chat_id, due_at FROM summaries JOIN chats USING (chat_id)
        WHERE summaries.status = 'due' AND due_at <= ? AND chats.status = 'active'
        ORDER BY due_at, id
    """
    rows = db.execute(sql, (instant(now),)).fetchall()
    return [DueSummary(row_id, chat, dt.datetime.fromisoformat(due_at)) for row_id, chat, due_at in rows]


def claim_summary(db: sqlite_utils.Database, summary_id: int) -> bool:
    """Claim a due summary. Returns True for the one caller that may send it."""
    sql = "UPDATE summaries SET status = 'claimed' WHERE id = ? AND status = 'due'"
    return change(db, sql, (summary_id,)) == 1


def finish_summary(db: sqlite_utils.Database, summary_id: int, status: str) -> bool:
    """Set the final status of a claimed summary: 'sent' or 'skipped'."""
    sql = "UPDATE summaries SET status = ? WHERE id = ? AND status = 'claimed'"
    return change(db, sql, (status, summary_id)) == 1


def skip_before_restore(db: sqlite_utils.Database) -> int:
    """Skip the summaries that were due before a restore and may have been sent. Returns how many."""
    sql = """
        UPDATE summaries SET status = 'skipped'
        WHERE status = 'due' AND due_at <= (SELECT value FROM meta WHERE key = ?)
    """
    return change(db, sql, (RESTORED_AT,))


def skip_asleep(db: sqlite_utils.Database, now: Moment) -> int:
    """Skip the summaries that have fallen due in chats that are asleep. Returns how many."""
    sql = """
        UPDATE summaries SET status = 'skipped' WHERE status = 'due' AND due_at <= ?
        AND chat_id IN (SELECT chat_id FROM chats WHERE status = 'asleep' AND refused_at IS NOT NULL)
    """
    return change(db, sql, (instant(now),))


# Telegram keeps an update for 24 h; one that comes again later than this is a new one.
UPDATES_KEPT = "-7 days"


def record_update(db: sqlite_utils.Database, update_id: int, now: Moment) -> bool:
    """Record a Telegram update. Returns True the first time. Records older than a week are deleted."""
    at = instant(now)
    db.execute("DELETE FROM updates WHERE seen_at < strftime('%Y-%m-%dT%H:%M:%SZ', ?, ?)", (at, UPDATES_KEPT))
    return insert(db, "updates", {"update_id": update_id, "seen_at": at}, unique=("update_id",)) is not None


def is_recorded(db: sqlite_utils.Database, update_id: int) -> bool:
    """Return whether a Telegram update was recorded."""
    return select_value(db, int, "SELECT 1 FROM updates WHERE update_id = ?", (update_id,)) is not None


def migrate_chat(db: sqlite_utils.Database, old: int, new: int) -> bool:
    """Change a chat's id everywhere, after a group became a supergroup. Returns False when `old` is unknown.

    A chat `new` that is known already keeps its row and takes over what `old` had: settings it
    lacks, alerts (one whose number is taken gets the next free one), summaries, messages, halts. The
    owner's decision about access moves too, also for a chat that is not known otherwise.
    """
    before = get_chat(db, old)
    if old == new:
        return False
    _move_access(db, old, new)
    if before is None:
        return False
    if get_chat(db, new) is None:
        db.execute("UPDATE chats SET chat_id = ? WHERE chat_id = ?", (new, old))  # the rest cascades
        if before.status == "asleep":  # the refusals were about the old id
            reactivate(db, new)
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
    """Move the decision about the old id to the new one, unless that has its own; it answers a request there.

    An open request of the old id is deleted, because its buttons name that id; the group asks again.
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
    lacking = (*(name for name in PREFERENCES if name != "summary_days"), "summary_at")
    db.execute(
        f"""
        UPDATE chats SET
            {", ".join(f"{name} = coalesce({name}, :{name})" for name in lacking)},
            summary_days = CASE WHEN summary_at IS NULL THEN :summary_days ELSE summary_days END,
            last_number = max(last_number, :last_number)
        WHERE chat_id = :new
        """,  # noqa: S608 - fixed names
        {**msgspec.structs.asdict(old), "created_at": None, "new": new},
    )
    _move_alerts(db, old.chat_id, new)
    _move_summaries(db, old.chat_id, new)
    for table in ("outage_chats", "pins"):
        sql = f"UPDATE OR IGNORE {table} SET chat_id = ? WHERE chat_id = ?"  # noqa: S608 - fixed names
        db.execute(sql, (new, old.chat_id))
    db.execute("DELETE FROM chats WHERE chat_id = ?", (old.chat_id,))


def _move_alerts(db: sqlite_utils.Database, old: int, new: int) -> None:
    numbers = {row["number"] for row in select(db, "SELECT number FROM alerts WHERE chat_id = ?", (new,))}
    for alert in select(db, "SELECT alert_id, number FROM alerts WHERE chat_id = ? ORDER BY number", (old,)):
        number = next_alert_number(db, new) if alert["number"] in numbers else alert["number"]
        db.execute("UPDATE alerts SET chat_id = ?, number = ? WHERE alert_id = ?", (new, number, alert["alert_id"]))


def _move_summaries(db: sqlite_utils.Database, old: int, new: int) -> None:
    """Of two summaries of one date keep the one that is claimed or sent, because none is ever repeated."""
    db.execute(
        """
        DELETE FROM summaries WHERE chat_id = :new AND status = 'due'
        AND (kind, local_date) IN (SELECT kind, local_date FROM summaries WHERE chat_id = :old)
        """,
        {"old": old, "new": new},
    )
    db.execute("UPDATE OR IGNORE summaries SET chat_id = ? WHERE chat_id = ?", (new, old))


def next_alert_number(db: sqlite_utils.Database, chat_id: int) -> int | None:
    """Returns the chat's next alert number, which this call uses up, or None when the chat is unknown."""
    sql = "UPDATE chats SET last_number = last_number + 1 WHERE chat_id = ? RETURNING last_number"
    return select_value(db, int, sql, (chat_id,))


# A row of any table as it is exported: values by column.
ExportedRow: TypeAlias = dict[str, str | int | float | None]


def chat_row_conditions(db: sqlite_utils.Database) -> dict[str, str]:
    """Returns, by table, the SQL condition of the rows about the chat :chat, dependent tables first.

    A table is about chats when it has a column chat_id, or alert_id, which leads to one.
    """
    conditions: dict[str, str] = {}
    for table in sorted(db.tables, key=lambda table: table.name == "chats"):
        if "chat_id" in table.columns_dict:
            conditions[table.name] = "chat_id = :chat"
        elif "alert_id" in table.columns_dict:
            of_alerts = "alert_id IN (SELECT alert_id FROM alerts WHERE chat_id = :chat)"
            conditions = {table.name: of_alerts} | conditions
    return conditions


def export_chat(db: sqlite_utils.Database, chat_id: int) -> dict[str, list[ExportedRow]]:
    """Returns the rows about the chat by table, where there are any."""
    tables = {
        table: select(db, f"SELECT * FROM {table} WHERE {condition}", {"chat": chat_id})  # noqa: S608 - names of the schema
        for table, condition in sorted(chat_row_conditions(db).items())
    }
    return {table: rows for table, rows in tables.items() if rows}


def forget_chat(db: sqlite_utils.Database, chat_id: int) -> None:
    """Delete all rows about the chat, messages to it and notices that name it.

    Alerts that the person created in groups belong to the groups; there the person's id is removed.
    """
    for table, condition in chat_row_conditions(db).items():
        db.execute(f"DELETE FROM {table} WHERE {condition}", {"chat": chat_id})  # noqa: S608 - names of the schema
    _forget_mentions(db, chat_id)
    db.execute("UPDATE alerts SET owner_id = 0 WHERE owner_id = ?", (chat_id,))


def _forget_mentions(db: sqlite_utils.Database, chat_id: int) -> None:
    """Delete the notices to the owner whose payload names the chat or the person under "names".

    A group's request that the owner was not asked about yet is deleted too, so that it may ask again.
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
    db.execute(f"DELETE FROM outbox WHERE {named}", {"chat": chat_id})  # noqa: S608 - fixed text


# Live boards: the message in each chat that is edited when what it shows changes


class Pin(msgspec.Struct, frozen=True):
    """A chat's board.

    message_id  Telegram's, None for a message that was deleted
    shown       digest of its text
    mark        of the chat's settings and alerts: another one when any of them has changed
    """

    chat_id: int
    message_id: int | None
    shown: str
    mark: str = ""


def save_pin(db: sqlite_utils.Database, chat_id: int, message_id: int | None, shown: str) -> None:
    """Store a chat's board in place of an earlier one."""
    sql = "INSERT OR REPLACE INTO pins (chat_id, message_id, shown) VALUES (?, ?, ?)"
    db.execute(sql, (chat_id, message_id, shown))


def get_pins(db: sqlite_utils.Database, chat_id: int | None = None) -> list[Pin]:
    """Returns a chat's board, or those of all chats to which messages are sent."""
    sql = """
        SELECT pins.*, json_array(returns, numbers, (
            SELECT json_group_array(json_array(rule_json, life, snoozed_until, (
                SELECT max(session) FROM alert_states WHERE alert_states.alert_id = alerts.alert_id)))
            FROM alerts WHERE alerts.chat_id = pins.chat_id
        )) AS mark
        FROM pins JOIN chats USING (chat_id)
        WHERE CASE WHEN :chat IS NULL THEN status = 'active' AND message_id IS NOT NULL
              ELSE chat_id = :chat END
        ORDER BY chat_id
    """
    return select_as(db, Pin, sql, {"chat": chat_id})


def update_pin(db: sqlite_utils.Database, pin: Pin, message_id: int | None, shown: str) -> None:
    """Store what a board shows now, unless it was replaced or removed meanwhile."""
    sql = "UPDATE pins SET message_id = ?, shown = ? WHERE chat_id = ? AND message_id IS ?"
    db.execute(sql, (message_id, shown, pin.chat_id, pin.message_id))


def drop_pin(db: sqlite_utils.Database, chat_id: int) -> None:
    """Forget a chat's board."""
    db.execute("DELETE FROM pins WHERE chat_id = ?", (chat_id,))
