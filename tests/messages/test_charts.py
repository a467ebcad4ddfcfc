import re
import struct
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import cast
from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Annotation, Text

from bot.analytics.units import INDEX, LEVEL, PERCENT, POINTS, USD, Unit
from bot.errors import NoData
from bot.messages import canvas, charts
from bot.messages.canvas import DARK, END_LABEL, LIGHT, TEXT_SIZE, ChartStyle, Theme
from bot.messages.charts import (
    FIXED,
    USUAL,
    ConditionPanel,
    bar_chart,
    compare_chart,
    flows_chart,
    indexed_chart,
    rule_chart,
)
from tests.messages.pages import days

FOOTER = "Source: Yahoo · close of Fri 11 Dec 2020"
LOOK = ChartStyle("IWM and SPY, total return since 31 Dec 2019", FOOTER)
END = "2020-12-11"


def walk(sessions: int, last: float, seed: int = 1) -> pd.Series:
    """A seeded path over business days up to END that ends at `last` exactly."""
    index = pd.bdate_range(end=END, periods=sessions)
    path = np.random.default_rng(seed).normal(size=sessions).cumsum()
    return pd.Series(path - path[-1] + last, index)


def pair(sessions: int, small: float, large: float) -> pd.DataFrame:
    return pd.DataFrame({"IWM": walk(sessions, small), "SPY": walk(sessions, large, 2)})


def ratio_panel(sessions: int) -> tuple[pd.Series, pd.Series, str]:
    ratio = 0.5 + walk(sessions, 0.0195 * 100) / 100
    return ratio, ratio.rolling(min(200, sessions)).mean(), "IWM ÷ SPY with its 200-day average"


def metric_panel(series: pd.Series, unit: Unit, level: float | None = None, name: str = FIXED) -> ConditionPanel:
    return ConditionPanel("", series, unit, None if level is None else series * 0 + level, name)


def drawn(chart: Callable[..., charts.Drawing], *args: object, **named: object) -> Figure:
    """The figure that a function draws."""
    with patch.object(canvas, "png", return_value=b"") as png:
        chart(*args, **named)()
    figure: Figure = png.call_args.args[0]
    return figure


def compared(returns: pd.DataFrame, look: ChartStyle, *below: object) -> Figure:
    """The figure of one window."""
    return drawn(compare_chart, {"1y": returns}, look, *below)


def metric_figure(series: pd.Series, unit: Unit, style: ChartStyle = LOOK) -> Figure:
    return drawn(rule_chart, [metric_panel(series, unit)], style)


def end_labels(axes: Axes) -> list[Annotation]:
    return [cast(Annotation, text) for text in axes.texts if text.get_gid() == END_LABEL]


def label_texts(axes: Axes) -> list[str]:
    return [label.get_text() for label in end_labels(axes)]


def texts(figure: Figure) -> list[Text]:
    return [text for text in figure.findobj(Text) if isinstance(text, Text) and text.get_text() and text.get_visible()]


def words(figure: Figure) -> set[str]:
    return {text.get_text() for text in texts(figure)}


def assert_legible(figure: Figure) -> None:
    """Every text is large enough and inside the picture; end labels and ticks do not run into each other."""
    figure.draw_without_rendering()
    width, height = figure.get_size_inches() * figure.dpi
    for text in texts(figure):
        box = Text.get_window_extent(text)
        assert float(text.get_fontsize()) >= TEXT_SIZE
        assert 0 <= box.x0 <= box.x1 <= width, text
        assert 0 <= box.y0 <= box.y1 <= height, text
    for axes in figure.axes:
        for row in (axes.get_xticklabels(), axes.get_yticklabels()):
            assert_apart([tick for tick in row if tick.get_text()])
    loose = [text for text in texts(figure) if text.get_text() != "sample data" and text in figure.texts]
    labels = [label for axes in figure.axes for label in end_labels(axes)]
    titles = [axes._left_title for axes in figure.axes]  # type: ignore[attr-defined]
    assert_apart([*loose, *labels, *titles])


def assert_apart(group: Sequence[Text]) -> None:
    boxes = [Text.get_window_extent(text) for text in group]
    for number, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:number]), [text.get_text() for text in group]


# The picture


def test_a_comparison_is_a_sharp_png_without_software_or_time() -> None:
    png = compare_chart({"1y": pair(240, 16.14, 15.48)}, ChartStyle("Title", FOOTER, DARK), *ratio_panel(240))()
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", png[16:24]) == (1200, 940)
    assert len(png) < 500_000
    assert b"tEXt" not in png
    assert b"tIME" not in png


