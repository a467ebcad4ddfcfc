"""What alerts did: one line an event, newest first.

The list of a chat's alerts, in pages that fit a message and a phone's thumb.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from bot.alerts.grammar import parse_rule
from bot.alerts.rule import Rule
from bot.analytics.market import NO_SOURCE
from bot.analytics.metrics import METRICS
from bot.analytics.sessions import short_date
from bot.analytics.windows import AsOf
from bot.errors import BadInput
from bot.messages.alerts.card import (
    ending_phrase,
    ends_soon,
    list_buttons,
    stale_phrase,
    state_sentence,
    suggestions,
    summary_distance,
    waiting_phrase,
)
from bot.messages.common import Answer, Button, heading, sources_behind
from bot.messages.html import Html, bold, capital, code, lines, visible_length

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bot.alerts.view import AlertView, EvaluationContext
    from bot.analytics.market import Market
    from bot.analytics.units import Unit
    from storage.alert_store import ChatEvent, EventDetail


_WORDS = {
    "fired": "fired",
    "still": "still true",
    "withdrawn": "taken back, the data was revised",
    "restated": "fired on revised figures",
}
_DEFERRED = {"snooze": "told when the snooze ends", "quiet": "told after the quiet hours"}


PAGE = 20  # events in a message


def history_answer(events: Sequence[ChatEvent], number: int | None = None, *, page: int = 1) -> Answer:
    """Events as `storage.events.events` gives them: of one alert, or of all in the chat.

    They begin at a page. If there are more than fit on it, a button leads to the older ones.
    """
    events, more = events[:PAGE], len(events) > PAGE
    turns = _turns(number, page, more=more)
    alert_buttons = (
        (((f"#{number}", f"/alert {number}"), ("All alerts", "/alerts")),) if number is not None else ()
    )
    if not events:
        nothing = "Nothing has fired yet." if number is None else f"Alert #{number} has not fired yet."
        if page > 1:
            nothing, turns = f"There is no page {page}.", _turns(number, 2, more=False)
        return Answer(
            lines(bold(nothing), "Yours: /alerts" if number is None else None),
            buttons=(*turns, *alert_buttons),
        )
    labels = ", ".join(dict.fromkeys(label for event in events if (label := event.detail.source)))
    count = f"Last {len(events)} events, newest first" if len(events) > 1 else "One event"
    if turns:
        count = f"Page {page} of events, newest first"
    title = count if number is None else f"Alert #{number}: {count[0].lower()}{count[1:]}"
    source = f"Source: {labels}." if labels else None
    return Answer(lines(bold(title), *map(_line, events), "", source), buttons=(*turns, *alert_buttons))


def _turns(number: int | None, page: int, *, more: bool) -> tuple[tuple[Button, ...], ...]:
    """Buttons to the newer and the older page, if any."""
    of = "/history" if number is None else f"/history {number}"
    newer = (("‹ Newer", f"{of} page {page - 1}"),) if page > 1 else ()
    older = (("Older ›", f"{of} page {page + 1}"),) if more else ()
    return ((*newer, *older),) if newer or older else ()


def _line(event: ChatEvent) -> Html:
    """Session, number, the rule as it was then, what happened and at which value."""
    detail = event.detail
    rule, unit = _rule(event)
    day = short_date(event.session)
    word = _WORDS.get(event.transition, event.transition)
    gone = event.transition == "withdrawn"
    value = f" at {unit.show(event.value)}" if unit and event.value is not None and not gone else ""
    kept = "held back by its cooldown" if _muted(detail) else _DEFERRED.get(event.deferred or "", "")
    outcome = f" · {word}{value}{f', {kept}' if kept else ''}"
    return Html("").join((f"{day} · #{event.number} ", code(rule), outcome))


def _rule(event: ChatEvent) -> tuple[str, Unit | None]:
    """The rule and the unit of its value. Of a rule that cannot be read, the stored text and None."""
    stored = event.detail.rule
    try:
        rule = Rule.from_json(stored) if stored else parse_rule(event.rule, METRICS)
        return str(rule), METRICS[rule.conditions[0].metric].unit
    except (BadInput, KeyError, msgspec.DecodeError):
        return event.rule, None


def _muted(detail: EventDetail) -> bool:
    return '"muted":true' in detail.event


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
    return Answer(html, buttons=(*rows, *_page_buttons(pages, at)))


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


def _page_buttons(pages: list[Page], at: int) -> tuple[tuple[Button, ...], ...]:
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
    named = [label for label in sources_behind(conditions, market) if label != NO_SOURCE.label]
    return f"{'Source' if len(named) < 2 else 'Sources'}: {'; '.join(named) or 'none'}."
