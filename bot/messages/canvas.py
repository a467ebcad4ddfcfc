"""Scales of charts: labels of ticks, limits of axes, and how labels are kept apart. Pure numbers.

The canvas of all charts: figure, frame, lines, end labels, axes, PNG.

The only module that imports matplotlib, and only when a chart is drawn. A chart is a Figure of its own
on the Agg canvas: no pyplot, no shared state, so charts can be drawn in several threads; the same input
gives the same bytes.

What a chart draws: series with names and colours, made from plain pandas objects. No drawing here.

Light and dark: the colours of charts, and what every chart carries around its lines.
"""

from __future__ import annotations

import io
import math
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from bot.analytics.units import MINUS, USD, Unit
from bot.errors import NoData

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text


Ticks = tuple[list[float], list[str]]

_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_MONTH_STEPS = (1, 2, 3, 6, 12, 24, 60, 120, 240)
_FEW_DAYS = 62  # up to two months single sessions are named, beyond that months or years
_SCALES = ((1e9, "bn"), (1e6, "m"), (1e3, "k"), (1.0, ""))


def days(index: pd.DatetimeIndex) -> np.ndarray:
    """Days since 1970 of naive midnights, the x of every chart."""
    numbers: np.ndarray = index.to_numpy().astype("datetime64[D]").astype("float64")
    return numbers


def tick_labels(values: Sequence[float], unit: Unit) -> list[str]:
    """Labels with just the decimals that their distance needs, and money in one scale on the whole axis."""
    step = values[1] - values[0]
    if unit is not USD:
        return [unit.show(value, _decimals(step)) for value in values]
    largest = max(map(abs, values), default=0.0)
    scale, suffix = next((item for item in _SCALES if largest >= item[0]), _SCALES[-1])
    places = _decimals(step / scale)
    return [_money(value / scale, places, suffix) for value in values]


def _money(value: float, places: int, suffix: str) -> str:
    if not value:
        return "$0"
    return f"{MINUS if value < 0 else '+'}${abs(value):,.{places}f}{suffix}"


def _decimals(step: float) -> int:
    """Fewest decimals that write the step exactly, e.g. 0 for 20, 1 for 2.5, 2 for 0.05."""
    return next((places for places in range(12) if math.isclose(round(step, places), step, rel_tol=1e-6)), 12)


def limits(values: np.ndarray) -> tuple[float, float]:
    """Lower and upper end of an axis with a margin around all (finite) `values`. They are never equal."""
    low, high = float(values.min()), float(values.max())
    air = 0.06 * (high - low)
    if air <= 1e-9 * max(abs(low), abs(high)):  # flat, or differing only by rounding
        air = 0.05 * max(abs(low), abs(high)) or 1.0
    return low - air, high + air


def spread(wanted: Sequence[float], height: float, low: float, high: float) -> list[float]:
    """Centres of labels of one height, near the wanted ones, in their order, `height` or more apart.

    All are between `low` and `high` if they fit, else they start at `low` and exceed `high`.
    """
    order = sorted(range(len(wanted)), key=lambda item: wanted[item])
    targets = [wanted[item] for item in order]
    upward = _pushed(targets, height)
    downward = [-place for place in reversed(_pushed([-place for place in reversed(targets)], height))]
    # The mean of two orders that keep the distance keeps it too, and favours neither label.
    places = [(up + down) / 2 for up, down in zip(upward, downward, strict=True)]
    for number in range(len(places) - 1, -1, -1):
        ceiling = high - height / 2 - (len(places) - 1 - number) * height
        places[number] = min(places[number], ceiling)
    for number in range(len(places)):
        places[number] = max(places[number], low + height / 2 + number * height)
    return [place for _, place in sorted(zip(order, places, strict=True))]


