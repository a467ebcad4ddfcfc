"""Live boards: the message in each chat that is edited when what it shows changes."""

import msgspec
import sqlite_utils

from storage.records import select_as


class Pin(msgspec.Struct, frozen=True):
    """A chat's board.

    message_id  Telegram's, None for a message that was deleted
    shown       digest of its text
    mark        of the chat's settings and alerts: another one when any of them has changed
    """

    chat_id: int
    message_id: int | None
    shown: str
    mark: str = ""


def save_pin(db: sqlite_utils.Database, chat_id: int, message_id: int | None, shown: str) -> None:
    """Store a chat's board in place of an earlier one."""
    sql = "INSERT OR REPLACE INTO pins (chat_id, message_id, shown) VALUES (?, ?, ?)"
    db.execute(sql, (chat_id, message_id, shown))


def get_pins(db: sqlite_utils.Database, chat_id: int | None = None) -> list[Pin]:
    """Returns a chat's board, or those of all chats to which messages are sent."""
    sql = """
        SELECT pins.*, json_array(returns, numbers, (
            SELECT json_group_array(json_array(rule_json, life, snoozed_until, (
                SELECT max(session) FROM alert_states WHERE alert_states.alert_id = alerts.alert_id)))
            FROM alerts WHERE alerts.chat_id = pins.chat_id
        )) AS mark
        FROM pins JOIN chats USING (chat_id)
        WHERE CASE WHEN :chat IS NULL THEN status = 'active' AND message_id IS NOT NULL
              ELSE chat_id = :chat END
        ORDER BY chat_id
    """
    return select_as(db, Pin, sql, {"chat": chat_id})


def update_pin(db: sqlite_utils.Database, pin: Pin, message_id: int | None, shown: str) -> None:
    """Store what a board shows now, unless it was replaced or removed meanwhile."""
    sql = "UPDATE pins SET message_id = ?, shown = ? WHERE chat_id = ? AND message_id IS ?"
    db.execute(sql, (message_id, shown, pin.chat_id, pin.message_id))


def drop_pin(db: sqlite_utils.Database, chat_id: int) -> None:
    """Forget a chat's board."""
    db.execute("DELETE FROM pins WHERE chat_id = ?", (chat_id,))
