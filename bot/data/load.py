"""Builds the Market from storage and caches it until the stored observations change.

The newest vintages of every kind become frames. Sources are never mixed silently: source_selection decides
which one a series is from, and what they do not agree on is in the Market's notes.
"""

import asyncio
import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
import sqlite_utils

from bot.analytics.market import (
    MULTIPLE_COLUMNS,
    NO_SOURCE,
    SUM_COLUMNS,
    WEIGHT_COLUMNS,
    Market,
    ProvisionalFigures,
    Source,
)
from bot.analytics.sessions import Sessions
from bot.analytics.sources import COMPANIES, SAMPLE
from bot.analytics.valuation import with_price_moves
from bot.data import source_selection
from bot.data.provider import LABELS, SEC
from bot.data.provisional import NOUNS, REASONS, pending_rows
from bot.data.source_selection import REPLACED, REPLACED_COLUMNS, Frames
from bot.errors import BadInput, NoData
from bot.pair import DEFAULT_PAIR, Pair
from bot.text import date_phrase
from storage import observations
from storage.database import Database
from storage.observations import fingerprint, first_observed
from storage.records import KINDS, Bar, FundFacts, Moment, Observation, Provisional, Split

_BEHIND = ("holdings_date", "price_date", "coverage")  # of a multiple: what it was computed from
_NAMES = ("ticker", "source", "metric", "convention", "basis")  # columns by which rows are picked
_UNUSED = ("open", "high", "low", "volume")  # by any metric
_RESTATED = 1_000  # replaced share counts that are remembered

REFUSED = "refused"  # the frame of issuers' files that were refused, or were not what they should be
PENDING = "pending"  # the frame of provisional figures among those that a Market is made of
PENDING_COLUMNS = ("ticker", "noun", "source", "reason", "session", "value")


def pending_frame(db: sqlite_utils.Database, known: Moment | None = None) -> pd.DataFrame:
    """All provisional figures, one a row, with the columns of PENDING_COLUMNS."""
    rows = [
        (row.ticker, NOUNS[type(row)], row.source, row.provisional, row.session, getattr(row, *row.figures))
        for row in pending_rows(db, known=known)
    ]
    return pd.DataFrame(rows, columns=list(PENDING_COLUMNS))


def provisional_figures(pending: pd.DataFrame, last: dt.date) -> tuple[ProvisionalFigures, ...]:
    """The figures of a pending_frame() until the session `last`, those of one source and reason together."""
    pending = pending.assign(session=pending["session"].astype("datetime64[ns]"))
    groups = pending[pending["session"] <= pd.Timestamp(last)].groupby(list(PENDING_COLUMNS[:4]))
    return tuple(
        ProvisionalFigures(
            str(ticker),
            str(noun),
            rows.set_index("session")["value"].astype("float64").sort_index(),
            REASONS[Provisional(int(str(reason)))],
            LABELS.get(str(source), str(source)),
        )
        for (ticker, noun, source, reason), rows in groups
    )


def frame_of(columns: Mapping[str, Sequence[object]]) -> pd.DataFrame:
    """A frame of these columns, with sessions as days.

    Names are categories: texts take ten times as long to compare.
    """
    frame = {name: pd.Categorical(column) if name in _NAMES else column for name, column in columns.items()}
    return pd.DataFrame({**frame, "session": np.array(columns["session"], dtype="datetime64[ns]")})


def read_frames(db: sqlite_utils.Database, known: dt.date | None = None) -> Frames:
    """Newest row per key of every kind the Market is made of, as known at the end of `known`."""
    moment = None if known is None else f"{known.isoformat()}T23:59:59Z"
    frames = {
        table: frame_of(observations.newest_columns(db, kind, known=moment, without=_UNUSED))
        for table, kind in KINDS.items()
    }
    replaced = [
        (restatement.key["ticker"], restatement.key["session"], restatement.source, restatement.old)
        for restatement in observations.restatements(db, FundFacts, limit=_RESTATED)
        if restatement.column == "shares" and (moment is None or restatement.observed_at <= moment)
    ]
    return {
        **frames,
        REPLACED: pd.DataFrame(replaced, columns=list(REPLACED_COLUMNS)),
        PENDING: pending_frame(db, moment),
        REFUSED: pd.DataFrame(observations.failing_files(db) if known is None else [], columns=["subject", "detail"]),
    }


def stored_closes(db: sqlite_utils.Database, ticker: str) -> pd.Series:
    """Split-adjusted closes of one fund as in a Market, empty with sample data only."""
    kinds: tuple[type[Observation], ...] = (Bar, Split)
    frames = {kind.table: frame_of(observations.newest_columns(db, kind, ticker=ticker)) for kind in kinds}
    prices: pd.Series = source_selection.prices(_without_sample(frames), ticker).data
    return prices


