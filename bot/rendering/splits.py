"""What a chat is told when a split has changed the levels that its alerts are set on."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from bot.rendering.answer import Answer
from bot.rendering.text import Html, bold, code, date_phrase, lines

_SHOWN = 20


@dataclass(frozen=True)
class Split:
    """`ratio` new shares for an old one, from a session on; `withdrawn` where it never was."""

    ticker: str
    session: dt.date
    ratio: float
    withdrawn: bool = False

    @property
    def factor(self) -> float:
        """What becomes of a count of shares."""
        return 1 / self.ratio if self.withdrawn else self.ratio

    def __str__(self) -> str:
        shares = f"{self.ratio:g} for 1" if self.ratio >= 1 else f"1 for {1 / self.ratio:g}"
        taken = ", taken back by its source" if self.withdrawn else ""
        return f"{self.ticker} {shares} on {date_phrase(self.session)}{taken}"


@dataclass(frozen=True)
class Rescaled:
    """An alert with its rule before and after."""

    number: int
    before: str
    after: str


def rescaled(splits: Sequence[Split], factor: float, alerts: Sequence[Rescaled]) -> Answer:
    """Which alerts have other levels now, and that nothing fired by it."""
    more = len(alerts) - _SHOWN
    html = lines(
        bold(f"Split: {', '.join(map(str, splits))}"),
        f"The ratio is {factor:g} times what it was, and so are the levels set on it. Nothing fires by that.",
        *(
            Html("").join((f"#{alert.number} ", code(alert.before), " → ", code(alert.after)))
            for alert in alerts[:_SHOWN]
        ),
        f"... and {more} more, /alerts" if more > 0 else None,
    )
    return Answer(html, buttons=((("Alerts", "/alerts"), ("Trend", "/trend")),))
