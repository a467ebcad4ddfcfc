"""The answer to /sectors: weights of both funds, largest differences, revenue from the home market."""

import math
import re
from dataclasses import replace
from functools import partial

from bot.analytics.market import Market
from bot.analytics.sources import COMPANIES, SAMPLE
from bot.analytics.units import POINTS, SHARE
from bot.analytics.valuation import GROUP, REVENUE, SECTOR, Weights, newest_weights
from bot.analytics.windows import AsOf
from bot.data.provider import LABELS
from bot.messages.canvas import Theme
from bot.messages.charts import bar_chart
from bot.messages.common import Answer, chart_style, date_with_age, details, heading, in_rows, page_buttons, sources
from bot.messages.html import lines, pre, table
from bot.text import load_toml

_SHOWN = replace(POINTS, decimals=1)  # a difference of weights
_NAME_COLUMNS = 13  # characters of a name: what 34 columns leave beside the figures
_ROWS_SHOWN = 10
_GROUPS = "groups"
_WORDS = {COMPANIES: "companies", "csv": "imported"}  # of sources, as they are typed
_NAMES = load_toml("bot.messages.pages", "sectors.toml")
_LATER_WORD = re.compile(r"(?<=[\s/])[A-Z](?=[a-z])")  # not of an abbreviation such as REITs


def sectors_answer(market: Market, as_of: AsOf, theme: Theme, part: str = "") -> Answer:
    """Return the weights of one of the `parts`, by default of the sectors, largest difference first."""
    market.require_end()
    stored = parts(market)
    command = market.import_line("weights", market.pair.small.ticker)
    pages = page_buttons(as_of, "Compare", "Multiples", "Why")
    if not stored:
        html = lines(heading("No weights are stored", market, as_of), "Each refresh fetches Yahoo's.")
        quote = details(market, *_revenue(market), priced=False)
        return Answer(html, buttons=(pages,), quote=quote, steps=(f"Others are imported: {command}",))
    part = part if part in stored else next(iter(stored))
    entry = stored[part]
    shown, (small, large) = entry.frame.head(_ROWS_SHOWN), market.pair.tickers
    rows = [
        (_short(str(name)), SHARE.show(row[small]), SHARE.show(row[large]), _SHOWN.show(row["gap"]))
        for name, row in shown.iterrows()
    ]
    dates, shared = _dates(market, entry)
    of_each = ", ".join(f"{ticker} {date}" for ticker, date in dates.items())
    title = (
        "Industry groups" if entry.level == GROUP else _NAMES["classifications"].get(entry.source, "Sectors, imported")
    )
    more, only = len(entry.frame) - len(shown), " and ".join(entry.sessions)
    html = lines(
        heading(_reading(market, entry), market, as_of),
        f"{title}, {shared or of_each}.",
        pre(table(("", small, large, "gap"), rows)),
        f"... and {more} more." if more > 0 else None,
        None if entry.both else f"Only {only} from this source: nothing to compare with.",
    )
    covers = entry.source == COMPANIES and entry.level == SECTOR
    quote = details(
        market,
        f"Companies of a known sector: {_coverage(entry)} of weight." if covers else None,
        *_revenue(market),
        None if _GROUPS in stored else "Industry groups: none yet; each week they are added up.",
        sources({"weights": LABELS.get(entry.source, entry.source)}),
        priced=False,
    )
    draw = None
    if entry.both:
        bars = shown[["gap"]].rename(index=lambda name: _short(str(name)))
        label, last = LABELS.get(entry.source, entry.source), max(entry.sessions.values())
        style = chart_style(f"{title}: weight in {small} less that in {large}", market, theme, label, last)
        draw = partial(bar_chart, bars, [_SHOWN] * len(bars), style)
    others = tuple((word.capitalize(), f"/sectors {word}{as_of.suffix}") for word in stored if word != part)
    steps = () if _GROUPS in stored else (f"Industry groups are imported, too: {command}",)
    return Answer(html, draw, "sectors", (*in_rows(others, 3), pages), quote=quote, steps=steps)


def parts(market: Market) -> dict[str, Weights]:
    """Return the weights that are stored by the word that asks for them, sectors first."""
    sectors = newest_weights(market, SECTOR)
    if any(entry.source == COMPANIES and entry.both for entry in sectors):
        sectors = [entry for entry in sectors if entry.source != "yahoo"]  # the same classification
    stored = {_WORDS.get(entry.source, entry.source): entry for entry in sectors}
    if groups := newest_weights(market, GROUP):
        stored[_GROUPS] = groups[0]
    return stored


def _reading(market: Market, entry: Weights) -> str:
    (small, large), name = market.pair.tickers, str(entry.frame.index[0])
    gap = float(entry.frame["gap"].iloc[0])
    if not entry.both or math.isnan(gap):
        return f"Sectors of {' and '.join(entry.sessions)}"
    size = _SHOWN.show(abs(gap)).lstrip("+")
    return f"{small} holds {size} {'more' if gap > 0 else 'less'} {_lower(name)} than {large}"


def _lower(name: str) -> str:
    """Return a name with small first letters, but for abbreviations."""
    name = _LATER_WORD.sub(lambda word: word[0].lower(), name)
    return name if name[1:2].isupper() else name[:1].lower() + name[1:]


def _coverage(entry: Weights) -> str:
    """Return the weight that all names have together, per fund: "IWM 96.8%, SPY 99.5%"."""
    return ", ".join(f"{ticker} {SHARE.show(entry.frame[ticker].sum())}" for ticker in entry.sessions)


def _dates(market: Market, entry: Weights) -> tuple[dict[str, str], str]:
    """Return the date of each fund's weights with its age, and the one that both share, "" for none."""
    dates = {ticker: date_with_age(market, session) for ticker, session in entry.sessions.items()}
    return dates, next(iter(dates.values())) if len(set(dates.values())) == 1 else ""


def _short(name: str) -> str:
    name = _LATER_WORD.sub(lambda word: word[0].lower(), name)
    name = _NAMES["shortened"].get(name, name)
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
            source = "" if entry.source == SAMPLE else f"; {LABELS.get(entry.source, entry.source)}"
            sentences.append(f"Share of revenue, {name}: {', '.join(parts)}{dated}{source}.")
    return sentences or ["Share of revenue from the home market: n/a, none imported."]
