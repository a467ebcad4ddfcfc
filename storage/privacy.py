"""Everything stored about one chat, to be given or to be gone; which tables that is, the schema says."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from storage.rows import change, select

if TYPE_CHECKING:
    import sqlite_utils

# A row of any table as it is exported: values by column.
ExportedRow: TypeAlias = dict[str, str | int | float | None]

_OWN = "chat_id = :chat"
_OF_ALERTS = "alert_id IN (SELECT alert_id FROM alerts WHERE chat_id = :chat)"


def places_of_chat(db: sqlite_utils.Database) -> dict[str, str]:
    """Table -> which of its rows are about the chat :chat; those that hang on others come first.

    A table is about chats when it has a column chat_id, or alert_id, which leads to one.
    """
    conditions: dict[str, str] = {}
    for table in sorted(db.tables, key=lambda table: table.name == "chats"):
        columns = table.columns_dict
        if "chat_id" in columns:
            conditions[table.name] = _OWN
        elif "alert_id" in columns:
            conditions = {table.name: _OF_ALERTS} | conditions
    return conditions


def stored_tables(db: sqlite_utils.Database, chat_id: int) -> dict[str, list[ExportedRow]]:
    """Table -> rows about the chat; tables without any are left out, pictures are replaced by their size."""
    tables = {table: _rows(db, table, where, chat_id) for table, where in places_of_chat(db).items()}
    return {table: rows for table, rows in sorted(tables.items()) if rows}


def _rows(db: sqlite_utils.Database, table: str, where: str, chat_id: int) -> list[ExportedRow]:
    rows = select(db, f"SELECT * FROM {table} WHERE {where}", {"chat": chat_id})  # noqa: S608 - names of the schema
    return [
        {name: f"{len(value):,} bytes" if isinstance(value, bytes) else value for name, value in row.items()}
        for row in rows
    ]


def forget_chat(db: sqlite_utils.Database, chat_id: int) -> dict[str, int]:
    """Delete all rows about the chat, messages to it and notices that name it included; how many by table.

    Where a person made alerts in groups, which are the groups', their id is taken off.
    """
    removed = {
        table: change(db, f"DELETE FROM {table} WHERE {where}", {"chat": chat_id})  # noqa: S608 - names of the schema
        for table, where in places_of_chat(db).items()
    }
    removed["outbox"] += _forget_mentions(db, chat_id)
    change(db, "UPDATE alerts SET owner_id = 0 WHERE owner_id = ?", (chat_id,))
    return {table: count for table, count in removed.items() if count}


def _forget_mentions(db: sqlite_utils.Database, chat_id: int) -> int:
    """Delete the notices to the owner whose payload names the chat or the person under "names".

    A group about which the owner was not asked yet is forgotten with the question, so that it may ask anew.
    """
    named = "kind = 'notice' AND EXISTS (SELECT 1 FROM json_each(payload, '$.names') WHERE value = :chat)"
    db.execute(
        f"""
        DELETE FROM access WHERE status = 'asked' AND chat_id IN (
            SELECT json_extract(payload, '$.names[0]') FROM outbox WHERE {named} AND status <> 'sent'
        )
        """,  # noqa: S608 - fixed text
        {"chat": chat_id},
    )
    return change(db, f"DELETE FROM outbox WHERE {named}", {"chat": chat_id})  # noqa: S608 - fixed text
