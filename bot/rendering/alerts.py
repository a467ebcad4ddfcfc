"""What is said about alerts: at creation, when one fires, in the list, and why one fired."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bot.alerts.state import Status
from bot.analytics.metrics import reading, sources_of
from bot.analytics.registry import METRICS
from bot.analytics.units import PERCENT
from bot.analytics.valuation import percentile_rank
from bot.rendering.answer import SAMPLE, Answer, Button
from bot.rendering.text import Html, bold, code, date_phrase, lines, session_phrase, short_date

if TYPE_CHECKING:
    from bot.alerts.backtest import Frequency
    from bot.alerts.bars import Histories
    from bot.alerts.rule import Condition, Rule
    from bot.alerts.state import Event, State
    from bot.analytics.market import Market

FIRES_SINCE_DAYS = 90


@dataclass(frozen=True)
class Standing:
    """An alert as stored, with where it stands."""

    number: int
    rule: Rule
    life: str
    state: State


@dataclass(frozen=True)
class Context:
    """What every message about alerts needs beside the alert."""

    market: Market
    histories: Histories
    next_check: dt.datetime


def buttons(number: int, life: str = "active") -> tuple[Button, ...]:
    """The button row of one alert."""
    switch = ("Pause", "pause") if life == "active" else ("Resume", "resume")
    return (
        (f"#{number} Chart", f"/alert {number} chart"),
        ("Why", f"/alert {number} why"),
        (switch[0], f"/alert {number} {switch[1]}"),
        ("Off", f"/alert {number} off"),
    )


def created(standing: Standing, context: Context, frequency: Frequency) -> Answer:
    """The reply to a new rule: where it stands, how far away, how often it would have fired."""
    rule, market = standing.rule, context.market
    already = standing.state.status is Status.FIRED
    html = lines(
        bold(f"Alert #{standing.number}") + " " + code(str(rule)),
        bold(SAMPLE) if market.is_sample else None,
        *(part for condition in rule.conditions for part in _where(condition, context)),
        "Already true: nothing is sent now; it arms itself once the value is back past its re-arm level."
        if already
        else f"It stands {_status(standing)}.",
        _rearm_line(standing),
        _often(frequency),
        _next(context),
    )
    return Answer(html, buttons=(buttons(standing.number),))


def _where(condition: Condition, context: Context) -> list[str]:
    """Current value of one condition, its threshold and distance, with session, source, percentile."""
    series = context.histories.series(condition)
    known = series.value.dropna()
    unit = METRICS[condition.metric].unit
    if known.empty:
        found = reading(METRICS[condition.metric], context.market, dict(condition.arguments))
        return [
            f"{condition.subject}: n/a, {found.reason or 'no value yet'}; it is judged once there is one."
        ]
    value, session = float(known.iloc[-1]), known.index[-1]
    level = float(series.threshold.loc[session])
    rank = percentile_rank(known)
    place = f" At or above {rank:.0f}% of n = {len(known)} values." if rank is not None else ""
    if level != level:  # noqa: PLR0124 - NaN: the target needs more history than there is
        return [f"{condition.subject} is {unit.show(value)}; “{condition.target}” needs more history."]
    far = f"{distance(condition, value, level)} ({condition.target} = {unit.show(level)})"
    return [
        f"{condition.subject} is {unit.show(value)}, {far}.{place}",
        f"As of the {session_phrase(session)}, {_source(condition, context.market)}.",
    ]


def distance(condition: Condition, value: float, level: float) -> str:
    """How far a value is from its threshold: in percent for levels and money, else in the metric's unit."""
    unit = METRICS[condition.metric].unit
    gap = value - level
    side = "above" if gap > 0 else "below" if gap < 0 else "exactly at it"
    if gap == 0:
        return side
    if unit.symbol in {"%", "pp"}:
        return f"{unit.show(abs(gap)).lstrip('+')} {side}"
    if level == 0:
        return f"{unit.show(abs(gap)).lstrip('+')} {side}"
    return f"{PERCENT.show(abs(100 * gap / level)).lstrip('+')} {side}"


