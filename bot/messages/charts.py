"""The pictures of all pages. The text above a picture says what it shows to those who cannot see it.

Each function returns what draws the chart, in plain arrays, so that another process can draw it.
Colour-blind-safe lines, labelled at their ends, readable on a phone. Inputs are plain pandas objects on naive
midnight sessions; values are in the unit's own scale (percent in percent, money in dollars). NaN is a gap and
never bridged. A chart without any value raises NoData.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pandas as pd

from bot.analytics.units import LEVEL, PERCENT, USD, Unit
from bot.errors import NoData
from bot.messages.canvas import BarPicture, ChartStyle, Line, Panel, Picture

if TYPE_CHECKING:
    from bot.messages.canvas import Floats

FIXED = "threshold"  # name of a level that is an amount; one that moves has a name of its own
FIRED = "fired"  # what marked sessions are called
USUAL = "Shaded: where 8 of 10 of all days were"
_SIDE_BY_SIDE = 3  # panels, from which on they would make a tall picture below each other

Drawing: TypeAlias = Callable[[], bytes]  # makes a PNG; can be pickled
SeriesByPanel: TypeAlias = Mapping[str, Mapping[str, pd.Series]]  # by title of the panel, name of the line
ChartSpec: TypeAlias = Callable[[], Drawing]  # a chart to be drawn later: a function below with its inputs


@dataclass(frozen=True)
class ConditionPanel:
    """One condition of a rule, or a metric: its series, and the level that it is compared with.

    rearm       where the rule re-arms
    references  what the reader compares with, by name: another series, or one value
    band        the ends of the usual values, of 8 days in 10
    """

    name: str
    series: pd.Series
    unit: Unit
    level: pd.Series | None = None
    level_name: str = FIXED
    rearm: pd.Series | None = None
    references: Mapping[str, pd.Series | float] = field(default_factory=dict)
    band: tuple[float, float] | None = None

    @property
    def shown_unit(self) -> Unit:
        """The unit with one scale for the axis and the labels: that of a fixed threshold."""
        typed, largest = 0.0, float(finite_values(self.series).abs().max())
        if self.level is not None and self.level_name == FIXED:
            typed = _last_value(self.level.reindex(self.series.index)) or 0.0
        return self.unit.in_one_scale(largest, typed)


def compare_chart(
    returns: Mapping[str, pd.DataFrame], style: ChartStyle, ratio: pd.Series, average: pd.Series, title: str
) -> Drawing:
    """Draw returns in percent over one window or several: sessions x funds, 0 at the base, by window.

    Below a single one, a small panel of this title has the ratio and its average over the same window.
    """
    if len(returns) > 1:
        panels = [Panel(_fund_lines(frame, style), PERCENT, name, 4) for name, frame in returns.items()]
        return small_multiples(panels, style)
    (frame,) = returns.values()
    above, theme = _fund_lines(frame, style), style.theme
    start, end = frame.index[0], frame.index[-1]
    below = (
        _line(ratio.loc[start:end], theme.ink, "ratio", 1.6),
        _line(average.loc[start:end], theme.muted, "average", 1.4, "--"),
    )
    panels = [Panel(above, PERCENT)]
    if lines := [line for line in below if line.drawable]:
        panels.append(Panel(lines, LEVEL, title, 3))
    return Picture(style, panels, (2.3, 1.0)[: len(panels)]).draw


def small_multiples(panels: Sequence[Panel], style: ChartStyle) -> Drawing:
    """Draw panels below each other, from the third on side by side, each with its own days."""
    columns = 1 if len(panels) < _SIDE_BY_SIDE else 2
    return Picture(style, panels, panel_height=2.0 if columns == 1 else 1.7, shared_days=False, columns=columns).draw


def flows_chart(flows: pd.DataFrame, style: ChartStyle, note: str = "") -> Drawing:
    """Draw the money into each fund added up over the window: sessions x funds, dollars a session."""
    sums = flows.cumsum()
    lines = _fund_lines(sums, style)
    unit = USD.in_one_scale(max(float(finite_values(sums[name]).abs().max()) for name in sums.columns))
    return Picture(style, [Panel(lines, unit, shown=(0.0,))], note=note).draw


def bar_chart(values: pd.DataFrame, units: Sequence[Unit], style: ChartStyle) -> Drawing:
    """Draw a bar for each column in every row, the first on top, with the rows' units. Raises NoData without any."""
    columns = [finite_values(values[name]).to_numpy() for name in values.columns]
    if all(np.isnan(column).all() for column in columns):
        raise _nothing_to_draw(style)
    return BarPicture(style, list(map(str, values.index)), list(map(str, values.columns)), columns, units).draw


