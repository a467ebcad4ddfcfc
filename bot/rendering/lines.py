"""What a chart draws: series with names and colours, made from plain pandas objects. No drawing here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from bot.errors import NoData
from bot.rendering.scales import days

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bot.rendering.themes import ChartStyle, Theme

Kind = Literal["line", "bar", "cumulative"]


@dataclass(frozen=True)
class Panel:
    """The small panel under a comparison: a ratio and its average, drawn over the comparison's window."""

    ratio: pd.Series
    average: pd.Series
    title: str


@dataclass(frozen=True)
class Threshold:
    """A fixed level, or a moving one (a Series), that the metric is compared with."""

    value: float | pd.Series
    name: str = "threshold"

    def over(self, index: pd.Index) -> pd.Series:
        """The level on the sessions of a chart."""
        if isinstance(self.value, pd.Series):
            return self.value.reindex(index)
        return pd.Series(self.value, index, dtype="float64")


@dataclass(frozen=True)
class Marks:
    """Sessions marked on the line, and what the mark means, e.g. "alert fired"."""

    sessions: Sequence[pd.Timestamp]
    name: str

    def on(self, series: pd.Series) -> list[pd.Timestamp]:
        """The marked sessions on which the series has a value."""
        known = series.dropna().index
        return [session for session in self.sessions if session in known]


@dataclass(frozen=True)
class Line:
    """One series on an axis. `name` is shown above the last value at its end."""

    series: pd.Series
    colour: str
    name: str = ""
    width: float = 2.0
    style: str = "-"

    @property
    def x(self) -> np.ndarray:
        """Days since 1970."""
        return days(pd.DatetimeIndex(self.series.index))

    @property
    def y(self) -> np.ndarray:
        """The values with a gap (NaN) for whatever is not finite."""
        numbers: np.ndarray = finite_values(self.series).to_numpy(dtype="float64")
        return numbers

    @property
    def drawable(self) -> bool:
        """Whether there is any value."""
        return bool(np.isfinite(self.y).any())


@dataclass(frozen=True)
class Sheet:
    """One panel of several alike: its title, and series by name, each on sessions of its own."""

    title: str
    series: Mapping[str, pd.Series]


def finite_values(series: pd.Series) -> pd.Series:
    """The series as floats with NaN for whatever is not finite."""
    numbers = series.astype("float64")
    return numbers.where(np.isfinite(numbers))


def summed(series: pd.Series, kind: Kind) -> pd.Series:
    """The series, or its running sum for `cumulative`."""
    return finite_values(series).cumsum() if kind == "cumulative" else finite_values(series)


def fund_lines(frame: pd.DataFrame, look: ChartStyle) -> list[Line]:
    """A line per column that has a value. The first column has the first colour in every chart.

    Raises NoData if no column has any.
    """
    styles = zip(frame.columns, look.theme.lines, (2.2, 1.7), strict=False)
    lines = [Line(frame[name], colour, str(name), width) for name, colour, width in styles]
    lines = [line for line in lines if line.drawable]
    if not lines:
        raise nothing_to_draw(look)
    return lines


def styled_lines(sheet: Sheet, theme: Theme) -> list[Line]:
    """A line per series that has a value. Colour and pattern follow its place in the sheet.

    The patterns distinguish lines that overlap or are printed grey.
    """
    looks = zip(theme.lines, (2.4, 1.8, 1.8, 1.8), ("-", "--", "-.", ":"), strict=True)
    lines = [
        Line(series, colour, name, width, style)
        for (name, series), (colour, width, style) in zip(sheet.series.items(), looks, strict=False)
    ]
    return [line for line in lines if line.drawable]


def trimmed(series: pd.Series, look: ChartStyle) -> pd.Series:
    """The series from its first to its last value. Raises NoData if it has none."""
    first, last = series.first_valid_index(), series.last_valid_index()
    if first is None:
        raise nothing_to_draw(look)
    return series.loc[first:last]


def nothing_to_draw(look: ChartStyle) -> NoData:
    """The error for a chart without a single value."""
    return NoData(f"There is nothing to draw for “{look.title}”: no figure is stored for this window.")


def panel_lines(panel: Panel | None, index: pd.Index, theme: Theme) -> list[Line]:
    """Ratio and average over the window of `index`, as far as they have values."""
    if panel is None:
        return []
    window = slice(index[0], index[-1])
    ratio = Line(panel.ratio.loc[window], theme.ink, "ratio", 1.6)
    average = Line(panel.average.loc[window], theme.muted, "average", 1.4, "--")
    return [line for line in (ratio, average) if line.drawable]


def threshold_lines(threshold: Threshold | None, shown: pd.Series, theme: Theme) -> list[Line]:
    """The threshold as a line over the shown sessions, or no line if it has no value on them."""
    if threshold is None:
        return []
    line = Line(threshold.over(shown.index), theme.muted, threshold.name, 1.4, "--")
    return [line] if line.drawable else []
