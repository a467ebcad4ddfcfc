"""Views of alerts: a stored alert with its state, the context it is evaluated in, and a recorded fire."""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from bot.alerts.engine import Event, State
from bot.alerts.rule import Rule
from bot.alerts.series import Histories
from bot.analytics.market import Market
from bot.analytics.sessions import EXCHANGE

T = TypeVar("T")
SPLIT_REASON = "split of "  # how the reason of an alert begins that a split has paused


class Life(StrEnum):
    """Whether an alert is evaluated: DONE has fired once or was switched off, EXPIRED passed its last day."""

    ACTIVE = "active"
    PAUSED = "paused"
    EXPIRED = "expired"
    DONE = "done"

    @property
    def has_ended(self) -> bool:
        """Whether the alert has ended, so that it can only be renewed."""
        return self not in {Life.ACTIVE, Life.PAUSED}


@dataclass(frozen=True)
class AlertView:
    """A stored alert with its current state.

    number         its number in its chat
    snoozed_until  end of a snooze that is not over yet
    expires_on     its last day, in the chat's time zone
    reason         why it is paused or has ended, if the bot did it
    untold         session of its last fire, if its chat refuses the message about it
    """

    number: int
    rule: Rule
    life: Life
    state: State
    snoozed_until: dt.datetime | None = None
    expires_on: dt.date | None = None
    reason: str = ""
    untold: dt.date | None = None

    @property
    def is_paused_by_split(self) -> bool:
        """Whether it waits to be rescaled or resumed after a split; an edited one waits for neither."""
        return self.life is Life.PAUSED and self.reason.startswith(SPLIT_REASON)


@dataclass(frozen=True)
class EvaluationContext:
    """The Market that alerts are evaluated on.

    next_check  close of the session that follows
    zone        time zone of the times that are shown
    shared      what the messages of many alerts have in common, made once
    """

    market: Market
    histories: Histories
    next_check: dt.datetime
    zone: ZoneInfo = EXCHANGE
    shared: dict[object, Any] = field(default_factory=dict, compare=False)

    def once(self, key: object, make: Callable[[], T]) -> T:
        """What `make` returns, made once for the key."""
        if key not in self.shared:
            self.shared[key] = make()
        value: T = self.shared[key]
        return value


@dataclass(frozen=True)
class RecordedFire:
    """A fire as it was recorded, with the rule and the inputs of its time.

    before       state before it; None where it is not kept any more
    source       labels of the sources of its figures
    observed_at  UTC instant of the newest of them
    """

    number: int
    rule: Rule
    event: Event
    before: State | None
    source: str
    observed_at: str
