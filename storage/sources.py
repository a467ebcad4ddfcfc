"""The status of each source for each subject (such as a ticker's prices), outages, and the program's notes.

A source in trouble is not asked before `breaker_until`. That is stored, so that a restart does not start
asking again. An outage is a part of the Market without a figure that it should have.
"""

import datetime as dt
from collections.abc import Iterable
from typing import TypeAlias

import msgspec
import sqlite_utils

from storage import records

IMPORTED = "Imported"  # outcome of what a file brought

_HEARTBEAT = "heartbeat"
RESTORED_AT = "restored_at"  # key of the instant of a restore: what was sent until then is not known


class SourceStatus(msgspec.Struct, frozen=True):
    """A row of the sources table: the status of one source for one subject.

    last_session    last session for which it gave a figure
    outcome         of the last attempt: "Ok", "RateLimited", IMPORTED, ...; `detail` explains it
    breaker_until   the whole source is not asked before this instant
    rests_until     the source is not asked for this subject before this instant
    failures        number of failures in a row
    missing         sessions before the last one that it dropped, separated by spaces
    payload         hash of its last raw answer, which first came after the session payload_since
    address         hash of where and how it was last asked, "" where that does not matter
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
    address: str

    @property
    def dropped(self) -> list[dt.date]:
        """Returns the sessions before the last one that it dropped, in order."""
        return [dt.date.fromisoformat(session) for session in self.missing.split()]


def record_success(  # noqa: PLR0913 - columns of a source, by name
    db: sqlite_utils.Database,
    source: str,
    subject: str,
    *,
    now: records.Moment,
    session: str | None = None,
    outcome: str = "ok",
    detail: str = "",
    missing: Iterable[str] = (),
) -> None:
    """Record an answer: failures start at zero again, the breaker closes, `last_session` only grows.

    `missing` are the sessions before the last one that the source dropped.
    """
    sql = """
        INSERT INTO sources
            (source, subject, last_attempt, last_success, last_session, outcome, detail, missing)
        VALUES (?1, ?2, ?3, ?3, ?4, ?5, ?6, ?7)
        ON CONFLICT (source, subject) DO UPDATE SET
            last_attempt = excluded.last_attempt,
            last_success = excluded.last_success,
            last_session = nullif(max(coalesce(last_session, ''), coalesce(excluded.last_session, '')), ''),
            outcome = excluded.outcome, detail = excluded.detail, missing = excluded.missing,
            breaker_until = NULL, rests_until = NULL, failures = 0
    """
    dropped = " ".join(sorted(missing))
    db.execute(sql, (source, subject, records.instant(now), session, outcome, detail, dropped))


def record_payload(db: sqlite_utils.Database, source: str, subject: str, payload: str, *, after: str) -> None:
    """Record the hash of the raw answer that came after a session, and the first session with that answer."""
    row = source_status(db, source, subject)
    if row is None or row.payload != payload:
        db.table("sources").update((source, subject), {"payload": payload, "payload_since": after})


def record_failure(  # noqa: PLR0913 - as above
    db: sqlite_utils.Database,
    source: str,
    subject: str,
    *,
    now: records.Moment,
    outcome: str,
    detail: str = "",
    breaker_until: records.Moment | None = None,
    rests_until: records.Moment | None = None,
) -> int:
    """Record a failure, and until when the source is not asked. Returns the number of failures in a row."""
    sql = """
        INSERT INTO sources
            (source, subject, last_attempt, outcome, detail, breaker_until, rests_until, failures)
        VALUES (?, ?, ?, ?, ?, ?, ?, 1)
        ON CONFLICT (source, subject) DO UPDATE SET
            last_attempt = excluded.last_attempt,
            outcome = excluded.outcome, detail = excluded.detail,
            breaker_until = excluded.breaker_until, rests_until = excluded.rests_until,
            failures = failures + 1
        RETURNING failures
    """
    until = [moment and records.instant(moment) for moment in (breaker_until, rests_until)]
    return records.select_value(db, int, sql, (source, subject, records.instant(now), outcome, detail, *until)) or 0


def record_address(db: sqlite_utils.Database, source: str, subject: str, address: str) -> None:
    """Record the hash of where and how a subject was last asked for."""
    sql = "UPDATE sources SET address = ?3 WHERE source = ?1 AND subject = ?2 AND address <> ?3"
    db.execute(sql, (source, subject, address))


def source_status(db: sqlite_utils.Database, source: str, subject: str) -> SourceStatus | None:
    """Returns the status of one source and subject, or None when it was never asked."""
    sql = "SELECT * FROM sources WHERE source = ? AND subject = ?"
    return records.select_first(db, SourceStatus, sql, (source, subject))


def source_statuses(db: sqlite_utils.Database) -> list[SourceStatus]:
    """Returns all statuses, by source and subject."""
    return records.select_as(db, SourceStatus, "SELECT * FROM sources ORDER BY source, subject")


def save_holdings(db: sqlite_utils.Database, holdings: records.Holdings, now: records.Moment) -> bool:
    """Store a fund's list of holdings, unless that of a later day is stored. Returns whether it was."""
    sql = """
        INSERT INTO holdings (ticker, as_of, observed_at, contents) VALUES (?, ?, ?, ?)
        ON CONFLICT (ticker) DO UPDATE SET
            as_of = excluded.as_of, observed_at = excluded.observed_at, contents = excluded.contents
        WHERE excluded.as_of >= as_of
    """
    contents = msgspec.json.encode(holdings).decode()
    return records.change(db, sql, (holdings.ticker, holdings.as_of, records.instant(now), contents)) > 0


