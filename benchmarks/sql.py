"""Queries, pruning and size of a database with 1,000,000 events and messages, and 100,000 alerts.

    python -m benchmarks.sql [--events 1000000]

Texts are as long as real ones: an event and its message about 600 and 770 bytes. Times are of the processor,
medians of five. The growth a year is that of alerts of which 1% fire on a session, and of a daily summary in
every chat, beside the prices; events are kept for three years, messages and summaries for 90 days.
"""

from __future__ import annotations

import argparse
import datetime as dt
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from operator import methodcaller
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from benchmarks.results import Result
from bot.analytics.sources import SAMPLE
from bot.data.provider import rows_by_kind, sample_observations
from bot.data.store import store
from storage import alert_store, chat_store, outbox
from storage.database import Database, analyses, file_size, open_database

if TYPE_CHECKING:
    import sqlite_utils

Query: TypeAlias = "Callable[[sqlite_utils.Database], object]"
EVENTS, RUNS, PIECES = 1_000_000, 5, 40
PIECE = 200  # rows, as the scheduler prunes them
ALERTS_EACH, SUMMARY_DAYS = 20, 100
FIRST = "2020-03-01"  # a thousandth of the events is on each day from this on
NOW = dt.datetime(2022, 11, 27, 22, tzinfo=dt.UTC)
FIRES_A_YEAR, SESSIONS = 252 * 0.01, 252  # of one alert
MESSAGE, SUMMARY, SUMMARY_LINE = 770, 850, 90  # bytes: of a fire's message, a summary, an alert in it
USES = ((1, 10), (50, 500), (5_000, 100_000))  # chats and alerts
_RULE = (
    '{"conditions":[{"metric":"ratio_vs_sma","arguments":[["n",200]],"op":">","target":{"kind":"amount","value":5.0}}]}'
)
_NUMBERS = "WITH RECURSIVE numbers(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM numbers WHERE i < :count - 1)"
# By table, in the order in which they are filled; :alerts are the numbers of alerts that have events.
_FILL = {
    "chats": """
        INSERT INTO chats (chat_id, kind, created_at, summary_at)
        SELECT i + 1, 'private', '2020-01-01T00:00:00Z', '08:00' FROM numbers
    """,
    "alerts": """
        INSERT INTO alerts (alert_id, chat_id, number, owner_id, rule, rule_json, created_at)
        SELECT i + 1, i / 20 + 1, i % 20 + 1, 1, 'ratio_vs_sma 200 > 5%', :rule, '2020-01-01T00:00:00Z'
        FROM numbers
    """,
    "alert_states": """
        INSERT INTO alert_states (alert_id, session, state)
        SELECT i + 1, '2022-11-25', printf('{"session":"2022-11-25","bands":[%.17f],"sides":[{}],'
            || '"last_values":[%.17f]}', i / 3.0, i / 7.0) FROM numbers
    """,
    "alert_events": """
        INSERT INTO alert_events (alert_id, session, transition, value, threshold, detail, created_at)
        SELECT i * 7919 % :alerts + 1, date(:first, (i * 1000 / :count) || ' days'), 'fired', i / 3.0, 5.0,
            printf('{"event":"%d%s"}', i, hex(zeroblob(285))), date(:first, (i * 1000 / :count) || ' days')
            || 'T22:00:00Z' FROM numbers
    """,
    "outbox": """
        INSERT INTO outbox (chat_id, kind, dedup, payload, status, not_before, created_at, updated_at)
        SELECT i * 7919 % :alerts / 20 + 1, 'alert', 'alert:' || i,
            printf('{"html":"<b>Alert #%d fired</b> %d %s"}', i % 20 + 1, i, hex(zeroblob(360))),
            CASE WHEN i < :count - 100 THEN 'sent' ELSE 'queued' END, '2022-11-25T22:00:00Z',
            date(:first, (900 + i * 100 / :count) || ' days') || 'T22:00:00Z',
            date(:first, (900 + i * 100 / :count) || ' days') || 'T22:00:00Z' FROM numbers
    """,
    "summaries": """
        INSERT INTO summaries (chat_id, kind, local_date, due_at, status)
        SELECT i % :chats + 1, 'daily', date(:first, (900 + i / :chats) || ' days'),
            date(:first, (900 + i / :chats) || ' days') || 'T13:00:00Z', 'sent' FROM numbers
    """,
}


