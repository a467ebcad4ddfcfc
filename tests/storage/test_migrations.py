"""From every schema, with rows in every table, to the newest; and killed on the way."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import sqlite_utils

from storage.database import integrity_check, open_database
from storage.migrations import MIGRATIONS, NAMES
from tests.storage.kills import LATER, LATER_NAMES

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
ORDER = [migration.name for migration in LATER._migrations]
ROWS = 2  # in each table
SCAFFOLD = {"_sqlite_migrations", "sqlite_sequence"}


def database_at(path: Path, count: int) -> sqlite_utils.Database:
    """A database of the schema after so many migrations, with rows in every table."""
    db = sqlite_utils.Database(path, strict=True)
    LATER.apply(db, stop_before=ORDER[count:])
    for table in in_order_of_references(db):
        for number in range(1, ROWS + 1):
            db.table(table).insert(row_of(db, table, number))
    db.conn.commit()
    return db


def in_order_of_references(db: sqlite_utils.Database) -> list[str]:
    """Tables, each after those that it refers to."""
    refers = {
        table.name: {row[2] for row in db.execute(f"PRAGMA foreign_key_list({table.name})").fetchall()}
        for table in db.tables
        if table.name not in SCAFFOLD
    }
    done: list[str] = []
    while len(done) < len(refers):
        done += sorted(name for name, others in refers.items() if name not in done and others <= set(done))
    return done


def row_of(db: sqlite_utils.Database, table: str, number: int) -> dict[str, Any]:
    """A row that satisfies the table: its keys count up, references lead to the row of the same number."""
    references = {row[3]: row for row in db.execute(f"PRAGMA foreign_key_list({table})").fetchall()}
    row = {}
    for _, name, kind, _, _, _ in db.execute(f"PRAGMA table_info({table})").fetchall():
        allowed = choices(db.table(table).schema, name)
        if name in references:
            _, place, other, _, column, *_ = references[name]
            row[name] = row_of(db, other, number)[column or db.table(other).pks[place]]
        elif name.endswith("_id") or name == "id":
            row[name] = number
        elif allowed:
            row[name] = allowed[number % len(allowed)]
        else:
            row[name] = plausible(name, kind, number)
    return row


def choices(schema: str, column: str) -> list[Any]:
    """What CHECK (column IN (...)) allows."""
    check = re.search(rf"CHECK \({column} IN \(([^)]*)\)\)", schema)
    values = re.split(r",\s*", check[1]) if check else []
    return [int(value) if value.isdigit() else value.strip("'") for value in values]


def plausible(name: str, kind: str, number: int) -> object:
    """A value of the column's type that reads like what such a column holds."""
    if kind != "TEXT":
        return {"INTEGER": number, "REAL": number + 0.25, "BLOB": bytes([number])}[kind]
    for pattern, value in {
        r"session|.*session|.*_date|.*_on": f"2020-01-{number:02}",
        r"summary_at|quiet_\w+": f"{number:02}:30",
        r"rule_json|state|detail|payload": json.dumps({"number": number}),
        r".*_at|.*until|not_before|began": f"2020-01-{number:02}T00:00:00Z",
    }.items():
        if re.fullmatch(pattern, name):
            return value
    return f"{name} {number}"


def rows_of(db: sqlite_utils.Database, columns: dict[str, list[str]]) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of tables, in the given columns."""
    return {
        table: sorted((tuple(row[name] for name in names) for row in db.table(table).rows), key=repr)
        for table, names in columns.items()
    }


def columns_of(db: sqlite_utils.Database) -> dict[str, list[str]]:
    return {table.name: [column.name for column in table.columns] for table in db.tables if table.name not in SCAFFOLD}


@pytest.mark.parametrize("count", range(1, len(ORDER) + 1), ids=lambda count: ORDER[count - 1])
def test_from_each_schema_every_row_is_kept_in_the_newest(
    path: Path, tmp_path: Path, count: int, later_release: Callable[[], None]
) -> None:
    later_release()
    with database_at(path, count) as older:
        columns = columns_of(older)
        before = rows_of(older, columns)
        assert all(len(rows) == ROWS for rows in before.values())
    with open_database(path) as opened, open_database(tmp_path / "fresh.db") as fresh:
        kept = opened.run_sync(lambda db: rows_of(db, columns), plain=True)
        assert opened.run_sync(integrity_check, plain=True) == []
        schemas = {database.run_sync(lambda db: db.schema, plain=True) for database in (opened, fresh)}
        assert len(schemas) == 1
    for table, rows in before.items():
        assert kept[table] == rows, table


def test_the_names_are_numbered_in_order() -> None:
    for migrations, names in ((MIGRATIONS, NAMES), (LATER, LATER_NAMES)):
        ordered = [migration.name for migration in migrations._migrations]
        assert [name[:4] for name in ordered] == [f"m{number:03}" for number in range(1, len(ordered) + 1)]
        assert frozenset(ordered) == names
        assert all(migration.transactional for migration in migrations._migrations)


@pytest.mark.parametrize("count", range(len(ORDER)), ids=["empty", *ORDER[:-1]])
def test_killed_on_the_way_the_next_start_goes_on(path: Path, tmp_path: Path, count: int) -> None:
    """At some statements; `python -m tests.storage.kills migrate` does it at every one."""
    older = tmp_path / "older.db"
    if count:
        database_at(older, count).close()
    child = [sys.executable, "-m", "tests.storage.kills", "glance", str(path), str(older)]
    done = subprocess.run(child, cwd=ROOT, check=True, capture_output=True, text=True)  # noqa: S603 - our own code
    outcomes = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(outcomes) >= 6
    assert {applied for applied, _, _ in outcomes} == {count, len(ORDER)}  # all of them or none
    assert {(after, sound) for _, after, sound in outcomes} == {(len(ORDER), 1)}


def test_every_value_is_stored_twice(path: Path) -> None:
    with open_database(path) as database:
        schema = database.run_sync(lambda db: {table.name: (table.columns, table.xindexes) for table in db.tables})
    for table, (columns, indexes) in schema.items():
        if table not in SCAFFOLD:
            copied = {column.name for index in indexes if index.name for column in index.columns}
            own_key = {column.name for column in columns if column.is_pk}
            assert {column.name for column in columns} - copied - own_key == set(), table
