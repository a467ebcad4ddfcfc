"""The answer to /multiples: valuation multiples by convention and source."""

from __future__ import annotations

import datetime as dt
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING

from bot.analytics import valuation
from bot.analytics.companies import CAPPED, LEAST_COVERAGE, LOSSES_IN, POSITIVE, TRAILING
from bot.analytics.metrics import METRICS
from bot.analytics.units import NOT_AVAILABLE, PERCENT, POINTS
from bot.analytics.valuation import FundMultiple, MultipleFigure, convention_for
from bot.data.provider import LABELS
from bot.messages import common
from bot.messages.charts import ConditionPanel, rule_chart
from bot.messages.common import Answer
from bot.messages.html import Html, bold, capital, lines, pre, table
from bot.text import short_date

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bot.analytics.market import Market
    from bot.analytics.windows import AsOf
    from bot.messages.canvas import Theme

_NO_EARNINGS = (
    f"{common.NOT_MEANINGFUL}: not meaningful, all companies together earn nothing; see Earnings yield."
)
LEAST_RANKED = 20  # a premium has a percentile among so many values
_LEADS = "This one leads. Most websites leave losses out, so theirs is lower."
_LOSSES_IN = {"IWM": " (IWM in December 2020: about 75x)"}  # how far that takes a fund, where it is known


def multiples_answer(market: Market, as_of: AsOf, theme: Theme) -> Answer:
    """Return every stored multiple by convention, the small fund's premium and its place in history."""
    market.require_end()
    head = common.heading("Valuation multiples", market, as_of, priced=False)
    buttons = (common.page_buttons(as_of, "Compare", "Flows", "What moved it"),)
    small, large = market.pair.tickers
    advice = (
        f"A P/E with losses included{_LOSSES_IN.get(small, '')} is added up from the companies or "
        f"imported: {market.import_line('multiples', small)}"
    )
    figures = valuation.multiple_figures(market)
    if not figures:
        missing = f"{NOT_AVAILABLE}: no multiples are stored. Each refresh records Yahoo's of that day."
        return Answer(
            lines(head, missing, advice), buttons=(common.page_buttons(as_of, "Compare", "What moved it"),)
        )
    chosen = convention_for(market)
    leading = (LOSSES_IN, TRAILING) if chosen == LOSSES_IN and len(market.company_sums) else None
    others = [f for f in figures if leading and f.metric == "pe" and f.convention in (POSITIVE, CAPPED)]
    ordered = sorted(
        (figure for figure in figures if figure not in others),
        key=lambda f: ((f.convention, f.basis) != leading, f.convention, f.basis),
    )
    html = lines(
        head,
        _reading(market, figures, chosen),
        *(
            _block(
                market,
                list(group),
                [f for f in others if (name, f.basis) == (LOSSES_IN, basis)],
                leads=(name, basis) == leading,
            )
            for (name, basis), group in groupby(ordered, key=lambda f: (f.convention, f.basis))
        ),
        *_uncovered(market),
        advice if not any(f.convention == LOSSES_IN for f in figures) else None,
    )
    draw = None
    if chosen is not None and len(series := valuation.premium_history(market, "pe", chosen)) > 1:
        title = f"P/E premium of {small} over {large}, {valuation.CONVENTIONS.get(chosen, chosen)}"
        style = common.chart_style(title, market, theme, market.source("multiples").label, series.index[-1])
        draw = partial(rule_chart, [ConditionPanel("", series, METRICS["pe_premium"].unit)], style)
    return Answer(html, draw, "multiples", buttons)


def _reading(market: Market, figures: Sequence[MultipleFigure], chosen: str | None) -> Html | None:
    """Return whether the small fund costs more by the P/E of one convention, None if unknown."""
    priced = [f for f in figures if (f.metric, f.convention) == ("pe", chosen) and f.premium is not None]
    if not priced:
        return None
    figure = max(priced, key=lambda f: (f.observations, f.basis == TRAILING))
    premium, session = figure.premium or 0.0, figure.small.session
    size, more = PERCENT.show(abs(premium), 0).lstrip("+"), "more" if premium > 0 else "less"
    small, large = market.pair.tickers
    costs = f"{size} {more} than" if round(abs(premium)) else "about as much as"
    how = f"by P/E ({common.convention_phrase(figure.convention, figure.basis)})"
    dated = f", as of {short_date(session)}" if session and market.sessions_behind(session) else ""
    return bold("Reading") + f": {small} costs {costs} {large} {how}{dated}."


def _block(
    market: Market, figures: list[MultipleFigure], others: Sequence[MultipleFigure], *, leads: bool
) -> Html:
    name, basis = figures[0].convention, figures[0].basis
    rows = [
        (
            valuation.MULTIPLES[figure.metric],
            *(common.multiple_text(figure.metric, fund) for fund in (figure.small, figure.large)),
            _difference(figure),
        )
        for figure in figures
    ]
    return lines(
        bold(capital(common.convention_phrase(name, basis))),
        _LEADS if leads else None,
        *_dates(market, figures),
        pre(table(("", *market.pair.tickers, "premium"), rows)),
        _NO_EARNINGS if any(common.NOT_MEANINGFUL in row for row in rows) else None,
        *(_pe_line(market, figure) for figure in others),
        *(common.companies_lines(market) if leads else ()),
        *_ranks(figures),
        _provenance(market, figures),
    )


