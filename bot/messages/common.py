"""What pages and alerts share: answers with buttons, headings, sources and ages, phrases, chart styles."""

import datetime as dt
import math
import re
import textwrap
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import accumulate
from types import MappingProxyType

import pandas as pd

from bot.alerts.rule import ABOVE, AMOUNT, CROSSES, Condition, Rule
from bot.alerts.series import Histories
from bot.alerts.view import EvaluationContext
from bot.analytics import flows, trend, units, valuation
from bot.analytics.companies import TRAILING, FundSums, Sums
from bot.analytics.market import NO_SOURCE, Market, ProvisionalFigures, per_market
from bot.analytics.metrics import METRICS, Argument, Arguments, Metric, close_behind, sources_of
from bot.analytics.performance import TOO_SHORT, Performance
from bot.analytics.sources import SAMPLE
from bot.analytics.trend import percentile_rank
from bot.analytics.units import LEVEL, MULTIPLE, NOT_AVAILABLE, PERCENT, POINTS, USD, Unit
from bot.analytics.valuation import FundMultiple, MultipleFigure
from bot.analytics.windows import AsOf, Window
from bot.data.issuers.fetch import by_hand
from bot.data.provider import LABELS
from bot.messages.canvas import ChartStyle, Theme
from bot.messages.charts import FIXED, ChartSpec, ConditionPanel, rule_chart
from bot.messages.html import (
    CAPTION_LIMIT,
    Html,
    age_phrase,
    bold,
    capital,
    code,
    expandable,
    lines,
    localized,
    pre,
    session_phrase,
    split_html,
    strip_html,
    table,
)
from bot.pair import Pair
from bot.text import command_line, counted, date_phrase, short_date
from storage.outbox import MessageBody

Button = tuple[str, str]  # label, and the command line it stands for, or a text after COPY or INSERT
COPY, INSERT = "copy:", "insert:"  # a tap copies the text, or puts it into the input field
# A button carries the command line it stands for, so what it may touch is checked as if it were typed.
# AS_EDIT in front: the answer takes the message's place; AS_NEW: it is a message of its own, because what
# was pushed (an alert) must not vanish.
AS_EDIT, AS_NEW = "e", "r"
MAX_BUTTON_DATA, MAX_BUTTON_TEXT = 64, 256  # bytes
_PAGE_WINDOWS = {"Why": " ytd", "Fundamentals": " ytd"}  # of pages that are about one window
SAMPLE_NOTICE = "Sample data, not the market."
DISCLAIMER = "Not investment advice."
AVERAGE = 200
LEAST_RANKED = 20  # values, among which one has a percentile
_LEAST_USUAL = 60  # values, of which it can be said what is usual
_MOST_ROWS, _COLUMNS = 16, 38  # of a phone: what stands before a quote
_PAGE = 560  # UTF-16 units of a further page, so that it has no more rows either
MORE = re.compile(r"(?:^|\s)more(?: (\d))?$", re.IGNORECASE)  # asks for a further page
_NEAR = pd.DateOffset(months=10)  # within it a date needs no year
# What it means that something comes by luck, in less than so many percent of all cases.
_VERDICTS = ((5, "hardly luck"), (20, "perhaps luck"), (101, "no better than luck"))
_FLOW_WINDOW = Window("d", 20)
_BREAK_SIGMAS, _BREAK_SESSIONS = 2, 5
# Distances of these are in percent of the target, because a hundredth of a ratio means little.
_RELATIVE_UNITS = {LEVEL.name, MULTIPLE.name}


@dataclass(frozen=True)
class Attachment:
    """A file that is sent below the text."""

    name: str
    content: bytes


