"""The answer to /sectors: weights of both funds, largest differences, revenue from the home market."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bot.analytics.sources import COMPANIES
from bot.analytics.units import NOT_AVAILABLE, POINTS, SHARE
from bot.analytics.valuation import GROUP, REVENUE, SECTOR, Weights, newest_weights
from bot.data.provider import LABELS
from bot.messages.common import Answer, date_with_age, heading, page_buttons, sources
from bot.messages.html import Html, bold, lines, pre, table

if TYPE_CHECKING:
    from bot.analytics.market import Market
    from bot.analytics.windows import AsOf

_NAME_COLUMNS = 13  # characters of a name: what 34 columns leave beside the figures
_GROUPS_SHOWN = 12
_CLASSIFICATIONS = {
    "yahoo": "Morningstar sectors via Yahoo",
    COMPANIES: "Morningstar sectors of the companies",
    "issuer": "Issuer's sectors",
    "sample": "Sectors, simulated",
}
_LATER_WORD = re.compile(r"(?<=[\s/])[A-Z](?=[a-z])")  # not of an abbreviation such as REITs
# Names that the table's first column cannot hold.
_SHORTENED = {
    "Biotech and pharma": "Bio & pharma",
    "Information technology": "Info tech",
    "Communication services": "Communication",
    "Consumer discretionary": "Cons. discr.",
    "Consumer staples": "Cons. staples",
    "Consumer cyclical": "Cons. cyclic.",
    "Consumer defensive": "Cons. defens.",
    "Financial services": "Financial",
    "Basic materials": "Materials",
}


def sectors_answer(market: Market, as_of: AsOf) -> Answer:
    """Return sector weights, industry groups and home revenue, each with its date and source."""
    market.require_end()
    sectors, groups = newest_weights(market, SECTOR), newest_weights(market, GROUP)
    if any(entry.source == COMPANIES and entry.both for entry in sectors):
        sectors = [entry for entry in sectors if entry.source != "yahoo"]  # the same classification
    shown = [*sectors, *groups]
    entries = (*shown, *newest_weights(market, REVENUE))
    blocks: list[Html | str] = [_block(market, entry) for entry in shown]
    command = market.import_line("weights", market.pair.small.ticker)
    if not blocks:
        missing = f"{NOT_AVAILABLE}: no weights are stored."
        blocks = [missing, "Each refresh fetches Yahoo's; others are imported:", command]
    if not any(entry.level == GROUP for entry in shown):
        blocks.append(f"Industry groups: none yet; each week they are added up, or imported ({command}).")
    labels = dict.fromkeys(LABELS.get(entry.source, entry.source) for entry in entries)
    html = lines(
        heading("Sector weights", market, as_of, priced=False),
        *blocks,
        *_revenue(market),
        "",
        sources({"weights": ", ".join(labels)}),
    )
    return Answer(html, buttons=(page_buttons(as_of, "Compare", "Multiples"),))


def _block(market: Market, entry: Weights) -> Html:
    by_source = _CLASSIFICATIONS.get(entry.source, "Sectors, imported")
    title = "Industry groups" if entry.level == GROUP else by_source
    shown = entry.frame.head(_GROUPS_SHOWN)
    small, large = market.pair.tickers
    rows = [
        (_short(str(name)), SHARE.show(row[small]), SHARE.show(row[large]), POINTS.show(row["gap"], 1))
        for name, row in shown.iterrows()
    ]
    dates, shared = _dates(market, entry)
    dated = f"As of {shared}, largest difference first."
    if not shared:
        dated = f"As of {', '.join(f'{ticker} {date}' for ticker, date in dates.items())}."
    covers = entry.source == COMPANIES and entry.level == SECTOR
    more, only = len(entry.frame) - len(shown), " and ".join(entry.sessions)
    return lines(
        bold(title),
        dated,
        pre(table(("", small, large, "gap"), rows)),
        f"... and {more} more." if more else None,
        f"Companies of a known sector: {_coverage(entry)} of weight." if covers else None,
        None if entry.both else f"Only {only} from this source: nothing to compare with.",
    )


def _coverage(entry: Weights) -> str:
    """Return the weight that all names have together, per fund: "IWM 96.8%, SPY 99.5%"."""
    return ", ".join(f"{ticker} {SHARE.show(entry.frame[ticker].sum())}" for ticker in entry.sessions)


def _dates(market: Market, entry: Weights) -> tuple[dict[str, str], str]:
    """Return the date of each fund's weights with its age, and the one that both share, "" for none."""
    dates = {ticker: date_with_age(market, session) for ticker, session in entry.sessions.items()}
    return dates, next(iter(dates.values())) if len(set(dates.values())) == 1 else ""


def _short(name: str) -> str:
    name = _LATER_WORD.sub(lambda word: word[0].lower(), name)
    name = _SHORTENED.get(name, name)
    return name if len(name) <= _NAME_COLUMNS else name[: _NAME_COLUMNS - 1].rstrip() + "…"


def _revenue(market: Market) -> list[str]:
    """Return the share of revenue from the home market, imported only."""
    sentences = []
    for entry in newest_weights(market, REVENUE):
        dates, shared = _dates(market, entry)
        for name, row in entry.frame.iterrows():
            parts = [
                f"{ticker} {SHARE.show(row[ticker])}" + ("" if shared else f" as of {date}")
                for ticker, date in dates.items()
            ]
            dated = f", as of {shared}" if shared else ""
            source = LABELS.get(entry.source, entry.source)
            sentences.append(f"Share of revenue, {name}: {', '.join(parts)}{dated}; {source}.")
    return sentences or ["Share of revenue from the home market: n/a, none imported."]
