"""What all charts are drawn with: themes and styles, lines, figures, axes, end labels, PNG.

The only module that imports matplotlib, and only when a chart is drawn. A chart is a Figure of its own
on the Agg canvas: no pyplot, no shared state, so charts can be drawn in several threads. The same input
gives the same bytes. A Picture is plain arrays: the process that draws it does without pandas.
"""

from __future__ import annotations

import io
import math
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bot.analytics.units import MINUS, Unit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ticks = tuple[list[float], list[str]]

WIDTH, HEIGHT, PANEL_HEIGHT = 6.0, 3.4, 1.3  # inches; PANEL_HEIGHT for each further panel
DPI = 200  # 1200 pixels wide: sharp on a phone's doubled pixels
TEXT_SIZE, TITLE_SIZE = 9.0, 11.5  # points; 9 is the smallest that a phone in hand shows legibly
END_LABEL = "end label"  # how end labels are found again once the layout is known
_LINE_HEIGHT = 1.25  # distance of lines of text, in their size
_LABEL_COLUMNS = 14  # characters of a line of an end label
_MIN_DATED_DAYS = 3
_THIN_LINE_FROM = 1_200  # points of a line that needs a finer pen
_MONEY_SCALES = {"bn": 1e9, "m": 1e6, "k": 1e3, "": 1.0}


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


LIGHT = Theme("light", "#FFFFFF", "#1B1F24", "#59616B", "#DFE3E8", ("#0067A5", "#B84A00", "#1B1F24", "#7A6A6A"))
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


@dataclass(frozen=True, eq=False)
class Line:
    """One series on an axis. `name` is shown above the last value at its end."""

    x: Floats  # days since 1970
    y: Floats  # with a gap (NaN) for whatever is not finite
    colour: str
    name: str = ""
    width: float = 2.0
    style: str = "-"

    @property
    def drawable(self) -> bool:
        """Whether there is any value."""
        return bool(np.isfinite(self.y).any())


@dataclass(frozen=True, eq=False)
class Panel:
    """Lines on one value axis with about `ticks` ticks, which holds the values `shown` too.

    `levels` are values that the reader compares with, `band` the lower and upper end of the usual ones, which
    is shaded; `marks` are points to be marked (x, y).
    """

    lines: Sequence[Line]
    unit: Unit
    title: str = ""
    ticks: int = 5
    shown: Sequence[float] = ()
    levels: Sequence[float] = ()
    band: tuple[float, float] | None = None
    marks: tuple[Floats, Floats] | None = None


