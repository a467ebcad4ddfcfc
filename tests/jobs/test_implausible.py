"""Implausible answers of a loopback Yahoo, from the request to the alert, each healed by a sound one."""

import asyncio
import datetime as dt
import shutil
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bot.analytics.sessions import Sessions
from bot.analytics.windows import AsOf
from bot.data.refresh import refresh
from bot.data.yahoo import Yahoo
from bot.messages.common import heading, price_notes
from bot.messages.html import strip_html
from tests.data.conftest import fake, forget, loopback, yahoo_cache
from tests.fakes.yahoo import FakeYahoo
from tests.fakes.yahoo_pages import sample_fund
from tests.jobs.desk import Desk

__all__ = ["fake", "loopback", "yahoo_cache"]
SESSIONS = Sessions()
DAYS = [day.date() for day in SESSIONS.between(pd.Timestamp("2020-05-01"), pd.Timestamp("2020-12-14"))]
LAST, BEFORE = DAYS[-1], DAYS[-2]
EVENING = dt.datetime(2020, 12, 14, 21, 20, tzinfo=dt.UTC)
RULES = (
    "excess 1d > 5pp",
    "excess 1d < -5pp",
    "excess 1m > 8pp",
    "excess 1m < -8pp",
    "excess 6m > 20pp",
    "ratio_vs_sma 100 > 12%",
    "ratio_vs_sma 100 < -12%",
    "drawdown < -25%",
)
Page = dict[str, Any]


def result(page: Page) -> dict[str, Any]:
    first: dict[str, Any] = page["chart"]["result"][0]
    return first


def quote(page: Page) -> dict[str, list[float | None]]:
    columns: dict[str, list[float | None]] = result(page)["indicators"]["quote"][0]
    return columns


def last(**values: float | None) -> Callable[[Page], None]:
    """The given fields of the last row become these multiples of themselves, None for a null."""

    def change(page: Page) -> None:
        for name, factor in values.items():
            column = quote(page)[name]
            column[-1] = None if factor is None else (column[-1] or 0.0) * factor

    return change


def whole_row(factor: float) -> Callable[[Page], None]:
    """The last row becomes this multiple of itself, and the quote with it."""

    def change(page: Page) -> None:
        last(open=factor, high=factor, low=factor, close=factor)(page)
        meta(regularMarketPrice=lambda price: price * factor)(page)

    return change


def meta(**values: Callable[[Any], Any]) -> Callable[[Page], None]:
    def change(page: Page) -> None:
        for name, new in values.items():
            result(page)["meta"][name] = new(result(page)["meta"][name])

    return change


def closes(first: int, end: int | None, factor: float) -> Callable[[Page], None]:
    """The rows of a slice become this multiple of themselves."""

    def change(page: Page) -> None:
        for name in ("open", "high", "low", "close"):
            column = quote(page)[name]
            span = range(*slice(first, end).indices(len(column)))
            for place in span:
                column[place] = (column[place] or 0.0) * factor

    return change


def partly_split(page: Page) -> None:
    """A split is listed, and the closes until two weeks before it are not adjusted."""
    stamps = result(page)["timestamp"]
    event = {"date": stamps[-4], "numerator": 2, "denominator": 1, "splitRatio": "2:1"}
    result(page).setdefault("events", {})["splits"] = {str(stamps[-4]): event}
    closes(0, -14, 2.0)(page)


def split(new: float, old: float) -> Callable[[Page], None]:
    def change(page: Page) -> None:
        stamp = result(page)["timestamp"][-4]
        event = {"date": stamp, "numerator": new, "denominator": old, "splitRatio": f"{new}:{old}"}
        result(page).setdefault("events", {})["splits"] = {str(stamp): event}

    return change


def paid(change_amount: Callable[[float], float | None]) -> Callable[[Page], None]:
    """The last distribution has another amount."""

    def change(page: Page) -> None:
        events = result(page)["events"]["dividends"]
        event = events[max(events)]
        event["amount"] = change_amount(event["amount"])

    return change


def paid_before(page: Page) -> None:
    """The last distribution is listed on the session before too."""
    events, days = result(page)["events"]["dividends"], result(page)["timestamp"]
    before = days[days.index(int(max(events))) - 1]
    events[str(before)] = {**events[max(events)], "date": before}


def stamps(shift: Callable[[int], int]) -> Callable[[Page], None]:
    def change(page: Page) -> None:
        result(page)["timestamp"] = [shift(stamp) for stamp in result(page)["timestamp"]]

    return change