def test_equal_input_gives_equal_bytes_also_from_several_threads() -> None:
    def draw(_: int) -> bytes:
        return rule_chart([metric_panel(walk(60, 5), PERCENT)], LOOK)()

    with ThreadPoolExecutor(3) as pool:
        assert len({draw(0), *pool.map(draw, range(3))}) == 1


def test_matplotlib_is_loaded_only_when_a_chart_is_drawn() -> None:
    script = "import sys, bot.messages.charts; print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)  # noqa: S603
    assert done.stdout == "False\n"


# Each length of the time axis, each pair of ends, both themes.
@pytest.mark.parametrize(
    ("theme", "sessions", "small", "large"),
    [
        (LIGHT, 1, 16.14, 15.48),
        (DARK, 1, 255.34, -97.44),
        (DARK, 2, 60.0, 60.01),
        (LIGHT, 6, 255.34, -97.44),
        (DARK, 22, 16.14, 15.48),
        (LIGHT, 63, 5.0, 5.0),
        (DARK, 126, 255.34, -97.44),
        (LIGHT, 252, 16.14, 15.48),
        (LIGHT, 2700, -60.0, -60.01),
        (DARK, 2700, 255.34, -97.44),
    ],
)
def test_a_comparison_is_legible(theme: Theme, sessions: int, small: float, large: float) -> None:
    look = ChartStyle(LOOK.title, FOOTER, theme, sample=True)
    figure = compared(pair(sessions, small, large), look, *ratio_panel(sessions))
    assert_legible(figure)


@pytest.mark.parametrize("title", ["Title " * 30, "W" * 120, "$1bn and $2bn", "x_1 ^2 $\\frac$", ""])
def test_long_or_odd_words_stay_inside_and_dollars_are_no_formula(title: str) -> None:
    look = ChartStyle(title, f"{title} {FOOTER}", sample=True)
    series = walk(50, 1) * 1e9
    figure = drawn(rule_chart, [metric_panel(series, USD, 2e9, title[:60])], look, [pd.Timestamp(END)])
    assert_legible(figure)
    assert not any(text.get_parse_math() for text in texts(figure))


@pytest.mark.parametrize(("sessions", "unit"), [(1, USD), (1, PERCENT), (20, USD), (250, PERCENT), (2700, USD)])
def test_a_metric_is_legible(sessions: int, unit: Unit) -> None:
    series = walk(sessions, 3) * (1e8 if unit is USD else 1)
    panel = metric_panel(series, unit, float(series.iloc[-1]), "alert")
    assert_legible(drawn(rule_chart, [panel], LOOK, [series.index[0], series.index[-1]]))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nothing_to_draw_is_said_in_one_sentence(value: float) -> None:
    look = ChartStyle("Title", FOOTER)
    missing = walk(5, 1) * 0 + value
    funds = pd.DataFrame({"IWM": missing, "SPY": missing})
    draws: tuple[Callable[[], object], ...] = (
        lambda: metric_figure(missing, PERCENT, look),
        lambda: metric_figure(missing.iloc[:0], PERCENT, look),
        lambda: compare_chart({"1y": funds}, look, *ratio_panel(5)),
        lambda: compare_chart({"1y": funds.iloc[:0]}, look, *ratio_panel(5)),
        lambda: flows_chart(funds, look),
        lambda: bar_chart(funds, [PERCENT], look),
        lambda: indexed_chart({"IWM": {"Book": missing}}, INDEX, look, 100),
    )
    for draw in draws:
        with pytest.raises(NoData) as caught:
            draw()
        sentence = "There is nothing to draw for “Title”: no figure is stored for this window."
        assert str(caught.value) == sentence


# Comparisons


def test_lines_carry_the_data_and_ends_are_labelled_with_ticker_and_value() -> None:
    returns = pair(240, 16.14, -15.48)
    figure = compared(returns, LOOK, *ratio_panel(240))
    above, below = figure.axes
    assert label_texts(above) == ["IWM\n+16.14%", "SPY\n\u221215.48%"]
    assert label_texts(below)[0] == "ratio\n0.5195"
    assert label_texts(below)[1].startswith("average\n")
    assert {LOOK.title, FOOTER, "IWM ÷ SPY with its 200-day average"} <= words(figure)
    for name, line, label in zip(("IWM", "SPY"), above.lines[::2], end_labels(above), strict=False):
        assert np.asarray(line.get_ydata()).tolist() == returns[name].tolist()
        assert label.xy == (18607.0, returns[name].iloc[-1])
        assert line.get_color() == label.get_color()
    assert [line.get_color() for line in above.lines[:4:2]] == list(LIGHT.lines[:2])