def _without_sample(frames: Frames) -> Frames:
    real = {table: (frame["source"] != SAMPLE).to_numpy() for table, frame in frames.items()}
    return {table: frame if real[table].all() else frame[real[table]] for table, frame in frames.items()}


def build_market(
    frames: Frames, sessions: Sessions, now: dt.datetime, pair: Pair = DEFAULT_PAIR, options: str = ""
) -> Market:
    """Market of stored rows as of the instant `now`: nothing after the last completed session."""
    last = sessions.last_completed(now)
    filed = frames["fund_facts"][frames["fund_facts"]["source"] == SEC]
    unfiled = frames["fund_facts"][frames["fund_facts"]["source"] != SEC]
    refusals = frames.get(REFUSED, pd.DataFrame())
    frames = {name: frame for name, frame in frames.items() if name != REFUSED} | {"fund_facts": unfiled}
    real = _without_sample(frames)
    if not all(frame.empty for frame in real.values()):
        frames = real
    shown = sessions.index[sessions.index <= last]
    prices = {ticker: source_selection.prices(frames, ticker) for ticker in pair.tickers}
    facts = {ticker: source_selection.facts(frames, ticker, last) for ticker in pair.tickers}
    sources = {f"facts:{ticker}": selected.source for ticker, selected in facts.items()}
    sources["prices"] = _joint_source(selected.source for selected in prices.values())
    multiples, sources["multiples"] = _multiples(frames["multiples"])
    notes = {f"facts:{ticker}": selected.notes for ticker, selected in facts.items()}
    notes["prices"] = tuple(note for selected in prices.values() for note in selected.notes)
    closes = pd.DataFrame({ticker: selected.data for ticker, selected in prices.items()})
    if (multiples["source"] == COMPANIES).any():
        multiples = with_price_moves(multiples, _on_sessions(closes, shown))
    both = closes.dropna().index
    return Market(
        prices=_on_sessions(closes, shown),
        last_completed=last,
        pair=pair,
        distributions={
            ticker: source_selection.distributions(frames, ticker, selected).loc[:last]
            for ticker, selected in prices.items()
        },
        facts={ticker: _on_sessions(selected.data, shown) for ticker, selected in facts.items() if len(selected.data)},
        multiples=multiples[multiples["session"] <= last],
        company_sums=_dated(frames["company_sums"], SUM_COLUMNS, last),
        weights=_dated(frames["sector_weights"], WEIGHT_COLUMNS, last),
        sources={part: source for part, source in sources.items() if source != NO_SOURCE},
        calendar=sessions.index,
        notes={part: lines for part, lines in notes.items() if lines},
        disputes=tuple(
            replace(dispute, differences=dispute.differences.loc[:last])
            for selected in prices.values()
            for dispute in selected.disputes
        ),
        provisional=_unsettled(frames, last) if PENDING in frames else (),
        first_close=both.min() if len(both) else None,
        official={
            str(ticker): pd.Series(
                rows["flow"].to_numpy(dtype="float64"), pd.DatetimeIndex(rows["session"]).as_unit("ns")
            ).loc[:last]
            for ticker, rows in filed.groupby("ticker", observed=True)
        },
        refusals=dict(refusals.to_numpy()),
        options=options,
    )


def _unsettled(frames: Frames, last: pd.Timestamp) -> tuple[ProvisionalFigures, ...]:
    """The provisional figures but the distributions of days that the issuer's own list covers."""
    if frames[PENDING].empty:
        return ()
    listed = frames["distributions"]
    listed = listed[(listed["source"] == source_selection.ISSUER) & (listed["provisional"] == 0)]
    spans = {ticker: (days.min(), days.max()) for ticker, days in listed.groupby("ticker")["session"]}
    pending = frames[PENDING].assign(session=frames[PENDING]["session"].astype("datetime64[ns]"))
    settled = [
        noun == "distribution" and ticker in spans and spans[ticker][0] <= session <= spans[ticker][1]
        for noun, ticker, session in pending[["noun", "ticker", "session"]].itertuples(index=False)
    ]
    return provisional_figures(pending[~np.array(settled, dtype=bool)], last)


def _on_sessions(frame: pd.DataFrame, shown: pd.DatetimeIndex) -> pd.DataFrame:
    """The rows on the given sessions. A row on a day that was closed after all is left out."""
    return frame[frame.index.isin(shown)].sort_index()


