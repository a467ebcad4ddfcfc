"""How each source is doing with each subject (a ticker's prices, say), and the program's own notes.

A source in trouble is left alone until `breaker_until`; that is stored, so that a restart does
not start asking again.

Outages: parts of the Market that brought no figure when they should have, and who was told.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import msgspec

from storage.rows import change, instant, select, select_as, select_one

if TYPE_CHECKING:
    from collections.abc import Iterable

    import sqlite_utils

    from storage.rows import Moment


IMPORTED = "Imported"  # outcome of what a file brought

_HEARTBEAT = "heartbeat"
# Key of the note of when a backup took the database's place: what was sent until then is not known here.
RESTORED_AT = "restored_at"


class SourceStatus(msgspec.Struct, frozen=True):
    """A row of the sources table: how one source is doing with one subject.

    last_session    last session of which it gave a figure
    outcome         of the last attempt: "Ok", "RateLimited", IMPORTED, ..., in words in `detail`
    breaker_until   the whole source is left alone until then
    rests_until     this subject alone is left alone until then
    failures        in a row
    missing         sessions before the last one that it dropped, separated by spaces
    payload         hash of its last raw answer, which first came after the session payload_since
    """

    source: str
    subject: str
    last_attempt: dt.datetime
    last_success: dt.datetime | None
    last_session: dt.date | None
    outcome: str
    detail: str
    breaker_until: dt.datetime | None
    rests_until: dt.datetime | None
    failures: int
    missing: str
    payload: str | None
    payload_since: dt.date | None

    @property
    def dropped(self) -> list[dt.date]:
        """The sessions before the last one that it dropped, in order."""
        return [dt.date.fromisoformat(session) for session in self.missing.split()]


def record_success(
    db: sqlite_utils.Database,
    source: str,
    subject: str,
    *,
    now: Moment,
    session: str | None = None,
    outcome: str = "ok",
    detail: str = "",
) -> None:
    """Note an answer: failures start at zero again, the breaker closes, `last_session` only grows."""
    db.execute(
        """
        INSERT INTO sources (source, subject, last_attempt, last_success, last_session, outcome, detail)
        VALUES (:source, :subject, :now, :now, :session, :outcome, :detail)
        ON CONFLICT (source, subject) DO UPDATE SET
            last_attempt = excluded.last_attempt,
            last_success = excluded.last_success,
            last_session = nullif(max(coalesce(last_session, ''), coalesce(excluded.last_session, '')), ''),
            outcome = excluded.outcome, detail = excluded.detail, missing = '',
            breaker_until = NULL, rests_until = NULL, failures = 0
        """,
        {
            "source": source,
            "subject": subject,
            "now": instant(now),
            "session": session,
            "outcome": outcome,
            "detail": detail,
        },
    )


def record_missing(db: sqlite_utils.Database, source: str, subject: str, missing: Iterable[str]) -> None:
    """Note the sessions before the last one that the source of a recorded success dropped."""
    _set(db, source, subject, missing=" ".join(sorted(missing)))


def record_payload(db: sqlite_utils.Database, source: str, subject: str, payload: str, *, after: str) -> None:
    """Note the hash of the raw answer that came after a session, and of equal ones the first such session."""
    row = source_status(db, source, subject)
    if row is None or row.payload != payload:
        _set(db, source, subject, payload=payload, payload_since=after)


def record_import(
    db: sqlite_utils.Database, source: str, subject: str, *, now: Moment, session: str | None
) -> None:
    """Note a file that was imported, and the last session in it; nobody asks for such a subject."""
    record_success(db, source, subject, now=now, session=session, outcome=IMPORTED)


def record_failure(
    db: sqlite_utils.Database,
    source: str,
    subject: str,
    *,
    now: Moment,
    outcome: str,
    detail: str = "",
    breaker_until: Moment | None = None,
) -> int:
    """Note a failure and until when the source is to be left alone; failures in a row, this one included."""
    failed = select_one(
        db,
        """
        INSERT INTO sources (source, subject, last_attempt, outcome, detail, breaker_until, failures)
        VALUES (:source, :subject, :now, :outcome, :detail, :until, 1)
        ON CONFLICT (source, subject) DO UPDATE SET
            last_attempt = excluded.last_attempt,
            outcome = excluded.outcome, detail = excluded.detail,
            breaker_until = excluded.breaker_until, rests_until = NULL, failures = failures + 1
        RETURNING failures
        """,
        {
            "source": source,
            "subject": subject,
            "now": instant(now),
            "outcome": outcome,
            "detail": detail,
            "until": None if breaker_until is None else instant(breaker_until),
        },
    )
    return int(failed["failures"]) if failed else 0


def record_rest(db: sqlite_utils.Database, source: str, subject: str, until: Moment) -> None:
    """Note until when this subject alone is left alone after a recorded failure."""
    _set(db, source, subject, rests_until=instant(until))


def _set(db: sqlite_utils.Database, source: str, subject: str, **values: str | None) -> None:
    db.table("sources").update((source, subject), values)


def source_status(db: sqlite_utils.Database, source: str, subject: str) -> SourceStatus | None:
    """The status of one source and subject, None when it was never asked."""
    sql = "SELECT * FROM sources WHERE source = ? AND subject = ?"
    return next(iter(select_as(db, SourceStatus, sql, (source, subject))), None)


def source_statuses(db: sqlite_utils.Database) -> list[SourceStatus]:
    """All of them, by source and subject."""
    return select_as(db, SourceStatus, "SELECT * FROM sources ORDER BY source, subject")


def get_meta(db: sqlite_utils.Database, key: str) -> str | None:
    """A note of the program's own, None when it was never set."""
    note = select_one(db, "SELECT value FROM meta WHERE key = ?", (key,))
    return None if note is None else str(note["value"])


