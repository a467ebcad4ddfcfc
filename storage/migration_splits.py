"""The work of a migration: like any migration, it is never changed once it was released."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite_utils


def add_splits_seen(db: sqlite_utils.Database) -> None:
    """Up to which row of `splits` an alert's levels allow for; those of before allow for all there are."""
    db.executescript(
        """
        ALTER TABLE alerts ADD COLUMN splits_seen INTEGER NOT NULL DEFAULT 0;
        UPDATE alerts SET splits_seen = (SELECT coalesce(max(id), 0) FROM splits);
        """
    )
