"""Yahoo's answers as rows of storage.observations: checked for range, dated, in this project's units.

Each function returns its rows and the names of what was missing or not credible. Figures are told
apart from junk by range: Yahoo serves 0.0 for "none", fractions beside percents, and frozen counts.
"""

from __future__ import annotations

import datetime as dt
import math
from typing import TYPE_CHECKING, Any, TypeAlias
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from bot.data.csv_formats import LARGEST

if TYPE_CHECKING:
    from collections.abc import Mapping


Rows: TypeAlias = list[dict[str, Any]]

# Name in yfinance's frame, our metric, credible range in times.
_MULTIPLES = (
    ("Price/Earnings", "pe", 2.0, 2_000.0),
    ("Price/Book", "pb", 0.2, 100.0),
    ("Price/Sales", "ps", 0.1, 100.0),
    ("Price/Cashflow", "pcf", 1.0, 500.0),
)
_PE, _YIELD = (2.0, 2_000.0), (0.0, 0.25)
_NAV, _ASSETS = (1.0, LARGEST["nav"]), (1e6, LARGEST["assets"])
# A fund's market price stays this close to its net asset value; more means another day's figure.
_NAV_NEAR = 0.05
_NEW_YORK = ZoneInfo("America/New_York")


def bar_rows(ticker: str, frame: pd.DataFrame, completed: pd.DatetimeIndex) -> Rows:
    """Bars of completed sessions from a history frame (exchange-time index; Open ... Volume).

    Rows off the calendar, of sessions still open or without a positive, finite close are left out.
    """
    frame = frame.set_axis(pd.DatetimeIndex(frame.index).tz_localize(None).normalize())
    frame = frame[frame.index.isin(completed) & (frame["Close"] > 0) & np.isfinite(frame["Close"])]
    columns = zip(
        frame.index, *(frame[name] for name in ("Open", "High", "Low", "Close", "Volume")), strict=True
    )
    return [
        {
            "ticker": ticker,
            "session": _day(session),
            "open": _published(opened),
            "high": _published(high),
            "low": _published(low),
            "close": _published(close),
            "volume": int(volume),
            "provisional": 0,
        }
        for session, opened, high, low, close, volume in columns
    ]


def mark_provisional(bars: Rows, meta: Mapping[str, Any]) -> None:
    """Mark the last bar provisional when its quote was taken before the closing bell.

    `meta` is that of the v8 chart: a stale copy served after the close says so by its
    regularMarketTime.
    """
    regular = meta.get("currentTradingPeriod", {}).get("regular", {})
    quoted, end = meta.get("regularMarketTime"), regular.get("end")
    if bars and quoted and end and quoted < end and bars[-1]["session"] == _date_of(end, meta):
        bars[-1]["provisional"] = 1


def event_rows(
    ticker: str, answer: Mapping[str, Any], completed: pd.DatetimeIndex
) -> tuple[Rows, Rows, list[str]]:
    """Distributions and splits of a v8 chart result, by the dates in it, and what is not credible.

    They are read from the answer itself because the library moves an event whose session has no
    bar to the session before, where it would stay as a second distribution.
    """
    events = answer.get("events") or {}
    missing: list[str] = []
    paid: dict[str, float] = {}
    for day, event in _dated(events.get("dividends"), answer["meta"], completed, "distribution", missing):
        paid[day] = paid.get(day, 0.0) + float(event["amount"])
    ratios: dict[str, float] = {}
    for day, event in _dated(events.get("splits"), answer["meta"], completed, "split", missing):
        ratios[day] = float(event["numerator"]) / float(event["denominator"])
    distributions = [
        {"ticker": ticker, "ex_date": day, "amount": _published(amount)} for day, amount in paid.items()
    ]
    splits = [{"ticker": ticker, "session": day, "ratio": ratio} for day, ratio in ratios.items()]
    return distributions, splits, missing


def multiple_rows(ticker: str, session: str, holdings: Mapping[str, Any]) -> tuple[Rows, list[str]]:
    """Morningstar's multiples of the portfolio, by yfinance's names, the right way up.

    They are served as earnings yields and the like (0.03516 = 28.4 times). P/E alone decides that,
    for the whole payload: no portfolio trades below one year's earnings, but P/S may well be 0.7.
    """
    values = {name: _number(holdings.get(name)) for name, *_ in _MULTIPLES}
    pe = values["Price/Earnings"]
    if not pe or pe < 0:
        return [], ["multiples (no P/E to tell which way up they are)"]
    inverted = pe < 1
    rows: Rows = []
    missing: list[str] = []
    for name, metric, low, high in _MULTIPLES:
        value = values[name]
        upright = 1 / value if value and inverted else value
        if upright is None or not low <= upright <= high:
            missing.append(name)
            continue
        rows.append(_multiple(ticker, session, metric, "morningstar", "unstated", upright))
    return rows, missing