def build(path: Path, events: int) -> dict[str, float]:
    """Fill a database. Returns the bytes of a row by table, with its indexes, and of a year of prices."""
    alerts = events // 10
    chats = alerts // ALERTS_EACH
    counts = {"chats": chats, "alerts": alerts, "alert_states": alerts, "summaries": chats * SUMMARY_DAYS}
    sizes = {}
    with open_database(path) as database:
        before = database.run_sync(file_size)
        rows = sample_observations()
        database.run_sync(partial(store, rows=rows, source=SAMPLE, observed_at="2020-01-01T00:00:00Z"))
        sessions = {row.session for row in rows_by_kind(rows)["bars"]}
        sizes["prices"] = (database.run_sync(file_size) - before) / (len(sessions) / SESSIONS)
        for pragma in ("journal_mode=OFF", "synchronous=OFF", "cache_size=-300000"):
            database.run_sync(lambda db, pragma=pragma: db.execute(f"PRAGMA {pragma}").fetchall(), plain=True)  # type: ignore[misc]
        for table in _FILL:
            before, count = database.run_sync(file_size), counts.get(table, events)
            values = {"count": count, "first": FIRST, "rule": _RULE, "chats": chats, "alerts": alerts * 99 // 100}
            database.run_sync(partial(fill, table=table, values=values))
            sizes[table] = (database.run_sync(file_size) - before) / count
    return sizes


def fill(db: sqlite_utils.Database, table: str, values: dict[str, object]) -> None:
    """Fill a table; its large indexes are made anew, which is faster."""
    sql = "SELECT name, sql FROM sqlite_master WHERE tbl_name = ? AND name GLOB '*_copy*'"
    copies = db.execute(sql, (table,)).fetchall()
    for name, _ in copies:
        db.execute(f"DROP INDEX {name}")
    db.execute(f"{_NUMBERS} {_FILL[table]}", values)
    db.execute("DELETE FROM alert_changes")
    for _, definition in copies:
        db.execute(definition)


def queries(chats: int) -> dict[str, Query]:
    """Return what ticks, commands, fires and the delivery ask, by name."""
    day, busy, quiet = f"{NOW:%Y-%m-%d}", 7, chats  # the last chat has no events
    return {
        "messages to be sent": lambda db: outbox.find_ready(db, NOW, 16),
        "the next message": outbox.next_due,
        "unknown outcomes": outbox.has_ambiguous,
        "held notices": outbox.held_notices,
        "counts of messages": outbox.count_by_status,
        "deferred events": alert_store.deferred_events,
        "changed alerts": alert_store.changed_ids,
        "alerts that end": lambda db: alert_store.expiring_alerts(db, day),
        "fires of an alert": lambda db: alert_store.fires_since(db, busy, "2020-01-01"),
        "revisions of an alert": lambda db: alert_store.next_revision(db, busy),
        "a fire not told": lambda db: alert_store.untold_fire(db, busy),
        "/alerts": lambda db: alert_store.alerts_of(db, busy),
        "/history": lambda db: alert_store.list_events(db, chat_id=busy),
        "/history without events": lambda db: alert_store.list_events(db, chat_id=quiet),
        "/history of an alert": lambda db: alert_store.list_events(db, alert_id=busy),
        "times of summaries": chat_store.summary_times,
        "due summaries": lambda db: chat_store.due_summaries(db, NOW),
        "summaries before a restore": chat_store.skip_before_restore,
        "summaries of sleeping chats": lambda db: chat_store.skip_asleep(db, NOW),
    }


def run(quick: bool = False, events: int = EVENTS) -> list[Result]:
    """Return all figures."""
    events = 1_000 if quick else events
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bot.db"
        sizes = build(path, events)
        with open_database(path) as database:
            return [*_queries(database, events), *_pruning(database), *_growth(sizes)]


def _queries(database: Database, events: int) -> list[Result]:
    size = database.run_sync(file_size) / 1e6
    times = {
        name: statistics.median(_timed(database, query) for _ in range(RUNS))
        for name, query in queries(events // 10 // ALERTS_EACH).items()
    }
    slowest = max(times, key=lambda name: times[name])
    return [
        Result(f"slowest of {len(times)} queries: {slowest}", times[slowest], "ms CPU", 1.0),
        Result(f"the file at {events:,} events and messages", size, "MB"),
    ]


def _timed(database: Database, query: Query) -> float:
    """Return the milliseconds of CPU of one use of the database, with its commit."""

    def work(db: sqlite_utils.Database) -> float:
        begun = time.thread_time()
        db.execute("SAVEPOINT measured")
        query(db)
        db.execute("RELEASE measured")
        return 1000 * (time.thread_time() - begun)

    return database.run_sync(work)


def _pruning(database: Database) -> list[Result]:
    """Prune some pieces of each table, and add as many messages again."""
    pieces: tuple[Query, ...] = (
        lambda db: outbox.prune(db, NOW, PIECE),
        lambda db: alert_store.prune_events(db, f"{NOW:%Y-%m-%d}", PIECE),
        lambda db: chat_store.prune_summaries(db, NOW, PIECE),
    )
    pages = database.run_sync(file_size)
    longest = max(_timed(database, prune) for prune in pieces for _ in range(PIECES))
    body = outbox.MessageBody("x" * 700)

    def refill(db: sqlite_utils.Database) -> None:
        for number in range(PIECE * PIECES):
            outbox.enqueue(db, outbox.NewMessage(1, None, "alert", f"again:{number}", body), NOW)

    database.run_sync(refill)
    statements = database.run_sync(analyses)
    analyzed = max(_timed(database, methodcaller("execute", statement)) for statement in statements)
    return [
        Result(f"longest of {PIECES * len(pieces)} pieces of {PIECE} rows pruned", longest, "ms CPU", 20.0),
        Result(
            "the file after as many new messages, beside before", database.run_sync(file_size) / pages, "times", 1.0
        ),
        Result("longest ANALYZE, once a day", analyzed, "ms CPU", 20.0),
    ]


def _growth(sizes: dict[str, float]) -> list[Result]:
    """Return what a year adds, and the size that is not exceeded, for typical uses."""
    results = []
    for chats, alerts in USES:
        fires = alerts * FIRES_A_YEAR
        lasting = chats * sizes["chats"] + alerts * (sizes["alerts"] + sizes["alert_states"])
        summary = sizes["outbox"] + 2 * (SUMMARY + SUMMARY_LINE * alerts / chats - MESSAGE)
        a_quarter = (fires * sizes["outbox"] + chats * SESSIONS * summary) / 4 + chats * 90 * sizes["summaries"]
        a_year = sizes["prices"] + fires * sizes["alert_events"]
        use = f"{chats:,} chat{'s' * (chats > 1)} with {alerts:,} alerts"
        results += [
            Result(f"growth a year of {use}", a_year / 1e6, "MB"),
            Result(f"size of {use}, after three years", (lasting + a_quarter + 3 * a_year) / 1e6, "MB"),
        ]
    return results


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--events", type=int, default=EVENTS)
    for result in run(events=parser.parse_args().events):
        print(result)


if __name__ == "__main__":
    main()
