"""The answer to a command, and the lines that all answers share: date, age, source, sample label.

Phrases about one figure: its place in history, its age, its distance from an alert's target.

What several pages share: the look of charts, titles, and the lines on trend, flows and multiples.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from bot.alerts.rule import AMOUNT
from bot.analytics import flows, trend, units, valuation
from bot.analytics.metrics import METRICS, sources_of
from bot.analytics.sessions import date_phrase, short_date
from bot.analytics.units import LEVEL, MINUS, MULTIPLE, NOT_AVAILABLE, PERCENT, POINTS
from bot.analytics.valuation import percentile_rank
from bot.analytics.windows import Window
from bot.messages.canvas import ChartStyle
from bot.messages.charts import ConditionPanel, Threshold
from bot.messages.html import Html, age_phrase, bold, lines, localized, session_phrase, strip_html
from bot.text import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bot.alerts.rule import Condition, Rule, Target
    from bot.alerts.series import Histories
    from bot.analytics.market import Market
    from bot.analytics.metrics import Arguments, Metric
    from bot.analytics.units import Unit
    from bot.analytics.valuation import MultipleFigure
    from bot.analytics.windows import AsOf
    from bot.messages.canvas import Theme
    from bot.messages.charts import ChartSpec


Button = tuple[str, str]  # label, and the command line it stands for
# A button carries the command line it stands for, so what it may touch is checked as if it were typed.
# EDIT in front: the answer takes the message's place; REPLY: it is a message of its own, because what
# was pushed (an alert) must not vanish.
EDIT, REPLY = "e", "r"
_BESIDE = re.compile(r"/alert \d+ (?:chart|test)")
MOST_DATA = 64  # bytes of a button's data
SAMPLE = "Sample data: simulated between published points, not the market."


@dataclass(frozen=True)
class Attachment:
    """A file that is sent below the text."""

    name: str
    content: bytes


@dataclass(frozen=True)
class Answer:
    """A reply: text, a chart that is drawn when it is sent, rows of buttons, a file."""

    html: Html
    draw: ChartSpec | None = None
    name: str = "chart"  # of the picture's file
    buttons: tuple[tuple[Button, ...], ...] = ()
    attachment: Attachment | None = None


def in_rows(buttons: Sequence[Button], width: int) -> tuple[tuple[Button, ...], ...]:
    """Buttons side by side, `width` in a row."""
    return tuple(tuple(buttons[at : at + width]) for at in range(0, len(buttons), width))


def button_rows(rows: Sequence[Sequence[Button]], prefix: str) -> list[list[tuple[str, str]]]:
    """Label and data of each button. A command too long for a button is left out."""
    kept = [
        [
            (label, _prefix(line, prefix) + line)
            for label, line in row
            if len((prefix + line).encode()) <= MOST_DATA
        ]
        for row in rows
    ]
    return [row for row in kept if row]


def payload_of(
    answer: Answer, prefix: str, *, silent: bool = False, numbers: str | None = None
) -> dict[str, object]:
    """An answer as a message of the outbox: its text, the same without markup, its buttons."""
    html = localized(answer.html, numbers)
    return {
        "html": html,
        "plain": strip_html(html),
        "buttons": button_rows(answer.buttons, prefix),
        "silent": silent,
    }


def _prefix(line: str, prefix: str) -> str:
    """REPLY for an alert's chart and test, which are sent below its card, else the given prefix."""
    return REPLY if _BESIDE.fullmatch(line) else prefix


def heading(title: str, market: Market, asked: AsOf, *, priced: bool = True) -> Html:
    """First lines of an answer: what, for which close, how old, and whether it is sample data.

    An answer made of prices (`priced`) also says if two sources of them disagree. Raises NoData if no
    session has a close of both funds.
    """
    end = market.require_end()
    behind = market.sessions_behind(end)
    asof = None
    if asked.asof is not None and asked.asof != end:
        asof = f"Asked for {date_phrase(asked.asof)}; the last close before it is used."
    return lines(
        bold(title) + f" · {session_phrase(end)}",
        bold(
            f"Stale: {age_phrase(behind)}; the last completed session is "
            f"{date_phrase(market.last_completed)}."
        )
        if behind
        else None,
        asof,
        f"As known on {date_phrase(asked.known)}." if asked.known is not None else None,
        *(_disputes(market) if priced else ()),
        _holes(market),
        bold(SAMPLE) if market.is_sample else None,
    )