def _source(condition: Condition, market: Market) -> str:
    return sources_of(METRICS[condition.metric], market, dict(condition.arguments))


def _status(standing: Standing) -> str:
    """The state in words."""
    state, rule = standing.state, standing.rule
    if standing.life == "paused":
        return "paused"
    if standing.life == "done" or state.done:
        return "done"
    match state.status:
        case Status.CONFIRMING:
            return f"confirming {state.count}/{rule.confirm}"
        case Status.FIRED:
            since = next((side.since for side in state.sides if side.since), None)
            return f"fired {short_date(since)}, waiting to re-arm" if since else "true, waiting to re-arm"
    return "armed"


def _sentence(standing: Standing) -> str:
    words = _status(standing)
    return f"{words[0].upper()}{words[1:]}."


def _rearm_line(standing: Standing) -> str | None:
    """How the rule re-arms, in words."""
    rule = standing.rule
    if rule.once:
        return "It fires once and is done."
    if rule.rearm is not None:
        return f"Re-arms at {rule.conditions[0].target.write(rule.rearm)}."
    parts = []
    for condition, band in zip(rule.conditions, standing.state.bands, strict=True):
        unit = METRICS[condition.metric].unit
        parts.append(
            f"{unit.show(band).lstrip('+')} back past {condition.target}"
            if band
            else f"back past {condition.target} (no band: fewer than 60 values)"
        )
    return f"Re-arms {' or '.join(parts)}."


def _often(frequency: Frequency) -> str:
    if frequency.since is None:
        return "How often it would have fired: n/a, no history."
    times = {0: "never", 1: "once"}.get(frequency.count, f"{frequency.count} times")
    last = f", last on {short_date(frequency.dates[-1])}" if frequency.dates else ""
    return f"Since {short_date(frequency.since)} it would have fired {times}{last}."


def _next(context: Context) -> str:
    return f"Next check after the {session_phrase(context.next_check.date())}."


def fired(standing: Standing, event: Event, context: Context, fires: int, *, late: bool) -> Html:
    """The message of one alert that fired (or is still true after its cooldown)."""
    rule, market = standing.rule, context.market
    what = "fired" if event.kind == "fired" else f"still true since {short_date(event.since)}"
    figures = [_figures(event, position, condition) for position, condition in enumerate(rule.conditions)]
    first = rule.conditions[0]
    rank = percentile_rank(context.histories.series(first).value.loc[: str(event.session)])
    return lines(
        bold(f"Alert #{standing.number} {what}") + f" · {session_phrase(event.session)}",
        code(str(rule)),
        f"“{rule.note}”" if rule.note else None,
        bold(SAMPLE) if market.is_sample else None,
        f"Late: the bot was not running, or the data came late; now is {date_phrase(market.last_completed)}."
        if late
        else None,
        *figures,
        f"At or above {rank:.0f}% of its history." if rank is not None else None,
        _levels(rule, event),
        f"Fired {fires}x in {FIRES_SINCE_DAYS} days, this one included. {_next(context)}",
        f"Source: {_source(first, market)}.",
    )


def _figures(event: Event, position: int, condition: Condition) -> str:
    leg, unit = event.legs[position], METRICS[condition.metric].unit
    if leg.pair is None:
        return f"{condition.subject}: n/a"
    value, level = leg.pair
    before = event.previous[position]
    moved = f"{unit.show(before)} → {unit.show(value)}" if before is not None else unit.show(value)
    far = f"{distance(condition, value, level)} ({condition.target} = {unit.show(level)})"
    return f"{condition.subject}: {moved}, {far}."


