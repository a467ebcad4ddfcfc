import datetime as dt
import json
import logging
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from bot.chat.access import Ask
from bot.chat.info import on_summary
from bot.jobs import summaries
from bot.messages.common import Answer
from bot.messages.html import strip_html
from bot.messages.pages import summary
from bot.text import date_phrase
from storage import chat_store, outbox
from storage.database import DiskFull
from tests.jobs.desk import DAYS, QUIET, Desk, full_disk, sessions

_UPDATES = count(1)
LATE = "Late: this summary could not be sent when it was due."


def at(text: str) -> dt.datetime:
    """A UTC instant written "2020-01-15 23:30"."""
    return dt.datetime.fromisoformat(f"{text}+00:00")


async def subscribed(desk: Desk, when: str = "18:30", **arguments: Any) -> None:  # noqa: ANN401 - passed on
    """Ten sessions of prices, and a chat that has long wanted its summary."""
    desk.now = at("2020-01-02 12:00")
    await desk.subscriber(when, **arguments)
    await desk.closes(QUIET)


async def run_at(desk: Desk, text: str) -> int:
    desk.now = at(text)
    return await desk.summaries.run()


async def statuses(desk: Desk) -> list[str]:
    rows = await desk.query("SELECT local_date, status FROM summaries ORDER BY local_date, id")
    return [f"{row['local_date']} {row['status']}" for row in rows]


async def test_a_summary_comes_at_its_local_time_and_once(desk: Desk) -> None:
    await subscribed(desk)
    await run_at(desk, "2020-01-15 12:00")  # settles the day before
    before = len(await desk.messages())
    assert await run_at(desk, "2020-01-15 23:29") == 0
    assert await run_at(desk, "2020-01-15 23:30") == 1
    for moment in ("2020-01-15 23:30", "2020-01-16 00:00", "2020-01-16 23:29"):
        assert await run_at(desk, moment) == 0
    desk.restart()
    assert await run_at(desk, "2020-01-16 23:29") == 0
    texts = (await desk.messages())[before:]
    assert [line.splitlines()[0] for line in texts] == ["Both funds moved alike · Wed 15 Jan 2020"]
    assert LATE not in texts[0]
    (row,) = await desk.query("SELECT DISTINCT kind FROM outbox")
    assert row["kind"] == "summary"


async def test_a_summary_due_in_quiet_hours_is_sent_at_the_time_that_was_asked_for(desk: Desk) -> None:
    await subscribed(desk)
    await desk.database.run(lambda db: chat_store.set_preferences(db, 1, quiet_from="16:00", quiet_to="07:00"))
    assert await run_at(desk, "2020-01-15 23:30") == 1
    (row,) = await desk.query("SELECT kind, not_before FROM outbox")
    assert row == {"kind": "summary", "not_before": "2020-01-15T23:30:00Z"}


async def test_a_chats_own_time_zone_counts(desk: Desk) -> None:
    await subscribed(desk, "08:00", chat_id=1, timezone="Europe/Berlin")
    await subscribed(desk, "08:00", chat_id=2)
    await run_at(desk, "2020-01-15 14:00")
    before = len(await desk.messages())
    assert await run_at(desk, "2020-01-16 06:59") == 0
    assert await run_at(desk, "2020-01-16 07:00") == 1
    assert await run_at(desk, "2020-01-16 13:00") == 1
    rows = await desk.query("SELECT chat_id FROM outbox ORDER BY id")
    assert [row["chat_id"] for row in rows[before:]] == [1, 2]


async def test_a_zone_that_is_gone_costs_nobody_a_summary(desk: Desk) -> None:
    await subscribed(desk, chat_id=1, timezone="Europe/Atlantis")
    await subscribed(desk, chat_id=2)
    assert await run_at(desk, "2020-01-15 23:30") == 2


async def test_the_configs_time_zone_is_the_default(path: Path) -> None:
    desk = Desk(path, timezone="Asia/Tokyo")
    await subscribed(desk, "08:00")
    assert await run_at(desk, "2020-01-15 22:59") == 1  # of the days before
    assert await run_at(desk, "2020-01-15 23:00") == 0  # its session was told
    assert await statuses(desk) == ["2020-01-15 sent", "2020-01-16 skipped"]
    desk.database.close()


