"""Yahoo's answers as observations: checked for range, dated, in this project's units.

Each function returns its rows and the names of what was missing or not credible. Figures are distinguished
from junk by range: Yahoo serves 0.0 for "none", fractions beside percents, and frozen counts.
"""

import datetime as dt
import math
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import pandas as pd

from bot.analytics.sessions import EXCHANGE
from bot.analytics.valuation import SECTOR
from bot.data.csv_formats import BOUNDS
from bot.data.plausibility import QUOTE_APART, contradicts_adjusted
from storage.records import Bar, Distribution, FundFacts, Multiple, Provisional, SectorWeight, Split

# Name in yfinance's frame, our metric, credible range in times.
_MULTIPLES = (
    ("Price/Earnings", "pe", 2.0, 2_000.0),
    ("Price/Book", "pb", 0.2, 100.0),
    ("Price/Sales", "ps", 0.1, 100.0),
    ("Price/Cashflow", "pcf", 1.0, 500.0),
)
_PE, _YIELD = (2.0, 2_000.0), (0.0, 0.25)
_NAV, _ASSETS = (1.0, BOUNDS["nav"]), (1e6, BOUNDS["assets"])
# A fund's market price stays this close to its net asset value; more means another day's figure.
_NAV_NEAR = 0.05
_META = {"currency": "USD", "instrumentType": "ETF", "exchangeTimezoneName": EXCHANGE.key}
_SUNDAY, _DAY = 6, 86_400


def unknown_form(meta: Mapping[str, Any], stamps: Iterable[float]) -> str:
    """What shows that the rows of a v8 chart are not daily dollars of a fund in New York, or an empty string.

    Rows at midnight in UTC belong to the day after the one they fall on in New York, and so do all others of
    an answer that has one on a Sunday.
    """
    for key, expected in _META.items():
        if meta.get(key, expected) != expected:
            return f"{key} is {meta[key]} instead of {expected}"
    for stamp in stamps:
        sunday = dt.datetime.fromtimestamp(stamp, EXCHANGE).weekday() == _SUNDAY
        if sunday or stamp % _DAY == 0:
            return f"a row dated {_date_of(stamp, meta)}, {'a Sunday' if sunday else 'midnight in UTC'}"
    return ""


def bar_rows(ticker: str, frame: pd.DataFrame, meta: Mapping[str, Any], completed: pd.DatetimeIndex) -> list[Bar]:
    """Bars of completed sessions from a history frame on dates (Open ... Volume).

    Rows off the calendar, of sessions still open or without a positive, finite close are left out. The last
    bar is provisional if its quote is of before the closing bell or contradicts its close.
    """
    frame = frame[frame.index.isin(completed) & (frame["Close"] > 0) & np.isfinite(frame["Close"])]
    columns = (frame[name] for name in ("Close", "Open", "High", "Low"))
    prices = zip(*(map(_published, column) for column in columns), strict=True)
    bars = [
        Bar(ticker, _day(session), close, opened, high, low, int(volume))
        for session, (close, opened, high, low), volume in zip(frame.index, prices, frame["Volume"], strict=True)
        if close is not None
    ]
    if bars:
        bars[-1] = msgspec.structs.replace(bars[-1], provisional=int(_quote_reason(bars[-1], meta)))
    return bars


def _quote_reason(bar: Bar, meta: Mapping[str, Any]) -> Provisional:
    """Why the last bar is provisional according to the quote in the same answer.

    A stale copy that is served after the close says so by its regularMarketTime.
    """
    end = meta.get("currentTradingPeriod", {}).get("regular", {}).get("end")
    quoted, price = meta.get("regularMarketTime"), _number(meta.get("regularMarketPrice"))
    if quoted and end and quoted < end and bar.session == _date_of(end, meta):
        return Provisional.OPEN
    of_session = quoted and bar.session == _date_of(quoted, meta)
    if of_session and price is not None and abs(bar.close - price) > QUOTE_APART * abs(price):
        return Provisional.QUOTE
    return Provisional.FINAL


