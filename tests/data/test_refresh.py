from __future__ import annotations

import datetime as dt
from collections import defaultdict
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from bot.analytics.sessions import Sessions
from bot.data.load import build_market, read_frames
from bot.data.provider import AccessRefused, Empty, FetchOutcome, NetworkDown, Ok, Provider, RateLimited, UnknownSymbol
from bot.data.refresh import refresh
from storage import observations, sources
from storage.database import Database, open_database
from storage.records import Bar, FundFacts, Multiple, Split
from tests.fakes.yahoo_pages import Fund, sample_fund
from tests.funds import PAIR

if TYPE_CHECKING:
    from pathlib import Path

    from bot.data.provider import Observations
    from bot.data.yahoo import Yahoo
    from tests.fakes.yahoo import FakeYahoo


SESSIONS = Sessions()
FRIDAY = dt.datetime(2020, 12, 11, 21, 30, tzinfo=dt.UTC)  # half an hour after the close
MONDAY = dt.datetime(2020, 12, 14, 21, 30, tzinfo=dt.UTC)


class Scripted(Provider):
    """A provider whose answers are set by the test: an Outcome, an error, or what it would find."""

    label = "Scripted"
    tickers: tuple[str, ...] = ("IWM", "SPY")

    def __init__(
        self,
        name: str = "scripted",
        serves: tuple[str, ...] = ("prices", "multiples", "fund"),
        **answers: FetchOutcome | Exception,
    ) -> None:
        self.name, self.serves = name, serves
        self.answers = answers
        self.asked: list[tuple[str, str, dt.date | None]] = []
        self.splits: dict[str, list[Split]] = defaultdict(list)

    def prices(self, ticker: str, start: dt.date | None, completed: pd.DatetimeIndex) -> FetchOutcome:
        shown = completed[completed >= pd.Timestamp(start)] if start else completed[-30:]
        bars = [Bar(ticker, f"{day:%Y-%m-%d}", 100.0) for day in shown]
        return self._answer("prices", ticker, start, {"bars": bars, "splits": self.splits[ticker]})

    def document(self, figure: str, ticker: str, completed: pd.DatetimeIndex) -> FetchOutcome:
        day, before = (f"{session:%Y-%m-%d}" for session in completed[[-1, -2]])
        if figure == "fund":
            return self._answer(figure, ticker, None, {"fund_facts": [FundFacts(ticker, before, nav=100.0)]})
        row = Multiple(ticker, day, "pe", "morningstar", "unstated", 20.0)
        return self._answer(figure, ticker, None, {"multiples": [row]})

    def _answer(self, figure: str, ticker: str, start: dt.date | None, payload: Observations) -> FetchOutcome:
        self.asked.append((figure, ticker, start))
        answer = self.answers.get(f"{figure}_{ticker}") or self.answers.get(figure) or Ok(payload)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def take_asked(self) -> list[str]:
        asked = [f"{ticker} {figure}" for figure, ticker, _ in self.asked]
        self.asked.clear()
        return asked


async def _bars(database: Database, ticker: str = "IWM") -> list[str]:
    rows = await database.run(lambda db: observations.newest(db, Bar))
    return [row.session for row in rows if row.ticker == ticker]


async def test_everything_due_is_asked_once_prices_first(database: Database) -> None:
    provider = Scripted()
    reports = await refresh(database, [provider], SESSIONS, FRIDAY)
    figures = ("prices", "multiples", "fund")
    assert [report.subject for report in reports] == [f"{fund} {figure}" for figure in figures for fund in PAIR]
    assert all(report.ok for report in reports)
    assert str(reports[0]) == "Scripted, IWM prices: 30 prices. Stored: 30 new, 0 revised."
    assert len(await _bars(database)) == 30
    assert await refresh(database, [provider], SESSIONS, FRIDAY + dt.timedelta(hours=1)) == []


async def test_a_tick_asks_one_figure_of_each_ticker(database: Database) -> None:
    provider = Scripted()
    requests = []
    for minute in range(4):
        await refresh(database, [provider], SESSIONS, FRIDAY + dt.timedelta(minutes=minute), calls=1)
        requests.append(provider.take_asked())
    assert requests == [*([f"{fund} {name}" for fund in PAIR] for name in ("prices", "multiples", "fund")), []]


async def test_the_first_read_is_whole_and_the_next_overlaps(database: Database) -> None:
    provider = Scripted()
    await refresh(database, [provider], SESSIONS, FRIDAY, calls=1)
    await refresh(database, [provider], SESSIONS, MONDAY, calls=1)
    assert [start for figure, ticker, start in provider.asked if (figure, ticker) == ("prices", "IWM")] == [
        None,
        dt.date(2020, 11, 27),  # ten sessions before Friday, Thanksgiving left out
    ]
    assert (await _bars(database))[-1] == "2020-12-14"


