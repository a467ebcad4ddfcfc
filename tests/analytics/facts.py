"""Facts of 2019 and 2020 as small Markets: enough for the golden figures without the full history.

Closes are split-adjusted dollars on the sessions that the figures need: bases, ends and ex-dates (a
total return needs no other, because price returns between two of them are the same by any path).
"""

from __future__ import annotations

import pandas as pd

from bot.analytics.market import Market, Source
from tests.funds import LARGE, SMALL

# session, close of IWM, close of SPY
_CLOSES = """
2009-12-31  62.44 111.44
2019-12-13 163.33 317.32
2019-12-16 163.88 319.50
2019-12-20 165.97 320.73
2019-12-31 165.67 321.86
2020-03-20 101.40 228.80
2020-03-25 109.97 246.79
2020-06-11 135.03 300.61
2020-06-12 138.27 304.21
2020-06-15 140.99 307.05
2020-06-19 140.99 308.64
2020-09-18 153.29 330.65
2020-09-23 144.07 322.64
2020-09-30 149.79 334.89
2020-12-10 191.24 366.73
2020-12-11 190.30 366.30
2020-12-14 189.93 364.66
2020-12-18 195.34 369.18
"""

# ex-date, dollars per share
_PAID = {
    SMALL: "2019-12-16 .597 2020-03-25 .41988 2020-06-15 .465775 2020-09-23 .566445 2020-12-14 .592476",
    LARGE: "2019-12-20 1.57 2020-03-20 1.405559 2020-06-19 1.366242 2020-09-18 1.339224 2020-12-18 1.58",
}

# session, NAV of IWM, its shares outstanding in millions, all sessions from 2020-09-30 to 2020-12-11
_FACTS = """
2020-09-30 149.713292 258.60  2020-10-01 152.060284 258.00  2020-10-02 152.865017 255.40
2020-10-05 157.098616 256.35  2020-10-06 156.639423 256.85  2020-10-07 159.992454 257.65
2020-10-08 161.739004 264.20  2020-10-09 162.640019 268.05  2020-10-12 163.779571 272.85
2020-10-13 162.571290 271.15  2020-10-14 161.071532 271.30  2020-10-15 162.791599 269.10
2020-10-16 162.283755 268.25  2020-10-19 160.277533 268.80  2020-10-20 160.683897 269.35
2020-10-21 159.300766 264.30  2020-10-22 161.936647 263.55  2020-10-23 162.959041 262.75
2020-10-26 159.454604 263.60  2020-10-27 157.994301 264.95  2020-10-28 153.304538 264.00
2020-10-29 155.127949 263.25  2020-10-30 152.842348 266.35  2020-11-02 155.835587 267.00
2020-11-03 160.374363 269.75  2020-11-04 160.466636 274.20  2020-11-05 164.948325 273.75
2020-11-06 163.379965 272.85  2020-11-09 169.440285 271.35  2020-11-10 172.620161 272.95
2020-11-11 172.618648 281.95  2020-11-12 169.815914 281.80  2020-11-13 173.389482 275.95
2020-11-16 177.495171 276.45  2020-11-17 178.151479 276.75  2020-11-18 175.906732 274.70
2020-11-19 177.393116 276.15  2020-11-20 177.517371 275.40  2020-11-23 180.795374 268.15
2020-11-24 184.304264 271.90  2020-11-25 183.467233 278.40  2020-11-27 184.507039 282.55
2020-11-30 181.017201 281.90  2020-12-01 182.634387 282.15  2020-12-02 182.836931 283.80
2020-12-03 183.917224 283.80  2020-12-04 188.270583 285.25  2020-12-07 188.154079 283.45
2020-12-08 190.793337 285.20  2020-12-09 189.248428 287.55  2020-12-10 191.305786 289.85
2020-12-11 190.213492 290.30
"""


def facts_market() -> Market:
    """Closes and distributions of both funds, and IWM's fund facts, up to 2020-12-18."""
    prices, facts = _frame(_CLOSES, SMALL, LARGE), _frame(_FACTS, "nav", "shares")
    facts["shares"] = (facts["shares"] * 1e6).round()
    source = Source("csv", "CSV import")
    return Market(
        prices=prices,
        last_completed=prices.index[-1],
        distributions={ticker: _frame(text, "paid")["paid"] for ticker, text in _PAID.items()},
        facts={SMALL: facts.assign(assets=float("nan"))},
        sources={"prices": source, "facts:IWM": source},
        calendar=prices.index.union(facts.index),
    )


def facts_at(anchor: str) -> Market:
    """The same as of a date."""
    return facts_market().at(pd.Timestamp(anchor))


def _frame(text: str, *columns: str) -> pd.DataFrame:
    """Rows of a date and one number a column, however they are laid out."""
    words = text.split()
    width = len(columns) + 1
    rows = [[float(word) for word in words[at + 1 : at + width]] for at in range(0, len(words), width)]
    return pd.DataFrame(rows, pd.DatetimeIndex(words[::width]).as_unit("ns"), list(columns))