@pytest.mark.parametrize(
    ("offline_until", "session"),
    [
        ("2020-01-17 02:30", "Thu 16 Jan"),  # three hours
        ("2020-01-20 15:00", "Fri 17 Jan"),  # three days
        ("2020-02-16 15:00", "Fri 14 Feb"),  # thirty days
    ],
)
async def test_after_a_downtime_one_summary_is_late(desk: Desk, offline_until: str, session: str) -> None:
    await subscribed(desk)
    assert await run_at(desk, "2020-01-15 23:30") == 1
    await desk.closes([0.5] * 39, DAYS[0])
    desk.restart()
    assert await run_at(desk, offline_until) == 1
    text = (await desk.messages())[1]
    assert text.startswith(f"Both funds moved alike · {session} 2020\n{LATE}\n")
    assert await desk.summaries.run() == 0
    desk.restart()
    assert await desk.summaries.run() == 0
    became = [status.split()[1] for status in await statuses(desk)]
    assert became.count("sent") == 2
    assert set(became) <= {"sent", "skipped"}


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("hours", [-1, 1])
async def test_a_wall_clock_moved_by_an_hour_repeats_none(desk: Desk, hours: int, restarted: bool) -> None:
    await subscribed(desk)
    moved = dt.timedelta(hours=hours)
    sent = [await run_at(desk, "2020-01-15 23:31")]
    for step in (moved, dt.timedelta(0), moved, dt.timedelta(0)):
        if restarted:
            desk.restart()
        desk.now = at("2020-01-15 23:32") + step
        sent.append(await desk.summaries.run())
    assert sent == [1, 0, 0, 0, 0]
    await desk.closes([0.5], DAYS[0])
    assert await run_at(desk, "2020-01-16 23:30") == 1


async def test_a_clock_put_back_by_a_day_still_sends_the_next_one(desk: Desk) -> None:
    await subscribed(desk)
    assert await run_at(desk, "2020-01-15 23:31") == 1
    assert await run_at(desk, "2020-01-14 23:31") == 1  # of the session before
    await desk.closes([0.5], DAYS[0])
    assert await run_at(desk, "2020-01-15 23:31") == 0
    assert await run_at(desk, "2020-01-16 23:31") == 1


async def test_days_without_a_new_close_bring_none(desk: Desk) -> None:
    await subscribed(desk)
    await desk.closes([0.5] * 4, "2020-01-15")
    sent = {}
    for day in range(15, 23):  # Mon 20 Jan 2020 is a holiday
        sent[day] = await run_at(desk, f"2020-01-{day} 23:30")
    assert sent == {15: 1, 16: 1, 17: 1, 18: 0, 19: 0, 20: 0, 21: 1, 22: 1}
    assert (await statuses(desk))[-6:-2] == [
        "2020-01-17 sent",
        "2020-01-18 skipped",
        "2020-01-19 skipped",
        "2020-01-20 skipped",
    ]


@pytest.mark.parametrize(("typed_at", "today"), [("22:00", 1), ("23:45", 0)])
async def test_a_subscription_begins_with_the_next_time(desk: Desk, typed_at: str, today: int) -> None:
    await desk.closes(QUIET)
    desk.now = at(f"2020-01-15 {typed_at}")
    await desk.database.run(lambda db: chat_store.ensure_chat(db, 1, "private", "", at("2020-01-01 00:00")))
    await ask(desk, "on 18:30")
    assert await desk.summaries.run() == 0
    assert await run_at(desk, "2020-01-15 23:59") == today
    assert await run_at(desk, "2020-01-16 12:00") == 0
    await desk.closes([0.5], DAYS[0])
    assert await run_at(desk, "2020-01-16 23:59") == 1
    assert LATE not in "".join(await desk.messages())


async def test_a_time_changed_after_todays_summary_repeats_none(desk: Desk) -> None:
    await subscribed(desk)
    assert await run_at(desk, "2020-01-15 23:30") == 1
    await ask(desk, "on 20:00")
    assert await run_at(desk, "2020-01-16 01:00") == 0
    await ask(desk, "off")
    await desk.closes([0.5], DAYS[0])
    assert await run_at(desk, "2020-01-17 02:00") == 0