def _disputes(market: Market) -> list[str]:
    """How much and how often sources of prices differed in the last year, a line per pair of sources."""
    begin = market.require_end() - pd.DateOffset(years=1)
    pairs: dict[tuple[str, str], list[pd.Series]] = {}
    for dispute in market.disputes:
        recent = dispute.differences[dispute.differences.index > begin]
        if len(recent):
            pairs.setdefault((dispute.used, dispute.other), []).append(recent.abs())
    sentences = []
    for (used, other), apart in pairs.items():
        together = pd.concat(apart)
        count, most = together.index.nunique(), PERCENT.show(100 * float(together.max())).lstrip("+")
        sentences.append(
            f"Prices of {used} and {other} differ by up to {most} on {counted(count, 'session')}, last "
            f"{short_date(together.index.max())}; {used} is used: /status"
        )
    return sentences


def _holes(market: Market) -> str | None:
    """A note if sessions of the last year are missing, because windows in days count the stored ones."""
    end = market.require_end()
    gaps = market.missing
    gaps = gaps[(gaps < end) & (gaps > end - pd.DateOffset(years=1))]
    if not len(gaps):
        return None
    count = counted(len(gaps), "session")
    return f"{count} of the last year missing, last {short_date(gaps[-1])}; days are counted without."


def sources(parts: Mapping[str, str]) -> str:
    """One line that names the source of each part, equal ones together: "Source: Yahoo (prices, flows)."."""
    by_label: dict[str, list[str]] = {}
    for part, label in parts.items():
        if label and label != "no data":
            by_label.setdefault(label, []).append(part)
    if not by_label:
        return "Source: none."
    if len(by_label) == 1:
        return f"Source: {next(iter(by_label))}."
    return "Sources: " + "; ".join(f"{label} ({', '.join(names)})" for label, names in by_label.items()) + "."


# Distances of these are in percent of the target, because a hundredth of a ratio means little.
_RELATIVE = {LEVEL.name, MULTIPLE.name}


CURRENT = "current"


def percentile_phrase(history: pd.Series) -> str | None:
    """The percentile of the last value in its history, e.g. "percentile 12 (n = 2,757 since 31 Dec 2009)".

    100 is the highest value so far. Returns None for fewer than two values.
    """
    known = history.dropna()
    rank = percentile_rank(known)
    if rank is None:
        return None
    return f"percentile {math.floor(rank)} (n = {len(known):,} since {short_date(known.index[0])})"


def latest_starting_condition(rule: Rule, histories: Histories) -> Condition:
    """The condition whose history begins last, one without any history before all others."""

    def first(condition: Condition) -> pd.Timestamp:
        series = histories.series(condition)
        session = (series.value - series.threshold).first_valid_index()
        return pd.Timestamp.max if session is None else pd.Timestamp(session)

    return max(rule.conditions, key=first)


def age(market: Market, session: pd.Timestamp, late: int = 0) -> str:
    """Age of a figure whose inputs arrive `late` sessions after it: "current", "2 sessions old"."""
    return age_phrase(market.sessions_behind(session) - late) or CURRENT


def sources_behind(conditions: Iterable[Condition], market: Market) -> list[str]:
    """The sources of what conditions are judged on, each once."""
    labels = (
        sources_of(METRICS[condition.metric], market, dict(condition.arguments)) for condition in conditions
    )
    return list(dict.fromkeys(labels))


def source_line(rule: Rule, market: Market, old: int) -> str:
    """Sources of what a rule is judged on and its age in sessions, e.g. "Source: Yahoo, current."."""
    labels = sources_behind(rule.conditions, market)
    word = "Source" if len(labels) == 1 else "Sources"
    return f"{word}: {'; '.join(labels)}, {age_phrase(old) or CURRENT}."


def target_phrase(target: Target, level: float, unit: Unit) -> str:
    """A target in words: an amount as it was typed, one that moves with its level of the day."""
    if target.kind == AMOUNT:
        return str(target).replace("-", MINUS)
    return f"{target} ({unit.show(level)})"


def difference_unit(unit: Unit) -> Unit:
    """The unit of a difference: that of two percentages is percentage points."""
    return POINTS if unit.symbol == "%" else unit


def width(unit: Unit, difference: float) -> str:
    """The size of a difference, without its sign."""
    return unit.show(abs(difference)).lstrip("+")


def distance(condition: Condition, value: float, level: float) -> str:
    """How far a value is from its target and on which side: "0.73% above sma 200 (0.4642)"."""
    unit, gap = METRICS[condition.metric].unit, value - level
    aim = target_phrase(condition.target, level, unit)
    if gap == 0:
        return f"exactly at {aim}"
    side = "above" if gap > 0 else "below"
    relative = unit.name in _RELATIVE and level != 0
    shown = width(PERCENT, 100 * gap / level) if relative else width(difference_unit(unit), gap)
    return f"{shown} {side} {aim}" if any(digit in shown for digit in "123456789") else f"just {side} {aim}"


