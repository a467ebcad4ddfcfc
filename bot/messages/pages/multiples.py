"""The answer to /multiples: valuation multiples by convention and source."""

import datetime as dt
from collections.abc import Sequence
from functools import partial

from bot.analytics import valuation
from bot.analytics.companies import CAPPED, LEAST_COVERAGE, LOSSES_IN, POSITIVE, TRAILING
from bot.analytics.market import Market
from bot.analytics.metrics import METRICS
from bot.analytics.sources import SAMPLE
from bot.analytics.units import NOT_AVAILABLE, PERCENT, POINTS
from bot.analytics.valuation import FundMultiple, MultipleFigure, convention_for
from bot.analytics.windows import AsOf
from bot.data.provider import LABELS
from bot.messages import common
from bot.messages.canvas import Theme
from bot.messages.charts import rule_chart
from bot.messages.common import Answer
from bot.messages.html import capital, lines, pre, table
from bot.text import short_date

_NO_EARNINGS = f"{common.NOT_MEANINGFUL}: not meaningful, all companies together earn nothing; see Earnings yield."
_LEADS = "Most websites leave losses out, so their P/E is lower."
_LOSSES_IN = {"IWM": " (IWM in December 2020: about 75x)"}  # how far that takes a fund, where it is known
_KINDS = {"positive": "profits only", "morningstar": "Morningstar", "yahoo": "Yahoo"}  # conventions, shortened


def multiples_answer(market: Market, as_of: AsOf, theme: Theme, kind: str | None = None) -> Answer:
    """Return the multiples of one of the `kinds`, by default the one that leads, and the small fund's premium."""
    market.require_end()
    small = market.pair.small.ticker
    advice = (
        f"A P/E with losses included{_LOSSES_IN.get(small, '')} is added up from the companies or "
        f"imported: {market.import_line('multiples', small)}"
    )
    figures = valuation.multiple_figures(market)
    if not figures:
        missing = f"{NOT_AVAILABLE}: no multiples are stored. Each refresh records Yahoo's of that day."
        html = lines(common.heading("No multiples yet", market, as_of), missing)
        return Answer(html, buttons=(common.page_buttons(as_of, "Compare", "Why"),), steps=(advice,))
    groups = _by_kind(market, figures)
    kind = kind if kind in groups else next(iter(groups))
    chosen = groups[kind]
    name, basis = chosen[0].convention, chosen[0].basis
    is_ours = name == LOSSES_IN and len(market.company_sums) > 0
    others = [f for f in figures if is_ours and f.basis == basis and (f.metric, f.convention) in _OTHER_PES]
    rows = [
        (
            valuation.MULTIPLES[figure.metric],
            *(common.multiple_text(figure.metric, fund) for fund in (figure.small, figure.large)),
            _difference(figure),
        )
        for figure in chosen
    ]
    html = lines(
        common.heading(_reading(market, chosen), market, as_of),
        f"{capital(common.convention_phrase(name, basis))}; {_dates(market, chosen)}",
        pre(table(("", *market.pair.tickers, "premium"), rows)),
        *(_pe_line(market, figure) for figure in others),
    )
    quote = common.details(
        market,
        *_ranks(chosen),
        _NO_EARNINGS if any(common.NOT_MEANINGFUL in row for row in rows) else None,
        *(common.companies_lines(market) if is_ours else ()),
        *_uncovered(market),
        _LEADS if is_ours else None,
        _provenance(market, chosen),
        priced=False,
    )
    draw = None
    if len(series := valuation.premium_history(market, "pe", name)) > 1:
        title = f"P/E premium of {small} over {market.pair.large.ticker}, {valuation.CONVENTIONS.get(name, name)}"
        style = common.chart_style(title, market, theme, market.source("multiples").label, series.index[-1])
        draw = partial(rule_chart, [common.metric_panel("", series, series, METRICS["pe_premium"].unit)], style)
    kinds = tuple((word, f"/multiples {word}{as_of.suffix}") for word in groups if word != kind)
    pages = common.page_buttons(as_of, "Compare", "Flows", "Fundamentals", "Why")
    buttons = (*common.in_rows(kinds, 2), pages)
    steps = () if any(f.convention == LOSSES_IN for f in figures) else (advice,)
    return Answer(html, draw, "multiples", buttons, quote=quote, steps=steps)


