"""Captions of charts: what they show in words, for those who cannot see the picture. Plain text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot.analytics.units import LEVEL, PERCENT, POINTS, USD, Unit
from bot.rendering.lines import finite_values
from bot.rendering.text import short_date
from bot.text import capital

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from bot.rendering.themes import ChartStyle

_DATES = 5  # marked sessions that are named; a caption holds 1,024 characters


def caption(look: ChartStyle, sentences: Sequence[str]) -> str:
    """Title, sentences and source, one below the other."""
    return "\n".join([look.title, *filter(None, sentences), look.source])


def comparison(returns: pd.DataFrame) -> list[str]:
    """Last value of each fund and their gap, then the range of each."""
    legs = ", ".join(f"{name} {PERCENT.show(last(returns[name]))}" for name in returns.columns)
    ranges = [_range(str(name), returns[name], PERCENT) for name in returns.columns]
    return [f"{legs}{_gap(returns)}, {_span(returns)}.", *ranges]


def against(ratio: pd.Series, average: pd.Series) -> str:
    """The ratio against its average, "" without a ratio."""
    now, mean = last(ratio), last(average)
    if now is None:
        return ""
    if not mean:
        return f"Ratio {LEVEL.show(now)}, average n/a."
    gap = PERCENT.show(100 * (now / mean - 1))
    return f"Ratio {LEVEL.show(now)}, {gap} against its average {LEVEL.show(mean)}."


def metric(series: pd.Series, unit: Unit) -> list[str]:
    """Last value with its session, and the range."""
    end = finite_values(series).last_valid_index()
    return [f"{unit.show(last(series))} on {short_date(end)}.", _range("", series, unit)]


def threshold(name: str, level: pd.Series, unit: Unit) -> str:
    """The last value of the level that the metric is compared with."""
    return capital(f"{name}: {unit.show(last(level))}.")


def marks(name: str, sessions: Sequence[pd.Timestamp]) -> str:
    """The marked sessions, the newest few by date."""
    if not sessions:
        return capital(f"{name}: never in this window.")
    dates = ", ".join(short_date(session) for session in sessions[-_DATES:])
    before = f" and {len(sessions) - _DATES} before" if len(sessions) > _DATES else ""
    return capital(f"{name}: {dates}{before}.")


def flows(sums: pd.DataFrame) -> list[str]:
    """Sum of each fund's flows over the window, "n/a" if none of its facts are stored."""
    funds = ", ".join(f"{name} {USD.show(last(sums[name]))}" for name in sums.columns)
    return [f"{funds}, {_span(sums)}."]


def growth(name: str, series: Mapping[str, pd.Series], unit: Unit) -> str:
    """Last value of every series of one panel, with its session if they differ."""
    known = {title: finite_values(values).dropna() for title, values in series.items()}
    ends = {title: values.index[-1] for title, values in known.items() if len(values)}
    newest = max(ends.values(), default=None)
    phrases = [
        f"{title} {unit.show(last(values))}"
        + (f" ({short_date(ends[title])})" if title in ends and ends[title] != newest else "")
        for title, values in known.items()
    ]
    return f"{name}: {', '.join(phrases)}{f', {short_date(newest)}' if newest is not None else ''}."


def last(series: pd.Series) -> float | None:
    """The last finite value, or None."""
    known = finite_values(series).dropna()
    return float(known.iloc[-1]) if len(known) else None


def _gap(returns: pd.DataFrame) -> str:
    """The gap of two funds on their last common session, "" without one."""
    common = returns.dropna()
    if len(returns.columns) != 2 or common.empty:
        return ""
    return f", gap {POINTS.show(float(common.iloc[-1, 0] - common.iloc[-1, 1]))}"


def _span(frame: pd.DataFrame) -> str:
    known = frame.dropna(how="all").index
    first, end = short_date(known[0]), short_date(known[-1])
    return f"on {end}" if first == end else f"{first} to {end}"


def _range(name: str, series: pd.Series, unit: Unit) -> str:
    """Lowest and highest value with their sessions, "" for fewer than three values."""
    known = finite_values(series).dropna()
    if len(known) < 3:
        return ""
    low, high = (
        f"{unit.show(known.loc[day])} ({short_date(day)})" for day in (known.idxmin(), known.idxmax())
    )
    return capital(f"{name} between {low} and {high}.".strip())
