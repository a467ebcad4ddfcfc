"""What judging is given and gives: alerts as stored, what is kept of them, and what happened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bot.alerts.view import Life

if TYPE_CHECKING:
    from bot.alerts.state import Bar, Event, State
    from bot.alerts.view import AlertView
    from bot.jobs.telling import Told
    from bot.rendering.corrections import Revision
    from storage.alerts import StoredAlert

WITHDRAWN, RESTATED = "withdrawn", "restated"


@dataclass(frozen=True)
class Row:
    """A stored alert with its state as text and the session it was judged on; None when it has no state."""

    alert: StoredAlert
    state: str | None
    session: str | None


@dataclass(frozen=True)
class Known:
    """An event as it is stored."""

    event_id: int
    event: Event


@dataclass(frozen=True)
class Kept:
    """What is kept of an alert's last sessions: the states as text, and the events that stand."""

    states: Sequence[str] = ()
    events: Sequence[Known] = ()


@dataclass(frozen=True)
class Happening:
    """Something to be stored of an alert, and told unless it is muted.

    transition  "fired" or "still"; "withdrawn": a stored event does not happen any more; "restated":
                it does, with other figures
    was         the stored event of the last two
    revision    why it is withdrawn
    revised     whether it came of revised figures
    """

    transition: str
    event: Event
    was: Known | None = None
    revision: Revision | None = None
    revised: bool = False


@dataclass(frozen=True)
class Judged:
    """One alert with what judging gave: states and happenings in order, or why it cannot be judged."""

    row: Row
    standing: AlertView | None = None
    bars: Sequence[Bar] = ()
    states: tuple[State, ...] = ()
    happenings: tuple[Happening, ...] = ()
    told: tuple[Told, ...] = ()
    over: bool = False  # its last day is judged
    broken: str = ""

    @property
    def alert_id(self) -> int:
        """Its id in storage."""
        return self.row.alert.alert_id

    @property
    def number(self) -> int:
        """Its number in its chat."""
        return self.row.alert.number

    @property
    def chat_id(self) -> int:
        """Its chat."""
        return self.row.alert.chat_id

    @property
    def fires(self) -> list[Event]:
        """What happened that had not before."""
        return [one.event for one in self.happenings if one.transition not in {WITHDRAWN, RESTATED}]

    @property
    def was_active(self) -> bool:
        """Whether it was active when it was read."""
        return self.row.alert.life == Life.ACTIVE

    @property
    def done(self) -> bool:
        """Whether it has fired once, and that was all it was for."""
        return bool(self.states) and self.states[-1].done

    @property
    def ends(self) -> bool:
        """Whether it is not active any more."""
        return bool(self.broken) or self.over or self.done


def standing_after(one: Judged) -> AlertView:
    """The alert as judging left it."""
    if one.standing is None:
        raise LookupError("an alert that could not be read stands nowhere")
    if not one.states:
        return one.standing
    life = one.standing.life
    if one.done or life is Life.DONE:
        life = Life.DONE if one.done else Life.ACTIVE
    return replace(one.standing, life=life, state=one.states[-1])
