"""The answer to /sectors: weights of both funds, largest differences, revenue from the home market."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot.analytics.sessions import short_date
from bot.analytics.units import NOT_AVAILABLE, POINTS, SHARE
from bot.analytics.valuation import GROUP, MORNINGSTAR, REVENUE, SECTOR, Weights, newest_weights
from bot.data.provider import LABELS
from bot.messages.common import Answer, heading, sources
from bot.messages.html import age_phrase, bold, lines, pre, table

if TYPE_CHECKING:
    import pandas as pd

    from bot.analytics.market import Market
    from bot.analytics.windows import AsOf
    from bot.messages.html import Html


_LONGEST = 13  # characters of a name: what 34 columns leave beside the figures
_GROUPS_SHOWN = 12
_CLASSIFICATIONS = {
    "yahoo": "Morningstar sectors via Yahoo",
    "issuer": "issuer's sectors",
    "sample": "Sectors, simulated",
}
# Names that the table's first column cannot hold.
_SHORTENED = {
    "Information Technology": "Info tech",
    "Communication Services": "Communication",
    "Communication services": "Communication",
    "Consumer Discretionary": "Cons. discr.",
    "Consumer Staples": "Cons. staples",
    "Consumer cyclical": "Cons. cyclic.",
    "Consumer defensive": "Cons. defens.",
    "Financial services": "Financial",
    "Basic materials": "Materials",
}


def sectors_answer(market: Market, asked: AsOf) -> Answer:
    """Sector weights, imported industry groups and home revenue, each with its date and source."""
    market.require_end()
    shown = [entry for level in (SECTOR, GROUP) for entry in newest_weights(market, level)]
    blocks = [_block(market, entry) for entry in shown]
    how = f"python -m bot import weights FILE --ticker {market.pair.small.ticker}"
    if not blocks:
        blocks = [
            lines(
                f"{NOT_AVAILABLE}: no weights stored.",
                "Yahoo's come with a refresh, others with an import:",
                how,
            )
        ]
    if not any(entry.level == GROUP for entry in shown):
        blocks.append(lines(f"Industry groups: none imported ({how})."))
    used = {
        LABELS.get(entry.source, entry.source): "" for entry in (*shown, *newest_weights(market, REVENUE))
    }
    html = lines(
        heading("Sector weights", market, asked, priced=False),
        *blocks,
        *_revenue(market),
        "",
        sources({"weights": ", ".join(used)}),
    )
    tail = asked.suffix
    return Answer(html, buttons=((("Compare", f"/compare{tail}"), ("Multiples", f"/multiples{tail}")),))


def _block(market: Market, entry: Weights) -> Html:
    title = (
        "Industry groups" if entry.level == GROUP else _CLASSIFICATIONS.get(entry.source, "Sectors, imported")
    )
    shown = entry.frame.head(_GROUPS_SHOWN)
    small, large = market.pair.tickers
    rows = [
        (_short(str(name)), SHARE.show(row[small]), SHARE.show(row[large]), POINTS.show(row["gap"], 1))
        for name, row in shown.iterrows()
    ]
    more = len(entry.frame) - len(shown)
    return lines(
        bold(title),
        _dated(market, entry.sessions),
        pre(table(("", small, large, "gap"), rows)),
        f"... and {more} more." if more else None,
        None
        if entry.both
        else f"Only {' and '.join(entry.sessions)} from this source: nothing to compare with.",
    )


def _dated(market: Market, sessions: dict[str, pd.Timestamp]) -> str:
    days = set(sessions.values())
    if len(days) == 1:
        return f"As of {_aged(market, next(iter(days)))}, largest difference first."
    return "As of " + ", ".join(f"{ticker} {_aged(market, day)}" for ticker, day in sessions.items()) + "."


def _aged(market: Market, session: pd.Timestamp) -> str:
    """A session with its age: weights are those of a report, which may be months old."""
    old = age_phrase(market.sessions_behind(session))
    return f"{short_date(session)}{f' ({old})' if old else ''}"


def _short(name: str) -> str:
    """A name that fits its column."""
    words = MORNINGSTAR.get(name, name)
    words = _SHORTENED.get(words, words)
    return words if len(words) <= _LONGEST else words[: _LONGEST - 1].rstrip() + "…"


def _revenue(market: Market) -> list[str]:
    """Share of revenue from the home market, imported only."""
    sentences = []
    for entry in newest_weights(market, REVENUE):
        for name, row in entry.frame.iterrows():
            days = {
                ticker: _aged(market, entry.sessions[ticker])
                for ticker in market.pair.tickers
                if ticker in entry.sessions
            }
            same = len(set(days.values())) == 1
            parts = [
                f"{ticker} {SHARE.show(row[ticker])}" + ("" if same else f" of {day}")
                for ticker, day in days.items()
            ]
            dated = f", of {next(iter(days.values()))}" if same else ""
            sentences.append(
                f"Revenue, {name}: {', '.join(parts)}{dated}; {LABELS.get(entry.source, entry.source)}."
            )
    return sentences or ["Revenue from the home market: n/a, none imported."]
