import datetime as dt
from collections.abc import Callable
from functools import partial
from typing import TypeVar
from zoneinfo import ZoneInfo

import pytest
import sqlite_utils

from bot.alerts.grammar import parse_rule
from bot.alerts.view import Life
from bot.analytics.metrics import METRICS
from bot.errors import BadInput
from bot.services import Caller, CallerChat, Transaction, alert_views, alerts, context_of
from bot.services.alert_views import Unreadable, view_alert
from storage import alert_store
from storage.records import Split
from tests.funds import SMALL
from tests.jobs.desk import Desk, after_close, sessions

T = TypeVar("T")


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
    with pytest.raises(Unreadable, match=r"^Alert #1 cannot be read \(its stored data is damaged\);"):
        await desk.database.run(lambda db: view_alert(db, alert_store.alerts_of(db, alert)[0], desk.now))


async def test_a_snooze_counts_until_it_is_over(desk: Desk) -> None:
    await desk.closes([0.5] * 10)
    alert = await desk.alert("ratio > 0.6")
    end = desk.now + dt.timedelta(hours=2)
    await desk.database.run(lambda db: alert_store.update_alert(db, alert, snoozed_until=end))

    def until(db: sqlite_utils.Database, now: dt.datetime) -> dt.datetime | None:
        return view_alert(db, alert_store.alerts_of(db, 1)[0], now).snoozed_until

    just_before = end - dt.timedelta(seconds=1)
    assert await desk.database.run(partial(until, now=just_before)) == end
    assert await desk.database.run(partial(until, now=end)) is None


# Changes, each one transaction


def caller(desk: Desk, chat_id: int = 1, change: Transaction | None = None) -> Caller:
    chat = CallerChat(chat_id, "private", "Me", ZoneInfo("America/New_York"))
    return Caller(desk.services, chat, user_id=5, now=desk.now, change=change or desk.database.run)


@pytest.fixture
async def level(desk: Desk) -> Desk:
    """Ten sessions, up to 15 January 2020, with a ratio of 0.5."""
    await desk.closes([0.5] * 10)
    return desk


async def stored_alert(desk: Desk, number: int = 1) -> alert_store.StoredAlert:
    alert = await desk.database.run(lambda db: alert_store.get_alert(db, 1, number))
    assert alert is not None
    return alert


async def test_a_created_alert_starts_at_the_last_close_and_lasts_a_year(level: Desk) -> None:
    started = await alerts.create(caller(level), "ratio > 0.6 confirm 2")
    assert str(started.alert.rule) == "ratio > 0.6 confirm 2"
    assert started.alert.life is Life.ACTIVE
    assert started.alert.expires_on == dt.date(2021, 1, 15)
    assert started.past.dates == ()
    alert = await stored_alert(level)
    assert (alert.owner_id, alert.created_session) == (5, dt.date(2020, 1, 15))
    assert await level.evaluated_up_to(alert.alert_id) == "2020-01-15"


async def test_an_edit_gives_way_to_whoever_ended_the_alert_meanwhile(level: Desk) -> None:
    await alerts.create(caller(level), "ratio > 0.6")

    async def late(write: Callable[[sqlite_utils.Database], T]) -> T:
        await alerts.switch_off(caller(level), 1)
        return await level.database.run(write)

    with pytest.raises(BadInput, match=r"^Alert #1 has ended \(switched off\)\."):
        await alerts.edit(caller(level, change=late), 1, lambda *_: parse_rule("ratio > 0.7", METRICS))
    assert (await stored_alert(level)).rule == "ratio > 0.6"


# Reading


async def test_fires_are_read_with_their_sessions(level: Desk) -> None:
    await alerts.create(caller(level), "ratio > 0.6")
    _, fire = await alert_views.show_with(caller(level), 1, alert_views.last_fire)
    assert fire == (None, False)
    await level.closes([0.65], "2020-01-16")
    await level.evaluate()
    _, fires = await alert_views.show_with(caller(level), 1, alert_views.fire_sessions)
    assert fires == [dt.date(2020, 1, 16)]


async def test_what_was_still_true_after_a_cooldown_is_explained_as_a_fire_is(level: Desk) -> None:
    await alerts.create(caller(level), "ratio > 0.6 rearm 0.55 cooldown 3")
    await level.closes([0.65, 0.5, 0.65, 0.66, 0.66], "2020-01-16")
    await level.evaluate()
    _, (fire, _) = await alert_views.show_with(caller(level), 1, alert_views.last_fire)
    assert fire is not None
    assert (fire.event.kind, fire.event.session) == ("still", dt.date(2020, 1, 23))


@pytest.mark.parametrize(
    ("day", "later"), [("2020-12-11", "2021-12-11"), ("2024-02-29", "2025-02-28"), ("2023-02-28", "2024-02-28")]
)
def test_a_year_after_a_leap_day_is_the_day_before(day: str, later: str) -> None:
    assert alerts.a_year_after(dt.date.fromisoformat(day)) == dt.date.fromisoformat(later)


async def test_after_a_split_an_edited_alert_is_paused_and_a_renewed_one_can_be_rescaled(level: Desk) -> None:
    for rule in ("ratio > 0.6", "ratio > 0.7 until 2020-12-31"):
        await alerts.create(caller(level), rule)
    (day,) = sessions("2020-01-16", 1)
    level.now = after_close(day)
    await level.store("splits", [Split(SMALL, day, 2.0)])
    await level.evaluate()
    edited = await alerts.edit(caller(level), 1, lambda _, metrics: parse_rule("ratio > 0.31", metrics))
    assert (edited.alert.life, edited.alert.is_paused_by_split) == (Life.PAUSED, False)
    assert (await stored_alert(level)).reason == ""
    renewed = await alerts.renew(caller(level), 2)
    assert renewed.alert.is_paused_by_split
    assert str((await alerts.rescale(caller(level), 2)).alert.rule) == "ratio > 0.35"
