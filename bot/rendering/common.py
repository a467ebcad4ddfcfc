"""What several pages share: the look of charts, titles, and the lines on trend, flows and multiples."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from bot.alerts.rule import AMOUNT
from bot.analytics import counts, flows, trend, units, valuation
from bot.analytics.freshness import require_end
from bot.analytics.registry import METRICS
from bot.analytics.units import NOT_AVAILABLE, PERCENT
from bot.analytics.windows import Window
from bot.rendering.charts import ConditionPanel, Threshold
from bot.rendering.figures import sources_behind
from bot.rendering.text import age_phrase, session_phrase, short_date
from bot.rendering.themes import ChartStyle

if TYPE_CHECKING:
    import pandas as pd

    from bot.alerts.bars import Histories
    from bot.alerts.rule import Condition, Rule
    from bot.analytics.market import Market
    from bot.analytics.metrics import Arguments, Metric
    from bot.analytics.valuation import Figure
    from bot.rendering.themes import Theme

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
    dated = session_phrase(require_end(market) if session is None else session)
    return ChartStyle(title, f"Source: {source} · {dated}", theme, sample=market.is_sample)


def rule_chart_style(name: str, rule: Rule, market: Market, theme: Theme) -> ChartStyle:
    """Title and footer of a picture of a rule, with the sources of all its conditions."""
    labels = ", ".join(sources_behind(rule.conditions, market))
    footer = f"Source: {labels} · {session_phrase(require_end(market))}"
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
    against = trend.against_average(r, AVERAGE)
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
        flow = flows.summary(flows.daily_flows(market, ticker), window, market.anchor)
        if flow.dollars is None or flow.end is None:
            reason = "no fund facts" if flow.end is None else "too little history"
            parts.append(f"{ticker} {NOT_AVAILABLE}, {reason}")
            continue
        late = f" to {short_date(flow.end)}" if flow.end != market.end else ""
        old = age_phrase(market.behind(flow.end) - METRICS["flow"].lag)
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
    made = counts.derived(facts)
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
    if counts.derived(market.fund(ticker)).any():
        return "its share counts are assets divided by NAV and cannot give flows"
    return "no fund facts with a share count (Yahoo's is frozen and cannot give flows)"


def multiple_line(market: Market) -> str:
    """The newest P/E of both funds with its convention, or a note that none is stored."""
    figures = valuation.figures(market, "pe")
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
    old = age_phrase(market.behind(session) - METRICS["pe"].lag)
    return f"{words}, {old}" if old else words


def _sessions(figure: Figure) -> list[pd.Timestamp]:
    """The sessions of a multiple's figures: of both funds, or of the one that has any."""
    return [session for session in (figure.small_session, figure.large_session) if session is not None]


def convention(name: str, basis: str) -> str:
    """Convention and basis in words, e.g. "losses in, forward"."""
    stated = "basis unstated" if basis == "unstated" else basis
    return f"{valuation.CONVENTIONS.get(name, name)}, {stated}"
