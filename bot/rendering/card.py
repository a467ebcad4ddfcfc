"""Short cards for other chats: one window, both funds, price and total return."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bot.analytics.freshness import require_end
from bot.analytics.performance import performance
from bot.analytics.units import PERCENT, POINTS
from bot.analytics.windows import YTD, Window
from bot.rendering.answer import heading, sources
from bot.rendering.common import window_with_base
from bot.rendering.text import Html, lines, short_date

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bot.analytics.market import Market
    from bot.analytics.performance import Performance
    from bot.analytics.windows import AsOf
    from bot.pair import Pair

USUAL = (Window("m", 1), Window("m", 6), YTD, Window("y", 1))


@dataclass(frozen=True)
class Card:
    """One card: what the list shows of it, and the message that choosing it sends."""

    title: str
    summary: str
    html: Html


def cards(
    market: Market, asked: AsOf, windows: Sequence[Window] = (), total: bool | None = None
) -> list[Card]:
    """A card for each window, or for USUAL. Raises NoData if no session has a close of both funds."""
    require_end(market)
    kinds = (False, True) if total is None else (total,)
    return [_card(market, asked, window, kinds) for window in dict.fromkeys(windows or USUAL)]


def _card(market: Market, asked: AsOf, window: Window, kinds: Sequence[bool]) -> Card:
    returns = [(kind, performance(market, window, kind)) for kind in kinds]
    _, first = returns[0]
    if first.base is None:
        sentences = [f"{window}: too little history."]
    else:
        names = {False: "Price return", True: "Total return"}
        sentences = [f"{names[kind]} {_legs(market.pair, return_)}." for kind, return_ in returns]
    both = market.pair.fill("{small} and {large}")
    until = short_date(require_end(market))
    html = lines(
        heading(both, market, asked),
        f"Over {window_with_base(window, first.base)} to {until}:" if first.base is not None else None,
        *sentences,
        sources({"prices": market.source("prices").label}),
    )
    return Card(f"{both}, {window}", sentences[0], html)


def _legs(pair: Pair, return_: Performance) -> str:
    small, large = PERCENT.show(return_.small), PERCENT.show(return_.large)
    return f"{pair.small.ticker} {small}, {pair.large.ticker} {large}, gap {POINTS.show(return_.gap)}"
