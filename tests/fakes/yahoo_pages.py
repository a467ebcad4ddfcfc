"""The funds of the fake Yahoo, and its pages in the formats of the real one."""

from __future__ import annotations

import datetime as dt
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

NEW_YORK = ZoneInfo("America/New_York")
Page = tuple[int, dict[str, Any]]


@dataclass
class Fund:
    """One fund. Closes stand for the whole bar; `live` is the moving price of an open session."""

    symbol: str
    closes: dict[dt.date, float | None] = field(default_factory=dict)
    dividends: dict[dt.date, float] = field(default_factory=dict)
    splits: dict[dt.date, tuple[int, int]] = field(default_factory=dict)
    live: tuple[dt.datetime, float] | None = None
    quoted_at: dt.datetime | None = None  # default: the closing bell of the last close
    # Served inverted, as Yahoo does: 0.03516 is 28.4 times.
    holdings: dict[str, Any] = field(
        default_factory=lambda: {
            "priceToEarnings": 0.0625,
            "priceToBook": 0.5,
            "priceToCashflow": 0.125,
            "priceToSales": 0.8,
        }
    )
    sectors: dict[str, float] = field(
        default_factory=lambda: {"realestate": 0.07, "technology": 0.43, "consumer_cyclical": 0.5}
    )
    summary: dict[str, Any] = field(default_factory=dict)  # laid over summaryDetail
    quote: dict[str, Any] = field(default_factory=dict)  # laid over the v7 quote

    @property
    def last(self) -> tuple[dt.date, float]:
        """The last session with a close, and the close."""
        return max((day, close) for day, close in self.closes.items() if close is not None)

    @property
    def previous(self) -> float:
        """The close before the last."""
        known = [close for _, close in sorted(self.closes.items()) if close is not None]
        return known[-2] if len(known) > 1 else known[-1]

    @property
    def market_time(self) -> int:
        """Epoch of the last trade."""
        return int((self.quoted_at or at(self.last[0], 16)).timestamp())


def at(day: dt.date, hour: int, minute: int = 0) -> dt.datetime:
    """An instant in the exchange's time zone."""
    return dt.datetime(day.year, day.month, day.day, hour, minute, tzinfo=NEW_YORK)


def sample_fund(symbol: str, days: Iterable[dt.date], price: float) -> Fund:
    """A fund on a seeded random walk with four distributions a year; all made up."""
    walk = random.Random(symbol)
    fund = Fund(symbol)
    for number, day in enumerate(days):
        price *= 1 + walk.gauss(0.0004, 0.01)
        fund.closes[day] = round(price, 2)
        if number % 63 == 50:
            fund.dividends[day] = round(price * 0.003, 3)
    return fund


def not_found() -> Page:
    """The chart's response for an unknown symbol."""
    return 404, _error("chart", "Not Found", "No data found, symbol may be delisted")


def refused() -> Page:
    """The response to a crumb that does not match the cookie."""
    return 401, _error("finance", "Unauthorized", "Invalid Crumb")


def limited() -> Page:
    """The response to too many requests, as JSON."""
    return 429, _error("finance", "Too Many Requests", "Too Many Requests")


def chart(fund: Fund, query: Mapping[str, str]) -> Page:
    """v8 chart: daily bars stamped 09:30 New York, in single precision, with events."""
    if query.get("interval") != "1d":
        return 422, _error("chart", "Unprocessable Entity", "Invalid input - interval is not supported")
    stamped = {_stamp(day): close for day, close in sorted(fund.closes.items())}
    low, high = _span(fund, query, stamped)
    if low > high:
        return 400, _error("chart", "Bad Request", "Invalid input - start date cannot be after end date.")
    shown = {stamp: close for stamp, close in stamped.items() if low <= stamp <= high}
    if stamped and low > max(stamped) and fund.live is None:
        text = f"Data doesn't exist for startDate = {low}, endDate = {high}"
        return 400, _error("chart", "Bad Request", text)
    if fund.live and low <= fund.live[0].timestamp() <= high:
        shown[int(fund.live[0].timestamp())] = fund.live[1]
    result: dict[str, Any] = {"meta": _meta(fund), "indicators": {"quote": [{}], "adjclose": [{}]}}
    if shown:
        result["timestamp"] = list(shown)
        result["indicators"] = _indicators(shown, {_stamp(day): paid for day, paid in fund.dividends.items()})
    if events := _events(fund, low, high):
        result["events"] = events
    return 200, {"chart": {"result": [result], "error": None}}


def summary(fund: Fund, query: Mapping[str, str]) -> Page:
    """v10 quoteSummary: the requested modules, of those that a fund has."""
    known = _modules(fund)
    asked = {name: known[name] for name in query.get("modules", "").split(",") if name in known}
    if not asked:
        text = f"No fundamentals data found for symbol: {fund.symbol}"
        return 404, _error("quoteSummary", "Not Found", text)
    return 200, {"quoteSummary": {"result": [asked], "error": None}}


