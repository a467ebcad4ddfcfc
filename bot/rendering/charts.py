"""Charts as PNG: two colour-blind-safe lines labelled at their ends, readable on a phone.

Functions `*_figure` build, `*_chart` render and caption. Inputs are plain pandas objects on naive midnight
sessions; values are in the unit's own scale (percent in percent, money in dollars). NaN is a gap and never
bridged; nothing to draw raises NoData.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import pandas as pd

from bot.analytics.units import LEVEL, PERCENT, USD, Unit
from bot.rendering import captions
from bot.rendering.canvas import (
    HEIGHT,
    draw_lines,
    draw_marks,
    finish_layout,
    new_figure,
    png,
    set_panel_title,
    set_value_axis,
)
from bot.rendering.lines import (
    Kind,
    Line,
    Marks,
    Panel,
    Sheet,
    Threshold,
    finite_values,
    fund_lines,
    nothing_to_draw,
    panel_lines,
    styled_lines,
    summed,
    threshold_lines,
    trimmed,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from matplotlib.figure import Figure

    from bot.rendering.themes import ChartStyle

__all__ = [
    "Chart",
    "ConditionPanel",
    "Marks",
    "Panel",
    "Sheet",
    "Threshold",
    "compare_chart",
    "flows_chart",
    "metric_chart",
    "rule_chart",
    "sheets_chart",
]


@dataclass(frozen=True)
class Chart:
    """A picture and its caption (plain text, to be escaped)."""

    png: bytes
    caption: str


# A chart to be drawn later, elsewhere: a function of this module with its inputs, so that it can be pickled.
ChartSpec: TypeAlias = Callable[[], Chart]


def compare_chart(returns: pd.DataFrame, look: ChartStyle, panel: Panel | None = None) -> Chart:
    """Returns of the legs since the first session, in percent: sessions x legs, 0 at the base."""
    figure = compare_figure(returns, look, panel)
    sentences = captions.comparison(returns)
    if panel is not None:
        sentences.append(
            captions.against(panel.ratio.loc[: returns.index[-1]], panel.average.loc[: returns.index[-1]])
        )
    return Chart(png(figure), captions.caption(look, sentences))


def compare_figure(returns: pd.DataFrame, look: ChartStyle, panel: Panel | None = None) -> Figure:
    """The figure of `compare_chart`."""
    above = fund_lines(returns, look)
    below = panel_lines(panel, returns.index, look.theme)
    figure, axes = new_figure(look, ratios=(2.3, 1.0) if below else (1.0,))
    draw_lines(axes[0], above, PERCENT, look.theme)
    if panel is not None and below:
        draw_lines(axes[1], below, LEVEL, look.theme, most=3)
        set_panel_title(axes[1], panel.title, look.theme)
    finish_layout(figure, axes, pd.DatetimeIndex(returns.index))
    return figure


def metric_chart(
    series: pd.Series,
    unit: Unit,
    look: ChartStyle,
    *,
    kind: Kind = "line",
    threshold: Threshold | None = None,
    marks: Marks | None = None,
) -> Chart:
    """One metric over its sessions. `cumulative` draws the running sum of the series."""
    figure = metric_figure(series, unit, look, kind=kind, threshold=threshold, marks=marks)
    shown = trimmed(summed(series, kind), look)
    sentences = captions.metric(shown, unit)
    if threshold is not None:
        sentences.append(captions.threshold(threshold.name, threshold.over(shown.index), unit))
    if marks is not None:
        sentences.append(captions.marks(marks.name, marks.on(shown)))
    return Chart(png(figure), captions.caption(look, sentences))


def metric_figure(
    series: pd.Series,
    unit: Unit,
    look: ChartStyle,
    *,
    kind: Kind = "line",
    threshold: Threshold | None = None,
    marks: Marks | None = None,
) -> Figure:
    """The figure of `metric_chart`."""
    shown = trimmed(summed(series, kind), look)
    lines = [Line(shown, look.theme.lines[0]), *threshold_lines(threshold, shown, look.theme)]
    figure, axes = new_figure(look, note=f"○ {marks.name}" if marks else "")
    draw_lines(axes[0], lines, unit, look.theme, kind)
    if marks is not None:
        draw_marks(axes[0], shown.reindex(marks.on(shown)), look.theme)
    finish_layout(figure, axes, pd.DatetimeIndex(shown.index))
    return figure


@dataclass(frozen=True)
class ConditionPanel:
    """One condition of a rule: its series, and the level that it is compared with."""

    name: str
    series: pd.Series
    unit: Unit
    threshold: Threshold


def rule_chart(parts: Sequence[ConditionPanel], look: ChartStyle, marks: Marks | None = None) -> Chart:
    """Every condition of a rule in a panel of its own, with its threshold and the marks."""
    figure = rule_figure(parts, look, marks)
    sentences = []
    for leg in parts:
        shown = trimmed(leg.series, look)
        level = captions.threshold(leg.threshold.name, leg.threshold.over(shown.index), leg.unit)
        sentences += [f"{leg.name}: {captions.metric(shown, leg.unit)[0]} {level}"]
    if marks is not None:
        sentences.append(captions.marks(marks.name, marks.on(parts[0].series)))
    return Chart(png(figure), captions.caption(look, sentences))


def rule_figure(parts: Sequence[ConditionPanel], look: ChartStyle, marks: Marks | None = None) -> Figure:
    """The figure of `rule_chart`."""
    shown = [trimmed(finite_values(leg.series), look) for leg in parts]
    note = f"○ {marks.name}" if marks else ""
    figure, axes = new_figure(look, ratios=(1.0,) * len(parts), note=note)
    for panel, leg, series in zip(axes, parts, shown, strict=True):
        lines = [Line(series, look.theme.lines[0]), *threshold_lines(leg.threshold, series, look.theme)]
        draw_lines(panel, lines, leg.unit, look.theme, most=5 if len(parts) == 1 else 3)
        if len(parts) > 1:
            set_panel_title(panel, leg.name, look.theme)
        if marks is not None:
            draw_marks(panel, series.reindex(marks.on(series)), look.theme)
    finish_layout(figure, axes, _together(shown))
    return figure


def flows_chart(flows: pd.DataFrame, look: ChartStyle) -> Chart:
    """Money into each fund added up over the window: sessions x funds, dollars a session."""
    figure = flows_figure(flows, look)
    return Chart(png(figure), captions.caption(look, captions.flows(flows.cumsum())))


def flows_figure(flows: pd.DataFrame, look: ChartStyle) -> Figure:
    """The figure of `flows_chart`."""
    lines = fund_lines(flows.cumsum(), look)
    figure, axes = new_figure(look)
    draw_lines(axes[0], lines, USD, look.theme, "cumulative")
    finish_layout(figure, axes, pd.DatetimeIndex(flows.index))
    return figure


def sheets_chart(sheets: Sequence[Sheet], unit: Unit, look: ChartStyle, level: float) -> Chart:
    """Panels of one scale below each other. `level` is the value at which all lines begin."""
    figure = sheets_figure(sheets, unit, look, level)
    sentences = [captions.growth(sheet.title, sheet.series, unit) for sheet in sheets]
    return Chart(png(figure), captions.caption(look, sentences))


def sheets_figure(sheets: Sequence[Sheet], unit: Unit, look: ChartStyle, level: float) -> Figure:
    """The figure of `sheets_chart`. A sheet without any value is left out."""
    drawn = [(sheet, lines) for sheet in sheets if (lines := styled_lines(sheet, look.theme))]
    if not drawn:
        raise nothing_to_draw(look)
    everything = [line for _, lines in drawn for line in lines]
    figure, axes = new_figure(look, ratios=(1.0,) * len(drawn), more=HEIGHT - 1)
    for panel, (sheet, lines) in zip(axes, drawn, strict=True):
        draw_lines(panel, lines, unit, look.theme)
        set_value_axis(panel, everything, unit, shown=(level,))
        panel.axhline(level, color=look.theme.muted, lw=0.8, zorder=1)
        set_panel_title(panel, sheet.title, look.theme)
    finish_layout(figure, axes, _together(line.series for line in everything))
    return figure


def _together(series: Iterable[pd.Series]) -> pd.DatetimeIndex:
    """The sessions of any of the series."""
    return pd.DatetimeIndex(sorted(set().union(*(line.index for line in series))))
