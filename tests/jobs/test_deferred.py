"""Snooze and quiet hours: what is held, and the one message afterwards."""

import datetime as dt
from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest
import sqlite_utils

from bot.jobs import deferred
from bot.jobs.deferred import send_deferred
from bot.messages.html import strip_html
from storage import alert_store, chat_store
from tests.jobs.desk import DAYS, QUIET, RULE, Desk, after_close
from tests.jobs.test_evaluate import meanwhile
from tests.titles import title_of

UNTIL_MORNING = ("16:00", "07:00")  # New York: the close falls into it


async def prepared(desk: Desk, *rules: str, quiet: tuple[str, str] | None = None, chat_id: int = 1) -> None:
    await desk.closes(QUIET)
    for rule in rules:
        await desk.alert(rule, chat_id)
    if quiet is not None:
        await desk.database.run(
            lambda db: chat_store.set_preferences(
                db, chat_id, **dict(zip(("quiet_from", "quiet_to"), quiet, strict=True))
            )
        )


async def snooze(desk: Desk, until: dt.datetime | None, alert: int = 1) -> None:
    await desk.database.run(partial(alert_store.update_alert, alert_id=alert, snoozed_until=until))


async def work(desk: Desk, levels: Sequence[float] = (), first: int = 0) -> None:
    """Closes of some sessions, then a run as the tick makes it."""
    if levels:
        await desk.closes(levels, DAYS[first])
    await release(desk)
    await desk.evaluate()


async def release(desk: Desk) -> int:
    return await send_deferred(desk.services)


async def test_a_zone_that_is_gone_holds_up_nobody(desk: Desk) -> None:
    await prepared(desk, RULE, quiet=UNTIL_MORNING)
    await prepared(desk, RULE, chat_id=2)
    await desk.change("UPDATE chats SET timezone = 'Europe/Atlantis' WHERE chat_id = 1")
    await work(desk, [0.65])
    assert len(await desk.messages()) == 1
    await next_morning(desk)
    assert len(await desk.messages()) == 2