def event_rows(
    ticker: str, answer: Mapping[str, Any], frame: pd.DataFrame, completed: pd.DatetimeIndex
) -> tuple[list[Distribution], list[Split], list[str]]:
    """Distributions and splits of a v8 chart result, by the dates in it, and what is not credible.

    They are read from the answer itself because the library moves an event whose session has no
    bar to the session before, where it would stay as a second distribution. `frame` is the history on dates:
    a distribution that its adjusted closes contradict is provisional, and so is one without an amount.
    """
    missing: list[str] = []

    def dated(key: str, noun: str) -> list[tuple[str, Any]]:
        """Events of completed sessions in order of date; those off the calendar are named in `missing`."""
        events = sorted(((answer.get("events") or {}).get(key) or {}).values(), key=lambda event: event["date"])
        days = [(_date_of(event["date"], answer["meta"]), event) for event in events]
        off = [day for day, _ in days if pd.Timestamp(day) not in completed and pd.Timestamp(day) < completed[-1]]
        missing.extend(f"a {noun} dated {day}, which is no session" for day in off)
        return [(day, event) for day, event in days if pd.Timestamp(day) in completed]

    amounts: dict[str, float | None] = {}
    for day, event in dated("dividends", "distribution"):
        amount, earlier = _number(event["amount"]), amounts.get(day, 0.0)
        amounts[day] = None if amount is None or earlier is None else _published(earlier + amount)
    closes, adjusted = (frame[name].astype("float64").tolist() for name in ("Close", "Adj Close"))
    distributions = []
    for day, amount in amounts.items():
        place = int(frame.index.searchsorted(pd.Timestamp(day)))
        reason = Provisional.AMOUNT if amount is None else Provisional.FINAL
        if amount is not None and contradicts_adjusted(amount, place, closes, adjusted):
            reason = Provisional.ADJUSTED
        distributions.append(Distribution(ticker, day, amount, int(reason)))
    splits = []
    for day, event in dated("splits", "split"):
        new, old = _number(event["numerator"]), _number(event["denominator"])
        if new and old and new > 0 and old > 0:
            splits.append(Split(ticker, day, new / old))
        else:
            missing.append(f"a split of {day} that cannot be one ({event['numerator']}:{event['denominator']})")
    return distributions, splits, missing


def multiple_rows(ticker: str, session: str, holdings: Mapping[str, Any]) -> tuple[list[Multiple], list[str]]:
    """Morningstar's multiples of the portfolio, by yfinance's names, the right way up.

    They are served as earnings yields and the like (0.03516 = 28.4 times). P/E alone decides that,
    for the whole payload: no portfolio trades below one year's earnings, but P/S may well be 0.7.
    """
    values = {name: _number(holdings.get(name)) for name, *_ in _MULTIPLES}
    pe = values["Price/Earnings"]
    if not pe or pe < 0:
        return [], ["multiples (no P/E to tell which way up they are)"]
    inverted = pe < 1
    rows: list[Multiple] = []
    missing: list[str] = []
    for name, metric, low, high in _MULTIPLES:
        value = values[name]
        upright = 1 / value if value and inverted else value
        if upright is None or not low <= upright <= high:
            missing.append(name)
        else:
            rows.append(Multiple(ticker, session, metric, "morningstar", "unstated", round(upright, 6)))
    return rows, missing


def sector_rows(ticker: str, session: str, weights: Mapping[str, Any]) -> tuple[list[SectorWeight], list[str]]:
    """Sector weights in percent; none at all unless they are shares of about one whole."""
    shares = {name: _number(value) for name, value in weights.items()}
    known = {name: share for name, share in shares.items() if share is not None and 0 <= share <= 1}
    if not 0.9 <= sum(known.values()) <= 1.05:
        return [], ["sector weights"]
    words = {name: name.replace("_", " ").title() for name in known} | {"realestate": "Real Estate"}
    return [
        SectorWeight(ticker, session, SECTOR, words[name], round(100 * share, 4)) for name, share in known.items()
    ], []


def fund_rows(
    ticker: str, info: Mapping[str, Any], completed: pd.DatetimeIndex
) -> tuple[list[FundFacts], list[Multiple], list[str]]:
    """Fund facts and quoted multiples of `info`, every key of which is optional, and what is missing.

    Dated by the quote's own time; nothing can be dated without it. The share count is left out:
    it is frozen for months.
    """
    quoted = _number(info.get("regularMarketTime"))
    if not quoted:
        return [], [], ["fund facts (the quote has no time)"]
    day = pd.Timestamp(dt.datetime.fromtimestamp(quoted, EXCHANGE).date())
    facts, missing = _facts(ticker, info, day, completed)
    multiples: list[Multiple] = []
    for key, metric, limits, scale in (("trailingPE", "pe", _PE, 1.0), ("yield", "yield", _YIELD, 100.0)):
        value = _within(info.get(key), limits)
        if value is None or day not in completed:
            missing.append(key)
        else:
            quoted_value = round(value * scale, 6)
            multiples.append(
                Multiple(ticker, _day(day), metric, "yahoo", "trailing", quoted_value, price_date=_day(day))
            )
    return facts, multiples, missing


