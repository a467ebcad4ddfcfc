"""Splits that became known after the levels of an alert were set."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING

import msgspec

from storage.rows import Row, select, select_one

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import sqlite_utils


class SplitChange(msgspec.Struct, frozen=True):
    """A split that an alert's levels do not allow for, or, if `withdrawn`, one that they wrongly allow for.

    session  the first in the new shares
    ratio    new shares for an old one; of a corrected split the new ratio by the old one
    """

    ticker: str
    session: dt.date
    ratio: float
    withdrawn: bool = False

    @property
    def factor(self) -> float:
        """What a count of shares is multiplied by."""
        return 1 / self.ratio if self.withdrawn else self.ratio


def newest(db: sqlite_utils.Database) -> int:
    """The id of the newest row of splits, 0 without any."""
    row = select_one(db, "SELECT coalesce(max(id), 0) AS newest FROM splits")
    return int(row["newest"]) if row else 0


def unseen(db: sqlite_utils.Database) -> dict[int, list[SplitChange]]:
    """By alert id, the changes since its levels were set, in order of sessions.

    Where sources differ the one that reported first counts.
    """
    alerts = select(
        db,
        """
        SELECT alert_id, splits_seen, coalesce(scaled_session, substr(created_at, 1, 10)) AS since
        FROM alerts WHERE splits_seen < ? ORDER BY alert_id
        """,
        (newest(db),),
    )
    if not alerts:
        return {}
    rows = select(
        db, "SELECT id, ticker, session, source, ratio FROM splits WHERE source <> 'sample' ORDER BY id"
    )
    current = _in_force(rows)
    changes: dict[int, list[SplitChange]] = {}
    for alert in alerts:
        seen = _in_force(row for row in rows if row["id"] <= alert["splits_seen"])
        since = dt.date.fromisoformat(alert["since"])
        of_alert = [change for change in _changes(seen, current) if change.session > since]
        if of_alert:
            changes[alert["alert_id"]] = of_alert
    return changes


def _in_force(rows: Iterable[Row]) -> dict[tuple[str, str], float]:
    """Ratio by (session, ticker) after rows in the order in which they came."""
    by_source: dict[tuple[str, str], dict[str, float | None]] = {}
    for row in rows:
        by_source.setdefault((row["session"], row["ticker"]), {})[row["source"]] = row["ratio"]
    ratios = {key: [ratio for ratio in sources.values() if ratio] for key, sources in by_source.items()}
    return {key: in_order[0] for key, in_order in ratios.items() if in_order}


def _changes(
    seen: Mapping[tuple[str, str], float], current: Mapping[tuple[str, str], float]
) -> Iterator[SplitChange]:
    for session, ticker in sorted({*seen, *current}):
        before, after = seen.get((session, ticker)), current.get((session, ticker))
        if before == after:
            continue
        ratio = (before or 1.0) if after is None else after / (before or 1.0)
        yield SplitChange(ticker, dt.date.fromisoformat(session), ratio, withdrawn=after is None)


def mark_all_seen(db: sqlite_utils.Database, *, but: Iterable[int] = ()) -> None:
    """Note that the levels of all alerts, except those with the ids `but`, allow for all splits."""
    last = newest(db)
    db.execute(
        """
        UPDATE alerts SET splits_seen = ?
        WHERE splits_seen < ? AND alert_id NOT IN (SELECT value FROM json_each(?))
        """,
        (last, last, json.dumps(list(but))),
    )


def mark_seen(db: sqlite_utils.Database, alert_id: int) -> None:
    """Note that the levels of an alert allow for all splits."""
    db.execute("UPDATE alerts SET splits_seen = ? WHERE alert_id = ?", (newest(db), alert_id))
