"""The work of migration m008: like any migration, it is never changed once it was released."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite_utils


def let_splits_go(db: sqlite_utils.Database) -> None:
    """A ratio may be NULL: a split that its source took back. The table is made anew, row by row."""
    db.executescript(
        """
        CREATE TABLE splits_anew (
            id INTEGER PRIMARY KEY,
            ticker TEXT NOT NULL,
            session TEXT NOT NULL,
            ratio REAL,  -- NULL: withdrawn by the source
            source TEXT NOT NULL,
            observed_at TEXT NOT NULL,
            vintage INTEGER NOT NULL DEFAULT 1 CHECK (vintage IN (0, 1, 2))
        ) STRICT;
        INSERT INTO splits_anew SELECT id, ticker, session, ratio, source, observed_at, vintage FROM splits;
        DROP TABLE splits;
        ALTER TABLE splits_anew RENAME TO splits;
        CREATE INDEX splits_vintages ON splits (ticker, session, source, observed_at DESC, id DESC);
        CREATE INDEX splits_revisions ON splits (observed_at DESC, id DESC) WHERE vintage = 2;
        """
    )
