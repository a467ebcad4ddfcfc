"""Messages that withdraw an alert which does not hold on revised figures.

Notices about alerts that expire: a week before, and on the day after their last day.

Notices about missing data: figures that a chat's alerts read stop coming, or are back.

Messages that alerts send by themselves: one fired, many fired while the bot was away, one has stopped.

The notice that a split has paused alerts, with buttons that set their rules at the rescaled level.

Shows what an alert's message would look like now. Nothing fires and nothing changes.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pandas as pd

from bot.alerts.engine import ConditionValue, Event, rearm_levels, side_ops, truth
from bot.alerts.series import PATIENCE, rule_lag
from bot.alerts.view import Life
from bot.analytics.metrics import METRICS, newest_session
from bot.analytics.sessions import date_phrase, short_date
from bot.analytics.units import NOT_AVAILABLE
from bot.errors import NoData
from bot.messages.alerts.card import card_buttons, list_buttons, next_check, rearmed, state_sentence
from bot.messages.common import SAMPLE, Answer, Button, distance, in_rows, percentile_phrase, source_line
from bot.messages.html import Html, bold, capital, code, lines, session_phrase
from bot.text import counted

if TYPE_CHECKING:
    from bot.alerts.engine import Sample
    from bot.alerts.revision import ConditionValues, Revision
    from bot.alerts.rule import Condition, Rule
    from bot.alerts.view import AlertView, EvaluationContext
    from bot.analytics.market import Market
    from storage.alert_store import SplitChange


def correction_notice(
    alert: AlertView, event: Event, revision: Revision, context: EvaluationContext, source: str
) -> Answer:
    """The message that withdraws a fire: the figures then and now, and the state of the alert."""
    rule, day = alert.rule, session_phrase(event.session)
    was = "fired" if event.kind == "fired" else "was said to be still true"
    html = lines(
        bold(f"Correction to alert #{alert.number}") + f" · {day}",
        code(str(rule)),
        bold(SAMPLE) if context.market.is_sample else None,
        f"It {was} on figures that have been revised. On those of now it did not.",
        *_changes(rule, revision.since, revision.before, revision.after),
        *(
            _changes(rule, event.session, event.figures, revision.event)
            if event.session != revision.since
            else ()
        ),
        *(_now(rule, revision.event)),
        state_sentence(alert),
        f"Source: {source}.",
    )
    return Answer(html, buttons=(list_buttons(alert.number, alert.life),))


def correction_line(number: int, rule: Rule, event: Event, revision: Revision, source: str) -> Html:
    """The correction as one line of a digest."""
    moved = _changes(rule, event.session, event.figures, revision.event)
    outcome = f" · withdrawn: {'; '.join(line.rstrip('.') for line in moved) or 'revised'} ({source})"
    return Html("").join((f"{short_date(event.session)} · #{number} ", code(str(rule)), outcome))


def _changes(rule: Rule, session: dt.date, then: ConditionValues, now: ConditionValues) -> list[str]:
    """A line for every figure of a session that is another now: value, or a target that moves."""
    changes = []
    before: Sequence[ConditionValue] = then or (ConditionValue(None, None),) * len(now)
    for condition, old, new in zip(rule.conditions, before, now, strict=True):
        for name, was, is_now in (
            (condition.subject, old.value, new.value),
            (str(condition.target), old.threshold, new.threshold),
        ):
            shown, becomes = _show(condition, was), _show(condition, is_now)
            if is_now is not None and shown != becomes and not (name != condition.subject and was is None):
                changes.append(f"{name}, {short_date(session)}: {shown} → {becomes}.")
    return changes


def _now(rule: Rule, legs: ConditionValues) -> list[str]:
    """The event's session by today's figures, per condition."""
    return [
        f"{condition.subject} is {distance(condition, *leg.both)}."
        for condition, leg in zip(rule.conditions, legs, strict=True)
        if leg.both is not None
    ]


def _show(condition: Condition, figure: float | None) -> str:
    return NOT_AVAILABLE if figure is None else METRICS[condition.metric].unit.show(figure)


_SHOWN = 20
_A_ROW = 4


@dataclass(frozen=True)
class Ending:
    """An alert by number, its rule and its last day."""

    number: int
    rule: str
    on: dt.date


def ending_soon_notice(endings: Sequence[Ending]) -> Answer:
    """Alerts that end within days, each with a button that keeps it for another year."""
    if len(endings) == 1:
        (ending,) = endings
        head = bold(f"Alert #{ending.number} ends soon") + f": its last day is {date_phrase(ending.on)}."
        renew, off = (_renew(ending, "Renew for a year"), ("Off", f"/alert {ending.number} off"))
        html = lines(head, code(ending.rule), "Renewed, it goes on for a year from today.")
        return Answer(html, buttons=((renew, off),))
    head = bold(f"{len(endings)} alerts end soon") + "; renewed, they go on for a year from today."
    return _many(head, endings)


def ended_notice(endings: Sequence[Ending]) -> Answer:
    """Alerts whose last day has passed."""
    if len(endings) == 1:
        (ending,) = endings
        head = bold(f"Alert #{ending.number} has ended") + f": {short_date(ending.on)} was its last day."
        return Answer(
            lines(head, code(ending.rule)),
            buttons=((_renew(ending, "Renew for a year"), ("Alerts", "/alerts")),),
        )
    return _many(bold(f"{len(endings)} alerts have ended") + ": their last day has passed.", endings)


def _many(head: Html, endings: Sequence[Ending]) -> Answer:
    shown = endings[:_SHOWN]
    more = len(endings) - len(shown)
    rows = [
        Html("").join((f"{short_date(ending.on)} · #{ending.number} ", code(ending.rule))) for ending in shown
    ]
    html = lines(head, *rows, f"... and {more} more, /alerts" if more else None)
    renewals = [_renew(ending, f"Renew #{ending.number}") for ending in shown]
    return Answer(html, buttons=(*in_rows(renewals, _A_ROW), (("Alerts", "/alerts"),)))


def _renew(ending: Ending, label: str) -> Button:
    return label, f"/alert {ending.number} renew"


_PARTS_SHOWN = 5
_BUTTONS = ((("Status", "/status"), ("Alerts", "/alerts")),)


@dataclass(frozen=True)
class DataGap:
    """A part that lacks figures from a session on, or did and has them again up to its newest one."""

    part: str
    since: dt.date
    newest_session: dt.date | None
    frozen: bool = False  # its sessions come, and all with the same figure
    holed: bool = False  # sessions are missing still, for which alerts wait


@dataclass(frozen=True)
class WaitingAlert:
    """An alert that reads a part: its number and rule."""

    number: int
    rule: str


def part_name(part: str) -> str:
    """A part of the Market in words: "prices", "share counts of IWM", "multiples"."""
    kind, _, ticker = part.partition(":")
    return f"share counts of {ticker}" if kind == "facts" else kind


def outage_notice(gaps: Sequence[DataGap], affected: Sequence[WaitingAlert], market: Market) -> Answer:
    """The notice that figures stopped coming: which, since when, and the alerts that wait for them."""
    html = lines(
        bold(f"Data stale: {_names(gaps)}"),
        *(_since(gap, market) for gap in gaps),
        "Until they come these alerts wait; nothing fires and nothing re-arms:",
        *_listed(affected),
        "One message comes when they are back.",
    )
    return Answer(html, buttons=_BUTTONS)


def waiting_note(parts: Sequence[str], market: Market) -> str | None:
    """A note for a new alert whose data is missing, None if nothing is."""
    if not parts:
        return None
    known = {part: newest_session(market, part) for part in parts}
    ends = [f"{part_name(part)} to {short_date(last)}" for part, last in known.items() if last is not None]
    return f"Data stale: {', '.join(ends)}. It waits; one message comes when they are back."


def recovery_notice(gaps: Sequence[DataGap], market: Market) -> Answer:
    """The notice that figures are back: which, up to when, and what is still missing between."""
    html = lines(
        bold(f"Data back: {_names(gaps)}"),
        *(_reaches(gap, market) for gap in gaps),
        f"What is missing between is waited for, {PATIENCE} sessions at most, before alerts go on."
        if any(gap.holed for gap in gaps)
        else "The sessions that came are judged in their order.",
    )
    return Answer(html, buttons=_BUTTONS)


def _names(gaps: Sequence[DataGap]) -> str:
    return ", ".join(part_name(gap.part) for gap in gaps)


def _since(gap: DataGap, market: Market) -> str:
    newest = gap.newest_session
    if gap.frozen and newest is not None:
        return f"The count has not moved since {date_phrase(newest)}. Source: {_source(gap.part, market)}."
    last = f"The last are for {date_phrase(newest)}" if newest is not None else "There are none"
    return f"{last}; {date_phrase(gap.since)} is missing. Source: {_source(gap.part, market)}."


def _reaches(gap: DataGap, market: Market) -> str:
    last = date_phrase(gap.newest_session) if gap.newest_session is not None else "an unknown session"
    began = f"after {date_phrase(gap.since)} was missing"
    return f"They are there up to {last}, {began}. Source: {_source(gap.part, market)}."


def _source(part: str, market: Market) -> str:
    return f"{market.source(part).label}{f' ({SAMPLE})' if market.is_sample else ''}"


def _listed(affected: Sequence[WaitingAlert]) -> list[Html | str]:
    shown: list[Html | str] = [
        Html("").join((f"#{alert.number} ", code(alert.rule))) for alert in affected[:_PARTS_SHOWN]
    ]
    more = len(affected) - _PARTS_SHOWN
    return [*shown, f"... and {more} more, /alerts"] if more > 0 else shown


FIRES_SINCE_DAYS = 90
DIGEST_LINES = 20
# Why several events are sent in one message.
AWAY, QUIET, SNOOZED = "away", "quiet", "snoozed"
_WHILE = {QUIET: "held back by quiet hours", SNOOZED: "while alerts were snoozed"}


def fired_message(
    alert: AlertView,
    event: Event,
    context: EvaluationContext,
    fires: int,
    late: int,
    *,
    became: str = "",
    deferral: Sequence[str] = (),
) -> Answer:
    """The message of one alert that fired, or is still true after its cooldown.

    `fires` counts 90 days. `late` is how many sessions after its first possible one the event was found, and
    `became` says what became of it since. `deferral` says why it was deferred, and what became of it.
    """
    rule, market = alert.rule, context.market
    what = "fired" if event.kind == "fired" else f"is still true, since {short_date(event.since)}"
    html = lines(
        bold(f"Alert #{alert.number} {what}") + f" · {session_phrase(event.session)}",
        code(str(rule)),
        f"“{rule.note}”" if rule.note else None,
        bold(SAMPLE) if market.is_sample else None,
        _late(late, became) if late and not deferral else None,
        *deferral,
        *(
            line
            for at, condition in enumerate(rule.conditions)
            for line in _moved(event, at, condition, context)
        ),
        rearmed(rule, event),
        _cools(rule) if event.kind == "fired" else None,
        f"Fires in {FIRES_SINCE_DAYS} days: {fires}, this one included." if event.kind == "fired" else None,
        None if event.done else next_check(context),
        source_line(rule, market, late),
    )
    return Answer(html, buttons=card_buttons(replace(alert, life=Life.DONE) if event.done else alert))


def _late(late: int, became: str) -> str:
    since = f"; {became}" if became else ""
    return f"Late by {counted(late, 'session')}: the bot was off, or the data came late{since}."


def _cools(rule: Rule) -> str | None:
    return (
        f"For {counted(rule.cooldown, 'session')} further fires go to /history only."
        if rule.cooldown
        else None
    )


def _moved(event: Event, position: int, condition: Condition, context: EvaluationContext) -> list[str]:
    """Previous value -> new value of one condition, how far past its target, and its place in history."""
    leg, unit = event.figures[position], METRICS[condition.metric].unit
    if leg.both is None:
        return [f"{condition.subject}: {NOT_AVAILABLE}."]
    value, level = leg.both
    before = event.previous[position]
    moved = f"{unit.show(before)} → {unit.show(value)}" if before is not None else unit.show(value)
    rank = percentile_phrase(context.histories.series(condition).value.loc[: pd.Timestamp(event.session)])
    ranked = [] if rank is None else [f"{capital(rank)}."]
    return [f"{condition.subject}: {moved}, {distance(condition, value, level)}.", *ranked]


def fire_line(number: int, rule: Rule, event: Event, became: str, source: str) -> Html:
    """One line of a digest: session, rule, value, what became of it, and its source."""
    value = METRICS[rule.conditions[0].metric].unit.show(event.value)
    still = f", true since {short_date(event.since)}" if event.kind != "fired" else ""
    outcome = f" · {value}{still}, {became} ({source})"
    return Html("").join((f"{short_date(event.session)} · #{number} ", code(str(rule)), outcome))


def plain_line(number: int, rule: str, session: dt.date, transition: str) -> Html:
    """One line of a digest about an event whose rule cannot be read."""
    return Html("").join((f"{short_date(session)} · #{number} ", code(rule), f" · {transition}"))


def digest(fires: Sequence[Html], *, sample: bool, why: str = AWAY) -> Answer:
    """Events that were not sent when they happened, in one message; those beyond 20 are counted."""
    more = len(fires) - DIGEST_LINES
    html = lines(
        bold(_title(len(fires), why)) + (", newest first" if len(fires) > 1 else ""),
        bold(SAMPLE) if sample else None,
        *fires[:DIGEST_LINES],
        f"... and {more} more, /history" if more > 0 else None,
    )
    return Answer(html, buttons=((("Alerts", "/alerts"), ("History", "/history")),))


def _title(count: int, why: str) -> str:
    fires = counted(count, "fire")
    if why == AWAY:
        return f"Late: {fires}, judged only now"
    return f"{fires.replace('fire', 'event')} {_WHILE[why]}"


def paused_message(number: int, rule: str, reason: str) -> Answer:
    """The notice that an alert cannot be judged and is paused."""
    html = lines(
        bold(f"Alert #{number} is paused") + f": {reason.rstrip('.')}.",
        code(rule),
        "All others go on. Resume it once that is mended, or switch it off and set it again.",
    )
    switches = (("Resume", f"/alert {number} resume"), ("Off", f"/alert {number} off"))
    return Answer(html, buttons=(switches,))


def ended_message(alert: AlertView) -> Answer:
    """The notice that an alert's last day has passed."""
    rule = alert.rule
    last = f": {short_date(rule.until)} was its last day" if rule.until is not None else ""
    html = lines(bold(f"Alert #{alert.number} has ended") + f"{last}.", code(str(rule)))
    again = ("Renew for a year", f"/alert {alert.number} renew")
    return Answer(html, buttons=((again, ("Alerts", "/alerts")),))


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


