"""What people change and ask, as typed calls that chat, jobs and the command line share.

What handlers and jobs share: configuration, database, Market, clock and the chart process.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol, TypeVar

from bot.alerts.series import Histories
from bot.alerts.view import EvaluationContext
from bot.analytics.metrics import METRICS, metrics_of
from bot.analytics.valuation import convention_for
from bot.chart_process import ChartRenderer

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    import sqlite_utils

    from bot.analytics.market import Market
    from bot.analytics.metrics import Metric
    from bot.config import Config
    from bot.data.load import Markets
    from bot.pair import Pair
    from storage.db import Database


# Sent and given-up messages are kept this long; a summary's row also records that it was sent.
OUTBOX_KEPT = dt.timedelta(days=90)
T = TypeVar("T")
DAILY = "daily"  # kind of the summaries' due rows


@dataclass
class Services:
    """What every handler and job shares; made once by the composition root."""

    config: Config
    database: Database
    markets: Markets
    clock: Callable[[], dt.datetime]
    live: bool = True  # whether sources may be asked; false with --offline and in the demo
    pictures: dict[str, str] = field(default_factory=dict)  # digest of a picture -> Telegram's file_id
    charts: ChartRenderer = field(default_factory=ChartRenderer)

    pair: Pair = field(init=False)  # the two funds that are compared

    def __post_init__(self) -> None:
        self.pair = self.config.pair


class Transaction(Protocol):
    """Runs a write in one transaction and returns its result."""

    async def __call__(self, write: Callable[[sqlite_utils.Database], T], /) -> T:
        """The result of `write(db)`."""


@dataclass(frozen=True)
class Chat:
    """A chat, and the forum topic in which something is asked."""

    id: int
    kind: str
    title: str
    zone: ZoneInfo
    thread_id: int | None = None


@dataclass(frozen=True)
class Caller:
    """Who asks for something, where and when; `change` is what their changes are written with."""

    chat: Chat
    user_id: int
    now: dt.datetime
    change: Transaction


def wall_clock() -> dt.datetime:
    """The real clock, whatever day is played."""
    return dt.datetime.now(dt.UTC)


def metrics_for(market: Market) -> dict[str, Metric]:
    """The metrics of a Market's pair; without a convention named, the one it can be read by holds."""
    return metrics_of(market.pair, convention_for(market))


@lru_cache(maxsize=2)
def context_of(market: Market, markets: Markets) -> EvaluationContext:
    """Histories of one Market, made once and shared by all who ask, and the instant of the next check."""
    sessions = markets.sessions()
    following = sessions.next_after(market.last_completed)
    return EvaluationContext(market, Histories(market, METRICS), sessions.close(following))
