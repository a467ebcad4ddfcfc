import datetime as dt
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bot.analytics.units import LEVEL, MULTIPLE, PERCENT, USD, Unit
from bot.messages.canvas import THEMES, ChartStyle, Theme, date_ticks, limits, spread, value_ticks
from bot.messages.charts import days


@pytest.mark.parametrize(
    ("low", "high", "unit", "labels"),
    [
        (-42.0, 19.0, PERCENT, ["\u221240%", "\u221220%", "0%"]),
        (-1.1, 1.7, PERCENT, ["\u22121%", "0%", "+1%"]),
        (0.44, 0.53, LEVEL, ["0.44", "0.46", "0.48", "0.50", "0.52"]),
        (0.41, 0.53, LEVEL, ["0.425", "0.450", "0.475", "0.500", "0.525"]),
        (-6.9e9, 1.2e9, USD, ["\u2212$6bn", "\u2212$4bn", "\u2212$2bn", "$0"]),
        (-2e8, 9e8, USD, ["$0", "+$250m", "+$500m", "+$750m"]),
        (0.0, 2.4e9, USD, ["$0", "+$0.5bn", "+$1.0bn", "+$1.5bn", "+$2.0bn"]),
        (18.0, 26.0, MULTIPLE, ["18x", "20x", "22x", "24x", "26x"]),
    ],
)
def test_value_ticks_are_round_and_say_no_more_than_their_step(
    low: float, high: float, unit: Unit, labels: list[str]
) -> None:
    assert value_ticks(low, high, unit)[1] == labels


@given(st.floats(-1e12, 1e12), st.floats(1e-3, 1e12), st.sampled_from([PERCENT, USD, LEVEL]), st.integers(3, 8))
def test_value_ticks_lie_inside_and_are_few_and_distinct(low: float, span: float, unit: Unit, most: int) -> None:
    assume(span > 1e-6 * abs(low))
    values, labels = value_ticks(low, low + span, unit, most)
    assert 2 <= len(values) <= most + 1
    assert all(low - 1e-6 * span <= value <= low + span * (1 + 1e-6) for value in values)
    assert len(set(labels)) == len(labels) == len(values)


@pytest.mark.parametrize(
    ("first", "last", "labels"),
    [
        ("2020-12-11", "2020-12-11", ["11 Dec"]),
        ("2020-12-04", "2020-12-11", ["5 Dec", "7 Dec", "9 Dec", "11 Dec"]),
        ("2020-11-11", "2020-12-11", ["15 Nov", "22 Nov", "1 Dec", "8 Dec"]),
        ("2020-12-20", "2021-01-10", ["21 Dec", "25 Dec", "29 Dec", "1 Jan", "5 Jan"]),
        ("2020-09-11", "2020-12-11", ["Oct 2020", "Nov", "Dec"]),
        ("2020-06-12", "2020-12-11", ["Jul 2020", "Aug", "Sep", "Oct", "Nov", "Dec"]),
        ("2019-12-11", "2020-12-11", ["2020", "Apr", "Jul", "Oct"]),
        ("2019-12-31", "2020-12-11", ["2020", "Apr", "Jul", "Oct"]),
        ("2018-02-11", "2020-12-11", ["2019", "2020"]),
        ("2015-12-11", "2020-12-11", ["2016", "2017", "2018", "2019", "2020"]),
        ("2000-05-26", "2020-12-11", ["2004", "2008", "2012", "2016", "2020"]),
    ],
)
def test_date_ticks(first: str, last: str, labels: list[str]) -> None:
    sessions = days(pd.bdate_range(first, last))
    assert date_ticks(sessions[0], sessions[-1])[1] == labels


@given(st.dates(dt.date(1993, 1, 29), dt.date(2100, 1, 1)), st.integers(0, 9_000))
def test_date_ticks_lie_inside_apart_and_name_a_year_in_long_spans(first: dt.date, span: int) -> None:
    start = days(pd.DatetimeIndex([first]))[0]
    places, labels = date_ticks(start, start + span)
    assert 1 <= len(places) == len(labels) <= 7
    assert start <= min(places) <= max(places) <= start + span
    assert all(gap >= span / 12 - 3 for gap in np.diff(places))
    assert span <= 93 or any(label[-4:].isdigit() for label in labels)