DISCLAIMER = "Not investment advice."
AVERAGE = 200
FLOW_WINDOW = Window("d", 20)
_BREAK_SIGMAS, _BREAK_SESSIONS = 2, 5


def chart_style(
    title: str,
    market: Market,
    theme: Theme,
    label: str | None = None,
    session: pd.Timestamp | None = None,
) -> ChartStyle:
    """Title, source line and sample label of a chart, by default of one of prices."""
    source = label or market.source("prices").label
    dated = session_phrase(market.require_end() if session is None else session)
    return ChartStyle(title, f"Source: {source} · {dated}", theme, sample=market.is_sample)


def rule_chart_style(name: str, rule: Rule, market: Market, theme: Theme) -> ChartStyle:
    """Title and footer of a picture of a rule, with the sources of all its conditions."""
    labels = ", ".join(sources_behind(rule.conditions, market))
    footer = f"Source: {labels} · {session_phrase(market.require_end())}"
    return ChartStyle(name, footer, theme, sample=market.is_sample)


def condition_panel(condition: Condition, histories: Histories, begin: pd.Timestamp) -> ConditionPanel:
    """The panel of one condition of a rule, from a session on."""
    series = histories.series(condition)
    name = "threshold" if condition.target.kind == AMOUNT else str(condition.target)
    level = Threshold(series.threshold.loc[begin:], name)
    return ConditionPanel(condition.subject, series.value.loc[begin:], METRICS[condition.metric].unit, level)


def window_title(window: Window) -> str:
    """A window in a title: "since 30 Sep 2020"."""
    return f"since {short_date(window.since)}" if window.since is not None else str(window)


def subject_title(metric: Metric, arguments: Arguments) -> str:
    """Title with the arguments, e.g. "Fund flow IWM 20d". Counts and conventions follow after a comma."""
    title, stated = [metric.title], []
    for value in arguments.values():
        if isinstance(value, int):
            stated.append(f"{value} days")
        elif isinstance(value, str) and value in valuation.CONVENTIONS:
            stated.append(valuation.CONVENTIONS[value])
        else:
            title.append(_word(value))
    return ", ".join([" ".join(title), *stated])


def _word(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, dt.date):
        return f"from {short_date(value)}"
    return window_title(value) if isinstance(value, Window) else str(value)


def window_with_base(window: Window, base: pd.Timestamp) -> str:
    """A window with the session of its base close, which `since` already names."""
    if window.since == base.date():
        return str(window)
    return f"{window} {short_date(base)}"


def fact_sources(market: Market) -> str:
    """Sources of both funds' facts, "" without any."""
    labels = dict.fromkeys(market.source(f"facts:{ticker}").label for ticker in market.pair.tickers)
    return ", ".join(label for label in labels if label != "no data")


def ratio_line(market: Market) -> str:
    """The ratio, its distance to the 200-day average, and since when it has been on this side."""
    r = trend.ratio(market)
    against = trend.ratio_vs_sma(r, AVERAGE)
    level = units.LEVEL.show(float(r.iloc[-1]))
    if against.dropna().empty:
        needs = f"its {AVERAGE}-day average needs {AVERAGE} sessions, stored: {len(r)}"
        return f"Ratio {market.pair} {level}; {needs}."
    distance = float(against.iloc[-1])
    if distance == 0:
        return f"Ratio {market.pair} {level}, exactly at its {AVERAGE}-day average."
    side = "over" if distance > 0 else "under"
    far = PERCENT.show(abs(distance)).lstrip("+")
    since = trend.last_cross(against, upward=distance > 0)
    started = f" ({side} it since {short_date(since)})" if since is not None else ""
    return f"Ratio {market.pair} {level}, {far} {side} its {AVERAGE}-day average{started}."


def channel_line(market: Market) -> str:
    """A sentence on whether the long downtrend is breaking."""
    fit = trend.channel_fit(trend.ratio(market)).dropna()
    since = short_date(trend.CHANNEL_FROM)
    if fit.empty:
        return f"The trend line from {since} needs three years of prices."
    residual, slope = float(fit["residual"].iloc[-1]), float(fit["slope"].iloc[-1])
    above = fit["residual"].tail(_BREAK_SESSIONS) > _BREAK_SIGMAS
    if len(above) == _BREAK_SESSIONS and above.all():
        place = "over +2 for five sessions, an upward break"
    elif residual > _BREAK_SIGMAS:
        place = "over +2, a break once it holds five sessions"
    elif residual < -_BREAK_SIGMAS:
        place = "below the channel"
    else:
        place = "near the line, no break" if abs(residual) < 1 else "inside the channel, no break"
    pace, far = units.PERCENT.show(slope), units.NUMBER.show(residual)
    return f"Trend line from {since}: {pace} a year; the ratio is {far} sigma from it ({place})."


