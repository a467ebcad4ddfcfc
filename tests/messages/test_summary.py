import datetime as dt

import pandas as pd
import pytest

from bot.analytics.sessions import Sessions
from bot.messages.pages.summary import next_session_line, summary_answer
from tests.messages.pages import LONG, XNYS, alert_view, context, day, market, page, shown
from tests.sample_market import sample_market

SAMPLE_PAGE = """\
Daily summary · close of Fri 11 Dec 2020
Sample data: simulated between published points, not the market.
IWM led the day by 1.27pp.
Price return
         IWM      SPY      gap
1d    +2.11%   +0.83%  +1.27pp
1w    +1.12%   −0.96%  +2.08pp
mtd   +5.13%   +1.17%  +3.96pp
ytd  +14.87%  +13.81%  +1.06pp
Ratio IWM/SPY 0.5195, 13.10% above its 200-day average (above it since 6 Oct 2020).
Trend line from 4 Jan 2010: −1.73% a year; the ratio is +0.08 sigma from it (near the line, no break).
Flows 20d: IWM +$2.48bn (+5.19% of assets); SPY −$5.35bn (−1.72% of assets).
P/E (losses included, forward): IWM 75.0x, SPY 27.8x, close of Fri 11 Dec 2020.
Alerts
#1 ratio > sma 200: 0.5195, 13.10% above sma 200 (0.4593); waits to re-arm.
#2 flow iwm 5d > $1bn: +$0.96bn, $41.6m below $1bn.

Next session: Mon 14 Dec 2020.
Source: sample data."""


def test_the_whole_page() -> None:
    of = context(sample_market())
    standings = [alert_view("ratio > sma 200", of, number=1), alert_view("flow iwm 5d > $1bn", of, number=2)]
    assert page(summary_answer(of, standings, XNYS)) == SAMPLE_PAGE


def summary(*levels: float) -> list[str]:
    return shown(summary_answer(context(market(levels)), [], XNYS))


@pytest.mark.parametrize(
    ("levels", "news"),
    [
        ([50.0], []),
        ([50.0, 50.0], ["Both funds moved alike."]),
        ([50.0, 51.0], ["IWM led the day by 2.00pp."]),
        ([50.0, 49.0], ["SPY led the day by 2.00pp."]),
        (
            [50.0 - number / 100 for number in range(299)] + [49.0],
            ["IWM led the day by 4.21pp.", "The ratio crossed above its 200-day average."],
        ),
        (
            [50.0 + number / 100 for number in range(299)] + [51.0],
            ["SPY led the day by 3.74pp.", "The ratio crossed below its 200-day average."],
        ),
        ([*LONG, 70.0], ["IWM led the day by 38.61pp.", "The ratio made a new 252-session high."]),
        (LONG[:294], ["IWM led the day by 0.20pp."]),  # as high as the highest is no new high
        (
            [*LONG, 49.9],
            [
                "SPY led the day by 1.19pp.",
                "The ratio crossed below its 200-day average.",
                "The ratio made a new 252-session low.",
            ],
        ),
    ],
)
def test_what_changed_comes_first(levels: list[float], news: list[str]) -> None:
    lines = summary(*levels)
    assert lines[1 : lines.index("Price return")] == news


def test_an_alert_that_fired_at_the_last_close_is_news() -> None:
    of = context(market([*LONG, 50.0, 70.0, 70.0]))
    alerts = [
        alert_view("ratio > 0.6 confirm 2", of, number=1, until=2),
        alert_view("ratio < 0.4", of, number=2),
        alert_view("ratio > 0.6", of, number=3, until=2),  # fired a session earlier
    ]
    assert alerts[2].state.sides[0].since == dt.date(2021, 3, 15)
    lines = shown(summary_answer(of, alerts, XNYS))
    assert [line for line in lines if line.endswith(" fired.")] == ["Alert #1 fired."]
    assert lines.index("Alert #1 fired.") < lines.index("Price return")


def test_an_alert_on_flows_is_news_a_session_later() -> None:
    of = context(market([50.0] * 31, units={"IWM": [*(250.0 + n / 10 for n in range(29)), 270.0]}))
    alert = alert_view("flow iwm 1d > $1bn", of, until=1)
    assert "Alert #3 fired." in shown(summary_answer(of, [alert], XNYS))


@pytest.mark.parametrize(
    ("last", "line"),
    [
        ("2020-12-10", "Next session: Fri 11 Dec 2020."),
        ("2020-12-11", "Next session: Mon 14 Dec 2020."),
        ("2020-01-17", "Next session: Tue 21 Jan 2020. No session on Mon 20 Jan 2020."),
        (
            "2020-11-25",
            "Next session: Fri 27 Nov 2020, early close at 13:00 New York. No session on Thu 26 Nov 2020.",
        ),
        ("2020-12-23", "Next session: Thu 24 Dec 2020, early close at 13:00 New York."),
        ("2020-12-24", "Next session: Mon 28 Dec 2020. No session on Fri 25 Dec 2020."),
        ("2012-10-26", "Next session: Wed 31 Oct 2012. No session on Mon 29 Oct 2012, Tue 30 Oct 2012."),
    ],
)
def test_the_next_session_names_holidays_and_half_days(last: str, line: str) -> None:
    assert next_session_line(pd.Timestamp(last), XNYS) == line


def test_a_closure_from_the_config_is_a_holiday_too() -> None:
    line = next_session_line(pd.Timestamp("2020-12-11"), Sessions([day("2020-12-14")]))
    assert line == "Next session: Tue 15 Dec 2020. No session on Mon 14 Dec 2020."
