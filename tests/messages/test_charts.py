from __future__ import annotations

import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, cast
from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Annotation, Text

from bot.analytics.units import INDEX, LEVEL, MULTIPLE, PERCENT, USD
from bot.errors import NoData
from bot.messages import canvas, charts
from bot.messages.canvas import DARK, END_LABEL, LIGHT, TEXT_SIZE, ChartStyle, Theme
from bot.messages.charts import (
    ConditionPanel,
    IndexPanel,
    Marks,
    RatioPanel,
    Threshold,
    compare_chart,
    flows_chart,
    indexed_chart,
    metric_chart,
    rule_chart,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bot.analytics.units import Unit


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


def panel(sessions: int) -> RatioPanel:
    ratio = 0.5 + walk(sessions, 0.0195 * 100) / 100
    return RatioPanel(ratio, ratio.rolling(min(200, sessions)).mean(), "IWM ÷ SPY with its 200-day average")


def figure_of(chart: Callable[..., charts.Chart], *args: object) -> Figure:
    """The figure that a function draws."""
    with patch.object(canvas, "png", return_value=b"") as png:
        chart(*args)
    figure: Figure = png.call_args.args[0]
    return figure


def metric_figure(
    series: pd.Series,
    unit: Unit,
    style: ChartStyle,
    *,
    threshold: Threshold | None = None,
    marks: Marks | None = None,
) -> Figure:
    return figure_of(rule_chart, [ConditionPanel("", series, unit, threshold)], style, marks)


def end_labels(axes: Axes) -> list[Annotation]:
    return [cast(Annotation, text) for text in axes.texts if text.get_gid() == END_LABEL]


def texts(figure: Figure) -> list[Text]:
    return [
        text
        for text in figure.findobj(Text)
        if isinstance(text, Text) and text.get_text() and text.get_visible()
    ]


def said(figure: Figure) -> list[str]:
    return [text.get_text() for text in texts(figure)]


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
        ticks = [
            [tick for tick in row if tick.get_text()]
            for row in (axes.get_xticklabels(), axes.get_yticklabels())
        ]
        for row in ticks:
            assert_apart(row)
    loose = [text for text in texts(figure) if text.get_text() != "sample data" and text in figure.texts]
    labels = [label for axes in figure.axes for label in end_labels(axes)]
    titles = [axes._left_title for axes in figure.axes]  # type: ignore[attr-defined]
    assert_apart([*loose, *labels, *titles])


def assert_apart(group: Sequence[Text]) -> None:
    boxes = [Text.get_window_extent(text) for text in group]
    for number, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:number]), [text.get_text() for text in group]


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_comparison_is_a_sharp_png(theme: Theme) -> None:
    png = compare_chart(pair(240, 16.14, 15.48), ChartStyle("Title", FOOTER, theme), panel(240)).png

    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", png[16:24]) == (1200, 940)
    assert len(png) < 500_000


def test_equal_input_gives_equal_bytes_also_from_several_threads() -> None:
    def draw(_: int) -> bytes:
        return metric_chart(walk(60, 5), PERCENT, LOOK).png

    with ThreadPoolExecutor(4) as pool:
        assert len({draw(0), *pool.map(draw, range(8))}) == 1


def test_picture_names_no_software_and_no_time() -> None:
    png = metric_chart(walk(20, 5), PERCENT, LOOK).png

    assert b"tEXt" not in png
    assert b"tIME" not in png


def test_ends_are_labelled_with_ticker_and_value() -> None:
    figure = figure_of(compare_chart, pair(240, 16.14, -15.48), LOOK, panel(240))

    assert [label.get_text() for label in end_labels(figure.axes[0])] == ["IWM\n+16.14%", "SPY\n\u221215.48%"]
    assert [text.split("\n")[0] for text in map(Text.get_text, end_labels(figure.axes[1]))] == [
        "ratio",
        "average",
    ]
    assert end_labels(figure.axes[1])[0].get_text() == "ratio\n0.5195"
    assert LOOK.title in said(figure)
    assert FOOTER in said(figure)
    assert "IWM ÷ SPY with its 200-day average" in said(figure)


