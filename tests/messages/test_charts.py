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
from matplotlib.text import Annotation, Text

from bot.analytics.units import INDEX, LEVEL, PERCENT, USD, Unit
from bot.errors import NoData
from bot.messages import canvas, charts
from bot.messages.canvas import DARK, END_LABEL, LIGHT, TEXT_SIZE, ChartStyle, Theme
from bot.messages.charts import (
    FIXED,
    ConditionPanel,
    compare_chart,
    flows_chart,
    indexed_chart,
    rule_chart,
)
from tests.messages.pages import days

FOOTER = "Source: Yahoo · close of Fri 11 Dec 2020"
LOOK = ChartStyle("IWM and SPY, total return since 31 Dec 2019", FOOTER)
END = "2020-12-11"
NAN = float("nan")


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


def metric_panel(
    series: pd.Series, unit: Unit, level: float | None = None, name: str = FIXED
) -> ConditionPanel:
    return ConditionPanel("", series, unit, None if level is None else series * 0 + level, name)


def drawn(chart: Callable[..., charts.Drawing], *args: object, **named: object) -> tuple[Figure, str]:
    """The figure that a function draws, and its caption."""
    with patch.object(canvas, "png", return_value=b"") as png:
        caption = chart(*args, **named)().caption
    return png.call_args.args[0], caption


def metric_figure(series: pd.Series, unit: Unit, style: ChartStyle = LOOK) -> tuple[Figure, str]:
    return drawn(rule_chart, [metric_panel(series, unit)], style)


def end_labels(axes: Axes) -> list[Annotation]:
    return [cast(Annotation, text) for text in axes.texts if text.get_gid() == END_LABEL]


def label_texts(axes: Axes) -> list[str]:
    return [label.get_text() for label in end_labels(axes)]


def texts(figure: Figure) -> list[Text]:
    return [
        text
        for text in figure.findobj(Text)
        if isinstance(text, Text) and text.get_text() and text.get_visible()
    ]


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
    png = compare_chart(pair(240, 16.14, 15.48), ChartStyle("Title", FOOTER, DARK), *ratio_panel(240))().png
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", png[16:24]) == (1200, 940)
    assert len(png) < 500_000
    assert b"tEXt" not in png
    assert b"tIME" not in png


def test_equal_input_gives_equal_bytes_also_from_several_threads() -> None:
    def draw(_: int) -> bytes:
        return rule_chart([metric_panel(walk(60, 5), PERCENT)], LOOK)().png

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
    figure, _ = drawn(compare_chart, pair(sessions, small, large), look, *ratio_panel(sessions))
    assert_legible(figure)


@pytest.mark.parametrize("title", ["Title " * 30, "W" * 120, "$1bn and $2bn", "x_1 ^2 $\\frac$", ""])
def test_long_or_odd_words_stay_inside_and_dollars_are_no_formula(title: str) -> None:
    look = ChartStyle(title, f"{title} {FOOTER}", sample=True)
    series = walk(50, 1) * 1e9
    figure, _ = drawn(rule_chart, [metric_panel(series, USD, 2e9, title[:60])], look, [pd.Timestamp(END)])
    assert_legible(figure)
    assert not any(text.get_parse_math() for text in texts(figure))