def stored_holdings(db: sqlite_utils.Database, ticker: str) -> records.Holdings | None:
    """Returns the newest list of what a fund holds, or None without one."""
    contents = records.select_value(db, str, "SELECT contents FROM holdings WHERE ticker = ?", (ticker,))
    return None if contents is None else msgspec.json.decode(contents, type=records.Holdings)


def held_funds(db: sqlite_utils.Database) -> set[str]:
    """Tickers of the funds whose list of holdings is stored."""
    return {ticker for (ticker,) in db.execute("SELECT ticker FROM holdings")}


# What a run read of one symbol: the symbol, its group ("" for none), and contents ("" for nothing).
CompanyRow: TypeAlias = tuple[str, str, str]


def begin_run(db: sqlite_utils.Database, kind: str, span: str) -> str:
    """Where the run for a span of days goes on, "" at its start. Rows of a run for another are deleted."""
    begun, _, position = (records.get_meta(db, f"{kind} run") or "").partition(" ")
    if begun == span:
        return position
    db.execute("DELETE FROM company_rows WHERE kind = ?", (kind,))
    records.set_meta(db, f"{kind} run", f"{span} ")
    return ""


def save_step(db: sqlite_utils.Database, kind: str, span: str, position: str, rows: Iterable[CompanyRow]) -> None:
    """Keep the rows of one step of the run, and where it goes on. A later row of a symbol replaces it."""
    records.set_meta(db, f"{kind} run", f"{span} {position}")
    sql = "INSERT OR REPLACE INTO company_rows (kind, symbol, grouped, contents) VALUES (?, ?, ?, ?)"
    db.conn.executemany(sql, ((kind, *row) for row in rows))


def run_rows(db: sqlite_utils.Database, kind: str) -> list[CompanyRow]:
    """All rows of the newest run of a kind, by symbol and group."""
    sql = "SELECT symbol, grouped, contents FROM company_rows WHERE kind = ? ORDER BY symbol, grouped"
    return db.execute(sql, (kind,)).fetchall()


def record_heartbeat(db: sqlite_utils.Database, now: records.Moment) -> None:
    """Record a tick of the scheduler."""
    records.set_meta(db, _HEARTBEAT, records.instant(now))


def last_heartbeat(db: sqlite_utils.Database) -> dt.datetime | None:
    """Returns the instant of the last tick, or None before the first."""
    text = records.get_meta(db, _HEARTBEAT)
    return None if text is None else dt.datetime.fromisoformat(text)


class StoredOutage(msgspec.Struct, frozen=True):
    """A part of the Market ("prices", "facts:IWM", ...) and the first session that it lacks."""

    part: str
    session: dt.date
    began: dt.datetime


def begin_outage(db: sqlite_utils.Database, part: str, session: str, now: records.Moment) -> bool:
    """Record that a part lacks figures since `session`. Returns False if that is recorded already."""
    row = {"part": part, "session": session, "began": records.instant(now)}
    return records.insert(db, "outages", row, unique=("part", "session")) is not None


def end_outage(db: sqlite_utils.Database, part: str, session: str, now: records.Moment) -> bool:
    """Record that an outage is over. Returns False if it was over before."""
    sql = "UPDATE outages SET back_at = ? WHERE part = ? AND session = ? AND back_at IS NULL"
    return records.change(db, sql, (records.instant(now), part, session)) == 1


def current_outages(db: sqlite_utils.Database) -> list[StoredOutage]:
    """Returns the outages that are not over, by part."""
    return records.select_as(db, StoredOutage, "SELECT * FROM outages WHERE back_at IS NULL ORDER BY part, session")


def outage_changes(db: sqlite_utils.Database, since: records.Moment) -> dict[str, bool]:
    """Returns the parts with an outage that began (False) or is over (True) since an instant, not both."""
    sql = """
        SELECT part, back_at IS NOT NULL FROM outages
        WHERE (began >= :since) <> (coalesce(back_at, '') >= :since) ORDER BY part, session
    """
    return {part: bool(back) for part, back in db.execute(sql, {"since": records.instant(since)}).fetchall()}


def add_outage_chats(db: sqlite_utils.Database, part: str, session: str, chats: Iterable[int]) -> list[int]:
    """Record which chats are notified of an outage. Returns those that exist and were not notified before."""
    sql = """
        INSERT INTO outage_chats (part, session, chat_id) SELECT ?, ?, chat_id FROM chats WHERE chat_id = ?
        ON CONFLICT DO NOTHING
    """
    return [chat_id for chat_id in chats if records.change(db, sql, (part, session, chat_id)) == 1]


def outage_chats(db: sqlite_utils.Database, part: str, session: str) -> list[int]:
    """Returns the chats that were notified of an outage."""
    sql = "SELECT chat_id FROM outage_chats WHERE part = ? AND session = ? ORDER BY chat_id"
    return [row["chat_id"] for row in records.select(db, sql, (part, session))]
