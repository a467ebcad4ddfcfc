from __future__ import annotations

import asyncio
import datetime as dt
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from bot.data import load
from bot.data.load import Markets, read_frames
from bot.errors import BadInput, NoData
from storage import observations
from storage.database import open_database
from storage.records import (
    KINDS,
    Bar,
    CompanySums,
    Distribution,
    FundFacts,
    Multiple,
    Observation,
    SectorWeight,
    Split,
    set_meta,
)

if TYPE_CHECKING:
    from bot.data.source_selection import Frames
    from storage.database import Database


FRIDAY = dt.datetime(2020, 12, 11, 22, tzinfo=dt.UTC)


class Clock:
    """A clock that is set by hand."""

    now = FRIDAY

    def __call__(self) -> dt.datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def markets(database: Database, clock: Clock) -> Markets:
    return Markets(database, clock)


@pytest.fixture(autouse=True)
def reads(monkeypatch: pytest.MonkeyPatch) -> list[dt.date | None]:
    """Grows with each reading of all the rows."""
    read: list[dt.date | None] = []

    def counted(db: Any, known: dt.date | None = None) -> Frames:  # noqa: ANN401 - passed through
        read.append(known)
        return read_frames(db, known)

    monkeypatch.setattr(load, "read_frames", counted)
    return read


def store(database: Database, close: float, *days: str, at: str = "2020-12-11T22:00:00Z") -> None:
    rows = [Bar(ticker, day, close) for day in days for ticker in ("IWM", "SPY")]
    database.run_sync(lambda db: observations.add(db, Bar, rows, source="csv", observed_at=at))


def last(market: Any) -> float:  # noqa: ANN401 - a frame's cell
    return float(market.prices["IWM"].iloc[-1])


async def test_no_change_no_second_read(database: Database, markets: Markets, reads: list[object]) -> None:
    store(database, 1.0, "2020-12-10", "2020-12-11")
    first = await markets.current()
    database.run_sync(lambda db: set_meta(db, "heartbeat", "now"))  # no observation
    assert await markets.current() is first
    assert len(reads) == 1


async def test_parallel_askers_read_once(database: Database, markets: Markets, reads: list[object]) -> None:
    store(database, 1.0, "2020-12-11")
    answers = await asyncio.gather(*(markets.current() for _ in range(5)))
    assert all(market is answers[0] for market in answers)
    assert len(reads) == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_a_write_of_any_kind_is_seen(kind: str, database: Database, markets: Markets) -> None:
    store(database, 1.0, "2020-12-11")
    before = await markets.current()
    day, at = "2020-12-11", "2020-12-11T23:00:00Z"
    rows: list[Observation] = [
        Bar("IWM", day, 2.0),
        Distribution("IWM", day, 1.0),
        Split("IWM", day, 2.0),
        FundFacts("IWM", day, 1.0),
        Multiple("IWM", day, "pe", "losses_in", "own", 1.0),
        SectorWeight("IWM", day, "sector", "Energy", 5.0),
        CompanySums("IWM", day, "{}", 1.0),
    ]
    row = next(row for row in rows if row.table == kind)
    database.run_sync(lambda db: observations.add(db, KINDS[kind], [row], source="csv", observed_at=at))
    assert await markets.current() is not before


async def test_writes_over_another_connection_are_seen(database: Database, markets: Markets) -> None:
    store(database, 1.0, "2020-12-10")
    before = await markets.current()
    with open_database(database.path) as other:  # as another process has it
        store(other, 3.0, "2020-12-11")
    after = await markets.current()
    assert before.end == pd.Timestamp("2020-12-10")
    assert after.end == pd.Timestamp("2020-12-11")
    assert await markets.current() is after


async def test_a_row_that_another_process_changes_is_seen(database: Database, markets: Markets) -> None:
    store(database, 1.0, "2020-12-10")
    await markets.current()
    with open_database(database.path) as other:  # as a restored backup or a repair by hand would
        other.run_sync(lambda db: db.execute("UPDATE bars SET close = 4.0"))
    assert last(await markets.current()) == 4.0


async def test_a_completed_session_needs_no_write(database: Database, markets: Markets, clock: Clock) -> None:
    store(database, 1.0, "2020-12-10", "2020-12-11")
    clock.now = dt.datetime(2020, 12, 11, 21, 14, tzinfo=dt.UTC)  # a minute before the close is trusted
    assert (await markets.current()).end == pd.Timestamp("2020-12-10")
    clock.now = dt.datetime(2020, 12, 11, 21, 15, tzinfo=dt.UTC)
    assert (await markets.current()).end == pd.Timestamp("2020-12-11")


