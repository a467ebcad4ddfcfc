"""An empty database; a loopback Yahoo for each worker process, a yfinance that remembers nothing."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pandas as pd
import pytest
import sqlite_utils

from bot.data.provider import Ok
from bot.data.yahoo import Yahoo
from storage.database import open_database
from storage.migrations import MIGRATIONS
from tests.fakes.website import Website
from tests.fakes.yahoo import FakeYahoo
from tests.fakes.yahoo_pages import Fund

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bot.data.provider import FetchOutcome, Observations
    from storage.database import Database

# Two weeks of 2020 with made-up prices; the distribution and the split are made up too.
COMPLETED = pd.bdate_range("2020-11-30", "2020-12-11")
CLOSES = [180.0, 181.5, 183.25, 184.0, 188.5, 187.0, 189.13, 186.0, 190.07, 190.3]


def iwm() -> Fund:
    """IWM over COMPLETED, nothing unusual about it."""
    return Fund("IWM", dict(zip((day.date() for day in COMPLETED), CLOSES, strict=True)))


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with open_database(tmp_path / "bot.db") as opened:
        yield opened


@pytest.fixture
def db() -> Iterator[sqlite_utils.Database]:
    """What a storage function is given: a connection to an empty database."""
    with sqlite_utils.Database(memory=True) as opened:
        MIGRATIONS.apply(opened)
        yield opened


@pytest.fixture(scope="session")
def loopback(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeYahoo]:
    with FakeYahoo(tmp_path_factory.mktemp("yahoo")) as running:
        yield running


@pytest.fixture(scope="session")
def yahoo_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("yfinance") / "cache"


@pytest.fixture
def fake(loopback: FakeYahoo, monkeypatch: pytest.MonkeyPatch) -> FakeYahoo:
    """The loopback Yahoo with IWM, healthy."""
    for name, value in loopback.environment.items():
        monkeypatch.setenv(name, value)
    loopback.reset()
    loopback.add(iwm())
    return loopback


@pytest.fixture
def yahoo(fake: FakeYahoo, yahoo_cache: Path) -> Yahoo:
    """The provider under test, as in a fresh process."""
    del fake
    forget(yahoo_cache)
    return Yahoo(yahoo_cache, timeout=5)


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Website]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Website() as running:
        yield running


def forget(folder: Path) -> None:
    """Take yfinance back to how it starts: no session, cookie, crumb or time zone."""
    import yfinance  # noqa: PLC0415 - late, as in the program
    from yfinance import base, cache, data  # noqa: PLC0415 - as above

    folder.mkdir(mode=0o700, exist_ok=True)
    yfinance.set_tz_cache_location(str(folder))
    data.SingletonMeta._instances.clear()
    base._tz_info_fetch_ctr = 0
    cache.get_cookie_cache().store("curlCffi", None)
    for ticker in ("IWM", "SPY"):
        cache.get_tz_cache().store(ticker, None)


def figures(outcome: FetchOutcome, *missing: str) -> Observations:
    """What an outcome gives, with nothing missing but this."""
    assert isinstance(outcome, Ok)
    assert outcome.missing == missing
    return outcome.payload


def day(text: str) -> dt.date:
    return dt.date.fromisoformat(text)