def _joint_source(sources: Iterable[Source]) -> Source:
    """One source for both funds: theirs if it is the same, else one that names both."""
    named = [source for source in sources if source != NO_SOURCE]
    if not named:
        return NO_SOURCE
    source_label = " / ".join(dict.fromkeys(source.label for source in named))
    return Source(named[0].name, source_label, max(source.observed_at for source in named))


def _multiples(frame: pd.DataFrame) -> tuple[pd.DataFrame, Source]:
    """All stored multiples ordered by session. Their convention keeps the sources apart."""
    if frame.empty:
        empty = pd.DataFrame(columns=list(MULTIPLE_COLUMNS))
        return empty.astype({"session": "datetime64[ns]", "value": "float64"}), NO_SOURCE
    names = list(dict.fromkeys(frame.sort_values("session")["source"][::-1]))
    source = Source(names[0], ", ".join(LABELS.get(n, n) for n in names), str(frame["observed_at"].max()))
    return frame[[*MULTIPLE_COLUMNS, *_BEHIND]].sort_values("session", kind="stable"), source


def _dated(frame: pd.DataFrame, columns: Sequence[str], last: pd.Timestamp) -> pd.DataFrame:
    """These columns of the rows up to a session, by session."""
    frame = frame[list(columns)]
    return frame[frame["session"] <= last].sort_values("session", kind="stable")


Clock = Callable[[], dt.datetime]


@dataclass(eq=False)
class Markets:
    """Gives the Market of the moment, of a date, or as it was known on a date."""

    database: Database
    clock: Clock
    closed: tuple[dt.date, ...] = ()
    pair: Pair = DEFAULT_PAIR
    options: str = ""
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)
    _cached: tuple[object, Market] | None = field(default=None, init=False)
    _sessions: tuple[dt.date, Sessions] | None = field(default=None, init=False)

    def sessions(self) -> Sessions:
        """The exchange's sessions, made anew each day because the calendar ends a year ahead."""
        today = dt.datetime.now(dt.UTC).date()
        if self._sessions is None or self._sessions[0] != today:
            self._sessions = today, Sessions(self.closed, today)
        return self._sessions[1]

    async def current(self) -> Market:
        """Everything known now, up to the last completed session."""
        now = self.clock()
        sessions = self.sessions() if self._sessions else await asyncio.to_thread(self.sessions)
        stored = self.database.look_up(fingerprint)
        key = (stored, self.database.foreign_commits, sessions.last_completed(now))
        async with self._lock:
            if self._cached is None or self._cached[0] != key:
                frames = await self.database.run(read_frames)  # long: replies read meanwhile
                self._cached = (key, await self._build(frames, now))
            return self._cached[1]

    async def at(self, asof: pd.Timestamp | None, known: pd.Timestamp | None) -> Market:
        """The Market as of a date and as known on a date. Raises BadInput or NoData for dates outside."""
        self._refuse_future(asof, "asof")
        self._refuse_future(known, "known")
        market = await (self.current() if known is None else self._known(known))
        if asof is None:
            return market
        cut = market.at(asof)
        if cut.end is None and market.end is not None:
            day, first = date_phrase(asof), market.closes.index[0]
            raise NoData(
                f"There is no close of both funds by {day}; history begins {date_phrase(first)}.",
                f"asof {first:%Y-%m-%d}",
            )
        return cut

    async def _known(self, day: pd.Timestamp) -> Market:
        """The Market as known at the end of a day, its age measured then. Raises NoData before the first."""
        frames = await self.database.run(lambda db: read_frames(db, day.date()))
        if all(frame.empty for frame in frames.values()):
            observed_at = await self.database.read(first_observed)
            if observed_at is not None:
                first = dt.datetime.fromisoformat(observed_at)
                raise NoData(
                    f"Nothing was stored yet on {date_phrase(day)}; what is known begins on "
                    f"{date_phrase(first.date())}.",
                    f"known {first:%Y-%m-%d}",
                )
        end = dt.datetime.combine(day.date(), dt.time(23, 59, 59), dt.UTC)
        return await self._build(frames, min(self.clock(), end))

    async def _build(self, frames: Frames, now: dt.datetime) -> Market:
        sessions = await asyncio.to_thread(self.sessions)
        return await asyncio.to_thread(build_market, frames, sessions, now, self.pair, self.options)

    def _refuse_future(self, day: pd.Timestamp | None, word: str) -> None:
        today = self.clock().date()
        if day is not None and day.date() > today:
            raise BadInput(f"“{word} {day:%Y-%m-%d}” is in the future.", f"{word} {today}")