@dataclass(frozen=True, eq=False)
class Picture:
    """Panels below each other, with all that is written around them.

    ratios       heights of the rows of panels, by default equal
    columns      of panels; with several, each panel has its own days
    shared_days  whether all panels show the same days, else each its own
    """

    style: ChartStyle
    panels: Sequence[Panel]
    ratios: Sequence[float] = ()
    note: str = ""
    panel_height: float = PANEL_HEIGHT
    shared_days: bool = True
    columns: int = 1

    def draw(self) -> bytes:
        """Return the picture as PNG."""
        ratios = self.ratios or (1.0,) * math.ceil(len(self.panels) / self.columns)
        height = HEIGHT + self.panel_height * (len(ratios) - 1)
        figure, cells = new_figure(self.style, ratios, self.note, height, self.columns)
        all_axes, empty = cells[: len(self.panels)], cells[len(self.panels) :]
        for axes in empty:
            axes.set_axis_off()
        for axes, panel in zip(all_axes, self.panels, strict=True):
            draw_panel(axes, panel, self.style.theme)
        days = [np.concatenate([line.x for line in panel.lines]) for panel in self.panels]
        if self.shared_days:
            days = [np.concatenate(days)] * len(days)
        finish_layout(figure, all_axes, days, shared=self.shared_days, ticks=6 // self.columns)
        return png(figure)


@dataclass(frozen=True, eq=False)
class BarPicture:
    """Rows of horizontal bars, a bar for each name in every row: `values` are names x rows, NaN for none.

    Each row has a unit; the axis that of the first.
    """

    style: ChartStyle
    rows: Sequence[str]
    names: Sequence[str]
    values: Sequence[Floats]
    units: Sequence[Unit]

    def draw(self) -> bytes:
        """Return the picture as PNG."""
        theme, count = self.style.theme, len(self.names)
        figure, (axes,) = new_figure(self.style, (1.0,), "", 1.1 + (0.16 + 0.17 * count) * len(self.rows))
        places, thickness = np.arange(len(self.rows))[::-1].astype("float64"), 0.8 / count
        for number, (name, values) in enumerate(zip(self.names, self.values, strict=True)):
            at = places + thickness * ((count - 1) / 2 - number)
            bars = axes.barh(at, np.nan_to_num(values), 0.9 * thickness, color=theme.lines[number], label=name)
            cells = zip(values, self.units, strict=True)
            shown = ["n/a" if math.isnan(value) else unit.show(float(value)) for value, unit in cells]
            for label in axes.bar_label(bars, labels=shown, padding=3):
                _style_text(label, theme.lines[number])
        finite = np.concatenate([values[np.isfinite(values)] for values in self.values])
        low, high = limits(np.append(finite, 0.0))
        room = 0.12 * (high - low)  # for the values at the bars' ends
        axes.set_xlim(low - (room if low < -room else 0), high + room)
        axes.set_xticks(*value_ticks(low, high, self.units[0]))
        axes.set_yticks(places, self.rows)
        axes.grid(visible=False, axis="y")
        axes.grid(visible=True, axis="x", color=theme.grid, linewidth=0.8)
        axes.axvline(0.0, color=theme.muted, lw=0.8)
        if count > 1:
            legend = axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=count, frameon=False)
            for text, colour in zip(legend.get_texts(), theme.lines, strict=False):
                _style_text(text, colour)
        for tick in (*axes.get_xticklabels(), *axes.get_yticklabels()):
            tick.set_parse_math(False)
        return png(figure)


