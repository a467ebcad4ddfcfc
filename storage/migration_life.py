"""The work of migration m004: like any migration, it is never changed once it was released."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite_utils


def add_life(db: sqlite_utils.Database) -> None:
    """Expiry, snooze and topics of alerts, quiet hours of chats, held events, outages of the sources.

    An alert made before ends a year after it was made, or on the last day that its rule names.
    """
    db.executescript(
        """
        ALTER TABLE alerts ADD COLUMN expires_on TEXT;     -- local date on which it ends; NULL: never
        ALTER TABLE alerts ADD COLUMN expiry_told TEXT;    -- the expires_on that was announced
        ALTER TABLE alerts ADD COLUMN snoozed_until TEXT;  -- instant; its messages wait until then
        ALTER TABLE alerts ADD COLUMN thread_id INTEGER;   -- the forum topic it was made in
        ALTER TABLE alerts ADD COLUMN scaled_session TEXT; -- its levels are in the shares of this session
        UPDATE alerts SET
            expires_on = coalesce(
                CASE WHEN json_valid(rule_json) THEN json_extract(rule_json, '$.until') END,
                date(created_at, '+1 year')
            ),
            scaled_session = created_session;
        -- alerts.expiring: every tick
        CREATE INDEX alerts_expiring ON alerts (expires_on) WHERE life IN ('active', 'paused');

        ALTER TABLE alert_events ADD COLUMN held TEXT CHECK (held IN ('snooze', 'quiet'));
        ALTER TABLE alert_events ADD COLUMN message INTEGER;  -- the outbox row that tells it
        -- held.waiting: every tick, over the few events that wait to be told
        CREATE INDEX alert_events_held ON alert_events (alert_id) WHERE held IS NOT NULL;
        -- alerts.ended_lately: what happened in the sessions that can be revised
        CREATE INDEX alert_events_session ON alert_events (session);

        ALTER TABLE chats ADD COLUMN quiet_from TEXT;  -- 'HH:MM' local
        ALTER TABLE chats ADD COLUMN quiet_to TEXT CHECK ((quiet_from IS NULL) = (quiet_to IS NULL));

        CREATE TABLE outages (
            part TEXT NOT NULL,     -- of the Market: prices, facts:IWM, ...
            session TEXT NOT NULL,  -- the first that was missing
            began TEXT NOT NULL,
            back_at TEXT,
            PRIMARY KEY (part, session)
        ) STRICT, WITHOUT ROWID;

        CREATE TABLE outage_chats (  -- who was told of an outage
            part TEXT NOT NULL,
            session TEXT NOT NULL,
            chat_id INTEGER NOT NULL REFERENCES chats ON UPDATE CASCADE ON DELETE CASCADE,
            PRIMARY KEY (part, session, chat_id),
            FOREIGN KEY (part, session) REFERENCES outages ON DELETE CASCADE
        ) STRICT, WITHOUT ROWID;
        -- chats.migrate_chat: one chat's rows
        CREATE INDEX outage_chats_chat ON outage_chats (chat_id);
        """
    )
