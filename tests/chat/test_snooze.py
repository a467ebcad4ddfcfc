from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import pytest

from bot.chat.snooze import snooze_end
from bot.errors import BadInput

NOW = dt.datetime(2020, 12, 13, 18, tzinfo=dt.UTC)
NEW_YORK = ZoneInfo("America/New_York")


@pytest.mark.parametrize(
    ("typed", "hours"),
    [
        ("1d", 24), ("2h", 2), ("1w", 168), ("1m", 720), ("for 3 days", 72), (" 12 Hours ", 12),
        ("2 weeks", 336),
    ],
)  # fmt: skip
def test_a_span_counts_from_now(typed: str, hours: int) -> None:
    assert snooze_end(typed, NOW, NEW_YORK, "x") == NOW + dt.timedelta(hours=hours)


@pytest.mark.parametrize(
    ("zone", "hour"), [("America/New_York", 5), ("Europe/Berlin", -1), ("Asia/Tokyo", -9)]
)
def test_a_date_is_its_midnight_where_the_chat_lives(zone: str, hour: int) -> None:
    midnight = dt.datetime(2020, 12, 24, tzinfo=dt.UTC)
    end = snooze_end("until 2020-12-24", NOW, ZoneInfo(zone), "x")
    assert end == midnight + dt.timedelta(hours=hour)


@pytest.mark.parametrize("typed", ["off", "OFF", "end", "stop", "no"])
def test_off_is_now(typed: str) -> None:
    assert snooze_end(typed, NOW, NEW_YORK, "x") is None


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("5", "“5” is no time to snooze; use 2h, 1d, 1w, until DATE or off."),
        ("0d", "“0d” is over already."),
        ("until 2020-12-13", "“until 2020-12-13” is over already."),
        ("until Christmas", "“Christmas” is not a date written YYYY-MM-DD."),
        ("9999d", "“9999d” is longer than a year."),
        ("until 2022-01-01", "“until 2022-01-01” is longer than a year."),
    ],
)
def test_what_is_no_time_is_said(typed: str, said: str) -> None:
    with pytest.raises(BadInput) as refused:
        snooze_end(typed, NOW, NEW_YORK, "/alert 1 snooze")
    assert refused.value.sentence == said