def _levels(rule: Rule, event: Event) -> str:
    """Where the alert re-arms."""
    if event.done:
        return "It was to fire once; it is done."
    shown = [
        METRICS[condition.metric].unit.show(level)
        for condition, level in zip(rule.conditions, event.levels, strict=True)
        if level is not None
    ]
    return f"Re-arms at {' or '.join(shown)}." if shown else "Re-arms once the value is back."


def event_line(number: int, rule: Rule, event: Event, now_true: str) -> Html:
    """One line of a digest: date, rule, value, and whether it still holds."""
    unit = METRICS[rule.conditions[0].metric].unit
    value = unit.show(event.value)
    return lines(
        Html("").join((f"{short_date(event.session)} · #{number} ", code(str(rule)), f" · {value}{now_true}"))
    )


def listing(standings: list[Standing], context: Context) -> Answer:
    """The chat's alerts: rule, state in words, value against threshold; a button row each."""
    if not standings:
        return Answer(
            lines(bold("No alerts yet."), "Try " + code("/alert ratio > sma 200") + ", or choose:"),
            buttons=suggestions(),
        )
    parts: list[Html | str] = [bold(f"Alerts · {session_phrase(context.market.last_completed)}")]
    if context.market.is_sample:
        parts.append(bold(SAMPLE))
    for standing in standings:
        parts.append(lines(Html("").join((bold(f"#{standing.number} "), code(str(standing.rule))))))
        parts.append(f"{_sentence(standing)} {summary_distance(standing, context)}")
    rows = tuple(buttons(standing.number, standing.life) for standing in standings)
    return Answer(lines(*parts), buttons=rows)


def summary_distance(standing: Standing, context: Context) -> str:
    """Value, threshold and distance of every condition, in one line."""
    parts = []
    for condition in standing.rule.conditions:
        series = context.histories.series(condition)
        known = series.value.dropna()
        unit = METRICS[condition.metric].unit
        if known.empty:
            parts.append(f"{condition.subject}: n/a")
            continue
        value, level = float(known.iloc[-1]), float(series.threshold.loc[known.index[-1]])
        far = distance(condition, value, level) if level == level else "threshold n/a"  # noqa: PLR0124 - NaN
        late = f" ({short_date(known.index[-1])})" if known.index[-1] != context.market.end else ""
        parts.append(f"{condition.subject} {unit.show(value)}, {far}{late}")
    return "; ".join(parts) + "."


def one(standing: Standing, context: Context) -> Answer:
    """One alert in full."""
    html = lines(
        bold(f"Alert #{standing.number}") + " " + code(str(standing.rule)),
        bold(SAMPLE) if context.market.is_sample else None,
        _sentence(standing),
        *(part for condition in standing.rule.conditions for part in _where(condition, context)),
        _rearm_line(standing),
        _next(context),
    )
    return Answer(html, buttons=(buttons(standing.number, standing.life),))


def why(number: int, rule: Rule, event: Event, source: str, observed: str) -> Html:
    """The stored inputs of the last fire, as they were judged."""
    rows = []
    for position, condition in enumerate(rule.conditions):
        leg, unit = event.legs[position], METRICS[condition.metric].unit
        rows.append(
            f"{condition.subject}: {unit.show(leg.value)} {event.ops[position]} {unit.show(leg.threshold)}"
        )
        before = event.previous[position]
        if before is not None:
            rows.append(f"the session judged before: {unit.show(before)}")
    return lines(
        bold(f"Why #{number} fired") + f" · {session_phrase(event.session)}",
        code(str(rule)),
        *rows,
        _levels(rule, event),
        f"Inputs as stored: {source}, observed {observed[:16].replace('T', ' ')} UTC.",
    )


def suggestions() -> tuple[tuple[Button, ...], ...]:
    """Rules to start with, one button each."""
    names = ("ratio", "excess", "channel", "flow", "flow_gap", "pe_premium")
    return tuple(((METRICS[name].example, f"/alert {METRICS[name].example}"),) for name in names)
