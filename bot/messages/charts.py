"""Captions of charts: what they show in words, for those who cannot see the picture. Plain text.

Charts as PNG: two colour-blind-safe lines labelled at their ends, readable on a phone.

Functions `*_figure` build, `*_chart` render and caption. Inputs are plain pandas objects on naive midnight
sessions; values are in the unit's own scale (percent in percent, money in dollars). NaN is a gap and never
bridged; nothing to draw raises NoData.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import pandas as pd

from bot.analytics.sessions import short_date
from bot.analytics.units import LEVEL, PERCENT, POINTS, USD, Unit
from bot.messages.canvas import (
    HEIGHT,
    Kind,
    Line,
    Marks,
    Panel,
    Sheet,
    Threshold,
    draw_lines,
    draw_marks,
    finish_layout,
    finite_values,
    fund_lines,
    new_figure,
    nothing_to_draw,
    panel_lines,
    png,
    set_panel_title,
    set_value_axis,
    styled_lines,
    summed,
    threshold_lines,
    trimmed,
)
from bot.messages.html import capital

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from matplotlib.figure import Figure

    from bot.messages.canvas import ChartStyle


_DATES = 5  # marked sessions that are named; a caption holds 1,024 characters


def caption(look: ChartStyle, sentences: Sequence[str]) -> str:
    """Title, sentences and source, one below the other."""
    return "\n".join([look.title, *filter(None, sentences), look.source])


def describe_comparison(returns: pd.DataFrame) -> list[str]:
    """Last value of each fund and their gap, then the range of each."""
    legs = ", ".join(f"{name} {PERCENT.show(last_value(returns[name]))}" for name in returns.columns)
    ranges = [_range(str(name), returns[name], PERCENT) for name in returns.columns]
    return [f"{legs}{_gap(returns)}, {_span(returns)}.", *ranges]


def describe_average(ratio: pd.Series, average: pd.Series) -> str:
    """The ratio against its average, "" without a ratio."""
    now, mean = last_value(ratio), last_value(average)
    if now is None:
        return ""
    if not mean:
        return f"Ratio {LEVEL.show(now)}, average n/a."
    gap = PERCENT.show(100 * (now / mean - 1))
    return f"Ratio {LEVEL.show(now)}, {gap} against its average {LEVEL.show(mean)}."


def describe_metric(series: pd.Series, unit: Unit) -> list[str]:
    """Last value with its session, and the range."""
    end = finite_values(series).last_valid_index()
    return [f"{unit.show(last_value(series))} on {short_date(end)}.", _range("", series, unit)]


def describe_threshold(name: str, level: pd.Series, unit: Unit) -> str:
    """The last value of the level that the metric is compared with."""
    return capital(f"{name}: {unit.show(last_value(level))}.")


def describe_marks(name: str, sessions: Sequence[pd.Timestamp]) -> str:
    """The marked sessions, the newest few by date."""
    if not sessions:
        return capital(f"{name}: never in this window.")
    dates = ", ".join(short_date(session) for session in sessions[-_DATES:])
    before = f" and {len(sessions) - _DATES} before" if len(sessions) > _DATES else ""
    return capital(f"{name}: {dates}{before}.")


def describe_flows(sums: pd.DataFrame) -> list[str]:
    """Sum of each fund's flows over the window, "n/a" if none of its facts are stored."""
    funds = ", ".join(f"{name} {USD.show(last_value(sums[name]))}" for name in sums.columns)
    return [f"{funds}, {_span(sums)}."]


def describe_growth(name: str, series: Mapping[str, pd.Series], unit: Unit) -> str:
    """Last value of every series of one panel, with its session if they differ."""
    known = {title: finite_values(values).dropna() for title, values in series.items()}
    ends = {title: values.index[-1] for title, values in known.items() if len(values)}
    newest = max(ends.values(), default=None)
    phrases = [
        f"{title} {unit.show(last_value(values))}"
        + (f" ({short_date(ends[title])})" if title in ends and ends[title] != newest else "")
        for title, values in known.items()
    ]
    return f"{name}: {', '.join(phrases)}{f', {short_date(newest)}' if newest is not None else ''}."


def last_value(series: pd.Series) -> float | None:
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
    sentences = describe_comparison(returns)
    if panel is not None:
        sentences.append(
            describe_average(panel.ratio.loc[: returns.index[-1]], panel.average.loc[: returns.index[-1]])
        )
    return Chart(png(figure), caption(look, sentences))


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
    sentences = describe_metric(shown, unit)
    if threshold is not None:
        sentences.append(describe_threshold(threshold.name, threshold.over(shown.index), unit))
    if marks is not None:
        sentences.append(describe_marks(marks.name, marks.on(shown)))
    return Chart(png(figure), caption(look, sentences))


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
        level = describe_threshold(leg.threshold.name, leg.threshold.over(shown.index), leg.unit)
        sentences += [f"{leg.name}: {describe_metric(shown, leg.unit)[0]} {level}"]
    if marks is not None:
        sentences.append(describe_marks(marks.name, marks.on(parts[0].series)))
    return Chart(png(figure), caption(look, sentences))


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
    return Chart(png(figure), caption(look, describe_flows(flows.cumsum())))


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
    sentences = [describe_growth(sheet.title, sheet.series, unit) for sheet in sheets]
    return Chart(png(figure), caption(look, sentences))


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