@pytest.mark.parametrize(
    ("sessions", "unit"), [(1, USD), (1, PERCENT), (20, USD), (250, PERCENT), (2700, USD)]
)
def test_a_metric_is_legible(sessions: int, unit: Unit) -> None:
    series = walk(sessions, 3) * (1e8 if unit is USD else 1)
    panel = metric_panel(series, unit, float(series.iloc[-1]), "alert")
    assert_legible(drawn(rule_chart, [panel], LOOK, [series.index[0], series.index[-1]])[0])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nothing_to_draw_is_said_in_one_sentence(value: float) -> None:
    look = ChartStyle("Title", FOOTER)
    missing = walk(5, 1) * 0 + value
    funds = pd.DataFrame({"IWM": missing, "SPY": missing})
    draws: tuple[Callable[[], object], ...] = (
        lambda: metric_figure(missing, PERCENT, look),
        lambda: metric_figure(missing.iloc[:0], PERCENT, look),
        lambda: compare_chart(funds, look, *ratio_panel(5)),
        lambda: compare_chart(funds.iloc[:0], look, *ratio_panel(5)),
        lambda: flows_chart(funds, look),
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
    figure, caption = drawn(compare_chart, returns, LOOK, *ratio_panel(240))
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
    assert caption.split("\n")[0] == LOOK.title
    assert "IWM +16.14%, SPY \u221215.48%, gap +31.62pp, 13 Jan 2020 to 11 Dec 2020." in caption
    assert "Ratio 0.5195, " in caption
    assert caption.endswith(f"\n{FOOTER}")
    assert len(caption) <= 1024


def test_sample_data_is_stamped_and_named() -> None:
    figure, caption = drawn(
        compare_chart, pair(20, 1, 2), ChartStyle("Title", FOOTER, sample=True), *ratio_panel(20)
    )
    assert caption.endswith(f"\nSample data · {FOOTER}")
    assert {"sample data", f"Sample data · {FOOTER}"} <= words(figure)
    assert "sample data" not in words(drawn(compare_chart, pair(20, 1, 2), LOOK, *ratio_panel(20))[0])


def test_the_panel_shows_the_window_of_the_comparison_only() -> None:
    above, below = drawn(compare_chart, pair(20, 1, 2), LOOK, *ratio_panel(300))[0].axes
    assert above.get_xlim() == below.get_xlim()
    assert len(np.asarray(below.lines[0].get_xdata())) == 20


def test_a_panel_without_values_is_left_out() -> None:
    nothing = walk(20, 1) * np.nan
    figure, caption = drawn(compare_chart, pair(20, 1, 2), LOOK, nothing, nothing, "ratio")
    assert len(figure.axes) == 1
    assert "Ratio" not in caption
    figure, _ = drawn(compare_chart, pair(20, 1, 2), LOOK, walk(20, 0.5), nothing, "ratio")
    assert label_texts(figure.axes[1]) == ["ratio\n0.5000"]


def test_the_other_fund_keeps_its_colour_when_the_first_has_no_data() -> None:
    figure, _ = drawn(compare_chart, pair(20, 1, 2).assign(IWM=np.nan), LOOK, *ratio_panel(20))
    assert end_labels(figure.axes[0])[0].get_color() == LIGHT.lines[1]


# Flows


def test_flows_are_added_up_to_the_text_and_drawn_against_zero() -> None:
    index = pd.bdate_range(end=END, periods=4)
    flows = pd.DataFrame({"IWM": [1e9, -3e8, 2e8, -8e7], "SPY": [0.0, -2e9, 1e8, 1e8]}, index)
    figure, caption = drawn(flows_chart, flows, LOOK)
    assert label_texts(figure.axes[0]) == ["IWM\n+$0.82bn", "SPY\n\u2212$1.80bn"]
    assert "IWM +$0.82bn, SPY \u2212$1.80bn, 8 Dec 2020 to 11 Dec 2020." in caption
    assert_legible(figure)
    above = drawn(flows_chart, flows.abs() + 1e9, LOOK)[0]
    assert above.axes[0].get_ylim()[0] < 0


def test_a_fund_without_data_is_left_out_of_the_picture_and_named_in_the_caption() -> None:
    figure, caption = drawn(flows_chart, pair(60, 1e9, 2e9).diff().assign(SPY=np.nan), LOOK)
    (label,) = label_texts(figure.axes[0])
    assert label.startswith("IWM\n")
    assert ", SPY n/a, " in caption


# Metrics and rules


def test_a_threshold_that_moves_is_drawn_and_told_over_the_window_only() -> None:
    later = pd.concat([walk(300, 0.4594), pd.Series([9.0], pd.DatetimeIndex(["2020-12-14"]))])
    panel = ConditionPanel("", walk(50, 0.5195), LEVEL, later, "average")
    figure, caption = drawn(rule_chart, [panel], LOOK)
    assert label_texts(figure.axes[0]) == ["0.5195", "average\n0.4594"]
    assert "\naverage: 0.4594.\n" in caption


def test_marks_stand_on_the_line_and_off_it_are_ignored() -> None:
    series = walk(50, 1)
    fires = [series.index[10], series.index[20], pd.Timestamp("2001-01-01")]
    figure, caption = drawn(rule_chart, [metric_panel(series, PERCENT)], LOOK, fires)
    circles = [
        line for line in figure.axes[0].lines if line.get_markersize() == 6 and line.get_marker() == "o"
    ]
    assert np.asarray(circles[-1].get_ydata()).tolist() == series.iloc[[10, 20]].tolist()
    assert f"{FOOTER}\n○ fired" in words(figure)
    assert "Fired: 19 Oct 2020, 2 Nov 2020.\n" in caption


def test_gaps_are_not_bridged_and_a_lone_value_is_a_dot() -> None:
    series = walk(9, 1)
    series.iloc[[2, 3, 5]] = [np.nan, np.inf, np.nan]
    axes = metric_figure(series, PERCENT)[0].axes[0]
    gaps = np.isnan(np.asarray(axes.lines[0].get_ydata(), dtype=float))
    assert np.flatnonzero(gaps).tolist() == [2, 3, 5]
    assert np.asarray(axes.lines[1].get_xdata()).tolist() == [18603.0]


def test_a_value_missing_at_the_end_is_labelled_at_the_last_one_known() -> None:
    series = walk(9, 1)
    series.iloc[-2:] = np.nan
    figure, caption = metric_figure(series, PERCENT)
    assert end_labels(figure.axes[0])[0].xy == (18605.0, series.iloc[-3])
    assert " on 9 Dec 2020." in caption


@pytest.mark.parametrize("count", [1, 3])
def test_each_condition_has_a_panel(count: int) -> None:
    series = walk(60, 0.5)
    panels = [ConditionPanel(f"{number}", series, LEVEL, series * 0 + 0.5) for number in range(count)]
    figure, _ = drawn(rule_chart, panels, LOOK, [series.index[-5]])
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ([""] if count == 1 else [panel.name for panel in panels])
    assert all(len(axes.lines) >= 3 for axes in figure.axes)  # series, threshold, marks


@pytest.mark.parametrize(
    ("level", "name", "words", "scale"),
    [
        (100e6, FIXED, "flow: +$1,200.0m on 8 Jan 2020. Threshold: +$100.0m.", "m"),
        (2e9, FIXED, "flow: +$1.20bn on 8 Jan 2020. Threshold: +$2.00bn.", "bn"),
        (5e6, "sma 200", "2020. sma 200: +$0.01bn.", "bn"),
    ],
)
def test_a_picture_of_money_has_one_scale(level: float, name: str, words: str, scale: str) -> None:
    flow = pd.Series([-50e6, 40e6, 210e6, 2.1e9, 1.2e9], days(5))
    figure, caption = drawn(rule_chart, [ConditionPanel("flow", flow, USD, flow * 0 + level, name)], LOOK)
    assert words in caption
    shown = [text.get_text() for text in (*figure.axes[0].get_yticklabels(), *figure.axes[0].texts)]
    assert {suffix for text in shown for suffix in re.findall(r"[+−]\$[\d.,]+([a-z]*)", text)} == {scale}


# Indexed panels


def indexed(sessions: int, *ends: float) -> dict[str, pd.Series]:
    """Lines from 100 to their ends."""
    lines = {}
    for seed, (name, end) in enumerate(zip(("Earnings", "Cash flow", "Book", "Sales"), ends, strict=False)):
        path = walk(sessions, end, seed)
        lines[name] = path - np.linspace(float(path.iloc[0]) - 100, 0, sessions)
    return lines


@pytest.mark.parametrize(
    ("theme", "sessions", "ends"),
    [
        (LIGHT, 252, (51.0, 80.0, 95.0, 92.0)),
        (DARK, 2700, (100.0, 100.0, 100.1, 100.0)),
        (LIGHT, 2, (900.0, 9.0, 90.0, 0.1)),
    ],
)
def test_two_panels_of_four_lines_are_legible(theme: Theme, sessions: int, ends: tuple[float, ...]) -> None:
    panels = {
        "IWM, 31 Dec 2019 = 100": indexed(sessions, *ends),
        "SPY": indexed(sessions, *reversed(ends)),
    }
    look = ChartStyle(LOOK.title, FOOTER, theme, sample=True)
    assert_legible(drawn(indexed_chart, panels, INDEX, look, 100)[0])


def test_panels_share_both_scales_and_every_line_is_labelled_at_its_end() -> None:
    panels = {"IWM": indexed(250, 151, 180, 195, 192), "SPY": indexed(250, 186, 194)}
    figure, _ = drawn(indexed_chart, panels, INDEX, LOOK, 20)
    above, below = figure.axes
    assert (above.get_xlim(), above.get_ylim()) == (below.get_xlim(), below.get_ylim())
    assert above.get_ylim()[0] < 20  # the level at which the lines begin
    assert label_texts(above) == ["Earnings\n151.0", "Cash flow\n180.0", "Book\n195.0", "Sales\n192.0"]
    assert label_texts(below) == ["Earnings\n186.0", "Cash flow\n194.0"]
    assert [label.get_color() for label in end_labels(above)] == list(LIGHT.lines)
    patterns = [line.get_linestyle() for line in above.lines if len(np.asarray(line.get_xdata())) == 250]
    assert patterns == ["-", "--", "-.", ":"]
    assert {"IWM", "SPY"} <= words(figure)


def test_panels_say_their_ends_in_words_and_date_what_ended_earlier() -> None:
    early = indexed(20, 51, 80)
    early["Cash flow"].iloc[-2:] = np.nan
    panels = {"IWM": early, "SPY": {"Earnings": walk(20, 1) * np.nan}}
    figure, caption = drawn(indexed_chart, panels, INDEX, LOOK, 100)
    cash = early["Cash flow"].iloc[-3]
    assert caption.splitlines()[1:3] == [
        f"IWM: Earnings 51.0, Cash flow {cash:.1f} (9 Dec 2020), 11 Dec 2020.",
        "SPY: Earnings n/a.",
    ]
    assert len(figure.axes) == 1


# Captions

SESSIONS = pd.DatetimeIndex(["2020-12-08", "2020-12-09", "2020-12-10", "2020-12-11"])


def series(*values: float) -> pd.Series:
    return pd.Series(values, SESSIONS[: len(values)], dtype="float64")


def test_a_caption_has_title_and_source_and_no_empty_line() -> None:
    look = ChartStyle("A title", "Source: Yahoo", sample=True)
    assert charts.caption(look, ["One.", "", "Two."]) == "A title\nOne.\nTwo.\nSample data · Source: Yahoo"


@pytest.mark.parametrize(
    ("small", "large", "sentences"),
    [
        (
            (0, -2.5, 4, 3.25),
            (0, 1, 0.5, 4),
            [
                "IWM +3.25%, SPY +4.00%, gap \u22120.75pp, 8 Dec 2020 to 11 Dec 2020.",
                "IWM between \u22122.50% (9 Dec 2020) and +4.00% (10 Dec 2020).",
                "SPY between 0.00% (8 Dec 2020) and +4.00% (11 Dec 2020).",
            ],
        ),
        ((0, 1), (NAN, NAN), ["IWM +1.00%, SPY n/a, 8 Dec 2020 to 9 Dec 2020.", "", ""]),
        ((0,), (0,), ["IWM 0.00%, SPY 0.00%, gap 0.00pp, on 8 Dec 2020.", "", ""]),
    ],
)
def test_a_comparison_in_words(
    small: tuple[float, ...], large: tuple[float, ...], sentences: list[str]
) -> None:
    returns = pd.DataFrame({"IWM": series(*small), "SPY": series(*large)})
    assert charts.describe_comparison(returns) == sentences


def test_the_ratio_against_its_average() -> None:
    for ratio, average, sentence in (
        ((0.5, 0.52), (0.4, 0.5), "Ratio 0.5200, +4.00% against its average 0.5000."),
        ((0.52,), (NAN,), "Ratio 0.5200, average n/a."),
        ((NAN,), (0.5,), ""),
    ):
        assert charts.describe_average(series(*ratio), series(*average)) == sentence


def test_a_metric_tells_its_last_value_with_its_session_and_its_finite_range() -> None:
    assert charts.describe_metric(series(1, 3, -2, NAN), PERCENT) == [
        "\u22122.00% on 10 Dec 2020.",
        "Between \u22122.00% (10 Dec 2020) and +3.00% (9 Dec 2020).",
    ]
    assert charts.describe_metric(series(1, np.inf, 2, 3), PERCENT)[1] == (
        "Between +1.00% (8 Dec 2020) and +3.00% (11 Dec 2020)."
    )


def test_threshold_and_fires() -> None:
    average = "200-day average"
    assert charts.describe_threshold(average, series(0.5, 0.4594), LEVEL) == "200-day average: 0.4594."
    assert charts.describe_threshold("alert", series(NAN), LEVEL) == "alert: n/a."
    assert charts.describe_fires([]) == "Fired: never in this window."
    assert charts.describe_fires(list(SESSIONS[:2])) == "Fired: 8 Dec 2020, 9 Dec 2020."
    assert charts.describe_fires([*SESSIONS, *SESSIONS]).endswith(" 11 Dec 2020 and 3 before.")
