"""The pictures of all pages, each with a caption in words for those who cannot see it.

Each function returns what draws the chart, in plain arrays, so that another process can draw it.
Colour-blind-safe lines, labelled at their ends, readable on a phone. Inputs are plain pandas objects on naive
midnight sessions; values are in the unit's own scale (percent in percent, money in dollars). NaN is a gap and
never bridged. A chart without any value raises NoData. Captions are plain text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pandas as pd

from bot.analytics.units import LEVEL, PERCENT, POINTS, USD, Unit
from bot.errors import NoData
from bot.messages.canvas import HEIGHT, Chart, ChartStyle, Line, Panel, Picture
from bot.messages.html import capital
from bot.text import short_date

if TYPE_CHECKING:
    from bot.messages.canvas import Floats

FIXED = "threshold"  # name of a level that is an amount; one that moves has a name of its own
FIRED = "fired"  # what marked sessions are called
_DATES = 5  # marked sessions that are named; a caption holds 1,024 characters


Drawing: TypeAlias = Callable[[], Chart]  # can be pickled
SeriesByPanel: TypeAlias = Mapping[str, Mapping[str, pd.Series]]  # by title of the panel, name of the line
ChartSpec: TypeAlias = Callable[[], Drawing]  # a chart to be drawn later: a function below with its inputs


@dataclass(frozen=True)
class ConditionPanel:
    """One condition of a rule, or a metric: its series, and the level that it is compared with."""

    name: str
    series: pd.Series
    unit: Unit
    level: pd.Series | None = None
    level_name: str = FIXED

    @property
    def shown_unit(self) -> Unit:
        """The unit with one scale for the axis, the labels and the caption: that of a fixed threshold."""
        typed, largest = 0.0, float(finite_values(self.series).abs().max())
        if self.level is not None and self.level_name == FIXED:
            typed = _last_value(self.level.reindex(self.series.index)) or 0.0
        return self.unit.in_one_scale(largest, typed)


def compare_chart(
    returns: pd.DataFrame, style: ChartStyle, ratio: pd.Series, average: pd.Series, title: str
) -> Drawing:
    """Draw returns since the first session, in percent: sessions x funds, 0 at the base.

    A small panel of this title below has the ratio and its average over the same window.
    """
    above, theme = _fund_lines(returns, style), style.theme
    start, end = returns.index[0], returns.index[-1]
    below = (
        _line(ratio.loc[start:end], theme.ink, "ratio", 1.6),
        _line(average.loc[start:end], theme.muted, "average", 1.4, "--"),
    )
    panels = [Panel(above, PERCENT)]
    if lines := [line for line in below if line.drawable]:
        panels.append(Panel(lines, LEVEL, title, 3))
    against = describe_average(ratio.loc[:end], average.loc[:end])
    words = caption(style, [*describe_comparison(returns), against])
    return Picture(style, panels, words, (2.3, 1.0)[: len(panels)]).draw


def flows_chart(flows: pd.DataFrame, style: ChartStyle) -> Drawing:
    """Draw the money into each fund added up over the window: sessions x funds, dollars a session."""
    sums = flows.cumsum()
    lines = _fund_lines(sums, style)
    unit = USD.in_one_scale(max(float(finite_values(sums[name]).abs().max()) for name in sums.columns))
    totals = ", ".join(f"{name} {unit.show(_last_value(sums[name]))}" for name in sums.columns)
    words = caption(style, [f"{totals}, {_span(sums)}."])
    return Picture(style, [Panel(lines, unit, shown=(0.0,))], words).draw


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
    lines = _named_lines({str(name): frame[name] for name in frame.columns}, style, (2.2, 1.7), ("-", "-"))
    if not lines:
        raise _nothing_to_draw(style)
    return lines


def _named_lines(
    series: Mapping[str, pd.Series], style: ChartStyle, widths: Sequence[float], patterns: Sequence[str]
) -> list[Line]:
    """Return a line per series that has a value. Colour, width and pattern follow its place."""
    pens = zip(series.items(), style.theme.lines, widths, patterns, strict=False)
    lines = [_line(values, colour, name, width, pattern) for (name, values), colour, width, pattern in pens]
    return [line for line in lines if line.drawable]


def rule_chart(
    panels: Sequence[ConditionPanel], style: ChartStyle, fires: Sequence[pd.Timestamp] = ()
) -> Drawing:
    """Draw conditions of a rule, or a metric, in panels of their own, with their levels, the fires marked.

    The caption has a line for each condition; of one without a name it tells the range, too.
    """
    theme, sentences, drawn = style.theme, list[str](), list[Panel]()
    shown = [_trimmed(panel.series, style) for panel in panels]
    for panel, series in zip(panels, shown, strict=True):
        unit, lines, compared = panel.shown_unit, [_line(series, theme.lines[0])], ""
        if panel.level is not None:
            level = panel.level.reindex(series.index)
            lines.append(_line(level, theme.muted, panel.level_name, 1.4, "--"))
            compared = describe_threshold(panel.level_name, level, unit)
        marked = series.reindex(_known(fires, series)) if fires else None
        marks = None if marked is None else (days(pd.DatetimeIndex(marked.index)), marked.to_numpy())
        title, ticks = (panel.name, 3) if len(panels) > 1 else ("", 5)
        drawn.append(Panel([line for line in lines if line.drawable], unit, title, ticks, marks=marks))
        value, between = describe_metric(series, unit)
        sentences += (
            [f"{panel.name}: {value} {compared}".rstrip()] if panel.name else [value, between, compared]
        )
    if fires:
        sentences.append(describe_fires(_known(fires, panels[0].series)))
    note = f"○ {FIRED}" if fires else ""
    return Picture(style, drawn, caption(style, sentences), note=note).draw


def _known(sessions: Sequence[pd.Timestamp], series: pd.Series) -> list[pd.Timestamp]:
    known = series.dropna().index
    return [session for session in sessions if session in known]


def indexed_chart(panels: SeriesByPanel, unit: Unit, style: ChartStyle, base: float) -> Drawing:
    """Draw panels of one scale below each other, but those without any value. All lines begin at `base`."""
    # The patterns distinguish lines that overlap or are printed grey.
    pens = (2.4, 1.8, 1.8, 1.8), ("-", "--", "-.", ":")
    every = [(title, _named_lines(series, style, *pens)) for title, series in panels.items()]
    drawn = [(title, lines) for title, lines in every if lines]
    if not drawn:
        raise _nothing_to_draw(style)
    all_lines = [line for _, lines in drawn for line in lines]
    shown = (base, *(float(end(line.y)) for line in all_lines for end in (np.nanmin, np.nanmax)))
    return Picture(
        style,
        [Panel(lines, unit, title, shown=shown, level=base) for title, lines in drawn],
        caption(style, [describe_indexed(title, series, unit) for title, series in panels.items()]),
        panel_height=HEIGHT - 1,
    ).draw


def _trimmed(series: pd.Series, style: ChartStyle) -> pd.Series:
    """Return the finite values from the first to the last one. Raises NoData if there are none."""
    values = finite_values(series)
    first, last = values.first_valid_index(), values.last_valid_index()
    if first is None:
        raise _nothing_to_draw(style)
    return values.loc[first:last]


def _nothing_to_draw(style: ChartStyle) -> NoData:
    return NoData(f"There is nothing to draw for “{style.title}”: no figure is stored for this window.")


def caption(style: ChartStyle, sentences: Sequence[str]) -> str:
    """Return title, sentences and source, one below the other."""
    return "\n".join([style.title, *filter(None, sentences), style.source])


def describe_comparison(returns: pd.DataFrame) -> list[str]:
    """Return the last value of each fund and their gap, then the range of each."""
    values = ", ".join(f"{name} {PERCENT.show(_last_value(returns[name]))}" for name in returns.columns)
    common = returns.dropna()
    if len(returns.columns) == 2 and len(common):
        values += f", gap {POINTS.show(float(common.iloc[-1, 0] - common.iloc[-1, 1]))}"
    ranges = [_range(str(name), returns[name], PERCENT) for name in returns.columns]
    return [f"{values}, {_span(returns)}.", *ranges]


def describe_average(ratio: pd.Series, average: pd.Series) -> str:
    """Return a sentence on the ratio against its average, "" without a ratio."""
    now, mean = _last_value(ratio), _last_value(average.iloc[-1:])
    if now is None:
        return ""
    if not mean:
        return f"Ratio {LEVEL.show(now)}, average n/a."
    gap = PERCENT.show(100 * (now / mean - 1))
    return f"Ratio {LEVEL.show(now)}, {gap} against its average {LEVEL.show(mean)}."


def describe_metric(series: pd.Series, unit: Unit) -> list[str]:
    """Return the last value with its session, and the range."""
    end = finite_values(series).last_valid_index()
    return [f"{unit.show(_last_value(series))} on {short_date(end)}.", _range("", series, unit)]


def describe_threshold(name: str, level: pd.Series, unit: Unit) -> str:
    """Return the last value of the level that the metric is compared with."""
    return f"{capital(name) if name == FIXED else name}: {unit.show(_last_value(level.iloc[-1:]))}."


def describe_fires(sessions: Sequence[pd.Timestamp]) -> str:
    """Return the sessions of fires, the newest few by date."""
    if not sessions:
        return f"{capital(FIRED)}: never in this window."
    dates = ", ".join(short_date(session) for session in sessions[-_DATES:])
    before = f" and {len(sessions) - _DATES} before" if len(sessions) > _DATES else ""
    return f"{capital(FIRED)}: {dates}{before}."


def describe_indexed(title: str, series: Mapping[str, pd.Series], unit: Unit) -> str:
    """Return the last value of every series of one panel, with its session if they differ."""
    known = {name: finite_values(values).dropna() for name, values in series.items()}
    ends = {name: values.index[-1] for name, values in known.items() if len(values)}
    newest = max(ends.values(), default=None)
    phrases = [
        f"{name} {unit.show(_last_value(values))}"
        + (f" ({short_date(ends[name])})" if name in ends and ends[name] != newest else "")
        for name, values in known.items()
    ]
    return f"{title}: {', '.join(phrases)}{f', {short_date(newest)}' if newest is not None else ''}."


def _last_value(series: pd.Series) -> float | None:
    known = finite_values(series).dropna()
    return float(known.iloc[-1]) if len(known) else None


def _span(frame: pd.DataFrame) -> str:
    known = frame.dropna(how="all").index
    first, end = short_date(known[0]), short_date(known[-1])
    return f"on {end}" if first == end else f"{first} to {end}"


def _range(name: str, series: pd.Series, unit: Unit) -> str:
    known = finite_values(series).dropna()
    if len(known) < 3:
        return ""
    low, high = (
        f"{unit.show(known.loc[day])} ({short_date(day)})" for day in (known.idxmin(), known.idxmax())
    )
    return capital(f"{name} between {low} and {high}.".strip())
