"""The work of migration m002: like any migration, it is never changed once it was released."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite_utils


def add_chats(db: sqlite_utils.Database) -> None:
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
