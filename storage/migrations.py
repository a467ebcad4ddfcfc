"""The tables, as migrations that are only ever added to; never change one that was released.

Instants are text 'YYYY-MM-DDTHH:MM:SSZ', sessions and dates 'YYYY-MM-DD'. All pending migrations
run in one transaction with foreign keys off (storage/db.py), so none may be transactional=False.
"""

from __future__ import annotations

import sqlite_utils
from sqlite_utils.migrations import Migrations

from storage.migration_access import add_access
from storage.migration_life import add_life
from storage.migration_readings import add_readings
from storage.migration_splits import add_splits_seen
from storage.migration_standing import add_standing
from storage.migration_withdrawal import let_splits_go

MIGRATIONS = Migrations("storage")


@MIGRATIONS()
def m001_observations(db: sqlite_utils.Database) -> None:
    """Append-only vintages of what the sources said, and how each source is doing.

    Each index serves observations.add (newest vintage of one key) and observations.newest (all
    keys in order); the CHECKs keep out what no reader expects.
    """
    db.executescript(
        """
        CREATE TABLE bars (
            id INTEGER PRIMARY KEY,
            ticker TEXT NOT NULL,
            session TEXT NOT NULL,
            open REAL, high REAL, low REAL,
            close REAL NOT NULL,
            volume INTEGER,
            provisional INTEGER NOT NULL DEFAULT 0 CHECK (provisional IN (0, 1)),
            source TEXT NOT NULL,
            observed_at TEXT NOT NULL
        ) STRICT;
        CREATE INDEX bars_vintages ON bars (ticker, session, source, observed_at DESC, id DESC);

        CREATE TABLE distributions (
            id INTEGER PRIMARY KEY,
            ticker TEXT NOT NULL,
            ex_date TEXT NOT NULL,
            amount REAL,  -- NULL: withdrawn by the source
            source TEXT NOT NULL,
            observed_at TEXT NOT NULL
        ) STRICT;
        CREATE INDEX distributions_vintages
            ON distributions (ticker, ex_date, source, observed_at DESC, id DESC);

        CREATE TABLE splits (
            id INTEGER PRIMARY KEY,
            ticker TEXT NOT NULL,
            session TEXT NOT NULL,
            ratio REAL NOT NULL,
            source TEXT NOT NULL,
            observed_at TEXT NOT NULL
        ) STRICT;
        CREATE INDEX splits_vintages ON splits (ticker, session, source, observed_at DESC, id DESC);

        CREATE TABLE fund_facts (
            id INTEGER PRIMARY KEY,
            ticker TEXT NOT NULL,
            session TEXT NOT NULL,
            nav REAL, shares REAL, assets REAL,
            source TEXT NOT NULL,
            observed_at TEXT NOT NULL
        ) STRICT;
        CREATE INDEX fund_facts_vintages ON fund_facts (ticker, session, source, observed_at DESC, id DESC);

        CREATE TABLE multiples (
            id INTEGER PRIMARY KEY,
            ticker TEXT NOT NULL,
            session TEXT NOT NULL,
            metric TEXT NOT NULL,
            convention TEXT NOT NULL,
            basis TEXT NOT NULL,
            value REAL,
            holdings_date TEXT, price_date TEXT,
            coverage REAL,
            source TEXT NOT NULL,
            observed_at TEXT NOT NULL
        ) STRICT;
        CREATE INDEX multiples_vintages
            ON multiples (ticker, session, metric, convention, basis, source, observed_at DESC, id DESC);

        CREATE TABLE sector_weights (
            id INTEGER PRIMARY KEY,
            ticker TEXT NOT NULL,
            session TEXT NOT NULL,
            level TEXT NOT NULL,  -- sector, industry group, or revenue (its share from the home market)
            sector TEXT NOT NULL,
            weight REAL,
            source TEXT NOT NULL,
            observed_at TEXT NOT NULL
        ) STRICT;
        CREATE INDEX sector_weights_vintages
            ON sector_weights (ticker, session, level, sector, source, observed_at DESC, id DESC);

        CREATE TABLE sources (
            source TEXT NOT NULL,
            subject TEXT NOT NULL,
            last_attempt TEXT NOT NULL,
            last_success TEXT,
            last_session TEXT,
            outcome TEXT NOT NULL,
            detail TEXT NOT NULL DEFAULT '',
            breaker_until TEXT,
            failures INTEGER NOT NULL DEFAULT 0,
            PRIMARY KEY (source, subject)
        ) STRICT, WITHOUT ROWID;

        CREATE TABLE meta (
            key TEXT PRIMARY KEY,
            value TEXT NOT NULL
        ) STRICT, WITHOUT ROWID;
        """
    )


