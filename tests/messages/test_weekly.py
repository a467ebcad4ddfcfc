import datetime as dt

import pytest

from bot.analytics.agenda import agenda
from bot.messages.pages.weekly import weekly_answer
from tests import shared_data
from tests.messages.pages import LONG, XNYS, alert_view, context, market, page, shown
from tests.sample_market import sample_market
from tests.shared_data import shared

WEEK = """\
IWM led the week by 2.08pp · Fri 11 Dec 2020
Sample data, not the market.
         IWM      SPY  gap pp
1w    +1.12%   −0.96%   +2.08
mtd   +5.13%   +1.17%   +3.96
ytd  +14.87%  +13.81%   +1.06
IWM led for the 2nd week in a row.
Trend: 13.1% over its 200-day average since 6 Oct.
Flow IWM: +$0.96bn (+1.78%), the 10th week in a row.
Flow SPY: −$1.75bn (−0.55%).
Fired: #7 flow iwm 5d > $1bn (Mon), Trend breaks (Tue, Thu).
#2 IWM/SPY below 0.4 ░░░░░░░░ 23.01% to go
Next week: Fri 18 S&P 500 rebalanced after the close; Fri 18 SPY expected to go ex-dividend."""


def test_the_week_is_one_message() -> None:
    of = context(sample_market())
    alerts = [alert_view("ratio > sma 200", of, number=1), alert_view("ratio < 0.4", of, number=2)]
    days = [dt.date(2020, 12, day) for day in (7, 8, 10)]
    fires = ((7, "flow iwm 5d > $1bn", days[0]), (1, "r", days[1]), (1, "r", days[2]))
    text = page(weekly_answer(of, alerts, fires, XNYS).text)
    assert text.partition("\nWeekly summary · ")[0] == WEEK


def test_the_largest_lead_in_half_a_year_and_its_absence_are_said() -> None:
    levels = [*LONG[:298], 55.0]  # to Wed 10 March 2021
    assert shown(weekly_answer(context(market(levels)), [], (), XNYS))[0] == (
        "IWM's largest lead over SPY in a week on record: +9.78pp · Wed 10 Mar 2021"
    )
    assert shown(weekly_answer(context(market([50.0] * 9)), [], (), XNYS))[0].startswith("Both funds moved alike")


@shared
@pytest.mark.parametrize(
    ("first", "last", "entries"),
    [
        ("2020-11-23", "2020-11-27", ["26 closed", "27 early close at 13:00 New York"]),
        ("2020-12-14", "2020-12-18", ["18 S&P 500 rebalanced after the close", "18 SPY expected to go ex-dividend"]),
        ("2021-06-21", "2021-06-25", ["25 Russell 2000 reconstituted after the close"]),
        ("2025-11-10", "2025-11-14", []),
        ("2026-11-09", "2026-11-13", ["13 Russell 2000 reconstituted after the close"]),
        ("2020-12-28", "2021-01-01", ["1 closed"]),
    ],
)
def test_what_is_ahead(first: str, last: str, entries: list[str]) -> None:
    ahead = agenda(shared_data.market(), XNYS, *map(dt.date.fromisoformat, (first, last)))
    assert [f"{entry.day.day} {entry.words}" for entry in ahead] == entries