# Yahoo's names of what is read of a company, by those of bot.analytics.companies.QUOTE_COLUMNS.
_NUMBERS = {
    "eps": "epsTrailingTwelveMonths",
    "forward_eps": "epsForward",
    "book": "bookValue",
    "shares": "sharesOutstanding",
    "market_cap": "marketCap",
    "price": "regularMarketPrice",
    "trailing_pe": "trailingPE",
}
_TEXTS = {"currency": "currency", "financial_currency": "financialCurrency", "kind": "quoteType"}
NUMBERS = dict.fromkeys(_NUMBERS, "float64")  # columns that are numbers, and their type
# The values of QUOTE_COLUMNS, in order.
CompanyQuote: TypeAlias = tuple[float | str | None, ...]


def company_quotes(rows: Iterable[Any], session: pd.Timestamp) -> dict[str, CompanyQuote]:
    """The companies of a list of quotes by symbol, with their closes of the session.

    A row without a symbol is left out, and so are two rows of one symbol that contradict each other.
    """
    quotes: dict[str, CompanyQuote] = {}
    contradicted = set()
    for row in rows:
        if not isinstance(row, dict) or not isinstance(symbol := row.get("symbol"), str):
            continue
        quoted = _number(row.get("regularMarketTime"))
        later = quoted and dt.datetime.fromtimestamp(quoted, EXCHANGE).date() > session.date()
        at_close = row | ({"regularMarketPrice": row.get("regularMarketPreviousClose")} if later else {})
        numbers = (_number(at_close.get(key)) for key in _NUMBERS.values())
        texts = (row[key] if isinstance(row.get(key), str) else None for key in _TEXTS.values())
        names = (row[key] for key in ("shortName", "longName") if isinstance(row.get(key), str))
        quote = (*numbers, *texts, " ".join(names) or None)
        if quotes.setdefault(symbol, quote) != quote:
            contradicted.add(symbol)
    return {symbol: quote for symbol, quote in quotes.items() if symbol not in contradicted}


def _facts(
    ticker: str, info: Mapping[str, Any], day: pd.Timestamp, completed: pd.DatetimeIndex
) -> tuple[list[FundFacts], list[str]]:
    """Net asset value and assets: those of the session before the quote's, which `previousClose` checks."""
    before = completed[completed < day]
    nav, close = _within(info.get("navPrice"), _NAV), _within(info.get("previousClose"), _NAV)
    if nav and close and abs(nav / close - 1) > _NAV_NEAR:
        nav = None
    assets = _within(info.get("totalAssets"), _ASSETS)
    missing = [name for name, value in (("navPrice", nav), ("totalAssets", assets)) if value is None]
    if before.empty or (nav is None and assets is None):
        return [], missing
    return [FundFacts(ticker, _day(before[-1]), nav, None, assets)], missing


def _number(value: Any) -> float | None:  # noqa: ANN401 - JSON
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value)


def _within(value: Any, limits: tuple[float, float]) -> float | None:  # noqa: ANN401 - JSON
    number = _number(value)
    return number if number is not None and limits[0] < number <= limits[1] else None


def _published(value: float) -> float | None:
    """The figure that was published: Yahoo keeps single precision, 689.43 comes as 689.4299926757812."""
    return float(str(np.float32(value))) if math.isfinite(value) else None


def _date_of(timestamp: float, meta: Mapping[str, Any]) -> str:
    """Date of a v8 timestamp (09:30 at the exchange) in the exchange's own time."""
    zone = ZoneInfo(meta["exchangeTimezoneName"])
    return dt.datetime.fromtimestamp(timestamp, zone).date().isoformat()


def _day(session: pd.Timestamp) -> str:
    return f"{session:%Y-%m-%d}"