async def test_a_chat_forgotten_meanwhile_stops_nobody(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    await prepared(desk, RULE, quiet=UNTIL_MORNING)
    await prepared(desk, RULE, quiet=UNTIL_MORNING, chat_id=2)
    await work(desk, [0.65])
    desk.now = morning("2020-01-17")
    whole = deferred._store

    def forgetting(db: sqlite_utils.Database, **arguments: Any) -> None:  # noqa: ANN401 - passed on
        chat_store.forget_chat(db, 1)
        whole(db, **arguments)

    monkeypatch.setattr(deferred, "_store", forgetting)
    await release(desk)
    assert [row["chat_id"] for row in await desk.query("SELECT chat_id FROM outbox")] == [2]


def morning(day: str) -> dt.datetime:
    """07:00 in New York."""
    return dt.datetime.fromisoformat(f"{day}T12:00:00+00:00")


async def next_morning(desk: Desk) -> None:
    """The quiet hours after the first session end."""
    desk.now = morning(DAYS[1])
    await work(desk)


async def test_quiet_hours_hold_a_fire_until_they_end(desk: Desk) -> None:
    await prepared(desk, RULE, quiet=UNTIL_MORNING)
    await work(desk, [0.65])
    assert await desk.messages() == []
    assert await desk.events() == ["1 fired 2020-01-16"]
    desk.now = morning("2020-01-17") - dt.timedelta(seconds=1)
    await work(desk)
    assert await desk.messages() == []
    await next_morning(desk)
    (text,) = await desk.messages()
    assert text.splitlines()[:4] == [
        "IWM/SPY crossed above 0.6",
        "0.6500 against 0.6 (+8.33%), close of Thu 16 Jan 2020. Before: 0.5000.",
        "Held back during quiet hours; still true.",
        "#1: ratio > 0.6 rearm 0.55",
    ]
    assert "Fired once in 90 days." in text
    for _ in range(2):
        desk.restart()
        await work(desk)
    assert len(await desk.messages()) == 1


async def test_an_urgent_rule_is_told_in_quiet_hours(desk: Desk) -> None:
    await prepared(desk, RULE, f"{RULE} urgent", quiet=UNTIL_MORNING)
    await work(desk, [0.65])
    (text,) = await desk.messages()
    assert title_of(text).startswith("#2 fired")
    await next_morning(desk)
    assert [title.split(" · ")[0] for title in await desk.titles()] == ["#2 fired", "#1 fired"]


async def test_several_events_of_quiet_hours_come_as_one_list(desk: Desk) -> None:
    await prepared(desk, RULE, "ratio > 0.62", quiet=UNTIL_MORNING)
    await prepared(desk, RULE, chat_id=2)
    await work(desk, [0.65])
    await next_morning(desk)
    rows = await desk.query("SELECT chat_id, json_extract(payload, '$.html') AS html FROM outbox")
    assert [(row["chat_id"], title_of(strip_html(row["html"]))) for row in rows] == [
        (2, "#1 fired · close of Thu 16 Jan 2020"),
        (1, "2 events held back by quiet hours, newest first"),
    ]
    assert strip_html(rows[1]["html"]).splitlines()[1:] == [
        "16 Jan 2020 · #2 ratio > 0.62 · 0.6500, still true (CSV import)",
        "16 Jan 2020 · #1 ratio > 0.6 rearm 0.55 · 0.6500, still true (CSV import)",
    ]


async def test_a_snooze_mutes_messages_and_not_the_state(desk: Desk) -> None:
    await prepared(desk, RULE)
    await snooze(desk, after_close(DAYS[5], 1.5))
    for day, level in enumerate((0.65, 0.5, 0.66, 0.67, 0.5)):
        await work(desk, [level], day)
    assert await desk.messages() == []
    assert await desk.events() == [f"1 fired {DAYS[0]}", f"1 fired {DAYS[2]}"]
    assert await desk.evaluated_up_to(1) == DAYS[4]
    desk.now = after_close(DAYS[5], 1.5)
    await release(desk)
    (text,) = await desk.messages()
    assert text.splitlines() == [
        "2 events while alerts were snoozed, newest first",
        "21 Jan 2020 · #1 ratio > 0.6 rearm 0.55 · 0.6600, no longer true since 23 Jan 2020 (CSV import)",
        "16 Jan 2020 · #1 ratio > 0.6 rearm 0.55 · 0.6500, no longer true since 17 Jan 2020 (CSV import)",
    ]
    await work(desk, [0.5, 0.65], 5)
    assert title_of((await desk.messages())[1]) == "#1 fired · close of Mon 27 Jan 2020"


async def test_a_snooze_tells_at_its_end_what_was_still_true_after_a_cooldown(desk: Desk) -> None:
    await prepared(desk, f"{RULE} cooldown 3")
    await work(desk, [0.65, 0.5, 0.65])
    await snooze(desk, desk.now + dt.timedelta(days=7))
    await work(desk, [0.66, 0.66], 3)
    assert len(await desk.messages()) == 1
    await snooze(desk, None)
    await work(desk)
    _, message = await desk.messages()
    assert title_of(message) == "#1 still · close of Thu 23 Jan 2020"
    assert "\nHeld back while this alert was snoozed; still true.\n" in message


async def test_a_snooze_that_ends_in_quiet_hours_waits_for_their_end(desk: Desk) -> None:
    await prepared(desk, RULE, quiet=UNTIL_MORNING)
    await snooze(desk, after_close(DAYS[0], 2))
    await work(desk, [0.65])
    desk.now = after_close(DAYS[0], 3)
    assert await release(desk) == 0
    desk.now = morning(DAYS[1])
    assert await release(desk) == 1


async def test_a_snoozed_alert_waits_even_if_urgent_and_leaves_others_of_its_chat(desk: Desk) -> None:
    await prepared(desk, f"{RULE} urgent", "ratio > 0.62")
    await snooze(desk, desk.now + dt.timedelta(days=7))
    await work(desk, [0.65])
    (text,) = await desk.messages()
    assert title_of(text).startswith("#2 fired")


async def test_what_was_held_of_an_alert_that_was_switched_off_is_not_told(desk: Desk) -> None:
    await prepared(desk, RULE, quiet=UNTIL_MORNING)
    await work(desk, [0.65])
    await desk.database.run(lambda db: alert_store.switch_off(db, 1))
    await next_morning(desk)
    assert await desk.messages() == []


async def test_a_rule_that_fires_once_and_is_held_is_told_though_it_is_done(desk: Desk) -> None:
    await prepared(desk, f"{RULE} once".replace(" rearm 0.55", ""), quiet=UNTIL_MORNING)
    await work(desk, [0.65])
    assert await desk.life(1) == "done: fired once"
    await next_morning(desk)
    (text,) = await desk.messages()
    assert "It was set to fire once and is now done." in text


async def test_what_the_cooldown_mutes_is_not_held_either(desk: Desk) -> None:
    await prepared(desk, f"{RULE} cooldown 3", quiet=UNTIL_MORNING)
    for day, level in enumerate((0.65, 0.5, 0.65, 0.5, 0.5)):
        await work(desk, [level], day)
    desk.now = morning(DAYS[5])
    await work(desk)
    titles = [title for title in await desk.titles() if "fired" in title]
    assert titles == ["#1 fired · close of Thu 16 Jan 2020"]


async def test_topics_get_what_was_made_in_them(desk: Desk) -> None:
    await prepared(desk, RULE, "ratio > 0.62", "ratio > 0.63", quiet=UNTIL_MORNING)
    await desk.change("UPDATE alerts SET thread_id = 7 WHERE alert_id > 1")
    await work(desk, [0.65])
    await next_morning(desk)
    rows = await desk.query("SELECT thread_id, json_extract(payload, '$.html') AS html FROM outbox ORDER BY 1")
    assert [(row["thread_id"], title_of(strip_html(row["html"])).split(" · ")[0]) for row in rows] == [
        (None, "#1 fired"),
        (7, "2 events held back by quiet hours, newest first"),
    ]


async def test_what_cannot_be_told_is_told_in_a_line(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    await prepared(desk, RULE, quiet=UNTIL_MORNING)
    await work(desk, [0.65])
    desk.now = morning(DAYS[1])
    monkeypatch.setattr("bot.messages.alerts.notices.fired_message", None)
    await release(desk)
    assert await desk.messages() == [
        "1 event held back by quiet hours\n16 Jan 2020 · #1 ratio > 0.6 rearm 0.55 · fired"
    ]


async def test_an_alert_snoozed_meanwhile_keeps_quiet(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    await prepared(desk, RULE)
    until = desk.now + dt.timedelta(days=7)
    meanwhile(monkeypatch, desk, partial(alert_store.update_alert, alert_id=1, snoozed_until=until))
    await work(desk, [0.65])
    await work(desk)
    assert await desk.messages() == []
    assert await desk.events() == [f"1 fired {DAYS[0]}"]


async def test_a_notice_about_an_alert_waits_for_the_end_of_quiet_hours_too(desk: Desk) -> None:
    await prepared(desk, f"{RULE} until 2020-01-15".replace(" rearm 0.55", ""), quiet=UNTIL_MORNING)
    await work(desk, [0.5])
    (row,) = await desk.query("SELECT kind, not_before FROM outbox")
    assert row == {"kind": "notice", "not_before": "2020-01-17T12:00:00Z"}


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE alerts SET rule_json = '{' WHERE alert_id = 1",
        "UPDATE alert_events SET detail = '{}' WHERE alert_id = 1",
        """UPDATE alert_events SET detail = '{"rule": "{"}' WHERE alert_id = 1""",
        """UPDATE alert_events SET detail = '{"rule": "5"}' WHERE alert_id = 1""",
    ],
)
async def test_what_an_unreadable_alert_held_is_told_and_stops_no_other(desk: Desk, damage: str) -> None:
    await prepared(desk, RULE, quiet=UNTIL_MORNING)
    await prepared(desk, RULE, quiet=UNTIL_MORNING, chat_id=2)
    await work(desk, [0.65])
    await desk.change(damage)
    desk.now = morning("2020-01-17")
    assert await release(desk) == 2
    plain, whole = await desk.messages()
    assert plain.splitlines() == ["1 event held back by quiet hours", f"16 Jan 2020 · #1 {RULE} · fired"]
    assert title_of(whole) == "#1 fired · close of Thu 16 Jan 2020"
