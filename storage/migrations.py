"""The tables, as migrations: one is added for each change, and one that was released is never changed.

All pending migrations run in one transaction with foreign keys off (database.py), so none may be transactional=False.

Every value is stored twice, in its table and in an index of it. SQLite's integrity check compares the two, so that it
notices a flipped bit inside a number, a date or a rule too, with which the file stays well-formed.
"""

from contextlib import closing
from functools import cache
from importlib.resources import files

import sqlite_utils
from sqlite_utils.migrations import Migrations

MIGRATIONS = Migrations("storage")
# The first migration of databases from before the first release, which cannot be brought up to date.
UNRELEASED = "m001_observations"


@MIGRATIONS()
def m001_schema(db: sqlite_utils.Database) -> None:
    """The schema of the first release, in schema.sql.

    Split here, at the ends of lines, because sqlite-utils' executescript takes ten times as long.
    """
    schema = files("storage").joinpath("schema.sql").read_text(encoding="utf-8")
    for statement in filter(str.strip, schema.split(";\n")):
        db.execute(statement)
    for table in filter(lambda table: not table.name.startswith(("_", "sqlite_")), db.tables):
        # The last column first, so that no query takes it for an index of its key.
        names = [column.name for column in table.columns][::-1]
        for number, copied in enumerate(_COPIED.get(table.name, (", ".join(names),)), start=1):
            db.execute(f"CREATE INDEX {table.name}_copy{number} ON {table.name} ({copied})")


# What the copies hold of a table whose other indexes hold the rest. What never changes of an event or of the
# outbox is apart from what each attempt changes.
_COPIED = {
    **dict.fromkeys(
        ("bars", "distributions", "splits", "fund_facts", "multiples", "sector_weights", "company_sums"), ()
    ),
    "updates": (),
    "alert_changes": (),
    "alert_events": ("detail, threshold, value, created_at", "message, deferred"),
    "outbox": ("payload, thread_id, kind, created_at", "reason, message_id, unknown, attempts, not_before, updated_at"),
}

NAMES = frozenset(migration.name for migration in MIGRATIONS.pending(sqlite_utils.Database(memory=True)))


def changed_schema(db: sqlite_utils.Database) -> list[str]:
    """Returns a sentence for each table or index that is not as the applied migrations make it."""
    applied = {migration.name for migration in MIGRATIONS.applied(db)}
    changed = (_schema_of(NAMES) if applied == NAMES else set()) - _schema(db)
    return [f"The definition of {name} has changed" for name, _ in sorted(changed)]


def _schema(db: sqlite_utils.Database) -> set[tuple[str, str]]:
    sql = "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name <> ?"
    return set(db.execute(sql, (MIGRATIONS.migrations_table,)).fetchall())


@cache
def _schema_of(_names: frozenset[str]) -> set[tuple[str, str]]:
    with closing(sqlite_utils.Database(memory=True)) as db:
        MIGRATIONS.apply(db)
        return _schema(db)
