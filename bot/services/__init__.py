"""What people ask and change, as typed calls that chat, jobs and the command line share.

This module holds what they share themselves: `Services`, who calls (`Caller`), and the context of a Market.
"""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol, TypeVar
from weakref import WeakKeyDictionary
from zoneinfo import ZoneInfo

import sqlite_utils

from bot.alerts.series import Histories
from bot.alerts.view import EvaluationContext
from bot.analytics.market import Market
from bot.analytics.metrics import METRICS, Metric, metrics_of
from bot.analytics.valuation import convention_for, kinds_under
from bot.concurrency import ChartRenderer
from bot.config import Config
from bot.data.load import Markets
from bot.pair import Pair
from storage import chat_store
from storage.chat_store import StoredChat
from storage.database import Database

T = TypeVar("T")
OUTBOX_KEPT = dt.timedelta(days=90)  # for messages that were sent or given up
EVENTS_KEPT = dt.timedelta(days=3 * 365)  # for what alerts did
DAILY = "daily"  # kind of a planned summary
LOCAL_CHAT = 1  # the terminal's chat and its person, an owner; no account of Telegram has this id


@dataclass
class Services:
    """What every handler and job needs, created once when the bot starts.

    live      whether sources may be asked: not with --offline nor in the demo
    pictures  Telegram's file_id of each picture that was sent, as long as what it is drawn from is kept
    wanted    charts to be added to pushed messages, by deduplication key, and since when
    boards    the job that posts and edits live boards
    tapped    pushed messages, by chat, whose buttons were tapped since
    pair      the two funds that are compared
    """

    config: Config
    database: Database
    markets: Markets
    clock: Callable[[], dt.datetime]
    live: bool = True
    pictures: WeakKeyDictionary[Callable[[], object], str] = field(default_factory=WeakKeyDictionary)
    wanted: dict[str, tuple[dt.datetime, Callable[..., Any]]] = field(default_factory=dict)
    boards: Any = None
    tapped: set[tuple[int, int]] = field(default_factory=set)
    charts: ChartRenderer = field(default_factory=ChartRenderer)
    pair: Pair = field(init=False)

    def __post_init__(self) -> None:
        self.pair = self.config.pair


class Transaction(Protocol):
    """Runs a write in one transaction and returns its result."""

    async def __call__(self, write: Callable[[sqlite_utils.Database], T], /) -> T:
        """Return the result of `write(db)`."""


@dataclass(frozen=True)
class CallerChat:
    """A chat, and the forum topic in which something is asked."""

    id: int
    kind: str
    title: str
    zone: ZoneInfo
    thread_id: int | None = None


@dataclass(frozen=True)
class Caller:
    """Who calls a service, from which chat and when. Their changes are written with `change`."""

    services: Services
    chat: CallerChat
    user_id: int
    now: dt.datetime
    change: Transaction


def ensure_chat(db: sqlite_utils.Database, caller: Caller) -> StoredChat:
    """Return the caller's chat as it is stored, after storing it if it is new."""
    chat = caller.chat
    return chat_store.ensure_chat(db, chat.id, chat.kind, chat.title, caller.now)


def wall_clock() -> dt.datetime:
    """Return the real time in UTC, even while the bot's clock shows another day."""
    return dt.datetime.now(dt.UTC)


def metrics_for(market: Market) -> dict[str, Metric]:
    """Return the metrics of a Market's pair. Their default convention is one that the Market has data for."""
    convention = convention_for(market)
    return metrics_of(market.pair, convention, kinds_under(market, convention))


@lru_cache(maxsize=2)
def context_of(market: Market, markets: Markets) -> EvaluationContext:
    """Return a Market with its histories, shared by all callers, and the time of the next check."""
    sessions = markets.sessions()
    next_session = sessions.next_after(market.last_completed)
    return EvaluationContext(market, Histories(market, METRICS), sessions.close(next_session))