def _pushed(places: Sequence[float], height: float) -> list[float]:
    """Ascending places pushed upward until each is `height` above the one before."""
    pushed: list[float] = []
    for place in places:
        pushed.append(max(place, pushed[-1] + height) if pushed else place)
    return pushed


WIDTH, HEIGHT, MORE = 6.0, 3.4, 1.3  # inches; MORE for each further panel
DPI = 200  # 1200 pixels wide: sharp on a phone's doubled pixels
TEXT, TITLE = 9.0, 11.5  # points; 9 is the smallest that a phone in hand shows legibly
LABEL = "end label"  # how end labels are found again once the layout is known
_LEADING = 1.25  # distance of lines of text, in their size
_NAME = 14  # characters of a line of an end label
_MIN_DATED_DAYS = 3
_LONG = 1_200  # points of a line that needs a finer pen


def new_figure(
    look: ChartStyle, ratios: Sequence[float] = (1.0,), note: str = "", more: float = MORE
) -> tuple[Figure, list[Axes]]:
    """An empty figure with title, footer and sample label, and a panel for each of the height ratios."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - late: half a second
    from matplotlib.figure import Figure  # noqa: PLC0415 - as above

    height, theme = HEIGHT + more * (len(ratios) - 1), look.theme
    figure = Figure(figsize=(WIDTH, height), dpi=DPI, facecolor=theme.ground)
    FigureCanvasAgg(figure)
    title = figure.text(0.02, 1 - 0.08 / height, "", va="top", weight="bold")
    footer = figure.text(0.02, 0.08 / height, "", va="bottom")
    _style_text(title, theme.ink, TITLE)
    _style_text(footer, theme.muted, TEXT)
    if look.sample:
        stamp = figure.text(0.45, 0.5, "sample data", ha="center", va="center", alpha=0.16, rotation=18)
        _style_text(stamp, theme.muted, 50)
    top = (0.14 + _wrap(title, look.title) * TITLE * _LEADING / 72) / height
    bottom = (0.14 + _wrap(footer, look.source, note) * TEXT * _LEADING / 72) / height
    figure.set_layout_engine("constrained", rect=(0.005, bottom, 0.99, 1 - top - bottom))
    axes = figure.subplots(len(ratios), 1, squeeze=False, height_ratios=list(ratios))[:, 0]
    for panel in axes:
        _style_axes(panel, theme)
    return figure, list(axes)


def _style_text(text: Text, colour: str, size: float) -> None:
    """Style a text. Math is off, because "$1bn and $2bn" would be read as a formula."""
    text.set(color=colour, fontsize=size, parse_math=False, linespacing=_LEADING)


def _wrap(text: Text, *paragraphs: str) -> int:
    """Wrap the paragraphs to the width of the figure. Returns the number of lines."""
    lines: list[str] = []
    for columns in range(90, 10, -2):
        lines = [line for paragraph in paragraphs for line in textwrap.wrap(paragraph, columns)]
        text.set_text("\n".join(lines))
        if text.get_window_extent().width <= 0.96 * WIDTH * DPI:
            break
    return len(lines)


def set_panel_title(axes: Axes, title: str, theme: Theme) -> None:
    """Set a panel's own title."""
    _style_text(axes.set_title(title, loc="left"), theme.muted, TEXT)


def _style_axes(axes: Axes, theme: Theme) -> None:
    """Style a panel with a horizontal grid, a base line and no box."""
    axes.set_facecolor("none")
    for side, spine in axes.spines.items():
        spine.set(visible=side == "bottom", color=theme.muted, linewidth=0.8)
    axes.grid(visible=True, axis="y", color=theme.grid, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=theme.muted, labelsize=TEXT, length=0, pad=4)
    axes.tick_params(axis="x", length=3)