def flow_line(market: Market, window: Window = FLOW_WINDOW) -> str:
    """Flow of both funds over a window, each with its last session if that is not the Market's."""
    parts = []
    for ticker in market.pair.tickers:
        flow = flows.flow_summary(flows.daily_flows(market, ticker), window, market.anchor)
        if flow.dollars is None or flow.end is None:
            reason = "no fund facts" if flow.end is None else "too little history"
            parts.append(f"{ticker} {NOT_AVAILABLE}, {reason}")
            continue
        late = f" to {short_date(flow.end)}" if flow.end != market.end else ""
        old = age_phrase(market.sessions_behind(flow.end) - METRICS["flow"].lag)
        late += f", {old}" if old else ""
        parts.append(
            f"{ticker} {units.USD.show(flow.dollars)} ({PERCENT.show(flow.percent)} of assets){late}"
        )
        flagged = flagged_days(flow)
        parts[-1] += f", {flagged}" if flagged else ""
    return f"Flows {window}: {'; '.join(parts)}."


def flagged_days(flow: flows.FlowSummary) -> str:
    """The number of days of a flow with doubtful counts, and the last one, "" for none. /flows lists them.

    A large flow alone is not doubtful.
    """
    doubtful = [(day, flag) for day, flag, _ in flow.flags if flag != "LARGE"]
    if not doubtful:
        return ""
    day, flag = doubtful[-1]
    count = f"{len(doubtful)} flagged days, last" if len(doubtful) > 1 else "1 flagged day,"
    return f"{count} {flag} {short_date(day)}: /flows"


def left_out_notes(market: Market, ticker: str) -> list[str]:
    """Sentences on share counts that are left out: derived from assets, on closed days, of other sources."""
    facts = market.fund(ticker)
    made = flows.is_derived(facts)
    sentences = []
    if made.any():
        first, last = (short_date(day) for day in facts.index[made][[0, -1]])
        sentences.append(
            f"FAKE_AUM {first} to {last}: {int(made.sum()):,} counts are assets divided by NAV, left out."
        )
    return [*sentences, *(f"{note}" for note in market.notes.get(f"facts:{ticker}", ()))]


def no_flow_reason(market: Market, ticker: str) -> str:
    """Why a fund has no flow: nothing is stored, or only counts that cannot give one."""
    if market.fund(ticker).empty:
        return "no fund facts"
    if flows.is_derived(market.fund(ticker)).any():
        return "its share counts are assets divided by NAV and cannot give flows"
    return "no fund facts with a share count (Yahoo's is frozen and cannot give flows)"


def multiple_line(market: Market) -> str:
    """The newest P/E of both funds with its convention, or a note that none is stored."""
    figures = valuation.multiple_figures(market, "pe")
    if not figures:
        return f"Multiples: {NOT_AVAILABLE}, none stored."
    figure = max(figures, key=lambda f: (max(_sessions(f)), f.observations))
    small, large = market.pair.tickers
    by_fund = ((small, figure.small, figure.small_session), (large, figure.large, figure.large_session))
    same = figure.small_session == figure.large_session
    both = ", ".join(
        f"{ticker} {units.MULTIPLE.show(value)}"
        + (f" ({_aged(market, short_date(session), session)})" if session is not None and not same else "")
        for ticker, value, session in by_fund
    )
    session = figure.small_priced if same and figure.small_priced is not None else _sessions(figure)[0]
    dated = f", {_aged(market, session_phrase(session), session)}" if same else ""
    return f"P/E ({convention(figure.convention, figure.basis)}): {both}{dated}."


def _aged(market: Market, words: str, session: pd.Timestamp) -> str:
    """`words` for the session of a multiple, with its age if it is old."""
    old = age_phrase(market.sessions_behind(session) - METRICS["pe"].lag)
    return f"{words}, {old}" if old else words


def _sessions(figure: MultipleFigure) -> list[pd.Timestamp]:
    """The sessions of a multiple's figures: of both funds, or of the one that has any."""
    return [session for session in (figure.small_session, figure.large_session) if session is not None]


def convention(name: str, basis: str) -> str:
    """Convention and basis in words, e.g. "losses in, forward"."""
    stated = "basis unstated" if basis == "unstated" else basis
    return f"{valuation.CONVENTIONS.get(name, name)}, {stated}"