_OTHER_PES = {("pe", POSITIVE), ("pe", CAPPED)}  # which stand beside the figures with losses included


def kinds(market: Market) -> list[str]:
    """Return the kinds of multiples that are stored, the one that leads first: "losses in trailing", ..."""
    return list(_by_kind(market, valuation.multiple_figures(market)))


def _by_kind(market: Market, figures: Sequence[MultipleFigure]) -> dict[str, list[MultipleFigure]]:
    """Return the figures by kind, those of the leading convention first, of these the longest history."""
    leading = convention_for(market)
    is_ours = leading == LOSSES_IN and len(market.company_sums) > 0
    groups: dict[str, list[MultipleFigure]] = {}
    for figure in figures:
        if not is_ours or (figure.metric, figure.convention) not in _OTHER_PES:
            word = _KINDS.get(figure.convention, figure.convention.replace("_", " "))
            basis = "" if figure.basis == "unstated" else f" {figure.basis}"
            groups.setdefault(f"{word}{basis}", []).append(figure)

    def order(kind: str) -> tuple[bool, bool, int, str]:
        first = groups[kind][0]
        history = max(figure.observations for figure in groups[kind])
        return first.convention != leading, is_ours and first.basis != TRAILING, -history, kind

    return {kind: groups[kind] for kind in sorted(groups, key=order)}


def _reading(market: Market, figures: Sequence[MultipleFigure]) -> str:
    small, large = market.pair.tickers
    figure = next((f for f in figures if f.metric == "pe" and f.premium is not None), None)
    if figure is None:
        return f"Multiples of {small} and {large}"
    premium = figure.premium or 0.0
    size, more = PERCENT.show(abs(premium), 0).lstrip("+"), "more" if premium > 0 else "less"
    return f"{small} costs {f'{size} {more} than' if round(abs(premium)) else 'about as much as'} {large} by P/E"


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


def _dates(market: Market, figures: list[MultipleFigure]) -> str:
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
        return f"{next(iter(groups))}."
    return " ".join(f"{', '.join(names)}: {dated}." for dated, names in groups.items())


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

    Among fewer than common.LEAST_RANKED values a place says nothing: only their number is told.
    """
    groups: dict[str, list[str]] = {}
    for figure in (f for f in figures if f.metric not in valuation.OF_COMPANIES):
        name = valuation.MULTIPLES[figure.metric]
        if figure.percentile is None or figure.first is None:
            groups.setdefault("", []).append(name)
        else:
            history = f"n = {figure.observations:,} since {short_date(figure.first)}"
            enough = figure.observations >= common.LEAST_RANKED
            rank = f" {common.percentile_text(figure.percentile)}" if enough else ""
            key = history if enough else f"{history}; shown from {common.LEAST_RANKED}"
            groups.setdefault(key, []).append(name + rank)
    return [
        f"Premium percentiles: {', '.join(ranks)} ({history})."
        if history
        else f"{', '.join(ranks)} premium: no history of both funds to rank it in yet."
        for history, ranks in groups.items()
    ]


def _provenance(market: Market, figures: list[MultipleFigure]) -> str | None:
    """Return the source of a block's figures, and the date and coverage of the holdings behind them.

    The sample, which the heading names, is left out.
    """
    rows = valuation.dated_multiples(market)
    same = (rows["convention"] == figures[0].convention) & (rows["basis"] == figures[0].basis)
    newest = rows[same].drop_duplicates(["ticker", "metric"], keep="last")
    labels = [LABELS.get(name, name) for name in sorted(set(newest["source"])) if name != SAMPLE]
    parts = [", ".join(labels)] if labels else []
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
    named = f"Source: {'; '.join(parts)}." if labels else f"{capital('; '.join(parts))}."
    return named if parts else None
