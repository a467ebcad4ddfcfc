"""Restatements: figures that a source has replaced by others, the newest first.

A change counts from RESTATED on. No restatements are: a figure given where there was none, a
provisional bar made final, and what a split does to the figures of before it.
"""

from __future__ import annotations

import datetime as dt
from contextlib import closing
from dataclasses import dataclass
from itertools import combinations
from math import prod
from typing import TYPE_CHECKING

from storage.kinds import KINDS
from storage.rows import instant, select

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import sqlite_utils

    from storage.kinds import Kind
    from storage.rows import Moment, Row

RESTATED = 1e-4  # relative: 1 basis point
# What a source makes of a figure at a split: per-share figures are divided by its ratio.
_POWERS = {"close": -1, "amount": -1, "nav": -1, "shares": 1}
# Rebased figures are rounded again, distributions to 0.001.
_ROUNDING, _SMALLEST = 1e-3, 1e-3
_LATEST_REBASING = dt.timedelta(days=7)  # after a split; by then sources have rewritten their history


@dataclass(frozen=True)
class Restatement:
    """One figure that was replaced; `new` and `change` are None where it was withdrawn."""

    kind: str
    key: Mapping[str, str]  # the kind's key columns: ticker, session or ex_date, ...
    column: str  # "close"
    old: float
    new: float | None
    source: str
    observed_at: str  # of the new value

    @property
    def change(self) -> float | None:
        """Relative change, 0.01 for one percent more; None also where the old figure is zero."""
        return None if self.new is None or not self.old else self.new / self.old - 1

    def __str__(self) -> str:
        """In words: "IWM 2020-12-10 close 190 -> 190.19 (+10.0 bp)", or "... withdrawn"."""
        what = " ".join((*self.key.values(), self.column))
        if self.new is None:
            return f"{what} {_shown(self.old)} withdrawn"
        moved = "" if self.change is None else f" ({self.change * 1e4:+,.1f} bp)"
        return f"{what} {_shown(self.old)} -> {_shown(self.new)}{moved}"


def _shown(figure: float) -> str:
    """Six digits, which show a basis point without the dust of binary fractions; counts in whole."""
    return f"{figure:,.6g}" if abs(figure) < 1e6 else f"{figure:,.10g}"


def recent(db: sqlite_utils.Database, *, since: Moment, limit: int = 100) -> list[Restatement]:
    """The last `limit` restatements of any kind, observed at or after `since`, newest first."""
    found = [each for kind in KINDS for each in restatements(db, kind, since=since, limit=limit)]
    return sorted(found, key=lambda each: each.observed_at, reverse=True)[:limit]


def restatements(
    db: sqlite_utils.Database, kind: str, *, since: Moment | None = None, limit: int = 20
) -> list[Restatement]:
    """The last `limit` restatements of a kind, observed at or after `since`, newest first."""
    shape = KINDS[kind]
    splits = _splits(db)
    found: list[Restatement] = []
    for pair in _pairs(db, shape, None if since is None else instant(since)):
        for column in shape.figures:
            old, new = pair[f"old_{column}"], pair[column]
            if _differ(old, new) and not _is_rebased(shape, column, pair, splits):
                key = {name: pair[name] for name in shape.key}
                found.append(Restatement(kind, key, column, old, new, pair["source"], pair["observed_at"]))
        if len(found) >= limit:
            break
    return found[:limit]


def _splits(db: sqlite_utils.Database) -> list[Row]:
    """Splits as ever told, by what they multiply a share count with; one taken back divides it again.

    `on` is the day from which its source rewrites its history.
    """
    told = select(
        db,
        """
        SELECT ticker, session, ratio, observed_at, lag(ratio) OVER (
            PARTITION BY ticker, session, source ORDER BY observed_at, id
        ) AS before FROM splits WHERE vintage > 0
        """,
    )
    done = {(row["ticker"], row["session"], row["ratio"], row["session"]) for row in told if row["ratio"]}
    done |= {
        (row["ticker"], row["session"], 1 / row["before"], row["observed_at"][:10])
        for row in told
        if row["before"] and row["ratio"] is None
    }
    return [dict(zip(("ticker", "session", "ratio", "on"), each, strict=True)) for each in sorted(done)]


def _pairs(db: sqlite_utils.Database, kind: Kind, since: str | None) -> Iterator[Row]:
    """Vintages with a figure unlike that of the one before, which is named old_...; newest first.

    Walks the index {table}_revisions, so what is not asked for is not read.
    """
    names = (*kind.whole_key, "observed_at", "old_observed_at", *kind.figures)
    columns = [f"new.{name}" for name in (*kind.whole_key, "observed_at")]
    columns += ["old.observed_at", *(f"new.{name}" for name in kind.figures)]
    columns += [f"old.{name}" for name in kind.figures]
    names += tuple(f"old_{name}" for name in kind.figures)
    same_key = " AND ".join(f"before.{name} = new.{name}" for name in kind.whole_key)
    differs = " OR ".join(
        f"(old.{name} IS NOT NULL AND (new.{name} IS NULL"
        f" OR abs(new.{name} - old.{name}) > {RESTATED} * abs(old.{name})))"
        for name in kind.figures
    )
    final = "AND old.provisional = 0" if "provisional" in kind.values else ""
    bound = "AND new.observed_at >= :since" if since else ""
    sql = f"""
        SELECT {", ".join(columns)} FROM {kind.table} AS new INDEXED BY {kind.table}_revisions
        JOIN {kind.table} AS old ON old.id = (
            SELECT id FROM {kind.table} AS before
            WHERE {same_key} AND vintage > 0 AND (observed_at, id) < (new.observed_at, new.id)
            ORDER BY observed_at DESC, id DESC LIMIT 1
        )
        WHERE new.vintage = 2 {bound} {final} AND ({differs})
        ORDER BY new.observed_at DESC, new.id DESC
    """  # noqa: S608 - names from KINDS only
    with closing(db.execute(sql, {"since": since} if since else {})) as cursor:
        for values in cursor:
            yield dict(zip(names, values, strict=True))


def _differ(old: float | None, new: float | None) -> bool:
    """Whether a figure was withdrawn or changed by more than RESTATED."""
    if old is None or new is None:
        return old is not None
    return abs(new - old) > RESTATED * abs(old)


def _is_rebased(kind: Kind, column: str, pair: Row, splits: Sequence[Row]) -> bool:
    """Whether splits between two vintages explain the change, up to rounding.

    Sources rewrite their history at a split or some days later; each split, or several at once.
    """
    power = _POWERS.get(column)
    old, new = pair[f"old_{column}"], pair[column]
    if power is None or new is None:
        return False
    ratios = [
        split["ratio"] ** power
        for split in splits
        if split["ticker"] == pair["ticker"]
        and split["session"] > pair[kind.session]
        and split["on"] <= pair["observed_at"][:10]
        and _day(pair["old_observed_at"]) <= _day(split["on"]) + _LATEST_REBASING
    ]
    factors = (prod(some) for count in range(1, len(ratios) + 1) for some in combinations(ratios, count))
    return any(abs(new - old * factor) <= max(_ROUNDING * abs(new), _SMALLEST) for factor in factors)


def _day(text: str) -> dt.date:
    return dt.date.fromisoformat(text[:10])
