"""The answer to /multiples: valuation multiples by convention and source."""

from __future__ import annotations

import datetime as dt
import math
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING

from bot.analytics import valuation
from bot.analytics.metrics import METRICS
from bot.analytics.sessions import short_date
from bot.analytics.units import NOT_AVAILABLE, PERCENT
from bot.analytics.valuation import convention_for
from bot.data.provider import LABELS
from bot.messages.charts import metric_chart
from bot.messages.common import Answer, chart_style, convention, heading
from bot.messages.html import age_phrase, bold, capital, lines, pre, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from bot.analytics.market import Market
    from bot.analytics.valuation import MultipleFigure
    from bot.analytics.windows import AsOf
    from bot.messages.canvas import Theme
    from bot.messages.charts import ChartSpec
    from bot.messages.html import Html


_LOSSES_IN = {"IWM": " (IWM in December 2020: about 75x)"}  # how far that takes a fund, where it is known


def multiples_answer(market: Market, asked: AsOf, theme: Theme) -> Answer:
    """Every stored multiple by convention, premium of the small fund, place in the stored history."""
    market.require_end()
    figures = valuation.multiple_figures(market)
    if not figures:
        html = lines(
            heading("Valuation multiples", market, asked, priced=False),
            f"{NOT_AVAILABLE}, none stored. Each refresh records Yahoo's from then on.",
            _advice(market),
        )
        return Answer(html, buttons=_buttons(asked))
    chosen = convention_for(market)
    ordered = sorted(figures, key=lambda f: (f.convention, f.basis))
    blocks = [
        _block(market, name, basis, list(group))
        for (name, basis), group in groupby(ordered, key=lambda f: (f.convention, f.basis))
    ]
    html = lines(
        heading("Valuation multiples", market, asked, priced=False),
        _reading(market, figures, chosen),
        *blocks,
        _advice(market) if not any(f.convention == "losses_in" for f in figures) else None,
    )
    drawable = chosen is not None and len(valuation.premium_history(market, "pe", chosen)) > 1
    draw = _chart(market, str(chosen), theme) if drawable else None
    return Answer(html, draw, "multiples", _buttons(asked))


def _advice(market: Market) -> str:
    """Where the multiples come from that no source gives."""
    ticker = market.pair.small.ticker
    return (
        f"A P/E with losses counted in{_LOSSES_IN.get(ticker, '')} comes bottom-up from the companies, "
        f"or by import: python -m bot import multiples FILE --ticker {ticker}"
    )


def _reading(market: Market, figures: Sequence[MultipleFigure], chosen: str | None) -> Html | None:
    """Whether the small fund costs more by the P/E of one convention, None if unknown."""
    premiums = [f for f in figures if (f.metric, f.convention) == ("pe", chosen) and f.premium is not None]
    if not premiums:
        return None
    figure = max(premiums, key=lambda f: f.observations)
    premium = figure.premium or 0.0
    size, more = PERCENT.show(abs(premium), 0).lstrip("+"), "more" if premium > 0 else "less"
    small, large = market.pair.tickers
    how = f"by P/E ({convention(figure.convention, figure.basis)})"
    session = figure.small_session
    dated = f", as of {short_date(session)}" if session is not None and _old(market, session) else ""
    return bold("Reading") + f": {small} costs {size} {more} than {large} {how}{dated}."


def _block(market: Market, name: str, basis: str, figures: list[MultipleFigure]) -> Html:
    ordered = sorted(figures, key=lambda f: list(valuation.MULTIPLES).index(f.metric))
    rows = []
    for figure in ordered:
        unit = METRICS[figure.metric].unit
        rows.append(
            (
                valuation.MULTIPLES[figure.metric],
                unit.show(figure.small),
                unit.show(figure.large),
                PERCENT.show(figure.premium, 1),
            )
        )
    return lines(
        bold(capital(convention(name, basis))),
        *_dated(market, ordered),
        pre(table(("", *market.pair.tickers, "premium"), rows)),
        *_ranks(ordered),
        _provenance(market, ordered),
    )