def test_lines_carry_the_data_and_end_where_their_labels_point() -> None:
    returns = pair(240, 16.14, 15.48)
    axes = figure_of(compare_chart, returns, LOOK).axes[0]

    for name, line, label in zip(("IWM", "SPY"), axes.lines[::2], end_labels(axes), strict=False):
        assert np.asarray(line.get_ydata()).tolist() == returns[name].tolist()
        assert label.xy == (18607.0, returns[name].iloc[-1])
        assert line.get_color() == label.get_color()
    assert [line.get_color() for line in axes.lines[:4:2]] == list(LIGHT.lines[:2])


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("sessions", [1, 2, 6, 22, 63, 126, 252, 2700])
@pytest.mark.parametrize(("small", "large"), [(16.14, 15.48), (5.0, 5.0), (255.34, -97.44)])
def test_comparison_is_legible(theme: Theme, sessions: int, small: float, large: float) -> None:
    look = ChartStyle(LOOK.title, FOOTER, theme, sample=True)

    assert_legible(figure_of(compare_chart, pair(sessions, small, large), look, panel(sessions)))


@pytest.mark.parametrize("height", [0.0, 60.0, -60.0])
def test_labels_of_neighbouring_ends_are_apart_at_any_height(height: float) -> None:
    frame = pair(100, height, height + 0.01)

    assert_legible(figure_of(compare_chart, frame, LOOK))
    assert_legible(figure_of(compare_chart, frame, LOOK, panel(100)))


@pytest.mark.parametrize("words", ["Title " * 30, "W" * 120, "$1bn and $2bn", "x_1 ^2 $\\frac$", ""])
def test_long_or_odd_words_stay_inside(words: str) -> None:
    look = ChartStyle(words, f"{words} {FOOTER}", sample=True)
    marks = Marks([pd.Timestamp(END)], words[:60])

    assert_legible(
        metric_figure(walk(50, 1), PERCENT, look, threshold=Threshold(2.0, words[:60]), marks=marks)
    )


def test_dollars_are_not_taken_for_a_formula() -> None:
    look = ChartStyle("From $1bn to $2bn", FOOTER)
    figure = metric_figure(walk(50, 1) * 1e9, USD, look, threshold=Threshold(2e9, "$1bn to $2bn"))

    assert not any(text.get_parse_math() for text in texts(figure))
    assert "From $1bn to $2bn" in said(figure)


def test_sample_data_is_stamped_and_named() -> None:
    chart = compare_chart(pair(20, 1, 2), ChartStyle("Title", FOOTER, sample=True))
    figure = figure_of(compare_chart, pair(20, 1, 2), ChartStyle("Title", FOOTER, sample=True))

    assert chart.caption.endswith(f"\nSample data · {FOOTER}")
    assert {"sample data", f"Sample data · {FOOTER}"} <= set(said(figure))
    assert "sample data" not in said(figure_of(compare_chart, pair(20, 1, 2), LOOK))


def test_caption_says_what_the_labels_say() -> None:
    caption = compare_chart(pair(240, 16.14, 15.48), LOOK, panel(240)).caption

    assert caption.split("\n")[0] == LOOK.title
    assert "IWM +16.14%, SPY +15.48%, gap +0.66pp, 13 Jan 2020 to 11 Dec 2020." in caption
    assert "Ratio 0.5195, " in caption
    assert caption.endswith(f"\n{FOOTER}")
    assert len(caption) <= 1024


def test_panel_shows_the_window_of_the_comparison_only() -> None:
    figure = figure_of(compare_chart, pair(20, 1, 2), LOOK, panel(300))
    above, below = figure.axes

    assert above.get_xlim() == below.get_xlim()
    assert len(np.asarray(below.lines[0].get_xdata())) == 20


def test_panel_without_values_is_left_out() -> None:
    nothing = walk(20, 1) * np.nan

    assert (
        len(figure_of(compare_chart, pair(20, 1, 2), LOOK, RatioPanel(nothing, nothing, "ratio")).axes) == 1
    )
    chart = compare_chart(pair(20, 1, 2), LOOK, RatioPanel(nothing, nothing, "ratio"))
    assert "Ratio" not in chart.caption


def test_average_too_short_for_a_value_leaves_the_ratio() -> None:
    figure = figure_of(
        compare_chart, pair(20, 1, 2), LOOK, RatioPanel(walk(20, 0.5), walk(20, 1) * np.nan, "ratio")
    )

    assert [label.get_text() for label in end_labels(figure.axes[1])] == ["ratio\n0.5000"]


def test_leg_without_data_is_left_out_of_the_picture_and_named_in_the_caption() -> None:
    frame = pair(60, 1e9, 2e9)
    flows = frame.diff().assign(SPY=np.nan)

    labels = [label.get_text() for label in end_labels(figure_of(flows_chart, flows, LOOK).axes[0])]
    assert len(labels) == 1
    assert labels[0].startswith("IWM\n")
    assert ", SPY n/a, " in flows_chart(flows, LOOK).caption