ABSURD_CLOSE = "IWM's close of Mon 14 Dec 2020 is provisional and not used: Yahoo gives"
HISTORY, PAID = "closes of IWM from", "IWM's distribution of"
# A change of IWM's answer, and the words on it in answers; none if no figure is made of what is changed.
CASES: dict[str, tuple[Callable[[Page], None], str]] = {
    "close a hundredth": (last(close=0.01), ABSURD_CLOSE),
    "close a hundredfold": (last(close=100.0), ABSURD_CLOSE),
    "close 5% lower": (last(close=0.95), ABSURD_CLOSE),
    "close zero": (last(close=0.0), "Stale"),
    "close negative": (last(close=-1.0), "Stale"),
    "close null": (last(close=None), "Stale"),
    "low above the close": (last(low=1.2), ABSURD_CLOSE),
    "high below the close": (last(high=0.5), ABSURD_CLOSE),
    "low and high null": (last(low=None, high=None), ""),
    "open a hundredth": (last(open=0.01), ""),
    "volume nothing": (last(volume=0.0), ""),
    "row a hundredth": (whole_row(0.01), ABSURD_CLOSE),
    "row a tenth": (whole_row(0.1), ABSURD_CLOSE),
    "row halved": (whole_row(0.5), ABSURD_CLOSE),
    "row 20% higher": (whole_row(1.2), ABSURD_CLOSE),
    "row tenfold": (whole_row(10.0), ABSURD_CLOSE),
    "row doubled without its quote": (closes(-1, None, 2.0), ABSURD_CLOSE),
    "quote a tenth": (meta(regularMarketPrice=lambda price: price / 10), ABSURD_CLOSE),
    "quote 4% higher": (meta(regularMarketPrice=lambda price: price * 1.04), ABSURD_CLOSE),
    "a close of last week a third": (closes(-6, -5, 0.33), "IWM's close of Mon 7 Dec 2020 is provisional"),
    "a close of last week tenfold": (closes(-6, -5, 10.0), "IWM's close of Mon 7 Dec 2020 is provisional"),
    "history halved": (closes(0, None, 0.5), HISTORY),
    "history a hundredth": (closes(0, None, 0.01), HISTORY),
    "history 7% higher": (closes(0, None, 1.07), HISTORY),
    "last five sessions doubled": (closes(-5, None, 2.0), HISTORY),
    "adjusted in part": (partly_split, HISTORY),
    "split 0:1": (split(0, 1), ""),
    "split 1:0": (split(1, 0), ""),
    "distribution a hundredfold": (paid(lambda amount: amount * 100), PAID),
    "distribution fivefold": (paid(lambda amount: amount * 5), PAID),
    "distribution negative": (paid(lambda amount: -amount), PAID),
    "distribution null": (paid(lambda _: None), "Stale"),
    "distribution twice": (paid_before, PAID),
    "currency": (meta(currency=lambda _: "EUR"), "Stale"),
    "instrument": (meta(instrumentType=lambda _: "EQUITY"), "Stale"),
    "exchange": (meta(exchangeTimezoneName=lambda _: "Europe/London"), "Stale"),
    "symbol": (meta(symbol=lambda _: "IWN"), "Stale"),
    "stamps at midnight": (stamps(lambda stamp: stamp - stamp % 86_400), "Stale"),
    "stamps a day early": (stamps(lambda stamp: stamp - 86_400), "Stale"),
}