def draw_lines(
    axes: Axes, lines: Sequence[Line], unit: Unit, theme: Theme, kind: Kind = "line", *, most: int = 5
) -> None:
    """Draw the lines (the first one as bars if asked), their end labels and the value axis."""
    for line in lines:
        if kind == "bar" and line is lines[0]:
            _draw_bars(axes, line)
        else:
            _draw_line(axes, line)
        _label_end(axes, line, unit)
    low, high = set_value_axis(axes, lines, unit, most, shown=() if kind == "line" else (0.0,))
    if unit.signed and low < 0 < high:
        axes.axhline(0, color=theme.muted, lw=0.8, zorder=1)


def set_value_axis(
    axes: Axes, lines: Sequence[Line], unit: Unit, most: int = 5, *, shown: Sequence[float] = ()
) -> tuple[float, float]:
    """Set a value axis that holds the lines and the values to be shown. Returns its ends."""
    values = np.concatenate([line.y for line in lines])
    low, high = limits(np.append(values[np.isfinite(values)], shown))
    axes.set_ylim(low, high)
    axes.set_yticks(*value_ticks(low, high, unit, most))
    return low, high


def _draw_line(axes: Axes, line: Line) -> None:
    """Draw a line with its gaps. A value between two gaps has no segment and is drawn as a dot."""
    x, y, colour = line.x, line.y, line.colour
    known = np.isfinite(np.concatenate([[np.nan], y, [np.nan]]))
    alone = known[1:-1] & ~known[:-2] & ~known[2:]
    width = line.width if len(y) <= _LONG else 0.6 * line.width
    axes.plot(x, y, color=colour, lw=width, ls=line.style, solid_capstyle="round", zorder=3)
    axes.plot(x[alone], y[alone], color=colour, ls="", marker="o", ms=line.width + 1, zorder=3)


def _draw_bars(axes: Axes, line: Line) -> None:
    """Draw a bar from zero for each value, as wide as the sessions allow."""
    span = max(float(line.x[-1] - line.x[0]), 1.0)
    width = min(max(0.6 * 280 / span, 0.7), 12.0)  # the panel is about 280 points wide
    known = np.isfinite(line.y)
    axes.vlines(line.x[known], 0, line.y[known], colors=line.colour, linewidth=width, zorder=3)


def draw_marks(axes: Axes, points: pd.Series, theme: Theme) -> None:
    """Mark points of the line with open circles."""
    x = days(pd.DatetimeIndex(points.index))
    axes.plot(
        x, points.to_numpy(), ls="", marker="o", ms=6, mfc=theme.ground, mec=theme.ink, mew=1.4, zorder=4
    )


def _label_end(axes: Axes, line: Line, unit: Unit) -> None:
    """Label the end of a line with its name and last value. The label's height is set later."""
    end = np.flatnonzero(np.isfinite(line.y))[-1]
    x, y = float(line.x[end]), float(line.y[end])
    tie = {"arrowstyle": "-", "color": line.colour, "lw": 0.8, "shrinkA": 1, "shrinkB": 0, "relpos": (0, 0.5)}
    label = axes.annotate(
        "\n".join([*textwrap.wrap(line.name, _NAME, max_lines=2, placeholder="…"), unit.show(y)]),
        xy=(x, y),
        xytext=(1.03, 0.5),
        textcoords="axes fraction",
        annotation_clip=False,
        va="center",
        weight="bold",
        gid=LABEL,
        arrowprops=tie,
    )
    _style_text(label, line.colour, TEXT)


def finish_layout(figure: Figure, axes: Sequence[Axes], index: pd.DatetimeIndex) -> None:
    """Set the date axis, lay out the figure, and place the end labels, which need the layout."""
    x = days(index)
    air = max(0.015 * (x[-1] - x[0]), 0.5)
    for panel in axes:
        panel.set_xlim(x[0] - air, x[-1] + air)
        panel.set_xticks(*(date_ticks(x[0], x[-1]) if panel is axes[-1] else ([], [])))
        for tick in (*panel.get_xticklabels(), *panel.get_yticklabels()):
            tick.set_parse_math(False)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for panel in axes:
        _place_end_labels(panel)