def quote_not_found(symbol: str) -> Page:
    """quoteSummary's response for an unknown symbol."""
    return 404, _error("quoteSummary", "Not Found", f"Quote not found for symbol: {symbol}")


def quotes(funds: Iterable[Fund], companies: Iterable[dict[str, Any]] = ()) -> Page:
    """v7 quote. Unknown symbols are absent."""
    rows = [*map(_quote, funds), *map(_shown, companies)]
    return 200, {"quoteResponse": {"result": rows, "error": None}}


def company(symbol: str, **changed: object) -> dict[str, Any]:
    """A company as the screener and the quote page give it, earning $1 a share at $20; all made up."""
    return {
        "language": "en-US",
        "region": "US",
        "quoteType": "EQUITY",
        "typeDisp": "Equity",
        "quoteSourceName": "Nasdaq Real Time Price",
        "currency": "USD",
        "marketState": "CLOSED",
        "exchange": "NMS",
        "shortName": f"{symbol} Inc.",
        "longName": f"{symbol} Incorporated",
        "regularMarketPrice": 20.0,
        "regularMarketPreviousClose": 19.0,
        "regularMarketTime": int(at(dt.date(2020, 12, 11), 16).timestamp()),
        "epsTrailingTwelveMonths": 1.0,
        "epsForward": 1.25,
        "trailingPE": 20.0,
        "forwardPE": 16.0,
        "bookValue": 10.0,
        "priceToBook": 2.0,
        "sharesOutstanding": 1_000_000,
        "marketCap": 20_000_000,
        "financialCurrency": "USD",
        "esgPopulated": False,
        "tradeable": False,
        "symbol": symbol,
        "sector": "Technology",  # the pages do not show these two, but filter by them
        "industry": "Semiconductors",
    } | changed


_FIELDS = {"intradaymarketcap": "marketCap"}
_SIZE = 250


def screen(companies: Iterable[dict[str, Any]], asked: Mapping[str, Any]) -> Page:
    """The screener's page of the companies that match the query, ordered and cut as asked."""
    if asked["size"] > _SIZE or asked["quoteType"] != "EQUITY":
        return 400, _error("finance", "Bad Request", "Invalid size or quoteType")
    field = _FIELDS.get(asked["sortField"], asked["sortField"])
    matching = [row for row in companies if _matches(row, asked["query"])]
    matching.sort(key=lambda row: row[field] or 0, reverse=asked["sortType"] == "DESC")
    shown = matching[asked["offset"] : asked["offset"] + asked["size"]]
    result = {
        "start": asked["offset"],
        "count": len(shown),
        "total": len(matching),
        "quotes": list(map(_shown, shown)),
        "useRecords": False,
    }
    return 200, {"finance": {"result": [result], "error": None}}


def _matches(row: Mapping[str, Any], query: Mapping[str, Any]) -> bool:
    """Whether a company matches a query as yfinance sends it."""
    operator, operands = query["operator"].upper(), query["operands"]
    if operator in {"AND", "OR"}:
        parts = [_matches(row, part) for part in operands]
        return all(parts) if operator == "AND" else any(parts)
    field, value = operands
    own = row[_FIELDS.get(field, field)]
    return bool(own == value) if operator == "EQ" else own is not None and bool(own > value)


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key not in {"sector", "industry"}}


def series(symbol: str) -> Page:
    """Fundamentals time series: funds have none."""
    meta = {"symbol": [symbol], "type": ["trailingPegRatio"]}
    return 200, {"timeseries": {"result": [{"meta": meta}], "error": None}}


def _error(part: str, code: str, description: str) -> dict[str, Any]:
    return {part: {"result": None, "error": {"code": code, "description": description}}}


def _stamp(day: dt.date) -> int:
    return int(at(day, 9, 30).timestamp())


def _span(fund: Fund, query: Mapping[str, str], stamped: Mapping[int, float | None]) -> tuple[float, float]:
    """First and last timestamp asked for: by period1 and period2, or by range."""
    if "period1" in query:
        return float(query["period1"]), float(query["period2"])
    if query.get("range") != "1d":
        return float("-inf"), float("inf")
    return max(stamped, default=0), fund.market_time