async def test_force_asks_again_and_the_same_figures_write_nothing(database: Database) -> None:
    provider = Scripted()
    await refresh(database, [provider], SESSIONS, FRIDAY)
    reports = await refresh(database, [provider], SESSIONS, FRIDAY + dt.timedelta(hours=1), force=True)
    assert len(reports) == 6
    assert all("Stored: 0 new, 0 revised." in str(report) for report in reports)
    rows = await database.run(lambda db: db.execute("SELECT count(*) FROM bars").fetchone()[0])
    assert rows == 60


async def test_one_failing_question_stops_no_other(database: Database) -> None:
    provider = Scripted(
        prices_IWM=NetworkDown("no answer in time"),
        multiples=Empty(),
        fund_IWM=RuntimeError("a bug of the provider's own"),
    )
    other = Scripted("other")
    reports = await refresh(database, [provider, other], SESSIONS, FRIDAY)
    assert [(report.source, report.subject) for report in reports if not report.ok] == [
        ("scripted", "IWM prices"),
        ("scripted", "IWM multiples"),
        ("scripted", "SPY multiples"),
        ("scripted", "IWM fund"),
    ]
    assert reports[0].outcome == "No data: no answer in time."
    assert reports[4].outcome == "No data: the request failed (RuntimeError)."
    assert len(reports) == 12


@pytest.mark.parametrize("outcome", [NetworkDown("x"), Empty(), UnknownSymbol("IWM")])
async def test_a_failure_leaves_the_figures_and_stays_due(outcome: FetchOutcome, database: Database) -> None:
    provider = Scripted()
    await refresh(database, [provider], SESSIONS, FRIDAY, tickers=("IWM",))
    before = await _bars(database)
    provider.answers["prices"] = outcome
    await refresh(database, [provider], SESSIONS, MONDAY, tickers=("IWM",))
    assert await _bars(database) == before
    row = await _row(database)
    assert (row.last_session, row.last_attempt, row.last_success) == (FRIDAY.date(), MONDAY, FRIDAY)
    assert (row.outcome, row.detail, row.failures) == (type(outcome).__name__, outcome.describe(), 1)
    provider.answers.clear()
    provider.take_asked()
    await refresh(database, [provider], SESSIONS, MONDAY + dt.timedelta(minutes=5), tickers=("IWM",))
    assert provider.take_asked() == ["IWM prices"]


async def test_a_source_that_asks_to_slow_down_is_left_alone_also_after_a_restart(tmp_path: Path) -> None:
    provider, other = Scripted(prices_IWM=RateLimited(1200.0)), Scripted("other")
    with open_database(tmp_path / "bot.db") as database:
        reports = await refresh(database, [provider, other], SESSIONS, FRIDAY)
    assert [report.source for report in reports] == ["scripted"] + ["other"] * 6
    assert provider.take_asked() == ["IWM prices"]

    provider.answers.clear()
    with open_database(tmp_path / "bot.db") as database:
        early = FRIDAY + dt.timedelta(minutes=19)
        [report] = await refresh(database, [provider], SESSIONS, early, force=True)
        assert str(report) == (
            "Scripted, all figures: It asked to slow down and is left alone until 21:50 UTC on 2020-12-11."
        )
        assert provider.take_asked() == []
        await refresh(database, [provider], SESSIONS, FRIDAY + dt.timedelta(minutes=20))
        assert len(provider.take_asked()) == 6


async def test_a_probe_that_is_refused_closes_the_source_again(database: Database) -> None:
    provider = Scripted(prices=RateLimited(), multiples=RateLimited(), fund=RateLimited())
    for minutes in range(0, 61, 5):
        await refresh(database, [provider], SESSIONS, FRIDAY + dt.timedelta(minutes=minutes))
    assert len(provider.take_asked()) == 5  # at 0, 15, 30, 45 and 60 minutes


async def test_a_new_split_reads_the_whole_history_again(database: Database) -> None:
    provider = Scripted(serves=("prices",))
    await refresh(database, [provider], SESSIONS, FRIDAY, tickers=("IWM",))
    provider.splits["IWM"] = [Split("IWM", "2020-12-14", 2.0)]
    provider.asked.clear()
    await refresh(database, [provider], SESSIONS, MONDAY, tickers=("IWM",))
    assert [start for _, _, start in provider.asked] == [dt.date(2020, 11, 27), None]
    provider.asked.clear()
    tuesday = MONDAY + dt.timedelta(days=1)
    await refresh(database, [provider], SESSIONS, tuesday, tickers=("IWM",))
    assert [start for _, _, start in provider.asked] == [dt.date(2020, 11, 30)]


