"""What a tick, a fire, a summary and a command ask of the database: no scan of a table that grows."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

from storage import alert_store, chat_store, outbox
from tests.jobs.test_scheduler import Counter, ready, scheduled
from tests.storage.messages import claim

if TYPE_CHECKING:
    import sqlite_utils

    from tests.jobs.desk import Desk

GROWS = "alerts|alert_events|alert_states|outbox|summaries|updates"
SCAN = re.compile(rf"SCAN ({GROWS})\b(?! USING (COVERING )?INDEX (outbox_ready|\w+_deferred|\w+_expiring)\b)")
# After a start, and for a new split, all active alerts are read.
WHOLE = ("FROM alerts JOIN chats", "INDEXED BY alerts_active")


async def commands(desk: Desk) -> None:
    """Queries of commands and of the delivery."""

    def run(db: sqlite_utils.Database) -> None:
        for chosen in ({"chat_id": 1}, {"alert_id": 1}):
            alert_store.list_events(db, **chosen)
        alert_store.alerts_of(db, 1)
        alert_store.fires_since(db, 1, "2020-01-01")
        alert_store.next_revision(db, 1)
        alert_store.untold_fire(db, 1)
        chat_store.record_update(db, 1, desk.now)
        for message in claim(db, f"{desk.now:%Y-%m-%dT%H:%M:%SZ}", limit=10):
            outbox.mark_sent(db, message.id, 7, desk.now)
        outbox.count_by_status(db)
        outbox.has_ambiguous(db)
        outbox.next_due(db)
        outbox.mark_interrupted(db, desk.now)
        outbox.requeue_ambiguous(db, desk.now)

    await desk.database.run(run)


async def test_no_statement_scans_a_table_that_grows(desk: Desk) -> None:
    await ready(desk)
    scheduler = scheduled(desk, Counter())
    await scheduler.run_jobs()  # the first one of a process reads all alerts
    statements: list[str] = []

    def trace(db: sqlite_utils.Database, callback: object) -> None:
        db.conn.set_trace_callback(callback)  # type: ignore[arg-type]

    await desk.closes([0.5, 0.66], "2020-01-17")
    await desk.database.run(partial(trace, callback=statements.append), plain=True)
    scheduler._pruned_at = None  # the daily pruning, too
    await scheduler.run_jobs()
    await commands(desk)
    await desk.database.run(partial(trace, callback=None), plain=True)
    kinds = ("SELECT", "UPDATE", "DELETE", "INSERT", "WITH")
    asked = {words for words in map(str.strip, statements) if words.upper().startswith(kinds)}
    assert len(asked) > 50
    # Without statistics SQLite takes each table for a large one.
    await desk.change("DELETE FROM sqlite_stat1")
    await desk.change("ANALYZE sqlite_master")
    scans = {}
    for words in asked:
        if any(whole in words for whole in WHOLE):
            continue
        plan = [row["detail"] for row in await desk.query(f"EXPLAIN QUERY PLAN {words}")]
        if bad := [line for line in plan if SCAN.search(line)]:
            scans[words] = bad
    assert scans == {}


async def test_statistics_are_those_of_indexes_that_are_quickly_counted(desk: Desk) -> None:
    await ready(desk)
    await scheduled(desk, Counter()).run_jobs()
    indexes = {row["idx"] for row in await desk.query("SELECT idx FROM sqlite_stat1")}
    assert {"outbox_status", "alert_events_session"} & indexes
    assert not {name for name in indexes if "_copy" in name}