def new_figure(
    style: ChartStyle, ratios: Sequence[float], note: str, height: float, columns: int = 1
) -> tuple[Figure, list[Axes]]:
    """Return a figure with title, footer and sample label, and a row of empty panels for each height ratio."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - late: half a second
    from matplotlib.figure import Figure  # noqa: PLC0415 - as above

    theme = style.theme
    figure = Figure(figsize=(WIDTH, height), dpi=DPI, facecolor=theme.ground)
    FigureCanvasAgg(figure)
    title = figure.text(0.02, 1 - 0.08 / height, "", va="top", weight="bold")
    footer = figure.text(0.02, 0.08 / height, "", va="bottom")
    _style_text(title, theme.ink, TITLE_SIZE)
    _style_text(footer, theme.muted)
    if style.sample:
        stamp = figure.text(0.45, 0.5, "sample data", ha="center", va="center", alpha=0.16, rotation=18)
        _style_text(stamp, theme.muted, 50)
    top = (0.14 + _wrap(title, style.title) * TITLE_SIZE * _LINE_HEIGHT / 72) / height
    bottom = (0.14 + _wrap(footer, style.source, note) * TEXT_SIZE * _LINE_HEIGHT / 72) / height
    figure.set_layout_engine("constrained", rect=(0.005, bottom, 0.99, 1 - top - bottom))
    panels = figure.subplots(len(ratios), columns, squeeze=False, height_ratios=list(ratios)).ravel()
    for axes in panels:  # a horizontal grid, a base line and no box
        axes.set_facecolor("none")
        for side, spine in axes.spines.items():
            spine.set(visible=side == "bottom", color=theme.muted, linewidth=0.8)
        axes.grid(visible=True, axis="y", color=theme.grid, linewidth=0.8)
        axes.set_axisbelow(True)
        axes.tick_params(colors=theme.muted, labelsize=TEXT_SIZE, length=0, pad=4)
        axes.tick_params(axis="x", length=3)
    return figure, list(panels)


def _style_text(text: Text, colour: str, size: float = TEXT_SIZE) -> None:
    """Style a text. Math is off, because "$1bn and $2bn" would be read as a formula."""
    text.set(color=colour, fontsize=size, parse_math=False, linespacing=_LINE_HEIGHT)


def _wrap(text: Text, *paragraphs: str) -> int:
    """Wrap the paragraphs to the width of the figure. Returns the number of lines."""
    lines: list[str] = []
    for columns in range(90, 10, -2):
        lines = [line for paragraph in paragraphs for line in textwrap.wrap(paragraph, columns)]
        text.set_text("\n".join(lines))
        if text.get_window_extent().width <= 0.96 * WIDTH * DPI:
            break
    return len(lines)


def draw_panel(axes: Axes, panel: Panel, theme: Theme) -> None:
    """Draw the lines with their end labels and levels, and set the value axis."""
    _style_text(axes.set_title(panel.title, loc="left"), theme.muted)
    for line in panel.lines:
        x, y = line.x, line.y
        known = np.isfinite(np.concatenate([[np.nan], y, [np.nan]]))
        alone = known[1:-1] & ~known[:-2] & ~known[2:]  # between two gaps: no segment, so it gets a dot
        width = line.width if len(y) <= _THIN_LINE_FROM else 0.6 * line.width
        axes.plot(x, y, color=line.colour, lw=width, ls=line.style, solid_capstyle="round", zorder=3)
        axes.plot(x[alone], y[alone], color=line.colour, ls="", marker="o", ms=line.width + 1, zorder=3)
        _label_end(axes, line, panel.unit)
    if panel.marks is not None:
        x, y = panel.marks
        axes.plot(x, y, ls="", marker="o", ms=6, mfc=theme.ground, mec=theme.ink, mew=1.4, zorder=4)
    values = np.concatenate([line.y for line in panel.lines])
    low, high = limits(np.append(values[np.isfinite(values)], panel.shown))
    if panel.band is not None:
        axes.axhspan(*panel.band, color=theme.grid, alpha=0.6, lw=0, zorder=0)
    axes.set_ylim(low, high)
    axes.set_yticks(*value_ticks(low, high, panel.unit, panel.ticks))
    zero = (0.0,) if panel.unit.signed and low < 0 < high else ()
    for level in (*panel.levels, *zero):  # behind all lines
        axes.axhline(level, color=theme.muted, lw=0.8, ls="-" if level in (*zero, 100.0) else ":", zorder=1)


def _label_end(axes: Axes, line: Line, unit: Unit) -> None:
    """Label the end of a line with its name and last value. The label's height is set later."""
    end = np.flatnonzero(np.isfinite(line.y))[-1]
    x, y = float(line.x[end]), float(line.y[end])
    tie = {"arrowstyle": "-", "color": line.colour, "lw": 0.8, "shrinkA": 1, "shrinkB": 0, "relpos": (0, 0.5)}
    label = axes.annotate(
        "\n".join([*textwrap.wrap(line.name, _LABEL_COLUMNS, max_lines=2, placeholder="…"), unit.show(y)]),
        xy=(x, y),
        xytext=(1.03, 0.5),
        textcoords="axes fraction",
        annotation_clip=False,
        va="center",
        weight="bold",
        gid=END_LABEL,
        arrowprops=tie,
    )
    _style_text(label, line.colour)


def finish_layout(
    figure: Figure, panels: Sequence[Axes], days: Sequence[Floats], *, shared: bool, ticks: int = 6
) -> None:
    """Set the date axes, lay out the figure, and place the end labels, which need the layout."""
    for axes, shown in zip(panels, days, strict=True):
        first, last = float(shown.min()), float(shown.max())
        margin = max(0.015 * (last - first), 0.5)
        axes.set_xlim(first - margin, last + margin)
        axes.set_xticks(*(([], []) if shared and axes is not panels[-1] else date_ticks(first, last, ticks)))
        for tick in (*axes.get_xticklabels(), *axes.get_yticklabels()):
            tick.set_parse_math(False)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axes in panels:
        _place_end_labels(axes)


