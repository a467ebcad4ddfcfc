"""What the evaluator takes and returns: alerts as they are stored, their recent history, and what changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bot.alerts.view import Life

if TYPE_CHECKING:
    from bot.alerts.replay import Revision
    from bot.alerts.state import Event, Sample, State
    from bot.alerts.view import AlertView
    from storage.alerts import StoredAlert

WITHDRAWN, RESTATED = "withdrawn", "restated"


@dataclass(frozen=True)
class AlertSnapshot:
    """A stored alert as it was read, with its state as text and the session of that state, if it has one."""

    alert: StoredAlert
    state: str | None
    session: str | None


@dataclass(frozen=True)
class EventInForce:
    """An event with its id in storage."""

    event_id: int
    event: Event


@dataclass(frozen=True)
class StateHistory:
    """The stored states of an alert's last sessions, as text, and the events of these that are in force."""

    states: Sequence[str] = ()
    events: Sequence[EventInForce] = ()


@dataclass(frozen=True)
class AlertEvent:
    """An event to store, and to report unless it is muted.

    transition  "fired" or "still"; "withdrawn": a stored event does not happen on the revised data;
                "restated": it does, with other values
    stored      the stored event that is withdrawn or restated
    revision    why it is withdrawn
    revised     whether revised data led to it
    """

    transition: str
    event: Event
    stored: EventInForce | None = None
    revision: Revision | None = None
    revised: bool = False


@dataclass(frozen=True)
class EvaluationResult:
    """What evaluating one alert changes: its new states and events in order, or why it cannot be evaluated.

    expired  the last session of its rule has been evaluated
    broken   why it cannot be evaluated
    """

    snapshot: AlertSnapshot
    alert: AlertView | None = None
    samples: Sequence[Sample] = ()
    states: tuple[State, ...] = ()
    events: tuple[AlertEvent, ...] = ()
    expired: bool = False
    broken: str = ""

    @property
    def alert_id(self) -> int:
        """Its id in storage."""
        return self.snapshot.alert.alert_id

    @property
    def number(self) -> int:
        """Its number in its chat."""
        return self.snapshot.alert.number

    @property
    def chat_id(self) -> int:
        """Its chat."""
        return self.snapshot.alert.chat_id

    @property
    def new_fires(self) -> list[Event]:
        """Events that were not stored before."""
        return [change.event for change in self.events if change.transition not in {WITHDRAWN, RESTATED}]

    @property
    def was_active(self) -> bool:
        """Whether it was active when it was read."""
        return self.snapshot.alert.life == Life.ACTIVE

    @property
    def done(self) -> bool:
        """Whether a rule with `once` has fired."""
        return bool(self.states) and self.states[-1].done

    @property
    def ends(self) -> bool:
        """Whether the alert is no longer active after this evaluation."""
        return bool(self.broken) or self.expired or self.done

    def alert_after(self) -> AlertView:
        """The alert after this evaluation."""
        if self.alert is None:
            raise LookupError("an alert that could not be read has no view")
        if not self.states:
            return self.alert
        life = self.alert.life
        if self.done or life is Life.DONE:
            life = Life.DONE if self.done else Life.ACTIVE
        return replace(self.alert, life=life, state=self.states[-1])
