"""The work of migration m003: like any migration, it is never changed once it was released."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite_utils

_KEYS = {
    "bars": "ticker, session",
    "distributions": "ticker, ex_date",
    "splits": "ticker, session",
    "fund_facts": "ticker, session",
    "multiples": "ticker, session, metric, convention, basis",
    "sector_weights": "ticker, session, level, sector",
}


def add_readings(db: sqlite_utils.Database) -> None:
    """The table `readings` and the column `vintage`, whose use storage/vintages.py tells.

    Rows stored before were said once, at their own instant, as far as is known; all are vintages.
    """
    db.execute(
        """
        CREATE TABLE readings (  -- rows first_id to last_id of a kind were said at observed_at
            kind TEXT NOT NULL,
            source TEXT NOT NULL,
            observed_at TEXT NOT NULL,
            first_id INTEGER NOT NULL,
            last_id INTEGER NOT NULL,
            PRIMARY KEY (kind, source, observed_at, first_id, last_id)
        ) STRICT, WITHOUT ROWID
        """
    )
    for table, key in _KEYS.items():
        db.executescript(
            f"""
            ALTER TABLE {table}
                ADD COLUMN vintage INTEGER NOT NULL DEFAULT 1 CHECK (vintage IN (0, 1, 2));
            UPDATE {table} SET vintage = 2 WHERE id IN (
                SELECT id FROM (
                    SELECT id, row_number() OVER (PARTITION BY {key}, source ORDER BY observed_at, id) AS age
                    FROM {table}
                ) WHERE age > 1
            );
            INSERT INTO readings SELECT '{table}', source, observed_at, min(id), max(id) FROM (
                SELECT id, source, observed_at,
                    id - row_number() OVER (PARTITION BY source, observed_at ORDER BY id) AS run
                FROM {table}
            ) GROUP BY source, observed_at, run;
            -- restatements: what replaced an earlier vintage, the newest first
            CREATE INDEX {table}_revisions ON {table} (observed_at DESC, id DESC) WHERE vintage = 2;
            """  # noqa: S608 - names from _KEYS only
        )
