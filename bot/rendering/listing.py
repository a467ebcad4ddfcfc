"""The list of a chat's alerts, in pages that fit a message and a phone's thumb."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot.analytics.market import NOTHING
from bot.analytics.windows import AsOf
from bot.rendering.alerts import list_buttons, suggestions
from bot.rendering.answer import Answer, Button, heading
from bot.rendering.figures import sources_behind
from bot.rendering.standing import (
    ending_phrase,
    ends_soon,
    stale_phrase,
    state_sentence,
    summary_distance,
    waiting_phrase,
)
from bot.rendering.text import Html, bold, code, lines, visible_length
from bot.text import capital

if TYPE_CHECKING:
    from bot.alerts.view import AlertView, EvaluationContext
    from bot.analytics.market import Market

MOST_ROWS = 8  # alerts on a page, a row of buttons each
ROOM = 3200  # visible UTF-16 units of a page's alerts; heading and sources take the rest of a message


def alert_list(standings: list[AlertView], context: EvaluationContext, shown: int = 0) -> Answer:
    """A page of the chat's alerts: rule, state, value and target. `shown` is an alert on that page."""
    if not standings:
        return Answer(
            lines(
                bold("No alerts yet."),
                Html("").join(("Try ", code("/alert ratio > sma 200"), ", or choose:")),
            ),
            buttons=suggestions(),
        )
    pages = _pages([(alert, _entry(alert, context)) for alert in standings])
    at = next((at for at, page in enumerate(pages) if page[-1][0].number >= shown), len(pages) - 1)
    page = pages[at]
    name = f"Alerts, page {at + 1} of {len(pages)}" if len(pages) > 1 else "Alerts"
    html = lines(
        _heading(name, context.market),
        *(entry for _, entry in page),
        _sources([alert for alert, _ in page], context.market),
    )
    rows = tuple(list_buttons(alert.number, alert.life) for alert, _ in page)
    return Answer(html, buttons=(*rows, *_turns(pages, at)))


Page = list[tuple["AlertView", Html]]


def _pages(entries: Page) -> list[Page]:
    """Alerts in pages, as many on each as rows and length allow."""
    pages: list[Page] = [[]]
    used = 0
    for alert, entry in entries:
        length = visible_length(entry) + 1
        if pages[-1] and (len(pages[-1]) == MOST_ROWS or used + length > ROOM):
            pages.append([])
            used = 0
        pages[-1].append((alert, entry))
        used += length
    return pages


def _turns(pages: list[Page], at: int) -> tuple[tuple[Button, ...], ...]:
    """Buttons to the neighbouring pages. They name an alert, so that they survive changes of the list."""
    row = []
    if at > 0:
        row.append((f"‹ {_span(pages[at - 1])}", f"/alerts {pages[at - 1][0][0].number}"))
    if at + 1 < len(pages):
        row.append((f"{_span(pages[at + 1])} ›", f"/alerts {pages[at + 1][0][0].number}"))
    return (tuple(row),) if row else ()


def _span(page: Page) -> str:
    first, last = page[0][0].number, page[-1][0].number
    return f"#{first}" if first == last else f"#{first} to #{last}"


def _entry(alert: AlertView, context: EvaluationContext) -> Html:
    sentences = f"{state_sentence(alert, context.zone)} {capital(summary_distance(alert, context))}."
    ends = ending_phrase(alert) if ends_soon(alert, context) else None
    more = (waiting_phrase(alert, context), stale_phrase(alert, context), ends)
    return lines(
        Html(" ").join((bold(f"#{alert.number}"), code(str(alert.rule)))),
        " ".join(filter(None, (sentences, *more))),
    )


def _heading(name: str, market: Market) -> Html:
    """Heading of the list. Alerts can be listed before any data is stored."""
    if market.end is None:
        return bold(name) + " · no data yet"
    return heading(name, market, AsOf())


def _sources(standings: list[AlertView], market: Market) -> str:
    """One line that names the sources of the listed alerts."""
    conditions = (condition for alert in standings for condition in alert.rule.conditions)
    named = [label for label in sources_behind(conditions, market) if label != NOTHING.label]
    return f"{'Source' if len(named) < 2 else 'Sources'}: {'; '.join(named) or 'none'}."