@pytest.mark.parametrize(
    ("values", "expected"),
    [([0.0, 100.0], (-6.0, 106.0)), ([5.0, 5.0], (4.75, 5.25)), ([-4.0], (-4.2, -3.8)), ([0.0], (-1.0, 1.0))],
)
def test_limits_leave_air_and_are_never_equal(values: list[float], expected: tuple[float, float]) -> None:
    assert limits(np.array(values)) == pytest.approx(expected)


@given(st.lists(st.floats(-50, 150), min_size=1, max_size=5))
def test_labels_are_kept_apart_inside_and_in_order(wanted: list[float]) -> None:
    places = spread(wanted, 20, 0, 100)
    assert all(10 - 1e-9 <= place <= 90 + 1e-9 for place in places)
    assert all(gap >= 20 - 1e-9 for gap in np.diff(sorted(places)))
    ordered = [place for _, place in sorted(zip(wanted, places, strict=True))]
    assert len(set(wanted)) < len(wanted) or ordered == sorted(places)


@pytest.mark.parametrize(
    ("wanted", "places"),
    [
        ([30.0, 70.0], [30.0, 70.0]),
        ([70.0, 30.0], [70.0, 30.0]),
        ([50.0, 50.0], [40.0, 60.0]),
        ([52.0, 48.0], [60.0, 40.0]),
        ([98.0, 99.0], [70.0, 90.0]),
        ([-5.0, 1.0], [10.0, 30.0]),
    ],
)
def test_labels_stand_at_their_ends_or_share_the_difference(wanted: list[float], places: list[float]) -> None:
    assert spread(wanted, 20, 0, 100) == pytest.approx(places)


def linear(colour: str) -> np.ndarray:
    """Linear RGB, each from 0 to 1."""
    channels = np.array([int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)])
    return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)


@pytest.mark.parametrize("theme", THEMES.values(), ids=THEMES)
def test_text_and_lines_can_be_read_on_the_ground(theme: Theme) -> None:
    """Each colour has a contrast of 4.5 or more, as WCAG 2 defines it."""
    weights = np.array([0.2126, 0.7152, 0.0722])  # of relative luminance
    for colour in (theme.ink, theme.muted, *theme.lines):
        darker, lighter = sorted(float(weights @ linear(shade)) for shade in (colour, theme.ground))
        assert (lighter + 0.05) / (darker + 0.05) >= 4.5


# Linear RGB as the eye without one kind of cone sees it (Machado, Oliveira and Fernandes 2009, severity 1).
BLINDNESS = {
    "protan": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deutan": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "tritan": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
    "none": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
}
TO_XYZ = ((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505))


def seen(colour: str, blindness: str) -> np.ndarray:
    """CIE Lab of a colour as it is seen: equal distances look about equally different."""
    xyz = np.array(TO_XYZ) @ np.clip(np.array(BLINDNESS[blindness]) @ linear(colour), 0, 1)
    x, y, z = np.cbrt(xyz / (0.9505, 1.0, 1.089))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("blindness", BLINDNESS)
@pytest.mark.parametrize("theme", THEMES.values(), ids=THEMES)
def test_no_two_lines_look_alike_whatever_the_eye_lacks(theme: Theme, blindness: str) -> None:
    """Over 30: two just distinguishable colours are about 2 apart, and green and red under 10 for many."""
    lines = [seen(colour, blindness) for colour in theme.lines]
    assert len(lines) == 4
    assert all(float(np.linalg.norm(line - other)) > 30 for line, other in combinations(lines, 2))


@pytest.mark.parametrize(
    ("footer", "sample", "source"),
    [
        ("Source: Yahoo", False, "Source: Yahoo"),
        ("Source: Yahoo", True, "Sample data · Source: Yahoo"),
        ("Source: sample data", True, "Source: sample data"),
    ],
)
def test_sample_data_is_always_named_once(footer: str, sample: bool, source: str) -> None:
    assert ChartStyle("title", footer, sample=sample).source == source