def test_sample_data_is_stamped_and_named() -> None:
    figure = compared(pair(20, 1, 2), ChartStyle("Title", FOOTER, sample=True), *ratio_panel(20))
    assert {"sample data", f"Sample data · {FOOTER}"} <= words(figure)
    assert "sample data" not in words(compared(pair(20, 1, 2), LOOK, *ratio_panel(20)))


def test_the_panel_shows_the_window_of_the_comparison_only() -> None:
    above, below = compared(pair(20, 1, 2), LOOK, *ratio_panel(300)).axes
    assert above.get_xlim() == below.get_xlim()
    assert len(np.asarray(below.lines[0].get_xdata())) == 20


def test_a_panel_without_values_is_left_out() -> None:
    nothing = walk(20, 1) * np.nan
    figure = compared(pair(20, 1, 2), LOOK, nothing, nothing, "ratio")
    assert len(figure.axes) == 1
    figure = compared(pair(20, 1, 2), LOOK, walk(20, 0.5), nothing, "ratio")
    assert label_texts(figure.axes[1]) == ["ratio\n0.5000"]


def test_the_other_fund_keeps_its_colour_when_the_first_has_no_data() -> None:
    figure = compared(pair(20, 1, 2).assign(IWM=np.nan), LOOK, *ratio_panel(20))
    assert end_labels(figure.axes[0])[0].get_color() == LIGHT.lines[1]


def test_several_windows_have_a_panel_and_days_of_their_own() -> None:
    figure = drawn(compare_chart, {"3m": pair(63, 1, 2), "1y": pair(252, -8, 9)}, LOOK, *ratio_panel(252))
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["3m", "1y"]
    assert [label_texts(axes)[0] for axes in figure.axes] == ["IWM\n+1.00%", "IWM\n−8.00%"]
    assert figure.axes[0].get_xlim()[0] > figure.axes[1].get_xlim()[0]
    assert_legible(figure)


# Bars


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_bars_are_labelled_with_their_values_and_what_is_missing_is_named(theme: Theme) -> None:
    values = pd.DataFrame(
        {"IWM": [14.87, -49.0, np.nan], "SPY": [13.81, -14.0, 32.3]}, ["Price", "Earnings", "Multiple"]
    )
    figure = drawn(bar_chart, values, [PERCENT, PERCENT, POINTS], ChartStyle("Title", FOOTER, theme, sample=True))
    assert {"IWM", "SPY", "Price", "+14.87%", "−49.00%", "n/a", "+32.30pp"} <= words(figure)
    assert [bar.get_width() for bar in figure.axes[0].patches if isinstance(bar, Rectangle)] == [
        14.87,
        -49.0,
        0.0,
        13.81,
        -14.0,
        32.3,
    ]
    assert_legible(figure)


# Flows


def test_flows_are_added_up_to_the_text_and_drawn_against_zero() -> None:
    index = pd.bdate_range(end=END, periods=4)
    flows = pd.DataFrame({"IWM": [1e9, -3e8, 2e8, -8e7], "SPY": [0.0, -2e9, 1e8, 1e8]}, index)
    figure = drawn(flows_chart, flows, LOOK)
    assert label_texts(figure.axes[0]) == ["IWM\n+$0.82bn", "SPY\n\u2212$1.80bn"]
    assert_legible(figure)
    above = drawn(flows_chart, flows.abs() + 1e9, LOOK)
    assert above.axes[0].get_ylim()[0] < 0


def test_a_fund_without_data_is_left_out_of_the_picture() -> None:
    figure = drawn(flows_chart, pair(60, 1e9, 2e9).diff().assign(SPY=np.nan), LOOK)
    (label,) = label_texts(figure.axes[0])
    assert label.startswith("IWM\n")


# Metrics and rules


def test_a_threshold_that_moves_is_drawn_and_told_over_the_window_only() -> None:
    later = pd.concat([walk(300, 0.4594), pd.Series([9.0], pd.DatetimeIndex(["2020-12-14"]))])
    panel = ConditionPanel("", walk(50, 0.5195), LEVEL, later, "average")
    figure = drawn(rule_chart, [panel], LOOK)
    assert label_texts(figure.axes[0]) == ["0.5195", "average\n0.4594"]


def test_what_is_usual_is_shaded_and_the_rearm_level_drawn() -> None:
    values = walk(50, 1)
    panel = ConditionPanel(
        "", values, PERCENT, values * 0 + 2, rearm=values * 0 + 1.5, references={"median": 0.5}, band=(-1.0, 1.0)
    )
    figure = drawn(rule_chart, [panel], LOOK)
    (axes,) = figure.axes
    assert label_texts(axes) == ["+1.00%", "threshold\n+2.00%", "re-arms\n+1.50%", "median\n+0.50%"]
    assert len(axes.patches) == 1
    assert f"{FOOTER}\n{USUAL}" in words(figure)


