from __future__ import annotations

import calendar
import datetime as dt
from bisect import bisect_right

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.analytics.windows import MTD, YTD, Window, named_dates, parse_date, parse_window
from bot.errors import BadInput

DAYS = st.dates(dt.date(1995, 1, 1), dt.date(2030, 12, 31))
COUNTED = st.one_of(
    st.builds(Window, st.just("d"), st.integers(1, 20_000)),
    st.builds(Window, st.just("w"), st.integers(1, 5_000)),
    st.builds(Window, st.just("m"), st.integers(1, 1_200)),
    st.builds(Window, st.just("y"), st.integers(1, 100)),
)
SINCE = st.builds(Window, st.just("since"), since=DAYS)
WINDOWS = st.one_of(COUNTED, SINCE, st.sampled_from([YTD, Window("qtd"), MTD, Window("max")]))
# As people ask: spans that have a base in a few decades.
USUAL = st.one_of(
    st.builds(Window, st.just("d"), st.integers(1, 60)),
    st.builds(Window, st.just("w"), st.integers(1, 60)),
    st.builds(Window, st.just("m"), st.integers(1, 30)),
    st.builds(Window, st.just("y"), st.integers(1, 4)),
    st.builds(Window, st.just("since"), since=st.dates(dt.date(2003, 6, 1), dt.date(2008, 6, 1))),
    st.sampled_from([YTD, MTD]),
)
# Sessions with holes: any days of four years.
SESSIONS = st.sets(st.dates(dt.date(2004, 1, 1), dt.date(2007, 12, 31)), min_size=1, max_size=80).map(sorted)


def months_before(day: dt.date, months: int) -> dt.date:
    """The same day of an earlier month, or that month's last."""
    year, month = divmod(day.year * 12 + day.month - 1 - months, 12)
    return dt.date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))


def target(window: Window, anchor: dt.date) -> dt.date:
    match window.kind:
        case "w":
            return anchor - dt.timedelta(weeks=window.count)
        case "m":
            return months_before(anchor, window.count)
        case "y":
            return months_before(anchor, 12 * window.count)
        case "ytd":
            return dt.date(anchor.year - 1, 12, 31)
        case "mtd":
            return anchor.replace(day=1) - dt.timedelta(days=1)
    assert window.since is not None
    return window.since


def base(window: Window, sessions: list[dt.date], anchor: dt.date) -> int:
    """Position of one anchor's base, worked out by itself."""
    end = bisect_right(sessions, anchor) - 1
    if window.kind == "d":
        return max(end - window.count, -1)
    if window.since is not None and window.since > anchor:
        return -1
    return bisect_right(sessions, target(window, anchor)) - 1


def index(days: list[dt.date]) -> pd.DatetimeIndex:
    return pd.DatetimeIndex([pd.Timestamp(day) for day in days]).as_unit("ns")


@given(WINDOWS)
def test_a_window_reads_back_from_its_text(window: Window) -> None:
    assert parse_window(str(window)) == window


@pytest.mark.parametrize(
    ("text", "window"),
    [
        ("5d", Window("d", 5)),
        ("20 days", Window("d", 20)),
        ("1 WEEK", Window("w", 1)),
        (" 3m ", Window("m", 3)),
        ("6 months", Window("m", 6)),
        ("1y", Window("y", 1)),
        ("10 years", Window("y", 10)),
        ("YTD", YTD),
        ("mtd", MTD),
        ("since 2020-09-30", Window("since", since=dt.date(2020, 9, 30))),
        ("Since  2020-02-29", Window("since", since=dt.date(2020, 2, 29))),
        ("since 3.9.2020", Window("since", since=dt.date(2020, 9, 3))),
        ("012m", Window("m", 12)),
    ],
)
def test_spellings(text: str, window: Window) -> None:
    assert parse_window(text) == window


@pytest.mark.parametrize(
    ("kind", "day", "base"),
    [
        ("qtd", "2020-03-31", "2019-12-31"),
        ("qtd", "2020-04-01", "2020-03-31"),
        ("qtd", "2020-12-11", "2020-09-30"),
        ("max", "2020-12-11", "2019-01-02"),
        ("max", "2019-01-02", None),
    ],
)
def test_bases_of_the_quarter_and_of_all_history(kind: str, day: str, base: str | None) -> None:
    sessions = pd.bdate_range("2019-01-02", "2020-12-31")
    (position,) = Window(kind).bases(sessions, pd.DatetimeIndex([pd.Timestamp(day)]))
    assert (sessions[position] if position >= 0 else None) == (pd.Timestamp(base) if base else None)