async def test_figures_and_standing_are_written_together(database: Database) -> None:
    bars = [Bar("IWM", "2020-12-11", float("inf"))]
    provider = Scripted(prices=Ok({"distributions": [], "bars": bars}))
    with pytest.raises(ValueError, match=r"close of bars is infinite\."):
        await refresh(database, [provider], SESSIONS, FRIDAY)
    assert await database.run(observations.first_observed) is None
    assert await database.run(sources.source_statuses) == []


async def test_real_yfinance_fills_the_database_and_a_correction_is_a_revision(
    fake: FakeYahoo, yahoo: Yahoo, database: Database
) -> None:
    days = [session.date() for session in SESSIONS.between(pd.Timestamp("2020-09-01"), pd.Timestamp("2020-12-14"))]
    fake.add(sample_fund("IWM", days[:-1], 150.0), sample_fund("SPY", days[:-1], 340.0))
    reports = await refresh(database, [yahoo], SESSIONS, FRIDAY)
    assert [str(report) for report in reports if report.subject.startswith("IWM")] == [
        "Yahoo, IWM prices: 72 prices, 1 distribution. Stored: 73 new, 0 revised.",
        "Yahoo, IWM multiples: 4 multiples, 3 sector weights. Stored: 7 new, 0 revised.",
        "Yahoo, IWM fund: 1 fund fact, 2 multiples. Stored: 3 new, 0 revised.",
    ]
    again = await refresh(database, [yahoo], SESSIONS, FRIDAY + dt.timedelta(hours=1), force=True)
    assert all("Stored: 0 new, 0 revised." in str(report) for report in again)

    fund = fake.funds["IWM"]
    fund.closes[days[-1]] = 145.5
    corrected = round((fund.closes[days[-2]] or 0.0) * 1.002, 2)
    fund.closes[days[-2]] = corrected
    monday = await refresh(database, [yahoo], SESSIONS, MONDAY, tickers=("IWM",), calls=1)
    assert [str(report) for report in monday] == ["Yahoo, IWM prices: 12 prices. Stored: 1 new, 1 revised."]
    rows = await database.run(lambda db: observations.newest(db, Bar))
    assert [row.close for row in rows if row.ticker == "IWM"][-2:] == [corrected, 145.5]


async def test_a_split_that_yahoo_takes_back_is_withdrawn_with_what_it_did(
    fake: FakeYahoo, yahoo: Yahoo, database: Database
) -> None:
    index = SESSIONS.between(pd.Timestamp("2020-09-01"), pd.Timestamp("2020-12-15"))
    whole = sample_fund("IWM", [session.date() for session in index], 150.0).closes
    closes = [close for close in whole.values() if close]

    async def read(now: dt.datetime, factor: float, split: str | None) -> list[float]:
        known = {day: round((close or 0.0) * factor, 2) for day, close in whole.items() if day <= now.date()}
        splits = {dt.date.fromisoformat(split): (2, 1)} if split else {}
        fake.add(Fund("IWM", dict(known), splits=splits))
        await refresh(database, [yahoo], SESSIONS, now, tickers=("IWM",), calls=1)
        market = build_market(await database.run(read_frames), SESSIONS, now)
        return [float(close) for close in market.prices["IWM"]]

    assert await read(FRIDAY, 1.0, None) == closes[:-2]
    halved = await read(MONDAY, 0.5, "2020-12-10")
    assert halved == pytest.approx([close / 2 for close in closes[:-1]], abs=0.006)
    assert await read(MONDAY + dt.timedelta(days=1), 1.0, None) == closes
    splits_stored = await database.run(lambda db: observations.vintages(db, Split, "IWM"))
    assert [(row.session, row.ratio) for row in splits_stored] == [("2020-12-10", 2.0), ("2020-12-10", None)]
    since = "2020-12-15T00:00:00Z"
    restated = await database.run(lambda db: observations.restatements(db, Split, since=since))
    assert [str(restatement) for restatement in restated] == ["IWM 2020-12-10 ratio 2 withdrawn"]


# Dropped sessions, provisional bars, frozen answers, refusals


def _bars_of(*days: str, provisional: str = "") -> list[Bar]:
    return [Bar("IWM", day, 100.0, provisional=int(day == provisional)) for day in days]


async def _row(database: Database, subject: str = "IWM prices") -> sources.SourceStatus:
    status = await database.run(lambda db: sources.source_status(db, "scripted", subject))
    assert status is not None
    return status