def sector_rows(ticker: str, session: str, weights: Mapping[str, Any]) -> tuple[Rows, list[str]]:
    """Sector weights in percent; none at all unless they are shares of about one whole."""
    shares = {name: _number(value) for name, value in weights.items()}
    known = {name: share for name, share in shares.items() if share is not None and 0 <= share <= 1}
    if not 0.9 <= sum(known.values()) <= 1.05:
        return [], ["sector weights"]
    return [
        {"ticker": ticker, "session": session, "sector": _sector(name), "weight": round(100 * share, 4)}
        for name, share in known.items()
    ], []


def fund_rows(
    ticker: str, info: Mapping[str, Any], completed: pd.DatetimeIndex
) -> tuple[Rows, Rows, list[str]]:
    """Fund facts and quoted multiples of `info`, every key of which is optional, and what is missing.

    Dated by the quote's own time; nothing can be dated without it. The share count is left out:
    it is frozen for months.
    """
    day = _quote_session(info)
    if day is None:
        return [], [], ["fund facts (the quote has no time)"]
    facts, missing = _facts(ticker, info, day, completed)
    multiples: Rows = []
    for key, metric, limits, scale in (("trailingPE", "pe", _PE, 1.0), ("yield", "yield", _YIELD, 100.0)):
        value = _within(info.get(key), limits)
        if value is None or day not in completed:
            missing.append(key)
            continue
        multiples.append(
            _multiple(ticker, _day(day), metric, "yahoo", "trailing", value * scale, price_date=_day(day))
        )
    return facts, multiples, missing


def _facts(
    ticker: str, info: Mapping[str, Any], day: pd.Timestamp, completed: pd.DatetimeIndex
) -> tuple[Rows, list[str]]:
    """Net asset value and assets: those of the session before the quote's, which `previousClose` checks."""
    before = completed[completed < day]
    nav, close = _within(info.get("navPrice"), _NAV), _within(info.get("previousClose"), _NAV)
    if nav and close and abs(nav / close - 1) > _NAV_NEAR:
        nav = None
    assets = _within(info.get("totalAssets"), _ASSETS)
    missing = [name for name, value in (("navPrice", nav), ("totalAssets", assets)) if value is None]
    if before.empty or (nav is None and assets is None):
        return [], missing
    row = {"ticker": ticker, "session": _day(before[-1]), "nav": nav, "shares": None, "assets": assets}
    return [row], missing


def _quote_session(info: Mapping[str, Any]) -> pd.Timestamp | None:
    """Session of the last trade, in the exchange's time."""
    quoted = _number(info.get("regularMarketTime"))
    if not quoted:
        return None
    return pd.Timestamp(dt.datetime.fromtimestamp(quoted, _NEW_YORK).date())


def _dated(
    events: Mapping[str, Any] | None,
    meta: Mapping[str, Any],
    completed: pd.DatetimeIndex,
    what: str,
    missing: list[str],
) -> list[tuple[str, dict[str, Any]]]:
    """Events of completed sessions in order of date; those off the calendar are named in `missing`."""
    dated = []
    for event in sorted((events or {}).values(), key=lambda event: event["date"]):
        day = _date_of(event["date"], meta)
        if pd.Timestamp(day) in completed:
            dated.append((day, event))
        elif pd.Timestamp(day) < completed[-1]:
            missing.append(f"a {what} dated {day}, which is no session")
    return dated


def _multiple(
    ticker: str,
    session: str,
    metric: str,
    convention: str,
    basis: str,
    value: float,
    price_date: str | None = None,
) -> dict[str, Any]:
    return {
        "ticker": ticker,
        "session": session,
        "metric": metric,
        "convention": convention,
        "basis": basis,
        "value": round(value, 6),
        "holdings_date": None,
        "price_date": price_date,
        "coverage": None,
    }


def _number(value: Any) -> float | None:  # noqa: ANN401 - JSON
    """A finite number, None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value)


def _within(value: Any, limits: tuple[float, float]) -> float | None:  # noqa: ANN401 - JSON
    """A number above the lower and up to the upper limit, None for anything else."""
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


def _sector(name: str) -> str:
    """Yahoo's key as people write the sector: consumer_cyclical -> Consumer Cyclical."""
    return "Real Estate" if name == "realestate" else name.replace("_", " ").title()
