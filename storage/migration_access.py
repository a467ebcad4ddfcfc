"""The work of migration m005: like any migration, it is never changed once it was released."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite_utils


def add_access(db: sqlite_utils.Database) -> None:
    """Who asked to be let in and what the owner decided, and what a chat may set for itself."""
    db.executescript(
        """
        CREATE TABLE access (
            chat_id INTEGER PRIMARY KEY,  -- a person's private chat, so the person's id; or a group's
            title TEXT NOT NULL DEFAULT '',
            status TEXT NOT NULL CHECK (status IN ('asked', 'approved', 'rejected')),
            asked_at TEXT NOT NULL,
            decided_at TEXT
        ) STRICT;
        -- access.waiting and access.listed: those of one status, the longest waiting first
        CREATE INDEX access_status ON access (status, asked_at);

        -- NULL, in each of these: what the configuration or the program says.
        ALTER TABLE chats ADD COLUMN returns TEXT CHECK (returns IN ('price', 'total'));
        ALTER TABLE chats ADD COLUMN theme TEXT;
        ALTER TABLE chats ADD COLUMN numbers TEXT;
        ALTER TABLE chats ADD COLUMN weekdays INTEGER NOT NULL DEFAULT 0 CHECK (weekdays IN (0, 1));
        """
    )