def test_other_leg_keeps_its_colour_when_the_first_has_no_data() -> None:
    figure = figure_of(compare_chart, pair(20, 1, 2).assign(IWM=np.nan), LOOK)

    assert end_labels(figure.axes[0])[0].get_color() == LIGHT.lines[1]


def test_flows_are_added_up_to_the_text() -> None:
    index = pd.bdate_range(end=END, periods=4)
    flows = pd.DataFrame({"IWM": [1e9, -3e8, 2e8, -8e7], "SPY": [0.0, -2e9, 1e8, 1e8]}, index)

    figure = figure_of(flows_chart, flows, LOOK)
    assert [label.get_text() for label in end_labels(figure.axes[0])] == [
        "IWM\n+$0.82bn",
        "SPY\n\u2212$1.80bn",
    ]
    assert "IWM +$0.82bn, SPY \u2212$1.80bn, 8 Dec 2020 to 11 Dec 2020." in flows_chart(flows, LOOK).caption
    assert_legible(figure)


@pytest.mark.parametrize("sessions", [1, 20, 250, 2700])
def test_metric_is_legible(sessions: int) -> None:
    series = walk(sessions, 3) * 1e8
    marks = Marks([series.index[0], series.index[-1]], "alert fired")

    for unit in (USD, PERCENT):
        scaled = series if unit is USD else series / 1e8
        level = Threshold(float(scaled.iloc[-1]), "alert")
        assert_legible(metric_figure(scaled, unit, LOOK, threshold=level, marks=marks))


def test_flows_are_drawn_against_zero() -> None:
    index = pd.bdate_range(end=END, periods=3)
    flows = pd.DataFrame({"IWM": [5e9, 1e9, 2e9], "SPY": [6e9, 1e9, 1e9]}, index)

    assert figure_of(flows_chart, flows, LOOK).axes[0].get_ylim()[0] < 0


def test_threshold_that_moves_is_drawn_and_told_over_the_window_only() -> None:
    series = walk(50, 0.5195)
    average = walk(300, 0.4594)
    later = pd.concat([average, pd.Series([9.0], pd.DatetimeIndex(["2020-12-14"]))])
    figure = metric_figure(series, LEVEL, LOOK, threshold=Threshold(later, "average"))

    assert [label.get_text() for label in end_labels(figure.axes[0])] == ["0.5195", "average\n0.4594"]
    chart = metric_chart(series, LEVEL, LOOK, threshold=Threshold(later, "200-day average"))
    assert "\n200-day average: 0.4594.\n" in chart.caption


def test_marks_stand_on_the_line_and_off_it_are_ignored() -> None:
    series = walk(50, 1)
    marks = Marks([series.index[10], pd.Timestamp("2001-01-01")], "alert fired")
    figure = metric_figure(series, PERCENT, LOOK, marks=marks)

    circles = [
        line for line in figure.axes[0].lines if line.get_markersize() == 6 and line.get_marker() == "o"
    ]
    assert np.asarray(circles[-1].get_ydata()).tolist() == [series.iloc[10]]
    assert f"{FOOTER}\n○ alert fired" in said(figure)
    assert (
        "Alert fired: 19 Oct 2020.\n"
        in rule_chart([ConditionPanel("", series, PERCENT)], LOOK, marks).caption
    )


def test_gaps_are_not_bridged_and_a_lone_value_is_a_dot() -> None:
    series = walk(9, 1)
    series.iloc[[2, 3, 5]] = [np.nan, np.inf, np.nan]
    axes = metric_figure(series, PERCENT, LOOK).axes[0]

    assert np.isnan(np.asarray(axes.lines[0].get_ydata(), dtype=float)).tolist() == [
        position in {2, 3, 5} for position in range(9)
    ]
    assert np.asarray(axes.lines[1].get_xdata()).tolist() == [18603.0]


def test_value_missing_at_the_end_is_labelled_at_the_last_one_known() -> None:
    series = walk(9, 1)
    series.iloc[-2:] = np.nan
    figure = metric_figure(series, PERCENT, LOOK)

    assert end_labels(figure.axes[0])[0].xy == (18605.0, series.iloc[-3])
    assert " on 9 Dec 2020." in metric_chart(series, PERCENT, LOOK).caption