async def test_a_provisional_bar_is_asked_for_again_until_it_is_final(database: Database) -> None:
    early = _bars_of("2020-12-10", "2020-12-11", provisional="2020-12-11")
    provider = Scripted(prices=Ok({"bars": early}), serves=("prices",))
    await refresh(database, [provider], SESSIONS, FRIDAY, tickers=("IWM",))
    assert (await _row(database)).last_session == dt.date(2020, 12, 10)
    provider.answers["prices"] = Ok({"bars": _bars_of("2020-12-10", "2020-12-11")})
    later = FRIDAY + dt.timedelta(minutes=5)
    assert await refresh(database, [provider], SESSIONS, later, tickers=("IWM",))
    assert (await _row(database)).last_session == dt.date(2020, 12, 11)
    late = later + dt.timedelta(hours=9)
    assert await refresh(database, [provider], SESSIONS, late, tickers=("IWM",)) == []


async def test_a_dropped_session_is_asked_for_again_but_not_for_ever_in_haste(database: Database) -> None:
    whole = ["2020-12-08", "2020-12-09", "2020-12-10", "2020-12-11"]
    gap = Ok({"bars": _bars_of(*whole[:1], *whole[2:])}, ("2020-12-09",))
    provider = Scripted(prices=gap, serves=("prices",))
    requests = 0
    for hour in range(24):
        now = FRIDAY + dt.timedelta(hours=hour)
        requests += len(await refresh(database, [provider], SESSIONS, now, tickers=("IWM",)))
    assert requests == 4
    row = await _row(database)
    assert (row.last_session, row.missing, row.failures) == (dt.date(2020, 12, 11), "2020-12-09", 0)
    assert row.detail == "3 prices; missing 2020-12-09."
    provider.answers["prices"] = Ok({"bars": _bars_of(*whole)})
    await refresh(database, [provider], SESSIONS, FRIDAY + dt.timedelta(hours=24), tickers=("IWM",))
    assert (await _row(database)).missing == ""
    assert await _bars(database) == whole


async def test_an_answer_that_stands_still_is_named(database: Database) -> None:
    facts: Observations = {"fund_facts": [FundFacts("IWM", "2020-12-10", nav=190.0)]}
    provider = Scripted(fund=Ok(facts, digest="one"), serves=("fund",))
    details = []
    for days in (0, 3, 4, 5):
        if days == 5:
            provider.answers["fund"] = Ok(facts, digest="two")
        await refresh(database, [provider], SESSIONS, FRIDAY + dt.timedelta(days=days), tickers=("IWM",))
        details.append((await _row(database, "IWM fund")).detail)
    frozen = "1 fund fact. The same answer as on 2020-12-11."
    assert details == ["1 fund fact.", frozen, frozen, "1 fund fact."]
    row = await _row(database, "IWM fund")
    assert (row.payload, row.payload_since) == ("two", dt.date(2020, 12, 16))


async def test_asked_twice_on_one_day_the_same_answer_is_no_news(database: Database) -> None:
    provider = Scripted(multiples=Ok({"multiples": []}, digest="one"), serves=("multiples",))
    for _ in range(2):
        [report] = await refresh(database, [provider], SESSIONS, FRIDAY, tickers=("IWM",), force=True)
    assert report.outcome == "no figures."


async def test_a_site_that_refuses_programs_rests_also_after_a_restart(tmp_path: Path) -> None:
    provider = Scripted(fund_IWM=AccessRefused("HTTP 403", "import it"), serves=("fund",))
    with open_database(tmp_path / "bot.db") as database:
        first, _ = await refresh(database, [provider], SESSIONS, FRIDAY)
        assert str(first) == "Scripted, IWM fund: No data: refused (HTTP 403); import it."
    provider.take_asked()
    with open_database(tmp_path / "bot.db") as database:
        for hours, requests in ((1, []), (5, []), (6, ["IWM fund"])):
            await refresh(database, [provider], SESSIONS, FRIDAY + dt.timedelta(hours=hours))
            assert provider.take_asked() == requests
        await refresh(database, [provider], SESSIONS, FRIDAY + dt.timedelta(hours=7), force=True)
        assert provider.take_asked() == ["IWM fund", "SPY fund"]


async def test_only_what_a_provider_serves_of_the_funds_that_it_has_is_asked(database: Database) -> None:
    provider = Scripted(serves=("fund",))
    provider.tickers = ("SPY",)
    await refresh(database, [provider], SESSIONS, FRIDAY)
    assert provider.take_asked() == ["SPY fund"]