MARK = "TEST - nothing has fired"


def trial_message(alert: AlertView, context: EvaluationContext, fires: int) -> Answer:
    """The message with the figures of the last session that has any. `fires` counts those of 90 days.

    Raises NoData while a condition has no figure at all.
    """
    event, market = trial_event(alert, context), context.market
    late = max(market.sessions_behind(pd.Timestamp(event.session)) - rule_lag(alert.rule, METRICS), 0)
    message = fired_message(alert, event, context, fires + 1, late)
    number = alert.number
    buttons = (((f"#{number}", f"/alert {number}"), ("Edit", f"/alert {number} edit")),)
    return Answer(lines(bold(MARK), message.html), buttons=buttons)


def trial_event(alert: AlertView, context: EvaluationContext) -> Event:
    """The event of a rule that fired at the last session on which all of its conditions have figures."""
    rule, state = alert.rule, alert.state
    samples = context.histories.samples(rule, sessions=context.market.sessions)
    full = [sample for sample in samples if all(leg.both for leg in sample.figures)]
    if not full:
        raise NoData(f"There are no figures yet for {rule}, so there is nothing to show.")
    ops, last = _side(alert, full[-1]), full[-1]
    before = full[-2].figures if len(full) > 1 else ()
    return Event(
        kind="fired",
        session=last.session,
        ops=ops,
        figures=last.figures,
        levels=rearm_levels(rule, state, ops, last.figures),
        previous=tuple(leg.value for leg in before) or (None,) * len(last.figures),
        since=last.session,
        done=rule.once,
    )


def _side(alert: AlertView, sample: Sample) -> tuple[str, ...]:
    """The side that is true now, or the first one if the rule is false."""
    ways = side_ops(alert.rule)
    return next((ops for ops in ways if truth(ops, sample)), ways[0])