def test_flat_series_is_drawn() -> None:
    figure = metric_figure(walk(60, 5) * 0 + 25, MULTIPLE, LOOK)

    assert end_labels(figure.axes[0])[0].get_text() == "25.0x"
    assert_legible(figure)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nothing_to_draw_is_said_in_one_sentence(value: float) -> None:
    sentence = "There is nothing to draw for “Title”: no figure is stored for this window."
    look = ChartStyle("Title", FOOTER)
    missing = walk(5, 1) * 0 + value

    draws: tuple[Callable[[], object], ...] = (
        lambda: metric_chart(missing, PERCENT, look),
        lambda: metric_chart(missing.iloc[:0], PERCENT, look),
        lambda: compare_chart(pd.DataFrame({"IWM": missing, "SPY": missing}), look),
        lambda: compare_chart(pd.DataFrame({"IWM": missing, "SPY": missing}).iloc[:0], look),
        lambda: flows_chart(pd.DataFrame({"IWM": missing, "SPY": missing}), look),
        lambda: indexed_chart([IndexPanel("IWM", {"Book": missing})], INDEX, look, 100),
    )
    for draw in draws:
        with pytest.raises(NoData) as caught:
            draw()
        assert str(caught.value) == sentence


NAMES = ("Earnings", "Cash flow", "Book", "Sales")


def sheet(title: str, sessions: int, *ends: float) -> IndexPanel:
    """Lines from 100 to their ends."""
    lines = {}
    for seed, (name, end) in enumerate(zip(NAMES, ends, strict=False)):
        path = walk(sessions, end, seed)
        lines[name] = path - np.linspace(float(path.iloc[0]) - 100, 0, sessions)
    return IndexPanel(title, lines)


@pytest.mark.parametrize(
    ("theme", "sessions", "ends"),
    [
        (LIGHT, 252, (51.0, 80.0, 95.0, 92.0)),
        (DARK, 2700, (100.0, 100.0, 100.1, 100.0)),
        (LIGHT, 2, (900.0, 9.0, 90.0, 0.1)),
    ],
)
def test_two_panels_of_four_lines_are_legible(
    theme: Theme, sessions: int, ends: tuple[float, float, float, float]
) -> None:
    sheets = [sheet("IWM, 31 Dec 2019 = 100", sessions, *ends), sheet("SPY", sessions, *reversed(ends))]

    assert_legible(
        figure_of(indexed_chart, sheets, INDEX, ChartStyle(LOOK.title, FOOTER, theme, sample=True), 100)
    )


def test_panels_share_both_scales_and_every_line_is_labelled_at_its_end() -> None:
    figure = figure_of(
        indexed_chart, [sheet("IWM", 250, 51, 80, 95, 92), sheet("SPY", 250, 86, 94)], INDEX, LOOK, 100
    )
    above, below = figure.axes

    assert (above.get_xlim(), above.get_ylim()) == (below.get_xlim(), below.get_ylim())
    assert [label.get_text() for label in end_labels(above)] == [
        "Earnings\n51.0",
        "Cash flow\n80.0",
        "Book\n95.0",
        "Sales\n92.0",
    ]
    assert [label.get_text() for label in end_labels(below)] == ["Earnings\n86.0", "Cash flow\n94.0"]
    assert [label.get_color() for label in end_labels(above)] == list(LIGHT.lines)
    patterns = [line.get_linestyle() for line in above.lines if len(np.asarray(line.get_xdata())) == 250]
    assert patterns == ["-", "--", "-.", ":"]
    assert {"IWM", "SPY"} <= set(said(figure))


def test_panels_say_their_ends_in_words_and_date_what_ended_earlier() -> None:
    early = sheet("IWM", 20, 51, 80)
    early.series["Cash flow"].iloc[-2:] = np.nan
    nothing = IndexPanel("SPY", {"Earnings": walk(20, 1) * np.nan})

    caption = indexed_chart([early, nothing], INDEX, LOOK, 100).caption
    cash = early.series["Cash flow"].iloc[-3]
    assert caption.splitlines()[1:3] == [
        f"IWM: Earnings 51.0, Cash flow {cash:.1f} (9 Dec 2020), 11 Dec 2020.",
        "SPY: Earnings n/a.",
    ]
    assert len(figure_of(indexed_chart, [early, nothing], INDEX, LOOK, 100).axes) == 1


def test_level_from_which_all_lines_began_is_on_the_scale() -> None:
    shown = IndexPanel("IWM", {"Earnings": walk(20, 300)})
    low, high = figure_of(indexed_chart, [shown], INDEX, LOOK, 100).axes[0].get_ylim()

    assert low < 100 < high


def test_matplotlib_is_loaded_only_when_a_chart_is_drawn() -> None:
    script = "import sys, bot.messages.charts; print('matplotlib' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)  # noqa: S603
    assert done.stdout == "False\n"