@MIGRATIONS()
def m002_chats_and_alerts(db: sqlite_utils.Database) -> None:
    """Chats, what is due to them, their alerts with state and events, and the outbox."""
    db.executescript(
        """
        CREATE TABLE chats (
            chat_id INTEGER PRIMARY KEY,
            kind TEXT NOT NULL,
            title TEXT NOT NULL DEFAULT '',
            status TEXT NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'inactive')),
            reason TEXT NOT NULL DEFAULT '',
            timezone TEXT,    -- NULL: the configuration's
            summary_at TEXT,  -- 'HH:MM' local; NULL: no daily summary
            last_number INTEGER NOT NULL DEFAULT 0,  -- of its alerts: a number is never used twice
            created_at TEXT NOT NULL
        ) STRICT;

        CREATE TABLE summaries (
            id INTEGER PRIMARY KEY,
            chat_id INTEGER NOT NULL REFERENCES chats ON UPDATE CASCADE ON DELETE CASCADE,
            kind TEXT NOT NULL,
            local_date TEXT NOT NULL,
            due_at TEXT NOT NULL,
            status TEXT NOT NULL DEFAULT 'due' CHECK (status IN ('due', 'claimed', 'sent', 'skipped')),
            UNIQUE (chat_id, kind, local_date)
        ) STRICT;
        -- chats.due: every tick, over the few rows not yet claimed
        CREATE INDEX summaries_due ON summaries (due_at) WHERE status = 'due';

        CREATE TABLE updates (
            update_id INTEGER PRIMARY KEY,
            seen_at TEXT NOT NULL
        ) STRICT;
        -- chats.seen_update: forgetting the old ones
        CREATE INDEX updates_age ON updates (seen_at);

        CREATE TABLE alerts (
            alert_id INTEGER PRIMARY KEY AUTOINCREMENT,
            chat_id INTEGER NOT NULL REFERENCES chats ON UPDATE CASCADE ON DELETE CASCADE,
            number INTEGER NOT NULL,
            owner_id INTEGER NOT NULL,
            rule TEXT NOT NULL,       -- canonical text
            rule_json TEXT NOT NULL,
            life TEXT NOT NULL DEFAULT 'active' CHECK (life IN ('active', 'paused', 'expired', 'done')),
            reason TEXT NOT NULL DEFAULT '',
            created_at TEXT NOT NULL,
            created_session TEXT,
            UNIQUE (chat_id, number)
        ) STRICT;
        -- alerts.active_alerts: every judging
        CREATE INDEX alerts_active ON alerts (alert_id) WHERE life = 'active';

        -- The primary key serves current_state and state_before: newest session of one alert.
        CREATE TABLE alert_states (
            alert_id INTEGER NOT NULL REFERENCES alerts ON DELETE CASCADE,
            session TEXT NOT NULL,
            state TEXT NOT NULL,
            PRIMARY KEY (alert_id, session)
        ) STRICT, WITHOUT ROWID;

        -- The UNIQUE index serves events and fires_since: one alert's, by session.
        CREATE TABLE alert_events (
            event_id INTEGER PRIMARY KEY,
            alert_id INTEGER NOT NULL REFERENCES alerts ON DELETE CASCADE,
            session TEXT NOT NULL,
            transition TEXT NOT NULL,
            revision INTEGER NOT NULL DEFAULT 0,
            value REAL,
            threshold REAL,
            detail TEXT NOT NULL DEFAULT '{}',
            created_at TEXT NOT NULL,
            UNIQUE (alert_id, session, transition, revision)
        ) STRICT;

        CREATE TABLE outbox (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            chat_id INTEGER NOT NULL,
            thread_id INTEGER,
            kind TEXT NOT NULL CHECK (kind IN ('reply', 'alert', 'notice', 'summary')),
            dedup TEXT NOT NULL UNIQUE,
            payload TEXT NOT NULL,
            photo BLOB,
            status TEXT NOT NULL DEFAULT 'queued'
                CHECK (status IN ('queued', 'sending', 'sent', 'waiting', 'ambiguous', 'dead')),
            not_before TEXT NOT NULL,
            attempts INTEGER NOT NULL DEFAULT 0,
            unknown INTEGER NOT NULL DEFAULT 0,
            message_id INTEGER,
            reason TEXT NOT NULL DEFAULT '',
            created_at TEXT NOT NULL,
            updated_at TEXT NOT NULL
        ) STRICT;
        -- outbox.claim: walks what waits to be sent in the order of sending, stops at its limit
        CREATE INDEX outbox_ready
            ON outbox (CASE kind WHEN 'reply' THEN 0 WHEN 'alert' THEN 1 WHEN 'notice' THEN 2 ELSE 3 END, id)
            WHERE status IN ('queued', 'waiting');
        -- outbox.recover, requeue_ambiguous, pending: rows of one status
        CREATE INDEX outbox_status ON outbox (status);
        -- outbox.prune: the oldest finished rows
        CREATE INDEX outbox_finished ON outbox (updated_at) WHERE status IN ('sent', 'dead');
        -- chats.migrate_chat: one chat's rows
        CREATE INDEX outbox_chat ON outbox (chat_id);

        CREATE TABLE halts (
            chat_id INTEGER PRIMARY KEY,  -- 0: all chats
            until TEXT NOT NULL
        ) STRICT;
        """
    )


@MIGRATIONS()
def m003_readings(db: sqlite_utils.Database) -> None:
    """When each row was said, and which rows are vintages."""
    add_readings(db)


@MIGRATIONS()
def m004_life(db: sqlite_utils.Database) -> None:
    """How long alerts live and when chats are left in peace; what was not told yet; outages."""
    add_life(db)


@MIGRATIONS()
def m005_access(db: sqlite_utils.Database) -> None:
    """Who asked to be let in, and more settings of a chat."""
    add_access(db)


@MIGRATIONS()
def m006_standing(db: sqlite_utils.Database) -> None:
    """Dropped sessions, pauses and answers of each source."""
    add_standing(db)


@MIGRATIONS()
def m007_splits_seen(db: sqlite_utils.Database) -> None:
    """Which splits an alert's levels allow for."""
    add_splits_seen(db)


@MIGRATIONS()
def m008_withdrawn_splits(db: sqlite_utils.Database) -> None:
    """Splits that their source took back."""
    let_splits_go(db)


NAMES = frozenset(migration.name for migration in MIGRATIONS.pending(sqlite_utils.Database(memory=True)))