@dataclass(frozen=True)
class Answer:
    """A reply: one message, whose first line says in plain words what is so.

    quote  base dates, conventions, sources and the like: prose in an expandable quote below the text
    draw   a chart, drawn when it is needed; the text is then its caption, of at most CAPTION_LIMIT units
    name   of the picture's file
    steps  what only the bot's owner can do about what is missing: imports and sources, in the owner's chat
    toast  what a tap on the button that asked for it is answered with, at most 200 characters
    below  what the answer to a button shows below a message that was pushed, or a picture, in place of what was
           there before: the message stays and takes the answer's buttons; empty: only these change
    """

    html: Html
    draw: ChartSpec | None = None
    name: str = "chart"
    buttons: tuple[tuple[Button, ...], ...] = ()
    attachment: Attachment | None = None
    quote: Html | None = None
    toast: str | None = None
    below: Html | None = None
    steps: tuple[str, ...] = ()

    @property
    def text(self) -> Html:
        """The text of the message, or of its first page: the body and what of the quote fits a caption."""
        body, shown, _ = _parts(self.html, self.quote, is_caption=self.draw is not None)
        return lines(body, expandable(lines(*shown)) if shown else None)

    def page(self, line: str, number: int = 1, *, owner: bool = False) -> "Answer":
        """Return a page of the answer to a command line, with buttons to the others.

        The first is all that fits a picture's caption. The others are the rest of the quote; the picture stays.
        `owner`: with the steps that only the bot's owner can take.
        """
        if owner and self.steps:
            return replace(self, quote=lines(*self.steps, self.quote), steps=()).page(line, number)
        rest = split_html(lines(*_parts(self.html, self.quote, is_caption=self.draw is not None)[2]), _PAGE)
        if not rest:
            return self
        if number > 1:
            number = min(number, len(rest) + 1)
            further = (("More", f"{line} more {number + 1}"),) if number <= len(rest) else ()
            first, label = self.html.split("\n", 1)[0], SAMPLE_NOTICE if SAMPLE_NOTICE in self.html else None
            html = lines(Html(first), label, Html(rest[number - 2]))
            return replace(self, html=html, quote=None, buttons=((("Back", line), *further),))
        more = f"{line} more"
        if len(f"{AS_EDIT}{more}".encode()) > MAX_BUTTON_DATA:
            return replace(self, quote=lines(self.quote, "The rest: " + code(more)))
        return replace(self, buttons=(*self.buttons, (("More", more),)))

    def rows(self, prefix: str) -> list[list[tuple[str, str]]]:
        """Return label and data of each button."""
        return button_rows(self.buttons, prefix)


