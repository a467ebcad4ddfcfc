"""The notice that a split has paused alerts, with buttons that set their rules at the rescaled level."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bot.rendering.answer import Answer
from bot.rendering.text import Html, bold, code, date_phrase, lines

if TYPE_CHECKING:
    from bot.alerts.rule import Rule
    from storage.splits import SplitChange

_SHOWN = 20


@dataclass(frozen=True)
class SplitPause:
    """An alert that a split has paused, with its rule at the rescaled level."""

    number: int
    rule: str
    rescaled: Rule


def split_text(splits: Sequence[SplitChange]) -> str:
    """The splits in words: "IWM 2 for 1 on Mon 14 Dec 2020"."""
    return ", ".join(map(_split_text, splits))


def _split_text(split: SplitChange) -> str:
    ratio = split.ratio
    shares = f"{ratio:g} for 1" if ratio >= 1 else f"1 for {1 / ratio:g}"
    withdrawn = ", taken back by its source" if split.withdrawn else ""
    return f"{split.ticker} {shares} on {date_phrase(split.session)}{withdrawn}"


def paused_by_split(splits: Sequence[SplitChange], factor: float, alerts: Sequence[SplitPause]) -> Answer:
    """Which alerts are paused, and the buttons that set them at the rescaled level."""
    shown, more = alerts[:_SHOWN], len(alerts) - _SHOWN
    html = lines(
        bold(f"Split: {split_text(splits)}"),
        f"The ratio is {factor:g} times what it was. Alerts on its level are paused; nothing fires by that.",
        *(
            Html("").join((f"#{alert.number} ", code(alert.rule), " → ", code(str(alert.rescaled))))
            for alert in shown
        ),
        f"... and {more} more, /alerts" if more > 0 else None,
        "A button sets the alert at its rescaled level and resumes it. Resume one by hand to keep its level.",
    )
    rescale = tuple(((f"Rescale #{alert.number}", f"/alert {alert.number} rescale"),) for alert in shown)
    return Answer(html, buttons=(*rescale, (("Alerts", "/alerts"), ("Trend", "/trend"))))
