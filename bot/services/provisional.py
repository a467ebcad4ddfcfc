"""Figures that are held as implausible: what accepting them would do, and accepting them."""

import asyncio
import datetime as dt
from contextlib import suppress
from dataclasses import dataclass, field

import sqlite_utils

from bot.alerts.engine import evaluate
from bot.alerts.series import Histories
from bot.alerts.view import AlertView
from bot.analytics.market import Market
from bot.analytics.metrics import METRICS
from bot.data.load import build_market, read_frames
from bot.data.provisional import accept
from bot.data.source_selection import Frames
from bot.errors import BadInput
from bot.services import Caller, alert_views
from storage import alert_store
from storage.alert_store import StoredAlert


@dataclass(frozen=True)
class Acceptance:
    """What accepting provisional figures would do.

    count  how many figures become final
    fires  how many alerts would fire at the next check, in how many chats
    own    the rules of those in the chat that asks, with their numbers
    """

    count: int
    fires: int = 0
    chats: int = 0
    own: list[tuple[int, str]] = field(default_factory=list)


class _RolledBack(Exception):
    """Ends a transaction that must not be kept."""


async def preview_acceptance(caller: Caller, ticker: str, session: dt.date | None) -> Acceptance:
    """Evaluate the active alerts as if the figures were accepted. Raises BadInput if there are none."""
    services = caller.services
    accepted: list[tuple[int, Frames]] = []

    def try_out(db: sqlite_utils.Database) -> None:
        accepted.append((accept(db, ticker, session, now=caller.now), read_frames(db)))
        raise _RolledBack

    with suppress(_RolledBack):
        await services.database.run(try_out)
    ((count, frames),) = accepted
    _refuse_none(count, ticker, session)

    def read(db: sqlite_utils.Database) -> list[tuple[StoredAlert, AlertView]]:
        alerts = []
        for alert in alert_store.active_alerts(db):
            with suppress(alert_views.Unreadable):  # it does not fire
                alerts.append((alert, alert_views.view_alert(db, alert, caller.now)))
        return alerts

    stored = await services.database.read(read)

    def count_fires() -> Acceptance:
        market = build_market(frames, services.markets.sessions(), services.clock(), services.pair)
        histories = Histories(market, METRICS)
        fires = [alert for alert, view in stored if _would_fire(market, histories, view)]
        own = [(alert.number, alert.rule) for alert in fires if alert.chat_id == caller.chat.id]
        return Acceptance(count, len(fires), len({alert.chat_id for alert in fires}), own)

    return await asyncio.to_thread(count_fires)


async def accept_figures(caller: Caller, ticker: str, session: dt.date | None) -> int:
    """Make the figures final. Returns how many there were; raises BadInput if there are none."""

    def write(db: sqlite_utils.Database) -> int:
        count = accept(db, ticker, session, now=caller.now)
        _refuse_none(count, ticker, session)
        return count

    return await caller.change(write)


def _refuse_none(count: int, ticker: str, session: dt.date | None) -> None:
    if not count:
        day = f" of {session}" if session else ""
        raise BadInput(f"{ticker} has no provisional figure{day}.", "/admin accept")


def _would_fire(market: Market, histories: Histories, view: AlertView) -> bool:
    """Whether an alert fires on the sessions after its state. One that cannot be evaluated does not."""
    try:
        samples = histories.samples(view.rule, view.state.session, market.sessions)
        return any(event.kind == "fired" for event in evaluate(view.rule, view.state, samples).events)
    except (BadInput, ValueError):
        return False
