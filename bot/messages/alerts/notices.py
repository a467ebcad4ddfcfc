"""Messages that alerts send by themselves.

One alert fired, several fired while nothing could be sent, a fire is withdrawn on revised figures, an alert
is paused or ends, the data that alerts read stops or returns, a split pauses alerts.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas as pd

from bot.alerts import engine
from bot.alerts.revision import ConditionValues, Revision
from bot.alerts.rule import Rule
from bot.alerts.series import PATIENCE, subject_of_rule
from bot.alerts.view import AlertView, EvaluationContext, Life
from bot.analytics.market import Market
from bot.analytics.metrics import METRICS, newest_session
from bot.analytics.trend import ratio
from bot.analytics.units import NOT_AVAILABLE, PERCENT
from bot.messages import common
from bot.messages.alerts import words
from bot.messages.alerts.card import card_buttons
from bot.messages.common import Answer
from bot.messages.html import Html, bold, code, escape, lines, session_phrase
from bot.text import counted, date_phrase, short_date
from storage.alert_store import SplitChange, StoredAlert

FIRES_SINCE_DAYS = 90
OFTEN = 6  # fires in that time, from which on a wider rule is suggested
MOST_LISTED = 20  # events or alerts in one message; those beyond are counted
_MOST_WAITING = 5  # alerts that the notice of an outage names
_RENEWALS_IN_A_ROW = 4
_ALERTS_HINT = ": /alerts"
# Why several events are sent in one message.
AWAY, QUIET, SNOOZE, ASLEEP = "away", "quiet", "snooze", "asleep"
_LIST_TITLES = {
    QUIET: "held back by quiet hours",
    SNOOZE: "while alerts were snoozed",
    ASLEEP: "while this chat refused messages",
}


def fired_message(
    alert: AlertView,
    event: engine.Event,
    context: EvaluationContext,
    fires: int,
    late: int,
    *,
    since: str = "",
    deferred: str = "",
) -> Answer:
    """The message about one event of an alert: a fire, or what else is reported.

    fires     its fires in 90 days, this one included
    late      sessions after its first possible one at which the event was noticed
    since     whether the rule has been true since then
    deferred  a sentence that says why the message was deferred, in place of the one about a late message
    """
    rule, market, fired = alert.rule, context.market, event.kind == engine.FIRED
    key, session = (subject_of_rule(rule), event.session), pd.Timestamp(event.session)
    if event.kind == engine.ALREADY:
        deferred = deferred or "Its first figures have come. Nothing turned, so this is no alert."
    elif late and not deferred:
        outcome = f"; {since}" if since else ""
        reason = "the bot was off, or the data came late or had to be confirmed"
        deferred = f"Late by {counted(late, 'session')}: {reason}{outcome}."
    is_often = fired and fires >= OFTEN
    often = f"Fired {fires} times in {FIRES_SINCE_DAYS} days: widen it?" if is_often else None
    still = (
        f"It has been true since {short_date(event.since)}." if event.kind in {engine.STILL, engine.REMINDER} else None
    )
    html = lines(
        bold(words.headline(rule, event, market.pair)),
        _figures(rule, event, context),
        held_phrase(event, market) if event.kind == engine.BACK else still,
        deferred or None,
        often,
    )
    quote = words.details(
        alert,
        context,
        *words.rank_sentences(rule, context, event.session),
        words.rearmed(rule, event),
        f"A reminder comes every {counted(rule.remind, 'session')} while it is true, until you tap Got it."
        if event.kind == engine.REMINDER
        else None,
        f"For {counted(rule.cooldown, 'session')} further fires are only listed in /history."
        if fired and rule.cooldown
        else None,
        f"Fired {words.times(fires)} in {FIRES_SINCE_DAYS} days." if fired and not often else None,
        None if event.done else context.once(("next", context.zone), lambda: words.next_check(context)),
        source=""
        if market.is_sample
        else context.once(("sources", key), lambda: common.rule_sources(rule, market, session)),
    )
    reminds = bool(rule.remind) and event.kind not in {engine.ALREADY, engine.BACK}
    shown = replace(alert, life=Life.DONE) if event.done else alert
    return Answer(html, quote=quote, buttons=card_buttons(shown, pushed=True, reminds=reminds, often=is_often))


def held_phrase(event: engine.Event, market: Market) -> str:
    """How long a rule that re-arms was true, and what the ratio did meanwhile."""
    if event.since == event.session:
        return "It was true from the start."
    begin, end = pd.Timestamp(event.since), pd.Timestamp(event.session)
    count = int(((market.sessions > begin) & (market.sessions <= end)).sum())
    closes = ratio(market).reindex([begin, end])
    move = PERCENT.show(100 * (float(closes.iloc[1]) / float(closes.iloc[0]) - 1))
    ratio_moved = f"; {market.pair} {move} meanwhile" if closes.notna().all() else ""
    return f"It held for {counted(count, 'session')}, since {short_date(event.since)}{ratio_moved}."


def _figures(rule: Rule, event: engine.Event, context: EvaluationContext) -> str:
    """The values of an event beside their targets, their close, and the values before."""
    market, session = context.market, pd.Timestamp(event.session)
    rows = list(zip(rule.conditions, event.figures, event.previous, strict=True))
    now = [
        NOT_AVAILABLE if figures.both is None else words.against(condition, *figures.both)
        for condition, figures, _ in rows
    ]
    before = [METRICS[condition.metric].unit.show(previous) for condition, _, previous in rows if previous is not None]
    key = "close", subject_of_rule(rule), event.session
    close = context.once(key, lambda: session_phrase(common.newest_close(rule, market, session)))
    earlier = f" Before: {'; '.join(before)}." if len(before) == len(rows) else ""
    return f"{'; '.join(now)}, {close}.{earlier}{f' {common.SAMPLE_NOTICE}' if market.is_sample else ''}"


def event_list(event_lines: Sequence[Html], *, sample: bool, why: str = AWAY) -> Answer:
    """Events that were not sent when they happened, in one message; those beyond 20 are counted."""
    count = len(event_lines)
    title = (
        f"Late: {counted(count, 'event')}, evaluated only now"
        if why == AWAY
        else f"{counted(count, 'event')} {_LIST_TITLES[why]}"
    )
    html = lines(
        bold(title) + (", newest first" if count > 1 else ""),
        bold(common.SAMPLE_NOTICE) if sample else None,
        *common.shortened(event_lines, MOST_LISTED, ": /history"),
    )
    return Answer(html, buttons=((("Alerts", "/alerts"), ("History", "/history")),))


def fire_line(number: int, rule: Rule, event: engine.Event, since: str, source: str) -> Html:
    """One line of a list: session, rule, value, whether it has been true since, and the source."""
    value = METRICS[rule.conditions[0].metric].unit.show(event.value)
    still = {
        engine.FIRED: "",
        engine.ALREADY: ", true already with its first figures, no fire",
        engine.BACK: ", back",
    }.get(event.kind, f", true since {short_date(event.since)}")
    return plain_line(number, str(rule), event.session, f"{value}{still}, {since} ({source})")


def correction_line(number: int, rule: Rule, event: engine.Event, revision: Revision, source: str) -> Html:
    """A correction as one line of a list."""
    changes = _changes(rule, event.session, event.figures, revision.event)
    summary = "; ".join(line.rstrip(".") for line in changes) or "revised"
    return plain_line(number, str(rule), event.session, f"withdrawn: {summary} ({source})")


def plain_line(number: int, rule: str, session: dt.date, outcome: str) -> Html:
    """One line of a list: session, number, rule and what happened."""
    return Html(f"{short_date(session)} · #{number} {code(rule)} · {escape(outcome)}")


def correction_notice(
    alert: AlertView, event: engine.Event, revision: Revision, context: EvaluationContext, source: str
) -> Answer:
    """The message that withdraws a fire: the figures then and now, and the state of the alert."""
    rule, pair = alert.rule, context.market.pair
    close = common.newest_close(rule, context.market, pd.Timestamp(event.session))
    sample = f" {common.SAMPLE_NOTICE}" if context.market.is_sample else ""
    html = lines(
        bold(f"Correction: “{words.headline(rule, event, pair)}” no longer holds"),
        f"It was reported for the {session_phrase(close)}; its figures have been revised since.{sample}",
        *_changes(rule, revision.since, revision.before, revision.after),
        *(_changes(rule, event.session, event.figures, revision.event) if event.session != revision.since else ()),
    )
    current = [
        f"{condition.subject}: {words.against(condition, *figures.both)}."
        for condition, figures in zip(rule.conditions, revision.event, strict=True)
        if figures.both is not None
    ]
    state = words.state_sentence(alert, context.zone)
    quote = words.details(alert, context, *current, state, source=f"Source: {source}.")
    return Answer(html, quote=quote, buttons=card_buttons(alert))


def _changes(rule: Rule, session: dt.date, then: ConditionValues, now: ConditionValues) -> list[str]:
    """A sentence for every figure of a session that has changed: a value, or a target that moves."""
    changes = []
    before = then or (engine.ConditionValue(None, None),) * len(now)
    for condition, old, new in zip(rule.conditions, before, now, strict=True):
        show = METRICS[condition.metric].unit.show
        for name, previous, current in (
            (condition.subject, old.value, new.value),
            (str(condition.target), old.threshold, new.threshold),
        ):
            shown, becomes = show(previous), show(current)
            unknown_target = previous is None and name != condition.subject
            if current is not None and shown != becomes and not unknown_target:
                changes.append(f"{name}, {short_date(session)}: {shown} → {becomes}.")
    return changes


def paused_message(number: int, rule: str, reason: str) -> Answer:
    """The notice that an alert cannot be evaluated and is paused."""
    html = lines(
        bold(f"Alert #{number} is paused") + f": {reason.rstrip('.')}.",
        code(rule),
        "All other alerts go on. Resume it once the cause is fixed, or switch it off and create it again.",
    )
    return Answer(html, buttons=((("Resume", f"/alert {number} resume"), ("Off", f"/alert {number} off")),))


def ends_notice(alerts: Sequence[StoredAlert], *, has_ended: bool) -> Answer:
    """Alerts whose last day has passed, or that end within days, each with a button that keeps it for another year."""
    count, verb = len(alerts), "ended" if has_ended else "ends soon"
    title = f"{count} alerts {'have ended' if has_ended else 'end soon'}"
    if count == 1:
        title = f"Alert #{alerts[0].number} {'has ' if has_ended else ''}{verb}"
    outcome = "Renewed, it starts afresh." if has_ended else "Renewed, it goes on for a year from today."
    rows = [
        Html("Last day {}: {}").format(
            NOT_AVAILABLE if alert.expires_on is None else short_date(alert.expires_on), _number_and_rule(alert)
        )
        for alert in alerts
    ]
    renewals = [(f"Renew #{alert.number}", f"/alert {alert.number} renew") for alert in alerts[:MOST_LISTED]]
    buttons = (*common.in_rows(renewals, _RENEWALS_IN_A_ROW), (("Alerts", "/alerts"),))
    html = lines(bold(title + "."), *common.shortened(rows, MOST_LISTED, _ALERTS_HINT), outcome)
    return Answer(html, buttons=buttons)


def _number_and_rule(alert: StoredAlert) -> Html:
    return Html("#{} {}").format(alert.number, code(alert.rule))


@dataclass(frozen=True)
class DataGap:
    """A part of the Market that lacks figures, or lacked them and has them again.

    since           the first session without figures
    newest_session  the newest session with them
    frozen          whether sessions arrive, but all with the same figure
    holed           whether sessions are still missing, for which alerts wait
    """

    part: str
    since: dt.date
    newest_session: dt.date | None
    frozen: bool = False
    holed: bool = False


def part_name(part: str) -> str:
    """A part of the Market in words: "prices", "share counts of IWM", "multiples"."""
    kind, _, ticker = part.partition(":")
    return f"share counts of {ticker}" if kind == "facts" else kind


def waiting_note(parts: Sequence[str], market: Market) -> str | None:
    """A note for a new alert whose data is missing, None if nothing is."""
    if not parts:
        return None
    ends = ((part_name(part), newest_session(market, part)) for part in parts)
    stale = ", ".join(f"{name} end on {short_date(last)}" for name, last in ends if last is not None)
    return f"Data stale: {stale}. The alert waits; you get one message when the data is back."


def outage_notice(gaps: Sequence[DataGap], waiting: Sequence[StoredAlert], market: Market) -> Answer:
    """The notice that data stopped coming: which, since when, and the alerts that wait for it."""
    return _data_notice(
        f"Data stale: {', '.join(part_name(gap.part) for gap in gaps)}",
        *(f"{_missing_since(gap)} Source: {_source(gap, market)}." for gap in gaps),
        "Until the data is back, these alerts wait; none of them fires or re-arms:",
        *common.shortened([_number_and_rule(alert) for alert in waiting], _MOST_WAITING, _ALERTS_HINT),
        "You get one message when it is back.",
    )


def _missing_since(gap: DataGap) -> str:
    if gap.newest_session is None:
        return f"There is none yet; {date_phrase(gap.since)} is missing."
    if gap.frozen:
        return f"The count has not changed since {date_phrase(gap.newest_session)}."
    return f"The latest is for {date_phrase(gap.newest_session)}; {date_phrase(gap.since)} is missing."


def recovery_notice(gaps: Sequence[DataGap], market: Market) -> Answer:
    """The notice that data is back: which, up to when, and whether some is still missing in between."""
    return _data_notice(
        f"Data back: {', '.join(part_name(gap.part) for gap in gaps)}",
        *(f"{_restored_up_to(gap)} Source: {_source(gap, market)}." for gap in gaps),
        f"Alerts first wait for the sessions that are still missing, {PATIENCE} sessions at most."
        if any(gap.holed for gap in gaps)
        else "Alerts are evaluated on these sessions in order.",
    )


def _restored_up_to(gap: DataGap) -> str:
    last = date_phrase(gap.newest_session) if gap.newest_session is not None else "an unknown session"
    return f"It now reaches to {last}, after {date_phrase(gap.since)} was missing."


def _data_notice(title: str, *sentences: Html | str) -> Answer:
    return Answer(lines(bold(title), *sentences), buttons=((("Status", "/status"), ("Alerts", "/alerts")),))


def _source(gap: DataGap, market: Market) -> str:
    return f"{market.source(gap.part).label}{f' ({common.SAMPLE_NOTICE})' if market.is_sample else ''}"


def split_text(splits: Sequence[SplitChange]) -> str:
    """The splits in words: "IWM 2 for 1 on Mon 14 Dec 2020"."""
    return ", ".join(
        f"{split.ticker} {f'{split.ratio:g} for 1' if split.ratio >= 1 else f'1 for {1 / split.ratio:g}'} "
        f"on {date_phrase(split.session)}{', withdrawn by its source' if split.withdrawn else ''}"
        for split in splits
    )


def paused_by_split(splits: Sequence[SplitChange], pauses: Sequence[tuple[StoredAlert, Rule]]) -> Answer:
    """The alerts that a split has paused, each with its rule at the rescaled level and a button to set it."""
    rows = [_number_and_rule(alert) + " → " + code(str(rescaled)) for alert, rescaled in pauses]
    html = lines(
        bold(f"Split: {split_text(splits)}"),
        "Alerts on the level of a price or of the ratio are paused; the split fires none of them.",
        *common.shortened(rows, MOST_LISTED, _ALERTS_HINT),
        "A button sets the alert to its rescaled level and resumes it. To keep its level, resume it instead.",
    )
    numbers = [alert.number for alert, _ in pauses[:MOST_LISTED]]
    rescale = tuple(((f"Rescale #{number}", f"/alert {number} rescale"),) for number in numbers)
    return Answer(html, buttons=(*rescale, (("Alerts", "/alerts"), ("Trend", "/trend"))))