async def test_closures_of_the_config_are_no_sessions(database: Database, clock: Clock) -> None:
    store(database, 1.0, "2020-12-10", "2020-12-11")
    markets = Markets(database, clock, (dt.date(2020, 12, 11),))
    assert (await markets.current()).end == pd.Timestamp("2020-12-10")
    assert pd.Timestamp("2020-12-11") not in markets.sessions().index


# Dates that are asked for


async def test_asof_cuts_and_anchors(database: Database, markets: Markets) -> None:
    store(database, 1.0, "2020-12-09", "2020-12-10", "2020-12-11")
    market = await markets.at(pd.Timestamp("2020-12-10"), None)
    assert (market.end, market.anchor) == (pd.Timestamp("2020-12-10"), pd.Timestamp("2020-12-10"))


@pytest.mark.parametrize("word", ["asof", "known"])
async def test_a_date_in_the_future_is_refused(word: str, database: Database, markets: Markets) -> None:
    store(database, 1.0, "2020-12-11")
    day = pd.Timestamp("2020-12-12")
    with pytest.raises(BadInput) as refused:
        await markets.at(*((day, None) if word == "asof" else (None, day)))
    assert str(refused.value) == f"“{word} 2020-12-12” is in the future. Example: {word} 2020-12-11"
    today = pd.Timestamp("2020-12-11")
    assert (await markets.at(*((today, None) if word == "asof" else (None, today)))).end == today


async def test_a_date_before_history_says_where_it_begins(database: Database, markets: Markets) -> None:
    store(database, 1.0, "2020-12-10", "2020-12-11")
    with pytest.raises(NoData) as refused:
        await markets.at(pd.Timestamp("2020-12-09"), None)
    sentence = "There is no close of both funds by Wed 9 Dec 2020; history begins Thu 10 Dec 2020."
    assert refused.value.sentence == sentence
    assert refused.value.example == "asof 2020-12-10"


async def test_a_date_in_an_empty_database_is_an_empty_market(markets: Markets) -> None:
    assert (await markets.at(pd.Timestamp("2020-12-09"), None)).end is None


@pytest.mark.parametrize(("day", "words"), [("2020-12-10", "Thu 10 Dec 2020"), ("1980-01-01", "Tue 1 Jan 1980")])
async def test_known_too_early_is_refused(day: str, words: str, database: Database, markets: Markets) -> None:
    store(database, 1.0, "2020-12-10")
    with pytest.raises(NoData) as refused:
        await markets.at(None, pd.Timestamp(day))
    sentence = f"Nothing was stored yet on {words}; what is known begins on Fri 11 Dec 2020."
    assert refused.value.sentence == sentence
    assert refused.value.example == "known 2020-12-11"


async def test_what_was_known_is_as_old_as_then(database: Database, markets: Markets, clock: Clock) -> None:
    store(database, 1.0, "2020-12-09", "2020-12-10", at="2020-12-10T22:00:00Z")
    store(database, 2.0, "2020-12-10", at="2020-12-14T22:00:00Z")
    clock.now = dt.datetime(2020, 12, 31, 22, tzinfo=dt.UTC)
    then = await markets.at(None, pd.Timestamp("2020-12-11"))
    assert last(then) == 1.0
    assert then.last_completed == pd.Timestamp("2020-12-11")
    assert then.sessions_behind(pd.Timestamp("2020-12-10")) == 1
    assert last(await markets.current()) == 2.0


async def test_known_today_is_no_newer_than_now(database: Database, markets: Markets, clock: Clock) -> None:
    store(database, 1.0, "2020-12-10", "2020-12-11", at="2020-12-11T10:00:00Z")
    clock.now = dt.datetime(2020, 12, 11, 15, tzinfo=dt.UTC)  # the session of the 11th is open
    assert (await markets.at(None, pd.Timestamp("2020-12-11"))).end == pd.Timestamp("2020-12-10")


async def test_asof_and_known_together(database: Database, markets: Markets) -> None:
    store(database, 1.0, "2020-12-09", "2020-12-10", at="2020-12-10T22:00:00Z")
    store(database, 2.0, "2020-12-09", at="2020-12-11T22:00:00Z")
    market = await markets.at(pd.Timestamp("2020-12-09"), pd.Timestamp("2020-12-10"))
    assert (market.end, last(market)) == (pd.Timestamp("2020-12-09"), 1.0)