async def ask(desk: Desk, text: str) -> None:
    """/summary, as typed in chat 1."""
    await on_summary(Ask(desk.services, text, 1, "private", "", 1, next(_UPDATES)))


async def test_an_empty_database_is_said_once_a_session_and_breaks_nothing(desk: Desk) -> None:
    desk.now = at("2020-01-02 12:00")
    await desk.subscriber("18:30")
    assert await run_at(desk, "2020-01-15 23:30") == 1
    (text,) = await desk.messages()
    assert text == (
        "Daily summary\nNo prices are stored yet. Fetch them with “python -m bot refresh”, or import a file: "
        "python -m bot import prices IWM_daily.csv --ticker IWM"
    )
    assert await run_at(desk, "2020-01-16 12:00") == 0


async def test_closes_still_on_their_way_are_waited_for(desk: Desk) -> None:
    await subscribed(desk, "16:30")
    await run_at(desk, "2020-01-15 22:00")
    before = len(await desk.messages())
    desk.services.live = True  # without sources, nothing is waited for
    assert await run_at(desk, "2020-01-16 21:30") == 0
    assert await run_at(desk, "2020-01-16 22:10") == 0
    await desk.closes([0.5], DAYS[0])
    assert await run_at(desk, "2020-01-16 22:11") == 1
    text = (await desk.messages())[before]
    assert text.startswith("Both funds moved alike · Thu 16 Jan 2020\n")
    assert LATE in text


async def test_closes_that_do_not_come_are_not_waited_for_for_ever(desk: Desk) -> None:
    await subscribed(desk, "16:30")
    await run_at(desk, "2020-01-15 22:00")
    before = len(await desk.messages())
    desk.services.live = True
    assert await run_at(desk, "2020-01-17 00:14") == 0
    assert await run_at(desk, "2020-01-17 00:15") == 1
    lines = (await desk.messages())[before].splitlines()
    assert lines[0] == "Both funds moved alike · Wed 15 Jan 2020"
    assert lines[1] == "Stale: 1 session old; the last completed session is Thu 16 Jan 2020."


async def test_one_chats_fault_costs_no_other_its_summary_and_is_tried_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await subscribed(desk, chat_id=1)
    await subscribed(desk, chat_id=2)
    real: Callable[..., Answer] = summary.summary_answer
    faults: list[BaseException] = [ZeroDivisionError()]

    def failing(*arguments: object, **named: object) -> Answer:
        if faults:
            raise faults.pop()
        return real(*arguments, **named)

    monkeypatch.setattr(summaries, "summary_answer", failing)
    with caplog.at_level(logging.CRITICAL):
        assert await run_at(desk, "2020-01-15 23:30") == 1
    assert await desk.summaries.run() == 1
    rows = await desk.query("SELECT chat_id FROM outbox ORDER BY id")
    assert [row["chat_id"] for row in rows] == [2, 1]


