"""A bot's services on a real database, with prices, units and a clock that a test sets by hand."""

import datetime as dt
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import sqlite_utils

from bot.alerts.engine import first_state
from bot.alerts.grammar import parse_rule
from bot.analytics.metrics import METRICS
from bot.analytics.sessions import Sessions
from bot.config import Config
from bot.data.load import Markets
from bot.jobs.commit import Evaluation, Fire
from bot.jobs.summaries import Summaries
from bot.messages.html import strip_html
from bot.services import Services, context_of
from bot.services.alert_views import read_rule, read_state
from storage import alert_store, chat_store, observations
from storage.database import DiskFull, open_database
from storage.records import KINDS, Bar, FundFacts, Observation, select
from tests.funds import LARGE, SMALL
from tests.titles import title_of

SOURCE = "csv"
SPY_CLOSE = 100.0  # so that an IWM close of 55 is a ratio of 0.55
FIRST = "2020-01-02"
_XNYS = Sessions()


def sessions(first: str, count: int) -> list[str]:
    """The exchange's sessions from a date on, as text."""
    index = _XNYS.index
    start = int(index.searchsorted(pd.Timestamp(first)))
    return [f"{day:%Y-%m-%d}" for day in index[start : start + count]]


def after_close(session: str, hours: float = 1.0) -> dt.datetime:
    """An instant after a session's close."""
    return _XNYS.close(pd.Timestamp(session)) + dt.timedelta(hours=hours)


QUIET = [0.5] * 10  # ratios of ten sessions on which nothing happens, up to Wednesday 15 January 2020
DAYS = sessions("2020-01-16", 40)  # those after them: a Thursday, a Friday, and a Tuesday after a holiday
RULE = "ratio > 0.6 rearm 0.55"


def full_disk(*_: object, **__: object) -> Any:  # noqa: ANN401 - it never returns
    """Stands for a function that writes."""
    raise DiskFull("The disk is full.")


class Desk:
    """Everything that evaluation and summaries touch; `now` is the clock."""

    def __init__(self, path: Path, *, timezone: str = "America/New_York") -> None:
        self.database = open_database(path)
        self.now = after_close(FIRST)
        self.services = Services(
            Config().with_keys(time={"timezone": timezone}),
            self.database,
            Markets(self.database, lambda: self.now),
            lambda: self.now,
            live=False,
        )
        self.restart()

    def restart(self) -> None:
        """A new process's memory: none."""
        self.evaluation, self.summaries = Evaluation(self.services), Summaries(self.services)

    async def closes(self, levels: Sequence[float | None], first: str = FIRST) -> list[str]:
        """Store a close of both funds a session, IWM's given as the ratio; None has none. The sessions.

        The clock goes to an hour after the last one's close.
        """
        days = sessions(first, len(levels))
        rows = [
            bar(ticker, day, close)
            for day, level in zip(days, levels, strict=True)
            if level is not None
            for ticker, close in ((SMALL, level * SPY_CLOSE), (LARGE, SPY_CLOSE))
        ]
        await self.store("bars", rows)
        self.now = after_close(days[-1])
        return days

    async def units(self, millions: Sequence[float], first: str = FIRST) -> None:
        """Store IWM's units outstanding in millions and a NAV of 100 dollars, a session each."""
        rows = [
            FundFacts(SMALL, day, nav=100.0, shares=count * 1e6, assets=None)
            for day, count in zip(sessions(first, len(millions)), millions, strict=True)
        ]
        await self.store("fund_facts", rows)

    async def store(self, kind: str, rows: Sequence[Observation], source: str = SOURCE) -> None:
        """Write observations, observed now."""
        now = f"{self.now:%Y-%m-%dT%H:%M:%SZ}"
        write = partial(_store, kind=kind, rows=rows, source=source, now=now)
        await self.database.run(write)

    async def alert(self, text: str, chat_id: int = 1) -> int:
        """Make an alert as the chat does; its id in storage."""
        rule = parse_rule(text, METRICS)
        market = await self.services.markets.current()
        history = context_of(market, self.services.markets).histories.samples(rule, None, market.sessions)
        state = first_state(rule, history, market.last_completed.date())

        def write(db: sqlite_utils.Database) -> int:
            chat_store.ensure_chat(db, chat_id, "private", "", self.now)
            row = alert_store.add_alert(
                db,
                chat_id=chat_id,
                owner_id=chat_id,
                rule=str(rule),
                rule_json=rule.to_json(),
                now=self.now,
                session=state.session.isoformat(),
            )
            alert_store.start_state(db, row.alert_id, state.session.isoformat(), state.to_json())
            return int(row.alert_id)

        return await self.database.run(write)

    async def subscriber(self, at: str, chat_id: int = 1, timezone: str | None = None) -> None:
        """A chat that wants its summary at a local time, known since now."""

        def write(db: sqlite_utils.Database) -> None:
            chat_store.ensure_chat(db, chat_id, "private", "", self.now)
            chat_store.set_summary(db, chat_id, at)
            db.execute("UPDATE chats SET timezone = ? WHERE chat_id = ?", (timezone, chat_id))

        await self.database.run(write)

    async def evaluate(self, levels: Sequence[float | None] = (), first: str = DAYS[0]) -> list[Fire]:
        """One evaluation, after the closes of further sessions if they are given."""
        if levels:
            await self.closes(levels, first)
        return await self.evaluation.run()

    async def query(self, sql: str, parameters: Sequence[object] = ()) -> list[dict[str, Any]]:
        """Rows of a query."""
        return await self.database.run(lambda db: select(db, sql, tuple(parameters)))

    async def change(self, sql: str, parameters: Sequence[object] = ()) -> None:
        """Change rows behind everybody's back."""
        await self.database.run(lambda db: db.execute(sql, tuple(parameters)))

    async def messages(self) -> list[str]:
        """Plain texts of all that was queued, in order."""
        return [payload["plain"] for payload in await self.payloads()]

    async def titles(self) -> list[str]:
        """What `title_of` makes of each."""
        return [title_of(text) for text in await self.messages()]

    async def payloads(self) -> list[dict[str, Any]]:
        """Payloads of all that was queued, in order."""
        rows = await self.query("SELECT payload FROM outbox ORDER BY id")
        bodies = [json.loads(row["payload"]) for row in rows]
        return [{"buttons": [], "silent": False, "plain": strip_html(body["html"]), **body} for body in bodies]

    async def life(self, alert_id: int) -> str:
        """The alert's life and why, e.g. "done: fired once"."""
        row = (await self.query("SELECT life, reason FROM alerts WHERE alert_id = ?", (alert_id,)))[0]
        return f"{row['life']}: {row['reason']}" if row["reason"] else str(row["life"])

    async def evaluated_up_to(self, alert_id: int) -> str:
        """The session the alert was evaluated on last."""

        def read(db: sqlite_utils.Database) -> str:
            (alert,) = alert_store.alerts_by_id(db, [alert_id])
            return str(read_state(db, alert, read_rule(alert)).session)

        return await self.database.run(read)

    async def events(self) -> list[str]:
        """What is stored as having happened: "1 fired 2020-01-10"."""
        rows = await self.query("SELECT * FROM alert_events ORDER BY event_id")
        return [f"{row['alert_id']} {row['transition']} {row['session']}" for row in rows]


def bar(ticker: str, day: str, close: float) -> Bar:
    return Bar(ticker, day, close, open=close, high=close, low=close, volume=1)


def _store(db: sqlite_utils.Database, kind: str, rows: Sequence[Observation], source: str, now: str) -> None:
    observations.add(db, KINDS[kind], rows, source=source, observed_at=now)
