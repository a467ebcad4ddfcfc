"""Splits that became known after an alert's levels were set."""

from __future__ import annotations

from typing import TYPE_CHECKING

from storage.rows import Row, select, select_one

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import sqlite_utils


def newest(db: sqlite_utils.Database) -> int:
    """The number of the last row that tells of a split, 0 without any."""
    row = select_one(db, "SELECT coalesce(max(id), 0) AS newest FROM splits")
    return int(row["newest"]) if row else 0


def unseen(db: sqlite_utils.Database) -> dict[int, list[Row]]:
    """By alert, the splits (ticker, session, ratio) since its levels were set that it does not allow for.

    Where sources differ the one that told first counts. `withdrawn` is true of one that the alert allows
    for and that no source tells of any more; a ratio that was corrected is the new one by the old one.
    """
    last = newest(db)
    alerts = select(
        db,
        """
        SELECT alert_id, splits_seen, coalesce(scaled_session, substr(created_at, 1, 10)) AS since
        FROM alerts WHERE splits_seen < ? ORDER BY alert_id
        """,
        (last,),
    )
    if not alerts:
        return {}
    told = select(
        db, "SELECT id, ticker, session, source, ratio FROM splits WHERE source <> 'sample' ORDER BY id"
    )
    now = _in_force(told)
    found: dict[int, list[Row]] = {}
    for alert in alerts:
        known = _in_force(row for row in told if row["id"] <= alert["splits_seen"])
        rows = [row for row in _changes(known, now) if row["session"] > alert["since"]]
        if rows:
            found[alert["alert_id"]] = rows
    return found


def _in_force(told: Iterable[Row]) -> dict[tuple[str, str], float]:
    """Ratio by (session, ticker) after rows in the order in which they came."""
    by_source: dict[tuple[str, str], dict[str, float | None]] = {}
    for row in told:
        by_source.setdefault((row["session"], row["ticker"]), {})[row["source"]] = row["ratio"]
    ratios = {key: [each for each in sources.values() if each] for key, sources in by_source.items()}
    return {key: those[0] for key, those in ratios.items() if those}


def _changes(known: Mapping[tuple[str, str], float], now: Mapping[tuple[str, str], float]) -> Iterator[Row]:
    """What became of the splits, in order of sessions."""
    for session, ticker in sorted({*known, *now}):
        before, after = known.get((session, ticker)), now.get((session, ticker))
        if before == after:
            continue
        ratio = before if after is None else after / (before or 1.0)
        yield {"ticker": ticker, "session": session, "ratio": ratio, "withdrawn": after is None}


def mark_seen(db: sqlite_utils.Database) -> int:
    """All alerts allow for all splits that are known; the number of the last row that tells of one."""
    last = newest(db)
    db.execute("UPDATE alerts SET splits_seen = ? WHERE splits_seen < ?", (last, last))
    return last
