"""The tables, as migrations that are only ever added to; never change one that was released.

Instants are text 'YYYY-MM-DDTHH:MM:SSZ', sessions and dates 'YYYY-MM-DD'. All pending migrations
run in one transaction with foreign keys off (storage/connection.py), so none may be transactional=False.
"""

from __future__ import annotations

import sqlite_utils
from sqlite_utils.migrations import Migrations

from storage.migration_access import add_access
from storage.migration_chats import add_chats
from storage.migration_life import add_life
from storage.migration_observations import add_observations
from storage.migration_readings import add_readings
from storage.migration_splits import add_splits_seen
from storage.migration_standing import add_standing
from storage.migration_withdrawal import let_splits_go

MIGRATIONS = Migrations("storage")


@MIGRATIONS()
def m001_observations(db: sqlite_utils.Database) -> None:
    """What the sources said, and how each source is doing."""
    add_observations(db)


@MIGRATIONS()
def m002_chats_and_alerts(db: sqlite_utils.Database) -> None:
    """Chats, their alerts, and the outbox."""
    add_chats(db)


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
