from __future__ import annotations

import datetime as dt
from functools import partial
from typing import TYPE_CHECKING

import pytest

from bot.alerts.grammar import parse_rule
from bot.analytics.registry import METRICS
from bot.services.alerts import Unreadable, mirrored, view_alert
from bot.services.base import context_of
from storage import alerts as stored
from tests.jobs.desk import Desk, sessions

if TYPE_CHECKING:
    import sqlite_utils


async def test_who_asks_about_one_market_shares_its_histories(desk: Desk) -> None:
    await desk.closes([0.5] * 10)
    market = await desk.services.markets.current()
    context = context_of(market, desk.services.markets)
    assert context_of(market, desk.services.markets) is context
    await desk.closes([0.6], sessions("2020-01-16", 1)[0])
    newer = await desk.services.markets.current()
    assert context_of(newer, desk.services.markets) is not context


async def test_the_next_check_is_after_the_next_close(desk: Desk) -> None:
    await desk.closes([0.5] * 11)  # up to Thu 16 Jan 2020
    desk.now = dt.datetime(2020, 1, 18, 12, tzinfo=dt.UTC)  # Monday is a holiday
    market = await desk.services.markets.current()
    check = context_of(market, desk.services.markets).next_check
    assert check == dt.datetime(2020, 1, 21, 21, tzinfo=dt.UTC)


async def test_an_alert_without_a_state_is_named(desk: Desk) -> None:
    await desk.closes([0.5] * 10)
    alert = await desk.alert("ratio > 0.6")
    await desk.change("DELETE FROM alert_states")
    with pytest.raises(Unreadable, match=r"^Alert #1 cannot be read \(what is stored of it is damaged\);"):
        await desk.database.run(lambda db: view_alert(db, stored.alerts_of(db, alert)[0], desk.now))


async def test_a_snooze_counts_until_it_is_over(desk: Desk) -> None:
    await desk.closes([0.5] * 10)
    alert = await desk.alert("ratio > 0.6")
    end = desk.now + dt.timedelta(hours=2)
    await desk.database.run(lambda db: stored.set_snooze(db, alert, end))

    def until(db: sqlite_utils.Database, now: dt.datetime) -> dt.datetime | None:
        return view_alert(db, stored.alerts_of(db, 1)[0], now).snoozed_until

    just_before = end - dt.timedelta(seconds=1)
    assert await desk.database.run(partial(until, now=just_before)) == end
    assert await desk.database.run(partial(until, now=end)) is None


@pytest.mark.parametrize(
    ("rule", "mirrors"),
    [
        ("ratio > sma 200 confirm 2", ["ratio < sma 200 confirm 2"]),
        ("excess 3m >= 5pp rearm 3pp once silent", ["excess 3m <= 5pp once silent"]),
        ("excess 3m < -2pp cooldown 5", ["excess 3m > -2pp cooldown 5"]),
        ("flow iwm 5d <= $0 urgent", ["flow iwm 5d >= $0 urgent"]),
        ("flow_gap 20d crosses 0", []),
        ("ratio > 0.5 and excess 3m < 1pp", ["ratio < 0.5", "excess 3m > 1pp"]),
        ("ratio > 0.5 and flow_gap 20d crosses 0", ["ratio < 0.5"]),
    ],
)
def test_the_mirror_turns_the_comparison_and_keeps_the_target(rule: str, mirrors: list[str]) -> None:
    assert [str(made) for made in mirrored(parse_rule(rule, METRICS))] == mirrors
    for made in mirrors:
        assert str(parse_rule(made, METRICS)) == made
