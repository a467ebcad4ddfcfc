"""Restatements: figures that a source has replaced by others, the newest first.

A change counts from RESTATED on. Not restatements are a figure given where there was none, a provisional
bar made final, and whatever changes when a source rewrites its history at a split.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from storage.kinds import KINDS
from storage.rows import instant

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import sqlite_utils

    from storage.kinds import Kind
    from storage.rows import Moment, Row

RESTATED = 1e-4  # relative: 1 basis point
# Days after a split by which sources have rewritten their history in new shares.
REBASING_DAYS = 7
_REBASED = {"bars", "distributions", "fund_facts"}  # kinds with figures a share


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
    newest = [change for kind in KINDS for change in restatements(db, kind, since=since, limit=limit)]
    return sorted(newest, key=lambda change: change.observed_at, reverse=True)[:limit]


def restatements(
    db: sqlite_utils.Database, kind: str, *, since: Moment | None = None, limit: int = 20
) -> list[Restatement]:
    """The last `limit` restatements of a kind, observed at or after `since`, newest first."""
    shape = KINDS[kind]
    newest: list[Restatement] = []
    for pair in _pairs(db, shape, None if since is None else instant(since)):
        for column in shape.figures:
            old, new = pair[f"old_{column}"], pair[column]
            if _differ(old, new):
                key = {name: pair[name] for name in shape.key}
                newest.append(Restatement(kind, key, column, old, new, pair["source"], pair["observed_at"]))
        if len(newest) >= limit:
            break
    return newest[:limit]


# Splits of a fund after a session for which the source rewrote its history between two observations, or
# within REBASING_DAYS of the split: it does so on the split's session, or when it withdraws the split.
_REBASING = """
    SELECT 1 FROM (
        SELECT ticker, session, CASE WHEN ratio IS NULL THEN date(observed_at) ELSE session END AS day
        FROM splits WHERE vintage > 0
    ) AS split
    WHERE split.ticker = new.ticker AND split.session > new.{date} AND split.day <= date(new.observed_at)
    AND (date(old.observed_at) < split.day OR date(new.observed_at) <= date(split.day, '+{days} days'))
"""


def _pairs(db: sqlite_utils.Database, kind: Kind, since: str | None) -> Iterator[Row]:
    """Vintages with a figure unlike that of the one before, which is named old_...; newest first.

    Left out is a pair between whose observations the source may have rewritten its history at a split.

    Walks the index {table}_revisions, so what is not asked for is not read.
    """
    own = (*kind.whole_key, "observed_at", *kind.figures)
    names = (*own, *(f"old_{name}" for name in kind.figures))
    columns = [*(f"new.{name}" for name in own), *(f"old.{name}" for name in kind.figures)]
    same_key = " AND ".join(f"before.{name} = new.{name}" for name in kind.whole_key)
    differs = " OR ".join(
        f"(old.{name} IS NOT NULL AND (new.{name} IS NULL"
        f" OR abs(new.{name} - old.{name}) > {RESTATED} * abs(old.{name})))"
        for name in kind.figures
    )
    final = "AND old.provisional = 0" if "provisional" in kind.values else ""
    bound = "AND new.observed_at >= :since" if since else ""
    rebased = ""
    if kind.table in _REBASED:
        rebased = f"AND NOT EXISTS ({_REBASING.format(date=kind.session, days=REBASING_DAYS)})"
    sql = f"""
        SELECT {", ".join(columns)} FROM {kind.table} AS new INDEXED BY {kind.table}_revisions
        JOIN {kind.table} AS old ON old.id = (
            SELECT id FROM {kind.table} AS before
            WHERE {same_key} AND vintage > 0 AND (observed_at, id) < (new.observed_at, new.id)
            ORDER BY observed_at DESC, id DESC LIMIT 1
        )
        WHERE new.vintage = 2 {bound} {final} AND ({differs}) {rebased}
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