class World:
    """A desk whose prices come from Yahoo."""

    def __init__(self, desk: Desk, fake_yahoo: FakeYahoo, cache: Path) -> None:
        self.desk, self.fake = desk, fake_yahoo
        forget(cache)
        self.yahoo = Yahoo(cache, timeout=5)
        self.yahoo.serves = ("prices",)

    def serve(self, until: dt.date) -> None:
        """Both funds' true closes until a session."""
        shown = [day for day in DAYS if day <= until]
        for ticker, price in (("IWM", 160.0), ("SPY", 320.0)):
            fund = sample_fund(ticker, shown, price)
            fund.dividends |= {day: round(price * 0.003, 3) for day in (LAST,) if day in shown}
            self.fake.add(fund)

    async def refresh(self, now: dt.datetime, change: Callable[[Page], None] | None = None) -> list[str]:
        """Fetch what is due at `now`, IWM's answer changed. Returns what was fetched."""
        self.desk.now = now
        self.fake.heal()

        def changed(page: Page) -> Page:
            of_fund = result(page)["meta"]["symbol"] == "IWM" and len(result(page)["timestamp"]) > 1
            if change is not None and of_fund:  # not the question for its time zone
                page = deepcopy(page)
                change(page)
            return page

        self.fake.fail("chart", changed)
        reports = await refresh(self.desk.database, [self.yahoo], SESSIONS, now)
        return [report.subject for report in reports]

    async def answer(self) -> str:
        """The heading of every page and its notes, once it is seen that none but true figures are used."""
        market = await self.desk.services.markets.current()
        for ticker in market.pair.tickers:
            fund = self.fake.funds[ticker]
            used = {day.date(): close for day, close in market.prices[ticker].dropna().items()}
            assert used == pytest.approx({day: fund.closes[day] for day in used}, rel=1e-6)
            paid_out = {day.date(): amount for day, amount in market.distributions_of(ticker).items()}
            assert paid_out == pytest.approx({day: fund.dividends.get(day) for day in paid_out})
        return "\n".join([strip_html(heading("IWM and SPY", market, AsOf())), *price_notes(market)])

    async def fires(self) -> list[str]:
        return [str(fire) for fire in await self.desk.evaluate()]


@pytest.fixture(scope="module")
def template(loopback: FakeYahoo, yahoo_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sound prices until Friday, and alerts on them."""
    path = tmp_path_factory.mktemp("implausible") / "bot.sqlite3"

    async def fill() -> None:
        with (desk := Desk(path)).database:
            world = World(desk, loopback, yahoo_cache)
            world.serve(BEFORE)
            await world.refresh(SESSIONS.close(pd.Timestamp(BEFORE)) + dt.timedelta(minutes=20))
            for rule in RULES:
                await desk.alert(rule)

    with pytest.MonkeyPatch.context() as patch:
        for name, value in loopback.environment.items():
            patch.setenv(name, value)
        asyncio.run(fill())
    return path


@pytest.fixture
def world(template: Path, tmp_path: Path, fake: FakeYahoo, yahoo_cache: Path) -> Iterator[World]:
    path = tmp_path / "bot.sqlite3"
    shutil.copy(template, path)
    with (desk := Desk(path)).database:
        world = World(desk, fake, yahoo_cache)
        world.serve(LAST)
        yield world


@pytest.mark.parametrize("case", CASES)
async def test_an_implausible_answer_is_named_fires_nothing_and_heals(case: str, world: World) -> None:
    change, sentence = CASES[case]
    await world.refresh(EVENING, change)
    answer = await world.answer()
    assert sentence in answer
    assert ("provisional" in answer) == ("provisional" in sentence or sentence in {HISTORY, PAID})
    assert await world.fires() == []
    fetched = await world.refresh(EVENING + dt.timedelta(minutes=70))
    assert ("IWM prices" in fetched) == bool(sentence)
    answer = await world.answer()
    assert answer.splitlines()[0].endswith("Mon 14 Dec 2020")
    assert "provisional" not in answer
    assert await world.fires() == []
    assert await world.desk.messages() == []


async def test_a_fall_of_both_funds_is_evaluated_and_told(world: World) -> None:
    for ticker, factor in (("IWM", 0.5), ("SPY", 0.56)):
        closes = world.fake.funds[ticker].closes
        closes[LAST] = round((closes[LAST] or 0.0) * factor, 2)
    await world.refresh(EVENING)
    assert "provisional" not in await world.answer()
    fires = await world.fires()
    assert [fire for fire in fires if "excess 1d < -5pp" in fire]


async def test_a_fall_of_one_fund_is_believed_once_the_next_answer_repeats_it(world: World) -> None:
    fund = world.fake.funds["IWM"]
    fund.closes[LAST] = round((fund.closes[LAST] or 0.0) * 0.7, 2)
    await world.refresh(EVENING)
    assert ABSURD_CLOSE in await world.answer()
    assert await world.fires() == []
    await world.refresh(EVENING + dt.timedelta(hours=6))
    assert await world.fires() == []
    following = dt.date(2020, 12, 15)
    for ticker in ("IWM", "SPY"):
        closes = world.fake.funds[ticker].closes
        closes[following] = closes[LAST]
    await world.refresh(EVENING + dt.timedelta(days=1))
    assert "provisional" not in await world.answer()
    fires = await world.fires()
    assert [fire for fire in fires if "excess 1d < -5pp" in fire and "2020-12-14" in fire]