def _dated(market: Market, figures: list[MultipleFigure]) -> list[str]:
    """The sessions of the figures with their age, grouped by session."""
    groups: dict[str, list[str]] = {}
    for figure in figures:
        groups.setdefault(_sessions(market, figure), []).append(valuation.MULTIPLES[figure.metric])
    if len(groups) == 1:
        return [f"{capital(next(iter(groups)))}."]
    return [f"{', '.join(names)}: {sessions}." for sessions, names in groups.items()]


def _sessions(market: Market, figure: MultipleFigure) -> str:
    """Session and age of one multiple's figures, per fund if they differ."""
    small = _when(market, figure.small_session, figure.small_priced)
    large = _when(market, figure.large_session, figure.large_priced)
    same = figure.small_session == figure.large_session
    if same and small == large:
        return small
    both = f"{market.pair.small.ticker} {small}; {market.pair.large.ticker} {large}"
    return both if same else f"{both} (no premium across dates)"


def _when(market: Market, session: pd.Timestamp | None, priced: pd.Timestamp | None) -> str:
    """The date of the prices behind a figure with its age, and the figure's own date if it differs."""
    if session is None:
        return NOT_AVAILABLE
    old = _old(market, session if priced is None else priced)
    aged = f" ({old})" if old else ""
    if priced is None:
        return f"of {short_date(session)}{aged}"
    of = "" if priced == session else f"of {short_date(session)}, "
    return f"{of}prices of {short_date(priced)}{aged}"


def _old(market: Market, session: pd.Timestamp) -> str:
    """The age of a figure, beyond the usual one session."""
    return age_phrase(market.sessions_behind(session) - METRICS["pe"].lag)


def _ranks(figures: list[MultipleFigure]) -> list[str]:
    """Percentile of each premium in its stored history, with n and the first date."""
    groups: dict[str, list[str]] = {}
    for figure in figures:
        name = valuation.MULTIPLES[figure.metric]
        if figure.percentile is None or figure.first is None:
            groups.setdefault("", []).append(name)
        else:
            history = f"n = {figure.observations:,} since {short_date(figure.first)}"
            groups.setdefault(history, []).append(f"{name} {math.floor(figure.percentile)}")
    return [
        f"Premium percentiles: {', '.join(ranks)} ({history})."
        if history
        else f"{', '.join(ranks)} premium: no history of both funds to rank it in yet."
        for history, ranks in groups.items()
    ]


def _provenance(market: Market, figures: list[MultipleFigure]) -> str:
    """Source of a block's figures, and the date and coverage of the holdings behind them."""
    rows = market.multiples
    same = (rows["convention"] == figures[0].convention) & (rows["basis"] == figures[0].basis)
    newest = rows[same].drop_duplicates(["ticker", "metric"], keep="last")
    parts = [", ".join(LABELS.get(name, name) for name in sorted(set(newest["source"])))]
    held = sorted(newest["holdings_date"].dropna().unique()) if "holdings_date" in newest else []
    if held:
        parts.append(f"holdings of {' and '.join(short_date(dt.date.fromisoformat(day)) for day in held)}")
    covered = newest["coverage"].dropna() if "coverage" in newest else []
    if len(covered):
        parts.append(f"coverage {100 * float(min(covered)):.0f}%")
    undated = newest["price_date"].isna() if "price_date" in newest else newest["value"].notna()
    if undated.any():
        parts.append("price date not stated" if undated.all() else "some price dates not stated")
    return f"Source: {'; '.join(parts)}."


def _chart(market: Market, chosen: str, theme: Theme) -> ChartSpec:
    series = valuation.premium_history(market, "pe", chosen)
    small, large = market.pair.tickers
    look = chart_style(
        f"P/E premium of {small} over {large}, {valuation.CONVENTIONS.get(chosen, chosen)}",
        market,
        theme,
        market.source("multiples").label,
        series.index[-1],
    )
    return partial(metric_chart, series, METRICS["pe_premium"].unit, look)


def _buttons(asked: AsOf) -> tuple[tuple[tuple[str, str], ...], ...]:
    tail = asked.suffix
    return (
        (("Compare", f"/compare{tail}"), ("Flows", f"/flows{tail}"), ("What moved it", f"/why ytd{tail}")),
    )
