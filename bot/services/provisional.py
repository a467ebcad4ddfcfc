"""Figures that are held as implausible: what accepting them would do, and accepting them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bot.alerts.engine import State, evaluate
from bot.alerts.rule import Rule
from bot.alerts.series import Histories
from bot.analytics.metrics import METRICS
from bot.data.load import build_market, read_frames
from bot.data.provisional import accept
from bot.errors import BadInput
from storage import alert_store

if TYPE_CHECKING:
    import datetime as dt

    import sqlite_utils

    from bot.analytics.market import Market
    from bot.data.source_selection import Frames
    from bot.services import Caller
    from storage.alert_store import StoredAlert, StoredState


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
    """Carries what was read out of a transaction that must not be kept."""

    def __init__(self, count: int, frames: Frames) -> None:
        super().__init__()
        self.count, self.frames = count, frames


async def preview_acceptance(caller: Caller, ticker: str, session: dt.date | None) -> Acceptance:
    """Evaluate the active alerts as if the figures were accepted. Raises BadInput if there are none."""
    services = caller.services

    def accepted(db: sqlite_utils.Database) -> None:
        count = accept(db, ticker, session, now=caller.now)
        raise _RolledBack(count, read_frames(db))

    try:
        await services.database.run(accepted)
    except _RolledBack as undone:
        count, frames = undone.count, undone.frames
    _refuse_none(count, ticker, session)
    stored = await services.database.run(
        lambda db: [
            (alert, alert_store.current_state(db, alert.alert_id)) for alert in alert_store.active_alerts(db)
        ]
    )

    def count_fires() -> Acceptance:
        market = build_market(frames, services.markets.sessions(), services.clock(), services.pair)
        histories = Histories(market, METRICS)
        fires = [alert for alert, state in stored if _would_fire(market, histories, alert, state)]
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


def _would_fire(
    market: Market, histories: Histories, alert: StoredAlert, current: StoredState | None
) -> bool:
    """Whether an alert fires on the sessions after its state. One that cannot be read does not."""
    try:
        rule = Rule.from_json(alert.rule_json)
        state = State.from_json(current.state if current else "")
        samples = histories.samples(rule, state.session, market.sessions)
        return any(event.kind == "fired" for event in evaluate(rule, state, samples).events)
    except (BadInput, ValueError):
        return False
