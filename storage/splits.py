"""Splits that became known after an alert's levels were set."""

from __future__ import annotations

from typing import TYPE_CHECKING

from storage.rows import Row, select, select_one

if TYPE_CHECKING:
    import sqlite_utils

# Known to the alert: by number of the row, whichever source told of it and however often.
_UNSEEN = """
    FROM splits JOIN alerts ON splits.id > alerts.splits_seen
    WHERE splits.session > coalesce(alerts.scaled_session, substr(alerts.created_at, 1, 10))
    AND splits.source <> 'sample'
    AND NOT EXISTS (
        SELECT 1 FROM splits AS earlier WHERE earlier.ticker = splits.ticker
        AND earlier.session = splits.session AND earlier.id <= alerts.splits_seen
    )
"""


def newest(db: sqlite_utils.Database) -> int:
    """The number of the last row that tells of a split, 0 without any."""
    row = select_one(db, "SELECT coalesce(max(id), 0) AS newest FROM splits")
    return int(row["newest"]) if row else 0


def unseen(db: sqlite_utils.Database) -> dict[int, list[Row]]:
    """By alert, the splits (ticker, session, ratio) since its levels were set that it does not allow for.

    Where sources differ the one that told first counts.
    """
    last = newest(db)
    if select_one(db, "SELECT 1 FROM alerts WHERE splits_seen < ? LIMIT 1", (last,)) is None:
        return {}
    rows = select(
        db,
        f"""
        SELECT alert_id, splits.ticker, splits.session, ratio, min(splits.id) AS id {_UNSEEN}
        GROUP BY alert_id, splits.ticker, splits.session ORDER BY alert_id, splits.session, splits.ticker
        """,
    )
    found: dict[int, list[Row]] = {}
    for row in rows:
        found.setdefault(row["alert_id"], []).append(row)
    return found


def mark_seen(db: sqlite_utils.Database) -> None:
    """All alerts allow for all splits that are known."""
    last = newest(db)
    db.execute("UPDATE alerts SET splits_seen = ? WHERE splits_seen < ?", (last, last))