def _place_end_labels(axes: Axes) -> None:
    """Move the end labels of a panel apart, each as near to the end of its line as possible."""
    from matplotlib.text import Text  # noqa: PLC0415 - late, with all of matplotlib

    labels: list[Any] = [text for text in axes.texts if text.get_gid() == END_LABEL]
    # Text's own box: an annotation's includes the tie to its line.
    height = max(Text.get_window_extent(label).height for label in labels) + 3 * DPI / 72
    box = axes.get_window_extent()
    ends = [float(axes.transData.transform(label.xy)[1]) for label in labels]
    for label, centre in zip(labels, spread(ends, height, box.y0, box.y1), strict=True):
        label.set_position((1.03, (centre - box.y0) / box.height))


def spread(wanted: Sequence[float], height: float, low: float, high: float) -> list[float]:
    """Return centres of labels of one height, near the wanted ones, in their order, `height` or more apart.

    All are between `low` and `high` if they fit, else they start at `low` and exceed `high`.
    """
    order = np.argsort(wanted, kind="stable")
    # Less the room of the labels below it, a centre need only be no lower than the one before.
    room = height * np.arange(len(order))
    free = np.asarray(wanted)[order] - room
    upward = np.maximum.accumulate(free)
    downward = np.minimum.accumulate(free[::-1])[::-1]
    # The mean of two orders that keep the distance keeps it too, and favours neither label.
    middle = np.minimum((upward + downward) / 2, high - height / 2 - height * (len(order) - 1))
    centres = np.empty(len(order))
    centres[order] = np.maximum(middle, low + height / 2) + room
    return [float(centre) for centre in centres]


def limits(values: Floats) -> tuple[float, float]:
    """Return the ends of an axis with a margin around all (finite) `values`. They are never equal."""
    low, high = float(values.min()), float(values.max())
    margin = 0.06 * (high - low)
    if margin <= 1e-9 * max(abs(low), abs(high)):  # flat, or differing only by rounding
        margin = 0.05 * max(abs(low), abs(high)) or 1.0
    return low - margin, high + margin


def value_ticks(low: float, high: float, unit: Unit, most: int = 5) -> Ticks:
    """Return round values from `low` to `high` (low < high), two at least and about `most`, and labels.

    A label has just the decimals that the distance of the values needs. Money has one scale on an axis.
    """
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415 - late, with all of matplotlib

    locator = MaxNLocator(most, steps=[1, 2, 2.5, 5, 10], min_n_ticks=2)
    values = [float(value) for value in locator.tick_values(low, high) if low <= value <= high]
    step = values[1] - values[0]
    if unit.symbol != "$":
        return values, [unit.show(value, _decimals(step)) for value in values]
    largest = max(map(abs, values))
    scale = unit.scale
    if scale is None:
        scale = next((name for name, size in _MONEY_SCALES.items() if largest >= size), "")
    size = _MONEY_SCALES[scale]
    places = _decimals(step / size)
    plus = "+" if unit.signed else ""
    signed = [f"{MINUS if value < 0 else plus}${abs(value / size):,.{places}f}{scale}" for value in values]
    return values, [label if value else "$0" for label, value in zip(signed, values, strict=True)]


def _decimals(step: float) -> int:
    """Return the fewest decimals that write the step exactly, e.g. 0 for 20, 1 for 2.5, 2 for 0.05."""
    return next((places for places in range(12) if math.isclose(round(step, places), step, rel_tol=1e-6)), 12)


def date_ticks(first: float, last: float, most: int = 6) -> Ticks:
    """Return at most `most` dates from `first` to `last` (days since 1970) with labels: days, months or years."""
    from matplotlib import dates  # noqa: PLC0415 - late, with all of matplotlib

    locator: dates.DateLocator = dates.DayLocator()
    if last - first >= _MIN_DATED_DAYS:  # within fewer the automatic locator would name hours
        locator = dates.AutoDateLocator(minticks=min(3, most - 1), maxticks=most)
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


def png(figure: Figure) -> bytes:
    """Return the figure as PNG, without the library's version, so that equal input gives equal bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None}, facecolor=figure.get_facecolor())
    return buffer.getvalue()
