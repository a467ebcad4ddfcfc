"""The work of migration m001: like any migration, it is never changed once it was released."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite_utils


def add_observations(db: sqlite_utils.Database) -> None:
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