def _meta(fund: Fund) -> dict[str, Any]:
    day = dt.datetime.fromtimestamp(fund.market_time, NEW_YORK).date()
    periods = {
        name: {
            "timezone": "EST",
            "start": int(at(day, *start).timestamp()),
            "end": int(at(day, *end).timestamp()),
            "gmtoffset": -18000,
        }
        for name, start, end in (("pre", (4, 0), (9, 30)), ("regular", (9, 30), (16, 0)), ("post", (16, 0), (20, 0)))
    }
    return {
        "currency": "USD",
        "symbol": fund.symbol,
        "exchangeName": "PCX",
        "fullExchangeName": "NYSEArca",
        "instrumentType": "ETF",
        "firstTradeDate": _stamp(min(fund.closes)),
        "regularMarketTime": fund.market_time,
        "gmtoffset": -18000,
        "timezone": "EST",
        "exchangeTimezoneName": "America/New_York",
        "regularMarketPrice": fund.last[1],
        "priceHint": 2,
        "currentTradingPeriod": periods,
        "dataGranularity": "1d",
        "range": "",
        "validRanges": ["1d", "5d", "1mo", "3mo", "6mo", "1y", "2y", "5y", "10y", "ytd", "max"],
    }


def _indicators(closes: Mapping[int, float | None], paid: Mapping[int, float]) -> dict[str, Any]:
    """Open, high, low and close in single precision, null where there is no bar; closes adjusted too."""

    def column(values: Iterable[float | None], factor: float = 1) -> list[float | None]:
        return [None if value is None else float(np.float32(value * factor)) for value in values]

    factor, adjusted, later = 1.0, list[float | None](), 0.0
    for stamp, close in sorted(closes.items(), reverse=True):
        if close is not None:
            factor *= 1 - later / close
            later = 0.0
        adjusted.append(None if close is None else close * factor)
        later += paid.get(stamp, 0.0)
    served = closes.values()
    quote: dict[str, Any] = {"open": column(served, 0.99), "high": column(served, 1.01)}
    quote |= {"low": column(served, 0.98), "close": column(served)}
    quote |= {"volume": [None if close is None else 1_000_000 for close in served]}
    return {"quote": [quote], "adjclose": [{"adjclose": column(adjusted[::-1])}]}


def _events(fund: Fund, low: float, high: float) -> dict[str, Any]:
    events: dict[str, dict[str, Any]] = {"dividends": {}, "splits": {}}
    for day in sorted({*fund.dividends, *fund.splits}):
        stamp = _stamp(day)
        if low <= stamp <= high and day in fund.dividends:
            events["dividends"][str(stamp)] = {"amount": fund.dividends[day], "date": stamp}
        if low <= stamp <= high and day in fund.splits:
            above, below = fund.splits[day]
            ratio = {"numerator": above, "denominator": below, "splitRatio": f"{above}:{below}"}
            events["splits"][str(stamp)] = {"date": stamp, **ratio}
    return {name: entries for name, entries in events.items() if entries}


def _modules(fund: Fund) -> dict[str, dict[str, Any]]:
    """The quoteSummary modules of an exchange-traded fund."""
    detail: dict[str, Any] = {
        "maxAge": 1,
        "previousClose": fund.previous,
        "navPrice": round(fund.previous * 1.0001, 5),
        "totalAssets": 71_000_000_000,
        "yield": 0.0107,
        "trailingPE": 17.5,
        "currency": "USD",
    }
    return {
        "quoteType": {"exchange": "PCX", "quoteType": "ETF", "symbol": fund.symbol, "maxAge": 1},
        "summaryProfile": {"longBusinessSummary": "A made-up fund.", "maxAge": 86400},
        "summaryDetail": detail | fund.summary,
        "defaultKeyStatistics": {"maxAge": 1, "category": "Made Up", "beta3Year": 1.1, "legalType": "ETF"},
        "topHoldings": {
            "holdings": [{"symbol": "BE", "holdingName": "Made-up Energy", "holdingPercent": 0.014}],
            "stockPosition": 0.9929,
            "cashPosition": 0.0061,
            "bondPosition": 0,
            "otherPosition": 0.001,
            "bondHoldings": {},
            "bondRatings": [{"us_government": 0}],
            "equityHoldings": fund.holdings,
            "sectorWeightings": [{name: weight} for name, weight in fund.sectors.items()],
            "maxAge": 1,
        },
        "fundProfile": {
            "categoryName": "Made Up",
            "family": "Made Up",
            "legalType": "Exchange Traded Fund",
            "feesExpensesInvestment": {"annualReportExpenseRatio": 0.0019, "totalNetAssets": 12345.6},
            "feesExpensesInvestmentCat": {"annualReportExpenseRatio": 0.0092},
        },
    }


def _quote(fund: Fund) -> dict[str, Any]:
    """The v7 quote, with the share count that stands still for months."""
    return {
        "symbol": fund.symbol,
        "quoteType": "ETF",
        "regularMarketTime": fund.market_time,
        "regularMarketPrice": fund.last[1],
        "regularMarketPreviousClose": fund.previous,
        "dividendYield": 1.07,
        "sharesOutstanding": 917_782_016,
        "marketCap": int(917_782_016 * fund.last[1]),
        "priceToBook": 1.5986906,
        "exchangeTimezoneName": "America/New_York",
        "marketState": "CLOSED",
    } | fund.quote