def set_meta(db: sqlite_utils.Database, key: str, value: str) -> None:
    """Set a note of the program's own."""
    db.execute(
        "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        (key, value),
    )


def remove_meta(db: sqlite_utils.Database, key: str) -> None:
    """Forget a note of the program's own."""
    db.execute("DELETE FROM meta WHERE key = ?", (key,))


def record_heartbeat(db: sqlite_utils.Database, now: Moment) -> None:
    """Note a tick of the scheduler."""
    set_meta(db, _HEARTBEAT, instant(now))


def last_heartbeat(db: sqlite_utils.Database) -> dt.datetime | None:
    """Instant of the last tick, None before the first."""
    instant_text = get_meta(db, _HEARTBEAT)
    return None if instant_text is None else dt.datetime.fromisoformat(instant_text)


class StoredOutage(msgspec.Struct, frozen=True):
    """A part of the Market ("prices", "facts:IWM", ...) and the first session that it lacks."""

    part: str
    session: dt.date
    began: dt.datetime


def begin_outage(db: sqlite_utils.Database, part: str, session: str, now: Moment) -> bool:
    """Note that a part lacks `session` and what followed; False when that outage is noted already."""
    sql = "INSERT INTO outages (part, session, began) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
    return change(db, sql, (part, session, instant(now))) == 1


def end_outage(db: sqlite_utils.Database, part: str, session: str, now: Moment) -> bool:
    """Note that an outage is over; False when it was before."""
    sql = "UPDATE outages SET back_at = ? WHERE part = ? AND session = ? AND back_at IS NULL"
    return change(db, sql, (instant(now), part, session)) == 1


def current_outages(db: sqlite_utils.Database) -> list[StoredOutage]:
    """The outages that are not over, by part."""
    return select_as(db, StoredOutage, "SELECT * FROM outages WHERE back_at IS NULL ORDER BY part, session")


def add_outage_chats(db: sqlite_utils.Database, part: str, session: str, chats: Iterable[int]) -> list[int]:
    """Note who is told of an outage; of these chats the ones that were not told before and still exist."""
    sql = """
        INSERT INTO outage_chats (part, session, chat_id) SELECT ?, ?, chat_id FROM chats WHERE chat_id = ?
        ON CONFLICT DO NOTHING
    """
    return [chat_id for chat_id in chats if change(db, sql, (part, session, chat_id)) == 1]


def outage_chats(db: sqlite_utils.Database, part: str, session: str) -> list[int]:
    """The chats that were told of an outage."""
    sql = "SELECT chat_id FROM outage_chats WHERE part = ? AND session = ? ORDER BY chat_id"
    return [row["chat_id"] for row in select(db, sql, (part, session))]