@pytest.mark.parametrize("text", ["soon", "", "-3m", "1.5y", "sincerely"])
def test_what_is_not_a_window_is_named_with_what_works(text: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse_window(text)
    works = "5d, 1w, 3m, 1y, ytd, mtd, max, since 2020-09-30"
    assert str(caught.value) == f"“{text}” is not a window; one of these works: {works}."


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0d", "“0d” is out of range (1d to 20000d). Example: 1d"),
        ("5001w", "“5001w” is out of range (1w to 5000w). Example: 1w"),
        ("1201 months", "“1201 months” is out of range (1m to 1200m). Example: 1m"),
        ("101y", "“101y” is out of range (1y to 100y). Example: 1y"),
        ("since", "“since” needs a date written YYYY-MM-DD. Example: since 2020-09-30"),
        ("since May", "“May” is not a date written YYYY-MM-DD. Example: 2020-12-11"),
        ("since 2021-02-29", "“2021-02-29” is not a date: there is no 29 Feb 2021. Example: 2020-12-11"),
        ("since 1899-12-31", "“1899-12-31” is not within 1900 to 2199. Example: 2020-12-11"),
        ("since 2200-01-01", "“2200-01-01” is not within 1900 to 2199. Example: 2020-12-11"),
    ],
)
def test_a_window_that_cannot_be_is_named_with_one_that_works(text: str, message: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse_window(text)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("2020-13-01", "month 13"),
        ("2020-00-10", "month 0"),
        ("2020-02-30", "30 Feb 2020"),
        ("31.9.2020", "31 Sep 2020"),
    ],
)
def test_a_date_that_does_not_exist_is_named_as_such(text: str, missing: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse_date(text, "/trend asof 2020-12-11")
    assert caught.value.sentence == f"“{text}” is not a date: there is no {missing}."
    assert caught.value.example == "/trend asof 2020-12-11"


@pytest.mark.parametrize(
    ("typed", "day", "begin"),
    [
        ("2020-12-11", "2020-12-11", "2020-12-11"),
        ("11.12.2020", "2020-12-11", "2020-12-11"),
        ("12/13/2020", "2020-12-13", "2020-12-13"),
        ("13/12/2020", "2020-12-13", "2020-12-13"),
        ("5/5/2020", "2020-05-05", "2020-05-05"),
        ("2020-02", "2020-02-29", "2020-01-31"),
        ("2020-12", "2020-12-31", "2020-11-30"),
        ("2020", "2020-12-31", "2019-12-31"),
        ("Sep 30 2020", "2020-09-30", "2020-09-30"),
        ("September 30th, 2020", "2020-09-30", "2020-09-30"),
        ("30 sept. 2020", "2020-09-30", "2020-09-30"),
        ("1st May 2020", "2020-05-01", "2020-05-01"),
        ("30-Sep-2020", "2020-09-30", "2020-09-30"),
        ("March 2021", "2021-03-31", "2021-02-28"),
    ],
)
def test_a_date_is_read_as_people_write_it(typed: str, day: str, begin: str) -> None:
    assert str(parse_date(named_dates(typed))) == day
    assert str(parse_date(named_dates(typed), begins=True)) == begin


def test_a_date_that_can_be_two_is_refused_with_both() -> None:
    with pytest.raises(BadInput) as caught:
        parse_date("09/10/2020")
    assert caught.value.sentence == "“09/10/2020” can be two dates; type 2020-10-09 or 2020-09-10."


@given(st.dates(dt.date(1900, 1, 1), dt.date(2199, 12, 31)))
def test_every_date_in_words_is_that_date(day: dt.date) -> None:
    for form in ("%d %B %Y", "%b %d, %Y", "%B %d %Y", "%d-%b-%Y", "%d.%m.%Y", "%Y-%m-%d"):
        assert parse_date(named_dates(day.strftime(form))) == day


@pytest.mark.parametrize("text", ["2020-9-30", "20200930", "2020-W40-3", "30.09.20", "30/09.2020", "2020-09-", ""])
def test_other_dates_are_refused(text: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse_date(text)
    assert str(caught.value) == f"“{text}” is not a date written YYYY-MM-DD. Example: 2020-12-11"


@given(DAYS)
def test_a_date_reads_back(day: dt.date) -> None:
    assert parse_date(day.isoformat()) == day


@pytest.mark.parametrize(
    ("window", "anchor", "expected"),
    [
        ("1w", "2020-12-11", "2020-12-04"),
        ("6m", "2020-12-13", "2020-06-13"),
        ("1m", "2020-03-31", "2020-02-29"),  # clipped to the month's end
        ("1m", "2021-03-31", "2021-02-28"),
        ("3m", "2020-05-31", "2020-02-29"),
        ("1m", "2020-04-30", "2020-03-30"),  # ... and not moved to it
        ("1y", "2020-02-29", "2019-02-28"),
        ("4y", "2020-02-29", "2016-02-29"),
        ("13m", "2020-01-15", "2018-12-15"),
        ("ytd", "2020-12-11", "2019-12-31"),
        ("ytd", "2020-01-01", "2019-12-31"),
        ("ytd", "2020-12-31", "2019-12-31"),
        ("mtd", "2020-12-01", "2020-11-30"),
        ("mtd", "2020-03-31", "2020-02-29"),
        ("since 2009-12-31", "2020-12-11", "2009-12-31"),
    ],
)
def test_targets_are_calendar_arithmetic(window: str, anchor: str, expected: str) -> None:
    found = parse_window(window).targets(pd.DatetimeIndex([anchor]))
    assert list(found) == [pd.Timestamp(expected)]


def test_days_are_sessions_and_have_no_target_date() -> None:
    with pytest.raises(ValueError, match=r"^a window of kind d has no target date$"):
        Window("d", 5).targets(pd.DatetimeIndex(["2020-12-11"]))


@given(USUAL, SESSIONS)
def test_bases_of_a_history_are_those_of_each_session(window: Window, sessions: list[dt.date]) -> None:
    found = window.bases(index(sessions))
    assert found.tolist() == [base(window, sessions, session) for session in sessions]


@given(USUAL, SESSIONS, st.lists(st.dates(dt.date(2003, 1, 1), dt.date(2009, 1, 1)), min_size=1, max_size=9))
def test_bases_are_of_each_anchor(window: Window, sessions: list[dt.date], anchors: list[dt.date]) -> None:
    found = window.bases(index(sessions), index(anchors))
    assert found.tolist() == [base(window, sessions, anchor) for anchor in anchors]


@given(COUNTED, SESSIONS)
def test_a_base_lies_before_its_end(window: Window, sessions: list[dt.date]) -> None:
    found = window.bases(index(sessions))
    assert (found < np.arange(len(sessions))).all()


@given(USUAL, SESSIONS, st.integers(1, 80))
def test_sessions_to_come_move_no_base(window: Window, sessions: list[dt.date], cut: int) -> None:
    known = sessions[:cut]
    assert window.bases(index(known)).tolist() == window.bases(index(sessions)).tolist()[: len(known)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("since 2020-12-14", [-1] * 5),  # a date to come
        ("since 2020-12-10", [-1, -1, -1, 3, 3]),
        ("since 2199-12-31", [-1] * 5),
        ("since 2020-12-06", [-1] * 5),  # before history
        ("since 1900-01-01", [-1] * 5),
        ("since 2020-12-07", [0] * 5),
        ("2d", [-1, -1, 0, 1, 2]),  # too little history, and never a shorter window
        ("1w", [-1] * 5),
        ("100y", [-1] * 5),
        ("5000w", [-1] * 5),
        ("mtd", [-1] * 5),
    ],
)
def test_bases_in_a_week(text: str, expected: list[int]) -> None:
    sessions = pd.bdate_range("2020-12-07", "2020-12-11")
    assert parse_window(text).bases(sessions).tolist() == expected


def test_an_anchor_between_sessions_ends_on_the_last_one_before_it() -> None:
    sessions = pd.bdate_range("2020-12-07", "2020-12-11")
    sunday = pd.DatetimeIndex(["2020-12-13"])
    assert Window("d", 1).bases(sessions, sunday).tolist() == [3]
    assert Window("w", 1).bases(sessions, sunday).tolist() == [-1]
    assert parse_window("since 2020-12-12").bases(sessions, sunday).tolist() == [4]


def test_without_sessions_there_is_no_base() -> None:
    nothing = pd.DatetimeIndex([])
    anchor = pd.DatetimeIndex(["2020-12-11"])
    for text in ("5d", "1w", "1m", "1y", "ytd", "mtd", "since 2020-09-30"):
        assert parse_window(text).bases(nothing).tolist() == []
        assert parse_window(text).bases(nothing, anchor).tolist() == [-1]