def finite_values(series: pd.Series) -> pd.Series:
    """Return the series as floats with NaN for whatever is not finite."""
    numbers = series.astype("float64")
    return numbers.where(np.isfinite(numbers))


def days(index: pd.DatetimeIndex) -> Floats:
    """Return the days since 1970 of naive midnights, the x of every chart."""
    numbers: Floats = index.to_numpy().astype("datetime64[D]").astype("float64")
    return numbers


def _line(series: pd.Series, colour: str, name: str = "", width: float = 2.0, style: str = "-") -> Line:
    index = pd.DatetimeIndex(series.index)
    return Line(days(index), finite_values(series).to_numpy(), colour, name, width, style)


def _fund_lines(frame: pd.DataFrame, style: ChartStyle) -> list[Line]:
    """Return a line per column that has a value. Raises NoData if there are none."""
    lines = _named_lines({str(name): frame[name] for name in frame.columns}, style)
    if not lines:
        raise _nothing_to_draw(style)
    return lines


def _named_lines(series: Mapping[str, pd.Series], style: ChartStyle) -> list[Line]:
    """Return a line per fund that has a value. Colour and width follow its place."""
    pens = zip(series.items(), style.theme.lines, (2.2, 1.7), strict=False)
    lines = [_line(values, colour, name, width) for (name, values), colour, width in pens]
    return [line for line in lines if line.drawable]


def rule_chart(panels: Sequence[ConditionPanel], style: ChartStyle, fires: Sequence[pd.Timestamp] = ()) -> Drawing:
    """Draw conditions of a rule, or a metric, in panels of their own, with their levels, the fires marked."""
    theme, drawn = style.theme, list[Panel]()
    for panel in panels:
        series = _trimmed(panel.series, style)
        lines = [_line(series, theme.lines[0])]
        for level, name, pattern in ((panel.level, panel.level_name, "--"), (panel.rearm, "re-arms", ":")):
            if level is not None:
                lines.append(_line(level.reindex(series.index), theme.muted, name, 1.4, pattern))
        marked = series.reindex(_known(fires, series)) if fires else None
        marks = None if marked is None else (days(pd.DatetimeIndex(marked.index)), marked.to_numpy())
        title, ticks = (panel.name, 3) if len(panels) > 1 else ("", 5)
        for name, reference in panel.references.items():
            values = reference if isinstance(reference, pd.Series) else pd.Series(reference, series.index)
            lines.append(_line(values.reindex(series.index), theme.lines[3], name, 1.2, ":"))
        shown = [line for line in lines if line.drawable]
        drawn.append(Panel(shown, panel.shown_unit, title, ticks, band=panel.band, marks=marks))
    notes = [f"○ {FIRED}"] * bool(fires) + [USUAL] * any(panel.band for panel in panels)
    return Picture(style, drawn, note=" · ".join(notes)).draw


def _known(sessions: Sequence[pd.Timestamp], series: pd.Series) -> list[pd.Timestamp]:
    known = series.dropna().index
    return [session for session in sessions if session in known]


def indexed_chart(panels: SeriesByPanel, unit: Unit, style: ChartStyle, base: float) -> Drawing:
    """Draw panels of one scale, a line per fund, but those without any value. All lines begin at `base`."""
    every = [(title, _named_lines(series, style)) for title, series in panels.items()]
    drawn = [(title, lines) for title, lines in every if lines]
    if not drawn:
        raise _nothing_to_draw(style)
    all_lines = [line for _, lines in drawn for line in lines]
    shown = (base, *(float(end(line.y)) for line in all_lines for end in (np.nanmin, np.nanmax)))
    return small_multiples([Panel(lines, unit, title, 4, shown=shown, levels=(base,)) for title, lines in drawn], style)


def _trimmed(series: pd.Series, style: ChartStyle) -> pd.Series:
    """Return the finite values from the first to the last one. Raises NoData if there are none."""
    values = finite_values(series)
    first, last = values.first_valid_index(), values.last_valid_index()
    if first is None:
        raise _nothing_to_draw(style)
    return values.loc[first:last]


def _nothing_to_draw(style: ChartStyle) -> NoData:
    return NoData(f"There is nothing to draw for “{style.title}”: no figure is stored for this window.")


def _last_value(series: pd.Series) -> float | None:
    known = finite_values(series).dropna()
    return float(known.iloc[-1]) if len(known) else None
