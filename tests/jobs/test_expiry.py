"""Alerts end on their last day, in their chat's own date, announced a week before."""

import datetime as dt
from functools import partial

import pytest
import sqlite_utils

from bot.jobs.notices import announce_ends
from storage import alert_store, chat_store
from tests.jobs.desk import Desk

RULE = "ratio > 0.6"
ON = "2021-01-15"


pytestmark = pytest.mark.usefixtures("quiet")


async def expiring(desk: Desk, rule: str = RULE, on: str | None = ON, chat_id: int = 1) -> int:
    alert = await desk.alert(rule, chat_id)
    await desk.database.run(partial(alert_store.update_alert, alert_id=alert, expires_on=on))
    return alert


async def at(desk: Desk, local: str) -> list[str]:
    """What is new after a tick at a local time of New York, by its first line."""
    before = len(await desk.messages())
    desk.now = dt.datetime.fromisoformat(f"{local}-05:00").astimezone(dt.UTC)
    for _ in range(2):
        await announce_ends(desk.services)
    return [text.splitlines()[0] for text in (await desk.messages())[before:]]


async def test_an_end_is_announced_a_week_before_and_comes_after_the_last_day(desk: Desk) -> None:
    alert = await expiring(desk)
    assert await at(desk, "2021-01-07T23:59") == []
    assert await at(desk, "2021-01-08T00:00") == ["Alert #1 ends soon."]
    assert await at(desk, "2021-01-15T23:59") == []
    assert await desk.life(alert) == "active"
    assert await at(desk, "2021-01-16T00:00") == ["Alert #1 has ended."]
    assert await desk.life(alert) == "expired: its last day has passed"
    assert await at(desk, "2021-01-17T00:00") == []
    buttons = [payload["buttons"] for payload in await desk.payloads()]
    assert buttons == [
        [[["Renew #1", "r/alert 1 renew"]], [["Alerts", "r/alerts"]]],
        [[["Renew #1", "r/alert 1 renew"]], [["Alerts", "r/alerts"]]],
    ]


async def test_the_date_is_that_of_the_chat(desk: Desk) -> None:
    await expiring(desk)
    await desk.change("UPDATE chats SET timezone = 'Pacific/Auckland'")
    assert await at(desk, "2021-01-07T05:59") == []  # 23:59 there
    assert await at(desk, "2021-01-07T06:00") == ["Alert #1 ends soon."]
    assert await at(desk, "2021-01-15T06:00") == ["Alert #1 has ended."]


async def test_an_alert_that_was_renewed_goes_on_and_is_announced_again(desk: Desk) -> None:
    alert = await expiring(desk)
    await at(desk, "2021-01-10T12:00")
    await desk.database.run(partial(alert_store.update_alert, alert_id=alert, expires_on="2022-01-10"))
    assert await at(desk, "2021-06-01T12:00") == []
    assert await at(desk, "2022-01-04T12:00") == ["Alert #1 ends soon."]


async def test_an_alert_never_ends_unannounced(desk: Desk) -> None:
    alert = await expiring(desk)
    assert await at(desk, "2021-02-01T12:00") == ["Alert #1 ends soon."]
    assert await desk.life(alert) == "active"
    assert await at(desk, "2021-02-09T12:00") == ["Alert #1 has ended."]


async def test_an_end_is_announced_on_the_last_day_too(desk: Desk) -> None:
    await expiring(desk)
    assert await at(desk, "2021-01-15T12:00") == ["Alert #1 ends soon."]
    assert await at(desk, "2021-01-16T12:00") == ["Alert #1 has ended."]


async def test_an_alert_without_an_end_stays(desk: Desk) -> None:
    await expiring(desk, on=None)
    assert await at(desk, "2030-01-01T12:00") == []


async def test_a_day_that_the_rule_names_is_announced_and_left_to_evaluation(desk: Desk) -> None:
    alert = await expiring(desk, f"{RULE} until {ON}")
    assert await at(desk, "2021-01-08T12:00") == ["Alert #1 ends soon."]
    assert await at(desk, "2021-01-16T12:00") == []
    assert await desk.life(alert) == "active"
    await desk.database.run(partial(alert_store.update_alert, alert_id=alert, life="paused"))
    assert await at(desk, "2021-01-16T13:00") == ["Alert #1 has ended."]


async def test_one_made_for_a_few_days_is_not_announced(desk: Desk) -> None:
    await expiring(desk, f"{RULE} until 2020-01-20", on="2020-01-20")
    assert await at(desk, "2020-01-16T12:00") == []


async def test_one_made_for_more_than_a_week_is_announced(desk: Desk) -> None:
    for day in ("2020-01-22", "2020-01-23"):  # made on 15 January
        await expiring(desk, f"{RULE} until {day}", on=day)
    assert await at(desk, "2020-01-16T12:00") == ["Alert #2 ends soon."]


async def test_many_ends_of_a_day_are_one_message_a_chat(desk: Desk) -> None:
    for number in range(25):
        await expiring(desk, f"ratio > {0.6 + number / 1000:.3f}")
    await expiring(desk, chat_id=2)
    assert await at(desk, "2021-01-08T12:00") == [
        "25 alerts end soon.",
        "Alert #1 ends soon.",
    ]
    first, _ = await desk.payloads()
    assert first["plain"].splitlines()[1] == "Last day 15 Jan 2021: #1 ratio > 0.6"
    assert first["plain"].splitlines()[-2] == "... and 5 more: /alerts"
    assert first["buttons"][0][0] == ["Renew #1", "r/alert 1 renew"]
    assert sum(len(row) for row in first["buttons"]) == 21
    assert (await at(desk, "2021-01-16T12:00"))[0] == "25 alerts have ended."


async def test_notices_of_ends_wait_for_quiet_hours_and_go_to_their_topic(desk: Desk) -> None:
    await expiring(desk)

    def wish(db: sqlite_utils.Database) -> None:
        chat_store.set_preferences(db, 1, quiet_from="22:00", quiet_to="07:00")
        db.execute("UPDATE alerts SET thread_id = 7")

    await desk.database.run(wish)
    await at(desk, "2021-01-08T00:00")
    (row,) = await desk.query("SELECT thread_id, not_before FROM outbox")
    assert row == {"thread_id": 7, "not_before": "2021-01-08T12:00:00Z"}


async def test_an_alert_that_cannot_be_read_ends_like_any_other(desk: Desk) -> None:
    alert = await expiring(desk)
    await desk.change("UPDATE alerts SET rule_json = '{'")
    await at(desk, "2021-01-08T12:00")
    await at(desk, "2021-01-16T12:00")
    assert await desk.life(alert) == "expired: its last day has passed"