def test_marks_stand_on_the_line_and_off_it_are_ignored() -> None:
    series = walk(50, 1)
    fires = [series.index[10], series.index[20], pd.Timestamp("2001-01-01")]
    figure = drawn(rule_chart, [metric_panel(series, PERCENT)], LOOK, fires)
    circles = [line for line in figure.axes[0].lines if line.get_markersize() == 6 and line.get_marker() == "o"]
    assert np.asarray(circles[-1].get_ydata()).tolist() == series.iloc[[10, 20]].tolist()
    assert f"{FOOTER}\n○ fired" in words(figure)


def test_gaps_are_not_bridged_and_a_lone_value_is_a_dot() -> None:
    series = walk(9, 1)
    series.iloc[[2, 3, 5]] = [np.nan, np.inf, np.nan]
    axes = metric_figure(series, PERCENT).axes[0]
    gaps = np.isnan(np.asarray(axes.lines[0].get_ydata(), dtype=float))
    assert np.flatnonzero(gaps).tolist() == [2, 3, 5]
    assert np.asarray(axes.lines[1].get_xdata()).tolist() == [18603.0]


def test_a_value_missing_at_the_end_is_labelled_at_the_last_one_known() -> None:
    series = walk(9, 1)
    series.iloc[-2:] = np.nan
    figure = metric_figure(series, PERCENT)
    assert end_labels(figure.axes[0])[0].xy == (18605.0, series.iloc[-3])


@pytest.mark.parametrize("count", [1, 3])
def test_each_condition_has_a_panel(count: int) -> None:
    series = walk(60, 0.5)
    panels = [ConditionPanel(f"{number}", series, LEVEL, series * 0 + 0.5) for number in range(count)]
    figure = drawn(rule_chart, panels, LOOK, [series.index[-5]])
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ([""] if count == 1 else [panel.name for panel in panels])
    assert all(len(axes.lines) >= 3 for axes in figure.axes)  # series, threshold, marks


@pytest.mark.parametrize(("level", "name", "scale"), [(100e6, FIXED, "m"), (2e9, FIXED, "bn"), (5e6, "sma 200", "bn")])
def test_a_picture_of_money_has_one_scale(level: float, name: str, scale: str) -> None:
    flow = pd.Series([-50e6, 40e6, 210e6, 2.1e9, 1.2e9], days(5))
    figure = drawn(rule_chart, [ConditionPanel("flow", flow, USD, flow * 0 + level, name)], LOOK)
    shown = [text.get_text() for text in (*figure.axes[0].get_yticklabels(), *figure.axes[0].texts)]
    assert {suffix for text in shown for suffix in re.findall(r"[+−]\$[\d.,]+([a-z]*)", text)} == {scale}


# Small multiples


def indexed(sessions: int, *ends: float) -> dict[str, pd.Series]:
    """Lines of both funds from 100 to their ends."""
    lines = {}
    for seed, (name, end) in enumerate(zip(("IWM", "SPY"), ends, strict=False)):
        path = walk(sessions, end, seed)
        lines[name] = path - np.linspace(float(path.iloc[0]) - 100, 0, sessions)
    return lines


@pytest.mark.parametrize(("theme", "sessions", "end"), [(LIGHT, 252, 51.0), (DARK, 2700, 100.1), (LIGHT, 2, 900.0)])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 6])
def test_small_multiples_are_legible_in_both_themes(theme: Theme, sessions: int, end: float, count: int) -> None:
    look = ChartStyle(LOOK.title, FOOTER, theme, sample=True)
    panels = {f"{number}y": indexed(sessions, end, 100.0) for number in range(count)}
    figure = drawn(indexed_chart, panels, INDEX, look, 100)
    assert_legible(figure)
    assert figure.get_size_inches()[1] <= 7


def test_panels_share_the_value_scale_and_have_the_colours_of_the_funds() -> None:
    panels = {"Earnings": indexed(250, 151, 180), "Book": indexed(250, 186, 194), "Sales": {}}
    figure = drawn(indexed_chart, panels, INDEX, LOOK, 20)
    above, below = figure.axes
    assert (above.get_xlim(), above.get_ylim()) == (below.get_xlim(), below.get_ylim())
    assert above.get_ylim()[0] < 20  # the level at which the lines begin
    assert label_texts(above) == ["IWM\n151.0", "SPY\n180.0"]
    assert label_texts(below) == ["IWM\n186.0", "SPY\n194.0"]
    assert [label.get_color() for label in end_labels(above)] == list(LIGHT.lines[:2])
    assert {"Earnings", "Book"} <= words(figure)
