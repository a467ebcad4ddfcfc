"""The work of migration m006: like any migration, it is never changed once it was released."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite_utils


def add_standing(db: sqlite_utils.Database) -> None:
    """What else is known of how a source stands with a subject."""
    for column in (
        "missing TEXT NOT NULL DEFAULT ''",  # dropped sessions, blanks between
        "rests_until TEXT",  # this subject alone is left until then
        "payload TEXT",  # hash of the last raw answer
        "payload_since TEXT",  # the session after which that answer first came
    ):
        db.execute(f"ALTER TABLE sources ADD COLUMN {column}")