def value_ticks(low: float, high: float, unit: Unit, most: int = 5) -> Ticks:
    """Round values from `low` to `high` (low < high), two at least and about `most`, with their labels."""
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415 - late, with all of matplotlib

    locator = MaxNLocator(most, steps=[1, 2, 2.5, 5, 10], min_n_ticks=2)
    values = [float(value) for value in locator.tick_values(low, high) if low <= value <= high]
    return values, tick_labels(values, unit)


def date_ticks(first: float, last: float) -> Ticks:
    """Dates from `first` to `last` (days since 1970) with their labels: days, months or years."""
    from matplotlib import dates  # noqa: PLC0415 - late, with all of matplotlib

    locator: dates.DateLocator = dates.DayLocator()
    if last - first >= _MIN_DATED_DAYS:  # within fewer the automatic locator would name hours
        locator = dates.AutoDateLocator(minticks=3, maxticks=6)
        locator.intervald[dates.MONTHLY] = [1, 2, 3, 6, 12]
    begin, end = dates.num2date(first), dates.num2date(last)
    places = [float(place) for place in locator.tick_values(begin, end) if first <= place <= last]
    day = "%d %b"
    formatter = dates.ConciseDateFormatter(
        locator, formats=["%Y", "%b", *[day] * 4], zero_formats=["", "%Y", *[day] * 4], show_offset=False
    )
    labels = [label.lstrip("0") for label in formatter.format_ticks(places)]
    if not any(letter.isdigit() for label in labels for letter in label):  # months of one year
        labels[0] += f" {dates.num2date(places[0]).year}"
    return places, labels


def _place_end_labels(axes: Axes) -> None:
    """Move the end labels of a panel apart, each as near to the end of its line as possible."""
    from matplotlib.text import Text  # noqa: PLC0415 - late, with all of matplotlib

    labels: list[Any] = [text for text in axes.texts if text.get_gid() == LABEL]
    # Text's own box: an annotation's includes the tie to its line.
    height = max(Text.get_window_extent(label).height for label in labels) + 3 * DPI / 72
    box = axes.get_window_extent()
    ends = [float(axes.transData.transform(label.xy)[1]) for label in labels]
    for label, centre in zip(labels, spread(ends, height, box.y0, box.y1), strict=True):
        label.set_position((1.03, (centre - box.y0) / box.height))


def png(figure: Figure) -> bytes:
    """The figure as PNG, without the library's version, so that equal input gives equal bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None}, facecolor=figure.get_facecolor())
    return buffer.getvalue()


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


@dataclass(frozen=True)
class Theme:
    """Colours of a chart. Text, labels and lines have a contrast of 4.5 or more on the ground."""

    name: str
    ground: str
    ink: str
    muted: str
    grid: str
    # Blue, orange, ink and stone are distinct with every kind of colour blindness. Two lines use the first.
    lines: tuple[str, str, str, str]


LIGHT = Theme(
    "light", "#FFFFFF", "#1B1F24", "#59616B", "#DFE3E8", ("#0067A5", "#B84A00", "#1B1F24", "#7A6A6A")
)
DARK = Theme("dark", "#15191E", "#ECEFF2", "#A6AFB9", "#333B45", ("#56B4E9", "#F0A030", "#ECEFF2", "#938A80"))
THEMES = {theme.name: theme for theme in (LIGHT, DARK)}


@dataclass(frozen=True)
class ChartStyle:
    """Title, source and date, theme and sample label of one chart."""

    title: str
    footer: str  # "Source: Yahoo · close of Fri 11 Dec 2020"
    theme: Theme = LIGHT
    sample: bool = False

    @property
    def source(self) -> str:
        """The footer, saying "sample data" when the numbers are."""
        if not self.sample or "sample data" in self.footer.lower():
            return self.footer
        return f"Sample data · {self.footer}"