def _uncovered(market: Market) -> list[str]:
    """Return a line for each fund of whose companies too few are known."""
    sums = {ticker: valuation.company_sums(market, ticker) for ticker in market.pair.tickers}
    shares = {ticker: stored[1].trailing.coverage for ticker, stored in sums.items() if stored}
    return [
        f"{ticker}: no figure, its companies with earnings are {share:.0%} of weight (needed: 60%)."
        for ticker, share in shares.items()
        if share < LEAST_COVERAGE
    ]


def _pe_line(market: Market, figure: MultipleFigure) -> str:
    """Return both funds' P/E under one convention: "P/E, each P/E capped at 60: IWM 15.7x, SPY 24.1x."."""
    funds = zip(market.pair.tickers, (figure.small, figure.large), strict=True)
    values = ", ".join(f"{ticker} {common.multiple_text('pe', fund)}" for ticker, fund in funds)
    return f"P/E, {valuation.CONVENTIONS[figure.convention]}: {values}."


def _difference(figure: MultipleFigure) -> str:
    """Return the premium of the small fund; of shares the difference in points."""
    small, large = figure.small, figure.large
    if figure.metric not in valuation.OF_COMPANIES:
        return PERCENT.show(figure.premium, 1)
    same = small.session == large.session and small.value is not None and large.value is not None
    return POINTS.show((small.value or 0.0) - (large.value or 0.0), 1) if same else NOT_AVAILABLE


def _dates(market: Market, figures: list[MultipleFigure]) -> list[str]:
    """Return the sessions of the figures with their age, per fund if they differ, grouped by session."""
    groups: dict[str, list[str]] = {}
    for figure in figures:
        small, large = (_session(market, fund) for fund in (figure.small, figure.large))
        dated = f"{market.pair.small.ticker} {small}; {market.pair.large.ticker} {large}"
        if figure.small.session != figure.large.session:
            dated += " (no premium across dates)"
        elif small == large:
            dated = small
        groups.setdefault(dated, []).append(valuation.MULTIPLES[figure.metric])
    if len(groups) == 1:
        return [f"{capital(next(iter(groups)))}."]
    return [f"{', '.join(names)}: {dated}." for dated, names in groups.items()]


def _session(market: Market, fund: FundMultiple) -> str:
    """Return the date of the prices behind a figure with its age, and the figure's own date if it differs."""
    if fund.session is None:
        return NOT_AVAILABLE
    if fund.priced is None:
        return f"of {common.date_with_age(market, fund.session)}"
    of = "" if fund.priced == fund.session else f"of {short_date(fund.session)}, "
    return f"{of}prices of {common.date_with_age(market, fund.priced)}"


def _ranks(figures: list[MultipleFigure]) -> list[str]:
    """Return the percentile of each premium in its stored history, with n and the first date.

    Among fewer than LEAST_RANKED values a place says nothing: only their number is told.
    """
    groups: dict[str, list[str]] = {}
    for figure in (f for f in figures if f.metric not in valuation.OF_COMPANIES):
        name = valuation.MULTIPLES[figure.metric]
        if figure.percentile is None or figure.first is None:
            groups.setdefault("", []).append(name)
        else:
            history = f"n = {figure.observations:,} since {short_date(figure.first)}"
            enough = figure.observations >= LEAST_RANKED
            rank = f" {common.percentile_text(figure.percentile)}" if enough else ""
            key = history if enough else f"{history}; shown from {LEAST_RANKED}"
            groups.setdefault(key, []).append(name + rank)
    return [
        f"Premium percentiles: {', '.join(ranks)} ({history})."
        if history
        else f"{', '.join(ranks)} premium: no history of both funds to rank it in yet."
        for history, ranks in groups.items()
    ]


def _provenance(market: Market, figures: list[MultipleFigure]) -> str:
    """Return the source of a block's figures, and the date and coverage of the holdings behind them."""
    rows = valuation.dated_multiples(market)
    same = (rows["convention"] == figures[0].convention) & (rows["basis"] == figures[0].basis)
    newest = rows[same].drop_duplicates(["ticker", "metric"], keep="last")
    parts = [", ".join(LABELS.get(name, name) for name in sorted(set(newest["source"])))]
    dates = sorted(newest["holdings_date"].dropna().unique()) if "holdings_date" in newest else []
    if dates:
        parts.append(f"holdings of {' and '.join(short_date(dt.date.fromisoformat(day)) for day in dates)}")
    covered = newest["coverage"].dropna() if "coverage" in newest else []
    if len(covered):
        parts.append(f"coverage {100 * float(min(covered)):.0f}%")
    undated = newest["price_date"].isna() if "price_date" in newest else newest["value"].notna()
    if undated.any():
        parts.append("price date not stated" if undated.all() else "some price dates not stated")
    rows = market.multiples
    last = rows.loc[rows["convention"] == figures[0].convention, "session"].max()
    if last > newest["session"].max():
        parts.append(f"the same figures until {short_date(last)}, so they are as of their last change")
    return f"Source: {'; '.join(parts)}."