@lru_cache(256)  # many ask the same
def _parts(html: Html, quote: Html | None, *, is_caption: bool) -> tuple[Html, list[Html], list[Html]]:
    """Return the parts of an answer.

    The body has at most _MOST_ROWS rows: what stands below its table and exceeds them begins the quote. Of a
    quote that is too long the last sentence, which names the sources, is shown first.
    """
    if quote is None:
        return html, [], []
    body, sentences = html.split("\n"), quote.split("\n") if quote else []
    # Two rows of a wrapped line have more characters than one holds, so that short bodies need no wrapping.
    if not is_caption and quote and sum(2 * (len(line) // _COLUMNS) + 1 for line in body) <= _MOST_ROWS:
        return html, [quote], []
    rows = accumulate(max(len(textwrap.wrap(strip_html(line), _COLUMNS)), 1) for line in body)
    table_end = max((at for at, line in enumerate(body, start=1) if "</pre>" in line), default=1)
    fitting = max(bisect_right(list(rows), _MOST_ROWS), table_end)
    shown, below = Html("\n".join(body[:fitting])), list(map(Html, [*body[fitting:], *sentences]))
    if not is_caption or not below:
        return shown, below, []
    room = CAPTION_LIMIT - len(strip_html(shown)) - len(strip_html(below[-1])) - 2
    kept = bisect_right(list(accumulate(len(strip_html(sentence)) + 1 for sentence in below[:-1])), room)
    return shown, [*below[:kept], below[-1]], below[kept:-1]


def in_rows(buttons: Sequence[Button], width: int) -> tuple[tuple[Button, ...], ...]:
    """Return buttons side by side, `width` in a row."""
    return tuple(tuple(buttons[at : at + width]) for at in range(0, len(buttons), width))


def page_buttons(as_of: AsOf, *labels: str) -> tuple[Button, ...]:
    """Return buttons that lead to other pages of the market, for the same date."""
    return tuple((label, f"/{label.lower()}{_PAGE_WINDOWS.get(label, '')}{as_of.suffix}") for label in labels)


def button_rows(rows: Sequence[Sequence[Button]], prefix: str) -> list[list[tuple[str, str]]]:
    """Return label and data of each button. One with more than Telegram takes is left out."""
    short = (_button_row(tuple(row), prefix) for row in rows)
    return [list(row) for row in short if row]


@lru_cache(1024)  # alerts of many chats have the same numbers
def _button_row(row: tuple[Button, ...], prefix: str) -> tuple[Button, ...]:
    shown = []
    for label, line in row:
        is_text = line.startswith((COPY, INSERT))
        data = line if is_text else prefix + line
        if len(data.encode()) <= (MAX_BUTTON_TEXT if is_text else MAX_BUTTON_DATA):
            shown.append((label, data))
    return tuple(shown)


def payload_of(answer: Answer, prefix: str, *, silent: bool = False, numbers: str | None = None) -> MessageBody:
    """Return an answer as a message of the outbox: its text and its buttons."""
    return MessageBody(localized(answer.text, numbers), answer.rows(prefix), silent)


def heading(sentence: str, market: Market, as_of: AsOf) -> Html:
    """Return the first lines of an answer: what is so and for which close, how old it is, if it is made up.

    Raises NoData if no session has a close of both funds.
    """
    end = market.require_end()
    stale = None
    if behind := market.sessions_behind(end):
        last = date_phrase(market.last_completed)
        stale = bold(f"Stale: {age_phrase(behind)}; the last completed session is {last}.")
    earlier = None
    if as_of.asof is not None and as_of.asof != end:
        earlier = f"Asked for {date_phrase(as_of.asof)}; the last close before it is used."
    return lines(
        bold(sentence) + f" · {date_phrase(end)}",
        stale,
        earlier,
        f"As known on {date_phrase(as_of.known)}." if as_of.known is not None else None,
        SAMPLE_NOTICE if market.is_sample else None,
    )


def details(market: Market, *sentences: Html | str | None, priced: bool = True) -> Html:
    """Return the quote of an answer: a note on the data, if any (on prices if it is `priced`), and the sentences."""
    notes = price_notes(market, priced=priced)
    more = f" {counted(len(notes) - 1, 'more note')}: /status." if len(notes) > 1 else ""
    return lines(*(note + more for note in notes[:1]), *filter(None, sentences))


def price_notes(market: Market, *, priced: bool = True) -> list[str]:
    """Return sentences on closes that sources disagree on, that are not used (`priced`), or are missing."""
    notes = [*_disputes(market), *provisional_notes(market.provisional)] if priced else []
    return [*notes, *filter(None, [_missing_sessions(market)])]


@per_market
def _disputes(market: Market) -> list[str]:
    """Return how much and how often sources differed in the last year, a line per pair of sources."""
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
            f"Prices of {used} and {other} differ by up to {most} on {counted(count, 'session')}, the last "
            f"on {short_date(together.index.max())}. Those of {used} are used; see /status."
        )
    return sentences


def provisional_notes(provisional: Iterable[ProvisionalFigures]) -> list[str]:
    """Return a sentence on each group of figures that are not used because they are implausible."""
    sentences = []
    for figures in provisional:
        days, amounts = figures.amounts.index, figures.amounts
        if len(days) == 1:
            amount = "no number" if amounts.isna().iloc[0] else f"{amounts.iloc[0]:,.6g}"
            sentences.append(
                f"{figures.ticker}'s {figures.noun} of {date_phrase(days[0])} is provisional and not used: "
                f"{figures.label} gives {amount}, {figures.reason}."
            )
        else:
            sentences.append(
                f"{counted(len(days), figures.noun)} of {figures.ticker} from {date_phrase(days[0])} to "
                f"{date_phrase(days[-1])} are provisional and not used: {figures.reason} ({figures.label})."
            )
    return sentences


@per_market
def _missing_sessions(market: Market) -> str | None:
    """Return a note if sessions of the last year are missing."""
    end = market.require_end()
    gaps = market.missing
    gaps = gaps[(gaps < end) & (gaps > end - pd.DateOffset(years=1))]
    if not len(gaps):
        return None
    count = counted(len(gaps), "session")
    return (
        f"Missing in the last year: {count}, the last on {short_date(gaps[-1])}. Windows in days count them, "
        "averages leave them out."
    )


def sources(parts: Mapping[str, str]) -> str | None:
    """Return a line on the sources of parts, e.g. "Sources: Yahoo (prices); CSV import (flows).".

    None if all are the sample, which the heading names.
    """
    by_label: dict[str, list[str]] = {}
    for part, label in parts.items():
        if label and label != NO_SOURCE.label:
            by_label.setdefault(label, []).append(part)
    if by_label.pop(LABELS[SAMPLE], None) and not by_label:
        return None
    if len(by_label) < 2:
        return source_line(list(by_label))
    return source_line([f"{label} ({', '.join(names)})" for label, names in by_label.items()])


def source_line(labels: Sequence[str], remark: str = "") -> str:
    """Return a line of the labels of sources, e.g. "Sources: Yahoo; CSV import, current."."""
    return f"{'Source' if len(labels) < 2 else 'Sources'}: {'; '.join(labels) or 'none'}{remark}."


def market_sources(market: Market, *parts: str) -> str | None:
    """Return the line that names the sources of "prices", "flows" or "multiples"."""
    return sources({part: fact_sources(market) if part == "flows" else market.source(part).label for part in parts})


def fact_sources(market: Market) -> str:
    """Return the sources of both funds' facts, "" without any."""
    labels = dict.fromkeys(market.source(f"facts:{ticker}").label for ticker in market.pair.tickers)
    return ", ".join(label for label in labels if label != NO_SOURCE.label)


def condition_sources(conditions: Iterable[Condition], market: Market) -> list[str]:
    """Return the sources of what conditions are evaluated on, each once."""
    labels = (sources_of(METRICS[c.metric], market, dict(c.arguments)) for c in conditions)
    return list(dict.fromkeys(labels))


def rule_sources(rule: Rule, market: Market, session: pd.Timestamp) -> str:
    """Return a line on the sources of a rule and the age of its figures, e.g. "Source: Yahoo, current."."""
    return source_line(condition_sources(rule.conditions, market), f", {age(market, session)}")


def newest_close(rule: Rule, market: Market, session: pd.Timestamp) -> pd.Timestamp:
    """Return the newest session whose close the figures of a rule on a session are made of."""
    return max(close_behind(METRICS[c.metric], market, dict(c.arguments), session) for c in rule.conditions)


def age(market: Market, session: pd.Timestamp) -> str:
    """Return the sessions since the one of a figure in words: "current", "2 sessions old"."""
    return age_phrase(market.sessions_behind(session)) or "current"


def with_age(words: str, market: Market, session: pd.Timestamp) -> str:
    """Return words with the age of a figure, if it is not of the last completed session."""
    old = age_phrase(market.sessions_behind(session))
    return f"{words}, {old}" if old else words


def date_with_age(market: Market, session: pd.Timestamp) -> str:
    """Return the date of a figure, and its age if it is not of the last completed session."""
    old = age_phrase(market.sessions_behind(session))
    return f"{short_date(session)} ({old})" if old else short_date(session)


def shortened(rows: Sequence[Html | str], most: int, end: str = "") -> list[Html | str]:
    """Return the first rows of a list, and a last one that says how many more there are."""
    more = len(rows) - most
    return [*rows[:most], *([f"... and {more} more{end}"] if more > 0 else [])]


def percentile_phrase(history: pd.Series) -> str | None:
    """Return the percentile of the last value, e.g. "percentile 12 (n = 2,757 since 31 Dec 2009)".

    Returns None for fewer than LEAST_RANKED values, among which a place says nothing.
    """
    known = history.dropna()
    rank = percentile_rank(known)
    if rank is None or len(known) < LEAST_RANKED:
        return None
    return f"percentile {percentile_text(rank)} (n = {len(known):,} since {short_date(known.index[0])})"


def percentile_text(rank: float) -> str:
    """Return a percentile in whole percent, "above 99" for one that is only nearly 100."""
    whole = math.floor(rank + 0.5)
    if whole < 1 or (whole > 99 and rank < 100):
        return "below 1" if whole < 1 else "above 99"
    return str(whole)


def luck_phrase(percent: float) -> str:
    """Return how likely something is by luck, and what that means: "34%, no better than luck"."""
    verdict = next(words for below, words in _VERDICTS if percent < below)
    return f"{percentile_text(percent)}%, {verdict}"


def latest_starting_condition(rule: Rule, histories: Histories) -> Condition:
    """Return the condition whose history begins last, one without any history before all others."""

    def first(condition: Condition) -> pd.Timestamp:
        series = histories.series(condition)
        session = (series.value - series.threshold).first_valid_index()
        return pd.Timestamp.max if session is None else pd.Timestamp(session)

    return max(rule.conditions, key=first)


def difference_unit(unit: Unit) -> Unit:
    """Return the unit of a difference: that of two percentages is percentage points."""
    return POINTS if unit.symbol == "%" else unit


def magnitude(unit: Unit, difference: float) -> str:
    """Return the size of a difference, without its sign."""
    return unit.show(abs(difference)).lstrip("+")


def gap_text(unit: Unit, gap: float, value: float) -> str:
    """Return the size of a distance from a value; for a ratio or a multiple in percent of it."""
    if unit.name in _RELATIVE_UNITS and value:
        return magnitude(PERCENT, 100 * gap / value)
    return magnitude(difference_unit(unit), gap)


def chart_style(
    title: str, market: Market, theme: Theme, label: str | None = None, session: pd.Timestamp | None = None
) -> ChartStyle:
    """Return title, source line and sample label of a chart, by default of one of prices."""
    source = label or market.source("prices").label
    dated = session_phrase(market.require_end() if session is None else session)
    return ChartStyle(title, f"Source: {source} · {dated}", theme, sample=market.is_sample)


def rule_chart_spec(  # noqa: PLR0913 - the rule, the context, and what is drawn of them
    title: str,
    rule: Rule,
    context: EvaluationContext,
    theme: Theme,
    begin: dt.date,
    fires: Sequence[dt.date],
    *,
    with_amounts: bool = True,
    bands: Sequence[float] = (),
) -> tuple[ChartSpec, list[str]]:
    """Return the chart of a rule from a session on, its fires marked, and the conditions without figures.

    `with_amounts`: whether thresholds that are amounts are drawn; one that moves with the data always is.
    `bands`: how far past its target each condition re-arms; without them no such level is drawn.
    """
    panels, missing = [], []
    for condition, band in zip(rule.conditions, bands or (0.0,) * len(rule.conditions), strict=True):
        series, first = context.histories.series(condition), pd.Timestamp(begin)
        values, unit = series.value.loc[first:], METRICS[condition.metric].unit
        name = FIXED if condition.target.kind == AMOUNT else str(condition.target)
        if values.notna().any():
            is_drawn = with_amounts or condition.target.kind != AMOUNT
            level = series.threshold.loc[first:] if is_drawn else None
            rearm = None
            if level is not None and condition.op != CROSSES and (band or rule.rearm is not None):
                offset = -band if condition.op in ABOVE else band
                rearm = level + offset if rule.rearm is None else level * 0 + rule.rearm
            phrase = metric_phrase(METRICS[condition.metric], dict(condition.arguments), context.market.pair)
            panels.append(ConditionPanel(capital(phrase), values, unit, level, name, rearm))
        else:
            missing.append(str(condition))
    last = max((panel.series.last_valid_index() for panel in panels), default=None)
    label = ", ".join(condition_sources(rule.conditions, context.market))
    style = chart_style(title, context.market, theme, label, last)
    return partial(rule_chart, panels, style, [pd.Timestamp(day) for day in fires]), missing


def metric_panel(
    name: str, series: pd.Series, history: pd.Series, unit: Unit, references: Mapping[str, float] = MappingProxyType({})
) -> ConditionPanel:
    """Return the panel of a metric with its median and where 8 of 10 values were, unless `references` replace them."""
    known = history.dropna()
    if references or len(known) < _LEAST_USUAL:
        return ConditionPanel(name, series, unit, references=references)
    low, median, high = (float(known.quantile(share)) for share in (0.1, 0.5, 0.9))
    return ConditionPanel(name, series, unit, references={"median": median}, band=(low, high))


def within(market: Market, series: pd.Series, window: Window) -> pd.Series:
    """Return the part of a series from the base of a window on, all of it if it begins later."""
    anchor = pd.DatetimeIndex([series.index[-1] if market.anchor is None else market.anchor])
    base = int(window.bases(market.sessions, anchor)[0])
    first = market.sessions[base] if base >= 0 else series.index[0]
    # Not a view: an answer that is kept would keep all years.
    return series.iloc[max(int(series.index.searchsorted(first, side="right")) - 1, 0) :].copy()


def window_title(window: Window) -> str:
    """Return a window in a title: "since 30 Sep 2020"."""
    return f"since {short_date(window.since)}" if window.since is not None else str(window)


def window_with_base(window: Window, base: pd.Timestamp) -> str:
    """Return a window with the session of its base close, which `since` already names."""
    if window.since == base.date():
        return str(window)
    return f"{window}{':' if window.since else ''} {short_date(base)}"


_SPANS = {"ytd": "year to date", "qtd": "quarter to date", "mtd": "month to date", "max": "since its history begins"}


def metric_phrase(metric: Metric, arguments: Arguments, pair: Pair) -> str:
    """Return a metric with its arguments in words, e.g. "IWM's flow over 20d"."""

    def words(value: Argument) -> str:
        if isinstance(value, Window):
            return f"over {value}" if value.counted else _SPANS.get(value.kind) or window_title(value)
        name = str(value)
        return valuation.CONVENTIONS.get(name, name) or str(pair)

    return pair.fill(metric.phrase, **{name: words(value) for name, value in arguments.items()})


def returns_table(pair: Pair, returns: Sequence[Performance], kind: str = "") -> Html:
    """Return the returns of both funds over windows as a table, with their gap; `kind` heads the windows."""
    rows = [
        (str(row.window), PERCENT.show(row.small), PERCENT.show(row.large), POINTS.show(row.gap).rstrip("p"))
        for row in returns
    ]
    return pre(table((kind, *pair.tickers, "gap pp"), rows))


def missing_returns(returns: Sequence[Performance]) -> list[str]:
    """Return why returns are missing, but for too little history."""
    return missing_figure_lines({str(row.window): row.reason for row in returns if row.reason != TOO_SHORT})


def near_date(day: pd.Timestamp, end: pd.Timestamp) -> str:
    """Return a date, without its year if that is plain from the end of what is shown."""
    return short_date(day).rpartition(" ")[0] if day > end - _NEAR else short_date(day)


def missing_figure_lines(reasons: Mapping[str, str]) -> list[str]:
    """Return a sentence for each reason why figures are n/a, e.g. "1d: n/a, the close of ... is missing."."""
    names: dict[str, list[str]] = {}
    for name, reason in reasons.items():
        if reason:
            names.setdefault(reason, []).append(name)
    return [f"{', '.join(of)}: {NOT_AVAILABLE}, {reason}." for reason, of in names.items()]


def closes_missing_line(market: Market, arguments: Arguments) -> str | None:
    """Return a sentence on sessions missing among the closes that a count of sessions covers, if any are."""
    count = arguments.get("n")
    missing = int(trend.missing_among(market, count).iloc[-1]) if isinstance(count, int) else 0
    verb = "is" if missing == 1 else "are"
    return f"{counted(missing, 'session')} {verb} missing among its {count} closes." if missing else None


@per_market
def trend_line(market: Market) -> str:
    """Return how far the ratio is from its 200-day average, and since when it has been on this side."""
    r = trend.ratio(market)
    against = trend.of_ratio(market, trend.ratio_vs_sma, AVERAGE)
    average = f"{AVERAGE}-day average"
    if against.dropna().empty:
        return f"Trend: its {average} needs {AVERAGE} sessions, stored so far: {len(r)}."
    if reason := trend.missing_reason(market, AVERAGE):
        return f"Trend: the {average} is {NOT_AVAILABLE}, {reason}."
    gap = float(against.iloc[-1])
    if gap == 0:
        return f"Trend: exactly at its {average}."
    since = trend.last_cross(against, upward=gap > 0)
    started = f" since {near_date(since, r.index[-1])}" if since is not None else ""
    size, side = PERCENT.show(abs(gap), 1).lstrip("+"), "over" if gap > 0 else "under"
    return f"Trend: {size} {side} its {average}{started}."


@per_market
def channel_line(market: Market) -> str:
    """Return a sentence on whether the long downtrend is breaking."""
    ratio = trend.ratio(market)
    fit, since = trend.channel_fit(ratio).dropna(), short_date(trend.channel_begin(ratio))
    if fit.empty:
        return f"The line from {since} needs three years of prices."
    residual, slope = float(fit["residual"].iloc[-1]), float(fit["slope"].iloc[-1])
    above = fit["residual"].tail(_BREAK_SESSIONS) > _BREAK_SIGMAS
    if len(above) == _BREAK_SESSIONS and above.all():
        place = "above +2 for five sessions: an upward break"
    elif residual > _BREAK_SIGMAS:
        place = "above +2, a break once it holds five sessions"
    elif residual < -_BREAK_SIGMAS:
        place = "below the channel"
    else:
        place = "near the line, no break" if abs(residual) < 1 else "inside the channel, no break"
    pace, sigmas = PERCENT.show(slope, 1), units.NUMBER.show(residual, 1)
    return f"Line from {since}: {pace} a year; {sigmas} sigma from it, {place}."


@per_market
def flow_line(market: Market, *, known_only: bool = False) -> str:
    """Return the flow of both funds over 20 sessions, with the last one if it is not the Market's.

    `known_only`: without funds that have none, "" if neither has one.
    """
    parts = []
    for ticker in market.pair.tickers:
        flow = flows.flow_summary(flows.daily_flows(market, ticker), _FLOW_WINDOW, market.anchor)
        if flow.dollars is None or flow.end is None:
            reason = "no fund facts" if flow.end is None else flagged_days(flow) or "too little history"
            parts += [] if known_only else [f"{ticker} {NOT_AVAILABLE}, {reason}"]
            continue
        late = f" to {near_date(flow.end, market.require_end())}" if flow.end != market.end else ""
        share = PERCENT.show(flow.percent, 1) + ", by close" * flow.by_close
        amount = f"{USD.show(flow.dollars, 1)} ({share}){late}"
        part = with_age(f"{ticker} {'about flat, ' * flow.is_flat}{amount}", market, flow.end)
        parts.append(part + ", unconfirmed" * flow.is_unconfirmed)
        if flagged := flagged_days(flow):
            parts[-1] += f", {flagged}"
    return f"Flows {_FLOW_WINDOW}: {', '.join(parts)}." if parts else ""


def flagged_days(flow: flows.FlowSummary) -> str:
    """Return the number of days of a flow with doubtful counts, and the last one, "" for none.

    A large flow alone is not doubtful.
    """
    doubtful = [(day, flag) for day, flag, _ in flow.flags if flag != "LARGE"]
    if not doubtful:
        return ""
    day, flag = doubtful[-1]
    last = "the last " if len(doubtful) > 1 else ""
    return f"{counted(len(doubtful), 'flagged day')}, {last}{flag} on {short_date(day)} (see /flows)"


@per_market
def left_out_notes(market: Market, ticker: str) -> list[str]:
    """Return sentences on share counts left out: made of assets, on closed days, of other sources."""
    facts = market.fund(ticker)
    derived = flows.is_derived(facts)
    sentences = []
    if derived.any():
        first, last = (short_date(day) for day in facts.index[derived][[0, -1]])
        sentences.append(
            f"FAKE_AUM {first} to {last}: {int(derived.sum()):,} share counts are assets divided by NAV "
            "and are left out."
        )
    return [*sentences, *market.notes.get(f"facts:{ticker}", ())]


def flow_steps(market: Market, tickers: Iterable[str]) -> list[str]:
    """Return how to get the units of funds that lack them, or whose issuer refuses the file."""
    steps = []
    for fund in market.pair:
        ticker, refusal = fund.ticker, market.refusals.get(f"{fund.ticker} fund")
        if ticker not in tickers:
            continue
        if refusal:
            advice = "" if "import issuer" in refusal else f" Or {by_hand(fund, 'fund', market.options)}."
            steps.append(f"{ticker}, its issuer's file: {refusal}{advice}")
        elif market.is_sample or len(market.fund(ticker)["shares"].dropna()):
            continue
        elif fund.issuer_file:
            refresh = command_line("refresh", market.options)
            instead = by_hand(fund, "fund", market.options)
            steps.append(f"{ticker}: its issuer's file brings NAV and units: {refresh}; or {instead}")
        else:
            command = command_line("import issuer FILE", market.options)
            steps.append(
                f"{ticker}: no address of its issuer's files is known. Put issuer_file into [pair] of the "
                f"config, or download its file of NAV and units and run: {command}"
            )
    return steps


def no_flow_reason(market: Market, ticker: str) -> str:
    """Return why a fund has no flow: nothing is stored, or only counts that cannot give one."""
    if market.fund(ticker).empty:
        return "no fund facts"
    if flows.is_derived(market.fund(ticker)).any():
        return "its share counts are assets divided by NAV and cannot give flows"
    return "no fund facts with a share count (Yahoo's is frozen and cannot give flows)"


@per_market
def multiple_line(market: Market) -> str:
    """Return the newest P/E of both funds with its convention, or a note that none is stored."""
    figures = valuation.multiple_figures(market, "pe")
    if not figures:
        return f"P/E: {NOT_AVAILABLE}, none stored."
    leading = (valuation.convention_for(market), TRAILING) if len(market.company_sums) else None
    figure = max(figures, key=lambda f: (max(f.sessions), (f.convention, f.basis) == leading, f.observations))
    small, large = figure.small, figure.large
    same, end = small.session == large.session, market.require_end()
    parts = []
    for ticker, fund in zip(market.pair.tickers, (small, large), strict=True):
        part = f"{ticker} {multiple_text(figure.metric, fund)}"
        if fund.session is not None and not same:
            part += f" ({with_age(near_date(fund.session, end), market, fund.session)})"
        parts.append(part)
    if figure.premium is not None:
        parts[-1] += f"; premium {PERCENT.show(figure.premium, 0).lstrip('+')}{_rank_phrase(figure)}"
    session = min(filter(None, (*figure.sessions, small.priced, large.priced)))
    if same and session != end:
        parts.append(with_age(session_phrase(session), market, session))
    return f"P/E ({convention_phrase(figure.convention, figure.basis)}): {', '.join(parts)}."


def _rank_phrase(figure: MultipleFigure) -> str:
    """Return where a premium stands in its own history, "" where that is short."""
    if figure.percentile is None or figure.first is None or figure.observations < LEAST_RANKED:
        return ""
    since = short_date(figure.first).rpartition(" ")[2]
    extreme = {100.0: "highest", 0.0: "lowest"}.get(figure.percentile)
    return f", {extreme or f'percentile {percentile_text(figure.percentile)}'} since {since}"


def convention_phrase(name: str, basis: str) -> str:
    """Return convention and basis in words, e.g. "losses included, forward"."""
    stated = "basis unstated" if basis == "unstated" else basis
    return f"{valuation.CONVENTIONS.get(name, name)}, {stated}"


NOT_MEANINGFUL = "n/m"


def multiple_text(metric: str, fund: FundMultiple) -> str:
    """Return a fund's figure, or that its companies' earnings together make none."""
    if fund.value is not None and math.isnan(fund.value):
        return NOT_MEANINGFUL
    return METRICS[metric].unit.show(fund.value)


def _sums_phrase(total: FundSums, part: Sums) -> str:
    """Return what a figure is made of: "1,527 of 1,960 companies, 86% of weight; without VISN 62.1x"."""
    phrase = f"{part.companies:,} of {total.equities:,} companies, {part.coverage:.0%} of weight"
    without = f"; without {part.gains[0].ticker} {MULTIPLE.show(part.without_largest)}" if part.gains else ""
    return phrase + (without if part.without_largest else "")


def companies_lines(market: Market) -> list[str]:
    """Return how many companies each fund's sums are made of, those left out, who earns and loses most."""
    sentences = []
    for ticker in market.pair.tickers:
        stored = valuation.company_sums(market, ticker)
        if stored is None:
            continue
        session, sums = stored
        part = sums.trailing
        sentences.append(f"{ticker}, {short_date(session)}: {_sums_phrase(sums, part)}.")
        if sums.left_out:
            reasons = ", ".join(f"{count:,} {reason}" for reason, count in sums.left_out.items())
            sentences.append(f"Left out: {reasons}.")
        profits = part.profits or 0.0
        largest = (
            ("Earn most, of all profits", part.gains, profits),
            ("Lose most, of all losses", part.losses, profits - part.amount),
        )
        for words, companies, whole in largest:
            if companies and part.profits is not None:
                shares = (f"{row.ticker} {abs(row.amount) / whole:.0%}" for row in companies)
                sentences.append(f"{words}: {', '.join(shares)}.")
    return sentences