async def test_equal_texts_are_made_once_and_what_a_text_depends_on_makes_another(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await desk.closes(QUIET)
    sql = """
        INSERT INTO chats (chat_id, kind, created_at, summary_at)
        SELECT value, 'private', '2020-01-15T23:00:00Z', '18:30' FROM json_each(?)
    """
    await desk.change(sql, (json.dumps([*range(1, 251)]),))  # more than are read at once
    await desk.change("UPDATE chats SET returns = 'total' WHERE chat_id = 7")
    await desk.change("UPDATE chats SET numbers = '1.234,5' WHERE chat_id = 120")
    await desk.alert("ratio > 0.7", chat_id=240)
    real, made = summary.summary_answer, list[str]()

    def counted(*arguments: Any, **named: Any) -> Answer:  # noqa: ANN401 - passed on
        answer = real(*arguments, **named)
        made.append(answer.html)
        return answer

    monkeypatch.setattr(summaries, "summary_answer", counted)
    assert await run_at(desk, "2020-01-15 23:30") == 250
    assert len(made) == 4
    groups = await desk.query("SELECT json_group_array(chat_id) AS chats FROM outbox GROUP BY payload")
    alone = [json.loads(row["chats"]) for row in groups if len(json.loads(row["chats"])) < 247]
    assert sorted(alone) == [[7], [120], [240]]
    await desk.closes([0.51], DAYS[0])
    assert await run_at(desk, "2020-01-16 23:30") == 250
    assert len(made) == 8
    assert not set(made[:4]) & set(made[4:])


async def test_a_full_disk_is_no_chats_fault(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    await subscribed(desk)

    with monkeypatch.context() as patched:
        patched.setattr(outbox, "enqueue", full_disk)
        with pytest.raises(DiskFull):
            await run_at(desk, "2020-01-15 23:30")
    assert [row for row in await statuses(desk) if row.startswith("2020-01-15")] == ["2020-01-15 due"]
    assert await run_at(desk, "2020-01-15 23:31") == 1


async def test_a_broken_alert_is_left_out(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    await subscribed(desk)
    await desk.alert("ratio > 0.6")
    await desk.alert("ratio > 0.7")
    await desk.alert("ratio > 0.8")
    await desk.change("UPDATE alerts SET rule_json = '{' WHERE alert_id = 1")
    await desk.change("UPDATE alerts SET life = 'paused' WHERE alert_id = 3")
    with caplog.at_level(logging.CRITICAL):
        assert await run_at(desk, "2020-01-15 23:30") == 1
    (text,) = await desk.messages()
    expected = [line for line in text.splitlines() if line.startswith("#")]
    assert expected == ["#2 IWM/SPY above 0.7 ░░░░░░░░ 40.00% to go"]


async def test_a_chat_that_is_back_is_not_told_what_it_missed(desk: Desk) -> None:
    await subscribed(desk)
    await run_at(desk, "2020-01-15 12:00")
    await desk.database.run(lambda db: chat_store.deactivate(db, 1, "blocked"))
    assert await run_at(desk, "2020-01-15 23:30") == 0
    await desk.database.run(lambda db: chat_store.reactivate(db, 1))
    assert await run_at(desk, "2020-01-15 23:45") == 0


async def test_a_summary_that_could_not_be_sent_gives_way_to_the_next_days(desk: Desk) -> None:
    await subscribed(desk)
    await run_at(desk, "2020-01-15 12:00")
    await desk.closes([0.5], DAYS[0])
    await run_at(desk, "2020-01-16 23:30")
    await desk.closes([0.5], DAYS[1])
    await run_at(desk, "2020-01-17 23:30")
    rows = await desk.query("SELECT status, json_extract(payload, '$.html') AS html FROM outbox ORDER BY id")
    waiting = [strip_html(row["html"]).splitlines()[0] for row in rows if row["status"] == "queued"]
    assert waiting == ["Both funds moved alike · Fri 17 Jan 2020"]
    assert len(rows) == 3


async def test_a_chat_younger_than_its_time_waits_for_the_next_day(desk: Desk) -> None:
    await desk.closes(QUIET)
    desk.now = at("2020-01-15 12:00")
    await desk.subscriber("06:00")
    assert await run_at(desk, "2020-01-15 13:00") == 0
    assert await run_at(desk, "2020-01-16 11:00") == 1


@pytest.mark.parametrize(("zone", "first"), [("America/New_York", "2020-03-05"), ("Australia/Lord_Howe", "2020-04-02")])
async def test_changes_of_clocks_leave_one_summary_a_session(desk: Desk, zone: str, first: str) -> None:
    days = sessions(first, 5)
    desk.now = at("2020-02-01 00:00")
    await desk.subscriber("02:30", timezone=zone)
    await desk.closes([0.5] * 5, first)
    end, desk.now = desk.now + dt.timedelta(hours=18), at(f"{first} 21:15")
    while desk.now < end:
        await desk.summaries.run()
        desk.now += dt.timedelta(hours=6)
    ends = [text.splitlines()[0].rpartition(" · ")[2] for text in await desk.messages()]
    expected = [date_phrase(dt.date.fromisoformat(day)) for day in days]
    assert [day for day in ends if day in expected] == expected
